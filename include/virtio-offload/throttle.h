/* SPDX-License-Identifier: MIT */
/*
 * Live limits: the throttle filter's groups. Every stack that says
 * "throttle:group=NAME" in one scope draws from the same limits.
 */
#ifndef VIRTIO_OFFLOAD_THROTTLE_H
#define VIRTIO_OFFLOAD_THROTTLE_H

#include <virtio-offload/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_throttle_limits {
	size_t sz;
	uint64_t iops;		/* requests a second; 0: unlimited */
	uint64_t bps;		/* bytes a second; 0: unlimited */
	uint64_t iops_burst;	/* requests that may come at once; 0: a tenth of a second's worth */
	uint64_t bps_burst;	/* bytes that may come at once; 0: a tenth of a second's worth */
};

/* Changes a group's limits from now on; -ENOENT if no stack of the scope uses it. Any thread. */
VIO_API int vio_throttle_set(struct vio_scope *s, const char *group,
			     const struct vio_throttle_limits *limits);
VIO_API int vio_throttle_get(struct vio_scope *s, const char *group,
			     struct vio_throttle_limits *limits);

#ifdef __cplusplus
}
#endif
#endif
