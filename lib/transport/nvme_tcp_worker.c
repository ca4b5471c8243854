/* SPDX-License-Identifier: MIT */
/*
 * A poller's share: one task for all its connections. A pass receives from all that have
 * something, submits what came of it in one batch, reaps, and answers each connection once.
 */
#include "transport/nvme_tcp.h"

#define WORKER_BUFFERS (32u << 20)

static struct ntt_conn *worker_conn(struct ntq *q)
{
	return VIO_CONTAINER(q, struct ntt_conn, q);
}

/* Each connection that is active now, once: what becomes active meanwhile has its turn in the next walk. */
static unsigned worker_each(struct ntt_worker *w, unsigned (*f)(struct ntt_conn *c))
{
	struct ntq *last = w->queues.active_last, *q;
	unsigned work = 0;
	bool more = w->queues.active;

	while (more && (q = ntq_next_active(&w->queues))) {
		more = q != last;
		work += f(worker_conn(q));
	}
	return work;
}

static unsigned worker_down(struct ntt_conn *c)
{
	unsigned work = ntt_conn_down(c);

	ntq_activate(&c->q); /* for the walk that answers */
	return work;
}

/* No connection is left, nor one on its way here: the lanes end, then this. */
static void worker_end(struct ntt_worker *w)
{
	if (w->conns || __atomic_load_n(&w->nconns, __ATOMIC_ACQUIRE))
		return;
	if (!w->group.closing)
		nv_group_shut(&w->group);
	nv_group_up(&w->group);
	if (!nv_group_ended(&w->group))
		return;
	w->ended = true;
	vio_task_del(w->poller, &w->task);
	vio_poller_post(w->t->poller, &w->answer);
}

static unsigned worker_run(struct vio_task *task, unsigned budget)
{
	struct ntt_worker *w = VIO_CONTAINER(task, struct ntt_worker, task);
	unsigned work = nv_group_up(&w->group);

	(void)budget; /* a connection's queue is its budget */
	work += worker_each(w, worker_down);
	nv_group_down(&w->group);
	work += nv_group_up(&w->group);
	work += worker_each(w, ntt_conn_up);
	ntq_group_serve_waiting(&w->queues); /* by what was sent just now */
	if (VIO_UNLIKELY(w->stopping && !w->ended))
		worker_end(w);
	return work;
}

static bool worker_arm(struct vio_task *task, bool on)
{
	struct ntt_worker *w = VIO_CONTAINER(task, struct ntt_worker, task);

	return on && w->queues.active;
}

static void worker_wake(struct ntq_group *g)
{
	struct ntt_worker *w = VIO_CONTAINER(g, struct ntt_worker, queues);

	vio_task_wake(w->poller, &w->task);
}

void ntt_worker_start(struct ntt_worker *w)
{
	if (w->started)
		return;
	w->started = true;
	vio_task_add(w->poller, &w->task);
	nv_group_open(&w->group);
}

static void worker_start(struct vio_msg *m)
{
	ntt_worker_start(VIO_CONTAINER(m, struct ntt_worker, start));
}

static void worker_stop(struct vio_msg *m)
{
	struct ntt_worker *w = VIO_CONTAINER(m, struct ntt_worker, stop);

	ntt_worker_start(w);
	w->stopping = true;
	for (struct ntt_conn *c = w->conns; c; c = c->next)
		ntt_conn_drain(c);
	vio_task_wake(w->poller, &w->task);
}

static void worker_answer(struct vio_msg *m)
{
	ntt_worker_ended(VIO_CONTAINER(m, struct ntt_worker, answer));
}

int ntt_worker_open(struct ntt_worker *w, struct vio_nvme_tcp *t, struct vio_poller *p)
{
	int rc = ntq_group_open(&w->queues, t->opts.buffers ? t->opts.buffers : WORKER_BUFFERS);

	if (rc)
		return rc;
	rc = nv_group_init(&w->group, t->s, t->opts.port, p, &w->task, w->queues.pool);
	if (rc) {
		ntq_group_close(&w->queues);
		return rc;
	}
	w->t = t;
	w->poller = p;
	w->queues.wake = worker_wake;
	w->queues.digests &= !t->opts.no_digests;
	w->task = (struct vio_task){ .run = worker_run, .arm = worker_arm };
	w->start.fn = worker_start;
	w->stop.fn = worker_stop;
	w->answer.fn = worker_answer;
	return 0;
}

void ntt_worker_free(struct ntt_worker *w)
{
	if (!w->t)
		return;
	nv_group_free(&w->group);
	ntq_group_close(&w->queues);
}
