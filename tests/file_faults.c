/* SPDX-License-Identifier: MIT */
/* What the kernel refuses reaches the guest as an error, and what it does in part is gone on with. */
#define _GNU_SOURCE
#include "file.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define SIZE 65536u

static void disk_start(struct disk *d, struct vio_poller *p, const char *dir, uint64_t size,
		       const char *options)
{
	disk_image(d, dir, size);
	assert_int_equal(disk_try(d, options), 0);
	disk_lane(d, p, NULL);
}

static void beyond_the_end_nothing_is_read_or_written(void **state)
{
	struct disk d;
	struct stat st;
	char buf[4096] = { 0 };

	disk_start(&d, poller_from(state), ".", SIZE, "");
	assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, SIZE, buf, 512), -EIO);
	assert_int_equal(disk_rw(&d, VIO_OP_WRITE, 0, SIZE - 512, buf, 1024), -EIO);
	assert_int_equal(disk_rw(&d, VIO_OP_WRITE, 0, UINT64_MAX - 511, buf, 1024), -EIO);
	assert_int_equal(disk_op(&d, VIO_OP_WRITE_ZEROES, 0, 512, UINT64_MAX), -EIO);
	assert_int_equal(disk_op(&d, VIO_OP_DISCARD, 0, SIZE, 512), -EIO);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	disk_remove(&d);
}

static void a_file_that_has_grown_is_written_to_its_new_end(void **state)
{
	struct disk d;
	char buf[512] = { 1 };

	disk_start(&d, poller_from(state), ".", SIZE, "");
	assert_int_equal(truncate(d.path, 2 * SIZE), 0);
	assert_int_equal(disk_rw(&d, VIO_OP_WRITE, 0, 2 * SIZE - 512, buf, 512), 0);
	disk_remove(&d);
}

static void a_file_that_was_truncated_gives_errors_not_zeroes(void **state)
{
	struct disk d;
	char buf[8192];

	for (unsigned direct = 0; direct < 2; direct++) {
		disk_start(&d, poller_from(state), ".", SIZE, direct ? ",direct=on,block=4096" : "");
		assert_int_equal(truncate(d.path, 4096), 0);
		assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 8192, buf, 8192), -EIO);
		assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 0, buf, 8192), -EIO);
		assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 0, buf, 4096), 0);
		disk_remove(&d);
	}
}

static void a_read_only_image_is_not_written(void **state)
{
	struct disk d;
	char buf[512];

	disk_start(&d, poller_from(state), ".", SIZE, ",read-only=on");
	assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 0, buf, 512), 0);
	assert_int_equal(disk_rw(&d, VIO_OP_WRITE, 0, 0, buf, 512), -EROFS);
	assert_int_equal(disk_op(&d, VIO_OP_WRITE_ZEROES, 0, 0, 512), -EROFS);
	assert_int_equal(disk_op(&d, VIO_OP_DISCARD, 0, 0, 512), -EROFS);
	assert_int_equal(disk_op(&d, VIO_OP_FLUSH, 0, 0, 0), 0);
	assert_int_equal(disk_op(&d, VIO_OP_SECURE_ERASE, 0, 0, 512), -EOPNOTSUPP);
	disk_remove(&d);
}

static void a_full_disk_says_so_and_the_next_request_is_served(void **state)
{
	struct vio_poller *p = poller_from(state);
	char dir[] = "/tmp/vio-full-XXXXXX";
	static char buf[1 << 20];
	struct disk d;

	assert_non_null(mkdtemp(dir));
	if (mount("none", dir, "tmpfs", 0, "size=256k")) {
		rmdir(dir);
		print_message("cannot mount a small tmpfs: %s\n", strerror(errno));
		skip();
	}
	disk_start(&d, p, dir, 1 << 20, "");
	assert_int_equal(umount2(dir, MNT_DETACH), 0); /* it lives on until the image is closed */
	rmdir(dir);
	assert_int_equal(disk_rw(&d, VIO_OP_WRITE, 0, 0, buf, sizeof(buf)), -ENOSPC);
	assert_int_equal(disk_op(&d, VIO_OP_DISCARD, 0, 0, sizeof(buf)), 0);
	assert_int_equal(disk_rw(&d, VIO_OP_WRITE, 0, 0, buf, 4096), 0);
	disk_remove(&d);
}

/* RLIMIT_FSIZE makes the kernel write up to the limit and no further: once short, then EFBIG. */
static void a_short_write_is_gone_on_with(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct rlimit old, low;
	static char buf[SIZE], got[SIZE];
	struct disk d;
	int res;

	disk_start(&d, p, ".", SIZE, "");
	memset(buf, 7, sizeof(buf));
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	low = (struct rlimit){ .rlim_cur = SIZE / 2, .rlim_max = old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &low);
	res = disk_rw(&d, VIO_OP_WRITE, 0, 0, buf, SIZE);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(res, -EFBIG);
	assert_int_equal(disk_count(&d, "continued"), 1);
	assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 0, got, SIZE), 0);
	assert_memory_equal(got, buf, SIZE / 2);
	assert_int_equal(got[SIZE / 2], 0);
	disk_remove(&d);
}

