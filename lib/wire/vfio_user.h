/* SPDX-License-Identifier: MIT */
/*
 * vfio-user messages (docs/interop/vfio-user.rst of the QEMU project, version 0.0), and how
 * one is received and answered with its file descriptors. Payloads that are VFIO's own
 * structures come from <linux/vfio.h>.
 */
#ifndef VIO_WIRE_VFIO_USER_H
#define VIO_WIRE_VFIO_USER_H

#include "base/base.h"

#include <linux/vfio.h>

enum vfu_command {
	VFU_VERSION = 1,
	VFU_DMA_MAP = 2,
	VFU_DMA_UNMAP = 3,
	VFU_DEVICE_GET_INFO = 4,
	VFU_DEVICE_GET_REGION_INFO = 5,
	VFU_DEVICE_GET_REGION_IO_FDS = 6,
	VFU_DEVICE_GET_IRQ_INFO = 7,
	VFU_DEVICE_SET_IRQS = 8,
	VFU_REGION_READ = 9,
	VFU_REGION_WRITE = 10,
	VFU_DMA_READ = 11,  /* from server to client */
	VFU_DMA_WRITE = 12, /* the same */
	VFU_DEVICE_RESET = 13,
	VFU_REGION_WRITE_MULTI = 15,
	VFU_DEVICE_FEATURE = 16,
	VFU_MIG_DATA_READ = 17,
	VFU_MIG_DATA_WRITE = 18,
	VFU_COMMAND_MAX = 19,
};

#define VFU_MAJOR 0u
#define VFU_MINOR 0u

/* vfu_header.flags */
#define VFU_TYPE 0xfu
#define VFU_TYPE_COMMAND 0u
#define VFU_TYPE_REPLY 1u
#define VFU_FLAG_NO_REPLY 0x10u
#define VFU_FLAG_ERROR 0x20u

#define VFU_MAX_FDS 16u	       /* that we take in one message */
#define VFU_MAX_DATA 4096u     /* bytes of one region access: as much as config space has */
#define VFU_MAX_REQUEST 8192   /* the longest: a WRITE_MULTI of VFU_MAX_WRITES, a VERSION with much to say */
#define VFU_MAX_BITMAP 131072u /* of written pages: those of 4 GiB */
#define VFU_MAX_PAYLOAD (32u + VFU_MAX_BITMAP) /* that answer is longest */
#define VFU_MAX_WRITES 200u

struct vfu_header {
	uint16_t id; /* the sender's, for the reply; two may be alike */
	uint16_t command;
	uint32_t size; /* of the message, this header too */
	uint32_t flags;
	uint32_t error; /* in a reply with VFU_FLAG_ERROR */
};

struct vfu_version {
	uint16_t major, minor;
	char json[]; /* what the sender can do; with its NUL, or nothing at all */
};

struct vfu_dma_map {
	uint32_t argsz, flags;
	uint64_t offset; /* into the descriptor that came along */
	uint64_t addr, size;
};

#define VFU_DMA_READABLE 1u
#define VFU_DMA_WRITEABLE 2u
#define VFU_DMA_BY_MMAP 4u /* or by what the server likes */
#define VFU_DMA_BY_FILE_IO 8u

struct vfu_dma_unmap {
	uint32_t argsz, flags;
	uint64_t addr, size;
};

#define VFU_UNMAP_ALL 2u /* as VFIO_DMA_UNMAP_FLAG_ALL */

/* VFIO's own has grown since. */
struct vfu_device_info {
	uint32_t argsz, flags, num_regions, num_irqs;
};

struct vfu_region_rw {
	uint64_t offset;
	uint32_t region, count;
	uint8_t data[];
};

struct vfu_write_one {
	uint64_t offset;
	uint32_t region, count;
	uint8_t data[8];
};

struct vfu_write_multi {
	uint64_t n;
	struct vfu_write_one w[];
};

/* A struct vfio_device_feature, and what follows it. */
struct vfu_feature {
	uint32_t argsz, flags;
	uint8_t data[];
};

struct vfu_mig_state {
	uint32_t state; /* enum vfio_device_mig_state */
	uint32_t data_fd;
};

struct vfu_log_range {
	uint64_t iova, length;
};

struct vfu_log_start {
	uint64_t page_size;
	uint32_t n, reserved;
	struct vfu_log_range range[];
};

struct vfu_log_report {
	uint64_t iova, length, page_size;
	uint8_t bitmap[];
};

struct vfu_mig_data {
	uint32_t argsz, size;
	uint8_t data[];
};

union vfu_payload {
	uint8_t bytes[VFU_MAX_PAYLOAD];
	struct vfu_version version;
	struct vfu_dma_map map;
	struct vfu_dma_unmap unmap;
	struct vfu_device_info info;
	struct vfio_region_info region;
	struct vfio_irq_info irq;
	struct vfio_irq_set irqs;
	struct vfu_region_rw rw;
	struct vfu_write_multi multi;
	struct vfu_feature feature;
	struct vfu_mig_data mig;
};

/* One message with its descriptors, which belong to whoever holds the message. */
struct vfu_msg {
	unsigned nfds;
	int fds[VFU_MAX_FDS];
	_Alignas(8) struct vfu_header h;
	union vfu_payload p; /* the last, since some of it has no fixed size */
};

/* A message on its way in or out, in however many pieces. Zero `done` and msg.nfds before it begins. */
struct vfu_box {
	size_t done; /* bytes */
	struct vfu_msg msg;
};

VIO_INLINE uint32_t vfu_payload_size(const struct vfu_msg *m)
{
	return m->h.size - (uint32_t)sizeof(m->h);
}

/*
 * Reads what is there, without blocking. 1: box->msg is whole. 0: more has to come.
 * -ECONNRESET: the peer has gone. -EBADMSG: no size that a message can have, or too many
 * descriptors. After a negative return the descriptors are closed.
 */
int vfu_recv(struct vfu_box *box, int socket);

/* Sends what the socket takes, without blocking. 1: all of it is out. 0: call again when it is writable.
 * -errno: the connection is of no more use. */
int vfu_send(struct vfu_box *box, int socket);

/* Closes and forgets the message's descriptors. */
void vfu_close_fds(struct vfu_msg *msg);

#endif
