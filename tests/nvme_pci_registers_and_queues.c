/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* The NVMe function's registers, admin commands and doorbells: right ones work, wrong ones are refused or
 * ignored, and none harms another queue. */
#include "nvme_pci_host.h"

static void start(struct guest *g)
{
	guest_plug(g, "ram:1M", false);
	guest_enable(g);
}

static void registers_say_what_it_is(void **state)
{
	struct guest g;
	uint64_t cap;

	(void)state;
	guest_plug(&g, "ram:1M", false);
	cap = client_get(&g.c, 0, 0, 8);
	assert_int_equal(cap & 0xffff, 1023);
	assert_true(cap & 1u << 16); /* queues lie in one piece */
	assert_true(cap >> 37 & 1);
	assert_int_equal(client_get(&g.c, 0, 0, 4), cap & 0xffffffff);
	assert_int_equal(client_get(&g.c, 0, 4, 4), cap >> 32);
	assert_int_equal(client_get(&g.c, 0, 8, 4), 0x20000);
	assert_int_equal(guest_csts(&g), 0);
	client_put(&g.c, 0, 0x28, 0x1122334455667788, 8);
	assert_int_equal(client_get(&g.c, 0, 0x28, 8), 0x1122334455667788);
	client_put(&g.c, 0, 0x2c, 7, 4);
	assert_int_equal(client_get(&g.c, 0, 0x28, 8), 0x755667788);
	client_put(&g.c, 0, 0x28, 1, 2); /* of no size that it takes */
	assert_int_equal(client_get(&g.c, 0, 0x28, 8), 0x755667788);
	client_put(&g.c, 0, 0, UINT64_MAX, 8);
	assert_int_equal(client_get(&g.c, 0, 0, 8), cap);
	assert_int_equal(client_get(&g.c, 0, 0x1000, 8), 0);
	assert_int_equal(client_get(&g.c, VFIO_PCI_CONFIG_REGION_INDEX, 8, 4) >> 8, 0x010802);
	guest_unplug(&g);
}

static void it_is_enabled_and_disabled(void **state)
{
	struct guest g;

	(void)state;
	guest_plug(&g, "ram:1M", false);
	for (int i = 0; i < 3; i++) {
		guest_enable(&g);
		guest_pair(&g, 1);
		guest_disable(&g);
	}
	client_put(&g.c, 0, REG_CC, CC_ENABLE & ~1u, 4); /* and again at once */
	client_put(&g.c, 0, REG_CC, CC_ENABLE, 4);
	client_put(&g.c, 0, REG_CC, CC_ENABLE & ~1u, 4);
	client_put(&g.c, 0, REG_CC, CC_ENABLE, 4);
	guest_await_csts(&g, 1, 1);
	client_put(&g.c, 0, REG_CC, CC_ENABLE | 1u << 14, 4);
	guest_await_csts(&g, 0xc, 8); /* shut down */
	guest_disable(&g);
	guest_unplug(&g);
}

static void what_cannot_be_enabled_says_so(void **state)
{
	static const struct {
		uint32_t cc, aqa;
		uint64_t asq, acq;
	} wrong[] = {
		{ CC_ENABLE | 1u << 7, 0xf000f, GUEST, GUEST + 0x1000 }, /* larger pages */
		{ CC_ENABLE | 1u << 4, 0xf000f, GUEST, GUEST + 0x1000 }, /* another command set */
		{ CC_ENABLE | 1u << 11, 0xf000f, GUEST, GUEST + 0x1000 },
		{ CC_ENABLE ^ 0x10000, 0xf000f, GUEST, GUEST + 0x1000 },
		{ CC_ENABLE, 0, GUEST, GUEST + 0x1000 },
		{ CC_ENABLE, 0xf000f, GUEST + 64, GUEST + 0x1000 },
		{ CC_ENABLE, 0xf000f, 0, GUEST + 0x1000 },
		{ CC_ENABLE, 0xf000f, GUEST, UINT64_MAX - 0xfff },
		{ CC_ENABLE, 0x0fff0fff, GUEST + CLIENT_MEM - 0x1000, GUEST },
	};
	struct guest g;

	(void)state;
	guest_plug(&g, "ram:1M", false);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++) {
		client_put(&g.c, 0, 0x24, wrong[i].aqa, 4);
		client_put(&g.c, 0, 0x28, wrong[i].asq, 8);
		client_put(&g.c, 0, 0x30, wrong[i].acq, 8);
		client_put(&g.c, 0, REG_CC, wrong[i].cc, 4);
		assert_int_equal(guest_csts(&g), 2);
		client_put(&g.c, 0, REG_CC, 0, 4);
		assert_int_equal(guest_csts(&g), 0);
	}
	guest_enable(&g);
	guest_unplug(&g);
}

