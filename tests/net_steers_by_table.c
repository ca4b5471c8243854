/* SPDX-License-Identifier: MIT */
/*
 * A driver's table (VIRTIO_NET_F_RSS): the port goes by it, the pairs that it names receive and the others do
 * not, and what makes no sense is refused and changes nothing.
 */
#include "net_commands.h"
#include "rss_vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIZE 64u
#define PAIRS 4u
#define ALL 0x1ffu
#define BUF 2048u
#define FEATURES (NET_V1 | NET_CONTROL | NET_F(MQ) | NET_F(RSS) | NET_F(HASH_REPORT))

static struct net_guest n;
static uint16_t table[256];

static void start_all(void)
{
	for (unsigned i = 0; i < vio_dev_queues(n.dev); i++)
		assert_int_equal(net_start(&n, i, SIZE), 0);
}

/* Each pair has four buffers for receiving, in its ring or at the port. */
static void up(uint64_t features)
{
	const struct rg_buf b = { NET_AT, BUF, RG_WRITE };

	assert_int_equal(net_open(&n), 0);
	assert_int_equal(net_device(&n, features, "pairs=4"), 0);
	start_all();
	for (unsigned i = 0; i < 4 * PAIRS; i++)
		assert_true(rg_post(net_ring(&n, i / 4 * 2), &b, 1) >= 0);
	for (unsigned i = 0; i < PAIRS; i++)
		vio_vq_kick(n.dev, 2 * i);
	net_pump(&n);
}

static struct net_rss sound(uint16_t entries, uint16_t unclassified, uint16_t sends)
{
	return (struct net_rss){ .types = ALL,
				 .mask = (uint16_t)(entries - 1),
				 .entries = entries,
				 .table = table,
				 .unclassified = unclassified,
				 .sends = sends,
				 .key = rss_key,
				 .key_len = sizeof(rss_key),
				 .says = sizeof(rss_key) };
}

/* Which pairs have their buffers at the port. */
static void receiving_are(bool a, bool b, bool c, bool d)
{
	const bool are[PAIRS] = { a, b, c, d };

	net_pump(&n);
	for (unsigned i = 0; i < PAIRS; i++)
		assert_int_equal(net_port_waiting(n.port, i), are[i] ? 4 : 0);
}

static void port_goes_by(const struct net_rss *r)
{
	const struct vio_steer *s = &n.port->steer;

	assert_int_equal(s->entries, r->entries);
	assert_int_equal(s->hash_types, r->types);
	assert_int_equal(s->unhashed, r->unclassified);
	assert_int_equal(s->key_len, r->key_len);
	assert_memory_equal(n.port->key, r->key, r->key_len);
	assert_memory_equal(n.port->table, r->table, r->entries * sizeof(r->table[0]));
}

static void said(const struct net_rss *r)
{
	assert_int_equal(net_command_rss(&n, r), VIRTIO_NET_OK);
	port_goes_by(r);
}

static void any_table(void **state)
{
	(void)state;
	up(FEATURES);
	for (uint16_t entries = 1; entries <= 128; entries *= 2)
		for (uint16_t key = 0; key <= sizeof(rss_key); key += 20) {
			struct net_rss r = sound(entries, entries % PAIRS, 1 + entries % 4);

			for (unsigned i = 0; i < entries; i++)
				table[i] = (uint16_t)((i + key + entries / 3) % PAIRS);
			r.types = ALL >> key % 9;
			r.key_len = key;
			r.says = (uint8_t)key;
			said(&r);
		}
	net_close(&n);
}

