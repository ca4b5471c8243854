/* SPDX-License-Identifier: MIT */
/*
 * A driver that writes its rings by hand: any chain, sound or not, on a split or a
 * packed ring. It keeps its own books and trusts nothing that lies in the rings, so
 * a test may scribble there. No framework: the fuzz targets use it too.
 */
#ifndef TESTS_RING_GUEST_H
#define TESTS_RING_GUEST_H

#include "ring/vring.h"

#include <virtio-offload/queue.h>

#include <stdlib.h>
#include <string.h>

/* Guest addresses: rings, then buffers; a second region follows at once, mapped elsewhere. */
#define RG_AT 0x100000ull
#define RG_DRIVER 0x80000u
#define RG_DEVICE 0xa0000u
#define RG_DATA 0x100000u
#define RG_BYTES 0x200000u
#define RG_SECOND (RG_AT + RG_BYTES)
#define RG_SECOND_BYTES 0x10000u
#define RG_END (RG_SECOND + RG_SECOND_BYTES)

#define RG_NEXT VRING_DESC_F_NEXT
#define RG_WRITE VRING_DESC_F_WRITE
#define RG_INDIRECT VRING_DESC_F_INDIRECT

#define RG_FN static inline __attribute__((unused))

struct rg_buf {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /* RG_WRITE, RG_INDIRECT; NEXT is seen to */
};

struct ring_guest {
	struct vio_mem *mem;
	char *base;   /* where RG_AT is mapped */
	char *second; /* where RG_SECOND is */
	uint64_t features;
	unsigned size;
	bool packed, event_idx, in_order;
	struct vring_desc *desc;
	struct vring_packed_desc *ring;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc_event *driver_event, *device_event;
	uint16_t avail_idx, used_idx;
	bool avail_wrap, used_wrap;
	/* Split: free descriptors. Packed: free ids. A stack, so that an order other than rising comes up. */
	uint16_t *free;
	unsigned nfree;
	unsigned room;	 /* descriptors that may still be posted */
	uint16_t *next;	 /* split: chains as they were posted */
	uint16_t *ndesc; /* by head or id; 0: not posted */
	unsigned notified;
};

RG_FN void rg_notified(void *ctx)
{
	struct ring_guest *g = ctx;

	g->notified++;
}

/* Rings as a driver finds them: zeroes. */
RG_FN void rg_reset(struct ring_guest *g)
{
	memset(g->base, 0, RG_DATA);
	g->avail_idx = g->used_idx = 0;
	g->avail_wrap = g->used_wrap = true;
	g->nfree = 0;
	g->room = g->size;
	for (unsigned i = g->size; i--;)
		g->free[g->nfree++] = (uint16_t)i;
	memset(g->ndesc, 0, g->size * sizeof(*g->ndesc));
}

/* What the features and the size decide. */
RG_FN void rg_shape(struct ring_guest *g, uint64_t features, unsigned size)
{
	g->features = features;
	g->packed = features & VIO_BIT(VIRTIO_F_RING_PACKED);
	g->event_idx = features & VIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	g->in_order = features & VIO_BIT(VIRTIO_F_IN_ORDER);
	g->size = size;
	rg_reset(g);
}

/* 0, or what a library call said. */
RG_FN int rg_open(struct ring_guest *g, uint64_t features, unsigned size)
{
	struct vio_mem_region r = { .guest = RG_SECOND, .size = RG_SECOND_BYTES, .fd = -1 };
	struct vio_mem *first;
	int rc;

	memset(g, 0, sizeof(*g));
	rc = vio_mem_alloc(&first, RG_AT, RG_BYTES);
	if (rc)
		return rc;
	r.ptr = g->second = calloc(1, RG_SECOND_BYTES);
	rc = vio_mem_add(&g->mem, first, &r, NULL);
	g->base = vio_mem_ptr(first, RG_AT, RG_BYTES);
	vio_mem_free(first);
	g->desc = (void *)g->base;
	g->ring = (void *)g->base;
	g->avail = (void *)(g->base + RG_DRIVER);
	g->used = (void *)(g->base + RG_DEVICE);
	g->driver_event = (void *)g->avail;
	g->device_event = (void *)g->used;
	g->free = calloc(size, sizeof(*g->free));
	g->next = calloc(size, sizeof(*g->next));
	g->ndesc = calloc(size, sizeof(*g->ndesc));
	rg_shape(g, features, size);
	return rc;
}

