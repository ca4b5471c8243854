/* SPDX-License-Identifier: MIT */
/* The loop transport's queues: from what the driver asked for to what runs. */
#include "transport/loop_ring.h"

#include <linux/virtio_config.h>

/* One part of a ring: how long it is and what its address must be a multiple of (virtio 1.3, 2.7 and 2.8). */
struct part {
	const char *name;
	uint64_t at, bytes, align;
};

void loop_interrupt(struct vio_loop *t, unsigned index)
{
	if (t->interrupt)
		t->interrupt(t->ctx, index);
}

static int check_part(const struct loop_ring *r, const struct part *p)
{
	if (p->at % p->align)
		return vio__fail(EINVAL, "queue %u has its %s at 0x%llx, expected a multiple of %llu",
				 r->index, p->name, (unsigned long long)p->at, (unsigned long long)p->align);
	if (!vio_mem_ptr(r->t->mem, p->at, p->bytes))
		return vio__fail(EINVAL, "queue %u has its %s at 0x%llx, where no %llu bytes of memory are",
				 r->index, p->name, (unsigned long long)p->at, (unsigned long long)p->bytes);
	return 0;
}

int loop_ring_check(const struct loop_ring *r)
{
	bool packed = vio_dev_acked(r->t->dev) & 1ull << VIRTIO_F_RING_PACKED;
	const struct part parts[] = {
		{ "descriptors", r->desc, 16ull * r->size, 16 },
		{ "driver area", r->driver, packed ? 4 : 4 + 2ull * r->size, packed ? 4 : 2 },
		{ "device area", r->device, packed ? 4 : 4 + 8ull * r->size, 4 },
	};
	int err = 0;

	if (!r->size || r->size > vio_dev_queue_size(r->t->dev) || (!packed && !vio__is_pow2(r->size)))
		return vio__fail(EINVAL, "queue %u shall have %u entries, expected %s up to %u", r->index,
				 r->size, packed ? "any number" : "a power of two",
				 vio_dev_queue_size(r->t->dev));
	for (unsigned i = 0; !err && i < VIO_ARRAY_SIZE(parts); i++)
		err = check_part(r, &parts[i]);
	return err;
}

void loop_ring_clear(struct loop_ring *r)
{
	*r = (struct loop_ring){ .t = r->t, .index = r->index };
}

static void ring_notify(void *ctx)
{
	struct loop_ring *r = ctx;

	loop_interrupt(r->t, r->index);
}

/* The device cannot go on by itself: the driver is told to reset it (virtio 1.3, 2.1.2). */
static void ring_fail(struct loop_ring *r, int err, const char *sentence)
{
	struct vio_loop *t = r->t;

	vio_poller_log(t->poller, VIO_LOG_ERROR, "loop: queue %u stopped (%s): %s", r->index, strerror(-err),
		       sentence);
	r->broken = true;
	t->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	loop_interrupt(t, VIO_LOOP_CONFIG);
}

static void ring_broken(void *ctx, unsigned index, int err, const char *sentence)
{
	(void)index;
	ring_fail(ctx, err, sentence);
}

static void ring_started(void *ctx, int err, const char *sentence)
{
	struct loop_ring *r = ctx;

	r->busy = false;
	r->running = !err;
	if (err)
		ring_fail(r, err, sentence);
	loop_settle(r->t);
}

static void ring_stopped(void *ctx, int err, const struct vio_queue_state *state)
{
	struct loop_ring *r = ctx;

	r->busy = false;
	r->running = false;
	if (!err) {
		r->state = *state;
		r->resumed = true;
	}
	loop_settle(r->t);
}

static void ring_start(struct loop_ring *r)
{
	struct vio_loop *t = r->t;
	VIO_OPTS(vio_vq_opts, o, .size = r->size, .mem = t->mem, .desc = r->desc, .driver = r->driver,
		 .device = r->device, .state = r->resumed ? &r->state : NULL, .dirty_device = UINT64_MAX,
		 .kick_fd = -1, .call_fd = -1, .notify = ring_notify, .notify_ctx = r, .broken = ring_broken,
		 .broken_ctx = r);

	r->busy = true;
	vio_vq_start(t->dev, r->index, t->poller, &o, t->poller, ring_started, r);
}

static void ring_stop(struct loop_ring *r)
{
	r->busy = true;
	vio_vq_stop(r->t->dev, r->index, r->t->poller, ring_stopped, r);
}

static bool ring_wanted(const struct loop_ring *r)
{
	const struct vio_loop *t = r->t;

	return r->enabled && !r->resetting && !r->broken && t->status & VIRTIO_CONFIG_S_DRIVER_OK &&
	       !t->resetting && !t->next_mem;
}

/* A queue that broke stays as it is till it must go. */
static bool ring_unwanted(const struct loop_ring *r)
{
	return r->resetting || r->t->resetting || r->t->next_mem;
}

static void ring_settle(struct loop_ring *r)
{
	if (r->busy)
		return;
	if (r->running && ring_unwanted(r))
		ring_stop(r);
	else if (!r->running && ring_wanted(r))
		ring_start(r);
	if (!r->busy && !r->running && r->resetting)
		loop_ring_clear(r);
}

static bool loop_quiet(const struct vio_loop *t)
{
	for (unsigned i = 0; i < t->nrings; i++)
		if (t->rings[i].busy || t->rings[i].running)
			return false;
	return true;
}

static void loop_reset_finish(struct vio_loop *t)
{
	for (unsigned i = 0; i < t->nrings; i++)
		loop_ring_clear(&t->rings[i]);
	vio_dev_reset(t->dev);
	t->resetting = false;
	t->features = 0;
	t->status = 0;
}

static void loop_mem_finish(struct vio_loop *t)
{
	vio_mem_free(t->mem);
	t->mem = t->next_mem;
	t->next_mem = NULL;
}

static void loop_settle_rings(struct vio_loop *t)
{
	for (unsigned i = 0; i < t->nrings; i++)
		ring_settle(&t->rings[i]);
}

void loop_settle(struct vio_loop *t)
{
	loop_settle_rings(t);
	if (!loop_quiet(t) || !(t->resetting || t->next_mem))
		return;
	if (t->next_mem)
		loop_mem_finish(t);
	if (t->resetting)
		loop_reset_finish(t);
	loop_settle_rings(t);
}
