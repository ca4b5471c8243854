/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "backend/nvme_vfio_dma.h"

#include <sys/mman.h>

#define DMA_FIRST 0x100000u   /* nothing is mapped below: address 0 is what a forgotten pointer says */
#define DMA_HUGE (2ull << 20) /* what lies alike within such a page can be mapped as one */

/* The lowest address of at least `from` where a region that lies at ptr would be mapped by large pages. */
static uint64_t dma_align(uint64_t from, const char *ptr, uint64_t size, uint64_t page)
{
	uint64_t unit = size >= DMA_HUGE ? DMA_HUGE : page;
	uint64_t in = (uintptr_t)ptr & (unit - 1);
	uint64_t at = (from & ~(unit - 1)) + in;

	return at >= from ? at : at + unit;
}

/* Whether size bytes from *at on, or a little later, end by `last`. */
static bool dma_fits(uint64_t *at, const char *ptr, uint64_t size, uint64_t last, uint64_t page)
{
	uint64_t to = dma_align(*at, ptr, size, page);

	if (to < *at || to > last || size - 1 > last - to)
		return false;
	*at = to;
	return true;
}

/* The first gap between regions, within one range. *index: where it belongs in the list. */
static bool dma_find_in(const struct dma *d, const struct function_range *g, const char *ptr, uint64_t size,
			uint64_t *iova, unsigned *index)
{
	uint64_t at = VIO_MAX(g->from, (uint64_t)DMA_FIRST);

	for (unsigned i = 0; i <= d->n; i++) {
		uint64_t last = g->last;

		if (i < d->n) {
			const struct dma_region *r = &d->region[i];

			if (r->iova + (r->size - 1) < at)
				continue;
			last = r->iova <= at ? 0 : VIO_MIN(last, r->iova - 1);
		}
		*iova = at;
		*index = i;
		if (last >= at && dma_fits(iova, ptr, size, last, d->f->page))
			return true;
		if (i < d->n && !vio__add(d->region[i].iova, d->region[i].size, &at))
			return false;
	}
	return false;
}

static bool dma_find(const struct dma *d, const char *ptr, uint64_t size, uint64_t *iova, unsigned *index)
{
	for (unsigned i = 0; i < d->f->nranges; i++)
		if (dma_find_in(d, &d->f->range[i], ptr, size, iova, index))
			return true;
	return false;
}

static int dma_grow(struct dma *d)
{
	unsigned room = d->room ? 2 * d->room : 16;
	struct dma_region *r;

	if (d->n < d->room)
		return 0;
	r = realloc(d->region, room * sizeof(*r));
	if (!r)
		return vio__fail(ENOMEM, "%s: out of memory for %u regions", d->who, room);
	d->region = r;
	d->room = room;
	return 0;
}

static struct dma_region *dma_known(const struct dma *d, const char *ptr, uint64_t size)
{
	for (unsigned i = 0; i < d->n; i++)
		if (d->region[i].ptr == ptr && d->region[i].size == size)
			return &d->region[i];
	return NULL;
}

int vio__dma_map(struct dma *d, void *ptr, uint64_t size, uint64_t *iova)
{
	struct dma_region *r = dma_known(d, ptr, size);
	unsigned index = 0;
	int rc;

	if (!d->f)
		return vio__fail(ENODEV, "%s: the controller is gone", d->who);
	if (r) {
		r->users++;
		*iova = r->iova;
		return 0;
	}
	if (d->n >= d->f->maps)
		return vio__fail(ENOSPC, "%s: the kernel maps no more than %llu regions (dma_entry_limit)",
				 d->who, (unsigned long long)d->f->maps);
	rc = dma_grow(d);
	if (!rc && !dma_find(d, ptr, size, iova, &index))
		rc = vio__fail(ENOSPC, "%s: no room for %llu bytes among the bus addresses that it reaches",
			       d->who, (unsigned long long)size);
	if (!rc)
		rc = d->f->ops->map(d->f, ptr, size, *iova);
	if (rc)
		return rc;
	memmove(d->region + index + 1, d->region + index, (d->n - index) * sizeof(*d->region));
	d->region[index] = (struct dma_region){ ptr, size, *iova, 1 };
	d->n++;
	return 0;
}

void vio__dma_unmap(struct dma *d, void *ptr, uint64_t size)
{
	struct dma_region *r = dma_known(d, ptr, size);

	if (!r || --r->users)
		return;
	if (d->f)
		d->f->ops->unmap(d->f, r->size, r->iova);
	d->n--;
	memmove(r, r + 1, (size_t)(d->region + d->n - r) * sizeof(*r));
}

void vio__dma_fini(struct dma *d)
{
	free(d->region);
}

/* Shared, so that a fork of this process copies no page of it away from under the function. */
int vio__dma_alloc(struct dma *d, uint64_t size, char **ptr, uint64_t *iova)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (at == MAP_FAILED)
		return vio__fail(ENOMEM, "%s: no memory for a queue of %llu bytes", d->who,
				 (unsigned long long)size);
	rc = vio__dma_map(d, at, size, iova);
	if (rc)
		munmap(at, size);
	else
		*ptr = at;
	return rc;
}

void vio__dma_free(struct dma *d, char *ptr, uint64_t size)
{
	if (!ptr)
		return;
	vio__dma_unmap(d, ptr, size);
	munmap(ptr, size);
}

/* The whole pages of a region: what else lies on its first and last is none of the guest's. */
static bool dma_pages(const struct dma *d, const struct vio_mem_region *r, char **ptr, uint64_t *size)
{
	uintptr_t mask = d->f->page - 1, from = ((uintptr_t)r->ptr + mask) & ~mask;
	uintptr_t to = ((uintptr_t)r->ptr + r->size) & ~mask;

	*ptr = (char *)from;
	*size = to - from;
	return to > from;
}

static int dma_use_region(struct dma *d, struct dma_view *v, const struct vio_mem_region *r)
{
	uint64_t size, iova;
	char *ptr;
	int rc;

	if (!dma_pages(d, r, &ptr, &size))
		return 0;
	rc = vio__dma_map(d, ptr, size, &iova);
	if (!rc)
		v->span[v->n++] =
			(struct dma_span){ (uintptr_t)ptr, (uintptr_t)ptr + size, iova - (uintptr_t)ptr };
	return rc;
}

int vio__dma_use(struct dma *d, struct dma_view *v, struct vio_mem *mem, struct vio_poller *p, char *area,
		 uint64_t size, uint64_t iova)
{
	unsigned n = mem ? vio_mem_count(mem) : 0;

	v->span = calloc(n + 1, sizeof(*v->span));
	if (!v->span)
		return vio__fail(ENOMEM, "%s: out of memory for a lane", d->who);
	v->span[v->n++] =
		(struct dma_span){ (uintptr_t)area, (uintptr_t)area + size, iova - (uintptr_t)area };
	v->hit = v->span;
	v->mem = mem ? vio_mem_ref(mem) : NULL;
	for (unsigned i = 0; i < n; i++) {
		struct vio_mem_region r;

		vio_mem_get(mem, i, &r);
		if (dma_use_region(d, v, &r))
			vio_poller_log(p, VIO_LOG_ERROR, "%s; what lies there is copied", vio_errmsg());
	}
	return 0;
}

void vio__dma_unuse(struct dma *d, struct dma_view *v)
{
	for (unsigned i = 1; i < v->n; i++)
		vio__dma_unmap(d, (void *)v->span[i].from, v->span[i].to - v->span[i].from);
	vio_mem_free(v->mem);
	free(v->span);
	*v = (struct dma_view){ 0 };
}
