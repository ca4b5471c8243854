/* SPDX-License-Identifier: MIT */
/*
 * For those who write a backend, a filter or a transport: what can wait on a
 * poller. Every struct here is embedded in the writer's own, belongs to the
 * poller between add and del, and is used on the poller's thread only
 * (vio_poller_post excepted). None of these calls allocates after its object was
 * first added.
 */
#ifndef VIRTIO_OFFLOAD_IMPL_POLL_H
#define VIRTIO_OFFLOAD_IMPL_POLL_H

#include <virtio-offload/poll.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Work that is done in passes: a device's queue. A task is active (run in every
 * pass) or asleep. It falls asleep by itself when run found nothing to do and arm
 * confirmed it; in BUSY mode it never does.
 */
struct vio_task {
	/* One batch; returns the work done. */
	unsigned (*run)(struct vio_task *t, unsigned budget);
	/*
	 * on: ask the peer for a kick, then look again; true: there is work, stay
	 * awake. off: no kicks needed, the task is being run anyway; result unused.
	 */
	bool (*arm)(struct vio_task *t, bool on);
	void *poller_private[4];
	uint64_t poller_state;
};
VIO_API void vio_task_add(struct vio_poller *p, struct vio_task *t);	/* active at first */
VIO_API void vio_task_del(struct vio_poller *p, struct vio_task *t);
VIO_API void vio_task_wake(struct vio_poller *p, struct vio_task *t);	/* no-op when active */

/* An fd that may become ready. EPOLLET in `events`: told of each edge (an eventfd
 * watched so need never be read); otherwise told as long as it is ready. */
struct vio_watch {
	void (*ready)(struct vio_watch *w, uint32_t events);	/* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */
	int fd;
	uint32_t events;	/* EPOLLIN | EPOLLOUT | EPOLLET */
	void *poller_private[2];
};
/* -errno when the fd can't be watched. */
VIO_API int vio_watch_add(struct vio_poller *p, struct vio_watch *w);
/* After del, ready is not called again and w may be freed; fd may be closed. */
VIO_API void vio_watch_del(struct vio_poller *p, struct vio_watch *w);

/* A point in time. */
struct vio_timer {
	void (*fire)(struct vio_timer *t);
	uint64_t at;		/* CLOCK_MONOTONIC nanoseconds; set by vio_timer_set */
	void *poller_private[3];
};
/* Fires once, `ns` from now; replaces an earlier setting. t must be zeroed before its first use. */
VIO_API void vio_timer_set(struct vio_poller *p, struct vio_timer *t, uint64_t ns);
VIO_API void vio_timer_cancel(struct vio_poller *p, struct vio_timer *t);
/* CLOCK_MONOTONIC, read at most once a pass. */
VIO_API uint64_t vio_poller_now(struct vio_poller *p);

/* A call to be made on the poller's thread. */
struct vio_msg {
	void (*fn)(struct vio_msg *m);
	struct vio_msg *next;
};
/* Any thread. m is the poller's until fn runs. */
VIO_API void vio_poller_post(struct vio_poller *p, struct vio_msg *m);

enum vio_io_op {
	VIO_IO_READ,		/* preadv */
	VIO_IO_WRITE,		/* pwritev */
	VIO_IO_FSYNC,		/* fdatasync */
	VIO_IO_FALLOCATE,	/* mode, offset, len */
};

/* One file I/O. Its iov must live until done; done runs on the poller's thread, in
 * a later call or inside vio_io_flush, never inside vio_io_submit. */
struct vio_io {
	void (*done)(struct vio_io *io, int res);	/* bytes, or -errno */
	uint8_t op;		/* enum vio_io_op */
	uint8_t dsync;		/* WRITE: RWF_DSYNC */
	uint16_t niov;
	int buf;		/* a vio_poller_buf_add index that holds all of iov[0] (niov 1), or -1 */
	int fd;
	int file;		/* the vio_poller_file_add index of fd, or -1 */
	int mode;		/* FALLOCATE: FALLOC_FL_* */
	const struct iovec *iov;
	uint64_t offset;
	uint64_t len;		/* FALLOCATE */
	struct vio_io *next;	/* the poller's, until done */
	uint64_t poller_private[8];	/* an engine's own control block */
};
/* Queues it; handed to the kernel by the end of the pass. Never fails: trouble comes as res. */
VIO_API void vio_io_submit(struct vio_poller *p, struct vio_io *io);

/*
 * An eventfd's 8-byte write, with the pass's other submissions in EVENT mode, at
 * once otherwise. The eventfd should be O_NONBLOCK: a full one then costs nothing
 * and loses nothing, for its reader has not come yet. It names eventfd by number and
 * has left when a watch, timer or post is told next, and when a task was deleted.
 */
VIO_API void vio_poller_signal(struct vio_poller *p, int eventfd);

/* Closes an fd that was signalled: whatever is on its way leaves first, so that no
 * later file of the same number receives it. */
VIO_API void vio_poller_close(struct vio_poller *p, int eventfd);

/* Registered buffers (up to 1 GiB each, pinned) and files; an index, or -errno where
 * the engine has none or limits (RLIMIT_MEMLOCK) forbid. Then use -1: it works, slower. */
VIO_API int vio_poller_buf_add(struct vio_poller *p, void *ptr, size_t len);
VIO_API void vio_poller_buf_del(struct vio_poller *p, int index);
VIO_API int vio_poller_file_add(struct vio_poller *p, int fd);
VIO_API void vio_poller_file_del(struct vio_poller *p, int index);

/* Says one sentence through the poller's log hook; cheap when there is none. */
VIO_API void vio_poller_log(struct vio_poller *p, enum vio_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

VIO_API enum vio_poll_mode vio_poller_mode(const struct vio_poller *p);

#ifdef __cplusplus
}
#endif
#endif
