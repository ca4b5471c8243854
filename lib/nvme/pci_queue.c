/* SPDX-License-Identifier: MIT */
/* What is done to a queue on its worker's thread. */
#include "nvme/pci.h"

static void queue_notify(struct nvme_cq *cq)
{
	struct npci_cq *q = cq->owner;

	if (q->interrupts)
		pci_interrupt(&q->w->p->pci, q->w->poller, q->vector);
}

/* Its own address is its host's: the admin queue has no shadow. */
static bool queue_shadowed(const struct npci_worker *w, uint16_t qid)
{
	return qid && w->shadow;
}

static void queue_sq_bells(struct npci_sq *q)
{
	struct npci_worker *w = q->w;
	bool shadowed = queue_shadowed(w, q->qid);

	q->sq.doorbell = shadowed ? &w->shadow[2 * q->qid] : npci_sq_bell(w->p, q->qid);
	q->sq.event = shadowed ? &w->event[2 * q->qid] : NULL;
}

static const uint32_t *queue_cq_bells(struct npci_cq *q)
{
	struct npci_worker *w = q->w;
	bool shadowed = queue_shadowed(w, q->qid);

	q->cq.event = shadowed ? &w->event[2 * q->qid + 1] : NULL;
	return shadowed ? &w->shadow[2 * q->qid + 1] : npci_cq_bell(w->p, q->qid);
}

/* The words of a new queue: what an earlier one has left there is not its own. */
static void queue_clear(uint32_t *bell, uint32_t *shadow, uint32_t *event)
{
	VIO_STORE(bell, 0);
	if (!shadow)
		return;
	VIO_STORE(shadow, 0);
	VIO_STORE(event, 0);
}

int npci_cq_open(struct npci_cq *q)
{
	struct npci_worker *w = q->w;
	uint32_t *bell = npci_cq_bell(w->p, q->qid);
	const struct nvme_cq_opts o = { .mem = w->p->mem,
					.base = q->base,
					.size = q->size,
					.vector = q->vector,
					.doorbell = bell,
					.notify = queue_notify,
					.owner = q };
	int rc = nvme_cq_init(&q->cq, &o);

	if (rc)
		return rc;
	if (queue_shadowed(w, q->qid))
		queue_clear(bell, &w->shadow[2 * q->qid + 1], &w->event[2 * q->qid + 1]);
	else
		queue_clear(bell, NULL, NULL);
	q->cq.doorbell = queue_cq_bells(q);
	q->next = w->cqs;
	w->cqs = q;
	return 0;
}

void npci_cq_close(struct npci_cq *q)
{
	for (struct npci_cq **at = &q->w->cqs; *at; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			break;
		}
}

static void queue_ended(struct nvme_sq *sq)
{
	struct npci_sq *q = VIO_CONTAINER(sq, struct npci_sq, sq);

	q->ended = true;
	vio_task_wake(q->w->poller, &q->w->task);
}

static void queue_join(struct npci_sq *q)
{
	struct nv_ctrl *c = q->w->p->ctrl;

	nv_qp_init(&q->qp, &q->w->group, &q->sq.q);
	pthread_mutex_lock(&c->s->lock);
	nv_ctrl_join(&q->qp, c, q->qid);
	pthread_mutex_unlock(&c->s->lock);
}

int npci_sq_open(struct npci_sq *q)
{
	struct npci_worker *w = q->w;
	const struct nvme_sq_opts o = { .mem = w->p->mem,
					.pool = w->pool,
					.base = q->base,
					.size = q->size,
					.slots = VIO_MIN(q->size, NPCI_SLOTS),
					.id = q->qid,
					.doorbell = npci_sq_bell(w->p, q->qid),
					.cq = &q->cq->cq,
					.ended = queue_ended };
	int rc = nvme_sq_init(&q->sq, &o);

	if (rc)
		return rc;
	if (queue_shadowed(w, q->qid))
		queue_clear(npci_sq_bell(w->p, q->qid), &w->shadow[2 * q->qid], &w->event[2 * q->qid]);
	else
		queue_clear(npci_sq_bell(w->p, q->qid), NULL, NULL);
	queue_sq_bells(q);
	queue_join(q);
	q->next = w->sqs;
	w->sqs = q;
	return 0;
}

/* Commands that wait for events come back at once; they are not posted any more. */
void npci_sq_stop(struct npci_sq *q)
{
	if (q->sq.stopped)
		return;
	nvme_sq_stop(&q->sq);
	nv_qp_close(&q->qp);
}

void npci_sq_close(struct npci_sq *q)
{
	for (struct npci_sq **at = &q->w->sqs; *at; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			break;
		}
	nvme_sq_fini(&q->sq);
}

/* Answers that wait for room in the completion queue, and commands that wait for events, touch nothing. */
bool npci_sq_idle(const struct npci_sq *q)
{
	unsigned busy = q->sq.nslots - q->sq.nfree - q->qp.naers;

	for (const struct nvme_req *r = q->cq->cq.full.head; r; r = r->next)
		busy -= r->q == &q->sq.q;
	return !busy;
}

bool npci_worker_map(struct npci_worker *w)
{
	struct vio_mem *mem = w->p->mem;

	if (!w->shadow_at)
		return true;
	w->shadow = vio_mem_ptr(mem, w->shadow_at, NRING_PAGE);
	w->event = vio_mem_ptr(mem, w->event_at, NRING_PAGE);
	return w->shadow && w->event;
}

void npci_cq_resume(struct npci_cq *q)
{
	nvme_cq_remap(&q->cq, q->w->p->mem, q->base, queue_cq_bells(q));
}

void npci_sq_resume(struct npci_sq *q)
{
	queue_sq_bells(q);
	q->away = nvme_sq_remap(&q->sq, q->w->p->mem, q->base) < 0;
}

void npci_sq_shadow(struct npci_sq *q)
{
	uint32_t now = VIO_LOAD(q->sq.doorbell);

	if (!queue_shadowed(q->w, q->qid))
		return;
	queue_sq_bells(q);
	VIO_STORE(&q->w->shadow[2 * q->qid], now);
	VIO_STORE(q->sq.event, now);
}

void npci_cq_shadow(struct npci_cq *q)
{
	uint32_t now = VIO_LOAD(q->cq.doorbell);

	if (!queue_shadowed(q->w, q->qid))
		return;
	q->cq.doorbell = queue_cq_bells(q);
	VIO_STORE(&q->w->shadow[2 * q->qid + 1], now);
}
