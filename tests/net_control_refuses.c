/* SPDX-License-Identifier: MIT */
/*
 * Commands that are cut short, too long, unknown, not negotiated or that contradict
 * themselves change nothing, and the queue goes on.
 */
#include "net_commands.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct net_guest n;

static void up(uint64_t features)
{
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(net_device(&n, features | NET_V1, "pairs=2,mac=02:00:00:00:00:01"), 0);
	for (unsigned i = 0; i < vio_dev_queues(n.dev); i++)
		assert_int_equal(net_start(&n, i, 64), 0);
}

static const struct command {
	uint8_t class, cmd;
	uint64_t feature;
	unsigned len;
	uint8_t data[24];
} commands[] = {
	{ 0, 0, NET_F(CTRL_RX), 1, { 1 } },
	{ 0, 1, NET_F(CTRL_RX), 1, { 1 } },
	{ 0, 2, NET_F(CTRL_RX_EXTRA), 1, { 1 } },
	{ 0, 3, NET_F(CTRL_RX_EXTRA), 1, { 1 } },
	{ 0, 4, NET_F(CTRL_RX_EXTRA), 1, { 1 } },
	{ 0, 5, NET_F(CTRL_RX_EXTRA), 1, { 1 } },
	{ 1, 0, NET_F(CTRL_RX), 20, { 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 3, 0, 0, 0, 0, 9 } },
	{ 1, 1, NET_F(CTRL_MAC_ADDR), 6, { 2, 0, 0, 0, 0, 9 } },
	{ 2, 0, NET_F(CTRL_VLAN), 2, { 1 } },
	{ 2, 1, NET_F(CTRL_VLAN), 2, { 1 } },
	{ 3, 0, NET_F(GUEST_ANNOUNCE), 0, { 0 } },
	{ 4, 0, NET_F(MQ), 2, { 1 } },
	{ 4, 1, NET_F(RSS), 18, { 0xff, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 3 } },
	{ 4, 2, NET_F(HASH_REPORT), 20, { 0xff, 1, 0, 0, [12] = 7 } },
	{ 5, 0, NET_F(CTRL_GUEST_OFFLOADS), 8, { 0 } },
	{ 6, 0, NET_F(NOTF_COAL), 8, { 1 } },
	{ 6, 1, NET_F(NOTF_COAL), 8, { 1 } },
	{ 6, 2, NET_F(VQ_NOTF_COAL), 12, { 1 } },
};

#define EACH(c)                                                                                              \
	const struct command *c = commands;                                                                  \
	c < commands + VIO_ARRAY_SIZE(commands);                                                             \
	c++

static uint8_t send(const struct command *c, unsigned len)
{
	return net_command(&n, c->class, c->cmd, c->data, len);
}

#define ALL (NET_CONTROL | NET_F(MQ) | NET_F(RSS) | NET_F(HASH_REPORT))

