/* SPDX-License-Identifier: MIT */
/*
 * Each call that needs memory or a descriptor fails in turn, once or from there on, in the sources that
 * are included after this. A macro that stands for a function is one only where something is called.
 */
#ifndef TESTS_FAULTS_IN_TURN_H
#define TESTS_FAULTS_IN_TURN_H

#include "base/base.h"
#include "open_fds.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <virtio-offload/impl/poll.h>

#include <cmocka.h>

static struct {
	bool on, for_good;
	unsigned at, calls;
} faults;

static bool fault_is_due(void)
{
	if (!faults.on)
		return false;
	faults.calls++;
	return faults.for_good ? faults.calls > faults.at : faults.calls == faults.at + 1;
}

#define FAULT(err, failed, call) (fault_is_due() ? (errno = (err), failed) : call)

#define malloc(n) FAULT(ENOMEM, NULL, malloc(n))
#define calloc(n, size) FAULT(ENOMEM, NULL, calloc(n, size))
#define aligned_alloc(align, n) FAULT(ENOMEM, NULL, aligned_alloc(align, n))
#define strdup(s) FAULT(ENOMEM, NULL, strdup(s))
#define mmap(...) FAULT(ENOMEM, MAP_FAILED, mmap(__VA_ARGS__))
#define mremap(...) FAULT(ENOMEM, MAP_FAILED, mremap(__VA_ARGS__))
#define memfd_create(...) FAULT(EMFILE, -1, memfd_create(__VA_ARGS__))
#define eventfd(...) FAULT(EMFILE, -1, eventfd(__VA_ARGS__))
#define epoll_create1(...) FAULT(EMFILE, -1, epoll_create1(__VA_ARGS__))
#define epoll_ctl(...) FAULT(ENOMEM, -1, epoll_ctl(__VA_ARGS__))
#define socket(...) FAULT(EMFILE, -1, socket(__VA_ARGS__))
#define accept4(...) FAULT(EMFILE, -1, accept4(__VA_ARGS__))
#define fcntl(...) FAULT(EMFILE, -1, fcntl(__VA_ARGS__))
#define ftruncate(...) FAULT(EIO, -1, ftruncate(__VA_ARGS__))
#define ioctl(...) FAULT(ENOBUFS, -1, ioctl(__VA_ARGS__))
#define bind(...) FAULT(ENOBUFS, -1, bind(__VA_ARGS__))
#define setsockopt(...) FAULT(ENOBUFS, -1, setsockopt(__VA_ARGS__))
#define syscall(...) FAULT(EMFILE, -1, syscall(__VA_ARGS__))
#define vio_watch_add(...) FAULT(ENOMEM, -ENOMEM, vio_watch_add(__VA_ARGS__))

/*
 * `make` until none of its calls fails. It says 0, or -errno with a sentence and nothing in *out; either way
 * it leaves no descriptor behind that `end` does not close.
 */
static inline void each_fails(const char *what, int (*make)(void **out), void (*end)(void *made))
{
	unsigned n, fds = open_fds(), went_on = 0;

	for (unsigned for_good = 0; for_good < 2; for_good++) {
		for (n = 0;; n++) {
			void *made = &n;
			int rc;

			faults = (typeof(faults)){ .on = true, .for_good = for_good, .at = n };
			rc = make(&made);
			faults.on = false;
			if (!rc)
				end(made);
			if (rc > 0 || (rc && (made || !vio_errmsg()[0])) || open_fds() != fds)
				fail_msg("%s, call %u: %d, \"%s\", %u descriptors, %u before", what, n, rc,
					 vio_errmsg(), open_fds(), fds);
			if (faults.calls <= n)
				break;
			went_on += !rc;
		}
	}
	print_message("%s: %u calls, %u of them not needed\n", what, n, went_on);
	assert_true(n > 0);
}

#endif
