/* SPDX-License-Identifier: MIT */
/*
 * Headers that contradict the frame or the features, and frames that are none: each is
 * dropped, counted and given back at once, and the packet after it passes (THREATS rows
 * 7, 24, 25, 26).
 */
#include "net_guest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEND 1u
#define LEN 100u

/* Number, name and bit of what a driver accepts. */
#define CSUM VIO_BIT(VIRTIO_NET_F_CSUM)
#define TSO4 (CSUM | VIO_BIT(VIRTIO_NET_F_HOST_TSO4))
#define TSO6 (CSUM | VIO_BIT(VIRTIO_NET_F_HOST_TSO6))
#define ECN (TSO4 | VIO_BIT(VIRTIO_NET_F_HOST_ECN))
#define USO (CSUM | VIO_BIT(56))

#define TCP .flags = 1, .csum_start = 34, .csum_offset = 16

static const struct {
	const char *name;
	uint64_t features;
	struct virtio_net_hdr_v1 h;
	bool passes;
} rows[] = {
	{ "nothing asked", 0, { 0 }, true },
	{ "a checksum", CSUM, { TCP }, true },
	{ "a checksum, not negotiated", 0, { TCP }, false },
	{ "a checksum that ends with the frame",
	  CSUM,
	  { .flags = 1, .csum_start = 34, .csum_offset = LEN - 36 },
	  true },
	{ "a checksum a byte further",
	  CSUM,
	  { .flags = 1, .csum_start = 34, .csum_offset = LEN - 35 },
	  false },
	{ "a checksum far out", CSUM, { .flags = 1, .csum_start = 34, .csum_offset = 0xffff }, false },
	{ "a start that wraps with its offset",
	  CSUM,
	  { .flags = 1, .csum_start = 0xffff, .csum_offset = 1 },
	  false },
	{ "both as far as can be", CSUM, { .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff }, false },
	{ "a start at the frame's end", CSUM, { .flags = 1, .csum_start = LEN, .csum_offset = 0 }, false },
	{ "a start within the Ethernet header",
	  CSUM,
	  { .flags = 1, .csum_start = 13, .csum_offset = 16 },
	  false },
	{ "offsets that nobody asked for", CSUM, { .csum_start = 0xffff, .csum_offset = 0xffff }, true },
	{ "segments", TSO4, { TCP, .gso_type = 1, .gso_size = 10, .hdr_len = 54 }, true },
	{ "segments, not negotiated", CSUM, { TCP, .gso_type = 1, .gso_size = 10 }, false },
	{ "segments without a checksum", TSO4, { .gso_type = 1, .gso_size = 10 }, false },
	{ "segments of no bytes", TSO4, { TCP, .gso_type = 1 }, false },
	{ "segments of the other IP", TSO4, { TCP, .gso_type = 4, .gso_size = 10 }, false },
	{ "segments of the other IP, too", TSO6, { TCP, .gso_type = 1, .gso_size = 10 }, false },
	{ "a header longer than the frame is no hint",
	  TSO4,
	  { TCP, .gso_type = 1, .gso_size = 10, .hdr_len = 0xffff },
	  true },
	{ "ECN", ECN, { TCP, .gso_type = 0x81, .gso_size = 10 }, true },
	{ "ECN, not negotiated", TSO4, { TCP, .gso_type = 0x81, .gso_size = 10 }, false },
	{ "ECN of nothing", ECN, { TCP, .gso_type = 0x80, .gso_size = 10 }, false },
	{ "UFO, which is not offered", USO | TSO4, { TCP, .gso_type = 3, .gso_size = 10 }, false },
	{ "an unknown type", USO | TSO4, { TCP, .gso_type = 2, .gso_size = 10 }, false },
	{ "another unknown type", USO | TSO4, { TCP, .gso_type = 0x41, .gso_size = 10 }, false },
	{ "all bits", USO | ECN, { 0xff, 0xff, 0xffff, 0xffff, { { 0xffff, 0xffff } }, 0xffff }, false },
	{ "datagrams of a frame that is no IP", USO, { TCP, .gso_type = 5, .gso_size = 10 }, false },
	{ "datagrams, not negotiated", TSO4, { TCP, .gso_type = 5, .gso_size = 10 }, false },
	{ "unknown flags", CSUM, { .flags = 0xfe }, true },
	{ "a size without a type", CSUM, { .gso_size = 10, .hdr_len = 1 }, true },
};

static void up(struct net_guest *n, uint64_t features)
{
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, features, NULL), 0);
	assert_int_equal(net_start(n, SEND, 64), 0);
}

/* Header and frame in one buffer or two: they take different ways. */
static void send(struct net_guest *n, const struct virtio_net_hdr_v1 *h, unsigned buffers)
{
	const struct rg_buf b[2] = { { NET_AT, buffers == 1 ? 12 + LEN : 12, 0 }, { NET_AT + 12, LEN, 0 } };

	memset(net_ptr(n, SEND, 0), 0x11, 12 + LEN);
	memcpy(net_ptr(n, SEND, 0), h, 12);
	assert_int_equal(net_run(n, SEND, b, buffers), 0);
}

static void check_rows(uint64_t ring, unsigned buffers)
{
	const struct virtio_net_hdr_v1 plain = { 0 };

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++) {
		struct net_guest n;

		up(&n, ring | rows[i].features);
		send(&n, &rows[i].h, buffers);
		if (n.port->sent != rows[i].passes)
			fail_msg("%s: %s", rows[i].name, rows[i].passes ? "did not pass" : "passed");
		assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_HEADER], !rows[i].passes);
		send(&n, &plain, buffers);
		assert_int_equal(n.port->sent, rows[i].passes + 1);
		assert_int_equal(net_stats(&n).sent, rows[i].passes + 1);
		net_close(&n);
	}
}

