/* SPDX-License-Identifier: MIT */
/*
 * What takes long or blocks: it is done in a job that the embedder runs, once the lanes of the
 * namespaces that it needs for itself have ended. Its command is answered when it is done; its
 * host need not be there any more.
 */
#include "nvme/nv.h"

struct nv_op *nv_op_new(struct nv_qp *qp, struct nvme_req *r, void (*job)(struct nv_op *op), unsigned max_ns)
{
	struct vio_nvme *s = qp->group->s;
	struct nv_op *op = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->nops < NV_OPS)
		op = calloc(1, sizeof(*op) + max_ns * sizeof(struct nv_ns *));
	s->nops += !!op;
	pthread_mutex_unlock(&s->lock);
	if (!op)
		return NULL;
	op->s = s;
	op->job = job;
	op->qp = qp;
	op->r = r;
	op->waits = 1;
	return op;
}

void nv_op_drop(struct nv_op *op)
{
	if (!op)
		return;
	pthread_mutex_lock(&op->s->lock);
	op->s->nops--;
	pthread_mutex_unlock(&op->s->lock);
	free(op);
}

void nv_op_add(struct nv_op *op, struct nv_ns *ns, uint8_t gate)
{
	op->ns[op->nns++] = ns;
	VIO_STORE(&ns->gate, gate);
	ns->op = op;
	op->waits += !!ns->lanes;
	if (op->s->ns[ns->nsid] == ns)
		nv_attach_ns(op->s, ns);
	nv_ns_sync(op->s);
}

static void op_job(void *arg)
{
	struct nv_op *op = arg;

	op->job(op);
}

void nv_op_run(struct nv_op *op)
{
	op->s->manager.work(op->s->manager.ctx, op_job, op);
}

uint16_t nv_op_go(struct nv_op *op)
{
	struct vio_nvme *s = op->s;
	bool ready;

	pthread_mutex_lock(&s->lock);
	if (op->qp) {
		op->next = op->qp->ops;
		op->qp->ops = op;
	}
	ready = !--op->waits;
	pthread_mutex_unlock(&s->lock);
	if (ready)
		nv_op_run(op);
	return NV_LATER;
}

void nv_op_open(struct nv_op *op)
{
	if (op->opened)
		return;
	op->opened = true;
	for (unsigned i = 0; i < op->nns; i++) {
		struct nv_ns *ns = op->ns[i];

		ns->op = NULL;
		VIO_STORE(&ns->gate, op->keeps);
		if (op->s->ns[ns->nsid] == ns)
			nv_attach_ns(op->s, ns);
	}
	if (op->nns)
		nv_ns_sync(op->s);
}

static void op_tell(struct nv_op *op, uint16_t status, uint64_t result)
{
	struct nv_qp *qp = op->qp;

	op->status = status;
	op->result = result;
	op->done = true;
	if (qp->event_posted)
		return;
	qp->event_posted = true;
	vio_poller_post(qp->group->poller, &qp->event);
}

void nv_op_done(struct nv_op *op, uint16_t status, uint64_t result)
{
	struct vio_nvme *s = op->s;
	bool told;

	pthread_mutex_lock(&s->lock);
	nv_op_open(op);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < op->nns; i++)
		nv_ns_put(op->ns[i]); /* of one that was taken away meanwhile this may be the last */
	pthread_mutex_lock(&s->lock);
	told = op->qp;
	s->nops--;
	if (told)
		op_tell(op, status, result);
	pthread_mutex_unlock(&s->lock);
	if (!told)
		free(op);
}

/* The first of its that is done, or any. */
static struct nv_op *op_pop(struct nv_qp *qp, bool any)
{
	struct nv_op **at = &qp->ops, *op;

	while (*at && !any && !(*at)->done)
		at = &(*at)->next;
	op = *at;
	if (op)
		*at = op->next;
	return op;
}

void nv_ops_tell(struct nv_qp *qp)
{
	struct vio_nvme *s = qp->group->s;
	struct nv_op *op;

	do {
		pthread_mutex_lock(&s->lock);
		op = op_pop(qp, false);
		pthread_mutex_unlock(&s->lock);
		if (op) {
			op->r->result = op->result;
			nv_done(op->r, op->status);
			free(op);
		}
	} while (op);
}

void nv_ops_drain(struct nv_qp *qp)
{
	struct vio_nvme *s = qp->group->s;
	struct nv_op *op;

	do {
		struct nvme_req *r = NULL;
		bool done = false;

		pthread_mutex_lock(&s->lock);
		op = op_pop(qp, true);
		if (op) {
			r = op->r;
			done = op->done;
			op->qp = NULL;
		}
		pthread_mutex_unlock(&s->lock);
		if (r)
			nv_done(r, NVME_STATUS(NVME_SC_ABORT_QUEUE));
		if (done)
			free(op);
	} while (op);
}
