/* SPDX-License-Identifier: MIT */
/* Identify (NVMe Base 2.0, 5.17): what the controller is, and each namespace. */
#include "nvme/nv.h"

#include <stdio.h>

#define ID_BYTES 4096u

#define ONCS_COMPARE (1u << 0)
#define ONCS_WRITE_UNCORRECTABLE (1u << 1)
#define ONCS_DSM (1u << 2)
#define ONCS_WRITE_ZEROES (1u << 3)
#define ONCS_RESERVATIONS (1u << 5)
#define ONCS_VERIFY (1u << 7)
#define ONCS_COPY (1u << 8)

static void id_text(char *to, size_t size, const char *text)
{
	memset(to, ' ', size);
	memcpy(to, text, VIO_MIN(size, strlen(text)));
}

/* What all controllers say. */
static void id_ctrl_common(const struct nv_ctrl *c, struct nvme_id_ctrl *id)
{
	const struct vio_nvme *s = c->s;

	memcpy(id->sn, s->serial, sizeof(id->sn));
	memcpy(id->mn, s->model, sizeof(id->mn));
	id_text(id->fr, sizeof(id->fr), vio_version());
	id->mdts = NV_MDTS;
	id->cntlid = c->cntlid;
	id->ver = 0x00020000;
	id->cntrltype = c->discovery ? 2 : 1;
	id->acl = NV_ABORTS - 1;
	id->aerl = NV_AERS - 1;
	id->elpe = NV_ERRORS - 1;
	id->lpa = 1u << 2; /* Get Log Page has offsets */
	id->oaes = c->discovery ? NVME_CTRL_OAES_DL : 0;
	id->kas = 10; /* keep-alive times in units of 1 s */
	id->sgls =
		1 | 1u << 20 | 1u << 21; /* any alignment; offsets into the capsule; transport data blocks */
	id->maxcmd = NV_ENTRIES;
	memcpy(id->subnqn, c->discovery ? NVME_DISCOVERY_NQN : s->nqn,
	       c->discovery ? sizeof(NVME_DISCOVERY_NQN) : sizeof(id->subnqn));
}

static void id_ctrl_io(const struct nv_ctrl *c, struct nvme_id_ctrl *id)
{
	id->cmic = 1u | 1u << 1 | 1u << 3; /* several ports and controllers, asymmetric access */
	id->oaes = NVME_CTRL_OAES_NA | NVME_CTRL_OAES_ANA;
	id->frmw = 1 | 1u << 1; /* one slot, which is fixed */
	id->ctratt |= 1;	/* host identifiers of 128 bits */
	id->lpa |= 1u << 1 | 1u << 5;
	id->rab = 6;
	id->wctemp = 0x157;
	id->cctemp = 0x175;
	id->sqes = 0x66;
	id->cqes = 0x44;
	id->nn = c->s->max_ns;
	id->mnan = c->s->max_ns;
	id->oncs = ONCS_COMPARE | ONCS_WRITE_UNCORRECTABLE | ONCS_DSM | ONCS_WRITE_ZEROES | ONCS_VERIFY |
		   ONCS_COPY | ONCS_RESERVATIONS;
	id->ocfs = 1; /* source ranges of format 0 */
	id->fuses = NVME_CTRL_FUSES_COMPARE_AND_WRITE;
	id->acwu = NV_FUSED_MAX / 65536 - 1; /* blocks of the largest size */
	id->vwc = 1 | 2u << 1;		     /* a cache that a flush of one namespace empties */
	id->ioccsz = (uint32_t)(sizeof(struct nvme_cmd) + NPOOL_CAPSULE) / 16;
	id->iorcsz = sizeof(struct nvme_cqe) / 16;
	id->ofcs = 1;	      /* Disconnect */
	id->psd[0].mp = 2500; /* 25 W, as good a figure as any */
	id->anatt = NV_ANA_SECONDS;
	id->anacap = 0x1f | NVME_CTRL_ANACAP_GRPID_NO_CHG; /* all states */
	id->anagrpmax = id->nanagrpid = NV_ANA_GROUPS;
}

/* What queues in memory have, and what only a fabric has. */
static void id_ctrl_pci(const struct nv_ctrl *c, struct nvme_id_ctrl *id)
{
	id->vid = id->ssvid = c->vendor;
	id->oacs |= 1u << 8; /* Doorbell Buffer Config */
	id->oacs |= c->primary ? NVME_CTRL_OACS_VIRT_MGMT : 0;
	id->cmic |= c->secondary ? 1u << 2 : 0; /* a virtual function */
	id->sgls = 1;	     /* any alignment */
	id->kas = 0;
	id->maxcmd = 0;
	id->ioccsz = id->iorcsz = 0;
	id->ofcs = 0;
}

