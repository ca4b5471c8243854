/* SPDX-License-Identifier: MIT */
/*
 * How a command names its data: by pages (PRPs, 4.1.1) where a vector allows it, else by an SGL (4.1.2) if
 * the controller has them, else by the pages of a bounce buffer.
 */
#include "backend/nvme_vfio.h"

#define DATA_SGLS 64u /* descriptors of a command */
#define DATA_PAGE_MASK (DRIVE_PAGE - 1ull)

static char *data_list(const struct drive_lane *v, const struct drive_slot *s, uint64_t *iova)
{
	uint64_t at = (uint64_t)(s - v->slot) * DRIVE_LIST;

	*iova = v->lists_iova + at;
	return v->lists + at;
}

struct prp_list {
	uint64_t *entry; /* after the first page's */
	unsigned n;	 /* pages */
	uint64_t first, end;
};

/*
 * One piece more. All pages but the first begin at their beginning, and all but the last go to their end; a
 * piece that goes on in the middle of a page where the last one ended is no new one.
 */
static bool prp_add(struct prp_list *p, uint64_t iova, uint64_t len)
{
	if (p->n && (iova & DATA_PAGE_MASK || p->end & DATA_PAGE_MASK)) {
		if (iova != p->end)
			return false;
	} else if (!p->n && iova & 3) {
		return false;
	}
	p->end = iova + len;
	if (!p->n) {
		p->first = iova;
		p->n = 1;
	} else if (!(iova & DATA_PAGE_MASK)) {
		p->entry[p->n++ - 1] = iova;
	}
	for (iova = (iova | DATA_PAGE_MASK) + 1; iova < p->end; iova += DRIVE_PAGE)
		p->entry[p->n++ - 1] = iova;
	return true;
}

static void prp_set(struct nvme_cmd *c, const struct prp_list *p, uint64_t list)
{
	c->flags = NVME_FLAGS_PRP;
	c->prp1 = p->first;
	c->prp2 = p->n > 2 ? list : p->n == 2 ? p->entry[0] : 0;
}

/* All of s->span, which is at most DRIVE_MAX_PART: that many pages and one more. */
static bool data_by_pages(struct drive_lane *v, struct drive_slot *s)
{
	struct drive_at at = s->start;
	struct prp_list p = { 0 };
	uint64_t left = s->span, list;

	p.entry = (uint64_t *)data_list(v, s, &list);
	while (left) {
		char *ptr;
		uint64_t n = drive_piece(&at, left, &ptr), iova = dma_translate(&v->view, ptr, n);

		if (iova == DMA_NONE || !prp_add(&p, iova, n))
			return false;
		left -= n;
	}
	prp_set(&s->cmd, &p, list);
	drive_count(&v->count->prps, 1);
	return true;
}

/* As many descriptors as there may be; how many bytes they name. */
static uint64_t sgl_fill(struct drive_lane *v, struct drive_slot *s, struct nvme_sgl *to, unsigned *n)
{
	struct drive_at at = s->start;
	uint64_t done = 0;

	*n = 0;
	while (done < s->span) {
		char *ptr;
		uint64_t len = drive_piece(&at, s->span - done, &ptr),
			 iova = dma_translate(&v->view, ptr, len);

		if (iova == DMA_NONE || (iova | len) & (v->sgls - 1u))
			return done;
		if (*n && to[*n - 1].addr + to[*n - 1].len == iova)
			to[*n - 1].len += (uint32_t)len;
		else if (*n == DATA_SGLS)
			return done;
		else
			to[(*n)++] = (struct nvme_sgl){ .addr = iova, .len = (uint32_t)len };
		done += len;
	}
	return done;
}

/* As much of s->span as goes, in whole blocks. */
static bool data_by_sgl(struct drive_lane *v, struct drive_slot *s)
{
	uint64_t list, bytes;
	struct nvme_sgl *to = (struct nvme_sgl *)data_list(v, s, &list);
	unsigned n;

	if (!v->sgls)
		return false;
	bytes = sgl_fill(v, s, to, &n);
	s->span = bytes >> v->store.shift << v->store.shift;
	if (!s->span)
		return false;
	for (bytes -= s->span; bytes; n--) {
		uint32_t cut = (uint32_t)VIO_MIN(bytes, (uint64_t)to[n - 1].len);

		to[n - 1].len -= cut;
		bytes -= cut;
		if (to[n - 1].len)
			break;
	}
	s->cmd.flags = NVME_FLAGS_SGL;
	s->cmd.sgl = n == 1 ? to[0]
			    : (struct nvme_sgl){ .addr = list,
						 .len = n * (uint32_t)sizeof(*to),
						 .type = NVME_SGL_LAST_SEGMENT };
	drive_count(&v->count->sgls, 1);
	return true;
}

static char *data_chunk(const struct drive_lane *v, const struct drive_slot *s)
{
	return v->bounce + (s->chunk - 1u) * (size_t)DRIVE_CHUNK;
}

static void data_copy(struct drive_lane *v, struct drive_slot *s, bool in)
{
	struct drive_at at = s->start;
	char *chunk = data_chunk(v, s), *ptr;

	for (uint64_t left = s->span, n; left; left -= n, chunk += n) {
		n = drive_piece(&at, left, &ptr);
		memcpy(in ? ptr : chunk, in ? chunk : ptr, n);
	}
}

static bool data_by_bounce(struct drive_lane *v, struct drive_slot *s)
{
	struct prp_list p = { 0 };
	uint64_t list;

	if (!v->nchunks)
		return false;
	s->chunk = v->chunks[--v->nchunks];
	s->span = VIO_MIN(s->span, (uint64_t)DRIVE_CHUNK); /* blocks are no larger, and powers of two */
	p.entry = (uint64_t *)data_list(v, s, &list);
	prp_add(&p, v->area_iova + (uint64_t)(data_chunk(v, s) - v->area), s->span);
	prp_set(&s->cmd, &p, list);
	if (s->req->op == VIO_OP_WRITE)
		data_copy(v, s, false);
	drive_count(&v->count->bounced, 1);
	drive_count(&v->count->bounced_bytes, s->span);
	return true;
}

bool vio__drive_data(struct drive_lane *v, struct drive_slot *s)
{
	uint64_t span = s->span;

	if (VIO_LIKELY(data_by_pages(v, s)) || data_by_sgl(v, s))
		return true;
	s->span = span;
	return data_by_bounce(v, s);
}

void vio__drive_data_in(struct drive_lane *v, struct drive_slot *s)
{
	if (s->req->op == VIO_OP_READ)
		data_copy(v, s, true);
}

void vio__drive_data_free(struct drive_lane *v, struct drive_slot *s)
{
	v->chunks[v->nchunks++] = s->chunk;
	s->chunk = 0;
}
