/* SPDX-License-Identifier: MIT */
/*
 * With VIRTIO_NET_F_HASH_REPORT each header has 20 bytes, both ways, and what the guest receives says its
 * hash: over the fields and by the key that the driver chose, of the frame itself, however its buffers are
 * cut.
 */
#include "net_commands.h"
#include "net_receiver.h"
#include "rss_vectors.h"

#define SEND 1u
#define CTRL 2u
#define HDR 20u
#define ALL 0x1ffu

static struct frame f;

static void up_hashes(struct net_guest *n, uint64_t features)
{
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, features | NET_V1 | NET_CONTROL | NET_F(HASH_REPORT), NULL), 0);
	assert_int_equal(net_start(n, RECV, SIZE), 0);
	assert_int_equal(net_start(n, SEND, 64), 0);
	assert_int_equal(net_start(n, CTRL, 64), 0);
}

static void hash_by(struct net_guest *n, uint32_t types)
{
	assert_int_equal(net_command_hash(n, types, rss_key, sizeof(rss_key), sizeof(rss_key)),
			 VIRTIO_NET_OK);
}

static void deliver(struct net_guest *n)
{
	assert_true(net_port_deliver(n->port, 0, f.b, f.len, 0, NULL) > 0);
}

/* The next packet is f, with this header, of as many buffers as it says. */
static void gets(struct net_guest *n, uint32_t hash, uint16_t report)
{
	uint8_t got[FRAME_ROOM + SLOT];
	struct virtio_net_hdr_v1_hash h;
	unsigned parts = 1, have = 0;

	for (unsigned i = 0; i < parts; i++) {
		uint32_t len;
		int id = reap(n, &len);

		memcpy(got + have, net_ptr(n, RECV, posted[id].at), len);
		have += len;
		if (!i) {
			assert_true(len > HDR);
			memcpy(&h, got, HDR);
			parts = h.hdr.num_buffers;
		}
	}
	assert_int_equal(have, HDR + f.len);
	assert_memory_equal(got + HDR, f.b, f.len);
	assert_int_equal(le32toh(h.hash_value), hash);
	assert_int_equal(le16toh(h.hash_report), report);
	assert_int_equal(h.padding, 0);
}

/* One packet into buffers of len bytes. */
static void passes(struct net_guest *n, uint32_t len, unsigned pieces, uint32_t hash, uint16_t report)
{
	unsigned buffers = (HDR + f.len + len - 1) / len;

	for (unsigned i = 0; i < buffers; i++)
		post(n, i, len, pieces);
	put_down(n, buffers);
	deliver(n);
	gets(n, hash, report);
}

static void all_vectors(struct net_guest *n, uint32_t len, unsigned pieces)
{
	for (const struct rss_vector *v = rss_v4; v < rss_v4 + VIO_ARRAY_SIZE(rss_v4); v++) {
		rss_frame(&f, v, false, IPPROTO_TCP);
		passes(n, len, pieces, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv4);
		rss_frame(&f, v, false, IPPROTO_UDP);
		passes(n, len, pieces, v->tcp, VIRTIO_NET_HASH_REPORT_UDPv4);
		rss_frame(&f, v, false, IPPROTO_ICMP);
		passes(n, len, pieces, v->ip, VIRTIO_NET_HASH_REPORT_IPv4);
	}
	for (const struct rss_vector *v = rss_v6; v < rss_v6 + VIO_ARRAY_SIZE(rss_v6); v++) {
		rss_frame(&f, v, true, IPPROTO_TCP);
		passes(n, len, pieces, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv6);
		rss_frame(&f, v, true, IPPROTO_UDP);
		passes(n, len, pieces, v->tcp, VIRTIO_NET_HASH_REPORT_UDPv6);
		rss_frame(&f, v, true, IPPROTO_ICMP);
		passes(n, len, pieces, v->ip, VIRTIO_NET_HASH_REPORT_IPv6);
		rss_extended(&f, v);
		passes(n, len, pieces, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv6_EX);
	}
}

static void known_vectors(void **state)
{
	static const uint64_t rings[] = { 0, NET_PACKED, VIO_BIT(VIRTIO_F_IN_ORDER) };

	(void)state;
	for (unsigned i = 0; i < 2 * VIO_ARRAY_SIZE(rings); i++) {
		struct net_guest n;

		up_hashes(&n, rings[i / 2] | (i & 1 ? NET_MERGE : 0));
		hash_by(&n, ALL);
		all_vectors(&n, SLOT, 1);
		all_vectors(&n, SLOT, 8);
		if (i & 1) /* of each buffer but the first all is a part of the frame: down to a single byte
			      in the first */
			for (uint32_t len = HDR + 1; len < HDR + 80; len += 1 + len / 8)
				all_vectors(&n, len, 3);
		net_close(&n);
	}
}

