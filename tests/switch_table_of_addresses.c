/* SPDX-License-Identifier: MIT */
/* The forwarding database against a plain model of it, at full capacity: addresses come, move, age, are fixed
 * and forgotten. */
#include "base/barrier.h"
#include "switch/fdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SECOND 1000000000ull
#define AGE (300 * SECOND)
#define PORTS 64u

/* What the model knows of address i. */
struct known {
	uint16_t port;
	bool here, fixed;
	uint64_t heard;
};

struct model {
	struct fdb *f;
	struct known *a;
	uint32_t n;	   /* addresses that exist in this world */
	uint32_t refusals; /* that may still come: a random seed can fill the places of an address */
	uint64_t now, rng;
};

static uint64_t random_word(struct model *m)
{
	m->rng ^= m->rng << 13;
	m->rng ^= m->rng >> 7;
	m->rng ^= m->rng << 17;
	return m->rng;
}

/* Addresses as a careless or a hostile guest has them: counting up, in several VLANs. */
static uint64_t mac_of(uint32_t i)
{
	return 0x525400000000ull + i / 2;
}

static uint16_t vlan_of(uint32_t i)
{
	return (uint16_t)(10 + i % 2);
}

static void model_up(struct model *m, uint32_t capacity, uint32_t n)
{
	memset(m, 0, sizeof(*m));
	assert_int_equal(fdb_new(&m->f, capacity, AGE), 0);
	m->a = calloc(n, sizeof(*m->a));
	assert_non_null(m->a);
	m->n = n;
	m->now = 1000 * SECOND;
	m->rng = 88172645463325252ull;
}

static void model_down(struct model *m)
{
	fdb_free(m->f);
	free(m->a);
}

/* Ages are kept in ticks: about the border either answer is right. */
enum age { FRESH, BORDER, AGED };

static enum age age_of(const struct model *m, const struct known *k)
{
	if (!k->here)
		return AGED;
	if (k->fixed || m->now - k->heard < AGE)
		return FRESH;
	return m->now - k->heard < AGE + AGE / 8 ? BORDER : AGED;
}

static void check(struct model *m, uint32_t i)
{
	unsigned port = fdb_find(m->f, mac_of(i), vlan_of(i), m->now);
	enum age age = age_of(m, &m->a[i]);

	if (age == FRESH)
		assert_int_equal(port, m->a[i].port);
	else if (age == AGED)
		assert_int_equal(port, FDB_NONE);
	else
		assert_true(port == FDB_NONE || port == m->a[i].port);
}

/* Of decisions that were made for an address. */
static uint32_t generation(const struct model *m, uint32_t i)
{
	return VIO_LOAD_ACQUIRE(&fdb_generations(m->f)[fdb_stripe(m->f, mac_of(i), vlan_of(i))]);
}

/* How many of the counters another array of them differs in. */
static unsigned generations_changed(const struct model *m, const uint32_t *before)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FDB_STRIPES; i++)
		n += before[i] != fdb_generations(m->f)[i];
	return n;
}

static void hear(struct model *m, uint32_t i, uint16_t port)
{
	uint32_t before = generation(m, i);
	enum fdb_learnt learnt = fdb_learn(m->f, mac_of(i), vlan_of(i), port, FDB_NO_LIMIT, m->now);
	struct known *k = &m->a[i];
	enum age age = age_of(m, k);

	if (k->here && k->fixed) {
		assert_int_equal(learnt, port == k->port ? FDB_SAME : FDB_FIXED);
		assert_int_equal(generation(m, i), before);
		return;
	}
	if (learnt == FDB_FULL && m->refusals) { /* an unlucky seed: its places are taken */
		assert_int_not_equal(age, FRESH);
		m->refusals--;
		return;
	}
	if (age != BORDER)
		assert_int_equal(learnt, age == AGED ? FDB_NEW : port == k->port ? FDB_SAME : FDB_MOVED);
	assert_true((learnt == FDB_SAME) == (generation(m, i) == before));
	*k = (struct known){ .port = port, .here = true, .heard = m->now };
}

static void fix(struct model *m, uint32_t i, uint16_t port)
{
	const struct known *k = &m->a[i];
	bool same = k->here && k->fixed && k->port == port;
	uint32_t before = generation(m, i);

	assert_int_equal(fdb_fix(m->f, mac_of(i), vlan_of(i), port), 0);
	assert_true((generation(m, i) == before) == same);
	m->a[i] = (struct known){ .port = port, .here = true, .fixed = true };
}

static void forget(struct model *m, uint32_t i)
{
	uint32_t before = generation(m, i);
	int rc = fdb_fix(m->f, mac_of(i), vlan_of(i), FDB_NONE);

	assert_true((rc == 0) == (generation(m, i) != before));
	/* An aged one's place may have gone to another. */
	if (age_of(m, &m->a[i]) == FRESH)
		assert_int_equal(rc, 0);
	else
		assert_true(rc == 0 || rc == -ENOENT);
	m->a[i].here = false;
}

