/* SPDX-License-Identifier: MIT */
/* Fabrics commands (NVMe Base 2.0, 6): Connect, properties, Disconnect; authentication is auth.c. */
#include "nvme/nv.h"

#define PROP_CAP 0x00
#define PROP_VS 0x08
#define PROP_CC 0x14
#define PROP_CSTS 0x1c
#define PROP_NSSR 0x20
#define PROP_CRTO 0x68

#define FAB_VERSION 0x00020000u
#define CC_SHN(cc) ((cc) >> 14 & 3)

/* Which field a Connect is refused for (6.3): its offset in the command, or in the data. */
static uint16_t connect_bad(struct nvme_req *r, unsigned offset, bool in_data)
{
	r->result = offset | (in_data ? 1u << 16 : 0);
	return NV_NO_SPECIFIC(NVME_SC_CONNECT_INVALID_PARAM);
}
#define CONNECT_BAD_CMD(r, field) connect_bad(r, offsetof(struct nvme_connect_cmd, field), false)
#define CONNECT_BAD_DATA(r, field) connect_bad(r, offsetof(struct nvmf_connect_data, field), true)

static bool fab_is_nqn(const char nqn[NVME_NQN_LENGTH])
{
	return nqn[0] && memchr(nqn, 0, NVME_NQN_MAX + 1);
}

static uint16_t connect_check(struct nvme_req *r, const struct nvme_connect_cmd *c,
			      const struct nvmf_connect_data *d)
{
	if (c->recfmt)
		return NV_NO_SPECIFIC(NVME_SC_CONNECT_FORMAT);
	if (!c->sqsize || c->sqsize >= NV_ENTRIES)
		return CONNECT_BAD_CMD(r, sqsize);
	if (!fab_is_nqn(d->subsysnqn))
		return CONNECT_BAD_DATA(r, subsysnqn);
	if (!fab_is_nqn(d->hostnqn))
		return CONNECT_BAD_DATA(r, hostnqn);
	return 0;
}

/* Under the lock, as connect_io. */
static uint16_t connect_admin(struct nv_qp *qp, struct nvme_req *r, const struct nvme_connect_cmd *c,
			      const struct nvmf_connect_data *d)
{
	struct vio_nvme *s = qp->group->s;
	bool discovery = !strcmp(d->subsysnqn, NVME_DISCOVERY_NQN);
	struct nv_ctrl *ctrl;

	if (!discovery && strcmp(d->subsysnqn, s->nqn))
		return CONNECT_BAD_DATA(r, subsysnqn);
	if (!discovery && !nv_host_allowed(s, d->hostnqn))
		return NV_NO_SPECIFIC(NVME_SC_CONNECT_INVALID_HOST);
	if (d->cntlid != UINT16_MAX) /* ours are dynamic */
		return CONNECT_BAD_DATA(r, cntlid);
	ctrl = discovery || !nv_auth_want(qp, nv_host(s, d->hostnqn)) ? nv_ctrl_new(s) : NULL;
	if (!ctrl)
		return NVME_STATUS(NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | NVME_SC_CONNECT_CTRL_BUSY);
	ctrl->discovery = discovery;
	ctrl->kato = c->kato;
	memcpy(ctrl->hostnqn, d->hostnqn, sizeof(ctrl->hostnqn));
	memcpy(ctrl->hostid, d->hostid, sizeof(ctrl->hostid));
	nv_ctrl_join(qp, ctrl, 0);
	nv_attach_come(ctrl);
	return 0;
}

static bool connect_has_queue(const struct nv_ctrl *c, uint16_t qid)
{
	for (const struct nv_qp *qp = c->qps; qp; qp = qp->next)
		if (qp->qid == qid)
			return true;
	return false;
}

