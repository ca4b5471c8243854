/* SPDX-License-Identifier: MIT */
/*
 * A poller's share of a function: one task for all its queues. A pass takes from each,
 * submits what came of it in one batch, reaps, and interrupts the guest once a completion
 * queue.
 */
#include "nvme/pci.h"

#define WORKER_TAKE 32u

static void worker_broken(struct npci_worker *w, struct npci_sq *q)
{
	if (q->said)
		return;
	q->said = true;
	vio_poller_log(w->poller, VIO_LOG_ERROR, "nvme: the guest broke queue %u: %s", q->qid,
		       q->cq->cq.broken ? "no such place in its completion queue"
					: "no such place in it, or one command id twice");
	__atomic_or_fetch(&w->p->ctrl->csts, NV_CSTS_CFS, __ATOMIC_RELAXED); /* only a reset helps */
}

static unsigned worker_take(struct npci_worker *w, struct npci_sq *q)
{
	struct nvme_req *r[WORKER_TAKE];
	int n = VIO_UNLIKELY(q->away || q->sq.stopped || !q->cq->cq.ring)
			? 0
			: nvme_sq_take(&q->sq, r, WORKER_TAKE);

	if (n > 0)
		nv_qp_serve(&q->qp, r, (unsigned)n);
	else if (VIO_UNLIKELY(n < 0))
		worker_broken(w, q);
	return n > 0 ? (unsigned)n : 0;
}

/* Queues that have ended leave; whoever asked for it is told. */
static void worker_reap(struct npci_worker *w)
{
	struct npci_sq *q, *next;

	for (q = w->sqs; q; q = next) {
		next = q->next;
		if (!q->ended || !nv_qp_ended(&q->qp))
			continue;
		npci_sq_close(q);
		if (q->removing)
			vio_poller_post(w->p->pci.poller, &q->up);
	}
}

static bool worker_idle(const struct npci_worker *w)
{
	for (const struct npci_sq *q = w->sqs; q; q = q->next)
		if (!npci_sq_idle(q))
			return false;
	return true;
}

static void worker_answer(struct npci_worker *w, struct npci_call *c)
{
	vio_poller_post(w->p->pci.poller, &c->up);
}

/* All that is under way has come back: from here on nothing is posted, so no guest memory touched. */
static void worker_pause(struct npci_worker *w)
{
	for (struct npci_cq *q = w->cqs; q; q = q->next) {
		nvme_cq_flush(&q->cq);
		npci_cq_hurry(q);
		nvme_cq_hold(&q->cq);
	}
	for (struct npci_sq *q = w->sqs; q; q = q->next)
		q->sq.log = NULL;
	w->quiet = true;
	worker_answer(w, &w->pause);
}

static void worker_dropped(struct npci_worker *w)
{
	for (struct npci_cq *q = w->cqs; q; q = q->next)
		npci_cq_hurry(q);
	w->cqs = NULL;
	w->shadow = w->event = NULL;
	w->shadow_at = w->event_at = 0;
	w->dropping = false;
	worker_answer(w, &w->drop);
}

static void worker_end(struct npci_worker *w)
{
	if (!w->group.closing)
		nv_group_shut(&w->group);
	nv_group_up(&w->group);
	if (!nv_group_ended(&w->group))
		return;
	w->ended = true;
	vio_task_del(w->poller, &w->task);
	worker_answer(w, &w->stop);
}

/* Whatever was asked for and may be so by now. */
static void worker_settle(struct npci_worker *w)
{
	worker_reap(w);
	if (w->dropping && !w->sqs)
		worker_dropped(w);
	if (w->pausing && !w->quiet && worker_idle(w))
		worker_pause(w);
	if (w->stopping && !w->ended)
		worker_end(w);
}

static unsigned worker_run(struct vio_task *task, unsigned budget)
{
	struct npci_worker *w = VIO_CONTAINER(task, struct npci_worker, task);
	unsigned work = nv_group_up(&w->group);

	(void)budget; /* a batch of each queue */
	for (struct npci_sq *q = VIO_UNLIKELY(w->pausing) ? NULL : w->sqs; q; q = q->next)
		work += worker_take(w, q);
	nv_group_down(&w->group);
	work += nv_group_up(&w->group);
	for (struct npci_cq *q = w->cqs; q; q = q->next)
		nvme_cq_flush(&q->cq);
	worker_settle(w);
	return work;
}

