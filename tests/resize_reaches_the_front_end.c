/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* A disk's file grows or shrinks under a connected front end: it is told once, and reads the new capacity. */
#include "tiny_guest.h"
#include "scratch.h"

#include <endian.h>

static char image[] = "/tmp/vio-resize-XXXXXX";
static int image_fd;

static void serve(struct front *f, int *channel)
{
	VIO_OPTS(vio_vhost_user_opts, o, 0);
	char stack[64];
	int s[2];

	assert_int_equal(ftruncate(image_fd, 1 << 20), 0);
	snprintf(stack, sizeof(stack), "file:%s", image);
	front_device_over(f, stack, "");
	front_attach(f, &o);
	front_greet(f, FRONT_PF | FRONT_V1);
	assert_int_equal(front_give_memory(f), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(front_ack(f, VU_SET_BACKEND_REQ_FD, NULL, 0, &s[1], 1), 0);
	close(s[1]);
	*channel = s[0];
}

static uint64_t sectors(struct front *f)
{
	struct vu_config c = { .size = 8 };
	struct vu_msg m = front_ask(f, VU_GET_CONFIG, &c, 12 + 8);
	uint64_t n;

	assert_int_equal(m.h.size, 12 + 8);
	memcpy(&n, m.p.config.data, sizeof(n));
	return le64toh(n);
}

/* The messages that have come by now. */
static unsigned told(int channel)
{
	struct vu_inbox in = { 0 };
	unsigned n = 0;

	for (; vu_recv(&in, channel) == 1; n++) {
		assert_int_equal(in.msg.h.request, VU_BACKEND_CONFIG_CHANGE_MSG);
		memset(&in, 0, sizeof(in));
	}
	return n;
}

static void resize(struct front *f, int channel, off_t size)
{
	assert_int_equal(ftruncate(image_fd, size), 0);
	assert_int_equal(told(channel), 0); /* the library does not watch files */
	assert_int_equal(vio_dev_refresh(f->d), 1);
	assert_int_equal(told(channel), 1);
	assert_int_equal(sectors(f), size / 512);
	assert_int_equal(vio_dev_refresh(f->d), 0); /* nothing new, so nothing is said */
	assert_int_equal(told(channel), 0);
}

static void the_front_end_is_told_once_a_change(void **state)
{
	struct guest_queue q;
	struct front f;
	int channel;

	(void)state;
	serve(&f, &channel);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	assert_int_equal(sectors(&f), 2048);
	resize(&f, channel, 4 << 20);
	guest_check_path(&q, (3 << 20) / GUEST_BLOCK, 2); /* beyond the old end, without a restart */
	resize(&f, channel, 2 << 20);
	guest_check_path(&q, 1, 3);
	close(channel);
	guest_queue_close(&q);
	front_free(&f);
}

static void nobody_need_listen(void **state)
{
	struct front f;
	int channel;

	(void)state;
	serve(&f, &channel);
	close(channel);
	assert_int_equal(ftruncate(image_fd, 4 << 20), 0);
	assert_int_equal(vio_dev_refresh(f.d), 1);
	assert_int_equal(sectors(&f), 8192);
	front_hang_up(&f);
	while (!f.downs)
		front_pump(&f);
	assert_int_equal(ftruncate(image_fd, 1 << 20), 0);
	assert_int_equal(vio_dev_refresh(f.d), 1);
	front_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_front_end_is_told_once_a_change),
		cmocka_unit_test(nobody_need_listen),
	};

	image_fd = mkstemp(image);
	if (image_fd < 0)
		return 1;
	scratch_forget(image);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
