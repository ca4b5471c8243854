/* SPDX-License-Identifier: MIT */
/* What is done to a queue on its worker's thread. */
#include "nvme/pci.h"

/* A word of the host's pages. */
static void queue_tell(struct npci_worker *w, uint32_t *at, uint32_t v)
{
	struct mem_log *log = w->p->pci.log;

	VIO_STORE(at, v);
	if (VIO_UNLIKELY(log != NULL))
		vio__log_mark(log, at, sizeof(*at));
}

static void queue_interrupt(struct npci_cq *q)
{
	if (q->late)
		vio_timer_cancel(q->w->poller, &q->delay);
	q->late = 0;
	if (q->interrupts)
		pci_interrupt(&q->w->p->pci, q->w->poller, q->vector);
}

static void queue_late(struct vio_timer *t)
{
	queue_interrupt(VIO_CONTAINER(t, struct npci_cq, delay));
}

void npci_cq_hurry(struct npci_cq *q)
{
	if (q->late)
		queue_interrupt(q);
}

/* Features 08h and 09h: how long an interrupt may be put off, in ns, and for how many entries. 0: it may not.
 */
static uint64_t queue_patience(const struct npci_cq *q, unsigned *entries)
{
	const struct nv_features *f = &q->w->p->ctrl->f;
	uint32_t c = VIO_LOAD(&f->coalescing);

	*entries = (c & 0xff) + 1;
	if (VIO_LIKELY(!(c & 0xff00)) || !q->qid || !q->interrupts ||
	    VIO_LOAD(&f->not_coalesced[q->vector / 8]) & 1u << q->vector % 8)
		return 0;
	return (c >> 8 & 0xff) * 100000ull;
}

static void queue_notify(struct nvme_cq *cq)
{
	struct npci_cq *q = cq->owner;
	unsigned entries;
	uint64_t ns = queue_patience(q, &entries);

	if (VIO_LIKELY(!ns) || q->late + cq->unsaid >= entries) {
		queue_interrupt(q);
		return;
	}
	if (!q->late)
		vio_timer_set(q->w->poller, &q->delay, ns);
	q->late += cq->unsaid;
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
static void queue_clear(struct npci_worker *w, uint32_t *bell, uint32_t *shadow, uint32_t *event)
{
	VIO_STORE(bell, 0);
	if (!shadow)
		return;
	queue_tell(w, shadow, 0);
	queue_tell(w, event, 0);
}

static int queue_make_cq(struct npci_cq *q)
{
	const struct nvme_cq_opts o = { .mem = q->w->p->mem,
					.base = q->base,
					.size = q->size,
					.vector = q->vector,
					.doorbell = npci_cq_bell(q->w->p, q->qid),
					.notify = queue_notify,
					.owner = q };

	return nvme_cq_init(&q->cq, &o);
}

static void queue_add_cq(struct npci_cq *q)
{
	q->delay.fire = queue_late;
	q->cq.log = q->w->p->pci.log;
	q->cq.doorbell = queue_cq_bells(q);
	q->next = q->w->cqs;
	q->w->cqs = q;
}

int npci_cq_open(struct npci_cq *q)
{
	struct npci_worker *w = q->w;
	uint32_t *bell = npci_cq_bell(w->p, q->qid);
	int rc = queue_make_cq(q);

	if (rc)
		return rc;
	if (queue_shadowed(w, q->qid))
		queue_clear(w, bell, &w->shadow[2 * q->qid + 1], &w->event[2 * q->qid + 1]);
	else
		queue_clear(w, bell, NULL, NULL);
	queue_add_cq(q);
	return 0;
}

/* Its host may not have had the last interrupt yet. */
int npci_cq_restore(struct npci_cq *q, const struct npci_image_cq *at)
{
	int rc = queue_make_cq(q);

	if (rc)
		return rc;
	nvme_cq_restore(&q->cq, at->tail, at->phase);
	q->cq.broken = at->broken;
	queue_add_cq(q);
	queue_interrupt(q);
	return 0;
}

void npci_cq_close(struct npci_cq *q)
{
	npci_cq_hurry(q);
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

static int queue_make_sq(struct npci_sq *q)
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

	return nvme_sq_init(&q->sq, &o);
}

static void queue_add_sq(struct npci_sq *q)
{
	q->sq.log = q->w->p->pci.log;
	queue_sq_bells(q);
	queue_join(q);
	q->next = q->w->sqs;
	q->w->sqs = q;
}

int npci_sq_open(struct npci_sq *q)
{
	struct npci_worker *w = q->w;
	uint32_t *bell = npci_sq_bell(w->p, q->qid);
	int rc = queue_make_sq(q);

	if (rc)
		return rc;
	if (queue_shadowed(w, q->qid))
		queue_clear(w, bell, &w->shadow[2 * q->qid], &w->event[2 * q->qid]);
	else
		queue_clear(w, bell, NULL, NULL);
	queue_add_sq(q);
	return 0;
}

int npci_sq_restore(struct npci_sq *q, const struct npci_image_sq *at)
{
	int rc = queue_make_sq(q);

	if (rc)
		return rc;
	q->sq.head = at->head;
	q->sq.broken = q->said = at->broken;
	queue_add_sq(q);
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
	unsigned busy = q->sq.nslots - q->sq.nfree - q->qp.naers - !!q->sq.half;

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
	if (w->shadow && w->event)
		return true;
	w->shadow = w->event = NULL;
	return false;
}

void npci_cq_resume(struct npci_cq *q)
{
	q->cq.log = q->w->p->pci.log;
	nvme_cq_remap(&q->cq, q->w->p->mem, q->base, queue_cq_bells(q));
}

void npci_sq_resume(struct npci_sq *q)
{
	q->sq.log = q->w->p->pci.log;
	queue_sq_bells(q);
	q->away = nvme_sq_remap(&q->sq, q->w->p->mem, q->base) < 0;
}

void npci_sq_shadow(struct npci_sq *q)
{
	uint32_t now = VIO_LOAD(q->sq.doorbell);

	if (!queue_shadowed(q->w, q->qid))
		return;
	queue_sq_bells(q);
	queue_tell(q->w, &q->w->shadow[2 * q->qid], now);
	queue_tell(q->w, q->sq.event, now);
}

void npci_cq_shadow(struct npci_cq *q)
{
	uint32_t now = VIO_LOAD(q->cq.doorbell);

	if (!queue_shadowed(q->w, q->qid))
		return;
	q->cq.doorbell = queue_cq_bells(q);
	queue_tell(q->w, &q->w->shadow[2 * q->qid + 1], now);
}
