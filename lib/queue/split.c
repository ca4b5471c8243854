/* SPDX-License-Identifier: MIT */
/* The split virtqueue (virtio 1.3, 2.7), serving end. */
#include "queue/chain.h"
#include "queue/inflight.h"

/*
 * Follows an ordinary chain from head, or the indirect table there: descriptors to
 * read, then descriptors to write. Every descriptor is read once, as two words.
 */
VIO_INLINE bool split_walk_fast(struct queue_req *s, const struct vring_desc *desc, unsigned size, unsigned head,
				struct mem_range range, const bool indirect)
{
	struct chain_fast c = chain_fast_begin(s, range);
	const uint64_t *d = (const uint64_t *)&desc[head];
	uint64_t addr = VIO_LOAD(&d[0]), word = VIO_LOAD(&d[1]);
	unsigned nout, next;

	if (word >> 32 & VRING_DESC_F_INDIRECT) {
		d = indirect && !(word >> 32 & VRING_DESC_F_NEXT) ? chain_fast_table(&c, addr, (uint32_t)word) : NULL;
		if (VIO_UNLIKELY(!d))
			return false;
		desc = (const struct vring_desc *)d;
		size = (uint32_t)word / 16;
		addr = VIO_LOAD(&d[0]);
		word = VIO_LOAD(&d[1]);
	}
	for (; !(word >> 32 & CHAIN_KIND); addr = VIO_LOAD(&d[0]), word = VIO_LOAD(&d[1])) {
		next = (unsigned)(word >> 48);
		if (!chain_fast_add(&c, addr, (uint32_t)word) || VIO_UNLIKELY(next >= size))
			return false;
		nout = (unsigned)(c.iov - s->own);
		if (VIO_UNLIKELY(!(word >> 32 & VRING_DESC_F_NEXT)))
			goto whole;
		d = (const uint64_t *)&desc[next];
	}
	for (nout = (unsigned)(c.iov - s->own);; addr = VIO_LOAD(&d[0]), word = VIO_LOAD(&d[1])) {
		next = (unsigned)(word >> 48);
		if (VIO_UNLIKELY((word >> 32 & CHAIN_KIND) != VRING_DESC_F_WRITE) ||
		    !chain_fast_add(&c, addr, (uint32_t)word))
			return false;
		if (!(word >> 32 & VRING_DESC_F_NEXT))
			break;
		if (VIO_UNLIKELY(next >= size))
			return false;
		d = (const uint64_t *)&desc[next];
	}
whole:
	chain_fill(s, s->own, (unsigned)(c.iov - s->own), nout);
	return true;
}

/* Any chain, and what is wrong with it. */
static int split_walk(struct vio_queue *q, struct queue_req *s, unsigned head)
{
	struct chain c = chain_begin(s);
	unsigned i = head, flags;
	int rc;

	do {
		const uint64_t *d = (const uint64_t *)&q->desc[i];
		uint64_t addr, word;

		if (i >= q->size)
			return vio__queue_break(q, "next %u in a ring of %u", i, q->size);
		if (c.steps++ == q->size)
			return vio__queue_break(q, "the chain from descriptor %u goes round the ring of %u", head, q->size);
		addr = VIO_LOAD(&d[0]);
		word = VIO_LOAD(&d[1]);
		flags = (uint16_t)(word >> 32);
		rc = flags & VRING_DESC_F_INDIRECT ? vio__chain_indirect(q, &c, addr, (uint32_t)word, flags) :
						     vio__chain_add(q, &c, addr, (uint32_t)word, flags);
		i = (unsigned)(word >> 48);
	} while (!rc && (flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) == VRING_DESC_F_NEXT);
	if (!rc)
		chain_fill(s, c.iov, c.n, c.nout);
	return rc;
}

/* One request by its head, into the slot s; or the reason why not, and s is as free as it was. */
VIO_INLINE int split_take_one(struct vio_queue *q, const struct vring_desc *desc, unsigned size, uint8_t *busy,
			      struct queue_req *s, unsigned head, struct mem_range range, const bool indirect)
{
	int rc;

