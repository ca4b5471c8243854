/* SPDX-License-Identifier: MIT */
/* Timers fire once, in the order of their times; they can be replaced and cancelled anywhere. */
#include "poller.h"

#define MS 1000000ull
#define N 400

struct alarm {
	struct vio_timer t;
	struct vio_poller *p;
	unsigned fired;
	struct alarm *cancel, *again;
};

static uint64_t last_at;
static unsigned fired_in_all;

static void alarm_fire(struct vio_timer *t)
{
	struct alarm *a = (struct alarm *)t;

	assert_true(t->at >= last_at);
	assert_true(vio_poller_now(a->p) >= t->at);
	last_at = t->at;
	a->fired++;
	fired_in_all++;
	if (a->cancel)
		vio_timer_cancel(a->p, &a->cancel->t);
	if (a->again)
		vio_timer_set(a->p, &a->again->t, 0);
}

static struct alarm *alarms_new(struct vio_poller *p, unsigned n)
{
	struct alarm *a = calloc(n, sizeof(*a));

	assert_non_null(a);
	last_at = fired_in_all = 0;
	for (unsigned i = 0; i < n; i++) {
		a[i].p = p;
		a[i].t.fire = alarm_fire;
	}
	return a;
}

static void timers_fire_in_order(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct alarm *a = alarms_new(p, N);

	srandom(7);
	for (unsigned i = 0; i < N; i++)
		vio_timer_set(p, &a[i].t, (uint64_t)random() % (5 * MS));
	while (fired_in_all < N)
		vio_poller_wait(p, -1);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(a[i].fired, 1);
	free(a);
}

static void cancelled_timers_do_not_fire_and_replaced_ones_fire_once(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct alarm *a = alarms_new(p, N);
	unsigned want = 0;

	srandom(8);
	for (unsigned i = 0; i < 4 * N; i++) {
		struct alarm *x = &a[(unsigned)random() % N];

		if (random() % 3)
			vio_timer_set(p, &x->t, (uint64_t)random() % (5 * MS));
		else
			vio_timer_cancel(p, &x->t);
		x->cancel = NULL;
	}
	for (unsigned i = 0; i < N; i += 2)
		vio_timer_cancel(p, &a[i].t);
	for (unsigned i = 1; i < N; i += 2)
		vio_timer_set(p, &a[i].t, i % 5 * MS), want++;
	while (fired_in_all < want)
		vio_poller_wait(p, -1);
	settle(p);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(a[i].fired, i % 2);
	free(a);
}

static void a_timer_may_cancel_another_that_is_due(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct alarm *a = alarms_new(p, 2);

	vio_timer_set(p, &a[0].t, 1);
	vio_timer_set(p, &a[1].t, 2);
	a[0].cancel = &a[1];
	while (vio_poller_now(p) < a[1].t.at) {
	}
	settle(p);
	assert_int_equal(a[0].fired, 1);
	assert_int_equal(a[1].fired, 0);
	free(a);
}

static void a_timer_that_sets_itself_holds_no_pass_up(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct alarm *a = alarms_new(p, 1);

	a[0].again = &a[0];
	vio_timer_set(p, &a[0].t, 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(vio_poller_wait(p, -1), 1);
	assert_int_equal(a[0].fired, 10);
	vio_timer_cancel(p, &a[0].t);
	free(a);
}

static void a_wait_ends_at_its_time_and_not_before(void **state)
{
	struct vio_poller *p = poller_from(state);
	uint64_t from = vio_poller_now(p);

	assert_int_equal(vio_poller_wait(p, 3), 0);
	assert_true(vio_poller_now(p) - from >= 3 * MS);
}

static void a_distant_timer_does_not_wrap(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct alarm *a = alarms_new(p, 1);

	vio_timer_set(p, &a[0].t, UINT64_MAX);
	assert_int_equal(a[0].t.at, UINT64_MAX);
	assert_int_equal(vio_poller_wait(p, 1), 0);
	vio_timer_cancel(p, &a[0].t);
	vio_timer_cancel(p, &a[0].t);
	free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(timers_fire_in_order),
		BOTH(cancelled_timers_do_not_fire_and_replaced_ones_fire_once),
		BOTH(a_timer_may_cancel_another_that_is_due),
		BOTH(a_timer_that_sets_itself_holds_no_pass_up),
		BOTH(a_wait_ends_at_its_time_and_not_before),
		BOTH(a_distant_timer_does_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
