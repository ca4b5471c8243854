/* SPDX-License-Identifier: MIT */
/* The loop: one pass, and how passes and sleeps follow each other. */
#include "poll/poll.h"
#include "base/barrier.h"

#include <limits.h>

#define LOOP_MS 1000000ull
/* The clock is read once in so many passes that found nothing. */
#define LOOP_CLOCK_EVERY 32
/*
 * So many passes that found nothing are made before a sleep while tasks are awake,
 * some microseconds in all: about what the sleep and the wake-up would cost. A busy
 * peer's next batch comes within that time, and then neither is paid for. With I/O
 * under way the sleep comes at once, for it submits and waits in one call.
 */
#define LOOP_GRACE 64

/* Up before down: what the kernel has finished, then what has to be done next. */
static unsigned loop_pass(struct vio_poller *p, unsigned budget)
{
	unsigned done;

	p->now = 0;
	if (VIO_UNLIKELY(!(++p->stats.passes % POLL_COLLECT_EVERY)))
		p->engine->collect(p);
	done = p->engine->harvest(p);
	done += poll_bell_answer(p);
	if (p->timers)
		done += poll_timer_fire(p);
	return done + poll_tasks_run(p, budget);
}

static int loop_enter(struct vio_poller *p)
{
	if (p->running)
		return vio__fail(
			EBUSY, "poller: run from inside a callback, expected a call outside of run and wait");
	p->running = true;
	return 0;
}

static int loop_leave(struct vio_poller *p, unsigned done)
{
	p->running = false;
	p->ended = false;
	p->now = 0;
	return (int)VIO_MIN(done, (unsigned)INT_MAX);
}

int vio_poller_run(struct vio_poller *p, unsigned budget)
{
	unsigned done;
	int rc = loop_enter(p);

	if (rc)
		return rc;
	if (p->foreign)
		p->engine->quiet(p);
	p->engine->collect(p);
	done = loop_pass(p, budget ? budget : POLL_BUDGET);
	if (!done && p->mode != VIO_POLL_BUSY)
		done = poll_tasks_sleep(p);
	p->engine->flush(p, POLL_FLUSH_ALL);
	if (p->foreign) {
		poll_timer_arm(p);
		p->engine->announce(p, p->tasks);
	}
	return loop_leave(p, done);
}

/* Is it too early to sleep? Counts the passes that found nothing. */
static bool loop_spins(struct vio_poller *p)
{
	if (!p->idle++ && p->mode == VIO_POLL_ADAPTIVE)
		p->idle_since = vio_poller_now(p);
	if (p->mode == VIO_POLL_EVENT)
		return p->idle < LOOP_GRACE && p->tasks && p->engine->calm && p->engine->calm(p);
	if (p->mode == VIO_POLL_BUSY || p->idle % LOOP_CLOCK_EVERY)
		return true;
	return vio_poller_now(p) - p->idle_since < p->spin_ns;
}

/* -ETIMEDOUT when the time is over; looks at the clock now and then only. */
static int loop_spin(struct vio_poller *p, uint64_t until)
{
	p->engine->flush(p, POLL_FLUSH_ALL);
	vio__relax();
	if (until == UINT64_MAX || p->idle % LOOP_CLOCK_EVERY || vio_poller_now(p) < until)
		return 0;
	return -ETIMEDOUT;
}

static int loop_sleep(struct vio_poller *p, uint64_t until)
{
	uint64_t at = VIO_MIN(until, poll_timer_next(p)), now = 0;
	int rc;

	if (at != UINT64_MAX)
		now = vio_poller_now(p);
	if (now >= until)
		return -ETIMEDOUT;
	rc = p->engine->sleep(p, at == UINT64_MAX ? UINT64_MAX : at > now ? at - now : 0);
	return rc == -ETIME ? 0 : rc; /* the next turn sees which time it was */
}

/* Passes until something was done; else why there was an end to it. */
static int loop_until_done(struct vio_poller *p, uint64_t until, unsigned *done)
{
	for (;;) {
		int rc = 0;

		*done = loop_pass(p, POLL_BUDGET);
		if (*done || p->ended)
			break;
		if (loop_spins(p) || poll_tasks_sleep(p))
			rc = loop_spin(p, until);
		else
			rc = loop_sleep(p, until);
		if (rc)
			return rc;
	}
	p->idle = 0;
	return 0;
}

/* As wait, with no time to wait: look, hand over, and look at what came of it at once. */
static unsigned loop_glance(struct vio_poller *p)
{
	unsigned done;

	p->engine->collect(p);
	done = loop_pass(p, POLL_BUDGET);
	p->engine->flush(p, POLL_FLUSH_ALL);
	return done ? done : loop_pass(p, POLL_BUDGET);
}

int vio_poller_wait(struct vio_poller *p, int ms)
{
	unsigned done = 0;
	int rc = loop_enter(p);

	if (rc)
		return rc;
	p->now = 0;
	if (!ms)
		done = loop_glance(p);
	else
		rc = loop_until_done(p, ms < 0 ? UINT64_MAX : vio_poller_now(p) + (uint64_t)ms * LOOP_MS,
				     &done);
	p->engine->flush(p, ms && p->mode == VIO_POLL_EVENT ? POLL_FLUSH_LAZY : POLL_FLUSH_ALL);
	loop_leave(p, 0);
	if (rc && rc != -ETIMEDOUT && rc != -EINTR)
		return vio__fail(-rc, "poller: the kernel's event queue failed: %s", strerror(-rc));
	return (int)VIO_MIN(done, (unsigned)INT_MAX);
}
