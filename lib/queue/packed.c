/* SPDX-License-Identifier: MIT */
/* The packed virtqueue (virtio 1.3, 2.8), serving end. */
#include "queue/chain.h"
#include "queue/inflight.h"

VIO_INLINE void packed_advance(unsigned size, uint16_t *idx, bool *wrap, unsigned n)
{
	unsigned next = *idx + n;

	if (next >= size) {
		next -= size;
		*wrap = !*wrap;
	}
	*idx = (uint16_t)next;
}

/* The chain has its id: the slot is that request's now, or the reason why not. */
VIO_INLINE int packed_claim(struct vio_queue *q, uint64_t *busy, unsigned size, struct queue_req *s, uint16_t id,
			    unsigned ndesc)
{
	if (VIO_UNLIKELY(id >= size))
		return vio__queue_break(q, "buffer id %u in a packed ring of %u", id, size);
	if (VIO_UNLIKELY(!queue_mark_busy(busy, id)))
		return vio__queue_break(q, "buffer id %u was posted again while it is in flight", id);
	s->head = id;
	s->ndesc = (uint16_t)ndesc;
	s->resumed = false;
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
	uint64_t *busy;
	struct mem_range range;
};

/* A whole indirect table instead of a chain (2.8.7): its descriptors run on. 1, the table's own descriptor, or 0. */
static __attribute__((noinline)) unsigned packed_table_fast(struct vio_queue *q, struct queue_req *s, uint64_t addr,
							    uint64_t word)
{
	struct chain_fast c = chain_fast_begin(s, q->range);
	bool whole = q->indirect && !(word >> 48 & VRING_DESC_F_NEXT);
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

	*id = (uint16_t)(word >> 32);
	if (word >> 48 & VRING_DESC_F_INDIRECT)
		return packed_table_fast(q, s, VIO_LOAD(&d[0]), word);
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

		if (VIO_UNLIKELY((word >> 48 & CHAIN_KIND) != VRING_DESC_F_WRITE) ||
		    !chain_fast_add(&c, addr, (uint32_t)word))
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

VIO_INLINE void packed_order(struct vio_queue *q, struct queue_req *s)
{
	s->done = false;
	q->order[q->order_head] = s;
	q->order_head = (uint16_t)(q->order_head + 1u == q->size ? 0 : q->order_head + 1u);
}

/* The next descriptor's length, id and flags, if it is available: read once, before its address. */
VIO_INLINE bool packed_ready(const uint64_t *ring, unsigned idx, bool wrap, uint64_t *word)
{
	*word = VIO_LOAD_ACQUIRE(&ring[2 * idx + 1]);
	return vring_packed_avail((uint16_t)(*word >> 48), wrap);
}

/* n requests came out, or fewer and then rc. */
static int packed_taken(struct vio_queue *q, unsigned n, int rc)
{
	q->nfree -= n;
	q->inflight += n;
	q->stats.taken += n;
	return n ? (int)n : rc == -EBADMSG ? rc : 0;
}

VIO_INLINE int packed_take(struct vio_queue *q, struct vio_req **r, unsigned n, const bool track, const bool in_order)
{
	struct queue_req **free = q->free + q->nfree;
	const struct packed_view v = { .ring = (const uint64_t *)q->ring, .end = (const uint64_t *)(q->ring + q->size),
				       .size = q->size, .busy = q->busy, .range = q->range };
	const unsigned unused = q->size - q->pending; /* given ones that are not flushed still fill the ring */
	unsigned limit = unused - q->busy_desc, i;
	uint16_t idx = q->avail_idx;
	bool wrap = q->avail_wrap;
	uint64_t word;
	int len = 0;

	for (i = 0; i < n && limit && packed_ready(v.ring, idx, wrap, &word); i++) {
		struct queue_req *s = *--free;

		len = packed_take_one(q, v, s, idx, word, track, limit);
		if (VIO_UNLIKELY(len < 0))
			break;
		r[i] = &s->r;
		if (track)
			packed_track_take(q, s);
		if (in_order)
			packed_order(q, s);
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
	s->resumed = true;
	q->busy_desc += num;
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
		if (q->in_order)
			packed_order(q, s);
	}
	return packed_taken(q, i, rc);
}

int vio__packed_take(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (VIO_UNLIKELY(q->track && q->track_n)) /* the region knows one batch under way at a time: giving or taking */
		vio__packed_flush(q);
	if (VIO_UNLIKELY(q->resume.at < q->resume.n))
		return packed_resume(q, r, n);
	switch ((q->track ? 1 : 0) | (q->in_order ? 2 : 0)) {
	case 0:
		return packed_take(q, r, n, false, false);
	case 1:
		return packed_take(q, r, n, true, false);
	case 2:
		return packed_take(q, r, n, false, true);
	default:
		return packed_take(q, r, n, true, true);
	}
}

static void packed_retreat(const struct vio_queue *q, uint16_t *idx, bool *wrap, unsigned n)
{
	if (n > *idx)
		*wrap = !*wrap;
	*idx = (uint16_t)(*idx + (n > *idx ? q->size : 0) - n);
}

/* The newest request goes back into the ring as if it had not been taken. */
void vio__packed_untake(struct vio_queue *q, struct queue_req *s)
{
	if (q->in_order) {
		q->order_head = (uint16_t)(q->order_head ? q->order_head - 1u : q->size - 1u);
		q->order[q->order_head] = NULL;
	}
	if (q->track && q->track_n) /* as in take */
		vio__packed_flush(q);
	if (!s->resumed) {
		packed_retreat(q, &q->avail_idx, &q->avail_wrap, s->ndesc);
		if (q->track)
			packed_track_untake(q, s);
	}
	q->busy_desc -= s->ndesc;
	queue_release(q, s);
}

/* Where the next used descriptor goes; a local of whoever gives, so that it stays in registers. */
struct packed_used {
	uint16_t idx, pending;
	bool wrap;
};

VIO_INLINE struct packed_used packed_used_begin(const struct vio_queue *q)
{
	return (struct packed_used){ .idx = q->used_idx, .wrap = q->used_wrap, .pending = q->pending };
}

VIO_INLINE void packed_used_end(struct vio_queue *q, const struct packed_used *u)
{
	q->busy_desc -= (unsigned)(uint16_t)(u->pending - q->pending);
	q->used_idx = u->idx;
	q->used_wrap = u->wrap;
	q->pending = u->pending;
}

/*
 * Writes a used descriptor: length, id and flags are one word. The batch's first
 * is kept back until flush, so that the driver, which reads in order, sees none of
 * the batch before all of it.
 */
VIO_INLINE void packed_put(struct vio_queue *q, struct packed_used *u, struct queue_req *s, const bool track)
{
	uint64_t flags = (u->wrap ? VRING_AVAIL_BIT | VRING_USED_BIT : 0u) | (s->r.written ? VRING_DESC_F_WRITE : 0u);
	uint64_t word = s->r.written | (uint64_t)s->head << 32 | flags << 48;

	if (VIO_LIKELY(u->pending)) {
		VIO_STORE_RELEASE((uint64_t *)&q->ring[u->idx].len, word);
	} else {
		q->published = u->idx;
		q->published_wrap = u->wrap;
		q->first_word = word;
	}
	if (VIO_UNLIKELY(q->dirty))
		queue_log_ring(q, 16ull * u->idx, 16);
	u->pending = (uint16_t)(u->pending + s->ndesc);
	packed_advance(q->size, &u->idx, &u->wrap, s->ndesc);
	if (track)
		packed_track_give(q, s, u->idx, u->wrap);
}

static void packed_give_ordered(struct vio_queue *q, struct queue_req *s)
{
	struct packed_used u = packed_used_begin(q);

	s->done = true;
	while (q->order[q->order_tail] && q->order[q->order_tail]->done) {
		s = q->order[q->order_tail];
		q->order[q->order_tail] = NULL;
		q->order_tail = (uint16_t)(q->order_tail + 1u == q->size ? 0 : q->order_tail + 1u);
		packed_put(q, &u, s, q->track);
		queue_release(q, s);
	}
	packed_used_end(q, &u);
}

VIO_INLINE void packed_give(struct vio_queue *q, struct vio_req **r, unsigned n, const bool track)
{
	struct packed_used u = packed_used_begin(q);

	for (unsigned i = 0; i < n; i++)
		packed_put(q, &u, queue_req(r[i]), track);
	packed_used_end(q, &u);
	queue_release_all(q, r, n);
}

void vio__packed_give(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (VIO_UNLIKELY(q->dirty))
		for (unsigned i = 0; i < n; i++)
			vio__queue_log(q, r[i]);
	if (VIO_UNLIKELY(q->in_order))
		for (unsigned i = 0; i < n; i++)
			packed_give_ordered(q, queue_req(r[i]));
	else if (VIO_UNLIKELY(q->track != NULL))
		packed_give(q, r, n, true);
	else
		packed_give(q, r, n, false);
	q->inflight -= n;
	q->starved = false;
	q->stats.given += n;
}

/* Does the driver want to hear of the `pending` descriptors that end before used_idx? (2.8.10) */
static bool packed_wants(const struct vio_queue *q)
{
	uint32_t word;
	uint16_t flags, event, old = q->published, now = q->used_idx;

	vio__full_barrier(); /* our descriptors first, then the driver's wish: it does the reverse */
	word = VIO_LOAD((const uint32_t *)q->driver_event);
	flags = (uint16_t)(word >> 16);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	event = (uint16_t)word & 0x7fff;
	/* Positions on one line: what lies behind now by wrap count is a ring's length earlier. */
	if (!!(word & 0x8000) != q->used_wrap)
		event = (uint16_t)(event - q->size);
	if (q->published_wrap != q->used_wrap)
		old = (uint16_t)(old - q->size);
	return vring_need_event(event, now, old);
}

void vio__packed_flush(struct vio_queue *q)
{
	bool wants;

	if (!q->pending)
		return;
	VIO_STORE_RELEASE((uint64_t *)&q->ring[q->published].len, q->first_word);
	if (VIO_UNLIKELY(q->dirty))
		queue_log_ring(q, 16ull * q->published, 16);
	if (q->track)
		packed_track_flush(q);
	wants = packed_wants(q);
	q->pending = 0;
	if (!wants) {
		q->stats.suppressed++;
		return;
	}
	q->stats.notified++;
	if (q->notify)
		q->notify(q->notify_ctx);
}

bool vio__packed_waiting(const struct vio_queue *q)
{
	uint64_t word;

	return !q->starved && (q->resume.at < q->resume.n ||
			       (q->busy_desc + q->pending < q->size && packed_ready((const uint64_t *)q->ring, q->avail_idx, q->avail_wrap, &word)));
}

bool vio__packed_kicks(struct vio_queue *q, bool on)
{
	uint16_t flags = !on ? VRING_PACKED_EVENT_FLAG_DISABLE :
			 q->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
	uint32_t word = q->avail_idx | (uint32_t)q->avail_wrap << 15 | (uint32_t)flags << 16;

	VIO_STORE((uint32_t *)q->device_event, word);
	if (VIO_UNLIKELY(q->dirty))
		vio_dirty_mark(q->dirty, vio_mem_guest(q->mem, q->device_event), sizeof(word));
	if (!on)
		return false;
	vio__full_barrier(); /* our wish first, then the driver's descriptor: it does the reverse */
	return vio__packed_waiting(q);
}

int vio__packed_init(struct vio_queue *q, const struct vio_queue_opts *o)
{
	int rc;

	if (o->desc % 16 || o->driver % 4 || o->device % 4)
		return vio__fail(EINVAL, "queue: packed ring at %#llx, %#llx, %#llx; the parts must be aligned to 16, 4 and 4",
				 (unsigned long long)o->desc, (unsigned long long)o->driver, (unsigned long long)o->device);
	q->ring = vio_mem_ptr(q->mem, o->desc, vring_desc_bytes(q->size));
	q->driver_event = vio_mem_ptr(q->mem, o->driver, sizeof(*q->driver_event));
	q->device_event = vio_mem_ptr(q->mem, o->device, sizeof(*q->device_event));
	if (!q->ring || !q->driver_event || !q->device_event)
		return vio__fail(EINVAL, "queue: the %s of %u entries at %#llx is not guest memory",
				 !q->ring ? "packed descriptor ring" : "event suppression structure", q->size,
				 (unsigned long long)(!q->ring ? o->desc : !q->driver_event ? o->driver : o->device));
	if ((uintptr_t)q->ring % 16 || (uintptr_t)q->driver_event % 4 || (uintptr_t)q->device_event % 4)
		return vio__fail(EINVAL, "queue: the memory of the ring at %#llx is mapped at an odd address",
				 (unsigned long long)o->desc);
	q->avail_wrap = q->used_wrap = true;
	if (o->state) {
		q->avail_idx = o->state->avail_idx;
		q->used_idx = o->state->used_idx;
		q->avail_wrap = o->state->avail_wrap;
		q->used_wrap = o->state->used_wrap;
	}
	if (q->avail_idx >= q->size || q->used_idx >= q->size)
		return vio__fail(EINVAL, "queue: state has avail %u and used %u in a packed ring of %u", q->avail_idx,
				 q->used_idx, q->size);
	if (q->track && (rc = packed_track_open(q, o->inflight_size)))
		return rc;
	if (!q->resume.n && (q->avail_idx != q->used_idx || q->avail_wrap != q->used_wrap))
		return vio__fail(EINVAL, "queue: state has avail %u and used %u, which leaves requests that nobody knows",
				 q->avail_idx, q->used_idx);
	return 0;
}
