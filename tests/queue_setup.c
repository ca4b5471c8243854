/* SPDX-License-Identifier: MIT */
/* A queue is made of checked parts only: sizes, addresses, and states that come from outside. */
#include "queue_pair.h"

#include "queue/inflight.h"

struct row {
	const char *name;
	uint64_t features;
	void (*change)(struct vio_queue_opts *o);
	const char *sentence; /* NULL: it is fine */
};

static struct vio_queue_state state;
static _Alignas(64) char region[4096];

static void size_too_large(struct vio_queue_opts *o)
{
	o->size = 32769;
}

static void size_huge(struct vio_queue_opts *o)
{
	o->size = 0x10000010; /* 16 if narrowed */
}

static void size_odd(struct vio_queue_opts *o)
{
	o->size = 17;
}

static void no_memory(struct vio_queue_opts *o)
{
	o->mem = NULL;
}

static void desc_odd(struct vio_queue_opts *o)
{
	o->desc += 8;
}

static void driver_odd(struct vio_queue_opts *o)
{
	o->driver += 1;
}

static void device_odd(struct vio_queue_opts *o)
{
	o->device += 2;
}

static void desc_in_a_hole(struct vio_queue_opts *o)
{
	o->desc = 0x1000;
}

static void desc_over_the_end(struct vio_queue_opts *o)
{
	o->desc = RG_END - 0x10;
}

static void desc_over_a_border(struct vio_queue_opts *o)
{
	o->desc = RG_SECOND - 0x10;
}

static void driver_in_a_hole(struct vio_queue_opts *o)
{
	o->driver = UINT64_MAX - 3;
}

static void device_over_the_end(struct vio_queue_opts *o)
{
	o->device = RG_END - 4;
}

static void device_in_a_hole(struct vio_queue_opts *o)
{
	o->device = UINT64_MAX - 3;
}

static void segments_few(struct vio_queue_opts *o)
{
	o->max_segments = 7;
}

static void segments_many(struct vio_queue_opts *o)
{
	o->max_segments = 65536;
}

static void state_ahead(struct vio_queue_opts *o)
{
	state = (struct vio_queue_state){ .avail_idx = 5, .used_idx = 3, .avail_wrap = 1, .used_wrap = 1 };
	o->state = &state;
}

static void state_wraps_differ(struct vio_queue_opts *o)
{
	state = (struct vio_queue_state){ .avail_idx = 5, .used_idx = 5, .avail_wrap = 1, .used_wrap = 0 };
	o->state = &state;
}

static void state_beyond(struct vio_queue_opts *o)
{
	state = (struct vio_queue_state){ .avail_idx = 16, .used_idx = 16, .avail_wrap = 1, .used_wrap = 1 };
	o->state = &state;
}

static void state_wrap_bad(struct vio_queue_opts *o)
{
	state = (struct vio_queue_state){ .avail_wrap = 2, .used_wrap = 1 };
	o->state = &state;
}

static void state_reserved(struct vio_queue_opts *o)
{
	state = (struct vio_queue_state){ .avail_wrap = 1, .used_wrap = 1, .reserved = { 0, 1 } };
	o->state = &state;
}

static void inflight_new(struct vio_queue_opts *o)
{
	memset(region, 0, sizeof(region));
	o->inflight = region;
	o->inflight_size = vio_queue_inflight_size(o->features, o->size);
}

static void inflight_short(struct vio_queue_opts *o)
{
	inflight_new(o);
	o->inflight_size = 16 * sizeof(struct split_entry);
}

static void inflight_odd(struct vio_queue_opts *o)
{
	inflight_new(o);
	o->inflight = region + 4;
}

static void inflight_and_state_ahead(struct vio_queue_opts *o)
{
	inflight_new(o);
	state_ahead(o);
}

static void inflight_version(struct vio_queue_opts *o)
{
	inflight_new(o);
	((struct split_inflight *)region)->version = 2;
	((struct split_inflight *)region)->size = 16;
}

static void inflight_other_size(struct vio_queue_opts *o)
{
	inflight_new(o);
	((struct split_inflight *)region)->version = 1;
	((struct split_inflight *)region)->size = 32;
}

static struct split_inflight *split_region(struct vio_queue_opts *o)
{
	struct split_inflight *t = (void *)region;

	inflight_new(o);
	t->version = 1;
	t->size = 16;
	return t;
}

static void split_used_far(struct vio_queue_opts *o)
{
	split_region(o)->used_idx = 100; /* the ring says 0 */
}

