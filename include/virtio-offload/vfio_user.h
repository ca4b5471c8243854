/* SPDX-License-Identifier: MIT */
/*
 * The vfio-user transport, serving end: a VMM (QEMU 10.1 or later: vfio-user-pci) plugs a
 * PCI function into its guest over a Unix socket. The client has to share its guest's
 * memory by file descriptors; memory that it doesn't share can't be reached.
 *
 * One client at a time is served; the next may connect when it has gone. The function
 * lives on between them: it stops where it is, and goes on when a client is there that
 * has mapped memory and asks for interrupts, or writes to a BAR. A client whose guest
 * starts anew resets it.
 */
#ifndef VIRTIO_OFFLOAD_VFIO_USER_H
#define VIRTIO_OFFLOAD_VFIO_USER_H

#include <virtio-offload/poll.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_vfio_user;
struct vio_pci;

struct vio_vfio_user_opts {
	size_t sz;
	const char *path;   /* the socket to listen at; or NULL with fd */
	int fd;		    /* used if path is NULL: a connected socket, which is then the transport's */
	bool require_seals; /* as vio_mem_opts */
	bool reserved[3];   /* 0 */
	/* A client that stops in mid-message, or says nothing at first, is dropped after this; 0 means 5000.
	 */
	unsigned timeout_ms;
	unsigned reserved2; /* 0 */
	/* A client came (true) or went; on the transport's thread. */
	void (*connected)(void *ctx, bool yes);
	void *ctx;
};

/*
 * Serves f (vio_nvme_pci_new makes one), which no other transport serves, on its poller p: control
 * messages run there.
 * -EADDRINUSE if another process listens at path (a stale socket is replaced), -EBUSY,
 * -EINVAL, or what socket said.
 */
VIO_API int vio_vfio_user_new(struct vio_vfio_user **t, struct vio_poller *p, struct vio_pci *f,
			      const struct vio_vfio_user_opts *opts);

/*
 * Begins to stop: no new client, the function falls quiet. done runs on p's thread when
 * it is, every reply is out and the socket is gone; free it then.
 */
VIO_API void vio_vfio_user_stop(struct vio_vfio_user *t, void (*done)(void *ctx), void *ctx);

/* Only after stop's done, or if stop was never called and no client is connected. */
VIO_API void vio_vfio_user_free(struct vio_vfio_user *t);

#ifdef __cplusplus
}
#endif
#endif
