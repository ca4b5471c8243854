/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* A primary controller gives queues and vectors to its secondaries, sets them on line and off again; what a
 * secondary is meanwhile. */
#include "nvme_pci_host.h"

#include <linux/pci_regs.h>

#define SECONDARIES 3u
#define ASSIGN 8u
#define OFFLINE 7u
#define ONLINE 9u
#define QUEUES 0u
#define VECTORS 1u
#define NO_SUCH_CONTROLLER SPECIFIC(NVME_SC_INVALID_CTRL_ID)
#define WRONG_STATE SPECIFIC(NVME_SC_INVALID_SEC_CTRL_STATE)
#define TOO_MANY SPECIFIC(NVME_SC_INVALID_CTRL_RESOURCES)
#define DATA 0x80000u

/* The primary is g[0], and has the subsystem; number 1 and 3 are there. */
static void plug(struct guest *g, bool threads)
{
	static const unsigned number[] = { 0, 3, 1 };
	VIO_OPTS(vio_nvme_opts, so, .nqn = "nqn.2014-08.org.example:disks");
	VIO_OPTS(vio_nvme_pci_opts, po, .queues = GUEST_QUEUES - 1, .pollers = &g->other,
		 .npollers = threads);
	VIO_OPTS(vio_vfio_user_opts, vo);

	memset(g, 0, 3 * sizeof(*g));
	client_new(&g->c);
	if (threads)
		assert_int_equal(vio_poller_new(&g->other, NULL), 0);
	assert_int_equal(vio_nvme_new(&g->s, &so), 0);
	guest_add(g, "ram:1M");
	po.secondaries = SECONDARIES;
	assert_int_equal(vio_nvme_pci_new(&g->f, g->c.p, g->s, &po), 0);
	po.secondaries = 0;
	for (unsigned i = 1; i < 3; i++) {
		g[i].c = (struct client){ .p = g->c.p, .s = -1 };
		client_memory(&g[i].c);
		assert_int_equal(vio_nvme_pci_secondary(&g[i].f, g->f, number[i], &po), 0);
	}
	if (threads)
		assert_int_equal(pthread_create(&g->thread, NULL, guest_thread, g), 0);
	for (unsigned i = 0; i < 3; i++) {
		client_attach(&g[i].c, g[i].f, &vo);
		client_greet(&g[i].c);
		assert_int_equal(client_map(&g[i].c, GUEST), 0);
	}
}

static void unplug(struct guest *g)
{
	for (unsigned i = 1; i < 3; i++) {
		client_hang_up(&g[i].c);
		client_stop(&g[i].c);
		g[i].c.stopped = false;
		vio_nvme_pci_stop(g[i].f, guest_gone, &g[i]);
		while (!g[i].c.stopped)
			client_pump(&g[i].c);
		vio_nvme_pci_free(g[i].f);
		munmap(g[i].c.mem, CLIENT_MEM);
		close(g[i].c.memfd);
	}
	guest_unplug(g);
}

static const void *identify(struct guest *g, uint32_t cdw10, uint16_t expected)
{
	struct nvme_cmd *c = guest_next(g, 0, nvme_admin_identify);

	c->prp1 = GUEST + DATA;
	c->cdw10 = cdw10;
	assert_int_equal(guest_do(g, 0, NULL), expected);
	return g->c.mem + DATA;
}

static struct nvme_secondary_ctrl entry(struct guest *g, unsigned vfn)
{
	const struct nvme_secondary_ctrl_list *l = identify(g, NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST, 0);

	for (unsigned i = 0; i < l->num; i++)
		if (l->sc_entry[i].vfn == vfn)
			return l->sc_entry[i];
	fail_msg("no secondary %u", vfn);
	return l->sc_entry[0];
}

static uint16_t manage(struct guest *g, uint16_t cntlid, unsigned action, unsigned what, unsigned n)
{
	struct nvme_cmd *c = guest_next(g, 0, nvme_admin_virtual_mgmt);
	uint32_t result;
	uint16_t status;

	c->cdw10 = action | what << 8 | (uint32_t)cntlid << 16;
	c->cdw11 = n;
	status = guest_do(g, 0, &result);
	if (!status && action == ASSIGN)
		assert_int_equal(result, n);
	return status;
}

static void give(struct guest *g, uint16_t cntlid, unsigned queues, unsigned vectors)
{
	assert_int_equal(manage(g, cntlid, ASSIGN, QUEUES, queues), 0);
	assert_int_equal(manage(g, cntlid, ASSIGN, VECTORS, vectors), 0);
	assert_int_equal(manage(g, cntlid, ONLINE, 0, 0), 0);
}

static void expect_dead(struct guest *g)
{
	assert_int_equal(guest_csts(g), 2);
	assert_int_equal(client_get(&g->c, 0, 0, 8), 0);
	client_put(&g->c, 0, REG_CC, CC_ENABLE, 4);
	client_put(&g->c, 0, 0x1000, 3, 4);
	assert_int_equal(client_get(&g->c, 0, REG_CC, 4), 0);
	assert_int_equal(guest_csts(g), 2);
}

