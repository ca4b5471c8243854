/* SPDX-License-Identifier: MIT */
/* Copy moves what its list says, or says where it ended; blocks marked by Write Uncorrectable fail until they
 * are written. */
#include "nvme_host.h"

#define DNR NVME_SC_DNR
#define LIMIT (NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | NVME_SC_CMD_SIZE_LIMIT_EXCEEDED | DNR)
#define BAD (NVME_SCT_MEDIA << NVME_SCT_SHIFT | NVME_SC_READ_ERROR | DNR)
#define READ_ERROR (NVME_SCT_MEDIA << NVME_SCT_SHIFT | NVME_SC_READ_ERROR)
#define DISK (64u << 20)
#define BLOCKS (DISK / 512)

static struct target t;
static struct host admin, io;
static char data[262144], back[262144];

static int open_all(void **state)
{
	(void)state;
	target_start(&t, 2, VIO_POLL_AUTO, NULL, NULL);
	assert_int_equal(target_add(&t, "ram:64M"), 1);
	assert_int_equal(target_add(&t, "ram:64M | fault:op=read,nth=3,error=EIO,once=off"), 2);
	host_io(&io, &t, host_admin(&admin, &t, 0), 1, 0, 0);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&io);
	host_hang_up(&admin);
	target_stop(&t);
	return 0;
}

static void put(uint32_t lba, uint32_t bytes, uint8_t seed)
{
	struct nvme_cmd c = host_rw(nvme_cmd_write, 1, lba, bytes);

	for (uint32_t i = 0; i < bytes; i++)
		data[i] = (char)(seed + i * 7 + i / 512);
	assert_int_equal(host_put(&io, &c, data, bytes), 0);
}

static uint16_t get(uint32_t lba, uint32_t bytes)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, 1, lba, bytes);

	return host_get(&io, &c, back, bytes);
}

static uint16_t copy_of(uint32_t nsid, uint64_t to, struct nvme_copy_range *r, unsigned n)
{
	struct nvme_cmd c = { .opcode = nvme_cmd_copy,
			      .nsid = nsid,
			      .cdw10 = (uint32_t)to,
			      .cdw11 = (uint32_t)(to >> 32),
			      .cdw12 = n - 1 };

	return host_put(&io, &c, r, n * (uint32_t)sizeof(*r));
}

static uint16_t copy(uint64_t to, struct nvme_copy_range *r, unsigned n)
{
	return copy_of(1, to, r, n);
}

static void ranges_are_gathered(void **state)
{
	struct nvme_copy_range r[] = { { .slba = 100, .nlb = 511 },
				       { .slba = 7, .nlb = 0 },
				       { .slba = 50, .nlb = 9 } };
	struct nvme_copy_range one = { .slba = 0, .nlb = 8191 };

	(void)state;
	put(0, 262144, 1);
	put(512, 262144, 1 + 512 % 256); /* goes on as the first */
	assert_int_equal(copy(4096, r, 3), 0);
	assert_int_equal(get(4096, 262144), 0);
	memcpy(data, back, sizeof(data));
	assert_int_equal(get(100, 262144), 0);
	assert_memory_equal(data, back, 262144);
	assert_int_equal(get(4096 + 512, 11 * 512), 0);
	memcpy(data, back, 11 * 512);
	assert_int_equal(get(7, 512), 0);
	assert_memory_equal(data, back, 512);
	assert_int_equal(get(50, 10 * 512), 0);
	assert_memory_equal(data + 512, back, 10 * 512);
	assert_int_equal(copy(16384, &one, 1), 0); /* 4 MiB, in pieces */
	assert_int_equal(get(16384 + 4096, 262144), 0);
	memcpy(data, back, sizeof(data));
	assert_int_equal(get(4096, 262144), 0);
	assert_memory_equal(data, back, 262144);
}

static void all_ranges_of_a_list(void **state)
{
	struct nvme_copy_range r[128] = { 0 };

	(void)state;
	put(0, 65536, 9);
	for (unsigned i = 0; i < 128; i++)
		r[i] = (struct nvme_copy_range){ .slba = 127 - i };
	assert_int_equal(copy(1000, r, 128), 0);
	assert_int_equal(get(1000, 65536), 0);
	for (unsigned i = 0; i < 128; i++)
		assert_memory_equal(back + 512 * i, data + 512 * (127 - i), 512);
}

