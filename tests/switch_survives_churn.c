/* SPDX-License-Identifier: MIT */
/* Ports, lanes and options come and go while other threads send: no SEND is lost, no packet is uncounted. */
#include "switch_net.h"

#include "base/barrier.h"

#include <pthread.h>

#define SENDERS 2u
#define VISITS 60u /* of each visitor: it opens lanes, receives, and closes them */
#define WINDOW 64u

static struct vio_switch *sw;
static unsigned visitors_left;
static pthread_barrier_t all;

struct sender {
	pthread_t thread;
	struct vio_poller *poller;
	struct station s;
	unsigned id;
};

struct visitor {
	pthread_t thread;
	struct vio_poller *poller;
	struct station s;
	unsigned id;
	uint64_t got;
};

/* Addresses: senders 0.., visitors 10.., and one that nobody has. */
static void sender_turn(struct sender *w, unsigned n)
{
	static const unsigned to[] = { 10, 11, 0, 1, 99 };
	uint8_t frame[200];

	station_post(&w->s, WINDOW - w->s.posted);
	while (w->s.sending < WINDOW) {
		unsigned dst = n % 16 ? to[n % VIO_ARRAY_SIZE(to)] : NET_BROADCAST;

		n++;
		station_send_cut(&w->s, frame, net_frame(frame, dst, w->id, -1, sizeof(frame), n), 0, NULL,
				 0);
	}
	station_reap_sends(&w->s);
}

static void *sender_main(void *arg)
{
	static _Thread_local struct packet_got got;
	struct sender *w = arg;

	assert_int_equal(vio_poller_new(&w->poller, NULL), 0);
	w->s.poller = w->poller;
	station_lanes(&w->s);
	pthread_barrier_wait(&all);
	for (unsigned n = w->id; VIO_LOAD_ACQUIRE(&visitors_left); n++) {
		sender_turn(w, n);
		while (station_get(&w->s, &got))
			;
		vio_poller_wait(w->poller, 0);
	}
	while (w->s.sending) { /* to the other sender, too, which may be gone by now */
		station_reap_sends(&w->s);
		vio_poller_wait(w->poller, 0);
	}
	station_close(&w->s);
	return NULL;
}

static void *visitor_main(void *arg)
{
	static _Thread_local struct packet_got got;
	struct visitor *v = arg;

	assert_int_equal(vio_poller_new(&v->poller, NULL), 0);
	v->s.poller = v->poller;
	pthread_barrier_wait(&all);
	for (unsigned visit = 0; visit < VISITS; visit++) {
		uint8_t frame[100];

		station_lanes(&v->s);
		station_post(&v->s, 32);
		station_send_cut(&v->s, frame, net_frame(frame, 0, 10 + v->id, -1, sizeof(frame), 0), 0, NULL,
				 0);
		for (unsigned turn = 0; turn < visit % 8 || v->s.sending; turn++) {
			vio_poller_wait(v->poller, 0);
			station_reap_sends(&v->s);
			for (; station_get(&v->s, &got); v->got++)
				station_post(&v->s, 1);
		}
		for (; station_get(&v->s, &got); v->got++)
			;
		station_close(&v->s); /* parcels for it are on their way now */
	}
	__atomic_fetch_sub(&visitors_left, 1, __ATOMIC_ACQ_REL);
	return NULL;
}

/* The control thread: ports that are made and freed, options and addresses that change. */
static void control_turn(struct visitor *v, unsigned n)
{
	VIO_OPTS(vio_switch_port_opts, o, .flags = n & 1 ? VIO_SWITCH_ISOLATED : 0,
		 .mirror = n & 2 ? "guest" : NULL);
	struct vio_switch_port *p;
	uint8_t mac[6];

	assert_int_equal(vio_switch_port_new(&p, sw, "guest", NULL), 0);
	assert_int_equal(vio_switch_port_set(v[n % 2].s.port, &o), 0);
	net_mac(mac, 10);
	assert_int_equal(vio_switch_address_set(sw, mac, 1, n % 3 ? p : v[0].s.port), 0);
	assert_int_equal(vio_switch_address_set(sw, mac, 1, NULL), 0);
	vio_switch_port_free(p);
}

static uint64_t sum(const struct vio_switch_port_stats *s)
{
	uint64_t n = s->delivered;

	for (unsigned k = 0; k < VIO_SWITCH_DROP_N; k++)
		n += s->dropped[k];
	return n;
}

static void no_send_is_lost(void **state)
{
	static struct sender senders[SENDERS];
	static struct visitor visitors[2];
	uint64_t sent = 0, ended = 0;

	(void)state;
	visitors_left = 2;
	pthread_barrier_init(&all, NULL, SENDERS + 3);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ .id = i, .s.room = 256 };
		assert_int_equal(vio_switch_port_new(&senders[i].s.port, sw, i ? "s1" : "s0", NULL), 0);
		pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		visitors[i] = (struct visitor){ .id = i, .s.room = 256 };
		assert_int_equal(vio_switch_port_new(&visitors[i].s.port, sw, i ? "v1" : "v0", NULL), 0);
		pthread_create(&visitors[i].thread, NULL, visitor_main, &visitors[i]);
	}
	pthread_barrier_wait(&all);
	for (unsigned n = 0; VIO_LOAD_ACQUIRE(&visitors_left); n++)
		control_turn(visitors, n);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(visitors[i].thread, NULL);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(senders[i].thread, NULL);
	assert_true(visitors[0].got + visitors[1].got > 0);
	for (unsigned i = 0; i < 2; i++) {
		struct vio_switch_port_stats s = station_stats(&senders[i].s),
					     v = station_stats(&visitors[i].s);

		assert_true(v.delivered == visitors[i].got);
		sent += s.sent + v.sent;
		ended += sum(&s) + sum(&v);
		vio_switch_port_free(senders[i].s.port);
		vio_switch_port_free(visitors[i].s.port);
		vio_poller_free(senders[i].poller);
		vio_poller_free(visitors[i].poller);
	}
	assert_true(ended > 0 && sent > 0); /* floods make copies, so no sum of both */
	vio_switch_free(sw);
	pthread_barrier_destroy(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_send_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
