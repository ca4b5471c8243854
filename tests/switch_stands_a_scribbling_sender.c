/* SPDX-License-Identifier: MIT */
/* A sender who changes a frame's head while it is switched reaches no port that the delivered head does not
 * name. */
#include "switch_net.h"

#include "base/barrier.h"

#include <pthread.h>

#define ROUNDS 40000u

static struct vio_poller *poller;
static struct vio_switch *sw;
static struct station sender, red[2], blue;
static uint8_t frame[64];
static bool stop;

/* Station 1 or 2 in VLAN 10, or a tag of VLAN 20. */
static void *scribble(void *arg)
{
	(void)arg;
	for (unsigned n = 0; !VIO_LOAD(&stop); n++) {
		VIO_STORE(&frame[5], (uint8_t)(1 + n % 2));
		if (!(n % 7))
			VIO_STORE(&frame[15], (uint8_t)(n % 14 ? 10 : 20));
	}
	return NULL;
}

static void send_shared(void)
{
	struct vio_req *r = vio_req_get(sender.sends), *up;

	r->op = VIO_OP_SEND;
	r->len = sizeof(frame);
	r->iov[0] = (struct iovec){ frame, sizeof(frame) };
	r->niov = 1;
	vio_lane_submit(sender.tx, &r, 1);
	assert_int_equal(vio_lane_reap(sender.tx, &up, 1), 1);
	vio_req_put(sender.sends, up);
}

static uint64_t receive(struct station *s, unsigned address)
{
	static struct packet_got got;
	uint64_t n = 0;

	for (; station_get(s, &got); n++) {
		assert_int_equal(got.len, sizeof(frame) - 4); /* the tag is gone */
		assert_int_equal(got.bytes[5], address);
		station_post(s, 1);
	}
	return n;
}

static void net_up(void)
{
	VIO_OPTS(vio_switch_port_opts, all, .flags = VIO_SWITCH_TRUNK);
	VIO_OPTS(vio_switch_port_opts, ten, .vlan = 10);
	VIO_OPTS(vio_switch_port_opts, twenty, .vlan = 20);
	uint8_t mac[6];

	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	station_up(&sender, sw, poller, "sender", &all);
	station_up(&red[0], sw, poller, "red0", &ten);
	station_up(&red[1], sw, poller, "red1", &ten);
	station_up(&blue, sw, poller, "blue", &twenty);
	for (unsigned i = 0; i < 2; i++) {
		net_mac(mac, 1 + i);
		assert_int_equal(vio_switch_address_set(sw, mac, 10, red[i].port), 0);
		assert_int_equal(vio_switch_address_set(sw, mac, 20, blue.port), 0);
		station_post(&red[i], 8);
	}
	station_post(&blue, 8);
	net_frame(frame, 1, 0, 10, sizeof(frame), 0);
}

static void a_frame_goes_where_its_head_says(void **state)
{
	static struct packet_got got;
	uint64_t reds[2] = { 0, 0 }, blues = 0, sent;
	pthread_t thread;

	(void)state;
#ifdef VIO__TSAN
	skip(); /* the race is what is tested */
#endif
	net_up();
	pthread_create(&thread, NULL, scribble, NULL);
	/* Until each change was caught. */
	for (sent = 0; sent < ROUNDS || !reds[0] || !reds[1] || !blues; sent++) {
		send_shared();
		for (unsigned k = 0; k < 2; k++)
			reds[k] += receive(&red[k], 1 + k);
		for (; station_get(&blue, &got); blues++)
			station_post(&blue, 1);
	}
	VIO_STORE(&stop, true);
	pthread_join(thread, NULL);
	assert_true(reds[0] + reds[1] + blues == sent); /* each to one port */
	station_down(&sender);
	station_down(&red[0]);
	station_down(&red[1]);
	station_down(&blue);
	vio_switch_free(sw);
	vio_poller_free(poller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_goes_where_its_head_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
