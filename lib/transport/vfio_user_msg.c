/* SPDX-License-Identifier: MIT */
/*
 * The message table: what each command must look like and whether it needs a quiet
 * function. One check serves all, so that no handler can forget one.
 */
#include "transport/vfio_user.h"

#define EXACTLY(type) sizeof(type), sizeof(type)

static const struct vfs_row rows[VFU_COMMAND_MAX] = {
	/* name, handler, payload, descriptors, fence */
	[VFU_VERSION] = { "VERSION", vfs_version, sizeof(struct vfu_version), VFU_MAX_REQUEST, 0, false },
	[VFU_DMA_MAP] = { "DMA_MAP", vfs_dma_map, EXACTLY(struct vfu_dma_map), 1, true },
	[VFU_DMA_UNMAP] = { "DMA_UNMAP", vfs_dma_unmap, EXACTLY(struct vfu_dma_unmap), 0, true },
	[VFU_DEVICE_GET_INFO] = { "DEVICE_GET_INFO", vfs_device_info, EXACTLY(struct vfu_device_info), 0,
				  false },
	[VFU_DEVICE_GET_REGION_INFO] = { "DEVICE_GET_REGION_INFO", vfs_region_info,
					 EXACTLY(struct vfio_region_info), 0, false },
	[VFU_DEVICE_GET_IRQ_INFO] = { "DEVICE_GET_IRQ_INFO", vfs_irq_info, EXACTLY(struct vfio_irq_info), 0,
				      false },
	[VFU_DEVICE_SET_IRQS] = { "DEVICE_SET_IRQS", vfs_set_irqs, sizeof(struct vfio_irq_set),
				  sizeof(struct vfio_irq_set) + PCI_MAX_VECTORS, VFU_MAX_FDS, true },
	[VFU_REGION_READ] = { "REGION_READ", vfs_region_read, EXACTLY(struct vfu_region_rw), 0, false },
	[VFU_REGION_WRITE] = { "REGION_WRITE", vfs_region_write, sizeof(struct vfu_region_rw),
			       sizeof(struct vfu_region_rw) + VFU_MAX_DATA, 0, false },
	[VFU_DEVICE_RESET] = { "DEVICE_RESET", vfs_device_reset, 0, 0, 0, false },
	[VFU_REGION_WRITE_MULTI] = { "REGION_WRITE_MULTI", vfs_write_multi, sizeof(struct vfu_write_multi),
				     sizeof(struct vfu_write_multi) +
					     VFU_MAX_WRITES * sizeof(struct vfu_write_one),
				     0, false },
	[VFU_DEVICE_FEATURE] = { "DEVICE_FEATURE", vfs_feature, sizeof(struct vfu_feature), VFU_MAX_REQUEST,
				 0, true },
	[VFU_MIG_DATA_READ] = { "MIG_DATA_READ", vfs_mig_read, EXACTLY(struct vfu_mig_data), 0, false },
	[VFU_MIG_DATA_WRITE] = { "MIG_DATA_WRITE", vfs_mig_write, sizeof(struct vfu_mig_data),
				 sizeof(struct vfu_mig_data) + VFU_MAX_DATA, 0, false },
};

/* What a feature is asked for is between the message and the function. */
bool vfs_msg_fences(const struct vfs_row *row, const struct vfu_msg *m)
{
	return row->handle == vfs_feature ? vfs_feature_fences(m) : row->fence;
}

static int check(const struct vio_vfio_user *t, const struct vfs_row *row, const struct vfu_msg *m)
{
	uint32_t size = vfu_payload_size(m);

	if ((m->h.flags & VFU_TYPE) != VFU_TYPE_COMMAND)
		return vio__fail(EINVAL, "%s has flags %#x, expected a command", row->name, m->h.flags);
	if (!t->agreed != (m->h.command == VFU_VERSION))
		return vio__fail(EPROTO, "%s came %s", row->name, t->agreed ? "again" : "before VERSION");
	if (size < row->min || size > row->max)
		return vio__fail(EINVAL, "%s has a payload of %u bytes, expected %u to %u", row->name, size,
				 row->min, row->max);
	if (m->nfds > row->fds)
		return vio__fail(EINVAL, "%s came with %u file descriptors, expected %u at most", row->name,
				 m->nfds, row->fds);
	return 0;
}

const struct vfs_row *vfs_msg_check(struct vio_vfio_user *t, const struct vfu_msg *m)
{
	const struct vfs_row *row = m->h.command < VFU_COMMAND_MAX ? &rows[m->h.command] : NULL;

	if (!row || !row->handle) {
		t->err = vio__fail(EOPNOTSUPP, "command %u is not known here", m->h.command);
		return NULL;
	}
	t->err = check(t, row, m);
	return t->err ? NULL : row;
}
