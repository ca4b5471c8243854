/* SPDX-License-Identifier: MIT */
/*
 * An NVMe/TCP target made of raw PDUs, with one namespace in memory: a thread a
 * connection, which blocks. It can be told to lie, to fall silent, and to go away.
 */
#ifndef TESTS_FAKE_TARGET_H
#define TESTS_FAKE_TARGET_H

#include "wire/nvme_tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TARGET_NQN "nqn.2014-08.org.example:fake"
#define TARGET_SIZE (1u << 20)
#define TARGET_CONNS 1024
#define TARGET_FN static __attribute__((unused))

enum target_lie {
	HONEST,
	/* in the ICResp */
	LIE_IC_PFV,
	LIE_IC_ALIGN,
	LIE_IC_MAXH2C,
	LIE_IC_DIGEST,
	LIE_IC_LENGTH,
	LIE_IC_TYPE,
	LIE_IC_SILENT,
	/* about the controller and the namespace */
	LIE_CONNECT,
	LIE_NEVER_READY,
	LIE_FAILED,
	LIE_CAPSULE,
	LIE_OFFSET,
	LIE_NO_SGLS,
	LIE_DISCOVERY,
	LIE_ONE_ENTRY,
	LIE_SHIFT_0,
	LIE_SHIFT_60,
	LIE_NO_BLOCKS,
	LIE_HUGE,
	LIE_METADATA,
	LIE_IDENTIFY_SHORT,
	LIE_AUTH,
	/* about I/O: reads */
	LIE_R2T_FOR_READ,
	LIE_DATA_BEYOND,
	LIE_DATA_TWICE,
	LIE_DATA_BACKWARDS,
	LIE_DATA_STRANGE,
	LIE_DATA_NONE,
	LIE_SUCCESS_EARLY,
	LIE_DATA_PLEN,
	LIE_DATA_PDO,
	LIE_DATA_FLAGS,
	LIE_DATA_EMPTY,
	LIE_HEADER_DIGEST,
	LIE_DATA_DIGEST,
	/* writes */
	LIE_R2T_RANGE,
	LIE_R2T_TWICE,
	LIE_R2T_STRANGE,
	LIE_R2T_WRAP,
	LIE_R2T_NONE,
	LIE_DATA_FOR_WRITE,
	/* any */
	LIE_CQE_STRANGE,
	LIE_CQE_TWICE,
	LIE_HLEN,
	LIE_PLEN,
	LIE_PLEN_HUGE,
	LIE_TYPE,
	LIE_SECOND_IC,
	LIE_TERM,
	LIE_HANG_UP,
	LIE_SILENT,
};

struct target {
	int listen_fd;
	uint16_t port;
	pthread_t acceptor, thread[TARGET_CONNS];
	int fd[TARGET_CONNS]; /* under lock; -1: over */
	unsigned conns;
	pthread_mutex_t lock;
	bool stop;
	char *disk;

	/* What it says; set before it is asked. */
	unsigned shift, mqes, mdts;
	uint32_t ioccsz, max_h2c;
	uint8_t cpda, vwc, uuid[16];
	uint16_t oncs;
	uint64_t blocks;
	unsigned c2h_max, r2t_max; /* bytes of a PDU's data, of an R2T; 0: all */
	bool success;		   /* says so with the last data */

	/* Since it runs. */
	int lie;  /* enum target_lie */
	int lies; /* how often; -1: always */
	int fail; /* a status that I/O is answered with, so many times: */
	int fails;
	int closed; /* connections are closed at once */
	int hold;   /* I/O is taken, and not answered */
	unsigned io, resets, leaves, keep_alives, flushes;
	uint32_t csts;
	int event_fd; /* the connection that waits for an event, or -1 */
	uint16_t event_cid;
	bool event_hdgst;
};

/* A command that came while another's data was waited for. */
struct target_later {
	struct target_later *next;
	struct nvme_cmd cmd;
	uint32_t n;
	_Alignas(16) char data[];
};

struct target_conn {
	struct target *t;
	struct target_later *first, *last;
	int fd;
	unsigned index;
	bool hdgst, ddgst, admin;
	_Alignas(16) char data[TARGET_SIZE];
};

