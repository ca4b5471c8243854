/* SPDX-License-Identifier: MIT */
/* Signals to eventfds: none is lost, however many, and none reaches a file that took the number over. */
#include "poller.h"

#include <fcntl.h>
#include <sys/stat.h>

struct ringer {
	struct vio_msg m;
	struct vio_poller *p;
	int fd[2];
	unsigned n;
};

static void ringer_ring(struct vio_msg *m)
{
	struct ringer *r = (struct ringer *)m;

	for (unsigned i = 0; i < r->n; i++)
		vio_poller_signal(r->p, r->fd[i % 2]);
}

static void more_signals_than_entries_all_arrive(void **state)
{
	VIO_OPTS(vio_poller_opts, o, .entries = 4, .engine = vio_poller_engine(poller_from(state)));
	struct ringer r = { .m.fn = ringer_ring, .fd = { event_fd(), event_fd() }, .n = 1000 };

	assert_int_equal(vio_poller_new(&r.p, &o), 0);
	for (unsigned i = 1; i < 4; i++) {
		vio_poller_post(r.p, &r.m);
		assert_int_equal(vio_poller_run(r.p, 0), 1);
		assert_int_equal(event_read(r.fd[0]), 500);
		assert_int_equal(event_read(r.fd[1]), 500);
	}
	vio_poller_free(r.p);
	close(r.fd[0]);
	close(r.fd[1]);
}

/* wait may keep a signal for its next call, but no longer, and free sends it too. */
static void a_signal_leaves_with_the_next_call_at_the_latest(void **state)
{
	struct vio_poller *p = poller_from(state), *q = poller_like(p, VIO_POLL_EVENT);
	struct ringer r = { .m.fn = ringer_ring, .p = p, .fd = { event_fd(), event_fd() }, .n = 2 };

	vio_poller_post(p, &r.m);
	assert_int_equal(vio_poller_wait(p, -1), 1);
	assert_int_equal(vio_poller_run(p, 0), 0);
	assert_int_equal(event_read(r.fd[0]), 1);
	r.p = q;
	vio_poller_post(q, &r.m);
	assert_int_equal(vio_poller_wait(q, -1), 1);
	vio_poller_free(q);
	assert_int_equal(event_read(r.fd[0]), 1);
	assert_int_equal(event_read(r.fd[1]), 2);
	close(r.fd[0]);
	close(r.fd[1]);
}

static void swap_files(struct vio_msg *m)
{
	struct ringer *r = (struct ringer *)m;
	char path[] = "signals-XXXXXX";
	int keep = dup(r->fd[0]);

	vio_poller_signal(r->p, r->fd[0]);
	vio_poller_close(r->p, r->fd[0]);
	r->fd[1] = mkstemp(path);
	unlink(path);
	assert_int_equal(r->fd[1], r->fd[0]); /* the lowest free number */
	r->fd[0] = keep;
}

static void a_closed_eventfds_number_is_not_written_to(void **state)
{
	struct ringer r = { .m.fn = swap_files, .p = poller_from(state), .fd = { event_fd(), -1 } };
	struct stat st;

	vio_poller_post(r.p, &r.m);
	settle(r.p);
	assert_int_equal(event_read(r.fd[0]), 1);
	assert_int_equal(fstat(r.fd[1], &st), 0);
	assert_int_equal(st.st_size, 0);
	close(r.fd[0]);
	close(r.fd[1]);
}

static unsigned bell_run(struct vio_task *t, unsigned budget)
{
	struct ringer *r = t->poller_private[3];

	(void)budget;
	if (!r->n)
		return 0;
	vio_poller_signal(r->p, r->fd[0]);
	vio_task_del(r->p, t);
	assert_int_equal(event_read(r->fd[0]), 1);
	r->n = 0;
	return 1;
}

static bool bell_arm(struct vio_task *t, bool on)
{
	(void)t, (void)on;
	return false;
}

static void a_deleted_tasks_signals_have_left(void **state)
{
	struct ringer r = { .p = poller_from(state), .fd = { event_fd(), -1 }, .n = 1 };
	struct vio_task t = { .run = bell_run, .arm = bell_arm, .poller_private[3] = &r };

	vio_task_add(r.p, &t);
	assert_int_equal(vio_poller_wait(r.p, -1), 1);
	assert_int_equal(r.n, 0);
	close(r.fd[0]);
}

static void see_signal(struct vio_msg *m)
{
	struct ringer *r = (struct ringer *)m;

	assert_int_equal(event_read(r->fd[0]), 1);
	r->n = 0;
}

/* The next callback of any kind may close the eventfd. */
static void a_callback_finds_that_earlier_signals_have_left(void **state)
{
	struct ringer r = { .m.fn = ringer_ring, .p = poller_from(state), .fd = { event_fd(), -1 }, .n = 1 };

	vio_poller_post(r.p, &r.m);
	assert_int_equal(vio_poller_wait(r.p, -1), 1);
	r.m.fn = see_signal;
	vio_poller_post(r.p, &r.m);
	assert_int_equal(vio_poller_wait(r.p, -1), 1);
	assert_int_equal(r.n, 0);
	close(r.fd[0]);
}

static void a_full_eventfd_holds_nobody_up(void **state)
{
	struct ringer r = {
		.m.fn = ringer_ring, .p = poller_from(state), .fd = { event_fd(), event_fd() }, .n = 5000
	};
	uint64_t full = UINT64_MAX - 1;

	assert_int_equal(write(r.fd[0], &full, sizeof(full)), sizeof(full));
	vio_poller_post(r.p, &r.m);
	settle(r.p);
	assert_true(event_read(r.fd[0]) == full);
	assert_int_equal(event_read(r.fd[1]), 2500);
	close(r.fd[0]);
	close(r.fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(more_signals_than_entries_all_arrive),
		BOTH(a_signal_leaves_with_the_next_call_at_the_latest),
		BOTH(a_closed_eventfds_number_is_not_written_to),
		BOTH(a_deleted_tasks_signals_have_left),
		BOTH(a_callback_finds_that_earlier_signals_have_left),
		BOTH(a_full_eventfd_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
