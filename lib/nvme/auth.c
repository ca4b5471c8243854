/* SPDX-License-Identifier: MIT */
/*
 * Authentication of queues: which need it, and when they may calculate. Diffie-Hellman takes
 * milliseconds of the poller's thread, whoever asks: after each time the next has to wait,
 * so that three quarters of the thread's time are others'.
 */
#include "nvme/auth.h"

#include <time.h>

#define AUTH_SHARE 4u /* one in so many */

static uint64_t auth_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void nv_auth_log(const struct nv_auth *a, enum vio_log_level level, const char *what)
{
	const struct nv_ctrl *c = a->qp->ctrl;

	vio_poller_log(a->qp->group->poller, level, "nvme: %s %s, queue %u of controller %u", c->hostnqn,
		       what, a->qp->qid, c->cntlid);
}

/* It stays unproven: the queue ends. */
static void auth_late(struct vio_timer *t)
{
	struct nv_auth *a = VIO_CONTAINER(t, struct nv_auth, late);

	if (a->qp->ctrl)
		nv_auth_log(a, VIO_LOG_ERROR, "has not proved itself in time");
	a->qp->queue->ops->end(a->qp->queue, true);
	vio_task_wake(a->qp->group->poller, a->qp->group->task);
}

int nv_auth_want(struct nv_qp *qp, const struct nv_host *h)
{
	struct nv_auth *a;

	if (!h || !h->key.len)
		return 0;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->qp = qp;
	a->key = h->key;
	a->ctrl_key = h->ctrl_key;
	a->groups = h->groups;
	a->hashes = h->hashes;
	a->patience = h->patience;
	a->late.fire = auth_late;
	qp->auth = a;
	return 0;
}

void nv_auth_time(struct nv_auth *a)
{
	if (!a->timed)
		vio_timer_set(a->qp->group->poller, &a->late, a->patience);
	a->timed = true;
}

void nv_auth_begin(struct nv_qp *qp)
{
	if (qp->auth)
		nv_auth_time(qp->auth);
}

bool nv_auth_lacks(const struct nv_qp *qp)
{
	return qp->auth && !qp->auth->proven;
}

static uint16_t auth_do(struct nv_auth *a, struct nvme_req *r)
{
	if (r->dir == NVME_DIR_OUT)
		return nv_auth_give(a, r->buf, r->len);
	nv_auth_take(a, r->buf, r->len);
	return 0;
}

/* Whether it raises something to a power. */
static bool auth_is_slow(const struct nv_auth *a, const struct nvme_req *r)
{
	return a->d.group && a->step == (r->dir == NVME_DIR_OUT ? AUTH_CHALLENGE : AUTH_REPLY);
}

static uint16_t auth_do_slowly(struct nv_auth *a, struct nvme_req *r)
{
	struct nv_group *g = a->qp->group;
	uint64_t begun = auth_clock(), now;
	uint16_t status = auth_do(a, r);

	now = auth_clock();
	g->auth_at = now + (AUTH_SHARE - 1) * (now - begun);
	return status;
}

static void auth_turn_later(struct nv_group *g)
{
	uint64_t now = auth_clock();

	vio_timer_set(g->poller, &g->auth_timer, g->auth_at > now ? g->auth_at - now : 0);
}

static void auth_turn(struct vio_timer *t)
{
	struct nv_group *g = VIO_CONTAINER(t, struct nv_group, auth_timer);
	struct nvme_req *r = nvme_reqs_pop(&g->auths);

	if (!r)
		return;
	nv_done(r, auth_do_slowly(nv_qp_of(r)->auth, r));
	if (g->auths.head)
		auth_turn_later(g);
	vio_task_wake(g->poller, g->task);
}

void nv_auth_group(struct nv_group *g)
{
	g->auth_timer.fire = auth_turn;
}

/* Those that wait for their turn will not have it. */
static void auth_drain(struct nv_qp *qp)
{
	struct nv_group *g = qp->group;
	struct nvme_reqs keep = { 0 };
	struct nvme_req *r;

	while ((r = nvme_reqs_pop(&g->auths))) {
		if (nv_qp_of(r) == qp)
			nv_done(r, NVME_STATUS(NVME_SC_ABORT_QUEUE));
		else
			nvme_reqs_push(&keep, r);
	}
	g->auths = keep;
	if (!keep.head)
		vio_timer_cancel(g->poller, &g->auth_timer);
}

void nv_auth_end(struct nv_qp *qp)
{
	struct nv_auth *a = qp->auth;

	if (!a)
		return;
	auth_drain(qp);
	vio_timer_cancel(qp->group->poller, &a->late);
	vio__dhchap_end(&a->d);
	vio__dhchap_wipe(a, sizeof(*a));
	free(a);
	qp->auth = NULL;
}

uint16_t nv_auth(struct nv_qp *qp, struct nvme_req *r)
{
	struct nv_group *g = qp->group;
	struct nv_auth *a = qp->auth;
	struct nvme_auth_cmd c;

	memcpy(&c, &r->cmd, sizeof(c));
	if (!a || c.secp != DHCHAP_SECP || c.spsp0 != DHCHAP_SPSP || c.spsp1 != DHCHAP_SPSP ||
	    c.len != r->len || !r->buf || r->len > NV_AUTH_MAX)
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (!auth_is_slow(a, r) && !g->auths.head)
		return auth_do(a, r);
	if (!g->auths.head && auth_clock() >= g->auth_at)
		return auth_do_slowly(a, r);
	if (!g->auths.head)
		auth_turn_later(g);
	nvme_reqs_push(&g->auths, r);
	return NV_LATER;
}
