/* SPDX-License-Identifier: MIT */
/* The virtio_net_hdr that the kernel puts before each frame and expects there. */
#include "backend/tap.h"

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
