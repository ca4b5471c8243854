/* SPDX-License-Identifier: MIT */
/*
 * A card of four pairs at a switch: its queues are on two threads, who sends to it on a third, and its driver
 * changes the table all the while. Each packet comes into the ring that one of the tables names, its hash is
 * by one of the two, none is lost uncounted, and after the last change all is by the last.
 */
#include "net_commands.h"
#include "rss_vectors.h"
#include "switch_net.h"

#include <pthread.h>

#define PAIRS 4u
#define THREADS 2u
#define CTRL (2 * PAIRS)
#define SIZE 128u
#define BUF 256u
#define HDR 20u
#define WINDOW 64u
#define CHANGES 601u
#define SENDS 3000u
#define PHASE 60u /* of the frame: the byte that says whether the last table holds */

struct worker {
	pthread_t thread;
	struct vio_poller *poller;
	unsigned first; /* of its two pairs */
};

static struct net_guest n;
static struct vio_switch *sw;
static struct vio_switch_port *port;
static struct worker workers[THREADS];
static struct steer known[2];
static uint16_t table[2][STEER_TABLE];
static uint8_t keys[2][40];
static unsigned slot[PAIRS];
static uint32_t started, stop, last_holds, received[2];
static uint64_t sent;

/* The one leads to pairs 0 to 2, the other to 1 to 3: with each change, one begins and one ends. */
static struct net_rss said(unsigned which)
{
	return (struct net_rss){ .types = which ? 0x1ff : VIRTIO_NET_RSS_HASH_TYPE_IPv4,
				 .mask = which ? 127 : 31,
				 .entries = which ? 128 : 32,
				 .unclassified = 1,
				 .sends = 1,
				 .table = table[which],
				 .key = keys[which],
				 .key_len = 40,
				 .says = 40 };
}

static void make_tables(void)
{
	uint64_t seed = 7;

	for (unsigned which = 0; which < 2; which++) {
		const struct net_rss r = said(which);
		const struct vio_steer s = { .hash_types = r.types,
					     .entries = (uint16_t)r.entries,
					     .unhashed = r.unclassified,
					     .table = r.table,
					     .key = r.key,
					     .key_len = r.key_len };

		for (unsigned i = 0; i < STEER_TABLE + 40; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			if (i < STEER_TABLE)
				table[which][i] = (uint16_t)((seed >> 33) % 3 + which);
			else
				keys[which][i - STEER_TABLE] = (uint8_t)(seed >> 33);
		}
		vio__steer_set(&known[which], &s);
	}
}

/* In which pair a packet was, by this table, and with this header. */
static void check(unsigned pair, const uint8_t *packet, uint32_t len)
{
	const uint8_t *f = packet + HDR;
	const bool last = f[PHASE];
	struct virtio_net_hdr_v1_hash h;
	bool placed = false, hashed = false;
	struct packet p;

	memcpy(&h, packet, HDR);
	assert_true(vio__packet_parse(&p, f, len - HDR, len - HDR));
	for (unsigned which = last; which < 2; which++) {
		uint16_t report;
		uint32_t hash = vio__steer_hash(&known[which], &p, f, &report);

		placed = placed || vio__steer_pair(&known[which], &p, f) == (int)pair;
		hashed = hashed || (hash == le32toh(h.hash_value) && report == le16toh(h.hash_report));
	}
	assert_true(placed);
	assert_true(hashed);
	__atomic_fetch_add(&received[last], 1, __ATOMIC_RELAXED);
}

static void reap(unsigned pair)
{
	uint32_t len;

	while (rg_reap(net_ring(&n, 2 * pair), &len) >= 0) {
		if (len) /* else the device has counted it as dropped */
			check(pair, net_ptr(&n, 2 * pair, slot[pair] % SIZE * BUF), len);
		slot[pair]++;
	}
}

/* Buffers are used in the order in which they were posted. */
static void post(unsigned pair)
{
	static unsigned posted[PAIRS];

	for (;;) {
		const struct rg_buf b = { NET_AT + posted[pair] % SIZE * BUF, BUF, RG_WRITE };

		if (posted[pair] - slot[pair] == SIZE || rg_post(net_ring(&n, 2 * pair), &b, 1) < 0)
			break;
		posted[pair]++;
	}
	vio_vq_kick(n.dev, 2 * pair);
}

/* The poller is this thread's from the first. */
static void *receive(void *arg)
{
	struct worker *w = arg;

	while (!VIO_LOAD_ACQUIRE(&stop)) {
		for (unsigned i = w->first; VIO_LOAD_ACQUIRE(&started) && i < w->first + 2; i++) {
			reap(i);
			post(i);
		}
		assert_true(vio_poller_wait(w->poller, 0) >= 0);
	}
	return NULL;
}

