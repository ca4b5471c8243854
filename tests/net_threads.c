/* SPDX-License-Identifier: MIT */
/*
 * Pairs of queues on threads of their own, while the control thread pulls the cable, reads
 * the config space and the counters, and has the guest announce itself: each packet is
 * either sent or counted as dropped.
 */
#include "net_guest.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAIRS 2u
#define ROUNDS 3000u
#define SIZE 64u

struct worker {
	struct vio_poller *poller;
	pthread_t thread;
	bool stop;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!VIO_LOAD_ACQUIRE(&w->stop))
		vio_poller_wait(w->poller, -1);
	return NULL;
}

static void start_worker(struct worker *w)
{
	w->stop = false;
	assert_int_equal(vio_poller_new(&w->poller, NULL), 0);
	assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

static void end_worker(struct worker *w)
{
	VIO_STORE_RELEASE(&w->stop, true);
	vio_poller_wake(w->poller);
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	vio_poller_free(w->poller);
}

static void start_queue(struct net_guest *n, unsigned index, struct vio_poller *p)
{
	struct net_guest_queue *q = &n->q[index];
	VIO_OPTS(vio_vq_opts, o, .size = SIZE, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = -1);

	assert_int_equal(rg_open(&q->g, vio_dev_acked(n->dev), SIZE), 0);
	q->open = true;
	o.mem = q->g.mem;
	vio_vq_start(n->dev, index, p, &o, n->poller, net_started, q);
	while (!q->started)
		vio_poller_wait(n->poller, 100);
	assert_int_equal(q->err, 0);
}

static unsigned post_some(struct net_guest *n, unsigned index)
{
	const bool recv = !(index & 1);
	const struct rg_buf b = { NET_AT, recv ? 2000 : 72, recv ? RG_WRITE : 0 };
	unsigned posted = 0;
	uint32_t len;

	while (rg_reap(net_ring(n, index), &len) >= 0)
		;
	while (posted < 8 && rg_post(net_ring(n, index), &b, 1) >= 0)
		posted++;
	vio_vq_kick(n->dev, index);
	return posted;
}

static void control(struct net_guest *n, unsigned round)
{
	struct virtio_net_config c;
	struct vio_net_stats s = { .sz = sizeof(s) };

	if (round % 3 == 0)
		assert_int_equal(vio_net_set_link(n->dev, round % 2), 0);
	if (round % 5 == 0)
		assert_int_equal(vio_net_announce(n->dev), 0);
	assert_int_equal(vio_dev_config_read(n->dev, 0, &c, sizeof(c)), 0);
	assert_int_equal(vio_net_stats(n->dev, round % PAIRS, &s), 0);
}

static void each_is_sent_or_counted(struct net_guest *n, const uint64_t *posted)
{
	for (unsigned pair = 0; pair < PAIRS; pair++) {
		struct vio_net_stats s = { .sz = sizeof(s) };

		assert_int_equal(vio_net_stats(n->dev, pair, &s), 0);
		assert_int_equal(s.sent + s.dropped[VIO_NET_DROP_LINK], posted[pair]);
		assert_int_equal(s.sent_bytes, s.sent * 60);
		assert_true(s.sent > 0);
	}
}

static void play(uint64_t features)
{
	uint64_t posted[PAIRS] = { 0 };
	struct worker w[PAIRS];
	struct net_guest n;

	assert_int_equal(net_open(&n), 0);
	vio_backend_free(n.backend);
	assert_int_equal(vio_backend_parse(&n.backend, NULL, "sink"), 0);
	assert_int_equal(net_device(&n, features | VIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE), "pairs=2"), 0);
	for (unsigned i = 0; i < PAIRS; i++)
		start_worker(&w[i]);
	for (unsigned i = 0; i < 2 * PAIRS; i++)
		start_queue(&n, i, w[i / 2].poller);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned pair = 0; pair < PAIRS; pair++) {
			post_some(&n, 2 * pair);
			posted[pair] += post_some(&n, 2 * pair + 1);
		}
		control(&n, round);
	}
	assert_int_equal(vio_net_set_link(n.dev, true), 0);
	for (unsigned pair = 0; pair < PAIRS; pair++)
		for (unsigned last = 0; !last; posted[pair] += last)
			last = post_some(&n, 2 * pair + 1);
	/* Stopping waits for what was taken only: first let all be used. */
	for (unsigned pair = 0; pair < PAIRS; pair++)
		for (uint32_t len; net_ring(&n, 2 * pair + 1)->room < SIZE;)
			rg_reap(net_ring(&n, 2 * pair + 1), &len);
	for (unsigned i = 0; i < 2 * PAIRS; i++)
		assert_int_equal(net_stop(&n, i), 0);
	for (unsigned i = 0; i < PAIRS; i++)
		end_worker(&w[i]);
	each_is_sent_or_counted(&n, posted);
	net_close(&n);
}

static void split(void **state)
{
	(void)state;
	play(NET_V1);
}

static void packed(void **state)
{
	(void)state;
	play(NET_V1 | NET_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
