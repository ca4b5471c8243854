/* SPDX-License-Identifier: MIT */
/* A lane at work: its queue's connection, its beginning and end, and what wakes its thread. */
#include "backend/nvme_tcp.h"

#include <sys/epoll.h>

static unsigned lane_out(const struct host_lane *v)
{
	return v->depth - v->nfree;
}

void vio__host_tick(struct host_lane *v)
{
	v->ticking = true;
	vio_timer_set(v->lane->poller, &v->tick, HOST_TICK);
}

static void lane_tick_on(struct host_lane *v)
{
	if (!v->ticking)
		vio__host_tick(v);
}

/* Under the lock. */
void vio__host_lane_drop(struct host_lane *v)
{
	if (v->link.fd < 0)
		return;
	vio_watch_del(v->lane->poller, &v->watch);
	vio__host_link_close(&v->link);
	v->joined = false;
	v->unproven = true;
	v->nagain = 0;
	if (!v->lost_at && !v->failing && (lane_out(v) || v->waiting.head)) {
		v->lost_at = vio__host_now();
		lane_tick_on(v);
	}
}

void vio__host_lane_lost(struct host_lane *v, int err)
{
	struct host *h = v->lane->backend->priv;

	vio_poller_log(v->lane->poller, VIO_LOG_INFO, "nvme-tcp: %s: queue %u: %s, trying again", h->nqn,
		       v->qid, *v->link.why ? v->link.why : strerror(-err));
	pthread_mutex_lock(&h->lock);
	vio__host_lane_drop(v);
	vio__host_lost(h, v->generation);
	pthread_mutex_unlock(&h->lock);
}

static void lane_ready(struct vio_watch *w, uint32_t events)
{
	struct host_lane *v = VIO_CONTAINER(w, struct host_lane, watch);

	vio__host_link_told(&v->link, events);
	vio_task_wake(v->lane->poller, &v->task);
}

static void lane_limits(struct host_lane *v, const struct host *h, const struct host_store *s)
{
	v->shift = s->ns.shift;
	v->ops = s->ns.read_only ? 1u << VIO_OP_READ | 1u << VIO_OP_FLUSH : s->ns.ops;
	v->flush = s->ns.volatile_cache;
	v->max_part = s->ns.max_part;
	if (h->digests & NVME_TCP_WANT_DDGST)
		v->max_part = VIO_MIN(v->max_part, LINK_STAGE);
	v->capsule = s->capsule;
}

