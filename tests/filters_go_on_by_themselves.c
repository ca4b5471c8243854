/* SPDX-License-Identifier: MIT */
/*
 * Whoever reaps may sleep: a filter that continues, holds or delays requests wakes its
 * lane's task when there is something to reap. Over an end that completes at once and
 * itself wakes nobody, and with nothing but that to end a sleep.
 */
#include "news.h"
#include "store.h"
#include "keyfile.h"

struct reaper {
	struct vio_task task;
	struct stack *s;
	unsigned left;
};

static unsigned reaper_run(struct vio_task *t, unsigned budget)
{
	struct reaper *me = VIO_CONTAINER(t, struct reaper, task);
	struct vio_req *r;
	unsigned n = 0;

	while (n < budget && me->left && vio_lane_reap(me->s->lane, &r, 1)) {
		assert_int_equal(r->res, 0);
		vio_req_put(me->s->pool, r);
		me->left--;
		n++;
	}
	return n;
}

static bool reaper_arm(struct vio_task *t, bool on)
{
	(void)t;
	(void)on;
	return false;
}

static void sleeping_until_done(const char *filters, enum vio_op op, unsigned n, uint64_t len)
{
	static unsigned char buf[65536];
	struct stack s;
	struct reaper me = { .task = { .run = reaper_run, .arm = reaper_arm }, .s = &s, .left = n };

	stack_up(&s, filters, 8 << 20);
	vio_task_add(s.poller, &me.task);
	for (struct vio_lane *l = s.lane; l; l = l->next)
		l->task = &me.task;
	while (vio_poller_run(s.poller, 0) > 0) /* the task falls asleep */
		;
	for (unsigned i = 0; i < n; i++)
		stack_submit(&s, stack_req(&s, op, i * len, op == VIO_OP_WRITE ? buf : NULL, len));
	vio_lane_wake(s.lane); /* as a device does that has just submitted */
	while (me.left)
		news_within(s.poller, 60); /* or it slept to the end, and nobody woke it */
	vio_task_del(s.poller, &me.task);
	stack_down(&s);
}

static void crypt_in_many_pieces(void **state)
{
	char path[] = KEYFILE_NAME, arg[128];
	unsigned char key[64];

	(void)state;
	fill(key, sizeof(key), 1);
	keyfile_write(path, key, sizeof(key));
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s,sector=4096,bounce=64K", path);
	sleeping_until_done(arg, VIO_OP_WRITE_ZEROES, 1, 8 << 20); /* 32 pieces */
	sleeping_until_done(arg, VIO_OP_WRITE, 5, 65536); /* the fifth waits for the pool */
	unlink(path);
}

static void throttle_holds(void **state)
{
	(void)state;
	sleeping_until_done("throttle:iops=500,iops-burst=1", VIO_OP_WRITE, 20, 512);
	sleeping_until_done("throttle:bps=1M,bps-burst=4K", VIO_OP_WRITE, 1, 65536);
}

static void fault_delays(void **state)
{
	(void)state;
	sleeping_until_done("fault:error=delay,delay=5,once=off", VIO_OP_FLUSH, 10, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crypt_in_many_pieces),
		cmocka_unit_test(throttle_holds),
		cmocka_unit_test(fault_delays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
