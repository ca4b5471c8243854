/* SPDX-License-Identifier: MIT */
/* A connection's life, and the lists of those that have something to do. */
#include "queue/nvme_tcp.h"

#include <unistd.h>

#define NTQ_CAPSULES 1024u /* buffers of capsules' data a group */

int ntq_group_open(struct ntq_group *g, size_t bytes)
{
	int rc;

	memset(g, 0, sizeof(*g));
	rc = npool_new(&g->pool, bytes, NTQ_CAPSULES);
	if (rc)
		return rc;
	g->digests = vio__nvme_tcp_has_digests();
	g->quota = VIO_MAX(bytes / 2, (size_t)NPOOL_MAX);
	g->recv = malloc(NTQ_RECV);
	if (g->recv)
		return 0;
	npool_free(g->pool);
	return vio__fail(ENOMEM, "nvme-tcp: out of memory for a receive buffer");
}

void ntq_group_close(struct ntq_group *g)
{
	npool_free(g->pool);
	free(g->recv);
}

void ntq_activate(struct ntq *q)
{
	struct ntq_group *g = q->group;

	if (q->active)
		return;
	q->active = true;
	q->next_active = NULL;
	if (g->active)
		g->active_last->next_active = q;
	else
		g->active = q;
	g->active_last = q;
	if (g->wake)
		g->wake(g);
}

struct ntq *ntq_next_active(struct ntq_group *g)
{
	struct ntq *q = g->active;

	if (q) {
		g->active = q->next_active;
		q->active = false;
	}
	return q;
}

static void ntq_give(struct nvme_queue *queue, struct nvme_req *r)
{
	struct ntq *q = ntq_of(queue);
	struct ntq_slot *s = ntq_slot_of(r);

	q->taken--;
	q->group->answered++;
	if (q->phase == NTQ_LIVE)
		ntq_answer(q, s);
	else
		ntq_slot_free(q, s);
	ntq_activate(q);
}

/* Takes q's commands off the group's list of those that wait for buffers. */
static void ntq_unwait(struct ntq *q)
{
	struct ntq_group *g = q->group;
	struct nvme_reqs keep = { 0 };
	struct nvme_req *r;

	while ((r = nvme_reqs_pop(&g->waiting)))
		if (r->q != &q->queue)
			nvme_reqs_push(&keep, r);
	g->waiting = keep;
	q->over = (struct nvme_reqs){ 0 };
}

void ntq_drain(struct ntq *q)
{
	q->ending = true;
	q->slot = NULL;
	if (q->half)
		ntq_slot_refuse(q, q->half, NVME_SC_FUSED_MISSING);
	ntq_unwait(q);
	for (unsigned i = 0; i < q->fresh; i++) {
		struct ntq_slot *s = &q->slots[i];

		if (s->state == NTQ_SLOT_WAITS || (s->state == NTQ_SLOT_DATA && !s->queued))
			ntq_slot_free(q, s);
	}
	ntq_activate(q);
}

static void ntq_end(struct nvme_queue *queue, bool now)
{
	struct ntq *q = ntq_of(queue);

	if (q->phase == NTQ_LIVE && !now)
		ntq_drain(q);
	q->hangup |= now;
	ntq_activate(q);
}

static int ntq_accept(struct nvme_queue *queue, unsigned entries, bool sqflow)
{
	struct ntq *q = ntq_of(queue);

	q->slots = malloc(entries * sizeof(*q->slots));
	if (!q->slots)
		return vio__fail(ENOMEM, "nvme-tcp: out of memory for %u commands", entries);
	q->entries = entries;
	q->sqflow = sqflow;
	q->sqhd = (uint16_t)(1 % entries); /* Connect was the first */
	q->connected = true;
	return 0;
}

int ntq_open(struct ntq *q, struct ntq_group *g, int fd)
{
	static const struct nvme_queue_ops ops = {
		.give = ntq_give, .accept = ntq_accept, .abort = ntq_abort, .end = ntq_end
	};

	memset(q, 0, sizeof(*q));
	q->queue = (struct nvme_queue){ .ops = &ops, .pool = g->pool, .max_len = NPOOL_MAX };
	q->group = g;
	q->fd = fd;
	q->readable = q->writable = true;
	q->sqflow = true;
	q->first.tag = NTQ_FIRST;
	q->cids = malloc(NTQ_BUCKETS * sizeof(*q->cids));
	if (!q->cids) {
		close(fd);
		return vio__fail(ENOMEM, "nvme-tcp: out of memory for a connection");
	}
	memset(q->cids, 0xff, NTQ_BUCKETS * sizeof(*q->cids));
	return 0;
}

void ntq_close(struct ntq *q)
{
	free(q->slots);
	free(q->cids);
}

/* Takes q off the group's lists, which nobody else may find it on. */
static void ntq_unlist(struct ntq *q)
{
	struct ntq_group *g = q->group;

	ntq_unwait(q);
	for (struct ntq **at = &g->starved; *at; at = &(*at)->next_starved)
		if (*at == q) {
			*at = q->next_starved;
			break;
		}
	q->starved = false;
}

/* Every slot that is ours, whatever it waits for; those that are taken come back by themselves. */
static void ntq_forget(struct ntq *q)
{
	q->ready = (struct nvme_reqs){ 0 };
	for (unsigned i = 0; i <= q->fresh; i++) {
		struct ntq_slot *s = i < q->fresh ? &q->slots[i] : &q->first;

		if (s->state != NTQ_SLOT_FREE && s->state != NTQ_SLOT_TAKEN)
			ntq_slot_free(q, s);
	}
	q->out_head = q->out_tail = q->slot = NULL;
	q->ctl_len = 0;
}

void ntq_hang_up(struct ntq *q)
{
	if (q->phase == NTQ_GONE)
		return;
	q->phase = NTQ_GONE;
	q->left = 0;
	q->sum_comes = false;
	close(q->fd);
	q->fd = -1;
	ntq_unlist(q);
	ntq_forget(q);
}

bool ntq_gone(const struct ntq *q)
{
	return q->phase == NTQ_GONE && !q->taken;
}

bool ntq_waits_for_host(const struct ntq *q)
{
	return q->have || q->left || q->sum_comes || q->coming || q->out_head || q->ctl_len;
}

bool ntq_finished(const struct ntq *q)
{
	if (q->phase == NTQ_GONE || q->hangup)
		return true;
	return q->ending && q->phase != NTQ_TERM && !q->used && !q->ctl_len;
}
