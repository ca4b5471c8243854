/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* A guest aborts a command that waits for room in a store, and fuses Compare and Write. */
#include "nvme_pci_host.h"
#include "store.h"

static struct store *add_held_store(struct guest *g)
{
	struct vio_backend *b;
	struct store *s;

	assert_int_equal(vio_backend_new(&b, &store_type, NULL, NULL, "1048576"), 0);
	s = b->priv;
	s->room = 1;
	s->hold = true;
	assert_int_equal(vio_nvme_ns_add(g->s, b, NULL), 2);
	vio_backend_free(b);
	return s;
}

static uint16_t read_of_the_store(struct guest *g)
{
	struct nvme_cmd *c = guest_next(g, 1, nvme_cmd_read);

	c->nsid = 2;
	c->prp1 = GUEST + GUEST_DATA;
	guest_ring(g, 1);
	return g->cid;
}

static uint32_t abort_it(struct guest *g, uint16_t cid)
{
	uint32_t result;

	guest_next(g, 0, nvme_admin_abort_cmd)->cdw10 = 1u | (uint32_t)cid << 16;
	assert_int_equal(guest_do(g, 0, &result), 0);
	return result;
}

static void a_command_that_waits_is_aborted(void **state)
{
	struct guest g;
	struct store *s;
	struct nvme_cqe e;
	uint16_t in_store, waits;

	(void)state;
	guest_plug(&g, "ram:1M", false);
	s = add_held_store(&g);
	guest_enable(&g);
	guest_pair(&g, 1);
	in_store = read_of_the_store(&g);
	waits = read_of_the_store(&g);
	assert_int_equal(abort_it(&g, in_store), 1);
	assert_int_equal(abort_it(&g, 777), 1);
	assert_int_equal(abort_it(&g, waits), 0);
	e = guest_await(&g, 1);
	assert_int_equal(e.cid, waits);
	assert_int_equal(e.status, NVME_STATUS(NVME_SC_ABORT_REQ));
	s->hold = false;
	assert_int_equal(abort_it(&g, waits), 1); /* a pass, and with it a reap */
	e = guest_await(&g, 1);
	assert_int_equal(e.cid, in_store);
	assert_int_equal(e.status, 0);
	guest_unplug(&g);
}

static void post_half(struct guest *g, uint8_t opcode, uint8_t fuse, uint32_t at)
{
	struct nvme_cmd *c = guest_next(g, 1, opcode);

	c->nsid = 1;
	c->flags = fuse;
	c->prp1 = GUEST + GUEST_DATA + at;
}

static void expect_answers(struct guest *g, unsigned n, const uint16_t *status)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(guest_await(g, 1).status, status[i]);
}

static void compare_and_write(struct guest *g, uint32_t a, uint32_t b, uint16_t first, uint16_t second)
{
	post_half(g, nvme_cmd_compare, 1, a);
	post_half(g, nvme_cmd_write, 2, b);
	guest_ring(g, 1);
	expect_answers(g, 2, (uint16_t[]){ first, second });
}

static void both_halves_or_neither(void **state)
{
	const uint16_t unequal = NVME_STATUS(NVME_SCT_MEDIA << NVME_SCT_SHIFT | NVME_SC_COMPARE_FAILED) |
				 NVME_STATUS_DNR,
		       failed = NVME_STATUS(NVME_SC_FUSED_FAIL), missing = NVME_STATUS(NVME_SC_FUSED_MISSING);
	struct guest g;

	(void)state;
	guest_plug(&g, "ram:1M", false);
	guest_enable(&g);
	guest_pair(&g, 1);
	memset(g.c.mem + GUEST_DATA + 512, 0x77, 512);
	compare_and_write(&g, 512, 512, unequal, failed);
	compare_and_write(&g, 0, 512, 0, 0);
	compare_and_write(&g, 0, 512, unequal, failed);
	for (unsigned i = 0; i < 40; i++) /* round and round the ring */
		compare_and_write(&g, 512, 512, 0, 0);
	post_half(&g, nvme_cmd_compare, 1, 512); /* alone */
	guest_ring(&g, 1);
	expect_answers(&g, 1, &missing);
	post_half(&g, nvme_cmd_write, 2, 512);
	guest_ring(&g, 1);
	expect_answers(&g, 1, &missing);
	post_half(&g, nvme_cmd_compare, 1, 512);
	post_half(&g, nvme_cmd_compare, 1, 512);
	post_half(&g, nvme_cmd_write, 2, 512);
	guest_ring(&g, 1);
	expect_answers(&g, 3, (uint16_t[]){ missing, 0, 0 });
	post_half(&g, nvme_cmd_compare, 1, 512);
	guest_io(&g, 1, nvme_cmd_read, 0, 1, 0);
	guest_ring(&g, 1);
	expect_answers(&g, 2, (uint16_t[]){ missing, 0 });
	assert_int_equal(g.c.mem[GUEST_DATA], 0x77);
	guest_next(&g, 0, nvme_admin_identify)->flags = 1;
	assert_int_equal(guest_do(&g, 0, NULL), INVALID_FIELD);
	guest_unplug(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_that_waits_is_aborted),
		cmocka_unit_test(both_halves_or_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
