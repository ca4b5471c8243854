/* SPDX-License-Identifier: MIT */
/*
 * Timers in a pairing heap, which lives in the timers themselves: nothing is
 * allocated, set is O(1), cancel and fire O(log n) amortised. The timerfd is set only
 * for those who wait for an fd; io_uring's own sleep takes a time-out.
 */
#include "poll/poll.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#define TIMER_NS 1000000000ull

static inline struct vio_timer *timer_child(const struct vio_timer *t)
{
	return t->poller_private[0];
}

static inline struct vio_timer *timer_sibling(const struct vio_timer *t)
{
	return t->poller_private[1];
}

/* The sibling before t, or its parent if t is the first child. */
static inline struct vio_timer *timer_prev(const struct vio_timer *t)
{
	return t->poller_private[2];
}

static void timer_link(struct vio_timer *t, struct vio_timer *sibling, struct vio_timer *prev)
{
	t->poller_private[1] = sibling;
	t->poller_private[2] = prev;
	if (sibling)
		sibling->poller_private[2] = t;
}

static struct vio_timer *timer_meld(struct vio_timer *a, struct vio_timer *b)
{
	struct vio_timer *top = b->at < a->at ? b : a, *sub = top == a ? b : a;

	timer_link(sub, timer_child(top), top);
	top->poller_private[0] = sub;
	timer_link(top, NULL, NULL);
	return top;
}

/* Makes one heap of a list of siblings: in pairs from left to right, then from right to left. */
static struct vio_timer *timer_merge(struct vio_timer *first)
{
	struct vio_timer *pairs = NULL, *root = NULL, *rest;

	while (first) {
		struct vio_timer *a = first, *b = timer_sibling(a);

		rest = b ? timer_sibling(b) : NULL;
		timer_link(a, NULL, NULL);
		if (b) {
			timer_link(b, NULL, NULL);
			a = timer_meld(a, b);
		}
		a->poller_private[1] = pairs;
		pairs = a;
		first = rest;
	}
	for (; pairs; pairs = rest) {
		rest = timer_sibling(pairs);
		timer_link(pairs, NULL, NULL);
		root = root ? timer_meld(pairs, root) : pairs;
	}
	return root;
}

static void timer_unlink(struct vio_timer *t)
{
	struct vio_timer *prev = timer_prev(t), *next = timer_sibling(t);

	if (timer_child(prev) == t)
		prev->poller_private[0] = next;
	else
		prev->poller_private[1] = next;
	if (next)
		next->poller_private[2] = prev;
}

void vio_timer_cancel(struct vio_poller *p, struct vio_timer *t)
{
	struct vio_timer *sub;

	if (p->timers != t && !timer_prev(t))
		return; /* not set */
	if (p->timers != t)
		timer_unlink(t);
	sub = timer_merge(timer_child(t));
	if (p->timers == t)
		p->timers = sub;
	else if (sub)
		p->timers = timer_meld(p->timers, sub);
	memset(t->poller_private, 0, sizeof(t->poller_private));
}

void vio_timer_set(struct vio_poller *p, struct vio_timer *t, uint64_t ns)
{
	vio_timer_cancel(p, t);
	/* Never due in this very pass, or a timer that sets itself again would hold it up. */
	if (!vio__add(vio_poller_now(p), VIO_MAX(ns, 1ull), &t->at))
		t->at = UINT64_MAX;
	p->timers = p->timers ? timer_meld(p->timers, t) : t;
	poll_outside(p);
}

uint64_t vio_poller_now(struct vio_poller *p)
{
	struct timespec ts;
	uint64_t now = p->now;

	if (!now) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		now = (uint64_t)ts.tv_sec * TIMER_NS + (uint64_t)ts.tv_nsec;
		if (p->running)
			p->now = now;
	}
	return now;
}

unsigned poll_timer_fire(struct vio_poller *p)
{
	struct vio_timer *t;
	unsigned done = 0;

	while ((t = p->timers) && t->at <= vio_poller_now(p)) {
		vio_timer_cancel(p, t);
		poll_signals_leave(p);
		t->fire(t);
		done++;
	}
	return done;
}

uint64_t poll_timer_next(const struct vio_poller *p)
{
	return p->timers ? p->timers->at : UINT64_MAX;
}

void poll_timer_arm(struct vio_poller *p)
{
	uint64_t at = p->timers ? p->timers->at : UINT64_MAX;
	struct itimerspec its = { .it_value = { .tv_sec = (time_t)VIO_MIN(at / TIMER_NS, (uint64_t)INT32_MAX),
						.tv_nsec = (long)(at % TIMER_NS) } };

	if (p->timer_armed && p->timer_armed <= vio_poller_now(p))
		p->timer_armed = 0; /* it has fired; its edge is no concern any more */
	/* One set too early is let be: a wake-up for nothing is cheaper than a call for each time-out put
	 * off. */
	if (at == UINT64_MAX || (p->timer_armed && p->timer_armed <= at))
		return;
	p->timer_armed = at;
	p->stats.syscalls++;
	timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void timer_ready(struct vio_watch *w, uint32_t events)
{
	(void)w, (void)events; /* the heap and the clock say which */
}

int poll_timer_open(struct vio_poller *p)
{
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->timer_fd < 0)
		return vio__fail(errno, "poller: no timerfd: %s", strerror(errno));
	p->timer_watch =
		(struct vio_watch){ .ready = timer_ready, .fd = p->timer_fd, .events = EPOLLIN | EPOLLET };
	return 0;
}
