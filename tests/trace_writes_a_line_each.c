/* SPDX-License-Identifier: MIT */
/* trace appends one line of JSON for each request, with its outcome. */
#include "store.h"

#include <unistd.h>

static void a_line_each(void **state)
{
	static const char *const want[] = {
		"{\"op\":\"write\",\"flags\":1,\"offset\":512,\"len\":1024,\"res\":0,\"ns\":",
		"{\"op\":\"read\",\"flags\":0,\"offset\":0,\"len\":512,\"res\":-5,\"ns\":",
		"{\"op\":\"flush\",\"flags\":0,\"offset\":0,\"len\":0,\"res\":0,\"ns\":",
	};
	char path[] = "/tmp/vio-trace-XXXXXX", arg[64], line[256], buf[1024] = "";
	struct vio_req *r;
	struct stack s;
	FILE *f;

	(void)state;
	close(mkstemp(path));
	snprintf(arg, sizeof(arg), "trace:file=%s", path);
	stack_up(&s, arg, 4096);
	r = stack_req(&s, VIO_OP_WRITE, 512, buf, 1024);
	r->flags = VIO_REQ_FUA;
	assert_int_equal(stack_run(&s, r), 0);
	s.store->res = -EIO;
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), -EIO);
	s.store->res = 0;
	assert_int_equal(stack_io(&s, VIO_OP_FLUSH, 0, NULL, 0), 0);
	stack_down(&s);

	f = fopen(path, "re");
	assert_non_null(f);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(want); i++) {
		assert_non_null(fgets(line, sizeof(line), f));
		assert_memory_equal(line, want[i], strlen(want[i]));
		assert_string_equal(line + strspn(line + strlen(want[i]), "0123456789") + strlen(want[i]),
				    "}\n");
	}
	assert_null(fgets(line, sizeof(line), f));
	fclose(f);
	unlink(path);
}

/* The largest numbers there are, more lines than the buffer holds, all whole. */
static void long_lines_stay_whole(void **state)
{
	char path[] = "/tmp/vio-trace-XXXXXX", arg[64], line[256];
	struct vio_req *all[64];
	struct stack s;
	unsigned lines = 0;
	FILE *f;

	(void)state;
	close(mkstemp(path));
	snprintf(arg, sizeof(arg), "trace:file=%s", path);
	stack_up(&s, arg, 4096);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 64; i++)
			all[i] = stack_req(&s, VIO_OP_SECURE_ERASE, UINT64_MAX, NULL, UINT64_MAX);
		vio_lane_submit(s.lane, all, 64);
		assert_int_equal(vio_lane_reap(s.lane, all, 64), 64);
		for (unsigned i = 0; i < 64; i++)
			vio_req_put(s.pool, all[i]);
	}
	stack_down(&s);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		assert_memory_equal(line, "{\"op\":\"secure-erase\"", 20);
		assert_string_equal(line + strlen(line) - 2, "}\n");
		lines++;
	}
	assert_int_equal(lines, 20 * 64);
	fclose(f);
	unlink(path);
}

static void wrong_arguments(void **state)
{
	(void)state;
	assert_int_equal(stack_try("trace", 4096), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "file=PATH"));
	assert_int_equal(stack_try("trace:file=/nonexistent/t", 4096), -ENOENT);
	assert_int_equal(stack_try("trace:file=-", 4096), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_each),
		cmocka_unit_test(long_lines_stay_whole),
		cmocka_unit_test(wrong_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
