/* SPDX-License-Identifier: MIT */
/*
 * A controller moves (pci_image.h). It is written down while it is quiet, so what is under way is
 * only commands that wait for events, and answers for which their queues have no room. Taken from
 * such an image it first is off; when it runs for the first time each worker opens the queues that
 * are its own, where they stood.
 */
#include "nvme/pci.h"

static uint32_t move_bell(uint32_t bell, uint32_t size)
{
	return bell < size ? bell : 0;
}

static void save_cq(struct nvme_pci *p, struct npci_image *im, const struct npci_cq *q)
{
	struct npci_image_cq *to = &im->cq[im->ncqs++];

	*to = (struct npci_image_cq){ .base = q->base,
				      .size = q->size,
				      .tail = q->cq.tail,
				      .bell = move_bell(VIO_LOAD(npci_cq_bell(p, q->qid)), q->size),
				      .qid = q->qid,
				      .vector = q->vector,
				      .phase = q->cq.phase,
				      .interrupts = q->interrupts,
				      .broken = q->cq.broken };
	for (const struct nvme_req *r = q->cq.full.head; r; r = r->next)
		im->answers[im->nanswers++] = (struct npci_image_answer){ .result = r->result,
									  .sqid = nvme_sq_of(r->q)->id,
									  .cid = r->cmd.cid,
									  .status = r->status };
}

/* One that was ended by us goes on as one that is broken: only a reset helps either. */
static void save_sq(struct nvme_pci *p, struct npci_image *im, const struct npci_sq *q)
{
	bool ended = q->ended || q->sq.stopped;

	im->sq[im->nsqs++] =
		(struct npci_image_sq){ .base = q->base,
					.size = q->size,
					.head = ended ? 0 : q->sq.head,
					.bell = move_bell(VIO_LOAD(npci_sq_bell(p, q->qid)), q->size),
					.qid = q->qid,
					.cqid = q->cq->qid,
					.broken = ended || q->sq.broken };
}

static void save_queues(struct nvme_pci *p, struct npci_image *im)
{
	for (unsigned i = 0; i <= p->queues; i++)
		if (p->cq[i])
			save_cq(p, im, p->cq[i]);
	for (unsigned i = 0; i <= p->queues; i++)
		if (p->sq[i])
			save_sq(p, im, p->sq[i]);
	for (const struct nvme_req *r = p->sq[0] ? p->sq[0]->qp.aers.head : NULL; r && im->naers < NV_AERS;
	     r = r->next)
		im->aers[im->naers++] = r->cmd.cid;
}

static void save_controller(struct nvme_pci *p, struct npci_image *im)
{
	const struct nv_ctrl *c = p->ctrl;

	memcpy(im->nqn, p->s->nqn, sizeof(im->nqn));
	memcpy(im->serial, p->s->serial, sizeof(im->serial));
	im->cntlid = c->cntlid;
	im->queues = (uint16_t)p->queues;
	im->cc = c->cc;
	im->csts = VIO_LOAD(&c->csts);
	im->aqa = p->aqa;
	im->asq = p->asq;
	im->acq = p->acq;
	im->up = p->up && !p->dropping;
	if (!im->up) {
		im->csts &= ~NV_CSTS_RDY;
		return;
	}
	im->f = c->f;
	im->kato = c->kato;
	memcpy(im->hostid, c->hostid, sizeof(im->hostid));
	pthread_mutex_lock(&p->s->lock);
	im->events_masked = c->events_masked;
	pthread_mutex_unlock(&p->s->lock);
	im->shadow_at = p->shadow_at;
	im->event_at = p->event_at;
	save_queues(p, im);
}

static unsigned save_answers(const struct nvme_pci *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i <= p->queues; i++)
		for (const struct nvme_req *r = p->cq[i] ? p->cq[i]->cq.full.head : NULL; r; r = r->next)
			n++;
	return n;
}

/* It has not run since it came, but its host may have rung. */
static void save_image(struct nvme_pci *p, struct pci_out *o)
{
	struct npci_image *im = p->image;

	for (unsigned i = 0; i < im->ncqs; i++)
		im->cq[i].bell = move_bell(VIO_LOAD(npci_cq_bell(p, im->cq[i].qid)), im->cq[i].size);
	for (unsigned i = 0; i < im->nsqs; i++)
		im->sq[i].bell = move_bell(VIO_LOAD(npci_sq_bell(p, im->sq[i].qid)), im->sq[i].size);
	npci_image_put(im, o);
}

