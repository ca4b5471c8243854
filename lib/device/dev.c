/* SPDX-License-Identifier: MIT */
/* What all device types share: life, features, config space. */
#include "device/device.h"

#include "backend/backend.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

static int dev_alloc(struct dev **out, const struct vio_device_type *t)
{
	size_t size = offsetof(struct dev, priv) + t->priv;
	struct dev *d = aligned_alloc(VIO_CACHELINE, (size + VIO_CACHELINE - 1) & ~(size_t)(VIO_CACHELINE - 1));

	*out = d;
	if (!d)
		return vio__fail(ENOMEM, "%s: out of memory", t->name);
	memset(d, 0, size);
	d->d.type = t;
	d->d.priv = d->priv;
	d->d.queues = 1;
	d->d.queue_size = 256;
	d->d.offered = t->features | vio_queue_features();
	return 0;
}

static int dev_vqs(struct dev *d)
{
	unsigned config = VIO_MAX(d->d.type->config, 1);

	d->vqs = calloc(d->d.queues, sizeof(*d->vqs));
	d->config = calloc(2, config);
	if (!d->vqs || !d->config)
		return vio__fail(ENOMEM, "%s: out of memory for %u queues", d->d.type->name, d->d.queues);
	for (unsigned i = 0; i < d->d.queues; i++)
		vio__vq_init(&d->vqs[i], &d->d, i);
	if (d->d.type->config_read)
		d->d.type->config_read(&d->d, d->config);
	return 0;
}

int vio_dev_new(struct vio_dev **out, const struct vio_device_type *t, struct vio_backend *b, const char *arg)
{
	struct dev *d;
	int rc = dev_alloc(&d, t);

	*out = NULL;
	if (rc)
		return rc;
	d->d.backend = b;
	rc = t->init ? t->init(&d->d, arg ? arg : "") : 0;
	if (rc) {
		free(d);
		return rc;
	}
	vio__backend_ref(b);
	rc = dev_vqs(d);
	if (rc)
		vio_dev_free(&d->d);
	else
		*out = &d->d;
	return rc;
}

void vio_dev_free(struct vio_dev *dev)
{
	struct dev *d = dev ? dev_full(dev) : NULL;

	if (!d)
		return;
	if (dev->type->fini)
		dev->type->fini(dev);
	vio_backend_free(dev->backend);
	free(d->vqs);
	free(d->config);
	free(d);
}

uint32_t vio_dev_id(const struct vio_dev *d)
{
	return d->type->id;
}

unsigned vio_dev_queues(const struct vio_dev *d)
{
	return d->queues;
}

unsigned vio_dev_queue_size(const struct vio_dev *d)
{
	return d->queue_size;
}

uint64_t vio_dev_features(const struct vio_dev *d)
{
	return d->offered;
}

int vio_dev_set_features(struct vio_dev *d, uint64_t features)
{
	const uint64_t v1 = 1ull << VIRTIO_F_VERSION_1, packed = 1ull << VIRTIO_F_RING_PACKED;

	if (features & ~d->offered)
		return vio__fail(EINVAL, "%s: features %#llx were not offered; offered are %#llx", d->type->name,
				 (unsigned long long)(features & ~d->offered), (unsigned long long)d->offered);
	if ((features & packed) && !(features & v1))
		return vio__fail(EINVAL, "%s: VIRTIO_F_RING_PACKED needs VIRTIO_F_VERSION_1", d->type->name);
	d->acked = features;
	if (d->type->features_set)
		d->type->features_set(d);
	return 0;
}

uint64_t vio_dev_acked(const struct vio_dev *d)
{
	return d->acked;
}

void vio_dev_reset(struct vio_dev *d)
{
	d->acked = 0;
	if (d->type->features_set)
		d->type->features_set(d);
}

unsigned vio_dev_config_size(const struct vio_dev *d)
{
	return d->type->config;
}

static int dev_config_range(const struct vio_dev *d, unsigned offset, unsigned len)
{
	unsigned size = d->type->config;

	if (offset > size || len > size - offset)
		return vio__fail(EINVAL, "%s: config access %u+%u, the config space has %u bytes", d->type->name, offset,
				 len, size);
	return 0;
}

/* The config space as it is now, in the second half of the buffer; the first is what was last told. */
static const char *dev_config_now(struct vio_dev *d)
{
	char *now = (char *)dev_full(d)->config + d->type->config;

	d->type->config_read(d, now);
	return now;
}

int vio_dev_config_read(struct vio_dev *d, unsigned offset, void *to, unsigned len)
{
	int rc = dev_config_range(d, offset, len);

	if (rc || !len)
		return rc;
	memcpy(to, dev_config_now(d) + offset, len);
	return 0;
}

int vio_dev_config_write(struct vio_dev *d, unsigned offset, const void *from, unsigned len)
{
	int rc = dev_config_range(d, offset, len);

	if (rc || !len)
		return rc;
	if (!d->type->config_write)
		return vio__fail(EINVAL, "%s: no config field is writable", d->type->name);
	return d->type->config_write(d, offset, from, len);
}

int vio_dev_refresh(struct vio_dev *dev)
{
	struct dev *d = dev_full(dev);
	unsigned size = dev->type->config;
	const char *now = size ? dev_config_now(dev) : NULL;

	if (!size || !memcmp(d->config, now, size))
		return 0;
	memcpy(d->config, now, size);
	if (d->changed)
		d->changed(d->changed_ctx);
	return 1;
}

void vio_dev_on_config(struct vio_dev *d, void (*changed)(void *ctx), void *ctx)
{
	dev_full(d)->changed = changed;
	dev_full(d)->changed_ctx = ctx;
}

void vio_dev_measure(struct vio_dev *d, bool on)
{
	for (unsigned i = 0; i < d->queues; i++)
		dev_full(d)->vqs[i].measure = on;
}
