/* SPDX-License-Identifier: MIT */
/* Memory regions, dirty log and inflight region: refused when they can't be, changed under load without harm.
 */
#define _GNU_SOURCE /* memfd_create, seals */
#include "tiny_guest.h"

static void serve_with(struct front *f, struct vio_vhost_user_opts *o, uint64_t features)
{
	front_serve(f, "queues=2,queue-size=256", o);
	front_greet(f, features | FRONT_PF | FRONT_V1);
}

static void serve(struct front *f, uint64_t features)
{
	VIO_OPTS(vio_vhost_user_opts, o);

	serve_with(f, &o, features);
}

static uint64_t table(struct front *f, const struct vu_region *r, uint32_t n, const int *fds, unsigned nfds)
{
	struct vu_mem_table t = { .n = n };

	memcpy(t.regions, r, nfds * sizeof(*r));
	return front_ack(f, VU_SET_MEM_TABLE, &t, 8 + (uint32_t)(nfds * sizeof(*r)), fds, nfds);
}

static uint64_t one_region(struct front *f, struct vu_region r, int fd)
{
	return table(f, &r, 1, &fd, 1);
}

/* Row 33. */
static void regions_that_cannot_be_are_refused(void **state)
{
	static const struct vu_region wrong[] = {
		{ .guest = FRONT_GUEST, .size = 0 },
		{ .guest = FRONT_GUEST, .size = FRONT_MEM + 4096 }, /* beyond the file */
		{ .guest = FRONT_GUEST, .size = FRONT_MEM, .fd_offset = 4096 },
		{ .guest = FRONT_GUEST, .size = 4096, .fd_offset = UINT64_MAX - 4095 },
		{ .guest = UINT64_MAX - 4095, .size = 8192 }, /* wraps */
		{ .guest = FRONT_GUEST, .size = UINT64_MAX },
		{ .guest = FRONT_GUEST,
		  .size = 4096,
		  .fd_offset = 0xf6 }, /* nothing in it would be aligned */
		{ .guest = FRONT_GUEST + 2, .size = 4096 },
	};
	struct vu_region twice[2] = { { .guest = FRONT_GUEST, .size = 8192 },
				      { .guest = FRONT_GUEST + 4096, .size = 8192 } };
	struct guest_queue q;
	struct front f;
	unsigned fds, maps;

	(void)state;
	serve(&f, 0);
	assert_int_equal(front_give_memory(&f), 0);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	fds = open_fds();
	maps = front_maps();
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++)
		assert_int_equal(one_region(&f, wrong[i], f.memfd), 1);
	assert_int_equal(table(&f, twice, 2, (int[]){ f.memfd, f.memfd }, 2), 1);
	assert_int_equal(one_region(&f, (struct vu_region){ .guest = FRONT_GUEST, .size = 4096 }, q.kick), 1);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(front_maps(), maps);
	guest_check_path(&q, 5, 5); /* the table before is still in force */
	front_free(&f);
	guest_queue_close(&q);
}

static void a_region_count_that_does_not_fit_is_refused(void **state)
{
	struct vu_region r = { .guest = FRONT_GUEST, .size = 4096 };
	struct front f;

	(void)state;
	serve(&f, 0);
	assert_int_equal(table(&f, &r, 2, &f.memfd, 1), 1);
	assert_int_equal(table(&f, &r, 0, &f.memfd, 1), 1);
	assert_int_equal(table(&f, &r, 9, &f.memfd, 1), 1);
	assert_int_equal(table(&f, &r, UINT32_MAX, &f.memfd, 1), 1);
	front_free(&f);
}

static void memory_that_may_shrink_is_refused_by_policy(void **state)
{
	VIO_OPTS(vio_vhost_user_opts, o, .require_seals = true);
	struct vu_region r = { .guest = FRONT_GUEST, .size = 4096 };
	struct vu_inflight in = { .mmap_size = 65536, .queues = 1, .queue_size = 16 };
	struct front f;
	int loose = front_memfd(65536, 0);

	(void)state;
	serve_with(&f, &o, 0);
	assert_int_equal(one_region(&f, r, loose), 1);
	assert_int_equal(front_ack(&f, VU_SET_INFLIGHT_FD, &in, sizeof(in), &loose, 1), 1);
	assert_int_equal(one_region(&f, r, f.memfd), 0);
	close(loose);
	front_free(&f);
}

