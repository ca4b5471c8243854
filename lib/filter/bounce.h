/* SPDX-License-Identifier: MIT */
/*
 * A bounce pool: page-aligned memory of one lane, handed out in runs of 4 KiB
 * cells. A run never leaves its chunk of 64 cells, so a chunk's free cells are one
 * word, and what a run becomes is one iovec.
 */
#ifndef VIO_FILTER_BOUNCE_H
#define VIO_FILTER_BOUNCE_H

#include "base/base.h"

#define VIO__BOUNCE_CELL 4096u
#define VIO__BOUNCE_CHUNK 64u /* cells */

struct vio__bounce {
	unsigned char *base;
	uint64_t *free; /* a word a chunk, a set bit a free cell */
	unsigned chunks;
};

struct vio__bounce_run {
	uint32_t chunk;
	uint16_t first, cells; /* cells 0: no run */
};

/* bytes is rounded up to whole chunks. -ENOMEM. */
int vio__bounce_init(struct vio__bounce *b, uint64_t bytes);
void vio__bounce_fini(struct vio__bounce *b);

/*
 * The longest free run up to `want` cells, a multiple of `unit` cells (a power of
 * two). want > 0; more than a chunk counts as a chunk. False when there is none.
 */
bool vio__bounce_get(struct vio__bounce *b, unsigned want, unsigned unit, struct vio__bounce_run *run);
void vio__bounce_put(struct vio__bounce *b, struct vio__bounce_run *run);

VIO_INLINE unsigned char *vio__bounce_ptr(const struct vio__bounce *b, const struct vio__bounce_run *run)
{
	return b->base + ((size_t)run->chunk * VIO__BOUNCE_CHUNK + run->first) * VIO__BOUNCE_CELL;
}

#endif
