/* SPDX-License-Identifier: MIT */
/* Where control clients come in. */
#define _GNU_SOURCE /* accept4 */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_NS 1000000000ull

static struct vio_poller *poller(const struct control *c)
{
	return c->s->pollers[0];
}

static void control_watch(struct control *c, bool on)
{
	if (c->watching == on)
		return;
	c->watching = on;
	if (!on)
		vio_watch_del(poller(c), &c->watch);
	else if (vio_watch_add(poller(c), &c->watch)) {
		c->watching = false;
		vio_timer_set(poller(c), &c->retry, RETRY_NS);
	}
}

void control_has_room(struct control *c)
{
	control_watch(c, true);
}

static struct conn *free_conn(struct control *c)
{
	for (unsigned i = 0; i < MAX_CONNS; i++)
		if (c->conns[i].fd < 0)
			return &c->conns[i];
	return NULL;
}

/* Those beyond the last place wait in the backlog. */
static void control_ready(struct vio_watch *w, uint32_t events)
{
	struct control *c = (struct control *)w;
	struct conn *n = free_conn(c);
	int fd = n ? accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

	(void)events;
	if (n && fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		vio_timer_set(poller(c), &c->retry, RETRY_NS); /* out of descriptors: it would stay ready */
	}
	if (fd < 0) {
		control_watch(c, false);
		return;
	}
	conn_open(n, fd);
}

static void control_retry(struct vio_timer *t)
{
	control_watch((struct control *)((char *)t - offsetof(struct control, retry)), true);
}

static int dial(const struct sockaddr_un *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc = 0;

	if (fd < 0 || connect(fd, (const struct sockaddr *)name, sizeof(*name)))
		rc = errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

/*
 * A killed switch's socket accepts for some moments more: the kernel ends its io_uring, which
 * holds the socket, after the process. So an answer counts only if it keeps coming.
 */
static int dial_for_long(const struct sockaddr_un *name)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int rc = dial(name);

	for (unsigned i = 0; i < 50 && (!rc || rc == EAGAIN); i++) {
		nanosleep(&pause, NULL);
		rc = dial(name);
	}
	return rc;
}

/* Removes a socket that a killed switch left behind, and nothing else. */
static int remove_stale(const struct sockaddr_un *name, char why[WHY_SIZE])
{
	const char *path = name->sun_path;
	struct stat st;
	int rc;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : refuse(why, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return refuse(why, "%s exists and is not a socket: it is left as it is", path);
	rc = dial_for_long(name);
	if (!rc || rc == EAGAIN)
		return refuse(why, "another process listens at %s", path);
	if (rc != ECONNREFUSED)
		return refuse(why, "%s: %s", path, strerror(rc));
	return unlink(path) && errno != ENOENT ? refuse(why, "%s: %s", path, strerror(errno)) : 0;
}

/* Nobody can connect before listen, so the mode is right from the first client on. */
static int control_listen(struct control *c, char why[WHY_SIZE])
{
	const char *path = c->name.sun_path;
	struct stat st;

	if (remove_stale(&c->name, why))
		return -1;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || bind(c->fd, (struct sockaddr *)&c->name, sizeof(c->name)))
		return refuse(why, "cannot create socket %s: %s", path, strerror(errno));
	if (lstat(path, &st))
		return refuse(why, "%s has gone: %s", path, strerror(errno));
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	if (chmod(path, 0600) || listen(c->fd, MAX_CONNS))
		return refuse(why, "cannot listen at %s: %s", path, strerror(errno));
	return 0;
}

int control_open(struct vswitch *s, char why[WHY_SIZE])
{
	struct control *c = calloc(1, sizeof(*c));
	size_t len = strlen(s->o.control);

	if (!c)
		return refuse(why, "out of memory");
	s->control = c;
	c->s = s;
	c->fd = -1;
	c->retry.fire = control_retry;
	for (unsigned i = 0; i < MAX_CONNS; i++)
		conn_init(&c->conns[i], c);
	c->name.sun_family = AF_UNIX;
	if (!len || len >= sizeof(c->name.sun_path))
		return refuse(why, "a socket's path has 1 to %zu bytes", sizeof(c->name.sun_path) - 1);
	memcpy(c->name.sun_path, s->o.control, len);
	if (control_listen(c, why))
		return -1;
	c->watch = (struct vio_watch){ .ready = control_ready, .fd = c->fd, .events = EPOLLIN };
	control_watch(c, true);
	return 0;
}

void control_close(struct vswitch *s)
{
	struct control *c = s->control;
	struct stat st;

	if (!c)
		return;
	for (struct port *p = s->ports; p; p = p->next)
		p->waiter = NULL;
	for (unsigned i = 0; i < MAX_CONNS; i++)
		if (c->conns[i].fd >= 0)
			conn_close(&c->conns[i]);
	control_watch(c, false);
	vio_timer_cancel(poller(c), &c->retry);
	if (c->ino && !lstat(c->name.sun_path, &st) && st.st_dev == c->dev && st.st_ino == c->ino)
		unlink(c->name.sun_path);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
	s->control = NULL;
}
