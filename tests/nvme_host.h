/* SPDX-License-Identifier: MIT */
/*
 * For tests: a target with its pollers in threads of their own, and an NVMe/TCP host that
 * is no more than PDUs on a blocking socket, right or wrong as the test wants them.
 */
#ifndef TESTS_NVME_HOST_H
#define TESTS_NVME_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "wire/nvme_tcp.h"

#include <virtio-offload.h>
#include <virtio-offload/impl/poll.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))

#define HOST_TARGET_NQN "nqn.2014-08.org.example:disks"
#define HOST_NQN "nqn.2014-08.org.example:host"
#define HOST_SECONDS 20 /* before a test that waits in vain fails */
#define TARGET_THREADS 4u

struct target_thread {
	struct vio_poller *p;
	pthread_t thread;
	bool stop;
};

struct target {
	struct target_thread threads[TARGET_THREADS];
	unsigned n;
	struct vio_nvme *s;
	struct vio_nvme_tcp *t;
	struct vio_msg go;
	bool gone;
};

static void *target_work(void *arg)
{
	struct target_thread *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
		if (vio_poller_wait(w->p, -1) < 0)
			return arg;
	return NULL;
}

/* A target with n threads; o: what it is to be like, apart from address and pollers. */
MAYBE_UNUSED static void target_start(struct target *t, unsigned n, enum vio_poll_engine engine,
				      struct vio_nvme_opts *so, struct vio_nvme_tcp_opts *o)
{
	VIO_OPTS(vio_nvme_opts, none, .nqn = HOST_TARGET_NQN);
	struct vio_nvme_tcp_opts plain = { .sz = sizeof(plain) };
	VIO_OPTS(vio_poller_opts, po, .engine = engine);
	struct vio_poller *pollers[TARGET_THREADS];

	memset(t, 0, sizeof(*t));
	t->n = n;
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(vio_poller_new(&t->threads[i].p, &po), 0);
		pollers[i] = t->threads[i].p;
	}
	assert_int_equal(vio_nvme_new(&t->s, so ? so : &none), 0);
	o = o ? o : &plain;
	o->address = "127.0.0.1:0";
	o->pollers = pollers;
	o->npollers = n;
	assert_int_equal(vio_nvme_tcp_new(&t->t, pollers[0], t->s, o), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&t->threads[i].thread, NULL, target_work, &t->threads[i]), 0);
}

/* A namespace over a stack; its id. */
MAYBE_UNUSED static uint32_t target_add(struct target *t, const char *stack)
{
	struct vio_backend *b;
	int nsid;

	assert_int_equal(vio_backend_parse(&b, NULL, stack), 0);
	nsid = vio_nvme_ns_add(t->s, b, NULL);
	assert_true(nsid > 0);
	vio_backend_free(b);
	return (uint32_t)nsid;
}

static void target_stopped(void *ctx)
{
	__atomic_store_n(&((struct target *)ctx)->gone, true, __ATOMIC_RELEASE);
}

static void target_go(struct vio_msg *m)
{
	struct target *t = (struct target *)((char *)m - offsetof(struct target, go));

	vio_nvme_tcp_stop(t->t, target_stopped, t);
}

MAYBE_UNUSED static void target_stop(struct target *t)
{
	t->go.fn = target_go;
	vio_poller_post(t->threads[0].p, &t->go);
	while (!__atomic_load_n(&t->gone, __ATOMIC_ACQUIRE))
		usleep(1000); /* for another thread, which has no other way to say so */
	for (unsigned i = 0; i < t->n; i++) {
		__atomic_store_n(&t->threads[i].stop, true, __ATOMIC_RELEASE);
		vio_poller_wake(t->threads[i].p);
		pthread_join(t->threads[i].thread, NULL);
	}
	vio_nvme_tcp_free(t->t);
	for (unsigned i = 0; i < t->n; i++)
		vio_poller_free(t->threads[i].p);
	vio_nvme_free(t->s);
}

/* One connection. */
struct host {
	int fd;
	bool hdgst, ddgst;
	uint16_t cid;
	uint64_t result; /* of the last command */
	uint16_t sqhd;
};

#define HOST_DATA (1u << 20)

