/* SPDX-License-Identifier: MIT */
/* Snapshots of guest memory from within: translation is inline, for the queues' hot path. */
#ifndef VIO_MEM_MEM_H
#define VIO_MEM_MEM_H

#include "base/base.h"

#include <virtio-offload/mem.h>

/* One mapping, shared by every snapshot that has the region. */
struct mem_map {
	unsigned refs;
	bool mapped;		/* by us, to be unmapped */
	int guard;		/* slot in the SIGBUS guard, or -1 */
	char *map;
	size_t map_size;
	struct vio_mem_region r;	/* ptr set; fd the one kept, or -1 */
};

/* What translation reads, densely. */
struct mem_range {
	uint64_t guest, size;
	char *ptr;
};

struct vio_mem {
	unsigned refs;
	unsigned n;
	struct mem_map **maps;	/* by rising guest address, like ranges */
	struct mem_range ranges[];
};

/* The range that holds addr, or NULL. */
const struct mem_range *vio__mem_find(const struct vio_mem *m, uint64_t addr);

/* Does one range hold all of addr..addr+len? Can't wrap. */
VIO_INLINE bool vio__range_has(const struct mem_range *g, uint64_t addr, uint64_t len)
{
	uint64_t off = addr - g->guest;

	return off < g->size && len <= g->size - off;
}

#endif