	if (VIO_UNLIKELY(head >= size))
		return vio__queue_break(q, "head %u in a ring of %u", head, size);
	if (VIO_UNLIKELY(!queue_mark_busy(busy, head)))
		return vio__queue_break(q, "head %u was posted again while it is in flight", head);
	s->head = (uint16_t)head;
	if (VIO_LIKELY(split_walk_fast(s, desc, size, head, range, indirect)))
		return 0;
	rc = split_walk(q, s, head);
	if (rc)
		queue_unmark(q, s);
	return rc;
}

/* n requests came out, or fewer and then rc. */
static int split_taken(struct vio_queue *q, unsigned n, int rc)
{
	q->nfree -= n;
	q->inflight += n;
	q->stats.taken += n;
	return n ? (int)n : rc == -EBADMSG ? rc : 0;
}

VIO_INLINE uint16_t *split_event(const struct vio_queue *q)
{
	return (uint16_t *)&q->used->ring[q->size];
}

static void split_set_event(struct vio_queue *q, uint16_t event)
{
	VIO_STORE(split_event(q), event);
	queue_log_ring(q, vring_used_bytes(q->size) - 2, 2);
}

/* No kicks under event-idx: the event lies so far ahead that it is moved on before the driver gets there. */
#define SPLIT_PARK 0x4000u

static void split_park(struct vio_queue *q)
{
	q->parked = (uint16_t)(q->avail_idx + 2 * SPLIT_PARK);
	split_set_event(q, q->parked);
}

/* Lines of the used ring that a batch fills. */
#define SPLIT_USED_LINES 4u

/* Descriptors a cache line: those of heads in order are asked for a line at a time. */
#define SPLIT_LINE 4u

/*
 * Chains of one direct descriptor in the region that matched last, as a network driver posts
 * them: little enough for the compiler to keep all of it in registers. Ends before the first
 * other one; what was read of that is not kept.
 */
static __attribute__((noinline)) unsigned split_take_plain(const struct vio_queue *q, struct vio_req **r, unsigned n)
{
	const struct vring_desc *const desc = q->desc;
	const uint16_t *const ring = q->avail->ring;
	const struct mem_range range = q->range;
	const unsigned size = q->size, mask = q->mask, idx = q->avail_idx;
	uint8_t *const busy = q->busy;
	struct queue_req *const *free = q->free + q->nfree;
	unsigned i;

	for (i = 0; i < n; i++) {
		const unsigned head = VIO_LOAD(&ring[(idx + i) & mask]);
		struct queue_req *s = *--free;
		uint64_t addr, word, off;

		if (i % SPLIT_LINE == 0)
			__builtin_prefetch(&desc[VIO_LOAD(&ring[(idx + i + 2 * SPLIT_LINE) & mask]) & mask]);
		if (VIO_UNLIKELY(head >= size))
			break;
		addr = VIO_LOAD(&((const uint64_t *)&desc[head])[0]);
		word = VIO_LOAD(&((const uint64_t *)&desc[head])[1]);
		off = addr - range.guest;
		if (VIO_UNLIKELY(word >> 32 & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) || VIO_UNLIKELY(off >= range.size) ||
		    VIO_UNLIKELY((uint64_t)(uint32_t)word - 1 >= range.size - off) || !queue_mark_busy(busy, head))
			break;
		s->head = (uint16_t)head;
		s->place = (uint16_t)(idx + i);
		chain_fill_one(s, range.ptr + off, (uint32_t)word, word >> 33 & 1);
		r[i] = &s->r;
	}
	return i;
}

