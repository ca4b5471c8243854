/* SPDX-License-Identifier: MIT */
/* Requests as commands: a request beyond what a command may carry is cut into several. */
#include "backend/nvme_tcp.h"

#define IO_LIVES 16u  /* associations that a command may be lost with before it fails */
#define IO_RETRIES 8u /* of a command that the target says to try again */

static struct host_cut *io_cut(const struct host_lane *v, struct vio_req *r)
{
	return vio_req_scratch(v->lane, r);
}

static void io_finish(struct host_lane *v, struct vio_req *r, int res)
{
	r->res = res;
	host_count(&v->count->completed, 1);
	if (res)
		host_count(&v->count->errors, 1);
	vio_reqs_push(&v->done, r);
}

unsigned vio__host_room(struct vio_lane *l)
{
	const struct host_lane *v = l->priv;

	if (VIO_UNLIKELY(v->failing))
		return v->depth; /* to be told so */
	return v->nfree > v->nwaiting ? v->nfree - v->nwaiting : 0;
}

/* Requests that need no target, or can't have one. */
static bool io_at_once(struct host_lane *v, struct vio_req *r)
{
	uint64_t mask = (1ull << v->shift) - 1;

	if (VIO_UNLIKELY(v->failing))
		io_finish(v, r, -EIO);
	else if (r->op >= 32 || !(v->ops >> r->op & 1))
		io_finish(v, r, -EOPNOTSUPP);
	else if (r->op == VIO_OP_FLUSH ? !v->flush : !r->len)
		io_finish(v, r, 0);
	else if (r->op != VIO_OP_FLUSH && (r->offset | r->len) & mask)
		io_finish(v, r, -EINVAL);
	else
		return false;
	return true;
}

/* Whether the slot's data, in so many pieces, goes inside the capsule. */
static bool io_fits_capsule(const struct host_lane *v, const struct host_slot *s)
{
	struct host_at at = s->start;
	uint32_t left = s->len;
	unsigned n = 0;
	void *p;

	if (!s->write || s->len > v->capsule)
		return false;
	for (; left && n < LINK_CAPSULE_IOV; n++)
		left -= (uint32_t)link_piece(&at, left, &p);
	return !left;
}

static void io_data(const struct host_lane *v, struct host_slot *s)
{
	s->capsule = s->len && io_fits_capsule(v, s);
	if (!s->len)
		return;
	s->cmd.sgl = (struct nvme_sgl){ .len = s->len,
					.type = s->capsule ? NVME_SGL_DATA_OFFSET : NVME_SGL_TRANSPORT };
}

/* The command of s, anew for each connection: how its data goes may differ. */
static void io_command(const struct host_lane *v, struct host_slot *s)
{
	const struct host *h = v->lane->backend->priv;
	const struct vio_req *r = s->req;

	s->cmd = vio__nvme_command(v->shift, (uint32_t)h->nsid, r, s->pos, s->span);
	s->cmd.flags = NVME_FLAGS_SGL;
	if (r->op == VIO_OP_DISCARD) {
		s->range = vio__nvme_range(v->shift, r, s->pos, s->span);
		s->range_iov = (struct iovec){ &s->range, sizeof(s->range) };
		s->start = (struct host_at){ .iov = &s->range_iov };
	}
	io_data(v, s);
}

static void io_post(struct host_lane *v, struct host_slot *s)
{
	io_command(v, s);
	s->since = vio_poller_now(v->lane->poller);
	s->refused = false;
	host_count(&v->count->commands, 1);
	vio__host_link_post(&v->link, s);
}

static void io_advance(struct host_at *at, uint64_t n)
{
	void *p;

	while (n)
		n -= link_piece(at, n, &p);
}

/* The next part of r, in a slot. */
static void io_part(struct host_lane *v, struct vio_req *r)
{
	struct host_slot *s = &v->link.slot[v->free[--v->nfree]];
	struct host_cut *c = io_cut(v, r);

	s->req = r;
	s->pos = c->pos;
	s->span = VIO_MIN(nvme_total(r) - c->pos, vio__nvme_most(r, v->shift, v->max_part));
	s->start = c->at;
	s->write = r->op == VIO_OP_WRITE || r->op == VIO_OP_DISCARD;
	s->lives = s->retries = 0;
	s->len = r->op == VIO_OP_DISCARD ? sizeof(s->range) : 0;
	if (r->op <= VIO_OP_WRITE) {
		s->len = (uint32_t)s->span;
		io_advance(&c->at, s->span);
	}
	c->pos += s->span;
	c->parts++;
	io_post(v, s);
}

