/* SPDX-License-Identifier: MIT */
/*
 * Groups of namespaces are reached better or worse by each port: hosts are told, the log page says how it is,
 * and commands that can't be executed are refused as a matter of the path.
 */
#include "nvme_host.h"

#define EVENT 0x0c0302u /* a notice, asymmetric access changed, log page 0Ch */
#define PATH(code) (NVME_SCT_PATH << NVME_SCT_SHIFT | (code))
#define SLOW "ram:1M | fault:error=delay,delay=300,once=off"

static struct target t;
static struct host admin, io;

static void add(const char *stack, uint32_t nsid, uint32_t group)
{
	VIO_OPTS(vio_nvme_ns_opts, o, .nsid = nsid, .ana_group = group);
	struct vio_backend *b;

	assert_int_equal(vio_backend_parse(&b, NULL, stack), 0);
	assert_int_equal(vio_nvme_ns_add(t.s, b, &o), nsid);
	vio_backend_free(b);
}

static int open_all(void **state)
{
	VIO_OPTS(vio_nvme_tcp_opts, o, .port = 3);
	struct nvme_cmd events = { .opcode = nvme_admin_set_features,
				   .cdw10 = NVME_FEAT_FID_ASYNC_EVENT,
				   .cdw11 = NVME_CTRL_OAES_ANA };

	(void)state;
	target_start(&t, 2, VIO_POLL_AUTO, NULL, &o);
	add("ram:1M", 1, 0);
	add("ram:1M", 2, 7);
	add(SLOW, 3, 7);
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

/* The log page from `offset` on; flags: bits 8 (groups only) and 15 (retain the event). */
static uint16_t read_log(void *to, uint32_t bytes, uint32_t flags, uint32_t offset)
{
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
			      .nsid = NVME_NSID_ALL,
			      .cdw10 = NVME_LOG_LID_ANA | (bytes / 4 - 1) << 16 | flags,
			      .cdw12 = offset };

	return host_get(&admin, &c, to, bytes);
}

/* Group 7's state as the log page has it, and its change count. */
static uint8_t state_of_7(uint64_t *changes)
{
	struct nvme_ana_group_desc d;
	uint8_t page[4096];

	assert_int_equal(read_log(page, sizeof(page), 1u << 8, 0), 0);
	memcpy(&d, page + sizeof(struct nvme_ana_log) + sizeof(d), sizeof(d));
	assert_int_equal(d.grpid, 7);
	if (changes)
		*changes = d.chgcnt;
	return d.state;
}

static uint16_t read_from(uint32_t nsid)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, nsid, 0, 512);
	char data[512];

	return host_get(&io, &c, data, sizeof(data));
}

/* The queue's thread reads the state by itself: until it has seen it. */
static void await_status(uint32_t nsid, uint16_t status)
{
	while (read_from(nsid) != status)
		;
}

static void controllers_and_namespaces_say_so(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	struct nvme_id_independent_id_ns free;
	struct nvme_id_ctrl id;
	struct nvme_id_ns ns;

	(void)state;
	assert_int_equal(host_get(&admin, &c, &id, sizeof(id)), 0);
	assert_true(id.cmic & NVME_CTRL_CMIC_MULTI_ANA_REPORTING);
	assert_true(id.oaes & NVME_CTRL_OAES_ANA);
	assert_int_equal(id.anacap, 0x5f);
	assert_int_equal(id.anatt, 10);
	assert_int_equal(id.anagrpmax, 128);
	assert_int_equal(id.nanagrpid, 128);
	assert_true(id.mnan && id.mnan <= id.nn);
	c.nsid = 2;
	c.cdw10 = NVME_IDENTIFY_CNS_NS;
	assert_int_equal(host_get(&admin, &c, &ns, sizeof(ns)), 0);
	assert_int_equal(ns.anagrpid, 7);
	assert_int_equal(ns.nuse, ns.nsze);
	c.cdw10 = NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS;
	assert_int_equal(host_get(&admin, &c, &free, sizeof(free)), 0);
	assert_int_equal(free.anagrpid, 7);
	/* What is in use is not told where it can't be known. */
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_INACCESSIBLE), 0);
	c.cdw10 = NVME_IDENTIFY_CNS_NS;
	assert_int_equal(host_get(&admin, &c, &ns, sizeof(ns)), 0);
	assert_int_equal(ns.nuse, 0);
	assert_int_equal(ns.nsze, 2048);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_OPTIMIZED), 0);
	expect_event(wait_for_event());
	state_of_7(NULL);
}

