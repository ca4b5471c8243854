/* SPDX-License-Identifier: MIT */
/*
 * A packet fills as many buffers as it needs, and the guest sees them all at once behind
 * one header (virtio 1.3, 5.1.6.4); what no packet filled is back in the ring when the
 * queue stops.
 */
#include "net_receiver.h"

static void large_packet(uint64_t features)
{
	const uint32_t each = 130;
	const unsigned parts = (RECV_FRAME_MAX + 12 + each - 1) / each;
	struct net_guest n;

	up(&n, features, "queue-size=1024");
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < parts; i++)
			post(&n, i, each, 1);
		put_down(&n, parts);
		assert_int_equal(net_port_deliver(n.port, 0, frame, RECV_FRAME_MAX, 0, NULL), parts);
		is_frame(&n, RECV_FRAME_MAX, parts);
	}
	assert_int_equal(net_stats(&n).received, 3);
	assert_int_equal(net_stats(&n).received_bytes, 3 * RECV_FRAME_MAX);
	net_close(&n);
}

static void one_packet_fills_hundreds_of_buffers(void **state)
{
	(void)state;
	large_packet(NET_V1 | NET_MERGE);
	large_packet(NET_V1 | NET_MERGE | NET_PACKED);
	large_packet(NET_V1 | NET_MERGE | VIO_BIT(VIRTIO_F_IN_ORDER));
	large_packet(NET_V1 | NET_MERGE | NET_PACKED | VIO_BIT(VIRTIO_F_IN_ORDER) |
		     VIO_BIT(VIRTIO_RING_F_EVENT_IDX));
}

/* Buffers of any size from one that just holds a header and a byte, in any number of descriptors. */
static void any_framing(uint64_t features)
{
	struct net_guest n;
	unsigned slot = 0;

	up(&n, features, "queue-size=1024");
	for (unsigned round = 0; round < 1000; round++) {
		uint32_t len = RECV_FRAME_MIN + dice(dice(4) ? 300 : 4000);
		int parts;

		while (net_ring(&n, RECV)->room > SIZE - 200)
			post(&n, slot++ % SIZE, 13 + dice(dice(2) ? 8 : 600), 1 + dice(5));
		vio_vq_kick(n.dev, RECV);
		while ((parts = net_port_deliver(n.port, 0, frame, len, 0, NULL)) == 0) {
			post(&n, slot++ % SIZE, 500, 1 + dice(5));
			vio_vq_kick(n.dev, RECV);
			net_pump(&n);
		}
		is_frame(&n, len, (unsigned)parts);
	}
	net_close(&n);
}

static void buffers_of_any_framing_are_filled(void **state)
{
	(void)state;
	any_framing(NET_V1 | NET_MERGE);
	any_framing(NET_V1 | NET_MERGE | NET_PACKED);
}

