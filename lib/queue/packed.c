/* SPDX-License-Identifier: MIT */
/* The packed virtqueue (virtio 1.3, 2.8), serving end: from requests to used descriptors, notifications, set-up. */
#include "queue/inflight.h"
#include "queue/packed.h"

/* Where the next used descriptor goes; a local of whoever gives, so that it stays in registers. */
struct packed_used {
	uint64_t *ring;
	unsigned size;
	uint16_t idx, pending;
	bool wrap, dirty, resumable;
};

VIO_INLINE struct packed_used packed_used_begin(const struct vio_queue *q)
{
	return (struct packed_used){ .ring = (uint64_t *)q->ring, .size = q->size, .idx = q->used_idx,
				     .wrap = q->used_wrap, .pending = q->pending, .dirty = q->dirty,
				     .resumable = q->resumable };
}

VIO_INLINE void packed_used_end(struct vio_queue *q, const struct packed_used *u)
{
	q->busy_desc -= (unsigned)(uint16_t)(u->pending - q->pending);
	q->used_idx = u->idx;
	q->used_wrap = u->wrap;
	q->pending = u->pending;
}

/*
 * A chain of n descriptors is used at idx, and shall leave none behind that a successor takes for one
 * still to be served (packed_find.c): all but its first, which the driver does not look at, are marked
 * too. We may die between any two stores: until the last one is marked the first, unless it is `kept`
 * back for flush, says that it goes on.
 */
static __attribute__((noinline)) void packed_mark_chain(struct vio_queue *q, unsigned idx, bool wrap, unsigned n,
							uint64_t word, bool kept)
{
	if (!kept)
		VIO_STORE_RELEASE((uint64_t *)&q->ring[idx].len, word | (uint64_t)VRING_DESC_F_NEXT << 48);
	while (--n) {
		uint16_t flags;

		wrap ^= idx + 1 == q->size;
		idx = packed_further(q->size, idx, 1);
		flags = VIO_LOAD(&q->ring[idx].flags) & (uint16_t)~packed_used_bits(true);
		VIO_STORE_RELEASE(&q->ring[idx].flags, (uint16_t)(flags | packed_used_bits(wrap)));
		queue_log_ring(q, 16ull * idx, 16);
	}
}

/*
 * Writes a used descriptor: length, id and flags are one word. The batch's first
 * is kept back until flush, so that the driver, which reads in order, sees none of
 * the batch before all of it.
 */
VIO_INLINE void packed_put(struct vio_queue *q, struct packed_used *u, struct queue_req *s, const bool track)
{
	uint64_t flags = packed_used_bits(u->wrap) | (s->r.written ? VRING_DESC_F_WRITE : 0u);
	uint64_t word = s->r.written | (uint64_t)s->head << 32 | flags << 48;

	if (u->resumable && VIO_UNLIKELY(s->ndesc > 1))
		packed_mark_chain(q, u->idx, u->wrap, s->ndesc, word, !u->pending);
	if (VIO_LIKELY(u->pending)) {
		VIO_STORE_RELEASE(&u->ring[2 * u->idx + 1], word);
	} else {
		q->published = u->idx;
		q->first_word = word;
	}
	if (VIO_UNLIKELY(u->dirty))
		queue_log_ring(q, 16ull * u->idx, 16);
	u->pending = (uint16_t)(u->pending + s->ndesc);
	packed_advance(u->size, &u->idx, &u->wrap, s->ndesc);
	if (track)
		packed_track_give(q, s, u->idx, u->wrap);
}

VIO_INLINE void packed_give(struct vio_queue *q, struct vio_req **r, unsigned n, const bool track)
{
	struct packed_used u = packed_used_begin(q);

	for (unsigned i = 0; i < n; i++)
		packed_put(q, &u, queue_req(r[i]), track);
	packed_used_end(q, &u);
	queue_release_all(q, r, n);
}

/*
 * The same, without an inflight region and a dirty log: all in registers. Something is pending already. Of an
 * ordered ring, those from the front of r that come next in it and fill one descriptor. Returns how many.
 */
VIO_INLINE unsigned packed_give_plain(struct vio_queue *q, struct vio_req **r, unsigned n, const bool ordered)
{
	const uint64_t both = (uint64_t)(VRING_AVAIL_BIT | VRING_USED_BIT) << 48;
	uint64_t *const ring = (uint64_t *)q->ring;
	const unsigned size = q->size;
	unsigned idx = q->used_idx, ndesc = 0, i;
	uint64_t used = q->used_wrap ? both : 0;
	uint8_t *const busy = q->busy;
	struct queue_req **free = q->free + q->nfree;

	for (i = 0; i < n; i++) {
		struct queue_req *s = queue_req(r[i]);
		uint64_t word = s->r.written | (uint64_t)s->head << 32 | used;

		if (ordered && (VIO_UNLIKELY(s->place != idx) || VIO_UNLIKELY(s->ndesc != 1)))
			break;
		if (s->r.written)
			word |= (uint64_t)VRING_DESC_F_WRITE << 48;
		VIO_STORE_RELEASE(&ring[2 * idx + 1], word);
		if (VIO_UNLIKELY(s->block != NULL))
			queue_unmark(q, s);
		busy[s->head] = 0;
		free[i] = s;
		ndesc += ordered ? 1u : s->ndesc;
		idx += ordered ? 1u : s->ndesc;
		if (VIO_UNLIKELY(idx >= size)) {
			idx -= size;
			used ^= both;
		}
	}
	q->used_idx = (uint16_t)idx;
	q->used_wrap = used;
	q->pending = (uint16_t)(q->pending + ndesc);
	q->busy_desc -= ndesc;
	q->nfree += i;
	return i;
}

