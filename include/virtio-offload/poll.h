/* SPDX-License-Identifier: MIT */
/*
 * The poller: one loop a thread. Everything that waits (kicks, file I/O, sockets,
 * timers) waits here, on one io_uring, or on epoll and Linux AIO where io_uring
 * is refused.
 *
 * A poller belongs to the thread that first runs it. Only vio_poller_wake may be
 * called from other threads. The library starts no thread: the caller runs the
 * poller, either all by itself
 *
 *     while (!stop)
 *             vio_poller_wait(p, -1);
 *
 * or inside a loop of its own, which waits until vio_poller_fd is readable:
 *
 *     while (vio_poller_run(p, 64) > 0)
 *             ;
 *     poll(&(struct pollfd){ .fd = vio_poller_fd(p), .events = POLLIN }, 1, -1);
 */
#ifndef VIRTIO_OFFLOAD_POLL_H
#define VIRTIO_OFFLOAD_POLL_H

#include <virtio-offload/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_poller;

enum vio_poll_mode {
	VIO_POLL_EVENT,		/* sleep as soon as there is nothing to do */
	VIO_POLL_BUSY,		/* never sleep, never ask a guest for a kick: one core, best latency */
	VIO_POLL_ADAPTIVE,	/* wait spins for spin_ns after the last work, then as EVENT; run does not spin */
};

enum vio_poll_engine {
	VIO_POLL_AUTO,		/* io_uring, or epoll where the kernel refuses it */
	VIO_POLL_IO_URING,
	VIO_POLL_EPOLL,
};

struct vio_poller_opts {
	size_t sz;
	enum vio_poll_mode mode;
	enum vio_poll_engine engine;
	unsigned entries;	/* I/Os that can be under way at once: 1..32768, 0 means 1024 */
	uint64_t spin_ns;	/* ADAPTIVE: 0 means 50,000 */
	/* What objects on this poller have to say; NULL: nothing is said. Runs on the poller's thread. */
	void (*log)(void *ctx, enum vio_log_level level, const char *sentence);
	void *log_ctx;
};

/* -ENOSYS or -EPERM when the engine asked for is refused by the kernel, -EINVAL for a bad option. */
VIO_API int vio_poller_new(struct vio_poller **p, const struct vio_poller_opts *opts);

/* All devices, lanes and transports on it must have been freed, and no other thread may still be inside
 * vio_poller_wake or vio_poller_post: that its call has had its effect does not mean that it has returned. */
VIO_API void vio_poller_free(struct vio_poller *p);

/* The engine in use, never AUTO. */
VIO_API enum vio_poll_engine vio_poller_engine(const struct vio_poller *p);

/* Readable when run has work to do, at first too. For a foreign loop; belongs to the poller. First asked for
 * by the thread that runs the poller, or before it runs. -errno. */
VIO_API int vio_poller_fd(const struct vio_poller *p);

/*
 * One pass without sleeping: at most about `budget` requests a queue (0 means 32).
 * Returns how much was done; after 0 every guest has been asked for kicks and the
 * fd may be waited for. In BUSY mode 0 promises nothing: run again.
 */
VIO_API int vio_poller_run(struct vio_poller *p, unsigned budget);

/*
 * Runs until something was done or `ms` milliseconds have passed (-1: no limit);
 * sleeps as the mode allows. Returns how much was done, 0 at the time-out or after
 * vio_poller_wake, or -errno. A signal ends the sleep with 0. In EVENT mode what it
 * leaves of interrupts is sent by the next call, with its sleep; so call it in a loop.
 */
VIO_API int vio_poller_wait(struct vio_poller *p, int ms);

/* Ends a wait that is under way, or the next one. Any thread; a signal handler too. */
VIO_API void vio_poller_wake(struct vio_poller *p);

/* What the poller did so far. */
struct vio_poller_stats {
	size_t sz;
	uint64_t passes;	/* of the loop */
	uint64_t sleeps;	/* times it gave up the core */
	uint64_t syscalls;	/* io_uring_enter, epoll_wait, io_submit, eventfd writes */
	uint64_t ios;		/* I/Os submitted */
};
VIO_API void vio_poller_stats(const struct vio_poller *p, struct vio_poller_stats *out);

#ifdef __cplusplus
}
#endif
#endif
