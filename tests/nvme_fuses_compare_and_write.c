/* SPDX-License-Identifier: MIT */
/* Compare and Write over TCP: both halves or neither, whatever comes between them or beside them. */
#include "nvme_host.h"

#define FAILED NVME_SC_FUSED_FAIL
#define MISSING NVME_SC_FUSED_MISSING
#define INVALID (NVME_SC_INVALID_FIELD | NVME_SC_DNR)
#define UNEQUAL (NVME_SCT_MEDIA << NVME_SCT_SHIFT | NVME_SC_COMPARE_FAILED | NVME_SC_DNR)
#define RACERS 3u
#define ROUNDS 200u

static struct target t;
static struct host admin, io;
static uint16_t cntlid;
static char zero[262144], one[262144], read_back[262144];

static int open_all(void **state)
{
	(void)state;
	target_start(&t, 3, VIO_POLL_AUTO, NULL, NULL);
	assert_int_equal(target_add(&t, "ram:1M"), 1);
	cntlid = host_admin(&admin, &t, 0);
	host_io(&io, &t, cntlid, 1, 0, 0);
	memset(one, 0x11, sizeof(one));
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

static struct nvme_cmd half(uint8_t opcode, uint8_t flag, uint32_t lba, uint32_t bytes)
{
	struct nvme_cmd c = host_rw(opcode, 1, lba, bytes);

	c.flags = flag;
	return c;
}

/* Takes part until both are answered. */
static void finish_both(struct host *h, uint16_t first, const void *a, const void *b, uint16_t status[2])
{
	static _Thread_local char none[HOST_DATA];
	union nvme_tcp_pdu p;

	for (unsigned answers = 0; answers < 2;) {
		int type = host_next(h, &p, none);

		if (type == NVME_TCP_R2T) {
			host_answer_r2t(h, &p.r2t, p.r2t.cid == first ? a : b, 65536);
			continue;
		}
		assert_int_equal(type, NVME_TCP_RSP);
		status[(uint16_t)(p.rsp.cqe.cid - first)] = p.rsp.cqe.status >> 1;
		answers++;
	}
}

static void fuse(struct host *h, struct nvme_cmd c, struct nvme_cmd w, const void *a, const void *b,
		 uint32_t len, bool capsule, uint16_t status[2])
{
	uint16_t first = host_send(h, &c, capsule ? a : NULL, len);

	host_send(h, &w, capsule ? b : NULL, len);
	finish_both(h, first, a, b, status);
}

static void swap(struct host *h, uint32_t lba, const void *a, const void *b, uint32_t len, bool capsule,
		 uint16_t status[2])
{
	fuse(h, half(nvme_cmd_compare, 1, lba, len), half(nvme_cmd_write, 2, lba, len), a, b, len, capsule,
	     status);
}

static void expect(uint32_t lba, const void *what, uint32_t len)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, 1, lba, len);

	assert_int_equal(host_get(&io, &c, read_back, len), 0);
	assert_memory_equal(read_back, what, len);
}

static void both_or_neither(void **state)
{
	static const uint32_t lens[] = { 512, 4096, 8192, 16384, 131072 };
	uint16_t status[2];

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(lens) / sizeof(lens[0]); i++) {
		uint32_t len = lens[i / 2];
		bool capsule = i & 1 && len <= 8192;

		swap(&io, 0, zero, one, len, capsule, status);
		assert_int_equal(status[0], 0);
		assert_int_equal(status[1], 0);
		expect(0, one, len);
		swap(&io, 0, zero, one, len, capsule, status);
		assert_int_equal(status[0], UNEQUAL);
		assert_int_equal(status[1], FAILED);
		swap(&io, 0, one, zero, len, capsule, status);
		assert_int_equal(status[0] | status[1], 0);
		expect(0, zero, len);
	}
}

