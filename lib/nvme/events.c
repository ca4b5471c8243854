/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous events (NVMe Base 2.0, 5.2): a namespace has come, gone or changed. What
 * changed is kept until the host has read it; it is told once until then.
 */
#include "nvme/nv.h"

#define EVENT_NS_CHANGED                                                                                     \
	(2u | 0u << 8 | (uint32_t)NVME_LOG_LID_CHANGED_NS << 16) /* a notice: type, what, log page */
#define EVENT_WANTS_NS (1u << 8)				 /* in the feature */
#define EVENT_MAX_CHANGED 1024u

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

void nv_ns_changed(struct vio_nvme *s, uint32_t nsid)
{
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next) {
		struct nv_qp *admin = c->admin;

		if (c->discovery || !admin)
			continue;
		event_note(c, nsid);
		c->event_due = true;
		if (!admin->event_posted) {
			admin->event_posted = true;
			vio_poller_post(admin->group->poller, &admin->event);
		}
	}
}

void nv_event_tell(struct nv_qp *qp)
{
	struct nv_ctrl *c = qp->ctrl;
	struct nvme_req *r = NULL;

	if (!c || !(c->f.events & EVENT_WANTS_NS))
		return;
	pthread_mutex_lock(&c->s->lock);
	if (c->event_due && !c->event_masked && (r = nvme_reqs_pop(&qp->aers))) {
		c->event_due = false;
		c->event_masked = true;
	}
	pthread_mutex_unlock(&c->s->lock);
	if (!r)
		return;
	qp->naers--;
	r->result = EVENT_NS_CHANGED;
	nv_done(r, 0);
}
