/* SPDX-License-Identifier: MIT */
/* A port's limit: the long-run rate is exact, what comes at once is bounded, threads together never exceed
 * it. */
#include "switch/bucket.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SECOND 1000000000ull
#define START (12345 * SECOND + 678) /* a clock's zero is nothing special */

static uint64_t random_word(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 11;
}

/* Takes as much as there is, one unit at a time, every `step` ns; how many in all. */
static uint64_t drain(struct bucket *b, uint64_t from, uint64_t until, uint64_t step)
{
	uint64_t taken = 0;

	for (uint64_t now = from; now <= until; now += step)
		while (bucket_take(b, 1, now))
			taken++;
	return taken;
}

static void no_limit_passes_all(void **state)
{
	struct bucket b = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		assert_true(bucket_take(&b, UINT64_MAX, START));
}

/* Rates that divide nothing evenly, at steps that do not either: not one unit may be lost or won. */
static void the_long_run_is_exact(void **state)
{
	static const uint64_t rates[] = { 1, 3, 7, 997, 14881 };
	static const uint64_t steps[] = { 1000003, 7777777, 333333333 };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rates); i++) {
		for (unsigned k = 0; k < VIO_ARRAY_SIZE(steps); k++) {
			uint64_t last = START + 1000 * SECOND / steps[k] * steps[k], expected;
			struct bucket b = { 0 };

			bucket_set(&b, rates[i], rates[i], START);
			expected =
				rates[i] + (uint64_t)((unsigned __int128)rates[i] * (last - START) / SECOND);
			assert_int_equal(drain(&b, START, last, steps[k]), expected);
		}
	}
}

/* A year at 100 Gbit/s and at the rate of 64-byte packets, looked at seldom and at odd times. */
static void a_year_is_exact(void **state)
{
	static const uint64_t rates[] = { 12500000000ull, 148809523, 999999999999ull };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rates); i++) {
		struct bucket b = { 0 };
		uint64_t rng = i, now = START, taken = 0;
		const uint64_t burst = rates[i] * 200;

		bucket_set(&b, rates[i], burst, now);
		assert_true(bucket_take(&b, burst, now));
		for (unsigned k = 0; k < 300000; k++) {
			uint64_t before = now, due;

			now += random_word(&rng) % (200 * SECOND);
			due = (uint64_t)((unsigned __int128)rates[i] * (now - START) / SECOND) -
			      (uint64_t)((unsigned __int128)rates[i] * (before - START) / SECOND);
			assert_true(bucket_take(&b, due, now));
			assert_false(bucket_take(&b, 1, now));
			taken += due;
		}
		assert_true(taken == (uint64_t)((unsigned __int128)rates[i] * (now - START) / SECOND));
	}
}

static void a_burst_is_bounded(void **state)
{
	struct bucket b = { 0 };

	(void)state;
	bucket_set(&b, 1000, 50, START);
	assert_int_equal(drain(&b, START, START, 1), 50);
	/* However long nobody took, no more than the burst comes at once. */
	assert_int_equal(drain(&b, START + 3600 * SECOND, START + 3600 * SECOND, 1), 50);
	assert_int_equal(drain(&b, START + 3601 * SECOND, START + 3601 * SECOND, 1), 50);
	bucket_set(&b, 1000, 0, START + 3602 * SECOND);
	assert_int_equal(drain(&b, START + 3700 * SECOND, START + 3700 * SECOND, 1), 100);
}

/* A packet longer than the burst passes when the bucket is full, and is paid for. */
static void more_than_the_burst_is_paid_for(void **state)
{
	struct bucket b = { 0 };
	uint64_t taken = 0;

	(void)state;
	bucket_set(&b, 1000, 100, START);
	assert_false(bucket_take(&b, 101, START) && bucket_take(&b, 1, START));
	for (uint64_t now = START; now < START + 100 * SECOND; now += 1000000)
		taken += bucket_take(&b, 1500, now) ? 1500 : 0;
	assert_in_range(taken, 100000 - 1500, 100000 + 1500);
}

