/* SPDX-License-Identifier: MIT */
/* Hosts create, attach, detach and delete namespaces; others see what they are to see, and what can't be is
 * refused. */
#include "nvme_manager.h"

#define DNR NVME_SC_DNR
#define SPECIFIC (NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | DNR)
#define EVENT 0x040002u /* a notice, namespace attribute changed, log page 4 */
#define OTHER_NQN "nqn.2014-08.org.example:other"

static struct target t;
static struct manager m;
static struct host admin, io, other, other_io; /* of two hosts */
static uint16_t id, other_id;
static uint32_t page[1024];

static uint16_t connect_as(struct host *h, const char *nqn, uint16_t qid, uint16_t cntlid)
{
	struct host_who w = { .hostnqn = nqn, .qid = qid, .cntlid = cntlid, .sqsize = 31 };
	uint16_t got;

	host_dial(h, &t);
	host_greet(h, 0);
	assert_int_equal(host_connect(h, &w), 0);
	got = (uint16_t)h->result;
	if (!qid)
		host_enable(h);
	return got;
}

static int open_all(void **state)
{
	VIO_OPTS(vio_nvme_opts, o, .nqn = HOST_TARGET_NQN, .max_namespaces = 8);

	(void)state;
	manager_init(&m);
	o.manager = &m.m;
	target_start(&t, 2, VIO_POLL_AUTO, &o, NULL);
	assert_int_equal(target_add(&t, "ram:1M"), 1);
	id = connect_as(&admin, HOST_NQN, 0, UINT16_MAX);
	connect_as(&io, HOST_NQN, 1, id);
	other_id = connect_as(&other, OTHER_NQN, 0, UINT16_MAX);
	connect_as(&other_io, OTHER_NQN, 1, other_id);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&io);
	host_hang_up(&admin);
	host_hang_up(&other_io);
	host_hang_up(&other);
	target_stop(&t);
	manager_settle(&m);
	return 0;
}

static uint16_t read_from(struct host *h, uint32_t nsid)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, nsid, 0, 512);
	char data[512];

	return host_get(h, &c, data, sizeof(data));
}

static bool lists(struct host *h, uint32_t cns, uint32_t nsid)
{
	assert_int_equal(host_identify(h, cns, 0, page), 0);
	for (unsigned i = 0; i < 1024 && page[i]; i++)
		if (page[i] == nsid)
			return true;
	return false;
}

static uint64_t free_bytes(void)
{
	struct nvme_id_ctrl *c = (void *)page;
	uint64_t n;

	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_CTRL, 0, page), 0);
	memcpy(&n, c->unvmcap, sizeof(n));
	return n;
}

static void expect_controllers(uint32_t cns, uint32_t nsid, unsigned n, uint16_t a, uint16_t b)
{
	struct nvme_ctrl_list *l = (void *)page;

	assert_int_equal(host_identify(&admin, cns, nsid, page), 0);
	assert_int_equal(l->num, n);
	if (n > 0)
		assert_int_equal(l->identifier[0], a);
	if (n > 1)
		assert_int_equal(l->identifier[1], b);
}

static uint32_t create(uint64_t blocks, uint8_t flbas, bool shared)
{
	struct nvme_id_ns ns = host_new_ns(blocks, flbas, shared);

	assert_int_equal(host_create(&admin, &ns), 0);
	return (uint32_t)admin.result;
}

