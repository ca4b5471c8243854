/* SPDX-License-Identifier: MIT */
/*
 * A packet fills as many buffers as it needs, and the guest sees them all at once behind
 * one header (virtio 1.3, 5.1.6.4); what no packet filled is back in the ring when the
 * queue stops.
 */
#include "net_guest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define RECV 0u
#define SIZE 1024u
#define SLOT 1024u /* bytes of guest memory a buffer */

static uint64_t seed = 1;
static uint8_t frame[RECV_FRAME_MAX];

static unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

static void up(struct net_guest *n, uint64_t features, const char *arg)
{
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)dice(256);
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, features, arg), 0);
	assert_int_equal(net_start(n, RECV, SIZE), 0);
	memset(net_ptr(n, RECV, 0), 0xee, NET_ROOM);
}

/* Where each posted chain's bytes are, and how many. */
static struct {
	uint64_t at;
	uint32_t len;
} posted[SIZE];

/* One buffer of len bytes in slot i, cut into `pieces` descriptors at most. */
static void post(struct net_guest *n, unsigned i, uint32_t len, unsigned pieces)
{
	struct rg_buf b[8];
	uint64_t at = (uint64_t)SLOT * i;
	unsigned k = 0;
	int id;

	for (uint32_t left = len; left; k++) {
		uint32_t piece = k + 1 < pieces ? 1 + dice(VIO_MIN(left, 16)) : left;

		b[k] = (struct rg_buf){ NET_AT + at + len - left, piece, RG_WRITE };
		left -= piece;
	}
	id = rg_post(net_ring(n, RECV), b, k);
	assert_true(id >= 0);
	posted[id].at = at;
	posted[id].len = len;
}

static void put_down(struct net_guest *n, unsigned expected)
{
	vio_vq_kick(n->dev, RECV);
	while (net_port_waiting(n->port, 0) < expected)
		assert_true(vio_poller_wait(n->poller, 100) >= 0);
}

static int reap(struct net_guest *n, uint32_t *len)
{
	int id;

	while ((id = rg_reap(net_ring(n, RECV), len)) == -1)
		assert_true(vio_poller_wait(n->poller, 100) >= 0);
	assert_true(id >= 0);
	return id;
}

/* The next packet as a guest sees it: all its buffers are there when the first is. */
static uint32_t receive(struct net_guest *n, struct virtio_net_hdr_v1 *h, unsigned hdr_len, uint8_t *to)
{
	uint32_t len, total = 0;
	int id = reap(n, &len);
	unsigned parts = 1;

	memset(h, 0, sizeof(*h));
	memcpy(h, net_ptr(n, RECV, posted[id].at), hdr_len);
	if (hdr_len == 12)
		parts = h->num_buffers;
	assert_true(len > hdr_len && len <= posted[id].len);
	memcpy(to, (char *)net_ptr(n, RECV, posted[id].at) + hdr_len, total = len - hdr_len);
	for (unsigned i = 1; i < parts; i++) {
		id = rg_reap(net_ring(n, RECV), &len);
		assert_true(id >= 0);
		memcpy(to + total, net_ptr(n, RECV, posted[id].at), len);
		total += len;
	}
	return total;
}

static void is_frame(struct net_guest *n, uint32_t len, unsigned parts)
{
	static uint8_t got[RECV_FRAME_MAX + SLOT];
	struct virtio_net_hdr_v1 h;

	assert_int_equal(receive(n, &h, 12, got), len);
	assert_int_equal(h.num_buffers, parts);
	assert_memory_equal(got, frame, len);
}

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
		cmocka_unit_test(one_packet_fills_hundreds_of_buffers),
		cmocka_unit_test(buffers_of_any_framing_are_filled),
		cmocka_unit_test(offloads_reach_the_guest),
		cmocka_unit_test(legacy_headers_have_ten_bytes),
		cmocka_unit_test(a_queue_that_stops_returns_what_was_not_filled),
		cmocka_unit_test(buffers_without_room_take_their_turn),
		cmocka_unit_test(nothing_comes_while_the_cable_is_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
