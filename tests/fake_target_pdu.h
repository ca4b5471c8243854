/* SPDX-License-Identifier: MIT */
/* The fake target's PDUs: see fake_target.h. */
#ifndef TESTS_FAKE_TARGET_PDU_H
#define TESTS_FAKE_TARGET_PDU_H

#include "fake_target_state.h"

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

#endif
