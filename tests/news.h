/* SPDX-License-Identifier: MIT */
/* Waiting for something to happen on a poller, which has to. */
#ifndef TESTS_NEWS_H
#define TESTS_NEWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include <virtio-offload/poll.h>

/* The test fails if nothing happens in so many seconds. A sleep may end early, with nothing: by a signal, or by the
 * kernel's own work for this thread, such as what is left of a ring that it had. */
__attribute__((unused)) static void news_within(struct vio_poller *p, int seconds)
{
	struct timespec t;
	time_t end;
	int n;

	clock_gettime(CLOCK_MONOTONIC, &t);
	end = t.tv_sec + seconds;
	do {
		n = vio_poller_wait(p, seconds * 1000);
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (!n && t.tv_sec < end);
	assert_true(n > 0);
}

#endif