/* The host has to ring when it reads what it has not had room for. */
static bool worker_full(struct npci_cq *q)
{
	if (VIO_LIKELY(!q->cq.full.head || q->cq.broken || !q->cq.ring || q->w->quiet))
		return false;
	if (q->cq.event) {
		VIO_STORE(q->cq.event, q->cq.head);
		if (VIO_UNLIKELY(q->cq.log != NULL))
			vio__log_mark(q->cq.log, q->cq.event, sizeof(*q->cq.event));
		vio__full_barrier();
	}
	return VIO_LOAD(q->cq.doorbell) != q->cq.head;
}

static bool worker_arm(struct vio_task *task, bool on)
{
	struct npci_worker *w = VIO_CONTAINER(task, struct npci_worker, task);
	bool more = false;

	if (!on || w->pausing)
		return false;
	for (struct npci_sq *q = w->sqs; q; q = q->next)
		if (VIO_LIKELY(!q->away && q->cq->cq.ring && !q->sq.broken && !q->sq.stopped &&
			       !q->cq->cq.broken))
			more |= nvme_sq_kicks(&q->sq, true) && q->sq.nfree;
	for (struct npci_cq *q = w->cqs; q; q = q->next)
		more |= worker_full(q);
	return more;
}

static void worker_kick(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, kick);

	__atomic_store_n(&w->kicked, 0, __ATOMIC_SEQ_CST); /* before the doorbells are read */
	if (!w->ended)
		vio_task_wake(w->poller, &w->task);
}

void npci_worker_ring(struct npci_worker *w)
{
	if (w->poller == w->p->pci.poller)
		vio_task_wake(w->poller, &w->task);
	else if (!__atomic_exchange_n(&w->kicked, 1, __ATOMIC_SEQ_CST))
		vio_poller_post(w->poller, &w->kick);
}

static void worker_start(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, start);

	vio_task_add(w->poller, &w->task);
	nv_group_open(&w->group);
}

static void pause_down(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, pause.down);

	w->pausing = true;
	vio_task_wake(w->poller, &w->task);
}

static void pause_up(struct vio_msg *m)
{
	npci_paused(VIO_CONTAINER(m, struct npci_worker, pause.up)->p);
}

static void resume_down(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, resume.down);
	bool mapped = npci_worker_map(w);

	w->pausing = w->quiet = false;
	for (struct npci_cq *q = mapped ? w->cqs : NULL; q; q = q->next)
		npci_cq_resume(q);
	for (struct npci_sq *q = w->sqs; q; q = q->next) {
		if (mapped)
			npci_sq_resume(q);
		else
			q->away = true;
	}
	vio_task_wake(w->poller, &w->task);
}

static void drop_down(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, drop.down);

	w->dropping = true;
	for (struct npci_sq *q = w->sqs; q; q = q->next)
		npci_sq_stop(q);
	vio_task_wake(w->poller, &w->task);
}

static void drop_up(struct vio_msg *m)
{
	npci_dropped(VIO_CONTAINER(m, struct npci_worker, drop.up)->p);
}

static void stop_down(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, stop.down);

	w->stopping = true;
	vio_task_wake(w->poller, &w->task);
}

static void stop_up(struct vio_msg *m)
{
	npci_worker_ended(VIO_CONTAINER(m, struct npci_worker, stop.up)->p);
}

static void buffers_down(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, buffers.down);

	w->shadow_at = w->p->shadow_at;
	w->event_at = w->p->event_at;
	npci_worker_map(w);
	for (struct npci_cq *q = w->cqs; q; q = q->next)
		npci_cq_shadow(q);
	for (struct npci_sq *q = w->sqs; q; q = q->next)
		npci_sq_shadow(q);
	worker_answer(w, &w->buffers);
}

