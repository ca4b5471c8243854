/* SPDX-License-Identifier: MIT */
/* A lane: one queue's set-up and end, and what wakes its thread. */
#include "backend/vhost_user.h"

/* Runs while the poller spins or has just been woken; tells the reaper what it finds. */
static unsigned lane_poll(struct vio_task *t, unsigned budget)
{
	struct vhost_lane *v = VIO_CONTAINER(t, struct vhost_lane, task);

	(void)budget;
	if (!v->done.head && (!v->running || !vring_pending(&v->ring, v->ring.packed)))
		return 0;
	vio_lane_wake(v->lane);
	return 1;
}

static bool lane_arm(struct vio_task *t, bool on)
{
	struct vhost_lane *v = VIO_CONTAINER(t, struct vhost_lane, task);

	return v->running && vring_arm(&v->ring, on);
}

static void lane_called(struct vio_watch *w, uint32_t events)
{
	struct vhost_lane *v = VIO_CONTAINER(w, struct vhost_lane, bells.called);

	(void)events;
	vhost_count(&v->count->interrupts, 1);
	vio_task_wake(v->lane->poller, &v->task);
	vio_lane_wake(v->lane);
}

/* The server says that it stopped the ring. */
static void lane_stopped(struct vio_watch *w, uint32_t events)
{
	struct vhost_lane *v = VIO_CONTAINER(w, struct vhost_lane, bells.stopped);

	(void)events;
	if (!v->broken)
		vio__vhost_break(v, EIO, "the server stopped the queue");
}

static void lane_limits(struct vhost_disk *d, struct vhost_lane *v)
{
	const struct virtio_blk_config *c = &d->config;
	uint32_t seg_max = vhost_has(d, VIRTIO_BLK_F_SEG_MAX) ? le32toh(c->seg_max) : 1;
	uint32_t size_max = vhost_has(d, VIRTIO_BLK_F_SIZE_MAX) ? le32toh(c->size_max) : VHOST_MAX_LEN;
	uint32_t discard = le32toh(c->max_discard_sectors), zeroes = le32toh(c->max_write_zeroes_sectors);

	v->block = vio__vhost_block(d);
	v->ops = vio__vhost_ops(d);
	v->flush = vhost_has(d, VIRTIO_BLK_F_FLUSH);
	v->unmap = c->write_zeroes_may_unmap;
	v->max_segs = vhost_has(d, VIRTIO_RING_F_INDIRECT_DESC) ? VIO_MIN(seg_max, VHOST_TABLE - 2) : 1;
	v->max_segs = VIO_MAX(VIO_MIN(v->max_segs, (uint32_t)d->queue_size - 2), 1u);
	if (!size_max) /* what qemu-storage-daemon says, and means no limit */
		size_max = VHOST_MAX_LEN;
	v->max_len = VIO_MIN(size_max, VHOST_MAX_LEN) / v->block * v->block;
	v->max_discard = discard * 512ull / v->block * v->block;
	v->max_zeroes = zeroes * 512ull / v->block * v->block;
}

/* A server whose config space makes no sense: no loop shall depend on it. */
static int lane_check(struct vhost_disk *d, struct vhost_lane *v)
{
	v->block = vio__vhost_block(d);
	if (!v->block)
		return vio__fail(EPROTO, "vhost_user: %s: blocks of %u bytes, which can't be", d->path,
				 le32toh(d->config.blk_size));
	lane_limits(d, v);
	if (!v->max_len)
		return vio__fail(EPROTO, "vhost_user: %s: the server's size_max is less than a block",
				 d->path);
	if (!v->max_discard)
		v->ops &= ~(1u << VIO_OP_DISCARD);
	if (!v->max_zeroes)
		v->ops &= ~(1u << VIO_OP_WRITE_ZEROES);
	return 0;
}

static int lane_claim(struct vhost_disk *d, struct vhost_lane *v)
{
	for (unsigned i = 0; i < d->queues; i++) {
		if (d->lanes[i])
			continue;
		d->lanes[i] = v;
		v->index = i;
		v->count = &d->counters[i];
		return 0;
	}
	return vio__fail(EBUSY,
			 "vhost_user: %s: all %llu queues are in use, one a lane; queues=N asks for more",
			 d->path, (unsigned long long)d->queues);
}

/* All that needs the lock and the server. */
static int lane_start(struct vhost_disk *d, struct vhost_lane *v)
{
	int rc = 0;

	if (d->front.fd < 0)
		rc = d->reconnect ? vio__vhost_reconnect(d)
				  : vio__fail(ENOTCONN, "vhost_user: %s: the server has gone", d->path);
	d->mem.running = d->running;
	if (!rc)
		rc = vio__vhost_mem_use(&d->mem, &v->view, v->lane->mem);
	if (!rc)
		rc = vio__vhost_mem_tell(&d->mem);
	if (!rc)
		rc = vio__vhost_area_open(d, v);
	v->generation = d->generation;
	return rc ? rc : vio__vhost_ring_start(d, v, vio__vhost_ring_base(v));
}

static void lane_undo(struct vhost_disk *d, struct vhost_lane *v)
{
	vio__vhost_mem_unuse(&d->mem, &v->view);
	vio__vhost_area_close(v);
	vhost_bells_close(&v->bells);
	if (d->lanes[v->index] == v)
		d->lanes[v->index] = NULL;
}

/* -errno when the poller can't watch; the ring runs already. */
static int lane_attend(struct vhost_lane *v)
{
	int rc = vhost_bells_watch(&v->bells, v->lane->poller, lane_called, lane_stopped);

	if (rc)
		return rc;
	rc = vio__vhost_watch_connection(v);
	if (rc) {
		vhost_bells_unwatch(&v->bells, v->lane->poller);
		return rc;
	}
	v->task.run = lane_poll;
	v->task.arm = lane_arm;
	vio_task_add(v->lane->poller, &v->task);
	return 0;
}

static void lane_stop(struct vhost_disk *d, struct vhost_lane *v)
{
	bool here = d->front.fd >= 0 && v->generation == d->generation;

	if (here)
		vio__front_ring_stop(&d->front,
				     v->index); /* nothing is under way, so there is nothing to lose */
	if (here && d->running)
		d->running--;
	v->running = false;
}

int vio__vhost_lane_open(struct vio_lane *l)
{
	struct vhost_disk *d = l->backend->priv;
	struct vhost_lane *v = l->priv;
	int rc;

	v->lane = l;
	v->bells.kick = v->bells.call = v->bells.err = v->gone_watch.fd = -1;
	v->spins = vio_poller_mode(l->poller) == VIO_POLL_ADAPTIVE;
	pthread_mutex_lock(&d->lock);
	rc = lane_check(d, v);
	if (!rc)
		rc = lane_claim(d, v);
	if (!rc) {
		rc = vhost_bells_open(&v->bells, "vhost_user");
		if (!rc)
			rc = lane_start(d, v);
		if (!rc) {
			rc = lane_attend(v);
			if (rc)
				lane_stop(d, v);
		}
		if (rc)
			lane_undo(d, v);
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void vio__vhost_lane_close(struct vio_lane *l)
{
	struct vhost_disk *d = l->backend->priv;
	struct vhost_lane *v = l->priv;

	vio_task_del(l->poller, &v->task);
	vhost_bells_unwatch(&v->bells, l->poller);
	vio__vhost_unwatch_connection(v);
	pthread_mutex_lock(&d->lock);
	lane_stop(d, v);
	lane_undo(d, v);
	pthread_mutex_unlock(&d->lock);
}
