/* SPDX-License-Identifier: MIT */
/* The bounce pool hands each cell out once, in runs as long as there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "filter/bounce.h"

static void whole_chunks(void **state)
{
	struct vio__bounce_run a, b, c;
	struct vio__bounce p;

	(void)state;
	assert_int_equal(vio__bounce_init(&p, 1 + 64 * 4096), 0);
	assert_int_equal(p.chunks, 2);
	assert_true(vio__bounce_get(&p, 1000, 1, &a));
	assert_int_equal(a.cells, 64);
	assert_true(vio__bounce_get(&p, 64, 1, &b));
	assert_int_equal(b.cells, 64);
	assert_false(vio__bounce_get(&p, 1, 1, &c));
	assert_int_equal(c.cells, 0);
	vio__bounce_put(&p, &c); /* no run: nothing happens */
	vio__bounce_put(&p, &a);
	vio__bounce_put(&p, &a);
	assert_true(vio__bounce_get(&p, 64, 1, &c));
	assert_int_equal(c.cells, 64);
	vio__bounce_fini(&p);
}

static void the_longest_there_is(void **state)
{
	struct vio__bounce_run run[64], r;
	struct vio__bounce p;

	(void)state;
	assert_int_equal(vio__bounce_init(&p, 4096), 0);
	for (unsigned i = 0; i < 64; i++)
		assert_true(vio__bounce_get(&p, 1, 1, &run[i]));
	for (unsigned i = 10; i < 13; i++) /* a hole of 3, one of 5 */
		vio__bounce_put(&p, &run[i]);
	for (unsigned i = 40; i < 45; i++)
		vio__bounce_put(&p, &run[i]);
	assert_true(vio__bounce_get(&p, 8, 1, &r));
	assert_int_equal(r.first, 40);
	assert_int_equal(r.cells, 5);
	vio__bounce_put(&p, &r);
	assert_true(vio__bounce_get(&p, 8, 2, &r));
	assert_int_equal(r.cells, 4);
	vio__bounce_put(&p, &r);
	assert_false(vio__bounce_get(&p, 8, 8, &r));
	vio__bounce_fini(&p);
}

/* At random for a while: no cell is given out twice, and all are there at the end. */
static void each_cell_once(void **state)
{
	struct vio__bounce_run run[40] = { 0 };
	unsigned char taken[4][64] = { 0 };
	struct vio__bounce p;
	uint32_t x = 1;

	(void)state;
	assert_int_equal(vio__bounce_init(&p, 4 * 64 * 4096), 0);
	for (unsigned n = 0; n < 100000; n++) {
		struct vio__bounce_run *r = &run[(x = x * 1664525 + 1013904223) >> 8 & 31];
		unsigned want = (x >> 16) % 70 + 1;
		bool get = !r->cells;

		if (get) {
			if (!vio__bounce_get(&p, want, 1, r))
				continue;
			assert_true(r->cells <= want);
		}
		for (unsigned i = 0; i < r->cells; i++) {
			assert_int_equal(taken[r->chunk][r->first + i], !get);
			taken[r->chunk][r->first + i] = get;
		}
		if (!get)
			vio__bounce_put(&p, r);
	}
	for (unsigned i = 0; i < 32; i++)
		vio__bounce_put(&p, &run[i]);
	for (unsigned i = 0; i < 4; i++)
		assert_true(p.free[i] == UINT64_MAX);
	vio__bounce_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_chunks),
		cmocka_unit_test(the_longest_there_is),
		cmocka_unit_test(each_cell_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
