/* SPDX-License-Identifier: MIT */
/*
 * Scatter gather lists (NVMe Base 2.0, 4.1.2): the command's own descriptor is the data, or
 * names a segment of descriptors, whose last may name the next.
 */
#include "queue/nvme_ring.h"

#define SGL_NO(code) ((uint16_t)(NVME_STATUS(code) | NVME_STATUS_DNR))

/* What is left to be done. */
struct sgl_walk {
	struct nvme_map *m;
	uint32_t left;	 /* bytes of data */
	bool more;	 /* a segment that is not the last names no other */
	unsigned budget; /* descriptors: a list without data could go round */
};

static uint16_t sgl_data(struct sgl_walk *w, const struct nvme_sgl *d)
{
	if (d->type != NVME_SGL_DATA)
		return SGL_NO(d->type >> 4 == NVME_SGL_DATA >> 4 ? NVME_SC_SGL_INVALID_OFFSET
								 : NVME_SC_SGL_INVALID_TYPE);
	if (d->len > w->left)
		return SGL_NO(NVME_SC_SGL_INVALID_DATA);
	w->left -= d->len;
	return d->len ? vio__nvme_map_add(w->m, d->addr, d->len) : 0;
}

static bool sgl_names_segment(const struct nvme_sgl *d)
{
	return d->type == NVME_SGL_SEGMENT || d->type == NVME_SGL_LAST_SEGMENT;
}

/* All of a segment's descriptors; *next is its last one if that names another. */
static uint16_t sgl_segment(struct sgl_walk *w, struct nvme_sgl *next)
{
	const uint32_t n = next->len / sizeof(struct nvme_sgl);
	const bool last = next->type == NVME_SGL_LAST_SEGMENT;
	const struct nvme_sgl *at;
	uint16_t status = 0;

	if (!next->len || next->len % sizeof(struct nvme_sgl) || n > w->budget)
		return SGL_NO(NVME_SC_SGL_INVALID_LAST);
	at = vio_mem_ptr(w->m->mem, next->addr, next->len);
	if (!at)
		return SGL_NO(NVME_SC_DATA_XFER_ERROR);
	w->budget -= n;
	next->type = NVME_SGL_DATA;
	w->more = !last;
	for (uint32_t i = 0; i < n && !status; i++) {
		struct nvme_sgl d;

		memcpy(&d, &at[i], sizeof(d));
		__asm__ volatile("" : "+m"(d)); /* the copy from here on: the host may change the original */
		if (sgl_names_segment(&d)) {
			if (last || i + 1 != n)
				return SGL_NO(NVME_SC_SGL_INVALID_LAST);
			*next = d;
			w->more = false;
		} else {
			status = sgl_data(w, &d);
		}
	}
	return status;
}

uint16_t vio__nvme_sgl(struct nvme_map *m, struct nvme_sgl d, uint32_t len)
{
	struct sgl_walk w = { .m = m, .left = len, .budget = 4 * NRING_SEGMENTS };
	uint16_t status = sgl_names_segment(&d) ? 0 : sgl_data(&w, &d);

	while (!status && sgl_names_segment(&d))
		status = sgl_segment(&w, &d);
	if (status)
		return status;
	return w.more ? SGL_NO(NVME_SC_SGL_INVALID_LAST) : w.left ? SGL_NO(NVME_SC_SGL_INVALID_DATA) : 0;
}
