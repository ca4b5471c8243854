/* SPDX-License-Identifier: MIT */
/* The packed virtqueue (virtio 1.3, 2.8), serving end: from available descriptors to requests. */
#include "queue/chain.h"
#include "queue/inflight.h"
#include "queue/packed.h"

/* The chain has its id: the slot is that request's now, or the reason why not. */
VIO_INLINE int packed_claim(struct vio_queue *q, uint8_t *busy, unsigned size, struct queue_req *s, uint16_t id,
			    unsigned ndesc)
{
	if (VIO_UNLIKELY(id >= size))
		return vio__queue_break(q, "buffer id %u in a packed ring of %u", id, size);
	if (VIO_UNLIKELY(!queue_mark_busy(busy, id)))
		return vio__queue_break(q, "buffer id %u was posted again while it is in flight", id);
	s->head = id;
	s->ndesc = (uint16_t)ndesc;
	return 0;
}

/* A chain that failed before it had an id: only its large vector goes back. */
static int packed_drop(struct vio_queue *q, struct queue_req *s, int rc, bool track)
{
	if (s->block)
		q->blocks[q->nblocks++] = s->block;
	s->block = NULL;
	if (track)
		packed_track_drop(q);
	return rc;
}

/* What take reads of the queue for each request, in registers: stores to a vector might change q itself. */
struct packed_view {
	const uint64_t *ring, *end;
	unsigned size;
	uint8_t *busy;
	struct mem_range range;
};

/* A whole indirect table instead of a chain (2.8.7): its descriptors run on. 1, the table's own descriptor, or 0. */
static __attribute__((noinline)) unsigned packed_table_fast(struct vio_queue *q, struct queue_req *s, uint64_t addr,
							    uint64_t word)
{
	struct chain_fast c = chain_fast_begin(s, q->range);
	bool whole = q->indirect && (word >> 48 & (VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT)) == VRING_DESC_F_INDIRECT;
	const uint64_t *t = whole ? chain_fast_table(&c, addr, (uint32_t)word) : NULL;
	const uint64_t *const end = t ? t + (uint32_t)word / 8 : NULL;
	unsigned nout = 0;

	for (; t != end; t += 2) {
		uint64_t at = VIO_LOAD(&t[0]), w = VIO_LOAD(&t[1]);
		bool write = w >> 48 & VRING_DESC_F_WRITE;

		if ((w >> 48 & VRING_DESC_F_INDIRECT) || (!write && c.iov != s->own + nout) ||
		    !chain_fast_add(&c, at, (uint32_t)w))
			return 0;
		nout += !write;
	}
	if (!end)
		return 0;
	if (q->track)
		packed_track_desc(q, addr, word);
	chain_fill(s, s->own, (unsigned)(c.iov - s->own), nout);
	return 1;
}

/*
 * An ordinary chain from the ring; `word` is its first descriptor's, read when it was
 * found available. The id comes with the last one (2.8.6). The others of a chain are
 * ours when its first is, so only that one's bits are tested. Returns its length, or 0.
 */
VIO_INLINE unsigned packed_walk_fast(struct vio_queue *q, const struct packed_view v, struct queue_req *s, unsigned at,
				     uint64_t word, const bool track, uint16_t *id)
{
	struct chain_fast c = chain_fast_begin(s, v.range);
	const uint64_t *d = v.ring + 2 * at;
	struct iovec *const own = c.iov;
	unsigned nout;

	for (; !(word >> 48 & CHAIN_KIND); word = VIO_LOAD(&d[1])) {
		uint64_t addr = VIO_LOAD(&d[0]);

		if (!chain_fast_add(&c, addr, (uint32_t)word))
			return 0;
		if (track)
			packed_track_desc(q, addr, word);
		nout = (unsigned)(c.iov - own);
		if (VIO_UNLIKELY(!(word >> 48 & VRING_DESC_F_NEXT)))
			goto whole;
		d = VIO_UNLIKELY(d + 2 == v.end) ? v.ring : d + 2;
	}
	for (nout = (unsigned)(c.iov - own);; word = VIO_LOAD(&d[1])) {
		uint64_t addr = VIO_LOAD(&d[0]);

		if (VIO_UNLIKELY((word >> 48 & CHAIN_KIND) != VRING_DESC_F_WRITE)) {
			*id = (uint16_t)(word >> 32);
			return c.iov == own ? packed_table_fast(q, s, addr, word) : 0;
		}
		if (!chain_fast_add(&c, addr, (uint32_t)word))
			return 0;
		if (track)
			packed_track_desc(q, addr, word);
		if (!(word >> 48 & VRING_DESC_F_NEXT))
			break;
		d = VIO_UNLIKELY(d + 2 == v.end) ? v.ring : d + 2;
	}
whole:
	*id = (uint16_t)(word >> 32);
	chain_fill(s, own, (unsigned)(c.iov - own), nout);
	return (unsigned)(c.iov - own);
}