/* By two devices, since a driver with RSS says there what it otherwise says by itself. */
static void lengths(void **state)
{
	(void)state;
	for (unsigned rss = 0; rss < 2; rss++) {
		up(rss ? ALL : ALL & ~NET_F(RSS));
		for (EACH(c)) {
			unsigned padding =
				c->feature & (NET_F(RSS) | NET_F(HASH_REPORT)) ? 1 : 0; /* it may follow */
			bool takes = c->feature & (rss ? ~NET_F(HASH_REPORT) : ~NET_F(RSS));

			for (unsigned len = 0; len < sizeof(c->data); len++)
				if (len != c->len && len != c->len + padding)
					assert_int_equal(send(c, len), VIRTIO_NET_ERR);
			assert_int_equal(send(c, c->len), takes ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
		}
		assert_int_equal(net_command_bytes(&n, "", 1, 0), VIRTIO_NET_ERR);
		net_close(&n);
	}
}

/* Each command without its feature; with no feature but the queue's own, none. */
static void not_negotiated(void **state)
{
	(void)state;
	for (EACH(c)) {
		up(ALL & ~c->feature);
		assert_int_equal(send(c, c->len), VIRTIO_NET_ERR);
		net_close(&n);
	}
	up(NET_F(CTRL_VQ));
	for (EACH(c))
		assert_int_equal(send(c, c->len), VIRTIO_NET_ERR);
	net_close(&n);
}

static void unknown(void **state)
{
	static const uint8_t data[1] = { 0 };

	(void)state;
	up(NET_CONTROL | NET_F(MQ));
	for (unsigned class = 0; class < 256; class ++)
		for (unsigned cmd = class < 7 ? 6 : 0; cmd < 256; cmd += 3)
			assert_int_equal(net_command(&n, (uint8_t) class, (uint8_t)cmd, data, 1),
					 VIRTIO_NET_ERR);
	assert_int_equal(send(&commands[0], 1), VIRTIO_NET_OK);
	net_close(&n);
}

/* Counts that do not fit what follows them, up to those that would wrap. */
static void tables_that_lie(void **state)
{
	static const uint32_t counts[] = { 2, 3, 1000, 0x2aaaaaabu, 0x55555556u, 0x80000000u, 0xffffffffu };
	struct command c = commands[6];

	(void)state;
	up(NET_CONTROL);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(counts); i++)
		for (unsigned at = 0; at <= 10; at += 10) {
			c = commands[6];
			memcpy(c.data + at, &counts[i], 4);
			assert_int_equal(send(&c, c.len), VIRTIO_NET_ERR);
		}
	assert_int_equal(send(&commands[6], 20), VIRTIO_NET_OK);
	net_close(&n);
}

/* The longest that is read, and one that is longer. */
static void too_long(void **state)
{
	(void)state;
	up(NET_CONTROL);
	assert_int_equal(net_command_tables(&n, 1000, 363), VIRTIO_NET_OK);
	assert_int_equal(net_command_tables(&n, 1000, 364), VIRTIO_NET_ERR);
	assert_int_equal(net_command_tables(&n, 2000, 2000), VIRTIO_NET_ERR);
	net_close(&n);
}

static void values(void **state)
{
	(void)state;
	up(NET_CONTROL);
	assert_int_equal(net_command_mode(&n, 0, 2), VIRTIO_NET_ERR);
	assert_int_equal(net_command_vlan(&n, VIRTIO_NET_CTRL_VLAN_ADD, 4096), VIRTIO_NET_ERR);
	assert_int_equal(net_command_vlan(&n, VIRTIO_NET_CTRL_VLAN_DEL, 0xffff), VIRTIO_NET_ERR);
	assert_int_equal(net_command_vlan(&n, VIRTIO_NET_CTRL_VLAN_ADD, 4095), VIRTIO_NET_OK);
	net_close(&n);
}

static uint64_t limits(unsigned packets)
{
	return (uint64_t)packets << 32 | 9;
}

/* Queues that there are not, that move no packets, or that do not run. */
static void queues(void **state)
{
	static const uint16_t wrong[] = { 4, 5, 0x100, 0x8000, 0xffff };

	(void)state;
	up(NET_CONTROL | NET_F(MQ));
	for (uint16_t i = 0; i < 4; i++)
		assert_int_equal(net_command_coalesce_queue(&n, i, i + 1u, 9), VIRTIO_NET_OK);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++) {
		assert_int_equal(net_command_coalesce_queue(&n, wrong[i], 99, 99), VIRTIO_NET_ERR);
		assert_int_equal(net_command_coalescing(&n, wrong[i], 9), UINT64_MAX);
	}
	assert_int_equal(net_stop(&n, 3), 0);
	assert_int_equal(net_command_coalesce_queue(&n, 3, 99, 99), VIRTIO_NET_ERR);
	assert_int_equal(net_command_coalescing(&n, 3, 9), UINT64_MAX);
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(net_command_coalescing(&n, i, 9), limits(i + 1));
	net_close(&n);
}

