/* SPDX-License-Identifier: MIT */
/* The engine for kernels and containers that refuse io_uring: epoll, and Linux AIO for files. */
#include "poll/aio.h"

#include <limits.h>
#include <sys/epoll.h>

#define EPOLL_BATCH 64

struct epoll {
	struct aio *aio;
	struct poll_slot *deleted; /* still named by events in `ev` */
	unsigned n;		   /* events collected and not delivered yet */
	struct epoll_event ev[EPOLL_BATCH];
};

static struct epoll *epoll_of(const struct vio_poller *p)
{
	return p->state;
}

static void epoll_close(struct vio_poller *p)
{
	struct epoll *e = epoll_of(p);

	poll_aio_close(e->aio);
	free(e);
	p->state = NULL;
}

static int epoll_open(struct vio_poller *p)
{
	p->state = calloc(1, sizeof(struct epoll));
	if (!p->state)
		return vio__fail(ENOMEM, "poller: out of memory");
	return poll_aio_open(p, &epoll_of(p)->aio);
}

static int epoll_watch(struct vio_poller *p, struct poll_slot *slot)
{
	struct epoll_event ev = { .events = slot->events, .data.ptr = slot };

	return epoll_ctl(p->epfd, EPOLL_CTL_ADD, slot->fd, &ev) ? -errno : 0;
}

static void epoll_unwatch(struct vio_poller *p, struct poll_slot *slot)
{
	struct epoll *e = epoll_of(p);

	epoll_ctl(p->epfd, EPOLL_CTL_DEL, slot->fd, NULL);
	if (!e->n) {
		poll_slot_put(p, slot);
		return;
	}
	slot->next = e->deleted;
	e->deleted = slot;
}

static int epoll_ask(struct vio_poller *p, int ms)
{
	struct epoll *e = epoll_of(p);
	int n;

	if (e->n)
		return 0; /* those first */
	p->stats.syscalls++;
	n = epoll_wait(p->epfd, e->ev, EPOLL_BATCH, ms);
	if (n < 0)
		return -errno;
	e->n = (unsigned)n;
	return n ? 0 : -ETIME;
}

static unsigned epoll_deliver(struct vio_poller *p, struct epoll *e)
{
	struct poll_slot *slot;
	unsigned done = 0;

	for (unsigned i = 0; i < e->n; i++)
		done += poll_slot_ready(p, e->ev[i].data.ptr, e->ev[i].events);
	e->n = 0;
	while ((slot = e->deleted)) {
		e->deleted = slot->next;
		poll_slot_put(p, slot);
	}
	return done;
}

static unsigned epoll_harvest(struct vio_poller *p)
{
	struct epoll *e = epoll_of(p);
	unsigned done = poll_aio_harvest(e->aio);

	return e->n ? done + epoll_deliver(p, e) : done;
}

static void epoll_flush(struct vio_poller *p, enum poll_flush how)
{
	(void)how;
	poll_aio_flush(p, epoll_of(p)->aio);
}

static void epoll_collect(struct vio_poller *p)
{
	poll_aio_flush(p, epoll_of(p)->aio);
	epoll_ask(p, 0);
}

static int epoll_ms(uint64_t ns)
{
	uint64_t ms = ns / 1000000 + !!(ns % 1000000);

	return ns == UINT64_MAX ? -1 : (int)VIO_MIN(ms, (uint64_t)INT_MAX);
}

static int epoll_sleep(struct vio_poller *p, uint64_t ns)
{
	struct epoll *e = epoll_of(p);

	poll_aio_flush(p, e->aio);
	poll_timer_arm(p); /* finer than epoll_wait's milliseconds */
	p->stats.sleeps++;
	return epoll_ask(p, poll_aio_ready(e->aio) ? 0 : epoll_ms(ns));
}

static int epoll_expose(struct vio_poller *p)
{
	(void)p; /* it is the engine's own fd */
	return 0;
}

static void epoll_quiet(struct vio_poller *p)
{
	(void)p; /* the run's own epoll_wait takes the edges */
}

static void epoll_announce(struct vio_poller *p, bool work)
{
	if (work || poll_aio_ready(epoll_of(p)->aio)) /* what was done on the spot makes no fd readable */
		poll_bell_ring(p, BELL_POKE);
}

static void epoll_submit(struct vio_poller *p, struct vio_io *io)
{
	p->stats.ios++;
	poll_aio_submit(epoll_of(p)->aio, io);
}

const struct poll_engine poll_epoll = {
	.id = VIO_POLL_EPOLL,
	.open = epoll_open,
	.close = epoll_close,
	.harvest = epoll_harvest,
	.flush = epoll_flush,
	.collect = epoll_collect,
	.sleep = epoll_sleep,
	.expose = epoll_expose,
	.quiet = epoll_quiet,
	.announce = epoll_announce,
	.submit = epoll_submit,
	.watch = epoll_watch,
	.unwatch = epoll_unwatch,
};
