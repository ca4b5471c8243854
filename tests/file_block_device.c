/* SPDX-License-Identifier: MIT */
/* A block device is served like a file: its size and sector, reads, writes, zeroes, and a new size. */
#include "file.h"

#include <linux/loop.h>
#include <sys/ioctl.h>

#define SIZE (1u << 20)

struct loop {
	char image[64];
	struct disk d; /* its path is the device */
	int fd;
};

static int loop_claim(struct loop *lo, unsigned sector)
{
	struct loop_config c = { .block_size = sector };
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, rc;

	n = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
	close(ctl);
	snprintf(lo->d.path, sizeof(lo->d.path), "/dev/loop%d", n);
	lo->fd = open(lo->d.path, O_RDWR | O_CLOEXEC);
	if (n < 0 || lo->fd < 0)
		return -1;
	rc = open(lo->image, O_RDWR | O_CLOEXEC);
	c.fd = (__u32)rc;
	n = ioctl(lo->fd, LOOP_CONFIGURE, &c);
	close(rc);
	return n;
}

/* A loop device over an image; skips where there is none. */
static void loop_open(struct loop *lo, unsigned sector)
{
	disk_image(&lo->d, ".", SIZE);
	strcpy(lo->image, lo->d.path);
	if (loop_claim(lo, sector)) {
		print_message("no loop device to be had: %s\n", strerror(errno));
		unlink(lo->image);
		skip();
	}
}

static void loop_close(struct loop *lo)
{
	disk_close(&lo->d);
	ioctl(lo->fd, LOOP_CLR_FD);
	close(lo->fd);
	unlink(lo->image);
}

static void info_is_the_devices(void **state)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct loop lo;

	(void)state;
	loop_open(&lo, 4096);
	assert_int_equal(disk_try(&lo.d, ",block=512"), -EINVAL);
	assert_int_equal(disk_try(&lo.d, ""), 0);
	assert_int_equal(vio_backend_info(lo.d.b, &i), 0);
	assert_int_equal(i.size, SIZE);
	assert_int_equal(i.block, 4096);
	assert_int_equal(truncate(lo.image, 2 * SIZE), 0);
	assert_int_equal(ioctl(lo.fd, LOOP_SET_CAPACITY, 0), 0);
	assert_int_equal(vio_backend_info(lo.d.b, &i), 0);
	assert_int_equal(i.size, 2 * SIZE);
	loop_close(&lo);
}

static void requests_work(struct vio_poller *p, const char *options)
{
	static char buf[65536] __attribute__((aligned(4096))), got[65536] __attribute__((aligned(4096)));
	struct loop lo;
	struct disk *d = &lo.d;

	loop_open(&lo, 512);
	assert_int_equal(disk_try(d, options), 0);
	disk_lane(d, p, NULL);
	memset(buf, 0x11, sizeof(buf));
	assert_int_equal(disk_rw(d, VIO_OP_WRITE, VIO_REQ_FUA, 8192, buf, sizeof(buf)), 0);
	assert_int_equal(disk_op(d, VIO_OP_WRITE_ZEROES, 0, 8192, 4096), 0);
	assert_int_equal(disk_op(d, VIO_OP_WRITE_ZEROES, VIO_REQ_UNMAP, 12288, 4096), 0);
	assert_int_equal(disk_op(d, VIO_OP_DISCARD, 0, SIZE / 2, SIZE / 2), 0);
	assert_int_equal(disk_op(d, VIO_OP_FLUSH, 0, 0, 0), 0);
	assert_int_equal(disk_rw(d, VIO_OP_READ, 0, 8192, got, sizeof(got)), 0);
	memset(buf, 0, 8192);
	assert_memory_equal(got, buf, sizeof(got));
	assert_int_equal(disk_rw(d, VIO_OP_READ, 0, SIZE, got, 512), -EIO);
	loop_close(&lo);
}

static void buffered_requests_work(void **state)
{
	requests_work(poller_from(state), "");
}

static void direct_requests_work(void **state)
{
	requests_work(poller_from(state), ",direct=on");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(info_is_the_devices),
		BOTH(buffered_requests_work),
		BOTH(direct_requests_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
