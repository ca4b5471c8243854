/* SPDX-License-Identifier: MIT */
/*
 * A driver that asks for few notifications (virtio 1.3, 5.1.6.5.10) sees at once what was used, and is
 * interrupted when so many packets have come together or the first is so old.
 */
#include "net_commands.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIZE 64u
#define BUF 256u
#define FRAME 100u
#define HOUR 3600000000u /* microseconds: never, as far as a test can tell */
#define RX VIO_NET_CTRL_NOTF_COAL_RX_SET
#define TX VIO_NET_CTRL_NOTF_COAL_TX_SET

static struct net_guest n;

static void up(uint64_t features, const char *arg)
{
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(net_device(&n, features | NET_V1 | NET_CONTROL, arg), 0);
	for (unsigned i = 0; i < vio_dev_queues(n.dev); i++)
		assert_int_equal(net_start(&n, i, SIZE), 0);
}

static void coalesce(uint8_t cmd, uint32_t packets, uint32_t usecs)
{
	assert_int_equal(net_command_coalesce(&n, cmd, packets, usecs), VIRTIO_NET_OK);
	net_pump(&n);
}

static unsigned notified(unsigned queue)
{
	unsigned was = net_ring(&n, queue)->notified;

	net_ring(&n, queue)->notified = 0;
	return was;
}

/* One packet, which the driver finds at once. */
static void receive(unsigned pair)
{
	const struct rg_buf b = { NET_AT, BUF, RG_WRITE };
	static const uint8_t frame[FRAME];
	uint32_t len = 0;

	assert_true(rg_post(net_ring(&n, 2 * pair), &b, 1) >= 0);
	vio_vq_kick(n.dev, 2 * pair);
	net_pump(&n);
	assert_int_equal(net_port_deliver(n.port, pair, frame, FRAME, 0, NULL), 1);
	net_pump(&n);
	assert_true(rg_reap(net_ring(&n, 2 * pair), &len) >= 0);
	assert_int_equal(len, FRAME + 12);
}

static void send(unsigned pair)
{
	const struct rg_buf b = { NET_AT, FRAME + 12, 0 };
	uint32_t len = 0;

	memset(net_ptr(&n, 2 * pair + 1, 0), 0, FRAME + 12);
	assert_true(rg_post(net_ring(&n, 2 * pair + 1), &b, 1) >= 0);
	vio_vq_kick(n.dev, 2 * pair + 1);
	net_pump(&n);
	assert_true(rg_reap(net_ring(&n, 2 * pair + 1), &len) >= 0);
}

/* Every `packets`-th interrupts; the driver asked for the first, and does not ask again in between. */
static void every(unsigned packets, unsigned queue, void (*move)(unsigned pair))
{
	for (unsigned i = 1; i <= 5 * packets; i++) {
		if (i % packets == 1 || packets == 1)
			rg_listen(net_ring(&n, queue));
		move(queue / 2);
		assert_int_equal(notified(queue), i % packets == 0);
	}
}

static void counts_packets(uint64_t features)
{
	up(features, NULL);
	every(1, 0, receive);
	every(1, 1, send);
	coalesce(RX, 4, HOUR);
	every(4, 0, receive);
	every(1, 1, send);
	coalesce(TX, 70, HOUR); /* more than the ring has entries */
	every(4, 0, receive);
	every(70, 1, send);
	coalesce(RX, 1, HOUR);
	every(1, 0, receive);
	net_close(&n);
}

static void counts_packets_on_all_rings(void **state)
{
	const uint64_t event = VIO_BIT(VIRTIO_RING_F_EVENT_IDX), order = VIO_BIT(VIRTIO_F_IN_ORDER);

	(void)state;
	counts_packets(0);
	counts_packets(event);
	counts_packets(NET_PACKED);
	counts_packets(NET_PACKED | event);
	counts_packets(event | order);
	counts_packets(NET_PACKED | event | order);
}

/* 0 of either is no limit to wait for: each packet interrupts. */
static void zero_waits_for_nothing(void **state)
{
	(void)state;
	up(0, NULL);
	coalesce(RX, 0, HOUR);
	every(1, 0, receive);
	coalesce(RX, 1000, 0);
	every(1, 0, receive);
	coalesce(RX, UINT32_MAX, UINT32_MAX);
	for (unsigned i = 0; i < 200; i++)
		receive(0);
	assert_int_equal(notified(0), 0);
	net_close(&n);
}

/* The first packet starts the time; then it begins anew. */
static void time_ends_the_wait(void **state)
{
	(void)state;
	up(VIO_BIT(VIRTIO_RING_F_EVENT_IDX), NULL);
	coalesce(RX, 1000, 300);
	coalesce(TX, 1000, 300);
	for (unsigned i = 0; i < 20; i++) {
		rg_listen(net_ring(&n, 0));
		rg_listen(net_ring(&n, 1));
		receive(0);
		send(0);
		while (!net_ring(&n, 0)->notified || !net_ring(&n, 1)->notified)
			vio_poller_wait(n.poller, -1);
		assert_int_equal(notified(0), 1);
		assert_int_equal(notified(1), 1);
	}
	net_close(&n);
}

/* A due notification is still one that the driver may not want (2.7.7, 2.8.10). */
static void suppressed_ones_stay_suppressed(void **state)
{
	(void)state;
	up(0, NULL);
	coalesce(RX, 3, HOUR);
	net_ring(&n, 0)->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (unsigned i = 0; i < 7; i++)
		receive(0);
	assert_int_equal(notified(0), 0);
	net_ring(&n, 0)->avail->flags = 0;
	receive(0);
	assert_int_equal(notified(0), 0);
	receive(0);
	assert_int_equal(notified(0), 1);
	net_close(&n);
}

