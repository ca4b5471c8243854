/* SPDX-License-Identifier: MIT */
/* Abort: what waits for room, for a buffer or for its data is not executed; what is in a store is. */
#include "nvme_host.h"
#include "store.h"

#define ABORTED NVME_SC_ABORT_REQ
#define BIG (256u << 10)

static struct target t;
static struct host admin, io[3];
static uint16_t cntlid;
static char data[BIG];
static struct store *held;

static void open_target(uint64_t buffers)
{
	VIO_OPTS(vio_nvme_tcp_opts, o, .buffers = buffers);
	struct vio_backend *b;

	target_start(&t, 1, VIO_POLL_AUTO, NULL, &o);
	assert_int_equal(target_add(&t, "ram:1M"), 1);
	assert_int_equal(vio_backend_new(&b, &store_type, NULL, NULL, "1048576"), 0);
	held = b->priv;
	held->room = 1;
	held->hold = true;
	assert_int_equal(vio_nvme_ns_add(t.s, b, NULL), 2);
	vio_backend_free(b);
	cntlid = host_admin(&admin, &t, 0);
	for (uint16_t i = 0; i < 3; i++)
		host_io(&io[i], &t, cntlid, (uint16_t)(i + 1), 0, 0);
}

static int open_all(void **state)
{
	(void)state;
	open_target(2 * BIG);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		host_hang_up(&io[i]);
	host_hang_up(&admin);
	target_stop(&t);
	return 0;
}

static struct nvme_cmd abort_cmd(uint16_t sqid, uint16_t cid)
{
	return (struct nvme_cmd){ .opcode = nvme_admin_abort_cmd, .cdw10 = sqid | (uint32_t)cid << 16 };
}

/* Whether it was aborted. */
static bool aborted(uint16_t sqid, uint16_t cid)
{
	struct nvme_cmd c = abort_cmd(sqid, cid);

	assert_int_equal(host_do(&admin, &c), 0);
	return !(admin.result & 1);
}

/* All that was sent there before has been seen. */
static void seen(struct host *h)
{
	struct nvme_cmd c = { .opcode = 0x7e, .nsid = 1 };

	assert_int_equal(host_do(h, &c), NVME_SC_INVALID_OPCODE | NVME_SC_DNR);
}

static void release(struct vio_msg *m)
{
	(void)m;
	held->hold = false;
}

static void waiting_for_room(void **state)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, 2, 0, 512);
	struct vio_msg m = { .fn = release };
	uint16_t in_store, waits;

	(void)state;
	in_store = host_send(&io[0], &c, NULL, 512);
	waits = host_send(&io[0], &c, NULL, 512);
	seen(&io[0]);
	assert_false(aborted(1, in_store));
	assert_false(aborted(2, waits)); /* another queue's */
	assert_false(aborted(1, (uint16_t)(waits + 7)));
	assert_true(aborted(1, waits));
	assert_int_equal(host_finish(&io[0], waits, NULL, data), ABORTED);
	assert_false(aborted(1, waits));
	vio_poller_post(t.threads[0].p, &m);
	seen(&io[1]); /* a pass, and with it a reap */
	assert_int_equal(host_finish(&io[0], in_store, NULL, data), 0);
}

/* It is answered when the data that was asked for is here, and not written. */
static void waiting_for_data(void **state)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 0, 16384), r = host_rw(nvme_cmd_read, 1, 0, 16384);
	union nvme_tcp_pdu p;
	uint16_t cid = host_send(&io[0], &w, NULL, 16384);

	(void)state;
	assert_int_equal(host_next(&io[0], &p, NULL), NVME_TCP_R2T);
	assert_true(aborted(1, cid));
	assert_false(aborted(1, cid)); /* once */
	memset(data, 0x55, 16384);
	host_answer_r2t(&io[0], &p.r2t, data, 4096);
	assert_int_equal(host_finish(&io[0], cid, NULL, NULL), ABORTED);
	assert_int_equal(host_get(&io[0], &r, data, 16384), 0);
	assert_memory_equal(data, (char[16384]){ 0 }, 16384);
}

/* Of 512 KiB a connection has half at most: the second of one waits for its first, a third's for any. */
static void waiting_for_a_buffer(void **state)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 0, BIG);
	union nvme_tcp_pdu first, other;
	uint16_t a = host_send(&io[0], &w, NULL, BIG), a2 = host_send(&io[0], &w, NULL, BIG), b, c;

	(void)state;
	assert_int_equal(host_next(&io[0], &first, NULL), NVME_TCP_R2T);
	seen(&io[0]);
	b = host_send(&io[1], &w, NULL, BIG);
	assert_int_equal(host_next(&io[1], &other, NULL), NVME_TCP_R2T);
	c = host_send(&io[2], &w, NULL, BIG);
	seen(&io[2]);
	assert_true(aborted(1, a2));
	assert_int_equal(host_finish(&io[0], a2, NULL, NULL), ABORTED);
	assert_true(aborted(3, c));
	assert_int_equal(host_finish(&io[2], c, NULL, NULL), ABORTED);
	host_answer_r2t(&io[0], &first.r2t, data, 65536);
	assert_int_equal(host_finish(&io[0], a, NULL, NULL), 0);
	host_answer_r2t(&io[1], &other.r2t, data, 65536);
	assert_int_equal(host_finish(&io[1], b, NULL, NULL), 0);
	assert_int_equal(host_put(&io[2], &w, data, BIG), 0); /* what they held is there again */
}

static void queues_that_are_not_there(void **state)
{
	(void)state;
	assert_false(aborted(9, 0));
	assert_false(aborted(UINT16_MAX, UINT16_MAX));
	assert_false(aborted(0, 1234));
}

/* All at once, and their queue goes: each is answered, with or without a command; more than four may be
 * refused. */
static void many_and_the_queue_goes(void **state)
{
	unsigned answers = 0, refused = 0;
	struct nvme_cmd c = abort_cmd(1, 5);
	union nvme_tcp_pdu p;

	(void)state;
	for (unsigned i = 0; i < 24; i++) {
		host_send(&admin, &c, NULL, 0);
		if (i == 12) {
			host_hang_up(&io[0]);
		}
	}
	for (; answers < 24; answers++) {
		assert_int_equal(host_next(&admin, &p, NULL), NVME_TCP_RSP);
		if (p.rsp.cqe.status >> 1) {
			assert_int_equal(p.rsp.cqe.status >> 1, NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT |
									NVME_SC_ABORT_LIMIT | NVME_SC_DNR);
			refused++;
		} else {
			assert_int_equal(p.rsp.cqe.dw0, 1);
		}
	}
	assert_true(refused < answers);
	host_io(&io[0], &t, cntlid, 4, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_for_room),	   cmocka_unit_test(waiting_for_data),
		cmocka_unit_test(waiting_for_a_buffer),	   cmocka_unit_test(queues_that_are_not_there),
		cmocka_unit_test(many_and_the_queue_goes),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