/* What a port says of a packet is in its header; without merging num_buffers is 1. */
static void offloads_reach_the_guest(void **state)
{
	const struct vio_offload o = { .hdr_len = 54, .gso_size = 1448, .csum_start = 34, .csum_offset = 16 };
	static const struct {
		uint8_t flags, hdr_flags, gso_type;
	} rows[] = {
		{ 0, 0, 0 },
		{ VIO_PACKET_CSUM_OK, VIRTIO_NET_HDR_F_DATA_VALID, 0 },
		{ VIO_PACKET_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM, 0 },
		{ VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK, VIRTIO_NET_HDR_F_NEEDS_CSUM, 0 },
		{ VIO_PACKET_CSUM | VIO_PACKET_TSO4, VIRTIO_NET_HDR_F_NEEDS_CSUM, 1 },
		{ VIO_PACKET_CSUM | VIO_PACKET_TSO4 | VIO_PACKET_ECN, VIRTIO_NET_HDR_F_NEEDS_CSUM, 0x81 },
		{ VIO_PACKET_CSUM | VIO_PACKET_TSO6, VIRTIO_NET_HDR_F_NEEDS_CSUM, 4 },
		{ VIO_PACKET_CSUM | VIO_PACKET_USO4, VIRTIO_NET_HDR_F_NEEDS_CSUM, 5 },
		{ VIO_PACKET_CSUM | VIO_PACKET_USO6, VIRTIO_NET_HDR_F_NEEDS_CSUM, 5 },
	};
	struct net_guest n;

	(void)state;
	up(&n, NET_V1, "queue-size=1024");
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++) {
		static uint8_t got[RECV_FRAME_MAX];
		struct virtio_net_hdr_v1 h;

		post(&n, i, 1000, 1 + i % 3);
		put_down(&n, 1);
		assert_int_equal(net_port_deliver(n.port, 0, frame, 900, rows[i].flags, &o), 1);
		assert_int_equal(receive(&n, &h, 12, got), 900);
		assert_int_equal(h.flags, rows[i].hdr_flags);
		assert_int_equal(h.gso_type, rows[i].gso_type);
		assert_int_equal(h.num_buffers, 1);
		assert_int_equal(h.csum_start, rows[i].flags & VIO_PACKET_CSUM ? 34 : 0);
		assert_int_equal(h.csum_offset, rows[i].flags & VIO_PACKET_CSUM ? 16 : 0);
		assert_int_equal(h.hdr_len, rows[i].flags & VIO_PACKET_CSUM ? 54 : 0);
	}
	net_close(&n);
}

static void legacy_headers_have_ten_bytes(void **state)
{
	static uint8_t got[RECV_FRAME_MAX];
	struct virtio_net_hdr_v1 h;
	struct net_guest n;

	(void)state;
	up(&n, 0, "queue-size=1024");
	post(&n, 0, 600, 1);
	post(&n, 1, 600, 4);
	put_down(&n, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(net_port_deliver(n.port, 0, frame, 590, VIO_PACKET_CSUM_OK, NULL), 1);
		assert_int_equal(receive(&n, &h, 10, got), 590);
		assert_int_equal(h.flags, VIRTIO_NET_HDR_F_DATA_VALID);
		assert_memory_equal(got, frame, 590);
	}
	net_close(&n);
}

/* Twice: after some packets, and then after none at all. */
static void stop_and_go_on(uint64_t features)
{
	struct net_guest n;

	up(&n, features, "queue-size=1024");
	for (unsigned i = 0; i < 200; i++)
		post(&n, i, 100, 1 + i % 2);
	put_down(&n, 200);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(net_port_deliver(n.port, 0, frame, 188, 0, NULL), 2);
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(net_stop(&n, RECV), 0);
		if (!(features & NET_PACKED)) {
			assert_int_equal(n.q[RECV].state.avail_idx, 6);
			assert_int_equal(n.q[RECV].state.used_idx, 6);
		}
		assert_int_equal(net_start(&n, RECV, SIZE), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		is_frame(&n, 188, 2);
	put_down(&n, 194);
	for (unsigned i = 0; i < 97; i++) {
		assert_int_equal(net_port_deliver(n.port, 0, frame, 188, 0, NULL), 2);
		is_frame(&n, 188, 2);
	}
	net_close(&n);
}

static void a_queue_that_stops_returns_what_was_not_filled(void **state)
{
	(void)state;
	stop_and_go_on(NET_V1 | NET_MERGE);
	stop_and_go_on(NET_V1 | NET_MERGE | NET_PACKED);
	stop_and_go_on(NET_V1 | NET_MERGE | NET_PACKED | VIO_BIT(VIRTIO_F_IN_ORDER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_packet_fills_hundreds_of_buffers),
		cmocka_unit_test(buffers_of_any_framing_are_filled),
		cmocka_unit_test(offloads_reach_the_guest),
		cmocka_unit_test(legacy_headers_have_ten_bytes),
		cmocka_unit_test(a_queue_that_stops_returns_what_was_not_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
