/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
/* The vhost-user server's life: how front ends come and go, and how it ends. */
#include "transport/vhost_user_conn.h"
#include "transport/unix_socket.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS 1000
#define TIMEOUT_MS 5000

static void came(struct vio_vhost_user *t, int fd)
{
	vus_log(t, VIO_LOG_INFO, "a front end has come");
	vus_open(t, fd);
	if (t->phase != VUS_IDLE && t->opts.connected)
		t->opts.connected(t->opts.ctx, true);
}

static void try_later(struct vio_vhost_user *t)
{
	vio_timer_set(t->poller, &t->retry, t->opts.retry_ms * 1000000ull);
}

static void listen_off(struct vio_vhost_user *t)
{
	if (t->listening)
		vio_watch_del(t->poller, &t->listen_watch);
	t->listening = false;
}

static void listen_on(struct vio_vhost_user *t)
{
	if (vio_watch_add(t->poller, &t->listen_watch)) {
		vus_log(t, VIO_LOG_ERROR, "the socket cannot be watched: %s", vio_errmsg());
		try_later(t);
		return;
	}
	t->listening = true;
}

/* A front end waits. While it is served the next stays in the backlog. */
static void listen_ready(struct vio_watch *w, uint32_t events)
{
	struct vio_vhost_user *t = VIO_CONTAINER(w, struct vio_vhost_user, listen_watch);
	int fd = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	listen_off(t);
	if (fd >= 0) {
		came(t, fd);
		return;
	}
	vus_log(t, VIO_LOG_ERROR, "cannot accept a front end: %s", strerror(errno));
	try_later(t); /* out of descriptors, say: the listener would stay ready */
}

static void dial(struct vio_vhost_user *t)
{
	int fd = unix_connect(t->opts.path);

	if (fd >= 0) {
		came(t, fd);
		return;
	}
	vus_log(t, VIO_LOG_DEBUG, "%s", vio_errmsg());
	try_later(t);
}

static void retry_fire(struct vio_timer *timer)
{
	struct vio_vhost_user *t = VIO_CONTAINER(timer, struct vio_vhost_user, retry);

	if (t->opts.client)
		dial(t);
	else
		listen_on(t);
}

/* Removes the socket file, if it is still the one that was bound here. */
static void leave_path(struct vio_vhost_user *t)
{
	struct stat st;

	if (t->listener < 0)
		return;
	listen_off(t);
	if (!lstat(t->opts.path, &st) && st.st_dev == t->socket_dev && st.st_ino == t->socket_ino)
		unlink(t->opts.path);
	vus_close_fd(&t->listener);
}

/* Posted, not called: done may free t, and whoever noticed the end is still using it. */
static void stop_finish(struct vio_msg *m)
{
	struct vio_vhost_user *t = VIO_CONTAINER(m, struct vio_vhost_user, stop_msg);

	if (t->stopped)
		t->stopped(t->stopped_ctx);
}

static void stop_end(struct vio_vhost_user *t)
{
	vio_timer_cancel(t->poller, &t->retry);
	leave_path(t);
	t->stop_msg.fn = stop_finish;
	vio_poller_post(t->poller, &t->stop_msg);
}

void vus_closed(struct vio_vhost_user *t)
{
	bool stopping = t->stopping;

	vus_log(t, VIO_LOG_INFO, "the front end has gone");
	if (t->opts.connected)
		t->opts.connected(t->opts.ctx, false);
	if (stopping)
		stop_end(t);
	else if (t->stopping)
		return; /* the callback called stop, which has ended it */
	else if (t->opts.client)
		try_later(t);
	else if (t->listener >= 0)
		listen_on(t);
}

static int open_listener(struct vio_vhost_user *t)
{
	struct stat st;
	int fd = unix_listen(t->opts.path);

	if (fd < 0)
		return fd;
	t->listener = fd;
	if (!lstat(t->opts.path, &st)) {
		t->socket_dev = st.st_dev;
		t->socket_ino = st.st_ino;
	}
	t->listen_watch = (struct vio_watch){ .ready = listen_ready, .fd = fd, .events = EPOLLIN };
	listen_on(t);
	return 0;
}

