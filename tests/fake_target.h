/* SPDX-License-Identifier: MIT */
/*
 * An NVMe/TCP target made of raw PDUs, with one namespace in memory: a thread a
 * connection, which blocks. It can be told to lie, to fall silent, and to go away.
 */
#ifndef TESTS_FAKE_TARGET_H
#define TESTS_FAKE_TARGET_H

#include "fake_target_admin.h"
#include "fake_target_io.h"

static bool target_command(struct target_conn *c)
{
	struct target_later *l = c->first;
	struct nvme_tcp_hdr h;
	bool go_on;

	if (l)
		c->first = l->next;
	else if (!target_get(c, &h, sizeof(h)) || h.type != NVME_TCP_CMD || !(l = target_take(c, &h)))
		return false;
	memcpy(c->data, l->data, l->n);
	if (l->cmd.opcode == NVME_OPC_FABRICS)
		go_on = target_fabrics(c, &l->cmd);
	else
		go_on = c->admin ? target_admin(c, &l->cmd) : target_io(c, &l->cmd);
	free(l);
	return go_on;
}

static bool target_greet(struct target_conn *c)
{
	struct target *t = c->t;
	struct nvme_tcp_icreq q;
	struct nvme_tcp_icresp r = { .hdr = { .type = NVME_TCP_ICRESP, .hlen = 128, .plen = 128 },
				     .cpda = t->cpda,
				     .maxh2cdata = t->max_h2c };
	bool hdgst, ddgst;

	if (!target_get(c, &q, sizeof(q)) || q.hdr.type != NVME_TCP_ICREQ || q.hdr.plen != 128)
		return false;
	if (target_lies(t, LIE_IC_SILENT))
		return target_get(c, &q, sizeof(q));
	hdgst = q.digest & NVME_TCP_WANT_HDGST;
	ddgst = q.digest & NVME_TCP_WANT_DDGST;
	r.digest = q.digest;
	r.pfv = target_lies(t, LIE_IC_PFV);
	if (target_lies(t, LIE_IC_ALIGN))
		r.cpda = 32;
	if (target_lies(t, LIE_IC_MAXH2C))
		r.maxh2cdata = 4092;
	if (target_lies(t, LIE_IC_DIGEST))
		r.digest ^= NVME_TCP_WANT_HDGST;
	if (target_lies(t, LIE_IC_LENGTH))
		r.hdr.plen = 136;
	if (target_lies(t, LIE_IC_TYPE))
		r.hdr.type = NVME_TCP_RSP;
	if (!target_put(c, &r, sizeof(r), NULL, 0))
		return false;
	c->hdgst = hdgst;
	c->ddgst = ddgst;
	return true;
}

static void *target_serve(void *arg)
{
	struct target_conn *c = arg;
	struct target *t = c->t;

	if (target_greet(c))
		while (target_command(c))
			;
	pthread_mutex_lock(&t->lock);
	if (t->event_fd == c->fd)
		t->event_fd = -1;
	t->fd[c->index] = -1;
	close(c->fd);
	pthread_mutex_unlock(&t->lock);
	vio__dhchap_end(&c->chap);
	while (c->first) {
		struct target_later *next = c->first->next;

		free(c->first);
		c->first = next;
	}
	free(c);
	return NULL;
}

static void *target_accept(void *arg)
{
	struct target *t = arg;
	int fd, on = 1;

	while ((fd = accept(t->listen_fd, NULL, NULL)) >= 0) {
		struct target_conn *c;

		if (TARGET_GET(t->closed) || t->conns == TARGET_CONNS) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c = aligned_alloc(16, sizeof(*c));
		memset(c, 0, offsetof(struct target_conn, data));
		pthread_mutex_lock(&t->lock);
		c->t = t;
		c->fd = fd;
		c->index = t->conns++;
		t->fd[c->index] = fd;
		pthread_create(&t->thread[c->index], NULL, target_serve, c);
		pthread_mutex_unlock(&t->lock);
	}
	return NULL;
}

