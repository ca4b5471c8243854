/* SPDX-License-Identifier: MIT */
/* The packed virtqueue (virtio 1.3, 2.8), serving end. */
#include "queue/chain.h"
#include "queue/inflight.h"

VIO_INLINE void packed_advance(const struct vio_queue *q, uint16_t *idx, bool *wrap, unsigned n)
{
	unsigned next = *idx + n;

	if (next >= q->size) {
		next -= q->size;
		*wrap = !*wrap;
	}
	*idx = (uint16_t)next;
}

/* A request out of descriptors whose number and id are known: shared by live input and resume. */
VIO_INLINE int packed_begin(struct vio_queue *q, uint16_t id, unsigned ndesc, struct queue_req **out, struct queue_req *s)
{
	if (VIO_UNLIKELY(id >= q->size))
		return vio__queue_break(q, "buffer id %u in a packed ring of %u", id, q->size);
	if (VIO_UNLIKELY(!queue_mark_busy(q, id)))
		return vio__queue_break(q, "buffer id %u was posted again while it is in flight", id);
	s->head = id;
	s->ndesc = (uint16_t)ndesc;
	s->resumed = false;
	*out = s;
	return 0;
}

/* Gives a slot back whose id was never marked busy. */
static void packed_unslot(struct vio_queue *q, struct queue_req *s)
{
	if (s->block)
		q->blocks[q->nblocks++] = s->block;
	s->block = NULL;
	q->free[q->nfree++] = s;
}

/*
 * One chain from the ring; the id comes with its last descriptor (2.8.6). The next
 * descriptors of a chain are ours when its first is, so only that one is tested.
 */
VIO_INLINE int packed_walk(struct vio_queue *q, struct chain *c, uint16_t at, const bool track, uint16_t *id)
{
	const unsigned limit = q->size - q->busy_desc;

	for (;;) {
		const uint64_t *d = (const uint64_t *)&q->ring[at];
		uint64_t addr = VIO_LOAD(&d[0]), word = VIO_LOAD(&d[1]);
		unsigned flags = (unsigned)(word >> 48);
		int rc;

		if (VIO_UNLIKELY(c->steps++ == limit))
			return vio__queue_break(q, "a chain of more than the %u descriptors that are not in flight", limit);
		if (track)
			packed_track_desc(q, addr, word);
		*id = (uint16_t)(word >> 32);
		if (VIO_UNLIKELY(flags & VRING_DESC_F_INDIRECT))
			return vio__chain_indirect(q, c, addr, (uint32_t)word, flags);
		rc = chain_add(q, c, addr, (uint32_t)word, flags);
		if (VIO_UNLIKELY(rc))
			return rc;
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		at = (uint16_t)(at + 1u == q->size ? 0 : at + 1u);
	}
}

VIO_INLINE int packed_take_one(struct vio_queue *q, struct vio_req **r, const bool track)
{
	struct queue_req *s = queue_slot(q);
	struct chain c = chain_begin(s);
	uint16_t id = 0;
	int rc = packed_walk(q, &c, q->avail_idx, track, &id);

	rc = rc ? rc : packed_begin(q, id, c.steps, &s, s);
	if (VIO_UNLIKELY(rc)) {
		packed_unslot(q, s);
		if (track)
			packed_track_drop(q);
		return rc;
	}
	chain_end(&c);
	if (track)
		packed_track_take(q, s);
	q->busy_desc += c.steps;
	packed_advance(q, &q->avail_idx, &q->avail_wrap, c.steps);
	*r = &s->r;
	return 0;
}

VIO_INLINE void packed_order(struct vio_queue *q, struct queue_req *s)
{
	s->done = false;
	q->order[q->order_head] = s;
	q->order_head = (uint16_t)(q->order_head + 1u == q->size ? 0 : q->order_head + 1u);
}

VIO_INLINE bool packed_ready(const struct vio_queue *q)
{
	return q->busy_desc < q->size && vring_packed_avail(VIO_LOAD_ACQUIRE(&q->ring[q->avail_idx].flags), q->avail_wrap);
}

VIO_INLINE int packed_take(struct vio_queue *q, struct vio_req **r, unsigned n, const bool track, const bool in_order)
{
	unsigned i = 0;
	int rc = 0;

	while (i < n && packed_ready(q)) {
		__builtin_prefetch(&q->ring[q->avail_idx + 8u < q->size ? q->avail_idx + 8u : 0]);
		rc = packed_take_one(q, &r[i], track);
		if (VIO_UNLIKELY(rc))
			break;
		if (in_order)
			packed_order(q, queue_req(r[i]));
		i++;
	}
	q->inflight += i;
	q->stats.taken += i;
	return i ? (int)i : rc == -EBADMSG ? rc : 0;
}