static void buffers_up(struct vio_msg *m)
{
	npci_buffers_set(VIO_CONTAINER(m, struct npci_worker, buffers.up)->p);
}

static void restore_down(struct vio_msg *m)
{
	struct npci_worker *w = VIO_CONTAINER(m, struct npci_worker, restore.down);

	npci_restore_part(w);
	vio_task_wake(w->poller, &w->task);
	worker_answer(w, &w->restore);
}

static void restore_up(struct vio_msg *m)
{
	npci_restored(VIO_CONTAINER(m, struct npci_worker, restore.up)->p);
}

void npci_worker_call(struct npci_worker *w, struct npci_call *c)
{
	vio_poller_post(w->poller, &c->down);
}

void npci_sq_send(struct npci_sq *q, void (*down)(struct vio_msg *m))
{
	q->down.fn = down;
	vio_poller_post(q->w->poller, &q->down);
}

void npci_cq_send(struct npci_cq *q, void (*down)(struct vio_msg *m))
{
	q->down.fn = down;
	vio_poller_post(q->w->poller, &q->down);
}

static void sq_added(struct vio_msg *m)
{
	npci_sq_added(VIO_CONTAINER(m, struct npci_sq, up));
}

static void sq_removed(struct vio_msg *m)
{
	npci_sq_removed(VIO_CONTAINER(m, struct npci_sq, up));
}

static void cq_added(struct vio_msg *m)
{
	npci_cq_added(VIO_CONTAINER(m, struct npci_cq, up));
}

static void cq_removed(struct vio_msg *m)
{
	npci_cq_removed(VIO_CONTAINER(m, struct npci_cq, up));
}

void npci_sq_add(struct vio_msg *m)
{
	struct npci_sq *q = VIO_CONTAINER(m, struct npci_sq, down);

	q->rc = npci_sq_open(q);
	q->up.fn = sq_added;
	vio_poller_post(q->w->p->pci.poller, &q->up);
}

/* The answer comes when all its commands have come back. */
void npci_sq_remove(struct vio_msg *m)
{
	struct npci_sq *q = VIO_CONTAINER(m, struct npci_sq, down);

	q->up.fn = sq_removed;
	q->removing = true;
	npci_sq_stop(q);
	vio_task_wake(q->w->poller, &q->w->task);
}

void npci_cq_add(struct vio_msg *m)
{
	struct npci_cq *q = VIO_CONTAINER(m, struct npci_cq, down);

	q->rc = npci_cq_open(q);
	q->up.fn = cq_added;
	vio_poller_post(q->w->p->pci.poller, &q->up);
}

void npci_cq_remove(struct vio_msg *m)
{
	struct npci_cq *q = VIO_CONTAINER(m, struct npci_cq, down);

	npci_cq_close(q);
	q->up.fn = cq_removed;
	vio_poller_post(q->w->p->pci.poller, &q->up);
}

static void worker_calls(struct npci_worker *w)
{
	w->start.fn = worker_start;
	w->kick.fn = worker_kick;
	w->pause = (struct npci_call){ { .fn = pause_down }, { .fn = pause_up } };
	w->resume.down.fn = resume_down;
	w->drop = (struct npci_call){ { .fn = drop_down }, { .fn = drop_up } };
	w->stop = (struct npci_call){ { .fn = stop_down }, { .fn = stop_up } };
	w->restore = (struct npci_call){ { .fn = restore_down }, { .fn = restore_up } };
	w->buffers = (struct npci_call){ { .fn = buffers_down }, { .fn = buffers_up } };
}

int npci_worker_open(struct npci_worker *w, struct nvme_pci *p, struct vio_poller *poller, size_t buffers)
{
	int rc = npool_new(&w->pool, buffers, 0);

	if (rc)
		return rc;
	w->p = p;
	w->poller = poller;
	w->task = (struct vio_task){ .run = worker_run, .arm = worker_arm };
	worker_calls(w);
	return nv_group_init(&w->group, p->s, p->port, poller, &w->task, w->pool);
}

void npci_worker_free(struct npci_worker *w)
{
	if (!w->p)
		return;
	nv_group_free(&w->group);
	npool_free(w->pool);
}
