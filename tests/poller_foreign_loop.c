/* SPDX-License-Identifier: MIT */
/* A loop of the caller's own: the poller's fd is readable whenever run has something to do, and only then. */
#include "poller.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

static unsigned told;

static bool readable(struct vio_poller *p, int ms)
{
	struct pollfd f = { .fd = vio_poller_fd(p), .events = POLLIN };

	assert_true(f.fd >= 0);
	return poll(&f, 1, ms) == 1;
}

/* Runs as the header tells to; what was done. */
static int run_dry(struct vio_poller *p)
{
	int n, all = 0;

	while ((n = vio_poller_run(p, 0)) > 0)
		all += n;
	assert_int_equal(n, 0);
	return all;
}

/* Until the fd is quiet. An event that is no work (the poller's own) may take a turn more. */
static int run_quiet(struct vio_poller *p)
{
	int all = run_dry(p);

	for (unsigned i = 0; readable(p, 0); i++) {
		assert_true(i < 4);
		all += run_dry(p);
	}
	return all;
}

static void told_ready(struct vio_watch *w, uint32_t events)
{
	(void)w, (void)events;
	told++;
}

static void told_fire(struct vio_timer *t)
{
	(void)t;
	told++;
}

static void told_post(struct vio_msg *m)
{
	(void)m;
	told++;
}

static void told_io(struct vio_io *io, int res)
{
	(void)io;
	assert_int_equal(res, 512);
	told++;
}

static void a_new_poller_asks_to_be_run_once(void **state)
{
	struct vio_poller *p = poller_from(state);

	assert_true(readable(p, 0));
	assert_int_equal(run_quiet(p), 0);
	assert_false(readable(p, 0));
}

static void an_event_makes_the_fd_readable(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct vio_watch w = { .ready = told_ready, .fd = event_fd(), .events = EPOLLIN | EPOLLET };

	told = 0;
	run_quiet(p);
	assert_int_equal(vio_watch_add(p, &w), 0); /* from outside of run: armed only by the next */
	assert_true(readable(p, 0));
	run_quiet(p);
	for (unsigned i = 1; i < 20; i++) {
		event_write(w.fd);
		assert_true(readable(p, -1));
		run_quiet(p);
		assert_int_equal(told, i);
	}
	vio_watch_del(p, &w);
	close(w.fd);
	run_quiet(p);
}

static void a_timer_makes_the_fd_readable(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct vio_timer t = { .fire = told_fire }, cancelled = { .fire = told_fire };

	told = 0;
	run_quiet(p);
	for (unsigned i = 1; i < 5; i++) {
		vio_timer_set(p, &cancelled, 500000);
		vio_timer_set(p, &t, 1000000);
		while (told < i) {
			assert_true(readable(p, -1));
			vio_timer_cancel(p, &cancelled);
			run_dry(p);
		}
	}
	assert_int_equal(told, 4);
	run_quiet(p);
}

static void *post_main(void *arg)
{
	static struct vio_msg m = { .fn = told_post };

	vio_poller_post(arg, &m);
	return NULL;
}

static void a_post_makes_the_fd_readable(void **state)
{
	struct vio_poller *p = poller_from(state);
	pthread_t t;

	told = 0;
	run_quiet(p);
	assert_int_equal(pthread_create(&t, NULL, post_main, p), 0);
	assert_true(readable(p, -1));
	pthread_join(t, NULL);
	assert_int_equal(run_quiet(p), 1);
	assert_int_equal(told, 1);
}

/* Nothing may be left unsubmitted, nor finished and untold, when run returns 0. */
static void io_makes_the_fd_readable(void **state)
{
	struct vio_poller *p = poller_from(state);
	char path[] = "foreign-XXXXXX", buf[512];
	struct iovec iov = { buf, sizeof(buf) };
	int fd = mkstemp(path);
	struct vio_io io = {
		.done = told_io, .op = VIO_IO_READ, .niov = 1, .iov = &iov, .buf = -1, .file = -1, .fd = fd
	};

	unlink(path);
	assert_int_equal(ftruncate(fd, 512), 0);
	run_quiet(p);
	told = 0;
	for (unsigned i = 1; i < 20; i++) {
		vio_io_submit(p, &io);
		while (told < i) {
			assert_true(readable(p, -1));
			vio_poller_run(p, 0);
		}
	}
	run_quiet(p);
	close(fd);
}

static unsigned work;

static unsigned work_run(struct vio_task *t, unsigned budget)
{
	unsigned n = work < budget ? work : budget;

	(void)t;
	work -= n;
	return n;
}

static bool work_arm(struct vio_task *t, bool on)
{
	(void)t, (void)on;
	return work;
}

static void work_left_over_keeps_the_fd_readable(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct vio_task t = { .run = work_run, .arm = work_arm };

	work = 0;
	vio_task_add(p, &t);
	run_quiet(p);
	work = 100;
	assert_false(readable(p, 0));
	vio_task_wake(p, &t);
	while (work) {
		assert_true(readable(p, 0));
		assert_int_equal(vio_poller_run(p, 10), 10);
	}
	run_quiet(p);
	vio_task_del(p, &t);
}

static struct vio_poller *nested;

static void nested_post(struct vio_msg *m)
{
	(void)m;
	assert_int_equal(vio_poller_run(nested, 0), -EBUSY);
	assert_int_equal(vio_poller_wait(nested, 0), -EBUSY);
	told++;
}

static void run_inside_a_callback_is_refused(void **state)
{
	struct vio_msg m = { .fn = nested_post };

	told = 0;
	nested = poller_from(state);
	vio_poller_post(nested, &m);
	run_dry(nested);
	assert_int_equal(told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_new_poller_asks_to_be_run_once), BOTH(an_event_makes_the_fd_readable),
		BOTH(a_timer_makes_the_fd_readable),	BOTH(a_post_makes_the_fd_readable),
		BOTH(io_makes_the_fd_readable),		BOTH(work_left_over_keeps_the_fd_readable),
		BOTH(run_inside_a_callback_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
