/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* Guest memory: what is refused, what snapshots share, and translation against a slow model. */
#include "base/base.h"

#include <virtio-offload/mem.h>

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096ull

static int memfd(uint64_t size, unsigned seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (seals)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void refused(const struct vio_mem_region *r, unsigned n, int err, const char *sentence)
{
	struct vio_mem *m = (void *)1;

	assert_int_equal(vio_mem_new(&m, r, n, NULL), err);
	assert_null(m);
	if (!strstr(vio_errmsg(), sentence))
		fail_msg("\"%s\", expected \"%s\"", vio_errmsg(), sentence);
}

static void bad_regions_are_refused(void **state)
{
	static char mem[PAGE];
	int fd = memfd(2 * PAGE, 0);
	const struct vio_mem_region good = { .guest = 0x1000, .size = PAGE, .ptr = mem, .fd = -1 };
	struct vio_mem_region r[2] = { good, good };

	(void)state;
	refused(r, 2, -EINVAL, "overlaps");
	r[1].guest = 0x1fff;
	refused(r, 2, -EINVAL, "overlaps");
	r[1].guest = 1;
	refused(r, 2, -EINVAL, "overlaps");
	r[0].size = 0;
	refused(r, 1, -EINVAL, "is empty");
	r[0] = good;
	r[0].guest = UINT64_MAX - PAGE + 2;
	refused(r, 1, -EINVAL, "wraps");
	r[0].guest = 0;
	r[0].user = UINT64_MAX - PAGE + 2;
	refused(r, 1, -EINVAL, "wraps");
	r[0] = (struct vio_mem_region){ .guest = 0, .size = 3 * PAGE, .fd = fd };
	refused(r, 1, -EINVAL, "needs more than the file's");
	r[0].size = PAGE;
	r[0].fd_offset = PAGE + 1;
	refused(r, 1, -EINVAL, "needs more than the file's");
	r[0].fd_offset = UINT64_MAX - 1;
	refused(r, 1, -EINVAL, "needs more than the file's");
	r[0].fd = -1;
	refused(r, 1, -EBADF, "fd of region");
	close(fd);
}

/* The last byte of the address space is memory like any other. */
static void regions_reach_both_ends(void **state)
{
	static char mem[2][PAGE];
	const struct vio_mem_region r[] = { { .guest = UINT64_MAX - PAGE + 1, .size = PAGE, .ptr = mem[0], .fd = -1 },
					    { .guest = 0, .size = PAGE, .ptr = mem[1], .fd = -1 } };
	struct vio_mem *m;

	(void)state;
	assert_int_equal(vio_mem_new(&m, r, 2, NULL), 0);
	assert_ptr_equal(vio_mem_ptr(m, UINT64_MAX, 1), mem[0] + PAGE - 1);
	assert_null(vio_mem_ptr(m, UINT64_MAX, 2));
	assert_ptr_equal(vio_mem_ptr(m, 0, PAGE), mem[1]);
	assert_null(vio_mem_ptr(m, 0, UINT64_MAX));
	assert_null(vio_mem_ptr(m, 0, 0));
	vio_mem_free(m);
}

static void there_may_be_509_regions(void **state)
{
	static char mem[VIO_MEM_MAX_REGIONS + 1][64];
	static struct vio_mem_region r[VIO_MEM_MAX_REGIONS + 1];
	struct vio_mem *m, *next;

	(void)state;
	for (unsigned i = 0; i <= VIO_MEM_MAX_REGIONS; i++)
		r[i] = (struct vio_mem_region){ .guest = 128ull * (i ^ 5), .size = 64, .ptr = mem[i], .fd = -1 };
	refused(r, VIO_MEM_MAX_REGIONS + 1, -E2BIG, "at most 509");
	assert_int_equal(vio_mem_new(&m, r, VIO_MEM_MAX_REGIONS, NULL), 0);
	assert_int_equal(vio_mem_count(m), VIO_MEM_MAX_REGIONS);
	for (unsigned i = 0; i < VIO_MEM_MAX_REGIONS; i++)
		assert_ptr_equal(vio_mem_ptr(m, r[i].guest, 64), mem[i]);
	assert_int_equal(vio_mem_add(&next, m, &r[VIO_MEM_MAX_REGIONS], NULL), -E2BIG);
	assert_null(next);
	vio_mem_free(m);
}

static void shrinkable_files_are_refused_by_policy(void **state)
{
	const VIO_OPTS(vio_mem_opts, o, .require_seals = true);
	int loose = memfd(PAGE, 0), sealed = memfd(PAGE, F_SEAL_SHRINK);
	struct vio_mem_region r = { .guest = 0, .size = PAGE, .fd = loose };
	struct vio_mem *m;

	(void)state;
	assert_int_equal(vio_mem_new(&m, &r, 1, &o), -EPERM);
	assert_non_null(strstr(vio_errmsg(), "F_SEAL_SHRINK"));
	assert_int_equal(vio_mem_new(&m, &r, 1, NULL), 0);
	vio_mem_free(m);
	r.fd = sealed;
	assert_int_equal(vio_mem_new(&m, &r, 1, &o), 0);
	vio_mem_free(m);
	close(loose);
	close(sealed);
}

/* A region in two snapshots is one mapping, which goes with the last of them. */
static void snapshots_share_mappings(void **state)
{
	int fd = memfd(4 * PAGE, 0);
	const struct vio_mem_region a = { .guest = 0, .size = PAGE, .fd = fd, .user = 0x7000 },
				    b = { .guest = PAGE, .size = PAGE, .fd = fd, .fd_offset = PAGE + 16 };
	struct vio_mem *one, *two, *three, *none;
	char *p;

	(void)state;
	assert_int_equal(vio_mem_new(&one, &a, 1, NULL), 0);
	assert_int_equal(vio_mem_add(&two, one, &b, NULL), 0);
	close(fd);
	p = vio_mem_ptr(one, 0, PAGE);
	assert_ptr_equal(vio_mem_ptr(two, 0, PAGE), p);
	assert_null(vio_mem_ptr(one, PAGE, 1));
	assert_null(vio_mem_ptr(two, PAGE - 1, 2)); /* adjacent, and still two regions */
	assert_int_equal(vio_mem_remove(&three, two, &b), 0);
	assert_int_equal(vio_mem_remove(&none, three, &b), -ENOENT);
	assert_null(none);
	vio_mem_free(three);
	vio_mem_free(one);
	*p = 7;
	assert_ptr_equal(vio_mem_user_ptr(two, 0x7001, 5), p + 1);
	assert_null(vio_mem_user_ptr(two, 0x7001, PAGE));
	assert_int_equal(vio_mem_guest(two, p + 3), 3);
	assert_true(vio_mem_guest(two, &fd) == UINT64_MAX);
	vio_mem_free(two);
}

static void translation_agrees_with_a_slow_model(void **state)
{
	static char mem[16][256];
	struct vio_mem_region r[16];
	struct vio_mem *m;
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		r[i] = (struct vio_mem_region){ .guest = 256 * i, .size = 1 + 17 * i, .ptr = mem[i], .fd = -1 };
	assert_int_equal(vio_mem_new(&m, r, 16, NULL), 0);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t at = (seed >> 30) % 4200, len = (seed >> 50) % 300;
		const struct vio_mem_region *g = &r[VIO_MIN(at / 256, 15)];
		bool in = len && at - g->guest < g->size && at - g->guest + len <= g->size;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		assert_ptr_equal(vio_mem_ptr(m, at, len), in ? (char *)g->ptr + (at - g->guest) : NULL);
	}
	vio_mem_free(m);
}

