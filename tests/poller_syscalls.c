/* SPDX-License-Identifier: MIT */
/* How often the kernel is asked: never in busy mode nor while asleep, once a pass at most under load. */
#include "poller.h"
#include "base/barrier.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static unsigned left;

static unsigned work_run(struct vio_task *t, unsigned budget)
{
	unsigned n = left < budget ? left : budget;

	(void)t;
	left -= n;
	return n;
}

static bool work_arm(struct vio_task *t, bool on)
{
	(void)t, (void)on;
	return left;
}

/* From here on any system call but read, write and exit kills. */
static int strict_main(struct vio_poller *p)
{
	struct vio_task t = { .run = work_run, .arm = work_arm };
	struct vio_watch w = { .fd = event_fd(), .events = EPOLLIN | EPOLLET };

	vio_task_add(p, &t);
	vio_watch_add(p, &w);
	settle(p);
	left = 100000;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		return 77;
	while (left)
		vio_poller_wait(p, -1);
	return 0;
}

static void busy_passes_make_no_system_call(void **state)
{
	int status;
	pid_t child;

	if (vio_poller_engine(poller_from(state)) != VIO_POLL_IO_URING)
		skip(); /* epoll has to be asked now and then */
#ifdef VIO__TSAN
	skip(); /* its runtime makes system calls of its own */
#endif
	child = fork();
	if (!child) { /* with a poller of its own, for rings do not survive a fork */
		struct vio_poller *p = poller_of(VIO_POLL_IO_URING, VIO_POLL_BUSY);

		syscall(SYS_exit, p ? strict_main(p) : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void busy_epoll_asks_now_and_then(void **state)
{
	struct vio_poller *p = poller_like(poller_from(state), VIO_POLL_BUSY);
	struct vio_task t = { .run = work_run, .arm = work_arm };
	struct vio_poller_stats a, b;

	vio_task_add(p, &t);
	settle(p);
	a = stats_of(p);
	for (left = 32 * 3200; left;)
		vio_poller_wait(p, -1);
	b = stats_of(p);
	assert_true(b.passes - a.passes >= 3200);
	assert_true(b.syscalls - a.syscalls <= 101);
	vio_task_del(p, &t);
	vio_poller_free(p);
}

static void an_idle_poller_sleeps_in_one_call(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct vio_watch w = { .fd = event_fd(), .events = EPOLLIN };
	struct vio_poller_stats a, b;

	assert_int_equal(vio_watch_add(p, &w), 0);
	settle(p);
	a = stats_of(p);
	assert_int_equal(vio_poller_wait(p, 30), 0);
	b = stats_of(p);
	assert_true(b.syscalls - a.syscalls <= 2);
	assert_true(b.sleeps - a.sleeps <= 2);
	vio_watch_del(p, &w);
	close(w.fd);
}

/* A server in small: a kick's eventfd, 32 reads of a file, an answer by eventfd. */
#define DEPTH 32

struct server {
	struct vio_watch kick;
	struct vio_poller *p;
	struct vio_io io[DEPTH];
	struct iovec iov[DEPTH];
	char buf[DEPTH][512];
	unsigned done;
	int call;
};

static struct server srv;

static void server_count(struct vio_io *io, int res)
{
	(void)io;
	assert_int_equal(res, 512);
	if (++srv.done % DEPTH == 0)
		vio_poller_signal(srv.p, srv.call);
}

static void server_kicked(struct vio_watch *w, uint32_t events)
{
	(void)w, (void)events;
	for (unsigned i = 0; i < DEPTH; i++)
		vio_io_submit(srv.p, &srv.io[i]);
}

static void a_batch_costs_two_calls_or_three(void **state)
{
	char path[] = "syscalls-XXXXXX";
	int fd = mkstemp(path);
	struct vio_poller_stats a, b;

	unlink(path);
	assert_int_equal(ftruncate(fd, 512), 0);
	srv.p = poller_from(state);
	srv.done = 0;
	srv.call = event_fd();
	srv.kick =
		(struct vio_watch){ .ready = server_kicked, .fd = event_fd(), .events = EPOLLIN | EPOLLET };
	for (unsigned i = 0; i < DEPTH; i++) {
		srv.iov[i] = (struct iovec){ srv.buf[i], 512 };
		srv.io[i] = (struct vio_io){ .done = server_count,
					     .op = VIO_IO_READ,
					     .niov = 1,
					     .iov = &srv.iov[i],
					     .buf = -1,
					     .file = -1,
					     .fd = fd };
	}
	assert_int_equal(vio_watch_add(srv.p, &srv.kick), 0);
	settle(srv.p);
	a = stats_of(srv.p);
	for (unsigned i = 1; i <= 100; i++) {
		event_write(srv.kick.fd);
		while (srv.done < i * DEPTH)
			vio_poller_wait(srv.p, -1);
		vio_poller_wait(srv.p, 1); /* goes to sleep, as a server would, and takes the signal along */
		assert_int_equal(event_read(srv.call), 1);
	}
	b = stats_of(srv.p);
	print_message("%.4f system calls a request\n", (double)(b.syscalls - a.syscalls) / (100 * DEPTH));
	/* One sleep that ends by the kick, one for the batch, one sleep that ends by the clock; epoll adds
	 * its write and its io_submits. */
	assert_true(b.syscalls - a.syscalls <= (vio_poller_engine(srv.p) == VIO_POLL_IO_URING ? 320 : 640));
	vio_watch_del(srv.p, &srv.kick);
	settle(srv.p);
	close(srv.kick.fd);
	close(srv.call);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(busy_passes_make_no_system_call),
		BOTH(busy_epoll_asks_now_and_then),
		BOTH(an_idle_poller_sleeps_in_one_call),
		BOTH(a_batch_costs_two_calls_or_three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