/* Pairs that are named receive; the others' buffers are back in their rings. */
static void named_pairs_receive(void **state)
{
	static const uint64_t rings[] = { 0, NET_PACKED, VIO_BIT(VIRTIO_F_IN_ORDER) };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rings); i++) {
		struct net_rss r = sound(2, 2, 2);

		up(FEATURES | rings[i]);
		receiving_are(true, false, false, false);
		memcpy(table, (uint16_t[]){ 1, 3 }, 4);
		said(&r);
		receiving_are(false, true, true, true);
		memcpy(table, (uint16_t[]){ 0, 0 }, 4);
		r.unclassified = 0;
		said(&r);
		receiving_are(true, false, false, false);
		assert_int_equal(net_command_pairs(&n, 3), VIRTIO_NET_OK);
		receiving_are(true, true, true, false);
		net_close(&n);
	}
}

static void post_frame(unsigned pair)
{
	const struct rg_buf b = { NET_AT, 20 + 60, 0 };

	memset(net_ptr(&n, 2 * pair + 1, 0), 0, 20 + 60);
	assert_true(rg_post(net_ring(&n, 2 * pair + 1), &b, 1) >= 0);
	vio_vq_kick(n.dev, 2 * pair + 1);
	net_pump(&n);
}

/* More than it says, too: so Linux does. */
static void all_pairs_send(void **state)
{
	struct net_rss r = sound(1, 0, 1);

	(void)state;
	up(FEATURES);
	table[0] = 3;
	post_frame(2);
	assert_int_equal(n.port->sent, 0);
	said(&r);
	net_pump(&n);
	assert_int_equal(n.port->sent, 1);
	for (unsigned i = 0; i < PAIRS; i++)
		post_frame(i);
	assert_int_equal(n.port->sent, 1 + PAIRS);
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
	post_frame(2);
	assert_int_equal(n.port->sent, 1 + PAIRS);
	net_close(&n);
}

/* The last command holds: a table, or so many pairs with the port to choose. */
static void the_last_command_holds(void **state)
{
	struct net_rss r = sound(4, 0, 4);

	(void)state;
	up(FEATURES);
	for (unsigned i = 0; i < 4; i++)
		table[i] = (uint16_t)i;
	assert_int_equal(n.port->steer.entries, 0);
	said(&r);
	receiving_are(true, true, true, true);
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
	assert_int_equal(n.port->steer.entries, 0);
	receiving_are(true, true, false, false);
	said(&r);
	receiving_are(true, true, true, true);
	assert_int_equal(net_command_pairs(&n, 0), VIRTIO_NET_ERR);
	port_goes_by(&r);
	receiving_are(true, true, true, true);
	net_close(&n);
}

static void stop_all(void)
{
	for (unsigned i = 0; i < vio_dev_queues(n.dev); i++)
		assert_int_equal(net_stop(&n, i), 0);
}

/* A queue that stops and starts keeps it; a reset, new features and the device's end do not. */
static void a_reset_ends_it(void **state)
{
	struct net_rss r = sound(1, 2, 1);

	(void)state;
	up(FEATURES);
	table[0] = 1;
	said(&r);
	receiving_are(false, true, true, false);
	assert_int_equal(net_stop(&n, 2), 0);
	assert_int_equal(net_start(&n, 2, SIZE), 0);
	receiving_are(false, true, true, false);
	port_goes_by(&r);
	stop_all();
	port_goes_by(&r);
	vio_dev_reset(n.dev);
	assert_int_equal(n.port->steer.entries, 0);
	assert_int_equal(vio_dev_set_features(n.dev, FEATURES), 0);
	start_all();
	receiving_are(true, false, false, false);
	said(&r);
	stop_all();
	assert_int_equal(vio_dev_set_features(n.dev, FEATURES & ~NET_F(MQ)), 0);
	assert_int_equal(n.port->steer.entries, 0);
	start_all();
	receiving_are(true, false, false, false);
	said(&r);
	stop_all();
	vio_dev_free(n.dev);
	assert_int_equal(n.port->steer.entries, 0);
	assert_int_equal(vio_dev_new(&n.dev, vio_dev_net(), n.backend, NULL), 0);
	net_close(&n);
}

/* Without MQ there are several pairs all the same, behind them the control queue, and no other way to say
 * which. */
