/* SPDX-License-Identifier: MIT */
/* What a block device answers to each type of request, sound or not (virtio 1.3, 5.2.6). */
#include "blk_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define V1 VIO_BIT(VIRTIO_F_VERSION_1)
#define DISK "ram:64K"
#define SECTORS 128u
#define OK VIRTIO_BLK_S_OK
#define ERR VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

struct row {
	const char *name;
	struct blk_ask ask;
	struct virtio_blk_discard_write_zeroes seg;
	uint8_t status;
};

#define SEG sizeof(struct virtio_blk_discard_write_zeroes)
#define DISCARD(n, start, count, fl, st)                                                                     \
	{ n, { VIRTIO_BLK_T_DISCARD, 0, NULL, SEG, 0 }, { .sector = start, .num_sectors = count, .flags = fl }, st }
#define ZEROES(n, start, count, fl, st)                                                                      \
	{ n, { VIRTIO_BLK_T_WRITE_ZEROES, 0, NULL, SEG, 0 }, { .sector = start, .num_sectors = count, .flags = fl }, st }
#define READ(n, start, bytes, st) { n, { VIRTIO_BLK_T_IN, start, NULL, 0, bytes }, { 0 }, st }
#define WRITE(n, start, bytes, st) { n, { VIRTIO_BLK_T_OUT, start, NULL, bytes, 0 }, { 0 }, st }

static const struct row rows[] = {
	READ("the first sector", 0, 512, OK),
	READ("the last sector", SECTORS - 1, 512, OK),
	READ("the whole disk", 0, SECTORS * 512, OK),
	READ("nothing", 0, 0, OK),
	READ("nothing at the very end", SECTORS, 0, OK),
	READ("a sector behind the end", SECTORS, 512, ERR),
	READ("over the end", SECTORS - 1, 1024, ERR),
	READ("sectors that wrap", UINT64_MAX, 1024, ERR),
	READ("sectors whose bytes wrap", UINT64_MAX / 512 + 1, 512, ERR),
	READ("bytes that are no sectors", 0, 100, ERR),
	READ("a sector and a byte", 0, 513, ERR),
	WRITE("a sector", 3, 512, OK),
	WRITE("a sector behind the end, written", SECTORS, 512, ERR),
	WRITE("sectors that wrap, written", UINT64_MAX - 1, 512, ERR),
	WRITE("bytes that are no sectors, written", 0, 511, ERR),
	{ "a flush", { VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0 }, { 0 }, OK },
	{ "an unknown type", { 77, 0, NULL, 0, 512 }, { 0 }, UNSUPP },
	{ "a type with old flags", { 0x80000000u, 0, NULL, 0, 512 }, { 0 }, UNSUPP },
	{ "SCSI of old", { 2, 0, NULL, 512, 0 }, { 0 }, UNSUPP },
	DISCARD("a discard", 8, 8, 0, OK),
	DISCARD("a discard of nothing", 8, 0, 0, ERR),
	DISCARD("a discard over the end", SECTORS - 1, 2, 0, ERR),
	DISCARD("a discard that wraps", UINT64_MAX, 2, 0, ERR),
	DISCARD("a discard beyond the limit", 0, UINT32_MAX, 0, ERR),
	DISCARD("a discard with the zeroes' flag", 0, 8, 1, UNSUPP),
	DISCARD("a discard with a reserved flag", 0, 8, 2, UNSUPP),
	{ "a short discard", { VIRTIO_BLK_T_DISCARD, 0, NULL, 15, 0 }, { .num_sectors = 1 }, ERR },
	{ "a discard of two segments", { VIRTIO_BLK_T_DISCARD, 0, NULL, 32, 0 }, { .num_sectors = 1 }, ERR },
	{ "a discard without a segment", { VIRTIO_BLK_T_DISCARD, 0, NULL, 0, 0 }, { 0 }, ERR },
	ZEROES("zeroes", 8, 8, 0, OK),
	ZEROES("zeroes that may unmap", 8, 8, 1, OK),
	ZEROES("zeroes with a reserved flag", 8, 8, 2, UNSUPP),
	ZEROES("zeroes over the end", 0, SECTORS + 1, 0, ERR),
	ZEROES("zeroes beyond the limit", 0, 1u << 31, 0, ERR),
	{ "the id", { VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 20 }, { 0 }, OK },
	{ "the id, in too few bytes", { VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 3 }, { 0 }, OK },
	{ "the lifetime", { 10, 0, NULL, 0, 24 }, { 0 }, OK },
};

