/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC */
/* What the client is told of us and of the function. */
#include "transport/vfio_user.h"

#include <fcntl.h>
#include <stdio.h>

/*
 * The client's JSON says how much it takes at once: more descriptors than the one we ever
 * send, longer answers than those it asks for. None of that matters here, so none of it is
 * parsed, and there is no parser to be attacked.
 */
int vfs_version(struct vio_vfio_user *t, struct vfu_msg *m)
{
	struct vfu_version *v = &m->p.version;
	uint32_t json = vfu_payload_size(m) - (uint32_t)sizeof(*v);
	int len;

	if (v->major != VFU_MAJOR)
		return vio__fail(EPROTO, "the client speaks version %u.%u, expected %u.%u", v->major,
				 v->minor, VFU_MAJOR, VFU_MINOR);
	if (json && memchr(v->json, 0, json) != v->json + json - 1)
		return vio__fail(EPROTO, "VERSION has %u bytes of JSON that do not end with their only NUL",
				 json);
	v->minor = VFU_MINOR;
	len = snprintf(v->json, VFU_MAX_REQUEST - sizeof(*v),
		       "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,\"max_dma_maps\":%u,"
		       "\"pgsizes\":%u,\"write_multiple\":true",
		       VFU_MAX_FDS, VFU_MAX_DATA, VFS_MAX_MAPS, VFS_PAGE);
	if (t->pci->ops->save)
		len += snprintf(v->json + len, VFU_MAX_REQUEST - sizeof(*v) - (size_t)len,
				",\"migration\":{\"pgsize\":%u,\"max_bitmap_size\":%u}", VFS_PAGE,
				VFU_MAX_BITMAP);
	len += snprintf(v->json + len, VFU_MAX_REQUEST - sizeof(*v) - (size_t)len, "}}");
	vfs_reply(m, sizeof(*v) + (size_t)len + 1);
	t->agreed = true;
	return 0;
}

static int info_argsz(uint32_t argsz, size_t least, const char *what)
{
	if (argsz >= least)
		return 0;
	return vio__fail(EINVAL, "%s has argsz %u, expected at least %zu", what, argsz, least);
}

int vfs_device_info(struct vio_vfio_user *t, struct vfu_msg *m)
{
	int err = info_argsz(m->p.info.argsz, sizeof(m->p.info), "DEVICE_GET_INFO");

	(void)t;
	m->p.info = (struct vfu_device_info){ .argsz = sizeof(m->p.info),
					      .flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI,
					      .num_regions = VFIO_PCI_NUM_REGIONS,
					      .num_irqs = VFIO_PCI_NUM_IRQS };
	vfs_reply(m, sizeof(m->p.info));
	return err;
}

uint64_t vfs_region_size(const struct vio_vfio_user *t, uint32_t region)
{
	if (region < PCI_BARS)
		return t->pci->bar[region].size;
	return region == VFIO_PCI_CONFIG_REGION_INDEX ? PCI_CONFIG_SIZE : 0;
}

/* A vfio_region_info_cap_sparse_mmap with its one area. */
struct info_sparse {
	struct vfio_info_cap_header header;
	uint32_t nr_areas, reserved;
	struct vfio_region_sparse_mmap_area area;
};
_Static_assert(offsetof(struct info_sparse, area) == sizeof(struct vfio_region_info_cap_sparse_mmap),
	       "areas follow");

/* The range of a BAR that can be mapped, with a descriptor to map it by. */
static int info_map(const struct pci_bar *bar, struct vfu_msg *m, uint32_t argsz)
{
	struct vfio_region_info *r = &m->p.region;
	struct info_sparse s = { .header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
				 .nr_areas = 1,
				 .area = { bar->map_at, bar->map_size } };
	int fd = fcntl(bar->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return vio__fail(errno, "no descriptor for a region to be mapped: %s", strerror(errno));
	m->fds[m->nfds++] = fd;
	r->flags |= VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
	r->argsz = sizeof(*r) + sizeof(s);
	r->cap_offset = sizeof(*r); /* QEMU insists on it even where there was no room */
	if (argsz < r->argsz)
		return 0;
	memcpy(m->p.bytes + sizeof(*r), &s, sizeof(s));
	vfs_reply(m, r->argsz);
	return 0;
}

int vfs_region_info(struct vio_vfio_user *t, struct vfu_msg *m)
{
	struct vfio_region_info *r = &m->p.region;
	uint32_t argsz = r->argsz, index = r->index;
	int err = info_argsz(argsz, sizeof(*r), "DEVICE_GET_REGION_INFO");

	if (!err && index >= VFIO_PCI_NUM_REGIONS)
		err = vio__fail(EINVAL, "DEVICE_GET_REGION_INFO of region %u, there are %u", index,
				VFIO_PCI_NUM_REGIONS);
	if (err)
		return err;
	*r = (struct vfio_region_info){ .argsz = sizeof(*r),
					.index = index,
					.size = vfs_region_size(t, index) };
	if (r->size)
		r->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	vfs_reply(m, sizeof(*r));
	return index < PCI_BARS && t->pci->bar[index].fd >= 0 ? info_map(&t->pci->bar[index], m, argsz) : 0;
}

int vfs_irq_info(struct vio_vfio_user *t, struct vfu_msg *m)
{
	uint32_t index = m->p.irq.index;
	int err = info_argsz(m->p.irq.argsz, sizeof(m->p.irq), "DEVICE_GET_IRQ_INFO");

	if (!err && index >= VFIO_PCI_NUM_IRQS)
		err = vio__fail(EINVAL, "DEVICE_GET_IRQ_INFO of index %u, there are %u", index,
				VFIO_PCI_NUM_IRQS);
	m->p.irq = (struct vfio_irq_info){ .argsz = sizeof(m->p.irq), .index = index };
	if (index == VFIO_PCI_MSIX_IRQ_INDEX) {
		m->p.irq.count = t->pci->vectors;
		m->p.irq.flags = VFIO_IRQ_INFO_EVENTFD;
	}
	vfs_reply(m, sizeof(m->p.irq));
	return err;
}