/* More entries than preadv takes: the kernel is given as many as it takes, and then the others. */
static void a_vector_longer_than_the_kernel_takes_is_split(void **state)
{
	static char buf[1100 * 512], got[1100 * 512];
	struct vio_poller *p = poller_from(state);
	struct disk d;

	disk_start(&d, p, ".", 1 << 20, "");
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (char)(i * 31 + i / 512);
	for (unsigned op = VIO_OP_WRITE + 1; op-- > VIO_OP_READ;) {
		struct vio_req *r = vio_req_get(d.pool);

		r->op = (uint8_t)op;
		r->len = sizeof(buf);
		r->niov = 1100;
		for (unsigned i = 0; i < 1100; i++)
			r->iov[i] = (struct iovec){ (op == VIO_OP_WRITE ? buf : got) + 512 * i, 512 };
		assert_int_equal(disk_do(&d, r), 0);
	}
	assert_memory_equal(buf, got, sizeof(buf));
	assert_true(disk_count(&d, "continued") >= 2);
	disk_remove(&d);
}

/* tmpfs knows no ZERO_RANGE, so the zeroes are written. */
static void zeroes_are_written_where_the_file_system_has_none(void **state)
{
	static char buf[3 << 20];
	struct vio_poller *p = poller_from(state);
	struct disk d;

	disk_start(&d, p, "/dev/shm", sizeof(buf), "");
	memset(buf, 0x55, sizeof(buf));
	assert_int_equal(disk_rw(&d, VIO_OP_WRITE, 0, 0, buf, sizeof(buf)), 0);
	assert_int_equal(disk_op(&d, VIO_OP_WRITE_ZEROES, VIO_REQ_FUA, 512, sizeof(buf) - 1536), 0);
	assert_int_equal(disk_count(&d, "zeroes-written"), 1);
	assert_int_equal(disk_op(&d, VIO_OP_WRITE_ZEROES, 0, 512, 512), 0);
	assert_int_equal(disk_count(&d, "zeroes-written"), 2);
	assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 0, buf, sizeof(buf)), 0);
	for (unsigned i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], i < 512 || i >= sizeof(buf) - 1024 ? 0x55 : 0);
	disk_remove(&d);
}

static void discard_and_unmap_free_space(void **state)
{
	static char buf[1 << 20];
	struct vio_poller *p = poller_from(state);
	struct disk d;
	struct stat st;

	disk_start(&d, p, ".", sizeof(buf), "");
	for (unsigned i = 0; i < 2; i++) {
		memset(buf, 1, sizeof(buf));
		assert_int_equal(disk_rw(&d, VIO_OP_WRITE, VIO_REQ_FUA, 0, buf, sizeof(buf)), 0);
		assert_int_equal(stat(d.path, &st), 0);
		assert_true(st.st_blocks >= (1 << 20) / 512);
		assert_int_equal(
			disk_op(&d, i ? VIO_OP_DISCARD : VIO_OP_WRITE_ZEROES, VIO_REQ_UNMAP, 0, sizeof(buf)),
			0);
		assert_int_equal(stat(d.path, &st), 0);
		assert_int_equal(st.st_blocks, 0);
		assert_int_equal(st.st_size, sizeof(buf));
		assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 0, buf, sizeof(buf)), 0);
		assert_int_equal(buf[0] | buf[sizeof(buf) - 1], 0);
	}
	disk_remove(&d);
}

/* More misaligned requests than there are bounce buffers, larger than a buffer each. */
static void requests_wait_for_a_bounce_buffer(void **state)
{
	enum { N = 24, LEN = 300 << 10 };
	struct vio_poller *p = poller_from(state);
	struct vio_req *r[N], *back[N];
	char *buf = malloc(N * LEN + 1);
	struct disk d;
	unsigned done = 0;

	disk_start(&d, p, ".", N * LEN, ",direct=on,block=4096");
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N; i++) {
			memset(buf + 1 + i * LEN, round ? 0 : (int)i + 1, LEN);
			r[i] = vio_req_get(d.pool);
			r[i]->op = round ? VIO_OP_READ : VIO_OP_WRITE;
			r[i]->offset = i * LEN;
			r[i]->len = LEN;
			r[i]->niov = 1;
			r[i]->iov[0] = (struct iovec){ buf + 1 + i * LEN, LEN };
		}
		vio_lane_submit(d.l, r, N);
		for (done = 0; done < N; done += vio_lane_reap(d.l, back + done, N - done))
			vio_poller_wait(p, 1000);
		for (unsigned i = 0; i < N; i++) {
			assert_int_equal(r[i]->res, 0);
			assert_int_equal(buf[1 + i * LEN], i + 1);
			assert_int_equal(buf[i * LEN + LEN], i + 1);
			vio_req_put(d.pool, r[i]);
		}
	}
	assert_int_equal(disk_count(&d, "bounced"), 2 * N);
	assert_true(disk_count(&d, "bounce-waits") >= 2 * (N - 8));
	disk_remove(&d);
	free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(beyond_the_end_nothing_is_read_or_written),
		BOTH(a_file_that_has_grown_is_written_to_its_new_end),
		BOTH(a_file_that_was_truncated_gives_errors_not_zeroes),
		BOTH(a_read_only_image_is_not_written),
		BOTH(a_full_disk_says_so_and_the_next_request_is_served),
		BOTH(a_short_write_is_gone_on_with),
		BOTH(a_vector_longer_than_the_kernel_takes_is_split),
		BOTH(zeroes_are_written_where_the_file_system_has_none),
		BOTH(discard_and_unmap_free_space),
		BOTH(requests_wait_for_a_bounce_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
