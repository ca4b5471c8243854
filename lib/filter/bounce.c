/* SPDX-License-Identifier: MIT */
#include "filter/bounce.h"

#include <sys/mman.h>

static size_t bounce_bytes(const struct vio__bounce *b)
{
	return (size_t)b->chunks * VIO__BOUNCE_CHUNK * VIO__BOUNCE_CELL;
}

int vio__bounce_init(struct vio__bounce *b, uint64_t bytes)
{
	const uint64_t chunk = VIO__BOUNCE_CHUNK * VIO__BOUNCE_CELL;

	b->chunks = (unsigned)((bytes + chunk - 1) / chunk);
	b->free = malloc(b->chunks * sizeof(*b->free));
	b->base = mmap(NULL, bounce_bytes(b), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!b->free || b->base == MAP_FAILED) {
		free(b->free);
		if (b->base != MAP_FAILED)
			munmap(b->base, bounce_bytes(b));
		return vio__fail(ENOMEM, "no memory for a bounce pool of %zu bytes", bounce_bytes(b));
	}
	memset(b->free, 0xff, b->chunks * sizeof(*b->free));
	return 0;
}

void vio__bounce_fini(struct vio__bounce *b)
{
	munmap(b->base, bounce_bytes(b));
	free(b->free);
}

static uint64_t bounce_mask(unsigned cells)
{
	return cells == VIO__BOUNCE_CHUNK ? UINT64_MAX : (1ull << cells) - 1;
}

/* The first of the longest runs of set bits up to want, as a length and a position. */
static unsigned bounce_longest(uint64_t bits, unsigned want, unsigned *first)
{
	uint64_t starts = bits; /* bit i: `cells` set bits start at i */
	unsigned cells = 0;

	while (starts && cells < want) {
		*first = (unsigned)__builtin_ctzll(starts);
		if (++cells == VIO__BOUNCE_CHUNK)
			break;
		starts &= bits >> cells;
	}
	return cells;
}

bool vio__bounce_get(struct vio__bounce *b, unsigned want, unsigned unit, struct vio__bounce_run *run)
{
	unsigned first = 0, cells;

	want = VIO_MIN((want + unit - 1) & ~(unit - 1), VIO__BOUNCE_CHUNK);
	run->cells = 0;
	for (unsigned i = 0; i < b->chunks && run->cells < want; i++) {
		cells = bounce_longest(b->free[i], want, &first) & ~(unit - 1);
		if (cells > run->cells)
			*run = (struct vio__bounce_run){ i, (uint16_t)first, (uint16_t)cells };
	}
	if (!run->cells)
		return false;
	b->free[run->chunk] &= ~(bounce_mask(run->cells) << run->first);
	return true;
}

void vio__bounce_put(struct vio__bounce *b, struct vio__bounce_run *run)
{
	if (run->cells)
		b->free[run->chunk] |= bounce_mask(run->cells) << run->first;
	run->cells = 0;
}