/* A chain as the inflight region kept it. The copies come from outside too: each is checked like a live one. */
static int packed_resume_one(struct vio_queue *q, uint16_t entry, struct vio_req **r)
{
	const struct packed_inflight *t = q->packed_track;
	unsigned num = VIO_LOAD(&t->desc[entry].num);
	struct queue_req *s = queue_slot(q);
	struct chain c = chain_begin(s);
	uint16_t at = entry, id = 0;
	int rc = 0;

	for (unsigned i = 0; i < num && !rc; i++) {
		const struct packed_entry e = t->desc[at];

		c.steps++;
		id = e.id;
		rc = e.flags & VRING_DESC_F_INDIRECT ? vio__chain_indirect(q, &c, e.addr, e.len, e.flags) :
						       chain_add(q, &c, e.addr, e.len, e.flags);
		at = e.next < q->size ? e.next : 0;
	}
	if (!rc && num + q->busy_desc > q->size)
		rc = vio__queue_break(q, "inflight region: more descriptors than the ring of %u has", q->size);
	rc = rc ? rc : packed_begin(q, id, num, &s, s);
	if (rc) {
		packed_unslot(q, s);
		return rc;
	}
	chain_end(&c);
	s->track = entry;
	q->busy_desc += num;
	*r = &s->r;
	return 0;
}

static int packed_resume(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	unsigned i = 0;
	int rc = 0;

	while (i < n && q->resume.at < q->resume.n) {
		rc = packed_resume_one(q, q->resume.entry[q->resume.at], &r[i]);
		if (rc)
			break;
		queue_req(r[i])->resumed = true;
		if (q->in_order)
			packed_order(q, queue_req(r[i]));
		q->resume.at++;
		i++;
	}
	q->inflight += i;
	q->stats.taken += i;
	return i ? (int)i : rc == -EBADMSG ? rc : 0;
}

int vio__packed_take(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (q->track && q->track_n) /* the region knows one batch under way at a time: giving or taking */
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
	if (!s->resumed) {
		packed_retreat(q, &q->avail_idx, &q->avail_wrap, s->ndesc);
		if (q->track)
			packed_track_untake(q, s);
	}
	q->busy_desc -= s->ndesc;
	queue_release(q, s);
}

/*
 * Writes a used descriptor: length, id and flags are one word. The batch's first
 * is kept back until flush, so that the driver, which reads in order, sees none of
 * the batch before all of it.
 */
VIO_INLINE void packed_put(struct vio_queue *q, struct queue_req *s, const bool track)
{
	uint16_t flags = (uint16_t)((q->used_wrap ? VRING_AVAIL_BIT | VRING_USED_BIT : 0) |
				    (s->r.written ? VRING_DESC_F_WRITE : 0));
	uint64_t word = s->r.written | (uint64_t)s->head << 32 | (uint64_t)flags << 48;

	if (!q->pending) {
		q->published = q->used_idx;
		q->published_wrap = q->used_wrap;
		q->first_word = word;
	} else {
		VIO_STORE_RELEASE((uint64_t *)&q->ring[q->used_idx].len, word);
	}
	if (VIO_UNLIKELY(q->dirty))
		queue_log_ring(q, 16ull * q->used_idx, 16);
	q->pending += s->ndesc;
	q->busy_desc -= s->ndesc;
	packed_advance(q, &q->used_idx, &q->used_wrap, s->ndesc);
	if (track)
		packed_track_give(q, s);
	queue_release(q, s);
}

static void packed_give_ordered(struct vio_queue *q, struct queue_req *s)
{
	s->done = true;
	while (q->order[q->order_tail] && q->order[q->order_tail]->done) {
		s = q->order[q->order_tail];
		q->order[q->order_tail] = NULL;
		q->order_tail = (uint16_t)(q->order_tail + 1u == q->size ? 0 : q->order_tail + 1u);
		packed_put(q, s, q->track);
	}
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
		for (unsigned i = 0; i < n; i++)
			packed_put(q, queue_req(r[i]), true);
	else
		for (unsigned i = 0; i < n; i++)
			packed_put(q, queue_req(r[i]), false);
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
	return !q->starved && (packed_ready(q) || q->resume.at < q->resume.n);
}

bool vio__packed_kicks(struct vio_queue *q, bool on)
{
	uint16_t flags = !on ? VRING_PACKED_EVENT_FLAG_DISABLE :
			 q->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
	uint32_t word = q->avail_idx | (uint32_t)q->avail_wrap << 15 | (uint32_t)flags << 16;

	VIO_STORE((uint32_t *)q->device_event, word);
	if (!on)
		return false;
	vio__full_barrier(); /* our wish first, then the driver's descriptor: it does the reverse */
	return vio__packed_waiting(q);
}

int vio__packed_init(struct vio_queue *q, const struct vio_queue_opts *o)
{
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
	if (q->track)
		return packed_track_open(q, o->inflight_size);
	if (q->avail_idx != q->used_idx || q->avail_wrap != q->used_wrap)
		return vio__fail(EINVAL, "queue: state has avail %u and used %u, which leaves requests that nobody knows",
				 q->avail_idx, q->used_idx);
	return 0;
}