#define TARGET_GET(field) __atomic_load_n(&(field), __ATOMIC_SEQ_CST)
#define TARGET_SET(field, v) __atomic_store_n(&(field), v, __ATOMIC_SEQ_CST)
#define TARGET_ADD(field) __atomic_add_fetch(&(field), 1, __ATOMIC_SEQ_CST)

/* True, once, if that is the lie to be told now. */
static bool target_lies(struct target *t, enum target_lie lie)
{
	int left;

	if (TARGET_GET(t->lie) != (int)lie)
		return false;
	left = TARGET_GET(t->lies);
	if (!left)
		return false;
	if (left > 0)
		TARGET_SET(t->lies, left - 1);
	return true;
}

static bool target_get(struct target_conn *c, void *to, size_t n)
{
	for (char *p = to; n;) {
		ssize_t k = recv(c->fd, p, n, 0);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static uint32_t target_sum(const void *p, size_t n)
{
	return nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, p, n));
}

static bool target_sum_is(const void *p, size_t n, const void *digest)
{
	uint32_t sum = target_sum(p, n);

	return !memcmp(&sum, digest, sizeof(sum));
}

/* A header with its digest, then data with its own. False: the connection is over. */
static bool target_put_at(int fd, bool hdgst, bool ddgst, const void *hdr, unsigned hlen, const void *data,
			  size_t n, uint32_t spoil)
{
	uint32_t hsum = target_sum(hdr, hlen) ^ spoil;
	uint32_t dsum = target_sum(data, n) ^ spoil;
	struct iovec iov[4] = { { (void *)hdr, hlen },
				{ &hsum, hdgst ? 4 : 0 },
				{ (void *)data, n },
				{ &dsum, ddgst && n ? 4 : 0 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 4 };
	size_t total = iov[0].iov_len + iov[1].iov_len + iov[2].iov_len + iov[3].iov_len;

	while (total) {
		ssize_t k = sendmsg(fd, &m, MSG_NOSIGNAL);

		if (k < 0)
			return false;
		total -= (size_t)k;
		for (unsigned i = 0; i < 4 && k; i++) {
			size_t part = VIO_MIN((size_t)k, iov[i].iov_len);

			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			k -= (ssize_t)part;
		}
	}
	return true;
}

static bool target_put(struct target_conn *c, const void *hdr, unsigned hlen, const void *data, size_t n)
{
	return target_put_at(c->fd, c->hdgst, c->ddgst, hdr, hlen, data, n, 0);
}

static struct nvme_tcp_hdr target_hdr(const struct target_conn *c, uint8_t type, unsigned hlen, uint32_t data)
{
	unsigned head = hlen + (c->hdgst ? 4 : 0);

	return (struct nvme_tcp_hdr){ .type = type,
				      .flags = (uint8_t)((c->hdgst ? NVME_TCP_HDGST : 0) |
							 (data && c->ddgst ? NVME_TCP_DDGST : 0)),
				      .hlen = (uint8_t)hlen,
				      .pdo = (uint8_t)(data ? head : 0),
				      .plen = head + data + (data && c->ddgst ? 4 : 0) };
}

static bool target_answer(struct target_conn *c, uint16_t cid, uint16_t status, uint64_t result)
{
	struct target *t = c->t;
	struct nvme_tcp_rsp r = { .hdr = target_hdr(c, NVME_TCP_RSP, sizeof(r), 0),
				  .cqe = { .result = result, .sqhd = 0xffff, .cid = cid, .status = status } };

	if (!c->admin) {
		if (target_lies(t, LIE_CQE_STRANGE))
			r.cqe.cid ^= 0x8421;
		if (target_lies(t, LIE_CQE_TWICE))
			target_put(c, &r, sizeof(r), NULL, 0);
		if (target_lies(t, LIE_HLEN))
			r.hdr.hlen = 16;
		if (target_lies(t, LIE_PLEN))
			r.hdr.plen = 8;
		if (target_lies(t, LIE_PLEN_HUGE))
			r.hdr.plen = 0xfffffff0;
		if (target_lies(t, LIE_TYPE))
			r.hdr.type = 0x55;
		if (target_lies(t, LIE_HEADER_DIGEST))
			return target_put_at(c->fd, c->hdgst, c->ddgst, &r, sizeof(r), NULL, 0, 1);
	}
	return target_put(c, &r, sizeof(r), NULL, 0);
}

/* One C2HData. */
static bool target_data(struct target_conn *c, uint16_t cid, const char *from, uint32_t at, uint32_t n,
			uint8_t flags)
{
	struct target *t = c->t;
	struct nvme_tcp_data d = {
		.hdr = target_hdr(c, NVME_TCP_C2H_DATA, sizeof(d), n), .cid = cid, .offset = at, .len = n
	};

	d.hdr.flags |= flags;
	if (!c->admin) {
		if (target_lies(t, LIE_DATA_BEYOND))
			d.offset += 4096;
		if (target_lies(t, LIE_DATA_STRANGE))
			d.cid ^= 0x1001;
		if (target_lies(t, LIE_DATA_PLEN))
			d.hdr.plen += 64;
		if (target_lies(t, LIE_DATA_PDO))
			d.hdr.pdo = 4;
		if (target_lies(t, LIE_DATA_FLAGS))
			d.hdr.flags ^= NVME_TCP_DDGST;
		if (target_lies(t, LIE_DATA_EMPTY))
			d.len = 0;
		if (target_lies(t, LIE_DATA_TWICE))
			target_put(c, &d, sizeof(d), from, n);
	}
	return target_put_at(c->fd, c->hdgst, c->ddgst, &d, sizeof(d), from, n,
			     !c->admin && c->ddgst && target_lies(t, LIE_DATA_DIGEST));
}

static bool target_send(struct target_conn *c, uint16_t cid, const char *from, uint32_t len)
{
	struct target *t = c->t;
	uint32_t most = t->c2h_max ? t->c2h_max : len;

	if (!c->admin && target_lies(t, LIE_DATA_NONE))
		return target_answer(c, cid, 0, 0);
	if (!c->admin && target_lies(t, LIE_SUCCESS_EARLY))
		return target_data(c, cid, from, 0, len / 2, NVME_TCP_DATA_LAST | NVME_TCP_DATA_SUCCESS);
	if (!c->admin && target_lies(t, LIE_DATA_BACKWARDS))
		return target_data(c, cid, from + len / 2, len / 2, len / 2, 0);
	for (uint32_t at = 0; at < len; at += VIO_MIN(most, len - at)) {
		uint32_t n = VIO_MIN(most, len - at);
		bool last = at + n == len;
		uint8_t flags = (uint8_t)((last ? NVME_TCP_DATA_LAST : 0) |
					  (last && t->success ? NVME_TCP_DATA_SUCCESS : 0));

		if (!target_data(c, cid, from + at, at, n, flags))
			return false;
	}
	return t->success || target_answer(c, cid, 0, 0);
}

/* The rest of a command PDU, its data included; NULL: the connection is over. */
static struct target_later *target_take(struct target_conn *c, const struct nvme_tcp_hdr *h)
{
	unsigned head = sizeof(struct nvme_tcp_cmd) + (c->hdgst ? 4 : 0);
	uint32_t n = h->pdo ? h->plen - h->pdo - (c->ddgst ? 4 : 0) : 0, hsum, dsum = 0;
	struct target_later *l;
	struct nvme_tcp_cmd p = { .hdr = *h };
	char skip[256];

	if (n > TARGET_SIZE || !target_get(c, &p.cmd, sizeof(p.cmd)) ||
	    (c->hdgst && !target_get(c, &hsum, 4)))
		return NULL;
	if (c->hdgst && hsum != target_sum(&p, sizeof(p)))
		return NULL;
	l = calloc(1, sizeof(*l) + n);
	l->cmd = p.cmd;
	l->n = n;
	if (n && (!target_get(c, skip, h->pdo - head) || !target_get(c, l->data, n) ||
		  (c->ddgst && !target_get(c, &dsum, 4)) || n != p.cmd.sgl.len ||
		  (c->ddgst && dsum != target_sum(l->data, n)))) {
		free(l);
		return NULL;
	}
	return l;
}

/* What an R2T asked for; commands that come before it are kept for later. */
static bool target_h2c(struct target_conn *c, const struct nvme_tcp_r2t *r, char *to)
{
	for (uint32_t got = 0; got < r->len;) {
		struct nvme_tcp_data d;
		struct target_later *l;
		uint32_t sum;
		char skip[256];

		if (!target_get(c, &d.hdr, sizeof(d.hdr)))
			return false;
		if (d.hdr.type == NVME_TCP_CMD) {
			l = target_take(c, &d.hdr);
			if (!l)
				return false;
			if (c->first)
				c->last->next = l;
			else
				c->first = l;
			c->last = l;
			continue;
		}
		if (d.hdr.type != NVME_TCP_H2C_DATA || !target_get(c, &d.cid, sizeof(d) - sizeof(d.hdr)) ||
		    d.cid != r->cid || d.ttag != r->ttag || d.offset != r->offset + got ||
		    d.len > r->len - got || d.len > c->t->max_h2c || d.hdr.pdo % ((c->t->cpda + 1u) * 4) ||
		    !target_get(c, skip, d.hdr.pdo - sizeof(d)) ||
		    (c->hdgst && !target_sum_is(&d, sizeof(d), skip)) || !target_get(c, to + got, d.len) ||
		    (c->ddgst && (!target_get(c, &sum, 4) || sum != target_sum(to + got, d.len))))
			return false;
		got += d.len;
		if ((got == r->len) != !!(d.hdr.flags & NVME_TCP_DATA_LAST))
			return false;
	}
	return true;
}

/* Asks for a write's data, piece by piece. */
static bool target_fetch(struct target_conn *c, uint16_t cid, uint32_t len)
{
	struct target *t = c->t;
	uint32_t most = t->r2t_max ? t->r2t_max : len;

	if (target_lies(t, LIE_R2T_NONE))
		return target_answer(c, cid, 0, 0);
	if (target_lies(t, LIE_DATA_FOR_WRITE))
		return target_data(c, cid, c->data, 0, 512, 0);
	for (uint32_t at = 0; at < len;) {
		uint32_t want = VIO_MIN(most, len - at);
		struct nvme_tcp_r2t r = { .hdr = target_hdr(c, NVME_TCP_R2T, sizeof(r), 0),
					  .cid = cid,
					  .ttag = (uint16_t)(cid ^ 0x77),
					  .offset = at,
					  .len = want };

		if (target_lies(t, LIE_R2T_RANGE))
			r.len += 4096;
		if (target_lies(t, LIE_R2T_WRAP))
			r.offset = 0xfffffe00;
		if (target_lies(t, LIE_R2T_STRANGE))
			r.cid ^= 0x2002;
		if (!target_put(c, &r, sizeof(r), NULL, 0))
			return false;
		if (target_lies(t, LIE_R2T_TWICE))
			target_put(c, &r, sizeof(r), NULL, 0);
		if (!target_h2c(c, &r, c->data + at))
			return false;
		at += want;
	}
	return true;
}

static void target_identify_controller(struct target *t, struct nvme_id_ctrl *i)
{
	i->mdts = (uint8_t)t->mdts;
	i->cntrltype = target_lies(t, LIE_DISCOVERY) ? 2 : 1;
	i->oaes = NVME_CTRL_OAES_NA;
	i->oncs = t->oncs;
	i->vwc = t->vwc;
	i->sgls = target_lies(t, LIE_NO_SGLS) ? 0 : 1;
	i->ioccsz = target_lies(t, LIE_CAPSULE) ? 3 : t->ioccsz;
	i->iorcsz = 1;
	i->icdoff = target_lies(t, LIE_OFFSET) ? 16 : 0;
	i->kas = 1;
}

static void target_identify_namespace(struct target *t, struct nvme_id_ns *i)
{
	i->nsze = target_lies(t, LIE_NO_BLOCKS) ? 0
		  : target_lies(t, LIE_HUGE)	? UINT64_MAX / 2
						: TARGET_GET(t->blocks);
	i->lbaf[0].ds = (uint8_t)(target_lies(t, LIE_SHIFT_0)	 ? 0
				  : target_lies(t, LIE_SHIFT_60) ? 60
								 : t->shift);
	i->lbaf[0].ms = target_lies(t, LIE_METADATA) ? 8 : 0;
}

static bool target_admin(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct target *t = c->t;

	memset(c->data, 0, 4096);
	switch (cmd->opcode) {
	case nvme_admin_identify:
		if (cmd->cdw10 == NVME_IDENTIFY_CNS_CTRL)
			target_identify_controller(t, (struct nvme_id_ctrl *)c->data);
		else if (cmd->cdw10 == NVME_IDENTIFY_CNS_NS)
			target_identify_namespace(t, (struct nvme_id_ns *)c->data);
		else {
			memcpy(c->data, "\x03\x10\0", 4);
			memcpy(c->data + 4, t->uuid, 16);
		}
		return target_send(c, cmd->cid, c->data, target_lies(t, LIE_IDENTIFY_SHORT) ? 512 : 4096);
	case nvme_admin_get_log_page:
		return target_send(c, cmd->cid, c->data, 4096);
	case nvme_admin_set_features:
		return target_answer(c, cmd->cid, 0, 0x00070007);
	case nvme_admin_keep_alive:
		TARGET_ADD(t->keep_alives);
		return TARGET_GET(t->hold) || target_answer(c, cmd->cid, 0, 0);
	case nvme_admin_async_event:
		pthread_mutex_lock(&t->lock);
		t->event_fd = c->fd;
		t->event_cid = cmd->cid;
		t->event_hdgst = c->hdgst;
		pthread_mutex_unlock(&t->lock);
		return true;
	}
	return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_INVALID_OPCODE), 0);
}

