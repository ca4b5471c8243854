/* SPDX-License-Identifier: MIT */
/* A device's queue at work, as a task of its poller: take, serve, submit; reap, finish, give; flush. */
#include "device/device.h"

#include "base/barrier.h"

#include <stdio.h>
#include <time.h>

#define VQ_BATCH 32

static uint64_t *vq_stamp(const struct dev_vq *q, struct vio_req *r)
{
	return (uint64_t *)((char *)r + q->v.scratch - VQ_STAMP_BYTES);
}

static uint64_t vq_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void vq_stamp_all(struct dev_vq *q, struct vio_req **r, unsigned n)
{
	uint64_t now = vq_clock();

	for (unsigned i = 0; i < n; i++)
		*vq_stamp(q, r[i]) = now;
}

static void vq_measure_all(struct dev_vq *q, struct vio_req **r, unsigned n)
{
	uint64_t now = vq_clock();

	for (unsigned i = 0; i < n; i++) {
		unsigned bucket = 63u - (unsigned)__builtin_clzll((now - *vq_stamp(q, r[i])) | 1);

		vq_count(&q->stats.latency[VIO_MIN(bucket, VIO_VQ_BUCKETS - 1u)], 1);
	}
}

/* The guest broke its ring: this queue takes no more; whoever started it will hear. */
static void vq_break(struct dev_vq *q)
{
	snprintf(q->sentence, sizeof(q->sentence), "%s queue %u stopped: %s", q->v.dev->type->name,
		 q->v.index, vio_queue_errmsg(q->v.queue));
	vio_poller_log(q->v.poller, VIO_LOG_ERROR, "%s", q->sentence);
	q->err = -EBADMSG;
	if (q->o.broken)
		vio_poller_post(q->reply, &q->broke);
}

static void vq_give(struct dev_vq *q, struct vio_req **r, unsigned n)
{
	if (q->measure)
		vq_measure_all(q, r, n);
	vio_queue_give(q->v.queue, r, n);
	vq_count(&q->stats.requests, n);
}

static void vq_finish(struct dev_vq *q, struct vio_req **r, unsigned n)
{
	q->v.dev->type->finish(&q->v, r, n);
	vq_give(q, r, n);
}

static unsigned vq_reap(struct dev_vq *q, struct vio_req **r, unsigned n)
{
	n = q->under_way ? vio_lane_reap(q->v.lane, r, n) : 0;
	q->under_way -= n;
	return n;
}

/* A packet's buffers become visible all at once, so receiving goes on until no packet can be left half reaped; and
 * the device may look at those behind a batch, for what goes on there. */
static unsigned vq_up_recv(struct dev_vq *q)
{
	struct vio_req *r[2 * VQ_BATCH];
	unsigned have = vq_reap(q, r, VIO_ARRAY_SIZE(r)), all = 0;

	while (have) {
		unsigned n = VIO_MIN(have, VQ_BATCH);

		have -= n;
		q->ahead = have;
		vq_finish(q, r, n);
		memmove(r, r + n, have * sizeof(*r));
		all += n;
		if (n == VQ_BATCH)
			have += vq_reap(q, r + have, VIO_ARRAY_SIZE(r) - have);
	}
	return all;
}

/* Up: what the lane has finished goes back to the guest. */
static unsigned vq_up(struct dev_vq *q)
{
	struct vio_req *r[VQ_BATCH];
	unsigned n;

	if (q->recv)
		return vq_up_recv(q);
	n = vq_reap(q, r, VQ_BATCH);
	if (n)
		vq_finish(q, r, n);
	return n;
}

/* A receive queue that stops or pauses: buffers that no packet filled are back in the guest's ring, as if
 * never taken. */
static void vq_recall(struct dev_vq *q)
{
	struct vio_req *r[VQ_BATCH];
	unsigned n;

	while (q->under_way && (n = vio_lane_recall(q->v.lane, r, VQ_BATCH))) {
		q->under_way -= n;
		vio_queue_untake(q->v.queue, r, n);
	}
}

/* Down: never more than the lane has room for; the rest waits in the guest's ring. */
static unsigned vq_down(struct dev_vq *q, unsigned budget)
{
	struct vio_req *r[VQ_BATCH];
	unsigned room = q->v.lane ? vio_lane_room(q->v.lane) : VQ_BATCH, k;
	int n = 0;

	room = VIO_MIN(VIO_MIN(room, budget), VQ_BATCH);
	if (room)
		n = vio_queue_take(q->v.queue, r, room);
	if (n < 0)
		vq_break(q);
	if (n <= 0)
		return 0;
	if (q->measure)
		vq_stamp_all(q, r, (unsigned)n);
	k = q->v.dev->type->serve(&q->v, r, (unsigned)n);
	if (k) {
		q->under_way += k;
		vio_lane_submit(q->v.lane, r, k);
	}
	if (k < (unsigned)n)
		vq_give(q, r + k, (unsigned)n - k);
	return (unsigned)n;
}

/* Do those buffers have to go back now? */
static bool vq_recalls(struct dev_vq *q)
{
	bool renew = VIO_LOAD(&q->renew) && __atomic_exchange_n(&q->renew, false, __ATOMIC_ACQUIRE);

	return q->phase == VQ_STOPPING || VIO_LOAD(&q->paused) || renew;
}

static bool vq_takes(const struct dev_vq *q)
{
	return q->phase == VQ_RUNNING && !q->err && !VIO_LOAD(&q->paused);
}

unsigned vio__vq_run(struct vio_task *t, unsigned budget)
{
	struct dev_vq *q = VIO_CONTAINER(t, struct dev_vq, task);
	unsigned work;

	if (q->recv && vq_recalls(q))
		vq_recall(q);
	work = vq_up(q);
	if (vq_takes(q)) {
		work += vq_down(q, budget);
		if (q->under_way)
			work += vq_up(q); /* what completed at once need not wait for the next pass */
	}
	if (work && VIO_LIKELY(!VIO_LOAD(&q->coal.by)))
		vio_queue_flush(q->v.queue);
	else if (work)
		vio__vq_publish(q);
	vq_count(&q->stats.inflight, q->under_way - q->stats.inflight);
	if (q->phase == VQ_STOPPING && !q->under_way)
		vio__vq_end(q);
	return work;
}

/* With a full lane, the next thing to happen is a completion, which wakes us: no kick is wanted. */
bool vio__vq_arm(struct vio_task *t, bool on)
{
	struct dev_vq *q = VIO_CONTAINER(t, struct dev_vq, task);

	if (on && (!vq_takes(q) || (q->v.lane && !vio_lane_room(q->v.lane))))
		return false;
	return vio_queue_kicks(q->v.queue, on);
}
