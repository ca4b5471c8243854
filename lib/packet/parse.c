/* SPDX-License-Identifier: MIT */
/* From a frame's first bytes to what it is. Every step checks what it is about to look at. */
#include "packet/packet.h"

#include <netinet/in.h>

#define PARSE_ETH 14u /* addresses and type */
#define PARSE_TAG 4u
#define PARSE_IPV4 20u
#define PARSE_IPV6 40u
#define PARSE_TCP 20u
#define PARSE_UDP 8u
#define PARSE_EXTENSIONS 8u /* IPv6 headers that are walked; nobody sends more */

#define PARSE_OPTION_PAD1 0
#define PARSE_OPTION_HOME 201
#define PARSE_FRAGMENT_OFFSET 0xfff8u /* IPv6; the bit of its own says that more come */
#define PARSE_FRAGMENT_MORE 0x0001u

struct parse {
	struct packet *p;
	const uint8_t *head;
	unsigned have, len;
};

/* bytes from `at` are in the head. */
static bool parse_has(const struct parse *s, unsigned at, unsigned bytes)
{
	return at <= s->have && bytes <= s->have - at;
}

static unsigned parse_tags(struct parse *s)
{
	unsigned at = PARSE_ETH - 2;
	uint16_t type = packet_get16(s->head + at);

	while (s->p->tags < 2 && (type == 0x8100 || type == 0x88a8)) {
		if (!parse_has(s, at + 2, PARSE_TAG)) {
			s->p->tag_cut = s->len < at + 2 + PARSE_TAG;
			break;
		}
		if (!s->p->tags++)
			s->p->vlan = packet_get16(s->head + at + 2);
		at += PARSE_TAG;
		type = packet_get16(s->head + at);
	}
	s->p->ether_type = type;
	return at + 2;
}

/* end: where the IP datagram says that it ends. */
static void parse_l4(struct parse *s, unsigned at, uint8_t protocol, unsigned end)
{
	unsigned bytes = 0;

	if (protocol == IPPROTO_UDP && parse_has(s, at, PARSE_UDP)) {
		bytes = PARSE_UDP;
		s->p->l4_kind = PACKET_L4_UDP;
	} else if (protocol == IPPROTO_TCP && parse_has(s, at, PARSE_TCP)) {
		bytes = (s->head[at + 12] >> 4) * 4u;
		if (bytes < PARSE_TCP || !parse_has(s, at, bytes))
			bytes = 0;
		else
			s->p->l4_kind = PACKET_L4_TCP;
	}
	s->p->l4 = (uint16_t)at;
	s->p->payload = (uint16_t)(bytes ? at + bytes : 0);
	s->p->lengths_differ = end > s->len || end < at + bytes;
}

static void parse_ipv4(struct parse *s, unsigned at)
{
	const uint8_t *h = s->head + at;
	unsigned bytes;

	if (!parse_has(s, at, PARSE_IPV4) || h[0] >> 4 != 4)
		return;
	bytes = (h[0] & 15) * 4u;
	if (bytes < PARSE_IPV4 || !parse_has(s, at, bytes))
		return;
	s->p->l3_kind = PACKET_L3_IPV4;
	s->p->fragment = packet_get16(h + 6) & 0x3fff; /* an offset, or more to come */
	if (!s->p->fragment)
		parse_l4(s, at + bytes, h[9], at + packet_get16(h + 2));
}

/* The Home Address option in a Destination Options header (RFC 6275, 6.3). */
static void parse_home(struct parse *s, unsigned at, unsigned end)
{
	for (at += 2; at + 2 <= end; at += s->head[at] == PARSE_OPTION_PAD1 ? 1 : 2u + s->head[at + 1])
		if (s->head[at] == PARSE_OPTION_HOME && s->head[at + 1] == 16 && at + 18 <= end)
			s->p->home = (uint16_t)(at + 2);
}

/* Only type 2 with its one segment ahead (RFC 6275, 6.4) says where the packet is bound; with none left, the
 * header does. */
static void parse_route(struct parse *s, unsigned at, unsigned bytes)
{
	if (!s->head[at + 3])
		return;
	if (s->head[at + 2] == 2 && s->head[at + 3] == 1 && bytes == 24)
		s->p->route = (uint16_t)(at + 8);
	else
		s->p->routed = true;
}

static bool parse_extends(uint8_t header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS ||
	       header == IPPROTO_FRAGMENT;
}

/* One extension header; returns where the next begins, 0 if it is not there to be read. */
static unsigned parse_extension(struct parse *s, unsigned at, uint8_t kind)
{
	unsigned bytes;
	uint16_t part;

	if (!parse_has(s, at, 8))
		return 0;
	bytes = kind == IPPROTO_FRAGMENT ? 8 : 8u + s->head[at + 1] * 8u;
	if (!parse_has(s, at, bytes))
		return 0;
	if (kind == IPPROTO_FRAGMENT) {
		part = packet_get16(s->head + at + 2);
		s->p->fragment = part & (PARSE_FRAGMENT_OFFSET | PARSE_FRAGMENT_MORE);
	} else if (kind == IPPROTO_DSTOPTS) {
		parse_home(s, at, at + bytes);
	} else if (kind == IPPROTO_ROUTING) {
		parse_route(s, at, bytes);
	}
	return at + bytes;
}

static void parse_ipv6(struct parse *s, unsigned at)
{
	const uint8_t *h = s->head + at;
	unsigned end = at + PARSE_IPV6, i;
	uint8_t next;

	if (!parse_has(s, at, PARSE_IPV6) || h[0] >> 4 != 6)
		return;
	s->p->l3_kind = PACKET_L3_IPV6;
	end += packet_get16(h + 4);
	next = h[6];
	at += PARSE_IPV6;
	for (i = 0; i < PARSE_EXTENSIONS && parse_extends(next); i++) {
		unsigned ahead = parse_extension(s, at, next);

		s->p->extended = true;
		if (!ahead || s->p->fragment)
			return;
		next = s->head[at];
		at = ahead;
	}
	if (i < PARSE_EXTENSIONS)
		parse_l4(s, at, next, end);
}

bool vio__packet_parse(struct packet *p, const void *head, unsigned have, unsigned len)
{
	struct parse s = { p, head, VIO_MIN(VIO_MIN(have, len), PACKET_HEAD_MAX), len };

	*p = (struct packet){ 0 };
	if (s.have < PARSE_ETH)
		return false;
	p->l3 = (uint16_t)parse_tags(&s);
	if (p->ether_type == 0x0800)
		parse_ipv4(&s, p->l3);
	else if (p->ether_type == 0x86dd)
		parse_ipv6(&s, p->l3);
	return true;
}
