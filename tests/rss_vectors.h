/* SPDX-License-Identifier: MIT */
/* The values that the receive-side scaling hash's authors published to verify implementations by, and frames
 * for them. */
#ifndef TESTS_RSS_VECTORS_H
#define TESTS_RSS_VECTORS_H

#include "frames.h"

#include <linux/virtio_net.h>

static const uint8_t rss_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct rss_vector {
	const char *dst, *src;
	uint16_t dst_port, src_port;
	uint32_t ip, tcp;
} rss_v4[] = {
	{ "161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178 },
	{ "65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea },
	{ "12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a },
	{ "209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f },
	{ "202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2 },
}, rss_v6[] = {
	{ "3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d },
	{ "ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf },
	{ "fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985, 0x02d1feef },
};

static inline void rss_frame(struct frame *f, const struct rss_vector *v, bool ipv6, uint8_t protocol)
{
	frame_eth(f);
	if (ipv6)
		frame_ipv6(f, v->src, v->dst, protocol);
	else
		frame_ipv4(f, v->src, v->dst, protocol, 0);
	if (protocol == IPPROTO_TCP)
		frame_tcp(f, v->src_port, v->dst_port, 0, 0);
	else
		frame_udp(f, v->src_port, v->dst_port);
	frame_end(f);
}

/* The addresses move into extension headers, and others stand in their places: the _EX types give the same
 * value. */
static inline void rss_extended(struct frame *f, const struct rss_vector *v)
{
	uint8_t *x;

	frame_eth(f);
	frame_ipv6(f, "2001:db8::1", "2001:db8::2", IPPROTO_ROUTING);
	x = frame_add(f, NULL, 24);
	x[0] = IPPROTO_DSTOPTS;
	x[1] = x[2] = 2;
	x[3] = 1;
	inet_pton(AF_INET6, v->dst, x + 8);
	x = frame_add(f, NULL, 24);
	x[0] = IPPROTO_TCP;
	x[1] = 2;
	x[2] = 1; /* PadN, of 2 bytes, then Pad1s would break the alignment: 4 bytes in all */
	x[3] = 2;
	x[6] = 201;
	x[7] = 16;
	inet_pton(AF_INET6, v->src, x + 8);
	f->l4 = f->len;
	frame_tcp(f, v->src_port, v->dst_port, 0, 0);
	frame_end(f);
}

#endif
