/* SPDX-License-Identifier: MIT */
/*
 * Random operations of driver and device against a model of what a virtqueue is: a
 * list of chains, each of which is posted, taken, given, used, in that order.
 * Failing runs print their seed; give it as the argument to repeat one.
 */
#include "queue_pair.h"

#include <stdlib.h>

#define SEGMENTS 64u
#define TABLES 128u
#define TABLE_AT (RG_AT + RG_DATA + 0x80000)
#define LARGE 8u /* segments beyond which a request needs one of the queue's large vectors */

struct chain {
	int id;
	unsigned n, nout; /* as vectors: split at the border of regions, without empty ones */
	struct iovec iov[SEGMENTS];
	struct vio_req *r;
	uint32_t written;
	unsigned turn; /* when it was taken */
	bool given;
};

struct list {
	struct chain **at;
	unsigned n;
};

struct model {
	struct pair p;
	uint64_t seed;
	struct list posted, taken, used; /* used: put, maybe not flushed */
	unsigned flushed;		 /* of `used`, those that the driver may see */
	unsigned tables, turn, done;
};

static unsigned dice(struct model *m, unsigned n)
{
	m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(m->seed >> 33) % n;
}

static void list_push(struct list *l, struct chain *c)
{
	l->at[l->n++] = c;
}

static struct chain *list_remove(struct list *l, unsigned i)
{
	struct chain *c = l->at[i];

	memmove(l->at + i, l->at + i + 1, (--l->n - i) * sizeof(*l->at));
	return c;
}

/* What the queue shall make of one buffer. */
static void expect_buf(struct model *m, struct chain *c, struct rg_buf b)
{
	uint64_t first = b.addr < RG_SECOND && b.addr + b.len > RG_SECOND ? RG_SECOND - b.addr : b.len;

	for (uint64_t len = first; b.len; b.addr += len, b.len -= (uint32_t)len, len = b.len) {
		c->iov[c->n++] = (struct iovec){ rg_ptr(&m->p.g, b.addr), len };
		c->nout += !(b.flags & RG_WRITE);
	}
}

static struct rg_buf random_buf(struct model *m, bool write)
{
	uint32_t len = dice(m, 8) ? 1 + dice(m, 5000) : 0;
	uint64_t at = dice(m, 4) ? RG_AT + RG_DATA + dice(m, 0x70000) : RG_SECOND - 2500 + dice(m, 5000);

	return (struct rg_buf){ at, len, write ? RG_WRITE : 0 };
}

static unsigned random_chain(struct model *m, struct chain *c, struct rg_buf *b, unsigned room)
{
	unsigned n = 1 + dice(m, dice(m, 6) ? 4 : SEGMENTS / 2), readable;

	n = VIO_MIN(n, room);
	readable = dice(m, n + 1);
	for (unsigned i = 0; i < n; i++) {
		b[i] = random_buf(m, i >= readable);
		expect_buf(m, c, b[i]);
	}
	return n;
}

static void post(struct model *m)
{
	bool table = (m->p.g.features & INDIRECT) && m->posted.n + m->taken.n < TABLES && dice(m, 3) == 0;
	struct chain *c = calloc(1, sizeof(*c));
	struct rg_buf b[SEGMENTS / 2];
	unsigned n;

	if (!m->p.g.room || !c) {
		free(c);
		return;
	}
	n = random_chain(m, c, b, table ? SEGMENTS / 2 : m->p.g.room);
	if (table) {
		b[0] = rg_table(&m->p.g, TABLE_AT + 4096 * (m->tables++ % TABLES), b, n);
		n = 1;
	}
	c->id = rg_post(&m->p.g, b, n);
	assert_true(c->id >= 0);
	list_push(&m->posted, c);
}

static void same(const struct chain *c, const struct vio_req *r)
{
	assert_int_equal(r->nout, c->nout);
	assert_int_equal(r->nin, c->n - c->nout);
	for (unsigned i = 0; i < c->n; i++) {
		assert_ptr_equal(r->buf[i].iov_base, c->iov[i].iov_base);
		assert_int_equal(r->buf[i].iov_len, c->iov[i].iov_len);
	}
}

/* How many of the posted ones n may take: the large vectors can run out. */
static unsigned takeable(const struct model *m, unsigned n)
{
	unsigned large = VIO_MIN(m->p.g.size, 64), i;

	for (i = 0; i < m->taken.n; i++)
		large -= m->taken.at[i]->n > LARGE;
	for (i = 0; i < m->posted.n && i < n; i++) {
		if (m->posted.at[i]->n <= LARGE)
			continue;
		if (!large--)
			break;
	}
	return i;
}