/* How many from the front of r come next in the ring. */
static unsigned packed_in_turn(const struct vio_queue *q, struct vio_req **r, unsigned n)
{
	unsigned idx = q->used_idx, i = 0;

	for (; i < n && queue_req(r[i])->place == idx; i++)
		idx = packed_further(q->size, idx, queue_req(r[i])->ndesc);
	return i;
}

static unsigned packed_give_fast(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	unsigned first = !q->pending && n;

	if (first && q->ordered && !packed_in_turn(q, r, 1))
		return 0;
	if (first) /* what flush writes last */
		packed_give(q, r, 1, false);
	r += first;
	n -= first;
	return first + (q->ordered ? packed_give_plain(q, r, n, true) : packed_give_plain(q, r, n, false));
}

/* Those from the front of r that can be used now; returns how many. */
static unsigned packed_give_now(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (VIO_UNLIKELY(q->early_n))
		return 0;
	if (VIO_LIKELY(!q->track && !q->dirty))
		return packed_give_fast(q, r, n);
	if (q->ordered)
		n = packed_in_turn(q, r, n);
	if (q->track)
		packed_give(q, r, n, true);
	else
		packed_give(q, r, n, false);
	return n;
}

/* It waits until all that lie before it in the ring have been given too. */
static void packed_give_early(struct vio_queue *q, struct queue_req *s)
{
	struct packed_used u = packed_used_begin(q);

	q->early[s->place] = s;
	q->early_n++;
	while ((s = q->early[u.idx])) {
		q->early[u.idx] = NULL;
		q->early_n--;
		packed_put(q, &u, s, q->track);
		queue_release(q, s);
	}
	packed_used_end(q, &u);
}

void vio__packed_give(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	unsigned now;

	if (VIO_UNLIKELY(q->dirty))
		for (unsigned i = 0; i < n; i++)
			vio__queue_log(q, r[i]);
	for (now = packed_give_now(q, r, n); now < n; now++)
		packed_give_early(q, queue_req(r[now]));
	q->inflight -= n;
	q->starved = false;
	q->stats.given += n;
}

/* Does the driver want to hear of the n descriptors that end before used_idx? (2.8.10) */
static bool packed_wants(const struct vio_queue *q, uint16_t n)
{
	uint32_t word;
	uint16_t flags, event, now = q->used_idx;

	vio__full_barrier(); /* our descriptors first, then the driver's wish: it does the reverse */
	word = VIO_LOAD((const uint32_t *)q->driver_event);
	flags = (uint16_t)(word >> 16);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	event = (uint16_t)word & 0x7fff;
	/* Positions on one line: what lies behind now by wrap count is a ring's length earlier. */
	if (!!(word & 0x8000) != q->used_wrap)
		event = (uint16_t)(event - q->size);
	return vring_need_event(event, now, (uint16_t)(now - n));
}

VIO_INLINE void packed_show(struct vio_queue *q)
{
	VIO_STORE_RELEASE((uint64_t *)&q->ring[q->published].len, q->first_word);
	if (VIO_UNLIKELY(q->dirty))
		queue_log_ring(q, 16ull * q->published, 16);
	if (q->track)
		packed_track_flush(q);
	q->pending = 0;
}

void vio__packed_publish(struct vio_queue *q)
{
	if (!q->pending)
		return;
	queue_leave_unsaid(q, q->pending);
	packed_show(q);
}

void vio__packed_flush(struct vio_queue *q)
{
	uint16_t n = q->pending;

	if (VIO_UNLIKELY(q->unsaid)) {
		vio__packed_publish(q);
		n = q->unsaid;
		q->unsaid = 0;
	} else if (n) {
		packed_show(q);
	} else {
		return;
	}
	queue_notify(q, packed_wants(q, n));
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
	if (q->resumable)
		vio__packed_find(q);
	if (q->track && (rc = packed_track_open(q, o->inflight_size)))
		return rc;
	q->resume.place = q->used_idx;
	if (!q->resume.n && (q->avail_idx != q->used_idx || q->avail_wrap != q->used_wrap))
		return vio__fail(EINVAL, "queue: state has avail %u and used %u, which leaves requests that nobody knows",
				 q->avail_idx, q->used_idx);
	return 0;
}
