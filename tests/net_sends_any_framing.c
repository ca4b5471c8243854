/* SPDX-License-Identifier: MIT */
/*
 * However header and frame lie in descriptors, the port gets the same packet, and the
 * guest has its chain back with nothing written (virtio 1.3, 2.7.4 and 5.1.6.2).
 */
#include "net_guest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEND 1u
#define PIECES 24u

static uint64_t seed = 1;

static unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

/* Cuts len bytes at `at` into at most `most` buffers, some of them empty; returns how many. */
static unsigned cut(struct rg_buf *b, uint64_t at, uint32_t len, unsigned most)
{
	unsigned n = 0;

	while (len && n + 1 < most) {
		uint32_t piece = dice(6) ? 1 + dice(dice(2) ? 20 : len) : 0;

		piece = VIO_MIN(piece, len);
		b[n++] = (struct rg_buf){ at, piece, 0 };
		at += piece;
		len -= piece;
	}
	b[n++] = (struct rg_buf){ at, len, 0 };
	return n;
}

static void up(struct net_guest *n, uint64_t features)
{
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, features, NULL), 0);
	assert_int_equal(net_start(n, SEND, 64), 0);
}

static void lay(struct net_guest *n, const struct virtio_net_hdr_v1 *h, unsigned hdr_len, uint32_t len)
{
	uint8_t *p = net_ptr(n, SEND, 0);

	memcpy(p, h, hdr_len);
	for (uint32_t i = 0; i < len; i++)
		p[hdr_len + i] = (uint8_t)dice(256);
}

static void arrived(struct net_guest *n, unsigned hdr_len, uint32_t len, unsigned sent)
{
	assert_int_equal(n->port->sent, sent);
	assert_int_equal(n->port->len, len);
	assert_memory_equal(n->port->frame, (char *)net_ptr(n, SEND, 0) + hdr_len, len);
}

static uint32_t some_length(void)
{
	switch (dice(4)) {
	case 0:
		return RECV_FRAME_MIN + dice(3);
	case 1:
		return RECV_FRAME_MAX - dice(3);
	default:
		return 60 + dice(9000);
	}
}

static void play(uint64_t features, unsigned hdr_len)
{
	struct virtio_net_hdr_v1 h = { .num_buffers = 77 };
	struct net_guest n;

	up(&n, features);
	for (unsigned i = 1; i <= 4000; i++) {
		struct rg_buf b[PIECES];
		uint32_t len = some_length();
		unsigned pieces = cut(b, NET_AT, hdr_len + len, PIECES);

		lay(&n, &h, hdr_len, len);
		if (features & VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) && dice(2)) {
			b[0] = rg_table(net_ring(&n, SEND), NET_AT + 0x20007, b, pieces);
			pieces = 1;
		}
		assert_int_equal(net_run(&n, SEND, b, pieces), 0);
		arrived(&n, hdr_len, len, i);
		assert_int_equal(n.port->flags, 0);
	}
	assert_int_equal(net_stats(&n).sent, 4000);
	net_close(&n);
}

static void split(void **state)
{
	(void)state;
	play(NET_V1, 12);
	play(NET_V1 | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC), 12);
}

static void packed(void **state)
{
	(void)state;
	play(NET_V1 | NET_PACKED, 12);
	play(NET_V1 | NET_PACKED | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC), 12);
}

static void legacy_headers_have_ten_bytes(void **state)
{
	(void)state;
	play(0, 10);
	play(NET_MERGE, 12);
}

/* The usual shapes cost no copying of vectors: the frame is the rest of what the guest posted. */
static void a_header_of_its_own_is_cut_off_whole(void **state)
{
	const struct virtio_net_hdr_v1 h = { 0 };
	const struct rg_buf two[2] = { { NET_AT, 12, 0 }, { NET_AT + 12, 60, 0 } };
	const struct rg_buf one = { NET_AT, 72, 0 };
	struct net_guest n;

	(void)state;
	up(&n, NET_V1);
	lay(&n, &h, 12, 60);
	assert_int_equal(net_run(&n, SEND, two, 2), 0);
	assert_int_equal(n.port->niov, 1);
	assert_int_equal(net_run(&n, SEND, &one, 1), 0);
	assert_int_equal(n.port->niov, 1);
	arrived(&n, 12, 60, 2);
	net_close(&n);
}

static void nothing_goes_while_the_cable_is_out(void **state)
{
	const struct virtio_net_hdr_v1 h = { 0 };
	const struct rg_buf b = { NET_AT, 72, 0 };
	struct net_guest n;

	(void)state;
	up(&n, NET_V1);
	lay(&n, &h, 12, 60);
	assert_int_equal(vio_net_set_link(n.dev, false), 0);
	assert_int_equal(net_run(&n, SEND, &b, 1), 0);
	assert_int_equal(n.port->sent, 0);
	assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_LINK], 1);
	assert_int_equal(vio_net_set_link(n.dev, true), 0);
	assert_int_equal(net_run(&n, SEND, &b, 1), 0);
	arrived(&n, 12, 60, 1);
	net_close(&n);
}

