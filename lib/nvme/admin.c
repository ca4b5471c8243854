/* SPDX-License-Identifier: MIT */
/* Admin commands: which there are, and those that need no file of their own. */
#include "nvme/nv.h"

static uint16_t admin_event(struct nv_qp *qp, struct nvme_req *r)
{
	if (qp->naers == NV_AERS)
		return NV_NO_SPECIFIC(NVME_SC_ASYNC_LIMIT);
	nvme_reqs_push(&qp->aers, r);
	qp->naers++;
	nv_event_tell(qp);
	return NV_LATER;
}

static uint16_t admin_keep_alive(struct nv_qp *qp)
{
	nv_ctrl_alive(qp);
	return 0;
}

static uint16_t admin_manage(struct nv_qp *qp, struct nvme_req *r)
{
	struct vio_nvme *s = qp->group->s;
	bool manages = r->cmd.opcode == nvme_admin_ns_mgmt || r->cmd.opcode == nvme_admin_ns_attach;
	uint16_t status;

	if (qp->ctrl->discovery || !s->manager.work || (manages && !nv_manages(s)))
		return NV_NO(NVME_SC_INVALID_OPCODE);
	if (r->cmd.opcode == nvme_admin_sanitize_nvm)
		return nv_sanitize(qp, r);
	status = nv_sanitize_refuses(s);
	if (status)
		return status;
	switch (r->cmd.opcode) {
	case nvme_admin_ns_mgmt:
		return nv_ns_mgmt(qp, r);
	case nvme_admin_ns_attach:
		return nv_ns_attach(qp, r);
	default:
		return nv_format(qp, r);
	}
}

uint16_t nv_admin(struct nv_qp *qp, struct nvme_req *r)
{
	if (!(VIO_LOAD(&qp->ctrl->csts) & NV_CSTS_RDY))
		return NV_NO(NVME_SC_CMD_SEQ_ERROR);
	switch (r->cmd.opcode) {
	case nvme_admin_identify:
		return nv_identify(qp, r);
	case nvme_admin_get_log_page:
		return nv_log(qp, r);
	case nvme_admin_set_features:
		return nv_features_set(qp, r);
	case nvme_admin_get_features:
		return nv_features_get(qp, r);
	case nvme_admin_async_event:
		return admin_event(qp, r);
	case nvme_admin_keep_alive:
		return admin_keep_alive(qp);
	case nvme_admin_abort_cmd:
		return qp->ctrl->discovery ? NV_NO(NVME_SC_INVALID_OPCODE) : nv_abort(qp, r);
	case nvme_admin_ns_mgmt:
	case nvme_admin_ns_attach:
	case nvme_admin_format_nvm:
	case nvme_admin_sanitize_nvm:
		return admin_manage(qp, r);
	default:
		return qp->ctrl->more ? qp->ctrl->more(qp, r) : NV_NO(NVME_SC_INVALID_OPCODE);
	}
}
