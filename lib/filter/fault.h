/* SPDX-License-Identifier: MIT */
/* For tests that arm a fault while requests are under way. */
#ifndef VIO_FILTER_FAULT_H
#define VIO_FILTER_FAULT_H

#include <virtio-offload/backend.h>

/* The nth matching operation from now on is the next to be hit; 0: none is. Any thread. b is a fault layer.
 */
void vio__fault_arm(struct vio_backend *b, uint64_t nth);

#endif
