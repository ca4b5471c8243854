/* SPDX-License-Identifier: MIT */
/*
 * Namespace Management (NVMe Base 2.0, 5.23): hosts create namespaces and delete them. An
 * id and its room are reserved from the command on until its job has ended.
 */
#include "nvme/nv.h"

#include <sys/random.h>

#define MANAGE_GRANULARITY (1u << 20)
#define MANAGE_FLBAS 0x0f /* of flbas: which format */

bool nv_manages(const struct vio_nvme *s)
{
	return s->manager.create;
}

int nv_manager_init(struct vio_nvme *s, const struct vio_nvme_manager *from)
{
	struct vio_nvme_manager *m = &s->manager;
	int rc = from ? vio__opts(m, sizeof(*m), from, "vio_nvme_manager") : 0;

	if (rc || !from)
		return rc;
	m->granularity = m->granularity ? m->granularity : MANAGE_GRANULARITY;
	m->block = m->block ? m->block : 512;
	if (!m->work || !m->create != !m->destroy)
		return vio__fail(EINVAL,
				 "vio_nvme_manager: expected work, and create and destroy or neither");
	if (!vio__is_pow2(m->granularity) || m->granularity < 4096)
		return vio__fail(EINVAL,
				 "vio_nvme_manager.granularity is %u, expected a power of two from 4096 on",
				 m->granularity);
	if (m->capacity > INT64_MAX)
		return vio__fail(EINVAL, "vio_nvme_manager.capacity is %llu, expected at most %lld",
				 (unsigned long long)m->capacity, (long long)INT64_MAX);
	if (m->block != 512 && m->block != 4096)
		return vio__fail(EINVAL, "vio_nvme_manager.block is %u, expected 512 or 4096", m->block);
	return 0;
}

uint64_t nv_room(const struct vio_nvme *s, uint64_t bytes)
{
	uint64_t unit = s->manager.granularity;

	return unit ? (bytes + unit - 1) & ~(unit - 1) : bytes;
}

/* A namespace as it is to be kept. Under the lock; the texts are one allocation. -ENOMEM. */
static int kept_fill(const struct nv_ns *ns, struct vio_nvme_kept *k, char **texts)
{
	const char **hosts;
	size_t size = 0;
	char *at;

	for (unsigned i = 0; i < ns->nhosts; i++)
		size += sizeof(char *) + strlen(ns->hosts[i]) + 1;
	*texts = malloc(size + 1);
	if (!*texts)
		return vio__fail(ENOMEM, "nvme: out of memory for hosts' names");
	hosts = (const char **)*texts;
	at = (char *)(hosts + ns->nhosts);
	for (unsigned i = 0; i < ns->nhosts; i++) {
		hosts[i] = at;
		at = stpcpy(at, ns->hosts[i]) + 1;
	}
	*k = (struct vio_nvme_kept){ .sz = sizeof(*k),
				     .nsid = ns->nsid,
				     .block = 1u << ns->shift,
				     .size = ns->blocks << ns->shift,
				     .ana_group = ns->ana_group,
				     .made = ns->made,
				     .private_ = ns->exclusive,
				     .all = ns->all,
				     .hosts = hosts,
				     .nhosts = ns->nhosts };
	memcpy(k->uuid, ns->uuid, sizeof(k->uuid));
	return 0;
}

int nv_keep_now(struct vio_nvme *s, uint32_t nsid)
{
	struct vio_nvme_kept k;
	char *texts = NULL;
	int rc = 0;

	if (!s->manager.save)
		return 0;
	pthread_mutex_lock(&s->keeping); /* so that what is kept last is what is so */
	pthread_mutex_lock(&s->lock);
	if (s->ns[nsid])
		rc = kept_fill(s->ns[nsid], &k, &texts);
	pthread_mutex_unlock(&s->lock);
	if (texts)
		rc = s->manager.save(s->manager.ctx, &k);
	pthread_mutex_unlock(&s->keeping);
	free(texts);
	return rc;
}

static void keep_job(struct nv_op *op)
{
	int rc = nv_keep_now(op->s, op->kept.nsid);

	nv_op_done(op, rc ? NVME_STATUS(NVME_SC_INTERNAL) : 0, 0);
}

uint16_t nv_keep(struct nv_qp *qp, struct nvme_req *r, uint32_t nsid)
{
	struct nv_op *op;

	if (!qp->group->s->manager.save)
		return 0;
	op = nv_op_new(qp, r, keep_job, 0);
	if (!op)
		return NVME_STATUS(NVME_SC_INTERNAL);
	op->kept.nsid = nsid;
	return nv_op_go(op);
}