/* Ends every connection. */
TARGET_FN void target_cut(struct target *t)
{
	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->conns; i++)
		if (t->fd[i] >= 0)
			shutdown(t->fd[i], SHUT_RDWR);
	pthread_mutex_unlock(&t->lock);
}

/* How many connections there are. */
TARGET_FN unsigned target_connected(struct target *t)
{
	unsigned n = 0;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < t->conns; i++)
		n += t->fd[i] >= 0;
	pthread_mutex_unlock(&t->lock);
	return n;
}

/* Would a notice be heard? */
TARGET_FN bool target_is_asked(struct target *t)
{
	bool asked;

	pthread_mutex_lock(&t->lock);
	asked = t->event_fd >= 0;
	pthread_mutex_unlock(&t->lock);
	return asked;
}

/* A notice, to one who waits for events. */
TARGET_FN void target_notice(struct target *t, unsigned what, unsigned page)
{
	struct nvme_tcp_rsp r = { .hdr = { .type = NVME_TCP_RSP, .hlen = sizeof(r), .plen = sizeof(r) } };

	pthread_mutex_lock(&t->lock);
	if (t->event_fd >= 0) {
		r.cqe = (struct nvme_cqe){ .result = NVME_AER_NOTICE | what << 8 | page << 16,
					   .cid = t->event_cid };
		if (t->event_hdgst) {
			r.hdr.flags = NVME_TCP_HDGST;
			r.hdr.plen += 4;
		}
		target_put_at(t->event_fd, t->event_hdgst, false, &r, sizeof(r), NULL, 0, 0);
		t->event_fd = -1;
	}
	pthread_mutex_unlock(&t->lock);
}

/* The namespace has another size, or is reached otherwise. */
TARGET_FN void target_resize(struct target *t, uint64_t blocks)
{
	TARGET_SET(t->blocks, blocks);
	target_notice(t, 0, NVME_LOG_LID_CHANGED_NS);
}

TARGET_FN void target_ana(struct target *t, int state)
{
	TARGET_SET(t->ana, state);
	target_notice(t, 3, NVME_LOG_LID_ANA);
}

/* On a port of its own; its fields may be changed before somebody connects. */
TARGET_FN void target_start(struct target *t)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int on = 1;

	memset(t, 0, sizeof(*t));
	t->disk = calloc(1, TARGET_SIZE);
	t->shift = 9;
	t->blocks = TARGET_SIZE >> 9;
	t->mqes = 127;
	t->ioccsz = (64 + 8192) / 16;
	t->max_h2c = 131072;
	t->oncs = NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES;
	t->vwc = 1;
	t->uuid[0] = 1;
	t->event_fd = -1;
	pthread_mutex_init(&t->lock, NULL);
	t->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(t->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(t->listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(t->listen_fd, 16), 0);
	assert_int_equal(getsockname(t->listen_fd, (struct sockaddr *)&a, &len), 0);
	t->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&t->acceptor, NULL, target_accept, t), 0);
}

TARGET_FN void target_stop(struct target *t)
{
	shutdown(t->listen_fd, SHUT_RDWR);
	pthread_join(t->acceptor, NULL);
	target_cut(t);
	for (unsigned i = 0; i < t->conns; i++)
		pthread_join(t->thread[i], NULL);
	close(t->listen_fd);
	pthread_mutex_destroy(&t->lock);
	free(t->disk);
}

/* The stack's text; `more` is ",key=value..." or "". */
TARGET_FN const char *target_stack(const struct target *t, const char *more)
{
	static char text[512];

	snprintf(text, sizeof(text), "nvme-tcp:127.0.0.1:%u,nqn=" TARGET_NQN "%s", t->port, more);
	return text;
}

TARGET_FN void target_lie(struct target *t, enum target_lie lie, int times)
{
	TARGET_SET(t->lies, times);
	TARGET_SET(t->lie, (int)lie);
}

#endif
