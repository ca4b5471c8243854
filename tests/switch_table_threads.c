/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database while several threads write it: an address that is there the whole time is found
 * every time, no address is ever seen on another's port, and when all is done nothing is there twice or left
 * over.
 */
#include "switch/fdb_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SECOND 1000000000ull
#define AGE (16 * SECOND)
#define CAPACITY 64u
#define STABLE 16u
#define MOVING 160u /* more than there is room for */
#define WRITERS 3
#define READERS 2
#define STEPS 60000u
#define LIMIT 2u /* learnt addresses of the first port of each eight */
#define PORTS ((STABLE + MOVING) * 8)

struct world {
	struct fdb *f;
	uint64_t now;
	uint32_t stop, lost, wrong;
	uint64_t found;
};

/* Addresses 4 * i to 4 * i + 3 are only ever heard on ports i * 32 to i * 32 + 7. */
static bool port_fits(uint32_t i, unsigned port)
{
	return port == FDB_NONE || port / 8 == i / 4 * 4;
}

static uint64_t mac_of(uint32_t i)
{
	return 0x020000000000ull + i;
}

static uint32_t limit_of(uint16_t port)
{
	return port % 8 ? FDB_NO_LIMIT : LIMIT;
}

static uint64_t random_word(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

static void write_one(struct world *w, uint64_t *rng)
{
	uint32_t i = (uint32_t)(STABLE + random_word(rng) % MOVING);
	uint16_t port = (uint16_t)(i / 4 * 32 + random_word(rng) % 8);
	unsigned what = random_word(rng) % 100;

	if (what < 80)
		fdb_learn(w->f, mac_of(i), 1, port, limit_of(port), VIO_LOAD(&w->now));
	else if (what < 84)
		fdb_fix(w->f, mac_of(i), 1, port);
	else if (what < 98)
		fdb_fix(w->f, mac_of(i), 1, FDB_NONE);
	else if (what < 99)
		fdb_forget_port(w->f, port);
	else
		fdb_sweep(w->f, __atomic_add_fetch(&w->now, SECOND / 4, __ATOMIC_RELAXED));
}

static void *writer(void *arg)
{
	struct world *w = arg;
	uint64_t rng = (uintptr_t)&rng;

	for (unsigned i = 0; i < STEPS; i++)
		write_one(w, &rng);
	return NULL;
}

static void read_each(void *ctx, const struct fdb_entry *e)
{
	struct world *w = ctx;

	if (!port_fits((uint32_t)(e->mac - mac_of(0)), e->port))
		VIO_STORE(&w->wrong, 1);
}

static void *reader(void *arg)
{
	struct world *w = arg;
	uint64_t found = 0;

	while (!VIO_LOAD_ACQUIRE(&w->stop)) {
		for (uint32_t i = 0; i < STABLE + MOVING; i++) {
			unsigned port = fdb_find(w->f, mac_of(i), 1, VIO_LOAD(&w->now));

			if (i < STABLE && port == FDB_NONE)
				VIO_STORE(&w->lost, 1);
			if (!port_fits(i, port))
				VIO_STORE(&w->wrong, 1);
			found += port != FDB_NONE;
		}
		fdb_each(w->f, VIO_LOAD(&w->now), read_each, w);
	}
	__atomic_fetch_add(&w->found, found, __ATOMIC_RELAXED);
	return NULL;
}

static void run(struct world *w)
{
	pthread_t writers[WRITERS], readers[READERS];

	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, reader, w), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, writer, w), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	VIO_STORE_RELEASE(&w->stop, 1);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
}

static void count_each(void *ctx, const struct fdb_entry *e)
{
	((unsigned *)ctx)[e->mac - mac_of(0)]++;
}

static void count_learnt(void *ctx, const struct fdb_entry *e)
{
	((uint32_t(*)[PORTS])ctx)[e->fixed][e->port]++;
}

static void ports_have_what_is_theirs(struct world *w)
{
	static uint32_t n[2][PORTS];

	fdb_each(w->f, SECOND, count_learnt, n);
	for (uint16_t port = 0; port < PORTS; port++) {
		assert_int_equal(fdb_count_port(w->f, port), n[0][port]);
		assert_int_equal(w->f->port[port].fixed, n[1][port]);
		assert_true(n[0][port] <= limit_of(port));
	}
}

static void nothing_is_there_twice(struct world *w)
{
	unsigned times[STABLE + MOVING] = { 0 }, sum = 0;
	struct fdb_counts c;

	/* At a time when nothing has aged. */
	fdb_each(w->f, SECOND, count_each, times);
	for (unsigned i = 0; i < STABLE + MOVING; i++) {
		assert_in_range(times[i], i < STABLE, 1);
		sum += times[i];
	}
	fdb_counts(w->f, &c);
	assert_int_equal(c.known, sum);
	assert_in_range(sum, STABLE, CAPACITY);
}

static void nothing_is_left_over(struct world *w)
{
	struct fdb_counts c;

	for (uint32_t i = 0; i < STABLE + MOVING; i++)
		fdb_fix(w->f, mac_of(i), 1, FDB_NONE);
	fdb_counts(w->f, &c);
	assert_int_equal(c.known, 0);
	for (uint16_t port = 0; port < PORTS; port++)
		assert_int_equal(w->f->port[port].learnt + w->f->port[port].fixed, 0);
	for (uint32_t i = 0; i <= w->f->mask; i++) {
		const struct fdb_bucket *b = &w->f->buckets[i];

		assert_int_equal(b->passed, 0);
		assert_int_equal(b->home, 0);
		assert_int_equal(b->turn % 2, 0);
		for (unsigned way = 0; way < FDB_WAYS; way++)
			assert_int_equal(b->key[way], 0);
	}
}

static void readers_and_writers(void **state)
{
	struct world w = { .now = SECOND };

	(void)state;
	assert_int_equal(fdb_new(&w.f, CAPACITY, AGE), 0);
	for (uint32_t i = 0; i < STABLE; i++)
		assert_int_equal(fdb_fix(w.f, mac_of(i), 1, (uint16_t)(i / 4 * 32)), 0);
	run(&w);
	assert_int_equal(w.lost, 0);
	assert_int_equal(w.wrong, 0);
	assert_true(w.found > 0);
	nothing_is_there_twice(&w);
	ports_have_what_is_theirs(&w);
	nothing_is_left_over(&w);
	fdb_free(w.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_and_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
