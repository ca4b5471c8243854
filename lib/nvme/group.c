/* SPDX-License-Identifier: MIT */
/* A poller's lanes into the namespaces, shared by all its queue pairs: requests go down in batches. */
#include "nvme/nv.h"

#define NV_REAPS 8u /* batches a pass: commands that go on may complete at once, again and again */

static void lane_free(struct nv_lane *l)
{
	vio_req_pool_free(l->reqs);
	vio_lane_free(l->lane);
	nv_ns_lane_put(l->ns);
	free(l);
}

static struct nv_lane *lane_new(struct nv_group *g, struct nv_ns *ns)
{
	VIO_OPTS(vio_lane_opts, o, .mem = npool_mem(g->pool));
	struct nv_lane *l = calloc(1, sizeof(*l));
	int rc = l ? 0 : vio__fail(ENOMEM, "out of memory");

	rc = rc ? rc : vio_lane_new(&l->lane, ns->backend, g->poller, &o);
	rc = rc ? rc : vio_req_pool_new(&l->reqs, l->lane, NV_REQS, 1);
	if (rc) {
		vio_poller_log(g->poller, VIO_LOG_ERROR, "nvme: namespace %u can't be reached from here: %s",
			       ns->nsid, vio_errmsg());
		if (l)
			vio_lane_free(l->lane);
		free(l);
		return NULL;
	}
	for (struct vio_lane *at = l->lane; at; at = at->next)
		at->task = g->task;
	l->group = g;
	l->ns = ns;
	l->ana = &g->port->state[ns->ana_group];
	return l;
}

static uint16_t lane_status(const struct nv_lane *l)
{
	return nv_access_status(VIO_LOAD(&l->ns->gate));
}

static void lane_refuse(struct nv_lane *l, struct nvme_req *r, uint16_t status)
{
	if (VIO_UNLIKELY(r->mate != NULL))
		nv_fused_refuse(l, r, status);
	else
		nv_done(r, status);
}

/* The namespace has gone, another has its id, or nobody may use it now: what waits is refused, what is under
 * way comes back. */
static void lane_shut(struct nv_lane *l)
{
	struct nvme_req *r;

	l->closing = true;
	while ((r = nvme_reqs_pop(&l->waiting)) || (r = nvme_reqs_pop(&l->held)))
		lane_refuse(l, r, lane_status(l));
}

static void group_sync_one(struct nv_group *g, uint32_t nsid)
{
	struct nv_ns *ns = g->closing ? NULL : nv_ns_lane_get(g->s, nsid);
	struct nv_lane **at = &g->by_nsid[nsid], *l = *at;

	if (l && l->ns != ns) {
		lane_shut(l);
		l = *at = NULL;
	}
	if (!ns || l) {
		nv_ns_lane_put(ns);
		return;
	}
	l = lane_new(g, ns);
	if (!l) {
		nv_ns_lane_put(ns);
		return;
	}
	nv_fence_join(l);
	*at = l;
	l->next = g->lanes;
	g->lanes = l;
}

static void group_sync(struct nv_group *g)
{
	for (uint32_t i = 1; i <= g->s->max_ns; i++)
		group_sync_one(g, i);
	vio_task_wake(g->poller, g->task);
}

static void group_sync_msg(struct vio_msg *m)
{
	struct nv_group *g = VIO_CONTAINER(m, struct nv_group, sync);

	__atomic_store_n(&g->sync_posted, false, __ATOMIC_RELEASE);
	group_sync(g);
}

int nv_group_init(struct nv_group *g, struct vio_nvme *s, uint16_t port, struct vio_poller *p,
		  struct vio_task *task, struct nvme_pool *pool)
{
	memset(g, 0, sizeof(*g));
	g->port = nv_port_get(s, port ? port : 1);
	g->by_nsid = g->port ? calloc(s->max_ns + 1, sizeof(struct nv_lane *)) : NULL;
	if (!g->by_nsid)
		return vio__fail(ENOMEM, "nvme: out of memory");
	g->s = s;
	g->poller = p;
	g->task = task;
	g->pool = pool;
	g->sync.fn = group_sync_msg;
	nv_auth_group(g);
	return 0;
}

void nv_group_open(struct nv_group *g)
{
	pthread_mutex_lock(&g->s->lock);
	g->next = g->s->groups;
	g->s->groups = g;
	pthread_mutex_unlock(&g->s->lock);
	group_sync(g);
}

/* From here on nobody posts to it. */
static void group_leave(struct nv_group *g)
{
	struct vio_nvme *s = g->s;
	uint64_t *sum = (uint64_t *)&s->gone, *mine = (uint64_t *)&g->counts;

	pthread_mutex_lock(&s->lock);
	for (struct nv_group **at = &s->groups; *at; at = &(*at)->next)
		if (*at == g) {
			*at = g->next;
			break;
		}
	for (size_t i = 0; i < sizeof(s->gone) / sizeof(uint64_t); i++)
		sum[i] += mine[i];
	pthread_mutex_unlock(&s->lock);
}

