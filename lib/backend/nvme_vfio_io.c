/* SPDX-License-Identifier: MIT */
/* Requests as commands: a request beyond what a command may carry is cut into several. */
#include "backend/nvme_vfio.h"

#define IO_LIVES 3u   /* resets that a command may be lost with before it fails */
#define IO_RETRIES 8u /* of a command that the controller says to try again */

static struct drive_cut *io_cut(const struct drive_lane *v, struct vio_req *r)
{
	return vio_req_scratch(v->lane, r);
}

static void io_finish(struct drive_lane *v, struct vio_req *r, int res)
{
	r->res = res;
	drive_count(&v->count->completed, 1);
	if (res)
		drive_count(&v->count->errors, 1);
	vio_reqs_push(&v->done, r);
}

unsigned vio__drive_room(struct vio_lane *l)
{
	const struct drive_lane *v = l->priv;

	if (VIO_UNLIKELY(v->failing))
		return v->depth; /* to be told so */
	return v->nfree > v->nwaiting ? v->nfree - v->nwaiting : 0;
}

/* Requests that need no controller, or can't have one. */
static bool io_at_once(struct drive_lane *v, struct vio_req *r)
{
	uint64_t mask = (1ull << v->store.shift) - 1;

	if (VIO_UNLIKELY(v->failing))
		io_finish(v, r, -EIO);
	else if (r->op >= 32 || !(v->store.ops >> r->op & 1))
		io_finish(v, r, -EOPNOTSUPP);
	else if (r->op == VIO_OP_FLUSH ? !v->store.volatile_cache : !r->len)
		io_finish(v, r, 0);
	else if (r->op != VIO_OP_FLUSH && (r->offset | r->len) & mask)
		io_finish(v, r, -EINVAL);
	else
		return false;
	return true;
}

static void io_post(struct drive_lane *v, struct drive_slot *s)
{
	s->since = vio_poller_now(v->lane->poller);
	s->out = true;
	s->aborted = false;
	drive_count(&v->count->commands, 1);
	drive_queue_post(&v->q, &s->cmd);
}

/* A deallocation's range lies where another command has its list. */
static void io_range(struct drive_lane *v, struct drive_slot *s, uint64_t pos)
{
	uint64_t at = (uint64_t)(s - v->slot) * DRIVE_LIST;
	struct nvme_dsm_range range = vio__nvme_range(v->store.shift, s->req, pos, s->span);

	memcpy(v->lists + at, &range, sizeof(range));
	s->cmd.prp1 = v->lists_iova + at;
}

/* The next part of r, if there is a bounce buffer where it needs one. */
static bool io_part(struct drive_lane *v, struct vio_req *r)
{
	struct drive_slot *s = &v->slot[v->free[v->nfree - 1]];
	struct drive_cut *c = io_cut(v, r);
	struct nvme_cmd data;

	s->req = r;
	s->start = c->at;
	s->span = VIO_MIN(nvme_total(r) - c->pos, vio__nvme_most(r, v->store.shift, v->store.max_part));
	s->lives = s->retries = 0;
	s->cmd = (struct nvme_cmd){ 0 };
	if (r->op <= VIO_OP_WRITE && VIO_UNLIKELY(!vio__drive_data(v, s))) {
		s->req = NULL;
		return false;
	}
	data = s->cmd;
	s->cmd = vio__nvme_command(v->store.shift, (uint32_t)v->d->nsid, r, c->pos, s->span);
	s->cmd.flags = data.flags;
	s->cmd.sgl = data.sgl; /* the PRPs, if it has those */
	s->cmd.cid = (uint16_t)(s - v->slot);
	if (r->op == VIO_OP_DISCARD)
		io_range(v, s, c->pos);
	v->nfree--;
	for (uint64_t n = r->op <= VIO_OP_WRITE ? s->span : 0; n;) {
		char *ptr;

		n -= drive_piece(&c->at, n, &ptr);
	}
	c->pos += s->span;
	c->parts++;
	io_post(v, s);
	return true;
}

static void io_more(struct drive_lane *v)
{
	struct vio_req *r;

	while (v->nfree && (r = v->waiting.head)) {
		if (!io_part(v, r))
			return;
		if (io_cut(v, r)->pos < nvme_total(r))
			continue;
		vio_reqs_pop(&v->waiting);
		v->nwaiting--;
	}
}

/* One write a batch and queue. */
static void io_ring(struct drive_lane *v)
{
	if (v->q.tail == v->q.sq_bell.said)
		return;
	drive_bell_ring(v->d->f, &v->q.sq_bell, v->q.tail);
	drive_count(&v->count->doorbells, 1);
}

