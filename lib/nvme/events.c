/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous events (NVMe Base 2.0, 5.2): a namespace has come, gone or changed; it is
 * reached otherwise, or elsewhere. A host is told once of each kind, and not again before it has read
 * that log page. What changed meanwhile is kept.
 */
#include "nvme/nv.h"

#define EVENT_NOTICE(info, page) (2u | (info) << 8 | (uint32_t)(page) << 16)
#define EVENT_MAX_CHANGED 1024u

static const struct {
	uint32_t result; /* type, what, log page */
	uint32_t wanted; /* the feature's bit; 0: always */
} events[NV_EVENTS] = {
	[NV_EVENT_NS] = { EVENT_NOTICE(0u, NVME_LOG_LID_CHANGED_NS), NVME_CTRL_OAES_NA },
	[NV_EVENT_ANA] = { EVENT_NOTICE(3u, NVME_LOG_LID_ANA), NVME_CTRL_OAES_ANA },
	[NV_EVENT_SANITIZE] = { 6u | 1u << 8 | (uint32_t)NVME_LOG_LID_SANITIZE << 16, 0 },
	[NV_EVENT_RESERVATION] = { 6u | (uint32_t)NVME_LOG_LID_RESERVATION << 16, 0 },
	[NV_EVENT_DISCOVERY] = { EVENT_NOTICE(0xf0u, NVME_LOG_LID_DISCOVER), NVME_CTRL_OAES_DL },
};

void nv_event_post(struct nv_ctrl *c, enum nv_event event)
{
	struct nv_qp *admin = c->admin;

	c->events_due |= 1u << event;
	if (admin->event_posted)
		return;
	admin->event_posted = true;
	vio_poller_post(admin->group->poller, &admin->event);
}

void nv_event_read(struct nv_ctrl *c, enum nv_event event)
{
	c->events_due &= ~(1u << event);
	c->events_masked &= ~(1u << event);
}

static void event_note(struct nv_ctrl *c, uint32_t nsid)
{
	for (unsigned i = 0; i < c->nchanged; i++)
		if (c->changed[i] == nsid)
			return;
	if (!c->changed)
		c->changed = calloc(EVENT_MAX_CHANGED, sizeof(*c->changed));
	if (c->changed && c->nchanged < EVENT_MAX_CHANGED)
		c->changed[c->nchanged++] = nsid;
	else
		c->many_changed = true;
}

void nv_ns_changed_for(struct nv_ctrl *c, uint32_t nsid)
{
	if (c->discovery || !c->admin || !(VIO_LOAD(&c->csts) & NV_CSTS_RDY))
		return; /* a host that has not enabled it has not looked yet */
	event_note(c, nsid);
	nv_event_post(c, NV_EVENT_NS);
}

void nv_ns_changed(struct vio_nvme *s, uint32_t nsid)
{
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next)
		if (nv_attached(c, nsid))
			nv_ns_changed_for(c, nsid);
}

/* One that is due and that the host wants, and has no unread page of; NV_EVENTS: none. */
static enum nv_event event_next(const struct nv_ctrl *c)
{
	enum nv_event e = 0;

	while (e < NV_EVENTS && !(c->events_due & ~c->events_masked & 1u << e &&
				  (!events[e].wanted || c->f.events & events[e].wanted)))
		e++;
	return e;
}

static struct nvme_req *event_take(struct nv_qp *qp)
{
	struct nv_ctrl *c = qp->ctrl;
	struct nvme_req *r = NULL;
	enum nv_event e;

	pthread_mutex_lock(&c->s->lock);
	e = event_next(c);
	if (e < NV_EVENTS)
		r = nvme_reqs_pop(&qp->aers);
	if (r) {
		c->events_due &= ~(1u << e);
		c->events_masked |= 1u << e;
		r->result = events[e].result;
	}
	pthread_mutex_unlock(&c->s->lock);
	return r;
}

void nv_event_tell(struct nv_qp *qp)
{
	struct nvme_req *r;

	while (qp->ctrl && (r = event_take(qp))) {
		qp->naers--;
		nv_done(r, 0);
	}
}