VIO_INLINE int split_take(struct vio_queue *q, struct vio_req **r, unsigned n, const bool track)
{
	const struct vring_desc *desc = q->desc;
	const struct mem_range range = q->range;
	const struct vring_avail *avail = q->avail;
	const unsigned size = q->size;
	uint8_t *const busy = q->busy;
	const bool indirect = q->indirect;
	struct queue_req **free = q->free + q->nfree;
	const unsigned idx = q->avail_idx, mask = q->mask, ready = (uint16_t)(VIO_LOAD_ACQUIRE(&avail->idx) - idx);
	unsigned i;
	int rc = 0;

	/* What the driver has not seen used, given ones that are not flushed among them, still fills the ring. */
	if (VIO_UNLIKELY(ready > size - (uint16_t)(idx - q->published)))
		return vio__queue_break(q, "avail idx is %u ahead of used idx in a ring of %u",
					ready + (uint16_t)(idx - q->published), size);
	n = VIO_MIN(n, ready);
	i = track ? 0 : split_take_plain(q, r, n);
	free -= i;
	for (unsigned k = i; k < n; k++) /* all heads are asked for before the first is waited for */
		__builtin_prefetch(&desc[VIO_LOAD(&avail->ring[(idx + k) & mask]) & mask]);
	for (; i < n; i++) {
		struct queue_req *s = *--free;

		rc = split_take_one(q, desc, size, busy, s, VIO_LOAD(&avail->ring[(idx + i) & mask]), range, indirect);
		if (VIO_UNLIKELY(rc))
			break;
		s->place = (uint16_t)(idx + i);
		r[i] = &s->r;
		if (track)
			split_track_take(q, s->head);
	}
	q->avail_idx = (uint16_t)(idx + i);
	if (q->kicks_off && q->event_idx && VIO_UNLIKELY((uint16_t)(q->parked - q->avail_idx) < SPLIT_PARK))
		split_park(q);
	return split_taken(q, i, rc);
}

/* What was in flight when the last server died: by its heads, which the region kept. */
static int split_resume(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	struct queue_req **free = q->free + q->nfree;
	unsigned i = 0;
	int rc = 0;

	for (; i < n && q->resume.at < q->resume.n; i++, q->resume.at++) {
		struct queue_req *s = *--free;

		rc = split_take_one(q, q->desc, q->size, q->busy, s, q->resume.entry[q->resume.at], q->range, q->indirect);
		if (rc)
			break;
		s->place = (uint16_t)(q->avail_idx - (q->resume.n - q->resume.at));
		r[i] = &s->r;
	}
	return split_taken(q, i, rc);
}

int vio__split_take(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (VIO_UNLIKELY(q->resume.at < q->resume.n))
		return split_resume(q, r, n);
	return q->track ? split_take(q, r, n, true) : split_take(q, r, n, false);
}

/* The newest request goes back into the ring as if it had not been taken. */
void vio__split_untake(struct vio_queue *q, struct queue_req *s, bool resumed)
{
	if (!resumed) {
		q->avail_idx--;
		if (q->track)
			VIO_STORE(&q->split_track->desc[s->head].inflight, 0);
	}
	queue_release(q, s);
}

/* One used element; the driver looks at it once idx has passed it. */
VIO_INLINE void split_put(struct vio_queue *q, unsigned idx, struct queue_req *s, const bool track)
{
	unsigned at = idx & q->mask;

	VIO_STORE(&q->used->ring[at].id, s->head);
	VIO_STORE(&q->used->ring[at].len, s->r.written);
	if (track)
		split_track_give(q, s->head);
	if (VIO_UNLIKELY(q->dirty))
		queue_log_ring(q, offsetof(struct vring_used, ring) + 8ull * at, 8);
}

VIO_INLINE void split_give(struct vio_queue *q, struct vio_req **r, unsigned n, const bool track)
{
	const unsigned idx = q->used_idx;

	for (unsigned i = 0; i < n; i++)
		split_put(q, idx + i, queue_req(r[i]), track);
	q->used_idx = (uint16_t)(idx + n);
	queue_release_all(q, r, n);
}

