/* SPDX-License-Identifier: MIT */
/*
 * What both ends of a virtqueue share: layouts as the kernel's headers have them,
 * and index arithmetic. The serving end (queue/) distrusts, the driving end
 * (backend/) owns; nothing else is common to them.
 */
#ifndef VIO_RING_VRING_H
#define VIO_RING_VRING_H

#include "base/barrier.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#ifndef VIRTIO_F_NOTIFICATION_DATA
#define VIRTIO_F_NOTIFICATION_DATA 38 /* virtio 1.3, 6; absent from older headers */
#endif

#define VIO_BIT(b) (1ull << (b))

/* Split ring sizes in bytes (virtio 1.3, 2.7). */
VIO_INLINE uint64_t vring_desc_bytes(uint32_t size)
{
	return 16ull * size;
}

VIO_INLINE uint64_t vring_avail_bytes(uint32_t size)
{
	return 6 + 2ull * size; /* flags, idx, ring, used_event */
}

VIO_INLINE uint64_t vring_used_bytes(uint32_t size)
{
	return 6 + 8ull * size; /* flags, idx, ring, avail_event */
}

/*
 * Packed: a descriptor is available when its AVAIL bit equals the taker's wrap
 * counter and its USED bit does not; used when both equal the giver's (2.8.1).
 */
#define VRING_AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define VRING_USED_BIT (1u << VRING_PACKED_DESC_F_USED)

VIO_INLINE bool vring_packed_avail(uint16_t flags, bool wrap)
{
	return (flags & (VRING_AVAIL_BIT | VRING_USED_BIT)) == (wrap ? VRING_AVAIL_BIT : VRING_USED_BIT);
}

VIO_INLINE bool vring_packed_used(uint16_t flags, bool wrap)
{
	return (flags & (VRING_AVAIL_BIT | VRING_USED_BIT)) == (wrap ? VRING_AVAIL_BIT | VRING_USED_BIT : 0);
}

#endif
