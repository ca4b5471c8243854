/* SPDX-License-Identifier: MIT */
/*
 * The driver's side of a virtqueue of either format. `packed` is a constant where
 * speed counts: one stamp of the caller for each.
 */
#ifndef VIO_BACKEND_VRING_DRIVER_H
#define VIO_BACKEND_VRING_DRIVER_H

#include "backend/vring_driver_packed.h"
#include "backend/vring_driver_split.h"

struct vring_driver {
	bool packed;
	union {
		struct vring_split s;
		struct vring_packed p;
	};
};

VIO_INLINE void vring_post(struct vring_driver *v, unsigned slot, struct vring_seg seg, bool in, bool packed)
{
	if (packed)
		vring_packed_post(&v->p, slot, seg, in);
	else
		vring_split_post(&v->s, slot, seg, in);
}

VIO_INLINE void vring_post_bare(struct vring_driver *v, unsigned slot)
{
	if (v->packed)
		vring_packed_post_bare(&v->p, slot);
	else
		vring_split_post_bare(&v->s, slot);
}

VIO_INLINE void vring_post_table(struct vring_driver *v, unsigned slot, void *table, uint64_t guest,
				 const struct vring_seg *seg, unsigned n, bool in)
{
	if (v->packed)
		vring_packed_post_table(&v->p, slot, table, guest, seg, n, in);
	else
		vring_split_post_table(&v->s, slot, table, guest, seg, n, in);
}

VIO_INLINE bool vring_publish(struct vring_driver *v, bool packed)
{
	return packed ? vring_packed_publish(&v->p) : vring_split_publish(&v->s);
}

/* More than 0 if something was used; -EBADMSG. */
VIO_INLINE int vring_pending(struct vring_driver *v, bool packed)
{
	return packed ? vring_packed_pending(&v->p) : vring_split_pending(&v->s);
}

/* What the next used entry names: to be checked, then consumed. */
VIO_INLINE uint32_t vring_next(struct vring_driver *v, bool packed)
{
	return packed ? vring_packed_next(&v->p) : vring_split_next(&v->s);
}

/* How many bytes it says were written: likewise, and asked first. */
VIO_INLINE uint32_t vring_written(const struct vring_driver *v, bool packed)
{
	return packed ? vring_packed_written(&v->p) : vring_split_written(&v->s);
}

VIO_INLINE void vring_consume(struct vring_driver *v, unsigned slot, bool packed)
{
	if (packed)
		vring_packed_consume(&v->p, slot);
}

/* Before a new device takes a ring over: what the old one said of kicks is void. */
VIO_INLINE void vring_welcome(struct vring_driver *v)
{
	if (v->packed)
		vring_packed_welcome(&v->p);
	else
		vring_split_welcome(&v->s);
}

VIO_INLINE bool vring_arm(struct vring_driver *v, bool on)
{
	return v->packed ? vring_packed_arm(&v->p, on) : vring_split_arm(&v->s, on);
}

#endif
