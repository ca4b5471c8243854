/* SPDX-License-Identifier: MIT */
/* The PDUs that a connection receives: each is checked against the command that it is for. */
#include "backend/nvme_tcp_link.h"

/* The command that a PDU is about: one that the target has seen wholly. */
static struct host_slot *rx_command(struct host_link *k, uint16_t cid)
{
	unsigned index = cid % LINK_SLOTS;
	struct host_slot *s = index < k->nslots ? &k->slot[index] : NULL;

	return s && s->busy && s->cid == cid && s->tx_end <= k->tx_sent ? s : NULL;
}

int vio__host_link_answer(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result)
{
	k->big -= !s->write && s->len > LINK_RX / 4;
	s->busy = false;
	if (s->spoilt && !status)
		status = NVME_STATUS(NVME_SC_DATA_XFER_ERROR);
	return k->answered(k, s, status, result);
}

static int rx_c2h(struct host_link *k, const struct nvme_tcp_data *d)
{
	struct host_slot *s = rx_command(k, d->cid);
	uint8_t flags = d->hdr.flags;
	uint64_t plen = (uint64_t)d->hdr.pdo + d->len + (k->ddgst ? NVME_TCP_DIGEST : 0);

	if (!s)
		return link_bad(k, "data for a command that it does not have");
	if (s->write)
		return link_bad(k, "data for a command that reads none");
	if (d->hdr.plen != plen || !!(flags & NVME_TCP_DDGST) != k->ddgst)
		return link_bad(k, "a C2HData PDU whose lengths or flags contradict each other");
	if (!d->len || d->offset != s->done || d->len > s->len - s->done)
		return link_bad(k, "data out of its command's range, or out of order");
	if (flags & NVME_TCP_DATA_SUCCESS && (!(flags & NVME_TCP_DATA_LAST) || d->len != s->len - s->done))
		return link_bad(k, "a command's success before its last data");
	s->done += d->len;
	k->rx_slot = s;
	k->rx_left = d->len;
	k->rx_flags = flags;
	k->rx_digest = k->ddgst;
	k->rx_sum = NVME_TCP_SUM_BEGIN;
	return 0;
}

static int rx_r2t(struct host_link *k, const struct nvme_tcp_r2t *r)
{
	struct host_slot *s = rx_command(k, r->cid);

	if (!s)
		return link_bad(k, "an R2T for a command that it does not have");
	if (!s->write)
		return link_bad(k, "an R2T for a command that writes nothing");
	if (s->r2t_left)
		return link_bad(k, "a second R2T before the first was met");
	if (!r->len || r->offset != s->done || r->len > s->len - s->done)
		return link_bad(k, "an R2T out of its command's range, or out of order");
	s->done += r->len;
	s->r2t_left = r->len;
	s->ttag = r->ttag;
	s->tx_end = UINT64_MAX;
	link_queue(&k->due, s);
	return 0;
}

static int rx_rsp(struct host_link *k, const struct nvme_tcp_rsp *r)
{
	struct host_slot *s = rx_command(k, r->cqe.cid);
	uint16_t status = r->cqe.status & ~1u;

	if (!s)
		return link_bad(k, "a completion of a command that it does not have");
	if (!status && s->done != s->len)
		return link_bad(k, "a command's success without all of its data");
	return vio__host_link_answer(k, s, status, r->cqe.result);
}