static void it_identifies_itself(void **state)
{
	const struct nvme_id_ctrl *id;
	struct nvme_cmd *c;
	uint32_t result;
	struct guest g;

	(void)state;
	start(&g);
	c = guest_next(&g, 0, nvme_admin_identify);
	c->prp1 = GUEST + GUEST_DATA + 2048; /* over two pages */
	c->prp2 = GUEST + GUEST_DATA + 8192;
	c->cdw10 = NVME_IDENTIFY_CNS_CTRL;
	assert_int_equal(guest_do(&g, 0, NULL), 0);
	id = (const void *)(g.c.mem + GUEST_DATA + 2048);
	assert_int_equal(id->vid, 0x1234);
	assert_int_equal(id->cntrltype, 1);
	assert_true(id->oacs & 1u << 8);
	guest_next(&g, 0, nvme_admin_set_features)->cdw10 = NVME_FEAT_FID_NUM_QUEUES;
	assert_int_equal(guest_do(&g, 0, &result), 0);
	assert_int_equal(result, 0);
	c = guest_next(&g, 0, nvme_admin_set_features);
	c->cdw10 = NVME_FEAT_FID_NUM_QUEUES;
	c->cdw11 = 0x00630063;
	assert_int_equal(guest_do(&g, 0, &result), 0);
	assert_int_equal(result, 0x00060006);
	c = guest_next(&g, 0, nvme_admin_set_features);
	c->cdw10 = NVME_FEAT_FID_IRQ_CONFIG;
	c->cdw11 = 3 | 1u << 16;
	assert_int_equal(guest_do(&g, 0, NULL), 0);
	c = guest_next(&g, 0, nvme_admin_get_features);
	c->cdw10 = NVME_FEAT_FID_IRQ_CONFIG;
	c->cdw11 = 3;
	assert_int_equal(guest_do(&g, 0, &result), 0);
	assert_int_equal(result, 3 | 1u << 16);
	c = guest_next(&g, 0, nvme_admin_set_features);
	c->cdw10 = NVME_FEAT_FID_IRQ_CONFIG;
	c->cdw11 = 0xffff;
	assert_int_equal(guest_do(&g, 0, NULL), INVALID_FIELD);
	guest_next(&g, 0, NVME_OPC_FABRICS);
	assert_int_equal(guest_do(&g, 0, NULL), NVME_STATUS(NVME_SC_INVALID_OPCODE) | NVME_STATUS_DNR);
	guest_unplug(&g);
}

static void data_goes_and_comes(void **state)
{
	struct guest g;

	(void)state;
	start(&g);
	guest_pair(&g, 1);
	guest_pair(&g, 5);
	memset(g.c.mem + GUEST_DATA, 0x5a, 8192);
	guest_io(&g, 1, nvme_cmd_write, 3, 16, 0);
	assert_int_equal(guest_do(&g, 1, NULL), 0);
	guest_io(&g, 5, nvme_cmd_read, 3, 16, 16384);
	assert_int_equal(guest_do(&g, 5, NULL), 0);
	assert_memory_equal(g.c.mem + GUEST_DATA, g.c.mem + GUEST_DATA + 16384, 8192);
	for (unsigned i = 0; i < 3 * GUEST_ENTRIES; i++) { /* round and round */
		guest_io(&g, 1, nvme_cmd_read, i, 1, 0);
		assert_int_equal(guest_do(&g, 1, NULL), 0);
	}
	assert_int_equal(guest_delete(&g, nvme_admin_delete_sq, 1), 0);
	assert_int_equal(guest_delete(&g, nvme_admin_delete_cq, 1), 0);
	guest_pair(&g, 1);
	guest_io(&g, 1, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(&g, 1, NULL), 0);
	guest_unplug(&g);
}

