/* SPDX-License-Identifier: MIT */
/* The receive-side scaling hash gives the values that its authors published to verify implementations by. */
#include "frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <linux/virtio_net.h>

static const uint8_t rss_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct vector {
	const char *dst, *src;
	uint16_t dst_port, src_port;
	uint32_t ip, tcp;
} v4[] = {
	{ "161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178 },
	{ "65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea },
	{ "12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a },
	{ "209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f },
	{ "202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2 },
}, v6[] = {
	{ "3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d },
	{ "ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf },
	{ "fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985, 0x02d1feef },
};

#define ALL 0x1ffu

static struct frame f;

static void rss_is(uint32_t types, uint32_t hash, uint16_t report)
{
	struct packet p;
	uint16_t got;

	assert_true(frame_parse(&f, &p));
	assert_int_equal(vio__packet_rss(&p, f.b, types, rss_key, sizeof(rss_key), &got), hash);
	assert_int_equal(got, report);
}

static void rss_frame(const struct vector *v, bool ipv6, uint8_t protocol)
{
	frame_eth(&f);
	if (ipv6)
		frame_ipv6(&f, v->src, v->dst, protocol);
	else
		frame_ipv4(&f, v->src, v->dst, protocol, 0);
	if (protocol == IPPROTO_TCP)
		frame_tcp(&f, v->src_port, v->dst_port, 0, 0);
	else
		frame_udp(&f, v->src_port, v->dst_port);
	frame_end(&f);
}

static void ipv4(void **state)
{
	(void)state;
	for (const struct vector *v = v4; v < v4 + VIO_ARRAY_SIZE(v4); v++) {
		rss_frame(v, false, IPPROTO_TCP);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv4);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_IPv4, v->ip, VIRTIO_NET_HASH_REPORT_IPv4);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_UDPv4 | VIRTIO_NET_RSS_HASH_TYPE_TCPv6, 0,
		       VIRTIO_NET_HASH_REPORT_NONE);
		rss_frame(v, false, IPPROTO_UDP); /* the same function of the same fields */
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_UDPv4);
		rss_frame(v, false, IPPROTO_ICMP);
		rss_is(ALL, v->ip, VIRTIO_NET_HASH_REPORT_IPv4);
	}
}

static void ipv6(void **state)
{
	(void)state;
	for (const struct vector *v = v6; v < v6 + VIO_ARRAY_SIZE(v6); v++) {
		rss_frame(v, true, IPPROTO_TCP);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv6);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_IPv6, v->ip, VIRTIO_NET_HASH_REPORT_IPv6);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_TCP_EX, 0, VIRTIO_NET_HASH_REPORT_NONE);
		rss_frame(v, true, IPPROTO_UDP);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_UDPv6);
	}
}

/* The addresses move into extension headers, and others stand in their places: the _EX types give the same
 * value. */
static void rss_extended(const struct vector *v)
{
	uint8_t *x;

	frame_eth(&f);
	frame_ipv6(&f, "2001:db8::1", "2001:db8::2", IPPROTO_ROUTING);
	x = frame_add(&f, NULL, 24);
	x[0] = IPPROTO_DSTOPTS;
	x[1] = x[2] = 2;
	x[3] = 1;
	inet_pton(AF_INET6, v->dst, x + 8);
	x = frame_add(&f, NULL, 24);
	x[0] = IPPROTO_TCP;
	x[1] = 2;
	x[2] = 1; /* PadN, of 2 bytes, then Pad1s would break the alignment: 4 bytes in all */
	x[3] = 2;
	x[6] = 201;
	x[7] = 16;
	inet_pton(AF_INET6, v->src, x + 8);
	f.l4 = f.len;
	frame_tcp(&f, v->src_port, v->dst_port, 0, 0);
	frame_end(&f);
}

static void extension_headers(void **state)
{
	(void)state;
	for (const struct vector *v = v6; v < v6 + VIO_ARRAY_SIZE(v6); v++) {
		rss_extended(v);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv6_EX);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_IP_EX, v->ip, VIRTIO_NET_HASH_REPORT_IPv6_EX);
	}
}

/* A fragment's ports are not there in all of them, so none hashes them. */
static void fragments(void **state)
{
	(void)state;
	rss_frame(&v4[0], false, IPPROTO_UDP);
	packet_put16(f.b + f.l3 + 6, 0x2000);
	rss_is(ALL, v4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4);
	packet_put16(f.b + f.l3 + 6, 0x0010);
	rss_is(ALL, v4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4);
}

/* Key bytes that are not there are zeroes: the first address bit decides with the first 4 key bytes alone. */
static void short_key(void **state)
{
	struct packet p;
	uint16_t report;

	(void)state;
	rss_frame(&(struct vector){ "0.0.0.0", "128.0.0.0", 0, 0, 0, 0 }, false, IPPROTO_TCP);
	assert_true(frame_parse(&f, &p));
	assert_int_equal(vio__packet_rss(&p, f.b, ALL, rss_key, 4, &report), 0x6d5a56da);
	assert_int_equal(vio__packet_rss(&p, f.b, ALL, rss_key, 2, &report), 0x6d5a0000);
	assert_int_equal(vio__packet_rss(&p, f.b, ALL, NULL, 0, &report), 0);
}

static void no_ip(void **state)
{
	(void)state;
	frame_eth(&f);
	frame_type(&f, 0x0806);
	frame_payload(&f, 46);
	rss_is(ALL, 0, VIRTIO_NET_HASH_REPORT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4),	     cmocka_unit_test(ipv6),	  cmocka_unit_test(extension_headers),
		cmocka_unit_test(fragments), cmocka_unit_test(short_key), cmocka_unit_test(no_ip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
