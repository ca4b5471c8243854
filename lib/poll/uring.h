/* SPDX-License-Identifier: MIT */
/* The io_uring engine's own state, shared by its two files. */
#ifndef VIO_POLL_URING_H
#define VIO_POLL_URING_H

#include "poll/poll.h"
#include "base/barrier.h"

#include <liburing.h>

/* What a completion's user_data points to, in its low bits. */
enum uring_tag {
	URING_IO,      /* struct vio_io */
	URING_POLL,    /* struct poll_slot: its poll */
	URING_CANCEL,  /* struct poll_slot: the cancellation of it */
	URING_NOTHING, /* a signal: nobody waits for it */
	URING_TAGS,
};

struct uring {
	struct io_uring ring;
	bool started;		 /* enabled, by the thread that it belongs to from then on */
	bool urgent;		 /* more than signals is unsubmitted */
	unsigned inflight;	 /* I/Os, never more than p->entries */
	struct poll_ios waiting; /* for room */
	struct poll_slot *todo;	 /* to arm or to cancel */
	bool bufs, files;	 /* the sparse tables exist */
	int news_fd;		 /* for a foreign loop: written when there is something to harvest; or -1 */
};

VIO_INLINE struct uring *uring_of(const struct vio_poller *p)
{
	return p->state;
}

VIO_INLINE void uring_tag(struct io_uring_sqe *sqe, void *ptr, enum uring_tag tag)
{
	sqe->user_data = (uintptr_t)ptr | tag;
}

/* An empty submission, or NULL: the ring is full even after what it held was submitted. */
struct io_uring_sqe *poll_uring_sqe(struct vio_poller *p);

/* Work that the kernel has put off until it is entered. */
VIO_INLINE bool uring_kernel_has_news(const struct uring *u)
{
	return VIO_LOAD(u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* uring_foreign.c */
int poll_uring_expose(struct vio_poller *p);
void poll_uring_expose_end(struct vio_poller *p);
void poll_uring_quiet(struct vio_poller *p);
void poll_uring_announce(struct vio_poller *p, bool work);
/* A watch comes or goes while a foreign loop waits. */
int poll_uring_foreign_watch(struct vio_poller *p, struct poll_slot *slot);
void poll_uring_foreign_unwatch(struct vio_poller *p, struct poll_slot *slot);

/* uring_io.c */
void poll_uring_submit(struct vio_poller *p, struct vio_io *io);
void poll_uring_submit_waiting(struct vio_poller *p);
bool poll_uring_signal(struct vio_poller *p, int eventfd);
int poll_uring_buf_set(struct vio_poller *p, unsigned index, void *ptr, size_t len);
int poll_uring_file_set(struct vio_poller *p, unsigned index, int fd);

/* uring_watch.c */
int poll_uring_watch(struct vio_poller *p, struct poll_slot *slot);
void poll_uring_unwatch(struct vio_poller *p, struct poll_slot *slot);
void poll_uring_watches_flush(struct vio_poller *p);
unsigned poll_uring_polled(struct vio_poller *p, struct poll_slot *slot, int res, bool more);
void poll_uring_cancelled(struct vio_poller *p, struct poll_slot *slot, int res);

#endif
