/* SPDX-License-Identifier: MIT */
/* The eventfds between a ring's two ends, as the driving end has them. */
#ifndef VIO_BACKEND_VHOST_USER_BELLS_H
#define VIO_BACKEND_VHOST_USER_BELLS_H

#include "base/base.h"

#include <virtio-offload/impl/poll.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct vhost_bells {
	int kick, call, err;		  /* -1: not open */
	struct vio_watch called, stopped; /* of call, and of err: the server stopped the ring */
};

typedef void vhost_bell_fn(struct vio_watch *w, uint32_t events);

static inline int vhost_bells_open(struct vhost_bells *b, const char *who)
{
	b->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	b->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	b->err = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (b->kick < 0 || b->call < 0 || b->err < 0)
		return vio__fail(errno, "%s: eventfd: %s", who, strerror(errno));
	return 0;
}

static inline void vhost_bells_close(struct vhost_bells *b)
{
	const int fds[] = { b->kick, b->call, b->err };

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static inline int vhost_bells_watch(struct vhost_bells *b, struct vio_poller *p, vhost_bell_fn *called,
				    vhost_bell_fn *stopped)
{
	int rc;

	b->called = (struct vio_watch){ .ready = called, .fd = b->call, .events = EPOLLIN | EPOLLET };
	b->stopped = (struct vio_watch){ .ready = stopped, .fd = b->err, .events = EPOLLIN | EPOLLET };
	rc = vio_watch_add(p, &b->called);
	if (rc)
		return rc;
	rc = vio_watch_add(p, &b->stopped);
	if (rc)
		vio_watch_del(p, &b->called);
	return rc;
}

static inline void vhost_bells_unwatch(struct vhost_bells *b, struct vio_poller *p)
{
	vio_watch_del(p, &b->called);
	vio_watch_del(p, &b->stopped);
}

#endif
