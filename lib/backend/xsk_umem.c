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

static void umem_unmap(struct xsk_umem *u)
{
	if (u->base && u->base != MAP_FAILED)
		munmap(u->base, u->size);
	u->base = NULL;
	u->nregions = 0;
}

static int umem_map(struct xsk_umem *u, uint64_t own, uint64_t size)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	u->size = size;
	u->base = mmap(NULL, size, PROT_NONE, flags | MAP_NORESERVE, -1, 0);
	if (u->base == MAP_FAILED || mmap(u->base, own, PROT_READ | PROT_WRITE,
					  flags | MAP_FIXED | MAP_POPULATE, -1, 0) == MAP_FAILED) {
		umem_unmap(u);
		return vio__fail(ENOMEM, "xsk: no room for %llu bytes of frames", (unsigned long long)size);
	}
	return 0;
}

static int umem_open(struct xsk_umem *u, uint32_t frames, struct vio_mem *guest)
{
	uint64_t own = (uint64_t)frames * XSK_CHUNK, more = umem_guest_size(guest);
	int rc = umem_map(u, own, own + more);

	if (rc || !more)
		return rc;
	u->unaligned = umem_guest(u, own, guest);
	if (u->unaligned)
		return 0;
	umem_unmap(u);
	return umem_map(u, own, own);
}

int xsk_umem_new(struct xsk_umem **out, uint32_t frames, struct vio_mem *mem, bool guest)
{
	struct xsk_umem *u = calloc(1, sizeof(*u));
	int rc = u ? umem_open(u, frames, guest ? mem : NULL) : vio__fail(ENOMEM, "xsk: out of memory");

	*out = NULL;
	if (rc) {
		free(u);
		return rc;
	}
	u->refs = 1;
	u->mem = mem ? vio_mem_ref(mem) : NULL;
	*out = u;
	return 0;
}

void xsk_umem_put(struct xsk_umem *u)
{
	if (!u || --u->refs)
		return;
	umem_unmap(u);
	vio_mem_free(u->mem);
	free(u);
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
