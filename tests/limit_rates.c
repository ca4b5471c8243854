/* SPDX-License-Identifier: MIT */
/* The arithmetic of a rate limit, in time that the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "filter/limit.h"

#define S VIO__LIMIT_SECOND
#define T0 (1000 * S)

static struct vio__limit limit(uint64_t rate, uint64_t burst)
{
	struct vio__limit m = { 0 };

	vio__limit_set(&m, rate, burst, T0);
	return m;
}

static void a_burst_then_the_rate(void **state)
{
	struct vio__limit m = limit(100, 10);

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		assert_true(vio__limit_ready(&m, 1, T0));
		assert_true(vio__limit_reserve(&m, 1, T0) <= T0);
	}
	assert_false(vio__limit_ready(&m, 1, T0));
	for (unsigned i = 1; i <= 1000; i++)
		assert_int_equal(vio__limit_reserve(&m, 1, T0), T0 + i * (S / 100));
}

static void what_is_not_used_is_kept_up_to_the_burst(void **state)
{
	struct vio__limit m = limit(1000, 50);
	unsigned n = 0;

	(void)state;
	while (vio__limit_reserve(&m, 1, T0) <= T0)
		n++;
	assert_int_equal(n, 50);
	for (n = 0; vio__limit_reserve(&m, 1, T0 + 3600 * S) <= T0 + 3600 * S;)
		n++;
	assert_int_equal(n, 50);
}

static void a_request_above_the_burst_still_goes(void **state)
{
	struct vio__limit m = limit(1 << 20, 4096);

	(void)state;
	assert_true(vio__limit_reserve(&m, 64 << 20, T0) <= T0); /* the bucket was full */
	/* The debt is 64 s less the burst; the next one waits for all of it, and for a full bucket if it is
	 * large. */
	assert_int_equal(vio__limit_reserve(&m, 1 << 20, T0), T0 + 64 * S);
	assert_true(vio__limit_reserve(&m, 1, T0) > T0 + 64 * S);
}

static void unlimited_is_always_ready(void **state)
{
	struct vio__limit m = limit(0, 0);

	(void)state;
	assert_true(vio__limit_ready(&m, UINT64_MAX, T0));
	assert_int_equal(vio__limit_reserve(&m, UINT64_MAX, T0), T0);
}

/* Nothing wraps, whatever the numbers. */
static void extremes(void **state)
{
	static const uint64_t v[] = { 1, 2, 999999999, 1ull << 32, 1ull << 62, UINT64_MAX };

	(void)state;
	for (unsigned r = 0; r < VIO_ARRAY_SIZE(v); r++)
		for (unsigned b = 0; b < VIO_ARRAY_SIZE(v); b++)
			for (unsigned n = 0; n < VIO_ARRAY_SIZE(v); n++) {
				struct vio__limit m = limit(v[r], v[b]);
				uint64_t last = 0;

				for (unsigned i = 0; i < 8; i++) {
					uint64_t at = vio__limit_reserve(&m, v[n], T0);

					assert_true(at >= last);
					last = at;
				}
			}
}

static void a_changed_limit_forgives_debt(void **state)
{
	struct vio__limit m = limit(1, 1);

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		vio__limit_reserve(&m, 1, T0);
	assert_true(vio__limit_reserve(&m, 1, T0) >= T0 + 100 * S);
	vio__limit_set(&m, 10, 1, T0);
	assert_int_equal(vio__limit_reserve(&m, 1, T0), T0 + S / 10);
}

static struct vio__limit shared;
static uint64_t last_release[4];

static void *reserve_many(void *arg)
{
	uint64_t *last = arg;

	for (unsigned i = 0; i < 100000; i++)
		*last = vio__limit_reserve(&shared, 3, T0);
	return NULL;
}

/* Whatever the interleaving, all tokens are counted: the last release is that of the sum. */
static void threads_share_one_limit(void **state)
{
	pthread_t t[4];
	uint64_t max = 0;

	(void)state;
	shared = limit(1000, 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reserve_many, &last_release[i]), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		max = VIO_MAX(max, last_release[i]);
	}
	/* A burst of one token in the bucket; a cost of three waits for the burst and leaves the rest as
	 * debt. */
	assert_int_equal(shared.vtime, T0 - S / 1000 + 4 * 100000 * 3 * (S / 1000));
	assert_true(max <= shared.vtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_then_the_rate),
		cmocka_unit_test(what_is_not_used_is_kept_up_to_the_burst),
		cmocka_unit_test(a_request_above_the_burst_still_goes),
		cmocka_unit_test(unlimited_is_always_ready),
		cmocka_unit_test(extremes),
		cmocka_unit_test(a_changed_limit_forgives_debt),
		cmocka_unit_test(threads_share_one_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
