/* SPDX-License-Identifier: MIT */
/* Frames put together byte by byte, for tests of what reads them. */
#ifndef TEST_FRAMES_H
#define TEST_FRAMES_H

#include "packet/packet.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define FRAME_ROOM 65550u

struct frame {
	uint8_t b[FRAME_ROOM];
	unsigned len; /* so far */
	unsigned l3, l4;
	bool v6;
};

static inline uint8_t *frame_add(struct frame *f, const void *from, unsigned n)
{
	uint8_t *at = f->b + f->len;

	if (from)
		memcpy(at, from, n);
	else
		memset(at, 0, n);
	f->len += n;
	return at;
}

static inline void frame_eth(struct frame *f)
{
	static const uint8_t addresses[12] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };

	f->len = f->l3 = f->l4 = 0;
	frame_add(f, addresses, sizeof(addresses));
}

static inline void frame_type(struct frame *f, uint16_t type)
{
	packet_put16(frame_add(f, NULL, 2), type);
}

static inline void frame_tag(struct frame *f, uint16_t tpid, uint16_t tci)
{
	frame_type(f, tpid);
	frame_type(f, tci);
}

/* IP headers with lengths left 0: frame_end sets them. options: bytes, a multiple of 4. */
static inline void frame_ipv4(struct frame *f, const char *src, const char *dst, uint8_t protocol,
			      unsigned options)
{
	uint8_t *ip;

	frame_type(f, 0x0800);
	f->l3 = f->len;
	f->v6 = false;
	ip = frame_add(f, NULL, 20 + options);
	ip[0] = (uint8_t)(0x45 + options / 4);
	ip[8] = 64;
	ip[9] = protocol;
	inet_pton(AF_INET, src, ip + 12);
	inet_pton(AF_INET, dst, ip + 16);
	memset(ip + 20, 1, options); /* no operation */
	f->l4 = f->len;
}

static inline void frame_ipv6(struct frame *f, const char *src, const char *dst, uint8_t next)
{
	uint8_t *ip;

	frame_type(f, 0x86dd);
	f->l3 = f->len;
	f->v6 = true;
	ip = frame_add(f, NULL, 40);
	ip[0] = 0x60;
	ip[6] = next;
	ip[7] = 64;
	inet_pton(AF_INET6, src, ip + 8);
	inet_pton(AF_INET6, dst, ip + 24);
	f->l4 = f->len;
}

static inline void frame_tcp(struct frame *f, uint16_t from, uint16_t to, uint8_t flags, unsigned options)
{
	uint8_t *h = frame_add(f, NULL, 20 + options);

	packet_put16(h, from);
	packet_put16(h + 2, to);
	packet_put32(h + 4, 0xfffff000); /* wraps within the frame */
	packet_put32(h + 8, 0x01020304);
	h[12] = (uint8_t)((5 + options / 4) << 4);
	h[13] = flags;
	packet_put16(h + 14, 0x7210);
	memset(h + 20, 1, options);
}

static inline void frame_udp(struct frame *f, uint16_t from, uint16_t to)
{
	uint8_t *h = frame_add(f, NULL, 8);

	packet_put16(h, from);
	packet_put16(h + 2, to);
}

/* Bytes that differ from piece to piece. */
static inline void frame_payload(struct frame *f, unsigned n)
{
	uint8_t *p = frame_add(f, NULL, n);

	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + 1);
}

/* The IP length and header checksum, as far as they fit. */
static inline void frame_end(struct frame *f)
{
	uint8_t *ip = f->b + f->l3;
	const struct iovec iov = { ip, f->l4 - f->l3 };
	uint16_t sum;

	packet_put16(ip + (f->v6 ? 4 : 2), (uint16_t)(f->len - f->l3 - (f->v6 ? 40 : 0)));
	if (f->v6)
		return;
	packet_put16(ip + 10, 0);
	sum = vio__packet_fold(vio__packet_sum(&iov, 1, 0, iov.iov_len));
	memcpy(ip + 10, &sum, 2);
}

/* Sum of the pseudo-header, as a sender leaves it in the checksum field for a card to go on from; returns
 * csum_offset. */
static inline unsigned frame_pseudo(struct frame *f, uint8_t protocol)
{
	unsigned at = protocol == IPPROTO_TCP ? 16 : 6, bytes = f->len - f->l4;
	const uint8_t rest[4] = { 0, protocol, (uint8_t)(bytes >> 8), (uint8_t)bytes };
	const struct iovec iov[] = { { f->b + f->l3 + (f->v6 ? 8 : 12), f->v6 ? 32 : 8 },
				     { (void *)rest, 4 } };
	uint16_t sum = (uint16_t)~vio__packet_fold(vio__packet_sum(iov, 2, 0, f->v6 ? 36 : 12));

	memcpy(f->b + f->l4 + at, &sum, 2);
	return at;
}

static inline bool frame_parse(const struct frame *f, struct packet *p)
{
	return vio__packet_parse(p, f->b, f->len, f->len);
}

#endif
