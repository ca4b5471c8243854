/* SPDX-License-Identifier: MIT */
/* Set and Get Features (NVMe Base 2.0, 5.15 and 5.27): what a host may set holds until its controller is
 * reset. */
#include "nvme/nv.h"

#define FEAT_SAVE (1u << 31)
enum feat_select { FEAT_CURRENT, FEAT_DEFAULT, FEAT_SAVED, FEAT_CAPABILITIES };
#define FEAT_CHANGEABLE 4u /* of a feature's capabilities */
#define FEAT_OF_NS 2u

/* Those that are only kept. */
static uint32_t *feat_plain(struct nv_features *f, uint8_t id, uint32_t cdw11)
{
	switch (id) {
	case NVME_FEAT_FID_ARBITRATION:
		return &f->arbitration;
	case NVME_FEAT_FID_POWER_MGMT:
		return &f->power;
	case NVME_FEAT_FID_TEMP_THRESH:
		return cdw11 >> 20 & 3 ? &f->temp_under : &f->temp_over;
	case NVME_FEAT_FID_ERR_RECOVERY:
		return &f->recovery;
	case NVME_FEAT_FID_WRITE_ATOMIC:
		return &f->atomicity;
	case NVME_FEAT_FID_ASYNC_EVENT:
		return &f->events;
	case NVME_FEAT_FID_IRQ_COALESCE:
		return &f->coalescing;
	default:
		return NULL;
	}
}

/* Only interrupts in memory's queues can be put off. */
static bool feat_interrupts(uint8_t id)
{
	return id == NVME_FEAT_FID_IRQ_COALESCE || id == NVME_FEAT_FID_IRQ_CONFIG;
}

static bool feat_of_ns(uint8_t id)
{
	return id == NVME_FEAT_FID_RESV_MASK || id == NVME_FEAT_FID_RESV_PERSIST;
}

static bool feat_known(const struct nv_ctrl *c, uint8_t id)
{
	switch (id) {
	case NVME_FEAT_FID_ASYNC_EVENT:
	case NVME_FEAT_FID_KATO:
		return true;
	case NVME_FEAT_FID_ARBITRATION:
	case NVME_FEAT_FID_POWER_MGMT:
	case NVME_FEAT_FID_TEMP_THRESH:
	case NVME_FEAT_FID_ERR_RECOVERY:
	case NVME_FEAT_FID_VOLATILE_WC:
	case NVME_FEAT_FID_NUM_QUEUES:
	case NVME_FEAT_FID_WRITE_ATOMIC:
	case NVME_FEAT_FID_HOST_ID:
	case NVME_FEAT_FID_RESV_MASK:
	case NVME_FEAT_FID_RESV_PERSIST:
		return !c->discovery;
	default:
		return c->pci && feat_interrupts(id);
	}
}

static uint32_t feat_queues(const struct nv_features *f)
{
	return (f->queues - 1u) | (f->queues - 1u) << 16;
}

static uint16_t feat_set_queues(struct nv_ctrl *c, struct nvme_req *r)
{
	uint32_t sqs = (r->cmd.cdw11 & 0xffff) + 1, cqs = (r->cmd.cdw11 >> 16) + 1;

	if (sqs > 65535 || cqs > 65535)
		return NV_NO(NVME_SC_INVALID_FIELD);
	VIO_STORE(&c->f.queues, (uint16_t)VIO_MIN(VIO_MIN(sqs, cqs), c->max_queues));
	r->result = feat_queues(&c->f);
	return 0;
}

static uint16_t feat_vector(struct nv_features *f, struct nvme_req *r, bool set)
{
	uint32_t vector = r->cmd.cdw11 & 0xffff, bit = 1u << vector % 8;
	uint8_t *byte = &f->not_coalesced[vector / 8 % sizeof(f->not_coalesced)];

	if (vector >= 8 * sizeof(f->not_coalesced))
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (set)
		VIO_STORE(byte, (uint8_t)(r->cmd.cdw11 >> 16 & 1 ? *byte | bit : *byte & ~bit));
	r->result = vector | (*byte & bit ? 1u << 16 : 0);
	return 0;
}

static uint16_t feat_set_kato(struct nv_qp *qp, const struct nvme_req *r)
{
	qp->ctrl->kato = r->cmd.cdw11;
	nv_ctrl_alive(qp);
	return 0;
}

