/* SPDX-License-Identifier: MIT */
/*
 * Sanitize (NVMe Base 2.0, 5.24 and 8.21): all namespaces of the subsystem, in the background,
 * whatever becomes of controllers. What could not be done leaves them closed until a host says
 * otherwise. A restart forgets it.
 */
#include "nvme/nv.h"

/* Of CDW10. */
#define SAN_ACTION(cdw10) ((cdw10)&7)
#define SAN_UNRESTRICTED (1u << 3)
#define SAN_PASSES(cdw10) (((cdw10) >> 4 & 15) ? (cdw10) >> 4 & 15 : 16)
#define SAN_INVERT (1u << 8)

/* Of SANICAP. */
#define SANICAP_CRYPTO 1u
#define SANICAP_OVERWRITE (1u << 2)
#define SANICAP_AS_IT_IS (1u << 30) /* nothing is changed after it */

/* What all namespaces can; under the lock. */
static uint32_t san_can(const struct vio_nvme *s)
{
	uint32_t can = SANICAP_CRYPTO | SANICAP_OVERWRITE;
	bool any = false;

	for (uint32_t i = 1; i <= s->max_ns; i++) {
		const struct nv_ns *ns = s->ns[i];

		if (!ns)
			continue;
		any = true;
		if (ns->read_only)
			can = 0;
		if (!ns->crypto_erase)
			can &= ~SANICAP_CRYPTO;
		if (!(ns->ops & 1u << VIO_OP_WRITE))
			can &= ~SANICAP_OVERWRITE;
	}
	return any ? can : 0;
}

uint32_t nv_sanitize_cap(struct vio_nvme *s)
{
	uint32_t can;

	pthread_mutex_lock(&s->lock);
	can = san_can(s);
	pthread_mutex_unlock(&s->lock);
	return can ? can | SANICAP_AS_IT_IS : 0;
}

static bool san_failed(const struct nv_sanitize *z)
{
	return z->state == NVME_SANITIZE_SSTAT_STATUS_COMPLETED_FAILED && !z->left;
}

/* Under the lock. */
static uint16_t san_refuses(const struct nv_sanitize *z)
{
	if (z->state == NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS)
		return NVME_STATUS(NVME_SC_SANITIZE_IN_PROGRESS);
	return san_failed(z) ? NV_NO(NVME_SC_SANITIZE_FAILED) : 0;
}

uint16_t nv_sanitize_refuses(struct vio_nvme *s)
{
	uint16_t status;

	pthread_mutex_lock(&s->lock);
	status = san_refuses(&s->sanitize);
	pthread_mutex_unlock(&s->lock);
	return status;
}

static int san_overwrite(const struct nv_op *op, struct nv_ns *ns, unsigned *passes)
{
	unsigned n = SAN_PASSES(op->cdw10);
	int rc = 0;

	for (unsigned i = 0; i < n && !rc; i++) {
		uint32_t pattern = op->cdw11;

		if (op->cdw10 & SAN_INVERT && (n - 1 - i) % 2) /* the last pass leaves the pattern itself */
			pattern = ~pattern;
		rc = nv_erase_pattern(ns, pattern);
		*passes = rc ? *passes : i + 1;
	}
	return rc;
}

/* Writes since are counted, so that Global Data Erased is true. */
static uint64_t san_changes(struct vio_nvme *s)
{
	struct nv_counts n;

	nv_sum(s, &n);
	return n.writes + n.others;
}

static void san_finish(struct nv_op *op, int rc, unsigned passes)
{
	struct vio_nvme *s = op->s;
	uint64_t changes = san_changes(s); /* no queue can change anything yet */

	pthread_mutex_lock(&s->lock);
	op->keeps = rc ? NV_SANITIZE_FAILED : 0;
	nv_op_open(op);
	s->sanitize.passes = (uint8_t)passes;
	s->sanitize.changes = changes;
	s->sanitize.state = rc ? NVME_SANITIZE_SSTAT_STATUS_COMPLETED_FAILED
			       : NVME_SANITIZE_SSTAT_STATUS_COMPLETE_SUCCESS;
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next)
		if (!c->discovery && c->admin)
			nv_event_post(c, NV_EVENT_SANITIZE);
	pthread_mutex_unlock(&s->lock);
	nv_op_done(op, 0, 0);
}

static void san_job(struct nv_op *op)
{
	bool crypto = SAN_ACTION(op->cdw10) == NVME_SANITIZE_SANACT_START_CRYPTO_ERASE;
	unsigned least = 16;
	int rc = 0;

	for (unsigned i = 0; i < op->nns; i++) { /* all of them, whatever happens to one */
		unsigned passes = 0;
		int one = crypto ? vio_backend_erase(op->ns[i]->backend)
				 : san_overwrite(op, op->ns[i], &passes);

		nv_bad_forget(op->ns[i]);
		rc = rc ? rc : one;
		least = VIO_MIN(least, passes);
	}
	san_finish(op, rc, crypto ? 0 : least & 31);
}

/* Under the lock. */
static uint16_t san_check(const struct vio_nvme *s, uint32_t cdw10)
{
	const struct nv_sanitize *z = &s->sanitize;
	uint32_t wants = SAN_ACTION(cdw10) == NVME_SANITIZE_SANACT_START_CRYPTO_ERASE ? SANICAP_CRYPTO
										      : SANICAP_OVERWRITE;

	if (!(san_can(s) & wants))
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (san_failed(z) && !(z->cdw10 & SAN_UNRESTRICTED) && cdw10 & SAN_UNRESTRICTED)
		return NV_NO(NVME_SC_SANITIZE_FAILED);
	for (uint32_t i = 1; i <= s->max_ns; i++)
		if (s->ns[i] && s->ns[i]->gate & NV_FORMATTING)
			return NVME_STATUS(NVME_SC_FORMAT_IN_PROGRESS);
	return 0;
}

