/* SPDX-License-Identifier: MIT */
/*
 * The server went away, and how its disk comes back (reconnect=on).
 *
 * Every lane watches the connection for itself, since each has its own thread. The
 * first that notices closes it for all; the first whose timer fires makes the next
 * one, and each lane then takes its own ring there. What was completed is in the
 * used ring and is not sent again. The rest is found by the server in its inflight
 * region, or, where it keeps none, is posted anew into an empty ring: reads, writes
 * and ranges may be done twice, as long as nobody was told of the first time.
 */
#include "backend/vhost_user.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define GONE_RETRY_NS 50000000ull

/* Under the lock. Other lanes hold duplicates: shut down, so that the peer and they see it. */
static void gone_close(struct vhost_disk *d)
{
	if (d->front.fd >= 0)
		shutdown(d->front.fd, SHUT_RDWR);
	vio__front_close(&d->front);
	d->running = 0;
}

/* A new connection like the old one. The caller holds the lock. */
int vio__vhost_reconnect(struct vhost_disk *d)
{
	int rc = vio__front_connect(&d->front);

	if (rc)
		return rc;
	if (d->features & ~d->front.offered)
		rc = vio__fail(EPROTO, "vhost_user: %s: the server came back without features %#llx", d->path,
			       (unsigned long long)(d->features & ~d->front.offered));
	if (!rc)
		rc = vio__front_set_features(&d->front, d->features);
	if (!rc && d->inflight_fd >= 0)
		rc = vio__front_inflight_set(&d->front, &d->inflight, d->inflight_fd);
	vio__vhost_mem_untell(&d->mem);
	if (!rc)
		rc = vio__vhost_mem_tell(&d->mem);
	if (rc)
		gone_close(d);
	else
		d->generation++;
	return rc;
}

/* Without a record at the server: everything that it had is put into an empty ring. */
static void gone_replay(struct vhost_lane *v)
{
	vio__vhost_ring_reset(v);
	for (unsigned i = 0; i < v->nslots; i++) {
		struct vhost_slot *s = &v->slot[i];

		if (!s->req)
			continue;
		if (s->how == VHOST_WHOLE) {
			s->pos = s->iov = s->iov_pos = 0;
			s->len = s->req->iov[0].iov_len;
		}
		vio__vhost_post(v, i);
		vhost_count(&v->count->replayed, 1);
	}
}

static int gone_resume(struct vhost_disk *d, struct vhost_lane *v)
{
	int rc;

	vio__vhost_harvest(v);
	if (v->broken)
		return 0;
	if (d->inflight_fd < 0)
		gone_replay(v);
	v->generation = d->generation;
	vring_welcome(&v->ring);
	rc = vio__vhost_ring_start(d, v, vio__vhost_ring_base(v));
	return rc ? rc : vio__vhost_watch_connection(v);
}

/* The ring runs again: what waited goes out, and the server is told to look. */
static void gone_back(struct vhost_lane *v)
{
	vhost_count(&v->count->reconnects, 1);
	vio__vhost_cut_more(v);
	vring_publish(&v->ring, v->ring.packed);
	eventfd_write(v->bells.kick, 1);
	vio_task_wake(v->lane->poller, &v->task);
	vio_lane_wake(v->lane);
	vio_poller_log(v->lane->poller, VIO_LOG_INFO, "vhost_user: queue %u: the server is back", v->index);
}

static void gone_retry(struct vio_timer *t)
{
	struct vhost_lane *v = VIO_CONTAINER(t, struct vhost_lane, retry);
	struct vhost_disk *d = v->lane->backend->priv;
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = d->front.fd < 0 ? vio__vhost_reconnect(d) : 0;
	if (!rc) {
		rc = gone_resume(d, v);
		if (rc)
			gone_close(d);
	}
	pthread_mutex_unlock(&d->lock);
	if (!rc && !v->broken)
		gone_back(v);
	else if (!v->broken) {
		v->running = false;
		vio_timer_set(v->lane->poller, t, GONE_RETRY_NS);
	}
}

static void gone_lost(struct vhost_disk *d, struct vhost_lane *v)
{
	pthread_mutex_lock(&d->lock);
	if (v->generation == d->generation)
		gone_close(d);
	pthread_mutex_unlock(&d->lock);
	v->running = false;
	vio_poller_log(v->lane->poller, VIO_LOG_INFO,
		       "vhost_user: %s: queue %u: the server has gone, trying again", d->path, v->index);
	v->retry.fire = gone_retry;
	vio_timer_set(v->lane->poller, &v->retry, GONE_RETRY_NS);
}

static void gone_ready(struct vio_watch *w, uint32_t events)
{
	struct vhost_lane *v = VIO_CONTAINER(w, struct vhost_lane, gone_watch);
	struct vhost_disk *d = v->lane->backend->priv;
	char byte;

	/* Answers to another thread's questions make the socket readable too. */
	if (!(events & (EPOLLHUP | EPOLLERR)) && recv(w->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		return;
	vio__vhost_unwatch_connection(v);
	if (v->broken)
		return;
	if (d->reconnect)
		gone_lost(d, v);
	else
		vio__vhost_break(v, EIO, "the server hung up");
}

int vio__vhost_watch_connection(struct vhost_lane *v)
{
	const struct vhost_disk *d = v->lane->backend->priv;
	int rc;

	v->gone_watch = (struct vio_watch){ .ready = gone_ready,
					    .fd = dup(d->front.fd),
					    .events = EPOLLIN | EPOLLET };
	if (v->gone_watch.fd < 0)
		return vio__fail(errno, "vhost_user: dup: %s", strerror(errno));
	rc = vio_watch_add(v->lane->poller, &v->gone_watch);
	if (rc) {
		close(v->gone_watch.fd);
		v->gone_watch.fd = -1;
	}
	return rc;
}

void vio__vhost_unwatch_connection(struct vhost_lane *v)
{
	vio_timer_cancel(v->lane->poller, &v->retry);
	if (v->gone_watch.fd < 0)
		return;
	vio_watch_del(v->lane->poller, &v->gone_watch);
	close(v->gone_watch.fd);
	v->gone_watch.fd = -1;
}
