/* SPDX-License-Identifier: MIT */
/* A lane: one queue's set-up and end, what wakes its thread, and what it does about the connection. */
#include "backend/vhost_user_net.h"

static bool lane_pending(struct vnet_lane *v)
{
	if (!v->lane->recv && v->send.done.head)
		return true;
	return vring_pending(&v->ring, v->ring.packed) != 0; /* a fault too is for reap to find */
}

/* Runs while the poller spins or has just been woken; tells the reaper what it finds. */
static unsigned lane_poll(struct vio_task *t, unsigned budget)
{
	struct vnet_lane *v = VIO_CONTAINER(t, struct vnet_lane, task);

	(void)budget;
	if (VIO_UNLIKELY(v->held)) {
		v->held = false;
		vnet_recv_post(v);
		vnet_attend(v);
	}
	if (!lane_pending(v))
		return 0;
	vio_lane_wake(v->lane);
	return 1;
}

static bool lane_arm(struct vio_task *t, bool on)
{
	struct vnet_lane *v = VIO_CONTAINER(t, struct vnet_lane, task);

	return vring_arm(&v->ring, on);
}

static void lane_wake(struct vnet_lane *v)
{
	vio_task_wake(v->lane->poller, &v->task);
	vio_lane_wake(v->lane);
}

/* By the server, or by whoever stopped the ring for us. */
static void lane_called(struct vio_watch *w, uint32_t events)
{
	struct vnet_lane *v = VIO_CONTAINER(w, struct vnet_lane, bells.called);

	(void)events;
	vnet_count(v, VNET_INTERRUPTS, 1);
	if (VIO_UNLIKELY(VIO_LOAD(&v->state) == VNET_STOPPED))
		vnet_attend(v);
	lane_wake(v);
}

static void lane_stopped(struct vio_watch *w, uint32_t events)
{
	struct vnet_lane *v = VIO_CONTAINER(w, struct vnet_lane, bells.stopped);

	(void)events;
	vnet_break(v, "the server stopped the queue");
}

static void lane_told(struct vio_watch *w, uint32_t events)
{
	(void)events;
	vnet_attend(VIO_CONTAINER(w, struct vnet_lane, socket));
}

static void lane_unwatch_socket(struct vnet_lane *v)
{
	if (v->socket.fd < 0)
		return;
	vio_watch_del(v->lane->poller, &v->socket);
	close(v->socket.fd);
	v->socket.fd = -1;
}

/* A duplicate of the present connection's: each lane watches it on its own thread. Without, its timer goes
 * on. */
static void lane_watch_socket(struct vnet_lane *v)
{
	const struct vnet *d = v->d;

	if (v->socket.fd >= 0 && d->front.fd >= 0 && v->connection == d->connection)
		return;
	lane_unwatch_socket(v);
	if (d->front.fd < 0)
		return;
	v->connection = d->connection;
	v->socket =
		(struct vio_watch){ .ready = lane_told, .fd = dup(d->front.fd), .events = EPOLLIN | EPOLLET };
	if (v->socket.fd >= 0 && vio_watch_add(v->lane->poller, &v->socket)) {
		close(v->socket.fd);
		v->socket.fd = -1;
	}
}

static void lane_lay(struct vnet_lane *v)
{
	if (v->lane->recv)
		vnet_recv_lay(v);
	else
		vnet_send_lay(v);
	v->generation = v->d->generation;
	VIO_STORE(&v->state, VNET_LAID);
}

static void lane_lay_stale(struct vnet_lane *v)
{
	if (v->generation != v->d->generation || v->state == VNET_STOPPED)
		lane_lay(v);
}

static void lane_leave(struct vnet_lane *v, uint64_t now, int err, const char *why)
{
	vio_poller_log(v->lane->poller, VIO_LOG_INFO, "vhost_user_net: %s: %s", v->d->path, why);
	vnet_leave(v->d, now, err);
}

static void lane_talk(struct vnet_lane *v, uint64_t now)
{
	struct vnet *d = v->d;
	const bool met = d->front.fd >= 0;
	int rc;

	if (!met && (!d->reconnect || now < d->retry_at))
		return;
	rc = vnet_talk(d);
	if (rc && rc != -EAGAIN) {
		if (met)
			lane_leave(v, now, rc, vio_errmsg());
		else
			d->retry_at = now + VNET_RETRY_MS * 1000000ull;
	} else if (vnet_hung_up(d)) {
		lane_leave(v, now, -ECONNRESET, "the server has gone");
	}
}

/* True: there will be more to do. */
static bool lane_attend(struct vnet_lane *v)
{
	struct vnet *d = v->d;
	uint64_t now = vio_poller_now(v->lane->poller);
	bool more;

	pthread_mutex_lock(&d->lock);
	lane_lay_stale(v);
	lane_talk(v, now);
	lane_lay_stale(v);
	lane_watch_socket(v);
	more = v->state != VNET_RUNS || v->socket.fd < 0;
	if (d->front.fd < 0 && !d->reconnect)
		more = false;
	pthread_mutex_unlock(&d->lock);
	return more;
}

