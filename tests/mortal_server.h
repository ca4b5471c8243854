/* SPDX-License-Identifier: MIT */
/*
 * A driver whose server may die: each of its requests carries a number, and comes back once with that
 * number, whatever becomes of servers. One dies by leaving the memory that it shares with the driver as
 * it is.
 */
#ifndef TESTS_MORTAL_SERVER_H
#define TESTS_MORTAL_SERVER_H

#include "queue_pair.h"

#define MORTAL_MAX 64u /* entries of the ring */
#define MORTAL_SLOT 64u
#define MORTAL_REGION 0x80000u /* where the inflight region is, of the memory for data */
#define MORTAL_ANSWERS 100000u

/* What the driver knows, beside what lies in shared memory. */
struct mortal_books {
	struct ring_guest g;
	uint16_t free[MORTAL_MAX], next[MORTAL_MAX], ndesc[MORTAL_MAX];
	uint64_t tag_of[MORTAL_MAX]; /* by head or id */
	uint64_t next_tag, done, empty;
};

struct mortal {
	struct ring_guest g;
	struct mortal_books b; /* tags only: g has the rest */
	bool region;	       /* there is one; else the ring alone tells */
	unsigned longest;      /* descriptors of a chain, at most */
	uint64_t seed;
};

RG_FN unsigned mortal_dice(struct mortal *s, unsigned n)
{
	s->seed = s->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(s->seed >> 33) % n;
}

RG_FN void mortal_open(struct mortal *s, uint64_t features, unsigned size, bool region)
{
	memset(s, 0, sizeof(*s));
	ok(rg_open(&s->g, features, size));
	s->region = region;
	s->longest = 3;
	s->seed = size;
}

RG_FN void mortal_close(struct mortal *s)
{
	rg_close(&s->g);
}

/* Is used what was posted first? */
RG_FN bool mortal_ordered(const struct mortal *s)
{
	return s->g.in_order || !s->region;
}

/* A chain that carries its tag. False: there is no room. */
RG_FN bool mortal_post(struct mortal *s)
{
	unsigned most = VIO_MIN(VIO_MIN(s->g.room, s->g.nfree), s->longest), n;
	struct rg_buf b[8];
	int id;

	if (!most)
		return false;
	n = 1 + mortal_dice(s, most);
	for (unsigned i = 0; i < n; i++)
		b[i] = (struct rg_buf){
			RG_AT + RG_DATA + MORTAL_SLOT * s->g.free[s->g.nfree - 1] + 16 * (i % 4), 16, RG_WRITE
		};
	*(uint64_t *)rg_ptr(&s->g, b[0].addr) = s->b.next_tag;
	id = rg_post(&s->g, b, n);
	assert_true(id >= 0);
	s->b.tag_of[id] = s->b.next_tag++;
	return true;
}

RG_FN void mortal_fill(struct mortal *s)
{
	while (mortal_post(s))
		;
}

/* All that is used: each was asked for, once. A packed ring gives back what its server died over, empty. */
RG_FN void mortal_reap(struct mortal *s)
{
	bool may_be_empty = s->g.packed && !s->region;
	uint32_t len;
	int id;

	while ((id = rg_reap(&s->g, &len)) >= 0) {
		uint64_t tag = s->b.tag_of[id];
		bool empty = !len && tag % MORTAL_ANSWERS;

		if (mortal_ordered(s))
			assert_int_equal(tag, s->b.done);
		if (!empty || !may_be_empty)
			assert_int_equal(len, tag % MORTAL_ANSWERS);
		s->b.done++;
		s->b.empty += empty;
	}
	assert_int_equal(id, -1); /* never one that is not out */
}

/* All that a front end tells a new server of a packed ring is where it was when it was new. */
RG_FN struct vio_queue *mortal_server(struct mortal *s)
{
	struct vio_queue_state stale = { .avail_wrap = s->g.packed, .used_wrap = s->g.packed };
	struct vio_queue_opts o = rg_opts(&s->g);
	struct vio_queue *q;

	o.notify = NULL;
	o.state = s->g.packed || !s->region ? &stale : NULL;
	o.flags = s->region ? 0 : VIO_QUEUE_RESUMABLE;
	o.inflight = s->region ? s->g.base + RG_DATA + MORTAL_REGION : NULL;
	o.inflight_size = s->region ? vio_queue_inflight_size(s->g.features, s->g.size) : 0;
	return vio_queue_new(&q, &o) ? NULL : q;
}

/* Gives r[at], and closes the gap. */
RG_FN void mortal_give(struct vio_queue *q, struct vio_req **r, unsigned *n, unsigned at)
{
	struct vio_req *one = r[at];

	one->written = (uint32_t)(*(uint64_t *)one->buf[0].iov_base % MORTAL_ANSWERS);
	memmove(r + at, r + at + 1, (--*n - at) * sizeof(*r));
	vio_queue_give(q, &one, 1);
}

/* What is served is a request that is out, all of it. */
RG_FN void mortal_check(struct mortal *s, const struct vio_req *r)
{
	uint64_t tag = *(uint64_t *)r->buf[0].iov_base;
	unsigned id = 0;

	while (id < s->g.size && (!s->g.ndesc[id] || s->b.tag_of[id] != tag))
		id++;
	assert_true(id < s->g.size);
	assert_int_equal(r->nin, s->g.ndesc[id]);
	assert_int_equal(r->nout, 0);
}

/* A server that lives on answers all that is there. */
RG_FN void mortal_serve(struct mortal *s, struct vio_queue *q)
{
	struct vio_req *r[MORTAL_MAX];
	unsigned n = 0;
	int have;

	do {
		have = vio_queue_take(q, r + n, 3);
		ok(have);
		n += (unsigned)have;
		for (unsigned i = 0; i < n; i++)
			mortal_check(s, r[i]);
		while (n)
			mortal_give(q, r, &n, n / 2);
		vio_queue_flush(q);
		mortal_reap(s);
	} while (have);
	assert_int_equal(s->b.done, s->b.next_tag);
	assert_int_equal(s->g.room, s->g.size);
}

/* One request after another. */
RG_FN void mortal_advance(struct mortal *s, struct vio_queue *q, unsigned requests)
{
	while (requests--) {
		assert_true(mortal_post(s));
		mortal_serve(s, q);
	}
}

/* The next server finishes, and the ring is as good as new. */
RG_FN void mortal_succeed(struct mortal *s)
{
	struct vio_queue *q = mortal_server(s);

	if (!q)
		fail_msg("%s", vio_errmsg());
	mortal_reap(s);
	mortal_serve(s, q);
	mortal_fill(s);
	mortal_serve(s, q);
	vio_queue_free(q);
}

#endif