static void take(struct model *m)
{
	struct vio_req *r[64];
	unsigned n = 1 + dice(m, 64), want = takeable(m, n);
	int have = vio_queue_take(m->p.q, r, n);

	ok(have);
	assert_int_equal(have, want);
	for (unsigned i = 0; i < want; i++) {
		struct chain *c = list_remove(&m->posted, 0);

		c->r = r[i];
		c->turn = m->turn++;
		same(c, r[i]);
		list_push(&m->taken, c);
	}
}

/* Only the newest that were taken can be untaken: none of them may have been given. */
static void untake(struct model *m)
{
	struct vio_req *r[64];
	unsigned n = 0;

	while (n < VIO_MIN(m->taken.n, 64) && dice(m, 4)) {
		struct chain *c = m->taken.at[m->taken.n - 1 - n];

		if (c->given || c->turn != m->turn - 1 - n)
			break;
		r[63 - n++] = c->r;
	}
	vio_queue_untake(m->p.q, r + 64 - n, n);
	m->turn -= n;
	for (; n; n--) {
		memmove(m->posted.at + 1, m->posted.at, m->posted.n++ * sizeof(*m->posted.at));
		m->posted.at[0] = m->taken.at[--m->taken.n];
	}
}

static void put(struct model *m, unsigned i)
{
	list_push(&m->used, list_remove(&m->taken, i));
}

static void give(struct model *m)
{
	unsigned i = m->taken.n ? dice(m, m->taken.n) : 0;
	struct chain *c = m->taken.n ? m->taken.at[i] : NULL;

	if (!c || c->given)
		return;
	c->given = true;
	c->r->written = c->written = dice(m, 100000);
	vio_queue_give(m->p.q, &c->r, 1);
	if (!m->p.g.in_order)
		put(m, i);
	while (m->p.g.in_order && m->taken.n && m->taken.at[0]->given)
		put(m, 0);
}

static void reap(struct model *m)
{
	uint32_t len = 0;
	int id;

	for (; m->flushed; m->flushed--, m->done++) {
		struct chain *c = list_remove(&m->used, 0);

		assert_int_equal(rg_reap(&m->p.g, &len), c->id);
		assert_int_equal(len, c->written);
		free(c);
		if (!dice(m, 10)) {
			m->flushed--;
			m->done++;
			return;
		}
	}
	id = rg_reap(&m->p.g, &len);
	assert_int_equal(id, -1); /* what is not flushed is not seen */
}

static void step(struct model *m)
{
	switch (dice(m, 9)) {
	case 0 ... 2:
		post(m);
		break;
	case 3:
		take(m);
		break;
	case 4 ... 5:
		give(m);
		break;
	case 6:
		vio_queue_flush(m->p.q);
		m->flushed = m->used.n;
		break;
	case 7:
		if (!dice(m, 4))
			untake(m);
		break;
	default:
		reap(m);
	}
}

static void drain(struct model *m)
{
	while (m->posted.n || m->taken.n || m->used.n) {
		take(m);
		while (m->taken.n)
			give(m);
		vio_queue_flush(m->p.q);
		m->flushed = m->used.n;
		reap(m);
	}
	assert_int_equal(vio_queue_inflight(m->p.q), 0);
}

static void run(uint64_t features, unsigned size, uint64_t seed, unsigned steps)
{
	struct model m = { .seed = seed };
	const size_t bytes = 2 * (size + 1) * sizeof(void *);

	print_message("features %#llx, size %u, seed %llu\n", (unsigned long long)features, size,
		      (unsigned long long)seed);
	pair_open(&m.p, features, size);
	m.posted.at = malloc(bytes);
	m.taken.at = malloc(bytes);
	m.used.at = malloc(bytes);
	for (unsigned i = 0; i < steps; i++)
		step(&m);
	drain(&m);
	assert_true(m.done > steps / 20 || size < 64);
	pair_close(&m.p);
	free(m.posted.at);
	free(m.taken.at);
	free(m.used.at);
}

static uint64_t base_seed = 1;

static void all(uint64_t format)
{
	static const unsigned sizes[] = { 1, 2, 4, 16, 256, 32768 }, odd[] = { 3, 7, 100, 32767 };
	static const uint64_t features[] = { 0, INDIRECT, EVENT_IDX, IN_ORDER, INDIRECT | IN_ORDER };

	for (unsigned f = 0; f < VIO_ARRAY_SIZE(features); f++) {
		for (unsigned i = 0; i < VIO_ARRAY_SIZE(sizes); i++)
			run(format | features[f], sizes[i], base_seed + i, 20000);
		for (unsigned i = 0; i < VIO_ARRAY_SIZE(odd) && format == PACKED; i++)
			run(format | features[f], odd[i], base_seed + i, 20000);
	}
}

static void split_does_what_the_model_does(void **state)
{
	(void)state;
	all(V1);
}

static void packed_does_what_the_model_does(void **state)
{
	(void)state;
	all(PACKED);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_does_what_the_model_does),
		cmocka_unit_test(packed_does_what_the_model_does),
	};

	base_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
