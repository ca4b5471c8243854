/* SPDX-License-Identifier: MIT */
/* Virtualization Management (NVMe Base 2.0, 5.31), the lists that it goes by, and the SR-IOV capability. */
#include "nvme/pci.h"

#include <linux/pci_regs.h>

#define VIRT_PAGE_SIZES 0x553u /* the six that SR-IOV wants */
#define VIRT_LEAST_QUEUES 2u   /* of one that is on line: the admin queue and one more */

/* SR-IOV: which functions could be there. Where they are the host does not learn here: each is plugged in by
 * its own transport. */
static void virt_capability(struct vio_pci *f, unsigned n)
{
	struct pci_config *c = &f->config;
	uint16_t at = pci_config_add_ext(c, PCI_EXT_CAP_ID_SRIOV, 1, PCI_EXT_CAP_SRIOV_SIZEOF);

	pci_config_put(c, at + PCI_SRIOV_CTRL, 2, 0,
		       PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE | PCI_SRIOV_CTRL_ARI);
	pci_config_put(c, at + PCI_SRIOV_INITIAL_VF, 2, n, 0);
	pci_config_put(c, at + PCI_SRIOV_TOTAL_VF, 2, n, 0);
	pci_config_put(c, at + PCI_SRIOV_NUM_VF, 2, 0, 0xffff);
	pci_config_put(c, at + PCI_SRIOV_VF_OFFSET, 2, 1, 0);
	pci_config_put(c, at + PCI_SRIOV_VF_STRIDE, 2, 1, 0);
	pci_config_put(c, at + PCI_SRIOV_VF_DID, 2, c->data[PCI_DEVICE_ID] | c->data[PCI_DEVICE_ID + 1] << 8,
		       0);
	pci_config_put(c, at + PCI_SRIOV_SUP_PGSIZE, 4, VIRT_PAGE_SIZES, 0);
	pci_config_put(c, at + PCI_SRIOV_SYS_PGSIZE, 4, 1, VIRT_PAGE_SIZES);
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &f->bar[i];
		unsigned reg = at + PCI_SRIOV_BAR + 4 * i;

		if (!bar->size)
			continue;
		pci_config_put(c, reg, 4, bar->wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0,
			       (uint32_t) ~(bar->size - 1));
		if (bar->wide)
			pci_config_put(c, reg + 4, 4, 0, (uint32_t)(~(bar->size - 1) >> 32));
	}
	f->sriov = at;
}

int npci_virt_open(struct nvme_pci *p, unsigned secondaries)
{
	if (!secondaries)
		return 0;
	if (secondaries > NPCI_MAX_SECONDARIES)
		return vio__fail(EINVAL, "vio_nvme_pci_opts.secondaries is %u, expected at most %u",
				 secondaries, NPCI_MAX_SECONDARIES);
	p->virt.secondary = calloc(secondaries, sizeof(*p->virt.secondary));
	if (!p->virt.secondary)
		return vio__fail(ENOMEM, "nvme: out of memory for %u secondary controllers", secondaries);
	p->virt.n = secondaries;
	virt_capability(&p->pci, secondaries);
	return 0;
}

void npci_virt_close(struct nvme_pci *p)
{
	npci_virt_leave(p);
	free(p->virt.secondary);
}

int npci_virt_join(struct nvme_pci *p, struct nvme_pci *primary, unsigned n)
{
	if (!n || n > primary->virt.n)
		return vio__fail(EINVAL, "nvme: secondary controller %u, the primary has %u", n,
				 primary->virt.n);
	if (primary->virt.secondary[n - 1].f)
		return vio__fail(EEXIST, "nvme: there is a secondary controller %u already", n);
	p->primary = primary;
	p->as = &primary->virt.secondary[n - 1];
	*p->as = (struct npci_secondary){ .f = p };
	return 0;
}

void npci_virt_leave(struct nvme_pci *p)
{
	if (p->as)
		*p->as = (struct npci_secondary){ 0 };
	p->as = NULL;
}

static unsigned virt_most(const struct nvme_pci *p)
{
	return p->queues + 1; /* of either kind, for one */
}

static unsigned virt_assigned(const struct nvme_pci *p, enum npci_resource what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->virt.n; i++)
		n += p->virt.secondary[i].has[what];
	return n;
}

/* As after a function-level reset; the host's driver there sees CSTS.CFS. */
static void virt_offline(struct npci_secondary *s)
{
	bool was = s->online;

	s->online = false;
	s->has[NPCI_QUEUE] = s->has[NPCI_VECTOR] = 0;
	if (was && s->f)
		npci_reset(&s->f->pci);
}

static uint16_t virt_online(struct npci_secondary *s)
{
	if (s->online)
		return 0;
	if (s->has[NPCI_QUEUE] < VIRT_LEAST_QUEUES || !s->has[NPCI_VECTOR])
		return NV_NO_SPECIFIC(NVME_SC_INVALID_SEC_CTRL_STATE);
	s->f->ctrl->max_queues = (uint16_t)VIO_MIN(s->has[NPCI_QUEUE] - 1u, s->f->queues);
	npci_reset(&s->f->pci);
	if (!s->f->up)
		nv_ctrl_reset(s->f->ctrl);
	s->online = true;
	return 0;
}

void npci_virt_reset(struct nvme_pci *p)
{
	for (unsigned i = 0; i < p->virt.n; i++)
		virt_offline(&p->virt.secondary[i]);
	p->virt.enabled = false;
}

