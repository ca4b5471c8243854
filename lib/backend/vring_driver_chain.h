/* SPDX-License-Identifier: MIT */
/*
 * Chains of one or two descriptors, or of one that names an indirect table, in rings of
 * either format, for devices that have no status to give: as many slots as half the ring.
 * A slot of a split ring owns two descriptors next to each other.
 */
#ifndef VIO_BACKEND_VRING_DRIVER_CHAIN_H
#define VIO_BACKEND_VRING_DRIVER_CHAIN_H

#include "backend/vring_driver.h"

VIO_INLINE void vring_split_chain(struct vring_split *v, unsigned slot, const struct vring_seg *seg,
				  unsigned n, uint16_t flags)
{
	struct vring_desc *d = &v->desc[2 * slot];

	d[0] = (struct vring_desc){ .addr = htole64(seg[0].addr),
				    .len = htole32(seg[0].len),
				    .flags = htole16(flags | (n > 1 ? VRING_DESC_F_NEXT : 0)),
				    .next = htole16((uint16_t)(2 * slot + 1)) };
	if (n > 1)
		d[1] = (struct vring_desc){ .addr = htole64(seg[1].addr),
					    .len = htole32(seg[1].len),
					    .flags = htole16(flags) };
	vring_split_push(v, 2 * slot);
}

VIO_INLINE void vring_packed_chain(struct vring_packed *v, unsigned slot, const struct vring_seg *seg,
				   unsigned n, uint16_t flags)
{
	struct vring_place second = v->next;

	vring_packed_advance(v, &second, 1);
	if (n > 1)
		vring_packed_put(v, second, slot, seg[1], flags);
	vring_packed_put(v, v->next, slot, seg[0], (uint16_t)(flags | (n > 1 ? VRING_DESC_F_NEXT : 0)));
	vring_packed_done(v, slot, n);
}

/* seg: one or two pieces. flags: VRING_DESC_F_WRITE of all of them, or VRING_DESC_F_INDIRECT. */
VIO_INLINE void vring_chain(struct vring_driver *v, unsigned slot, const struct vring_seg *seg, unsigned n,
			    uint16_t flags, bool packed)
{
	if (packed)
		vring_packed_chain(&v->p, slot, seg, n, flags);
	else
		vring_split_chain(&v->s, slot, seg, n, flags);
}

/* Fills in an indirect table of n entries. */
static inline void vring_chain_table(void *table, const struct vring_seg *seg, unsigned n, uint16_t flags,
				     bool packed)
{
	for (unsigned i = 0; i < n; i++) {
		uint16_t next = packed || i + 1 == n ? 0 : VRING_DESC_F_NEXT;

		if (packed)
			((struct vring_packed_desc *)table)[i] =
				(struct vring_packed_desc){ .addr = htole64(seg[i].addr),
							    .len = htole32(seg[i].len),
							    .flags = htole16(flags) };
		else
			((struct vring_desc *)table)[i] =
				(struct vring_desc){ .addr = htole64(seg[i].addr),
						     .len = htole32(seg[i].len),
						     .flags = htole16(flags | next),
						     .next = htole16((uint16_t)(i + 1)) };
	}
}

/* The slot that a used entry's id means; one that can't be is no slot's number. */
VIO_INLINE uint32_t vring_chain_slot(uint32_t id, bool packed)
{
	if (packed)
		return id;
	return id & 1 ? UINT32_MAX : id / 2;
}

VIO_INLINE void vring_chain_begin(struct vring_driver *v)
{
	if (v->packed)
		vring_packed_start(&v->p);
	else
		vring_split_begin(&v->s, 0);
}

#endif
