/* SPDX-License-Identifier: MIT */
#include "queue/inflight.h"

struct resume_key {
	uint64_t counter;
	uint16_t entry;
};

static int resume_compare(const void *a, const void *b)
{
	const struct resume_key *x = a, *y = b;

	return (x->counter > y->counter) - (x->counter < y->counter);
}

/* Counters are read once: the region may change while we sort. */
int vio__resume_sort(struct vio_queue *q, uint64_t (*counter)(const struct vio_queue *q, uint16_t entry))
{
	unsigned n = q->resume.n;
	struct resume_key *keys = n ? malloc(n * sizeof(*keys)) : NULL;

	if (n && !keys)
		return vio__fail(ENOMEM, "inflight region: out of memory");
	for (unsigned i = 0; i < n; i++)
		keys[i] = (struct resume_key){ counter(q, q->resume.entry[i]), q->resume.entry[i] };
	if (n) {
		qsort(keys, n, sizeof(*keys), resume_compare);
		q->track_counter = keys[n - 1].counter + 1;
	}
	for (unsigned i = 0; i < n; i++)
		q->resume.entry[i] = keys[i].entry;
	free(keys);
	return 0;
}

size_t vio_queue_inflight_size(uint64_t features, uint32_t size)
{
	size_t bytes = features & VIO_BIT(VIRTIO_F_RING_PACKED) ?
			       sizeof(struct packed_inflight) + size * sizeof(struct packed_entry) :
			       sizeof(struct split_inflight) + size * sizeof(struct split_entry);

	return (bytes + 63) & ~(size_t)63;
}