void npci_save(struct vio_pci *f, struct pci_out *o)
{
	struct nvme_pci *p = npci_of(f);
	struct npci_image *im;

	if (p->image) {
		save_image(p, o);
		return;
	}
	im = npci_image_new(p->queues, save_answers(p));
	if (!im) {
		o->failed = true;
		return;
	}
	save_controller(p, im);
	npci_image_put(im, o);
	npci_image_free(im);
}

/* The host knows its controller by these. */
static int load_identity(struct nvme_pci *p, const struct npci_image *im)
{
	struct vio_nvme *s = p->s;
	bool ok;

	if (memcmp(im->nqn, s->nqn, sizeof(im->nqn)) || memcmp(im->serial, s->serial, sizeof(im->serial)))
		return vio__fail(EINVAL, "nvme: the state is of %.223s, %.20s; expected %s, %.20s", im->nqn,
				 im->serial, s->nqn, s->serial);
	pthread_mutex_lock(&s->lock);
	ok = nv_ctrl_rename(p->ctrl, im->cntlid);
	pthread_mutex_unlock(&s->lock);
	return ok ? 0
		  : vio__fail(EINVAL, "nvme: controller %u can't be this one, another has its id",
			      im->cntlid);
}

static void load_registers(struct nvme_pci *p)
{
	const struct npci_image *im = p->image;

	p->ctrl->cc = im->cc;
	VIO_STORE(&p->ctrl->csts, im->csts);
	p->aqa = im->aqa;
	p->asq = im->asq;
	p->acq = im->acq;
}

/* From here on the host may ring, though nobody is there yet who listens. */
static void load_bells(struct nvme_pci *p)
{
	const struct npci_image *im = p->image;

	for (unsigned i = 0; i < im->ncqs; i++)
		VIO_STORE(npci_cq_bell(p, im->cq[i].qid), im->cq[i].bell);
	for (unsigned i = 0; i < im->nsqs; i++)
		VIO_STORE(npci_sq_bell(p, im->sq[i].qid), im->sq[i].bell);
}

int npci_load(struct vio_pci *f, struct pci_in *in)
{
	struct nvme_pci *p = npci_of(f);
	struct npci_image *im;
	int rc = npci_image_take(&im, in, p->queues, f->vectors);

	rc = rc ? rc : load_identity(p, im);
	if (rc) {
		npci_image_free(im);
		return rc;
	}
	npci_image_drop(p);
	p->image = im;
	load_registers(p);
	load_bells(p);
	return 0;
}

void npci_image_drop(struct nvme_pci *p)
{
	if (p->restoring) /* it is being read; and freed when it has been */
		return;
	npci_image_free(p->image);
	p->image = NULL;
}

static bool restore_queues(struct nvme_pci *p, const struct npci_image *im)
{
	for (unsigned i = 0; i < im->ncqs; i++) {
		const struct npci_image_cq *at = &im->cq[i];
		struct npci_cq *q = calloc(1, sizeof(*q));

		if (!q)
			return false;
		q->w = npci_worker_of(p, at->qid);
		q->base = at->base;
		q->size = at->size;
		q->qid = at->qid;
		q->vector = at->vector;
		q->interrupts = at->interrupts;
		p->cq[at->qid] = q;
	}
	for (unsigned i = 0; i < im->nsqs; i++) {
		const struct npci_image_sq *at = &im->sq[i];
		struct npci_sq *q = calloc(1, sizeof(*q));

		if (!q)
			return false;
		q->cq = p->cq[at->cqid];
		q->w = q->cq->w;
		q->base = at->base;
		q->size = at->size;
		q->qid = at->qid;
		p->sq[at->qid] = q;
	}
	return true;
}

static void restore_controller(struct nvme_pci *p, const struct npci_image *im)
{
	struct nv_ctrl *c = p->ctrl;

	pthread_mutex_lock(&c->s->lock);
	c->f = im->f;
	memcpy(c->hostid, im->hostid, sizeof(c->hostid));
	c->kato = im->kato;
	c->events_masked = im->events_masked;
	c->many_changed = true; /* here may be others than there: the host looks anew */
	c->events_due = 1u << NV_EVENT_NS;
	pthread_mutex_unlock(&c->s->lock);
	p->shadow_at = im->shadow_at;
	p->event_at = im->event_at;
}

