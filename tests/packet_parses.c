/* SPDX-License-Identifier: MIT */
/*
 * What parsing says of frames sound and hostile: tags, extensions, fragments, options,
 * headers cut short at every byte, lengths that disagree.
 */
#include "frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct frame f;
static struct packet p;

static void parse(void)
{
	assert_true(frame_parse(&f, &p));
}

static void make_ipv4(uint8_t protocol, unsigned options)
{
	frame_eth(&f);
	frame_ipv4(&f, "10.0.0.1", "10.0.0.2", protocol, options);
}

static void tcp_over_ipv4(void **state)
{
	(void)state;
	for (unsigned options = 0; options <= 40; options += 4) {
		make_ipv4(IPPROTO_TCP, options);
		frame_tcp(&f, 1, 2, 0x10, options);
		frame_payload(&f, 9);
		frame_end(&f);
		parse();
		assert_int_equal(p.ether_type, 0x0800);
		assert_int_equal(p.l3_kind, PACKET_L3_IPV4);
		assert_int_equal(p.l4_kind, PACKET_L4_TCP);
		assert_int_equal(p.l3, 14);
		assert_int_equal(p.l4, f.l4);
		assert_int_equal(p.payload, f.len - 9);
		assert_false(p.tags || p.fragment || p.lengths_differ || p.extended);
	}
}

static void udp_over_ipv6(void **state)
{
	(void)state;
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_UDP);
	frame_udp(&f, 1, 2);
	frame_payload(&f, 9);
	frame_end(&f);
	parse();
	assert_int_equal(p.l3_kind, PACKET_L3_IPV6);
	assert_int_equal(p.l4_kind, PACKET_L4_UDP);
	assert_int_equal(p.l4, 54);
	assert_int_equal(p.payload, 62);
	assert_false(p.extended || p.lengths_differ);
}

static void vlan_stacks(void **state)
{
	(void)state;
	for (unsigned tags = 0; tags <= 4; tags++) {
		frame_eth(&f);
		for (unsigned i = 0; i < tags; i++)
			frame_tag(&f, i ? 0x8100 : 0x88a8, (uint16_t)(0x2064 + i));
		frame_ipv4(&f, "10.0.0.1", "10.0.0.2", IPPROTO_UDP, 0);
		frame_udp(&f, 1, 2);
		frame_end(&f);
		parse();
		assert_int_equal(p.tags, VIO_MIN(tags, 2));
		assert_int_equal(p.vlan, tags ? 0x2064 : 0);
		assert_false(p.tag_cut);
		assert_int_equal(p.l4_kind, tags <= 2 ? PACKET_L4_UDP : PACKET_L4_OTHER);
		assert_int_equal(p.ether_type, tags <= 2 ? 0x0800 : 0x8100);
	}
}

/* A frame that ends within a tag, and a head that does although the frame goes on. */
static void tags_cut_short(void **state)
{
	(void)state;
	frame_eth(&f);
	frame_tag(&f, 0x8100, 100);
	frame_tag(&f, 0x8100, 200);
	frame_type(&f, 0x0800);
	for (unsigned len = 14; len <= f.len; len++) {
		assert_true(vio__packet_parse(&p, f.b, len, len));
		assert_int_equal(p.tag_cut, len < 22);
		assert_int_equal(p.tags, len < 18 ? 0 : len < 22 ? 1 : 2);
	}
	assert_true(vio__packet_parse(&p, f.b, 17, 60));
	assert_false(p.tag_cut || p.tags);
}

static void no_ethernet_header(void **state)
{
	(void)state;
	frame_eth(&f);
	frame_type(&f, 0x0800);
	for (unsigned len = 0; len < 14; len++)
		assert_false(vio__packet_parse(&p, f.b, len, len));
	assert_false(vio__packet_parse(&p, f.b, 13, 14));
	assert_true(vio__packet_parse(&p, f.b, 14, 14));
	assert_int_equal(p.l3_kind, PACKET_L3_OTHER);
}

