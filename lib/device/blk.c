/* SPDX-License-Identifier: MIT */
/* The virtio-blk device: arguments, features, config space. */
#include "device/blk.h"

#include "base/arg.h"
#include "base/barrier.h"

#include <endian.h>
#include <linux/virtio_ring.h>

#define BIT(b) (1ull << (b))

static int blk_args(struct vio_dev *d, const char *arg)
{
	struct blk *b = d->priv;
	uint64_t queues = 1, size = 256;
	bool packed = true;
	char *serial = NULL;
	const struct vio__arg args[] = {
		{ "queues", VIO__ARG_NUM, &queues, 1, 64 },	{ "queue-size", VIO__ARG_NUM, &size, 2, 32768 },
		{ "packed", VIO__ARG_BOOL, &packed, 0, 0 },	{ "serial", VIO__ARG_TEXT, &serial, 0, 0 },
		{ "read-only", VIO__ARG_BOOL, &b->read_only, 0, 0 },
	};
	int rc = vio__args("blk", arg, args, VIO_ARRAY_SIZE(args));

	if (!rc && serial && strlen(serial) > BLK_ID_BYTES)
		rc = vio__fail(EINVAL, "blk: serial=%s has %zu bytes, at most %d fit", serial, strlen(serial), BLK_ID_BYTES);
	if (!rc && (size & (size - 1)))
		rc = vio__fail(EINVAL, "blk: queue-size=%llu is no power of two", (unsigned long long)size);
	if (!rc && serial)
		memcpy(b->serial, serial, strlen(serial));
	free(serial);
	d->queues = (unsigned)queues;
	d->queue_size = (unsigned)size;
	if (!packed)
		d->offered &= ~BIT(VIRTIO_F_RING_PACKED);
	return rc;
}

static int blk_store(struct vio_dev *d)
{
	struct blk *b = d->priv;
	int rc;

	if (!d->backend)
		return vio__fail(EINVAL, "blk: a block device needs a backend");
	b->info.sz = sizeof(b->info);
	rc = vio_backend_info(d->backend, &b->info);
	if (rc)
		return rc;
	if (b->info.block < 512 || (b->info.block & (b->info.block - 1)))
		return vio__fail(EINVAL, "blk: the store's blocks have %u bytes, expected a power of two from 512", b->info.block);
	b->read_only |= b->info.read_only;
	b->ops = b->info.ops;
	b->block_mask = (b->info.block >> BLK_SECTOR_SHIFT) - 1;
	VIO_STORE(&b->capacity, b->info.size >> BLK_SECTOR_SHIFT);
	return 0;
}

static int blk_init(struct vio_dev *d, const char *arg)
{
	struct blk *b = d->priv;
	int rc = blk_args(d, arg);

	rc = rc ? rc : blk_store(d);
	if (rc)
		return rc;
	b->writeback = true;
	if (b->read_only)
		d->offered |= BIT(VIRTIO_BLK_F_RO);
	if (d->queues > 1)
		d->offered |= BIT(VIRTIO_BLK_F_MQ);
	if (!b->read_only && b->ops & 1u << VIO_OP_DISCARD)
		d->offered |= BIT(VIRTIO_BLK_F_DISCARD);
	if (!b->read_only && b->ops & 1u << VIO_OP_WRITE_ZEROES)
		d->offered |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	if (!b->read_only && b->ops & 1u << VIO_OP_SECURE_ERASE)
		d->offered |= BIT(VIRTIO_BLK_F_SECURE_ERASE);
	return 0;
}

/* A new size is taken up here, at the guest's or the embedder's asking; nothing else of a store changes. */
static void blk_config_read(struct vio_dev *d, void *to)
{
	struct blk *b = d->priv;
	struct vio_backend_info now = { .sz = sizeof(now) };
	struct virtio_blk_config c = { 0 };
	uint32_t block = b->info.block, sectors = block >> BLK_SECTOR_SHIFT;

	if (!vio_backend_info(d->backend, &now))
		VIO_STORE(&b->capacity, now.size >> BLK_SECTOR_SHIFT);
	c.capacity = htole64(b->capacity);
	c.seg_max = htole32(VIO_MIN(d->queue_size > 2 ? d->queue_size - 2 : 1, 126));
	c.blk_size = htole32(block);
	c.min_io_size = htole16(1);
	c.opt_io_size = htole32(b->info.optimal / block);
	c.wce = b->writeback;
	c.num_queues = htole16((uint16_t)d->queues);
	c.max_discard_sectors = htole32(BLK_MAX_DISCARD_SECTORS & ~(sectors - 1));
	c.max_discard_seg = htole32(1);
	c.discard_sector_alignment = htole32(sectors);
	c.max_write_zeroes_sectors = htole32(BLK_MAX_ZERO_SECTORS & ~(sectors - 1));
	c.max_write_zeroes_seg = htole32(1);
	c.write_zeroes_may_unmap = !!(b->ops & 1u << VIO_OP_DISCARD);
	c.max_secure_erase_sectors = htole32(BLK_MAX_DISCARD_SECTORS & ~(sectors - 1));
	c.max_secure_erase_seg = htole32(1);
	c.secure_erase_sector_alignment = htole32(sectors);
	memcpy(to, &c, sizeof(c));
}

/* Only the write cache is the driver's to set (5.2.5). */
static int blk_config_write(struct vio_dev *d, unsigned offset, const void *from, unsigned len)
{
	struct blk *b = d->priv;

	if (offset != offsetof(struct virtio_blk_config, wce) || len != 1)
		return vio__fail(EINVAL, "blk: config write %u+%u; only wce, at %zu, is writable", offset, len,
				 offsetof(struct virtio_blk_config, wce));
	if (!(d->acked & BIT(VIRTIO_BLK_F_CONFIG_WCE)))
		return vio__fail(EINVAL, "blk: wce written, but VIRTIO_BLK_F_CONFIG_WCE was not negotiated");
	VIO_STORE(&b->writeback, *(const uint8_t *)from & 1);
	return 0;
}

/* A driver that can't flush gets write-through (5.2.6.2). */
static void blk_features_set(struct vio_dev *d)
{
	struct blk *b = d->priv;

	VIO_STORE(&b->writeback, !d->acked || d->acked & (BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE)));
}

const struct vio_device_type *vio_dev_blk(void)
{
	static const struct vio_device_type type = {
		.sz = sizeof(type),
		.name = "blk",
		.help = "queues=N,queue-size=N,packed=on|off,serial=TEXT,read-only=on|off: a block device",
		.id = 2,
		.features = BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
			    BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_LIFETIME),
		.priv = sizeof(struct blk),
		.scratch = sizeof(struct blk_scratch),
		.config = sizeof(struct virtio_blk_config),
		.init = blk_init,
		.serve = vio__blk_serve,
		.finish = vio__blk_finish,
		.config_read = blk_config_read,
		.config_write = blk_config_write,
		.features_set = blk_features_set,
	};

	return &type;
}