void vio__drive_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct drive_lane *v = l->priv;

	drive_count(&v->count->submitted, n);
	for (unsigned i = 0; i < n; i++) {
		if (VIO_UNLIKELY(io_at_once(v, r[i])))
			continue;
		*io_cut(v, r[i]) = (struct drive_cut){ .at = { .iov = r[i]->iov } };
		vio_reqs_push(&v->waiting, r[i]);
		v->nwaiting++;
	}
	if (VIO_LIKELY(v->joined)) {
		io_more(v);
		io_ring(v);
	}
	if (VIO_UNLIKELY(v->done.head))
		vio_lane_wake(l);
	if (VIO_UNLIKELY(!v->ticking))
		vio__drive_tick(v);
}

/* A part is over: its slot is free. */
static void io_part_done(struct drive_lane *v, struct drive_slot *s, int err)
{
	struct vio_req *r = s->req;
	struct drive_cut *c = io_cut(v, r);

	if (VIO_UNLIKELY(s->chunk)) {
		if (!err)
			vio__drive_data_in(v, s);
		vio__drive_data_free(v, s);
	}
	s->req = NULL;
	s->out = false;
	v->free[v->nfree++] = (uint16_t)(s - v->slot);
	if (err && !c->err)
		c->err = err;
	if (!--c->parts && c->pos == nvme_total(r))
		io_finish(v, r, c->err);
}

static void io_answered(struct drive_lane *v, struct drive_slot *s, uint16_t status)
{
	if (VIO_LIKELY(!status)) {
		io_part_done(v, s, 0);
	} else if (vio__nvme_worth_a_retry(status) && s->retries < IO_RETRIES) {
		s->retries++;
		s->out = false;
		v->nagain++;
	} else {
		io_part_done(v, s, vio__nvme_errno(status));
	}
}

/* The first answer since a reset. */
static void io_proven(struct drive_lane *v)
{
	v->unproven = false;
	pthread_mutex_lock(&v->d->lock);
	v->d->tries = 0;
	pthread_mutex_unlock(&v->d->lock);
}

/* At most once round, and the doorbell at the end: as many entries as there may be commands. */
int vio__drive_take(struct drive_lane *v)
{
	struct nvme_cqe e;
	unsigned n = 0;

	while (n < v->depth && drive_queue_take(&v->q, &e)) {
		if (VIO_UNLIKELY(e.cid >= v->depth || !v->slot[e.cid].out || e.sqid != v->q.qid ||
				 e.sqhd >= v->q.entries))
			return -EPROTO;
		if (VIO_UNLIKELY(v->unproven))
			io_proven(v);
		io_answered(v, &v->slot[e.cid], e.status);
		n++;
	}
	if (n) {
		drive_bell_ring(v->d->f, &v->q.cq_bell, v->q.head);
		drive_count(&v->count->doorbells, 1);
	}
	return (int)n;
}

int vio__drive_turn(struct drive_lane *v)
{
	int n = vio__drive_take(v);

	if (n < 0)
		return n;
	if (v->waiting.head)
		io_more(v);
	io_ring(v);
	return n;
}

unsigned vio__drive_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct drive_lane *v = l->priv;
	unsigned k = 0;

	while (k < n && v->done.head)
		r[k++] = vio_reqs_pop(&v->done);
	return k;
}

void vio__drive_again(struct drive_lane *v)
{
	v->nagain = 0;
	for (unsigned i = 0; i < v->depth; i++) {
		struct drive_slot *s = &v->slot[i];

		if (!s->req || s->out)
			continue;
		drive_count(&v->count->retried, 1);
		io_post(v, s);
	}
	io_ring(v);
}

/* On rings that are empty. */
void vio__drive_replay(struct drive_lane *v)
{
	v->nagain = 0;
	for (unsigned i = 0; i < v->depth; i++) {
		struct drive_slot *s = &v->slot[i];

		if (!s->req)
			continue;
		if (++s->lives > IO_LIVES) {
			io_part_done(v, s, -EIO);
			continue;
		}
		drive_count(&v->count->replayed, 1);
		io_post(v, s);
	}
	io_more(v);
	io_ring(v);
	vio_lane_wake(v->lane);
}

void vio__drive_fail_all(struct drive_lane *v)
{
	struct vio_req *r;

	v->failing = true;
	for (unsigned i = 0; i < v->depth; i++)
		if (v->slot[i].req)
			io_part_done(v, &v->slot[i], -EIO);
	while ((r = vio_reqs_pop(&v->waiting)))
		io_finish(v, r, -EIO);
	v->nwaiting = 0;
	vio_lane_wake(v->lane);
}
