/* SPDX-License-Identifier: MIT */
/* The flow table gives back exactly the decision that was put in for a key, keeps what is used, and never
 * fills up. */
#include "switch/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define IDLE 1000u

static struct flow_key key_of(uint32_t i)
{
	struct flow_key k = { .vlan = (uint16_t)(i % 4095), .in_port = (uint16_t)(i >> 20) };

	memcpy(k.dst, &i, sizeof(i));
	i *= 2654435761u;
	memcpy(k.src + 2, &i, sizeof(i));
	return k;
}

static struct flow *put(struct flow_table *t, uint32_t i, uint64_t now)
{
	struct flow_key k = key_of(i);
	struct flow *f = flow_add(t, &k, now);

	assert_non_null(f);
	assert_memory_equal(&f->key, &k, sizeof(k));
	assert_int_equal(f->used_ns, now);
	assert_int_equal(f->act[0].kind, FLOW_END);
	f->act[0] = (struct flow_action){ .kind = FLOW_OUTPUT, .arg = i * 7 % 4096 };
	return f;
}

static struct flow *find(const struct flow_table *t, uint32_t i)
{
	struct flow_key k = key_of(i);
	struct flow *f = flow_find(t, &k), *guess = flow_guess(t, &k);

	if (f) {
		assert_memory_equal(&f->key, &k, sizeof(k));
		assert_int_equal(f->act[0].arg, i * 7 % 4096);
		assert_non_null(guess);
	}
	assert_true(!guess || !flow_is(guess, &k) || guess == f);
	return f;
}

static void a_million_flows_fit(void **state)
{
	const uint32_t n = FLOW_CAPACITY_MAX;
	struct flow_counts c;
	struct flow_table *t;
	uint64_t lost = 0;

	(void)state;
	assert_int_equal(flow_table_new(&t, n, UINT64_MAX), 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_null(find(t, i));
		put(t, i, i)->packets = i;
	}
	flow_counts(t, &c);
	assert_int_equal(c.added, n);
	/* It is a cache: of a full table's flows one in a thousand may have met a full bucket. */
	assert_int_equal(c.flows + c.replaced, n);
	assert_true(c.replaced < n / 1000);
	for (uint32_t i = 0; i < n; i++) {
		struct flow *f = find(t, i);

		lost += !f;
		assert_true(!f || f->packets == i);
	}
	assert_int_equal(lost, c.replaced);
	flow_table_free(t);
}

static void a_new_decision_goes_on_counting(void **state)
{
	struct flow_table *t;
	struct flow *f;

	(void)state;
	assert_int_equal(flow_table_new(&t, 16, IDLE), 0);
	f = put(t, 1, 0);
	f->packets = 5;
	f->bytes = 500;
	f->act[1].kind = FLOW_DROP;
	assert_ptr_equal(put(t, 1, 1), f);
	assert_int_equal(f->packets, 5);
	assert_int_equal(f->bytes, 500);
	assert_int_equal(f->act[1].kind, FLOW_END);
	assert_ptr_equal(find(t, 1), f);
	flow_table_free(t);
}

/* Each byte of a key counts. */
static void keys_are_compared_whole(void **state)
{
	struct flow_key k, zero = { 0 };
	struct flow_table *t;

	(void)state;
	assert_int_equal(flow_table_new(&t, 1024, IDLE), 0);
	assert_null(flow_find(t, &zero)); /* free places have such a key */
	put(t, 42, 0);
	for (unsigned i = 0; i < sizeof(k); i++) {
		k = key_of(42);
		((uint8_t *)&k)[i] ^= 1;
		assert_null(flow_find(t, &k));
	}
	flow_table_free(t);
}

/* What is used stays while a hundred times as many strangers come by as there is room for. */
static void strangers_replace_the_stalest(void **state)
{
	const uint32_t n = 4096, busy = 64;
	struct flow_counts c;
	struct flow_table *t;
	unsigned lost = 0;

	(void)state;
	assert_int_equal(flow_table_new(&t, n, IDLE), 0);
	for (uint32_t i = 0; i < busy; i++)
		put(t, i, 0);
	for (uint32_t i = busy; i < 100 * n; i++) {
		struct flow *f = find(t, i % busy);

		if (f)
			f->used_ns = i;
		else
			put(t, i % busy, i);
		lost += !f;
		put(t, i, i);
		assert_non_null(find(t, i));
	}
	assert_int_equal(lost, 0);
	flow_counts(t, &c);
	assert_in_range(c.flows, n, n + n / 2);
	assert_true(c.added - c.flows >= c.replaced);
	flow_table_free(t);
}

static void idle_ones_are_no_loss(void **state)
{
	struct flow_counts c;
	struct flow_table *t;

	(void)state;
	assert_int_equal(flow_table_new(&t, 64, IDLE), 0);
	for (uint32_t i = 0; i < 1000; i++)
		put(t, i, (uint64_t)i * IDLE * 100);
	flow_counts(t, &c);
	assert_int_equal(c.replaced, 0);
	for (uint32_t i = 0; i < 1000; i++)
		put(t, i, 1000 * IDLE * 100);
	flow_counts(t, &c);
	assert_true(c.replaced > 0);
	flow_table_free(t);
}

static void sum_up(void *ctx, const struct flow *f)
{
	uint64_t *sums = ctx;

	sums[0]++;
	sums[1] += f->packets;
}

static void each_shows_every_flow_once(void **state)
{
	uint64_t sums[2] = { 0 };
	struct flow_table *t;

	(void)state;
	assert_int_equal(flow_table_new(&t, 1000, IDLE), 0);
	for (uint32_t i = 0; i < 500; i++)
		put(t, i, 0)->packets = i;
	flow_each(t, sum_up, sums);
	assert_int_equal(sums[0], 500);
	assert_int_equal(sums[1], 500 * 499 / 2);
	flow_table_free(t);
}

static void sizes_are_checked(void **state)
{
	struct flow_table *t;

	(void)state;
	assert_int_equal(flow_table_new(&t, 0, 1), -EINVAL);
	assert_null(t);
	assert_int_equal(flow_table_new(&t, FLOW_CAPACITY_MAX + 1, 1), -EINVAL);
	assert_int_equal(flow_table_new(&t, 1, 1), 0);
	put(t, 1, 1);
	assert_non_null(find(t, 1));
	flow_table_free(t);
	flow_table_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_flows_fit),	   cmocka_unit_test(a_new_decision_goes_on_counting),
		cmocka_unit_test(keys_are_compared_whole), cmocka_unit_test(strangers_replace_the_stalest),
		cmocka_unit_test(idle_ones_are_no_loss),   cmocka_unit_test(each_shows_every_flow_once),
		cmocka_unit_test(sizes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
