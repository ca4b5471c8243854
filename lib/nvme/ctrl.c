/* SPDX-License-Identifier: MIT */
/* Controllers: one for each host's association, from the Connect of its admin queue until its last queue has
 * gone. */
#include "nvme/nv.h"

#include <limits.h>

static bool ctrl_id_taken(const struct vio_nvme *s, uint16_t id)
{
	for (const struct nv_ctrl *c = s->ctrls; c; c = c->next)
		if (c->cntlid == id)
			return true;
	return false;
}

/* Ids go round, so that one is not soon another host's. 0: all are taken. */
static uint16_t ctrl_new_id(struct vio_nvme *s)
{
	for (unsigned i = s->first_cntlid; i <= s->last_cntlid; i++) {
		uint16_t id = s->next_cntlid;

		s->next_cntlid = (uint16_t)(id == s->last_cntlid ? s->first_cntlid : id + 1);
		if (!ctrl_id_taken(s, id))
			return id;
	}
	return 0;
}

void nv_ctrl_reset(struct nv_ctrl *c)
{
	struct nv_features *f = &c->f;

	f->arbitration = f->power = f->temp_under = f->recovery = f->atomicity = f->events = 0;
	f->temp_over = 0x157;
	f->coalescing = 0;
	memset(f->not_coalesced, 0, sizeof(f->not_coalesced));
	memset(c->resv_mask, 0, sizeof(c->resv_mask));
	c->notices.n = 0;
	if (c->pci) /* over fabrics it is its Connect's */
		memset(c->hostid, 0, sizeof(c->hostid));
	VIO_STORE(&f->write_cache, true);
	VIO_STORE(&f->queues, c->max_queues);
}

struct nv_ctrl *nv_ctrl_new(struct vio_nvme *s)
{
	struct nv_ctrl *c = calloc(1, sizeof(*c));
	uint16_t id = c ? ctrl_new_id(s) : 0;

	if (!id) {
		free(c);
		return NULL;
	}
	c->s = s;
	c->cntlid = id;
	c->max_queues = (uint16_t)s->max_queues;
	nv_ctrl_reset(c);
	memset(c->access, NV_DETACHED, sizeof(c->access));
	c->next = s->ctrls;
	s->ctrls = c;
	return c;
}

bool nv_ctrl_rename(struct nv_ctrl *c, uint16_t id)
{
	if (id == c->cntlid)
		return true;
	if (!id || id > NV_CNTLIDS || ctrl_id_taken(c->s, id))
		return false;
	c->cntlid = id;
	return true;
}

void nv_ctrl_join(struct nv_qp *qp, struct nv_ctrl *c, uint16_t qid)
{
	qp->ctrl = c;
	qp->qid = qid;
	qp->io = qid && !qp->auth;
	qp->next = c->qps;
	c->qps = qp;
	if (!qid)
		c->admin = qp;
}

void nv_ctrl_end_io(struct nv_ctrl *c)
{
	for (struct nv_qp *qp = c->qps; qp; qp = qp->next)
		if (qp->qid)
			nv_qp_kill(qp);
}

void nv_ctrl_end(struct nv_ctrl *c)
{
	for (struct nv_qp *qp = c->qps; qp; qp = qp->next)
		nv_qp_kill(qp);
}

void nv_ctrl_free(struct nv_ctrl *c)
{
	for (struct nv_ctrl **at = &c->s->ctrls; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	nv_attach_leave(c);
	free(c->changed);
	free(c);
}

void nv_ctrl_leave(struct nv_qp *qp)
{
	struct nv_ctrl *c = qp->ctrl;

	for (struct nv_qp **at = &c->qps; *at; at = &(*at)->next)
		if (*at == qp) {
			*at = qp->next;
			break;
		}
	nv_leaving_add(qp);
	qp->ctrl = NULL;
	if (c->admin == qp) {
		c->admin = NULL;
		if (!c->pci) /* without it there is no controller */
			nv_ctrl_end(c);
	}
	if (!c->qps && !c->pci)
		nv_ctrl_free(c);
}

void nv_ctrl_alive(struct nv_qp *admin)
{
	uint32_t kato = admin->ctrl->kato;

	if (kato)
		vio_timer_set(admin->group->poller, &admin->alive, kato * 1000000ull);
	else
		vio_timer_cancel(admin->group->poller, &admin->alive);
}

void nv_ctrl_error(struct nv_qp *qp, const struct nvme_req *r)
{
	struct nv_ctrl *c = qp->ctrl;
	struct nv_error *e;

	nv_count(&qp->group->counts.errors, 1);
	if (!c)
		return;
	pthread_mutex_lock(&c->s->lock);
	e = &c->error[c->errors % NV_ERRORS];
	*e = (struct nv_error){ .count = ++c->errors,
				.sqid = qp->qid,
				.cid = r->cmd.cid,
				.status = r->status,
				.nsid = r->cmd.opcode == NVME_OPC_FABRICS ? 0 : r->cmd.nsid };
	if (qp->qid)
		e->lba = r->cmd.cdw10 | (uint64_t)r->cmd.cdw11 << 32;
	pthread_mutex_unlock(&c->s->lock);
}

/* 3.1.3.1: 128 entries, contiguous, ready within some seconds, the NVM command set, 4 KiB pages. */
uint64_t nv_ctrl_cap(const struct nv_ctrl *c)
{
	(void)c;
	return (NV_ENTRIES - 1) | 1ull << 16 | (uint64_t)NV_READY << 24 | 1ull << 37;
}