/* Version 4, of random bytes: an id that is used again shall not name another's namespace. */
static int create_uuid(uint8_t uuid[16])
{
	if (getrandom(uuid, 16, 0) != 16)
		return vio__fail(EIO, "nvme: no random bytes for a namespace's id");
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	return 0;
}

static int create_store(struct nv_op *op, struct vio_backend **b)
{
	struct vio_nvme_manager *m = &op->s->manager;
	struct vio_backend_info i = { .sz = sizeof(i) };
	int rc;

	*b = NULL;
	pthread_mutex_lock(&op->s->keeping);
	rc = m->create(m->ctx, &op->kept, b);
	pthread_mutex_unlock(&op->s->keeping);
	rc = rc ? rc : vio_backend_info(*b, &i);
	if (!rc && (i.size != op->kept.size || i.read_only))
		return vio__fail(EINVAL,
				 "nvme: a store of %llu bytes was made, expected %llu that can be written",
				 (unsigned long long)i.size, (unsigned long long)op->kept.size);
	return rc;
}

static void create_job(struct nv_op *op)
{
	struct vio_nvme *s = op->s;
	struct vio_backend *b;
	int rc = create_store(op, &b);

	rc = rc ? rc : nv_ns_add(s, b, &op->ns_opts, true);
	vio_backend_free(b);
	if (rc > 0) {
		nv_op_done(op, 0, (uint64_t)rc);
		return;
	}
	if (b) { /* and it is of no use */
		pthread_mutex_lock(&s->keeping);
		s->manager.destroy(s->manager.ctx, &op->kept);
		pthread_mutex_unlock(&s->keeping);
	}
	pthread_mutex_lock(&s->lock);
	s->reserved[op->kept.nsid] = false;
	s->allocated -= nv_room(s, op->kept.size);
	pthread_mutex_unlock(&s->lock);
	nv_op_done(op,
		   rc == -ENOSPC ? NV_NO_SPECIFIC(NVME_SC_NS_INSUFFICIENT_CAP)
				 : NVME_STATUS(NVME_SC_INTERNAL),
		   0);
}

/* What the host asks for. */
static uint16_t create_read(const struct vio_nvme *s, const struct nvme_req *r, struct vio_nvme_kept *k)
{
	const struct nvme_id_ns *id = r->buf;
	uint64_t nsze = id->nsze, ncap = id->ncap;
	unsigned format = id->flbas & MANAGE_FLBAS;

	if (r->cmd.nsid || r->cmd.cdw11 >> 24 != NVME_CSI_NVM || !nsze || ncap > nsze)
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (ncap < nsze)
		return NV_NO_SPECIFIC(NVME_SC_THIN_PROV_NOT_SUPP);
	if (id->flbas & ~MANAGE_FLBAS || format > 1 || s->manager.block << 3 * format > 4096)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_FORMAT);
	if (id->dps || id->nmic & ~1u || id->nvmsetid || id->endgid || id->anagrpid > NV_ANA_GROUPS)
		return NV_NO(NVME_SC_INVALID_FIELD);
	*k = (struct vio_nvme_kept){ .sz = sizeof(*k),
				     .block = s->manager.block << 3 * format,
				     .ana_group = id->anagrpid ? id->anagrpid : 1,
				     .made = true,
				     .private_ = !(id->nmic & 1) };
	if (nsze > s->manager.capacity / k->block)
		return NV_NO_SPECIFIC(NVME_SC_NS_INSUFFICIENT_CAP);
	k->size = nsze * k->block;
	return 0;
}

/* Under the lock. */
static uint16_t create_reserve(struct vio_nvme *s, struct vio_nvme_kept *k)
{
	uint64_t room = nv_room(s, k->size);

	if (s->allocated > s->manager.capacity || room > s->manager.capacity - s->allocated)
		return NV_NO_SPECIFIC(NVME_SC_NS_INSUFFICIENT_CAP);
	for (uint32_t i = 1; !k->nsid && i <= s->max_ns; i++)
		if (!s->ns[i] && !s->reserved[i])
			k->nsid = i;
	if (!k->nsid)
		return NV_NO_SPECIFIC(NVME_SC_NS_ID_UNAVAILABLE);
	s->reserved[k->nsid] = true;
	s->allocated += room;
	return 0;
}