static void restore_broken(struct nvme_pci *p)
{
	vio_poller_log(p->pci.poller, VIO_LOG_ERROR,
		       "nvme: controller %u can't go on where it was: its queues are no guest memory, or "
		       "there is none",
		       p->ctrl->cntlid);
	__atomic_or_fetch(&p->ctrl->csts, NV_CSTS_CFS, __ATOMIC_RELAXED);
}

/* One that was off has nothing but its registers, and is enabled if they say so. */
void npci_restore(struct nvme_pci *p)
{
	load_registers(p);
	if (!p->image->up) {
		npci_image_drop(p);
		npci_settle(p);
		return;
	}
	p->up = true;
	restore_controller(p, p->image);
	if (!restore_queues(p, p->image))
		restore_broken(p);
	p->restoring = p->nworkers;
	for (unsigned i = 0; i < p->nworkers; i++)
		npci_worker_call(&p->workers[i], &p->workers[i].restore);
}

static void restore_events(struct npci_sq *q, const struct npci_image *im)
{
	for (unsigned i = 0; i < im->naers && !q->rc; i++) {
		struct nvme_req *r = nvme_sq_restore(&q->sq, im->aers[i]);

		if (!r) {
			q->rc = -EINVAL;
			return;
		}
		r->cmd.opcode = nvme_admin_async_event;
		nvme_reqs_push(&q->qp.aers, r);
		q->qp.naers++;
	}
}

static void restore_answers(struct npci_worker *w, const struct npci_image *im)
{
	for (unsigned i = 0; i < im->nanswers; i++) {
		const struct npci_image_answer *a = &im->answers[i];
		struct npci_sq *q = w->p->sq[a->sqid];
		struct nvme_req *r;

		if (!q || q->w != w || q->rc)
			continue;
		r = nvme_sq_restore(&q->sq, a->cid);
		if (!r) {
			q->rc = -EINVAL;
			continue;
		}
		r->status = a->status;
		r->result = a->result;
		nvme_reqs_push(&q->cq->cq.full, r);
	}
}

static int restore_cq(struct npci_cq *q, const struct npci_image_cq *at, bool mapped)
{
	return mapped || !at->qid ? npci_cq_restore(q, at) : -EFAULT;
}

static int restore_sq(struct npci_sq *q, const struct npci_image_sq *at)
{
	return q->cq->rc ? q->cq->rc : npci_sq_restore(q, at);
}

/* What can't be opened is not there; control sees to it that the host hears of it. */
void npci_restore_part(struct npci_worker *w)
{
	const struct npci_image *im = w->p->image;
	bool mapped;

	w->shadow_at = im->shadow_at;
	w->event_at = im->event_at;
	mapped = npci_worker_map(w);
	for (unsigned i = 0; i < im->ncqs; i++) {
		struct npci_cq *q = w->p->cq[im->cq[i].qid];

		if (q && q->w == w)
			q->rc = restore_cq(q, &im->cq[i], mapped);
	}
	for (unsigned i = 0; i < im->nsqs; i++) {
		struct npci_sq *q = w->p->sq[im->sq[i].qid];

		if (q && q->w == w)
			q->rc = restore_sq(q, &im->sq[i]);
	}
	if (w == &w->p->workers[0] && w->p->sq[0]) {
		restore_events(w->p->sq[0], im);
		w->p->sq[0]->away = true; /* no admin command before all queues are there */
	}
	restore_answers(w, im);
}

void npci_restored(struct nvme_pci *p)
{
	bool ok = true;

	if (--p->restoring)
		return;
	for (unsigned i = 0; i <= p->queues; i++) {
		if (p->cq[i])
			ok &= p->cq[i]->ready = !p->cq[i]->rc;
		if (p->sq[i])
			ok &= p->sq[i]->ready = !p->sq[i]->rc;
	}
	npci_image_drop(p);
	if (!ok)
		restore_broken(p);
	if (!p->sq[0] || !p->sq[0]->ready || p->dropping)
		return;
	p->sq[0]->away = false;
	nv_ctrl_alive(&p->sq[0]->qp);
	nv_event_tell(&p->sq[0]->qp);
	vio_task_wake(p->pci.poller, &p->workers[0].task);
}
