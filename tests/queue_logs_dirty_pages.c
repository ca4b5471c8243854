/* SPDX-License-Identifier: MIT */
/* Under migration exactly the pages that the device wrote are logged: buffers and ring, and nothing else. */
#define _GNU_SOURCE
#include "dirty_pages.h"
#include "queue_pair.h"

#define DATA (RG_AT + RG_DATA)

static void writes_are_logged(uint64_t features, uint64_t device)
{
	/* Readable ones never; of the writable ones only what was written. */
	const struct rg_buf b[] = { { DATA, PAGE, 0 },
				    { DATA + 3 * PAGE - 8, 16, RG_WRITE },
				    { RG_SECOND - 8, 16, RG_WRITE },
				    { DATA + 9 * PAGE, PAGE, RG_WRITE } };
	const uint64_t all[] = { DATA + 2 * PAGE, DATA + 3 * PAGE, RG_SECOND - 8, RG_SECOND, device };
	const uint64_t few[] = { DATA + 2 * PAGE, device };
	const uint64_t wish = RG_AT + RG_DEVICE;
	struct vio_queue_opts o;
	struct vio_req *r;
	struct log l;
	struct pair p;
	int id;

	log_open(&l);
	ok(rg_open(&p.g, features, 16));
	o = rg_opts(&p.g);
	o.dirty = l.d;
	o.dirty_device = device;
	ok(vio_queue_new(&p.q, &o));
	id = rg_post(&p.g, b, 4);
	r = pair_take(&p);
	logged(&l, NULL, 0);
	pair_give(&p, r, 32);
	logged(&l, all, 5);
	pair_reap(&p, id, 32);
	id = rg_post(&p.g, b, 4);
	r = pair_take(&p);
	r->written = 8;
	vio_queue_give(p.q, &r, 1);
	memset(l.bits, 0, PAGES / 8); /* the log is fetched between give and flush */
	vio_queue_flush(p.q);
	logged(&l, few + 1, 1);
	pair_reap(&p, id, 8);
	for (unsigned on = 0; on < 2; on++) { /* the wish for kicks, where a split ring has its flags */
		vio_queue_kicks(p.q, on);
		logged(&l, &wish, 1);
	}
	pair_close(&p);
	log_close(&l);
}

static void split_writes_are_logged(void **state)
{
	(void)state;
	writes_are_logged(V1, RG_AT + RG_DEVICE);
}

static void packed_writes_are_logged(void **state)
{
	(void)state;
	writes_are_logged(PACKED, RG_AT);
}

/* Behind the used ring, on its third page here. */
static void the_event_of_a_split_ring_is_logged(void **state)
{
	const uint64_t event = RG_AT + RG_DEVICE + 4 + 8 * 1024;
	struct vio_queue_opts o;
	struct pair p;
	struct log l;

	(void)state;
	log_open(&l);
	ok(rg_open(&p.g, V1 | EVENT_IDX, 1024));
	o = rg_opts(&p.g);
	o.dirty = l.d;
	o.dirty_device = RG_AT + RG_DEVICE;
	ok(vio_queue_new(&p.q, &o));
	for (unsigned on = 0; on < 2; on++) {
		vio_queue_kicks(p.q, on);
		logged(&l, &event, 1);
	}
	pair_close(&p);
	log_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_writes_are_logged),
		cmocka_unit_test(packed_writes_are_logged),
		cmocka_unit_test(the_event_of_a_split_ring_is_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