static void they_live_and_die(void **state)
{
	struct nvme_id_ns *ns = (void *)page;
	uint64_t room = free_bytes();
	uint32_t nsid = create(4096, 0, true);

	(void)state;
	assert_int_equal(nsid, 2);
	assert_int_equal(free_bytes(), room - (2 << 20));
	assert_true(lists(&admin, NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST, nsid));
	assert_false(lists(&admin, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, nsid));
	assert_int_equal(read_from(&io, nsid), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, nsid, page), 0);
	assert_int_equal(ns->nsze, 0); /* inactive */
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_ALLOCATED_NS, nsid, page), 0);
	assert_int_equal(ns->nsze, 4096);
	expect_controllers(NVME_IDENTIFY_CNS_NS_CTRL_LIST, nsid, 0, 0, 0);

	assert_int_equal(host_attach(&admin, nsid, true, 1, other_id, 0), 0);
	assert_true(lists(&other, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, nsid));
	assert_false(lists(&admin, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, nsid));
	assert_int_equal(read_from(&other_io, nsid), 0); /* at once */
	assert_int_equal(read_from(&io, nsid), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_attach(&admin, nsid, true, 1, id, 0), 0);
	assert_int_equal(read_from(&io, nsid), 0);
	expect_controllers(NVME_IDENTIFY_CNS_NS_CTRL_LIST, nsid, 2, id, other_id);
	assert_int_equal(m.ns[nsid].kept.nhosts, 2);

	assert_int_equal(host_attach(&admin, nsid, false, 1, other_id, 0), 0);
	assert_int_equal(read_from(&other_io, nsid), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(read_from(&io, nsid), 0);
	assert_int_equal(m.ns[nsid].kept.nhosts, 1);
	assert_string_equal(m.ns[nsid].hosts[0], HOST_NQN);

	assert_int_equal(host_delete(&other, nsid), 0);
	assert_int_equal(read_from(&io, nsid), NVME_SC_INVALID_FIELD | DNR);
	assert_false(lists(&admin, NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST, nsid));
	assert_int_equal(free_bytes(), room);
	assert_int_equal(m.ns[nsid].kept.nsid, 0);
}

/* Large blocks over a store that has small ones. */
static void they_have_the_blocks_asked_for(void **state)
{
	struct nvme_id_ns *ns = (void *)page;
	char data[4096], back[4096];
	struct nvme_cmd c;
	uint32_t nsid;

	(void)state;
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, NVME_NSID_ALL, page), 0);
	assert_int_equal(ns->nlbaf, 1);
	assert_int_equal(ns->lbaf[0].ds, 9);
	assert_int_equal(ns->lbaf[1].ds, 12);
	nsid = create(256, 1, true);
	assert_int_equal(host_attach(&admin, nsid, true, 1, id, 0), 0);
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, nsid, page), 0);
	assert_int_equal(ns->nsze, 256);
	assert_int_equal(ns->flbas, 1);
	assert_int_equal(ns->lbaf[1].ds, 12);
	memset(data, 0x5c, sizeof(data));
	c = host_rw(nvme_cmd_write, nsid, 255, 512);
	assert_int_equal(host_put(&io, &c, data, 4096), 0);
	c.opcode = nvme_cmd_read;
	assert_int_equal(host_get(&io, &c, back, 4096), 0);
	assert_memory_equal(data, back, 4096);
	c.cdw10 = 256;
	assert_int_equal(host_get(&io, &c, back, 4096), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(host_delete(&admin, nsid), 0);
}

static void expect_refused(struct nvme_id_ns ns, uint16_t status)
{
	unsigned created = m.created;

	assert_int_equal(host_create(&admin, &ns), status);
	assert_int_equal(m.created, created);
}