/* Cut at each byte, in a buffer of just that size: a sanitizer would see one byte too many. */
static void truncated_anywhere(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 12);
	frame_tcp(&f, 1, 2, 0x10, 8);
	frame_end(&f);
	for (unsigned len = 14; len < f.len; len++) {
		void *copy = malloc(len);

		memcpy(copy, f.b, len);
		assert_true(vio__packet_parse(&p, copy, len, len));
		assert_int_equal(p.l3_kind, len < f.l4 ? PACKET_L3_OTHER : PACKET_L3_IPV4);
		assert_int_equal(p.l4_kind, PACKET_L4_OTHER);
		assert_int_equal(p.payload, 0);
		vio__packet_hash(&p, copy);
		free(copy);
	}
}

static void header_lengths_that_lie(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 0);
	frame_tcp(&f, 1, 2, 0x10, 0);
	frame_end(&f);
	for (unsigned ihl = 0; ihl < 16; ihl++) {
		f.b[14] = (uint8_t)(0x40 + ihl);
		parse();
		assert_int_equal(p.l3_kind, ihl >= 5 && ihl <= 10 ? PACKET_L3_IPV4 : PACKET_L3_OTHER);
	}
	f.b[14] = 0x65; /* another version than the type says */
	parse();
	assert_int_equal(p.l3_kind, PACKET_L3_OTHER);
	f.b[14] = 0x45;
	for (unsigned words = 0; words < 16; words++) {
		f.b[34 + 12] = (uint8_t)(words << 4);
		parse();
		assert_int_equal(p.l4_kind, words == 5 ? PACKET_L4_TCP : PACKET_L4_OTHER);
	}
}

static void versions_that_lie(void **state)
{
	(void)state;
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_UDP);
	frame_udp(&f, 1, 2);
	frame_end(&f);
	for (unsigned version = 0; version < 16; version++) {
		f.b[14] = (uint8_t)(version << 4);
		parse();
		assert_int_equal(p.l3_kind, version == 6 ? PACKET_L3_IPV6 : PACKET_L3_OTHER);
	}
}

/* Who has more bytes at hand than the frame has: those are not the frame's. */
static void bytes_behind_the_frame(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_TCP, 0);
	frame_tcp(&f, 1, 2, 0x10, 0);
	frame_end(&f);
	for (unsigned len = 14; len <= f.len; len++) {
		assert_true(vio__packet_parse(&p, f.b, f.len, len));
		assert_int_equal(p.l3_kind, len < 34 ? PACKET_L3_OTHER : PACKET_L3_IPV4);
		assert_int_equal(p.l4_kind, len < f.len ? PACKET_L4_OTHER : PACKET_L4_TCP);
	}
	assert_false(vio__packet_parse(&p, f.b, f.len, 13));
}

/* The IP length: padding behind it is sound; beyond the frame, or within the headers, is not. */
static void ip_lengths_that_differ(void **state)
{
	(void)state;
	make_ipv4(IPPROTO_UDP, 0);
	frame_udp(&f, 1, 2);
	frame_payload(&f, 8);
	for (unsigned len = 0; len < 100; len++) {
		packet_put16(f.b + 16, (uint16_t)len);
		parse();
		assert_int_equal(p.lengths_differ, len < 28 || len > 36);
	}
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_UDP);
	frame_udp(&f, 1, 2);
	frame_payload(&f, 8);
	packet_put16(f.b + 18, 0xffff);
	parse();
	assert_true(p.lengths_differ);
	packet_put16(f.b + 18, 7);
	parse();
	assert_true(p.lengths_differ);
	packet_put16(f.b + 18, 16);
	parse();
	assert_false(p.lengths_differ);
}

/* Even the first fragment's ports are not to be had: the others could not agree with it. */
static void fragments(void **state)
{
	static const uint16_t fields[] = { 0x2000, 0x2001, 0x0001, 0x1fff };

	(void)state;
	make_ipv4(IPPROTO_UDP, 0);
	frame_udp(&f, 1, 2);
	frame_end(&f);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(fields); i++) {
		packet_put16(f.b + 20, fields[i]);
		parse();
		assert_true(p.fragment);
		assert_true(!p.l4 && !p.l4_kind && !p.payload);
	}
	packet_put16(f.b + 20, 0x4000); /* may not be fragmented, and is not */
	parse();
	assert_false(p.fragment);
	assert_int_equal(p.l4_kind, PACKET_L4_UDP);
}

