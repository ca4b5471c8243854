/* SPDX-License-Identifier: MIT */
/*
 * Format NVM (NVMe Base 2.0, 5.14): a namespace gets blocks of another size, and its content
 * goes: zeroes, which an erase of user data reads back, or another key for what is encrypted.
 */
#include "nvme/nv.h"

#define FORMAT_LARGE 12u /* blocks of 4 KiB */
#define FORMAT_FNA_CRYPTO (1u << 2)
#define FORMAT_FPI 0x80u /* Identify says how much is left */

/* Of CDW10. */
#define FORMAT_LBAF(cdw10) ((cdw10)&0xf)
#define FORMAT_PI(cdw10) ((cdw10) >> 5 & 7)
#define FORMAT_SES(cdw10) ((cdw10) >> 9 & 7)
#define FORMAT_LBAF_UPPER(cdw10) ((cdw10) >> 12 & 3)

void nv_formats(const struct vio_nvme *s, const struct nv_ns *ns, struct nv_formats *f)
{
	uint8_t now = (uint8_t)VIO_LOAD(&ns->shift);

	*f = (struct nv_formats){ 0 };
	if (!s->manager.work) {
		f->shift[f->n++] = now;
		return;
	}
	f->shift[f->n++] = (uint8_t)ns->store_shift;
	if (ns->store_shift < FORMAT_LARGE)
		f->shift[f->n++] = FORMAT_LARGE;
	while (f->now < f->n && f->shift[f->now] != now)
		f->now++;
	if (f->now == f->n)
		f->shift[f->n++] = now;
}

/* Whether it can for any namespace: which one is asked for is looked at then. */
uint8_t nv_format_fna(struct vio_nvme *s)
{
	bool crypto = false;

	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 1; i <= s->max_ns; i++)
		crypto |= s->ns[i] && s->ns[i]->crypto_erase;
	pthread_mutex_unlock(&s->lock);
	return crypto ? FORMAT_FNA_CRYPTO : 0;
}

uint8_t nv_format_progress(const struct nv_ns *ns)
{
	uint64_t all = VIO_LOAD(&ns->to_erase), done = VIO_LOAD(&ns->erased);

	if (!(VIO_LOAD(&ns->gate) & NV_FORMATTING) || !all)
		return FORMAT_FPI;
	return (uint8_t)(FORMAT_FPI | (100 - VIO_MIN(done, all) / ((all + 99) / 100)));
}

static int format_erase(struct nv_ns *ns, unsigned ses)
{
	return ses == NVME_FORMAT_SES_CRYPTO_ERASE
		       ? vio_backend_erase(ns->backend)
		       : nv_erase_zeroes(ns, ses == NVME_FORMAT_SES_USER_DATA_ERASE);
}

static int format_resize(struct nv_ns *ns, unsigned lbaf)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	int rc = vio_backend_info(ns->backend, &i);
	struct vio_nvme *s = ns->s;
	struct nv_formats f;

	nv_bad_forget(ns);
	nv_formats(s, ns, &f);
	if (rc || f.now == lbaf)
		return rc;
	pthread_mutex_lock(&s->lock);
	VIO_STORE(&ns->shift, f.shift[lbaf]);
	VIO_STORE(&ns->blocks, i.size >> f.shift[lbaf]);
	pthread_mutex_unlock(&s->lock);
	return nv_keep_now(s, ns->nsid);
}

/* The content goes first: blocks of another size would show it in another order. */
static void format_job(struct nv_op *op)
{
	uint32_t cdw10 = op->cdw10;
	uint16_t status = 0;

	for (unsigned i = 0; i < op->nns; i++) {
		struct nv_ns *ns = op->ns[i];
		int rc = format_erase(ns, FORMAT_SES(cdw10));

		rc = rc ? rc : format_resize(ns, FORMAT_LBAF(cdw10));
		if (rc)
			status = NVME_STATUS(NVME_SC_INTERNAL);
		pthread_mutex_lock(&op->s->lock);
		if (op->s->ns[ns->nsid] == ns)
			nv_ns_changed(op->s, ns->nsid);
		pthread_mutex_unlock(&op->s->lock);
	}
	nv_op_done(op, status, 0);
}

/* Under the lock. */
static uint16_t format_check(struct nv_ctrl *c, uint32_t nsid, uint32_t cdw10)
{
	const struct nv_ns *ns = c->s->ns[nsid];
	struct nv_formats f;

	if (!ns || !nv_attached(c, nsid))
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (ns->gate)
		return nv_access_status(ns->gate);
	nv_formats(c->s, ns, &f);
	if (FORMAT_LBAF(cdw10) >= f.n || FORMAT_LBAF_UPPER(cdw10) || FORMAT_PI(cdw10) ||
	    ns->blocks << ns->shift >> f.shift[FORMAT_LBAF(cdw10)] == 0)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_FORMAT);
	if (FORMAT_SES(cdw10) > NVME_FORMAT_SES_CRYPTO_ERASE ||
	    (FORMAT_SES(cdw10) == NVME_FORMAT_SES_CRYPTO_ERASE && !ns->crypto_erase))
		return NV_NO(NVME_SC_INVALID_FIELD);
	return ns->read_only ? NV_NO(NVME_SC_NS_WRITE_PROTECTED) : 0;
}

/* One, or all that the controller has; all or none. */
static uint16_t format_take(struct nv_ctrl *c, uint32_t first, uint32_t last, struct nv_op *op)
{
	struct vio_nvme *s = c->s;
	uint16_t status = 0;

	for (uint32_t i = first; i <= last && !status; i++)
		if (first == last || (s->ns[i] && nv_attached(c, i)))
			status = format_check(c, i, op->cdw10);
	for (uint32_t i = first; i <= last && !status; i++) {
		struct nv_ns *ns = s->ns[i];

		if (!ns || !nv_attached(c, i))
			continue;
		__atomic_add_fetch(&ns->refs, 1, __ATOMIC_RELAXED);
		VIO_STORE(&ns->erased, 0);
		VIO_STORE(&ns->to_erase, 1);
		nv_op_add(op, ns, NV_FORMATTING);
	}
	return status;
}

uint16_t nv_format(struct nv_qp *qp, struct nvme_req *r)
{
	struct vio_nvme *s = qp->group->s;
	uint32_t nsid = r->cmd.nsid;
	bool all = nsid == NVME_NSID_ALL;
	struct nv_op *op;
	uint16_t status;

	if (!all && (!nsid || nsid > s->max_ns))
		return NV_NO(NVME_SC_INVALID_NS);
	status = nv_resv_refuses_admin(qp, nsid);
	if (status)
		return status;
	op = nv_op_new(qp, r, format_job, all ? s->max_ns : 1);
	if (!op)
		return NVME_STATUS(NVME_SC_INTERNAL);
	op->cdw10 = r->cmd.cdw10;
	pthread_mutex_lock(&s->lock);
	status = format_take(qp->ctrl, all ? 1 : nsid, all ? s->max_ns : nsid, op);
	pthread_mutex_unlock(&s->lock);
	if (!status)
		return nv_op_go(op);
	nv_op_drop(op);
	return status;
}
