/* SPDX-License-Identifier: MIT */
/* The loop transport: virtio's common configuration as calls. */
#include "transport/loop_ring.h"

#include <linux/virtio_config.h>

#ifndef VIRTIO_F_RING_RESET
#define VIRTIO_F_RING_RESET 40
#endif

/* The driver's bits: NEEDS_RESET is the device's to set. */
#define DRIVER_BITS                                                                                          \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |                \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

static void config_changed(void *ctx)
{
	struct vio_loop *t = ctx;

	if (t->status & VIRTIO_CONFIG_S_DRIVER_OK)
		loop_interrupt(t, VIO_LOOP_CONFIG);
}

int vio_loop_new(struct vio_loop **out, struct vio_poller *p, struct vio_dev *d,
		 const struct vio_loop_opts *opts)
{
	struct vio_loop_opts o;
	struct vio_loop *t;
	int err = vio__opts(&o, sizeof(o), opts, "vio_loop_opts");

	*out = NULL;
	if (err)
		return err;
	if (!o.mem)
		return vio__fail(EINVAL, "vio_loop_opts.mem is NULL, expected the guest's memory");
	t = calloc(1, sizeof(*t));
	if (!t)
		return vio__fail(ENOMEM, "no memory for a loop transport");
	t->nrings = vio_dev_queues(d);
	t->rings = calloc(t->nrings, sizeof(*t->rings));
	if (!t->rings) {
		free(t);
		return vio__fail(ENOMEM, "no memory for the queues of a loop transport");
	}
	for (unsigned i = 0; i < t->nrings; i++)
		t->rings[i] = (struct loop_ring){ .t = t, .index = i };
	t->poller = p;
	t->dev = d;
	t->mem = vio_mem_ref(o.mem);
	t->interrupt = o.interrupt;
	t->ctx = o.ctx;
	vio_dev_on_config(d, config_changed, t);
	*out = t;
	return 0;
}

void vio_loop_free(struct vio_loop *t)
{
	if (!t)
		return;
	vio_dev_on_config(t->dev, NULL, NULL);
	vio_mem_free(t->mem);
	vio_mem_free(t->next_mem);
	free(t->rings);
	free(t);
}

uint8_t vio_loop_status(const struct vio_loop *t)
{
	return t->status;
}

static bool features_ok(struct vio_loop *t)
{
	if (!(t->status & VIRTIO_CONFIG_S_DRIVER))
		return false;
	if (!vio_dev_set_features(t->dev, t->features))
		return true;
	vio_poller_log(t->poller, VIO_LOG_ERROR, "loop: %s", vio_errmsg());
	return false;
}

/* Bits are set one step after the other and never cleared, but by a reset (virtio 1.3, 2.1.1). */
void vio_loop_set_status(struct vio_loop *t, uint8_t status)
{
	uint8_t added = status & DRIVER_BITS & ~t->status;

	if (t->resetting)
		return;
	if (!status) {
		t->resetting = true;
		loop_settle(t);
		return;
	}
	t->status |= added & ~(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	if (added & VIRTIO_CONFIG_S_FEATURES_OK && features_ok(t))
		t->status |= VIRTIO_CONFIG_S_FEATURES_OK;
	if (added & VIRTIO_CONFIG_S_DRIVER_OK && t->status & VIRTIO_CONFIG_S_FEATURES_OK)
		t->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	loop_settle(t);
}

int vio_loop_set_features(struct vio_loop *t, uint64_t features)
{
	if (t->resetting || !(t->status & VIRTIO_CONFIG_S_DRIVER) || t->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return vio__fail(EBUSY,
				 "features are accepted between DRIVER and FEATURES_OK, the status is 0x%x",
				 t->status);
	t->features = features;
	return 0;
}

static struct loop_ring *loop_ring(const struct vio_loop *t, unsigned index)
{
	return index < t->nrings ? &t->rings[index] : NULL;
}

static int no_ring(const struct vio_loop *t, unsigned index)
{
	return vio__fail(EINVAL, "there is no queue %u, the device has %u", index, t->nrings);
}

int vio_loop_set_queue(struct vio_loop *t, unsigned index, uint32_t size, uint64_t desc, uint64_t driver,
		       uint64_t device)
{
	struct loop_ring *r = loop_ring(t, index);
	struct loop_ring next = {
		.t = t,
		.index = index,
		.size = size,
		.desc = desc,
		.driver = driver,
		.device = device,
	};
	int err;

	if (!r)
		return no_ring(t, index);
	if (r->enabled || t->resetting)
		return vio__fail(EBUSY, "queue %u is enabled: reset it first", index);
	err = loop_ring_check(&next);
	if (err)
		return err;
	next.enabled = true;
	*r = next;
	loop_settle(t);
	return 0;
}

int vio_loop_reset_queue(struct vio_loop *t, unsigned index)
{
	struct loop_ring *r = loop_ring(t, index);

	if (!r)
		return no_ring(t, index);
	if (!(vio_dev_acked(t->dev) & 1ull << VIRTIO_F_RING_RESET))
		return vio__fail(EINVAL, "queue %u cannot be reset: VIRTIO_F_RING_RESET was not accepted",
				 index);
	r->resetting = r->enabled;
	loop_settle(t);
	return 0;
}

bool vio_loop_queue_enabled(const struct vio_loop *t, unsigned index)
{
	const struct loop_ring *r = loop_ring(t, index);

	return r && r->enabled;
}

/* The upper half, if any, says how far the driver is: a hint, of which the ring itself knows better. */
void vio_loop_kick(struct vio_loop *t, uint32_t data)
{
	struct loop_ring *r = loop_ring(t, data & 0xffff);

	if (r && r->running && !r->busy) /* no kick may come after the stop */
		vio_vq_kick(t->dev, r->index);
}

int vio_loop_set_mem(struct vio_loop *t, struct vio_mem *mem)
{
	if (!mem)
		return vio__fail(EINVAL, "vio_loop_set_mem got NULL, expected the guest's memory");
	vio_mem_free(t->next_mem);
	t->next_mem = vio_mem_ref(mem);
	loop_settle(t);
	return 0;
}
