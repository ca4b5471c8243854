/* SPDX-License-Identifier: MIT */
/*
 * Abort (NVMe Base 2.0, 5.1): a command that has not begun is found on its queue's thread,
 * and refused; one that is in a store ends as it would have. Two messages: there and back.
 */
#include "nvme/nv.h"

#define ABORT_NOT 1u /* the answer's bit: not aborted */

struct nv_abort {
	struct vio_msg msg;
	struct nv_qp *admin, *qp;
	struct nvme_req *r;
	uint16_t cid;
	bool found;
};

static void abort_up(struct vio_msg *m)
{
	struct nv_abort *a = VIO_CONTAINER(m, struct nv_abort, msg);
	struct nv_qp *admin = a->admin;

	admin->naborts--;
	a->r->result = a->found ? 0 : ABORT_NOT;
	nv_done(a->r, 0);
	vio_task_wake(admin->group->poller, admin->group->task);
	free(a);
}

static struct nvme_req *abort_find(const struct nvme_reqs *list, const struct nv_qp *qp, uint16_t cid)
{
	for (struct nvme_req *r = list->head; r; r = r->next)
		if (r->q == qp->queue && r->cmd.cid == cid && !r->mate)
			return r;
	return NULL;
}

static bool abort_waiting(struct nv_qp *qp, uint16_t cid)
{
	for (struct nv_lane *l = qp->group->lanes; l; l = l->next) {
		struct nvme_reqs *list = &l->waiting;
		struct nvme_req *r = abort_find(list, qp, cid);

		if (!r)
			r = abort_find(list = &l->held, qp, cid);
		if (!r)
			continue;
		nvme_reqs_remove(list, r);
		nv_done(r, NVME_STATUS(NVME_SC_ABORT_REQ));
		return true;
	}
	return false;
}

/* The queue may have ended meanwhile, and have waited for this. */
static void abort_leave(struct nv_qp *qp)
{
	pthread_mutex_lock(&qp->group->s->lock);
	qp->aborting--;
	pthread_mutex_unlock(&qp->group->s->lock);
	if (!qp->ctrl)
		qp->queue->ops->end(qp->queue, true);
	vio_task_wake(qp->group->poller, qp->group->task);
}

static void abort_down(struct vio_msg *m)
{
	struct nv_abort *a = VIO_CONTAINER(m, struct nv_abort, msg);
	struct nv_qp *qp = a->qp;

	a->found = abort_waiting(qp, a->cid) ||
		   (qp->queue->ops->abort && qp->queue->ops->abort(qp->queue, a->cid));
	abort_leave(qp);
	m->fn = abort_up;
	vio_poller_post(a->admin->group->poller, m);
}

/* Under the lock, so that the queue does not end before it has seen the message. */
static bool abort_send(struct nv_abort *a, uint16_t sqid)
{
	struct nv_qp *qp = a->admin->ctrl->qps;

	while (qp && qp->qid != sqid)
		qp = qp->next;
	if (!qp)
		return false;
	a->qp = qp;
	qp->aborting++;
	vio_poller_post(qp->group->poller, &a->msg);
	return true;
}

/* Of the admin queue only those that wait for an event can be. */
static uint16_t abort_event(struct nv_qp *admin, struct nvme_req *r, uint16_t cid)
{
	struct nvme_req *found = abort_find(&admin->aers, admin, cid);

	r->result = ABORT_NOT;
	if (!found)
		return 0;
	nvme_reqs_remove(&admin->aers, found);
	admin->naers--;
	nv_done(found, NVME_STATUS(NVME_SC_ABORT_REQ));
	r->result = 0;
	return 0;
}

uint16_t nv_abort(struct nv_qp *admin, struct nvme_req *r)
{
	uint16_t sqid = (uint16_t)r->cmd.cdw10, cid = (uint16_t)(r->cmd.cdw10 >> 16);
	struct vio_nvme *s = admin->group->s;
	struct nv_abort *a;
	bool sent;

	if (!sqid)
		return abort_event(admin, r, cid);
	if (admin->naborts == NV_ABORTS)
		return NV_NO_SPECIFIC(NVME_SC_ABORT_LIMIT);
	a = calloc(1, sizeof(*a));
	if (!a)
		return NVME_STATUS(NVME_SC_INTERNAL);
	*a = (struct nv_abort){ .msg = { .fn = abort_down }, .admin = admin, .r = r, .cid = cid };
	pthread_mutex_lock(&s->lock);
	sent = abort_send(a, sqid);
	pthread_mutex_unlock(&s->lock);
	if (sent) {
		admin->naborts++;
		return NV_LATER;
	}
	free(a);
	r->result = ABORT_NOT;
	return 0;
}
