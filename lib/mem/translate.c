/* SPDX-License-Identifier: MIT */
/* From guest addresses to pointers and back. */
#include "mem/mem.h"

const struct mem_range *vio__mem_find(const struct vio_mem *m, uint64_t addr)
{
	unsigned lo = 0, hi = m->n;

	while (lo < hi) { /* the last range that starts at or below addr is at lo - 1 in the end */
		unsigned mid = (lo + hi) / 2;

		if (m->ranges[mid].guest <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && vio__range_has(&m->ranges[lo - 1], addr, 1) ? &m->ranges[lo - 1] : NULL;
}

void *vio_mem_ptr(const struct vio_mem *m, uint64_t guest, uint64_t len)
{
	const struct mem_range *g = len ? vio__mem_find(m, guest) : NULL;

	return g && vio__range_has(g, guest, len) ? g->ptr + (guest - g->guest) : NULL;
}

void *vio_mem_user_ptr(const struct vio_mem *m, uint64_t user, uint64_t len)
{
	for (unsigned i = 0; i < m->n && len; i++) {
		const struct vio_mem_region *r = &m->maps[i]->r;

		if (user - r->user < r->size && len <= r->size - (user - r->user))
			return (char *)r->ptr + (user - r->user);
	}
	return NULL;
}

uint64_t vio_mem_guest(const struct vio_mem *m, const void *ptr)
{
	for (unsigned i = 0; i < m->n; i++)
		if ((uintptr_t)ptr - (uintptr_t)m->ranges[i].ptr < m->ranges[i].size)
			return m->ranges[i].guest + ((uintptr_t)ptr - (uintptr_t)m->ranges[i].ptr);
	return UINT64_MAX;
}
