/* SPDX-License-Identifier: MIT */
/* Identify for hosts that manage namespaces (NVMe Base 2.0, 5.17): which there are, who has them, what new
 * ones may be like. */
#include "nvme/nv.h"

#define ID_IDS (4096u / sizeof(uint32_t))
#define ID_CTRATT_GRANULARITY (1u << 7)

static void id_u128(uint8_t to[16], uint64_t v)
{
	memcpy(to, &v, sizeof(v));
}

void nv_identify_manager(const struct nv_ctrl *c, struct nvme_id_ctrl *id)
{
	struct vio_nvme *s = c->s;
	uint64_t used;

	if (!s->manager.work)
		return;
	id->oacs |= NVME_CTRL_OACS_FORMAT;
	id->fna = nv_format_fna(s);
	id->sanicap = nv_sanitize_cap(s);
	if (!nv_manages(s))
		return;
	pthread_mutex_lock(&s->lock);
	used = s->allocated;
	pthread_mutex_unlock(&s->lock);
	id->oacs |= NVME_CTRL_OACS_NS_MGMT;
	id->ctratt |= ID_CTRATT_GRANULARITY;
	id_u128(id->tnvmcap, s->manager.capacity);
	id_u128(id->unvmcap, used < s->manager.capacity ? s->manager.capacity - used : 0);
}

void nv_identify_formats(const struct vio_nvme *s, const struct nv_ns *ns, struct nvme_id_ns *id)
{
	struct nv_formats f;

	nv_formats(s, ns, &f);
	id->nlbaf = (uint8_t)(f.n - 1);
	id->flbas = f.now;
	id->fpi = s->manager.work ? nv_format_progress(ns) : 0;
	for (unsigned i = 0; i < f.n; i++)
		id->lbaf[i].ds = f.shift[i];
}

/* What all namespaces that a host makes have in common. */
uint16_t nv_identify_common(const struct vio_nvme *s, struct nvme_id_ns *id)
{
	unsigned shift = (unsigned)__builtin_ctz(s->manager.block);

	id->nmic = 1;
	id->dlfeat = 1u << 3;
	id->lbaf[0].ds = (uint8_t)shift;
	id->nlbaf = shift < 12;
	id->lbaf[1].ds = shift < 12 ? 12 : 0;
	return 0;
}

/* Ids above that of the command, of all namespaces or of those that the controller has. */
uint16_t nv_identify_list(const struct nv_qp *qp, const struct nvme_req *r, bool all)
{
	struct vio_nvme *s = qp->group->s;
	uint32_t *list = r->buf;
	unsigned n = 0;

	if (r->cmd.nsid >= 0xfffffffe)
		return NV_NO(NVME_SC_INVALID_NS);
	pthread_mutex_lock(&s->lock);
	for (uint64_t i = (uint64_t)r->cmd.nsid + 1; i <= s->max_ns && n < ID_IDS; i++)
		if (s->ns[i] && (all || nv_attached(qp->ctrl, (uint32_t)i)))
			list[n++] = (uint32_t)i;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void controllers_sort(uint16_t *id, unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		uint16_t one = id[i];
		unsigned k = i;

		for (; k && id[k - 1] > one; k--)
			id[k] = id[k - 1];
		id[k] = one;
	}
}

/* The smallest ids from `first` on, in order: as many as fit. nsid 0: whatever they have. */
static void controllers_list(const struct vio_nvme *s, uint16_t first, uint32_t nsid,
			     struct nvme_ctrl_list *l)
{
	unsigned n = 0;

	for (const struct nv_ctrl *c = s->ctrls; c; c = c->next) {
		if (!nv_attach_is_host(c) || c->cntlid < first || (nsid && !nv_attached(c, nsid)))
			continue;
		if (n < NVME_ID_CTRL_LIST_MAX)
			l->identifier[n++] = c->cntlid;
	}
	controllers_sort(l->identifier, n);
	l->num = (uint16_t)n;
}

uint16_t nv_identify_controllers(const struct nv_qp *qp, const struct nvme_req *r, bool of_ns)
{
	struct vio_nvme *s = qp->group->s;
	uint32_t nsid = of_ns ? r->cmd.nsid : 0;
	uint16_t status = 0;

	if (of_ns && (!nsid || nsid > s->max_ns))
		return NV_NO(NVME_SC_INVALID_NS);
	pthread_mutex_lock(&s->lock);
	if (of_ns && !s->ns[nsid])
		status = NV_NO(NVME_SC_INVALID_FIELD);
	else
		controllers_list(s, (uint16_t)(r->cmd.cdw10 >> 16), nsid, r->buf);
	pthread_mutex_unlock(&s->lock);
	return status;
}

/* One for all formats. */
uint16_t nv_identify_granularity(const struct vio_nvme *s, const struct nvme_req *r)
{
	struct nvme_id_ns_granularity_list *l = r->buf;

	l->entry[0].nszegran = l->entry[0].ncapgran = s->manager.granularity;
	return 0;
}