/* Header, features that allow it, and what the port is told. */
static void offloads_reach_the_port(void **state)
{
	static const struct {
		struct virtio_net_hdr_v1 h;
		uint16_t ether_type;
		uint8_t flags;
	} rows[] = {
		{ { .flags = 1, .csum_start = 34, .csum_offset = 16 }, 0x0800, VIO_PACKET_CSUM },
		{ { .flags = 1,
		    .gso_type = 1,
		    .hdr_len = 54,
		    .gso_size = 1448,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  0x0800,
		  VIO_PACKET_CSUM | VIO_PACKET_TSO4 },
		{ { .flags = 1,
		    .gso_type = 0x81,
		    .hdr_len = 54,
		    .gso_size = 1,
		    .csum_start = 34,
		    .csum_offset = 16 },
		  0x0800,
		  VIO_PACKET_CSUM | VIO_PACKET_TSO4 | VIO_PACKET_ECN },
		{ { .flags = 1,
		    .gso_type = 4,
		    .hdr_len = 74,
		    .gso_size = 1428,
		    .csum_start = 54,
		    .csum_offset = 16 },
		  0x86dd,
		  VIO_PACKET_CSUM | VIO_PACKET_TSO6 },
		{ { .flags = 1,
		    .gso_type = 5,
		    .hdr_len = 42,
		    .gso_size = 1200,
		    .csum_start = 34,
		    .csum_offset = 6 },
		  0x0800,
		  VIO_PACKET_CSUM | VIO_PACKET_USO4 },
		{ { .flags = 1,
		    .gso_type = 5,
		    .hdr_len = 62,
		    .gso_size = 1200,
		    .csum_start = 54,
		    .csum_offset = 6 },
		  0x86dd,
		  VIO_PACKET_CSUM | VIO_PACKET_USO6 },
		{ { .flags = 0xfe, .hdr_len = 9, .gso_size = 9, .csum_start = 9, .csum_offset = 9 },
		  0x0800,
		  0 },
	};
	struct net_guest n;

	(void)state;
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(vio_dev_new(&n.dev, vio_dev_net(), n.backend, "packed=off"), 0);
	assert_int_equal(vio_dev_set_features(n.dev, NET_V1 | (vio_dev_features(n.dev) & (VIO_BIT(12) - 1)) |
							     VIO_BIT(12) | VIO_BIT(13) | VIO_BIT(56)),
			 0);
	assert_int_equal(net_start(&n, SEND, 64), 0);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++) {
		const struct rg_buf b = { NET_AT, 12 + 3000, 0 };
		uint8_t *frame = (uint8_t *)net_ptr(&n, SEND, 0) + 12;

		lay(&n, &rows[i].h, 12, 3000);
		frame[12] = (uint8_t)(rows[i].ether_type >> 8);
		frame[13] = (uint8_t)rows[i].ether_type;
		assert_int_equal(net_run(&n, SEND, &b, 1), 0);
		arrived(&n, 12, 3000, i + 1);
		assert_int_equal(n.port->flags, rows[i].flags);
		if (!rows[i].flags)
			continue;
		assert_int_equal(n.port->offload.csum_start, rows[i].h.csum_start);
		assert_int_equal(n.port->offload.csum_offset, rows[i].h.csum_offset);
		assert_int_equal(n.port->offload.hdr_len, rows[i].h.hdr_len);
		assert_int_equal(n.port->offload.gso_size, rows[i].h.gso_size);
	}
	net_close(&n);
}

/* A UDP frame to be cut is told by the type behind its VLAN tags, wherever descriptors cut it. */
static void tagged_udp_frames_are_told_apart(void **state)
{
	const struct virtio_net_hdr_v1 h = {
		.flags = 1, .gso_type = 5, .gso_size = 100, .csum_start = 42, .csum_offset = 6
	};
	static const uint8_t tags[10] = { 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd };
	struct rg_buf b[4] = {
		{ NET_AT, 12 + 13, 0 }, { NET_AT + 25, 1, 0 }, { NET_AT + 26, 5, 0 }, { NET_AT + 31, 900, 0 }
	};
	struct net_guest n;

	(void)state;
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(net_device(&n, NET_V1 | VIO_BIT(VIRTIO_NET_F_CSUM) | VIO_BIT(56), NULL), 0);
	assert_int_equal(net_start(&n, SEND, 64), 0);
	lay(&n, &h, 12, 919 - 12);
	memcpy((char *)net_ptr(&n, SEND, 0) + 24, tags, sizeof(tags));
	assert_int_equal(net_run(&n, SEND, b, 4), 0);
	assert_int_equal(n.port->flags, VIO_PACKET_CSUM | VIO_PACKET_USO6);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
		cmocka_unit_test(legacy_headers_have_ten_bytes),
		cmocka_unit_test(a_header_of_its_own_is_cut_off_whole),
		cmocka_unit_test(nothing_goes_while_the_cable_is_out),
		cmocka_unit_test(offloads_reach_the_port),
		cmocka_unit_test(tagged_udp_frames_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