static uint64_t add(struct front *f, uint32_t request, uint64_t offset, uint64_t size)
{
	struct vu_mem_reg m = {
		.region = { FRONT_GUEST + offset, size, FRONT_USER + offset, offset },
	};

	return front_ack(f, request, &m, sizeof(m), &f->memfd, request == VU_ADD_MEM_REG);
}

static void regions_come_and_go_one_by_one(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, 0);
	guest_queue_init(&q, &f, 0, false);
	assert_int_equal(add(&f, VU_REM_MEM_REG, 0, 4096), 1); /* there is none yet */
	assert_int_equal(add(&f, VU_ADD_MEM_REG, 0, GUEST_DATA), 0);
	assert_int_equal(add(&f, VU_ADD_MEM_REG, 0, GUEST_DATA), 0);	    /* there already: nothing changes */
	assert_int_equal(add(&f, VU_ADD_MEM_REG, 4096, GUEST_DATA), 1); /* overlaps what is there */
	assert_int_equal(add(&f, VU_ADD_MEM_REG, GUEST_DATA, FRONT_MEM - GUEST_DATA), 0);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	assert_int_equal(add(&f, VU_REM_MEM_REG, 0, 4096), 1);	     /* no such region */
	assert_int_equal(add(&f, VU_REM_MEM_REG, 0, GUEST_DATA), 0); /* the rings are gone: the queue waits */
	guest_post(&q, 0, false, 1);
	guest_kick(&q);
	for (int i = 0; i < 5; i++)
		front_pump(&f);
	assert_int_equal(guest_reap(&q), -1);
	assert_int_equal(add(&f, VU_ADD_MEM_REG, 0, GUEST_DATA), 0);
	while (guest_reap(&q) < 0)
		front_pump(&f);
	guest_check_path(&q, 2, 2);
	front_free(&f);
	guest_queue_close(&q);
}

static void all_the_slots_can_be_filled_and_no_more(void **state)
{
	struct front f;
	unsigned maps;

	(void)state;
	serve(&f, 0);
	maps = front_maps();
	for (unsigned i = 0; i < 509; i++)
		assert_int_equal(add(&f, VU_ADD_MEM_REG, 8192ull * i, 4096), 0);
	assert_int_equal(add(&f, VU_ADD_MEM_REG, 8192ull * 509, 4096), 1);
	for (unsigned i = 0; i < 509; i++)
		assert_int_equal(add(&f, VU_REM_MEM_REG, 8192ull * i, 4096), 0);
	assert_int_equal(front_maps(), maps);
	front_free(&f);
}

/* Rows 20 and 36: the table is replaced again and again while requests are in flight. */
static void the_table_changes_during_io(void **state)
{
	struct guest_queue q;
	struct front f;
	unsigned maps = 0;

	(void)state;
	serve(&f, 0);
	assert_int_equal(front_give_memory(&f), 0);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 32; i++) {
			guest_pattern(guest_data(&q, i), i, round);
			guest_post(&q, i, true, i);
		}
		guest_kick(&q);
		vio_poller_run(f.p, 8);
		assert_int_equal(front_give_memory(&f), 0);
		while (q.inflight) {
			int slot = guest_reap(&q);

			if (slot < 0)
				front_pump(&f);
			else
				assert_int_equal(guest_status(&q, (unsigned)slot), 0);
		}
		if (!round)
			maps = front_maps();
	}
	assert_int_equal(front_maps(), maps);
	guest_check_path(&q, 40, 1);
	front_free(&f);
	guest_queue_close(&q);
}

/* Row 34, and 13: what the device writes is in the log, once the front end wants it there. */
static void writes_to_the_guest_are_logged(void **state)
{
	struct vu_log log = { .size = 4096 * 32 };
	uint64_t page = (FRONT_GUEST + GUEST_DATA + 4096) / 4096;
	struct vu_vring_addr addr;
	struct guest_queue q;
	struct front f;
	uint8_t *bits;
	int fd;

	(void)state;
	serve(&f, 0);
	log.size = page / 8 + 4096;
	fd = front_memfd(log.size, F_SEAL_SHRINK);
	bits = mmap(NULL, log.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_int_equal(front_give_memory(&f), 0);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	assert_int_equal(front_ack(&f, VU_SET_LOG_BASE, &log, sizeof(log), &fd, 1), 0);
	assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_PF | FRONT_V1 | FRONT_LOG), 0);
	addr = guest_addr(&q);
	addr.flags = 1;
	addr.log = FRONT_GUEST + guest_at(&q, GUEST_DEVICE);
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(bits[page / 8] >> page % 8 & 1, 0);
	assert_int_equal(guest_do(&q, 0, false, 1), 0);
	assert_int_equal(bits[page / 8] >> page % 8 & 1, 1);
	page = addr.log / 4096;
	assert_int_equal(bits[page / 8] >> page % 8 & 1, 1);
	assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_PF | FRONT_V1), 0);
	memset(bits, 0, log.size);
	guest_check_path(&q, 2, 2);
	for (uint64_t i = 0; i < log.size; i++)
		assert_int_equal(bits[i], 0);
	front_free(&f);
	guest_queue_close(&q);
	munmap(bits, log.size);
	close(fd);
}