static void split_batch_beyond(struct vio_queue_opts *o)
{
	struct split_inflight *t = split_region(o);

	t->used_idx = 0xffff; /* one was published last */
	t->last_batch = 16;
}

static void split_batch_in_a_circle(struct vio_queue_opts *o)
{
	struct split_inflight *t = split_region(o);

	t->used_idx = 0xfff8;
	t->last_batch = 3;
	t->desc[3].next = 3;
}

static struct packed_inflight *packed_region(struct vio_queue_opts *o)
{
	struct packed_inflight *t = (void *)region;

	inflight_new(o);
	t->version = 1;
	t->size = 16;
	t->at.used_wrap = t->at.old_used_wrap = 1;
	for (unsigned i = 0; i < 16; i++)
		t->desc[i].next = (uint16_t)(i + 1);
	return t;
}

static void packed_used_far(struct vio_queue_opts *o)
{
	packed_region(o)->at.used_idx = 16;
}

static void packed_old_used_far(struct vio_queue_opts *o)
{
	packed_region(o)->at.old_used_idx = 0xffff;
}

static void packed_chain_of_none(struct vio_queue_opts *o)
{
	packed_region(o)->desc[3].inflight = 1;
}

static void packed_chains_too_long(struct vio_queue_opts *o)
{
	struct packed_inflight *t = packed_region(o);

	t->desc[15].inflight = 1;
	t->desc[15].num = 17;
}

static void packed_links_beyond(struct vio_queue_opts *o)
{
	struct packed_inflight *t = packed_region(o);

	t->free_head = t->old_free_head = 0xffff;
	t->desc[0].next = 0x1234;
}

#define BOTH(name, change, sentence)                                                                         \
	{ name " (split)", V1, change, sentence },                                                           \
	{                                                                                                    \
		name " (packed)", PACKED, change, sentence                                                   \
	}

static const struct row rows[] = {
	BOTH("a size too large", size_too_large, "expected 1 to 32768"),
	BOTH("a size that is 16 if narrowed", size_huge, "expected 1 to 32768"),
	{ "a split ring of 17", V1, size_odd, "expected a power of two" },
	{ "a packed ring of 17", PACKED, size_odd, NULL },
	BOTH("no memory", no_memory, "no memory map"),
	BOTH("a misaligned descriptor table", desc_odd, "must be aligned"),
	BOTH("a misaligned driver area", driver_odd, "must be aligned"),
	BOTH("a misaligned device area", device_odd, "must be aligned"),
	BOTH("descriptors in a hole", desc_in_a_hole, "is not guest memory"),
	BOTH("descriptors over the end", desc_over_the_end, "is not guest memory"),
	BOTH("descriptors over two regions", desc_over_a_border, "is not guest memory"),
	BOTH("a driver area at the end of the world", driver_in_a_hole, "is not guest memory"),
	BOTH("a device area at the end of the world", device_in_a_hole, "is not guest memory"),
	{ "a used ring over the end", V1, device_over_the_end, "is not guest memory" },
	BOTH("too few segments", segments_few, "expected 8 to 65535"),
	BOTH("too many segments", segments_many, "expected 8 to 65535"),
	BOTH("a state with unknown requests", state_ahead, "nobody knows"),
	{ "a packed state half a ring apart", PACKED, state_wraps_differ, "nobody knows" },
	{ "a packed state beyond the ring", PACKED, state_beyond, "in a packed ring of 16" },
	BOTH("a wrap counter of 2", state_wrap_bad, "expected 0 or 1"),
	BOTH("reserved bytes set", state_reserved, "a state with"),
	BOTH("a new inflight region", inflight_new, NULL),
	BOTH("a short inflight region", inflight_short, "inflight region"),
	BOTH("a misaligned inflight region", inflight_odd, "not aligned"),
	BOTH("a new region for a state with unknown requests", inflight_and_state_ahead, "nobody knows"),
	BOTH("a region of a version to come", inflight_version, "version"),
	BOTH("a region of another size", inflight_other_size, "inflight region"),
	{ "a used idx that no batch explains", V1, split_used_far, "used idx 100" },
	{ "a batch of a head beyond the ring", V1, split_batch_beyond, "head 16" },
	{ "a batch in a circle", V1, split_batch_in_a_circle, NULL },
	{ "a packed used index beyond", PACKED, packed_used_far, "used index" },
	{ "an old packed used index beyond", PACKED, packed_old_used_far, "used index" },
	{ "a kept chain of no descriptors", PACKED, packed_chain_of_none, "inflight region: chains of 0" },
	{ "kept chains longer than the ring", PACKED, packed_chains_too_long,
	  "inflight region: chains of 17" },
	{ "links beyond the region", PACKED, packed_links_beyond, NULL },
};