static void halves_that_do_not_belong_together(void **state)
{
	struct nvme_cmd c = half(nvme_cmd_compare, 1, 0, 512), w = half(nvme_cmd_write, 2, 0, 512);
	uint16_t status[2];

	(void)state;
	w.cdw10 = 1;
	fuse(&io, c, w, zero, one, 512, true, status);
	assert_int_equal(status[0], INVALID);
	assert_int_equal(status[1], FAILED);
	w = half(nvme_cmd_write, 2, 0, 512);
	w.nsid = 2;
	fuse(&io, c, w, zero, one, 512, false, status);
	assert_int_equal(status[0], INVALID);
	c.opcode = nvme_cmd_write;
	fuse(&io, c, half(nvme_cmd_compare, 2, 0, 512), zero, one, 512, true, status);
	assert_int_equal(status[0], INVALID);
	assert_int_equal(status[1], FAILED);
	c = half(nvme_cmd_compare, 1, 4096, 512); /* beyond the end */
	fuse(&io, c, half(nvme_cmd_write, 2, 4096, 512), zero, one, 512, true, status);
	assert_int_equal(status[0], NVME_SC_LBA_RANGE | NVME_SC_DNR);
	assert_int_equal(status[1], FAILED);
	fuse(&io, half(nvme_cmd_compare, 1, 0, 262144), half(nvme_cmd_write, 2, 0, 262144), zero, one, 262144,
	     false, status);
	assert_int_equal(status[0], NVME_SC_AWU_EXCEEDED | NVME_SC_DNR);
	assert_int_equal(status[1], FAILED);
	fuse(&admin, half(nvme_admin_identify, 1, 0, 512), half(nvme_admin_identify, 2, 0, 512), NULL, NULL,
	     0, false, status);
	assert_int_equal(status[0], INVALID);
	assert_int_equal(status[1], INVALID);
	expect(0, zero, 512);
}

static void halves_that_are_alone(void **state)
{
	struct nvme_cmd c = half(nvme_cmd_compare, 1, 0, 512), w = half(nvme_cmd_write, 2, 0, 512),
			flush = { .opcode = nvme_cmd_flush, .nsid = 1 };
	uint16_t status[2];

	(void)state;
	assert_int_equal(host_put(&io, &w, one, 512), MISSING); /* a second without a first */
	fuse(&io, c, flush, zero, NULL, 512, false, status);
	assert_int_equal(status[0], MISSING);
	assert_int_equal(status[1], 0);
}

static void two_firsts(void **state)
{
	struct nvme_cmd c = half(nvme_cmd_compare, 1, 0, 512), w = half(nvme_cmd_write, 2, 0, 512);
	uint16_t status[2], first, second;

	(void)state;
	first = host_send(&io, &c, zero, 512);
	second = host_send(&io, &c, zero, 512);
	assert_int_equal(host_finish(&io, first, NULL, NULL), MISSING);
	host_send(&io, &w, zero, 512);
	finish_both(&io, second, zero, zero, status);
	assert_int_equal(status[0] | status[1], 0);
}

/* Its first half was refused by the transport already. */
static void a_first_that_is_refused(void **state)
{
	struct nvme_cmd w = half(nvme_cmd_write, 2, 0, 512);
	struct nvme_tcp_cmd bad = { .hdr = { .type = NVME_TCP_CMD },
				    .cmd = half(nvme_cmd_compare, 1, 0, 512) };
	uint16_t second;

	(void)state;
	bad.cmd.cid = io.cid++;
	bad.cmd.flags |= NVME_FLAGS_SGL;
	bad.cmd.sgl.type = NVME_SGL_SEGMENT;
	host_pdu(&io, &bad, sizeof(bad), NULL, 0);
	second = host_send(&io, &w, one, 512);
	assert_int_equal(host_finish(&io, bad.cmd.cid, NULL, NULL), NVME_SC_SGL_INVALID_TYPE | NVME_SC_DNR);
	assert_int_equal(host_finish(&io, second, NULL, NULL), FAILED);
	expect(0, zero, 512);
}

/* One half is aborted while the other's data is here: neither is executed. */
static void an_aborted_half(void **state)
{
	struct nvme_cmd c = half(nvme_cmd_compare, 1, 0, 512), w = half(nvme_cmd_write, 2, 0, 512);
	struct nvme_cmd abort = { .opcode = nvme_admin_abort_cmd };
	uint16_t first = host_send(&io, &c, zero, 512), second = host_send(&io, &w, NULL, 512);
	union nvme_tcp_pdu p;

	(void)state;
	assert_int_equal(host_next(&io, &p, NULL), NVME_TCP_R2T);
	abort.cdw10 = 1u | (uint32_t)second << 16;
	assert_int_equal(host_do(&admin, &abort), 0);
	assert_int_equal(admin.result, 0);
	assert_int_equal(host_finish(&io, first, NULL, NULL), FAILED);
	host_answer_r2t(&io, &p.r2t, one, 512);
	assert_int_equal(host_finish(&io, second, NULL, NULL), NVME_SC_ABORT_REQ);
	expect(0, zero, 512);
}

