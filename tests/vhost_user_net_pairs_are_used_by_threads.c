/* SPDX-License-Identifier: MIT */
/*
 * Two pairs of one port, each with a thread of its own, and a server that is killed and comes back meanwhile:
 * each packet that is sent is taken or counted as lost, and each RECV comes back.
 */
#include "port.h"

#include "base/barrier.h"
#include "our_switch.h"

#include <pthread.h>

#define PAIRS 2u
#define KILLS 4u
#define RECVS 32u

struct worker {
	pthread_t thread;
	struct vio_backend *b;
	unsigned pair;
	uint64_t submitted, lost;
	bool stop;
};

static struct switch_server server;

static void worker_send(struct worker *w, struct way *send)
{
	static const char frame[64] = "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x88\xb5";
	struct vio_req *r;

	while (vio_lane_reap(send->lane, &r, 1))
		vio_req_put(send->pool, r);
	for (unsigned i = 0; i < 8 && vio_lane_room(send->lane) && (r = vio_req_get(send->pool)); i++) {
		r->op = VIO_OP_SEND;
		r->niov = 1;
		r->len = sizeof(frame);
		r->iov[0] = (struct iovec){ send->mem + i * send->each, sizeof(frame) };
		memcpy(r->iov[0].iov_base, frame, sizeof(frame));
		vio_lane_submit(send->lane, &r, 1);
		w->submitted++;
	}
}

/* Puts back what has come, and takes all RECVs back now and then. */
static void worker_recv(struct way *recv, unsigned round)
{
	unsigned back = 0;
	struct vio_req *r;

	for (; vio_lane_reap(recv->lane, &r, 1); back++)
		vio_req_put(recv->pool, r);
	if (round % 64 == 63)
		back += way_recall(recv);
	way_post(recv, back, VIO_RECV_MERGE, 12);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct vio_poller *p;
	struct way recv, send;
	struct vio_req *r;

	assert_int_equal(vio_poller_new(&p, NULL), 0);
	recv = way_open_shared(w->b, p, w->pair, true, 2048);
	send = way_open_shared(w->b, p, w->pair, false, 2048);
	way_post(&recv, RECVS, VIO_RECV_MERGE, 12);
	for (unsigned round = 0; !VIO_LOAD_ACQUIRE(&w->stop); round++) {
		worker_send(w, &send);
		worker_recv(&recv, round);
		vio_poller_wait(p, 1);
	}
	while (vio_lane_room(send.lane) < 128) {
		while (vio_lane_reap(send.lane, &r, 1))
			vio_req_put(send.pool, r);
		vio_poller_wait(p, 10);
	}
	way_close(&send);
	way_close(&recv);
	vio_poller_free(p);
	return NULL;
}

static void both_ends_meet_again(const char *options)
{
	struct worker w[PAIRS];
	struct vio_backend *b;
	uint64_t submitted = 0;
	char stack[160];

	switch_start(&server, "pairs=2");
	snprintf(stack, sizeof(stack), "vhost_user_net:%s,pairs=2%s", server.sock[0], options);
	if (vio_backend_parse(&b, NULL, stack))
		fail_msg("%s", vio_errmsg());
	for (unsigned i = 0; i < PAIRS; i++) {
		w[i] = (struct worker){ .b = b, .pair = i };
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned kills = 0; kills < KILLS; kills++) {
		uint64_t sent = counter_of(b, "sent"), started = counter_of(b, "started");

		while (counter_of(b, "sent") < sent + 500 || counter_of(b, "started") < started + 4)
			usleep(1000);
		switch_kill(&server);
		switch_fork(&server);
	}
	for (unsigned i = 0; i < PAIRS; i++) {
		VIO_STORE_RELEASE(&w[i].stop, true);
		pthread_join(w[i].thread, NULL);
		submitted += w[i].submitted;
	}
	assert_int_equal(counter_of(b, "sent") + counter_of(b, "dropped_down"), submitted);
	vio_backend_free(b);
	switch_stop(&server);
}

static void split(void **state)
{
	(void)state;
	both_ends_meet_again("");
}

static void packed(void **state)
{
	(void)state;
	both_ends_meet_again(",packed=on");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
