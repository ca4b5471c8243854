/* SPDX-License-Identifier: MIT */
/*
 * PDUs as they come: headers are gathered and checked, data goes where its command wants
 * it. Each header is copied once and read from the copy.
 */
#include "queue/nvme_tcp.h"

#include <sys/socket.h>

#define TLS_HANDSHAKE 0x16 /* a record of it, which begins a connection by TLS */
#define NTQ_DIRECT 4096u   /* so much data to come is received where it belongs, and not copied */

/* A field of the common header is wrong: its offset there. */
static size_t rx_field(struct ntq *q, const struct nvme_tcp_hdr *h, unsigned at, const char *why)
{
	ntq_violation(q, NVME_TCP_FES_FIELD, at, h, sizeof(*h), why);
	return 0;
}

static size_t rx_sequence(struct ntq *q, const struct nvme_tcp_hdr *h, const char *why)
{
	ntq_violation(q, NVME_TCP_FES_SEQUENCE, 0, h, sizeof(*h), why);
	return 0;
}

/* Bytes of the header digest. */
static unsigned rx_digest(const struct ntq *q, uint8_t type)
{
	return q->hdgst && type != NVME_TCP_ICREQ && type != NVME_TCP_H2C_TERM ? NVME_TCP_DIGEST : 0;
}

static bool rx_in_turn(const struct ntq *q, uint8_t type)
{
	switch (type) {
	case NVME_TCP_ICREQ:
		return q->phase == NTQ_ICREQ;
	case NVME_TCP_CMD:
	case NVME_TCP_H2C_DATA:
		return q->phase == NTQ_LIVE;
	default:
		return type == NVME_TCP_H2C_TERM;
	}
}

/* Most bytes of a PDU of the type. */
static uint32_t rx_most(const struct ntq *q, uint8_t type)
{
	uint32_t data = type == NVME_TCP_CMD ? NPOOL_CAPSULE : type == NVME_TCP_H2C_DATA ? NTQ_MAXH2C : 0;

	if (type == NVME_TCP_H2C_TERM)
		return NVME_TCP_TERM_MAX;
	return nvme_tcp_hlen(type) + rx_digest(q, type) + data + (data && q->ddgst ? NVME_TCP_DIGEST : 0);
}

/* The flags that this PDU must have and the ones it may. */
static bool rx_flags(const struct ntq *q, const struct nvme_tcp_hdr *h, bool data)
{
	uint8_t must = rx_digest(q, h->type) ? NVME_TCP_HDGST : 0, may;

	if (h->type == NVME_TCP_ICREQ || h->type == NVME_TCP_H2C_TERM)
		return !h->flags;
	if (data && q->ddgst)
		must |= NVME_TCP_DDGST;
	may = must | (h->type == NVME_TCP_H2C_DATA ? NVME_TCP_DATA_LAST : 0);
	/* Without data there is no digest of it, and its flag means nothing. */
	if (q->ddgst)
		may |= NVME_TCP_DDGST;
	return (h->flags & must) == must && !(h->flags & ~may);
}

/* Judges the common header; bytes of the whole one with its digest, 0: it broke the protocol. */
static size_t rx_check(struct ntq *q, const struct nvme_tcp_hdr *h)
{
	unsigned hlen = nvme_tcp_hlen(h->type), size = hlen + rx_digest(q, h->type);
	bool data = h->plen > size && (h->type == NVME_TCP_CMD || h->type == NVME_TCP_H2C_DATA);

	if (!hlen || (h->type != NVME_TCP_ICREQ && h->type != NVME_TCP_H2C_TERM && h->type != NVME_TCP_CMD &&
		      h->type != NVME_TCP_H2C_DATA))
		return rx_field(q, h, offsetof(struct nvme_tcp_hdr, type),
				h->type == TLS_HANDSHAKE && q->phase == NTQ_ICREQ
					? "a TLS handshake in place of an ICReq: there is no TLS here"
					: "a PDU of a type that no host sends");
	if (!rx_in_turn(q, h->type))
		return rx_sequence(q, h, "a PDU out of turn");
	if (h->hlen != hlen)
		return rx_field(q, h, offsetof(struct nvme_tcp_hdr, hlen),
				"a header of another length than its type's");
	if (h->plen < size || h->plen > rx_most(q, h->type))
		return rx_field(q, h, offsetof(struct nvme_tcp_hdr, plen),
				"a PDU shorter or longer than may be");
	if (!rx_flags(q, h, data))
		return rx_field(q, h, offsetof(struct nvme_tcp_hdr, flags), "flags that don't fit");
	if (data && (h->pdo != size || h->plen <= size + (q->ddgst ? NVME_TCP_DIGEST : 0)))
		return rx_field(q, h, offsetof(struct nvme_tcp_hdr, pdo),
				"data that lies elsewhere than behind the header");
	return size;
}

