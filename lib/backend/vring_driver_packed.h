/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a packed virtqueue (virtio 1.3, 2.8). As many slots as a
 * third of the ring, so that a chain of three always fits; the buffer id is the
 * slot. Chains are written anew each time, the head's flags last.
 *
 * Lengths of chains are remembered here: the device overwrites descriptors.
 */
#ifndef VIO_BACKEND_VRING_DRIVER_PACKED_H
#define VIO_BACKEND_VRING_DRIVER_PACKED_H

#include "backend/vring_driver_split.h"

/* Where in the ring, and in which round. */
struct vring_place {
	uint16_t at;
	bool wrap;
};

struct vring_packed {
	struct vring_packed_desc *desc;
	struct vring_packed_desc_event *driver, *device;
	uint8_t *span;		 /* descriptors of each slot's chain */
	uint64_t header, status; /* as in struct vring_split */
	uint16_t size, slots;
	bool event_idx;
	struct vring_place next; /* where the next chain goes */
	struct vring_place seen; /* where the next used descriptor appears */
	uint16_t posted;	 /* descriptors since the last publish */
};

VIO_INLINE void vring_packed_welcome(struct vring_packed *v)
{
	VIO_STORE(&v->device->flags, htole16(VRING_PACKED_EVENT_FLAG_ENABLE));
}

VIO_INLINE void vring_packed_start(struct vring_packed *v)
{
	memset(v->desc, 0, 16ull * v->size);
	v->next = v->seen = (struct vring_place){ .wrap = true };
	v->posted = 0;
	VIO_STORE(&v->driver->flags, htole16(VRING_PACKED_EVENT_FLAG_DISABLE));
	vring_packed_welcome(v);
}

VIO_INLINE void vring_packed_advance(const struct vring_packed *v, struct vring_place *p, unsigned n)
{
	p->at = (uint16_t)(p->at + n);
	if (p->at >= v->size) {
		p->at = (uint16_t)(p->at - v->size);
		p->wrap = !p->wrap;
	}
}

VIO_INLINE uint16_t vring_packed_flags(struct vring_place p, uint16_t flags)
{
	return htole16(flags | (p.wrap ? VRING_AVAIL_BIT : VRING_USED_BIT));
}

/* All of a chain but its head may be written in any order before it. */
VIO_INLINE void vring_packed_put(struct vring_packed *v, struct vring_place p, unsigned slot,
				 struct vring_seg seg, uint16_t flags)
{
	struct vring_packed_desc *d = &v->desc[p.at];

	d->addr = htole64(seg.addr);
	d->len = htole32(seg.len);
	d->id = htole16((uint16_t)slot);
	VIO_STORE_RELEASE(&d->flags, vring_packed_flags(p, flags));
}

VIO_INLINE void vring_packed_done(struct vring_packed *v, unsigned slot, unsigned n)
{
	v->span[slot] = (uint8_t)n;
	v->posted = (uint16_t)(v->posted + n);
	vring_packed_advance(v, &v->next, n);
}

VIO_INLINE struct vring_seg vring_packed_header(const struct vring_packed *v, unsigned slot)
{
	return (struct vring_seg){ v->header + 16ull * slot, 16 };
}

VIO_INLINE void vring_packed_post(struct vring_packed *v, unsigned slot, struct vring_seg seg, bool in)
{
	struct vring_place data = v->next, status;

	vring_packed_advance(v, &data, 1);
	status = data;
	vring_packed_advance(v, &status, 1);
	vring_packed_put(v, status, slot, (struct vring_seg){ v->status + slot, 1 }, VRING_DESC_F_WRITE);
	vring_packed_put(v, data, slot, seg, VRING_DESC_F_NEXT | (in ? VRING_DESC_F_WRITE : 0));
	vring_packed_put(v, v->next, slot, vring_packed_header(v, slot), VRING_DESC_F_NEXT);
	vring_packed_done(v, slot, 3);
}

