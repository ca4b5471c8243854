/* SPDX-License-Identifier: MIT */
/*
 * Reservation notifications (NVMe Base 2.0, 5.16.1.24): a short queue of them in each
 * controller, the event that says so, and the features that have to do with reservations.
 */
#include "nvme/resv.h"

/* Under the lock. The oldest makes room; the count of the next shows that it did. */
static void notify_add(struct nv_ctrl *c, uint32_t nsid, uint8_t type)
{
	struct nv_notices *q = &c->notices;

	if (c->resv_mask[nsid] & 1u << type)
		return;
	if (q->n == NV_NOTICES)
		q->n--;
	memmove(&q->at[1], &q->at[0], q->n * sizeof(q->at[0])); /* the newest is the first */
	q->count += q->count == UINT64_MAX ? 2 : 1;
	q->at[0] = (struct nv_notice){ .count = q->count, .nsid = nsid, .type = type };
	q->n++;
	nv_event_post(c, NV_EVENT_RESERVATION);
}

static void notify_host(struct nv_ctrl *c, uint32_t nsid, uint8_t types)
{
	if (c->discovery || !c->admin || !nv_attached(c, nsid))
		return;
	for (uint8_t type = 1; type < 8; type++)
		if (types & 1u << type)
			notify_add(c, nsid, type);
}

void resv_tell(struct nv_ns *ns, const struct resv_notes *notes)
{
	struct vio_nvme *s = ns->s;

	if (!notes->n)
		return;
	pthread_mutex_lock(&s->lock);
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next)
		for (unsigned i = 0; i < notes->n; i++)
			if (!memcmp(notes->to[i].id, c->hostid, sizeof(c->hostid)))
				notify_host(c, ns->nsid, notes->to[i].types);
	pthread_mutex_unlock(&s->lock);
}

/* The oldest, which leaves the queue unless it is only looked at. */
size_t nv_resv_log(struct nv_ctrl *c, struct nvme_resv_notification_log *log, bool retain)
{
	struct nv_notices *q = &c->notices;

	pthread_mutex_lock(&c->s->lock);
	if (q->n) {
		const struct nv_notice *oldest = &q->at[q->n - 1];

		log->lpc = oldest->count;
		log->rnlpt = oldest->type;
		log->nsid = oldest->nsid;
		log->nalp = (uint8_t)(q->n - 1);
	}
	if (!retain) {
		q->n -= !!q->n;
		nv_event_read(c, NV_EVENT_RESERVATION);
		if (q->n)
			nv_event_post(c, NV_EVENT_RESERVATION);
	}
	pthread_mutex_unlock(&c->s->lock);
	return sizeof(*log);
}

static uint16_t notify_mask_set(struct nv_qp *qp, const struct nvme_req *r)
{
	struct nv_ctrl *c = qp->ctrl;
	uint32_t nsid = r->cmd.nsid;
	uint8_t mask = r->cmd.cdw11 & 0xe;

	if (nsid != NVME_NSID_ALL && (!nsid || nsid > c->s->max_ns))
		return NV_NO(NVME_SC_INVALID_NS);
	pthread_mutex_lock(&c->s->lock);
	if (nsid == NVME_NSID_ALL)
		memset(c->resv_mask, mask, sizeof(c->resv_mask));
	else
		c->resv_mask[nsid] = mask;
	pthread_mutex_unlock(&c->s->lock);
	return 0;
}

/* One namespace, or each that the controller has. */
static uint16_t notify_persist_set(struct nv_qp *qp, const struct nvme_req *r)
{
	struct nv_ctrl *c = qp->ctrl;
	bool all = r->cmd.nsid == NVME_NSID_ALL, found = false;
	uint32_t last = all ? c->s->max_ns : r->cmd.nsid;
	uint16_t status = 0;

	if (!last || last > c->s->max_ns)
		return NV_NO(NVME_SC_INVALID_NS);
	for (uint32_t i = all ? 1 : last; !status && i <= last; i++) {
		struct nv_ns *ns = nv_attached(c, i) ? nv_ns_get(c->s, i) : NULL;

		if (ns && (!all || nv_resv_persists(ns)))
			status = nv_resv_persist(ns, r->cmd.cdw11 & 1);
		found |= ns != NULL;
		nv_ns_put(ns);
	}
	return status || found ? status : NV_NO(NVME_SC_INVALID_FIELD);
}

uint16_t nv_resv_feature_set(struct nv_qp *qp, struct nvme_req *r)
{
	return (r->cmd.cdw10 & 0xff) == NVME_FEAT_FID_RESV_MASK ? notify_mask_set(qp, r)
								: notify_persist_set(qp, r);
}

uint16_t nv_resv_feature_get(struct nv_qp *qp, struct nvme_req *r, bool fresh)
{
	struct nv_ctrl *c = qp->ctrl;
	uint32_t nsid = r->cmd.nsid;
	struct nv_ns *ns;

	if (!nsid || nsid > c->s->max_ns)
		return NV_NO(NVME_SC_INVALID_NS);
	if ((r->cmd.cdw10 & 0xff) == NVME_FEAT_FID_RESV_MASK) {
		pthread_mutex_lock(&c->s->lock);
		r->result = fresh ? 0 : c->resv_mask[nsid];
		pthread_mutex_unlock(&c->s->lock);
		return 0;
	}
	ns = nv_attached(c, nsid) ? nv_ns_get(c->s, nsid) : NULL;
	if (!ns)
		return NV_NO(NVME_SC_INVALID_FIELD);
	r->result = !fresh && nv_resv_persisted(ns);
	nv_ns_put(ns);
	return 0;
}

/* Over fabrics Connect has said who the host is; a guest says it here, once until its controller is reset. */
uint16_t nv_resv_host_set(struct nv_qp *qp, struct nvme_req *r)
{
	static const uint8_t nobody[16];
	struct nv_ctrl *c = qp->ctrl;
	bool wide = r->cmd.cdw11 & 1;
	uint8_t id[16] = { 0 };
	uint16_t status;

	if (!c->pci)
		return NV_NO_SPECIFIC(NVME_SC_FEATURE_NOT_CHANGEABLE);
	status = nv_data_at_least(r, wide ? 16 : 8);
	if (status)
		return status;
	memcpy(id, r->buf, wide ? 16 : 8);
	pthread_mutex_lock(&c->s->lock);
	if (!memcmp(c->hostid, nobody, sizeof(nobody))) {
		memcpy(c->hostid, id, sizeof(id));
		nv_resv_host_changed(c->s);
	} else if (memcmp(c->hostid, id, sizeof(id))) {
		status = NV_NO(NVME_SC_CMD_SEQ_ERROR);
	}
	pthread_mutex_unlock(&c->s->lock);
	return status;
}
