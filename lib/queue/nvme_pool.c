/* SPDX-License-Identifier: MIT */
/* The pool of data buffers: buddies, with what is free noted beside them, so that what was never used is no
 * memory. */
#include "queue/nvme_pool.h"

#define NPOOL_ORDERS 7u /* 4 KiB to 256 KiB */
#define NPOOL_NONE UINT32_MAX
_Static_assert(NPOOL_PAGE << (NPOOL_ORDERS - 1) == NPOOL_MAX, "the largest buffer is the largest block");

/* A block is known by its first page. */
struct npool_page {
	uint32_t next, prev; /* free: its order's list */
	uint8_t order;
	bool free;
};

struct nvme_pool {
	struct vio_mem *mem;
	char *base, *capsules; /* the capsules' buffers lie behind the pages */
	uint32_t npages;
	uint32_t head[NPOOL_ORDERS];
	struct npool_page *page;
	uint16_t *free_capsule; /* a stack */
	unsigned ncapsules;
	size_t used;
};

static void pool_link(struct nvme_pool *p, uint32_t i, unsigned order)
{
	struct npool_page *page = &p->page[i];

	*page = (struct npool_page){
		.next = p->head[order], .prev = NPOOL_NONE, .order = (uint8_t)order, .free = true
	};
	if (page->next != NPOOL_NONE)
		p->page[page->next].prev = i;
	p->head[order] = i;
}

static void pool_unlink(struct nvme_pool *p, uint32_t i)
{
	struct npool_page *page = &p->page[i];

	if (page->prev == NPOOL_NONE)
		p->head[page->order] = page->next;
	else
		p->page[page->prev].next = page->next;
	if (page->next != NPOOL_NONE)
		p->page[page->next].prev = page->prev;
	page->free = false;
}

int npool_new(struct nvme_pool **out, size_t bytes, unsigned capsules)
{
	struct nvme_pool *p = calloc(1, sizeof(*p));
	struct vio_mem_region all;
	int rc = p ? 0 : vio__fail(ENOMEM, "nvme: out of memory");

	*out = NULL;
	if (rc)
		return rc;
	bytes = (bytes + NPOOL_MAX - 1) & ~(size_t)(NPOOL_MAX - 1);
	capsules = VIO_MIN(capsules, UINT16_MAX);
	p->npages = (uint32_t)(bytes / NPOOL_PAGE);
	p->page = calloc(p->npages, sizeof(*p->page));
	p->free_capsule = calloc(capsules, sizeof(*p->free_capsule));
	if (!p->page || !p->free_capsule)
		rc = vio__fail(ENOMEM, "nvme: out of memory for a pool of %zu bytes", bytes);
	rc = rc ? rc : vio_mem_alloc(&p->mem, 0, bytes + (size_t)capsules * NPOOL_CAPSULE);
	rc = rc ? rc : vio_mem_get(p->mem, 0, &all);
	if (rc) {
		npool_free(p);
		return rc;
	}
	p->base = all.ptr;
	p->capsules = p->base + bytes;
	memset(p->head, 0xff, sizeof(p->head));
	for (uint32_t i = p->npages; i; i -= NPOOL_MAX / NPOOL_PAGE)
		pool_link(p, i - NPOOL_MAX / NPOOL_PAGE, NPOOL_ORDERS - 1);
	while (capsules--)
		p->free_capsule[p->ncapsules++] = (uint16_t)capsules;
	*out = p;
	return 0;
}

void npool_free(struct nvme_pool *p)
{
	if (!p)
		return;
	vio_mem_free(p->mem);
	free(p->page);
	free(p->free_capsule);
	free(p);
}

struct vio_mem *npool_mem(const struct nvme_pool *p)
{
	return p->mem;
}

static unsigned pool_order(uint32_t len)
{
	uint32_t pages = (len + NPOOL_PAGE - 1) / NPOOL_PAGE;

	return pages > 1 ? 32u - (unsigned)__builtin_clz(pages - 1) : 0;
}

void *npool_get(struct nvme_pool *p, uint32_t len)
{
	unsigned order = pool_order(len), from = order;
	uint32_t i;

	while (from < NPOOL_ORDERS && p->head[from] == NPOOL_NONE)
		from++;
	if (from >= NPOOL_ORDERS)
		return NULL;
	i = p->head[from];
	pool_unlink(p, i);
	while (from > order) {
		from--;
		pool_link(p, i + (1u << from), from);
	}
	p->page[i].order = (uint8_t)order;
	p->used += (size_t)NPOOL_PAGE << order;
	return p->base + (size_t)i * NPOOL_PAGE;
}

void npool_put(struct nvme_pool *p, void *buf)
{
	uint32_t i = (uint32_t)(((char *)buf - p->base) / NPOOL_PAGE);
	unsigned order;

	if ((char *)buf >= p->capsules) {
		p->free_capsule[p->ncapsules++] = (uint16_t)(((char *)buf - p->capsules) / NPOOL_CAPSULE);
		return;
	}
	order = p->page[i].order;
	p->used -= (size_t)NPOOL_PAGE << order;
	for (; order < NPOOL_ORDERS - 1; order++) {
		uint32_t buddy = i ^ 1u << order;

		if (!p->page[buddy].free || p->page[buddy].order != order)
			break;
		pool_unlink(p, buddy);
		i &= ~(1u << order);
	}
	pool_link(p, i, order);
}

void *npool_get_capsule(struct nvme_pool *p)
{
	return p->ncapsules ? p->capsules + (size_t)p->free_capsule[--p->ncapsules] * NPOOL_CAPSULE : NULL;
}

unsigned npool_capsules(const struct nvme_pool *p)
{
	return p->ncapsules;
}

size_t npool_used(const struct nvme_pool *p)
{
	return p->used;
}
