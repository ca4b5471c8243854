/* SPDX-License-Identifier: MIT */
/*
 * The virtio_net_hdr before a frame (virtio 1.3, 5.1.6), little-endian, and what a request says of it: for
 * ports whose other side speaks it.
 */
#ifndef VIO_PACKET_HDR_H
#define VIO_PACKET_HDR_H

#include "base/base.h"

#include <linux/virtio_net.h>
#include <virtio-offload/req.h>

void vio__packet_hdr_make(struct virtio_net_hdr *h, const struct vio_req *send);

/* Of a frame of len bytes that starts at frame[0], from the caller's own copy of the header; false: it does
 * not fit that frame. */
bool vio__packet_hdr_read(const struct virtio_net_hdr *h, const struct iovec *frame, unsigned niov,
			  size_t len, uint8_t *flags, struct vio_offload *o);

#endif