/* Any chain, and what is wrong with it. Its length, or -errno. */
static int packed_walk(struct vio_queue *q, struct queue_req *s, unsigned at, bool track, unsigned limit, uint16_t *id)
{
	struct chain c = chain_begin(s);
	unsigned flags;
	int rc;

	do {
		uint64_t addr = VIO_LOAD((const uint64_t *)&q->ring[at].addr);
		uint64_t word = VIO_LOAD((const uint64_t *)&q->ring[at].len);

		if (c.steps++ == limit)
			return vio__queue_break(q, "a chain of more than the %u descriptors that are not in flight", limit);
		if (track)
			packed_track_desc(q, addr, word);
		*id = (uint16_t)(word >> 32);
		flags = (unsigned)(word >> 48);
		rc = flags & VRING_DESC_F_INDIRECT ? vio__chain_indirect(q, &c, addr, (uint32_t)word, flags) :
						     vio__chain_add(q, &c, addr, (uint32_t)word, flags);
		at = at + 1 == q->size ? 0 : at + 1;
	} while (!rc && flags & VRING_DESC_F_NEXT);
	if (rc)
		return rc;
	chain_fill(s, c.iov, c.n, c.nout);
	return (int)c.steps;
}

/* One chain into the slot s. Its length; or the reason why not, and s is as free as it was. */
VIO_INLINE int packed_take_one(struct vio_queue *q, const struct packed_view v, struct queue_req *s, unsigned at,
			       uint64_t word, const bool track, unsigned limit)
{
	uint16_t id = 0;
	int n = (int)packed_walk_fast(q, v, s, at, word, track, &id), rc;

	if (VIO_UNLIKELY(!n || (unsigned)n > limit)) {
		if (track)
			packed_track_drop(q);
		n = packed_walk(q, s, at, track, limit, &id);
	}
	rc = n < 0 ? n : packed_claim(q, v.busy, v.size, s, id, (unsigned)n);
	return VIO_LIKELY(!rc) ? n : packed_drop(q, s, rc, track);
}

/* n requests came out, or fewer and then rc. */
static int packed_taken(struct vio_queue *q, unsigned n, int rc)
{
	q->nfree -= n;
	q->inflight += n;
	q->stats.taken += n;
	return n ? (int)n : rc == -EBADMSG ? rc : 0;
}

/*
 * Chains of one direct descriptor in the region that matched last, as a network driver posts
 * them: little enough for the compiler to keep all of it in registers. Ends before the first
 * other one; what was read of that is not kept.
 */
static __attribute__((noinline)) unsigned packed_take_plain(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	const uint64_t both = (uint64_t)(VRING_AVAIL_BIT | VRING_USED_BIT) << 48;
	const uint64_t kind = both | (uint64_t)(VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT) << 48;
	const uint64_t *const ring = (const uint64_t *)q->ring;
	const struct mem_range range = q->range;
	struct queue_req *const *free = q->free + q->nfree;
	uint8_t *const busy = q->busy;
	const unsigned size = q->size;
	unsigned idx = q->avail_idx, i;
	uint64_t ours = (uint64_t)(q->avail_wrap ? VRING_AVAIL_BIT : VRING_USED_BIT) << 48;

	for (i = 0; i < n; i++) {
		const uint64_t word = VIO_LOAD_ACQUIRE(&ring[2 * idx + 1]);
		const uint64_t off = VIO_LOAD(&ring[2 * idx]) - range.guest;
		const unsigned id = (uint16_t)(word >> 32);
		struct queue_req *s = *--free;

		if ((word & kind) != ours || VIO_UNLIKELY(id >= size) || VIO_UNLIKELY(off >= range.size) ||
		    VIO_UNLIKELY((uint64_t)(uint32_t)word - 1 >= range.size - off) || !queue_mark_busy(busy, id))
			break;
		s->head = (uint16_t)id;
		s->ndesc = 1;
		s->place = (uint16_t)idx;
		chain_fill_one(s, range.ptr + off, (uint32_t)word, word >> 49 & 1);
		r[i] = &s->r;
		if (VIO_UNLIKELY(++idx == size)) {
			idx = 0;
			ours ^= both;
		}
	}
	q->avail_idx = (uint16_t)idx;
	q->avail_wrap = ours >> 48 == VRING_AVAIL_BIT;
	return i;
}

