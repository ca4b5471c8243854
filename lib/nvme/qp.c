/* SPDX-License-Identifier: MIT */
/* A queue pair: its commands go to who deals with them, and back with an answer. */
#include "nvme/nv.h"

struct nv_qp *nv_qp_of(const struct nvme_req *r)
{
	return r->q->owner;
}

void nv_answer(struct nvme_req *r)
{
	struct nvme_queue *q = r->q;

	if (VIO_UNLIKELY(r->aux != NULL)) {
		npool_put(q->pool, r->aux);
		r->aux = NULL;
	}
	if (VIO_UNLIKELY(r->status))
		nv_ctrl_error(q->owner, r);
	q->ops->give(q, r);
}

void nv_done(struct nvme_req *r, uint16_t status)
{
	r->status = status;
	nv_answer(r);
}

static uint16_t qp_data(struct nvme_req *r, uint32_t len, bool in_place, bool more)
{
	const struct nvme_queue_ops *ops = r->q->ops;

	if (ops->data)
		return ops->data(r->q, r, len, in_place);
	return VIO_UNLIKELY(!r->buf || r->len < len || (r->len > len && !more))
		       ? NV_NO(NVME_SC_SGL_INVALID_DATA)
		       : 0;
}

uint16_t nv_data(struct nvme_req *r, uint32_t len, bool in_place)
{
	return qp_data(r, len, in_place, false);
}

uint16_t nv_data_at_least(struct nvme_req *r, uint32_t len)
{
	return qp_data(r, len, false, true);
}

static void qp_killed(struct vio_msg *m)
{
	struct nv_qp *qp = VIO_CONTAINER(m, struct nv_qp, kill);

	pthread_mutex_lock(&qp->group->s->lock);
	qp->kill_posted = false;
	pthread_mutex_unlock(&qp->group->s->lock);
	qp->queue->ops->end(qp->queue, true);
}

static void qp_event(struct vio_msg *m)
{
	struct nv_qp *qp = VIO_CONTAINER(m, struct nv_qp, event);

	pthread_mutex_lock(&qp->group->s->lock);
	qp->event_posted = false;
	pthread_mutex_unlock(&qp->group->s->lock);
	if (qp->ctrl) {
		nv_event_tell(qp);
		nv_ops_tell(qp);
	} else {
		qp->queue->ops->end(qp->queue, true); /* it has ended, and may have waited for this */
	}
	vio_task_wake(qp->group->poller, qp->group->task);
}

/* The host has not said that it lives: its controller ends, and with it all its queues. */
static void qp_expired(struct vio_timer *t)
{
	struct nv_qp *qp = VIO_CONTAINER(t, struct nv_qp, alive);
	struct nv_ctrl *c = qp->ctrl;

	if (!c)
		return;
	vio_poller_log(qp->group->poller, VIO_LOG_ERROR,
		       "nvme: controller %u of %s ends: no keep-alive for %u ms", c->cntlid, c->hostnqn,
		       c->kato);
	VIO_STORE(&c->csts, c->csts | NV_CSTS_CFS);
	pthread_mutex_lock(&c->s->lock);
	nv_ctrl_end(c);
	pthread_mutex_unlock(&c->s->lock);
}

void nv_qp_init(struct nv_qp *qp, struct nv_group *g, struct nvme_queue *q)
{
	memset(qp, 0, sizeof(*qp));
	qp->queue = q;
	qp->group = g;
	q->owner = qp;
	qp->kill.fn = qp_killed;
	qp->event.fn = qp_event;
	qp->alive.fire = qp_expired;
}

void nv_qp_kill(struct nv_qp *qp)
{
	if (qp->kill_posted)
		return;
	qp->kill_posted = true;
	vio_poller_post(qp->group->poller, &qp->kill);
}

void nv_qp_drain(struct nv_qp *qp)
{
	struct nvme_req *r;

	while ((r = nvme_reqs_pop(&qp->aers)))
		nv_done(r, NVME_STATUS(NVME_SC_ABORT_QUEUE));
	qp->naers = 0;
	nv_ops_drain(qp);
}

void nv_qp_close(struct nv_qp *qp)
{
	struct vio_nvme *s = qp->group->s;

	vio_timer_cancel(qp->group->poller, &qp->alive);
	nv_auth_end(qp);
	pthread_mutex_lock(&s->lock);
	if (qp->ctrl)
		nv_ctrl_leave(qp);
	pthread_mutex_unlock(&s->lock);
	nv_qp_drain(qp);
}

bool nv_qp_ended(const struct nv_qp *qp)
{
	bool posted;

	pthread_mutex_lock(&qp->group->s->lock);
	posted = qp->kill_posted || qp->event_posted || qp->aborting;
	pthread_mutex_unlock(&qp->group->s->lock);
	return !posted;
}

static void qp_serve_rare(struct nv_qp *qp, struct nvme_req *r)
{
	uint16_t status;

	nv_count(&qp->group->counts.admin, 1);
	if (VIO_UNLIKELY(r->cmd.flags & NVME_FLAGS_FUSE)) {
		nv_fused_done(r,
			      NV_NO(NVME_SC_INVALID_FIELD)); /* only commands of the NVM command set can be */
		return;
	}
	if (r->dir == NVME_DIR_OUT && r->buf)
		memset(r->buf, 0, r->len); /* it goes out as a whole, and may have held another host's data */
	status = r->cmd.opcode == NVME_OPC_FABRICS ? nv_fabrics(qp, r)
		 : !qp->ctrl			   ? NV_NO(NVME_SC_CMD_SEQ_ERROR)
		 : nv_auth_lacks(qp)		   ? NV_NO_SPECIFIC(NVME_SC_AUTH_REQUIRED)
						   : nv_admin(qp, r);
	if (status != NV_LATER)
		nv_done(r, status);
}

void nv_qp_serve(struct nv_qp *qp, struct nvme_req **r, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (VIO_LIKELY(qp->io && r[i]->cmd.opcode != NVME_OPC_FABRICS))
			nv_io(qp, r[i]);
		else
			qp_serve_rare(qp, r[i]);
	}
}