static bool target_fabrics(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct target *t = c->t;
	struct nvme_property_cmd p;
	struct nvme_connect_cmd n;

	memcpy(&p, cmd, sizeof(p));
	memcpy(&n, cmd, sizeof(n));
	if (n.fctype == nvme_fabrics_type_connect) {
		const struct nvmf_connect_data *d = (const void *)c->data;

		c->admin = !n.qid;
		if (target_lies(t, LIE_CONNECT) || strcmp(d->subsysnqn, TARGET_NQN) ||
		    d->cntlid != (n.qid ? 7 : 0xffff))
			return target_answer(c, n.cid, NVME_STATUS(NVME_SC_CONNECT_INVALID_PARAM | 1 << 8),
					     0);
		return target_answer(c, n.cid, 0, target_lies(t, LIE_AUTH) ? 7 | 1 << 17 : 7);
	}
	if (n.fctype == nvme_fabrics_type_property_set) {
		t->csts = p.value & 1;
		if (!(p.value & 1))
			TARGET_ADD(t->resets);
		if (p.value >> 14 & 3)
			TARGET_ADD(t->leaves);
		return target_answer(c, p.cid, 0, 0);
	}
	if (p.offset == 0)
		return target_answer(c, p.cid, 0, target_lies(t, LIE_ONE_ENTRY) ? 0 : t->mqes);
	return target_answer(c, p.cid, 0,
			     target_lies(t, LIE_FAILED)	       ? 2
			     : target_lies(t, LIE_NEVER_READY) ? 0
							       : t->csts);
}

