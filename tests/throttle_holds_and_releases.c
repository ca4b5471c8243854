/* SPDX-License-Identifier: MIT */
/*
 * Throttled requests wait in their lane, in order, no more than it holds; a flush does
 * not wait; limits can be changed while they wait, and are shared by name.
 */
#include "store.h"

#include "filter/throttle_group.h"

static unsigned char buf[1 << 20];

/* Submits n reads at rising offsets. */
static void send(struct stack *s, unsigned n, uint64_t len)
{
	for (unsigned i = 0; i < n; i++)
		stack_submit(s, stack_req(s, VIO_OP_READ, i * len, buf, len));
}

/* What comes up without waiting. */
static unsigned reap_now(struct stack *s)
{
	struct vio_req *r;
	unsigned n = 0;

	vio_poller_run(s->poller, 0);
	while (vio_lane_reap(s->lane, &r, 1)) {
		vio_req_put(s->pool, r);
		n++;
	}
	return n;
}

/* A rate so low that no test sees a second token, in lanes that hold as much as if it were high. */
static void up_slow(struct stack *s, const char *limits)
{
	char arg[128];
	struct vio__throttle_group *g;

	snprintf(arg, sizeof(arg), "throttle:%s,group=g", limits);
	stack_up(s, arg, 1 << 20);
	g = vio__throttle_group_get(s->scope, "g");
	assert_int_equal(g->hold, 1);
	g->hold = VIO__THROTTLE_HOLD;
	vio__throttle_group_put(s->scope, g);
}

static void set(struct stack *s, const char *group, uint64_t iops, uint64_t bps)
{
	VIO_OPTS(vio_throttle_limits, l, .iops = iops, .bps = bps, .iops_burst = 1, .bps_burst = 512);

	assert_int_equal(vio_throttle_set(s->scope, group, &l), 0);
}

static void the_rest_waits_in_order(void **state)
{
	struct stack s;

	(void)state;
	up_slow(&s, "iops=1,iops-burst=3");
	send(&s, 10, 512);
	assert_int_equal(reap_now(&s), 3);
	assert_int_equal(s.store->logged, 3);
	set(&s, "g", 0, 0);
	for (unsigned i = 0; i < 7; i++)
		vio_req_put(s.pool, stack_reap(&s));
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(s.store->log[i].offset, i * 512);
	stack_down(&s);
}

static void a_lane_holds_no_more_than_it_says(void **state)
{
	struct stack s;
	unsigned sent = 0, room;

	(void)state;
	up_slow(&s, "iops=1,iops-burst=1");
	while ((room = vio_lane_room(s.lane)) && sent < 128) {
		send(&s, 1, 512);
		sent++;
	}
	assert_int_equal(room, 0);
	assert_int_equal(s.store->logged, 1);
	assert_int_equal(sent, 1 + 64);
	set(&s, "g", 0, 0);
	for (unsigned i = 0; i < sent; i++)
		vio_req_put(s.pool, stack_reap(&s));
	assert_true(vio_lane_room(s.lane) > 0);
	stack_down(&s);
}

/* A queue that stops waits for what its lane holds: a tenth of a second's worth, one request at least. */
static void a_slow_lane_holds_less(void **state)
{
	static const struct {
		const char *filter;
		unsigned room;
	} want[] = { { "throttle:iops=1", 1 },	     { "throttle:iops=100", 10 },
		     { "throttle:iops=100000", 64 }, { "throttle:bps=1M", 1 },
		     { "throttle:bps=10M", 16 },     { "throttle:bps=10M,iops=20", 2 },
		     { "throttle:bps=10G", 64 },     { "throttle", 64 } };
	struct stack s;

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(want); i++) {
		stack_up(&s, want[i].filter, 1 << 20);
		assert_int_equal(vio_lane_room(s.lane), want[i].room);
		stack_down(&s);
	}
}

static void a_flush_does_not_wait(void **state)
{
	struct vio_req *r;
	struct stack s;

	(void)state;
	up_slow(&s, "iops=1,iops-burst=1");
	send(&s, 2, 512);
	stack_submit(&s, stack_req(&s, VIO_OP_FLUSH, 0, NULL, 0));
	r = stack_reap(&s);
	vio_req_put(s.pool, r);
	r = stack_reap(&s);
	assert_int_equal(r->op, VIO_OP_FLUSH);
	vio_req_put(s.pool, r);
	set(&s, "g", 0, 0);
	vio_req_put(s.pool, stack_reap(&s));
	stack_down(&s);
}

static void bytes_count_too(void **state)
{
	struct stack s;

	(void)state;
	up_slow(&s, "bps=1K,bps-burst=8K");
	send(&s, 4, 4096);
	assert_int_equal(reap_now(&s), 2);
	set(&s, "g", 0, 0);
	vio_req_put(s.pool, stack_reap(&s));
	vio_req_put(s.pool, stack_reap(&s));
	/* One larger than the burst goes when the bucket is full, and the next one pays for it. */
	set(&s, "g", 0, 1 << 30);
	vio_req_put(s.pool, (send(&s, 1, 1 << 20), stack_reap(&s)));
	vio_req_put(s.pool, (send(&s, 1, 1 << 20), stack_reap(&s)));
	stack_down(&s);
}