/*
 * The same, without an inflight region and a dirty log: all in registers. Of an ordered ring, those from the
 * front of r that come next in it; returns how many.
 */
VIO_INLINE unsigned split_give_plain(struct vio_queue *q, struct vio_req **r, unsigned n, const bool ordered)
{
	struct vring_used_elem *const ring = q->used->ring;
	const unsigned idx = q->used_idx, mask = q->mask;
	uint8_t *const busy = q->busy;
	struct queue_req **free = q->free + q->nfree;
	unsigned i;

	for (i = 0; i < n; i++) {
		struct queue_req *s = queue_req(r[i]);
		struct vring_used_elem *e = &ring[(idx + i) & mask];

		if (ordered && VIO_UNLIKELY(s->place != (uint16_t)(idx + i)))
			break;
		VIO_STORE(&e->id, s->head);
		VIO_STORE(&e->len, s->r.written);
		if (VIO_UNLIKELY(s->block != NULL))
			queue_unmark(q, s);
		busy[s->head] = 0;
		free[i] = s;
	}
	q->used_idx = (uint16_t)(idx + i);
	q->nfree += i;
	return i;
}

/* How many from the front of r come next in the ring. */
static unsigned split_in_turn(const struct vio_queue *q, struct vio_req **r, unsigned n)
{
	const unsigned idx = q->used_idx;
	unsigned i = 0;

	while (i < n && queue_req(r[i])->place == (uint16_t)(idx + i))
		i++;
	return i;
}

/* Those from the front of r that can be used now; returns how many. */
static unsigned split_give_now(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (VIO_UNLIKELY(q->early_n))
		return 0;
	if (VIO_LIKELY(!q->track && !q->dirty))
		return q->ordered ? split_give_plain(q, r, n, true) : split_give_plain(q, r, n, false);
	if (q->ordered)
		n = split_in_turn(q, r, n);
	if (q->track)
		split_give(q, r, n, true);
	else
		split_give(q, r, n, false);
	return n;
}

/* It waits until all that lie before it in the ring have been given too. */
static void split_give_early(struct vio_queue *q, struct queue_req *s)
{
	struct queue_req **next = &q->early[s->place & q->mask];

	*next = s;
	q->early_n++;
	while (*(next = &q->early[q->used_idx & q->mask])) {
		s = *next;
		*next = NULL;
		q->early_n--;
		split_put(q, q->used_idx++, s, q->track);
		queue_release(q, s);
	}
}

void vio__split_give(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	unsigned now;

	if (VIO_UNLIKELY(q->dirty))
		for (unsigned i = 0; i < n; i++)
			vio__queue_log(q, r[i]);
	for (now = split_give_now(q, r, n); now < n; now++)
		split_give_early(q, queue_req(r[now]));
	q->inflight -= n;
	q->starved = false;
	q->stats.given += n;
}