RG_FN void rg_close(struct ring_guest *g)
{
	vio_mem_free(g->mem);
	free(g->second);
	free(g->free);
	free(g->next);
	free(g->ndesc);
}

/* What a serving end of these rings is made with. */
RG_FN struct vio_queue_opts rg_opts(struct ring_guest *g)
{
	VIO_OPTS(vio_queue_opts, o, .size = g->size, .features = g->features, .mem = g->mem, .desc = RG_AT,
		 .driver = RG_AT + RG_DRIVER, .device = RG_AT + RG_DEVICE, .notify = rg_notified, .notify_ctx = g);

	return o;
}

RG_FN void *rg_ptr(struct ring_guest *g, uint64_t addr)
{
	return addr < RG_SECOND ? g->base + (addr - RG_AT) : g->second + (addr - RG_SECOND);
}

/* Split: makes `head` available, whatever it is. */
RG_FN void rg_avail(struct ring_guest *g, uint16_t head)
{
	VIO_STORE(&g->avail->ring[g->avail_idx % g->size], head);
	VIO_STORE_RELEASE(&g->avail->idx, ++g->avail_idx);
}

/* Packed: the next descriptor of the ring becomes available, whatever it is. */
RG_FN void rg_raw(struct ring_guest *g, struct rg_buf b, uint16_t id)
{
	struct vring_packed_desc *d = &g->ring[g->avail_idx];
	uint16_t flags = (uint16_t)(b.flags | (g->avail_wrap ? VRING_AVAIL_BIT : VRING_USED_BIT));

	VIO_STORE(&d->addr, b.addr);
	VIO_STORE(&d->len, b.len);
	VIO_STORE(&d->id, id);
	VIO_STORE_RELEASE(&d->flags, flags);
	if (++g->avail_idx == g->size) {
		g->avail_idx = 0;
		g->avail_wrap = !g->avail_wrap;
	}
}

RG_FN int rg_post_split(struct ring_guest *g, const struct rg_buf *b, unsigned n)
{
	uint16_t head = g->free[g->nfree - 1], at = head;

	for (unsigned i = 0; i < n; i++) {
		uint16_t next = i + 1 < n ? g->free[g->nfree - 2 - i] : 0;
		struct vring_desc *d = &g->desc[at];

		VIO_STORE(&d->addr, b[i].addr);
		VIO_STORE(&d->len, b[i].len);
		VIO_STORE(&d->flags, (uint16_t)(b[i].flags | (i + 1 < n ? RG_NEXT : 0)));
		VIO_STORE(&d->next, next);
		g->next[at] = next;
		at = next;
	}
	g->nfree -= n;
	g->ndesc[head] = (uint16_t)n;
	rg_avail(g, head);
	return head;
}

/* The chain's first descriptor becomes available last; only the last one has the id that counts (2.8.6). */
RG_FN int rg_post_packed(struct ring_guest *g, const struct rg_buf *b, unsigned n)
{
	uint16_t id = g->free[--g->nfree], first = g->avail_idx;
	bool wrap = g->avail_wrap;

	for (unsigned i = 0; i < n; i++) {
		struct rg_buf d = b[i];

		d.flags = (uint16_t)(d.flags | (i + 1 < n ? RG_NEXT : 0));
		if (i) {
			rg_raw(g, d, i + 1 < n ? (uint16_t)~id : id);
			continue;
		}
		VIO_STORE(&g->ring[first].addr, d.addr);
		VIO_STORE(&g->ring[first].len, d.len);
		VIO_STORE(&g->ring[first].id, n > 1 ? (uint16_t)~id : id);
		if (++g->avail_idx == g->size) {
			g->avail_idx = 0;
			g->avail_wrap = !g->avail_wrap;
		}
	}
	g->ndesc[id] = (uint16_t)n;
	VIO_STORE_RELEASE(&g->ring[first].flags,
			  (uint16_t)(b[0].flags | (n > 1 ? RG_NEXT : 0) | (wrap ? VRING_AVAIL_BIT : VRING_USED_BIT)));
	return id;
}

/* Posts a chain; returns its head (split) or id (packed), or -1 when the ring has no room for it. */
RG_FN int rg_post(struct ring_guest *g, const struct rg_buf *b, unsigned n)
{
	if (!n || n > g->room || !g->nfree)
		return -1;
	g->room -= n;
	return g->packed ? rg_post_packed(g, b, n) : rg_post_split(g, b, n);
}

