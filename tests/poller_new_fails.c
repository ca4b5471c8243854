/* SPDX-License-Identifier: MIT */
/* Every fd and every allocation that making a poller needs fails in turn: a sentence, and nothing is left
 * behind. */
#define _GNU_SOURCE
#include "open_fds.h"
#include "poller.h"

#include <sys/resource.h>

#define FAIL_NEVER (~0u)

/* This file's own copy of the library's, whose allocations can be made to fail. */
static unsigned allocs_left = FAIL_NEVER;

static bool alloc_allowed(void)
{
	return allocs_left == FAIL_NEVER || (allocs_left && allocs_left--);
}

static void *test_calloc_(size_t n, size_t size)
{
	return alloc_allowed() ? calloc(n, size) : NULL;
}

static void *test_aligned_alloc(size_t align, size_t size)
{
	return alloc_allowed() ? aligned_alloc(align, size) : NULL;
}

#include "base/base.h"
#define calloc test_calloc_
#define aligned_alloc test_aligned_alloc
#undef _GNU_SOURCE /* each of them defines it */
#include "poll/poller.c"
#include "poll/watch.c"
#include "poll/uring.c"
#include "poll/epoll.c"
#include "poll/aio.c"
#undef calloc
#undef aligned_alloc

static void a_wrong_option_is_refused(void **state)
{
	VIO_OPTS(vio_poller_opts, o, .mode = (enum vio_poll_mode)7);
	struct vio_poller *p = (void *)1;

	(void)state;
	assert_int_equal(vio_poller_new(&p, &o), -EINVAL);
	assert_null(p);
	o.mode = VIO_POLL_EVENT;
	o.engine = (enum vio_poll_engine)3;
	assert_int_equal(vio_poller_new(&p, &o), -EINVAL);
	o.engine = VIO_POLL_AUTO;
	o.entries = 32769;
	assert_int_equal(vio_poller_new(&p, &o), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "32768"));
	o.entries = 32768;
	assert_int_equal(vio_poller_new(&p, &o), 0);
	vio_poller_free(p);
	o.sz = 4;
	assert_int_equal(vio_poller_new(&p, &o), -EINVAL);
	vio_poller_free(NULL);
}

static void every_allocation_may_fail(void **state)
{
	for (unsigned engine = VIO_POLL_IO_URING; engine <= VIO_POLL_EPOLL; engine++) {
		VIO_OPTS(vio_poller_opts, o, .engine = engine);
		unsigned fds = open_fds(), n = 0;
		struct vio_poller *p = NULL;
		int rc = -ENOMEM;

		(void)state;
		for (; rc == -ENOMEM; n++) {
			allocs_left = n;
			rc = vio_poller_new(&p, &o);
			assert_true(rc || p);
			assert_true(!rc || strstr(vio_errmsg(), "memory"));
		}
		allocs_left = FAIL_NEVER;
		if (rc)
			print_message("%s\n", vio_errmsg());
		else
			assert_true(n > 2);
		vio_poller_free(p);
		assert_int_equal(open_fds(), fds);
	}
}

static void every_fd_may_be_refused(void **state)
{
	for (unsigned engine = VIO_POLL_AUTO; engine <= VIO_POLL_EPOLL; engine++) {
		VIO_OPTS(vio_poller_opts, o, .engine = engine);
		unsigned fds = open_fds(), n = 0;
		struct rlimit old, low;
		struct vio_poller *p = NULL;
		int rc = -EMFILE, lowest = dup(0);

		(void)state;
		close(lowest);
		getrlimit(RLIMIT_NOFILE, &old);
		for (; rc == -EMFILE; n++) {
			low = (struct rlimit){ .rlim_cur = (rlim_t)lowest + n, .rlim_max = old.rlim_max };
			setrlimit(RLIMIT_NOFILE, &low);
			rc = vio_poller_new(&p, &o);
			assert_true(rc ? !p : !!p);
		}
		setrlimit(RLIMIT_NOFILE, &old);
		if (rc)
			print_message("%s\n", vio_errmsg());
		else
			assert_int_equal(n, 5); /* 0 to 3 fds were too few */
		vio_poller_free(p);
		assert_int_equal(open_fds(), fds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_option_is_refused),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(every_fd_may_be_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
