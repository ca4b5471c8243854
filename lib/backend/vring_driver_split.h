/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a split virtqueue (virtio 1.3, 2.7).
 *
 * A ring of `size` descriptors serves size / 3 slots. Slot i owns descriptor i
 * (header), slots + i (data) and 2 * slots + i (status). The first and the last
 * kind never change while the ring runs, so that their cache lines stay with the
 * device; the data descriptors of neighbouring slots share lines. Buffers in more
 * than one piece go through the slot's indirect table.
 *
 * The device may scribble over all of it: nothing but the used index and the used
 * entries is read back, and what they say is checked.
 */
#ifndef VIO_BACKEND_VRING_DRIVER_SPLIT_H
#define VIO_BACKEND_VRING_DRIVER_SPLIT_H

#include "ring/vring.h"

#include <endian.h>

/* One piece of a buffer, as the device addresses it. */
struct vring_seg {
	uint64_t addr;
	uint32_t len;
};

/* What a slot's head descriptor presently says. */
enum vring_shape {
	VRING_SHAPE_NONE,
	VRING_SHAPE_BARE,  /* header, status */
	VRING_SHAPE_DATA,  /* header, data, status */
	VRING_SHAPE_TABLE, /* the slot's indirect table */
};

struct vring_split {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint8_t *shape;		 /* of each slot: enum vring_shape */
	uint64_t header, status; /* guest addresses of slot 0's; 16 bytes and 1 byte a slot */
	uint16_t size, slots;
	bool event_idx;
	uint16_t next;	    /* avail index of the next chain */
	uint16_t published; /* avail index the device has been shown */
	uint16_t seen;	    /* used entries consumed */
	uint16_t used_idx;  /* the device's used index when last read */
	uint16_t parked;    /* event-idx: where the used event lies while interrupts are unwanted */
};

#define VRING_SPLIT_PARK 0x4000u

/* Unwanted interrupts: an event so far ahead that it is moved on before the device gets there. */
VIO_INLINE void vring_split_park(struct vring_split *v)
{
	v->parked = (uint16_t)(v->seen + 2 * VRING_SPLIT_PARK);
	VIO_STORE(&v->avail->flags, htole16(VRING_AVAIL_F_NO_INTERRUPT));
	if (v->event_idx)
		VIO_STORE(&v->avail->ring[v->size], htole16(v->parked));
}

/* The device wants to be kicked for the next chain, for all we know. */
VIO_INLINE void vring_split_welcome(struct vring_split *v)
{
	VIO_STORE(&v->used->flags, 0);
	VIO_STORE((uint16_t *)&v->used->ring[v->size], htole16(v->next));
}

/* A new ring: both indexes at `base`, nothing posted. The memory may hold anything. */
VIO_INLINE void vring_split_begin(struct vring_split *v, uint16_t base)
{
	v->next = v->published = v->seen = v->used_idx = base;
	VIO_STORE(&v->avail->idx, htole16(base));
	VIO_STORE(&v->used->idx, htole16(base));
	vring_split_welcome(v);
	vring_split_park(v);
}

/* The same with every slot free. */
VIO_INLINE void vring_split_start(struct vring_split *v, uint16_t base)
{
	for (unsigned i = 0; i < v->slots; i++) {
		v->shape[i] = VRING_SHAPE_NONE;
		v->desc[2 * v->slots + i] = (struct vring_desc){ .addr = htole64(v->status + i),
								 .len = htole32(1),
								 .flags = htole16(VRING_DESC_F_WRITE) };
	}
	vring_split_begin(v, base);
}

VIO_INLINE void vring_split_head(struct vring_split *v, unsigned slot, uint8_t shape)
{
	if (VIO_LIKELY(v->shape[slot] == shape))
		return;
	v->shape[slot] = shape;
	v->desc[slot] = (struct vring_desc){
		.addr = htole64(v->header + 16ull * slot),
		.len = htole32(16),
		.flags = htole16(VRING_DESC_F_NEXT),
		.next = htole16((uint16_t)((shape == VRING_SHAPE_DATA ? v->slots : 2 * v->slots) + slot))
	};
}

VIO_INLINE void vring_split_push(struct vring_split *v, unsigned slot)
{
	VIO_STORE(&v->avail->ring[v->next++ & (v->size - 1)], htole16((uint16_t)slot));
}