/* Queue 2, when the last one that had the id has gone. */
static void open_again(struct host *h)
{
	struct host_who who = { .cntlid = cntlid, .qid = 2, .sqsize = 31 };

	for (;;) {
		host_dial(h, &t);
		host_greet(h, 0);
		if (!host_connect(h, &who))
			return;
		host_hang_up(h);
	}
}

/* The connection ends between the halves, or with both there: nothing is left of them. */
static void hosts_that_go(void **state)
{
	struct nvme_cmd c = half(nvme_cmd_compare, 1, 0, 512), w = half(nvme_cmd_write, 2, 0, 512);
	struct nvme_cmd bye = { .opcode = NVME_OPC_FABRICS, .nsid = nvme_fabrics_type_disconnect };
	union nvme_tcp_pdu p;
	struct host h;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		open_again(&h);
		host_send(&h, &c, zero, 512);
		if (i & 1) {
			host_send(&h, &w, NULL, 512);
			assert_int_equal(host_next(&h, &p, NULL), NVME_TCP_R2T);
		}
		if (i & 2) {
			host_send(&h, &bye, NULL, 0);
			while (host_next(&h, &p, NULL) >= 0)
				;
		}
		host_hang_up(&h);
	}
}

struct racer {
	pthread_t thread;
	uint16_t qid;
	uint32_t won;
};

/* Adds one to a counter of two blocks, whose halves have to agree, as often as it wins. */
static void *race(void *arg)
{
	struct racer *r = arg;
	static _Thread_local uint32_t was[256], next[256];
	struct nvme_cmd c = host_rw(nvme_cmd_read, 1, 100, 1024);
	uint16_t status[2];
	struct host h;

	host_io(&h, &t, cntlid, r->qid, 0, 0);
	while (r->won < ROUNDS) {
		assert_int_equal(host_get(&h, &c, was, sizeof(was)), 0);
		assert_int_equal(was[0], was[255]);
		memcpy(next, was, sizeof(was));
		next[0] = next[255] = was[0] + 1;
		swap(&h, 100, was, next, sizeof(was), r->won & 1, status);
		if (!status[0]) {
			assert_int_equal(status[1], 0);
			r->won++;
		} else {
			assert_int_equal(status[0], UNEQUAL);
			assert_int_equal(status[1], FAILED);
		}
	}
	host_hang_up(&h);
	return NULL;
}

/* On three threads of the target: no addition is lost. */
static void racers_lose_nothing(void **state)
{
	struct racer r[RACERS];
	uint32_t sum[256];
	struct nvme_cmd c = host_rw(nvme_cmd_read, 1, 100, 1024);

	(void)state;
	for (uint16_t i = 0; i < RACERS; i++) {
		r[i] = (struct racer){ .qid = (uint16_t)(10 + i) };
		assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
	}
	for (unsigned i = 0; i < RACERS; i++)
		pthread_join(r[i].thread, NULL);
	assert_int_equal(host_get(&io, &c, sum, sizeof(sum)), 0);
	assert_int_equal(sum[0], RACERS * ROUNDS);
}

static void it_says_so(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	struct nvme_id_ctrl id;
	struct nvme_id_ns ns;

	(void)state;
	assert_int_equal(host_get(&admin, &c, &id, sizeof(id)), 0);
	assert_int_equal(id.fuses, 1);
	assert_int_equal(id.acwu, 1);
	c.cdw10 = NVME_IDENTIFY_CNS_NS;
	c.nsid = 1;
	assert_int_equal(host_get(&admin, &c, &ns, sizeof(ns)), 0);
	assert_true(ns.nsfeat & 2);
	assert_int_equal(ns.nacwu, 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_or_neither),
		cmocka_unit_test(halves_that_do_not_belong_together),
		cmocka_unit_test(halves_that_are_alone),
		cmocka_unit_test(two_firsts),
		cmocka_unit_test(a_first_that_is_refused),
		cmocka_unit_test(an_aborted_half),
		cmocka_unit_test(hosts_that_go),
		cmocka_unit_test(racers_lose_nothing),
		cmocka_unit_test(it_says_so),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
