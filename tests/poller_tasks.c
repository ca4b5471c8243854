/* SPDX-License-Identifier: MIT */
/* Tasks: awake while there is work, asleep only after they have looked once more; no wake-up is lost. */
#include "poller.h"

#include <pthread.h>

struct job {
	struct vio_task t;
	struct vio_poller *p;
	unsigned work, runs, armed, disarmed;
	bool kicks;    /* what arm said last */
	bool surprise; /* work comes between run and arm */
	struct job *kill, *rouse;
};

static unsigned job_run(struct vio_task *t, unsigned budget)
{
	struct job *j = (struct job *)t;
	unsigned n = j->work < budget ? j->work : budget;

	assert_false(j->kicks);
	j->runs++;
	j->work -= n;
	if (j->rouse)
		vio_task_wake(j->p, &j->rouse->t);
	if (j->kill)
		vio_task_del(j->p, &j->kill->t);
	return n;
}

static bool job_arm(struct vio_task *t, bool on)
{
	struct job *j = (struct job *)t;

	j->kicks = on;
	j->armed += on;
	j->disarmed += !on;
	if (on && j->surprise) {
		j->surprise = false;
		j->work++;
	}
	return j->work > 0;
}

static void job_add(struct vio_poller *p, struct job *j)
{
	j->p = p;
	j->t = (struct vio_task){ .run = job_run, .arm = job_arm };
	vio_task_add(p, &j->t);
}

static void a_task_runs_until_its_work_is_done_then_sleeps_armed(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct job j = { .work = 100 };

	job_add(p, &j);
	settle(p);
	assert_int_equal(vio_poller_wait(p, 1), 0);
	assert_int_equal(j.work, 0);
	assert_true(j.kicks);
	assert_int_equal(j.armed, 1);
	assert_int_equal(j.disarmed, 1);
	j.runs = 0;
	assert_int_equal(vio_poller_wait(p, 1), 0);
	assert_int_equal(j.runs, 0);
	j.work = 1;
	vio_task_wake(p, &j.t);
	assert_int_equal(vio_poller_wait(p, -1), 1);
	assert_int_equal(j.disarmed, 2);
	vio_task_del(p, &j.t);
	assert_int_equal(vio_poller_wait(p, 1), 0);
}

static void work_that_comes_while_arming_keeps_the_task_awake(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct job j = { .surprise = true };

	job_add(p, &j);
	assert_int_equal(vio_poller_wait(p, -1), 1);
	assert_int_equal(j.armed, 1);
	assert_int_equal(j.disarmed, 2);
	vio_task_del(p, &j.t);
}

/* b was run before a woke it, in the same pass: it must run once more before it may sleep. */
static void a_task_woken_after_it_ran_runs_again(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct job a = { 0 }, b = { 0 };

	job_add(p, &b);
	job_add(p, &a);
	a.rouse = &b;
	vio_poller_run(p, 0);
	assert_true(b.runs == 1 && !b.kicks);
	a.rouse = NULL;
	vio_poller_run(p, 0);
	assert_true(b.runs == 2 && b.kicks);
	vio_task_del(p, &a.t);
	vio_task_del(p, &b.t);
	vio_task_wake(p, &b.t); /* too late, and harmless */
	assert_int_equal(vio_poller_run(p, 0), 0);
}

static void tasks_may_delete_themselves_and_each_other_while_they_run(void **state)
{
	struct vio_poller *p = poller_from(state);

	for (unsigned killer = 0; killer < 3; killer++)
		for (unsigned victim = 0; victim < 3; victim++) {
			struct job *j[3];

			for (unsigned i = 0; i < 3; i++) {
				j[i] = calloc(1, sizeof(*j[i]));
				j[i]->work = 1;
				job_add(p, j[i]);
			}
			j[killer]->kill = j[victim];
			assert_int_equal(vio_poller_run(p, 0), victim > killer ? 2 : 3);
			free(j[victim]);
			j[killer == victim ? (killer + 1) % 3 : killer]->kill = NULL;
			vio_poller_run(p, 0);
			for (unsigned i = 0; i < 3; i++)
				if (i != victim) {
					vio_task_del(p, &j[i]->t);
					free(j[i]);
				}
			assert_int_equal(vio_poller_run(p, 0), 0);
		}
}

static void the_budget_bounds_a_pass(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct job j = { .work = 100 };

	job_add(p, &j);
	assert_int_equal(vio_poller_run(p, 7), 7);
	assert_int_equal(vio_poller_run(p, 0), 32);
	assert_int_equal(vio_poller_run(p, 1000), 61);
	assert_int_equal(vio_poller_run(p, 0), 0);
	vio_task_del(p, &j.t);
}

