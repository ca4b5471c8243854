/* SPDX-License-Identifier: MIT */
/* Where in a packed ring: what its taking and its giving side share. */
#ifndef VIO_QUEUE_PACKED_H
#define VIO_QUEUE_PACKED_H

#include "queue/queue.h"

VIO_INLINE void packed_advance(unsigned size, uint16_t *idx, bool *wrap, unsigned n)
{
	unsigned next = *idx + n;

	if (next >= size) {
		next -= size;
		*wrap = !*wrap;
	}
	*idx = (uint16_t)next;
}

/* The descriptor n behind this one. */
VIO_INLINE uint16_t packed_further(unsigned size, unsigned idx, unsigned n)
{
	return (uint16_t)(idx + n >= size ? idx + n - size : idx + n);
}

/* Both bits of a descriptor that was used in this lap. */
VIO_INLINE uint16_t packed_used_bits(bool wrap)
{
	return wrap ? VRING_AVAIL_BIT | VRING_USED_BIT : 0;
}

/* The next descriptor's length, id and flags, if it is available: read once, before its address. */
VIO_INLINE bool packed_ready(const uint64_t *ring, unsigned idx, bool wrap, uint64_t *word)
{
	*word = VIO_LOAD_ACQUIRE(&ring[2 * idx + 1]);
	return vring_packed_avail((uint16_t)(*word >> 48), wrap);
}

#endif