static void wrong_queues_are_refused(void **state)
{
	const uint64_t ring = GUEST + GUEST_SQ(3);
	struct guest g;

	(void)state;
	start(&g);
	guest_pair(&g, 1);
	assert_int_equal(guest_create_cq(&g, 0, 16, ring, 3), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_create_cq(&g, 1, 16, ring, 3), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_create_cq(&g, GUEST_QUEUES, 16, ring, 3), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_create_cq(&g, 0xffff, 16, ring, 3), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_create_cq(&g, 2, 1, ring, 3), SPECIFIC(NVME_SC_QUEUE_SIZE));
	assert_int_equal(guest_create_cq(&g, 2, 1025, ring, 3), SPECIFIC(NVME_SC_QUEUE_SIZE));
	assert_int_equal(guest_create_cq(&g, 2, 0x10000, ring, 3), SPECIFIC(NVME_SC_QUEUE_SIZE));
	assert_int_equal(guest_create_cq(&g, 2, 16, ring, 2), INVALID_FIELD); /* in pieces */
	assert_int_equal(guest_create_cq(&g, 2, 16, ring + 8, 3),
			 NVME_STATUS(NVME_SC_PRP_INVALID_OFFSET) | NVME_STATUS_DNR);
	assert_int_equal(guest_create_cq(&g, 2, 16, ring, 3 | GUEST_QUEUES << 16),
			 SPECIFIC(NVME_SC_INVALID_VECTOR));
	assert_int_equal(guest_create_cq(&g, 2, 16, 0x1000, 3), INVALID_FIELD); /* no memory there */
	assert_int_equal(guest_create_sq(&g, 2, 16, ring, 1), SPECIFIC(NVME_SC_CQ_INVALID));
	assert_int_equal(guest_create_sq(&g, 2, 16, ring, 1 | 2u << 16), SPECIFIC(NVME_SC_CQ_INVALID));
	assert_int_equal(guest_create_sq(&g, 2, 16, ring, 1 | 0xffffu << 16), SPECIFIC(NVME_SC_CQ_INVALID));
	assert_int_equal(guest_create_sq(&g, 1, 16, ring, 1 | 1u << 16), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_create_sq(&g, 0, 16, ring, 1 | 1u << 16), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_create_sq(&g, 2, 16, UINT64_MAX - 4095, 1 | 1u << 16), INVALID_FIELD);
	assert_int_equal(guest_delete(&g, nvme_admin_delete_cq, 1), SPECIFIC(NVME_SC_INVALID_QUEUE));
	assert_int_equal(guest_delete(&g, nvme_admin_delete_cq, 0), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_delete(&g, nvme_admin_delete_cq, 2), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_delete(&g, nvme_admin_delete_sq, 0), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_delete(&g, nvme_admin_delete_sq, 2), SPECIFIC(NVME_SC_QID_INVALID));
	assert_int_equal(guest_delete(&g, nvme_admin_delete_sq, 0xffff), SPECIFIC(NVME_SC_QID_INVALID));
	guest_io(&g, 1, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(&g, 1, NULL), 0);
	guest_unplug(&g);
}

static void doorbells_of_nothing_are_ignored(void **state)
{
	struct guest g;

	(void)state;
	guest_plug(&g, "ram:1M", false);
	for (uint64_t at = 0x1000; at < 0x4000; at += 4) /* while it is off */
		client_put(&g.c, 0, at, at, 4);
	guest_enable(&g);
	guest_pair(&g, 1);
	for (uint64_t at = 0x1010; at < 0x4000; at += 4)
		client_put(&g.c, 0, at, at, 4);
	assert_int_equal(guest_csts(&g), 1);
	guest_pair(&g, 2); /* it begins at 0, whatever was rung */
	guest_io(&g, 2, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(&g, 2, NULL), 0);
	guest_unplug(&g);
}

static void a_doorbell_beyond_its_queue_stops_that_one(void **state)
{
	struct nvme_cqe e;
	struct guest g;

	(void)state;
	start(&g);
	guest_pair(&g, 1);
	guest_pair(&g, 2);
	guest_io(&g, 1, nvme_cmd_read, 0, 1, 0);
	client_put(&g.c, 0, 0x1008, GUEST_ENTRIES, 4);
	guest_await_csts(&g, 2, 2);
	assert_non_null(strstr(g.c.log, "broke queue 1"));
	assert_false(guest_poll(&g, 1, &e));
	guest_io(&g, 2, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(&g, 2, NULL), 0);
	assert_int_equal(guest_delete(&g, nvme_admin_delete_sq, 1), 0);
	guest_disable(&g);
	guest_enable(&g);
	guest_pair(&g, 1);
	guest_io(&g, 1, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(&g, 1, NULL), 0);
	guest_unplug(&g);
}