/* Header, one piece of data, status. in: the device writes the data. */
VIO_INLINE void vring_split_post(struct vring_split *v, unsigned slot, struct vring_seg seg, bool in)
{
	v->desc[v->slots + slot] =
		(struct vring_desc){ .addr = htole64(seg.addr),
				     .len = htole32(seg.len),
				     .flags = htole16(VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0)),
				     .next = htole16((uint16_t)(2 * v->slots + slot)) };
	vring_split_head(v, slot, VRING_SHAPE_DATA);
	vring_split_push(v, slot);
}

/* Header and status only. */
VIO_INLINE void vring_split_post_bare(struct vring_split *v, unsigned slot)
{
	vring_split_head(v, slot, VRING_SHAPE_BARE);
	vring_split_push(v, slot);
}

/* Through an indirect table, written here: n pieces between header and status. */
VIO_INLINE void vring_split_post_table(struct vring_split *v, unsigned slot, void *table,
				       uint64_t table_guest, const struct vring_seg *seg, unsigned n, bool in)
{
	struct vring_desc *t = table;

	t[0] = (struct vring_desc){ .addr = htole64(v->header + 16ull * slot),
				    .len = htole32(16),
				    .flags = htole16(VRING_DESC_F_NEXT),
				    .next = htole16(1) };
	for (unsigned i = 0; i < n; i++)
		t[i + 1] = (struct vring_desc){ .addr = htole64(seg[i].addr),
						.len = htole32(seg[i].len),
						.flags = htole16(VRING_DESC_F_NEXT |
								 (in ? VRING_DESC_F_WRITE : 0)),
						.next = htole16((uint16_t)(i + 2)) };
	t[n + 1] = (struct vring_desc){ .addr = htole64(v->status + slot),
					.len = htole32(1),
					.flags = htole16(VRING_DESC_F_WRITE) };
	v->shape[slot] = VRING_SHAPE_TABLE;
	v->desc[slot] = (struct vring_desc){ .addr = htole64(table_guest),
					     .len = htole32(16 * (n + 2)),
					     .flags = htole16(VRING_DESC_F_INDIRECT) };
	vring_split_push(v, slot);
}

/* Shows the device what was posted; true if it wants to be kicked for it (2.7.10). */
VIO_INLINE bool vring_split_publish(struct vring_split *v)
{
	uint16_t old = v->published;

	if (v->next == old)
		return false;
	VIO_STORE_RELEASE(&v->avail->idx, htole16(v->next));
	v->published = v->next;
	vio__full_barrier();
	if (v->event_idx)
		return vring_need_event(le16toh(VIO_LOAD((uint16_t *)&v->used->ring[v->size])), v->next, old);
	return !(le16toh(VIO_LOAD(&v->used->flags)) & VRING_USED_F_NO_NOTIFY);
}

/* Used entries to consume; -EBADMSG, each time, if the device claims more than it was given. */
VIO_INLINE int vring_split_pending(struct vring_split *v)
{
	uint16_t n = (uint16_t)(v->used_idx - v->seen), at;

	if (n)
		return n;
	at = le16toh(VIO_LOAD_ACQUIRE(&v->used->idx));
	n = (uint16_t)(at - v->seen);
	if (VIO_UNLIKELY(n > (uint16_t)(v->published - v->seen)))
		return -EBADMSG;
	v->used_idx = at;
	if (v->event_idx && VIO_UNLIKELY((uint16_t)(v->parked - v->seen) < VRING_SPLIT_PARK))
		vring_split_park(v);
	return n;
}

/* The slot that the next pending entry names: unchecked. */
VIO_INLINE uint32_t vring_split_next(struct vring_split *v)
{
	return le32toh(VIO_LOAD(&v->used->ring[v->seen++ & (v->size - 1)].id));
}

/* How many bytes that entry says the device wrote: unchecked. Before vring_split_next. */
VIO_INLINE uint32_t vring_split_written(const struct vring_split *v)
{
	return le32toh(VIO_LOAD(&v->used->ring[v->seen & (v->size - 1)].len));
}

/* on: interrupt for the next entry; true if one is there already. */
VIO_INLINE bool vring_split_arm(struct vring_split *v, bool on)
{
	if (!on) {
		vring_split_park(v);
		return false;
	}
	v->parked = (uint16_t)(v->seen + 2 * VRING_SPLIT_PARK); /* pending shall not park it meanwhile */
	if (v->event_idx)
		VIO_STORE(&v->avail->ring[v->size], htole16(v->seen));
	VIO_STORE(&v->avail->flags, 0);
	vio__full_barrier();
	return le16toh(VIO_LOAD(&v->used->idx)) != v->seen;
}

#endif