static uint8_t *extension(uint8_t next, unsigned units)
{
	uint8_t *x = frame_add(&f, NULL, 8 + units * 8);

	x[0] = next;
	x[1] = (uint8_t)units;
	f.l4 = f.len;
	return x;
}

static void ipv6_fragments(void **state)
{
	static const struct {
		uint16_t field;
		bool fragment;
	} kinds[] = { { 0, false }, { 0x0006, false }, { 1, true }, { 8, true }, { 0xfff8, true } };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(kinds); i++) {
		frame_eth(&f);
		frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_FRAGMENT);
		packet_put16(extension(IPPROTO_UDP, 0) + 2, kinds[i].field);
		frame_udp(&f, 1, 2);
		frame_end(&f);
		parse();
		assert_int_equal(p.fragment, kinds[i].fragment);
		assert_int_equal(p.l4_kind, kinds[i].fragment ? PACKET_L4_OTHER : PACKET_L4_UDP);
		assert_true(p.extended);
	}
}

static void ipv6_extensions(void **state)
{
	uint8_t *x;

	(void)state;
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_HOPOPTS);
	extension(IPPROTO_ROUTING, 1);
	x = extension(IPPROTO_DSTOPTS, 2);
	x[2] = 2;
	x[3] = 1;
	x = extension(IPPROTO_TCP, 2);
	x[6] = 201; /* behind four Pad1 */
	x[7] = 16;
	frame_tcp(&f, 1, 2, 0x10, 0);
	frame_end(&f);
	parse();
	assert_int_equal(p.l4_kind, PACKET_L4_TCP);
	assert_int_equal(p.l4, f.l4);
	assert_int_equal(p.route, 54 + 16 + 8);
	assert_int_equal(p.home, 54 + 16 + 24 + 8);
	assert_false(p.routed);
	f.b[54 + 16 + 3] = 2; /* more segments ahead than it has */
	parse();
	assert_true(p.routed && !p.route);
	f.b[54 + 16 + 3] = 0; /* none ahead: the header has the last address */
	parse();
	assert_false(p.routed || p.route);
}

/* Extensions longer than the frame, endless ones, an option that runs over its header's end. */
static void ipv6_extensions_that_lie(void **state)
{
	uint8_t *x;

	(void)state;
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_HOPOPTS);
	x = extension(IPPROTO_UDP, 0);
	frame_udp(&f, 1, 2);
	frame_end(&f);
	for (unsigned units = 0; units < 256; units++) {
		x[1] = (uint8_t)units;
		parse();
		assert_int_equal(p.l4_kind, units ? PACKET_L4_OTHER : PACKET_L4_UDP);
	}
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_HOPOPTS);
	for (unsigned i = 0; i < 20; i++)
		extension(IPPROTO_HOPOPTS, 0);
	frame_end(&f);
	parse();
	assert_int_equal(p.l4, 0);
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_DSTOPTS);
	x = extension(IPPROTO_UDP, 0);
	x[2] = 201;
	x[3] = 16;
	frame_udp(&f, 1, 2);
	frame_end(&f);
	parse();
	assert_int_equal(p.home, 0);
	assert_int_equal(p.l4_kind, PACKET_L4_UDP);
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_DSTOPTS);
	x = extension(IPPROTO_UDP, 2);
	x[2] = 201;
	frame_udp(&f, 1, 2);
	frame_end(&f);
	for (unsigned len = 0; len < 32; len++) { /* of an address's option */
		x[3] = (uint8_t)len;
		parse();
		assert_int_equal(p.home, len == 16 ? 54 + 4 : 0);
	}
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", IPPROTO_ROUTING);
	x = extension(IPPROTO_UDP, 4); /* of type 2, which has one address, and another behind it */
	x[2] = 2;
	x[3] = 1;
	frame_udp(&f, 1, 2);
	frame_end(&f);
	parse();
	assert_true(p.routed && !p.route);
}