static int open_given(struct vio_vhost_user *t)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(t->opts.fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return vio__fail(errno, "vio_vhost_user_opts.fd is %d, expected a connected socket: %s",
				 t->opts.fd, strerror(errno));
	if (type != SOCK_STREAM)
		return vio__fail(EINVAL, "vio_vhost_user_opts.fd is not a stream socket");
	came(t, t->opts.fd);
	return 0;
}

static int open_way_in(struct vio_vhost_user *t)
{
	if (!t->opts.path)
		return open_given(t);
	if (!t->opts.client)
		return open_listener(t);
	dial(t);
	return 0;
}

static void dispose(struct vio_vhost_user *t)
{
	free((char *)t->opts.path);
	free(t->opts.pollers);
	free(t->rings);
	free(t);
}

/* The caller keeps nothing of what the options point to. */
static int copy_opts(struct vio_vhost_user *t)
{
	struct vio_vhost_user_opts *o = &t->opts;
	struct vio_poller **pollers = o->pollers;
	const char *path = o->path;

	o->pollers = NULL;
	o->path = NULL;
	o->retry_ms = o->retry_ms ? o->retry_ms : RETRY_MS;
	o->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	if (o->client && !path)
		return vio__fail(EINVAL, "vio_vhost_user_opts.client needs a path to connect to");
	if (o->npollers && !pollers)
		return vio__fail(EINVAL, "vio_vhost_user_opts.npollers is %u, but pollers is NULL",
				 o->npollers);
	if (path && !(o->path = strdup(path)))
		return vio__fail(ENOMEM, "no memory for a socket path");
	if (!o->npollers)
		return 0;
	o->pollers = calloc(o->npollers, sizeof(struct vio_poller *));
	if (!o->pollers)
		return vio__fail(ENOMEM, "no memory for %u pollers", o->npollers);
	memcpy(o->pollers, pollers, o->npollers * sizeof(struct vio_poller *));
	return 0;
}

static int make_rings(struct vio_vhost_user *t)
{
	t->nrings = vio_dev_queues(t->dev);
	t->rings = calloc(t->nrings, sizeof(*t->rings));
	if (!t->rings)
		return vio__fail(ENOMEM, "no memory for %u queues", t->nrings);
	for (unsigned i = 0; i < t->nrings; i++)
		vus_ring_init(&t->rings[i], t, i);
	return 0;
}

int vio_vhost_user_new(struct vio_vhost_user **out, struct vio_poller *p, struct vio_dev *d,
		       const struct vio_vhost_user_opts *opts)
{
	struct vio_vhost_user *t;
	int err;

	*out = NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return vio__fail(ENOMEM, "no memory for a vhost-user transport");
	t->poller = p;
	t->dev = d;
	t->listener = t->fd = t->backend_req = -1;
	t->retry.fire = retry_fire;
	err = vio__opts(&t->opts, sizeof(t->opts), opts, "vio_vhost_user_opts");
	if (err) {
		free(t);
		return err;
	}
	err = copy_opts(t);
	if (!err)
		err = make_rings(t);
	if (!err)
		err = open_way_in(t);
	if (err) {
		dispose(t);
		return err;
	}
	vio_dev_on_config(d, vus_config_changed, t);
	*out = t;
	return 0;
}

void vio_vhost_user_stop(struct vio_vhost_user *t, void (*done)(void *ctx), void *ctx)
{
	if (t->stopping)
		return;
	t->stopping = true;
	t->stopped = done;
	t->stopped_ctx = ctx;
	if (t->phase == VUS_IDLE)
		stop_end(t);
	else
		vus_run(t);
}

void vio_vhost_user_free(struct vio_vhost_user *t)
{
	if (!t)
		return;
	vio_dev_on_config(t->dev, NULL, NULL);
	vio_timer_cancel(t->poller, &t->retry);
	leave_path(t);
	dispose(t);
}
