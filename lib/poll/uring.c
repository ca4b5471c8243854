/* SPDX-License-Identifier: MIT */
/*
 * The io_uring engine: kick waits, file I/O, timers and interrupts on one ring, one
 * io_uring_enter a pass at most.
 *
 * With SINGLE_ISSUER the ring belongs to the task that enables it, so it is created
 * disabled (a poller may be made in one thread and run in another) and nothing is
 * submitted before the first pass.
 */
#define _GNU_SOURCE
#include "poll/uring.h"
#include "base/barrier.h"

#include <sys/syscall.h>
#include <unistd.h>

/* Which set-ups are tried, the best first: kernel 6.1, 5.19, and what came before. */
static const unsigned uring_setups[] = {
	IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
	IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	0,
};

static int uring_setup(struct vio_poller *p, struct uring *u)
{
	int rc = -EINVAL;

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(uring_setups) && rc == -EINVAL; i++) {
		/* Each I/O has a place among the completions, and the watches as many again. */
		struct io_uring_params params = { .flags = uring_setups[i] | IORING_SETUP_CQSIZE,
						  .cq_entries = VIO_MIN(2 * p->entries + 64, 65536u) };

		rc = io_uring_queue_init_params(p->entries, &u->ring, &params);
	}
	if (rc)
		return vio__fail(-rc, "poller: io_uring is refused: %s", strerror(-rc));
	if (u->ring.features & IORING_FEAT_EXT_ARG)
		return 0;
	io_uring_queue_exit(&u->ring);
	return vio__fail(ENOSYS, "poller: this kernel's io_uring is too old, expected Linux 5.13 or later");
}

static int uring_open(struct vio_poller *p)
{
	struct uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return vio__fail(ENOMEM, "poller: out of memory");
	rc = uring_setup(p, u);
	if (rc) {
		free(u);
		return rc;
	}
	u->news_fd = -1;
	p->state = u;
	return 0;
}

static void uring_start(struct vio_poller *p)
{
	struct uring *u = uring_of(p);

	u->started = true;
	if (u->ring.flags & IORING_SETUP_R_DISABLED)
		syscall(SYS_io_uring_register, u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/* What the ring can't take now (-EBUSY, -EAGAIN) stays in it for the next time. */
static void uring_enter(struct vio_poller *p)
{
	struct uring *u = uring_of(p);

	if (!u->started)
		uring_start(p);
	u->urgent = p->signalled = false;
	p->stats.syscalls++;
	io_uring_submit_and_get_events(&u->ring);
}

struct io_uring_sqe *poll_uring_sqe(struct vio_poller *p)
{
	struct uring *u = uring_of(p);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (VIO_LIKELY(sqe))
		return sqe;
	if (p->running) /* elsewhere it might be the wrong thread */
		uring_enter(p);
	return io_uring_get_sqe(&u->ring);
}

static void uring_prepare(struct vio_poller *p)
{
	struct uring *u = uring_of(p);

	if (u->waiting.head)
		poll_uring_submit_waiting(p);
	if (u->todo)
		poll_uring_watches_flush(p);
}

static void uring_flush(struct vio_poller *p, enum poll_flush how)
{
	struct uring *u = uring_of(p);

	uring_prepare(p);
	if (how == POLL_FLUSH_LAZY && !u->urgent)
		return;
	if (io_uring_sq_ready(&u->ring) || uring_kernel_has_news(u))
		uring_enter(p);
}

static void uring_collect(struct vio_poller *p)
{
	uring_flush(p, POLL_FLUSH_ALL);
}

#ifdef VIO__TSAN
/* ThreadSanitizer holds a signal's handler back until a call that it knows, and the ring's wait is none: wake for it. */
#define URING_LONGEST_SLEEP 1000000000u
#else
#define URING_LONGEST_SLEEP UINT64_MAX
#endif

static int uring_sleep(struct vio_poller *p, uint64_t ns)
{
	struct uring *u = uring_of(p);
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	int rc;

	ns = VIO_MIN(ns, URING_LONGEST_SLEEP);
	ts = (struct __kernel_timespec){ .tv_sec = (long long)(ns / 1000000000u),
					 .tv_nsec = (long long)(ns % 1000000000u) };

	if (!u->started)
		uring_start(p);
	uring_prepare(p);
	u->urgent = p->signalled = false;
	p->stats.syscalls++;
	p->stats.sleeps++;
	rc = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, ns == UINT64_MAX ? NULL : &ts, NULL);
#ifdef VIO__TSAN
	usleep(0); /* a call that it knows, where handlers held back may run */
#endif
	/* Out of memory for the moment, or completions that wait to be seen first. */
	return rc >= 0 || rc == -EAGAIN || rc == -EBUSY ? 0 : rc;
}

static bool uring_calm(const struct vio_poller *p)
{
	const struct uring *u = uring_of(p);

	return !u->inflight && !u->todo && !io_uring_sq_ready(&u->ring);
}

static unsigned uring_dispatch(struct vio_poller *p, uint64_t user_data, int res, unsigned flags)
{
	void *ptr = (void *)(uintptr_t)(user_data & ~(uint64_t)(URING_TAGS - 1));
	struct vio_io *io = ptr;

	switch (user_data % URING_TAGS) {
	case URING_IO:
		uring_of(p)->inflight--;
		io->done(io, res);
		return 1;
	case URING_POLL:
		return poll_uring_polled(p, ptr, res, flags & IORING_CQE_F_MORE);
	case URING_CANCEL:
		poll_uring_cancelled(p, ptr, res);
		return 0;
	default:
		return 0;
	}
}

static unsigned uring_harvest(struct vio_poller *p)
{
	struct io_uring *ring = &uring_of(p)->ring;
	unsigned done = 0;

	/* Only what is there now: what the callbacks start waits for the next pass. */
	for (unsigned n = io_uring_cq_ready(ring); n; n--) {
		struct io_uring_cqe *cqe = &ring->cq.cqes[*ring->cq.khead & ring->cq.ring_mask];
		uint64_t user_data = cqe->user_data;
		unsigned flags = cqe->flags;
		int res = cqe->res;

		io_uring_cq_advance(ring, 1);
		done += uring_dispatch(p, user_data, res, flags);
	}
	return done;
}

static void uring_close(struct vio_poller *p)
{
	struct uring *u = uring_of(p);

	if (u->started)
		io_uring_submit(&u->ring); /* the last signals */
	io_uring_queue_exit(&u->ring);
	poll_uring_expose_end(p);
	free(u);
	p->state = NULL;
}

const struct poll_engine poll_uring = {
	.id = VIO_POLL_IO_URING,
	.open = uring_open,
	.close = uring_close,
	.harvest = uring_harvest,
	.flush = uring_flush,
	.collect = uring_collect,
	.sleep = uring_sleep,
	.calm = uring_calm,
	.expose = poll_uring_expose,
	.quiet = poll_uring_quiet,
	.announce = poll_uring_announce,
	.submit = poll_uring_submit,
	.signal = poll_uring_signal,
	.watch = poll_uring_watch,
	.unwatch = poll_uring_unwatch,
	.buf_set = poll_uring_buf_set,
	.file_set = poll_uring_file_set,
};
