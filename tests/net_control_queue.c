/* SPDX-License-Identifier: MIT */
/* What the control queue's commands do beside the filter: addresses, announcements, pairs, offloads. */
#include "net_commands.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIZE 64u
#define BUF 2048u

static void up(struct net_guest *n, uint64_t features, const char *arg)
{
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, features | NET_V1, arg), 0);
	for (unsigned i = 0; i < vio_dev_queues(n->dev); i++)
		assert_int_equal(net_start(n, i, SIZE), 0);
}

/* One buffer for receiving, in slot i. */
static void post(struct net_guest *n, unsigned queue, unsigned i)
{
	const struct rg_buf b = { NET_AT + i * BUF, BUF, RG_WRITE };

	assert_true(rg_post(net_ring(n, queue), &b, 1) >= 0);
	vio_vq_kick(n->dev, queue);
	net_pump(n);
}

static void config_mac(struct net_guest *n, uint8_t mac[6])
{
	assert_int_equal(vio_dev_config_read(n->dev, 0, mac, 6), 0);
}

static void address(void **state)
{
	static const uint8_t first[6] = { 2, 0, 0, 0, 0, 1 }, other[6] = { 2, 9, 8, 7, 6, 5 };
	static const uint8_t none[6] = { 0 }, group[6] = { 3, 0, 0, 0, 0, 1 };
	struct net_guest n;
	uint8_t mac[6];

	(void)state;
	up(&n, NET_CONTROL, "mac=02:00:00:00:00:01");
	config_mac(&n, mac);
	assert_memory_equal(mac, first, 6);
	assert_int_equal(net_command(&n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
			 VIRTIO_NET_OK);
	assert_int_equal(net_command(&n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, none, 6),
			 VIRTIO_NET_ERR);
	assert_int_equal(net_command(&n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, group, 6),
			 VIRTIO_NET_ERR);
	config_mac(&n, mac);
	assert_memory_equal(mac, other, 6);
	for (unsigned i = 0; i < 3; i++)
		net_stop(&n, i);
	vio_dev_reset(n.dev);
	config_mac(&n, mac);
	assert_memory_equal(mac, first, 6);
	net_close(&n);
}

static uint16_t status(struct net_guest *n)
{
	uint16_t v;

	assert_int_equal(vio_dev_config_read(n->dev, offsetof(struct virtio_net_config, status), &v, 2), 0);
	return v;
}

static void announcement(void **state)
{
	struct net_guest n;

	(void)state;
	up(&n, NET_CONTROL | NET_F(STATUS), NULL);
	assert_int_equal(vio_net_announce(n.dev), 0);
	assert_int_equal(status(&n), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(net_command(&n, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0),
			 VIRTIO_NET_OK);
	assert_int_equal(status(&n), VIRTIO_NET_S_LINK_UP);
	net_close(&n);
}

static void waiting_are(struct net_guest *n, unsigned a, unsigned b, unsigned c)
{
	assert_int_equal(net_port_waiting(n->port, 0), a);
	assert_int_equal(net_port_waiting(n->port, 1), b);
	assert_int_equal(net_port_waiting(n->port, 2), c);
}

/* Pairs that are not in use hold no buffers at the port, so nothing can be put into them. */
static void pairs_of(uint64_t features)
{
	struct net_guest n;

	up(&n, NET_CONTROL | NET_F(MQ) | features, "pairs=3");
	for (unsigned i = 0; i < 4; i++)
		for (unsigned pair = 0; pair < 3; pair++)
			post(&n, 2 * pair, i);
	waiting_are(&n, 4, 0, 0);
	assert_int_equal(net_command_pairs(&n, 3), VIRTIO_NET_OK);
	net_pump(&n);
	waiting_are(&n, 4, 4, 4);
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
	net_pump(&n);
	waiting_are(&n, 4, 4, 0);
	assert_int_equal(net_command_pairs(&n, 0), VIRTIO_NET_ERR);
	assert_int_equal(net_command_pairs(&n, 4), VIRTIO_NET_ERR);
	assert_int_equal(net_command_pairs(&n, 0xffff), VIRTIO_NET_ERR);
	net_pump(&n);
	waiting_are(&n, 4, 4, 0);
	net_stop(&n, 4); /* paused or not, a queue stops and starts */
	assert_int_equal(net_start(&n, 4, SIZE), 0);
	net_pump(&n);
	waiting_are(&n, 4, 4, 0);
	assert_int_equal(net_command_pairs(&n, 3), VIRTIO_NET_OK);
	net_pump(&n);
	waiting_are(&n, 4, 4, 4);
	net_close(&n);
}

static void pairs(void **state)
{
	(void)state;
	pairs_of(0);
	pairs_of(NET_PACKED);
	pairs_of(VIO_BIT(VIRTIO_F_IN_ORDER));
}

static void post_frame(struct net_guest *n, unsigned queue)
{
	const struct rg_buf b = { NET_AT, 12 + 60, 0 };

	memset(net_ptr(n, queue, 0), 0, 12 + 60);
	assert_true(rg_post(net_ring(n, queue), &b, 1) >= 0);
	vio_vq_kick(n->dev, queue);
	net_pump(n);
}

/* A packet that waits to be sent on such a pair goes out once the pair is in use. */
static void unused_pairs_send_nothing(void **state)
{
	struct net_guest n;

	(void)state;
	up(&n, NET_CONTROL | NET_F(MQ), "pairs=2");
	post_frame(&n, 3);
	assert_int_equal(n.port->sent, 0);
	post_frame(&n, 1);
	assert_int_equal(n.port->sent, 1);
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
	net_pump(&n);
	assert_int_equal(n.port->sent, 2);
	assert_int_equal(n.port->pair, 1);
	net_close(&n);
}

#define GUEST (NET_F(GUEST_CSUM) | NET_F(GUEST_TSO4) | NET_F(GUEST_TSO6))

/* Buffers that wait at the port already say the new ones, too. */
static void offloads(void **state)
{
	struct net_guest n;

	(void)state;
	up(&n, NET_CONTROL | GUEST, NULL);
	post(&n, 0, 0);
	post(&n, 0, 1);
	assert_int_equal(net_port_oldest(n.port, 0)->flags,
			 VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4 | VIO_PACKET_TSO6);
	assert_int_equal(net_command_offloads(&n, NET_F(GUEST_CSUM) | NET_F(GUEST_TSO6)), VIRTIO_NET_OK);
	net_pump(&n);
	assert_int_equal(net_port_waiting(n.port, 0), 2);
	assert_int_equal(net_port_oldest(n.port, 0)->flags,
			 VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO6);
	assert_int_equal(net_command_offloads(&n, NET_F(GUEST_CSUM) | NET_F(GUEST_ECN)), VIRTIO_NET_ERR);
	assert_int_equal(net_command_offloads(&n, NET_F(CSUM)), VIRTIO_NET_ERR);
	assert_int_equal(net_command_offloads(&n, ~0ull), VIRTIO_NET_ERR);
	net_pump(&n);
	assert_int_equal(net_port_oldest(n.port, 0)->flags,
			 VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO6);
	assert_int_equal(net_command_offloads(&n, 0), VIRTIO_NET_OK);
	net_pump(&n);
	assert_int_equal(net_port_oldest(n.port, 0)->flags, 0);
	assert_int_equal(net_command_offloads(&n, GUEST), VIRTIO_NET_OK);
	net_pump(&n);
	assert_int_equal(net_port_oldest(n.port, 0)->flags,
			 VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4 | VIO_PACKET_TSO6);
	net_close(&n);
}

/* The header's class and command, the data and each of its bytes may lie in descriptors of their own. */
static void any_framing(void **state)
{
	const uint8_t command[] = { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 9, 8, 7, 6, 0 };
	struct net_guest n;
	uint8_t mac[6];

	(void)state;
	up(&n, NET_CONTROL, NULL);
	for (unsigned each = 1; each <= sizeof(command); each++) {
		uint8_t bytes[sizeof(command)];

		memcpy(bytes, command, sizeof(command));
		bytes[7] = (uint8_t)each;
		assert_int_equal(net_command_bytes(&n, bytes, sizeof(bytes), each), VIRTIO_NET_OK);
		config_mac(&n, mac);
		assert_int_equal(mac[5], each);
	}
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address),  cmocka_unit_test(announcement),
		cmocka_unit_test(pairs),    cmocka_unit_test(unused_pairs_send_nothing),
		cmocka_unit_test(offloads), cmocka_unit_test(any_framing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