static void lists_are_checked(void **state)
{
	struct nvme_copy_range r[129] = { 0 };
	struct nvme_cmd c = { .opcode = nvme_cmd_copy, .nsid = 1 };

	(void)state;
	assert_int_equal(copy(BLOCKS, r, 1), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(copy(BLOCKS - 1, r, 2), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(copy(UINT64_MAX, r, 2), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(copy(0, r, 129), LIMIT);
	r[1].slba = BLOCKS;
	assert_int_equal(copy(0, r, 2), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(io.result, 1); /* which one */
	r[1].slba = UINT64_MAX;
	r[1].nlb = 5;
	assert_int_equal(copy(0, r, 2), NVME_SC_LBA_RANGE | DNR);
	r[0].nlb = 65535;
	assert_int_equal(copy(0, r, 1), LIMIT);
	for (unsigned i = 0; i < 128; i++) {
		r[i].nlb = 65534;
		r[i].slba = 0;
	}
	assert_int_equal(copy(0, r, 128), LIMIT);
	c.cdw12 = 1u << 8; /* another format */
	assert_int_equal(host_put(&io, &c, r, 64), NVME_SC_INVALID_FIELD | DNR);
	c.cdw12 = 3;
	assert_int_equal(host_put(&io, &c, r, 64), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_do(&io, &c), NVME_SC_SGL_INVALID_DATA | DNR);
}

static void a_failure_says_where(void **state)
{
	struct nvme_copy_range r[] = { { .nlb = 0 }, { .nlb = 0 }, { .nlb = 0 }, { .nlb = 0 } };

	(void)state;
	assert_int_equal(copy_of(2, 100, r, 4), READ_ERROR); /* the third read */
	assert_int_equal(io.result, 2);
}

static uint16_t mark(uint64_t lba, uint32_t n)
{
	struct nvme_cmd c = host_rw(nvme_cmd_write_uncor, 1, lba, 512);

	c.cdw12 = n - 1;
	return host_do(&io, &c);
}

static void marked_blocks_fail_until_written(void **state)
{
	struct nvme_copy_range r[] = { { .slba = 4, .nlb = 3 }, { .slba = 8, .nlb = 7 } };
	struct nvme_cmd c = host_rw(nvme_cmd_compare, 1, 8, 4096);
	struct nvme_cmd z = host_rw(nvme_cmd_write_zeroes, 1, 11, 512);

	(void)state;
	put(0, 16384, 3);
	assert_int_equal(mark(10, 2), 0);
	assert_int_equal(get(0, 5120), 0);
	assert_int_equal(get(0, 5632), BAD);
	assert_int_equal(get(11, 512), BAD);
	assert_int_equal(get(12, 512), 0);
	assert_int_equal(host_put(&io, &c, data + 4096, 4096), BAD);
	c.opcode = nvme_cmd_verify;
	assert_int_equal(host_do(&io, &c), BAD);
	assert_int_equal(copy(100, r, 2), BAD);
	assert_int_equal(io.result, 1);
	assert_int_equal(get(100, 2048), 0); /* its first range was copied */
	assert_memory_equal(back, data + 2048, 2048);
	put(10, 512, 4);
	assert_int_equal(get(10, 512), 0);
	assert_int_equal(get(11, 512), BAD);
	assert_int_equal(host_do(&io, &z), 0);
	assert_int_equal(get(0, 16384), 0);
	assert_int_equal(mark(100, 4), 0); /* a copy writes too */
	assert_int_equal(copy(100, r, 1), 0);
	assert_int_equal(get(100, 2048), 0);
}

static void marks_reach_anywhere(void **state)
{
	struct nvme_cmd z = host_rw(nvme_cmd_write_zeroes, 1, 65530, 512);

	(void)state;
	assert_int_equal(mark(65530, 65536), 0); /* over a border of the set's pieces */
	assert_int_equal(get(65529, 512), 0);
	assert_int_equal(get(65530, 512), BAD);
	assert_int_equal(get(65536, 512), BAD);
	assert_int_equal(get(131065, 512), BAD);
	assert_int_equal(get(131066, 512), 0);
	assert_int_equal(mark(BLOCKS - 1, 1), 0);
	assert_int_equal(mark(BLOCKS - 1, 2), NVME_SC_LBA_RANGE | DNR);
	z.cdw12 = 65535;
	assert_int_equal(host_do(&io, &z), 0);
	assert_int_equal(get(65530, 262144), 0);
	assert_int_equal(get(BLOCKS - 1, 512), BAD);
	put(BLOCKS - 1, 512, 0);
	assert_int_equal(get(BLOCKS - 1, 512), 0);
}

/* Every other block of one mark is written: the set does not grow by that. */
static void marks_with_holes(void **state)
{
	(void)state;
	assert_int_equal(mark(0, 600), 0);
	for (uint32_t i = 0; i < 600; i += 2)
		put(i, 512, 1);
	for (uint32_t i = 0; i < 600; i += 2) {
		assert_int_equal(get(i, 512), 0);
		assert_int_equal(get(i + 1, 512), BAD);
	}
	put(0, 262144, 1);
	put(512, 65536, 1);
	assert_int_equal(get(0, 262144), 0);
}

static void it_says_so(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	struct nvme_id_ctrl id;
	struct nvme_id_ns ns;

	(void)state;
	assert_int_equal(host_get(&admin, &c, &id, sizeof(id)), 0);
	assert_int_equal(id.oncs & 0x102, 0x102);
	assert_int_equal(id.ocfs, 1);
	c.cdw10 = NVME_IDENTIFY_CNS_NS;
	c.nsid = 1;
	assert_int_equal(host_get(&admin, &c, &ns, sizeof(ns)), 0);
	assert_int_equal(ns.mssrl, 65535);
	assert_int_equal(ns.mcl, 1u << 22);
	assert_int_equal(ns.msrc, 127);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_gathered),
		cmocka_unit_test(all_ranges_of_a_list),
		cmocka_unit_test(lists_are_checked),
		cmocka_unit_test(a_failure_says_where),
		cmocka_unit_test(marked_blocks_fail_until_written),
		cmocka_unit_test(marks_reach_anywhere),
		cmocka_unit_test(marks_with_holes),
		cmocka_unit_test(it_says_so),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
