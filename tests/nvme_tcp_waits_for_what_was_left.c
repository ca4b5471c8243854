/* SPDX-License-Identifier: MIT */
/*
 * A command that is still in the store when its queue ends is over before its host goes on: before its
 * controller says that it was reset, and before the host's next one says that it is ready. What the host
 * sends again then, or anew, is never overtaken by it.
 */
#include "nvme_host.h"

#include "scratch.h"

#include <fcntl.h>

#define DELAYED 1u /* a write is done a while after it came */
#define DIRECT 2u  /* the same file */

static struct target t;
static struct host admin, io, other_admin, other;
static char path[] = "/tmp/vio-left-XXXXXX";

static int open_all(void **state)
{
	char stack[128];
	int fd = mkstemp(path);

	(void)state;
	scratch_forget(path);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	target_start(&t, 2, VIO_POLL_AUTO, NULL, NULL);
	snprintf(stack, sizeof(stack), "file:%s,lock=off | fault:op=write,error=delay,delay=400,once=off",
		 path);
	assert_int_equal(target_add(&t, stack), DELAYED);
	snprintf(stack, sizeof(stack), "file:%s,lock=off", path);
	assert_int_equal(target_add(&t, stack), DIRECT);
	host_io(&other, &t, host_admin(&other_admin, &t, 0), 1, 0, 0);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&other);
	host_hang_up(&other_admin);
	target_stop(&t);
	unlink(path);
	return 0;
}

/* A write that the target has taken, and not answered. */
static void leave_a_write(char with)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, DELAYED, 0, 4096),
			r = host_rw(nvme_cmd_read, DIRECT, 8, 512);
	static char data[4096];

	host_io(&io, &t, host_admin(&admin, &t, 0), 1, 0, 0);
	memset(data, with, sizeof(data));
	host_send(&io, &w, data, sizeof(data));
	assert_int_equal(host_get(&io, &r, data, 512), 0);
}

static char stored(void)
{
	struct nvme_cmd r = host_rw(nvme_cmd_read, DIRECT, 0, 512);
	char data[512];

	assert_int_equal(host_get(&other, &r, data, sizeof(data)), 0);
	return data[0];
}

static uint64_t status(struct host *h)
{
	assert_int_equal(host_property_get(h, 0x1c, false), 0);
	return h->result;
}

static void before_a_reset_is_over(void **state)
{
	(void)state;
	leave_a_write(0x11);
	assert_int_not_equal(stored(), 0x11);
	assert_int_equal(host_property_set(&admin, 0x14, HOST_CC_ENABLE & ~1u), 0);
	while (status(&admin) & 1)
		usleep(1000);
	assert_int_equal(stored(), 0x11);
	assert_int_equal(host_property_set(&admin, 0x14, HOST_CC_ENABLE), 0);
	assert_int_equal(status(&admin) & 1, 1);
	host_hang_up(&io);
	host_hang_up(&admin);
}

/* The target has seen that a host hung up. */
static void await_the_end(void)
{
	VIO_OPTS(vio_nvme_stats, n);

	do {
		usleep(1000);
		vio_nvme_stats(t.s, &n);
	} while (n.controllers > 1);
}

static void before_the_next_association(void **state)
{
	struct host_who who = { .cntlid = UINT16_MAX, .sqsize = 31 };
	struct nvme_cmd id = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	char page[4096];

	(void)state;
	leave_a_write(0x22);
	host_hang_up(&io);
	host_hang_up(&admin);
	await_the_end();
	host_dial(&admin, &t);
	host_greet(&admin, 0);
	assert_int_equal(host_connect(&admin, &who), 0);
	assert_int_equal(host_property_set(&admin, 0x14, HOST_CC_ENABLE), 0);
	while (!(status(&admin) & 1))
		usleep(1000);
	assert_int_equal(stored(), 0x22);
	assert_int_equal(host_get(&admin, &id, page, sizeof(page)), 0);
	host_hang_up(&admin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_a_reset_is_over),
		cmocka_unit_test(before_the_next_association),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