static uint16_t mgmt_create(struct nv_qp *qp, struct nvme_req *r)
{
	struct vio_nvme *s = qp->group->s;
	struct vio_nvme_kept k;
	struct nv_op *op;
	uint16_t status = nv_data(r, sizeof(struct nvme_id_ns), false);

	status = status ? status : create_read(s, r, &k);
	if (status)
		return status;
	op = nv_op_new(qp, r, create_job, 0);
	if (!op || create_uuid(k.uuid)) {
		nv_op_drop(op);
		return NVME_STATUS(NVME_SC_INTERNAL);
	}
	pthread_mutex_lock(&s->lock);
	status = create_reserve(s, &k);
	pthread_mutex_unlock(&s->lock);
	if (status) {
		nv_op_drop(op);
		return status;
	}
	op->kept = k;
	op->ns_opts = (struct vio_nvme_ns_opts){ .sz = sizeof(op->ns_opts),
						 .nsid = k.nsid,
						 .ana_group = k.ana_group,
						 .block = k.block,
						 .made = true,
						 .private_ = k.private_ };
	memcpy(op->ns_opts.uuid, k.uuid, sizeof(k.uuid));
	return nv_op_go(op);
}

/* One after another; what can't be destroyed keeps its id and its room. */
static void delete_job(struct nv_op *op)
{
	struct vio_nvme *s = op->s;
	uint16_t status = 0;

	for (unsigned i = 0; i < op->nns; i++) {
		struct vio_nvme_kept k;
		char *texts = NULL;
		uint64_t room = op->ns[i]->room;
		int rc = kept_fill(op->ns[i], &k, &texts); /* it has left the list: nobody changes it */

		nv_ns_put(op->ns[i]);
		pthread_mutex_lock(&s->keeping);
		rc = rc ? rc : s->manager.destroy(s->manager.ctx, &k);
		pthread_mutex_unlock(&s->keeping);
		free(texts);
		if (rc) {
			status = NVME_STATUS(NVME_SC_INTERNAL);
			continue;
		}
		pthread_mutex_lock(&s->lock);
		s->reserved[k.nsid] = false;
		s->allocated -= room;
		pthread_mutex_unlock(&s->lock);
	}
	op->nns = 0;
	nv_op_done(op, status, 0);
}

/* Under the lock. */
static uint16_t delete_check(const struct vio_nvme *s, uint32_t nsid)
{
	const struct nv_ns *ns = s->ns[nsid];

	if (!ns)
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (ns->gate)
		return nv_access_status(ns->gate);
	return ns->made ? 0 : NV_NO(NVME_SC_OP_DENIED);
}

/* One, or all: then those that no host has made are in the way. */
static uint16_t delete_take(struct vio_nvme *s, uint32_t first, uint32_t last, struct nv_op *op)
{
	uint16_t status = 0;

	for (uint32_t i = first; i <= last && !status; i++)
		status = s->ns[i] || first == last ? delete_check(s, i) : 0;
	for (uint32_t i = first; i <= last && !status; i++) {
		struct nv_ns *ns = s->ns[i];

		if (!ns)
			continue;
		s->reserved[i] = true;
		nv_ns_take(s, i);
		nv_op_add(op, ns, NV_DETACHED);
	}
	return status;
}

static uint16_t mgmt_delete(struct nv_qp *qp, struct nvme_req *r)
{
	struct vio_nvme *s = qp->group->s;
	uint32_t nsid = r->cmd.nsid;
	bool all = nsid == NVME_NSID_ALL;
	struct nv_op *op;
	uint16_t status;

	if (!all && (!nsid || nsid > s->max_ns))
		return NV_NO(NVME_SC_INVALID_NS);
	op = nv_op_new(qp, r, delete_job, all ? s->max_ns : 1);
	if (!op)
		return NVME_STATUS(NVME_SC_INTERNAL);
	pthread_mutex_lock(&s->lock);
	status = delete_take(s, all ? 1 : nsid, all ? s->max_ns : nsid, op);
	pthread_mutex_unlock(&s->lock);
	if (!status)
		return nv_op_go(op);
	nv_op_drop(op);
	return status;
}

uint16_t nv_ns_mgmt(struct nv_qp *qp, struct nvme_req *r)
{
	uint16_t status;

	switch (r->cmd.cdw10 & 0xf) {
	case NVME_NS_MGMT_SEL_CREATE:
		return mgmt_create(qp, r);
	case NVME_NS_MGMT_SEL_DELETE:
		status = nv_resv_refuses_admin(qp, r->cmd.nsid);
		return status ? status : mgmt_delete(qp, r);
	default:
		return NV_NO(NVME_SC_INVALID_FIELD);
	}
}
