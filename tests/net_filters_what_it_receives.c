/* SPDX-License-Identifier: MIT */
/* A guest gets the packets that its driver has asked for, by mode, address and VLAN, and those only. */
#include "net_commands.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIZE 256u
#define BUF 2048u
#define MAC "02:00:00:00:10:01"

static struct net_guest n;
static uint64_t dropped;

static void up(uint64_t features)
{
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(net_device(&n, features | NET_V1 | NET_CONTROL, "mac=" MAC), 0);
	for (unsigned i = 0; i < vio_dev_queues(n.dev); i++)
		assert_int_equal(net_start(&n, i, SIZE), 0);
	dropped = 0;
}

/* One buffer, one packet into it: did the guest get it? */
static bool gets(const uint8_t *frame, unsigned len)
{
	const struct rg_buf b = { NET_AT, BUF, RG_WRITE };
	struct vio_net_stats s;
	uint32_t used;

	assert_true(rg_post(net_ring(&n, 0), &b, 1) >= 0);
	vio_vq_kick(n.dev, 0);
	net_pump(&n);
	assert_int_equal(net_port_deliver(n.port, 0, frame, len, 0, NULL), 1);
	net_pump(&n);
	assert_true(rg_reap(net_ring(&n, 0), &used) >= 0);
	s = net_stats(&n);
	dropped += !used;
	assert_int_equal(s.dropped[VIO_NET_DROP_FILTER], dropped);
	assert_int_equal(used, used ? len + 12 : 0);
	return used;
}

/* To an address of six bytes, in a VLAN (0: untagged). */
static bool gets_to(uint64_t to, unsigned vlan)
{
	uint8_t frame[64] = { 0 };

	for (unsigned i = 0; i < 6; i++)
		frame[i] = (uint8_t)(to >> (40 - 8 * i));
	frame[6] = 2;
	frame[12] = vlan ? 0x81 : 0x08;
	frame[14] = (uint8_t)(0x60 | vlan >> 8); /* with a priority */
	frame[15] = (uint8_t)vlan;
	frame[16] = 0x08;
	return gets(frame, sizeof(frame));
}

#define OWN 0x020000001001ull
#define OTHER 0x020000001002ull
#define GROUP 0x030000000001ull
#define ALL 0xffffffffffffull

static void mode(uint8_t cmd, uint8_t on)
{
	assert_int_equal(net_command_mode(&n, cmd, on), VIRTIO_NET_OK);
}

static void all_passes_until_the_driver_says(void **state)
{
	(void)state;
	up(0);
	assert_true(gets_to(OWN, 0) && gets_to(OTHER, 0) && gets_to(GROUP, 0) && gets_to(ALL, 0) &&
		    gets_to(OTHER, 5));
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_true(gets_to(OWN, 0) && gets_to(ALL, 0));
	assert_false(gets_to(OTHER, 0) || gets_to(GROUP, 0));
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 1);
	assert_true(gets_to(OTHER, 0) && gets_to(GROUP, 0) && gets_to(OTHER, 5));
	net_close(&n);
}

static void modes(void **state)
{
	(void)state;
	up(0);
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	mode(VIRTIO_NET_CTRL_RX_ALLMULTI, 1);
	assert_true(gets_to(GROUP, 0) && !gets_to(OTHER, 0));
	mode(VIRTIO_NET_CTRL_RX_ALLUNI, 1);
	assert_true(gets_to(OTHER, 0));
	mode(VIRTIO_NET_CTRL_RX_NOUNI, 1);
	assert_true(!gets_to(OWN, 0) && !gets_to(OTHER, 0) && gets_to(GROUP, 0));
	mode(VIRTIO_NET_CTRL_RX_NOMULTI, 1);
	assert_true(!gets_to(GROUP, 0) && gets_to(ALL, 0));
	mode(VIRTIO_NET_CTRL_RX_NOBCAST, 1);
	assert_false(gets_to(ALL, 0));
	mode(VIRTIO_NET_CTRL_RX_NOUNI, 0);
	mode(VIRTIO_NET_CTRL_RX_NOMULTI, 0);
	mode(VIRTIO_NET_CTRL_RX_NOBCAST, 0);
	assert_true(gets_to(OWN, 0) && gets_to(GROUP, 0) && gets_to(ALL, 0));
	net_close(&n);
}

#define UNI(i) (0x020000000000ull + (i))
#define MULTI(i) (0x030000000000ull + (i))

static void tables(void **state)
{
	(void)state;
	up(0);
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_int_equal(net_command_tables(&n, 64, 3), VIRTIO_NET_OK);
	assert_true(gets_to(UNI(0), 0) && gets_to(UNI(63), 0) && gets_to(OWN, 0));
	assert_true(gets_to(MULTI(0), 0) && gets_to(MULTI(2), 0));
	assert_false(gets_to(UNI(64), 0) || gets_to(MULTI(3), 0));
	assert_int_equal(net_command_tables(&n, 0, 64), VIRTIO_NET_OK);
	assert_false(gets_to(UNI(0), 0) || gets_to(MULTI(64), 0));
	assert_true(gets_to(MULTI(63), 0));
	net_close(&n);
}

