/* SPDX-License-Identifier: MIT */
/* Admin commands of queues in memory (NVMe Base 2.0, 5.4 to 5.8): each is answered once its worker has done
 * its part. */
#include "nvme/pci.h"

#define CREATE_CONTIGUOUS 1u
#define CREATE_INTERRUPTS 2u

static uint16_t admin_qid(const struct nvme_req *r)
{
	return (uint16_t)r->cmd.cdw10;
}

static uint32_t admin_size(const struct nvme_req *r)
{
	return (r->cmd.cdw10 >> 16) + 1;
}

/* What is asked of queues of both kinds. */
static uint16_t create_check(const struct nvme_pci *p, const struct nvme_req *r, bool taken)
{
	if (!admin_qid(r) || admin_qid(r) > p->ctrl->f.queues || taken)
		return NV_NO_SPECIFIC(NVME_SC_QID_INVALID);
	if (admin_size(r) < 2 || admin_size(r) > NPCI_ENTRIES)
		return NV_NO_SPECIFIC(NVME_SC_QUEUE_SIZE);
	if (!(r->cmd.cdw11 & CREATE_CONTIGUOUS))
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (r->cmd.prp1 % NRING_PAGE)
		return NV_NO(NVME_SC_PRP_INVALID_OFFSET);
	return (p->ctrl->cc >> 16 & 0xff) == 0x46 ? 0 : NV_NO(NVME_SC_INVALID_FIELD); /* sizes of entries */
}

static uint32_t create_vectors(const struct nvme_pci *p)
{
	return p->as ? VIO_MIN(p->as->has[NPCI_VECTOR], p->pci.vectors) : p->pci.vectors;
}

static uint16_t create_cq(struct nvme_pci *p, struct nvme_req *r)
{
	uint16_t qid = admin_qid(r), vector = (uint16_t)(r->cmd.cdw11 >> 16), status;
	struct npci_cq *q;

	status = create_check(p, r, qid <= p->queues && p->cq[qid]);
	if (status)
		return status;
	if (r->cmd.cdw11 & CREATE_INTERRUPTS && vector >= create_vectors(p))
		return NV_NO_SPECIFIC(NVME_SC_INVALID_VECTOR);
	q = calloc(1, sizeof(*q));
	if (!q)
		return NVME_STATUS(NVME_SC_INTERNAL);
	q->w = npci_worker_of(p, qid);
	q->base = r->cmd.prp1;
	q->size = admin_size(r);
	q->qid = qid;
	q->vector = vector;
	q->interrupts = r->cmd.cdw11 & CREATE_INTERRUPTS;
	q->req = r;
	p->cq[qid] = q;
	npci_cq_send(q, npci_cq_add);
	return NV_LATER;
}

/* The rest is for the worker, which finds the ring's memory or does not. */
static uint16_t create_sq(struct nvme_pci *p, struct nvme_req *r)
{
	uint16_t qid = admin_qid(r), cqid = (uint16_t)(r->cmd.cdw11 >> 16), status;
	struct npci_sq *q;

	status = create_check(p, r, qid <= p->queues && p->sq[qid]);
	if (status)
		return status;
	if (!cqid || cqid > p->queues || !p->cq[cqid] || !p->cq[cqid]->ready)
		return NV_NO_SPECIFIC(NVME_SC_CQ_INVALID);
	q = calloc(1, sizeof(*q));
	if (!q)
		return NVME_STATUS(NVME_SC_INTERNAL);
	q->cq = p->cq[cqid];
	q->w = q->cq->w;
	q->base = r->cmd.prp1;
	q->size = admin_size(r);
	q->qid = qid;
	q->req = r;
	p->sq[qid] = q;
	npci_sq_send(q, npci_sq_add);
	return NV_LATER;
}

static void admin_answer(struct nvme_pci *p, struct nvme_req *r, uint16_t status)
{
	nv_done(r, status);
	vio_task_wake(p->pci.poller, &p->workers[0].task);
}

static uint16_t create_status(int rc)
{
	return rc == -ENOMEM ? NVME_STATUS(NVME_SC_INTERNAL) : NV_NO(NVME_SC_INVALID_FIELD);
}

void npci_sq_added(struct npci_sq *q)
{
	struct nvme_pci *p = q->w->p;
	struct nvme_req *r = q->req;
	int rc = q->rc;

	q->req = NULL;
	q->ready = !rc;
	if (rc) {
		p->sq[q->qid] = NULL;
		free(q);
	}
	admin_answer(p, r, rc ? create_status(rc) : 0);
}