static void check_rows(uint64_t features)
{
	struct blk_guest b;

	assert_int_equal(blk_open(&b, features, 16, DISK, NULL), 0);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++) {
		static uint8_t data[SECTORS * 512];
		struct blk_ask ask = rows[i].ask;
		uint8_t status;

		memcpy(data, &rows[i].seg, SEG);
		ask.out = ask.nout ? data : NULL;
		status = blk_ask(&b, &ask);
		if (status != rows[i].status)
			fail_msg("%s: status %u, expected %u", rows[i].name, status, rows[i].status);
	}
	blk_close(&b);
}

static void each_request_has_its_answer(void **state)
{
	(void)state;
	check_rows(V1);
	check_rows(V1 | VIO_BIT(VIRTIO_F_RING_PACKED));
}

/* Chains too short for a header or a status are completed, and the queue goes on. */
static void short_chains_are_completed(void **state)
{
	static const struct {
		struct rg_buf b[2];
		unsigned n;
		int64_t used;
		uint8_t status; /* of the last writable byte */
	} shorts[] = {
		{ { { BLK_AT, 16, 0 } }, 1, 0, 0xee },
		{ { { BLK_AT, 600, 0 } }, 1, 0, 0xee },
		{ { { BLK_IN, 1, RG_WRITE } }, 1, 1, ERR },
		{ { { BLK_AT, 15, 0 }, { BLK_IN, 1, RG_WRITE } }, 2, 1, ERR },
		{ { { BLK_AT, 0, 0 }, { BLK_IN, 1, RG_WRITE } }, 2, 1, ERR },
		{ { { BLK_AT, 16, 0 }, { BLK_IN, 0, RG_WRITE } }, 2, 0, 0xee },
		{ { { BLK_AT, 0, 0 } }, 1, 0, 0xee },
	};
	const struct blk_ask read = { .type = VIRTIO_BLK_T_IN, .nin = 512 };
	struct blk_guest b;

	(void)state;
	assert_int_equal(blk_open(&b, V1, 16, DISK, NULL), 0);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(shorts); i++) {
		blk_lay(&b, &read, 0xee);
		assert_int_equal(blk_run(&b, shorts[i].b, shorts[i].n), shorts[i].used);
		assert_int_equal(*(uint8_t *)blk_data(&b), shorts[i].status);
		assert_int_equal(blk_ask(&b, &read), OK);
	}
	blk_close(&b);
}

/* A header that fills every entry of a request's own vector, and no status behind it. */
static void a_header_of_eight_pieces_is_a_whole_request(void **state)
{
	const struct blk_ask read = { .type = VIRTIO_BLK_T_IN, .nin = 512 };
	struct rg_buf b[8];
	struct blk_guest g;

	(void)state;
	assert_int_equal(blk_open(&g, V1, 8, DISK, NULL), 0);
	blk_lay(&g, &read, 0xee);
	for (unsigned i = 0; i < 8; i++)
		b[i] = (struct rg_buf){ BLK_AT + 2 * i, 2, 0 };
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(blk_run(&g, b, 8), 0);
	blk_close(&g);
}

static void data_goes_and_comes(void **state)
{
	struct blk_ask write = { .type = VIRTIO_BLK_T_OUT, .sector = 5, .nout = 1024 };
	struct blk_ask read = { .type = VIRTIO_BLK_T_IN, .sector = 6, .nin = 1024 };
	uint8_t data[1024], zeroes[512] = { 0 };
	struct blk_guest b;

	(void)state;
	memset(data, 0xa5, sizeof(data));
	write.out = data;
	assert_int_equal(blk_open(&b, V1, 16, DISK, NULL), 0);
	assert_int_equal(blk_ask(&b, &write), OK);
	assert_int_equal(blk_ask(&b, &read), OK);
	assert_memory_equal(blk_data(&b), data, 512);
	assert_memory_equal((char *)blk_data(&b) + 512, zeroes, 512);
	blk_close(&b);
}