static uint16_t id_ctrl(const struct nv_qp *qp, struct nvme_req *r)
{
	id_ctrl_common(qp->ctrl, r->buf);
	if (!qp->ctrl->discovery)
		id_ctrl_io(qp->ctrl, r->buf);
	if (!qp->ctrl->discovery)
		nv_identify_manager(qp->ctrl, r->buf);
	if (qp->ctrl->pci)
		id_ctrl_pci(qp->ctrl, r->buf);
	return 0;
}

/* A namespace as it is now; ids that name none are an error, but some may be inactive. all: not attached,
 * too. */
static uint16_t id_find(const struct nv_qp *qp, const struct nvme_req *r, bool all, struct nv_ns **ns)
{
	uint32_t nsid = r->cmd.nsid;

	*ns = NULL;
	if (!nsid || nsid > qp->group->s->max_ns)
		return NV_NO(NVME_SC_INVALID_NS);
	if (all || nv_attached(qp->ctrl, nsid))
		*ns = nv_ns_get(qp->group->s, nsid);
	return 0;
}

static void id_ns_fill(const struct nv_port *port, const struct nv_ns *ns, struct nvme_id_ns *id)
{
	uint8_t state = VIO_LOAD(&port->state[ns->ana_group]);
	uint64_t size = VIO_LOAD(&ns->blocks), bytes = size << VIO_LOAD(&ns->shift);
	uint32_t blocks = ns->optimal >> VIO_LOAD(&ns->shift);

	id->nsze = id->ncap = id->nuse = size;
	if (state == VIO_NVME_ANA_INACCESSIBLE || state == VIO_NVME_ANA_PERSISTENT_LOSS)
		id->nuse = 0; /* as 8.1 wants it: others may know better */
	id->anagrpid = ns->ana_group;
	id->nsfeat =
		(uint8_t)(1u << 1 | (blocks ? 1u << 4 : 0)); /* NACWU, and the preferred sizes, are said */
	id->mssrl = NV_COPY_RANGE;
	id->mcl = NV_COPY_BLOCKS;
	id->msrc = NV_COPY_RANGES - 1;
	id->rescap = 0xfe | nv_resv_persists(ns); /* all types; IEKEY as of NVMe 1.3 */
	id->nacwu = (uint16_t)((NV_FUSED_MAX >> VIO_LOAD(&ns->shift)) - 1);
	id->nmic = !ns->exclusive;
	id->dlfeat = 1u << 3; /* Write Zeroes may deallocate */
	id->nsattr = ns->read_only;
	if (blocks) {
		id->npwg = id->npwa = id->nows = (uint16_t)(VIO_MIN(blocks, 65536u) - 1);
		id->npdg = id->npda = id->npwg;
	}
	memcpy(id->nguid, ns->uuid, sizeof(id->nguid));
	memcpy(id->nvmcap, &bytes, sizeof(bytes));
	nv_identify_formats(ns->s, ns, id);
}

static uint16_t id_ns(const struct nv_qp *qp, struct nvme_req *r, bool all)
{
	struct nv_ns *ns;
	uint16_t status;

	if (!all && r->cmd.nsid == NVME_NSID_ALL && nv_manages(qp->group->s))
		return nv_identify_common(qp->group->s, r->buf);
	status = id_find(qp, r, all, &ns);

	if (ns)
		id_ns_fill(qp->group->port, ns, r->buf);
	nv_ns_put(ns);
	return status; /* an inactive one is all zeroes */
}

static uint16_t id_ns_independent(const struct nv_qp *qp, struct nvme_req *r)
{
	struct nvme_id_independent_id_ns *id = r->buf;
	struct nv_ns *ns;
	uint16_t status = id_find(qp, r, false, &ns);

	if (ns) {
		id->nmic = !ns->exclusive;
		id->rescap = 0xfe | nv_resv_persists(ns);
		id->nsattr = ns->read_only;
		id->nstat = 1; /* ready */
		id->anagrpid = ns->ana_group;
	}
	nv_ns_put(ns);
	return status;
}

static uint16_t id_ns_nvm(const struct nv_qp *qp, struct nvme_req *r)
{
	struct nv_ns *ns;
	uint16_t status = id_find(qp, r, false, &ns);

	nv_ns_put(ns);
	return status; /* no protection information: all zeroes */
}