/* Time passes by itself: at a rate that a test can wait for, all come, without a change of limits. */
static void waiting_ends_by_itself(void **state)
{
	struct stack s;

	(void)state;
	stack_up(&s, "throttle:iops=1000,iops-burst=1", 1 << 20);
	send(&s, 20, 512);
	for (unsigned i = 0; i < 20; i++)
		vio_req_put(s.pool, stack_reap(&s));
	stack_down(&s);
}

static void a_full_store_is_waited_for(void **state)
{
	struct stack s;

	(void)state;
	up_slow(&s, "iops=1,iops-burst=4");
	s.store->room = 2;
	s.store->hold = true;
	send(&s, 2, 512);
	assert_int_equal(vio_lane_room(s.lane), 0);
	s.store->hold = false;
	assert_int_equal(reap_now(&s), 2);
	send(&s, 2, 512);
	assert_int_equal(reap_now(&s), 2);
	send(&s, 5, 512); /* held: the tokens are used up */
	set(&s, "g", 0, 0);
	for (unsigned i = 0; i < 5; i++)
		vio_req_put(s.pool, stack_reap(&s));
	stack_down(&s);
}

static void groups_are_shared_by_name(void **state)
{
	VIO_OPTS(vio_throttle_limits, l);
	struct vio_backend *end, *other;
	struct stack s;

	(void)state;
	stack_up(&s, "throttle:iops=70,iops-burst=7,group=one", 1 << 20);
	assert_int_equal(vio_backend_new(&end, &store_type, NULL, s.scope, "4096"), 0);
	assert_int_equal(vio_backend_new(&other, vio_backend_find("throttle"), end, s.scope, "group=one"), 0);
	assert_int_equal(vio_throttle_get(s.scope, "one", &l), 0);
	assert_int_equal(l.iops, 70);
	assert_int_equal(l.iops_burst, 7);
	assert_int_equal(l.bps, 0);
	assert_int_equal(vio_throttle_set(s.scope, "two", &l), -ENOENT);
	assert_int_equal(vio_throttle_get(s.scope, "two", &l), -ENOENT);
	assert_non_null(strstr(vio_errmsg(), "two"));
	vio_backend_free(other);
	assert_int_equal(vio_throttle_get(s.scope, "one", &l), 0);
	vio_backend_free(end);
	stack_down(&s);
}

/* Two disks of one group draw from one bucket. */
static void a_group_has_one_bucket(void **state)
{
	struct vio_backend *end, *other;
	struct vio_lane *lane;
	struct vio_req *r;
	struct stack s;

	(void)state;
	up_slow(&s, "iops=1,iops-burst=3");
	assert_int_equal(vio_backend_new(&end, &store_type, NULL, s.scope, "65536"), 0);
	assert_int_equal(vio_backend_new(&other, vio_backend_find("throttle"), end, s.scope, "group=g"), 0);
	assert_int_equal(vio_lane_new(&lane, other, s.poller, NULL), 0);
	send(&s, 2, 512);
	assert_int_equal(reap_now(&s), 2);
	for (unsigned i = 0; i < 2; i++) {
		r = stack_req(&s, VIO_OP_READ, 0, buf, 512);
		vio_lane_submit(lane, &r, 1);
	}
	assert_int_equal(((struct store *)end->priv)->logged, 1);
	set(&s, "g", 0, 0);
	for (unsigned n = 0; n < 2;)
		if (vio_lane_reap(lane, &r, 1))
			vio_req_put(s.pool, r), n++;
		else
			vio_poller_wait(s.poller, 1);
	vio_lane_free(lane);
	vio_backend_free(other);
	vio_backend_free(end);
	stack_down(&s);
}

static void wrong_arguments(void **state)
{
	(void)state;
	assert_int_equal(stack_try("throttle:iops=fast", 4096), -EINVAL);
	assert_int_equal(stack_try("throttle:speed=1", 4096), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "there are: iops"));
	assert_int_equal(stack_try("throttle:group=g", 4096), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "scope"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rest_waits_in_order),
		cmocka_unit_test(a_lane_holds_no_more_than_it_says),
		cmocka_unit_test(a_slow_lane_holds_less),
		cmocka_unit_test(a_flush_does_not_wait),
		cmocka_unit_test(bytes_count_too),
		cmocka_unit_test(waiting_ends_by_itself),
		cmocka_unit_test(a_full_store_is_waited_for),
		cmocka_unit_test(groups_are_shared_by_name),
		cmocka_unit_test(a_group_has_one_bucket),
		cmocka_unit_test(wrong_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
