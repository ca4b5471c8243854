/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user transport, serving end: a front end (QEMU, Cloud Hypervisor, our
 * own vhost-user backend) plugs a guest into a device over a Unix socket.
 *
 * One front end at a time is served; the next may connect when it has gone. The
 * device lives on between them, so a guest finds its disk again after its VMM
 * restarted. A server that was killed continues from the inflight region.
 */
#ifndef VIRTIO_OFFLOAD_VHOST_USER_H
#define VIRTIO_OFFLOAD_VHOST_USER_H

#include <virtio-offload/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_vhost_user;

struct vio_vhost_user_opts {
	size_t sz;
	const char *path;	/* the socket; or NULL with fd */
	int fd;			/* used if path is NULL: a connected socket, which is then the transport's */
	bool client;		/* connect to path instead of listening there; retried every retry_ms */
	unsigned retry_ms;	/* 0 means 1000 */
	bool require_seals;	/* as vio_mem_opts */
	unsigned timeout_ms;	/* a peer that stops in mid-message is dropped after this; 0 means 5000 */
	/* Queue i runs on pollers[i % npollers]; 0: all on the transport's own. */
	struct vio_poller **pollers;
	unsigned npollers;
	/* A front end came (true) or went; on the transport's thread. */
	void (*connected)(void *ctx, bool yes);
	void *ctx;
};

/*
 * Serves d on poller p (control messages run there). -EADDRINUSE if another
 * process listens at path (a stale socket is replaced), -EINVAL, or what socket said.
 */
VIO_API int vio_vhost_user_new(struct vio_vhost_user **t, struct vio_poller *p, struct vio_dev *d,
			       const struct vio_vhost_user_opts *opts);

/*
 * Begins to stop: no new front end, queues drain. done runs on p's thread when the
 * last queue has stopped, every reply is out and the socket is gone; free it then.
 */
VIO_API void vio_vhost_user_stop(struct vio_vhost_user *t, void (*done)(void *ctx), void *ctx);

/* Only after stop's done, or if stop was never called and no front end is connected. */
VIO_API void vio_vhost_user_free(struct vio_vhost_user *t);

#ifdef __cplusplus
}
#endif
#endif