/* Of a driver without MQ the third is the control queue, and there is no fourth. */
static void queues_without_pairs(void **state)
{
	(void)state;
	up(NET_CONTROL);
	assert_int_equal(net_command_coalesce_queue(&n, 1, 1, 9), VIRTIO_NET_OK);
	for (uint16_t i = 2; i < 5; i++)
		assert_int_equal(net_command_coalesce_queue(&n, i, 1, 9), VIRTIO_NET_ERR);
	net_close(&n);
}

/* VQ_GET where there is no room for what it asks: refused, in the last byte that there is. */
static void no_room_for_a_result(void **state)
{
	struct rg_buf b[] = { { NET_AT, 6, 0 }, { NET_AT + NET_ACK_AT, 0, RG_WRITE } };
	uint8_t *answer;

	(void)state;
	up(NET_CONTROL);
	assert_int_equal(net_command_coalesce_queue(&n, 0, 0x55555555, 0x55555555), VIRTIO_NET_OK);
	memcpy(net_ptr(&n, 2, 0), "\6\3\0\0\0\0", 6);
	answer = net_ptr(&n, 2, NET_ACK_AT);
	for (unsigned room = 1; room < 9; room++) {
		memset(answer, NET_NO_ANSWER, 10);
		b[1].len = room;
		assert_int_equal(net_run(&n, 2, b, 2), room);
		assert_int_equal(answer[room - 1], VIRTIO_NET_ERR);
		assert_int_equal(answer[room], NET_NO_ANSWER);
		assert_null(memchr(answer, 0x55, 10));
	}
	assert_int_equal(net_run(&n, 2, b, 1), 0);
	net_close(&n);
}

/* Commands come in the control queue only: without MQ that is the third, and without CTRL_VQ none. */
static void one_control_queue(void **state)
{
	const struct rg_buf b[] = { { NET_AT, 8, 0 }, { NET_AT + NET_ACK_AT, 1, RG_WRITE } };
	static const uint64_t features[] = { NET_CONTROL, NET_CONTROL & ~NET_F(CTRL_VQ) };
	uint8_t mac[6];

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(features); i++) {
		up(features[i]);
		memcpy(net_ptr(&n, 4, 0), "\1\1\2\0\0\0\0\7", 8);
		assert_int_equal(net_run(&n, 4, b, 2), 0);
		assert_int_equal(vio_dev_config_read(n.dev, 0, mac, 6), 0);
		assert_int_equal(mac[5], 1);
		net_close(&n);
	}
}

/* No room for an answer: not done, for nobody could know. No command at all: answered. */
static void odd_chains(void **state)
{
	const struct rg_buf command = { NET_AT, 8, 0 }, empty[] = { { NET_AT + NET_ACK_AT, 1, RG_WRITE } };
	const struct rg_buf wide[] = { { NET_AT, 8, 0 }, { NET_AT + NET_ACK_AT, 100, RG_WRITE } };
	uint8_t mac[6], *ack;

	(void)state;
	up(NET_CONTROL);
	memcpy(net_ptr(&n, 2, 0), "\1\1\2\0\0\0\0\7", 8);
	assert_int_equal(net_run(&n, 2, &command, 1), 0);
	assert_int_equal(vio_dev_config_read(n.dev, 0, mac, 6), 0);
	assert_int_equal(mac[5], 1);
	ack = net_ptr(&n, 2, NET_ACK_AT);
	assert_int_equal(net_run(&n, 2, empty, 1), 1);
	assert_int_equal(*ack, VIRTIO_NET_ERR);
	assert_int_equal(net_run(&n, 2, wide, 2), 1);
	assert_int_equal(*ack, VIRTIO_NET_OK);
	assert_int_equal(vio_dev_config_read(n.dev, 0, mac, 6), 0);
	assert_int_equal(mac[5], 7);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),
		cmocka_unit_test(not_negotiated),
		cmocka_unit_test(unknown),
		cmocka_unit_test(tables_that_lie),
		cmocka_unit_test(too_long),
		cmocka_unit_test(values),
		cmocka_unit_test(queues),
		cmocka_unit_test(queues_without_pairs),
		cmocka_unit_test(odd_chains),
		cmocka_unit_test(no_room_for_a_result),
		cmocka_unit_test(one_control_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