/* Virtual functions that are switched off are gone, whatever they were. */
void npci_virt_config(struct vio_pci *f)
{
	struct nvme_pci *p = npci_of(f);
	bool enabled;

	if (!f->sriov)
		return;
	enabled = f->config.data[f->sriov + PCI_SRIOV_CTRL] & PCI_SRIOV_CTRL_VFE;
	if (p->virt.enabled && !enabled)
		npci_virt_reset(p);
	p->virt.enabled = enabled;
}

static uint16_t identify_primary(struct nvme_pci *p, struct nvme_req *r)
{
	struct nvme_primary_ctrl_cap *cap = r->buf;
	uint32_t pool = virt_most(p) * p->virt.n;

	cap->cntlid = p->ctrl->cntlid;
	cap->portid = p->port ? p->port : 1;
	cap->crt = 3; /* queues and vectors */
	cap->vqfrt = cap->vifrt = pool;
	cap->vqrfa = virt_assigned(p, NPCI_QUEUE);
	cap->virfa = virt_assigned(p, NPCI_VECTOR);
	cap->vqprt = cap->viprt = (uint16_t)virt_most(p); /* its own, for good */
	cap->vqfrsm = cap->vifrsm = (uint16_t)virt_most(p);
	cap->vqgran = cap->vigran = 1;
	return 0;
}

/* By rising id, which need not be the order of their numbers. */
static uint16_t identify_secondaries(struct nvme_pci *p, struct nvme_req *r)
{
	struct nvme_secondary_ctrl_list *list = r->buf;
	uint16_t least = (uint16_t)(r->cmd.cdw10 >> 16);

	for (unsigned i = 0; i < p->virt.n; i++) {
		const struct npci_secondary *s = &p->virt.secondary[i];
		unsigned at = list->num;

		if (!s->f || s->f->ctrl->cntlid < least)
			continue;
		for (; at && list->sc_entry[at - 1].scid > s->f->ctrl->cntlid; at--)
			list->sc_entry[at] = list->sc_entry[at - 1];
		list->sc_entry[at] = (struct nvme_secondary_ctrl){ .scid = s->f->ctrl->cntlid,
								   .pcid = p->ctrl->cntlid,
								   .scs = s->online,
								   .vfn = (uint16_t)(i + 1),
								   .nvq = s->has[NPCI_QUEUE],
								   .nvi = s->has[NPCI_VECTOR] };
		list->num++;
	}
	return 0;
}

uint16_t npci_virt_identify(struct nv_qp *qp, struct nvme_req *r, uint8_t cns)
{
	struct nvme_pci *p = VIO_CONTAINER(qp, struct npci_sq, qp)->w->p;

	switch (p->virt.n ? cns : 0) {
	case NVME_IDENTIFY_CNS_PRIMARY_CTRL_CAP:
		return identify_primary(p, r);
	case NVME_IDENTIFY_CNS_SECONDARY_CTRL_LIST:
		return identify_secondaries(p, r);
	default:
		return NV_NO(NVME_SC_INVALID_FIELD);
	}
}

static struct npci_secondary *virt_find(struct nvme_pci *p, uint16_t cntlid)
{
	for (unsigned i = 0; i < p->virt.n; i++)
		if (p->virt.secondary[i].f && p->virt.secondary[i].f->ctrl->cntlid == cntlid)
			return &p->virt.secondary[i];
	return NULL;
}

static uint16_t virt_assign(struct nvme_pci *p, struct npci_secondary *s, uint32_t what, uint32_t n)
{
	if (s->online)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_SEC_CTRL_STATE);
	if (what >= NPCI_RESOURCES)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_RESOURCE_ID);
	if (n > virt_most(p)) /* each may have as many: the pool is never short */
		return NV_NO_SPECIFIC(NVME_SC_INVALID_CTRL_RESOURCES);
	s->has[what] = (uint16_t)n;
	return 0;
}

/* All the primary has is private: it can be given none of the pool's. */
static uint16_t virt_allocate(const struct nvme_pci *p, uint16_t cntlid, uint32_t what, uint32_t n)
{
	if (cntlid != p->ctrl->cntlid)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_CTRL_ID);
	if (what >= NPCI_RESOURCES)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_RESOURCE_ID);
	return n ? NV_NO_SPECIFIC(NVME_SC_INVALID_CTRL_RESOURCES) : 0;
}

uint16_t npci_virt_manage(struct nvme_pci *p, struct nvme_req *r)
{
	uint32_t action = r->cmd.cdw10 & 0xf, what = r->cmd.cdw10 >> 8 & 7, n = r->cmd.cdw11 & 0xffff;
	uint16_t cntlid = (uint16_t)(r->cmd.cdw10 >> 16), status = 0;
	struct npci_secondary *s = virt_find(p, cntlid);

	if (action == NVME_VIRT_MGMT_ACT_PRIM_CTRL_FLEX_ALLOC)
		return virt_allocate(p, cntlid, what, n);
	if (action < NVME_VIRT_MGMT_ACT_OFFLINE_SEC_CTRL || action > NVME_VIRT_MGMT_ACT_ONLINE_SEC_CTRL)
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (!s)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_CTRL_ID);
	switch (action) {
	case NVME_VIRT_MGMT_ACT_OFFLINE_SEC_CTRL:
		virt_offline(s);
		return 0;
	case NVME_VIRT_MGMT_ACT_ONLINE_SEC_CTRL:
		return virt_online(s);
	default:
		status = virt_assign(p, s, what, n);
		r->result = status ? 0 : n;
		return status;
	}
}
