/* SPDX-License-Identifier: MIT */
/*
 * The keeper: the lane whose thread sees to the association. How one ends and the next
 * begins, so that no command of the old one is executed after one of the new:
 *
 * - Connections are aborted, not closed: what was not sent yet never is.
 * - While the admin connection answers, the controller is reset through it. A controller
 *   that says that it is not ready has no commands any more.
 * - A target that closed the admin connection has ended the association itself.
 * - A target that fell silent ends it when its keep-alive timer expires, and that is
 *   waited for.
 */
#include "backend/nvme_tcp.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#define KEEP_FIRST (20 * HOST_MS)
#define KEEP_LONGEST HOST_SECOND
#define KEEP_RESET (5 * HOST_SECOND)
#define KEEP_PROVEN (10 * HOST_SECOND) /* an association that lasted so long was of use */

void vio__host_ring(struct host_lane *v)
{
	eventfd_write(v->bell.fd, 1);
}

void vio__host_ring_all(struct host *h)
{
	for (struct host_lane *v = h->lanes; v; v = v->next)
		vio__host_ring(v);
}

void vio__host_lost(struct host *h, unsigned generation)
{
	if (h->phase != HOST_UP || h->generation != generation)
		return;
	h->phase = HOST_LOST;
	vio__host_path_lost(h);
	if (vio__host_now() - h->up_at >= KEEP_PROVEN)
		h->tries = 0;
	for (struct host_lane *v = h->lanes; v; v = v->next)
		if (v->link.fd >= 0)
			vio__host_link_sever(v->link.fd);
	vio__host_ring_all(h);
}

static void keep_unwatch(struct host_lane *v)
{
	if (v->admin_watch.fd < 0)
		return;
	vio_watch_del(v->lane->poller, &v->admin_watch);
	v->admin_watch.fd = -1;
}

/* A path that is merely not good enough is no reason to pause. */
static void keep_wait(struct host_lane *v, bool lost)
{
	struct host *h = v->lane->backend->priv;
	uint64_t now = vio__host_now(),
		 pause = lost ? VIO_MIN(KEEP_FIRST << VIO_MIN(h->tries, 10u), KEEP_LONGEST) : 0;

	keep_unwatch(v);
	vio__host_link_close(&h->admin);
	h->script = NULL;
	h->phase = HOST_WAITING;
	h->deadline = VIO_MAX(now + pause, h->safe_at);
	h->tries += lost;
	vio__host_path_next(h);
}

/*
 * The controller could not be reset: when it is done with its commands. One that fell silent sees its
 * keep-alive time pass: the last keep-alive may have been on its way for as long again (NVMe
 * Base 2.1, 9.6.2).
 */
static void keep_be_safe(struct host *h, int err)
{
	uint64_t over = vio__host_now();

	if (err == -ETIMEDOUT && h->keep_alive)
		over = VIO_MAX(over, h->alive_sent + 2 * h->keep_alive * HOST_SECOND);
	h->safe_at = over + h->quiesce * HOST_SECOND;
}

static void keep_failed(struct host_lane *v, int err)
{
	struct host *h = v->lane->backend->priv;

	vio_poller_log(v->lane->poller, h->phase == HOST_SETUP ? VIO_LOG_DEBUG : VIO_LOG_INFO, "%s",
		       vio_errmsg());
	if (h->phase != HOST_SETUP)
		keep_be_safe(h, err);
	vio__host_lost(h, h->generation);
	keep_wait(v, err != -EAGAIN);
}

static void keep_ready(struct vio_watch *w, uint32_t events)
{
	struct host_lane *v = VIO_CONTAINER(w, struct host_lane, admin_watch);
	struct host *h = v->lane->backend->priv;

	pthread_mutex_lock(&h->lock);
	vio__host_link_told(&h->admin, events);
	vio__host_keep(v);
	pthread_mutex_unlock(&h->lock);
}

static void keep_fire(struct vio_timer *t)
{
	struct host_lane *v = VIO_CONTAINER(t, struct host_lane, admin_timer);
	struct host *h = v->lane->backend->priv;

	pthread_mutex_lock(&h->lock);
	vio__host_keep(v);
	pthread_mutex_unlock(&h->lock);
}

/* -errno: it can't be watched. */
static int keep_watch(struct host_lane *v)
{
	struct host *h = v->lane->backend->priv;
	int rc;

	if (v->admin_watch.fd >= 0 || h->admin.fd < 0)
		return 0;
	v->admin_watch = (struct vio_watch){ .ready = keep_ready,
					     .fd = h->admin.fd,
					     .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	rc = vio_watch_add(v->lane->poller, &v->admin_watch);
	if (rc)
		v->admin_watch.fd = -1;
	else
		h->admin.readable = h->admin.writable = true;
	return rc;
}

/* The old association is over: first the controller, as long as it listens. */
static int keep_reset(struct host *h)
{
	if (h->admin.state != LINK_UP)
		return vio__fail(ECONNRESET, "nvme-tcp: the admin connection is lost too");
	h->phase = HOST_RESETTING;
	h->deadline = vio__host_now() + KEEP_RESET;
	vio__host_script_reset(h);
	return vio__host_admin_run(h);
}

static int keep_step(struct host_lane *v)
{
	struct host *h = v->lane->backend->priv;
	unsigned generation = h->generation;
	int rc;

	if (h->phase == HOST_LOST)
		return keep_reset(h);
	if (h->phase == HOST_WAITING)
		return vio__host_now() < h->deadline ? 0 : vio__host_admin_dial(h);
	rc = vio__host_admin_run(h);
	if (!rc && h->phase == HOST_RESETTING && !h->script)
		keep_wait(v, true);
	if (generation != h->generation)
		vio__host_ring_all(h);
	return rc;
}

void vio__host_keep(struct host_lane *v)
{
	struct host *h = v->lane->backend->priv;
	uint64_t now, at;
	int rc = keep_step(v);

	rc = rc ? rc : keep_watch(v);
	if (rc)
		keep_failed(v, rc);
	at = h->phase == HOST_WAITING ? h->deadline : vio__host_admin_next(h);
	now = vio__host_now();
	v->admin_timer.fire = keep_fire;
	if (at == UINT64_MAX)
		vio_timer_cancel(v->lane->poller, &v->admin_timer);
	else
		vio_timer_set(v->lane->poller, &v->admin_timer, at > now ? at - now : 0);
}

void vio__host_unkeep(struct host_lane *v)
{
	keep_unwatch(v);
	vio_timer_cancel(v->lane->poller, &v->admin_timer);
}
