/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a snapshot were written, for those who ask for them in pieces and have them
 * forgotten by it (VFIO). It costs a bit a page of what is mapped, however far apart that lies.
 * A log belongs to one snapshot at a time; with the next, what is known of regions in both stays.
 */
#ifndef VIO_MEM_LOG_H
#define VIO_MEM_LOG_H

#include "mem/mem.h"

#define LOG_PAGE_SHIFT 12

struct mem_log_range {
	struct mem_range mem;
	uint64_t *bits;
};

struct mem_log {
	unsigned n;
	struct mem_log_range r[];
};

/* old may be NULL; it is freed if this returns 0. While nobody marks. */
int vio__log_new(struct mem_log **out, const struct vio_mem *mem, struct mem_log *old);
void vio__log_free(struct mem_log *log);
/* Memory of the snapshot has been written. Any thread. */
void vio__log_mark(struct mem_log *log, const void *at, uint64_t len);
/*
 * Sets a bit for each 1 << shift bytes (4 KiB or more) of guest..guest+len of which some were written, and
 * forgets it. Any thread.
 */
void vio__log_take(struct mem_log *log, uint64_t guest, uint64_t len, unsigned shift, uint8_t *bits);

#endif
