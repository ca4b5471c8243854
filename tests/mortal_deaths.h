/* SPDX-License-Identifier: MIT */
/*
 * A server's death at each state that the memory goes through which it shares with its driver, and its
 * successor's at each such state while it begins. The server is code of this process; its memory is kept
 * before each access, and brought back later.
 */
#ifndef TESTS_MORTAL_DEATHS_H
#define TESTS_MORTAL_DEATHS_H

#include "mortal_server.h"
#include "watched_memory.h"

/* Shared memory at a moment. */
struct mortal_image {
	char ring[16 * MORTAL_MAX], driver[256], device[16 * MORTAL_MAX], data[MORTAL_SLOT * MORTAL_MAX];
	char region[64 + 64 * MORTAL_MAX];
};

RG_FN void mortal_copy(struct mortal *s, struct mortal_image *m, bool load)
{
	char *const base = s->g.base;
	const struct {
		char *image, *memory;
		size_t len;
	} part[] = {
		{ m->ring, base, 16 * s->g.size },
		{ m->driver, base + RG_DRIVER, vring_avail_bytes(s->g.size) },
		{ m->device, base + RG_DEVICE, vring_used_bytes(s->g.size) },
		{ m->data, base + RG_DATA, MORTAL_SLOT * s->g.size },
		{ m->region, base + RG_DATA + MORTAL_REGION,
		  s->region ? vio_queue_inflight_size(s->g.features, s->g.size) : 0 },
	};

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(part); i++)
		memcpy(load ? part[i].memory : part[i].image, load ? part[i].image : part[i].memory,
		       part[i].len);
}

/* The states that memory went through while it was watched, and the last one. */
struct mortal_deaths {
	struct mortal *s;
	struct mortal_image *at;
	unsigned n, room;
};

static struct mortal_deaths *mortal_watched;

RG_FN void mortal_look(void)
{
	struct mortal_deaths *d = mortal_watched;

	if (d->n == d->room)
		abort();
	mortal_copy(d->s, &d->at[d->n], false);
	if (!d->n || memcmp(&d->at[d->n], &d->at[d->n - 1], sizeof(*d->at)))
		d->n++;
}

RG_FN void mortal_watch(struct mortal_deaths *d, struct mortal *s)
{
	*d = (struct mortal_deaths){ .s = s, .room = 1000 };
	d->at = calloc(d->room, sizeof(*d->at));
	mortal_watched = d;
	watched.before = mortal_look;
	watched_on(s->g.base, RG_BYTES);
}

RG_FN void mortal_unwatch(void)
{
	watched_off();
	watched.before = NULL;
	mortal_look();
}

RG_FN void mortal_keep(struct mortal *s, struct mortal_books *b)
{
	*b = s->b;
	b->g = s->g;
	memcpy(b->free, s->g.free, s->g.size * sizeof(*b->free));
	memcpy(b->next, s->g.next, s->g.size * sizeof(*b->next));
	memcpy(b->ndesc, s->g.ndesc, s->g.size * sizeof(*b->ndesc));
}

RG_FN void mortal_go_back(struct mortal *s, const struct mortal_books *b, struct mortal_image *m)
{
	s->b = *b;
	s->g = b->g;
	memcpy(s->g.free, b->free, s->g.size * sizeof(*b->free));
	memcpy(s->g.next, b->next, s->g.size * sizeof(*b->next));
	memcpy(s->g.ndesc, b->ndesc, s->g.size * sizeof(*b->ndesc));
	mortal_copy(s, m, true);
}

/* A server left m. The next may die at each point of its beginning; who comes then shall finish. */
RG_FN unsigned mortal_after(struct mortal *s, const struct mortal_books *b, struct mortal_image *m)
{
	struct mortal_deaths again;
	unsigned n;

	mortal_go_back(s, b, m);
	mortal_watch(&again, s);
	vio_queue_free(mortal_server(s));
	mortal_unwatch();
	for (unsigned i = 0; i < again.n; i++) {
		mortal_go_back(s, b, &again.at[i]);
		mortal_succeed(s);
	}
	n = again.n;
	free(again.at);
	return n;
}

/* Dies at each point of this life with the ring as it is. Returns at how many states of memory. */
RG_FN unsigned mortal_everywhere(struct mortal *s, void (*life)(struct vio_queue *q))
{
	struct vio_queue *q = mortal_server(s);
	struct mortal_books books;
	struct mortal_deaths d;
	unsigned n = 0;

	if (!q)
		fail_msg("%s", vio_errmsg());
	mortal_keep(s, &books);
	mortal_watch(&d, s);
	life(q);
	mortal_unwatch();
	vio_queue_free(q);
	for (unsigned i = 0; i < d.n; i++)
		n += mortal_after(s, &books, &d.at[i]);
	free(d.at);
	return n;
}

#endif
