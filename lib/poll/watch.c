/* SPDX-License-Identifier: MIT */
/* Watches, and the slots by which the kernel knows them. */
#include "poll/poll.h"

#include <sys/epoll.h>

struct poll_slots {
	struct poll_slots *next;
	struct poll_slot slot[32];
};

static int slots_grow(struct vio_poller *p)
{
	struct poll_slots *s = calloc(1, sizeof(*s));

	if (!s)
		return vio__fail(ENOMEM, "poller: out of memory for one more watch");
	s->next = p->slots;
	p->slots = s;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(s->slot); i++)
		poll_slot_put(p, &s->slot[i]);
	return 0;
}

void poll_slots_free(struct vio_poller *p)
{
	struct poll_slots *s, *next;

	for (s = p->slots; s; s = next) {
		next = s->next;
		free(s);
	}
}

int poll_slots_each(struct vio_poller *p, int (*f)(struct vio_poller *p, struct poll_slot *slot))
{
	int rc = 0;

	for (struct poll_slots *s = p->slots; s; s = s->next)
		for (unsigned i = 0; i < VIO_ARRAY_SIZE(s->slot) && !rc; i++)
			if (s->slot[i].watch)
				rc = f(p, &s->slot[i]);
	return rc;
}

void poll_slot_put(struct vio_poller *p, struct poll_slot *slot)
{
	memset(slot, 0, sizeof(*slot));
	slot->next = p->slots_free;
	p->slots_free = slot;
}

unsigned poll_slot_ready(struct vio_poller *p, struct poll_slot *slot, uint32_t events)
{
	if (!slot->watch)
		return 0; /* deleted; the event was on its way */
	if (!slot->internal)
		poll_signals_leave(p);
	slot->busy = true;
	slot->watch->ready(slot->watch, events);
	slot->busy = false;
	return !slot->internal;
}

/* What epoll says of an fd counts for both engines. */
static int watch_check(struct vio_poller *p, const struct vio_watch *w)
{
	struct epoll_event ev = { .events = 0 };

	if (w->events & ~(uint32_t)(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
		return vio__fail(EINVAL,
				 "watch: events 0x%x, expected EPOLLIN, EPOLLOUT, EPOLLRDHUP or EPOLLET",
				 w->events);
	if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, w->fd, &ev))
		return vio__fail(errno, "watch: fd %d can't be watched: %s", w->fd, strerror(errno));
	epoll_ctl(p->epfd, EPOLL_CTL_DEL, w->fd, &ev);
	return 0;
}

static int watch_add(struct vio_poller *p, struct vio_watch *w, bool internal)
{
	struct poll_slot *slot;
	int rc = p->slots_free ? 0 : slots_grow(p);

	if (rc)
		return rc;
	slot = p->slots_free;
	p->slots_free = slot->next;
	*slot = (struct poll_slot){ .watch = w, .fd = w->fd, .events = w->events, .internal = internal };
	rc = p->engine->watch(p, slot);
	if (rc) {
		poll_slot_put(p, slot);
		return vio__fail(-rc, "watch: fd %d can't be watched: %s", w->fd, strerror(-rc));
	}
	w->poller_private[0] = slot;
	return 0;
}

int poll_watch_internal(struct vio_poller *p, struct vio_watch *w)
{
	return watch_add(p, w, true);
}

int vio_watch_add(struct vio_poller *p, struct vio_watch *w)
{
	int rc;

	w->poller_private[0] = NULL;
	rc = watch_check(p, w);
	if (!rc)
		rc = watch_add(p, w, false);
	if (!rc)
		poll_outside(p);
	return rc;
}

void vio_watch_del(struct vio_poller *p, struct vio_watch *w)
{
	struct poll_slot *slot = w->poller_private[0];

	if (!slot)
		return;
	w->poller_private[0] = NULL;
	slot->watch = NULL;
	p->engine->unwatch(p, slot);
	poll_outside(p);
}
