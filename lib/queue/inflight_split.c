/* SPDX-License-Identifier: MIT */
/* What a split queue's predecessor had in flight. */
#include "queue/inflight.h"

static uint64_t split_counter(const struct vio_queue *q, uint16_t head)
{
	return VIO_LOAD(&q->split_track->desc[head].counter);
}

static void split_track_begin(struct vio_queue *q)
{
	struct split_inflight *t = q->split_track;

	memset(t, 0, sizeof(*t) + q->size * sizeof(t->desc[0]));
	t->features = q->features;
	t->size = q->size;
	t->used_idx = VIO_LOAD(&q->used->idx);
	TRACK_ORDER();
	VIO_STORE(&t->version, TRACK_VERSION);
}

/*
 * The predecessor died after it published a batch and before it noted so: what the
 * used ring shows more than the region knows is that batch, linked from last_batch.
 * All of it is cleared; bounded by the ring, whatever the links say.
 */
static int split_clear_batch(struct vio_queue *q, uint16_t used)
{
	struct split_inflight *t = q->split_track;
	uint16_t count = (uint16_t)(used - VIO_LOAD(&t->used_idx));
	uint16_t head = VIO_LOAD(&t->last_batch);

	if (count > q->size)
		return vio__fail(EINVAL, "inflight region: used idx %u, but the ring's is %u", VIO_LOAD(&t->used_idx), used);
	for (; count; count--) {
		if (head >= q->size)
			return vio__fail(EINVAL, "inflight region: head %u in a ring of %u", head, q->size);
		VIO_STORE(&t->desc[head].inflight, 0);
		head = VIO_LOAD(&t->desc[head].next);
	}
	TRACK_ORDER();
	VIO_STORE(&t->used_idx, used);
	return 0;
}

int split_track_open(struct vio_queue *q, size_t bytes)
{
	struct split_inflight *t = q->split_track;
	uint16_t used = VIO_LOAD(&q->used->idx);
	int rc;

	if (bytes < sizeof(*t) + q->size * sizeof(t->desc[0]))
		return vio__fail(EINVAL, "inflight region: %zu bytes for a queue of %u", bytes, q->size);
	if (!VIO_LOAD(&t->version)) {
		split_track_begin(q);
		return 0;
	}
	if (VIO_LOAD(&t->version) != TRACK_VERSION || VIO_LOAD(&t->size) != q->size)
		return vio__fail(EINVAL, "inflight region: version %u for a queue of %u, expected %u and %u",
				 VIO_LOAD(&t->version), VIO_LOAD(&t->size), TRACK_VERSION, q->size);
	rc = split_clear_batch(q, used);
	if (rc)
		return rc;
	for (unsigned i = 0; i < q->size; i++)
		if (VIO_LOAD(&t->desc[i].inflight))
			q->resume.entry[q->resume.n++] = (uint16_t)i;
	q->used_idx = used;
	q->avail_idx = (uint16_t)(used + q->resume.n);
	return vio__resume_sort(q, split_counter);
}
