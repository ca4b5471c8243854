/* SPDX-License-Identifier: MIT */
/*
 * The inflight region of a packed queue. The driver may overwrite a descriptor as
 * soon as it is used, in ring order and not in chain order, so each chain is kept as
 * a copy in the region: linked entries, of which the unused ones form a free list.
 */
#include "queue/inflight.h"

/* The region's links are the only list there is, and not ours to trust: each is read once. */
static uint16_t packed_entry(const struct vio_queue *q, const uint16_t *link)
{
	uint16_t i = VIO_LOAD(link);

	return i < q->size ? i : 0;
}

void packed_track_desc(struct vio_queue *q, uint64_t addr, uint64_t word)
{
	struct packed_inflight *t = q->packed_track;
	uint16_t head = packed_entry(q, &t->old_free_head), at = packed_entry(q, &t->free_head);
	struct packed_entry *e = &t->desc[at];

	if (at == head)
		t->desc[head].num = 0;
	t->desc[head].num++;
	t->desc[head].last = at;
	e->addr = addr;
	e->len = (uint32_t)word;
	e->id = (uint16_t)(word >> 32);
	e->flags = (uint16_t)(word >> 48);
	TRACK_ORDER();
	VIO_STORE(&t->free_head, e->next);
}

void packed_track_take(struct vio_queue *q, struct queue_req *s)
{
	struct packed_inflight *t = q->packed_track;

	s->track = packed_entry(q, &t->old_free_head);
	t->desc[s->track].counter = q->track_counter++;
	TRACK_ORDER();
	VIO_STORE(&t->desc[s->track].inflight, 1);
	TRACK_ORDER();
	VIO_STORE(&t->old_free_head, t->free_head);
}

void packed_track_drop(struct vio_queue *q)
{
	VIO_STORE(&q->packed_track->free_head, q->packed_track->old_free_head);
}

void packed_track_untake(struct vio_queue *q, struct queue_req *s)
{
	struct packed_inflight *t = q->packed_track;

	VIO_STORE(&t->desc[packed_entry(q, &t->desc[s->track].last)].next, t->free_head);
	TRACK_ORDER();
	VIO_STORE(&t->old_free_head, s->track);
	TRACK_ORDER();
	VIO_STORE(&t->desc[s->track].inflight, 0);
	VIO_STORE(&t->free_head, s->track);
}

/* No batch is under way: both positions are this one. */
static void packed_keep(struct packed_inflight *t, uint16_t idx, bool wrap)
{
	union packed_position at = {
		.used_idx = idx, .old_used_idx = idx, .used_wrap = wrap, .old_used_wrap = wrap
	};

	VIO_STORE(&t->at.word, at.word);
}

/* The chain goes back to the front of the free list; the step is undone on resume if flush never came. */
void packed_track_give(struct vio_queue *q, struct queue_req *s, uint16_t idx, bool wrap)
{
	struct packed_inflight *t = q->packed_track;
	union packed_position at = t->at;

	VIO_STORE(&t->desc[packed_entry(q, &t->desc[s->track].last)].next, t->free_head);
	TRACK_ORDER();
	VIO_STORE(&t->free_head, s->track);
	TRACK_ORDER();
	at.used_idx = idx;
	at.used_wrap = wrap;
	VIO_STORE(&t->at.word, at.word);
	q->track_batch[q->track_n++] = s->track;
}

void packed_track_flush(struct vio_queue *q)
{
	struct packed_inflight *t = q->packed_track;

	TRACK_ORDER();
	for (unsigned i = 0; i < q->track_n; i++)
		VIO_STORE(&t->desc[q->track_batch[i]].inflight, 0);
	q->track_n = 0;
	TRACK_ORDER();
	VIO_STORE(&t->old_free_head, t->free_head);
	TRACK_ORDER();
	packed_keep(t, t->at.used_idx, t->at.used_wrap);
}

static uint64_t packed_counter(const struct vio_queue *q, uint16_t entry)
{
	return VIO_LOAD(&q->packed_track->desc[entry].counter);
}

static void packed_track_begin(struct vio_queue *q)
{
	struct packed_inflight *t = q->packed_track;

	memset(t, 0, sizeof(*t) + q->size * sizeof(t->desc[0]));
	t->features = q->features;
	t->size = q->size;
	packed_keep(t, q->used_idx, q->used_wrap);
	for (unsigned i = 0; i < q->size; i++)
		t->desc[i].next = (uint16_t)(i + 1 < q->size ? i + 1 : 0);
	TRACK_ORDER();
	VIO_STORE(&t->version, TRACK_VERSION);
}

/*
 * The chains of a batch that the driver saw are in flight no more. They lie at the
 * front of the free list, and the used ring tells how many descriptors they have; the
 * list's end would not, for behind the last free entry there is anything.
 */