static void logs_that_cannot_be_are_refused_and_none_leaks(void **state)
{
	static const struct vu_log wrong[] = {
		{ .size = 0 },
		{ .size = UINT64_MAX },
		{ .size = 8192 },
		{ .size = 4096, .offset = 4096 },
		{ .size = 4096, .offset = UINT64_MAX - 4095 },
	};
	struct vu_log right = { .size = 4096 };
	struct front f;
	unsigned fds, maps;
	int fd = front_memfd(4096, F_SEAL_SHRINK);

	(void)state;
	serve(&f, FRONT_LOG);
	assert_int_equal(front_ack(&f, VU_SET_LOG_BASE, &right, sizeof(right), &fd, 1), 0);
	fds = open_fds();
	maps = front_maps();
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++)
		assert_int_equal(front_ack(&f, VU_SET_LOG_BASE, &wrong[i], sizeof(wrong[i]), &fd, 1), 1);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(front_ack(&f, VU_SET_LOG_BASE, &right, sizeof(right), &fd, 1), 0);
	assert_int_equal(front_ack(&f, VU_SET_LOG_FD, NULL, 0, &fd, 1), 0);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(front_maps(), maps);
	close(fd);
	front_free(&f);
}

/* Beyond the log's end nothing is logged and nothing written: a tiny log, memory far above it. */
static void a_log_too_small_for_the_memory_does_no_harm(void **state)
{
	struct vu_log log = { .size = 4096 };
	struct guest_queue q;
	struct front f;
	int fd = front_memfd(4096, F_SEAL_SHRINK);

	(void)state;
	serve(&f, FRONT_LOG);
	assert_int_equal(front_ack(&f, VU_SET_LOG_BASE, &log, sizeof(log), &fd, 1), 0);
	assert_int_equal(front_give_memory(&f), 0);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	front_free(&f);
	guest_queue_close(&q);
	close(fd);
}

static struct vu_msg get_inflight(struct front *f, uint16_t queues, uint16_t size, uint32_t bytes)
{
	struct vu_inflight in = { .queues = queues, .queue_size = size };

	return front_ask(f, VU_GET_INFLIGHT_FD, &in, bytes);
}

static void an_inflight_region_is_sealed_zeroed_and_large_enough(void **state)
{
	struct front f;
	struct vu_msg m;
	uint8_t *map;

	(void)state;
	serve(&f, 0);
	m = get_inflight(&f, 2, 256, sizeof(struct vu_inflight));
	assert_int_equal(m.h.size, sizeof(struct vu_inflight));
	assert_int_equal(m.nfds, 1);
	assert_int_equal(m.p.inflight.queues, 2);
	assert_int_equal(m.p.inflight.queue_size, 256);
	assert_int_equal(m.p.inflight.mmap_offset, 0);
	assert_true(m.p.inflight.mmap_size >= 2 * vio_queue_inflight_size(FRONT_V1, 256));
	assert_true(fcntl(m.fds[0], F_GET_SEALS) & F_SEAL_SHRINK);
	map = mmap(NULL, m.p.inflight.mmap_size, PROT_READ, MAP_SHARED, m.fds[0], 0);
	assert_true(map != MAP_FAILED);
	for (size_t i = 0; i < m.p.inflight.mmap_size; i++)
		assert_int_equal(map[i], 0);
	munmap(map, m.p.inflight.mmap_size);
	vu_close_fds(&m);
	m = get_inflight(&f, 1, 16, 20); /* without the padding, as some send it */
	assert_int_equal(m.h.size, 20);
	vu_close_fds(&m);
	front_free(&f);
}

