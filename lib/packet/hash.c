/* SPDX-License-Identifier: MIT */
/* A flow's hash for our own use. */
#include "packet/packet.h"

#define HASH_A 0x9e3779b97f4a7c15u /* odd, bits spread: the golden ratio's */
#define HASH_B 0xc2b2ae3d27d4eb4fu

VIO_INLINE uint64_t hash_word(uint64_t h, const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;
	unsigned __int128 m;

	memcpy(&v, p, bytes);
	m = (unsigned __int128)(h ^ v ^ HASH_B) * HASH_A;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint32_t vio__packet_hash(const struct packet *p, const void *head)
{
	const uint8_t *h = head, *l3 = h + p->l3;
	uint64_t s = p->l4_kind;

	switch (p->l3_kind) {
	case PACKET_L3_IPV4:
		s = hash_word(s, l3 + 12, 8);
		break;
	case PACKET_L3_IPV6:
		for (unsigned i = 8; i < 40; i += 8)
			s = hash_word(s, l3 + i, 8);
		break;
	default: /* the Ethernet addresses */
		s = hash_word(hash_word(p->ether_type, h, 8), h + 8, 4);
	}
	if (p->l4_kind)
		s = hash_word(s, h + p->l4, 4); /* both ports */
	return (uint32_t)(s ^ s >> 32);
}