/* More answers than the completion queue has room for wait until it is read. */
static void a_full_completion_queue_is_waited_for(void **state)
{
	struct nvme_cqe e;
	struct guest g;
	unsigned n = 0;

	(void)state;
	start(&g);
	g.q[1] = (struct guest_queue){ .sq = 16, .cq = 4, .phase = 1 };
	assert_int_equal(guest_create_cq(&g, 1, 4, GUEST + GUEST_CQ(1), 1), 0);
	assert_int_equal(guest_create_sq(&g, 1, 16, GUEST + GUEST_SQ(1), 1 | 1u << 16), 0);
	for (unsigned i = 0; i < 12; i++)
		guest_io(&g, 1, nvme_cmd_read, i, 1, 0);
	guest_ring(&g, 1);
	while (n < 3)
		n += guest_poll(&g, 1, &e) ? 1 : (client_pump(&g.c), 0);
	client_pump(&g.c);
	assert_false(guest_poll(&g, 1, &e));
	while (n < 12) {
		guest_read(&g, 1);
		while (guest_poll(&g, 1, &e))
			n++;
		client_pump(&g.c);
	}
	guest_unplug(&g);
}

static void namespaces_that_come_are_told_of(void **state)
{
	struct nvme_cqe e;
	struct nvme_cmd *c;
	struct guest g;

	(void)state;
	start(&g);
	c = guest_next(&g, 0, nvme_admin_set_features);
	c->cdw10 = NVME_FEAT_FID_ASYNC_EVENT;
	c->cdw11 = 1u << 8;
	assert_int_equal(guest_do(&g, 0, NULL), 0);
	guest_next(&g, 0, nvme_admin_async_event);
	guest_ring(&g, 0);
	assert_int_equal(client_map(&g.c, 0x10000000), 0); /* an event that waits keeps nobody */
	assert_false(guest_poll(&g, 0, &e));
	guest_add(&g, "ram:1M");
	e = guest_await(&g, 0);
	assert_int_equal(e.status, 0);
	assert_int_equal(e.dw0, 2u | (uint32_t)NVME_LOG_LID_CHANGED_NS << 16);
	guest_next(&g, 0, nvme_admin_async_event);
	guest_ring(&g, 0);
	guest_disable(&g); /* it comes back without an answer */
	guest_unplug(&g);
}

static void config_buffers(struct guest *g, uint64_t shadow, uint64_t event)
{
	struct nvme_cmd *c = guest_next(g, 0, nvme_admin_dbbuf);

	c->prp1 = shadow;
	c->prp2 = event;
}

static void shadow_doorbells_are_read(void **state)
{
	uint32_t *shadow, *event;
	struct nvme_cqe e;
	struct guest g;

	(void)state;
	start(&g);
	shadow = (uint32_t *)(g.c.mem + GUEST_SHADOW);
	event = (uint32_t *)(g.c.mem + GUEST_EVENT);
	config_buffers(&g, GUEST + GUEST_SHADOW + 4, GUEST + GUEST_EVENT);
	assert_int_equal(guest_do(&g, 0, NULL), INVALID_FIELD);
	config_buffers(&g, GUEST + GUEST_SHADOW, 0x1000);
	assert_int_equal(guest_do(&g, 0, NULL), INVALID_FIELD);
	guest_pair(&g, 1);
	config_buffers(&g, GUEST + GUEST_SHADOW, GUEST + GUEST_EVENT);
	assert_int_equal(guest_do(&g, 0, NULL), 0);
	guest_pair(&g, 2); /* a later one has them too */
	for (unsigned q = 1; q <= 2; q++) {
		guest_io(&g, q, nvme_cmd_read, 0, 1, 0);
		guest_io(&g, q, nvme_cmd_read, 1, 1, 0);
		__atomic_store_n(&shadow[2 * q], 2, __ATOMIC_RELEASE);
		client_put(&g.c, 0, 0x1000 + 8 * q, 77, 4); /* wakes, and says nothing else */
		for (unsigned n = 0; n < 2;)
			n += guest_poll(&g, q, &e) ? 1 : (client_pump(&g.c), 0);
		__atomic_store_n(&shadow[2 * q + 1], g.q[q].head, __ATOMIC_RELEASE);
		while (__atomic_load_n(&event[2 * q], __ATOMIC_ACQUIRE) != 2)
			client_pump(&g.c); /* it is to be rung for the next */
	}
	__atomic_store_n(&shadow[2], 99, __ATOMIC_RELEASE);
	client_put(&g.c, 0, 0x1008, 0, 4);
	guest_await_csts(&g, 2, 2);
	guest_disable(&g);
	guest_enable(&g);
	guest_pair(&g, 1); /* has none any more */
	guest_io(&g, 1, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(&g, 1, NULL), 0);
	guest_unplug(&g);
}

