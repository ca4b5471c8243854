/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
/* The vfio-user server's life: how clients come and go, and how it ends. */
#include "transport/vfio_user.h"

#include "transport/unix_socket.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_NS 1000000000ull
#define TIMEOUT_MS 5000

static void came(struct vio_vfio_user *t, int fd)
{
	vfs_log(t, VIO_LOG_INFO, "a client has come");
	vfs_open(t, fd);
	if (t->phase != VFS_IDLE && t->opts.connected)
		t->opts.connected(t->opts.ctx, true);
}

static void listen_off(struct vio_vfio_user *t)
{
	if (t->listening)
		vio_watch_del(t->poller, &t->listen_watch);
	t->listening = false;
}

static void listen_on(struct vio_vfio_user *t)
{
	t->listening = !vio_watch_add(t->poller, &t->listen_watch);
	if (t->listening)
		return;
	vfs_log(t, VIO_LOG_ERROR, "the socket cannot be watched: %s", vio_errmsg());
	vio_timer_set(t->poller, &t->retry, RETRY_NS);
}

static void retry_fire(struct vio_timer *timer)
{
	listen_on(VIO_CONTAINER(timer, struct vio_vfio_user, retry));
}

/* A client waits. While one is served the next stays in the backlog. */
static void listen_ready(struct vio_watch *w, uint32_t events)
{
	struct vio_vfio_user *t = VIO_CONTAINER(w, struct vio_vfio_user, listen_watch);
	int fd = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	listen_off(t);
	if (fd >= 0) {
		came(t, fd);
		return;
	}
	vfs_log(t, VIO_LOG_ERROR, "cannot accept a client: %s", strerror(errno));
	vio_timer_set(t->poller, &t->retry, RETRY_NS); /* out of descriptors, say: the listener stays ready */
}

/* Removes the socket file, if it is still the one that was bound here. */
static void leave_path(struct vio_vfio_user *t)
{
	struct stat st;

	if (t->listener < 0)
		return;
	listen_off(t);
	if (!lstat(t->opts.path, &st) && st.st_dev == t->socket_dev && st.st_ino == t->socket_ino)
		unlink(t->opts.path);
	close(t->listener);
	t->listener = -1;
}

/* Posted, not called: done may free t, and whoever noticed the end is still using it. */
static void stop_finish(struct vio_msg *m)
{
	struct vio_vfio_user *t = VIO_CONTAINER(m, struct vio_vfio_user, stop_msg);

	if (t->stopped)
		t->stopped(t->stopped_ctx);
}

static void stop_end(struct vio_vfio_user *t)
{
	vio_timer_cancel(t->poller, &t->retry);
	leave_path(t);
	t->stop_msg.fn = stop_finish;
	vio_poller_post(t->poller, &t->stop_msg);
}

void vfs_closed(struct vio_vfio_user *t)
{
	bool stopping = t->stopping;

	vfs_log(t, VIO_LOG_INFO, "the client has gone");
	if (t->opts.connected)
		t->opts.connected(t->opts.ctx, false);
	if (stopping)
		stop_end(t);
	else if (!t->stopping && t->listener >= 0) /* else the callback called stop, which has ended it */
		listen_on(t);
}

static int open_listener(struct vio_vfio_user *t)
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

static int open_given(struct vio_vfio_user *t)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(t->opts.fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return vio__fail(errno, "vio_vfio_user_opts.fd is %d, expected a connected socket: %s",
				 t->opts.fd, strerror(errno));
	if (type != SOCK_STREAM)
		return vio__fail(EINVAL, "vio_vfio_user_opts.fd is not a stream socket");
	came(t, t->opts.fd);
	return 0;
}

/* The caller keeps nothing of what the options point to. */
static int copy_opts(struct vio_vfio_user *t)
{
	const char *path = t->opts.path;

	t->opts.path = path ? strdup(path) : NULL;
	t->opts.timeout_ms = t->opts.timeout_ms ? t->opts.timeout_ms : TIMEOUT_MS;
	return path && !t->opts.path ? vio__fail(ENOMEM, "no memory for a socket path") : 0;
}

static void dispose(struct vio_vfio_user *t)
{
	t->pci->served = false;
	free((char *)t->opts.path);
	free(t->maps);
	free(t);
}

static int prepare(struct vio_vfio_user *t)
{
	int err = copy_opts(t);

	err = err ? err : vfs_prepare(t);
	if (err)
		return err;
	return t->opts.path ? open_listener(t) : open_given(t);
}

int vio_vfio_user_new(struct vio_vfio_user **out, struct vio_poller *p, struct vio_pci *f,
		      const struct vio_vfio_user_opts *opts)
{
	struct vio_vfio_user *t;
	int err;

	*out = NULL;
	if (f->served)
		return vio__fail(EBUSY, "a transport serves this PCI function already");
	if (f->poller != p)
		return vio__fail(EINVAL, "a PCI function's transport has to be on its own poller");
	t = calloc(1, sizeof(*t));
	if (!t)
		return vio__fail(ENOMEM, "no memory for a vfio-user transport");
	t->poller = p;
	t->pci = f;
	t->listener = t->fd = -1;
	t->retry.fire = retry_fire;
	err = vio__opts(&t->opts, sizeof(t->opts), opts, "vio_vfio_user_opts");
	if (err) {
		free(t);
		return err;
	}
	f->served = true;
	err = prepare(t);
	if (err) {
		dispose(t);
		return err;
	}
	*out = t;
	return 0;
}

void vio_vfio_user_stop(struct vio_vfio_user *t, void (*done)(void *ctx), void *ctx)
{
	if (t->stopping)
		return;
	t->stopping = true;
	t->stopped = done;
	t->stopped_ctx = ctx;
	if (t->phase == VFS_IDLE)
		stop_end(t);
	else
		vfs_run(t);
}

void vio_vfio_user_free(struct vio_vfio_user *t)
{
	if (!t)
		return;
	vio_timer_cancel(t->poller, &t->retry);
	leave_path(t);
	dispose(t);
}
