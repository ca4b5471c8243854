/* SPDX-License-Identifier: MIT */
/* A queue a thread: both send and receive at the same time, say what they take, come and go, and the port's
 * counters add up. */
#define _GNU_SOURCE
#include "tap.h"
#include "udp_frame.h"

#include <pthread.h>

#define ROUNDS 20u
#define BURST 50u

struct worker {
	struct vio_backend *b;
	unsigned pair;
	uint64_t heard;
};

/* Each round is a life of the pair's lanes: broadcasts to the kernel, and whatever it has to say. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct frame_way way = { .dst = { 255, 255, 255, 255, 255, 255 },
				 .src = { 2, 0, 0, 0, 0, (unsigned char)w->pair },
				 .src_ip = OUR_IP,
				 .dst_ip = KERNEL_IP };
	struct vio_poller *p = poller_of(VIO_POLL_EPOLL, VIO_POLL_EVENT);
	char frame[128];
	size_t len = frame_ping(frame, &way, "0123456789abcdefghij", 20);

	net_mac("vio0", way.dst);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct way send = way_open(w->b, p, w->pair, false, 64),
			   recv = way_open(w->b, p, w->pair, true, 2048);
		struct vio_req *r;

		way_post(&recv, 64, i & 1 ? VIO_PACKET_CSUM : 0, 0);
		for (unsigned k = 0; k < BURST; k++) {
			way_send(&send, p, frame, len, 0, NULL);
			for (; vio_lane_reap(recv.lane, &r, 1); vio_req_put(recv.pool, r), w->heard++)
				way_post(&recv, 1, i & 1 ? VIO_PACKET_CSUM : 0, 0);
		}
		way_close(&send);
		way_close(&recv);
	}
	vio_poller_free(p);
	return NULL;
}

static void two_threads(void **state)
{
	struct worker w[2] = { { .pair = 0 }, { .pair = 1 } };
	struct vio_backend *b;
	pthread_t t[2];

	(void)state;
	assert_int_equal(vio_backend_new(&b, vio_backend_find("tap"), NULL, NULL, "vio0,queues=2"), 0);
	net_configure("vio0", KERNEL_IP);
	net_neighbour("vio0");
	for (unsigned i = 0; i < 2; i++) {
		w[i].b = b;
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(counter_of(b, "sent"), 2 * ROUNDS * BURST);
	assert_int_equal(counter_of(b, "received"), w[0].heard + w[1].heard);
	assert_true(w[0].heard + w[1].heard > 0);
	vio_backend_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(two_threads) };

	if (!net_enter())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