static void check(const struct row *row)
{
	struct vio_queue *q = (void *)1;
	struct vio_queue_opts o;
	struct ring_guest g;
	int rc;

	print_message("%s\n", row->name);
	ok(rg_open(&g, row->features, 17));
	g.size = 16;
	o = rg_opts(&g);
	row->change(&o);
	rc = vio_queue_new(&q, &o);
	if (row->sentence) {
		assert_int_equal(rc, -EINVAL);
		assert_null(q);
		if (!strstr(vio_errmsg(), row->sentence))
			fail_msg("\"%s\"", vio_errmsg());
	} else {
		ok(rc);
		vio_queue_free(q);
	}
	rg_close(&g);
}

static void bad_parts_are_refused(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++)
		check(&rows[i]);
}

/* A file offset can make an aligned guest address an unaligned pointer. */
static void rings_mapped_at_odd_addresses_are_refused(void **unused)
{
	_Alignas(16) static char memory[0x4000];
	const struct vio_mem_region r = { .guest = 0x1000, .size = 0x3000, .ptr = memory + 1, .fd = -1 };
	static const uint64_t formats[] = { V1, PACKED };

	(void)unused;
	for (unsigned f = 0; f < 2; f++) {
		VIO_OPTS(vio_queue_opts, o, .size = 16, .features = formats[f], .desc = 0x1000,
			 .driver = 0x2000, .device = 0x3000);
		struct vio_queue *q;

		ok(vio_mem_new(&o.mem, &r, 1, NULL));
		assert_int_equal(vio_queue_new(&q, &o), -EINVAL);
		assert_non_null(strstr(vio_errmsg(), "odd address"));
		vio_mem_free(o.mem);
	}
}

/* What is saved is what a successor goes on from, at every position; not before all is given and flushed. */
static void a_saved_state_continues(void **unused)
{
	static const uint64_t formats[] = { V1, PACKED };

	(void)unused;
	for (unsigned f = 0; f < 2; f++) {
		struct vio_queue_state s;
		struct pair p;

		pair_open(&p, formats[f], 8);
		for (unsigned i = 0; i < 30; i++) {
			const struct rg_buf b = { RG_AT + RG_DATA, 8, RG_WRITE };
			struct vio_queue_opts o = rg_opts(&p.g);
			int id = rg_post(&p.g, &b, 1);
			struct vio_req *r = pair_take(&p);

			assert_int_equal(vio_queue_save(p.q, &s), -EBUSY);
			vio_queue_give(p.q, &r, 1);
			assert_int_equal(vio_queue_save(p.q, &s), -EBUSY);
			vio_queue_flush(p.q);
			ok(vio_queue_save(p.q, &s));
			vio_queue_free(p.q);
			o.state = &s;
			ok(vio_queue_new(&p.q, &o));
			pair_reap(&p, id, 0);
			pair_round(&p, i);
		}
		pair_close(&p);
	}
}

/* The region can be changed while we resume from it: what was checked is not read again. */
static void a_region_that_changes_is_harmless(void **unused)
{
	struct vio_queue_opts o;
	struct packed_inflight *t;
	struct vio_req *r[16];
	struct vio_queue *q;
	struct ring_guest g;

	(void)unused;
	ok(rg_open(&g, PACKED, 16));
	o = rg_opts(&g);
	t = packed_region(&o);
	for (unsigned i = 0; i < 16; i++) {
		t->desc[i].inflight = t->desc[i].num = 1;
		t->desc[i].id = (uint16_t)i;
		t->desc[i].addr = RG_AT + RG_DATA;
		t->desc[i].len = 8;
	}
	ok(vio_queue_new(&q, &o));
	assert_int_equal(vio_queue_take(q, r, 3), 3);
	t->desc[3].num = 0;
	assert_int_equal(vio_queue_take(q, r + 3, 3), -EBADMSG);
	assert_non_null(strstr(vio_queue_errmsg(q), "a chain of 0 descriptors"));
	vio_queue_give(q, r, 3);
	vio_queue_flush(q);
	vio_queue_free(q);
	rg_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_parts_are_refused),
		cmocka_unit_test(rings_mapped_at_odd_addresses_are_refused),
		cmocka_unit_test(a_saved_state_continues),
		cmocka_unit_test(a_region_that_changes_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