static void without_mq(void **state)
{
	struct net_rss r = sound(2, 1, 1);

	(void)state;
	up(FEATURES & ~NET_F(MQ));
	receiving_are(true, false, false, false);
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_ERR);
	memcpy(table, (uint16_t[]){ 2, 3 }, 4);
	said(&r);
	receiving_are(false, true, true, true);
	net_close(&n);
}

/* The hash is by the table's types and key, and stays when the table goes; a command of its own for it is
 * refused. */
static void its_hash_is_reported(void **state)
{
	static struct frame f;
	struct net_rss r = sound(1, 0, 1);
	struct virtio_net_hdr_v1_hash *h;

	(void)state;
	up(FEATURES);
	table[0] = 0;
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	h = net_ptr(&n, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t len;

		if (!i)
			said(&r);
		if (i == 1)
			assert_int_equal(net_command_hash(&n, 0, rss_key, 4, 4), VIRTIO_NET_ERR);
		if (i == 2)
			assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
		assert_int_equal(net_port_deliver(n.port, 0, f.b, f.len, 0, NULL), 1);
		net_pump(&n);
		assert_true(rg_reap(net_ring(&n, 0), &len) >= 0);
		assert_int_equal(len, 20 + f.len);
		assert_int_equal(le32toh(h->hash_value), rss_v4[0].tcp);
		assert_int_equal(le16toh(h->hash_report), VIRTIO_NET_HASH_REPORT_TCPv4);
		memset(h, 0xee, 20);
	}
	net_close(&n);
}

/* One thing wrong in each; entries is how many are there, wherever mask points. */
static const struct wrong {
	const char *what;
	uint32_t types;
	uint16_t mask, entries, unclassified, sends;
	uint16_t at, pair; /* table[at] */
	unsigned key_len;
	uint8_t says;
} wrongs[] = {
	{ "a mask that is no power of two less one", ALL, 2, 3, 0, 1, 0, 0, 40, 40 },
	{ "a mask of 4", ALL, 4, 5, 0, 1, 0, 0, 40, 40 },
	{ "a mask of 126", ALL, 126, 127, 0, 1, 0, 0, 40, 40 },
	{ "a table longer than is offered", ALL, 255, 256, 0, 1, 0, 0, 40, 40 },
	{ "a table beyond the command", ALL, 0x7fff, 128, 0, 1, 0, 0, 40, 40 },
	{ "the longest mask", ALL, 0xffff, 128, 0, 1, 0, 0, 40, 40 },
	{ "the longest mask, and nothing", ALL, 0xffff, 0, 0, 1, 0, 0, 0, 0 },
	{ "a table cut short", ALL, 127, 126, 0, 1, 0, 0, 0, 0 },
	{ "a table cut short, and a key", ALL, 127, 64, 0, 1, 0, 0, 40, 40 },
	{ "a table longer than its mask", ALL, 1, 3, 0, 1, 0, 0, 40, 40 },
	{ "an unclassified queue out of range", ALL, 3, 4, 4, 1, 0, 0, 40, 40 },
	{ "the last unclassified queue", ALL, 3, 4, 0x7fff, 1, 0, 0, 40, 40 },
	{ "a reserved bit with it", ALL, 3, 4, 0x8000, 1, 0, 0, 40, 40 },
	{ "an entry out of range", ALL, 3, 4, 0, 1, 0, 4, 40, 40 },
	{ "the last entry out of range", ALL, 127, 128, 0, 1, 127, 4, 40, 40 },
	{ "an entry by its queue's index", ALL, 3, 4, 0, 1, 3, 6, 40, 40 },
	{ "a reserved bit with an entry", ALL, 3, 4, 0, 1, 1, 0x8001, 40, 40 },
	{ "the largest entry", ALL, 127, 128, 0, 1, 64, 0xffff, 40, 40 },
	{ "no pair that sends", ALL, 3, 4, 0, 0, 0, 0, 40, 40 },
	{ "more pairs that send than there are", ALL, 3, 4, 0, 5, 0, 0, 40, 40 },
	{ "as many pairs as can be said", ALL, 3, 4, 0, 0xffff, 0, 0, 40, 40 },
	{ "a key longer than is offered", ALL, 3, 4, 0, 1, 0, 0, 41, 41 },
	{ "the longest key", ALL, 3, 4, 0, 1, 0, 0, 255, 255 },
	{ "a key cut short", ALL, 3, 4, 0, 1, 0, 0, 39, 40 },
	{ "a key longer than it says, and than padding", ALL, 3, 4, 0, 1, 0, 0, 42, 40 },
	{ "no key, that is said to be there", ALL, 3, 4, 0, 1, 0, 0, 0, 1 },
	{ "a type that is not offered", 0x200, 3, 4, 0, 1, 0, 0, 40, 40 },
	{ "the last type", 0x80000001, 3, 4, 0, 1, 0, 0, 40, 40 },
	{ "all types there could be", 0xffffffff, 3, 4, 0, 1, 0, 0, 40, 40 },
};

