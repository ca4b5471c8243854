/* SPDX-License-Identifier: MIT */
/* The socket of a peer: what is awaited there, and for how long. */
#include "transport/door.h"

#include <unistd.h>

static void line_ready(struct vio_watch *w, uint32_t events)
{
	struct line *l = VIO_CONTAINER(w, struct line, watch);

	(void)events;
	l->ready(l);
}

static void line_impatient(struct vio_timer *timer)
{
	struct line *l = VIO_CONTAINER(timer, struct line, patience);

	l->waiting = false;
	l->impatient(l);
}

void line_open(struct line *l, int fd)
{
	l->fd = fd;
	l->watch = (struct vio_watch){ .ready = line_ready, .fd = fd };
	l->patience = (struct vio_timer){ .fire = line_impatient };
}

bool line_await(struct line *l, uint32_t events)
{
	struct vio_poller *p = l->door->poller;

	if (l->watching && l->watch.events == events)
		return true;
	if (l->watching)
		vio_watch_del(p, &l->watch);
	l->watching = false;
	if (!events)
		return true;
	l->watch.events = events;
	l->watching = !vio_watch_add(p, &l->watch);
	if (!l->watching)
		door_log(l->door, VIO_LOG_ERROR, "the %s's socket cannot be watched: %s", l->door->peer,
			 vio_errmsg());
	return l->watching;
}

void line_be_patient(struct line *l)
{
	if (l->waiting)
		return;
	l->waiting = true;
	vio_timer_set(l->door->poller, &l->patience, l->timeout_ms * 1000000ull);
}

void line_calm(struct line *l)
{
	if (l->waiting)
		vio_timer_cancel(l->door->poller, &l->patience);
	l->waiting = false;
}

void line_close(struct line *l)
{
	close(l->fd);
	l->fd = -1;
}
