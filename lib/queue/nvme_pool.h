/* SPDX-License-Identifier: MIT */
/*
 * Commands' data buffers: one pool for all connections of a poller, so that one
 * which is idle holds none. A buffer is one range, whole pages, a power of two of them.
 */
#ifndef VIO_QUEUE_NVME_POOL_H
#define VIO_QUEUE_NVME_POOL_H

#include "base/base.h"

#include <virtio-offload/mem.h>

#define NPOOL_PAGE 4096u
#define NPOOL_MAX (256u << 10)	 /* most bytes of a buffer */
#define NPOOL_CAPSULE (8u << 10) /* of a capsule's data; buffers of this size have a store of their own */

struct nvme_pool;

/* `bytes` is rounded up to a multiple of NPOOL_MAX; `capsules` buffers lie beside it. */
int npool_new(struct nvme_pool **p, size_t bytes, unsigned capsules);
void npool_free(struct nvme_pool *p);
/* All of it is one region: for lanes, which may register it. */
struct vio_mem *npool_mem(const struct nvme_pool *p);

/* 1..NPOOL_MAX bytes; NULL: not now. */
void *npool_get(struct nvme_pool *p, uint32_t len);
/* Of either kind. */
void npool_put(struct nvme_pool *p, void *buf);
void *npool_get_capsule(struct nvme_pool *p);
unsigned npool_capsules(const struct nvme_pool *p);
/* Bytes out. */
size_t npool_used(const struct nvme_pool *p);

#endif