void npci_cq_added(struct npci_cq *q)
{
	struct nvme_pci *p = q->w->p;
	struct nvme_req *r = q->req;
	int rc = q->rc;

	q->req = NULL;
	q->ready = !rc;
	if (rc) {
		p->cq[q->qid] = NULL;
		free(q);
	}
	admin_answer(p, r, rc ? create_status(rc) : 0);
}

static uint16_t delete_sq(struct nvme_pci *p, struct nvme_req *r)
{
	uint16_t qid = admin_qid(r);
	struct npci_sq *q = qid && qid <= p->queues ? p->sq[qid] : NULL;

	if (!q || !q->ready)
		return NV_NO_SPECIFIC(NVME_SC_QID_INVALID);
	q->ready = false;
	q->req = r;
	npci_sq_send(q, npci_sq_remove);
	return NV_LATER;
}

static bool delete_has_sqs(const struct nvme_pci *p, const struct npci_cq *q)
{
	for (unsigned i = 1; i <= p->queues; i++)
		if (p->sq[i] && p->sq[i]->cq == q)
			return true;
	return false;
}

static uint16_t delete_cq(struct nvme_pci *p, struct nvme_req *r)
{
	uint16_t qid = admin_qid(r);
	struct npci_cq *q = qid && qid <= p->queues ? p->cq[qid] : NULL;

	if (!q || !q->ready)
		return NV_NO_SPECIFIC(NVME_SC_QID_INVALID);
	if (delete_has_sqs(p, q))
		return NV_NO_SPECIFIC(NVME_SC_INVALID_QUEUE);
	q->ready = false;
	q->req = r;
	npci_cq_send(q, npci_cq_remove);
	return NV_LATER;
}

void npci_sq_removed(struct npci_sq *q)
{
	struct nvme_pci *p = q->w->p;
	struct nvme_req *r = q->req;

	p->sq[q->qid] = NULL;
	free(q);
	admin_answer(p, r, 0);
}

void npci_cq_removed(struct npci_cq *q)
{
	struct nvme_pci *p = q->w->p;
	struct nvme_req *r = q->req;

	p->cq[q->qid] = NULL;
	free(q);
	admin_answer(p, r, 0);
}

/* Two pages: what the host rings by, and where it is told when ringing is needed. All workers go over. */
static uint16_t admin_buffers(struct nvme_pci *p, struct nvme_req *r)
{
	const struct nvme_cmd *c = &r->cmd;

	if (p->buffers)
		return NV_NO(NVME_SC_CMD_SEQ_ERROR);
	if ((c->prp1 | c->prp2) % NRING_PAGE || !vio_mem_ptr(p->mem, c->prp1, NRING_PAGE) ||
	    !vio_mem_ptr(p->mem, c->prp2, NRING_PAGE) || !c->prp1 || c->prp1 == c->prp2)
		return NV_NO(NVME_SC_INVALID_FIELD);
	p->shadow_at = c->prp1;
	p->event_at = c->prp2;
	p->buffers = r;
	p->nbuffers = p->nworkers;
	for (unsigned i = 0; i < p->nworkers; i++)
		npci_worker_call(&p->workers[i], &p->workers[i].buffers);
	return NV_LATER;
}

void npci_buffers_set(struct nvme_pci *p)
{
	struct nvme_req *r = p->buffers;

	if (--p->nbuffers)
		return;
	p->buffers = NULL;
	admin_answer(p, r, 0);
}

uint16_t npci_admin(struct nv_qp *qp, struct nvme_req *r)
{
	struct nvme_pci *p = VIO_CONTAINER(qp, struct npci_sq, qp)->w->p;

	if (p->dropping) /* nobody reads the answer any more */
		return NV_NO(NVME_SC_ABORT_QUEUE);
	switch (r->cmd.opcode) {
	case nvme_admin_create_sq:
		return create_sq(p, r);
	case nvme_admin_create_cq:
		return create_cq(p, r);
	case nvme_admin_delete_sq:
		return delete_sq(p, r);
	case nvme_admin_delete_cq:
		return delete_cq(p, r);
	case nvme_admin_virtual_mgmt:
		return p->virt.n ? npci_virt_manage(p, r) : NV_NO(NVME_SC_INVALID_OPCODE);
	case nvme_admin_dbbuf:
		return admin_buffers(p, r);
	default:
		return NV_NO(NVME_SC_INVALID_OPCODE);
	}
}
