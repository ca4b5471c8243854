/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mremap */
/*
 * A umem is one range of addresses. Guest memory is brought into it by mapping it again behind
 * our own frames: mremap with an old size of 0 does that for shared memory, whoever mapped it.
 */
#include "backend/xsk.h"

#include <sys/mman.h>
#include <unistd.h>

/* Private memory, huge pages at an odd place, or an odd address can't be had twice: it is then copied from.
 */
static bool umem_alias(struct xsk_umem *u, const struct vio_mem_region *r, uint64_t at)
{
	void *to = u->base + at;

	if (u->nregions == XSK_REGIONS || (uintptr_t)r->ptr % XSK_CHUNK || r->size % XSK_CHUNK)
		return false;
	if (mremap(r->ptr, 0, r->size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		return false;
	u->region[u->nregions++] = (struct xsk_region){ r->ptr, r->size, at };
	return true;
}

static uint64_t umem_guest_size(struct vio_mem *mem)
{
	struct vio_mem_region r = { 0 };
	uint64_t size = 0;

	for (unsigned i = 0; mem && !vio_mem_get(mem, i, &r); i++)
		size += r.size;
	return size;
}

/* Whatever can't be aliased leaves a hole, which no umem may have: so it is all or nothing. */
static bool umem_guest(struct xsk_umem *u, uint64_t at, struct vio_mem *mem)
{
	struct vio_mem_region r = { 0 };

	for (unsigned i = 0; !vio_mem_get(mem, i, &r); i++, at += r.size)
		if (!umem_alias(u, &r, at))
			return false;
	return true;
}

static int umem_map(struct xsk_umem *u, uint64_t own, uint64_t size)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	u->size = size;
	u->base = mmap(NULL, size, PROT_NONE, flags | MAP_NORESERVE, -1, 0);
	if (u->base == MAP_FAILED || mmap(u->base, own, PROT_READ | PROT_WRITE,
					  flags | MAP_FIXED | MAP_POPULATE, -1, 0) == MAP_FAILED) {
		xsk_umem_close(u);
		return vio__fail(ENOMEM, "xsk: no room for %llu bytes of frames", (unsigned long long)size);
	}
	return 0;
}

int xsk_umem_open(struct xsk_umem *u, uint32_t frames, struct vio_mem *mem)
{
	uint64_t own = (uint64_t)frames * XSK_CHUNK, guest = umem_guest_size(mem);
	int rc;

	*u = (struct xsk_umem){ 0 };
	rc = umem_map(u, own, own + guest);
	if (rc || !guest)
		return rc;
	if (umem_guest(u, own, mem)) {
		u->unaligned = true;
		u->mem = vio_mem_ref(mem);
		return 0;
	}
	xsk_umem_close(u);
	return umem_map(u, own, own);
}

void xsk_umem_close(struct xsk_umem *u)
{
	if (u->base && u->base != MAP_FAILED)
		munmap(u->base, u->size);
	vio_mem_free(u->mem);
	*u = (struct xsk_umem){ 0 };
}

uint64_t xsk_umem_find(const struct xsk_umem *u, const void *ptr, uint64_t len)
{
	for (unsigned i = 0; i < u->nregions; i++) {
		const struct xsk_region *r = &u->region[i];
		uint64_t off = (uintptr_t)ptr - (uintptr_t)r->ptr;

		if (off < r->size && len <= r->size - off)
			return r->at + off;
	}
	return UINT64_MAX;
}