/* More than the table holds: that kind passes whole, rather than too little of it. */
static void tables_too_long(void **state)
{
	(void)state;
	up(0);
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_int_equal(net_command_tables(&n, 65, 1), VIRTIO_NET_OK);
	assert_true(gets_to(OTHER, 0) && gets_to(MULTI(0), 0));
	assert_false(gets_to(MULTI(1), 0));
	assert_int_equal(net_command_tables(&n, 1, 1000), VIRTIO_NET_OK);
	assert_true(gets_to(MULTI(5000), 0) && gets_to(UNI(0), 0));
	assert_false(gets_to(OTHER, 0));
	assert_int_equal(net_command_tables(&n, 0, 0), VIRTIO_NET_OK);
	assert_false(gets_to(MULTI(0), 0) || gets_to(OTHER, 0));
	net_close(&n);
}

static void vlans(void **state)
{
	(void)state;
	up(0);
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_true(gets_to(OWN, 0));
	assert_false(gets_to(OWN, 1) || gets_to(OWN, 4095) || gets_to(ALL, 7));
	assert_int_equal(net_command_vlan(&n, VIRTIO_NET_CTRL_VLAN_ADD, 1), VIRTIO_NET_OK);
	assert_int_equal(net_command_vlan(&n, VIRTIO_NET_CTRL_VLAN_ADD, 4095), VIRTIO_NET_OK);
	assert_true(gets_to(OWN, 1) && gets_to(OWN, 4095) && gets_to(OWN, 0));
	assert_false(gets_to(OWN, 2) || gets_to(OTHER, 1));
	assert_int_equal(net_command_vlan(&n, VIRTIO_NET_CTRL_VLAN_DEL, 1), VIRTIO_NET_OK);
	assert_false(gets_to(OWN, 1));
	assert_int_equal(net_command_vlan(&n, VIRTIO_NET_CTRL_VLAN_DEL, 1), VIRTIO_NET_OK);
	assert_true(gets_to(OWN, 4095));
	net_close(&n);
}

/* A tag that has only a priority is no VLAN. */
static void priority_tag(void **state)
{
	uint8_t frame[64] = { 2, 0, 0, 0, 0x10, 1, 2, 0, 0, 0, 0, 9, 0x81, 0, 0xe0, 0, 8, 0 };

	(void)state;
	up(0);
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_true(gets(frame, sizeof(frame)));
	frame[15] = 1;
	assert_false(gets(frame, sizeof(frame)));
	assert_true(gets(frame, 14)); /* too short to say which */
	net_close(&n);
}

/* A guest whose address nobody gave it chose one that we do not know: what is for one card may be for it. */
static void unknown_address(void **state)
{
	(void)state;
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(net_device(&n, NET_V1 | NET_CONTROL, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(net_start(&n, i, SIZE), 0);
	dropped = 0;
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_true(gets_to(OTHER, 0) && !gets_to(GROUP, 0));
	assert_int_equal(
		net_command(&n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\2\0\0\0\x10\1", 6),
		VIRTIO_NET_OK);
	assert_true(!gets_to(OTHER, 0) && gets_to(OWN, 0));
	net_close(&n);
}

static void reset_forgets(void **state)
{
	(void)state;
	up(0);
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_false(gets_to(OTHER, 0));
	for (unsigned i = 0; i < 3; i++)
		net_stop(&n, i);
	vio_dev_reset(n.dev);
	assert_int_equal(vio_dev_set_features(n.dev, NET_V1 | NET_CONTROL), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(net_start(&n, i, SIZE), 0);
	assert_true(gets_to(OTHER, 0));
	net_close(&n);
}

/* All buffers of a filtered packet come back empty, and the next one begins behind them. */
static void merged_buffers(void **state)
{
	uint8_t frame[1000] = { 2, 0, 0, 0, 0x10, 2 };
	uint32_t len, total = 0;

	(void)state;
	up(NET_MERGE);
	mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_true(rg_post(net_ring(&n, 0), &(struct rg_buf){ NET_AT + i * 256, 256, RG_WRITE },
				    1) >= 0);
	vio_vq_kick(n.dev, 0);
	net_pump(&n);
	assert_int_equal(net_port_deliver(n.port, 0, frame, sizeof(frame), 0, NULL), 4);
	frame[5] = 1;
	assert_int_equal(net_port_deliver(n.port, 0, frame, sizeof(frame), 0, NULL), 4);
	net_pump(&n);
	for (unsigned i = 0; i < 8; i++) {
		assert_true(rg_reap(net_ring(&n, 0), &len) >= 0);
		assert_int_equal(!len, i < 4);
		total += len;
	}
	assert_int_equal(total, 1012);
	assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_FILTER], 1);
	assert_int_equal(net_stats(&n).received, 1);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_passes_until_the_driver_says),
		cmocka_unit_test(modes),
		cmocka_unit_test(tables),
		cmocka_unit_test(tables_too_long),
		cmocka_unit_test(vlans),
		cmocka_unit_test(priority_tag),
		cmocka_unit_test(unknown_address),
		cmocka_unit_test(reset_forgets),
		cmocka_unit_test(merged_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
