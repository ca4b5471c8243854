/* SPDX-License-Identifier: MIT */
#ifndef VIO_MEM_MAP_H
#define VIO_MEM_MAP_H

#include "mem/mem.h"

/* Checks a region and maps it; one reference is the caller's. */
int vio__map_new(struct mem_map **out, const struct vio_mem_region *r, const struct vio_mem_opts *o);
void vio__map_get(struct mem_map *map);
void vio__map_put(struct mem_map *map);

/* The SIGBUS guard's list of what is mapped: a slot, or -1 when it is full. */
int vio__guard_add(char *map, size_t size);
void vio__guard_del(int slot);

#endif
