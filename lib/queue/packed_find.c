/* SPDX-License-Identifier: MIT */
/*
 * Where a packed ring stands, as the ring itself tells it: for a queue whose predecessor died,
 * and nobody noted how far it was.
 *
 * A device turns the USED bit of each descriptor it passes, once a lap. A driver leaves that
 * bit as it is: it makes a descriptor available by turning AVAIL (virtio 1.3, 2.8.1). So the
 * bits have one value up to the next descriptor to be used, and the other from there to the
 * end, whatever the driver does meanwhile. That holds where requests are used in the ring's
 * order, and all descriptors of a chain are marked: see packed_mark_chain.
 *
 * A server that died while it gave a batch has marked all of it but the first descriptor,
 * which makes it visible. Lengths were overwritten, so such a batch can't be served again. It
 * is made visible as if nothing had been written: a driver passes over such a buffer.
 *
 * A guest that writes anything else there fools nobody but itself: loops are bounded by the
 * ring, and what is taken from here on is checked as always.
 */
#include "queue/packed.h"

/* What was found: the next descriptor to use, and how many behind it are marked already. */
struct found {
	unsigned idx, marked;
};

static uint16_t find_flags(const struct vio_queue *q, unsigned i)
{
	return VIO_LOAD_ACQUIRE(&q->ring[i].flags);
}

static bool find_used_bit(const struct vio_queue *q, unsigned i)
{
	return find_flags(q, i) & VRING_USED_BIT;
}

/* Available, in whatever lap. */
static bool find_avail(const struct vio_queue *q, unsigned i)
{
	uint16_t flags = find_flags(q, i);

	return vring_packed_avail(flags, false) || vring_packed_avail(flags, true);
}

static unsigned find_before(const struct vio_queue *q, unsigned i)
{
	return i ? i - 1 : q->size - 1u;
}

/* Was the descriptor before i passed one time more than i? Between the last and the first lies a lap. */
static bool find_step(const struct vio_queue *q, unsigned i)
{
	return (find_used_bit(q, find_before(q, i)) != find_used_bit(q, i)) == (i > 0);
}

/* The first three of these steps; returns how many there are. */
static unsigned find_steps(const struct vio_queue *q, unsigned at[3])
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->size; i++) {
		if (!find_step(q, i))
			continue;
		if (n < 3)
			at[n] = i;
		n++;
	}
	return n;
}

/*
 * One step: nothing is marked. Or all but the descriptor before the step: then that one is available
 * and the next is not, while a driver that comes round makes them available in this order.
 */
static struct found find_one(const struct vio_queue *q, unsigned at)
{
	unsigned before = find_before(q, at);

	if (find_avail(q, before) && !find_avail(q, at))
		return (struct found){ before, q->size - 1u };
	return (struct found){ at, 0 };
}

/* Three: the next descriptor, the first one marked right behind it, and the first one that is not. */
static bool find_three(const struct vio_queue *q, const unsigned at[3], struct found *f)
{
	for (unsigned i = 0; i < 3; i++) {
		unsigned next = at[(i + 1) % 3], end = at[(i + 2) % 3];

		if (next != packed_further(q->size, at[i], 1) || !find_avail(q, at[i]) || find_avail(q, next))
			continue;
		*f = (struct found){ at[i], end > next ? end - next : end + q->size - next };
		return true;
	}
	return false;
}

/* The predecessor died while it marked a chain: the others of that belong to the batch too. */
static unsigned find_batch_end(const struct vio_queue *q, const struct found *f)
{
	unsigned n = f->marked;

	while (n + 1 < q->size && find_flags(q, packed_further(q->size, f->idx, n)) & VRING_DESC_F_NEXT)
		n++;
	return n;
}

/* The id of the chain at f, which its last descriptor has (2.8.6). */
static uint16_t find_id(const struct vio_queue *q, const struct found *f)
{
	unsigned at = f->idx;

	for (unsigned n = 1; n < q->size && find_flags(q, at) & VRING_DESC_F_NEXT; n++)
		at = packed_further(q->size, at, 1);
	return VIO_LOAD(&q->ring[at].id);
}

static void find_empty(struct vio_queue *q, unsigned idx, bool wrap, uint16_t id, uint16_t flags)
{
	uint64_t word = (uint64_t)id << 32 | (uint64_t)(flags | packed_used_bits(wrap)) << 48;

	VIO_STORE_RELEASE((uint64_t *)&q->ring[idx].len, word);
	queue_log_ring(q, 16ull * idx, 16);
}

/* The batch becomes visible, its first descriptor last. Who dies here leaves what can be found again. */
static void find_finish(struct vio_queue *q, const struct found *f)
{
	unsigned n = find_batch_end(q, f), at = f->idx;
	uint16_t id = find_id(q, f);
	bool wrap = q->used_wrap;

	for (unsigned i = 0; i < n; i++) {
		uint16_t chain;

		wrap ^= at + 1 == q->size;
		at = packed_further(q->size, at, 1);
		chain = find_flags(q, at) & VRING_DESC_F_NEXT;
		find_empty(q, at, wrap, VIO_LOAD(&q->ring[at].id), chain);
	}
	find_empty(q, f->idx, q->used_wrap, id, 0);
	packed_advance(q->size, &q->used_idx, &q->used_wrap, n + 1);
	queue_leave_unsaid(q, n + 1);
}

void vio__packed_find(struct vio_queue *q)
{
	struct found f;
	unsigned at[3], n = find_steps(q, at);

	if (n == 1)
		f = find_one(q, at[0]);
	else if (n != 3 || !find_three(q, at, &f))
		return; /* another kind of server left it */
	q->used_idx = (uint16_t)f.idx;
	q->used_wrap = !find_used_bit(q, f.idx);
	if (f.marked)
		find_finish(q, &f);
	q->avail_idx = q->used_idx;
	q->avail_wrap = q->used_wrap;
}
