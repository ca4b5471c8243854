/* SPDX-License-Identifier: MIT */
/*
 * The loop transport: the guest is in this process. A VMM maps its PCI or MMIO
 * exits onto these calls; tests and fuzzers play the guest.
 *
 * The calls mirror virtio's common configuration structure (virtio 1.3, 4.1.4.3)
 * and belong to the thread of the poller given to new.
 */
#ifndef VIRTIO_OFFLOAD_LOOP_H
#define VIRTIO_OFFLOAD_LOOP_H

#include <virtio-offload/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_loop;

struct vio_loop_opts {
	size_t sz;
	struct vio_mem *mem;	/* guest memory, required; a reference is kept */
	/* The guest is to be interrupted: queue index, or VIO_LOOP_CONFIG for a config change. */
	void (*interrupt)(void *ctx, unsigned index);
	void *ctx;
};
#define VIO_LOOP_CONFIG 0xffffu

VIO_API int vio_loop_new(struct vio_loop **t, struct vio_poller *p, struct vio_dev *d,
			 const struct vio_loop_opts *opts);
/* After a reset has completed (status reads 0). */
VIO_API void vio_loop_free(struct vio_loop *t);

/*
 * device_status (virtio 1.3, 2.1). Writing 0 begins a reset: queues drain while
 * the poller runs, then status reads 0. FEATURES_OK stays clear when the features
 * are refused. DEVICE_NEEDS_RESET appears when a queue broke.
 */
VIO_API uint8_t vio_loop_status(const struct vio_loop *t);
VIO_API void vio_loop_set_status(struct vio_loop *t, uint8_t status);
/* Accepted between DRIVER and FEATURES_OK; -EBUSY otherwise. Checked at FEATURES_OK. */
VIO_API int vio_loop_set_features(struct vio_loop *t, uint64_t features);

/*
 * Sets queue `index` up and enables it; it runs from DRIVER_OK on. -EINVAL for an
 * index, size or address that can't be, -EBUSY for a queue that is enabled.
 */
VIO_API int vio_loop_set_queue(struct vio_loop *t, unsigned index, uint32_t size, uint64_t desc,
			       uint64_t driver, uint64_t device);
/* queue_reset (VIRTIO_F_RING_RESET): stops and disables it; -EINVAL without the feature. */
VIO_API int vio_loop_reset_queue(struct vio_loop *t, unsigned index);
/* True until the reset of that queue has completed. */
VIO_API bool vio_loop_queue_enabled(const struct vio_loop *t, unsigned index);

/* The doorbell. data as the driver wrote it: the index, or more with VIRTIO_F_NOTIFICATION_DATA. */
VIO_API void vio_loop_kick(struct vio_loop *t, uint32_t data);

/* The next memory snapshot: queues are drained, changed over and go on while the poller runs. */
VIO_API int vio_loop_set_mem(struct vio_loop *t, struct vio_mem *mem);

#ifdef __cplusplus
}
#endif
#endif
