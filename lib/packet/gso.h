/* SPDX-License-Identifier: MIT */
/* The kinds of segmentation: a virtio_net_hdr's gso_type (virtio 1.3, 5.1.6) and VIO_PACKET_*. */
#ifndef VIO_PACKET_GSO_H
#define VIO_PACKET_GSO_H

#include "base/base.h"

#include <linux/virtio_net.h>
#include <virtio-offload/req.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* younger than Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

VIO_INLINE uint8_t packet_gso_type(uint8_t flags)
{
	uint8_t ecn = flags & VIO_PACKET_ECN ? VIRTIO_NET_HDR_GSO_ECN : 0;

	if (flags & VIO_PACKET_TSO4)
		return VIRTIO_NET_HDR_GSO_TCPV4 | ecn;
	if (flags & VIO_PACKET_TSO6)
		return VIRTIO_NET_HDR_GSO_TCPV6 | ecn;
	return flags & (VIO_PACKET_USO4 | VIO_PACKET_USO6) ? VIRTIO_NET_HDR_GSO_UDP_L4
							   : VIRTIO_NET_HDR_GSO_NONE;
}

/* VIO_PACKET_* of a type that is not NONE; the frame tells which IP a UDP type means. 0: there is no such type. */
uint8_t vio__packet_gso_flags(uint8_t type, const struct iovec *frame, unsigned niov);

#endif
