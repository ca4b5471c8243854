/* SPDX-License-Identifier: MIT */
/* Two queues on two pollers in two threads, the control messages on a third: load, and changes under load. */
#define _GNU_SOURCE /* memfd_create, seals */
#include "tiny_guest.h"

#include <pthread.h>

struct worker {
	struct vio_poller *p;
	pthread_t thread;
	bool stop;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
		if (vio_poller_wait(w->p, -1) < 0)
			return arg;
	return NULL;
}

static void worker_start(struct worker *w, enum vio_poll_mode mode)
{
	VIO_OPTS(vio_poller_opts, o, .mode = mode);

	w->stop = false;
	assert_int_equal(vio_poller_new(&w->p, &o), 0);
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void worker_stop(struct worker *w)
{
	void *failed;

	__atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
	vio_poller_wake(w->p);
	pthread_join(w->thread, &failed);
	assert_null(failed);
	vio_poller_free(w->p);
}

struct load {
	struct guest_queue q[2];
	uint64_t generation[2][GUEST_SLOTS];
};

static void workers_start(struct worker w[2], struct vio_vhost_user_opts *o, enum vio_poll_mode mode)
{
	static struct vio_poller *pollers[2];

	for (unsigned i = 0; i < 2; i++) {
		worker_start(&w[i], mode);
		pollers[i] = w[i].p;
	}
	o->pollers = pollers;
}

/* Before the poller is freed that they send their news to. */
static void workers_stop(struct worker w[2], struct load *l)
{
	for (unsigned i = 0; i < 2; i++) {
		worker_stop(&w[i]);
		guest_queue_close(&l->q[i]);
	}
}

/* Queue 0 writes its blocks, queue 1 its own: each slot its block. */
static void load_fill(struct load *l, unsigned i)
{
	struct guest_queue *q = &l->q[i];

	for (unsigned s = 0; s < 32; s++) {
		if (q->busy[s])
			continue;
		guest_pattern(guest_data(q, s), i * GUEST_SLOTS + s, ++l->generation[i][s]);
		guest_post(q, s, true, i * GUEST_SLOTS + s);
	}
	guest_kick(q);
}

static void load_drain(struct load *l)
{
	while (l->q[0].inflight || l->q[1].inflight)
		for (unsigned i = 0; i < 2; i++) {
			int slot = guest_reap(&l->q[i]);

			if (slot >= 0)
				assert_int_equal(guest_status(&l->q[i], (unsigned)slot), 0);
			else
				front_pump(l->q[i].f);
		}
}

static void load_verify(struct load *l)
{
	static uint8_t want[GUEST_BLOCK] __attribute__((aligned(8)));

	for (unsigned i = 0; i < 2; i++)
		for (unsigned s = 0; s < 32; s++) {
			assert_int_equal(guest_do(&l->q[i], s, false, i * GUEST_SLOTS + s), 0);
			guest_pattern(want, i * GUEST_SLOTS + s, l->generation[i][s]);
			assert_memory_equal(guest_data(&l->q[i], s), want, GUEST_BLOCK);
		}
}

/* One of the things that a front end does while the guest works on. */
static void disturb(struct front *f, struct load *l, unsigned round)
{
	struct guest_queue *q = &l->q[round / 4 % 2];
	struct vu_vring_state s = { q->index, 0 };

	switch (round % 4) {
	case 0:
		assert_int_equal(front_give_memory(f), 0);
		break;
	case 1:
		close(q->call);
		q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_int_equal(guest_send_fd(q, VU_SET_VRING_CALL, q->call), 0);
		break;
	case 2:
		s.num = front_ask(f, VU_GET_VRING_BASE, &s, sizeof(s)).p.state.num;
		guest_queue_start(q, s.num);
		break;
	case 3:
		assert_int_equal(front_ack_state(f, VU_SET_VRING_ENABLE, q->index, 0), 0);
		assert_int_equal(front_ack_state(f, VU_SET_VRING_ENABLE, q->index, 1), 0);
		break;
	}
}

static void run(enum vio_poll_mode mode, uint64_t features)
{
	VIO_OPTS(vio_vhost_user_opts, o, .npollers = 2);
	struct worker w[2];
	struct load l = { 0 };
	struct front f;

	workers_start(w, &o, mode);
	front_serve(&f, "queues=2,queue-size=256", &o);
	front_greet(&f, FRONT_PF | FRONT_V1 | features);
	assert_int_equal(front_give_memory(&f), 0);
	for (unsigned i = 0; i < 2; i++) {
		guest_queue_init(&l.q[i], &f, i, features & FRONT_PACKED);
		guest_queue_start(&l.q[i], guest_new_base(&l.q[i]));
	}
	for (unsigned round = 0; round < 64; round++) {
		load_fill(&l, 0);
		load_fill(&l, 1);
		disturb(&f, &l, round);
		if (round % 8 == 7)
			load_verify((load_drain(&l), &l));
		else
			load_drain(&l);
	}
	front_stop(&f);
	workers_stop(w, &l);
	front_free(&f);
}

static void split_queues_in_two_threads(void **state)
{
	(void)state;
	run(VIO_POLL_EVENT, 0);
}

static void packed_queues_in_two_threads(void **state)
{
	(void)state;
	run(VIO_POLL_EVENT, FRONT_PACKED);
}

static void adaptive_pollers_in_two_threads(void **state)
{
	(void)state;
	run(VIO_POLL_ADAPTIVE, 0);
}

static void a_front_end_that_vanishes_under_load_leaves_threads_whole(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		VIO_OPTS(vio_vhost_user_opts, o, .npollers = 2);
		struct worker w[2];
		struct load l = { 0 };
		struct front f;

		workers_start(w, &o, VIO_POLL_EVENT);
		front_serve(&f, "queues=2,queue-size=256", &o);
		front_greet(&f, FRONT_PF | FRONT_V1);
		assert_int_equal(front_give_memory(&f), 0);
		for (unsigned i = 0; i < 2; i++) {
			guest_queue_init(&l.q[i], &f, i, false);
			guest_queue_start(&l.q[i], 0);
			load_fill(&l, i);
		}
		front_hang_up(&f);
		while (!f.downs)
			front_pump(&f);
		front_stop(&f);
		workers_stop(w, &l);
		front_free(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_queues_in_two_threads),
		cmocka_unit_test(packed_queues_in_two_threads),
		cmocka_unit_test(adaptive_pollers_in_two_threads),
		cmocka_unit_test(a_front_end_that_vanishes_under_load_leaves_threads_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