static void the_log_page_has_groups_and_their_namespaces(void **state)
{
	struct nvme_ana_group_desc d;
	struct nvme_ana_log log;
	uint8_t page[4096], part[64];
	uint32_t ids[2];

	(void)state;
	assert_int_equal(read_log(page, sizeof(page), 0, 0), 0);
	memcpy(&log, page, sizeof(log));
	assert_int_equal(log.ngrps, 2);
	assert_true(log.chgcnt > 0);
	memcpy(&d, page + 16, sizeof(d));
	assert_int_equal(d.grpid, 1);
	assert_int_equal(d.nnsids, 1);
	assert_int_equal(d.state, VIO_NVME_ANA_OPTIMIZED);
	memcpy(ids, page + 48, 4);
	assert_int_equal(ids[0], 1);
	memcpy(&d, page + 52, sizeof(d));
	memcpy(ids, page + 84, 8);
	assert_int_equal(d.grpid, 7);
	assert_int_equal(d.nnsids, 2);
	assert_int_equal(ids[0], 2);
	assert_int_equal(ids[1], 3);
	for (unsigned i = 92; i < sizeof(page); i++)
		assert_int_equal(page[i], 0);
	/* Its parts are the same, and it ends where all groups and namespaces would. */
	assert_int_equal(read_log(part, sizeof(part), 0, 52), 0);
	assert_memory_equal(part, page + 52, 40);
	assert_int_equal(read_log(part, 16, 0, 4096), 0);
	assert_int_equal(read_log(part, 16, 0, 16 + 128 * 32 + 128 * 4), 0);
	assert_int_equal(read_log(part, sizeof(part), 0, 16 + 128 * 32 + 128 * 4 + 4),
			 NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	assert_int_equal(read_log(part, sizeof(part), 0, 50), NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	/* Groups only. */
	assert_int_equal(read_log(page, sizeof(page), 1u << 8, 0), 0);
	memcpy(&d, page + 48, sizeof(d));
	assert_int_equal(d.grpid, 7);
	assert_int_equal(d.nnsids, 0);
}

static void each_state_has_its_status(void **state)
{
	static const struct {
		enum vio_nvme_ana state;
		uint16_t status;
	} want[] = {
		{ VIO_NVME_ANA_NON_OPTIMIZED, 0 },
		{ VIO_NVME_ANA_INACCESSIBLE, PATH(NVME_SC_ANA_INACCESSIBLE) },
		{ VIO_NVME_ANA_CHANGE, PATH(NVME_SC_ANA_TRANSITION) },
		{ VIO_NVME_ANA_OPTIMIZED, 0 },
	};
	static const uint8_t opcodes[] = { nvme_cmd_flush, nvme_cmd_write_zeroes, nvme_cmd_dsm,
					   nvme_cmd_verify };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(want); i++) {
		assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, want[i].state), 0);
		assert_int_equal(vio_nvme_ana_get(t.s, 3, 7), want[i].state);
		await_status(2, want[i].status);
		assert_int_equal(state_of_7(NULL), want[i].state);
		assert_int_equal(read_from(1), 0);
		for (unsigned k = 0; want[i].status && k < sizeof(opcodes); k++) {
			struct nvme_cmd c = { .opcode = opcodes[k], .nsid = 2 };

			assert_int_equal(host_do(&io, &c), want[i].status);
		}
	}
}

static void a_refused_write_is_not_executed(void **state)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, 2, 8, 16384), r = host_rw(nvme_cmd_read, 2, 8, 16384);
	static char out[16384], in[16384];

	(void)state;
	memset(out, 0x77, sizeof(out));
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_INACCESSIBLE), 0);
	await_status(2, PATH(NVME_SC_ANA_INACCESSIBLE));
	assert_int_equal(host_put(&io, &w, out, sizeof(out)), PATH(NVME_SC_ANA_INACCESSIBLE));
	w.cdw12 = 0;
	assert_int_equal(host_put(&io, &w, out, 512), PATH(NVME_SC_ANA_INACCESSIBLE)); /* in its capsule */
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_OPTIMIZED), 0);
	await_status(2, 0);
	assert_int_equal(host_get(&io, &r, in, sizeof(in)), 0);
	for (unsigned i = 0; i < sizeof(in); i++)
		assert_int_equal(in[i], 0);
	expect_event(wait_for_event());
	state_of_7(NULL);
}

/* Those in the store end as they would have; those that came later are refused. */
static void commands_under_way_end_well(void **state)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, 3, 0, 512);
	unsigned refused = 0, done = 0;
	union nvme_tcp_pdu p;
	char data[512];

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		host_send(&io, &c, NULL, 512);
	assert_int_equal(read_from(1), 0); /* the target has them by now */
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_INACCESSIBLE), 0);
	host_send(&io, &c, NULL, 512); /* may be one of them still: the state is read relaxed */
	while (done + refused < 9) {
		if (host_next(&io, &p, data) == NVME_TCP_C2H_DATA) {
			done += !!(p.hdr.flags & NVME_TCP_DATA_SUCCESS);
			continue;
		}
		assert_int_equal(p.hdr.type, NVME_TCP_RSP);
		if (p.rsp.cqe.status >> 1 == PATH(NVME_SC_ANA_INACCESSIBLE))
			refused++;
		else
			done += !(p.rsp.cqe.status >> 1);
	}
	assert_true(done >= 8);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_OPTIMIZED), 0);
	expect_event(wait_for_event());
	state_of_7(NULL);
}

