/* SPDX-License-Identifier: MIT */
/*
 * Copy (NVM Command Set 1.0, 3.2.2): within a namespace, from up to 128 ranges to one. A piece
 * at a time is read into a buffer of the pool and written from there; a piece that
 * has failed ends it, and the answer says which range that was.
 */
#include "nvme/nv.h"

#define COPY_PIECE (NPOOL_MAX / 2)
#define COPY_WRITES 0x80u /* in step, beside the range's number */
_Static_assert(NV_COPY_RANGES <= COPY_WRITES, "both fit");

/* As struct nvme_copy_range, in our copy of the host's list. */
struct copy_range {
	uint32_t left; /* blocks to go; the host's is reserved */
	uint32_t reserved;
	uint64_t slba;
	uint16_t nlb;
	uint8_t rest[14];
};
_Static_assert(sizeof(struct copy_range) == sizeof(struct nvme_copy_range), "3.2.2");

static struct copy_range *copy_range(const struct nvme_req *r)
{
	return (struct copy_range *)r->buf + (r->step & ~COPY_WRITES);
}

static uint32_t copy_ranges(const struct nvme_req *r)
{
	return (r->cmd.cdw12 & 0xff) + 1;
}

static uint64_t copy_to(const struct nvme_req *r)
{
	return r->cmd.cdw10 | (uint64_t)r->cmd.cdw11 << 32;
}

static uint32_t copy_piece(const struct nv_ns *ns, const struct nvme_req *r)
{
	return VIO_MIN(copy_range(r)->left, COPY_PIECE >> VIO_LOAD(&ns->shift));
}

static bool copy_outside(const struct nv_ns *ns, uint64_t lba, uint64_t n)
{
	uint64_t size = VIO_LOAD(&ns->blocks);

	return lba > size || n > size - lba;
}

/* Of the whole list; blocks: their sum. */
static uint16_t copy_check_ranges(const struct nv_ns *ns, struct nvme_req *r, uint64_t *blocks)
{
	struct copy_range *range = r->buf;

	*blocks = 0;
	for (unsigned i = 0; i < copy_ranges(r); i++) {
		range[i].left = range[i].nlb + 1u;
		*blocks += range[i].left;
		r->result = i;
		if (range[i].left > NV_COPY_RANGE)
			return NV_NO_SPECIFIC(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED);
		if (copy_outside(ns, range[i].slba, range[i].left))
			return NV_NO(NVME_SC_LBA_RANGE);
	}
	r->result = 0;
	if (*blocks > NV_COPY_BLOCKS)
		return NV_NO_SPECIFIC(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED);
	return copy_outside(ns, copy_to(r), *blocks) ? NV_NO(NVME_SC_LBA_RANGE) : 0;
}

static uint16_t copy_bad(struct nv_ns *ns, const struct nvme_req *r)
{
	return VIO_LOAD(&ns->bad.n) ? nv_bad_status(ns, copy_range(r)->slba, copy_piece(ns, r)) : 0;
}

uint16_t nv_copy_check(struct nv_ns *ns, struct nvme_req *r)
{
	uint64_t blocks;
	uint16_t status;

	if (r->cmd.cdw12 >> 8 & 0xf)
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (copy_ranges(r) > NV_COPY_RANGES)
		return NV_NO_SPECIFIC(NVME_SC_CMD_SIZE_LIMIT_EXCEEDED);
	status = nv_data_at_least(r, copy_ranges(r) * (uint32_t)sizeof(struct copy_range));
	status = status ? status : copy_check_ranges(ns, r, &blocks);
	status = status ? status : copy_bad(ns, r);
	if (status)
		return status;
	r->aux = npool_get(r->q->pool, (uint32_t)VIO_MIN(blocks << VIO_LOAD(&ns->shift), COPY_PIECE));
	return r->aux ? 0 : NVME_STATUS(NVME_SC_CMD_INTERRUPTED); /* the host comes again */
}

void nv_copy_fill(const struct nv_ns *ns, const struct nvme_req *r, struct vio_req *v, bool fua)
{
	bool writes = r->step & COPY_WRITES;
	unsigned shift = VIO_LOAD(&ns->shift);

	v->op = writes ? VIO_OP_WRITE : VIO_OP_READ;
	v->flags = writes && fua ? VIO_REQ_FUA : 0;
	v->offset = (writes ? copy_to(r) : copy_range(r)->slba) << shift;
	v->len = (uint64_t)copy_piece(ns, r) << shift;
	v->iov[0] = (struct iovec){ r->aux, v->len };
	v->niov = 1;
}

static void copy_advance(struct nv_ns *ns, struct nvme_req *r)
{
	struct copy_range *range = copy_range(r);
	uint32_t n = copy_piece(ns, r);
	uint64_t to = copy_to(r);

	if (VIO_LOAD(&ns->bad.n))
		nv_bad_unmark(ns, to, n);
	range->slba += n;
	range->left -= n;
	to += n;
	r->cmd.cdw10 = (uint32_t)to;
	r->cmd.cdw11 = (uint32_t)(to >> 32);
	r->step = (uint8_t)((r->step & ~COPY_WRITES) + !range->left);
}

bool nv_copy_next(struct nv_ns *ns, struct nvme_req *r)
{
	if (!(r->step & COPY_WRITES)) {
		r->step |= COPY_WRITES;
		return true;
	}
	copy_advance(ns, r);
	if (r->step == copy_ranges(r))
		return false;
	r->status = copy_bad(ns, r);
	if (r->status)
		nv_copy_failed(r);
	return !r->status;
}

void nv_copy_failed(struct nvme_req *r)
{
	r->result = r->step & ~COPY_WRITES;
}
