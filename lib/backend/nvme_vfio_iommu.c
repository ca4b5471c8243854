/* SPDX-License-Identifier: MIT */
/* VFIO's container: which group the function is in, what its IOMMU maps, and mapping. */
#define _GNU_SOURCE /* readlink */
#include "backend/nvme_vfio_device.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define IOMMU_MAPS 65535u /* dma_entry_limit, where the kernel doesn't say */

/* The last word of what a link of the device's in sysfs says. */
static int iommu_link(const struct device *v, const char *link, char *to, size_t size)
{
	char path[96], target[512];
	const char *last;
	size_t len;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", v->name, link);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	len = VIO_MIN(strlen(last), size - 1);
	memcpy(to, last, len);
	to[len] = 0;
	return 0;
}

static int iommu_check_driver(const struct device *v)
{
	char path[96], driver[64] = "none";

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", v->name);
	if (access(path, F_OK))
		return vio__fail(ENODEV, "nvme-vfio: there is no PCI function %s", v->name);
	iommu_link(v, "driver", driver, sizeof(driver));
	if (strcmp(driver, "vfio-pci"))
		return vio__fail(ENODEV, "nvme-vfio: %s: its driver is %s, expected vfio-pci", v->name,
				 driver);
	return 0;
}

static int iommu_open_container(struct device *v)
{
	v->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (v->container < 0)
		return vio__fail(
			errno, "nvme-vfio: %s: /dev/vfio/vfio: %s%s", v->name, strerror(errno),
			access("/dev/vfio/devices", F_OK)
				? ""
				: " (the kernel has devices of iommufd only, which are not supported)");
	if (ioctl(v->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(v->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
		return vio__fail(ENOTSUP, "nvme-vfio: %s: VFIO has no type 1 IOMMU here", v->name);
	return 0;
}

static int iommu_open_group(struct device *v)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[96], group[32];

	if (iommu_link(v, "iommu_group", group, sizeof(group)))
		return vio__fail(ENOTSUP,
				 "nvme-vfio: %s: no IOMMU group: the machine has no IOMMU, or it is off",
				 v->name);
	snprintf(path, sizeof(path), "/dev/vfio/%s", group);
	v->group = open(path, O_RDWR | O_CLOEXEC);
	if (v->group < 0 && errno == EBUSY)
		return vio__fail(
			EBUSY,
			"nvme-vfio: %s: somebody has its group (%s) open already: one backend drives a "
			"controller, and one process all of a group",
			v->name, path);
	if (v->group < 0)
		return vio__fail(errno, "nvme-vfio: %s: %s: %s%s", v->name, path, strerror(errno),
				 errno == ENOENT ? " (a group without an IOMMU is not used)" : "");
	if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &status) || !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return vio__fail(
			EBUSY,
			"nvme-vfio: %s: other functions of its group (%s) have drivers of the kernel's, "
			"expected vfio-pci or none",
			v->name, path);
	if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) ||
	    ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return vio__fail(errno, "nvme-vfio: %s: %s gets no IOMMU: %s", v->name, path,
				 strerror(errno));
	return 0;
}

static void iommu_add_range(struct function *f, uint64_t from, uint64_t last)
{
	if (f->nranges < FUNCTION_RANGES && last > from)
		f->range[f->nranges++] = (struct function_range){ from, last };
}

/* A capability at `at`; false: it does not lie within the answer. */
static bool iommu_capability(struct function *f, const char *info, uint32_t size, uint32_t at)
{
	struct vfio_info_cap_header h;

	if (at > size || size - at < sizeof(h))
		return false;
	memcpy(&h, info + at, sizeof(h));
	if (h.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
		struct vfio_iommu_type1_info_cap_iova_range c;
		struct vfio_iova_range r;

		if (size - at < sizeof(c))
			return false;
		memcpy(&c, info + at, sizeof(c));
		at += (uint32_t)sizeof(c);
		for (uint32_t i = 0; i < c.nr_iovas && size - at >= sizeof(r);
		     i++, at += (uint32_t)sizeof(r)) {
			memcpy(&r, info + at, sizeof(r));
			iommu_add_range(f, r.start, r.end);
		}
	} else if (h.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
		struct vfio_iommu_type1_info_dma_avail c;

		if (size - at < sizeof(c))
			return false;
		memcpy(&c, info + at, sizeof(c));
		f->maps = c.avail;
	}
	return true;
}

