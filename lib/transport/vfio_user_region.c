/* SPDX-License-Identifier: MIT */
/* Reads and writes of BARs and of config space, and the reset that either may bring. */
#include "transport/vfio_user.h"

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

static int region_check(const struct vio_vfio_user *t, const char *what, uint32_t region, uint64_t offset,
			uint32_t count, uint32_t most)
{
	uint64_t size = vfs_region_size(t, region);

	if (!count || count > most)
		return vio__fail(EINVAL, "%s of %u bytes, expected 1 to %u", what, count, most);
	if (count > size || offset > size - count)
		return vio__fail(EINVAL, "%s of %u bytes at %#llx of region %u, which has %llu", what, count,
				 (unsigned long long)offset, region, (unsigned long long)size);
	return 0;
}

int vfs_region_read(struct vio_vfio_user *t, struct vfu_msg *m)
{
	struct vfu_region_rw *rw = &m->p.rw;
	int err = region_check(t, "REGION_READ", rw->region, rw->offset, rw->count, VFU_MAX_DATA);

	if (err)
		return err;
	if (rw->region == CONFIG)
		memcpy(rw->data, t->pci->config.data + rw->offset, rw->count);
	else
		pci_bar_read(t->pci, rw->region, rw->offset, rw->data, rw->count);
	vfs_reply(m, sizeof(*rw) + rw->count);
	return 0;
}

static void region_write(struct vio_vfio_user *t, uint32_t region, uint64_t offset, const uint8_t *data,
			 uint32_t count)
{
	if (region == CONFIG) {
		t->reset |= pci_config_write(&t->pci->config, (unsigned)offset, data, count);
		if (t->pci->ops->config)
			t->pci->ops->config(t->pci);
		return;
	}
	vfs_go_live(t);
	pci_bar_write(t->pci, region, offset, data, count);
}

int vfs_region_write(struct vio_vfio_user *t, struct vfu_msg *m)
{
	const struct vfu_region_rw *rw = &m->p.rw;
	uint32_t extra = vfu_payload_size(m) - (uint32_t)sizeof(*rw);
	int err = region_check(t, "REGION_WRITE", rw->region, rw->offset, rw->count, VFU_MAX_DATA);

	if (!err && rw->count != extra)
		err = vio__fail(EINVAL, "REGION_WRITE of %u bytes brings %u", rw->count, extra);
	if (err)
		return err;
	region_write(t, rw->region, rw->offset, rw->data, rw->count);
	vfs_reply(m, sizeof(*rw));
	return 0;
}

/* All are checked before the first is done. */
int vfs_write_multi(struct vio_vfio_user *t, struct vfu_msg *m)
{
	const struct vfu_write_multi *w = &m->p.multi;
	uint32_t room = (vfu_payload_size(m) - (uint32_t)sizeof(*w)) / (uint32_t)sizeof(w->w[0]);
	int err = 0;

	if (w->n > room)
		return vio__fail(EINVAL, "REGION_WRITE_MULTI of %llu writes brings %u",
				 (unsigned long long)w->n, room);
	for (unsigned i = 0; !err && i < w->n; i++)
		err = region_check(t, "REGION_WRITE_MULTI", w->w[i].region, w->w[i].offset, w->w[i].count,
				   sizeof(w->w[i].data));
	for (unsigned i = 0; !err && i < w->n; i++)
		region_write(t, w->w[i].region, w->w[i].offset, w->w[i].data, w->w[i].count);
	vfs_reply(m, sizeof(*w));
	return err;
}

int vfs_device_reset(struct vio_vfio_user *t, struct vfu_msg *m)
{
	t->reset = true;
	vfs_reply(m, 0);
	return 0;
}