void vio__host_more(struct host_lane *v)
{
	struct vio_req *r;

	while (v->nfree && (r = v->waiting.head)) {
		io_part(v, r);
		if (io_cut(v, r)->pos < nvme_total(r))
			continue;
		vio_reqs_pop(&v->waiting);
		v->nwaiting--;
	}
}

void vio__host_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct host_lane *v = l->priv;
	int rc = 0;

	host_count(&v->count->submitted, n);
	for (unsigned i = 0; i < n; i++) {
		if (VIO_UNLIKELY(io_at_once(v, r[i])))
			continue;
		*io_cut(v, r[i]) = (struct host_cut){ .at = { .iov = r[i]->iov } };
		vio_reqs_push(&v->waiting, r[i]);
		v->nwaiting++;
	}
	if (VIO_LIKELY(v->joined)) {
		vio__host_more(v);
		rc = vio__host_link_push(&v->link);
	} else if (!v->lost_at && v->waiting.head) {
		v->lost_at = vio__host_now();
		v->unproven = true;
	}
	if (VIO_UNLIKELY(rc))
		vio__host_lane_lost(v, rc);
	if (VIO_UNLIKELY(v->done.head))
		vio_lane_wake(l);
	if (VIO_UNLIKELY(!v->ticking))
		vio__host_tick(v);
}

unsigned vio__host_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct host_lane *v = l->priv;
	unsigned k = 0;

	while (k < n && v->done.head)
		r[k++] = vio_reqs_pop(&v->done);
	return k;
}

/* A part is over: its slot is free. */
static void io_part_done(struct host_lane *v, struct host_slot *s, int err)
{
	struct vio_req *r = s->req;
	struct host_cut *c = io_cut(v, r);

	s->req = NULL;
	v->free[v->nfree++] = (uint16_t)(s - v->link.slot);
	if (err && !c->err)
		c->err = err;
	if (!--c->parts && c->pos == nvme_total(r))
		io_finish(v, r, c->err);
}

int vio__host_answered(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result)
{
	struct host_lane *v = VIO_CONTAINER(k, struct host_lane, link);

	(void)result;
	if (VIO_LIKELY(!status)) {
		io_part_done(v, s, 0);
	} else if (host_path_refuses(status)) {
		s->refused = true;
		v->nagain++;
		host_count(&v->count->refused, 1);
		vio__host_lane_refused(v);
	} else if (s->retries < IO_RETRIES && vio__nvme_worth_a_retry(status)) {
		s->retries++;
		v->nagain++;
	} else {
		io_part_done(v, s, vio__nvme_errno(status));
	}
	return 0;
}

void vio__host_again(struct host_lane *v)
{
	v->nagain = 0;
	for (unsigned i = 0; i < v->depth; i++) {
		struct host_slot *s = &v->link.slot[i];

		if (!s->req || s->busy)
			continue;
		host_count(&v->count->retried, 1);
		io_post(v, s);
	}
}

void vio__host_replay(struct host_lane *v)
{
	for (unsigned i = 0; i < v->depth; i++) {
		struct host_slot *s = &v->link.slot[i];

		if (!s->req)
			continue;
		if (!s->refused && ++s->lives > IO_LIVES) {
			io_part_done(v, s, -EIO);
			continue;
		}
		host_count(&v->count->replayed, 1);
		io_post(v, s);
	}
}

void vio__host_fail_all(struct host_lane *v)
{
	struct vio_req *r;

	vio_poller_log(v->lane->poller, VIO_LOG_ERROR,
		       "nvme-tcp: queue %u: the target was away for too long: its requests fail", v->qid);
	v->failing = true;
	v->lost_at = 0;
	for (unsigned i = 0; i < v->depth; i++)
		if (v->link.slot[i].req)
			io_part_done(v, &v->link.slot[i], -EIO);
	while ((r = vio_reqs_pop(&v->waiting)))
		io_finish(v, r, -EIO);
	v->nwaiting = 0;
	vio_lane_wake(v->lane);
}
