/* SPDX-License-Identifier: MIT */
/* The receive-side scaling hash gives the values that its authors published to verify implementations by. */
#include "rss_vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <linux/virtio_net.h>

#define ALL 0x1ffu

static struct frame f;

static uint32_t rss(const struct packet *p, const uint8_t *key, unsigned len, uint32_t types,
		    uint16_t *report)
{
	struct packet_rss_key k;

	vio__packet_rss_key(&k, key, len);
	return vio__packet_rss(p, f.b, types, &k, report);
}

static void rss_is(uint32_t types, uint32_t hash, uint16_t report)
{
	struct packet p;
	uint16_t got;

	assert_true(frame_parse(&f, &p));
	assert_int_equal(rss(&p, rss_key, sizeof(rss_key), types, &got), hash);
	assert_int_equal(got, report);
}

static void ipv4(void **state)
{
	(void)state;
	for (const struct rss_vector *v = rss_v4; v < rss_v4 + VIO_ARRAY_SIZE(rss_v4); v++) {
		rss_frame(&f, v, false, IPPROTO_TCP);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv4);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_IPv4, v->ip, VIRTIO_NET_HASH_REPORT_IPv4);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_UDPv4 | VIRTIO_NET_RSS_HASH_TYPE_TCPv6, 0,
		       VIRTIO_NET_HASH_REPORT_NONE);
		rss_frame(&f, v, false, IPPROTO_UDP); /* the same function of the same fields */
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_UDPv4);
		rss_frame(&f, v, false, IPPROTO_ICMP);
		rss_is(ALL, v->ip, VIRTIO_NET_HASH_REPORT_IPv4);
	}
}

static void ipv6(void **state)
{
	(void)state;
	for (const struct rss_vector *v = rss_v6; v < rss_v6 + VIO_ARRAY_SIZE(rss_v6); v++) {
		rss_frame(&f, v, true, IPPROTO_TCP);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv6);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_IPv6, v->ip, VIRTIO_NET_HASH_REPORT_IPv6);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_TCP_EX, 0, VIRTIO_NET_HASH_REPORT_NONE);
		rss_frame(&f, v, true, IPPROTO_UDP);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_UDPv6);
	}
}

static void extension_headers(void **state)
{
	(void)state;
	for (const struct rss_vector *v = rss_v6; v < rss_v6 + VIO_ARRAY_SIZE(rss_v6); v++) {
		rss_extended(&f, v);
		rss_is(ALL, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv6_EX);
		rss_is(VIRTIO_NET_RSS_HASH_TYPE_IP_EX, v->ip, VIRTIO_NET_HASH_REPORT_IPv6_EX);
	}
}

/* A fragment's ports are not there in all of them, so none hashes them. */
static void fragments(void **state)
{
	(void)state;
	rss_frame(&f, &rss_v4[0], false, IPPROTO_UDP);
	packet_put16(f.b + f.l3 + 6, 0x2000);
	rss_is(ALL, rss_v4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4);
	packet_put16(f.b + f.l3 + 6, 0x0010);
	rss_is(ALL, rss_v4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4);
}

/* Key bytes that are not there are zeroes: the first address bit decides with the first 4 key bytes alone. */
static void short_key(void **state)
{
	struct packet p;
	uint16_t report;

	(void)state;
	rss_frame(&f, &(struct rss_vector){ "0.0.0.0", "128.0.0.0", 0, 0, 0, 0 }, false, IPPROTO_TCP);
	assert_true(frame_parse(&f, &p));
	assert_int_equal(rss(&p, rss_key, 4, ALL, &report), 0x6d5a56da);
	assert_int_equal(rss(&p, rss_key, 2, ALL, &report), 0x6d5a0000);
	assert_int_equal(rss(&p, NULL, 0, ALL, &report), 0);
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
