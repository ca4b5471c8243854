/* SPDX-License-Identifier: MIT */
/*
 * What of our memory a function reaches, and at which bus addresses: an area for each of its queues, and
 * whatever memory its lanes bring, once for all that bring the same. All but translating is done under the
 * drive's lock.
 */
#ifndef VIO_BACKEND_NVME_VFIO_DMA_H
#define VIO_BACKEND_NVME_VFIO_DMA_H

#include "backend/nvme_vfio_function.h"

#include <virtio-offload/impl/poll.h>
#include <virtio-offload/mem.h>

#define DMA_NONE UINT64_MAX

struct dma_region {
	char *ptr;
	uint64_t size, iova;
	unsigned users;
};

struct dma {
	struct function *f; /* NULL: it has been let go of, and with it all that was mapped */
	const char *who;
	struct dma_region *region; /* by rising bus address */
	unsigned n, room;
};

/* A region as a lane looks it up. */
struct dma_span {
	uintptr_t from, to;
	uint64_t delta; /* what to add to a pointer for the bus address */
};

/* What of a lane's memory the function reaches: span[0] is the lane's own area. */
struct dma_view {
	struct dma_span *span, *hit; /* hit: the one that was hit last */
	unsigned n;
	struct vio_mem *mem; /* a reference, so that nothing else comes to lie at its addresses */
};

/* One more user of whole pages of memory; its bus address. -errno. */
int vio__dma_map(struct dma *d, void *ptr, uint64_t size, uint64_t *iova);
void vio__dma_unmap(struct dma *d, void *ptr, uint64_t size);
void vio__dma_fini(struct dma *d);

/* New zeroed pages, mapped. */
int vio__dma_alloc(struct dma *d, uint64_t size, char **ptr, uint64_t *iova);
void vio__dma_free(struct dma *d, char *ptr, uint64_t size);

/*
 * All that can be mapped of `mem`, if not NULL, beside an area of the lane's own. What can't be is said to
 * p's log: data there is copied.
 */
int vio__dma_use(struct dma *d, struct dma_view *v, struct vio_mem *mem, struct vio_poller *p, char *area,
		 uint64_t size, uint64_t iova);
void vio__dma_unuse(struct dma *d, struct dma_view *v);

VIO_INLINE bool dma_holds(const struct dma_span *s, uintptr_t at, uint64_t len)
{
	return at >= s->from && at < s->to && len <= s->to - at;
}

/* The bus address of ptr..ptr+len, or DMA_NONE where the function can't reach all of that. */
VIO_INLINE uint64_t dma_translate(struct dma_view *v, const void *ptr, uint64_t len)
{
	uintptr_t at = (uintptr_t)ptr;

	if (VIO_LIKELY(dma_holds(v->hit, at, len)))
		return at + v->hit->delta;
	for (unsigned i = 0; i < v->n; i++) {
		if (dma_holds(&v->span[i], at, len)) {
			v->hit = &v->span[i];
			return at + v->hit->delta;
		}
	}
	return DMA_NONE;
}

#endif