static uint64_t signals(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void set_feature(struct guest *g, uint32_t id, uint32_t value)
{
	struct nvme_cmd *c = guest_next(g, 0, nvme_admin_set_features);

	c->cdw10 = id;
	c->cdw11 = value;
	assert_int_equal(guest_do(g, 0, NULL), 0);
}

/* Each answer has its interrupt. */
static void at_once(struct guest *g, int fd)
{
	while (signals(fd))
		;
	for (unsigned i = 0; i < 20; i++) {
		guest_io(g, 1, nvme_cmd_read, i, 1, 0);
		assert_int_equal(guest_do(g, 1, NULL), 0);
		while (!signals(fd))
			client_pump(&g->c);
	}
}

/* Several have one, and there is one behind the last. */
static void seldom(struct guest *g, int fd)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < 41; i++) {
		guest_io(g, 1, nvme_cmd_read, i, 1, 0);
		assert_int_equal(guest_do(g, 1, NULL), 0);
		all += signals(fd);
	}
	assert_true(all < 41);
	while (signals(fd))
		;
	guest_io(g, 1, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(g, 1, NULL), 0);
	while (!signals(fd))
		client_pump(&g->c);
}

static void interrupts_are_put_off(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct guest g;

	(void)state;
	for (int threads = 0; threads < 2; threads++) {
		guest_plug(&g, "ram:1M", threads);
		guest_enable(&g);
		guest_pair(&g, 1);
		assert_int_equal(client_irqs(&g.c, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, CLIENT_EVENTFDS, &fd, 1),
				 0);
		at_once(&g, fd);
		set_feature(&g, NVME_FEAT_FID_IRQ_COALESCE, 0xff00 | 7); /* 25.5 ms, or 8 entries */
		seldom(&g, fd);
		set_feature(&g, NVME_FEAT_FID_IRQ_CONFIG, 1u << 16 | 1); /* not this vector's */
		at_once(&g, fd);
		set_feature(&g, NVME_FEAT_FID_IRQ_CONFIG, 1);
		set_feature(&g, NVME_FEAT_FID_IRQ_COALESCE, 7); /* no time is no aggregation */
		at_once(&g, fd);
		set_feature(&g, NVME_FEAT_FID_IRQ_COALESCE, 0xffff);
		guest_io(&g, 1, nvme_cmd_read, 0, 1, 0);
		guest_unplug(&g); /* with one that is late */
	}
	close(fd);
}

static void interrupts_come_by_their_vectors(void **state)
{
	int e[3];
	uint64_t n;
	struct guest g;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		e[i] = eventfd(0, EFD_NONBLOCK);
	guest_plug(&g, "ram:1M", false);
	assert_int_equal(client_irqs(&g.c, VFIO_PCI_MSIX_IRQ_INDEX, 0, 3, CLIENT_EVENTFDS, e, 3), 0);
	guest_enable(&g);
	guest_pair(&g, 2);
	assert_int_equal(read(e[0], &n, 8), 8);
	assert_int_equal(read(e[2], &n, 8), -1);
	guest_io(&g, 2, nvme_cmd_read, 0, 1, 0);
	assert_int_equal(guest_do(&g, 2, NULL), 0);
	while (read(e[2], &n, 8) != 8)
		client_pump(&g.c);
	assert_int_equal(read(e[1], &n, 8), -1);
	for (unsigned i = 0; i < 3; i++)
		close(e[i]);
	guest_unplug(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_say_what_it_is),
		cmocka_unit_test(it_is_enabled_and_disabled),
		cmocka_unit_test(what_cannot_be_enabled_says_so),
		cmocka_unit_test(it_identifies_itself),
		cmocka_unit_test(data_goes_and_comes),
		cmocka_unit_test(wrong_queues_are_refused),
		cmocka_unit_test(doorbells_of_nothing_are_ignored),
		cmocka_unit_test(a_doorbell_beyond_its_queue_stops_that_one),
		cmocka_unit_test(a_full_completion_queue_is_waited_for),
		cmocka_unit_test(namespaces_that_come_are_told_of),
		cmocka_unit_test(shadow_doorbells_are_read),
		cmocka_unit_test(interrupts_come_by_their_vectors),
		cmocka_unit_test(interrupts_are_put_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