/* Only what is asked for is hashed; without a word nothing is, and after a reset nothing again. */
static void only_chosen_types(void **state)
{
	const struct rss_vector *v = &rss_v4[1];
	struct net_guest n;

	(void)state;
	up_hashes(&n, 0);
	rss_frame(&f, v, false, IPPROTO_TCP);
	passes(&n, SLOT, 1, 0, VIRTIO_NET_HASH_REPORT_NONE);
	hash_by(&n, VIRTIO_NET_RSS_HASH_TYPE_TCPv4);
	passes(&n, SLOT, 1, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv4);
	hash_by(&n, VIRTIO_NET_RSS_HASH_TYPE_IPv4);
	passes(&n, SLOT, 1, v->ip, VIRTIO_NET_HASH_REPORT_IPv4);
	hash_by(&n, VIRTIO_NET_RSS_HASH_TYPE_UDPv4 | VIRTIO_NET_RSS_HASH_TYPE_IPv6);
	passes(&n, SLOT, 1, 0, VIRTIO_NET_HASH_REPORT_NONE);
	assert_int_equal(net_command_hash(&n, ALL, NULL, 0, 0), VIRTIO_NET_OK); /* a key of zeroes */
	passes(&n, SLOT, 1, 0, VIRTIO_NET_HASH_REPORT_TCPv4);
	hash_by(&n, 0);
	passes(&n, SLOT, 1, 0, VIRTIO_NET_HASH_REPORT_NONE);
	hash_by(&n, ALL);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(net_stop(&n, i), 0);
	assert_int_equal(vio_dev_set_features(n.dev, NET_V1 | NET_CONTROL | NET_F(HASH_REPORT)), 0);
	assert_int_equal(net_start(&n, RECV, SIZE), 0);
	passes(&n, SLOT, 1, 0, VIRTIO_NET_HASH_REPORT_NONE);
	net_close(&n);
}

/* In buffers so short that a packet's headers lie in several, and as many packets at once as make many
 * batches. */
static void batches_cut_no_header(void **state)
{
	const unsigned len = HDR + 3;
	struct net_guest n;

	(void)state;
	up_hashes(&n, NET_MERGE);
	hash_by(&n, ALL);
	rss_frame(&f, &rss_v6[0], true, IPPROTO_TCP);
	for (unsigned round = 0; round < 20; round++) {
		unsigned packets = SIZE / ((HDR + f.len + len - 1) / len);

		for (unsigned i = 0; i < SIZE; i++)
			post(&n, i, len, 1);
		put_down(&n, SIZE);
		for (unsigned i = 0; i < packets; i++)
			deliver(&n);
		for (unsigned i = 0; i < packets; i++)
			gets(&n, rss_v6[0].tcp, VIRTIO_NET_HASH_REPORT_TCPv6);
		assert_int_equal(net_stop(&n, RECV), 0);
		assert_int_equal(vio_dev_acked(n.dev) & NET_F(HASH_REPORT), NET_F(HASH_REPORT));
		rg_shape(net_ring(&n, RECV), vio_dev_acked(n.dev), SIZE);
		n.q[RECV].resumes = false;
		assert_int_equal(net_start(&n, RECV, SIZE), 0);
		rss_frame(&f, &rss_v6[0], true, IPPROTO_TCP);
		frame_payload(&f, round);
	}
	net_close(&n);
}

/* Behind tags, and as long as headers can be that still show the ports. */
static void long_headers(void **state)
{
	const struct rss_vector *v = &rss_v4[2];
	struct net_guest n;

	(void)state;
	up_hashes(&n, NET_MERGE);
	hash_by(&n, ALL);
	frame_eth(&f);
	frame_tag(&f, 0x88a8, 5);
	frame_tag(&f, 0x8100, 6);
	frame_ipv4(&f, v->src, v->dst, IPPROTO_TCP, 40);
	frame_tcp(&f, v->src_port, v->dst_port, 0, 40);
	frame_payload(&f, 500);
	frame_end(&f);
	passes(&n, SLOT, 1, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv4);
	passes(&n, HDR + 1, 1, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv4);
	net_close(&n);
}

/* A fragment's ports are not in all of them; what is no IP has no hash. */
static void what_has_no_ports(void **state)
{
	struct net_guest n;

	(void)state;
	up_hashes(&n, 0);
	hash_by(&n, ALL);
	rss_frame(&f, &rss_v4[0], false, IPPROTO_UDP);
	packet_put16(f.b + f.l3 + 6, 0x2000);
	passes(&n, SLOT, 1, rss_v4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4);
	frame_eth(&f);
	frame_type(&f, 0x0806);
	frame_payload(&f, 46);
	passes(&n, SLOT, 1, 0, VIRTIO_NET_HASH_REPORT_NONE);
	net_close(&n);
}