static void handler(int sig, siginfo_t *info, void *ctx)
{
	(void)sig;
	(void)ctx;
	if (!vio_mem_sigbus(info->si_addr))
		_exit(1);
}

/* The file shrinks under us; the guard puts zeroes there, in memory and in the dirty log. */
static void a_shrunk_file_reads_as_zeroes(void **state)
{
	int fd = memfd(4 * PAGE, 0), log = memfd(PAGE, 0);
	const struct vio_mem_region r = { .guest = 0, .size = 4 * PAGE, .fd = fd };
	struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO }, old;
	struct vio_dirty *d;
	struct vio_mem *m;
	volatile char *p;

	(void)state;
	assert_int_equal(vio_mem_new(&m, &r, 1, NULL), 0);
	assert_int_equal(vio_dirty_new(&d, log, 0, PAGE), 0);
	p = vio_mem_ptr(m, 0, 4 * PAGE);
	memset((char *)p, 1, 4 * PAGE);
	assert_int_equal(sigaction(SIGBUS, &act, &old), 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(ftruncate(log, 0), 0);
	assert_int_equal(p[3 * PAGE], 0);
	p[3 * PAGE] = 5;
	assert_int_equal(p[3 * PAGE], 5);
	assert_int_equal(p[0], 1);
	vio_dirty_mark(d, 0, 1);
	assert_false(vio_mem_sigbus(&act)); /* not ours */
	sigaction(SIGBUS, &old, NULL);
	vio_dirty_free(d);
	vio_mem_free(m);
	close(fd);
	close(log);
}

/* Exactly the pages that were written, and never a byte beyond the log. */
static void the_dirty_log_ends_where_it_ends(void **state)
{
	int fd = memfd(PAGE, 0);
	const unsigned offset = 100, size = 4;
	struct vio_dirty *d;
	uint8_t *log = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)state;
	assert_int_equal(vio_dirty_new(&d, fd, PAGE - 1, 2), -EINVAL);
	assert_null(d);
	assert_int_equal(vio_dirty_new(&d, fd, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(vio_dirty_new(&d, fd, 0, 0), -EINVAL);
	assert_int_equal(vio_dirty_new(&d, fd, offset, size), 0);
	vio_dirty_mark(d, 0, 1);
	vio_dirty_mark(d, 9 * PAGE - 1, 2);
	vio_dirty_mark(d, 31 * PAGE, UINT64_MAX / 2);
	vio_dirty_mark(d, 5 * PAGE, 0);
	vio_dirty_mark(d, UINT64_MAX, 9);
	vio_dirty_mark(d, 1000 * PAGE, PAGE);
	assert_int_equal(log[offset], 0x01);
	assert_int_equal(log[offset + 1], 0x03);
	assert_int_equal(log[offset + 3], 0x80);
	for (unsigned i = 0; i < PAGE; i++)
		if (i < offset || i >= offset + size)
			assert_int_equal(log[i], 0);
	vio_dirty_free(d);
	munmap(log, PAGE);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_regions_are_refused),
		cmocka_unit_test(regions_reach_both_ends),
		cmocka_unit_test(there_may_be_509_regions),
		cmocka_unit_test(shrinkable_files_are_refused_by_policy),
		cmocka_unit_test(snapshots_share_mappings),
		cmocka_unit_test(translation_agrees_with_a_slow_model),
		cmocka_unit_test(a_shrunk_file_reads_as_zeroes),
		cmocka_unit_test(the_dirty_log_ends_where_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