static void hosts_are_told_once_until_they_read(void **state)
{
	uint16_t aer = wait_for_event();
	uint64_t before, after;
	uint8_t page[4096];

	(void)state;
	state_of_7(&before);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_NON_OPTIMIZED), 0);
	expect_event(aer);
	aer = wait_for_event();
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_INACCESSIBLE), 0);
	assert_int_equal(read_log(page, sizeof(page), 1u << 15, 0), 0); /* retained: not told yet */
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_INACCESSIBLE), 0); /* which it is */
	assert_int_equal(state_of_7(&after), VIO_NVME_ANA_INACCESSIBLE);
	assert_int_equal(after, before + 2);
	/* Another port's, and the beginning of a change, are not told. */
	assert_int_equal(vio_nvme_ana_set(t.s, 4, 7, VIO_NVME_ANA_INACCESSIBLE), 0);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 7, VIO_NVME_ANA_CHANGE), 0);
	assert_int_equal(state_of_7(NULL), VIO_NVME_ANA_CHANGE);
	assert_int_equal(vio_nvme_ana_set(t.s, 0, 7, VIO_NVME_ANA_OPTIMIZED), 0);
	expect_event(aer);
	assert_int_equal(vio_nvme_ana_get(t.s, 4, 7), VIO_NVME_ANA_OPTIMIZED);
	assert_int_equal(state_of_7(NULL), VIO_NVME_ANA_OPTIMIZED);
}

static void what_is_lost_stays_lost(void **state)
{
	(void)state;
	add("ram:1M", 4, 128);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 128, VIO_NVME_ANA_PERSISTENT_LOSS), 0);
	await_status(4, PATH(NVME_SC_ANA_PERSISTENT_LOSS));
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 128, VIO_NVME_ANA_OPTIMIZED), -EPERM);
	assert_int_equal(vio_nvme_ana_set(t.s, 0, 128, VIO_NVME_ANA_OPTIMIZED), -EPERM);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 128, VIO_NVME_ANA_PERSISTENT_LOSS), 0);
	assert_int_equal(vio_nvme_ana_get(t.s, 9, 128), VIO_NVME_ANA_OPTIMIZED);
	expect_event(wait_for_event());
	state_of_7(NULL);
}

static void options_are_checked(void **state)
{
	VIO_OPTS(vio_nvme_ns_opts, o, .ana_group = 129);
	VIO_OPTS(vio_nvme_opts, so, .nqn = HOST_TARGET_NQN, .first_controller = 9, .last_controller = 8);
	struct vio_backend *b;
	struct vio_nvme *s;

	(void)state;
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	assert_int_equal(vio_nvme_ns_add(t.s, b, &o), -EINVAL);
	vio_backend_free(b);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 0, VIO_NVME_ANA_OPTIMIZED), -EINVAL);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 129, VIO_NVME_ANA_OPTIMIZED), -EINVAL);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 1, 0), -EINVAL);
	assert_int_equal(vio_nvme_ana_set(t.s, 3, 1, 5), -EINVAL);
	assert_int_equal(vio_nvme_ana_get(t.s, 3, 129), -EINVAL);
	assert_int_equal(vio_nvme_new(&s, &so), -EINVAL);
	so.last_controller = 0xfff0;
	assert_int_equal(vio_nvme_new(&s, &so), -EINVAL);
}

/* So that processes which serve one subsystem together never give the same. */
static void controllers_have_ids_of_their_range(void **state)
{
	VIO_OPTS(vio_nvme_opts, so, .nqn = HOST_TARGET_NQN, .first_controller = 500, .last_controller = 501);
	struct host_who who = { .cntlid = UINT16_MAX, .sqsize = 31 };
	struct target pair;
	struct host h[3];

	(void)state;
	target_start(&pair, 1, VIO_POLL_AUTO, &so, NULL);
	assert_int_equal(host_admin(&h[0], &pair, 0), 500);
	assert_int_equal(host_admin(&h[1], &pair, 0), 501);
	host_dial(&h[2], &pair);
	host_greet(&h[2], 0);
	assert_int_equal(host_connect(&h[2], &who),
			 NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | NVME_SC_CONNECT_CTRL_BUSY);
	for (unsigned i = 0; i < 3; i++)
		host_hang_up(&h[i]);
	target_stop(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controllers_and_namespaces_say_so),
		cmocka_unit_test(the_log_page_has_groups_and_their_namespaces),
		cmocka_unit_test(each_state_has_its_status),
		cmocka_unit_test(a_refused_write_is_not_executed),
		cmocka_unit_test(commands_under_way_end_well),
		cmocka_unit_test(hosts_are_told_once_until_they_read),
		cmocka_unit_test(what_is_lost_stays_lost),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(controllers_have_ids_of_their_range),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
