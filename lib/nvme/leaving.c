/* SPDX-License-Identifier: MIT */
/*
 * Queues whose connection has ended and whose commands have not come back yet. Their host
 * sends those again, and they must not be executed after that: a controller that was
 * reset is idle only without them (NVMe Base 2.0, 3.7.2), and the host's next one is not
 * ready before.
 */
#include "nvme/nv.h"

void nv_leaving_add(struct nv_qp *qp)
{
	struct vio_nvme *s = qp->group->s;
	const struct nv_ctrl *c = qp->ctrl;

	if (c->discovery || c->pci) /* a function waits for its queues itself */
		return;
	qp->left.cntlid = c->cntlid;
	memcpy(qp->left.hostid, c->hostid, sizeof(qp->left.hostid));
	qp->left.next = s->leaving;
	s->leaving = qp;
}

void nv_qp_gone(struct nv_qp *qp)
{
	struct vio_nvme *s = qp->group->s;

	pthread_mutex_lock(&s->lock);
	for (struct nv_qp **at = &s->leaving; *at; at = &(*at)->left.next)
		if (*at == qp) {
			*at = qp->left.next;
			break;
		}
	pthread_mutex_unlock(&s->lock);
}

/* An I/O queue of the controller's own, which it is rid of after a reset. */
static bool leaving_own(const struct nv_ctrl *c)
{
	for (const struct nv_qp *qp = c->qps; qp; qp = qp->next)
		if (qp->qid)
			return true;
	for (const struct nv_qp *qp = c->s->leaving; qp; qp = qp->left.next)
		if (qp->left.cntlid == c->cntlid)
			return true;
	return false;
}

/* A queue of a controller that its host had before. */
static bool leaving_before(const struct nv_ctrl *c)
{
	for (const struct nv_ctrl *o = c->s->ctrls; o; o = o->next)
		if (o != c && !o->admin && o->qps && !memcmp(o->hostid, c->hostid, sizeof(c->hostid)))
			return true;
	for (const struct nv_qp *qp = c->s->leaving; qp; qp = qp->left.next)
		if (!memcmp(qp->left.hostid, c->hostid, sizeof(c->hostid)))
			return true;
	return false;
}

bool nv_ctrl_idle(const struct nv_ctrl *c, bool enabled)
{
	bool leaving;

	if (c->discovery)
		return true;
	pthread_mutex_lock(&c->s->lock);
	leaving = enabled ? leaving_before(c) : leaving_own(c);
	pthread_mutex_unlock(&c->s->lock);
	return !leaving;
}
