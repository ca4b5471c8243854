/* SPDX-License-Identifier: MIT */
/*
 * A port's lanes are on several threads, and its table changes all the while: each packet comes to the lane
 * that one of the tables names, each as a whole, none is lost for the change, and after the last change all
 * go by the last table.
 */
#include "rss_vectors.h"
#include "switch_net.h"

#include "base/barrier.h"
#include "packet/steer.h"

#include <pthread.h>

#define THREADS 2u
#define EACH 2u /* lanes a thread */
#define LANES (THREADS * EACH)
#define WINDOW 64u
#define CHANGES 3001u
#define SENDS 20000u
#define PHASE 60u /* of the frame: the byte that says whether the last table holds */

static struct vio_switch *sw;
static struct vio_switch_port *port;
static struct station in[LANES];
static struct steer known[2]; /* the two tables, to tell by where a packet belongs */
static pthread_barrier_t all;
static uint32_t quiet, changes, received[2];

static uint8_t key[2][40];
static uint16_t table[2][STEER_TABLE];

static struct vio_steer steering(unsigned which)
{
	return (struct vio_steer){ .sz = sizeof(struct vio_steer),
				   .hash_types = which ? 0x1ff : VIRTIO_NET_RSS_HASH_TYPE_UDPv4,
				   .entries = which ? STEER_TABLE : 32,
				   .unhashed = (uint16_t)which,
				   .table = table[which],
				   .key = key[which],
				   .key_len = sizeof(key[which]) };
}

/* Two that agree about a packet in one of four only: something of both would show soon. */
static void make_tables(void)
{
	uint64_t seed = 1;

	for (unsigned which = 0; which < 2; which++) {
		struct vio_steer s = steering(which);

		for (unsigned i = 0; i < STEER_TABLE + 40; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			if (i < STEER_TABLE)
				table[which][i] = (uint16_t)(seed >> 33) % LANES;
			else
				key[which][i - STEER_TABLE] = (uint8_t)(seed >> 33);
		}
		vio__steer_set(&known[which], &s);
	}
}

static int belongs(unsigned which, const struct packet_got *g)
{
	struct packet p;

	assert_true(vio__packet_parse(&p, g->bytes, (unsigned)g->len, (unsigned)g->len));
	return vio__steer_pair(&known[which], &p, g->bytes);
}

static void check(unsigned pair, const struct packet_got *g)
{
	const bool last = g->bytes[PHASE];

	if (belongs(1, g) != (int)pair)
		assert_true(!last && belongs(0, g) == (int)pair);
	__atomic_fetch_add(&received[last], 1, __ATOMIC_RELAXED);
}

/* Lanes are opened by their own thread. */
static void lane_up(unsigned pair, struct vio_poller *p)
{
	struct station *s = &in[pair];
	VIO_OPTS(vio_lane_opts, o, .pair = pair);

	*s = (struct station){ .poller = p, .port = port, .room = 256 };
	assert_int_equal(vio_lane_new(&s->tx, vio_switch_port_backend(port), p, &o), 0);
	o.recv = true;
	assert_int_equal(vio_lane_new(&s->rx, vio_switch_port_backend(port), p, &o), 0);
	assert_int_equal(vio_req_pool_new(&s->sends, s->tx, 1, 1), 0);
	assert_int_equal(vio_req_pool_new(&s->recvs, s->rx, NET_REQS, 8), 0);
	station_post(s, NET_REQS);
}

static void turn(unsigned pair)
{
	static _Thread_local struct packet_got got;
	struct station *s = &in[pair];

	while (station_get(s, &got))
		check(pair, &got);
	station_post(s, NET_REQS - s->posted);
}

static void *receive(void *arg)
{
	const unsigned first = *(unsigned *)arg;
	struct vio_poller *p;

	assert_int_equal(vio_poller_new(&p, NULL), 0);
	for (unsigned i = 0; i < EACH; i++)
		lane_up(first + i, p);
	pthread_barrier_wait(&all);
	while (!VIO_LOAD_ACQUIRE(&quiet)) {
		for (unsigned i = 0; i < EACH; i++)
			turn(first + i);
		vio_poller_wait(p, 0);
	}
	for (unsigned i = 0; i < EACH; i++) {
		turn(first + i);
		station_close(&in[first + i]);
	}
	vio_poller_free(p);
	return NULL;
}

static void *change(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i <= CHANGES; i++) {
		struct vio_steer s = steering(i & 1);

		assert_int_equal(vio_backend_steer(vio_switch_port_backend(port), &s), 0);
		VIO_STORE_RELEASE(&changes, i);
	}
	return NULL;
}

static void send_one(struct station *from, unsigned flow, bool last)
{
	static struct frame f;

	while (from->sending == WINDOW) {
		station_reap_sends(from);
		vio_poller_wait(from->poller, 0);
	}
	frame_eth(&f);
	frame_ipv4(&f, "10.0.0.1", "10.0.0.2", IPPROTO_UDP, 0);
	frame_udp(&f, (uint16_t)(flow * 7919), (uint16_t)(flow >> 4));
	frame_payload(&f, 50);
	frame_end(&f);
	f.b[PHASE] = last;
	station_send_cut(from, f.b, f.len, 0, NULL, 0);
}

static void all_come_back(struct station *from)
{
	while (from->sending)
		if (!station_reap_sends(from))
			vio_poller_wait(from->poller, 0);
}

/* CHANGES is odd, so the second table is the last. */
static void send_while_tables_change(struct station *from)
{
	pthread_t changer;
	unsigned i;

	assert_int_equal(pthread_create(&changer, NULL, change, NULL), 0);
	for (i = 0; i < SENDS || VIO_LOAD_ACQUIRE(&changes) < CHANGES; i++)
		send_one(from, i, false);
	pthread_join(changer, NULL);
	for (i = 0; i < SENDS / 4; i++)
		send_one(from, i, true);
	all_come_back(from);
}

static void each_table_as_a_whole(void **state)
{
	static unsigned first[THREADS] = { 0, EACH };
	struct vio_switch_port_stats s;
	pthread_t thread[THREADS];
	struct vio_poller *p;
	struct station from;
	struct vio_steer steer;

	(void)state;
	make_tables();
	steer = steering(0);
	assert_int_equal(vio_poller_new(&p, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	assert_int_equal(vio_switch_port_new(&port, sw, "to", NULL), 0);
	station_up(&from, sw, p, "from", NULL);
	in[0].port = port;
	station_known(&in[0], sw, 2);
	assert_int_equal(vio_backend_steer(vio_switch_port_backend(port), &steer), 0);
	pthread_barrier_init(&all, NULL, THREADS + 1);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, receive, &first[i]), 0);
	pthread_barrier_wait(&all);
	send_while_tables_change(&from);
	VIO_STORE_RELEASE(&quiet, 1);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	s = station_stats(&from);
	assert_int_equal(s.dropped[VIO_SWITCH_DROP_DOWN], 0);
	assert_int_equal(s.sent, received[0] + received[1] + s.dropped[VIO_SWITCH_DROP_NO_BUFFER] +
					 s.dropped[VIO_SWITCH_DROP_CONGESTED]);
	assert_true(received[0] && received[1]);
	station_down(&from);
	vio_switch_port_free(port);
	vio_switch_free(sw);
	vio_poller_free(p);
	pthread_barrier_destroy(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_table_as_a_whole) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