static void bad_namespaces_are_refused(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_ns_mgmt, .cdw10 = 2 };
	struct nvme_id_ns ns;

	(void)state;
	expect_refused(host_new_ns(0, 0, true), NVME_SC_INVALID_FIELD | DNR);
	expect_refused(host_new_ns(UINT64_MAX, 0, true), SPECIFIC | NVME_SC_NS_INSUFFICIENT_CAP);
	expect_refused(host_new_ns(1ull << 55, 0, true),
		       SPECIFIC | NVME_SC_NS_INSUFFICIENT_CAP); /* << 9 is 0 */
	expect_refused(host_new_ns(17 << 11, 0, true), SPECIFIC | NVME_SC_NS_INSUFFICIENT_CAP);
	for (unsigned flbas = 2; flbas < 256; flbas++)
		expect_refused(host_new_ns(8, (uint8_t)flbas, true), SPECIFIC | NVME_SC_INVALID_FORMAT);
	ns = host_new_ns(8, 0, true);
	ns.ncap = 7;
	expect_refused(ns, SPECIFIC | NVME_SC_THIN_PROV_NOT_SUPP);
	ns.ncap = 9;
	expect_refused(ns, NVME_SC_INVALID_FIELD | DNR);
	ns = host_new_ns(8, 0, true);
	ns.dps = 1;
	expect_refused(ns, NVME_SC_INVALID_FIELD | DNR);
	ns = host_new_ns(8, 0, true);
	ns.nmic = 2;
	expect_refused(ns, NVME_SC_INVALID_FIELD | DNR);
	ns = host_new_ns(8, 0, true);
	ns.anagrpid = 129;
	expect_refused(ns, NVME_SC_INVALID_FIELD | DNR);
	ns = host_new_ns(8, 0, true);
	ns.nvmsetid = 1;
	expect_refused(ns, NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_do(&admin, &c), NVME_SC_INVALID_FIELD | DNR);
	c.cdw10 = 0;
	assert_int_equal(host_do(&admin, &c), NVME_SC_SGL_INVALID_DATA | DNR); /* no data */
	c.cdw11 = 2u << 24;						       /* another command set */
	ns = host_new_ns(8, 0, true);
	assert_int_equal(host_put(&admin, &c, &ns, 4096), NVME_SC_INVALID_FIELD | DNR);
	c.cdw11 = 0;
	c.nsid = 3;
	assert_int_equal(host_put(&admin, &c, &ns, 4096), NVME_SC_INVALID_FIELD | DNR);
}

static void all_ids_and_all_room_can_be_used(void **state)
{
	struct nvme_id_ns ns = host_new_ns(1, 0, true);

	(void)state;
	for (uint32_t i = 2; i <= 8; i++)
		assert_int_equal(create(1, 0, true), i);
	assert_int_equal(host_create(&admin, &ns), SPECIFIC | NVME_SC_NS_ID_UNAVAILABLE);
	assert_int_equal(host_delete(&admin, NVME_NSID_ALL),
			 NVME_SC_OP_DENIED | DNR); /* 1 is the embedder's */
	for (uint32_t i = 2; i <= 8; i++)
		assert_int_equal(host_delete(&admin, i), 0);
	assert_int_equal(create(16 << 11, 0, true), 2); /* all there is */
	assert_int_equal(free_bytes(), 0);
	assert_int_equal(host_create(&admin, &ns), SPECIFIC | NVME_SC_NS_INSUFFICIENT_CAP);
	assert_int_equal(host_delete(&admin, 2), 0);
}