static uint16_t connect_io(struct nv_qp *qp, struct nvme_req *r, const struct nvme_connect_cmd *c,
			   const struct nvmf_connect_data *d)
{
	struct vio_nvme *s = qp->group->s;
	struct nv_ctrl *ctrl = s->ctrls;

	if (strcmp(d->subsysnqn, s->nqn))
		return CONNECT_BAD_DATA(r, subsysnqn);
	while (ctrl && ctrl->cntlid != d->cntlid)
		ctrl = ctrl->next;
	if (!ctrl || ctrl->discovery || !ctrl->admin)
		return CONNECT_BAD_DATA(r, cntlid);
	if (strcmp(d->hostnqn, ctrl->hostnqn))
		return CONNECT_BAD_DATA(r, hostnqn);
	if (memcmp(d->hostid, ctrl->hostid, sizeof(ctrl->hostid)))
		return CONNECT_BAD_DATA(r, hostid);
	if (c->qid > VIO_LOAD(&ctrl->f.queues))
		return CONNECT_BAD_CMD(r, qid);
	if (!(VIO_LOAD(&ctrl->csts) & NV_CSTS_RDY) || connect_has_queue(ctrl, c->qid))
		return NV_NO(NVME_SC_CMD_SEQ_ERROR);
	if (nv_auth_want(qp, nv_host(s, d->hostnqn)))
		return NVME_STATUS(NVME_SC_INTERNAL);
	nv_ctrl_join(qp, ctrl, c->qid);
	return 0;
}

static uint16_t fab_connect(struct nv_qp *qp, struct nvme_req *r)
{
	struct vio_nvme *s = qp->group->s;
	const struct nvmf_connect_data *d = r->buf;
	struct nvme_connect_cmd c;
	uint16_t status;

	if (qp->ctrl)
		return NV_NO(NVME_SC_CMD_SEQ_ERROR);
	if (r->len != sizeof(*d) || !d || r->dir != NVME_DIR_IN)
		return NV_NO(NVME_SC_SGL_INVALID_DATA);
	memcpy(&c, &r->cmd, sizeof(c));
	status = connect_check(r, &c, d);
	if (status)
		return status;
	pthread_mutex_lock(&s->lock);
	status = c.qid ? connect_io(qp, r, &c, d) : connect_admin(qp, r, &c, d);
	pthread_mutex_unlock(&s->lock);
	if (status) {
		nv_auth_end(qp);
		return status;
	}
	if (qp->queue->ops->accept(qp->queue, c.sqsize + 1u, !(c.cattr & NVME_CATTR_NO_SQFLOW))) {
		nv_qp_close(qp);
		nv_qp_gone(qp);
		return NVME_STATUS(NVME_SC_INTERNAL);
	}
	if (!c.qid && !nv_auth_lacks(qp)) /* it could not say that it lives */
		nv_ctrl_alive(qp);
	vio_poller_log(qp->group->poller, VIO_LOG_INFO, "nvme: %s connects queue %u of controller %u",
		       qp->ctrl->hostnqn, c.qid, qp->ctrl->cntlid);
	nv_auth_begin(qp);
	r->result = qp->ctrl->cntlid | (qp->auth ? DHCHAP_ATR : 0);
	return 0;
}

/* As the host asks for it, it changes: whatever was left of its queues may have gone meanwhile. */
static uint32_t csts_read(struct nv_ctrl *c)
{
	uint32_t csts = c->csts;

	if (!(c->cc & NV_CC_EN))
		return nv_ctrl_idle(c, false) ? csts : csts | NV_CSTS_RDY;
	if (!(csts & (NV_CSTS_RDY | NV_CSTS_CFS)) && nv_ctrl_idle(c, true)) {
		csts |= NV_CSTS_RDY;
		VIO_STORE(&c->csts, csts);
	}
	return csts;
}

static uint16_t fab_get(struct nv_qp *qp, struct nvme_req *r)
{
	struct nv_ctrl *c = qp->ctrl;
	struct nvme_property_cmd p;
	bool wide;

	memcpy(&p, &r->cmd, sizeof(p));
	wide = (p.attrib & 7) == 1;
	if ((p.attrib & 7) > 1 || wide != (p.offset == PROP_CAP))
		return NV_NO(NVME_SC_INVALID_FIELD);
	switch (p.offset) {
	case PROP_CAP:
		r->result = nv_ctrl_cap(c);
		return 0;
	case PROP_VS:
		r->result = FAB_VERSION;
		return 0;
	case PROP_CC:
		r->result = c->cc;
		return 0;
	case PROP_CSTS:
		r->result = csts_read(c);
		return 0;
	case PROP_NSSR:
		return 0;
	case PROP_CRTO:
		r->result = NV_READY << 16 | NV_READY; /* either way */
		return 0;
	default:
		return NV_NO(NVME_SC_INVALID_FIELD);
	}
}

