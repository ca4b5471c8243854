/* SPDX-License-Identifier: MIT */
/* Two lanes of one group that always want more than there is get about the same, on one thread or on two. */
#include "store.h"

#include "base/barrier.h"

#include <pthread.h>

#define TOTAL 200u

/* A thread's way into one disk of the group. */
struct side {
	struct stack *s;
	struct vio_backend *end, *top;
	struct vio_poller *poller;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	unsigned seen, under_way;
};

static unsigned total;

static void side_up(struct side *d, struct stack *s, struct vio_poller *poller)
{
	memset(d, 0, sizeof(*d));
	d->s = s;
	d->poller = poller;
	assert_int_equal(vio_backend_new(&d->end, &store_type, NULL, s->scope, "65536"), 0);
	assert_int_equal(vio_backend_new(&d->top, vio_backend_find("throttle"), d->end, s->scope, "group=g"),
			 0);
	assert_int_equal(vio_lane_new(&d->lane, d->top, poller, NULL), 0);
	assert_int_equal(vio_req_pool_new(&d->pool, d->lane, 64, 1), 0);
}

static void side_down(struct side *d)
{
	vio_req_pool_free(d->pool);
	vio_lane_free(d->lane);
	vio_backend_free(d->top);
	vio_backend_free(d->end);
}

static void side_ask(struct side *d)
{
	struct vio_req *r;

	while (d->under_way < 64 && vio_lane_room(d->lane)) {
		r = vio_req_get(d->pool);
		r->op = VIO_OP_DISCARD;
		r->len = 512;
		vio_lane_submit(d->lane, &r, 1);
		d->under_way++;
	}
}

static void side_reap(struct side *d)
{
	struct vio_req *r;

	while (vio_lane_reap(d->lane, &r, 1)) {
		vio_req_put(d->pool, r);
		d->under_way--;
		d->seen++;
		__atomic_fetch_add(&total, 1, __ATOMIC_RELAXED);
	}
}

static void side_drain(struct side *d)
{
	while (d->under_way) {
		vio_poller_wait(d->poller, 1);
		side_reap(d);
	}
}

static void expect_shares(const struct side *d)
{
	assert_true(d[0].seen > TOTAL / 4);
	assert_true(d[1].seen > TOTAL / 4);
}

static void one_thread(const char *throttle)
{
	struct side d[2];
	struct stack s;

	total = 0;
	stack_up(&s, throttle, 65536);
	side_up(&d[0], &s, s.poller);
	side_up(&d[1], &s, s.poller);
	while (total < TOTAL) {
		for (unsigned i = 0; i < 2; i++) {
			side_ask(&d[i]);
			side_reap(&d[i]);
		}
		vio_poller_wait(s.poller, 1);
	}
	expect_shares(d);
	side_drain(&d[0]);
	side_drain(&d[1]);
	side_down(&d[0]);
	side_down(&d[1]);
	stack_down(&s);
}

static void on_one_thread(void **state)
{
	(void)state;
	one_thread("throttle:iops=2000,iops-burst=20,group=g");
}

/* The bucket is full again whenever the thread comes round: who is asked first must not take it all. */
static void on_a_slow_thread(void **state)
{
	(void)state;
	one_thread("throttle:iops=1000000,iops-burst=20,group=g");
}

static void *side_thread(void *arg)
{
	struct side *d = arg;

	while (VIO_LOAD(&total) < TOTAL) {
		side_ask(d);
		side_reap(d);
		vio_poller_wait(d->poller, 1);
	}
	side_drain(d);
	return NULL;
}

static void on_two_threads(void **state)
{
	struct vio_poller *p[2];
	pthread_t t[2];
	struct side d[2];
	struct stack s;

	(void)state;
	total = 0;
	stack_up(&s, "throttle:iops=2000,iops-burst=20,group=g", 65536);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vio_poller_new(&p[i], NULL), 0);
		side_up(&d[i], &s, p[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, side_thread, &d[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_true(d[0].seen > 0 && d[1].seen > 0);
	for (unsigned i = 0; i < 2; i++) {
		side_down(&d[i]);
		vio_poller_free(p[i]);
	}
	stack_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_one_thread),
		cmocka_unit_test(on_a_slow_thread),
		cmocka_unit_test(on_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