static void rx_icreq(struct ntq *q, const struct nvme_tcp_icreq *p)
{
	if (p->pfv != NVME_TCP_PFV) {
		ntq_violation(q, NVME_TCP_FES_PARAMETER, offsetof(struct nvme_tcp_icreq, pfv), p, sizeof(*p),
			      "a PDU format version that is not 0");
		return;
	}
	if (p->hpda > 31) {
		ntq_violation(q, NVME_TCP_FES_FIELD, offsetof(struct nvme_tcp_icreq, hpda), p, sizeof(*p),
			      "an alignment above 128 bytes");
		return;
	}
	if (p->hpda) { /* ours follows the header at once, and can't be padded for each host */
		ntq_violation(q, NVME_TCP_FES_PARAMETER, offsetof(struct nvme_tcp_icreq, hpda), p, sizeof(*p),
			      "an alignment of data above 4 bytes");
		return;
	}
	if (q->group->digests) {
		q->hdgst = p->digest & NVME_TCP_WANT_HDGST;
		q->ddgst = p->digest & NVME_TCP_WANT_DDGST;
	}
	q->phase = NTQ_LIVE;
	ntq_send_icresp(q);
}

/* Bytes of data that follow the header. */
static uint32_t rx_data_len(const struct ntq *q, const struct nvme_tcp_hdr *h)
{
	uint32_t size = h->hlen + rx_digest(q, h->type);

	return h->plen > size ? h->plen - size - (q->ddgst ? NVME_TCP_DIGEST : 0) : 0;
}

/* A whole header, digest behind it. */
static void rx_pdu(struct ntq *q, const char *bytes, size_t size)
{
	union nvme_tcp_pdu p;
	uint32_t sum, ours, data;
	unsigned hlen = (unsigned)size;

	memcpy(&p, bytes, VIO_MIN(size, sizeof(p)));
	if (rx_digest(q, p.hdr.type)) {
		hlen -= NVME_TCP_DIGEST;
		memcpy(&sum, bytes + hlen, sizeof(sum));
		ours = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, bytes, hlen));
		if (sum != ours) {
			ntq_violation(q, NVME_TCP_FES_HDGST, sum, bytes, hlen,
				      "a header digest that is wrong");
			return;
		}
	}
	data = rx_data_len(q, &p.hdr);
	switch (p.hdr.type) {
	case NVME_TCP_ICREQ:
		rx_icreq(q, &p.icreq);
		return;
	case NVME_TCP_CMD:
		ntq_command(q, &p.cmd, data);
		break;
	case NVME_TCP_H2C_DATA:
		if (!ntq_data(q, &p.data, data))
			return;
		break;
	default: /* the host has found something wrong with us, and will say no more */
		q->hangup = true;
		return;
	}
	q->left = data;
	q->sum = NVME_TCP_SUM_BEGIN;
	q->sum_comes = data && q->ddgst;
	q->sum_have = 0;
}

/* Returns the bytes used. */
static size_t rx_header(struct ntq *q, const char *p, size_t n)
{
	size_t size = sizeof(struct nvme_tcp_hdr), part;
	struct nvme_tcp_hdr h;

	if (!q->have && n >= sizeof(h)) { /* mostly all of it is here */
		memcpy(&h, p, sizeof(h));
		size = rx_check(q, &h);
		if (!size)
			return n;
		if (n >= size) {
			rx_pdu(q, p, size);
			return size;
		}
	} else if (q->have >= sizeof(h)) {
		memcpy(&h, q->hdr, sizeof(h));
		size = h.hlen + rx_digest(q, h.type); /* which was checked */
	}
	part = VIO_MIN(n, size - q->have);
	memcpy(q->hdr + q->have, p, part);
	q->have += (unsigned)part;
	if (q->have < size)
		return part;
	if (size == sizeof(h)) {
		memcpy(&h, q->hdr, sizeof(h));
		return rx_check(q, &h) ? part : n;
	}
	q->have = 0;
	rx_pdu(q, q->hdr, size);
	return part;
}

