/* SPDX-License-Identifier: MIT */
/* virtio-blk (virtio 1.3, 5.2) from within: blk.c is the device, blk_serve.c its requests. */
#ifndef VIO_DEVICE_BLK_H
#define VIO_DEVICE_BLK_H

#include "device/device.h"

#include <linux/virtio_blk.h>

/* Absent from older headers (virtio 1.3, 5.2.3 and 5.2.6). */
#ifndef VIRTIO_BLK_F_LIFETIME
#define VIRTIO_BLK_F_LIFETIME 15
#endif
#define BLK_T_GET_LIFETIME 10
#define BLK_ID_BYTES 20

#define BLK_SECTOR_SHIFT 9
#define BLK_MAX_DISCARD_SECTORS (1u << 22)	/* 2 GiB a request */
#define BLK_MAX_ZERO_SECTORS (1u << 18)		/* 128 MiB: the store may have to write them */

struct blk {
	uint64_t capacity;	/* sectors; refreshed from the backend by the control thread, read by all */
	uint32_t block_mask;	/* sectors a block - 1: what start and length must be multiples of */
	uint32_t ops;		/* as vio_backend_info.ops */
	bool read_only;
	bool writeback;		/* the driver's choice (CONFIG_WCE); off: every write is FUA */
	char serial[BLK_ID_BYTES];
	struct vio_backend_info info;
};

unsigned vio__blk_serve(struct vio_vq *q, struct vio_req **r, unsigned n);
void vio__blk_finish(struct vio_vq *q, struct vio_req **r, unsigned n);

/* What serve has to keep for finish. */
struct blk_scratch {
	uint8_t *status;	/* NULL: the guest left no room for one */
	uint32_t written;
	/* Vector entries that the header or the status shared with data: put back by finish. */
	uint16_t head_entry;
	bool head_cut, status_cut;
	uint32_t head_bytes;
};

#endif
