/* SPDX-License-Identifier: MIT */
/* The pool of data buffers against a plain model: no two overlap, all come back, and then the largest fit
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "queue/nvme_pool.h"

enum { BUFFERS = 400, BYTES = 4 << 20, CAPSULES = 16 };

static struct {
	unsigned char *p;
	uint32_t len;
	unsigned char mark;
} held[BUFFERS];

static void check(unsigned i)
{
	assert_int_equal(held[i].p[0], held[i].mark);
	assert_int_equal(held[i].p[held[i].len / 2], held[i].mark);
	assert_int_equal(held[i].p[held[i].len - 1], held[i].mark);
}

static void buffers_do_not_overlap(void **state)
{
	struct nvme_pool *p;
	unsigned seed = 1, refused = 0;
	void *all[BYTES / NPOOL_MAX];

	(void)state;
	assert_int_equal(npool_new(&p, BYTES, CAPSULES), 0);
	for (unsigned step = 0; step < 200000; step++) {
		unsigned i = (seed = seed * 1103515245u + 12345u) >> 8 & 255;

		if (held[i].p) {
			check(i);
			npool_put(p, held[i].p);
			held[i].p = NULL;
			continue;
		}
		held[i].len = 1 + (seed >> 16 & 7 ? seed >> 12 & 16383 : seed >> 8 & (NPOOL_MAX - 1));
		held[i].p = npool_get(p, held[i].len);
		held[i].mark = (unsigned char)step;
		if (!held[i].p) {
			refused++;
			continue;
		}
		assert_int_equal((uintptr_t)held[i].p % NPOOL_PAGE, 0);
		memset(held[i].p, held[i].mark, held[i].len);
	}
	assert_in_range(refused, 1, 100000); /* it was full at times */
	for (unsigned i = 0; i < BUFFERS; i++)
		if (held[i].p) {
			check(i);
			npool_put(p, held[i].p);
		}
	assert_int_equal(npool_used(p), 0);
	for (unsigned i = 0; i < BYTES / NPOOL_MAX; i++)
		assert_non_null(all[i] = npool_get(p, NPOOL_MAX));
	assert_null(npool_get(p, 1));
	for (unsigned i = 0; i < BYTES / NPOOL_MAX; i++)
		npool_put(p, all[i]);
	npool_free(p);
}

static void capsules_are_apart(void **state)
{
	struct nvme_pool *p;
	void *c[CAPSULES];

	(void)state;
	assert_int_equal(npool_new(&p, NPOOL_MAX, CAPSULES), 0);
	for (unsigned i = 0; i < CAPSULES; i++) {
		assert_non_null(c[i] = npool_get_capsule(p));
		memset(c[i], (int)i, NPOOL_CAPSULE);
	}
	assert_null(npool_get_capsule(p));
	for (unsigned i = 0; i < CAPSULES; i++) {
		assert_int_equal(((unsigned char *)c[i])[NPOOL_CAPSULE - 1], i);
		npool_put(p, c[i]);
	}
	assert_int_equal(npool_capsules(p), CAPSULES);
	npool_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(buffers_do_not_overlap),
					    cmocka_unit_test(capsules_are_apart) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
