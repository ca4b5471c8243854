/* SPDX-License-Identifier: MIT */
/*
 * Fences: what has to be alone on a range of a namespace, or to know that nothing older is
 * under way, asks all its lanes. Each is sent a message, holds back from then on what
 * overlaps, and answers when all that it had under way before has come back. One fence
 * is up at a time; a command that meets none pays a test of a word that is its thread's own.
 */
#include "nvme/nv.h"

static void fence_round(struct nv_ns *ns)
{
	struct nv_fences *f = &ns->fences;

	f->busy = true;
	f->up = f->first;
	f->waits = 0;
	for (struct nv_lane *l = f->lanes; l; l = l->ns_next) {
		f->waits++;
		l->fence_posted = true;
		vio_poller_post(l->group->poller, &l->fence);
	}
}

/* Under the fences' lock. Whoever is next is told that its fence is up; or another round begins. */
static void fence_settle(struct nv_ns *ns)
{
	struct nv_fences *f = &ns->fences;

	while (f->busy && !f->waits) {
		f->busy = false;
		if (f->up && f->up == f->first)
			vio_poller_post(f->up->poller, &f->up->msg);
		else if (f->first || f->up)
			fence_round(ns);
	}
}

void nv_fence_raise(struct nv_ns *ns, struct nv_fence *x)
{
	struct nv_fences *f = &ns->fences;

	x->next = NULL;
	pthread_mutex_lock(&f->lock);
	if (f->first)
		f->last->next = x;
	else
		f->first = x;
	f->last = x;
	if (!f->busy && f->first == x) {
		fence_round(ns);
		fence_settle(ns);
	}
	pthread_mutex_unlock(&f->lock);
}

void nv_fence_lift(struct nv_ns *ns)
{
	struct nv_fences *f = &ns->fences;

	pthread_mutex_lock(&f->lock);
	f->first = f->first->next;
	fence_round(ns);
	fence_settle(ns);
	pthread_mutex_unlock(&f->lock);
}

static void fence_answer(struct nv_lane *l)
{
	struct nv_ns *ns = l->ns;

	pthread_mutex_lock(&ns->fences.lock);
	l->fence_posted = false;
	ns->fences.waits--;
	fence_settle(ns);
	pthread_mutex_unlock(&ns->fences.lock);
}

void nv_fence_drained(struct nv_lane *l)
{
	if (l->under_way_by[l->epoch ^ 1])
		return;
	l->fence_due = false;
	fence_answer(l);
}

/* Commands that have not begun, of those that it ends. */
static void fence_abort(const struct nv_fence *x, struct nvme_reqs *list)
{
	struct nvme_reqs all = *list;
	struct nvme_req *r;

	*list = (struct nvme_reqs){ 0 };
	while ((r = nvme_reqs_pop(&all)))
		if (!r->mate && x->aborts(x, r))
			nv_done(r, NVME_STATUS(NVME_SC_CMD_ABORTED_PREMEPT));
		else
			nvme_reqs_push(list, r);
}

/* What was held back is looked at again. */
static void fence_release(struct nv_lane *l)
{
	struct nvme_req *r;

	while ((r = nvme_reqs_pop(&l->held)))
		nvme_reqs_push(&l->waiting, r);
}

static void fence_msg(struct vio_msg *m)
{
	struct nv_lane *l = VIO_CONTAINER(m, struct nv_lane, fence);
	struct nv_fences *f = &l->ns->fences;
	const struct nv_fence *up;

	pthread_mutex_lock(&f->lock);
	up = f->up;
	l->fence_lba = up ? up->lba : 0;
	l->fence_blocks = up ? up->blocks : 0;
	pthread_mutex_unlock(&f->lock);
	fence_release(l);
	if (up && up->aborts)
		fence_abort(up, &l->waiting);
	l->epoch ^= 1;
	l->fence_due = true;
	vio_task_wake(l->group->poller, l->group->task);
}

/* A new lane has nothing under way, so no round waits for it. */
void nv_fence_join(struct nv_lane *l)
{
	struct nv_fences *f = &l->ns->fences;

	l->fence.fn = fence_msg;
	pthread_mutex_lock(&f->lock);
	if (f->up) {
		l->fence_lba = f->up->lba;
		l->fence_blocks = f->up->blocks;
	}
	l->ns_next = f->lanes;
	f->lanes = l;
	pthread_mutex_unlock(&f->lock);
}

/* False: a message to it is on its way. */
bool nv_fence_leave(struct nv_lane *l)
{
	struct nv_fences *f = &l->ns->fences;
	bool free = !l->fence_due;

	pthread_mutex_lock(&f->lock);
	free = free && !l->fence_posted;
	for (struct nv_lane **at = &f->lanes; free && *at; at = &(*at)->ns_next)
		if (*at == l) {
			*at = l->ns_next;
			break;
		}
	pthread_mutex_unlock(&f->lock);
	return free;
}

bool nv_fence_holds(const struct nv_lane *l, const struct nvme_req *r)
{
	uint64_t lba, blocks;

	if (r->mate) /* it is the one */
		return false;
	nv_io_span(r, &lba, &blocks);
	return blocks && lba < l->fence_lba + l->fence_blocks && l->fence_lba < lba + blocks;
}
