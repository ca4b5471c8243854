/* SPDX-License-Identifier: MIT */
/* Options of any age, and the argument text of backends and devices. */
#include "base/arg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct opts {
	size_t sz;
	uint32_t old, later;
};

static void callers_of_any_age_are_understood(void **state)
{
	struct {
		size_t sz;
		uint32_t old, later, unknown, more;
	} newer = { sizeof(newer), 1, 2, 0, 0 };
	struct {
		size_t sz;
		uint32_t old;
	} older = { offsetof(struct opts, later), 7 };
	struct opts o;
	size_t tiny = 3;

	(void)state;
	assert_int_equal(vio__opts(&o, sizeof(o), NULL, "opts"), 0);
	assert_true(o.sz == sizeof(o) && !o.old && !o.later);
	assert_int_equal(vio__opts(&o, sizeof(o), &older, "opts"), 0);
	assert_true(o.old == 7 && !o.later);
	assert_int_equal(vio__opts(&o, sizeof(o), &newer, "opts"), 0);
	assert_true(o.old == 1 && o.later == 2);
	newer.unknown = 1;
	assert_int_equal(vio__opts(&o, sizeof(o), &newer, "opts"), -E2BIG);
	assert_non_null(strstr(vio_errmsg(), "opts sets a field"));
	assert_int_equal(vio__opts(&o, sizeof(o), &tiny, "opts"), -EINVAL);
}

static char *text;
static uint64_t num, bytes;
static bool flag;

static int parse(const char *from)
{
	const struct vio__arg args[] = { { "", VIO__ARG_TEXT, &text, 0, 0 },
					 { "num", VIO__ARG_NUM, &num, 2, 9 },
					 { "bytes", VIO__ARG_SIZE, &bytes, 0, 0 },
					 { "flag", VIO__ARG_BOOL, &flag, 0, 0 } };

	free(text);
	text = NULL;
	return vio__args("test", from, args, VIO_ARRAY_SIZE(args));
}

static void arguments_are_read(void **state)
{
	(void)state;
	assert_int_equal(parse("a\\,b\\\\c,num=3,bytes=2K,flag=on"), 0);
	assert_string_equal(text, "a,b\\c");
	assert_true(num == 3 && bytes == 2048 && flag);
	assert_int_equal(parse("bytes=0x10g,flag=off"), 0);
	assert_true(!text && bytes == 16ull << 30 && !flag);
	assert_int_equal(parse(NULL), 0);
	assert_int_equal(parse(""), 0);
}

static void bad_arguments_are_named(void **state)
{
	static const char *const bad[][2] = {
		{ "num=1", "num=1 is out of range, expected 2 to 9" },
		{ "num=10", "out of range" },
		{ "num=", "is no whole number" },
		{ "num=-3", "is no whole number" },
		{ "num=3K", "is no whole number" },
		{ "num=99999999999999999999", "is no whole number" },
		{ "bytes=3Q", "is no size" },
		{ "bytes=99999999999T", "is no size" },
		{ "flag=yes", "expected on or off" },
		{ "x,colour=red", "unknown argument 'colour=red'; there are: num, bytes, flag" },
		{ "x,y", "unknown argument 'y'" },
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i][0]), -EINVAL);
		assert_null(text);
		if (!strstr(vio_errmsg(), bad[i][1]))
			fail_msg("%s: \"%s\"", bad[i][0], vio_errmsg());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callers_of_any_age_are_understood),
		cmocka_unit_test(arguments_are_read),
		cmocka_unit_test(bad_arguments_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
