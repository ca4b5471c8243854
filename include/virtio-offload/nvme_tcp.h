/* SPDX-License-Identifier: MIT */
/*
 * NVMe/TCP, serving end: hosts (Linux's nvme-tcp, nvme-cli, our own) reach a subsystem
 * over TCP. The same address answers discovery, with all addresses that the
 * subsystem is reached at.
 *
 * Each connection is a queue, and belongs to one of the pollers given. Connections share
 * their poller's buffers, so that an idle one costs a few KiB. A host that breaks the
 * protocol is told why and loses that connection; one that is silent too long loses it too.
 */
#ifndef VIRTIO_OFFLOAD_NVME_TCP_H
#define VIRTIO_OFFLOAD_NVME_TCP_H

#include <virtio-offload/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_nvme_tcp;

struct vio_nvme_tcp_opts {
	size_t sz;
	const char *address; /* "127.0.0.1:4420", "[::1]:4420"; NULL means that, port 0 any that is free */
	/* Where connections are served, the next on the next; 0: on the transport's own poller. */
	struct vio_poller **pollers;
	unsigned npollers;
	unsigned max_connections; /* the next one is closed at once; 0 means 16,384 */
	/* From the connection on until its Connect was accepted, and for what a host has begun: the rest of a
	 * PDU, data that was asked for, reading what was sent. 0 means 5000. */
	unsigned timeout_ms;
	bool no_digests;  /* refuse digests, which a library built without ISA-L always does */
	bool reserved[3]; /* 0 */
	size_t buffers;	  /* bytes of data buffers a poller, taken as they are used; 0 means 32 MiB */
	/* The address that hosts are told to connect to, where it is another than they are seen to use:
	 * behind a translation. NULL: .address. */
	const char *advertise;
	uint16_t port;	       /* the subsystem's that this is, see vio_nvme_ana_set; 0 means 1 */
	uint16_t reserved2[3]; /* 0 */
};

/* Listens; p serves the listening socket. -EADDRINUSE, -EINVAL, or what socket said; -ENOSYS in a
 * library built without NVMe. */
VIO_API int vio_nvme_tcp_new(struct vio_nvme_tcp **t, struct vio_poller *p, struct vio_nvme *s,
			     const struct vio_nvme_tcp_opts *opts);

/*
 * Discovery names this address too: another process serves the same subsystem there, as port `port`. It
 * is named for as long as s is there. -EINVAL, -ENOMEM, -ENOSYS.
 */
VIO_API int vio_nvme_tcp_refer(struct vio_nvme *s, const char *address, uint16_t port);

/* The TCP port that it listens at. */
VIO_API uint16_t vio_nvme_tcp_port(const struct vio_nvme_tcp *t);

/*
 * Begins to stop: no new connection, nothing more is read, what was taken is answered.
 * done runs on p's thread when the last connection has gone; free it then. All its pollers
 * have to run until then.
 */
VIO_API void vio_nvme_tcp_stop(struct vio_nvme_tcp *t, void (*done)(void *ctx), void *ctx);

/* Only after stop's done. */
VIO_API void vio_nvme_tcp_free(struct vio_nvme_tcp *t);

struct vio_nvme_tcp_stats {
	size_t sz;
	uint64_t connections; /* now */
	uint64_t accepted;    /* so far */
	uint64_t refused;     /* of these: one too many */
	uint64_t violations;  /* connections closed because the host broke the protocol */
	uint64_t timeouts;    /* or was silent too long */
};
/* Any thread. */
VIO_API void vio_nvme_tcp_stats(struct vio_nvme_tcp *t, struct vio_nvme_tcp_stats *out);

#ifdef __cplusplus
}
#endif
#endif