VIO_INLINE int packed_take(struct vio_queue *q, struct vio_req **r, unsigned n, const bool track)
{
	const struct packed_view v = { .ring = (const uint64_t *)q->ring, .end = (const uint64_t *)(q->ring + q->size),
				       .size = q->size, .busy = q->busy, .range = q->range };
	const unsigned unused = q->size - q->pending; /* given ones that are not flushed still fill the ring */
	unsigned limit = unused - q->busy_desc;
	unsigned i = track ? 0 : packed_take_plain(q, r, VIO_MIN(n, limit));
	struct queue_req **free = q->free + q->nfree - i;
	uint16_t idx = q->avail_idx;
	bool wrap = q->avail_wrap;
	uint64_t word;
	int len = 0;

	limit -= i;
	for (; i < n && limit && packed_ready(v.ring, idx, wrap, &word); i++) {
		struct queue_req *s = *--free;

		len = packed_take_one(q, v, s, idx, word, track, limit);
		if (VIO_UNLIKELY(len < 0))
			break;
		s->place = idx;
		r[i] = &s->r;
		if (track)
			packed_track_take(q, s);
		limit -= (unsigned)len;
		packed_advance(v.size, &idx, &wrap, (unsigned)len);
	}
	q->busy_desc = unused - limit;
	q->avail_idx = idx;
	q->avail_wrap = wrap;
	return packed_taken(q, i, len);
}

/* A chain as the inflight region kept it. The copies come from outside too: each is checked like a live one. */
static int packed_resume_one(struct vio_queue *q, uint16_t entry, struct queue_req *s)
{
	const struct packed_inflight *t = q->packed_track;
	unsigned num = VIO_LOAD(&t->desc[entry].num);
	struct chain c = chain_begin(s);
	uint16_t at = entry, id = 0;
	int rc = 0;

	if (!num || num > q->size - q->busy_desc) /* anew: the region may have changed since it was opened */
		return vio__queue_break(q, "inflight region: a chain of %u descriptors, and %u others, in a ring of %u",
					num, q->busy_desc, q->size);
	while (c.steps < num && !rc) {
		uint64_t addr = VIO_LOAD(&t->desc[at].addr);
		uint32_t len = VIO_LOAD(&t->desc[at].len);
		uint16_t flags = VIO_LOAD(&t->desc[at].flags);

		c.steps++;
		id = VIO_LOAD(&t->desc[at].id);
		rc = flags & VRING_DESC_F_INDIRECT ? vio__chain_indirect(q, &c, addr, len, flags) :
						     vio__chain_add(q, &c, addr, len, flags);
		at = VIO_LOAD(&t->desc[at].next);
		at = at < q->size ? at : 0;
	}
	rc = rc ? rc : packed_claim(q, q->busy, q->size, s, id, num);
	if (rc)
		return packed_drop(q, s, rc, false);
	chain_fill(s, c.iov, c.n, c.nout);
	s->track = entry;
	s->place = q->resume.place;
	q->busy_desc += num;
	q->resume.place = packed_further(q->size, q->resume.place, num);
	return 0;
}

static int packed_resume(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	struct queue_req **free = q->free + q->nfree;
	unsigned i = 0;
	int rc = 0;

	for (; i < n && q->resume.at < q->resume.n; i++, q->resume.at++) {
		struct queue_req *s = *--free;

		rc = packed_resume_one(q, q->resume.entry[q->resume.at], s);
		if (rc)
			break;
		r[i] = &s->r;
	}
	return packed_taken(q, i, rc);
}

int vio__packed_take(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (VIO_UNLIKELY(q->track && q->track_n)) /* the region knows one batch under way at a time: giving or taking */
		vio__packed_flush(q);
	if (VIO_UNLIKELY(q->resume.at < q->resume.n))
		return packed_resume(q, r, n);
	return q->track ? packed_take(q, r, n, true) : packed_take(q, r, n, false);
}

static void packed_retreat(const struct vio_queue *q, uint16_t *idx, bool *wrap, unsigned n)
{
	if (n > *idx)
		*wrap = !*wrap;
	*idx = (uint16_t)(*idx + (n > *idx ? q->size : 0) - n);
}

/* The newest request goes back into the ring as if it had not been taken. */
void vio__packed_untake(struct vio_queue *q, struct queue_req *s, bool resumed)
{
	if (q->track && q->track_n) /* as in take */
		vio__packed_flush(q);
	if (!resumed) {
		packed_retreat(q, &q->avail_idx, &q->avail_wrap, s->ndesc);
		if (q->track)
			packed_track_untake(q, s);
	} else {
		q->resume.place = s->place;
	}
	q->busy_desc -= s->ndesc;
	queue_release(q, s);
}
