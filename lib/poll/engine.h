/* SPDX-License-Identifier: MIT */
/*
 * What a poller asks of the kernel, in two forms: io_uring, or epoll with Linux
 * AIO. An engine moves events; what they mean is the poller's business.
 */
#ifndef VIO_POLL_ENGINE_H
#define VIO_POLL_ENGINE_H

#include "base/base.h"

#include <virtio-offload/impl/poll.h>

struct poll_slot;

/* How much of what waits must leave in a flush. */
enum poll_flush {
	POLL_FLUSH_LAZY, /* only if there is more than signals: a sleep follows soon and takes those along */
	POLL_FLUSH_ALL,
};

struct poll_engine {
	enum vio_poll_engine id;
	/* Sets p->state; the poller's own fds exist already. -errno with a sentence. */
	int (*open)(struct vio_poller *p);
	void (*close)(struct vio_poller *p);

	/* Delivers what the kernel has announced so far, without a system call: `done`s and
	 * `ready`s run in here. Returns how many did. */
	unsigned (*harvest)(struct vio_poller *p);
	/* Hands over what was queued. */
	void (*flush)(struct vio_poller *p, enum poll_flush how);
	/* Asks the kernel for news, so that the next harvest finds them. */
	void (*collect)(struct vio_poller *p);
	/* flush, then sleep until there is something to harvest or `ns` have passed (UINT64_MAX:
	 * no limit). 0, -ETIME, -EINTR, or another -errno when the engine is broken. */
	int (*sleep)(struct vio_poller *p, uint64_t ns);
	/* A foreign loop is going to wait for p->epfd. From then on quiet and announce enclose each
	 * run: news need not make it readable in between, and must afterwards; at once if there is
	 * some, or if work is left. */
	int (*expose)(struct vio_poller *p);
	void (*quiet)(struct vio_poller *p);
	void (*announce)(struct vio_poller *p, bool work);

	/* Nothing waits to be submitted or to complete, and a pass costs no system call. NULL: never. */
	bool (*calm)(const struct vio_poller *p);

	void (*submit)(struct vio_poller *p, struct vio_io *io);
	/* False: cannot now, write it yourself. */
	bool (*signal)(struct vio_poller *p, int eventfd);
	/* watch: slot->watch is new. unwatch: slot->watch has become NULL; the engine puts the
	 * slot back when no event can name it any more. */
	int (*watch)(struct vio_poller *p, struct poll_slot *slot);
	void (*unwatch)(struct vio_poller *p, struct poll_slot *slot);

	/* NULL where the engine registers nothing. -errno without a sentence. */
	int (*buf_set)(struct vio_poller *p, unsigned index, void *ptr, size_t len);
	int (*file_set)(struct vio_poller *p, unsigned index, int fd);
};

extern const struct poll_engine poll_uring, poll_epoll;

#endif
