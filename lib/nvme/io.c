/* SPDX-License-Identifier: MIT */
/*
 * I/O commands (NVM Command Set 1.0, 3): checked here once, then requests of the
 * namespace's lane. A command may take several, one after another.
 */
#include "nvme/nv.h"

#define IO_FUA (1u << 30)
#define IO_DEAC (1u << 25)
#define IO_AD (1u << 2) /* DSM: deallocate */

static inline uint64_t io_lba(const struct nvme_cmd *c)
{
	return c->cdw10 | (uint64_t)c->cdw11 << 32;
}

static inline uint32_t io_blocks(const struct nvme_cmd *c)
{
	return (c->cdw12 & 0xffff) + 1;
}

static inline uint16_t io_range(const struct nv_ns *ns, uint64_t lba, uint64_t blocks)
{
	uint64_t size = VIO_LOAD(&ns->blocks);

	return lba > size || blocks > size - lba ? NV_NO(NVME_SC_LBA_RANGE) : 0;
}

/* Blocks that the command's data holds: exactly those it names, and no more than may be. */
static inline uint16_t io_data(const struct nv_ns *ns, struct nvme_req *r, bool in_place)
{
	uint64_t bytes = (uint64_t)io_blocks(&r->cmd) << ns->shift;
	uint16_t status = io_range(ns, io_lba(&r->cmd), io_blocks(&r->cmd));

	if (VIO_UNLIKELY(bytes > NPOOL_MAX))
		return NV_NO(NVME_SC_INVALID_FIELD);
	return VIO_UNLIKELY(status) ? status : nv_data(r, (uint32_t)bytes, in_place);
}

static uint16_t io_writable(const struct nv_ns *ns, enum vio_op op)
{
	if (ns->read_only)
		return NV_NO(NVME_SC_NS_WRITE_PROTECTED);
	return ns->ops & 1u << op ? 0 : NV_NO(NVME_SC_INVALID_OPCODE);
}

/* Room to read into beside the command's data: compare, verify. */
static uint16_t io_aux(struct nvme_req *r, uint32_t len)
{
	r->aux = npool_get(r->q->pool, len);
	return r->aux ? 0 : NVME_STATUS(NVME_SC_CMD_INTERRUPTED); /* the host comes again */
}

static uint16_t io_verify(const struct nv_ns *ns, struct nvme_req *r)
{
	uint64_t bytes = (uint64_t)io_blocks(&r->cmd) << ns->shift;
	uint16_t status = bytes > NPOOL_MAX ? NV_NO(NVME_SC_INVALID_FIELD) : /* as VSL says */
				  io_range(ns, io_lba(&r->cmd), io_blocks(&r->cmd));

	return status ? status : io_aux(r, (uint32_t)bytes);
}

static uint32_t dsm_ranges(const struct nvme_cmd *c)
{
	return (c->cdw10 & 0xff) + 1;
}

static const struct nvme_dsm_range *dsm_range(const struct nvme_req *r)
{
	return (const struct nvme_dsm_range *)r->buf + r->step;
}

/* Goes on to the next range that is not empty; false: there is none. */
static bool dsm_next(struct nvme_req *r, unsigned from)
{
	for (unsigned i = from; i < dsm_ranges(&r->cmd); i++) {
		r->step = (uint8_t)i;
		if (dsm_range(r)->nlb)
			return true;
	}
	return false;
}

/* 0: to the lane; NV_LATER: there is nothing to do, which is a success. */
static uint16_t io_dsm(const struct nv_ns *ns, struct nvme_req *r)
{
	uint32_t n = dsm_ranges(&r->cmd);
	const struct nvme_dsm_range *range;
	uint16_t status;

	if (ns->read_only)
		return NV_NO(NVME_SC_NS_WRITE_PROTECTED);
	status = nv_data_at_least(r, n * (uint32_t)sizeof(*range));
	if (status)
		return status;
	range = r->buf;
	for (unsigned i = 0; i < n; i++)
		if (io_range(ns, range[i].slba, range[i].nlb))
			return NV_NO(NVME_SC_LBA_RANGE);
	if (!(r->cmd.cdw11 & IO_AD) || !(ns->ops & 1u << VIO_OP_DISCARD) || !dsm_next(r, 0))
		return NV_LATER; /* a hint that we have no use for */
	return 0;
}

/* Why its blocks can't be read. */
static inline uint16_t io_bad(struct nv_ns *ns, const struct nvme_req *r)
{
	return VIO_UNLIKELY(VIO_LOAD(&ns->bad.n)) ? nv_bad_status(ns, io_lba(&r->cmd), io_blocks(&r->cmd))
						  : 0;
}

