/* SPDX-License-Identifier: MIT */
/* A client of the control socket: lines in, replies out, one at a time. */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct vio_poller *poller(const struct conn *n)
{
	return n->control->s->pollers[0];
}

void conn_close(struct conn *n)
{
	if (n->watching)
		vio_watch_del(poller(n), &n->watch);
	vio_timer_cancel(poller(n), &n->patience);
	close(n->fd);
	free(n->reply);
	n->reply = NULL;
	n->fd = -1;
	n->watching = n->last = false;
	control_has_room(n->control);
}

/* Waits for these events and no others; 0: for none. */
static void conn_await(struct conn *n, uint32_t events)
{
	if (n->watching && n->watch.events == events)
		return;
	if (n->watching)
		vio_watch_del(poller(n), &n->watch);
	n->watch.events = events;
	n->watching = events && !vio_watch_add(poller(n), &n->watch);
	if (events && !n->watching)
		conn_close(n);
}

/* For a line to come, and for its reply to be read. */
static void conn_be_patient(struct conn *n)
{
	vio_timer_set(poller(n), &n->patience, n->control->s->o.control_timeout * 1000000000ull);
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
		vio_timer_cancel(poller(n), &n->patience);
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

void conn_init(struct conn *n, struct control *c)
{
	*n = (struct conn){
		.fd = -1, .control = c, .watch.ready = conn_ready, .patience.fire = conn_impatient
	};
}

void conn_open(struct conn *n, int fd)
{
	n->fd = fd;
	n->watch.fd = fd;
	conn_next(n);
}