static bool target_io(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct target *t = c->t;
	uint64_t at = (cmd->cdw10 | (uint64_t)cmd->cdw11 << 32) << t->shift,
		 len = ((cmd->cdw12 & 0xffffull) + 1) << t->shift;
	bool capsule = cmd->sgl.type == NVME_SGL_DATA_OFFSET;
	int fails = TARGET_GET(t->fails);

	TARGET_ADD(t->io);
	if (TARGET_GET(t->hold))
		return true;
	if (target_lies(t, LIE_SILENT))
		return true;
	if (target_lies(t, LIE_HANG_UP))
		return false;
	if (target_lies(t, LIE_TERM)) {
		struct nvme_tcp_term term = { .hdr = { .type = NVME_TCP_C2H_TERM, .hlen = 24, .plen = 24 },
					      .fes = 1 };

		return target_put(c, &term, sizeof(term), NULL, 0);
	}
	if (target_lies(t, LIE_SECOND_IC)) {
		struct nvme_tcp_icresp r = { .hdr = { .type = NVME_TCP_ICRESP, .hlen = 128, .plen = 128 },
					     .maxh2cdata = 8192 };

		target_put_at(c->fd, false, false, &r, sizeof(r), NULL, 0, 0);
	}
	if (cmd->opcode == nvme_cmd_write && !capsule && !target_fetch(c, cmd->cid, (uint32_t)len))
		return false;
	if (fails) {
		TARGET_SET(t->fails, fails - 1);
		return target_answer(c, cmd->cid, (uint16_t)TARGET_GET(t->fail), 0);
	}
	switch (cmd->opcode) {
	case nvme_cmd_flush:
		TARGET_ADD(t->flushes);
		break;
	case nvme_cmd_dsm:
		at = ((const struct nvme_dsm_range *)c->data)->slba << t->shift;
		len = (uint64_t)((const struct nvme_dsm_range *)c->data)->nlb << t->shift;
		break;
	case nvme_cmd_read:
	case nvme_cmd_write:
	case nvme_cmd_write_zeroes:
		break;
	default:
		return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_INVALID_OPCODE), 0);
	}
	if (cmd->opcode != nvme_cmd_flush && (at > TARGET_SIZE || len > TARGET_SIZE - at))
		return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_LBA_RANGE) | NVME_STATUS_DNR, 0);
	pthread_mutex_lock(&t->lock);
	if (cmd->opcode == nvme_cmd_read)
		memcpy(c->data, t->disk + at, len);
	else if (cmd->opcode == nvme_cmd_write)
		memcpy(t->disk + at, c->data, len);
	else if (cmd->opcode != nvme_cmd_flush)
		memset(t->disk + at, cmd->opcode == nvme_cmd_dsm ? 0xdd : 0, len);
	pthread_mutex_unlock(&t->lock);
	if (cmd->opcode == nvme_cmd_read && target_lies(t, LIE_R2T_FOR_READ)) {
		struct nvme_tcp_r2t r = { .hdr = target_hdr(c, NVME_TCP_R2T, sizeof(r), 0),
					  .cid = cmd->cid,
					  .len = 512 };

		target_put(c, &r, sizeof(r), NULL, 0);
	}
	return cmd->opcode == nvme_cmd_read ? target_send(c, cmd->cid, c->data, (uint32_t)len)
					    : target_answer(c, cmd->cid, 0, 0);
}

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

