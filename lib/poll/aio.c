/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "poll/aio.h"
#include "base/barrier.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define AIO_BATCH 64
#define AIO_RING_MAGIC 0xa10a10a1u

/* Completions as the kernel maps them into the process; its address is the context's handle. */
struct aio_ring {
	uint32_t id, nr, head, tail;
	uint32_t magic, compat_features, incompat_features, header_length;
	struct io_event events[];
};

_Static_assert(sizeof(struct iocb) <= sizeof(((struct vio_io *)0)->poller_private), "an iocb fits");

struct aio {
	aio_context_t ctx; /* 0: refused */
	unsigned inflight, entries;
	struct poll_ios queued;	  /* for the next flush */
	struct poll_ios finished; /* done on the spot; poller_private[0] is the result */
	struct vio_watch watch;
};

static void aio_ready(struct vio_watch *w, uint32_t events)
{
	(void)w, (void)events; /* harvest looks into the ring anyway */
}

static struct aio_ring *aio_ring(const struct aio *a)
{
	return (struct aio_ring *)(uintptr_t)a->ctx;
}

static void aio_setup(struct aio *a)
{
	struct aio_ring *r;

	if (syscall(SYS_io_setup, a->entries, &a->ctx)) {
		a->ctx = 0;
		return;
	}
	r = aio_ring(a);
	if (r->magic == AIO_RING_MAGIC && !r->incompat_features)
		return;
	syscall(SYS_io_destroy, a->ctx); /* a ring of an unknown form */
	a->ctx = 0;
}

int poll_aio_open(struct vio_poller *p, struct aio **out)
{
	struct aio *a = calloc(1, sizeof(*a));
	int rc;

	if (!a)
		return vio__fail(ENOMEM, "poller: out of memory");
	*out = a;
	a->entries = p->entries;
	a->watch = (struct vio_watch){ .ready = aio_ready, .events = EPOLLIN | EPOLLET };
	a->watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (a->watch.fd < 0)
		return vio__fail(errno, "poller: no eventfd: %s", strerror(errno));
	rc = poll_watch_internal(p, &a->watch);
	if (!rc)
		aio_setup(a);
	return rc;
}

void poll_aio_close(struct aio *a)
{
	if (!a)
		return;
	if (a->ctx)
		syscall(SYS_io_destroy, a->ctx);
	if (a->watch.fd >= 0)
		close(a->watch.fd);
	free(a);
}

void poll_aio_submit(struct aio *a, struct vio_io *io)
{
	poll_ios_push(&a->queued, io);
}

static void aio_finish(struct aio *a, struct vio_io *io, ssize_t res)
{
	io->poller_private[0] = (uint64_t)(res < 0 ? -errno : res);
	poll_ios_push(&a->finished, io);
}

/* What AIO can't do, or can't do now. */
static void aio_on_the_spot(struct aio *a, struct vio_io *io)
{
	int flags = io->dsync ? RWF_DSYNC : 0;

	switch (io->op) {
	case VIO_IO_READ:
		aio_finish(a, io, preadv(io->fd, io->iov, io->niov, (off_t)io->offset));
		break;
	case VIO_IO_WRITE:
		aio_finish(a, io, pwritev2(io->fd, io->iov, io->niov, (off_t)io->offset, flags));
		break;
	case VIO_IO_FSYNC:
		aio_finish(a, io, fdatasync(io->fd));
		break;
	default:
		aio_finish(a, io, fallocate(io->fd, io->mode, (off_t)io->offset, (off_t)io->len));
	}
}

static struct iocb *aio_prep(const struct aio *a, struct vio_io *io)
{
	static const uint16_t ops[] = {
		[VIO_IO_READ] = IOCB_CMD_PREADV,
		[VIO_IO_WRITE] = IOCB_CMD_PWRITEV,
		[VIO_IO_FSYNC] = IOCB_CMD_FDSYNC,
	};
	struct iocb *cb = (struct iocb *)io->poller_private;

	*cb = (struct iocb){
		.aio_data = (uintptr_t)io,
		.aio_lio_opcode = ops[io->op],
		.aio_fildes = (uint32_t)io->fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)a->watch.fd,
	};
	if (io->op == VIO_IO_FSYNC)
		return cb;
	cb->aio_buf = (uintptr_t)io->iov;
	cb->aio_nbytes = io->niov;
	cb->aio_offset = (int64_t)io->offset;
	cb->aio_rw_flags = io->op == VIO_IO_WRITE && io->dsync ? RWF_DSYNC : 0;
	return cb;
}

/* The next ones that AIO takes, without removing them from the queue; does the others on the way. */
static unsigned aio_batch(struct aio *a, struct iocb **cbs)
{
	unsigned n = 0, room = a->ctx ? VIO_MIN(a->entries - a->inflight, (unsigned)AIO_BATCH) : 0;
	struct vio_io *io;

	while ((io = a->queued.head) && (!a->ctx || io->op == VIO_IO_FALLOCATE))
		aio_on_the_spot(a, poll_ios_pop(&a->queued));
	for (; n < room && io && io->op != VIO_IO_FALLOCATE; io = io->next)
		cbs[n++] = aio_prep(a, io);
	return n;
}

/* The first of the queue was refused: now (-EAGAIN: when some have completed), or for good. */
static bool aio_refused(struct aio *a, int err)
{
	struct vio_io *io;

	if (err == EAGAIN && a->inflight)
		return false;
	if (err == EINTR)
		return true;
	io = poll_ios_pop(&a->queued);
	if (err == EAGAIN || io->op == VIO_IO_FSYNC) {
		aio_on_the_spot(a, io);
	} else {
		errno = err;
		aio_finish(a, io, -1);
	}
	return true;
}

void poll_aio_flush(struct vio_poller *p, struct aio *a)
{
	struct iocb *cbs[AIO_BATCH];
	bool more = true;
	unsigned n;

	while (more && (n = aio_batch(a, cbs))) {
		long took = syscall(SYS_io_submit, a->ctx, n, cbs);

		p->stats.syscalls++;
		for (long i = 0; i < took; i++)
			poll_ios_pop(&a->queued);
		a->inflight += took > 0 ? (unsigned)took : 0;
		if (took <= 0)
			more = aio_refused(a, took ? errno : EAGAIN);
	}
}

bool poll_aio_ready(const struct aio *a)
{
	if (a->finished.head)
		return true;
	return a->inflight && VIO_LOAD(&aio_ring(a)->head) != VIO_LOAD(&aio_ring(a)->tail);
}

static unsigned aio_harvest_finished(struct aio *a)
{
	struct poll_ios list = a->finished;
	struct vio_io *io;
	unsigned done = 0;

	a->finished.head = NULL;
	for (; (io = poll_ios_pop(&list)); done++)
		io->done(io, (int)io->poller_private[0]);
	return done;
}

unsigned poll_aio_harvest(struct aio *a)
{
	unsigned done = a->finished.head ? aio_harvest_finished(a) : 0;
	struct aio_ring *r = aio_ring(a);
	uint32_t head, tail;

	if (!a->inflight)
		return done;
	head = r->head;
	tail = VIO_LOAD_ACQUIRE(&r->tail);
	for (; head != tail; done++) {
		struct io_event ev = r->events[head];
		struct vio_io *io = (struct vio_io *)(uintptr_t)ev.data;

		head = head + 1 == r->nr ? 0 : head + 1;
		VIO_STORE_RELEASE(&r->head, head);
		a->inflight--;
		io->done(io, (int)ev.res);
	}
	return done;
}