static void forget_port(struct model *m, uint16_t port)
{
	fdb_forget_port(m->f, port);
	for (uint32_t i = 0; i < m->n; i++)
		if (m->a[i].port == port)
			m->a[i].here = false;
}

static void step(struct model *m)
{
	uint32_t i = (uint32_t)(random_word(m) % m->n);
	uint16_t port = (uint16_t)(random_word(m) % PORTS);
	unsigned what = random_word(m) % 1000;

	if (what < 600)
		hear(m, i, m->a[i].here ? m->a[i].port : port);
	else if (what < 800)
		hear(m, i, port);
	else if (what < 850)
		fix(m, i, port);
	else if (what < 900)
		forget(m, i);
	else if (what < 930)
		m->now += random_word(m) % (2 * SECOND);
	else
		check(m, i);
	check(m, i);
}

static void count(void *ctx, const struct fdb_entry *e)
{
	struct model *m = ctx;
	uint32_t i = (uint32_t)(e->mac - mac_of(0)) * 2 + (e->vlan - vlan_of(0));

	assert_true(i < m->n);
	assert_true(m->a[i].here);
	assert_int_equal(e->port, m->a[i].port);
	assert_int_equal(e->fixed, m->a[i].fixed);
	if (!e->fixed)
		assert_true(e->heard_ns <= m->now && m->now - e->heard_ns < AGE + AGE / 8);
	m->a[i].heard |= 1ull << 63; /* seen: none may come twice */
}

static void check_all(struct model *m)
{
	uint64_t fresh = 0, seen = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		check(m, i);
		fresh += age_of(m, &m->a[i]) == FRESH;
	}
	fdb_each(m->f, m->now, count, m);
	for (uint32_t i = 0; i < m->n; i++) {
		seen += m->a[i].heard >> 63;
		m->a[i].heard &= ~(1ull << 63);
	}
	assert_true(seen >= fresh);
}

static void random_life(void **state)
{
	struct model m;

	(void)state;
	model_up(&m, 4096, 4096);
	for (unsigned i = 0; i < 2000000; i++) {
		step(&m);
		if (i % 250000 == 0) {
			forget_port(&m, (uint16_t)(i / 250000));
			check_all(&m);
		}
	}
	check_all(&m);
	model_down(&m);
}

static void a_million_addresses(void **state)
{
	struct fdb_counts c;
	struct model m;

	(void)state;
	model_up(&m, FDB_CAPACITY_MAX, FDB_CAPACITY_MAX);
	m.refusals = m.n / 100000; /* one in so many has no place, at most */
	for (uint32_t i = 0; i < m.n; i++)
		hear(&m, i, (uint16_t)(i % PORTS));
	check_all(&m);
	for (unsigned i = 0; i < 1000000; i++)
		step(&m);
	forget_port(&m, 3);
	check_all(&m);
	fdb_counts(m.f, &c);
	assert_int_equal(c.full, m.n / 100000 - m.refusals);
	model_down(&m);
}

/* Strangers fill the table: they are refused, counted, and cost those who are known nothing. */
static void what_does_not_fit_is_refused(void **state)
{
	uint32_t before[FDB_STRIPES];
	struct fdb_counts c;
	struct model m;

	(void)state;
	model_up(&m, 1000, 1000);
	for (uint32_t i = 0; i < m.n; i++)
		hear(&m, i, 1);
	memcpy(before, fdb_generations(m.f), sizeof(before));
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(fdb_learn(m.f, 0xaa0000000000ull + i, 1, 2, FDB_NO_LIMIT, m.now), FDB_FULL);
	fdb_counts(m.f, &c);
	assert_int_equal(c.full, 5000);
	assert_int_equal(c.known, 1000);
	assert_int_equal(generations_changed(&m, before), 0);
	check_all(&m);
	/* The host's own word counts more than what was learnt. */
	assert_int_equal(fdb_fix(m.f, 0xbb0000000000ull, 1, 5), 0);
	assert_int_equal(fdb_find(m.f, 0xbb0000000000ull, 1, m.now), 5);
	for (uint32_t i = 0; i < m.n; i++) /* and whose place it took is unknown */
		if (fdb_find(m.f, mac_of(i), vlan_of(i), m.now) == FDB_NONE)
			assert_int_not_equal(generation(&m, i),
					     before[fdb_stripe(m.f, mac_of(i), vlan_of(i))]);
	assert_in_range(generations_changed(&m, before), 1, 2);
	fdb_counts(m.f, &c);
	assert_int_equal(c.known, 1000);
	model_down(&m);
}