/* One direction of a flow has one hash, whatever its packets hold beside their addresses and ports. */
static void hash_is_the_flows(void **state)
{
	uint32_t first, other;

	(void)state;
	make_ipv4(IPPROTO_TCP, 0);
	frame_tcp(&f, 1, 2, 0x10, 0);
	parse();
	first = vio__packet_hash(&p, f.b);
	make_ipv4(IPPROTO_TCP, 8);
	frame_tcp(&f, 1, 2, 0x19, 12);
	frame_payload(&f, 99);
	parse();
	assert_int_equal(vio__packet_hash(&p, f.b), first);
	packet_put16(f.b + f.l4, 3);
	other = vio__packet_hash(&p, f.b);
	assert_int_not_equal(other, first);
	packet_put16(f.b + f.l4, 1);
	f.b[f.l3 + 15] ^= 1;
	assert_int_not_equal(vio__packet_hash(&p, f.b), first);
}

/* What is inside of a tunnel is its payload: an inner header, whole, truncated or of any nesting, decides nothing. */
static void tunnels_are_opaque(void **state)
{
	static const uint8_t tunnels[] = { 4 /* IPv4 */, 41 /* IPv6 */, 47 /* GRE */, 50 /* ESP */, 115 /* L2TP */ };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(tunnels); i++) {
		make_ipv4(tunnels[i], 0);
		for (unsigned nested = 0; nested < 40; nested++) {
			parse();
			assert_int_equal(p.l3, 14);
			assert_int_equal(p.l4, 34);
			assert_int_equal(p.l4_kind, PACKET_L4_OTHER);
			assert_int_equal(p.payload, 0);
			frame_add(&f, f.b + 14, 20);
		}
	}
	frame_eth(&f);
	frame_ipv6(&f, "fd00::1", "fd00::2", 41);
	frame_add(&f, f.b + 14, 40);
	parse();
	assert_int_equal(p.l4_kind, PACKET_L4_OTHER);
	make_ipv4(IPPROTO_UDP, 0);
	frame_udp(&f, 1, 4789); /* VXLAN */
	frame_payload(&f, 8);
	frame_add(&f, f.b, 42);
	frame_end(&f);
	parse();
	assert_int_equal(p.l3, 14);
	assert_int_equal(p.payload, 42);
	assert_false(p.lengths_differ);
}

/* All of a datagram's fragments have one hash, overlapping ones too: nobody puts them together here. */
static void fragments_hash_alike(void **state)
{
	static const uint16_t fields[] = { 0x2000, 0x2001, 0x2002, 0x0001, 0x1fff, 0x3fff };
	uint32_t first = 0;

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(fields); i++) {
		make_ipv4(IPPROTO_UDP, 0);
		frame_udp(&f, (uint16_t)i, (uint16_t)~i); /* where the first has its ports the others have data */
		frame_end(&f);
		packet_put16(f.b + 20, fields[i]);
		parse();
		assert_true(p.fragment);
		first = i ? first : vio__packet_hash(&p, f.b);
		assert_int_equal(vio__packet_hash(&p, f.b), first);
	}
}

/* Consecutive ports fall about evenly on 16 queues by the low bits. */
static void hash_spreads(void **state)
{
	unsigned queue[16] = { 0 };

	(void)state;
	make_ipv4(IPPROTO_UDP, 0);
	frame_udp(&f, 0, 53);
	parse();
	for (unsigned port = 1024; port < 1024 + 1600; port++) {
		packet_put16(f.b + f.l4, (uint16_t)port);
		queue[vio__packet_hash(&p, f.b) & 15]++;
	}
	for (unsigned i = 0; i < 16; i++)
		assert_in_range(queue[i], 50, 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_over_ipv4),
		cmocka_unit_test(udp_over_ipv6),
		cmocka_unit_test(vlan_stacks),
		cmocka_unit_test(tags_cut_short),
		cmocka_unit_test(no_ethernet_header),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(header_lengths_that_lie),
		cmocka_unit_test(versions_that_lie),
		cmocka_unit_test(bytes_behind_the_frame),
		cmocka_unit_test(ip_lengths_that_differ),
		cmocka_unit_test(fragments),
		cmocka_unit_test(ipv6_fragments),
		cmocka_unit_test(ipv6_extensions),
		cmocka_unit_test(ipv6_extensions_that_lie),
		cmocka_unit_test(hash_is_the_flows),
		cmocka_unit_test(tunnels_are_opaque),
		cmocka_unit_test(fragments_hash_alike),
		cmocka_unit_test(hash_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
