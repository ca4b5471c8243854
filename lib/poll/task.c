/* SPDX-License-Identifier: MIT */
/*
 * Tasks: the active ones are a list that every pass walks; one that sleeps is on no
 * list and costs nothing. Any task may be deleted or woken in the midst of a walk.
 */
#include "poll/poll.h"

enum {
	TASK_ADDED = 1,
	TASK_ACTIVE = 2,
	TASK_ARMED = 4,	   /* its peer kicks: say arm(false) before it runs */
	TASK_WOKEN = 8,	   /* since it last ran, so it must run before it may sleep */
	TASK_IDLE = 0x100, /* one pass without work, counted in the bits from here up */
};
#define TASK_FLAGS ((uint64_t)TASK_IDLE - 1)

static inline struct vio_task *task_next(const struct vio_task *t)
{
	return t->poller_private[0];
}

static inline struct vio_task *task_prev(const struct vio_task *t)
{
	return t->poller_private[1];
}

static void task_activate(struct vio_poller *p, struct vio_task *t)
{
	t->poller_state |= TASK_ACTIVE;
	t->poller_private[0] = NULL;
	t->poller_private[1] = p->tasks_last;
	if (p->tasks_last)
		p->tasks_last->poller_private[0] = t;
	else
		p->tasks = t;
	p->tasks_last = t;
	if (p->task_now && !p->task_next)
		p->task_next = t; /* the walk was at its end: it goes on to this one */
}

static void task_deactivate(struct vio_poller *p, struct vio_task *t)
{
	struct vio_task *next = task_next(t), *prev = task_prev(t);

	if (next)
		next->poller_private[1] = prev;
	else
		p->tasks_last = prev;
	if (prev)
		prev->poller_private[0] = next;
	else
		p->tasks = next;
	if (p->task_next == t)
		p->task_next = next;
	t->poller_state &= TASK_FLAGS & ~(uint64_t)TASK_ACTIVE;
}

void vio_task_add(struct vio_poller *p, struct vio_task *t)
{
	t->poller_state = TASK_ADDED | TASK_ARMED;
	task_activate(p, t);
	poll_outside(p);
}

void vio_task_del(struct vio_poller *p, struct vio_task *t)
{
	if (t->poller_state & TASK_ACTIVE)
		task_deactivate(p, t);
	t->poller_state = 0;
	if (p->task_now == t)
		p->task_now = NULL;
	poll_signals_leave(p); /* its own, before its eventfd is closed */
}

void vio_task_wake(struct vio_poller *p, struct vio_task *t)
{
	if (!(t->poller_state & TASK_ADDED))
		return;
	t->poller_state |= TASK_WOKEN;
	if (t->poller_state & TASK_ACTIVE)
		return;
	task_activate(p, t);
	poll_outside(p);
}

/* True if it stays awake. */
static bool task_sleep(struct vio_poller *p, struct vio_task *t)
{
	if (t->poller_state & TASK_WOKEN)
		return true;
	p->task_now = t;
	t->poller_state = (t->poller_state & TASK_FLAGS) | TASK_ARMED;
	if (t->arm(t, true))
		return true;
	if (!p->task_now)
		return false; /* deleted; t may be gone */
	if (t->poller_state & TASK_WOKEN)
		return true;
	task_deactivate(p, t);
	return false;
}

/* While others work, one that has had none for long leaves the walk. */
static void task_count_idle(struct vio_poller *p, struct vio_task *t)
{
	t->poller_state += TASK_IDLE;
	if (t->poller_state / TASK_IDLE > p->task_patience)
		task_sleep(p, t);
}

static void task_rouse(struct vio_task *t)
{
	bool armed = t->poller_state & TASK_ARMED;

	t->poller_state &= ~(uint64_t)(TASK_ARMED | TASK_WOKEN);
	if (armed)
		t->arm(t, false);
}

static unsigned task_run(struct vio_poller *p, struct vio_task *t, unsigned budget)
{
	unsigned done;

	p->task_now = t;
	if (VIO_UNLIKELY(t->poller_state & (TASK_ARMED | TASK_WOKEN)))
		task_rouse(t);
	done = t->run(t, budget);
	if (!p->task_now)
		return done; /* it was deleted; t may be gone */
	if (done)
		t->poller_state &= TASK_FLAGS;
	else if (p->mode != VIO_POLL_BUSY)
		task_count_idle(p, t);
	return done;
}

unsigned poll_tasks_run(struct vio_poller *p, unsigned budget)
{
	unsigned done = 0;

	for (struct vio_task *t = p->tasks; t; t = p->task_next) {
		p->task_next = task_next(t);
		done += task_run(p, t, budget);
	}
	p->task_now = NULL;
	return done;
}

bool poll_tasks_sleep(struct vio_poller *p)
{
	bool work = false;

	for (struct vio_task *t = p->tasks; t; t = p->task_next) {
		p->task_next = task_next(t);
		work |= task_sleep(p, t);
	}
	p->task_now = NULL;
	return work;
}
