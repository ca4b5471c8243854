/* SPDX-License-Identifier: MIT */
/*
 * vhost-user messages as both ends see them (the vhost-user protocol of the QEMU
 * project), and how one is sent or received with its file descriptors. The front
 * end is backend/vhost_user*, the back end transport/vhost_user*.
 */
#ifndef VIO_WIRE_VHOST_USER_H
#define VIO_WIRE_VHOST_USER_H

#include "base/base.h"

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SEND_RARP = 19,
	VU_NET_SET_MTU = 20,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_GET_INFLIGHT_FD = 31,
	VU_SET_INFLIGHT_FD = 32,
	VU_RESET_DEVICE = 34,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_REQUEST_MAX = 48,
};

/* Sent by the back end over its own channel (BACKEND_REQ). */
enum vu_backend_request {
	VU_BACKEND_CONFIG_CHANGE_MSG = 2,
};

#define VU_F_PROTOCOL_FEATURES 30	/* virtio feature bit that stands for "speaks protocol features" */
#define VU_F_LOG_ALL 26			/* virtio feature bit: log writes to guest memory */

enum vu_protocol_feature {
	VU_PROTOCOL_F_MQ = 0,
	VU_PROTOCOL_F_LOG_SHMFD = 1,
	VU_PROTOCOL_F_RARP = 2,
	VU_PROTOCOL_F_REPLY_ACK = 3,
	VU_PROTOCOL_F_NET_MTU = 4,
	VU_PROTOCOL_F_BACKEND_REQ = 5,
	VU_PROTOCOL_F_CONFIG = 9,
	VU_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VU_PROTOCOL_F_RESET_DEVICE = 13,
	VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VU_PROTOCOL_F_STATUS = 16,
};

#define VU_VERSION 1u		/* flags, bits 0-1 */
#define VU_FLAG_REPLY 0x4u
#define VU_FLAG_NEED_REPLY 0x8u

#define VU_MAX_FDS 8		/* as many as a SET_MEM_TABLE carries */
#define VU_MAX_CONFIG 256
#define VU_NO_FD 0x100u		/* in a vring kick/call/err payload: no fd comes with it */

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;		/* of the payload */
};

struct vu_region {
	uint64_t guest, size, user, fd_offset;
};

struct vu_mem_table {
	uint32_t n, padding;
	struct vu_region regions[VU_MAX_FDS];
};

struct vu_mem_reg {
	uint64_t padding;
	struct vu_region region;
};

struct vu_vring_state {
	uint32_t index, num;
};

struct vu_vring_addr {
	uint32_t index, flags;		/* flags bit 0: log writes to the used ring at `log` */
	uint64_t desc, used, avail;	/* front-end addresses */
	uint64_t log;			/* guest address */
};

struct vu_config {
	uint32_t offset, size, flags;
	uint8_t data[VU_MAX_CONFIG];
};

struct vu_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t queues, queue_size;
};

struct vu_log {
	uint64_t size, offset;
};

union vu_payload {
	uint64_t u64;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_mem_table mem;
	struct vu_mem_reg reg;
	struct vu_config config;
	struct vu_inflight inflight;
	struct vu_log log;
	uint8_t bytes[512];
};

/* One message with its descriptors, which belong to whoever holds the message. */
struct vu_msg {
	struct vu_header h;
	union vu_payload p;
	unsigned nfds;
	int fds[VU_MAX_FDS];
};

/* A message coming in, however many pieces it arrives in. Zero it (fds need no care) before the first. */
struct vu_inbox {
	size_t have;		/* bytes of msg filled so far */
	struct vu_msg msg;
};

/*
 * Reads what is there, without blocking. 1: box->msg is whole; take it (with its
 * fds) and zero the box. 0: more has to come (-EAGAIN at the socket). -ECONNRESET:
 * the peer has gone. -EBADMSG: wrong version, payload larger than a vu_payload,
 * more than VU_MAX_FDS descriptors or truncated ancillary data. After a negative
 * return the box's fds are closed.
 */
int vu_recv(struct vu_inbox *box, int socket);

/* The same, waiting up to `ms` for a whole message: for front ends. -ETIMEDOUT. */
int vu_recv_wait(struct vu_inbox *box, int socket, int ms);

/* A message going out, in however many pieces the socket takes it. Its descriptors are the holder's to close. */
struct vu_outbox {
	size_t sent;		/* bytes of msg sent so far */
	struct vu_msg msg;
};

/* Sends what the socket takes, without blocking. 1: all of it is out. 0: call again when it
 * is writable. -errno: the connection is of no more use. SIGPIPE is not raised. */
int vu_send_some(struct vu_outbox *box, int socket);

/* Sends msg (header, h.size bytes of payload, nfds descriptors, which stay the caller's) whole,
 * waiting up to `ms` for a peer that reads slowly: 0, -ETIMEDOUT or -errno. SIGPIPE is not raised. */
int vu_send(int socket, const struct vu_msg *msg, int ms);

/* Closes and forgets the message's descriptors. */
void vu_close_fds(struct vu_msg *msg);

#endif