/* Header and frame that the guest sends, in pieces of `each` bytes. */
static void send_cut(struct net_guest *n, uint32_t len, unsigned each)
{
	struct rg_buf b[40];
	unsigned k = 0;

	for (uint32_t at = 0; at < len; k++) {
		uint32_t piece = k + 1 < VIO_ARRAY_SIZE(b) ? VIO_MIN(each, len - at) : len - at;

		b[k] = (struct rg_buf){ NET_AT + at, piece, 0 };
		at += piece;
	}
	assert_int_equal(net_run(n, SEND, b, k), 0);
}

/* What a sender says of a hash goes nowhere; a header too short for one is a packet too short. */
static void sent_headers_have_20_bytes(void **state)
{
	static const unsigned pieces[] = { 1, 2, 3, 7, 11, 12, 13, 19, 20, 21, 0x10000 };
	struct net_guest n;
	uint8_t *p;

	(void)state;
	up_hashes(&n, NET_F(CSUM));
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	p = net_ptr(&n, SEND, 0);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(pieces); i++) {
		memset(p, 0xff, HDR);
		p[0] = p[1] = 0;
		memcpy(p + HDR, f.b, f.len);
		send_cut(&n, HDR + f.len, pieces[i]);
		assert_int_equal(n.port->sent, 2 * i + 1);
		assert_int_equal(n.port->len, f.len);
		assert_memory_equal(n.port->frame, f.b, f.len);
		p[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		memcpy(p + 6, (uint8_t[]){ 34, 0, 16, 0 }, 4);
		send_cut(&n, HDR + f.len, pieces[i]);
		assert_int_equal(n.port->sent, 2 * i + 2);
		assert_int_equal(n.port->flags, VIO_PACKET_CSUM);
		assert_int_equal(n.port->offload.csum_start, 34);
		assert_memory_equal(n.port->frame, f.b, f.len);
		for (uint32_t len = 1; len < HDR + 14; len++)
			send_cut(&n, len, pieces[i]);
		assert_int_equal(n.port->sent, 2 * i + 2);
		assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_SHORT], (i + 1) * (HDR + 13));
	}
	net_close(&n);
}

/* A buffer without room behind the header takes its turn, and nothing is written there. */
static void short_buffers(void **state)
{
	struct net_guest n;

	(void)state;
	up_hashes(&n, 0);
	hash_by(&n, ALL);
	rss_frame(&f, &rss_v4[0], false, IPPROTO_UDP);
	f.len = 42;
	for (uint32_t len = 1; len <= HDR; len++) {
		uint8_t *p = net_ptr(&n, RECV, 0);
		uint32_t used;

		memset(p, 0xee, 64);
		post(&n, 0, len, 3);
		put_down(&n, 1);
		deliver(&n);
		reap(&n, &used);
		assert_int_equal(used, 0);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(p[i], 0xee);
		passes(&n, SLOT, 1, rss_v4[0].tcp, VIRTIO_NET_HASH_REPORT_UDPv4);
	}
	net_close(&n);
}

/* What is refused leaves what was said before. */
static void refused(void **state)
{
	const struct rss_vector *v = &rss_v4[3];
	const uint8_t key[300] = { 1 };
	struct net_guest n;

	(void)state;
	up_hashes(&n, 0);
	hash_by(&n, VIRTIO_NET_RSS_HASH_TYPE_TCPv4);
	rss_frame(&f, v, false, IPPROTO_TCP);
	for (unsigned bit = 9; bit < 32; bit++)
		assert_int_equal(net_command_hash(&n, 1u << bit | 1, key, 40, 40), VIRTIO_NET_ERR);
	assert_int_equal(net_command_hash(&n, ALL, key, 41, 41), VIRTIO_NET_ERR);
	assert_int_equal(net_command_hash(&n, ALL, key, 255, 255), VIRTIO_NET_ERR);
	assert_int_equal(net_command_hash(&n, ALL, key, 39, 40), VIRTIO_NET_ERR);
	assert_int_equal(net_command_hash(&n, ALL, key, 0, 40), VIRTIO_NET_ERR);
	assert_int_equal(net_command_hash(&n, ALL, key, 42, 40), VIRTIO_NET_ERR);
	assert_int_equal(net_command_hash(&n, ALL, key, 296, 40), VIRTIO_NET_ERR); /* as 40, of 8 bits */
	passes(&n, SLOT, 1, v->tcp, VIRTIO_NET_HASH_REPORT_TCPv4);
	assert_int_equal(net_command_hash(&n, ALL, key, 41, 40), VIRTIO_NET_OK); /* a byte of padding */
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors),	 cmocka_unit_test(only_chosen_types),
		cmocka_unit_test(batches_cut_no_header), cmocka_unit_test(long_headers),
		cmocka_unit_test(what_has_no_ports),	 cmocka_unit_test(sent_headers_have_20_bytes),
		cmocka_unit_test(short_buffers),	 cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