static uint8_t *id_descriptor(uint8_t *at, uint8_t type, const void *value, uint8_t len)
{
	struct nvme_ns_id_desc *d = (struct nvme_ns_id_desc *)at;

	d->nidt = type;
	d->nidl = len;
	memcpy(d->nid, value, len);
	return at + sizeof(*d) + len;
}

static uint16_t id_descriptors(const struct nv_qp *qp, struct nvme_req *r)
{
	static const uint8_t csi = NVME_CSI_NVM;
	uint8_t *at = r->buf;
	struct nv_ns *ns;
	uint16_t status = id_find(qp, r, false, &ns);

	if (!status && !ns)
		status = NV_NO(NVME_SC_INVALID_FIELD);
	if (ns) {
		at = id_descriptor(at, NVME_NIDT_NGUID, ns->uuid, sizeof(ns->uuid));
		at = id_descriptor(at, NVME_NIDT_UUID, ns->uuid, sizeof(ns->uuid));
		id_descriptor(at, NVME_NIDT_CSI, &csi, 1);
	}
	nv_ns_put(ns);
	return status;
}

static uint16_t id_ctrl_nvm(struct nvme_req *r)
{
	struct nvme_id_ctrl_nvm *id = r->buf;

	id->vsl = NV_MDTS;
	return 0;
}

static uint16_t id_command_sets(struct nvme_req *r)
{
	struct nvme_id_iocs *id = r->buf;

	id->iocsc[0] = 1u << NVME_CSI_NVM;
	return 0;
}

/* Those whose answer depends on a command set: ours is NVM alone. */
static uint16_t id_by_set(struct nv_qp *qp, struct nvme_req *r, uint8_t cns)
{
	if (r->cmd.cdw11 >> 24 != NVME_CSI_NVM)
		return NV_NO(NVME_SC_INVALID_FIELD);
	switch (cns) {
	case NVME_IDENTIFY_CNS_CSI_NS:
		return id_ns_nvm(qp, r);
	case NVME_IDENTIFY_CNS_CSI_CTRL:
		return id_ctrl_nvm(r);
	default:
		return nv_identify_list(qp, r, false);
	}
}

static uint16_t id_managed(struct nv_qp *qp, struct nvme_req *r, uint8_t cns)
{
	switch (cns) {
	case NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST:
		return nv_identify_list(qp, r, true);
	case NVME_IDENTIFY_CNS_ALLOCATED_NS:
		return id_ns(qp, r, true);
	case NVME_IDENTIFY_CNS_NS_CTRL_LIST:
	case NVME_IDENTIFY_CNS_CTRL_LIST:
		return nv_identify_controllers(qp, r, cns == NVME_IDENTIFY_CNS_NS_CTRL_LIST);
	case NVME_IDENTIFY_CNS_NS_GRANULARITY:
		return nv_identify_granularity(qp->group->s, r);
	default:
		return NV_NO(NVME_SC_INVALID_FIELD);
	}
}

uint16_t nv_identify(struct nv_qp *qp, struct nvme_req *r)
{
	uint8_t cns = r->cmd.cdw10 & 0xff;
	uint16_t status;

	status = nv_data(r, ID_BYTES, false);
	if (status)
		return status;
	memset(r->buf, 0, ID_BYTES);
	if (cns == NVME_IDENTIFY_CNS_CTRL)
		return id_ctrl(qp, r);
	if (qp->ctrl->discovery)
		return NV_NO(NVME_SC_INVALID_FIELD);
	switch (cns) {
	case NVME_IDENTIFY_CNS_NS:
		return id_ns(qp, r, false);
	case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
		return nv_identify_list(qp, r, false);
	case NVME_IDENTIFY_CNS_NS_DESC_LIST:
		return id_descriptors(qp, r);
	case NVME_IDENTIFY_CNS_CSI_NS:
	case NVME_IDENTIFY_CNS_CSI_CTRL:
	case NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST:
		return id_by_set(qp, r, cns);
	case NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS:
		return id_ns_independent(qp, r);
	case NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE:
		return id_command_sets(r);
	case NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP:
	case NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST:
		return qp->ctrl->identify ? qp->ctrl->identify(qp, r, cns) : NV_NO(NVME_SC_INVALID_FIELD);
	default:
		return nv_manages(qp->group->s) ? id_managed(qp, r, cns) : NV_NO(NVME_SC_INVALID_FIELD);
	}
}