static void rx_whole(struct ntq *q)
{
	struct ntq_slot *s = q->slot;

	q->slot = NULL;
	if (s && s->got == s->r.len)
		ntq_have_data(q, s);
}

/* n more bytes of data are where they belong. */
static void rx_arrived(struct ntq *q, const void *p, size_t n)
{
	if (q->sum_comes && q->slot)
		q->sum = vio__nvme_tcp_sum(q->sum, p, n);
	if (q->slot)
		q->slot->got += (uint32_t)n;
	q->left -= (uint32_t)n;
	if (!q->left && !q->sum_comes)
		rx_whole(q);
}

static char *rx_to(const struct ntq *q)
{
	return (char *)q->slot->r.buf + q->slot->got;
}

static size_t rx_data(struct ntq *q, const char *p, size_t n)
{
	n = VIO_MIN(n, q->left);
	if (q->slot)
		memcpy(rx_to(q), p, n);
	rx_arrived(q, p, n);
	return n;
}

static size_t rx_sum(struct ntq *q, const char *p, size_t n)
{
	n = VIO_MIN(n, NVME_TCP_DIGEST - q->sum_have);
	memcpy((char *)&q->sum_got + q->sum_have, p, n);
	q->sum_have += (unsigned)n;
	if (q->sum_have < NVME_TCP_DIGEST)
		return n;
	q->sum_comes = false;
	if (q->slot && q->sum_got != nvme_tcp_sum_end(q->sum))
		q->slot->bad_sum = true;
	rx_whole(q);
	return n;
}

static void rx_parse(struct ntq *q, const char *p, size_t n)
{
	while (n && !q->hangup && q->phase < NTQ_TERM) {
		size_t used = q->left	     ? rx_data(q, p, n)
			      : q->sum_comes ? rx_sum(q, p, n)
					     : rx_header(q, p, n);

		p += used;
		n -= used;
	}
}

/* What one receive may bring finds slots or is against the protocol, and finds buffers if it was let in. */
static bool rx_may(struct ntq *q)
{
	struct ntq_group *g = q->group;
	unsigned slots = q->connected ? q->entries - q->used : 1;

	if (q->phase >= NTQ_TERM || npool_capsules(g->pool) >= slots)
		return true;
	if (!q->starved) {
		q->starved = true;
		q->next_starved = g->starved;
		g->starved = q;
	}
	return false;
}

static ssize_t rx_some(struct ntq *q, size_t *asked, size_t *direct)
{
	struct iovec v[2];
	struct msghdr m = { .msg_iov = v };

	*direct = 0;
	if (q->left >= NTQ_DIRECT && q->slot) {
		*direct = q->left;
		v[m.msg_iovlen++] = (struct iovec){ rx_to(q), q->left };
	}
	v[m.msg_iovlen++] = (struct iovec){ q->group->recv, NTQ_RECV };
	*asked = *direct + NTQ_RECV;
	return recvmsg(q->fd, &m, 0);
}

unsigned ntq_recv(struct ntq *q)
{
	size_t asked, direct;
	ssize_t n;

	if (!q->readable || q->phase == NTQ_GONE || (q->ending && q->phase != NTQ_TERM) || !rx_may(q))
		return 0;
	n = rx_some(q, &asked, &direct);
	if (n < 0 && errno == EINTR) {
		ntq_activate(q);
		return 0;
	}
	if (n <= 0) {
		q->readable = false;
		q->hangup |= !n || errno != EAGAIN;
		return 0;
	}
	q->progress += (uint64_t)n;
	if ((size_t)n < asked && !q->eof)
		q->readable = false; /* the next that comes is an event */
	else
		ntq_activate(q);
	if (direct) {
		direct = VIO_MIN(direct, (size_t)n);
		rx_arrived(q, rx_to(q), direct);
	}
	rx_parse(q, q->group->recv, (size_t)n - direct);
	return 1;
}
