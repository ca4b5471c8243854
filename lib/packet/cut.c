/* SPDX-License-Identifier: MIT */
/*
 * Segmentation in software: what a card does with a GSO frame when nobody behind it
 * can. Headers are read once, into c->head, and completed there; the payload is only
 * pointed at. Its sum is of the bytes as they are now: a guest that changes them
 * meanwhile has sent a wrong checksum, which is its own affair.
 */
#include "packet/packet.h"

#include <netinet/in.h>

#define CUT_TCP_FIN 0x01u
#define CUT_TCP_PSH 0x08u
#define CUT_TCP_CWR 0x80u

static bool cut_fits(const struct packet *p, uint8_t gso)
{
	bool v4 = p->l3_kind == PACKET_L3_IPV4;

	switch (gso) {
	case VIO_PACKET_TSO4:
		return v4 && p->l4_kind == PACKET_L4_TCP;
	case VIO_PACKET_TSO6:
		return !v4 && p->l4_kind == PACKET_L4_TCP;
	case VIO_PACKET_USO4:
		return v4 && p->l4_kind == PACKET_L4_UDP;
	case VIO_PACKET_USO6:
		return !v4 && p->l4_kind == PACKET_L4_UDP;
	default:
		return false;
	}
}

static int cut_check(const struct packet_cut *c, uint8_t flags)
{
	uint32_t payload;

	if (!cut_fits(&c->p, flags & VIO_PACKET_GSO) || c->p.routed)
		return vio__fail(EINVAL, "a GSO frame (flags 0x%x) whose headers are no such packet's",
				 flags);
	payload = c->len - c->p.payload;
	if (!c->mss || payload / c->mss >= PACKET_CUTS_MAX)
		return vio__fail(EINVAL, "gso_size %u for %u bytes of payload, expected at most %u pieces",
				 c->mss, payload, PACKET_CUTS_MAX);
	if (c->p.payload - c->p.l3 + VIO_MIN(payload, c->mss) > UINT16_MAX)
		return vio__fail(EINVAL, "gso_size %u makes IP packets above %u bytes", c->mss, UINT16_MAX);
	return 0;
}

/* What changes from frame to frame is noted, and both checksums made zero, as their sums want it. */
static void cut_note(struct packet_cut *c)
{
	uint8_t *l3 = c->head + c->p.l3, *l4 = c->head + c->p.l4;

	if (c->p.l3_kind == PACKET_L3_IPV4) {
		c->id = packet_get16(l3 + 4);
		packet_put16(l3 + 10, 0);
	}
	if (c->p.l4_kind == PACKET_L4_TCP) {
		c->seq = packet_get32(l4 + 4);
		c->tcp_flags = l4[13];
		packet_put16(l4 + 16, 0);
	} else {
		packet_put16(l4 + 6, 0);
	}
}

int vio__packet_cut_begin(struct packet_cut *c, const struct vio_req *send)
{
	unsigned have = (unsigned)vio__packet_copy(c->head, send->iov, send->niov, 0,
						   VIO_MIN(send->len, PACKET_HEAD_MAX));
	int rc;

	__asm__ volatile("" ::: "memory"); /* head is the copy from here on */
	c->len = (uint32_t)send->len;
	c->mss = send->offload.gso_size;
	vio__packet_parse(&c->p, c->head, have, c->len);
	rc = cut_check(c, send->flags);
	if (rc)
		return rc;
	c->iov = send->iov;
	c->niov = send->niov;
	c->skip = 0;
	c->last = c->at = c->head_len = c->p.payload;
	c->n = 0;
	cut_note(c);
	return 0;
}

/* The next piece begins where the last one ended. */
static void cut_advance(struct packet_cut *c)
{
	c->skip += c->last;
	while (c->niov && c->skip >= c->iov->iov_len) {
		c->skip -= c->iov->iov_len;
		c->iov++;
		c->niov--;
	}
}

VIO_INLINE uint64_t cut_sum(const void *p, unsigned len)
{
	const struct iovec iov = { (void *)p, len };

	return vio__packet_sum(&iov, 1, 0, len);
}

static void cut_put_sum(uint8_t *at, uint64_t sum)
{
	uint16_t v = vio__packet_fold(sum);

	memcpy(at, &v, 2);
}

/* The addresses of the pseudo-header (RFC 8200, 8.1; RFC 6275, 6.1.7 and 6.4). */
static uint64_t cut_addresses(const struct packet *p, const uint8_t *head)
{
	if (p->l3_kind == PACKET_L3_IPV4)
		return cut_sum(head + p->l3 + 12, 8);
	return cut_sum(head + (p->home ? p->home : p->l3 + 8u), 16) +
	       cut_sum(head + (p->route ? p->route : p->l3 + 24u), 16);
}

static void cut_put_ip(const struct packet_cut *c, uint8_t *head, uint32_t payload)
{
	uint8_t *ip = head + c->p.l3;
	uint32_t bytes = c->head_len - c->p.l3 + payload;

	if (c->p.l3_kind == PACKET_L3_IPV6) {
		packet_put16(ip + 4, (uint16_t)(bytes - 40));
		return;
	}
	packet_put16(ip + 2, (uint16_t)bytes);
	packet_put16(ip + 4, (uint16_t)(c->id + c->n));
	cut_put_sum(ip + 10, cut_sum(ip, c->p.l4 - c->p.l3));
}

static void cut_put_l4(const struct packet_cut *c, uint8_t *head, uint32_t payload, bool last)
{
	bool tcp = c->p.l4_kind == PACKET_L4_TCP;
	uint32_t bytes = c->head_len - c->p.l4 + payload;
	uint8_t *l4 = head + c->p.l4, *check = l4 + (tcp ? 16 : 6);
	const uint8_t rest[4] = { 0, tcp ? IPPROTO_TCP : IPPROTO_UDP, (uint8_t)(bytes >> 8), (uint8_t)bytes };

	if (tcp) {
		packet_put32(l4 + 4, c->seq + c->n * c->mss);
		l4[13] = (uint8_t)(c->tcp_flags &
				   ~((last ? 0 : CUT_TCP_FIN | CUT_TCP_PSH) | (c->n ? CUT_TCP_CWR : 0)));
	} else {
		packet_put16(l4 + 4, (uint16_t)bytes);
	}
	cut_put_sum(check, cut_addresses(&c->p, head) + cut_sum(rest, 4) +
				   cut_sum(l4, c->head_len - c->p.l4) +
				   vio__packet_sum(c->iov, c->niov, c->skip, payload));
	if (!tcp && !check[0] && !check[1])
		check[0] = check[1] = 0xff; /* 0 says that there is none (RFC 768) */
}

bool vio__packet_cut_next(struct packet_cut *c, uint8_t head[PACKET_HEAD_MAX], unsigned *head_len,
			  uint32_t *offset, uint32_t *len)
{
	uint32_t payload = VIO_MIN(c->len - c->at, (uint32_t)c->mss);

	if (c->n && !payload)
		return false;
	cut_advance(c);
	memcpy(head, c->head, c->head_len);
	cut_put_ip(c, head, payload);
	cut_put_l4(c, head, payload, c->at + payload == c->len);
	*head_len = c->head_len;
	*offset = c->at;
	*len = payload;
	c->at += payload;
	c->last = payload;
	c->n++;
	return true;
}