void nv_group_shut(struct nv_group *g)
{
	g->closing = true;
	group_leave(g);
	group_sync(g);
}

bool nv_group_ended(const struct nv_group *g)
{
	return g->closing && !g->lanes && !__atomic_load_n(&g->sync_posted, __ATOMIC_ACQUIRE);
}

void nv_group_free(struct nv_group *g)
{
	free(g->by_nsid);
}

struct nv_lane *nv_group_lane(struct nv_group *g, uint32_t nsid)
{
	if (VIO_UNLIKELY(!g->by_nsid[nsid] && __atomic_load_n(&g->sync_posted, __ATOMIC_ACQUIRE)))
		group_sync_one(g, nsid); /* the message is still on its way */
	return g->by_nsid[nsid];
}

static void lane_down(struct nv_lane *l)
{
	unsigned n = l->nbatch;

	l->nbatch = 0;
	l->under_way += n;
	vio_lane_submit(l->lane, l->batch, n);
}

/* False: no room now. */
static bool lane_add(struct nv_lane *l, struct nvme_req *r)
{
	struct vio_req *v;

	if (VIO_UNLIKELY(nv_io_at_once(l, r)))
		return true;
	if (l->nbatch == NV_BATCH)
		lane_down(l);
	if (vio_lane_room(l->lane) <= l->nbatch)
		return false;
	v = vio_req_get(l->reqs);
	if (!v)
		return false;
	v->user = (uintptr_t)r;
	r->epoch = l->epoch;
	l->under_way_by[l->epoch]++;
	nv_io_fill(l, r, v);
	l->batch[l->nbatch++] = v;
	return true;
}

void nv_group_submit(struct nv_lane *l, struct nvme_req *r)
{
	if (VIO_UNLIKELY(l->closing))
		lane_refuse(l, r, lane_status(l));
	else if (VIO_UNLIKELY(l->fence_blocks && nv_fence_holds(l, r)))
		nvme_reqs_push(&l->held, r);
	else if (VIO_UNLIKELY(l->waiting.head || !lane_add(l, r)))
		nvme_reqs_push(&l->waiting, r);
}

/* A command of several steps: its host may have lost the right to go on. */
static void lane_again(struct nv_lane *l, struct nvme_req *r)
{
	uint16_t status = nv_resv_refuses(nv_qp_of(r), l->ns, r->cmd.opcode);

	if (VIO_UNLIKELY(status))
		lane_refuse(l, r, status);
	else
		nv_group_submit(l, r);
}

static void lane_up(struct nv_lane *l, struct vio_req **v, unsigned n)
{
	l->under_way -= n;
	for (unsigned i = 0; i < n; i++) {
		struct nvme_req *r = (struct nvme_req *)(uintptr_t)v[i]->user;
		int res = v[i]->res;

		vio_req_put(l->reqs, v[i]);
		l->under_way_by[r->epoch]--;
		if (VIO_UNLIKELY(nv_io_finish(l, r, res)))
			lane_again(l, r);
	}
}

/* What waited, while there is room; or none of it, if the namespace can't be reached here any more. */
static unsigned lane_go_on(struct nv_lane *l)
{
	unsigned work = 0;

	for (; l->waiting.head; work++) {
		const struct nvme_req *r = l->waiting.head;
		uint16_t status = nv_ana_refuses(l);

		if (!status)
			status = nv_resv_refuses(nv_qp_of(r), l->ns, r->cmd.opcode);

		if (VIO_UNLIKELY(status))
			lane_refuse(l, nvme_reqs_pop(&l->waiting), status);
		else if (l->fence_blocks && nv_fence_holds(l, l->waiting.head))
			nvme_reqs_push(&l->held, nvme_reqs_pop(&l->waiting));
		else if (lane_add(l, l->waiting.head))
			nvme_reqs_pop(&l->waiting);
		else
			break;
	}
	return work;
}

static unsigned lane_run(struct nv_lane *l)
{
	struct vio_req *v[NV_BATCH];
	unsigned n = 1, work = 0;

	for (unsigned i = 0; i < NV_REAPS && l->under_way && n; i++) {
		n = vio_lane_reap(l->lane, v, NV_BATCH);
		lane_up(l, v, n);
		work += n;
	}
	work += lane_go_on(l);
	if (l->nbatch)
		lane_down(l);
	if (VIO_UNLIKELY(l->fence_due))
		nv_fence_drained(l);
	return work;
}

unsigned nv_group_up(struct nv_group *g)
{
	struct nv_lane **at = &g->lanes, *l;
	unsigned work = 0;

	while ((l = *at)) {
		work += lane_run(l);
		if (VIO_UNLIKELY(l->closing && !l->under_way && !l->pins) && nv_fence_leave(l)) {
			*at = l->next;
			lane_free(l);
		} else {
			at = &l->next;
		}
	}
	return work;
}

void nv_group_down(struct nv_group *g)
{
	for (struct nv_lane *l = g->lanes; l; l = l->next)
		if (l->nbatch)
			lane_down(l);
}
