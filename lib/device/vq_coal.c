/* SPDX-License-Identifier: MIT */
/*
 * Notifications that are put off. What a queue has used its guest can see at once; whether it wants to be
 * interrupted is asked when enough has come together, or when the first of it is old enough. Whoever ends
 * the queue asks before.
 */
#include "device/device.h"

#include "base/barrier.h"

static uint64_t coal_both(uint32_t packets, uint32_t usecs)
{
	return (uint64_t)packets << 32 | usecs;
}

/* Without either limit there is nothing to wait for. */
static bool coal_due(const struct dev_vq *q, uint64_t by)
{
	const struct vq_coal *c = &q->coal;
	const uint32_t packets = (uint32_t)(by >> 32), usecs = (uint32_t)by;

	return !packets || !usecs || q->stats.requests - c->said - c->parts >= packets;
}

/* Nothing is left unsaid. */
static void coal_clear(struct dev_vq *q)
{
	q->coal.waits = false;
	q->coal.said = q->stats.requests;
	q->coal.parts = 0;
}

void vio__vq_say(struct dev_vq *q)
{
	vio_timer_cancel(q->v.poller, &q->coal.timer);
	coal_clear(q);
	vio_queue_flush(q->v.queue);
}

static void coal_expired(struct vio_timer *t)
{
	vio__vq_say(VIO_CONTAINER(t, struct dev_vq, coal.timer));
}

static void coal_wait(struct dev_vq *q, uint64_t by)
{
	struct vq_coal *c = &q->coal;
	uint64_t now = vio_poller_now(q->v.poller), at = c->since + (uint32_t)by * 1000ull;

	c->waits = true;
	c->waits_by = by;
	vio_timer_set(q->v.poller, &c->timer, at > now ? at - now : 0);
}

void vio__vq_publish(struct dev_vq *q)
{
	const uint64_t by = VIO_LOAD(&q->coal.by);
	struct vq_coal *c = &q->coal;

	if (coal_due(q, by)) {
		vio__vq_say(q);
		return;
	}
	vio_queue_publish(q->v.queue);
	if (c->waits || c->said == q->stats.requests)
		return;
	c->since = vio_poller_now(q->v.poller);
	coal_wait(q, by);
}

void vio__vq_coalesced(struct dev_vq *q)
{
	const uint64_t by = VIO_LOAD(&q->coal.by);

	if (!q->coal.waits)
		coal_clear(q);
	else if (coal_due(q, by))
		vio__vq_say(q);
	else if (q->coal.waits_by != by)
		coal_wait(q, by);
}

void vio__vq_coal_init(struct dev_vq *q)
{
	q->coal.timer.fire = coal_expired;
}

void vio__vq_coal_begin(struct dev_vq *q, bool anew)
{
	if (anew)
		VIO_STORE(&q->coal.by, VIO_LOAD(&q->coal.by_anew));
	coal_clear(q);
}

void vio__vq_coalesce(struct vio_dev *d, unsigned index, uint32_t packets, uint32_t usecs, bool anew)
{
	struct vq_coal *c = &dev_full(d)->vqs[index].coal;
	const uint64_t by = coal_both(packets, usecs);

	if (anew)
		VIO_STORE(&c->by_anew, by);
	if (VIO_LOAD(&c->by) == by)
		return;
	VIO_STORE(&c->by, by);
	vio_vq_kick(d, index);
}

void vio__vq_coalesces(const struct vio_dev *d, unsigned index, uint32_t *packets, uint32_t *usecs)
{
	const uint64_t by = VIO_LOAD(&dev_full(d)->vqs[index].coal.by);

	*packets = (uint32_t)(by >> 32);
	*usecs = (uint32_t)by;
}
