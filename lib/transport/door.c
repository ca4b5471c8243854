/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
/* How peers come and go, and how that ends. */
#include "transport/door.h"

#include "transport/unix_socket.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void door_log(const struct door *d, enum vio_log_level level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vio_poller_log(d->poller, level, "%s %s: %s", d->protocol, d->path ? d->path : "socket", text);
}

static void door_came(struct door *d, int fd)
{
	door_log(d, VIO_LOG_INFO, "a %s has come", d->peer);
	if (d->came(d, fd) && d->connected)
		d->connected(d->ctx, true);
}

static void door_later(struct door *d)
{
	vio_timer_set(d->poller, &d->retry, d->retry_ns);
}

static void door_listen_off(struct door *d)
{
	if (d->listening)
		vio_watch_del(d->poller, &d->watch);
	d->listening = false;
}

static void door_listen_on(struct door *d)
{
	d->listening = !vio_watch_add(d->poller, &d->watch);
	if (d->listening)
		return;
	door_log(d, VIO_LOG_ERROR, "the socket cannot be watched: %s", vio_errmsg());
	door_later(d);
}

/* A peer waits. While one is served the next stays in the backlog. */
static void door_ready(struct vio_watch *w, uint32_t events)
{
	struct door *d = VIO_CONTAINER(w, struct door, watch);
	int fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	door_listen_off(d);
	if (fd >= 0) {
		door_came(d, fd);
		return;
	}
	door_log(d, VIO_LOG_ERROR, "cannot accept a %s: %s", d->peer, strerror(errno));
	door_later(d); /* out of descriptors, say: the listener would stay ready */
}

static void door_dial(struct door *d)
{
	int fd = unix_connect(d->path);

	if (fd >= 0) {
		door_came(d, fd);
		return;
	}
	door_log(d, VIO_LOG_DEBUG, "%s", vio_errmsg());
	door_later(d);
}

static void door_retry(struct vio_timer *timer)
{
	struct door *d = VIO_CONTAINER(timer, struct door, retry);

	if (d->dials)
		door_dial(d);
	else
		door_listen_on(d);
}

/* Removes the socket file, if it is still the one that was bound here. */
static void door_leave_path(struct door *d)
{
	struct stat st;

	if (d->listener < 0)
		return;
	door_listen_off(d);
	if (!lstat(d->path, &st) && st.st_dev == d->dev && st.st_ino == d->ino)
		unlink(d->path);
	close(d->listener);
	d->listener = -1;
}

/* Posted, not called: done may free the server, and whoever noticed the end is still using it. */
static void door_stopped(struct vio_msg *m)
{
	struct door *d = VIO_CONTAINER(m, struct door, stop_msg);

	if (d->stopped)
		d->stopped(d->stopped_ctx);
}

static void door_end(struct door *d)
{
	vio_timer_cancel(d->poller, &d->retry);
	door_leave_path(d);
	d->stop_msg.fn = door_stopped;
	vio_poller_post(d->poller, &d->stop_msg);
}

void door_closed(struct door *d)
{
	bool stopping = d->stopping;

	door_log(d, VIO_LOG_INFO, "the %s has gone", d->peer);
	if (d->connected)
		d->connected(d->ctx, false);
	if (stopping)
		door_end(d);
	else if (d->stopping)
		return; /* the callback called stop, which has ended it */
	else if (d->dials)
		door_later(d);
	else if (d->listener >= 0)
		door_listen_on(d);
}

static int door_listen(struct door *d)
{
	struct stat st;
	int fd = unix_listen(d->path);

	if (fd < 0)
		return fd;
	d->listener = fd;
	if (!lstat(d->path, &st)) {
		d->dev = st.st_dev;
		d->ino = st.st_ino;
	}
	d->watch = (struct vio_watch){ .ready = door_ready, .fd = fd, .events = EPOLLIN };
	door_listen_on(d);
	return 0;
}

static int door_take(struct door *d, int fd)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return vio__fail(errno, "%s: fd is %d, expected a connected socket: %s", d->protocol, fd,
				 strerror(errno));
	if (type != SOCK_STREAM)
		return vio__fail(EINVAL, "%s: fd is not a stream socket", d->protocol);
	door_came(d, fd);
	return 0;
}

int door_init(struct door *d, struct vio_poller *p, const char *path)
{
	d->poller = p;
	d->listener = -1;
	d->retry.fire = door_retry;
	d->path = path ? strdup(path) : NULL;
	return path && !d->path ? vio__fail(ENOMEM, "no memory for a socket path") : 0;
}

int door_open(struct door *d, int fd)
{
	if (!d->path)
		return door_take(d, fd);
	if (!d->dials)
		return door_listen(d);
	door_dial(d);
	return 0;
}

bool door_stop(struct door *d, bool idle, void (*done)(void *ctx), void *ctx)
{
	if (d->stopping)
		return false;
	d->stopping = true;
	d->stopped = done;
	d->stopped_ctx = ctx;
	if (idle)
		door_end(d);
	return true;
}

void door_dispose(struct door *d)
{
	vio_timer_cancel(d->poller, &d->retry);
	door_leave_path(d);
	free(d->path);
}