/* Met conditions are looked at when they change, not with the next packet. */
static void new_limits_hold_at_once(void **state)
{
	(void)state;
	up(0, NULL);
	coalesce(RX, 15, HOUR);
	for (unsigned i = 0; i < 10; i++)
		receive(0);
	coalesce(RX, 11, HOUR);
	assert_int_equal(notified(0), 0);
	coalesce(RX, 8, HOUR);
	assert_int_equal(notified(0), 1);
	receive(0);
	coalesce(RX, 8, 0);
	assert_int_equal(notified(0), 1);
	coalesce(RX, 8, HOUR);
	receive(0);
	coalesce(RX, 0, 0);
	assert_int_equal(notified(0), 1);
	coalesce(RX, 8, HOUR);
	receive(0);
	assert_int_equal(notified(0), 0);
	coalesce(RX, 8, 1);
	while (!net_ring(&n, 0)->notified)
		vio_poller_wait(n.poller, -1);
	assert_int_equal(notified(0), 1);
	net_close(&n);
}

/* A packet that fills several buffers is one. */
static void merged_packets_count_once(void **state)
{
	static const uint8_t frame[3 * BUF];
	const struct rg_buf b = { NET_AT, BUF, RG_WRITE };
	uint32_t len;

	(void)state;
	up(NET_MERGE, NULL);
	coalesce(RX, 3, HOUR);
	for (unsigned i = 1; i <= 9; i++) {
		for (unsigned k = 0; k < 4; k++)
			assert_true(rg_post(net_ring(&n, 0), &b, 1) >= 0);
		vio_vq_kick(n.dev, 0);
		net_pump(&n);
		assert_int_equal(net_port_deliver(n.port, 0, frame, sizeof(frame), 0, NULL), 4);
		net_pump(&n);
		assert_int_equal(notified(0), i % 3 == 0);
		while (rg_reap(net_ring(&n, 0), &len) >= 0)
			;
	}
	net_close(&n);
}

static void told(uint16_t queue, uint32_t packets, uint32_t usecs)
{
	for (unsigned each = 1; each <= 9; each++)
		assert_int_equal(net_command_coalescing(&n, queue, each), (uint64_t)packets << 32 | usecs);
}

/* The last command holds, whichever it was; each queue goes by its own. */
static void queues_have_limits_of_their_own(void **state)
{
	(void)state;
	up(NET_F(MQ), "pairs=2");
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
	told(0, 0, 0);
	assert_int_equal(net_command_coalesce_queue(&n, 2, 2, HOUR), VIRTIO_NET_OK);
	told(0, 0, 0);
	told(2, 2, HOUR);
	every(1, 0, receive);
	every(2, 2, receive);
	coalesce(RX, 3, HOUR);
	assert_int_equal(net_command_coalesce_queue(&n, 0, 5, HOUR), VIRTIO_NET_OK);
	told(0, 5, HOUR);
	told(1, 0, 0);
	told(2, 3, HOUR);
	every(5, 0, receive);
	every(3, 2, receive);
	every(1, 1, send);
	coalesce(TX, 2, HOUR);
	told(3, 2, HOUR);
	every(2, 3, send);
	every(5, 0, receive);
	net_close(&n);
}

/* A ring that stops and goes on keeps its own limits; one that is new has those of its direction. */
static void a_ring_reset_forgets_its_own(void **state)
{
	(void)state;
	for (unsigned packed = 0; packed < 2; packed++) {
		up(packed ? NET_PACKED : 0, NULL);
		coalesce(RX, 3, HOUR);
		assert_int_equal(net_command_coalesce_queue(&n, 0, 5, HOUR), VIRTIO_NET_OK);
		assert_int_equal(net_command_coalesce_queue(&n, 1, 7, HOUR), VIRTIO_NET_OK);
		receive(0);
		assert_int_equal(net_stop(&n, 0), 0);
		assert_int_equal(net_start(&n, 0, SIZE), 0);
		told(0, 5, HOUR);
		assert_int_equal(net_stop(&n, 0), 0);
		rg_reset(net_ring(&n, 0));
		n.q[0].resumes = false;
		assert_int_equal(net_start(&n, 0, SIZE), 0);
		told(0, 3, HOUR);
		told(1, 7, HOUR);
		notified(0);
		every(3, 0, receive);
		net_close(&n);
	}
}

static void a_device_reset_forgets_all(void **state)
{
	(void)state;
	up(0, NULL);
	coalesce(RX, 3, HOUR);
	coalesce(TX, 3, HOUR);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(net_stop(&n, i), 0);
		rg_reset(net_ring(&n, i));
		n.q[i].resumes = false;
	}
	vio_dev_reset(n.dev);
	assert_int_equal(vio_dev_set_features(n.dev, NET_V1 | NET_CONTROL), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(net_start(&n, i, SIZE), 0);
	told(0, 0, 0);
	told(1, 0, 0);
	every(1, 0, receive);
	every(1, 1, send);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_packets_on_all_rings),
		cmocka_unit_test(zero_waits_for_nothing),
		cmocka_unit_test(time_ends_the_wait),
		cmocka_unit_test(suppressed_ones_stay_suppressed),
		cmocka_unit_test(new_limits_hold_at_once),
		cmocka_unit_test(merged_packets_count_once),
		cmocka_unit_test(queues_have_limits_of_their_own),
		cmocka_unit_test(a_ring_reset_forgets_its_own),
		cmocka_unit_test(a_device_reset_forgets_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
