/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* A guest aborts a command that waits for room in a store. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_that_waits_is_aborted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
