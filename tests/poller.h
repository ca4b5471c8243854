/* SPDX-License-Identifier: MIT */
/* What the poller's tests share: each test runs on both engines. */
#ifndef TESTS_POLLER_H
#define TESTS_POLLER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <virtio-offload/impl/poll.h>

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))

/* One of an engine; NULL where the machine refuses it, which only io_uring may be. */
MAYBE_UNUSED static struct vio_poller *poller_of(enum vio_poll_engine engine, enum vio_poll_mode mode)
{
	VIO_OPTS(vio_poller_opts, o, .engine = engine, .mode = mode);
	struct vio_poller *p;
	int rc = vio_poller_new(&p, &o);

	if (rc) {
		assert_int_equal(engine, VIO_POLL_IO_URING);
		print_message("%s\n", vio_errmsg());
	}
	return p;
}

MAYBE_UNUSED static int setup_uring(void **state)
{
	*state = poller_of(VIO_POLL_IO_URING, VIO_POLL_EVENT);
	return 0;
}

MAYBE_UNUSED static int setup_epoll(void **state)
{
	*state = poller_of(VIO_POLL_EPOLL, VIO_POLL_EVENT);
	return 0;
}

MAYBE_UNUSED static int teardown(void **state)
{
	vio_poller_free(*state);
	return 0;
}

/* The test's poller; skips the test where there is none. */
MAYBE_UNUSED static struct vio_poller *poller_from(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* A second one like p. */
MAYBE_UNUSED static struct vio_poller *poller_like(struct vio_poller *p, enum vio_poll_mode mode)
{
	struct vio_poller *q = poller_of(vio_poller_engine(p), mode);

	assert_non_null(q);
	return q;
}

#define BOTH(test)                                                                                           \
	{ #test " on io_uring", test, setup_uring, teardown, NULL },                                         \
	{                                                                                                    \
#test " on epoll", test, setup_epoll, teardown, NULL                                         \
	}

MAYBE_UNUSED static struct vio_poller_stats stats_of(struct vio_poller *p)
{
	struct vio_poller_stats st = { .sz = sizeof(st) };

	vio_poller_stats(p, &st);
	return st;
}

MAYBE_UNUSED static int event_fd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

MAYBE_UNUSED static void event_write(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* What the eventfd counted since the last time; 0 if nothing. */
MAYBE_UNUSED static uint64_t event_read(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Runs until nothing is left to do. */
MAYBE_UNUSED static void settle(struct vio_poller *p)
{
	for (unsigned quiet = 0; quiet < 3;)
		quiet = vio_poller_wait(p, 0) ? 0 : quiet + 1;
}

#endif