static void iommu_capabilities(struct function *f, const char *info, uint32_t size, uint32_t at)
{
	struct vfio_info_cap_header h;

	for (unsigned i = 0; at && i < 64 && iommu_capability(f, info, size, at); i++) {
		memcpy(&h, info + at, sizeof(h));
		at = h.next;
	}
}

/* Where nothing is said of ranges: below the window where x86 has its message interrupts. */
static int iommu_limits(struct device *v)
{
	char info[4096] __attribute__((aligned(8))) = { 0 };
	struct vfio_iommu_type1_info *head = (struct vfio_iommu_type1_info *)info;
	struct function *f = &v->f;

	head->argsz = sizeof(info);
	if (ioctl(v->container, VFIO_IOMMU_GET_INFO, info))
		return vio__fail(errno, "nvme-vfio: %s: what its IOMMU maps can't be asked: %s", v->name,
				 strerror(errno));
	f->maps = IOMMU_MAPS;
	f->page = (uint64_t)sysconf(_SC_PAGESIZE);
	if (head->flags & VFIO_IOMMU_INFO_PGSIZES && head->iova_pgsizes)
		f->page = VIO_MAX(f->page, head->iova_pgsizes & -head->iova_pgsizes);
	if (head->flags & VFIO_IOMMU_INFO_CAPS && head->argsz <= sizeof(info))
		iommu_capabilities(f, info, VIO_MIN(head->argsz, (uint32_t)sizeof(info)), head->cap_offset);
	if (!f->nranges)
		iommu_add_range(f, 0, 0xfedfffff);
	return 0;
}

int vio__device_iommu_open(struct device *v)
{
	int rc = iommu_check_driver(v);

	rc = rc ? rc : iommu_open_container(v);
	rc = rc ? rc : iommu_open_group(v);
	rc = rc ? rc : iommu_limits(v);
	if (rc)
		return rc;
	v->fd = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, v->name);
	return v->fd < 0 ? vio__fail(errno, "nvme-vfio: %s: VFIO does not give it: %s", v->name,
				     strerror(errno))
			 : 0;
}

/* With the container go its mappings. */
void vio__device_iommu_close(struct device *v)
{
	if (v->group >= 0)
		close(v->group);
	if (v->container >= 0)
		close(v->container);
}

static int iommu_map_failed(const struct device *v, int err, uint64_t size)
{
	struct rlimit limit = { 0 };

	if (err == ENOSPC)
		return vio__fail(
			ENOSPC,
			"nvme-vfio: %s: the kernel maps no more regions (vfio_iommu_type1's dma_entry_limit)",
			v->name);
	if (err != ENOMEM)
		return vio__fail(err, "nvme-vfio: %s: %llu bytes can't be mapped for it: %s", v->name,
				 (unsigned long long)size, strerror(err));
	getrlimit(RLIMIT_MEMLOCK, &limit);
	return vio__fail(
		ENOMEM,
		"nvme-vfio: %s: %llu bytes can't be pinned for it; RLIMIT_MEMLOCK is %llu, expected as much "
		"as all memory that is shared with it, and 1.5M a queue",
		v->name, (unsigned long long)size, (unsigned long long)limit.rlim_cur);
}

int vio__device_map(struct function *f, void *ptr, uint64_t size, uint64_t iova)
{
	const struct device *v = VIO_CONTAINER(f, struct device, f);
	struct vfio_iommu_type1_dma_map m = { .argsz = sizeof(m),
					      .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
					      .vaddr = (uintptr_t)ptr,
					      .iova = iova,
					      .size = size };

	return ioctl(v->container, VFIO_IOMMU_MAP_DMA, &m) ? iommu_map_failed(v, errno, size) : 0;
}

void vio__device_unmap(struct function *f, uint64_t size, uint64_t iova)
{
	const struct device *v = VIO_CONTAINER(f, struct device, f);
	struct vfio_iommu_type1_dma_unmap m = { .argsz = sizeof(m), .iova = iova, .size = size };

	if (ioctl(v->container, VFIO_IOMMU_UNMAP_DMA, &m))
		return; /* it was mapped, so nothing can be wrong with it */
}
