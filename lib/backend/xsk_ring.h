/* SPDX-License-Identifier: MIT */
/*
 * One of an AF_XDP socket's four rings: a power of two entries, one producer, one
 * consumer, free-running indices. The kernel is at the other end. Its index is checked
 * all the same: one that can't be marks the ring as broken, and nothing more is read.
 */
#ifndef VIO_BACKEND_XSK_RING_H
#define VIO_BACKEND_XSK_RING_H

#include "base/barrier.h"
#include "base/base.h"

#include <linux/if_xdp.h>

struct xsk_ring {
	uint32_t *producer, *consumer, *flags; /* shared */
	union {
		uint64_t *addr;	       /* fill and completion ring */
		struct xdp_desc *desc; /* rx and tx ring */
	};
	uint32_t size;
	uint32_t own;  /* our index; published by xsk_ring_give or xsk_ring_free */
	uint32_t seen; /* the kernel's as last read */
	bool broken;
	void *map;
	size_t map_size;
};

VIO_INLINE uint32_t xsk_ring_at(const struct xsk_ring *r, uint32_t index)
{
	return index & (r->size - 1);
}

/* We produce: how many entries the kernel has not consumed yet. */
VIO_INLINE uint32_t xsk_ring_held(struct xsk_ring *r)
{
	uint32_t consumer = VIO_LOAD_ACQUIRE(r->consumer);

	/* It only advances, up to where we are. */
	if (VIO_UNLIKELY(consumer - r->seen > r->own - r->seen))
		r->broken = true;
	else
		r->seen = consumer;
	return r->own - r->seen;
}

/* We produce: the entries before `own` are the kernel's from now on. */
VIO_INLINE void xsk_ring_give(struct xsk_ring *r)
{
	VIO_STORE_RELEASE(r->producer, r->own);
}

/* We consume: how many entries the kernel has produced. */
VIO_INLINE uint32_t xsk_ring_ready(struct xsk_ring *r)
{
	uint32_t producer = VIO_LOAD_ACQUIRE(r->producer);

	if (VIO_UNLIKELY(producer - r->own > r->size))
		r->broken = true;
	return VIO_UNLIKELY(r->broken) ? 0 : producer - r->own;
}

/* We consume: the entries before `own` are free from now on. */
VIO_INLINE void xsk_ring_free(struct xsk_ring *r)
{
	VIO_STORE_RELEASE(r->consumer, r->own);
}

VIO_INLINE bool xsk_ring_wants_wakeup(const struct xsk_ring *r)
{
	return VIO_LOAD(r->flags) & XDP_RING_NEED_WAKEUP;
}

#endif
