/* SPDX-License-Identifier: MIT */
/* Receive-side scaling: the Toeplitz hash, and which fields it takes (virtio 1.3, 5.1.6.4.3). */
#include "packet/packet.h"

#include "base/barrier.h"

#include <linux/virtio_net.h>

struct rss_kind {
	uint32_t type;
	uint16_t report;
	bool ports, extended; /* extended: with the addresses that extension headers name */
};

/* For one kind of packet, the first whose type is asked for decides. */
static const struct rss_kind *rss_kinds(const struct packet *p, unsigned *n)
{
	static const struct rss_kind ipv4[] = {
		{ VIRTIO_NET_RSS_HASH_TYPE_TCPv4, VIRTIO_NET_HASH_REPORT_TCPv4, true, false },
		{ VIRTIO_NET_RSS_HASH_TYPE_UDPv4, VIRTIO_NET_HASH_REPORT_UDPv4, true, false },
		{ VIRTIO_NET_RSS_HASH_TYPE_IPv4, VIRTIO_NET_HASH_REPORT_IPv4, false, false },
	};
	static const struct rss_kind ipv6[] = {
		{ VIRTIO_NET_RSS_HASH_TYPE_TCP_EX, VIRTIO_NET_HASH_REPORT_TCPv6_EX, true, true },
		{ VIRTIO_NET_RSS_HASH_TYPE_UDP_EX, VIRTIO_NET_HASH_REPORT_UDPv6_EX, true, true },
		{ VIRTIO_NET_RSS_HASH_TYPE_IP_EX, VIRTIO_NET_HASH_REPORT_IPv6_EX, false, true },
		{ VIRTIO_NET_RSS_HASH_TYPE_TCPv6, VIRTIO_NET_HASH_REPORT_TCPv6, true, false },
		{ VIRTIO_NET_RSS_HASH_TYPE_UDPv6, VIRTIO_NET_HASH_REPORT_UDPv6, true, false },
		{ VIRTIO_NET_RSS_HASH_TYPE_IPv6, VIRTIO_NET_HASH_REPORT_IPv6, false, false },
	};

	*n = p->l3_kind == PACKET_L3_IPV6 ? VIO_ARRAY_SIZE(ipv6) : VIO_ARRAY_SIZE(ipv4);
	return p->l3_kind == PACKET_L3_IPV6 ? ipv6 : ipv4;
}

#define RSS_TCP                                                                                              \
	(VIRTIO_NET_RSS_HASH_TYPE_TCPv4 | VIRTIO_NET_RSS_HASH_TYPE_TCPv6 | VIRTIO_NET_RSS_HASH_TYPE_TCP_EX)
#define RSS_UDP                                                                                              \
	(VIRTIO_NET_RSS_HASH_TYPE_UDPv4 | VIRTIO_NET_RSS_HASH_TYPE_UDPv6 | VIRTIO_NET_RSS_HASH_TYPE_UDP_EX)
#define RSS_EX                                                                                               \
	(VIRTIO_NET_RSS_HASH_TYPE_TCP_EX | VIRTIO_NET_RSS_HASH_TYPE_UDP_EX | VIRTIO_NET_RSS_HASH_TYPE_IP_EX)

/* The types that this packet could have at all. */
static uint32_t rss_possible(const struct packet *p)
{
	uint32_t not = 0;

	if (p->l4_kind != PACKET_L4_TCP)
		not |= RSS_TCP;
	if (p->l4_kind != PACKET_L4_UDP)
		not |= RSS_UDP;
	if (!p->extended)
		not |= RSS_EX;
	return ~not ;
}

static unsigned rss_addresses(const struct packet *p, const uint8_t *head, bool extended, uint8_t *in)
{
	const uint8_t *ip = head + p->l3;

	if (p->l3_kind == PACKET_L3_IPV4) {
		memcpy(in, ip + 12, 8);
		return 8;
	}
	memcpy(in, extended && p->home ? head + p->home : ip + 8, 16);
	memcpy(in + 16, extended && p->route ? head + p->route : ip + 24, 16);
	return 32;
}

/* The 32 bits of the key that begin at `bit`. */
static uint32_t rss_window(const uint8_t *key, unsigned len, unsigned bit)
{
	uint64_t window = 0;

	for (unsigned i = bit / 8; i < bit / 8 + 5; i++)
		window = window << 8 | (i < len ? key[i] : 0);
	return (uint32_t)(window >> (8 - bit % 8));
}

/* Each set bit of the input adds the window that begins there. One store a word, as steer.h needs it. */
void vio__packet_rss_key(struct packet_rss_key *k, const uint8_t *key, unsigned len)
{
	for (unsigned i = 0; i < 2 * PACKET_RSS_INPUT; i++) {
		uint32_t adds[16] = { 0 };

		for (unsigned bit = 0; bit < 4; bit++)
			adds[8 >> bit] = rss_window(key, len, 4 * i + bit);
		for (unsigned value = 1; value < 16; value++) {
			adds[value] = adds[value & (value - 1)] ^ adds[value & -value];
			VIO_STORE_RELEASE(&k->adds[i][value], adds[value]);
		}
		VIO_STORE_RELEASE(&k->adds[i][0], 0);
	}
}

static uint32_t rss_toeplitz(const uint8_t *in, unsigned len, const struct packet_rss_key *k)
{
	uint32_t hash = 0;

	for (unsigned i = 0; i < len; i++)
		hash ^= VIO_LOAD_ACQUIRE(&k->adds[2 * i][in[i] >> 4]) ^
			VIO_LOAD_ACQUIRE(&k->adds[2 * i + 1][in[i] & 15]);
	return hash;
}

uint32_t vio__packet_rss(const struct packet *p, const void *head, uint32_t types,
			 const struct packet_rss_key *key, uint16_t *report)
{
	const struct rss_kind *k;
	uint8_t in[PACKET_RSS_INPUT];
	unsigned n, len;

	*report = VIRTIO_NET_HASH_REPORT_NONE;
	if (p->l3_kind == PACKET_L3_OTHER)
		return 0;
	types &= rss_possible(p);
	for (k = rss_kinds(p, &n); n && !(types & k->type); n--)
		k++;
	if (!n)
		return 0;
	*report = k->report;
	len = rss_addresses(p, head, k->extended, in);
	if (k->ports) {
		memcpy(in + len, (const uint8_t *)head + p->l4, 4);
		len += 4;
	}
	return rss_toeplitz(in, len, key);
}