static uint16_t io_check_rare(struct nv_ns *ns, struct nvme_req *r)
{
	uint16_t status;

	switch (r->cmd.opcode) {
	case nvme_cmd_flush:
		return ns->ops & 1u << VIO_OP_FLUSH ? 0 : NV_LATER;
	case nvme_cmd_compare:
		status = io_data(ns, r, false);
		status = status ? status : io_bad(ns, r);
		return status ? status : io_aux(r, r->len);
	case nvme_cmd_write_zeroes:
		status = io_writable(ns, VIO_OP_WRITE_ZEROES);
		return status ? status : io_range(ns, io_lba(&r->cmd), io_blocks(&r->cmd));
	case nvme_cmd_dsm:
		return io_dsm(ns, r);
	case nvme_cmd_verify:
		status = io_verify(ns, r);
		return status ? status : io_bad(ns, r);
	case nvme_cmd_write_uncor:
		status = io_writable(ns, VIO_OP_WRITE);
		return status ? status : io_range(ns, io_lba(&r->cmd), io_blocks(&r->cmd));
	case nvme_cmd_copy:
		status = io_writable(ns, VIO_OP_WRITE);
		return status ? status : nv_copy_check(ns, r);
	default:
		return NV_NO(NVME_SC_INVALID_OPCODE);
	}
}

/* 0: to the lane; NV_LATER: done at once; else why not. */
static inline uint16_t io_check(struct nv_qp *qp, struct nv_ns *ns, struct nvme_req *r)
{
	struct nv_counts *counts = &qp->group->counts;
	uint16_t status;

	switch (r->cmd.opcode) {
	case nvme_cmd_read:
		status = io_data(ns, r, true);
		status = VIO_UNLIKELY(status) ? status : io_bad(ns, r);
		nv_count(&counts->reads, 1);
		nv_count(&counts->bytes_read, r->len);
		return status;
	case nvme_cmd_write:
		status = io_writable(ns, VIO_OP_WRITE);
		status = status ? status : io_data(ns, r, true);
		nv_count(&counts->writes, 1);
		nv_count(&counts->bytes_written, r->len);
		return status;
	default:
		nv_count(&counts->others, 1);
		return io_check_rare(ns, r);
	}
}

/* The namespace's lane; or NULL and why this controller has none. */
static inline struct nv_lane *io_lane(const struct nv_qp *qp, uint32_t nsid, uint16_t *status)
{
	struct nv_lane *l;
	uint8_t access;

	*status = NV_NO(NVME_SC_INVALID_NS);
	if (VIO_UNLIKELY(!nsid || nsid > qp->group->s->max_ns))
		return NULL;
	access = VIO_LOAD(&qp->ctrl->access[nsid]);
	l = VIO_LIKELY(!access) ? nv_group_lane(qp->group, nsid) : NULL;
	*status = VIO_LIKELY(l != NULL) ? nv_ana_refuses(l) : nv_access_status(access);
	return l;
}

void nv_io(struct nv_qp *qp, struct nvme_req *r)
{
	struct nv_lane *l;
	uint16_t status;

	if (VIO_UNLIKELY(!qp->ctrl || !(VIO_LOAD(&qp->ctrl->csts) & NV_CSTS_RDY))) {
		nv_fused_done(r, NV_NO(NVME_SC_CMD_SEQ_ERROR));
		return;
	}
	if (VIO_UNLIKELY(r->cmd.flags & NVME_FLAGS_FUSE)) {
		nv_fused(qp, r);
		return;
	}
	l = io_lane(qp, r->cmd.nsid, &status);
	if (VIO_LIKELY(!status))
		status = nv_resv_refuses(qp, l->ns, r->cmd.opcode);
	if (VIO_UNLIKELY(!status && nv_resv_is(r->cmd.opcode))) {
		status = nv_resv(l, r);
		if (status != NV_LATER)
			nv_done(r, status);
		return;
	}
	if (VIO_LIKELY(!status))
		status = io_check(qp, l->ns, r);
	if (VIO_LIKELY(!status))
		nv_group_submit(l, r);
	else
		nv_done(r, status == NV_LATER ? 0 : status);
}

uint16_t nv_io_check(struct nv_qp *qp, struct nvme_req *r, uint32_t more, struct nv_lane **l)
{
	uint16_t status = 0;

	*l = io_lane(qp, r->cmd.nsid, &status);
	status = status ? status : nv_resv_refuses(qp, (*l)->ns, r->cmd.opcode);
	status = status ? status : io_check(qp, (*l)->ns, r);
	if (!status && r->len > NV_FUSED_MAX)
		status = NV_NO(NVME_SC_AWU_EXCEEDED);
	if (!status && more) { /* a larger buffer in place of the one that it has */
		npool_put(r->q->pool, r->aux);
		status = io_aux(r, r->len + more);
	}
	return status;
}

static void io_vector(struct vio_req *v, void *buf, uint32_t len)
{
	v->iov[0] = (struct iovec){ buf, len };
	v->niov = 1;
	v->len = len;
}

static void fill_data(const struct nvme_req *r, struct vio_req *v)
{
	if (r->buf) {
		io_vector(v, r->buf, r->len);
		return;
	}
	v->iov = r->iov;
	v->niov = r->niov;
	v->len = r->len;
}