static void san_take(struct vio_nvme *s, struct nv_op *op)
{
	bool crypto = SAN_ACTION(op->cdw10) == NVME_SANITIZE_SANACT_START_CRYPTO_ERASE;

	s->sanitize =
		(struct nv_sanitize){ .state = NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS, .cdw10 = op->cdw10 };
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next)
		nv_event_read(c, NV_EVENT_SANITIZE); /* of one before */
	for (uint32_t i = 1; i <= s->max_ns; i++) {
		struct nv_ns *ns = s->ns[i];

		if (!ns)
			continue;
		__atomic_add_fetch(&ns->refs, 1, __ATOMIC_RELAXED);
		VIO_STORE(&ns->erased, 0);
		VIO_STORE(&ns->to_erase, crypto ? 0 : (ns->blocks << ns->shift) * SAN_PASSES(op->cdw10));
		nv_op_add(op, ns, NV_SANITIZING);
	}
}

static uint16_t san_start(struct nv_qp *qp, const struct nvme_req *r)
{
	struct vio_nvme *s = qp->group->s;
	struct nv_op *op = nv_op_new(qp, NULL, san_job, s->max_ns);
	uint16_t status;

	if (!op)
		return NVME_STATUS(NVME_SC_INTERNAL);
	op->qp = NULL; /* the command ends when it has begun */
	op->cdw10 = r->cmd.cdw10;
	op->cdw11 = r->cmd.cdw11;
	pthread_mutex_lock(&s->lock);
	status = s->sanitize.state == NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS
			 ? NVME_STATUS(NVME_SC_SANITIZE_IN_PROGRESS)
			 : san_check(s, op->cdw10);
	if (!status)
		san_take(s, op);
	pthread_mutex_unlock(&s->lock);
	if (status)
		nv_op_drop(op);
	else
		nv_op_go(op);
	return status;
}

/* Namespaces are what the failure has left of them. */
static uint16_t san_leave(struct vio_nvme *s)
{
	struct nv_sanitize *z = &s->sanitize;
	uint16_t status = 0;

	pthread_mutex_lock(&s->lock);
	if (z->state == NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS)
		status = NVME_STATUS(NVME_SC_SANITIZE_IN_PROGRESS);
	else if (san_failed(z) && !(z->cdw10 & SAN_UNRESTRICTED))
		status = NV_NO(NVME_SC_SANITIZE_FAILED);
	z->left |= !status && san_failed(z);
	for (uint32_t i = 1; i <= s->max_ns && !status; i++) {
		if (!s->ns[i] || s->ns[i]->gate != NV_SANITIZE_FAILED)
			continue;
		VIO_STORE(&s->ns[i]->gate, 0);
		nv_attach_ns(s, s->ns[i]);
	}
	nv_ns_sync(s);
	pthread_mutex_unlock(&s->lock);
	return status;
}

uint16_t nv_sanitize(struct nv_qp *qp, struct nvme_req *r)
{
	uint16_t status = nv_resv_refuses_admin(qp, NVME_NSID_ALL);

	if (status)
		return status;
	switch (SAN_ACTION(r->cmd.cdw10)) {
	case NVME_SANITIZE_SANACT_EXIT_FAILURE:
		return san_leave(qp->group->s);
	case NVME_SANITIZE_SANACT_START_OVERWRITE:
	case NVME_SANITIZE_SANACT_START_CRYPTO_ERASE:
		return san_start(qp, r);
	default: /* a block erase would be no more than zeroes */
		return NV_NO(NVME_SC_INVALID_FIELD);
	}
}

/* In 65536ths; under the lock. */
static uint16_t san_progress(const struct vio_nvme *s)
{
	uint64_t done = 0, all = 0;

	for (uint32_t i = 1; i <= s->max_ns; i++)
		if (s->ns[i] && s->ns[i]->gate == NV_SANITIZING) {
			done += VIO_LOAD(&s->ns[i]->erased) >> 9;
			all += VIO_LOAD(&s->ns[i]->to_erase) >> 9;
		}
	return all ? (uint16_t)(VIO_MIN(done, all - 1) * 65536 / all) : 0;
}

size_t nv_sanitize_log(struct nv_qp *qp, struct nvme_sanitize_log_page *l, bool retain)
{
	struct vio_nvme *s = qp->group->s;
	uint64_t changes = san_changes(s);
	const struct nv_sanitize *z = &s->sanitize;

	pthread_mutex_lock(&s->lock);
	l->sprog = z->state == NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS ? san_progress(s) : UINT16_MAX;
	l->sstat = (uint16_t)(z->state | z->passes << NVME_SANITIZE_SSTAT_COMPLETED_PASSES_SHIFT);
	if (z->state == NVME_SANITIZE_SSTAT_STATUS_COMPLETE_SUCCESS && z->changes == changes)
		l->sstat |= NVME_SANITIZE_SSTAT_GLOBAL_DATA_ERASED;
	l->scdw10 = z->cdw10;
	l->eto = l->etbe = l->etce = l->etond = l->etbend = l->etcend = UINT32_MAX; /* nobody knows */
	if (!retain)
		nv_event_read(qp->ctrl, NV_EVENT_SANITIZE);
	pthread_mutex_unlock(&s->lock);
	return sizeof(*l);
}
