/* SPDX-License-Identifier: MIT */
#include "packet/hdr.h"

#include "packet/gso.h"

#include <endian.h>
#include <linux/if_ether.h>

void vio__packet_hdr_make(struct virtio_net_hdr *h, const struct vio_req *r)
{
	const struct vio_offload *o = &r->offload;

	memset(h, 0, sizeof(*h));
	if (r->flags & VIO_PACKET_CSUM) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = htole16(o->csum_start);
		h->csum_offset = htole16(o->csum_offset);
	}
	if (!(r->flags & VIO_PACKET_GSO))
		return;
	h->gso_type = packet_gso_type(r->flags);
	h->gso_size = htole16(o->gso_size);
	/* A hint, but Linux refuses one that can't be true. */
	if (o->hdr_len >= ETH_HLEN && o->hdr_len <= r->len)
		h->hdr_len = htole16(o->hdr_len);
}

/* 0: a type that nobody asked for. */
static uint8_t hdr_gso_flags(uint8_t type, const struct iovec *frame, unsigned niov)
{
	uint8_t flags = vio__packet_gso_flags(type, frame, niov);

	/* The sender knows what it sends as UDP: what hides it from us is no reason to lose it. */
	if (!flags && (type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4)
		flags = VIO_PACKET_USO4;
	return flags;
}

static bool hdr_csum_fits(const struct vio_offload *o, size_t len)
{
	return o->csum_start >= ETH_HLEN && (size_t)o->csum_start + o->csum_offset + 2 <= len;
}

bool vio__packet_hdr_read(const struct virtio_net_hdr *h, const struct iovec *frame, unsigned niov,
			  size_t len, uint8_t *flags, struct vio_offload *o)
{
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