static void *send_packets(void *arg)
{
	struct station from;
	struct vio_poller *p;
	static struct frame f;

	(void)arg;
	assert_int_equal(vio_poller_new(&p, NULL), 0);
	station_up(&from, sw, p, "from", NULL);
	for (unsigned i = 0, last = 0; last < SENDS || i < 2 * SENDS; i++) {
		bool holds = VIO_LOAD_ACQUIRE(&last_holds);

		while (from.sending == WINDOW)
			if (!station_reap_sends(&from))
				vio_poller_wait(p, 0);
		frame_eth(&f);
		frame_ipv4(&f, "10.0.0.1", "10.0.0.2", IPPROTO_UDP, 0);
		packet_put16(f.b + f.l3 + 14, (uint16_t)(i * 7919));
		frame_udp(&f, (uint16_t)(i >> 3), 53);
		frame_payload(&f, 50);
		frame_end(&f);
		f.b[PHASE] = holds;
		station_send_cut(&from, f.b, f.len, 0, NULL, 0);
		last += holds;
		sent++;
	}
	while (from.sending)
		if (!station_reap_sends(&from))
			vio_poller_wait(p, 0);
	station_close(&from);
	vio_poller_free(p);
	return NULL;
}

static void start_queue(unsigned index, struct vio_poller *p)
{
	struct net_guest_queue *q = &n.q[index];
	VIO_OPTS(vio_vq_opts, o, .size = SIZE, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = -1);

	assert_int_equal(rg_open(&q->g, vio_dev_acked(n.dev), SIZE), 0);
	q->open = true;
	o.mem = q->g.mem;
	vio_vq_start(n.dev, index, p, &o, n.poller, net_started, q);
	while (!q->started)
		vio_poller_wait(n.poller, 100);
	assert_int_equal(q->err, 0);
}

static void up(void)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 2 };

	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	assert_int_equal(vio_switch_port_new(&port, sw, "card", NULL), 0);
	assert_int_equal(vio_switch_address_set(sw, mac, 1, port), 0);
	assert_int_equal(vio_poller_new(&n.poller, NULL), 0);
	n.backend = vio_switch_port_backend(port);
	assert_int_equal(
		net_device(&n, NET_V1 | NET_CONTROL | NET_F(MQ) | NET_F(RSS) | NET_F(HASH_REPORT), "pairs=4"),
		0);
	n.backend = NULL; /* the port's, not ours to free */
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(vio_poller_new(&workers[i].poller, NULL), 0);
		workers[i].first = 2 * i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, receive, &workers[i]), 0);
	}
	for (unsigned i = 0; i < PAIRS; i++)
		start_queue(2 * i, workers[i / 2].poller);
	start_queue(CTRL, n.poller);
	VIO_STORE_RELEASE(&started, 1);
}

/* While their threads still run. */
static void stop_queues(void)
{
	for (unsigned i = 0; i <= CTRL; i += 2)
		assert_int_equal(net_stop(&n, i), 0);
}

static uint64_t dropped(void)
{
	struct vio_switch_port *from = vio_switch_port_find(sw, "from");
	struct vio_switch_port_stats s = { .sz = sizeof(s) };
	uint64_t all = 0;

	assert_int_equal(vio_switch_port_stats(from, &s), 0);
	assert_int_equal(s.sent, sent);
	for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
		all += s.dropped[i];
	vio_switch_port_free(from);
	for (unsigned i = 0; i < PAIRS; i++) {
		struct vio_net_stats d = { .sz = sizeof(d) };

		assert_int_equal(vio_net_stats(n.dev, i, &d), 0);
		all += d.dropped[VIO_NET_DROP_FILTER];
	}
	return all;
}

static void tell(unsigned which)
{
	const struct net_rss r = said(which);

	assert_int_equal(net_command_rss(&n, &r), VIRTIO_NET_OK);
}

static void tables_change_while_packets_come(void **state)
{
	pthread_t sender;

	(void)state;
	make_tables();
	up();
	tell(0); /* before the first packet */
	assert_int_equal(pthread_create(&sender, NULL, send_packets, NULL), 0);
	for (unsigned i = 0; i < CHANGES || VIO_LOAD(&received[0]) < SENDS; i++)
		tell(i & 1);
	tell(1);
	VIO_STORE_RELEASE(&last_holds, 1);
	pthread_join(sender, NULL);
	stop_queues();
	VIO_STORE_RELEASE(&stop, 1);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < PAIRS; i++)
		reap(i);
	assert_true(received[0] && received[1]);
	assert_int_equal(received[0] + received[1] + dropped(), sent);
	net_close(&n);
	vio_switch_port_free(port);
	vio_switch_free(sw);
	for (unsigned i = 0; i < THREADS; i++)
		vio_poller_free(workers[i].poller);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(tables_change_while_packets_come) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