MAYBE_UNUSED static void host_dial(struct host *h, const struct target *t)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(vio_nvme_tcp_port(t->t)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = HOST_SECONDS };
	int on = 1;

	memset(h, 0, sizeof(*h));
	h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(h->fd, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(h->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(h->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

MAYBE_UNUSED static void host_write(struct host *h, const void *p, size_t n)
{
	while (n) {
		ssize_t w = send(h->fd, p, n, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		assert_true(w > 0);
		p = (const char *)p + w;
		n -= (size_t)w;
	}
}

/* Bytes read: fewer than n where the target has closed. */
static size_t host_read(struct host *h, void *p, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t r = recv(h->fd, (char *)p + have, n - have, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == ECONNRESET)
			return have;
		if (r < 0)
			fail_msg("nothing came: %s", strerror(errno));
		if (!r)
			return have;
		have += (size_t)r;
	}
	return have;
}

MAYBE_UNUSED static void host_hang_up(struct host *h)
{
	close(h->fd);
	h->fd = -1;
}

static uint32_t host_sum(const void *p, size_t n)
{
	return nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, p, n));
}

/* One PDU as agreed with the target: digests, data, lengths; hdr's own flags are kept. */
MAYBE_UNUSED static void host_pdu(struct host *h, void *pdu, unsigned hlen, const void *data, uint32_t len)
{
	struct nvme_tcp_hdr *hdr = pdu;
	uint32_t sum;

	hdr->hlen = (uint8_t)hlen;
	hdr->pdo = len ? (uint8_t)(hlen + (h->hdgst ? NVME_TCP_DIGEST : 0)) : 0;
	hdr->plen = hlen + (h->hdgst ? NVME_TCP_DIGEST : 0) + len + (len && h->ddgst ? NVME_TCP_DIGEST : 0);
	hdr->flags |= (uint8_t)((h->hdgst ? NVME_TCP_HDGST : 0) | (len && h->ddgst ? NVME_TCP_DDGST : 0));
	host_write(h, pdu, hlen);
	sum = host_sum(pdu, hlen);
	if (h->hdgst)
		host_write(h, &sum, sizeof(sum));
	host_write(h, data, len);
	sum = host_sum(data, len);
	if (len && h->ddgst)
		host_write(h, &sum, sizeof(sum));
}

/* The next PDU, checked; its data at `data` (HOST_DATA bytes). Its type, or -1: the connection was closed. */
MAYBE_UNUSED static int host_next(struct host *h, union nvme_tcp_pdu *p, void *data)
{
	unsigned dgst = h->hdgst ? NVME_TCP_DIGEST : 0;
	uint32_t sum, len;

	if (host_read(h, p, sizeof(p->hdr)) < sizeof(p->hdr))
		return -1;
	assert_int_equal(p->hdr.hlen, nvme_tcp_hlen(p->hdr.type));
	if (host_read(h, (char *)p + sizeof(p->hdr), p->hdr.hlen - sizeof(p->hdr)) <
	    p->hdr.hlen - sizeof(p->hdr))
		return -1;
	if (p->hdr.type == NVME_TCP_ICRESP || p->hdr.type == NVME_TCP_C2H_TERM)
		dgst = 0;
	assert_int_equal(!!(p->hdr.flags & NVME_TCP_HDGST), !!dgst);
	if (dgst) {
		assert_int_equal(host_read(h, &sum, sizeof(sum)), sizeof(sum));
		assert_int_equal(sum, host_sum(p, p->hdr.hlen));
	}
	len = p->hdr.plen - p->hdr.hlen - dgst;
	if (!len)
		return p->hdr.type;
	if (p->hdr.type == NVME_TCP_C2H_DATA && h->ddgst)
		len -= NVME_TCP_DIGEST;
	assert_true(len <= HOST_DATA);
	assert_int_equal(host_read(h, data, len), len);
	if (p->hdr.type == NVME_TCP_C2H_DATA && h->ddgst) {
		assert_int_equal(host_read(h, &sum, sizeof(sum)), sizeof(sum));
		assert_int_equal(sum, host_sum(data, len));
	}
	return p->hdr.type;
}

/* ICReq, and what is agreed on. */
MAYBE_UNUSED static void host_greet(struct host *h, uint8_t digests)
{
	struct nvme_tcp_icreq r = { .hdr = { .type = NVME_TCP_ICREQ }, .digest = digests };
	union nvme_tcp_pdu p;

	host_pdu(h, &r, sizeof(r), NULL, 0);
	assert_int_equal(host_next(h, &p, NULL), NVME_TCP_ICRESP);
	assert_int_equal(p.icresp.pfv, 0);
	assert_true(p.icresp.maxh2cdata >= NVME_TCP_MIN_MAXH2C);
	h->hdgst = p.icresp.digest & NVME_TCP_WANT_HDGST;
	h->ddgst = p.icresp.digest & NVME_TCP_WANT_DDGST;
}

/* Sends a command; capsule: its data goes with it, else len bytes are announced. Its cid. */
MAYBE_UNUSED static uint16_t host_send(struct host *h, const struct nvme_cmd *c, const void *capsule,
				       uint32_t len)
{
	struct nvme_tcp_cmd pdu = { .hdr = { .type = NVME_TCP_CMD }, .cmd = *c };

	pdu.cmd.cid = h->cid++;
	pdu.cmd.flags |= NVME_FLAGS_SGL;
	pdu.cmd.sgl.len = len;
	pdu.cmd.sgl.type = capsule ? NVME_SGL_DATA_OFFSET : NVME_SGL_TRANSPORT;
	host_pdu(h, &pdu, sizeof(pdu), capsule, capsule ? len : 0);
	return pdu.cmd.cid;
}

/* Answers an R2T in pieces of at most `piece` bytes. */
MAYBE_UNUSED static void host_answer_r2t(struct host *h, const struct nvme_tcp_r2t *r2t, const char *data,
					 uint32_t piece)
{
	for (uint32_t at = 0; at < r2t->len; at += piece) {
		uint32_t n = r2t->len - at < piece ? r2t->len - at : piece;
		struct nvme_tcp_data d = { .hdr = { .type = NVME_TCP_H2C_DATA,
						    .flags = at + n == r2t->len ? NVME_TCP_DATA_LAST : 0 },
					   .cid = r2t->cid,
					   .ttag = r2t->ttag,
					   .offset = r2t->offset + at,
					   .len = n };

		host_pdu(h, &d, sizeof(d), data + r2t->offset + at, n);
	}
}

/* Takes part until the command is answered: its status without the phase. in, out: data either way, or NULL.
 */
MAYBE_UNUSED static uint16_t host_finish(struct host *h, uint16_t cid, const void *in, void *out)
{
	static _Thread_local char data[HOST_DATA];
	union nvme_tcp_pdu p;

	for (;;) {
		switch (host_next(h, &p, data)) {
		case NVME_TCP_R2T:
			assert_non_null(in);
			assert_int_equal(p.r2t.cid, cid);
			host_answer_r2t(h, &p.r2t, in, 65536);
			break;
		case NVME_TCP_C2H_DATA:
			assert_non_null(out);
			assert_int_equal(p.data.cid, cid);
			memcpy((char *)out + p.data.offset, data, p.data.len);
			if (!(p.hdr.flags & NVME_TCP_DATA_SUCCESS))
				break;
			h->result = 0;
			return 0;
		case NVME_TCP_RSP:
			assert_int_equal(p.rsp.cqe.cid, cid);
			h->result = p.rsp.cqe.result;
			h->sqhd = p.rsp.cqe.sqhd;
			return p.rsp.cqe.status >> 1;
		default:
			fail_msg("the target sent PDU type %d", p.hdr.type);
		}
	}
}

/* A command without data, one with data to the target (by R2T above 8 KiB), one with data from it. */
MAYBE_UNUSED static uint16_t host_do(struct host *h, const struct nvme_cmd *c)
{
	return host_finish(h, host_send(h, c, NULL, 0), NULL, NULL);
}

MAYBE_UNUSED static uint16_t host_put(struct host *h, const struct nvme_cmd *c, const void *data,
				      uint32_t len)
{
	return host_finish(h, host_send(h, c, len <= 8192 ? data : NULL, len), data, NULL);
}

MAYBE_UNUSED static uint16_t host_get(struct host *h, const struct nvme_cmd *c, void *data, uint32_t len)
{
	return host_finish(h, host_send(h, c, NULL, len), NULL, data);
}

struct host_who {
	const char *subnqn, *hostnqn;
	uint16_t qid, cntlid, sqsize;
	uint8_t cattr;
	uint8_t hostid; /* which of several hosts it is */
	uint32_t kato;
};

/* Connect: a status; h->result is the controller's id. */
MAYBE_UNUSED static uint16_t host_connect(struct host *h, const struct host_who *w)
{
	struct nvme_connect_cmd c = { .opcode = NVME_OPC_FABRICS,
				      .fctype = nvme_fabrics_type_connect,
				      .qid = w->qid,
				      .sqsize = w->sqsize,
				      .cattr = w->cattr,
				      .kato = w->kato };
	struct nvmf_connect_data d = { .hostid = { 1, 2, 3, w->hostid }, .cntlid = w->cntlid };
	struct nvme_cmd cmd;

	memcpy(d.subsysnqn, w->subnqn ? w->subnqn : HOST_TARGET_NQN,
	       strlen(w->subnqn ? w->subnqn : HOST_TARGET_NQN));
	memcpy(d.hostnqn, w->hostnqn ? w->hostnqn : HOST_NQN, strlen(w->hostnqn ? w->hostnqn : HOST_NQN));
	memcpy(&cmd, &c, sizeof(cmd));
	return host_put(h, &cmd, &d, sizeof(d));
}

MAYBE_UNUSED static uint16_t host_property_set(struct host *h, uint32_t offset, uint64_t value)
{
	struct nvme_property_cmd c = { .opcode = NVME_OPC_FABRICS,
				       .fctype = nvme_fabrics_type_property_set,
				       .offset = offset,
				       .value = value };
	struct nvme_cmd cmd;

	memcpy(&cmd, &c, sizeof(cmd));
	return host_do(h, &cmd);
}

MAYBE_UNUSED static uint16_t host_property_get(struct host *h, uint32_t offset, bool wide)
{
	struct nvme_property_cmd c = { .opcode = NVME_OPC_FABRICS,
				       .fctype = nvme_fabrics_type_property_get,
				       .offset = offset,
				       .attrib = wide };
	struct nvme_cmd cmd;

	memcpy(&cmd, &c, sizeof(cmd));
	return host_do(h, &cmd);
}

#define HOST_CC_ENABLE 0x00460001u

/* Returns when the controller is ready. */
MAYBE_UNUSED static void host_enable(struct host *h)
{
	assert_int_equal(host_property_set(h, 0x14, HOST_CC_ENABLE), 0);
	do
		assert_int_equal(host_property_get(h, 0x1c, false), 0);
	while (!(h->result & 3)); /* commands of a host before may have to come back first */
	assert_int_equal(h->result & 3, 1);
}

/* An enabled controller's admin queue; its id. */
MAYBE_UNUSED static uint16_t host_admin(struct host *h, const struct target *t, uint8_t digests)
{
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31 };
	uint16_t id;

	host_dial(h, t);
	host_greet(h, digests);
	assert_int_equal(host_connect(h, &w), 0);
	id = (uint16_t)h->result;
	host_enable(h);
	return id;
}

/* An I/O queue of it. */
MAYBE_UNUSED static void host_io(struct host *h, const struct target *t, uint16_t cntlid, uint16_t qid,
				 uint8_t cattr, uint8_t digests)
{
	struct host_who w = { .cntlid = cntlid, .qid = qid, .sqsize = 127, .cattr = cattr };

	host_dial(h, t);
	host_greet(h, digests);
	assert_int_equal(host_connect(h, &w), 0);
}

/* Read, write and their like: `bytes` of blocks of 512. */
MAYBE_UNUSED static struct nvme_cmd host_rw(uint8_t opcode, uint32_t nsid, uint64_t lba, uint32_t bytes)
{
	return (struct nvme_cmd){ .opcode = opcode,
				  .nsid = nsid,
				  .cdw10 = (uint32_t)lba,
				  .cdw11 = (uint32_t)(lba >> 32),
				  .cdw12 = bytes / 512 - 1 };
}

#endif