VIO_INLINE void vring_packed_post_bare(struct vring_packed *v, unsigned slot)
{
	struct vring_place status = v->next;

	vring_packed_advance(v, &status, 1);
	vring_packed_put(v, status, slot, (struct vring_seg){ v->status + slot, 1 }, VRING_DESC_F_WRITE);
	vring_packed_put(v, v->next, slot, vring_packed_header(v, slot), VRING_DESC_F_NEXT);
	vring_packed_done(v, slot, 2);
}

VIO_INLINE void vring_packed_post_table(struct vring_packed *v, unsigned slot, void *table,
					uint64_t table_guest, const struct vring_seg *seg, unsigned n,
					bool in)
{
	struct vring_packed_desc *t = table;

	t[0] = (struct vring_packed_desc){ .addr = htole64(v->header + 16ull * slot), .len = htole32(16) };
	for (unsigned i = 0; i < n; i++)
		t[i + 1] = (struct vring_packed_desc){ .addr = htole64(seg[i].addr),
						       .len = htole32(seg[i].len),
						       .flags = htole16(in ? VRING_DESC_F_WRITE : 0) };
	t[n + 1] = (struct vring_packed_desc){ .addr = htole64(v->status + slot),
					       .len = htole32(1),
					       .flags = htole16(VRING_DESC_F_WRITE) };
	vring_packed_put(v, v->next, slot, (struct vring_seg){ table_guest, 16 * (n + 2) },
			 VRING_DESC_F_INDIRECT);
	vring_packed_done(v, slot, 1);
}

/* True if the device wants a kick for what was posted since the last time (2.8.21). */
VIO_INLINE bool vring_packed_publish(struct vring_packed *v)
{
	uint32_t event;
	uint16_t off, new, old, at;

	if (!v->posted)
		return false;
	vio__full_barrier();
	event = le32toh(
		VIO_LOAD((uint32_t *)v->device)); /* both halves at once, so that they belong together */
	new = v->next.at;
	old = (uint16_t)(new - v->posted);
	v->posted = 0;
	if ((event >> 16 & 3) != VRING_PACKED_EVENT_FLAG_DESC || !v->event_idx)
		return (event >> 16 & 3) != VRING_PACKED_EVENT_FLAG_DISABLE;
	off = (uint16_t)event;
	at = off & 0x7fff;
	if (!!(off & 0x8000) != v->next.wrap)
		at = (uint16_t)(at - v->size);
	return vring_need_event(at, new, old);
}

/* 1 if a used descriptor is there, otherwise 0. */
VIO_INLINE int vring_packed_pending(struct vring_packed *v)
{
	return vring_packed_used(le16toh(VIO_LOAD_ACQUIRE(&v->desc[v->seen.at].flags)), v->seen.wrap);
}

/* The slot that it names: unchecked. Then, once checked, vring_packed_consume. */
VIO_INLINE uint32_t vring_packed_next(struct vring_packed *v)
{
	return le16toh(VIO_LOAD(&v->desc[v->seen.at].id));
}

/* How many bytes it says the device wrote: unchecked. */
VIO_INLINE uint32_t vring_packed_written(const struct vring_packed *v)
{
	return le32toh(VIO_LOAD(&v->desc[v->seen.at].len));
}

VIO_INLINE void vring_packed_consume(struct vring_packed *v, unsigned slot)
{
	vring_packed_advance(v, &v->seen, v->span[slot]);
}

VIO_INLINE bool vring_packed_arm(struct vring_packed *v, bool on)
{
	if (!on) {
		VIO_STORE(&v->driver->flags, htole16(VRING_PACKED_EVENT_FLAG_DISABLE));
		return false;
	}
	if (v->event_idx)
		VIO_STORE(&v->driver->off_wrap,
			  htole16((uint16_t)(v->seen.at | (v->seen.wrap ? 0x8000 : 0))));
	VIO_STORE_RELEASE(&v->driver->flags, htole16(v->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
								  : VRING_PACKED_EVENT_FLAG_ENABLE));
	vio__full_barrier();
	return vring_packed_pending(v);
}

#endif
