/* SPDX-License-Identifier: MIT */
/* Between the halves of a fused command nothing reaches the store that overlaps; what does not, does. */
#include "nvme_host.h"
#include "store.h"

static struct target t;
static struct host admin, io[2];
static struct store *store;

static int open_all(void **state)
{
	struct vio_backend *b;
	uint16_t cntlid;

	(void)state;
	target_start(&t, 1, VIO_POLL_AUTO, NULL, NULL);
	assert_int_equal(vio_backend_new(&b, &store_type, NULL, NULL, "1048576"), 0);
	store = b->priv;
	store->hold = true;
	assert_int_equal(vio_nvme_ns_add(t.s, b, NULL), 1);
	vio_backend_free(b);
	cntlid = host_admin(&admin, &t, 0);
	host_io(&io[0], &t, cntlid, 1, 0, 0);
	host_io(&io[1], &t, cntlid, 2, 0, 0);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&io[0]);
	host_hang_up(&io[1]);
	host_hang_up(&admin);
	target_stop(&t);
	return 0;
}

/* The target's thread has seen what came before, and made a pass. */
static void seen(struct host *h)
{
	struct nvme_cmd c = { .opcode = 0x7e, .nsid = 1 };

	assert_int_equal(host_do(h, &c), NVME_SC_INVALID_OPCODE | NVME_SC_DNR);
}

static void release(struct vio_msg *m)
{
	(void)m;
	store->hold = false;
}

static uint16_t send_write(struct host *h, uint32_t lba, uint8_t flags, int byte)
{
	struct nvme_cmd c = host_rw(flags == 1 ? nvme_cmd_compare : nvme_cmd_write, 1, lba, 1024);
	char data[1024];

	memset(data, byte, sizeof(data));
	c.flags = flags;
	return host_send(h, &c, data, sizeof(data));
}

static uint16_t await_rsp(struct host *h)
{
	union nvme_tcp_pdu p;

	assert_int_equal(host_next(h, &p, NULL), NVME_TCP_RSP);
	return p.rsp.cqe.status >> 1;
}

static void what_overlaps_waits(void **state)
{
	static const struct {
		uint8_t op;
		uint64_t offset;
	} order[] = {
		{ VIO_OP_READ, 0 }, { VIO_OP_WRITE, 51200 }, { VIO_OP_WRITE, 0 }, { VIO_OP_WRITE, 512 }
	};
	struct nvme_cmd abort = { .opcode = nvme_admin_abort_cmd };
	struct vio_msg m = { .fn = release };
	uint16_t unwanted;

	(void)state;
	send_write(&io[0], 0, 1, 0);
	send_write(&io[0], 0, 2, 1);
	for (unsigned i = 0; i < 4; i++) /* messages there and back, to raise the fence */
		seen(&io[1]);
	send_write(&io[1], 1, 0, 2); /* its first block is the fused command's second */
	unwanted = send_write(&io[1], 1, 0, 3);
	send_write(&io[1], 100, 0, 4);
	seen(&io[1]);
	abort.cdw10 = 2u | (uint32_t)unwanted << 16;
	assert_int_equal(host_do(&admin, &abort), 0);
	assert_int_equal(admin.result, 0); /* what is held back has not begun */
	assert_int_equal(await_rsp(&io[1]), NVME_SC_ABORT_REQ);
	vio_poller_post(t.threads[0].p, &m);
	seen(&admin); /* a pass, and with it a reap */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(await_rsp(&io[0]), 0);
		assert_int_equal(await_rsp(&io[1]), 0);
	}
	assert_int_equal(store->logged, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(store->log[i].op, order[i].op);
		assert_int_equal(store->log[i].offset, order[i].offset);
	}
	assert_int_equal(store->mem[511], 1);
	assert_int_equal(store->mem[512], 2);
	assert_int_equal(store->mem[51200], 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_overlaps_waits),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