static void packed_clear_batch(struct vio_queue *q, const union packed_position *at)
{
	struct packed_inflight *t = q->packed_track;
	unsigned size = q->size, round = at->used_wrap != at->old_used_wrap ? size : 0;
	unsigned count = at->used_idx + round - at->old_used_idx;
	uint16_t entry = packed_entry(q, &t->free_head);

	for (; count && count <= size; count--) {
		VIO_STORE(&t->desc[entry].inflight, 0);
		entry = packed_entry(q, &t->desc[entry].next);
	}
}

/*
 * The predecessor died while giving a batch. If the batch's first descriptor still
 * reads as available, the driver saw nothing of it: back to the old state. If not,
 * the driver saw all of it (the first is written last): on to the new one. Nothing
 * here harms if we die and our successor does it again.
 */
static int packed_settle(struct vio_queue *q)
{
	struct packed_inflight *t = q->packed_track;
	union packed_position at = { .word = VIO_LOAD(&t->at.word) };
	bool batch = at.used_idx != at.old_used_idx || at.used_wrap != at.old_used_wrap;

	if (at.old_used_idx >= q->size || at.used_idx >= q->size || at.used_wrap > 1 || at.old_used_wrap > 1)
		return vio__fail(EINVAL,
				 "inflight region: used index %u or %u, wrap %u or %u, in a ring of %u",
				 at.used_idx, at.old_used_idx, at.used_wrap, at.old_used_wrap, q->size);
	if (batch && !vring_packed_avail(VIO_LOAD(&q->ring[at.old_used_idx].flags), at.old_used_wrap)) {
		packed_clear_batch(q, &at);
		TRACK_ORDER();
		VIO_STORE(&t->old_free_head, t->free_head);
		at.old_used_idx = at.used_idx;
		at.old_used_wrap = at.used_wrap;
	}
	TRACK_ORDER();
	packed_keep(t, at.old_used_idx, at.old_used_wrap);
	VIO_STORE(&t->free_head, t->old_free_head);
	q->used_idx = at.old_used_idx;
	q->used_wrap = at.old_used_wrap;
	return 0;
}

/* The predecessor died while taking a chain: it was in flight, and not yet off the free list. */
static void packed_settle_take(struct vio_queue *q)
{
	struct packed_inflight *t = q->packed_track;
	uint16_t head = packed_entry(q, &t->free_head);
	uint16_t last = packed_entry(q, &t->desc[head].last);

	if (VIO_LOAD(&t->desc[head].inflight))
		t->free_head = t->old_free_head = packed_entry(q, &t->desc[last].next);
}

/*
 * A batch that the driver never saw is marked used but for its first descriptor. The
 * order of giving may be another this time, so the driver must not come upon the marks.
 */
static void packed_unuse(struct vio_queue *q, unsigned total)
{
	unsigned at = q->used_idx;
	bool wrap = q->used_wrap;

	for (; total; total--) {
		uint16_t flags = VIO_LOAD(&q->ring[at].flags);

		if (vring_packed_used(flags, wrap))
			VIO_STORE(&q->ring[at].flags, (uint16_t)(flags ^ VRING_USED_BIT));
		if (++at == q->size) {
			at = 0;
			wrap = !wrap;
		}
	}
}

/* Collects the chains in flight; the ring's next descriptor to take follows from their lengths. */
static int packed_collect(struct vio_queue *q)
{
	struct packed_inflight *t = q->packed_track;
	unsigned total = 0;

	for (unsigned i = 0; i < q->size; i++) {
		unsigned num = VIO_LOAD(&t->desc[i].num);

		if (!VIO_LOAD(&t->desc[i].inflight))
			continue;
		total += num;
		if (!num || total > q->size)
			return vio__fail(EINVAL, "inflight region: chains of %u descriptors in a ring of %u",
					 total, q->size);
		q->resume.entry[q->resume.n++] = (uint16_t)i;
	}
	packed_unuse(q, total);
	total += q->used_idx;
	q->avail_wrap = q->used_wrap ^ (total >= q->size);
	q->avail_idx = (uint16_t)(total >= q->size ? total - q->size : total);
	return vio__resume_sort(q, packed_counter);
}

int packed_track_open(struct vio_queue *q, size_t bytes)
{
	struct packed_inflight *t = q->packed_track;
	int rc;

	if (bytes < sizeof(*t) + q->size * sizeof(t->desc[0]))
		return vio__fail(EINVAL, "inflight region: %zu bytes for a packed queue of %u", bytes,
				 q->size);
	if (!VIO_LOAD(&t->version)) {
		packed_track_begin(q);
		return 0;
	}
	if (VIO_LOAD(&t->version) != TRACK_VERSION || VIO_LOAD(&t->size) != q->size)
		return vio__fail(EINVAL, "inflight region: version %u for a queue of %u, expected %u and %u",
				 VIO_LOAD(&t->version), VIO_LOAD(&t->size), TRACK_VERSION, q->size);
	rc = packed_settle(q);
	if (rc)
		return rc;
	packed_settle_take(q);
	return packed_collect(q);
}