/* CSS, MPS, AMS, and the sizes of entries, when there are I/O queues for them. */
bool nv_cc_fits(const struct nv_ctrl *c, uint32_t cc)
{
	if (cc & 0x3ff0)
		return false;
	return c->discovery || (cc >> 16 & 0xff) == 0x46 || !(cc >> 16 & 0xff);
}

/* A reset from within: I/O queues end, what the host has set is forgotten, its events come back. */
static void cc_disable(struct nv_qp *qp)
{
	struct nv_ctrl *c = qp->ctrl;

	pthread_mutex_lock(&c->s->lock);
	nv_ctrl_end_io(c);
	nv_ctrl_reset(c);
	c->events_due = c->events_masked = 0;
	pthread_mutex_unlock(&c->s->lock);
	nv_qp_drain(qp);
}

static void cc_write(struct nv_qp *qp, uint32_t cc)
{
	struct nv_ctrl *c = qp->ctrl;
	uint32_t csts = c->csts, was = c->cc;

	c->cc = cc;
	if (cc & NV_CC_EN && !(was & NV_CC_EN))
		csts = nv_cc_fits(c, cc) ? 0 : NV_CSTS_CFS;
	if (!(cc & NV_CC_EN) && was & NV_CC_EN)
		csts = 0;
	csts &= ~(NV_CSTS_SHUT | NV_CSTS_SHUT >> 1);
	if (CC_SHN(cc))
		csts |= NV_CSTS_SHUT;
	VIO_STORE(&c->csts, csts);
	if (!(cc & NV_CC_EN) && was & NV_CC_EN)
		cc_disable(qp);
	csts_read(c); /* most often it is ready at once */
}

static uint16_t fab_set(struct nv_qp *qp, struct nvme_req *r)
{
	struct nvme_property_cmd p;

	memcpy(&p, &r->cmd, sizeof(p));
	if (p.attrib & 7 || p.offset != PROP_CC)
		return NV_NO(NVME_SC_INVALID_FIELD);
	cc_write(qp, (uint32_t)p.value);
	return 0;
}

static uint16_t fab_disconnect(struct nv_qp *qp)
{
	if (!qp->qid)
		return NV_NO_SPECIFIC(NVME_SC_DISCONNECT_INVALID_QTYPE);
	qp->queue->ops->end(qp->queue, false);
	return 0;
}

uint16_t nv_fabrics(struct nv_qp *qp, struct nvme_req *r)
{
	uint8_t type = r->cmd.nsid & 0xff; /* where fctype lies */

	if (qp->ctrl && qp->ctrl->pci)
		return NV_NO(NVME_SC_INVALID_OPCODE);
	if (type == nvme_fabrics_type_connect)
		return fab_connect(qp, r);
	if (!qp->ctrl)
		return NV_NO(NVME_SC_CMD_SEQ_ERROR);
	if (type == nvme_fabrics_type_auth_send || type == nvme_fabrics_type_auth_receive)
		return nv_auth(qp, r);
	if (nv_auth_lacks(qp))
		return NV_NO_SPECIFIC(NVME_SC_AUTH_REQUIRED);
	switch (type) {
	case nvme_fabrics_type_property_get:
		return qp->qid ? NV_NO(NVME_SC_INVALID_FIELD) : fab_get(qp, r);
	case nvme_fabrics_type_property_set:
		return qp->qid ? NV_NO(NVME_SC_INVALID_FIELD) : fab_set(qp, r);
	case nvme_fabrics_type_disconnect:
		return fab_disconnect(qp);
	default:
		return NV_NO(NVME_SC_INVALID_FIELD);
	}
}