void vnet_attend(struct vnet_lane *v)
{
	if (lane_attend(v))
		vio_timer_set(v->lane->poller, &v->retry, VNET_RETRY_MS * 1000000ull);
	else
		vio_timer_cancel(v->lane->poller, &v->retry);
	if (!v->lane->recv && v->send.done.head)
		lane_wake(v);
}

static void lane_retry(struct vio_timer *t)
{
	vnet_attend(VIO_CONTAINER(t, struct vnet_lane, retry));
}

void vnet_break(struct vnet_lane *v, const char *why)
{
	struct vnet *d = v->d;

	vio_poller_log(v->lane->poller, VIO_LOG_ERROR, "vhost_user_net: %s: queue %u: %s", d->path, v->index,
		       why);
	pthread_mutex_lock(&d->lock);
	if (v->generation == d->generation)
		vnet_leave(d, vio_poller_now(v->lane->poller), -EBADMSG);
	pthread_mutex_unlock(&d->lock);
	vnet_attend(v);
}

void vnet_stop(struct vnet_lane *v)
{
	struct vnet *d = v->d;
	uint64_t now = vio_poller_now(v->lane->poller);
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = vnet_talk_out(d, now); /* whatever else is being talked about */
	if (!rc && v->generation == d->generation && v->state == VNET_RUNS) {
		VIO_STORE(&v->state, VNET_STOP);
		vnet_talk_out(d, now);
	}
	lane_lay(v);
	pthread_mutex_unlock(&d->lock);
}

void vnet_publish(struct vnet_lane *v, bool packed)
{
	if (!vring_publish(&v->ring, packed))
		return;
	vnet_count(v, VNET_KICKS, 1);
	vio_poller_signal(v->lane->poller, v->bells.kick);
}

static int lane_claim(struct vnet_lane *v)
{
	struct vnet *d = v->d;
	const struct vio_lane *l = v->lane;

	if (l->pair >= d->pairs)
		return vio__fail(EINVAL,
				 "vhost_user_net: %s has %llu pairs, pair %u needs one more (pairs=N)",
				 d->path, (unsigned long long)d->pairs, l->pair);
	v->index = 2 * l->pair + !l->recv;
	if (d->queue[v->index].lane)
		return vio__fail(EBUSY, "vhost_user_net: %s: pair %u is in use already", d->path, l->pair);
	v->count = d->queue[v->index].count;
	return 0;
}

static void lane_undo(struct vnet_lane *v)
{
	vio__vhost_mem_unuse(&v->d->mem, &v->view);
	vnet_area_close(v);
	if (v->lane->recv)
		vnet_recv_close(v);
	else
		vnet_send_close(v);
	vhost_bells_close(&v->bells);
}

static int lane_make(struct vnet_lane *v)
{
	int rc = vio__vhost_mem_use(&v->d->mem, &v->view, v->lane->mem);

	rc = rc ? rc : vnet_area_open(v);
	rc = rc ? rc : v->lane->recv ? vnet_recv_open(v) : vnet_send_open(v);
	rc = rc ? rc : vhost_bells_open(&v->bells, "vhost_user_net");
	rc = rc ? rc : vhost_bells_watch(&v->bells, v->lane->poller, lane_called, lane_stopped);
	if (rc) {
		lane_undo(v);
		return rc;
	}
	lane_lay(v);
	v->d->queue[v->index].lane = v;
	return 0;
}

int vnet_lane_open(struct vio_lane *l)
{
	struct vnet_lane *v = l->priv;
	int rc;

	v->d = l->backend->priv;
	v->lane = l;
	v->bells.kick = v->bells.call = v->bells.err = v->socket.fd = -1;
	v->spins = vio_poller_mode(l->poller) == VIO_POLL_ADAPTIVE;
	v->retry.fire = lane_retry;
	pthread_mutex_lock(&v->d->lock);
	rc = lane_claim(v);
	rc = rc ? rc : lane_make(v);
	pthread_mutex_unlock(&v->d->lock);
	if (rc)
		return rc;
	v->task = (struct vio_task){ .run = lane_poll, .arm = lane_arm };
	vio_task_add(l->poller, &v->task);
	vnet_attend(v);
	return 0;
}

/* The ring stays with the server, empty and disabled: to stop it would stop all of some servers' device. */
static void lane_end(struct vnet_lane *v, uint64_t now)
{
	struct vnet *d = v->d;
	int rc = vnet_talk_out(d, now);

	vio__front_patience(&d->front, false);
	if (!rc && v->generation == d->generation && v->state == VNET_RUNS)
		rc = vio__front_ring_enable(&d->front, v->index, false);
	if (rc && d->front.fd >= 0)
		vnet_leave(d, now, rc);
	d->queue[v->index].lane = NULL;
	lane_undo(v);
	vio__front_patience(&d->front, true);
}

void vnet_lane_close(struct vio_lane *l)
{
	struct vnet_lane *v = l->priv;

	vio_task_del(l->poller, &v->task);
	vhost_bells_unwatch(&v->bells, l->poller);
	vio_timer_cancel(l->poller, &v->retry);
	if (!l->recv)
		vio_timer_cancel(l->poller, &v->send.stall);
	lane_unwatch_socket(v);
	pthread_mutex_lock(&v->d->lock);
	lane_end(v, vio_poller_now(l->poller));
	pthread_mutex_unlock(&v->d->lock);
}