/* Does the driver want to hear of what went from `old` to `now`? (2.7.7) */
static bool split_wants(const struct vio_queue *q, uint16_t old, uint16_t now)
{
	vio__full_barrier(); /* our idx first, then the driver's wish: it does the reverse */
	if (q->event_idx)
		return vring_need_event(VIO_LOAD(&q->avail->ring[q->size]), now, old);
	return !(VIO_LOAD(&q->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

/* The used ring's next lines: the driver has read them a lap ago, and reads none of them before they are given. */
VIO_INLINE void split_call_for(const struct vio_queue *q)
{
	const unsigned per_line = VIO_CACHELINE / sizeof(*q->used->ring);

	for (unsigned i = 1; i <= SPLIT_USED_LINES; i++)
		vio__prefetch_write(&q->used->ring[(q->used_idx + i * per_line) & q->mask]);
}

VIO_INLINE void split_show(struct vio_queue *q)
{
	VIO_STORE_RELEASE(&q->used->idx, q->used_idx);
	if (VIO_UNLIKELY(q->dirty))
		queue_log_ring(q, offsetof(struct vring_used, idx), 2);
	if (q->track)
		split_track_flush(q);
	q->published = q->used_idx;
	split_call_for(q);
}

void vio__split_publish(struct vio_queue *q)
{
	queue_leave_unsaid(q, (uint16_t)(q->used_idx - q->published));
	split_show(q);
}

void vio__split_flush(struct vio_queue *q)
{
	uint16_t old = q->published;

	if (VIO_UNLIKELY(q->unsaid)) {
		queue_leave_unsaid(q, (uint16_t)(q->used_idx - old));
		old = (uint16_t)(q->used_idx - q->unsaid);
		q->unsaid = 0;
	}
	if (old == q->used_idx)
		return;
	split_show(q);
	queue_notify(q, split_wants(q, old, q->used_idx));
}

bool vio__split_waiting(const struct vio_queue *q)
{
	return !q->starved && (VIO_LOAD_ACQUIRE(&q->avail->idx) != q->avail_idx || q->resume.at < q->resume.n);
}

bool vio__split_kicks(struct vio_queue *q, bool on)
{
	q->kicks_off = !on;
	if (on && q->event_idx) {
		split_set_event(q, q->avail_idx);
	} else if (q->event_idx) {
		split_park(q);
	} else {
		VIO_STORE(&q->used->flags, on ? 0 : VRING_USED_F_NO_NOTIFY);
		queue_log_ring(q, offsetof(struct vring_used, flags), 2);
	}
	if (!on)
		return false;
	vio__full_barrier(); /* our wish first, then the driver's idx: it does the reverse */
	return vio__split_waiting(q);
}

static int split_map(struct vio_queue *q, const struct vio_queue_opts *o)
{
	if (o->desc % 16 || o->driver % 2 || o->device % 4)
		return vio__fail(EINVAL, "queue: split ring at %#llx, %#llx, %#llx; the parts must be aligned to 16, 2 and 4",
				 (unsigned long long)o->desc, (unsigned long long)o->driver, (unsigned long long)o->device);
	q->desc = vio_mem_ptr(q->mem, o->desc, vring_desc_bytes(q->size));
	q->avail = vio_mem_ptr(q->mem, o->driver, vring_avail_bytes(q->size));
	q->used = vio_mem_ptr(q->mem, o->device, vring_used_bytes(q->size));
	if (!q->desc || !q->avail || !q->used)
		return vio__fail(EINVAL, "queue: the %s of %u entries at %#llx is not guest memory",
				 !q->desc ? "descriptor table" : !q->avail ? "avail ring" : "used ring", q->size,
				 (unsigned long long)(!q->desc ? o->desc : !q->avail ? o->driver : o->device));
	if ((uintptr_t)q->desc % 16 || (uintptr_t)q->avail % 2 || (uintptr_t)q->used % 4)
		return vio__fail(EINVAL, "queue: the memory of the ring at %#llx is mapped at an odd address",
				 (unsigned long long)o->desc);
	return 0;
}

int vio__split_init(struct vio_queue *q, const struct vio_queue_opts *o)
{
	int rc = split_map(q, o);

	if (rc)
		return rc;
	if (!vio__is_pow2(q->size))
		return vio__fail(EINVAL, "queue: split ring of %u entries, expected a power of two", q->size);
	q->mask = (uint16_t)(q->size - 1);
	if (o->state) {
		q->avail_idx = o->state->avail_idx;
		q->used_idx = o->state->used_idx;
	}
	if (q->resumable) /* one store publishes a batch: the used index is all there is to know */
		q->avail_idx = q->used_idx = VIO_LOAD(&q->used->idx);
	if (q->track && (rc = split_track_open(q, o->inflight_size)))
		return rc;
	if ((uint16_t)(q->avail_idx - q->used_idx) != q->resume.n)
		return vio__fail(EINVAL, "queue: state has avail %u and used %u, which leaves requests that nobody knows",
				 q->avail_idx, q->used_idx);
	q->published = q->used_idx;
	return 0;
}