static void a_read_only_disk_refuses_what_changes_it(void **state)
{
	static uint8_t data[512];
	const struct virtio_blk_discard_write_zeroes seg = { .num_sectors = 1 };
	const struct blk_ask ask[] = { { VIRTIO_BLK_T_OUT, 0, data, 512, 0 },
				       { VIRTIO_BLK_T_DISCARD, 0, &seg, SEG, 0 },
				       { VIRTIO_BLK_T_WRITE_ZEROES, 0, &seg, SEG, 0 },
				       { VIRTIO_BLK_T_IN, 0, NULL, 0, 512 } };
	struct blk_guest b;

	(void)state;
	assert_int_equal(blk_open(&b, V1, 16, DISK, "read-only=on"), 0);
	assert_true(vio_dev_features(b.dev) & VIO_BIT(VIRTIO_BLK_F_RO));
	assert_false(vio_dev_features(b.dev) & VIO_BIT(VIRTIO_BLK_F_DISCARD));
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(blk_ask(&b, &ask[i]), OK);
	assert_int_equal(blk_ask(&b, &ask[3]), OK);
	blk_close(&b);
}

static void the_serial_is_the_id(void **state)
{
	const struct blk_ask ask = { .type = VIRTIO_BLK_T_GET_ID, .nin = 20 };
	struct vio_dev *d;
	struct blk_guest b;

	(void)state;
	assert_int_equal(blk_open(&b, V1, 16, DISK, "serial=disk-1"), 0);
	assert_int_equal(blk_ask(&b, &ask), OK);
	assert_memory_equal(blk_data(&b), "disk-1\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	assert_int_equal(vio_dev_new(&d, vio_dev_blk(), b.backend, "serial=123456789012345678901"), -EINVAL);
	assert_null(d);
	blk_close(&b);
}

/* What the store fails with becomes a status; others beside it succeed. */
static void failures_of_the_store_are_reported(void **state)
{
	const struct blk_ask read = { .type = VIRTIO_BLK_T_IN, .nin = 512 };
	struct blk_guest b;

	(void)state;
	assert_int_equal(blk_open(&b, V1, 16, DISK " | fault:op=read,nth=2,error=EIO", NULL), 0);
	assert_int_equal(blk_ask(&b, &read), OK);
	assert_int_equal(blk_ask(&b, &read), ERR);
	blk_close(&b);
}

static void config_writes_beside_wce_are_refused(void **state)
{
	const uint8_t on = 1;
	struct blk_guest b;
	uint8_t config[sizeof(struct virtio_blk_config)];

	(void)state;
	assert_int_equal(blk_open(&b, V1, 16, DISK, NULL), 0);
	for (unsigned i = 0; i < vio_dev_config_size(b.dev) + 2; i++)
		assert_int_equal(vio_dev_config_write(b.dev, i, &on, 1),
				 i == offsetof(struct virtio_blk_config, wce) ? 0 : -EINVAL);
	assert_int_equal(vio_dev_config_read(b.dev, 0, config, vio_dev_config_size(b.dev)), 0);
	assert_int_equal(vio_dev_config_read(b.dev, 1, config, vio_dev_config_size(b.dev)), -EINVAL);
	assert_int_equal(vio_dev_config_read(b.dev, UINT32_MAX, config, 2), -EINVAL);
	blk_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_has_its_answer),
		cmocka_unit_test(short_chains_are_completed),
		cmocka_unit_test(a_header_of_eight_pieces_is_a_whole_request),
		cmocka_unit_test(data_goes_and_comes),
		cmocka_unit_test(a_read_only_disk_refuses_what_changes_it),
		cmocka_unit_test(the_serial_is_the_id),
		cmocka_unit_test(failures_of_the_store_are_reported),
		cmocka_unit_test(config_writes_beside_wce_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
