/* SPDX-License-Identifier: MIT */
/* A function that VFIO gives us, from within. */
#ifndef VIO_BACKEND_NVME_VFIO_DEVICE_H
#define VIO_BACKEND_NVME_VFIO_DEVICE_H

#include "backend/nvme_vfio_function.h"

#include <linux/vfio.h>

struct device {
	struct function f;
	char *name; /* 0000:03:00.0 */
	int container, group, fd;
	uint64_t bar_at, config_at; /* in fd */
};

/* nvme_vfio_iommu.c: container, group and device; what may be mapped where. */
int vio__device_iommu_open(struct device *v);
void vio__device_iommu_close(struct device *v);
int vio__device_map(struct function *f, void *ptr, uint64_t size, uint64_t iova);
void vio__device_unmap(struct function *f, uint64_t size, uint64_t iova);

#endif
