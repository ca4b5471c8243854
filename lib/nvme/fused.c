/* SPDX-License-Identifier: MIT */
/*
 * Compare and Write (NVMe Base 2.0, 3.4.2; NVM Command Set 1.0, 2.1.3): two commands that the
 * queue has found to belong together. Both are checked, the range is fenced, and only then is
 * it compared and, if it was equal, written.
 */
#include "nvme/nv.h"

/* Behind what the compare reads. */
struct nv_fused {
	struct nv_fence fence;
	struct nv_lane *lane;
	struct nvme_req *first;
};

#define FUSED_FAIL NVME_STATUS(NVME_SC_FUSED_FAIL)

static void fused_answer(struct nvme_req *first, uint16_t status, uint16_t second_status)
{
	struct nvme_req *second = first->mate;

	first->mate = second->mate = NULL;
	nv_done(first, status);
	nv_done(second, second_status);
}

void nv_fused_done(struct nvme_req *r, uint16_t status)
{
	if (r->mate)
		fused_answer(r, status, status);
	else
		nv_done(r, status);
}

static void fused_end(struct nv_lane *l, struct nvme_req *first, uint16_t status, uint16_t second_status)
{
	nv_fence_lift(l->ns);
	l->pins--;
	fused_answer(first, status, second_status);
}

static bool fused_is_first(const struct nvme_req *r)
{
	return r->cmd.opcode == nvme_cmd_compare;
}

void nv_fused_refuse(struct nv_lane *l, struct nvme_req *r, uint16_t status)
{
	if (fused_is_first(r))
		fused_end(l, r, status, FUSED_FAIL);
	else
		fused_end(l, r->mate, 0, status);
}

void nv_fused_finish(struct nv_lane *l, struct nvme_req *r, uint16_t status)
{
	if (status || !fused_is_first(r))
		nv_fused_refuse(l, r, status);
	else
		nv_group_submit(l, r->mate);
}

static void fused_go(struct vio_msg *m)
{
	struct nv_fused *f = VIO_CONTAINER(m, struct nv_fused, fence.msg);
	struct nv_group *g = f->lane->group;

	nv_group_submit(f->lane, f->first);
	vio_task_wake(g->poller, g->task);
}

static bool fused_belong(const struct nvme_cmd *a, const struct nvme_cmd *b)
{
	return a->opcode == nvme_cmd_compare && b->opcode == nvme_cmd_write && a->nsid == b->nsid &&
	       a->cdw10 == b->cdw10 && a->cdw11 == b->cdw11 && (a->cdw12 & 0xffff) == (b->cdw12 & 0xffff);
}

static void fused_begin(struct nv_lane *l, struct nvme_req *r)
{
	struct nv_fused *f = (struct nv_fused *)((char *)r->aux + r->len);

	*f = (struct nv_fused){ .fence = { .msg = { .fn = fused_go }, .poller = l->group->poller },
				.lane = l,
				.first = r };
	nv_io_span(r, &f->fence.lba, &f->fence.blocks);
	l->pins++;
	nv_fence_raise(l->ns, &f->fence);
}

/* Alone: its other half is not where it has to be. */
void nv_fused(struct nv_qp *qp, struct nvme_req *r)
{
	struct nv_lane *l;
	uint16_t status;

	if (!r->mate) {
		nv_done(r, NVME_STATUS(NVME_SC_FUSED_MISSING));
		return;
	}
	if (!fused_belong(&r->cmd, &r->mate->cmd)) {
		fused_answer(r, NV_NO(NVME_SC_INVALID_FIELD), FUSED_FAIL);
		return;
	}
	status = nv_io_check(qp, r, sizeof(struct nv_fused), &l);
	if (status) {
		fused_answer(r, status, FUSED_FAIL);
		return;
	}
	status = nv_io_check(qp, r->mate, 0, &l);
	if (status)
		fused_answer(r, FUSED_FAIL, status);
	else
		fused_begin(l, r);
}
