/* SPDX-License-Identifier: MIT */
/* A host finds, connects, identifies, writes and reads: with and without digests, by capsule and by R2T, on
 * threads. */
#include "nvme_host.h"

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(seed = seed * 1103515245u + 12345u);
}

static void writes_and_reads(struct host *io, uint32_t nsid)
{
	static const uint32_t sizes[] = { 512, 4096, 8192, 8704, 65536, 69632, 262144 };
	static char out[262144], back[262144];

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct nvme_cmd w = host_rw(nvme_cmd_write, nsid, i * 1024, sizes[i]);
		struct nvme_cmd r = host_rw(nvme_cmd_read, nsid, i * 1024, sizes[i]);

		fill(out, sizes[i], i);
		memset(back, 0, sizes[i]);
		assert_int_equal(host_put(io, &w, out, sizes[i]), 0);
		assert_int_equal(host_get(io, &r, back, sizes[i]), 0);
		assert_memory_equal(out, back, sizes[i]);
	}
}

static void serve(enum vio_poll_engine engine, uint8_t digests, uint8_t cattr)
{
	struct target t;
	struct host admin, io[3];
	struct nvme_id_ctrl id;
	struct nvme_id_ns ns;
	struct nvme_cmd c = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	uint16_t cntlid;

	target_start(&t, 2, engine, NULL, NULL);
	assert_int_equal(target_add(&t, "ram:16M"), 1);
	cntlid = host_admin(&admin, &t, digests);
	assert_int_equal(admin.hdgst, !!(digests & NVME_TCP_WANT_HDGST));
	assert_int_equal(host_get(&admin, &c, &id, sizeof(id)), 0);
	assert_string_equal(id.subnqn, HOST_TARGET_NQN);
	assert_int_equal(id.cntlid, cntlid);
	assert_int_equal(id.ioccsz, 516);
	c.cdw10 = NVME_IDENTIFY_CNS_NS;
	c.nsid = 1;
	assert_int_equal(host_get(&admin, &c, &ns, sizeof(ns)), 0);
	assert_int_equal(ns.nsze, 32768);
	assert_int_equal(ns.lbaf[0].ds, 9);
	for (uint16_t q = 0; q < 3; q++)
		host_io(&io[q], &t, cntlid, q + 1, cattr, digests);
	for (uint16_t q = 0; q < 3; q++)
		writes_and_reads(&io[q], 1);
	for (uint16_t q = 0; q < 3; q++)
		host_hang_up(&io[q]);
	host_hang_up(&admin);
	target_stop(&t);
}

static void plain(void **state)
{
	(void)state;
	serve(VIO_POLL_AUTO, 0, 0);
	serve(VIO_POLL_EPOLL, 0, NVME_CATTR_NO_SQFLOW);
}

static void with_digests(void **state)
{
	(void)state;
	if (!vio__nvme_tcp_has_digests())
		skip();
	serve(VIO_POLL_AUTO, NVME_TCP_WANT_HDGST, 0);
	serve(VIO_POLL_AUTO, NVME_TCP_WANT_DDGST, NVME_CATTR_NO_SQFLOW);
	serve(VIO_POLL_EPOLL, NVME_TCP_WANT_HDGST | NVME_TCP_WANT_DDGST, NVME_CATTR_NO_SQFLOW);
}

/* Many commands in one write, answered in any order, each with its own data. */
static void deep(void **state)
{
	enum { DEPTH = 128, BLOCK = 4096 };
	static char data[HOST_DATA], block[BLOCK];
	bool seen[DEPTH] = { false };
	struct target t;
	struct host admin, io;
	uint16_t first;

	(void)state;
	target_start(&t, 1, VIO_POLL_AUTO, NULL, NULL);
	target_add(&t, "ram:16M");
	host_io(&io, &t, host_admin(&admin, &t, 0), 1, NVME_CATTR_NO_SQFLOW, 0);
	for (unsigned i = 0; i < DEPTH; i++) {
		struct nvme_cmd w = host_rw(nvme_cmd_write, 1, i * 8, BLOCK);

		fill(block, BLOCK, i);
		assert_int_equal(host_put(&io, &w, block, BLOCK), 0);
	}
	for (unsigned round = 0; round < 50; round++) {
		memset(seen, 0, sizeof(seen));
		first = io.cid;
		for (unsigned i = 0; i < DEPTH; i++) {
			struct nvme_cmd r = host_rw(nvme_cmd_read, 1, i * 8, BLOCK);

			host_send(&io, &r, NULL, BLOCK);
		}
		for (unsigned i = 0; i < DEPTH; i++) {
			union nvme_tcp_pdu p;
			uint16_t k;

			assert_int_equal(host_next(&io, &p, data), NVME_TCP_C2H_DATA);
			assert_true(p.hdr.flags & NVME_TCP_DATA_SUCCESS);
			k = (uint16_t)(p.data.cid - first);
			assert_true(k < DEPTH && !seen[k]);
			seen[k] = true;
			fill(block, BLOCK, k);
			assert_memory_equal(data, block, BLOCK);
		}
	}
	host_hang_up(&io);
	host_hang_up(&admin);
	target_stop(&t);
}

static void discovery(void **state)
{
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31, .subnqn = NVME_DISCOVERY_NQN };
	static uint64_t log[(sizeof(struct nvmf_discovery_log) + sizeof(struct nvmf_disc_log_entry)) / 8];
	const struct nvmf_discovery_log *head = (const void *)log;
	const struct nvmf_disc_log_entry *entry = head->entries;
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
			      .cdw10 = NVME_LOG_LID_DISCOVER | (sizeof(log) / 4 - 1) << 16 };
	struct nvme_cmd id_ctrl = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	struct nvme_id_ctrl id;
	struct target t;
	struct host h;

	(void)state;
	target_start(&t, 1, VIO_POLL_AUTO, NULL, NULL);
	host_dial(&h, &t);
	host_greet(&h, 0);
	assert_int_equal(host_connect(&h, &w), 0);
	assert_int_equal(host_property_set(&h, 0x14, HOST_CC_ENABLE), 0);
	assert_int_equal(host_get(&h, &id_ctrl, &id, sizeof(id)), 0);
	assert_int_equal(id.cntrltype, 2);
	assert_int_equal(host_get(&h, &c, log, sizeof(log)), 0);
	assert_int_equal(head->numrec, 1);
	assert_string_equal(entry->subnqn, HOST_TARGET_NQN);
	assert_memory_equal(entry->traddr, "127.0.0.1 ", 10);
	assert_int_equal(atoi(entry->trsvcid), vio_nvme_tcp_port(t.t));
	host_hang_up(&h);
	target_stop(&t);
}

/* Stopping while hosts are connected answers what they asked, and then lets them go. */
static void stops_while_connected(void **state)
{
	struct nvme_cmd r = host_rw(nvme_cmd_read, 1, 0, 4096);
	struct target t;
	struct host admin, io;
	char data[4096];

	(void)state;
	target_start(&t, 2, VIO_POLL_AUTO, NULL, NULL);
	target_add(&t, "ram:1M");
	host_io(&io, &t, host_admin(&admin, &t, 0), 1, 0, 0);
	assert_int_equal(host_get(&io, &r, data, sizeof(data)), 0);
	target_stop(&t);
	assert_int_equal(host_read(&io, data, 1), 0);
	assert_int_equal(host_read(&admin, data, 1), 0);
	host_hang_up(&io);
	host_hang_up(&admin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),     cmocka_unit_test(with_digests),	      cmocka_unit_test(deep),
		cmocka_unit_test(discovery), cmocka_unit_test(stops_while_connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