static void bad_deletes_are_refused(void **state)
{
	(void)state;
	assert_int_equal(host_delete(&admin, 1), NVME_SC_OP_DENIED | DNR);
	assert_int_equal(host_delete(&admin, 7), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_delete(&admin, 0), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(host_delete(&admin, 9), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(read_from(&io, 1), 0);
}

static void bad_attachments_are_refused(void **state)
{
	uint32_t nsid = create(8, 0, true);
	struct nvme_cmd c = { .opcode = nvme_admin_ns_attach, .nsid = nsid, .cdw10 = 2 };
	uint16_t low = id < other_id ? id : other_id, high = id < other_id ? other_id : id;

	(void)state;
	memset(page, 0, sizeof(page));
	assert_int_equal(host_put(&admin, &c, page, 4096), NVME_SC_INVALID_FIELD | DNR);
	c.cdw10 = 0;
	assert_int_equal(host_do(&admin, &c), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_attach(&admin, nsid, true, 0, id, 0), SPECIFIC | NVME_SC_CTRL_LIST_INVALID);
	assert_int_equal(host_attach(&admin, nsid, true, 2048, id, 0), SPECIFIC | NVME_SC_CTRL_LIST_INVALID);
	assert_int_equal(host_attach(&admin, nsid, true, 65535, id, 0), SPECIFIC | NVME_SC_CTRL_LIST_INVALID);
	assert_int_equal(host_attach(&admin, nsid, true, 2, high, low), SPECIFIC | NVME_SC_CTRL_LIST_INVALID);
	assert_int_equal(host_attach(&admin, nsid, true, 2, id, id), SPECIFIC | NVME_SC_CTRL_LIST_INVALID);
	assert_int_equal(host_attach(&admin, nsid, true, 2, low, 0xfff0),
			 SPECIFIC | NVME_SC_CTRL_LIST_INVALID);
	expect_controllers(NVME_IDENTIFY_CNS_NS_CTRL_LIST, nsid, 0, 0, 0); /* none of it */
	assert_int_equal(host_attach(&admin, 0, true, 1, id, 0), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(host_attach(&admin, NVME_NSID_ALL, true, 1, id, 0), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(host_attach(&admin, 7, true, 1, id, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_attach(&admin, nsid, false, 1, id, 0), SPECIFIC | NVME_SC_NS_NOT_ATTACHED);
	assert_int_equal(host_attach(&admin, nsid, true, 2, low, high), 0);
	assert_int_equal(host_attach(&admin, nsid, true, 1, id, 0), SPECIFIC | NVME_SC_NS_ALREADY_ATTACHED);
	assert_int_equal(host_delete(&admin, nsid), 0);
}

static void private_ones_have_one_controller(void **state)
{
	uint16_t low = id < other_id ? id : other_id, high = id < other_id ? other_id : id, again;
	uint32_t nsid = create(8, 0, false);
	struct nvme_id_ns *ns = (void *)page;
	struct host second, second_io;

	(void)state;
	assert_int_equal(host_attach(&admin, nsid, true, 2, low, high), SPECIFIC | NVME_SC_NS_IS_PRIVATE);
	assert_int_equal(host_attach(&admin, nsid, true, 1, id, 0), 0);
	assert_int_equal(host_attach(&admin, nsid, true, 1, other_id, 0), SPECIFIC | NVME_SC_NS_IS_PRIVATE);
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, nsid, page), 0);
	assert_int_equal(ns->nmic, 0);
	assert_int_equal(read_from(&io, nsid), 0);

	again = connect_as(&second, HOST_NQN, 0, UINT16_MAX); /* takes over: the first may be dead */
	connect_as(&second_io, HOST_NQN, 1, again);
	expect_controllers(NVME_IDENTIFY_CNS_NS_CTRL_LIST, nsid, 1, again, 0);
	assert_int_equal(read_from(&second_io, nsid), 0);
	assert_int_equal(read_from(&io, nsid), NVME_SC_INVALID_FIELD | DNR);
	host_hang_up(&second_io);
	host_hang_up(&second);
	while (read_from(&io, nsid)) /* it has it back when the other was missed */
		;
	assert_int_equal(host_delete(&admin, nsid), 0);
}

/* A host that connects anew has what was attached to it, and the embedder's own can be taken from it as well.
 */
static void attachments_outlive_controllers(void **state)
{
	uint32_t nsid = create(8, 0, true);

	(void)state;
	assert_int_equal(host_attach(&admin, nsid, true, 1, other_id, 0), 0);
	assert_int_equal(host_attach(&admin, 1, false, 1, other_id, 0), 0);
	assert_true(m.ns[1].kept.all);
	assert_int_equal(m.ns[1].kept.nhosts, 1);
	host_hang_up(&other_io);
	host_hang_up(&other);
	other_id = connect_as(&other, OTHER_NQN, 0, UINT16_MAX);
	connect_as(&other_io, OTHER_NQN, 1, other_id);
	assert_true(lists(&other, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, nsid));
	assert_false(lists(&other, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, 1));
	assert_int_equal(read_from(&other_io, nsid), 0);
	assert_int_equal(read_from(&other_io, 1), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(read_from(&io, 1), 0);
	assert_int_equal(host_attach(&admin, 1, true, 1, other_id, 0), 0);
	assert_int_equal(read_from(&other_io, 1), 0);
	assert_int_equal(host_delete(&admin, nsid), 0);
}

static void the_embedder_attaches_too(void **state)
{
	VIO_OPTS(vio_nvme_ns_opts, o, .nsid = 5, .detached = true);
	struct vio_backend *b;

	(void)state;
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	assert_int_equal(vio_nvme_ns_add(t.s, b, &o), 5);
	assert_int_equal(read_from(&io, 5), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(vio_nvme_ns_attach(t.s, 5, HOST_NQN, true), 0);
	assert_int_equal(read_from(&io, 5), 0);
	assert_int_equal(read_from(&other_io, 5), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_delete(&admin, 5), NVME_SC_OP_DENIED | DNR);
	assert_int_equal(vio_nvme_ns_attach(t.s, 6, HOST_NQN, true), -ENOENT);
	assert_int_equal(vio_nvme_ns_attach(t.s, 5, "me", true), -EINVAL);
	for (unsigned i = 0; i < 255; i++) {
		char nqn[64];

		snprintf(nqn, sizeof(nqn), "nqn.2014-08.org.example:h%u", i);
		assert_int_equal(vio_nvme_ns_attach(t.s, 5, nqn, true), 0);
	}
	assert_int_equal(vio_nvme_ns_attach(t.s, 5, OTHER_NQN, true), -ENOSPC);
	assert_int_equal(host_attach(&admin, 5, true, 1, other_id, 0),
			 SPECIFIC | NVME_SC_NS_ATTACHMENT_LIMIT_EXCEEDED);
	assert_int_equal(vio_nvme_ns_remove(t.s, 5), 0);
	o.block = 256;
	assert_int_equal(vio_nvme_ns_add(t.s, b, &o), -EINVAL);
	o.block = 1 << 20;
	assert_int_equal(vio_nvme_ns_add(t.s, b, &o), -EINVAL);
	vio_backend_free(b);
}

static void only_those_that_have_it_are_told(void **state)
{
	struct nvme_cmd want = { .opcode = nvme_admin_set_features,
				 .cdw10 = NVME_FEAT_FID_ASYNC_EVENT,
				 .cdw11 = 1u << 8 };
	struct nvme_cmd aer = { .opcode = nvme_admin_async_event };
	struct nvme_cmd log = { .opcode = nvme_admin_get_log_page,
				.cdw10 = NVME_LOG_LID_CHANGED_NS | 1023u << 16 };
	uint32_t nsid = create(8, 0, true);
	uint16_t cid;

	(void)state;
	assert_int_equal(host_get(&other, &log, page, 4096), 0);
	assert_int_equal(host_get(&admin, &log, page, 4096), 0);
	assert_int_equal(host_do(&other, &want), 0);
	cid = host_send(&other, &aer, NULL, 0);
	assert_int_equal(host_attach(&admin, nsid, true, 1, other_id, 0), 0);
	assert_int_equal(host_finish(&other, cid, NULL, NULL), 0);
	assert_int_equal(other.result, EVENT);
	assert_int_equal(host_get(&other, &log, page, 4096), 0);
	assert_int_equal(page[0], nsid);
	assert_int_equal(page[1], 0);
	cid = host_send(&other, &aer, NULL, 0);
	assert_int_equal(host_delete(&admin, nsid), 0);
	assert_int_equal(host_finish(&other, cid, NULL, NULL), 0);
	assert_int_equal(host_get(&other, &log, page, 4096), 0);
	assert_int_equal(page[0], nsid);
	assert_int_equal(host_get(&admin, &log, page, 4096), 0);
	assert_int_equal(page[0], 0); /* it never had it */
}

static void failures_are_said(void **state)
{
	struct nvme_id_ns ns = host_new_ns(8, 0, true);
	uint64_t room = free_bytes();
	uint32_t nsid;

	(void)state;
	m.create_fails = ENOSPC;
	assert_int_equal(host_create(&admin, &ns), SPECIFIC | NVME_SC_NS_INSUFFICIENT_CAP);
	m.create_fails = EIO;
	assert_int_equal(host_create(&admin, &ns), NVME_SC_INTERNAL);
	m.create_fails = 0;
	assert_int_equal(free_bytes(), room);
	nsid = create(8, 0, true);
	m.save_fails = EIO;
	assert_int_equal(host_attach(&admin, nsid, true, 1, id, 0), NVME_SC_INTERNAL);
	m.save_fails = 0;
	m.destroy_fails = EIO;
	assert_int_equal(host_delete(&admin, nsid), NVME_SC_INTERNAL);
	m.destroy_fails = 0;
	assert_int_not_equal(create(8, 0, true), nsid); /* what is left of it must not be another's */
	assert_int_equal(free_bytes(), room - (2 << 20));
	assert_int_equal(host_delete(&admin, nsid + 1), 0);
}

/* The host goes while its command is under way: it is done all the same. */
static void hosts_may_go_meanwhile(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_ns_mgmt };
	struct nvme_id_ns ns = host_new_ns(8, 0, true);
	unsigned created = m.created;
	struct host h;

	(void)state;
	connect_as(&h, OTHER_NQN, 0, UINT16_MAX);
	manager_hold(&m, true);
	host_send(&h, &c, &ns, 4096);
	host_property_get(&h, 0x1c, false); /* the command before was taken */
	host_hang_up(&h);
	manager_hold(&m, false);
	manager_settle(&m);
	assert_int_equal(m.created, created + 1);
	for (uint32_t i = 8; i > 1; i--)
		if (lists(&admin, NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST, i)) {
			assert_int_equal(host_delete(&admin, i), 0);
			return;
		}
	fail_msg("it was not made");
}

static void without_a_manager_there_is_none_of_it(void **state)
{
	VIO_OPTS(vio_nvme_opts, o, .nqn = HOST_TARGET_NQN);
	struct manager bad;
	struct vio_nvme *s;

	(void)state;
	manager_init(&bad);
	o.manager = &bad.m;
	bad.m.work = NULL;
	assert_int_equal(vio_nvme_new(&s, &o), -EINVAL);
	manager_init(&bad);
	bad.m.destroy = NULL;
	assert_int_equal(vio_nvme_new(&s, &o), -EINVAL);
	manager_init(&bad);
	bad.m.granularity = 5000;
	assert_int_equal(vio_nvme_new(&s, &o), -EINVAL);
	manager_init(&bad);
	bad.m.block = 1024;
	assert_int_equal(vio_nvme_new(&s, &o), -EINVAL);
	manager_init(&bad);
	bad.m.capacity = 1ull << 63;
	assert_int_equal(vio_nvme_new(&s, &o), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_live_and_die),
		cmocka_unit_test(they_have_the_blocks_asked_for),
		cmocka_unit_test(bad_namespaces_are_refused),
		cmocka_unit_test(all_ids_and_all_room_can_be_used),
		cmocka_unit_test(bad_deletes_are_refused),
		cmocka_unit_test(bad_attachments_are_refused),
		cmocka_unit_test(private_ones_have_one_controller),
		cmocka_unit_test(attachments_outlive_controllers),
		cmocka_unit_test(the_embedder_attaches_too),
		cmocka_unit_test(only_those_that_have_it_are_told),
		cmocka_unit_test(hosts_may_go_meanwhile),
		cmocka_unit_test(failures_are_said),
		cmocka_unit_test(without_a_manager_there_is_none_of_it),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