static void static_ones_fill_it_to_the_last(void **state)
{
	struct model m;
	int rc = 0;

	(void)state;
	model_up(&m, 100, 200);
	for (uint32_t i = 0; i < 100; i++)
		fix(&m, i, 1);
	check_all(&m);
	for (uint32_t i = 100; i < 200; i++) {
		rc = fdb_fix(m.f, mac_of(i), vlan_of(i), 1);
		assert_int_equal(rc, -ENOSPC);
	}
	check_all(&m);
	forget(&m, 0);
	fix(&m, 100, 2);
	check_all(&m);
	model_down(&m);
}

static void the_aged_make_room(void **state)
{
	uint32_t before[FDB_STRIPES];
	struct fdb_counts c;
	unsigned forgotten = 0;
	struct model m;

	(void)state;
	model_up(&m, 1024, 2048);
	for (uint32_t i = 0; i < 1024; i++)
		hear(&m, i, 1);
	m.now += 2 * AGE;
	check_all(&m);
	memcpy(before, fdb_generations(m.f), sizeof(before));
	for (unsigned i = 0; i < fdb_sweep_parts(m.f); i++)
		forgotten += fdb_sweep(m.f, m.now);
	assert_int_equal(forgotten, 1024);
	for (uint32_t i = 0; i < 1024; i++)
		assert_int_not_equal(generation(&m, i), before[fdb_stripe(m.f, mac_of(i), vlan_of(i))]);
	fdb_counts(m.f, &c);
	assert_int_equal(c.known, 0);
	for (uint32_t i = 1024; i < 2048; i++)
		hear(&m, i, 2);
	check_all(&m);
	model_down(&m);
}

/* Whatever happens to an address, decisions for others hold, but for those few that share its counter. */
static void a_change_touches_one_counter(void **state)
{
	uint32_t before[FDB_STRIPES];
	struct model m;

	(void)state;
	model_up(&m, 1000, 1000);
	for (uint32_t i = 0; i < 500; i++)
		hear(&m, i, 1);
	memcpy(before, fdb_generations(m.f), sizeof(before));
	for (unsigned k = 0; k < 100; k++) {
		hear(&m, 7, (uint16_t)(2 + k));
		fix(&m, 7, 1);
		forget(&m, 7);
		hear(&m, 7, 1);
	}
	assert_int_equal(generations_changed(&m, before), 1);
	assert_int_equal(generation(&m, 7) - before[fdb_stripe(m.f, mac_of(7), vlan_of(7))], 400);
	model_down(&m);
}

/* No more than chance has it. */
static void strangers_spread_over_the_counters(void **state)
{
	unsigned hits[FDB_STRIPES] = { 0 }, most = 0;
	struct model m;

	(void)state;
	model_up(&m, 1000, 1000);
	for (uint32_t i = 0; i < 16 * FDB_STRIPES; i++)
		hits[fdb_stripe(m.f, mac_of(i), vlan_of(i))]++;
	for (unsigned i = 0; i < FDB_STRIPES; i++)
		most = VIO_MAX(most, hits[i]);
	assert_in_range(most, 16, 64); /* 16 each: above 64 less often than once in 10^16 */
	model_down(&m);
}

static void vlans_are_apart(void **state)
{
	struct model m;

	(void)state;
	model_up(&m, 16, 16);
	assert_int_equal(fdb_learn(m.f, 0xffffffffffffull, 4095, 1, FDB_NO_LIMIT, m.now), FDB_NEW);
	assert_int_equal(fdb_learn(m.f, 0xffffffffffffull, 0, 2, FDB_NO_LIMIT, m.now), FDB_NEW);
	assert_int_equal(fdb_learn(m.f, 0, 0, 3, FDB_NO_LIMIT, m.now), FDB_NEW);
	assert_int_equal(fdb_find(m.f, 0xffffffffffffull, 4095, m.now), 1);
	assert_int_equal(fdb_find(m.f, 0xffffffffffffull, 0, m.now), 2);
	assert_int_equal(fdb_find(m.f, 0, 0, m.now), 3);
	assert_int_equal(fdb_find(m.f, 0, 1, m.now), FDB_NONE);
	model_down(&m);
}

static void sizes_are_checked(void **state)
{
	struct fdb *f;

	(void)state;
	assert_int_equal(fdb_new(&f, 0, AGE), -EINVAL);
	assert_null(f);
	assert_int_equal(fdb_new(&f, FDB_CAPACITY_MAX + 1, AGE), -EINVAL);
	fdb_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_life),
		cmocka_unit_test(a_million_addresses),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(static_ones_fill_it_to_the_last),
		cmocka_unit_test(the_aged_make_room),
		cmocka_unit_test(a_change_touches_one_counter),
		cmocka_unit_test(strangers_spread_over_the_counters),
		cmocka_unit_test(vlans_are_apart),
		cmocka_unit_test(sizes_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