static int rx_icresp(struct host_link *k, const struct nvme_tcp_icresp *r)
{
	if (r->pfv != NVME_TCP_PFV)
		return link_bad(k, "an ICResp of another PDU format");
	if (r->cpda > 31)
		return link_bad(k, "an ICResp with an alignment that can't be");
	if (r->maxh2cdata < NVME_TCP_MIN_MAXH2C || r->maxh2cdata % 4)
		return link_bad(k, "an ICResp whose MAXH2CDATA is less than 4096, or no multiple of 4");
	if (r->digest & ~k->digests)
		return link_bad(k, "an ICResp with digests that were not asked for");
	if (r->digest != k->digests) {
		k->why = "the target has not the digests that were asked for";
		return -ENOTSUP;
	}
	k->hdgst = r->digest & NVME_TCP_WANT_HDGST;
	k->ddgst = r->digest & NVME_TCP_WANT_DDGST;
	k->align = (r->cpda + 1u) * 4;
	k->max_h2c = r->maxh2cdata;
	k->state = LINK_UP;
	return k->greeted(k);
}

static bool rx_expected(const struct host_link *k, uint8_t type)
{
	if (type == NVME_TCP_C2H_TERM)
		return true;
	if (k->state == LINK_GREETING)
		return type == NVME_TCP_ICRESP;
	return type == NVME_TCP_RSP || type == NVME_TCP_C2H_DATA || type == NVME_TCP_R2T;
}

/* Those that have a digest and no data: they are as long as their headers. */
static bool rx_plain(uint8_t type)
{
	return type == NVME_TCP_RSP || type == NVME_TCP_R2T;
}

/* Bytes up to the end of the PDU's header, or up to its data; 0: it can't be. */
static unsigned rx_head(const struct host_link *k, const struct nvme_tcp_hdr *h)
{
	unsigned digest = k->hdgst ? NVME_TCP_DIGEST : 0, n = h->hlen;

	if (h->hlen != nvme_tcp_hlen(h->type))
		return 0;
	if (h->type == NVME_TCP_ICRESP || h->type == NVME_TCP_C2H_TERM)
		return h->plen >= n ? n : 0;
	n += digest;
	if (!!(h->flags & NVME_TCP_HDGST) != k->hdgst || (rx_plain(h->type) && h->plen != n))
		return 0;
	if (h->type == NVME_TCP_C2H_DATA)
		return h->pdo >= n && h->pdo % 4 == 0 && h->plen > h->pdo ? h->pdo : 0;
	return n;
}

static int rx_header_digest(struct host_link *k, const uint8_t *pdu, const struct nvme_tcp_hdr *h)
{
	uint32_t sum;

	if (!(h->flags & NVME_TCP_HDGST) || !k->hdgst)
		return 0;
	memcpy(&sum, pdu + h->hlen, sizeof(sum));
	if (sum == nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, pdu, h->hlen)))
		return 0;
	k->bad_digests++;
	return link_bad(k, "a header with the wrong digest");
}

int vio__host_link_pdu(struct host_link *k)
{
	unsigned have = k->rx_end - k->rx_at, head;
	const uint8_t *at = k->rx + k->rx_at;
	union nvme_tcp_pdu u;
	int rc;

	if (have < sizeof(u.hdr))
		return LINK_NEXT;
	memcpy(&u.hdr, at, sizeof(u.hdr));
	if (!rx_expected(k, u.hdr.type))
		return link_bad(k, "a PDU of a type that does not belong here");
	if (u.hdr.type == NVME_TCP_C2H_TERM)
		return link_bad(k, "it terminated the connection");
	head = rx_head(k, &u.hdr);
	if (!head || (u.hdr.type == NVME_TCP_ICRESP && u.hdr.plen != head))
		return link_bad(k, "a PDU whose header has lengths or flags that can't be");
	if (have < head)
		return LINK_NEXT;
	memcpy(&u, at, u.hdr.hlen);
	rc = rx_header_digest(k, at, &u.hdr);
	if (rc)
		return rc;
	k->rx_at += head;
	switch (u.hdr.type) {
	case NVME_TCP_ICRESP:
		return rx_icresp(k, &u.icresp);
	case NVME_TCP_C2H_DATA:
		return rx_c2h(k, &u.data);
	case NVME_TCP_R2T:
		return rx_r2t(k, &u.r2t);
	default:
		return rx_rsp(k, &u.rsp);
	}
}