/* The namespace has another size: those who wait for events are told. */
TARGET_FN void target_resize(struct target *t, uint64_t blocks)
{
	struct nvme_tcp_rsp r = { .hdr = { .type = NVME_TCP_RSP, .hlen = sizeof(r), .plen = sizeof(r) } };

	TARGET_SET(t->blocks, blocks);
	pthread_mutex_lock(&t->lock);
	if (t->event_fd >= 0) {
		r.cqe = (struct nvme_cqe){ .result = NVME_AER_NOTICE | 4 << 16, .cid = t->event_cid };
		if (t->event_hdgst) {
			r.hdr.flags = NVME_TCP_HDGST;
			r.hdr.plen += 4;
		}
		target_put_at(t->event_fd, t->event_hdgst, false, &r, sizeof(r), NULL, 0, 0);
		t->event_fd = -1;
	}
	pthread_mutex_unlock(&t->lock);
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
	static char text[256];

	snprintf(text, sizeof(text), "nvme-tcp:127.0.0.1:%u,nqn=" TARGET_NQN "%s", t->port, more);
	return text;
}

TARGET_FN void target_lie(struct target *t, enum target_lie lie, int times)
{
	TARGET_SET(t->lies, times);
	TARGET_SET(t->lie, (int)lie);
}

#endif
