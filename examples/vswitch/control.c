/* SPDX-License-Identifier: MIT */
/*
 * The control socket. A client sends lines; each gets "OK LENGTH" and so many bytes, or
 * "ERR SENTENCE". Clients are not to be trusted with anything but the commands: lines,
 * connections and the time for either are bounded, and a reply that is not read holds
 * nobody else up.
 */
#define _GNU_SOURCE /* accept4 */
#include "vswitch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_CONNS 16
#define MAX_LINE 4096
#define RETRY_NS 1000000000ull

struct conn {
	struct vio_watch watch; /* first */
	struct vio_timer patience;
	struct control *control;
	int fd; /* -1: nobody */
	bool watching;
	bool last;   /* closed after this reply */
	size_t have; /* of the line */
	char line[MAX_LINE];
	char *reply; /* NULL: none is under way */
	size_t len, sent;
};

struct control {
	struct vio_watch watch; /* first */
	struct vio_timer retry;
	struct vswitch *s;
	int fd;
	bool watching;
	struct sockaddr_un name;
	dev_t dev; /* the socket's file, to remove that one and no other */
	ino_t ino;
	struct conn conns[MAX_CONNS];
};

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

static void conn_close(struct conn *n)
{
	if (n->watching)
		vio_watch_del(poller(n->control), &n->watch);
	vio_timer_cancel(poller(n->control), &n->patience);
	close(n->fd);
	free(n->reply);
	n->reply = NULL;
	n->fd = -1;
	n->watching = n->last = false;
	control_watch(n->control, true); /* there is room for one more */
}

/* Waits for these events and no others; 0: for none. */
static void conn_await(struct conn *n, uint32_t events)
{
	if (n->watching && n->watch.events == events)
		return;
	if (n->watching)
		vio_watch_del(poller(n->control), &n->watch);
	n->watch.events = events;
	n->watching = events && !vio_watch_add(poller(n->control), &n->watch);
	if (events && !n->watching)
		conn_close(n);
}

/* For a line to come, and for its reply to be read. */
static void conn_be_patient(struct conn *n)
{
	vio_timer_set(poller(n->control), &n->patience, n->control->s->o.control_timeout * 1000000000ull);
}

static void conn_impatient(struct vio_timer *t)
{
	conn_close((struct conn *)((char *)t - offsetof(struct conn, patience)));
}

static void conn_next(struct conn *n)
{
	free(n->reply);
	n->reply = NULL;
	n->have = 0;
	if (n->last) {
		conn_close(n);
		return;
	}
	conn_be_patient(n);
	conn_await(n, EPOLLIN);
}

static void conn_send(struct conn *n)
{
	while (n->sent < n->len) {
		ssize_t put = send(n->fd, n->reply + n->sent, n->len - n->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN) {
			conn_await(n, EPOLLOUT);
			return;
		}
		if (put <= 0) {
			conn_close(n);
			return;
		}
		n->sent += (size_t)put;
	}
	conn_next(n);
}

/* One line, whatever the sentence holds. */
static void put_error(FILE *to, const char *why)
{
	fputs("ERR ", to);
	for (; *why; why++)
		fputc(*why == '\n' ? ' ' : *why, to);
	fputc('\n', to);
}

static void conn_reply(struct conn *n, const char *body, size_t len, const char *why)
{
	FILE *to = open_memstream(&n->reply, &n->len);

	n->sent = 0;
	if (to && why)
		put_error(to, why);
	else if (to)
		fprintf(to, "OK %zu\n", len);
	if (to && !why)
		fwrite(body, 1, len, to);
	if (!to || fclose(to)) {
		conn_close(n);
		return;
	}
	conn_be_patient(n);
	conn_send(n);
}

void control_done(struct conn *n)
{
	conn_reply(n, "", 0, NULL);
}

static void conn_run(struct conn *n)
{
	char why[WHY_SIZE] = "", *body = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&body, &len);
	enum answer a;

	if (!to) {
		conn_close(n);
		return;
	}
	a = command_run(n->control->s, n, n->line, to, why);
	if (fclose(to) && a == ANSWER_DONE) {
		refuse(why, "out of memory for the answer");
		a = ANSWER_REFUSED;
	}
	if (a == ANSWER_LATER) { /* neither read nor hurried meanwhile */
		conn_await(n, 0);
		vio_timer_cancel(poller(n->control), &n->patience);
	} else {
		conn_reply(n, body, len, a == ANSWER_REFUSED ? why : NULL);
	}
	free(body);
}

/* What a client may send: one line, printable. */
static const char *line_fault(const struct conn *n, bool whole)
{
	if (!whole)
		return n->have == MAX_LINE ? "a line has at most 4095 bytes" : NULL;
	for (size_t i = 0; i + 1 < n->have; i++)
		if ((unsigned char)n->line[i] < ' ' || n->line[i] == 0x7f)
			return "a line has printable characters only";
	return NULL;
}

/* Reads up to the line's end and not beyond, so that what follows waits in the socket. */
static bool conn_read(struct conn *n, bool *whole)
{
	char *at = n->line + n->have, *end;
	ssize_t got = recv(n->fd, at, MAX_LINE - n->have, MSG_PEEK | MSG_DONTWAIT);

	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	end = memchr(at, '\n', (size_t)got);
	*whole = end;
	got = recv(n->fd, at, end ? (size_t)(end + 1 - at) : (size_t)got, MSG_DONTWAIT);
	if (got <= 0)
		return false;
	n->have += (size_t)got;
	return true;
}

static void conn_readable(struct conn *n)
{
	const char *fault;
	bool whole = false;

	if (!conn_read(n, &whole)) {
		conn_close(n);
		return;
	}
	fault = line_fault(n, whole);
	if (fault) {
		n->last = !whole; /* what is left of it is no command */
		conn_reply(n, NULL, 0, fault);
	} else if (whole) {
		n->line[n->have - 1] = 0;
		conn_run(n);
	}
}

static void conn_ready(struct vio_watch *w, uint32_t events)
{
	struct conn *n = (struct conn *)w;

	(void)events;
	if (n->reply)
		conn_send(n);
	else
		conn_readable(n);
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
	n->fd = fd;
	n->watch.fd = fd;
	conn_next(n);
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
	rc = dial(name);
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
		c->conns[i] = (struct conn){
			.fd = -1, .control = c, .watch.ready = conn_ready, .patience.fire = conn_impatient
		};
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