static void an_idle_task_beside_a_busy_one_falls_asleep(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct job busy = { .work = 1000000 }, idle = { 0 };

	job_add(p, &busy);
	job_add(p, &idle);
	while (!idle.kicks)
		assert_true(vio_poller_run(p, 1) > 0);
	vio_task_del(p, &busy.t);
	vio_task_del(p, &idle.t);
}

static void in_busy_mode_a_task_never_sleeps_nor_asks_for_kicks(void **state)
{
	struct vio_poller *p = poller_like(poller_from(state), VIO_POLL_BUSY);
	struct job j = { 0 };

	job_add(p, &j);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(vio_poller_run(p, 0), 0);
	assert_int_equal(vio_poller_wait(p, 1), 0);
	assert_true(j.runs > 1000);
	assert_int_equal(j.armed, 0);
	assert_int_equal(j.disarmed, 1);
	assert_int_equal(stats_of(p).sleeps, 0);
	vio_task_del(p, &j.t);
	vio_poller_free(p);
}

static void in_adaptive_mode_a_task_is_armed_after_the_spin(void **state)
{
	struct vio_poller *p = poller_like(poller_from(state), VIO_POLL_ADAPTIVE);
	struct job j = { .work = 1 };

	job_add(p, &j);
	assert_int_equal(vio_poller_wait(p, -1), 1);
	assert_int_equal(vio_poller_wait(p, 5), 0);
	assert_true(j.runs > 32);
	assert_int_equal(j.armed, 1);
	assert_true(stats_of(p).sleeps > 0);
	vio_task_del(p, &j.t);
	vio_poller_free(p);
}

/* Two threads pass a ball to and fro: a counter in memory, and an eventfd if the other asked for it. */
#define ROUNDS 100000

struct side {
	struct vio_task t;
	struct vio_watch w;
	struct vio_poller *p;
	uint32_t turn;	/* the other has played: set by it, cleared by this side */
	uint32_t kicks; /* this side wants to be kicked */
	unsigned rounds;
	struct side *other;
};

static void side_ready(struct vio_watch *w, uint32_t events)
{
	struct side *s = (struct side *)((char *)w - offsetof(struct side, w));

	(void)events;
	vio_task_wake(s->p, &s->t);
}

static bool side_arm(struct vio_task *t, bool on)
{
	struct side *s = (struct side *)t;

	__atomic_store_n(&s->kicks, on, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&s->turn, __ATOMIC_SEQ_CST);
}

static unsigned side_run(struct vio_task *t, unsigned budget)
{
	struct side *s = (struct side *)t;

	(void)budget;
	if (s->rounds == ROUNDS || !__atomic_exchange_n(&s->turn, 0, __ATOMIC_SEQ_CST))
		return 0;
	s->rounds++;
	__atomic_store_n(&s->other->turn, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->other->kicks, __ATOMIC_SEQ_CST))
		vio_poller_signal(s->p, s->other->w.fd);
	return 1;
}

static void side_init(struct side *s, struct side *other, struct vio_poller *p)
{
	*s = (struct side){ .t = { .run = side_run, .arm = side_arm }, .p = p, .other = other };
	s->w = (struct vio_watch){ .ready = side_ready, .fd = event_fd(), .events = EPOLLIN | EPOLLET };
	vio_task_add(p, &s->t);
	assert_int_equal(vio_watch_add(p, &s->w), 0);
}

static void *side_main(void *arg)
{
	struct side *s = arg;

	while (s->rounds < ROUNDS)
		vio_poller_wait(s->p, -1);
	vio_poller_run(s->p, 0); /* the last signal */
	return NULL;
}

static void no_wakeup_is_lost_between_two_threads(void **state)
{
	struct vio_poller *p = poller_from(state), *q = poller_like(p, VIO_POLL_EVENT);
	static struct side a, b;
	pthread_t t;

	side_init(&a, &b, p);
	side_init(&b, &a, q);
	a.turn = 1;
	assert_int_equal(pthread_create(&t, NULL, side_main, &b), 0);
	side_main(&a);
	pthread_join(t, NULL);
	assert_int_equal(a.rounds, ROUNDS);
	assert_int_equal(b.rounds, ROUNDS);
	close(a.w.fd);
	close(b.w.fd);
	vio_poller_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_task_runs_until_its_work_is_done_then_sleeps_armed),
		BOTH(work_that_comes_while_arming_keeps_the_task_awake),
		BOTH(a_task_woken_after_it_ran_runs_again),
		BOTH(tasks_may_delete_themselves_and_each_other_while_they_run),
		BOTH(the_budget_bounds_a_pass),
		BOTH(an_idle_task_beside_a_busy_one_falls_asleep),
		BOTH(in_busy_mode_a_task_never_sleeps_nor_asks_for_kicks),
		BOTH(in_adaptive_mode_a_task_is_armed_after_the_spin),
		BOTH(no_wakeup_is_lost_between_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