static void what_makes_no_sense_changes_nothing(void **state)
{
	static const uint16_t before[] = { 2, 2, 2, 2 };
	static const uint8_t key[300] = { 1, 2, 3 };
	struct net_rss good = sound(4, 1, 2);
	unsigned times;

	(void)state;
	up(FEATURES);
	good.table = before;
	said(&good);
	times = n.port->steered;
	for (const struct wrong *w = wrongs; w < wrongs + VIO_ARRAY_SIZE(wrongs); w++) {
		const struct net_rss r = { w->types,   w->mask, w->unclassified, w->sends, table,
					   w->entries, key,	w->key_len,	 w->says };

		memset(table, 0, sizeof(table));
		table[w->at] = w->pair;
		if (net_command_rss(&n, &r) != VIRTIO_NET_ERR)
			fail_msg("%s was taken", w->what);
	}
	receiving_are(false, true, true, false);
	assert_int_equal(n.port->steered, times);
	port_goes_by(&good);
	net_close(&n);
}

/* Each length of a sound command but its own, and one for padding. */
static void cut_anywhere(void **state)
{
	uint8_t data[2 + 8 + 8 + 3 + 40 + 8] = { 4, 1, 0xff, 1, 0, 0, 3, 0, 1, 0, 0,
						 0, 1, 0,    2, 0, 3, 0, 4, 0, 40 };
	const unsigned len = 2 + 8 + 8 + 3 + 40;

	(void)state;
	up(FEATURES);
	for (unsigned i = 0; i < sizeof(data); i++)
		assert_int_equal(net_command_bytes(&n, data, i, 0),
				 i == len || i == len + 1 ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
	for (unsigned each = 1; each < 64; each++)
		assert_int_equal(net_command_bytes(&n, data, len, each), VIRTIO_NET_OK);
	assert_int_equal(n.port->steer.entries, 4);
	net_close(&n);
}

/* What the port can't do is not done by half. */
static void a_port_that_refuses(void **state)
{
	struct net_rss good = sound(1, 1, 2), other = sound(2, 0, 4);

	(void)state;
	up(FEATURES);
	table[0] = table[1] = 1;
	said(&good);
	n.port->refuses = -ENOMEM;
	assert_int_equal(net_command_rss(&n, &other), VIRTIO_NET_ERR);
	port_goes_by(&good);
	receiving_are(false, true, false, false);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_table),
		cmocka_unit_test(named_pairs_receive),
		cmocka_unit_test(all_pairs_send),
		cmocka_unit_test(the_last_command_holds),
		cmocka_unit_test(a_reset_ends_it),
		cmocka_unit_test(without_mq),
		cmocka_unit_test(its_hash_is_reported),
		cmocka_unit_test(what_makes_no_sense_changes_nothing),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(a_port_that_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
