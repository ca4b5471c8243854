/* SPDX-License-Identifier: MIT */
/* The control socket: a connection at a time, a line each way. It is the owner's: others may not connect. */
#define _GNU_SOURCE
#include "target.h"
#include <virtio-offload/impl/poll.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_SECONDS 10ull /* for a line to come */

static struct control {
	struct target *t;
	int listener, fd;
	struct vio_watch come, line;
	struct vio_timer patience;
	char text[4096];
	size_t have;
} control = { .listener = -1, .fd = -1 };

static void answer(struct control *c, const char *text)
{
	if (send(c->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		say(c->t, VIO_LOG_INFO, "control: the client did not wait for its answer");
}

static void refused(struct control *c)
{
	char text[600];

	snprintf(text, sizeof(text), "error %s\n", vio_errmsg());
	answer(c, text);
}

static void add(struct control *c, const char *stack)
{
	char text[32];
	int nsid = namespace_add(c->t, stack, c->t->group);

	if (nsid < 0) {
		refused(c);
		return;
	}
	snprintf(text, sizeof(text), "ok %d\n", nsid);
	answer(c, text);
}

static void change(struct control *c, const char *id, int (*f)(struct vio_nvme *s, uint32_t nsid))
{
	if (f(c->t->subsystem, (uint32_t)strtoul(id, NULL, 10)) < 0)
		refused(c);
	else
		answer(c, "ok\n");
}

static void set_access(struct control *c, const char *line)
{
	const char *wrong = access_set(c->t, line);
	char text[600];

	snprintf(text, sizeof(text), wrong ? "error %s\n" : "ok\n", wrong);
	answer(c, text);
}

static void read_keys(struct control *c)
{
	const char *wrong = c->t->keyfile ? keys_read(c->t) : "there is no --dhchap-keyfile";
	char text[800];

	snprintf(text, sizeof(text), wrong ? "error %s\n" : "ok\n", wrong);
	answer(c, text);
}

static void show(struct control *c)
{
	char text[4096] = "ok ";

	access_show(c->t, text + 3, sizeof(text) - 4);
	strcat(text, "\n");
	answer(c, text);
}

static void obey(struct control *c, const char *line)
{
	if (!strncmp(line, "add ", 4))
		add(c, line + 4);
	else if (!strncmp(line, "remove ", 7))
		change(c, line + 7, vio_nvme_ns_remove);
	else if (!strncmp(line, "resize ", 7))
		change(c, line + 7, vio_nvme_ns_resize);
	else if (!strncmp(line, "ana ", 4))
		set_access(c, line + 4);
	else if (!strcmp(line, "keys"))
		read_keys(c);
	else if (!strcmp(line, "show"))
		show(c);
	else
		answer(c, "error unknown command, expected add STACK, remove ID, resize ID, ana GROUP STATE "
			  "[PORT], keys or show\n");
}

static void listen_again(struct control *c)
{
	if (vio_watch_add(c->t->pollers[0], &c->come))
		say(c->t, VIO_LOG_ERROR, "control: %s", vio_errmsg());
}

static void hang_up(struct control *c)
{
	vio_timer_cancel(c->t->pollers[0], &c->patience);
	vio_watch_del(c->t->pollers[0], &c->line);
	close(c->fd);
	c->fd = -1;
	listen_again(c);
}

static void on_line(struct vio_watch *w, uint32_t events)
{
	struct control *c = &control;
	ssize_t n = recv(c->fd, c->text + c->have, sizeof(c->text) - 1 - c->have, 0);
	char *end;

	(void)w;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->have += (size_t)n;
	c->text[c->have] = 0;
	end = strchr(c->text, '\n');
	if (!end && n > 0 && c->have < sizeof(c->text) - 1)
		return;
	if (end) {
		*end = 0;
		obey(c, c->text);
	}
	hang_up(c);
}

static void on_patience(struct vio_timer *t)
{
	(void)t;
	hang_up(&control);
}

static void on_come(struct vio_watch *w, uint32_t events)
{
	struct control *c = &control;
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	c->fd = fd;
	c->have = 0;
	c->line = (struct vio_watch){ .ready = on_line, .fd = fd, .events = EPOLLIN };
	if (vio_watch_add(c->t->pollers[0], &c->line)) {
		close(fd);
		c->fd = -1;
		return;
	}
	vio_watch_del(c->t->pollers[0], w); /* the next one waits */
	vio_timer_set(c->t->pollers[0], &c->patience, CONTROL_SECONDS * 1000000000ull);
}

static int control_refuse(const struct target *t)
{
	fprintf(stderr, "nvme-target: --control %s: %s\n", t->control, strerror(errno));
	return -1;
}

int control_open(struct target *t)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct control *c = &control;
	mode_t mask;
	int rc;

	if (!t->control)
		return 0;
	errno = ENAMETOOLONG;
	if (strlen(t->control) >= sizeof(at.sun_path))
		return control_refuse(t);
	memcpy(at.sun_path, t->control, strlen(t->control));
	c->t = t;
	c->patience.fire = on_patience;
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listener < 0)
		return control_refuse(t);
	if (!connect(c->listener, (struct sockaddr *)&at, sizeof(at)) || errno == EAGAIN) {
		errno = EADDRINUSE;
		return control_refuse(t);
	}
	if (errno == ECONNREFUSED)
		unlink(t->control); /* of one that was killed */
	mask = umask(077);
	rc = bind(c->listener, (struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (rc || listen(c->listener, 16))
		return control_refuse(t);
	c->come = (struct vio_watch){ .ready = on_come, .fd = c->listener, .events = EPOLLIN };
	listen_again(c);
	return 0;
}

void control_close(struct target *t)
{
	struct control *c = &control;

	if (c->listener < 0 || !t->control)
		return;
	if (c->fd >= 0)
		hang_up(c);
	vio_watch_del(t->pollers[0], &c->come);
	close(c->listener);
	c->listener = -1;
	unlink(t->control);
}