static void headers(void **state)
{
	(void)state;
	for (unsigned buffers = 1; buffers <= 2; buffers++) {
		check_rows(NET_V1, buffers);
		check_rows(NET_V1 | NET_PACKED, buffers);
	}
}

static void frames_too_short_or_too_long(void **state)
{
	static const struct {
		struct rg_buf b[3];
		unsigned n;
		bool passes;
	} frames[] = {
		{ { { NET_AT, 12 + 14, 0 } }, 1, true },
		{ { { NET_AT, 12 + 13, 0 } }, 1, false },
		{ { { NET_AT, 12, 0 } }, 1, false },
		{ { { NET_AT, 11, 0 } }, 1, false },
		{ { { NET_AT, 0, 0 } }, 1, false },
		{ { { NET_AT, 5, 0 }, { NET_AT + 5, 6, 0 } }, 2, false },
		{ { { NET_AT, 5, 0 }, { NET_AT + 5, 7, 0 }, { NET_AT + 12, 13, 0 } }, 3, false },
		{ { { NET_AT, 5, 0 }, { NET_AT + 5, 7, 0 }, { NET_AT + 12, 14, 0 } }, 3, true },
		{ { { NET_AT, 12 + RECV_FRAME_MAX, 0 } }, 1, true },
		{ { { NET_AT, 12 + RECV_FRAME_MAX + 1, 0 } }, 1, false },
		{ { { NET_AT, 12, 0 }, { NET_AT, NET_ROOM, 0 } }, 2, false },
		{ { { NET_AT, 200, RG_WRITE } }, 1, false },
		{ { { NET_AT, 12, RG_WRITE } }, 1, false },
		{ { { NET_AT, 12, 0 }, { NET_AT + 12, 200, RG_WRITE } }, 2, false },
		{ { { NET_AT, 100, 0 }, { NET_AT + 100, 200, RG_WRITE } }, 2, true },
	};
	unsigned sent = 0, lost = 0;
	struct net_guest n;

	(void)state;
	up(&n, NET_V1);
	memset(net_ptr(&n, SEND, 0), 0, 1000);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(frames); i++) {
		assert_int_equal(net_run(&n, SEND, frames[i].b, frames[i].n), 0);
		sent += frames[i].passes;
		lost += !frames[i].passes;
		assert_int_equal(n.port->sent, sent);
		assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_SHORT], lost);
	}
	net_close(&n);
}

/* Sound ones and others in one batch: each has its own fate, and the port sees the sound ones in their order.
 */
static void a_batch_of_both(void **state)
{
	static const struct virtio_net_hdr_v1 bad = { .flags = 1, .csum_start = 0xffff };
	struct net_guest n;
	unsigned sent = 0;
	uint32_t len;

	(void)state;
	up(&n, NET_V1 | CSUM);
	for (unsigned i = 0; i < 64; i++) {
		const struct rg_buf b = { NET_AT + 1024 * i, 12 + LEN, 0 };
		uint8_t *p = memset(net_ptr(&n, SEND, 1024 * i), (int)i, 12 + LEN);

		memset(p, 0, 12);
		if (i % 3)
			memcpy(p, &bad, 12);
		sent += !(i % 3);
		assert_true(rg_post(net_ring(&n, SEND), &b, 1) >= 0);
	}
	vio_vq_kick(n.dev, SEND);
	for (unsigned i = 0; i < 64;) {
		int id = rg_reap(net_ring(&n, SEND), &len);

		assert_int_not_equal(id, -2);
		i += id >= 0;
		vio_poller_wait(n.poller, 0);
	}
	assert_int_equal(n.port->sent, sent);
	assert_int_equal(n.port->frame[0], 63);
	assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_HEADER], 64 - sent);
	net_close(&n);
}

/* The control queue answers what it does not know, however little there is of it (row 27). */
static void unknown_commands_are_answered(void **state)
{
	static const struct {
		struct rg_buf b[2];
		unsigned n;
		int64_t used;
	} asks[] = {
		{ { { NET_AT, 2, 0 }, { NET_AT + 64, 1, RG_WRITE } }, 2, 1 },
		{ { { NET_AT, 1, 0 }, { NET_AT + 64, 1, RG_WRITE } }, 2, 1 },
		{ { { NET_AT, 9000, 0 }, { NET_AT + 0x4000, 9, RG_WRITE } }, 2, 1 },
		{ { { NET_AT + 64, 1, RG_WRITE } }, 1, 1 },
		{ { { NET_AT, 2, 0 } }, 1, 0 },
		{ { { NET_AT, 2, 0 }, { NET_AT + 64, 0, RG_WRITE } }, 2, 0 },
	};
	struct net_guest n;

	(void)state;
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(net_device(&n, NET_V1 | VIO_BIT(VIRTIO_NET_F_CTRL_VQ), "pairs=4"), 0);
	assert_int_equal(net_start(&n, 2, 16), 0); /* without MQ it is the third queue */
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(asks); i++) {
		memset(net_ptr(&n, 2, 0), 0xee, 0x5000);
		assert_int_equal(net_run(&n, 2, asks[i].b, asks[i].n), asks[i].used);
		if (asks[i].used)
			assert_int_equal(*(uint8_t *)net_ptr(&n, 2, asks[i].b[asks[i].n - 1].addr - NET_AT),
					 VIRTIO_NET_ERR);
	}
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(frames_too_short_or_too_long),
		cmocka_unit_test(a_batch_of_both),
		cmocka_unit_test(unknown_commands_are_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