/* Writes an indirect table at guest address `at`. */
RG_FN struct rg_buf rg_table(struct ring_guest *g, uint64_t at, const struct rg_buf *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vring_desc d = { b[i].addr, b[i].len, b[i].flags, (uint16_t)(i + 1) };
		struct vring_packed_desc p = { b[i].addr, b[i].len, 0, b[i].flags };

		if (i + 1 < n)
			d.flags |= RG_NEXT;
		memcpy((char *)rg_ptr(g, at) + 16 * i, g->packed ? (void *)&p : (void *)&d, 16);
	}
	return (struct rg_buf){ at, 16 * n, RG_INDIRECT };
}

RG_FN int rg_reap_split(struct ring_guest *g, uint32_t *len)
{
	const struct vring_used_elem *e = &g->used->ring[g->used_idx % g->size];
	uint32_t id;

	if (VIO_LOAD_ACQUIRE(&g->used->idx) == g->used_idx)
		return -1;
	id = VIO_LOAD(&e->id);
	*len = VIO_LOAD(&e->len);
	g->used_idx++;
	return (int)id;
}

RG_FN int rg_reap_packed(struct ring_guest *g, uint32_t *len)
{
	const struct vring_packed_desc *d = &g->ring[g->used_idx];
	unsigned id;

	if (!vring_packed_used(VIO_LOAD_ACQUIRE(&d->flags), g->used_wrap))
		return -1;
	id = VIO_LOAD(&d->id);
	*len = VIO_LOAD(&d->len);
	if (id >= g->size)
		return -2;
	g->used_idx = (uint16_t)(g->used_idx + g->ndesc[id]);
	if (g->used_idx >= g->size) {
		g->used_idx = (uint16_t)(g->used_idx - g->size);
		g->used_wrap = !g->used_wrap;
	}
	return (int)id;
}

/* The next used chain: its head or id, and how much was written; -1: none, -2: one that was not posted. */
RG_FN int rg_reap(struct ring_guest *g, uint32_t *len)
{
	int id = g->packed ? rg_reap_packed(g, len) : rg_reap_split(g, len);
	unsigned n;

	if (id < 0)
		return id;
	if ((unsigned)id >= g->size || !g->ndesc[id])
		return -2;
	n = g->ndesc[id];
	g->ndesc[id] = 0;
	g->room += n;
	if (g->packed) {
		g->free[g->nfree++] = (uint16_t)id;
		return id;
	}
	for (uint16_t at = (uint16_t)id; n--; at = g->next[at])
		g->free[g->nfree++] = at;
	return id;
}

/* Asks to hear of the next used chain (event_idx), or of any. Returns true if one is there already. */
RG_FN bool rg_listen(struct ring_guest *g)
{
	uint16_t wish = (uint16_t)(g->used_idx | (g->used_wrap ? 0x8000 : 0));

	if (!g->packed) {
		if (g->event_idx)
			VIO_STORE(&g->avail->ring[g->size], g->used_idx);
		VIO_STORE(&g->avail->flags, 0);
		vio__full_barrier();
		return VIO_LOAD_ACQUIRE(&g->used->idx) != g->used_idx;
	}
	VIO_STORE((uint32_t *)g->driver_event,
		  g->event_idx ? wish | (uint32_t)VRING_PACKED_EVENT_FLAG_DESC << 16 : 0);
	vio__full_barrier();
	return vring_packed_used(VIO_LOAD_ACQUIRE(&g->ring[g->used_idx].flags), g->used_wrap);
}

/* Has the device asked for a kick when avail_idx went from `old` (and its wrap) to what it is now? */
RG_FN bool rg_must_kick(struct ring_guest *g, uint16_t old, bool old_wrap)
{
	uint32_t word;
	uint16_t event, now = g->avail_idx;

	vio__full_barrier();
	if (!g->packed && !g->event_idx)
		return !(VIO_LOAD(&g->used->flags) & VRING_USED_F_NO_NOTIFY);
	if (!g->packed)
		return vring_need_event(VIO_LOAD((uint16_t *)&g->used->ring[g->size]), now, old);
	word = VIO_LOAD((uint32_t *)g->device_event);
	if (word >> 16 != VRING_PACKED_EVENT_FLAG_DESC)
		return word >> 16 != VRING_PACKED_EVENT_FLAG_DISABLE;
	event = (uint16_t)word & 0x7fff;
	if (!!(word & 0x8000) != g->avail_wrap)
		event = (uint16_t)(event - g->size);
	if (old_wrap != g->avail_wrap)
		old = (uint16_t)(old - g->size);
	return vring_need_event(event, now, old);
}

#endif
