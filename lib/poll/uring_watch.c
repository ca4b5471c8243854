/* SPDX-License-Identifier: MIT */
/*
 * Watches as io_uring polls. An edge watch is one multishot poll, which tells of each
 * wake-up; a level watch is a one-shot poll, armed anew after each event, for a
 * poll of an fd that is still ready completes at once.
 */
#include "poll/uring.h"

#include <sys/epoll.h>

static void uring_watch_queue(struct uring *u, struct poll_slot *slot)
{
	if (slot->queued)
		return;
	slot->queued = true;
	slot->next = u->todo;
	u->todo = slot;
}

/* No event can name it any more, and nobody here holds it. */
static void uring_watch_drop(struct vio_poller *p, struct poll_slot *slot)
{
	if (!slot->armed && !slot->queued && !slot->cancelling && !slot->busy)
		poll_slot_put(p, slot);
}

int poll_uring_watch(struct vio_poller *p, struct poll_slot *slot)
{
	int rc = p->foreign ? poll_uring_foreign_watch(p, slot) : 0;

	if (!rc)
		uring_watch_queue(uring_of(p), slot);
	return rc;
}

void poll_uring_unwatch(struct vio_poller *p, struct poll_slot *slot)
{
	if (p->foreign)
		poll_uring_foreign_unwatch(p, slot);
	if (slot->armed && !slot->cancelling)
		uring_watch_queue(uring_of(p), slot);
	uring_watch_drop(p, slot);
}

static void uring_watch_arm(struct uring *u, struct io_uring_sqe *sqe, struct poll_slot *slot)
{
	io_uring_prep_poll_add(sqe, slot->fd, slot->events);
	if (slot->events & EPOLLET)
		sqe->len = IORING_POLL_ADD_MULTI;
	uring_tag(sqe, slot, URING_POLL);
	slot->armed = true;
	u->urgent = true;
}

static void uring_watch_cancel(struct uring *u, struct io_uring_sqe *sqe, struct poll_slot *slot)
{
	/* Not a poll removal, which fails where an event is just on its way. */
	io_uring_prep_cancel64(sqe, (uintptr_t)slot | URING_POLL, 0);
	uring_tag(sqe, slot, URING_CANCEL);
	slot->cancelling = true;
	u->urgent = true;
}

void poll_uring_watches_flush(struct vio_poller *p)
{
	struct uring *u = uring_of(p);
	struct poll_slot *slot;
	struct io_uring_sqe *sqe;

	while ((slot = u->todo)) {
		bool arm = slot->watch && !slot->armed, cancel = !slot->watch && slot->armed;

		sqe = arm || cancel ? poll_uring_sqe(p) : NULL;
		if (!sqe && (arm || cancel))
			return; /* next time */
		u->todo = slot->next;
		slot->queued = false;
		if (arm)
			uring_watch_arm(u, sqe, slot);
		else if (cancel)
			uring_watch_cancel(u, sqe, slot);
		else
			uring_watch_drop(p, slot);
	}
}

unsigned poll_uring_polled(struct vio_poller *p, struct poll_slot *slot, int res, bool more)
{
	unsigned done;

	slot->armed = more;
	done = poll_slot_ready(p, slot, res < 0 ? EPOLLERR : (uint32_t)res);
	if (!slot->armed && slot->watch)
		uring_watch_queue(uring_of(p), slot);
	if (!slot->watch)
		uring_watch_drop(p, slot);
	return done;
}

void poll_uring_cancelled(struct vio_poller *p, struct poll_slot *slot, int res)
{
	slot->cancelling = false;
	if (slot->armed && res < 0 && res != -ENOENT)
		uring_watch_queue(uring_of(p), slot); /* it was just being run: once more */
	uring_watch_drop(p, slot);
}