static void what_there_is_is_told(void **state)
{
	const struct nvme_primary_ctrl_cap *cap;
	const struct nvme_secondary_ctrl_list *l;
	const struct nvme_id_ctrl *id;
	struct guest g[3];
	uint16_t primary;

	(void)state;
	plug(g, false);
	guest_enable(g);
	id = identify(g, NVME_IDENTIFY_CNS_CTRL, 0);
	assert_true(id->oacs & NVME_CTRL_OACS_VIRT_MGMT);
	assert_false(id->cmic & 4);
	cap = identify(g, NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP, 0);
	primary = cap->cntlid;
	assert_int_equal(cap->crt, 3);
	assert_int_equal(cap->vqfrt, SECONDARIES * GUEST_QUEUES);
	assert_int_equal(cap->vifrt, SECONDARIES * GUEST_QUEUES);
	assert_int_equal(cap->vqprt, GUEST_QUEUES);
	assert_int_equal(cap->vqfrsm, GUEST_QUEUES);
	assert_int_equal(cap->vqrfa, 0);
	l = identify(g, NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST, 0);
	assert_int_equal(l->num, 2);
	assert_true(l->sc_entry[0].scid < l->sc_entry[1].scid);
	assert_int_equal(l->sc_entry[0].vfn, 3);
	assert_int_equal(l->sc_entry[0].pcid, primary);
	l = identify(g, NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST | (uint32_t)l->sc_entry[1].scid << 16, 0);
	assert_int_equal(l->num, 1); /* from there on */
	assert_int_equal(l->sc_entry[0].vfn, 1);
	expect_dead(&g[1]);
	expect_dead(&g[2]);
	unplug(g);
}

static void online(bool threads)
{
	const struct nvme_id_ctrl *id;
	struct nvme_secondary_ctrl e;
	struct guest g[3];
	uint16_t scid;

	plug(g, threads);
	guest_enable(g);
	scid = entry(g, 1).scid;
	assert_int_equal(manage(g, scid, ONLINE, 0, 0), WRONG_STATE); /* it has nothing */
	assert_int_equal(manage(g, scid, ASSIGN, QUEUES, 1), 0);
	assert_int_equal(manage(g, scid, ASSIGN, VECTORS, 1), 0);
	assert_int_equal(manage(g, scid, ONLINE, 0, 0), WRONG_STATE); /* no queue for I/O */
	give(g, scid, 3, 2);
	assert_int_equal(manage(g, scid, ONLINE, 0, 0), 0);
	assert_int_equal(manage(g, scid, ASSIGN, QUEUES, 4), WRONG_STATE);
	e = entry(g, 1);
	assert_int_equal(e.scs, 1);
	assert_int_equal(e.nvq, 3);
	assert_int_equal(e.nvi, 2);
	assert_int_equal(
		((const struct nvme_primary_ctrl_cap *)identify(g, NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP, 0))
			->vqrfa,
		3);
	expect_dead(&g[1]); /* number 3 */

	guest_enable(&g[2]);
	id = identify(&g[2], NVME_IDENTIFY_CNS_CTRL, 0);
	assert_int_equal(id->cntlid, scid);
	assert_true(id->cmic & 4);
	assert_false(id->oacs & NVME_CTRL_OACS_VIRT_MGMT);
	identify(&g[2], NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST, INVALID_FIELD);
	assert_int_equal(manage(&g[2], scid, OFFLINE, 0, 0),
			 NVME_STATUS(NVME_SC_INVALID_OPCODE) | NVME_STATUS_DNR);
	guest_pair(&g[2], 1);
	assert_int_equal(guest_create_cq(&g[2], 2, GUEST_ENTRIES, GUEST + GUEST_CQ(2), 3 | 2 << 16),
			 SPECIFIC(NVME_SC_INVALID_VECTOR)); /* two were given: 0 and 1 */
	assert_int_equal(guest_create_cq(&g[2], 3, GUEST_ENTRIES, GUEST + GUEST_CQ(3), 1),
			 SPECIFIC(NVME_SC_QID_INVALID)); /* three: 0 to 2 */
	guest_io(&g[2], 1, nvme_cmd_write, 0, 1, 0);
	assert_int_equal(guest_do(&g[2], 1, NULL), 0);

	guest_io(&g[2], 1, nvme_cmd_write, 0, 1, 0);
	guest_ring(&g[2], 1);
	assert_int_equal(manage(g, scid, OFFLINE, 0, 0), 0);
	expect_dead(&g[2]);
	e = entry(g, 1);
	assert_int_equal(e.scs, 0);
	assert_int_equal(e.nvq, 0);
	assert_int_equal(e.nvi, 0);
	give(g, scid, GUEST_QUEUES, GUEST_QUEUES); /* and on again, with more */
	assert_int_equal(guest_csts(&g[2]) & 2, 0);
	guest_enable(&g[2]);
	guest_pair(&g[2], GUEST_QUEUES - 1);
	unplug(g);
}