static void fill_dsm(const struct nv_ns *ns, const struct nvme_req *r, struct vio_req *v)
{
	const struct nvme_dsm_range *range = dsm_range(r);

	v->op = VIO_OP_DISCARD;
	v->offset = range->slba << ns->shift;
	v->len = (uint64_t)range->nlb << ns->shift;
}

void nv_io_fill(const struct nv_lane *l, struct nvme_req *r, struct vio_req *v)
{
	const struct nvme_cmd *c = &r->cmd;
	const struct nv_ns *ns = l->ns;
	const struct nv_ctrl *ctrl = nv_qp_of(r)->ctrl; /* NULL: its host went while it waited */
	bool fua = c->cdw12 & IO_FUA || (ctrl && !VIO_LOAD(&ctrl->f.write_cache));

	v->offset = io_lba(c) << ns->shift;
	switch (c->opcode) {
	case nvme_cmd_read:
		v->op = VIO_OP_READ;
		fill_data(r, v);
		break;
	case nvme_cmd_write:
		v->op = VIO_OP_WRITE;
		v->flags = fua ? VIO_REQ_FUA : 0;
		fill_data(r, v);
		break;
	case nvme_cmd_compare:
	case nvme_cmd_verify:
		v->op = VIO_OP_READ;
		io_vector(v, r->aux, (uint32_t)(io_blocks(c) << ns->shift));
		break;
	case nvme_cmd_write_zeroes:
		v->op = VIO_OP_WRITE_ZEROES;
		v->flags = (uint8_t)((fua ? VIO_REQ_FUA : 0) | (c->cdw12 & IO_DEAC ? VIO_REQ_UNMAP : 0));
		v->len = (uint64_t)io_blocks(c) << ns->shift;
		break;
	case nvme_cmd_dsm:
		fill_dsm(ns, r, v);
		break;
	case nvme_cmd_copy:
		nv_copy_fill(ns, r, v, fua);
		break;
	default:
		v->op = VIO_OP_FLUSH;
		v->offset = 0;
	}
}

static uint16_t io_status(const struct nvme_req *r, int res)
{
	switch (res) {
	case -ENOSPC:
		return NV_NO(NVME_SC_CAP_EXCEEDED);
	case -EROFS:
	case -EPERM:
		return NV_NO(NVME_SC_NS_WRITE_PROTECTED);
	case -EOPNOTSUPP:
		return NV_NO(NVME_SC_INVALID_OPCODE);
	default:
		return r->cmd.opcode == nvme_cmd_write || r->cmd.opcode == nvme_cmd_write_zeroes
			       ? NV_MEDIA(NVME_SC_WRITE_FAULT)
			       : NV_MEDIA(NVME_SC_READ_ERROR);
	}
}

bool nv_io_at_once(const struct nv_lane *l, struct nvme_req *r)
{
	if (VIO_LIKELY(r->cmd.opcode != nvme_cmd_write_uncor))
		return false;
	nv_done(r, nv_bad_mark(l->ns, io_lba(&r->cmd), io_blocks(&r->cmd)));
	return true;
}

/* What was marked is written. */
static void io_unmark(struct nv_ns *ns, const struct nvme_req *r)
{
	if (r->cmd.opcode == nvme_cmd_write || r->cmd.opcode == nvme_cmd_write_zeroes)
		nv_bad_unmark(ns, io_lba(&r->cmd), io_blocks(&r->cmd));
}

bool nv_io_finish(struct nv_lane *l, struct nvme_req *r, int res)
{
	r->status = 0;
	if (VIO_UNLIKELY(res)) {
		nv_count(&nv_qp_of(r)->group->counts.media_errors, 1);
		r->status = io_status(r, res);
		if (r->cmd.opcode == nvme_cmd_copy)
			nv_copy_failed(r);
	} else if (r->cmd.opcode == nvme_cmd_dsm && dsm_next(r, r->step + 1u)) {
		return true;
	} else if (r->cmd.opcode == nvme_cmd_copy && nv_copy_next(l->ns, r)) {
		return true;
	} else if (r->cmd.opcode == nvme_cmd_compare && memcmp(r->buf, r->aux, r->len)) {
		r->status = NV_MEDIA(NVME_SC_COMPARE_FAILED) | NVME_STATUS_DNR;
	}
	if (VIO_UNLIKELY(!res && VIO_LOAD(&l->ns->bad.n)))
		io_unmark(l->ns, r);
	if (VIO_UNLIKELY(r->mate != NULL))
		nv_fused_finish(l, r, r->status);
	else
		nv_answer(r);
	return false;
}

void nv_io_span(const struct nvme_req *r, uint64_t *lba, uint64_t *blocks)
{
	*lba = io_lba(&r->cmd);
	*blocks = io_blocks(&r->cmd);
	if (r->cmd.opcode == nvme_cmd_flush)
		*blocks = 0;
	if (r->cmd.opcode == nvme_cmd_copy) { /* two places: rather all */
		*lba = 0;
		*blocks = UINT64_MAX;
	}
	if (r->cmd.opcode != nvme_cmd_dsm)
		return;
	*lba = dsm_range(r)->slba;
	*blocks = dsm_range(r)->nlb;
}
