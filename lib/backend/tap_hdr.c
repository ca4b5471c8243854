/* SPDX-License-Identifier: MIT */
/* The virtio_net_hdr that the kernel puts before each frame and expects there, little-endian (TUNSETVNETLE).
 */
#include "backend/tap.h"

#include <endian.h>
#include <linux/if_ether.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* younger than Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

unsigned tap_hdr_size(const struct tap_store *s)
{
	return s->vnet ? sizeof(struct virtio_net_hdr_mrg_rxbuf) : 0;
}

uint8_t tap_hdr_offloads(const struct tap_store *s)
{
	uint8_t tcp =
		VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4 | VIO_PACKET_TSO6 | VIO_PACKET_ECN;

	if (!s->vnet)
		return 0;
	return s->uso ? tcp | VIO_PACKET_USO4 | VIO_PACKET_USO6 : tcp;
}

static uint8_t hdr_gso_type(uint8_t flags)
{
	uint8_t ecn = flags & VIO_PACKET_ECN ? VIRTIO_NET_HDR_GSO_ECN : 0;

	if (flags & VIO_PACKET_TSO4)
		return VIRTIO_NET_HDR_GSO_TCPV4 | ecn;
	if (flags & VIO_PACKET_TSO6)
		return VIRTIO_NET_HDR_GSO_TCPV6 | ecn;
	return flags & (VIO_PACKET_USO4 | VIO_PACKET_USO6) ? VIRTIO_NET_HDR_GSO_UDP_L4
							   : VIRTIO_NET_HDR_GSO_NONE;
}

void tap_hdr_make(struct virtio_net_hdr_mrg_rxbuf *h, const struct vio_req *r)
{
	const struct vio_offload *o = &r->offload;

	memset(h, 0, sizeof(*h));
	if (r->flags & VIO_PACKET_CSUM) {
		h->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->hdr.csum_start = htole16(o->csum_start);
		h->hdr.csum_offset = htole16(o->csum_offset);
	}
	if (!(r->flags & VIO_PACKET_GSO))
		return;
	h->hdr.gso_type = hdr_gso_type(r->flags);
	h->hdr.gso_size = htole16(o->gso_size);
	/* A hint, but the kernel refuses one that can't be true. */
	if (o->hdr_len >= RECV_FRAME_MIN && o->hdr_len <= r->len)
		h->hdr.hdr_len = htole16(o->hdr_len);
}

static uint16_t hdr_ether_type(const struct iovec *frame, unsigned niov, size_t at)
{
	uint8_t type[2] = { 0 };
	unsigned have = 0;

	for (unsigned i = 0; i < niov && have < 2; at -= VIO_MIN(at, frame[i].iov_len), i++)
		for (size_t k = at; k < frame[i].iov_len && have < 2; k++)
			type[have++] = ((const uint8_t *)frame[i].iov_base)[k];
	return (uint16_t)(type[0] << 8 | type[1]);
}

/* UDP's type does not tell which IP it is; the frame does, behind up to two VLAN tags. */
static uint8_t hdr_udp(const struct iovec *frame, unsigned niov)
{
	uint16_t type = hdr_ether_type(frame, niov, 12);

	for (size_t at = 16; (type == ETH_P_8021Q || type == ETH_P_8021AD) && at <= 20; at += 4)
		type = hdr_ether_type(frame, niov, at);
	return type == ETH_P_IPV6 ? VIO_PACKET_USO6 : VIO_PACKET_USO4;
}

/* 0: a type that nobody asked for. */
static uint8_t hdr_gso_flags(uint8_t type, const struct iovec *frame, unsigned niov)
{
	uint8_t ecn = type & VIRTIO_NET_HDR_GSO_ECN ? VIO_PACKET_ECN : 0;

	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return VIO_PACKET_TSO4 | ecn;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return VIO_PACKET_TSO6 | ecn;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return hdr_udp(frame, niov);
	default:
		return 0;
	}
}

static bool hdr_csum_fits(const struct vio_offload *o, size_t len)
{
	return o->csum_start >= RECV_FRAME_MIN && (size_t)o->csum_start + o->csum_offset + 2 <= len;
}

bool tap_hdr_read(const struct virtio_net_hdr_mrg_rxbuf *mrg, const struct iovec *frame, unsigned niov,
		  size_t len, uint8_t *flags, struct vio_offload *o)
{
	const struct virtio_net_hdr *h = &mrg->hdr;

	*flags = 0;
	*o = (struct vio_offload){ 0 };
	if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		*flags = VIO_PACKET_CSUM_OK;
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		*flags = VIO_PACKET_CSUM;
		o->csum_start = le16toh(h->csum_start);
		o->csum_offset = le16toh(h->csum_offset);
		if (!hdr_csum_fits(o, len))
			return false;
	}
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	*flags |= hdr_gso_flags(h->gso_type, frame, niov);
	o->gso_size = le16toh(h->gso_size);
	o->hdr_len = (uint16_t)VIO_MIN(le16toh(h->hdr_len), len);
	return *flags & VIO_PACKET_GSO && *flags & VIO_PACKET_CSUM && o->gso_size;
}
