/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* Resets, deletions, changes of memory and clients that go, each with commands under way: none is answered
 * twice, none lost that should be answered, and the next driver finds all as it should be. */
#include "nvme_pci_host.h"

#include <linux/pci_regs.h>

#define SLOW "ram:1M | throttle:iops=400,iops-burst=1"
#define DEEP 12u

/* On one thread, and with the queues on another. */
static void both(void (*test)(struct guest *g))
{
	for (int threads = 0; threads < 2; threads++) {
		struct guest g;

		guest_plug(&g, SLOW, threads);
		guest_enable(&g);
		guest_pair(&g, 1);
		guest_pair(&g, 2);
		test(&g);
		guest_unplug(&g);
	}
}

/* Many are taken; the throttle lets few through. */
static void load(struct guest *g, unsigned q)
{
	for (unsigned i = 0; i < DEEP; i++)
		guest_io(g, q, i % 2 ? nvme_cmd_write : nvme_cmd_read, i, 1, i * 512);
	guest_ring(g, q);
}

static unsigned answers(struct guest *g, unsigned q, unsigned n)
{
	struct nvme_cqe e;

	for (unsigned i = 0; i < n;)
		i += guest_poll(g, q, &e) ? 1 : (client_pump(&g->c), 0);
	guest_read(g, q);
	client_pump(&g->c);
	return guest_poll(g, q, &e) ? 1 : 0;
}

static void works(struct guest *g)
{
	guest_pair(g, 1);
	guest_io(g, 1, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(g, 1, NULL), 0);
}

static void disable(struct guest *g)
{
	load(g, 1);
	load(g, 2);
	guest_disable(g);
	guest_enable(g);
	works(g);
}

static void disabled_under_load(void **state)
{
	(void)state;
	both(disable);
}

static unsigned exp_cap(struct guest *g)
{
	unsigned at = (unsigned)client_get(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, PCI_CAPABILITY_LIST, 1);

	while (client_get(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at, 1) != PCI_CAP_ID_EXP)
		at = (unsigned)client_get(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at + 1, 1);
	return at;
}

static void flr(struct guest *g)
{
	unsigned at = exp_cap(g) + PCI_EXP_DEVCTL;

	load(g, 1);
	client_put(&g->c, VFIO_PCI_CONFIG_REGION_INDEX, at, PCI_EXP_DEVCTL_BCR_FLR, 2);
	assert_int_equal(guest_csts(g), 0);
	assert_int_equal(client_get(&g->c, 0, REG_CC, 4), 0);
	guest_enable(g);
	works(g);
	load(g, 1);
	assert_int_equal(client_ask(&g->c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL), 0);
	guest_enable(g); /* at once */
	works(g);
}

static void reset_under_load(void **state)
{
	(void)state;
	both(flr);
}

/* Answers of a queue that is deleted do not come after its deletion was answered. */
static void delete (struct guest *g)
{
	struct nvme_cqe e;

	load(g, 1);
	load(g, 2);
	assert_int_equal(guest_delete(g, nvme_admin_delete_sq, 1), 0);
	assert_int_equal(guest_delete(g, nvme_admin_delete_cq, 1), 0);
	while (guest_poll(g, 1, &e))
		; /* those from before */
	assert_int_equal(answers(g, 2, DEEP), 0);
	assert_false(guest_poll(g, 1, &e));
	works(g);
}

static void deleted_under_load(void **state)
{
	(void)state;
	both(delete);
}

/* The controller is switched off while a deletion waits for what is under way. */
static void delete_and_disable(struct guest *g)
{
	load(g, 1);
	guest_next(g, 0, nvme_admin_delete_sq)->cdw10 = 1;
	guest_next(g, 0, nvme_admin_delete_sq)->cdw10 = 1; /* twice, which can't be */
	guest_next(g, 0, nvme_admin_delete_sq)->cdw10 = 2;
	guest_next(g, 0, nvme_admin_delete_cq)->cdw10 = 2;
	guest_ring(g, 0);
	guest_disable(g);
	guest_enable(g);
	works(g);
}

static void disabled_while_it_deletes(void **state)
{
	(void)state;
	both(delete_and_disable);
}

/* All that was taken is answered before the map changes; what comes after sees the new one. */
static void remap(struct guest *g)
{
	for (unsigned i = 0; i < 3; i++) {
		load(g, 1);
		assert_int_equal(client_map_as(&g->c, 0x40000000 + i * 0x1000, 0x1000, 0, 3, 1), 0);
		assert_int_equal(answers(g, 1, DEEP), 0);
	}
	guest_io(g, 1, nvme_cmd_write, 0, 1, 0);
	guest_next(g, 1, nvme_cmd_write); /* it has no namespace */
	guest_ring(g, 1);
	assert_int_equal(answers(g, 1, 2), 0);
}

static void memory_comes_under_load(void **state)
{
	(void)state;
	both(remap);
}

/* Rings whose memory has gone stand still, and go on when it is there again. */
static void unmap(struct guest *g)
{
	struct nvme_cqe e;

	load(g, 1);
	assert_int_equal(client_unmap_as(&g->c, GUEST, CLIENT_MEM, 0), 0);
	while (guest_poll(g, 1, &e))
		;
	for (unsigned i = 0; i < 3; i++)
		client_pump(&g->c);
	assert_false(guest_poll(g, 1, &e));
	assert_int_equal(client_map(&g->c, GUEST), 0);
	client_pump(&g->c);
	guest_read(g, 1);
	while (g->q[1].head != DEEP)
		if (!guest_poll(g, 1, &e))
			client_pump(&g->c);
	guest_io(g, 1, nvme_cmd_read, 0, 1, 0);
	guest_read(g, 1);
	assert_int_equal(guest_do(g, 1, NULL), 0);
}

static void memory_goes_under_load(void **state)
{
	(void)state;
	both(unmap);
}

/* The client dies; another, for the same guest, goes on where it was. */
static void come_back(struct guest *g)
{
	VIO_OPTS(vio_vfio_user_opts, o);
	int e = eventfd(0, EFD_NONBLOCK);
	struct nvme_cqe at;
	uint64_t n;

	load(g, 1);
	client_hang_up(&g->c);
	while (!g->c.downs)
		client_pump(&g->c);
	vio_vfio_user_free(g->c.t);
	g->c.downs = 0;
	client_attach(&g->c, g->f, &o);
	client_greet(&g->c);
	assert_int_equal(guest_csts(g), 1);
	assert_int_equal(client_map(&g->c, GUEST), 0);
	assert_int_equal(client_irqs(&g->c, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, CLIENT_EVENTFDS, &e, 1), 0);
	while (g->q[1].head != DEEP)
		if (!guest_poll(g, 1, &at))
			client_pump(&g->c);
	while (read(e, &n, 8) != 8)
		client_pump(&g->c);
	guest_read(g, 1);
	guest_io(g, 1, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(g, 1, NULL), 0);
	close(e);
}

static void a_client_that_returns_goes_on(void **state)
{
	(void)state;
	both(come_back);
}

/* Everything ends with commands under way, and a controller that is on. */
static void end(struct guest *g)
{
	load(g, 1);
	load(g, 2);
}

static void ended_under_load(void **state)
{
	(void)state;
	both(end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disabled_under_load),
		cmocka_unit_test(reset_under_load),
		cmocka_unit_test(deleted_under_load),
		cmocka_unit_test(disabled_while_it_deletes),
		cmocka_unit_test(memory_comes_under_load),
		cmocka_unit_test(memory_goes_under_load),
		cmocka_unit_test(a_client_that_returns_goes_on),
		cmocka_unit_test(ended_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
