/* SPDX-License-Identifier: MIT */
/* What kind of segmentation a header asks for; see gso.h. */
#include "packet/gso.h"

#include "packet/packet.h"

#include <linux/if_ether.h>

#define GSO_TAGS 2u /* VLAN tags that are looked behind */

static uint8_t gso_udp(const struct iovec *frame, unsigned niov)
{
	uint8_t head[ETH_HLEN + 4 * GSO_TAGS];
	size_t have = vio__packet_copy(head, frame, niov, 0, sizeof(head));

	for (unsigned at = 2 * ETH_ALEN; at + 2 <= have; at += 4) {
		unsigned type = packet_get16(head + at);

		if (type == ETH_P_IP)
			return VIO_PACKET_USO4;
		if (type == ETH_P_IPV6)
			return VIO_PACKET_USO6;
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			return 0;
	}
	return 0;
}

uint8_t vio__packet_gso_flags(uint8_t type, const struct iovec *frame, unsigned niov)
{
	uint8_t ecn = type & VIRTIO_NET_HDR_GSO_ECN ? VIO_PACKET_ECN : 0;

	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return VIO_PACKET_TSO4 | ecn;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return VIO_PACKET_TSO6 | ecn;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return ecn ? 0 : gso_udp(frame, niov);
	default:
		return 0;
	}
}