int vio__host_lane_join(struct host *h, struct host_lane *v)
{
	const struct host_path *p = &h->path[h->at_path];
	int rc;

	if (v->qid > h->store.queues)
		return vio__fail(EBUSY, "nvme-tcp: %s: the target gives %u I/O queues, one a lane", h->nqn,
				 h->store.queues);
	v->generation = h->generation;
	v->cntlid = h->cntlid;
	v->join_by = vio__host_now() + HOST_PATIENCE;
	lane_limits(v, h, &h->store);
	rc = vio__host_link_dial(&v->link, (const struct sockaddr *)&p->addr, p->len);
	if (v->link.fd < 0)
		return rc;
	v->watch = (struct vio_watch){ .ready = lane_ready,
				       .fd = v->link.fd,
				       .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	rc = rc ? rc : vio_watch_add(v->lane->poller, &v->watch);
	if (rc)
		vio__host_link_close(&v->link);
	else
		lane_tick_on(v);
	return rc;
}

static int lane_greeted(struct host_link *k)
{
	struct host_lane *v = VIO_CONTAINER(k, struct host_lane, link);
	const struct host *h = v->lane->backend->priv;
	struct host_slot *s = &k->slot[v->depth];

	vio__host_auth_end(&v->auth);
	vio__host_connect_cmd(s, &v->hello, &v->hello_iov, h, v->qid, v->cntlid, v->depth);
	vio__host_link_post(k, s);
	return 0;
}

static int lane_joined(struct host_lane *v)
{
	v->joined = true;
	v->failing = false;
	if (v->unproven)
		host_count(&v->count->reconnects, 1);
	if (!lane_out(v) && !v->waiting.head)
		v->lost_at = 0;
	vio__host_replay(v);
	vio__host_more(v);
	vio_lane_wake(v->lane);
	return 0;
}

static int lane_auth(struct host_lane *v, int more)
{
	struct host_slot *s = &v->link.slot[v->depth];

	if (more < 0)
		v->link.why = v->auth.why;
	if (more <= 0)
		return more ? more : lane_joined(v);
	vio__host_auth_ask(&v->auth, s);
	vio__host_link_post(&v->link, s);
	return 0;
}

/* Connect was answered, or a message of the authentication that follows. */
static int lane_connected(struct host_lane *v, uint16_t status, uint64_t result)
{
	const struct host *h = v->lane->backend->priv;

	if (v->auth.on)
		return lane_auth(v, vio__host_auth_got(&v->auth, h, status));
	v->auth.why = status ? "the target refused to connect the queue"
			     : vio__host_auth_begin(&v->auth, h, result);
	return lane_auth(v, v->auth.why ? -ECONNREFUSED : v->auth.on);
}

/* The first answer since the last loss. */
static void lane_proven(struct host_lane *v)
{
	struct host *h = v->lane->backend->priv;

	v->unproven = false;
	v->lost_at = 0;
	pthread_mutex_lock(&h->lock);
	h->tries = 0;
	pthread_mutex_unlock(&h->lock);
}

static int lane_answered(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result)
{
	struct host_lane *v = VIO_CONTAINER(k, struct host_lane, link);

	if (VIO_UNLIKELY(s == &k->slot[v->depth]))
		return lane_connected(v, status, result);
	if (VIO_UNLIKELY(v->unproven) && !host_path_refuses(status))
		lane_proven(v);
	return vio__host_answered(k, s, status, result);
}

void vio__host_lane_refused(struct host_lane *v)
{
	struct host *h = v->lane->backend->priv;

	if (!v->lost_at)
		v->lost_at = vio__host_now();
	v->unproven = true;
	pthread_mutex_lock(&h->lock);
	if (h->phase == HOST_UP && h->generation == v->generation && !h->look_at && !h->script) {
		h->look_at = vio__host_now();
		vio__host_ring(h->keeper);
	}
	pthread_mutex_unlock(&h->lock);
}

static void lane_count(struct host_lane *v)
{
	VIO_STORE(&v->count->sends, v->count->sends + v->link.sends);
	VIO_STORE(&v->count->receives, v->count->receives + v->link.receives);
	VIO_STORE(&v->count->bad_digests, v->count->bad_digests + v->link.bad_digests);
	v->link.sends = v->link.receives = v->link.bad_digests = 0;
}

static unsigned lane_run(struct vio_task *t, unsigned budget)
{
	struct host_lane *v = VIO_CONTAINER(t, struct host_lane, task);
	int rc = v->link.fd < 0 ? 0 : vio__host_link_run(&v->link, HOST_LANE_BUDGET);

	(void)budget;
	if (rc >= 0 && v->joined && v->waiting.head && v->nfree) {
		int pushed;

		vio__host_more(v);
		pushed = vio__host_link_push(&v->link);
		rc = pushed ? pushed : rc;
	}
	lane_count(v);
	if (rc < 0)
		vio__host_lane_lost(v, rc);
	if (v->done.head)
		vio_lane_wake(v->lane);
	return rc > 0;
}

static bool lane_arm(struct vio_task *t, bool on)
{
	struct host_lane *v = VIO_CONTAINER(t, struct host_lane, task);

	(void)on;
	return v->link.fd >= 0 && link_has_work(&v->link);
}

/* Something is different: the association, or who its keeper is. */
static void lane_called(struct vio_watch *w, uint32_t events)
{
	struct host_lane *v = VIO_CONTAINER(w, struct host_lane, bell);
	struct host *h = v->lane->backend->priv;
	int rc = 0;

	(void)events;
	pthread_mutex_lock(&h->lock);
	if (h->keeper == v)
		vio__host_keep(v);
	if (h->phase != HOST_UP || v->generation != h->generation)
		vio__host_lane_drop(v);
	if (h->phase == HOST_UP && v->link.fd < 0) {
		rc = vio__host_lane_join(h, v);
		if (rc)
			vio__host_lost(h, h->generation);
	}
	pthread_mutex_unlock(&h->lock);
}

/* The oldest command's age. */
static bool lane_overdue(const struct host_lane *v, uint64_t now)
{
	const struct host *h = v->lane->backend->priv;

	for (unsigned i = 0; i < v->depth; i++)
		if (v->link.slot[i].busy && now - v->link.slot[i].since >= h->io_timeout * HOST_SECOND)
			return true;
	return false;
}

static void lane_tick(struct vio_timer *t)
{
	struct host_lane *v = VIO_CONTAINER(t, struct host_lane, tick);
	const struct host *h = v->lane->backend->priv;
	uint64_t now = vio_poller_now(v->lane->poller);

	v->ticking = false;
	if (v->link.fd >= 0 && (v->joined ? lane_overdue(v, now) : now >= v->join_by)) {
		v->link.why = v->joined ? "a command was not answered" : "no answer to Connect";
		vio__host_lane_lost(v, -ETIMEDOUT);
	}
	if (v->joined && v->nagain) {
		vio__host_again(v);
		vio_task_wake(v->lane->poller, &v->task);
	}
	if (v->lost_at && now >= v->lost_at + h->timeout * HOST_SECOND) {
		if (v->joined) {
			v->link.why = "it comes back and answers nothing";
			vio__host_lane_lost(v, -ETIMEDOUT);
		}
		vio__host_fail_all(v);
	}
	if (lane_out(v) || v->waiting.head || (v->link.fd >= 0 && !v->joined))
		lane_tick_on(v);
}

void vio__host_lane_init(struct host_lane *v)
{
	v->link.greeted = lane_greeted;
	v->link.answered = lane_answered;
	v->task.run = lane_run;
	v->task.arm = lane_arm;
	v->tick.fire = lane_tick;
	v->bell.ready = lane_called;
	v->bell.events = EPOLLIN | EPOLLET;
}
