/* SPDX-License-Identifier: MIT */
/*
 * However header, data and status lie in descriptors, the answer is the same
 * (virtio 1.3, 2.7.4): every type of request, cut at random, against its usual framing.
 */
#include "blk_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SECTORS 64u
#define PIECES 24u

static uint64_t seed;

static unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

/* Cuts len bytes at `at` into at most `most` buffers, some of them empty; returns how many. */
static unsigned cut(struct rg_buf *b, uint64_t at, uint32_t len, uint16_t flags, unsigned most)
{
	unsigned n = 0;

	while (len && n + 1 < most) {
		uint32_t piece = dice(6) ? 1 + dice(dice(2) ? 20 : len) : 0;

		piece = VIO_MIN(piece, len);
		b[n++] = (struct rg_buf){ at, piece, flags };
		at += piece;
		len -= piece;
	}
	if (len || !dice(5))
		b[n++] = (struct rg_buf){ at, len, flags };
	return n;
}

static struct blk_ask random_ask(uint8_t *data)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,	 VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID,
					  10,		   VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES, 99 };
	struct virtio_blk_discard_write_zeroes seg = { .sector = dice(SECTORS + 2), .num_sectors = dice(6),
						       .flags = dice(3) == 0 };
	struct blk_ask a = { .type = types[dice(8)], .sector = dice(SECTORS + 2), .out = data };

	if (dice(10) == 0)
		a.sector = UINT64_MAX - dice(600);
	for (unsigned i = 0; i < 4096; i++)
		data[i] = (uint8_t)dice(256);
	if (a.type == VIRTIO_BLK_T_OUT)
		a.nout = dice(8) ? 512 * dice(6) : dice(2000);
	else if (a.type == VIRTIO_BLK_T_IN)
		a.nin = dice(8) ? 512 * dice(6) : dice(2000);
	else if (a.type == VIRTIO_BLK_T_GET_ID || a.type == 10)
		a.nin = dice(40);
	else if (a.type == VIRTIO_BLK_T_DISCARD || a.type == VIRTIO_BLK_T_WRITE_ZEROES)
		a.nout = dice(6) ? sizeof(seg) : dice(40);
	if (a.nout && a.type != VIRTIO_BLK_T_OUT)
		memcpy(data, &seg, sizeof(seg));
	return a;
}

/* The same request in pieces. Bytes that must not be written keep their fill. */
static int64_t ask_in_pieces(struct blk_guest *b, const struct blk_ask *a)
{
	struct rg_buf bufs[2 * PIECES];
	unsigned n;

	blk_lay(b, a, 0xee);
	n = cut(bufs, BLK_AT, 16 + a->nout, 0, PIECES);
	n += cut(bufs + n, BLK_IN, a->nin + 1, RG_WRITE, PIECES);
	if ((b->g.features & VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC)) && dice(2)) {
		bufs[0] = rg_table(&b->g, BLK_AT + 0x20007, bufs, n); /* at an odd address, as is allowed */
		n = 1;
	}
	return blk_run(b, bufs, n);
}

static void same_answer(struct blk_guest *usual, struct blk_guest *pieces, const struct blk_ask *a)
{
	uint8_t want = blk_ask(usual, a);
	int64_t len = ask_in_pieces(pieces, a);

	if (memcmp(blk_data(pieces), blk_data(usual), a->nin + 1))
		fail_msg("type %u, sector %llu, %u out, %u in: the answers differ; status %u", a->type,
			 (unsigned long long)a->sector, a->nout, a->nin, want);
	assert_int_equal(len, a->nin + 1);
	assert_true(want <= 2);
}

static void same_disk(struct blk_guest *a, struct blk_guest *b)
{
	const struct blk_ask all = { .type = VIRTIO_BLK_T_IN, .nin = SECTORS * 512 };

	assert_int_equal(blk_ask(a, &all), 0);
	assert_int_equal(blk_ask(b, &all), 0);
	assert_memory_equal(blk_data(a), blk_data(b), SECTORS * 512);
}

static void play(uint64_t features)
{
	struct blk_guest usual, pieces;
	static uint8_t data[4096];

	seed = features;
	assert_int_equal(blk_open(&usual, features, 64, "ram:32K", "serial=abcdefghijklmnopqrst"), 0);
	assert_int_equal(blk_open(&pieces, features, 64, "ram:32K", "serial=abcdefghijklmnopqrst"), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct blk_ask a = random_ask(data);

		same_answer(&usual, &pieces, &a);
		if (i % 500 == 0)
			same_disk(&usual, &pieces);
	}
	same_disk(&usual, &pieces);
	blk_close(&usual);
	blk_close(&pieces);
}

static void split(void **state)
{
	(void)state;
	play(VIO_BIT(VIRTIO_F_VERSION_1));
	play(VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
}

static void packed(void **state)
{
	const uint64_t packed = VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_F_RING_PACKED);

	(void)state;
	play(packed);
	play(packed | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIO_BIT(VIRTIO_RING_F_EVENT_IDX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
