/* SPDX-License-Identifier: MIT */
/* How lanes come and go. */
#include "backend/nvme_tcp.h"

#include <sys/eventfd.h>
#include <unistd.h>

static int lane_claim(struct host *h, struct host_lane *v)
{
	for (unsigned i = 0; i < h->queues; i++) {
		if (h->qids[i])
			continue;
		h->qids[i] = 1;
		v->qid = (uint16_t)(i + 1);
		v->count = &h->counters[i];
		return 0;
	}
	return vio__fail(EBUSY,
			 "nvme-tcp: %s: all %llu queues are in use, one a lane; queues=N asks for more",
			 h->nqn, (unsigned long long)h->queues);
}

static int lane_alloc(struct host *h, struct host_lane *v)
{
	int rc;

	v->depth = h->store.depth;
	v->free = calloc(v->depth, sizeof(*v->free));
	v->bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = vio__host_link_init(&v->link, v->depth + 1u, LINK_RX, h->digests);
	if (!v->free)
		return vio__fail(ENOMEM, "nvme-tcp: out of memory");
	for (unsigned i = v->depth; i--;)
		v->free[v->nfree++] = (uint16_t)i;
	if (!rc && v->bell.fd < 0)
		return vio__fail(errno, "nvme-tcp: eventfd: %s", strerror(errno));
	return rc;
}

/* Under the lock: v is one of the lanes from now on, and what there is to connect to is being connected to.
 */
static int lane_enter(struct host *h, struct host_lane *v)
{
	int rc = lane_claim(h, v);

	if (!rc && !h->keeper) {
		rc = vio__host_associate(h);
		if (!rc)
			h->keeper = v;
	}
	if (!rc && h->phase == HOST_UP)
		rc = vio__host_lane_join(h, v);
	v->next = h->lanes;
	h->lanes = v;
	return rc;
}

/* Under the lock. */
static void lane_leave(struct host *h, struct host_lane *v)
{
	vio__host_lane_drop(v);
	for (struct host_lane **at = &h->lanes; *at; at = &(*at)->next) {
		if (*at == v) {
			*at = v->next;
			break;
		}
	}
	if (v->qid)
		h->qids[v->qid - 1] = 0;
	if (h->keeper != v)
		return;
	vio__host_unkeep(v);
	h->keeper = h->lanes;
	if (h->keeper)
		vio__host_ring(h->keeper);
	else
		vio__host_dissociate(h);
}

/* Waits for the queue, so that one that can't be had is told at once. */
static int lane_await(struct host *h, struct host_lane *v)
{
	int rc = 0;
	bool moved;

	while (rc >= 0 && !v->joined) {
		uint64_t now = vio__host_now();

		if (now >= v->join_by) {
			rc = -ETIMEDOUT;
			break;
		}
		vio__host_link_wait(&v->link, (int)((v->join_by - now) / HOST_MS) + 1);
		rc = vio__host_link_run(&v->link, HOST_LANE_BUDGET);
	}
	if (rc >= 0)
		return 0;
	pthread_mutex_lock(&h->lock);
	moved = h->phase != HOST_UP || h->generation != v->generation;
	pthread_mutex_unlock(&h->lock);
	if (moved)
		return 0; /* the association was lost meanwhile: the bell has been rung */
	return vio__fail(-rc, "nvme-tcp: %s: queue %u: %s", h->nqn, v->qid,
			 *v->link.why ? v->link.why : strerror(-rc));
}

static int lane_attend(struct host *h, struct host_lane *v)
{
	int rc = vio_watch_add(v->lane->poller, &v->bell);

	if (rc)
		return rc;
	vio_task_add(v->lane->poller, &v->task);
	pthread_mutex_lock(&h->lock);
	if (h->keeper == v)
		vio__host_keep(v);
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static void lane_free(struct host_lane *v)
{
	vio_timer_cancel(v->lane->poller, &v->tick);
	if (v->bell.fd >= 0)
		close(v->bell.fd);
	vio__host_auth_end(&v->auth);
	vio__host_link_fini(&v->link);
	free(v->free);
}

int vio__host_lane_open(struct vio_lane *l)
{
	struct host *h = l->backend->priv;
	struct host_lane *v = l->priv;
	int rc;

	v->lane = l;
	v->link.fd = v->watch.fd = v->bell.fd = v->admin_watch.fd = -1;
	v->link.why = "";
	vio__host_lane_init(v);
	pthread_mutex_lock(&h->lock);
	rc = lane_alloc(h, v);
	if (!rc)
		rc = lane_enter(h, v);
	pthread_mutex_unlock(&h->lock);
	if (!rc && v->link.fd >= 0)
		rc = lane_await(h, v);
	if (!rc)
		rc = lane_attend(h, v);
	if (rc) {
		pthread_mutex_lock(&h->lock);
		lane_leave(h, v);
		pthread_mutex_unlock(&h->lock);
		lane_free(v);
	}
	return rc;
}

void vio__host_lane_close(struct vio_lane *l)
{
	struct host *h = l->backend->priv;
	struct host_lane *v = l->priv;

	vio_task_del(l->poller, &v->task);
	pthread_mutex_lock(&h->lock);
	vio_watch_del(l->poller, &v->bell);
	lane_leave(h, v);
	pthread_mutex_unlock(&h->lock);
	lane_free(v);
}