static void a_change_takes_hold_at_once(void **state)
{
	struct bucket b = { 0 };
	uint64_t now = START;

	(void)state;
	bucket_set(&b, 1000, 100, now);
	assert_int_equal(drain(&b, now, now, 1), 100);
	/* What was used up stays used up: no burst for setting a limit anew. */
	bucket_set(&b, 2000, 100, now);
	assert_int_equal(drain(&b, now, now, 1), 0);
	assert_int_equal(drain(&b, now, now + SECOND, 10000000), 2000);
	now += SECOND;
	bucket_set(&b, 10, 5, now);
	assert_int_equal(drain(&b, now, now + 10 * SECOND, 10000000), 100);
	now += 10 * SECOND;
	bucket_set(&b, 0, 0, now);
	assert_true(bucket_take(&b, 1 << 30, now));
	bucket_set(&b, 10, 5, now);
	assert_int_equal(drain(&b, now, now, 1), 5);
}

static void what_is_put_back_can_be_taken(void **state)
{
	struct bucket b = { 0 };

	(void)state;
	bucket_set(&b, 1, 10, START);
	assert_true(bucket_take(&b, 10, START));
	assert_false(bucket_take(&b, 1, START));
	bucket_put(&b, 4);
	assert_int_equal(drain(&b, START, START, 1), 4);
}

/* A thread whose clock was read earlier must win nothing, nor lose it for others. */
static void clocks_behind_win_nothing(void **state)
{
	struct bucket b = { 0 };
	uint64_t taken = 0;

	(void)state;
	bucket_set(&b, 1000000, 10, START);
	for (uint64_t now = START; now <= START + SECOND; now += 10000) {
		while (bucket_take(&b, 1, now))
			taken++;
		while (bucket_take(&b, 1, now - 5000 * (now > START)))
			taken++;
	}
	assert_int_equal(taken, 1000010);
}

#define THREADS 4

struct takers {
	struct bucket bucket;
	pthread_barrier_t start;
	uint64_t now, taken;
	uint32_t stop;
};

static void *taker(void *arg)
{
	struct takers *t = arg;
	uint64_t taken = 0;

	pthread_barrier_wait(&t->start);
	do
		for (unsigned i = 0; i < 64; i++)
			taken += bucket_take(&t->bucket, 1 + i % 3, VIO_LOAD(&t->now)) ? 1 + i % 3 : 0;
	while (!VIO_LOAD_ACQUIRE(&t->stop));
	__atomic_fetch_add(&t->taken, taken, __ATOMIC_RELAXED);
	return NULL;
}

/* While the limit changes between two, all threads together stay below the line that both make. */
static void threads_never_exceed(void **state)
{
	static struct takers t;
	pthread_t threads[THREADS];
	uint64_t allowed = 100;

	(void)state;
	t.now = START;
	assert_int_equal(pthread_barrier_init(&t.start, NULL, THREADS + 1), 0);
	bucket_set(&t.bucket, 1000000, 100, t.now);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, taker, &t), 0);
	pthread_barrier_wait(&t.start);
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t rate = i % 100 < 50 ? 1000000 : 3000000;

		if (i % 50 == 0)
			bucket_set(&t.bucket, rate, 100, t.now);
		VIO_STORE(&t.now, t.now + 20000);
		allowed += rate / 50000;
	}
	VIO_STORE_RELEASE(&t.stop, 1);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&t.start);
	assert_true(t.taken > 0);
	assert_true(t.taken <= allowed);
	/* And what is left is what the bucket holds. */
	assert_true(drain(&t.bucket, t.now, t.now, 1) <= 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_limit_passes_all),
		cmocka_unit_test(the_long_run_is_exact),
		cmocka_unit_test(a_year_is_exact),
		cmocka_unit_test(a_burst_is_bounded),
		cmocka_unit_test(more_than_the_burst_is_paid_for),
		cmocka_unit_test(a_change_takes_hold_at_once),
		cmocka_unit_test(what_is_put_back_can_be_taken),
		cmocka_unit_test(clocks_behind_win_nothing),
		cmocka_unit_test(threads_never_exceed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