static void it_is_used_when_it_is_on_line(void **state)
{
	(void)state;
	online(false);
	online(true);
}

static void what_cannot_be_is_refused(void **state)
{
	struct guest g[3];
	uint16_t scid, primary;

	(void)state;
	plug(g, false);
	guest_enable(g);
	scid = entry(g, 3).scid;
	primary = entry(g, 3).pcid;
	assert_int_equal(manage(g, 999, ONLINE, 0, 0), NO_SUCH_CONTROLLER);
	assert_int_equal(manage(g, primary, ASSIGN, QUEUES, 1), NO_SUCH_CONTROLLER);
	assert_int_equal(manage(g, scid, ASSIGN, QUEUES, GUEST_QUEUES + 1), TOO_MANY);
	assert_int_equal(manage(g, scid, ASSIGN, 2, 1), SPECIFIC(NVME_SC_INVALID_RESOURCE_ID));
	assert_int_equal(manage(g, primary, 1, QUEUES, 1), TOO_MANY);
	assert_int_equal(manage(g, primary, 1, QUEUES, 0), 0);
	assert_int_equal(manage(g, scid, 1, QUEUES, 1), NO_SUCH_CONTROLLER);
	for (unsigned action = 0; action < 16; action++)
		if (action != 1 && (action < 7 || action > 9))
			assert_int_equal(manage(g, scid, action, 0, 0), INVALID_FIELD);
	assert_int_equal(entry(g, 3).nvq, 0);
	unplug(g);
}

static unsigned sriov(struct guest *g)
{
	unsigned at = 0x100;
	uint64_t header;

	while (((header = client_get(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at, 4)) & 0xffff) !=
	       PCI_EXT_CAP_ID_SRIOV) {
		at = (unsigned)header >> 20;
		assert_true(at);
	}
	return at;
}

static void prepare(struct guest *g)
{
	if (guest_csts(g) & 1)
		guest_disable(g);
	guest_enable(g);
	give(g, entry(g, 1).scid, 4, 4);
	guest_enable(&g[2]);
	guest_pair(&g[2], 1);
	guest_io(&g[2], 1, nvme_cmd_read, 0, 1, 0);
	guest_ring(&g[2], 1);
}

/* A reset of the primary, of either kind, and VF Enable that goes. */
static void secondaries_go_with_their_primary(void **state)
{
	struct guest g[3];
	unsigned at;

	(void)state;
	plug(g, true);
	prepare(g);
	guest_disable(g);
	expect_dead(&g[2]);
	prepare(g);
	assert_int_equal(client_ask(&g->c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL), 0);
	expect_dead(&g[2]);
	at = sriov(g);
	assert_int_equal(client_get(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at + PCI_SRIOV_TOTAL_VF, 2),
			 SECONDARIES);
	client_put(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at + PCI_SRIOV_NUM_VF, 2, 2);
	client_put(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at + PCI_SRIOV_BAR, 0xffffffff, 4);
	assert_int_equal(client_get(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at + PCI_SRIOV_BAR, 4), 0xffffc004);
	client_put(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at + PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, 2);
	prepare(g);
	client_put(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at + PCI_SRIOV_CTRL, 0, 2);
	expect_dead(&g[2]);
	assert_int_equal(entry(g, 1).scs, 0);
	prepare(g);
	assert_int_equal(client_ask(&g[2].c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL), 0); /* its own */
	assert_int_equal(guest_csts(&g[2]) & 2, 0);
	assert_int_equal(entry(g, 1).scs, 1);
	assert_int_equal(client_set_state(&g[2].c, VFIO_DEVICE_STATE_STOP), -ENOTTY);
	assert_int_equal(client_set_state(&g[0].c, VFIO_DEVICE_STATE_STOP), -ENOTTY);
	unplug(g);
}

static void wrong_options_are_refused(void **state)
{
	VIO_OPTS(vio_nvme_pci_opts, o);
	struct vio_pci *f;
	struct guest g[3];

	(void)state;
	plug(g, false);
	assert_int_equal(vio_nvme_pci_secondary(&f, g->f, 0, NULL), -EINVAL);
	assert_int_equal(vio_nvme_pci_secondary(&f, g->f, SECONDARIES + 1, NULL), -EINVAL);
	assert_int_equal(vio_nvme_pci_secondary(&f, g->f, 1, NULL), -EEXIST);
	assert_int_equal(vio_nvme_pci_secondary(&f, g[1].f, 1, NULL), -EINVAL);
	o.queues = 2;
	assert_int_equal(vio_nvme_pci_secondary(&f, g->f, 2, &o), -EINVAL);
	o.queues = 0;
	o.secondaries = 1;
	assert_int_equal(vio_nvme_pci_secondary(&f, g->f, 2, &o), -EINVAL);
	o.secondaries = 128;
	assert_int_equal(vio_nvme_pci_new(&f, g->c.p, g->s, &o), -EINVAL);
	unplug(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_there_is_is_told),
		cmocka_unit_test(it_is_used_when_it_is_on_line),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(secondaries_go_with_their_primary),
		cmocka_unit_test(wrong_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