static void inflight_regions_that_cannot_be_are_refused(void **state)
{
	static const struct vu_inflight wrong[] = {
		{ .mmap_size = 4096, .queues = 3, .queue_size = 16 },
		{ .mmap_size = 4096, .queues = 1, .queue_size = 0 },
		{ .mmap_size = 4096, .queues = 0, .queue_size = 16 },
		{ .mmap_size = 4096, .queues = 1, .queue_size = 65535 },
		{ .mmap_size = 0, .queues = 1, .queue_size = 16 },
		{ .mmap_size = 65536, .queues = 1, .queue_size = 256 }, /* beyond the file */
		{ .mmap_size = 4096, .mmap_offset = UINT64_MAX - 4095, .queues = 1, .queue_size = 16 },
		{ .mmap_size = 4096, .mmap_offset = 4096, .queues = 1, .queue_size = 16 },
		{ .mmap_size = 512, .mmap_offset = 4, .queues = 1, .queue_size = 16 },
	};
	struct front f;
	unsigned fds, maps;
	int fd = front_memfd(4096, F_SEAL_SHRINK);

	(void)state;
	serve(&f, 0);
	fds = open_fds();
	maps = front_maps();
	assert_int_equal(get_inflight(&f, 3, 16, 24).p.inflight.mmap_size, 0);
	assert_int_equal(get_inflight(&f, 1, 0, 24).p.inflight.mmap_size, 0);
	assert_int_equal(get_inflight(&f, 1, 65535, 24).nfds, 0);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++)
		assert_int_equal(front_ack(&f, VU_SET_INFLIGHT_FD, &wrong[i], sizeof(wrong[i]), &fd, 1), 1);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(front_maps(), maps);
	close(fd);
	front_free(&f);
}

static void a_region_too_small_for_the_ring_stops_that_ring_only(void **state)
{
	struct vu_inflight in = { .mmap_size = 320, .queues = 1, .queue_size = 16 };
	struct guest_queue q, other;
	struct front f;
	int fd = front_memfd(4096, F_SEAL_SHRINK);

	(void)state;
	serve(&f, 0);
	assert_int_equal(front_give_memory(&f), 0);
	assert_int_equal(front_ack(&f, VU_SET_INFLIGHT_FD, &in, sizeof(in), &fd, 1), 0);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_init(&other, &f, 1, false);
	guest_queue_start(&other, 0);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, 256), 0);
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &(struct vu_vring_addr){ 0 }, 40, NULL, 0), 0);
	{
		struct vu_vring_addr addr = guest_addr(&q);

		assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	}
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(guest_send_fd(&q, VU_SET_VRING_KICK, q.kick), 1);
	guest_check_path(&other, 3, 3);
	close(fd);
	front_free(&f);
	guest_queue_close(&q);
	guest_queue_close(&other);
}

/* Row 34: over and over. */
static void repeated_inflight_messages_leak_nothing(void **state)
{
	struct front f;
	unsigned fds = 0, maps = 0;

	(void)state;
	serve(&f, 0);
	for (unsigned i = 0; i < 50; i++) {
		struct vu_msg m = get_inflight(&f, 2, 128, 24);

		assert_int_equal(front_ack(&f, VU_SET_INFLIGHT_FD, &m.p.inflight, 24, m.fds, 1), 0);
		vu_close_fds(&m);
		if (!i) {
			fds = open_fds();
			maps = front_maps();
		}
	}
	assert_int_equal(open_fds(), fds);
	assert_int_equal(front_maps(), maps);
	front_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_that_cannot_be_are_refused),
		cmocka_unit_test(a_region_count_that_does_not_fit_is_refused),
		cmocka_unit_test(memory_that_may_shrink_is_refused_by_policy),
		cmocka_unit_test(regions_come_and_go_one_by_one),
		cmocka_unit_test(all_the_slots_can_be_filled_and_no_more),
		cmocka_unit_test(the_table_changes_during_io),
		cmocka_unit_test(writes_to_the_guest_are_logged),
		cmocka_unit_test(logs_that_cannot_be_are_refused_and_none_leaks),
		cmocka_unit_test(a_log_too_small_for_the_memory_does_no_harm),
		cmocka_unit_test(an_inflight_region_is_sealed_zeroed_and_large_enough),
		cmocka_unit_test(inflight_regions_that_cannot_be_are_refused),
		cmocka_unit_test(a_region_too_small_for_the_ring_stops_that_ring_only),
		cmocka_unit_test(repeated_inflight_messages_leak_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