static uint16_t feat_set_plain(struct nv_ctrl *c, struct nvme_req *r, uint8_t id)
{
	if (id == NVME_FEAT_FID_POWER_MGMT && r->cmd.cdw11 & 0x1f)
		return NV_NO(NVME_SC_INVALID_FIELD); /* there is one state */
	VIO_STORE(feat_plain(&c->f, id, r->cmd.cdw11),
		  id == NVME_FEAT_FID_TEMP_THRESH ? r->cmd.cdw11 & 0xffff : r->cmd.cdw11);
	return 0;
}

uint16_t nv_features_set(struct nv_qp *qp, struct nvme_req *r)
{
	struct nv_ctrl *c = qp->ctrl;
	uint8_t id = r->cmd.cdw10 & 0xff;

	if (!feat_known(c, id))
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (r->cmd.cdw10 & FEAT_SAVE)
		return NV_NO_SPECIFIC(NVME_SC_FEATURE_NOT_SAVEABLE);
	switch (id) {
	case NVME_FEAT_FID_NUM_QUEUES:
		return feat_set_queues(c, r);
	case NVME_FEAT_FID_KATO:
		return feat_set_kato(qp, r);
	case NVME_FEAT_FID_VOLATILE_WC:
		VIO_STORE(&c->f.write_cache, r->cmd.cdw11 & 1);
		return 0;
	case NVME_FEAT_FID_IRQ_CONFIG:
		return feat_vector(&c->f, r, true);
	case NVME_FEAT_FID_HOST_ID:
		return nv_resv_host_set(qp, r);
	case NVME_FEAT_FID_RESV_MASK:
	case NVME_FEAT_FID_RESV_PERSIST:
		return nv_resv_feature_set(qp, r);
	default:
		return feat_set_plain(c, r, id);
	}
}

static uint16_t feat_get_host(const struct nv_ctrl *c, struct nvme_req *r)
{
	bool wide = r->cmd.cdw11 & 1;
	uint16_t status;

	if (!wide && !c->pci)
		return NV_NO(NVME_SC_INVALID_FIELD); /* over fabrics ids have 128 bits */
	status = nv_data_at_least(r, wide ? 16 : 8);
	if (!status)
		memcpy(r->buf, c->hostid, wide ? 16 : 8);
	return status;
}

static uint16_t feat_get(const struct nv_ctrl *c, struct nvme_req *r, uint8_t id)
{
	struct nv_ctrl now = { .f = c->f };

	switch (id) {
	case NVME_FEAT_FID_NUM_QUEUES:
		r->result = feat_queues(&c->f);
		return 0;
	case NVME_FEAT_FID_KATO:
		r->result = c->kato;
		return 0;
	case NVME_FEAT_FID_VOLATILE_WC:
		r->result = VIO_LOAD(&c->f.write_cache);
		return 0;
	case NVME_FEAT_FID_IRQ_CONFIG:
		return feat_vector(&now.f, r, false);
	case NVME_FEAT_FID_HOST_ID:
		return feat_get_host(c, r);
	default:
		r->result = *feat_plain(&now.f, id, r->cmd.cdw11);
		return 0;
	}
}

uint16_t nv_features_get(struct nv_qp *qp, struct nvme_req *r)
{
	uint8_t id = r->cmd.cdw10 & 0xff;
	struct nv_ctrl fresh = { .s = qp->ctrl->s,
				 .discovery = qp->ctrl->discovery,
				 .max_queues = qp->ctrl->max_queues };

	if (!feat_known(qp->ctrl, id))
		return NV_NO(NVME_SC_INVALID_FIELD);
	switch (r->cmd.cdw10 >> 8 & 7) {
	case FEAT_CURRENT:
		return feat_of_ns(id) ? nv_resv_feature_get(qp, r, false) : feat_get(qp->ctrl, r, id);
	case FEAT_DEFAULT:
	case FEAT_SAVED: /* which, as nothing can be saved, is the default */
		if (id == NVME_FEAT_FID_HOST_ID)
			return NV_NO(NVME_SC_INVALID_FIELD);
		if (feat_of_ns(id))
			return nv_resv_feature_get(qp, r, true);
		nv_ctrl_reset(&fresh);
		return feat_get(&fresh, r, id);
	case FEAT_CAPABILITIES:
		r->result = id == NVME_FEAT_FID_HOST_ID && !qp->ctrl->pci ? 0 : FEAT_CHANGEABLE;
		r->result |= feat_of_ns(id) ? FEAT_OF_NS : 0;
		return 0;
	default:
		return NV_NO(NVME_SC_INVALID_FIELD);
	}
}
