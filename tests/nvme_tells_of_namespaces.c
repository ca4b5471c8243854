/* SPDX-License-Identifier: MIT */
/* Namespaces come, grow and go while hosts are connected: an event, once, and a list of what has changed. */
#include "nvme_host.h"

#include "scratch.h"

#define EVENT 0x040002u /* a notice, namespace attribute changed, log page 4 */

static struct target t;
static struct host admin, io;

static int open_all(void **state)
{
	struct nvme_cmd events = { .opcode = nvme_admin_set_features,
				   .cdw10 = NVME_FEAT_FID_ASYNC_EVENT,
				   .cdw11 = 1u << 8 };

	(void)state;
	target_start(&t, 2, VIO_POLL_AUTO, NULL, NULL);
	assert_int_equal(target_add(&t, "ram:1M"), 1);
	host_io(&io, &t, host_admin(&admin, &t, 0), 1, 0, 0);
	assert_int_equal(host_do(&admin, &events), 0);
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

static uint16_t wait_for_event(void)
{
	struct nvme_cmd c = { .opcode = nvme_admin_async_event };

	return host_send(&admin, &c, NULL, 0);
}

static void expect_event(uint16_t cid)
{
	assert_int_equal(host_finish(&admin, cid, NULL, NULL), 0);
	assert_int_equal(admin.result, EVENT);
}

/* The list, which must be these ids. */
static void expect_changed(uint32_t a, uint32_t b)
{
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
			      .cdw10 = NVME_LOG_LID_CHANGED_NS | 1023u << 16 };
	static uint32_t list[1024];

	assert_int_equal(host_get(&admin, &c, list, sizeof(list)), 0);
	assert_int_equal(list[0], a);
	assert_int_equal(list[1], b);
}

static uint16_t read_from(uint32_t nsid, uint64_t lba)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, nsid, lba, 512);
	char data[512];

	return host_get(&io, &c, data, sizeof(data));
}

static void they_come_and_go(void **state)
{
	uint16_t aer = wait_for_event();

	(void)state;
	assert_int_equal(target_add(&t, "ram:2M"), 2);
	expect_event(aer);
	aer = wait_for_event();
	assert_int_equal(target_add(&t, "ram:2M"), 3); /* not told before the list was read */
	expect_changed(2, 3);
	while (read_from(2, 4095)) /* the queue's thread hears of it by message */
		;
	assert_int_equal(vio_nvme_ns_remove(t.s, 2), 0);
	expect_event(aer);
	expect_changed(2, 0);
	expect_changed(0, 0);
	while (!read_from(2, 0))
		;
	assert_int_equal(read_from(2, 0), NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	assert_int_equal(read_from(1, 0), 0);
	assert_int_equal(vio_nvme_ns_remove(t.s, 2), -ENOENT);
	assert_int_equal(vio_nvme_ns_remove(t.s, 3), 0);
	expect_event(wait_for_event()); /* it was due already */
	expect_changed(3, 0);
}

/* One goes and another takes its place while a host reads: each answer is the one's or the other's, or none.
 */
static void they_change_under_load(void **state)
{
	uint64_t failed = 0;

	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		assert_int_equal(
			target_add(&t, round & 1 ? "ram:1M | fault:error=delay,delay=1,once=off" : "ram:1M"),
			2);
		for (unsigned i = 0; i < 20; i++)
			failed += !!read_from(2, i);
		assert_int_equal(vio_nvme_ns_remove(t.s, 2), 0);
	}
	assert_int_not_equal(failed, 800);
	expect_event(wait_for_event());
	expect_changed(2, 0);
}

static void they_grow(void **state)
{
	char path[] = "/tmp/vio-ns-XXXXXX", stack[64];
	struct nvme_cmd id = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_NS };
	int fd = mkstemp(path);
	struct nvme_id_ns ns;

	(void)state;
	scratch_forget(path);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	snprintf(stack, sizeof(stack), "file:%s", path);
	id.nsid = target_add(&t, stack);
	expect_event(wait_for_event());
	expect_changed(id.nsid, 0);
	assert_int_equal(vio_nvme_ns_resize(t.s, id.nsid), 0); /* nothing has changed */
	expect_changed(0, 0);
	assert_int_equal(ftruncate(fd, 3 << 20), 0);
	assert_int_equal(vio_nvme_ns_resize(t.s, id.nsid), 0);
	expect_event(wait_for_event());
	expect_changed(id.nsid, 0);
	assert_int_equal(host_get(&admin, &id, &ns, sizeof(ns)), 0);
	assert_int_equal(ns.nsze, 3 << 11);
	assert_int_equal(read_from(id.nsid, (3 << 11) - 1), 0);
	assert_int_equal(vio_nvme_ns_remove(t.s, id.nsid), 0);
	expect_event(wait_for_event());
	expect_changed(id.nsid, 0);
	close(fd);
}

static void requests_for_events_are_limited(void **state)
{
	struct nvme_cmd abort = { .opcode = nvme_admin_abort_cmd };
	uint16_t aer[5];
	union nvme_tcp_pdu p;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		aer[i] = wait_for_event();
	aer[4] = wait_for_event();
	assert_int_equal(host_finish(&admin, aer[4], NULL, NULL),
			 NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | NVME_SC_ASYNC_LIMIT | NVME_SC_DNR);
	for (unsigned i = 0; i < 4; i++) {
		abort.cdw10 = (uint32_t)aer[i] << 16;
		abort.cid = host_send(&admin, &abort, NULL, 0);
		assert_int_equal(host_next(&admin, &p, NULL), NVME_TCP_RSP);
		assert_int_equal(p.rsp.cqe.cid, aer[i]);
		assert_int_equal(p.rsp.cqe.status >> 1, NVME_SC_ABORT_REQ);
		assert_int_equal(host_finish(&admin, abort.cid, NULL, NULL), 0);
		assert_int_equal(admin.result, 0);
	}
	abort.cdw10 = 77u << 16; /* nothing of that id */
	assert_int_equal(host_do(&admin, &abort), 0);
	assert_int_equal(admin.result, 1);
}

static void options_are_checked(void **state)
{
	VIO_OPTS(vio_nvme_ns_opts, o, .nsid = 1);
	VIO_OPTS(vio_nvme_opts, so, .nqn = "disks");
	struct vio_backend *b, *port;
	struct vio_nvme *s;

	(void)state;
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	assert_int_equal(vio_nvme_ns_add(t.s, b, &o), -EEXIST);
	o.nsid = 129;
	assert_int_equal(vio_nvme_ns_add(t.s, b, &o), -EINVAL);
	assert_int_equal(vio_backend_parse(&port, NULL, "sink"), 0);
	assert_int_equal(vio_nvme_ns_add(t.s, port, NULL), -EINVAL);
	vio_backend_free(port);
	vio_backend_free(b);
	assert_int_equal(vio_nvme_ns_resize(t.s, 77), -ENOENT);
	assert_int_equal(vio_nvme_new(&s, NULL), -EINVAL);
	assert_int_equal(vio_nvme_new(&s, &so), -EINVAL);
	assert_null(s);
	so.nqn = HOST_TARGET_NQN;
	so.serial = "more than twenty bytes";
	assert_int_equal(vio_nvme_new(&s, &so), -EINVAL);
	assert_int_equal(vio_nvme_allow(t.s, "me", NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_and_go),    cmocka_unit_test(they_change_under_load),
		cmocka_unit_test(they_grow),	       cmocka_unit_test(requests_for_events_are_limited),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
