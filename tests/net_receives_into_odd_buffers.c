/* SPDX-License-Identifier: MIT */
/* Receive buffers that hold no packet or half a header, and packets that are none or not to be had. */
#include "device/net.h"
#include "net_receiver.h"

/* They take their turn, so that the order of the ring holds; what comes into them is lost, and counted. */
static void too_short(uint64_t features)
{
	struct net_guest n;
	uint32_t len;

	up(&n, features, "queue-size=1024");
	post(&n, 0, 100, 1);
	post(&n, 1, 12, 1);
	post(&n, 2, 1, 1);
	post(&n, 3, 100, 1);
	post(&n, 4, 12, 1);
	put_down(&n, 5);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(net_port_deliver(n.port, 0, frame, 60, 0, NULL), 1);
	is_frame(&n, 60, 1);
	for (unsigned i = 0; i < 2; i++) {
		reap(&n, &len);
		assert_int_equal(len, 0);
	}
	is_frame(&n, 60, 1);
	assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_SHORT], 2);
	assert_int_equal(net_stats(&n).received, 2);
	assert_int_equal(net_stop(&n, RECV), 0);
	assert_int_equal(net_start(&n, RECV, SIZE), 0);
	put_down(&n, 1);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(*(uint8_t *)net_ptr(&n, RECV, SLOT + i), 0xee);
	net_close(&n);
}

static void buffers_without_room_take_their_turn(void **state)
{
	(void)state;
	too_short(NET_V1 | NET_MERGE);
	too_short(NET_V1 | NET_PACKED);
}

/* Which do not lie one behind the other, the first of a byte to all but one of the header's. */
static void a_header_in_two_buffers(void **state)
{
	static const uint8_t plain[12] = { [10] = 1 };
	struct net_guest n;
	uint32_t len;

	(void)state;
	up(&n, NET_V1, "queue-size=1024");
	for (unsigned first = 1; first < 12; first++) {
		const struct rg_buf b[2] = { { NET_AT, first, RG_WRITE }, { NET_AT + SLOT, 200, RG_WRITE } };
		uint8_t *p = net_ptr(&n, RECV, 0), *rest = net_ptr(&n, RECV, SLOT);

		memset(p, 0xee, 12);
		assert_true(rg_post(net_ring(&n, RECV), b, 2) >= 0);
		put_down(&n, 1);
		assert_int_equal(net_port_deliver(n.port, 0, frame, 60, 0, NULL), 1);
		reap(&n, &len);
		assert_int_equal(len, 72);
		assert_memory_equal(p, plain, first);
		for (unsigned i = first; i < 12; i++)
			assert_int_equal(p[i], 0xee);
		assert_memory_equal(rest, plain + first, 12 - first);
		assert_memory_equal(rest + 12 - first, frame, 60);
	}
	net_close(&n);
}

/* It is said to hold nothing, whatever of the packet was lost there. */
static void a_packet_over_a_buffer_without_room(void **state)
{
	const uint32_t used[] = { 100, 0, 250 - 88 - sizeof(((struct net_flow *)0)->blind_bytes) };
	struct net_guest n;
	uint32_t len;

	(void)state;
	up(&n, NET_V1 | NET_MERGE, "queue-size=1024");
	post(&n, 0, 100, 1);
	post(&n, 1, 12, 1);
	post(&n, 2, 200, 1);
	put_down(&n, 3);
	assert_int_equal(net_port_deliver(n.port, 0, frame, 250, 0, NULL), 3);
	for (unsigned i = 0; i < 3; i++) {
		reap(&n, &len);
		assert_int_equal(len, used[i]);
	}
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(*(uint8_t *)net_ptr(&n, RECV, SLOT + i), 0xee);
	net_close(&n);
}

/* Its buffer goes back empty, and is no packet's. */
static void a_port_that_fails_gives_nothing(void **state)
{
	struct net_guest n;
	uint32_t len;

	(void)state;
	up(&n, NET_V1, "queue-size=1024");
	post(&n, 0, 100, 1);
	post(&n, 1, 100, 1);
	put_down(&n, 2);
	net_port_fail(n.port, 0, -EIO);
	reap(&n, &len);
	assert_int_equal(len, 0);
	assert_int_equal(*(uint8_t *)net_ptr(&n, RECV, 0), 0xee);
	assert_int_equal(net_port_deliver(n.port, 0, frame, 60, 0, NULL), 1);
	is_frame(&n, 60, 1);
	assert_int_equal(net_stats(&n).received, 1);
	net_close(&n);
}

/* It was filled already when the driver said that it does not use this pair. */
static void a_packet_for_a_pair_that_is_not_used_any_more(void **state)
{
	struct net_guest n;
	uint32_t len;

	(void)state;
	up(&n, NET_V1, "queue-size=1024");
	post(&n, 0, 100, 1);
	put_down(&n, 1);
	assert_int_equal(net_port_deliver(n.port, 0, frame, 60, 0, NULL), 1);
	vio__net_use(n.dev, 0, 0);
	reap(&n, &len);
	assert_int_equal(len, 0);
	assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_FILTER], 1);
	assert_int_equal(net_stats(&n).received, 0);
	net_close(&n);
}

static void nothing_comes_while_the_cable_is_out(void **state)
{
	struct net_guest n;
	uint32_t len;

	(void)state;
	up(&n, NET_V1 | NET_MERGE, "queue-size=1024");
	for (unsigned i = 0; i < 100; i++)
		post(&n, i, 100, 1);
	put_down(&n, 100);
	assert_int_equal(vio_net_set_link(n.dev, false), 0);
	assert_int_equal(net_port_deliver(n.port, 0, frame, 4000, 0, NULL), 41);
	for (unsigned i = 0; i < 41; i++) {
		reap(&n, &len);
		assert_int_equal(len, 0);
	}
	assert_int_equal(vio_net_set_link(n.dev, true), 0);
	assert_int_equal(net_port_deliver(n.port, 0, frame, 400, 0, NULL), 5);
	is_frame(&n, 400, 5);
	assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_LINK], 1);
	assert_int_equal(net_stats(&n).received, 1);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_without_room_take_their_turn),
		cmocka_unit_test(a_header_in_two_buffers),
		cmocka_unit_test(a_packet_over_a_buffer_without_room),
		cmocka_unit_test(a_port_that_fails_gives_nothing),
		cmocka_unit_test(a_packet_for_a_pair_that_is_not_used_any_more),
		cmocka_unit_test(nothing_comes_while_the_cable_is_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
