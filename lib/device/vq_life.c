/* SPDX-License-Identifier: MIT */
/*
 * How a device's queue comes and goes. Start and stop come from the control thread by
 * message, because lanes and queues belong to the poller's thread.
 */
#include "device/device.h"

#include "base/barrier.h"

#include <linux/virtio_config.h>
#include <stdio.h>
#include <sys/epoll.h>

static void vq_broke(struct vio_msg *m)
{
	struct dev_vq *q = VIO_CONTAINER(m, struct dev_vq, broke);

	q->o.broken(q->o.broken_ctx, q->v.index, -EBADMSG, q->sentence);
}

static void vq_kick_ready(struct vio_watch *w, uint32_t events)
{
	struct dev_vq *q = VIO_CONTAINER(w, struct dev_vq, kick);

	(void)events;
	vq_count(&q->stats.kicks, 1);
	vio_task_wake(q->v.poller, &q->task);
}

/* The queue asks; the transport's eventfd or the embedder's call answers. */
static void vq_notify(void *ctx)
{
	struct dev_vq *q = ctx;

	vq_count(&q->stats.notified, 1);
	if (q->o.call_fd >= 0)
		vio_poller_signal(q->v.poller, q->o.call_fd);
	else if (q->o.notify)
		q->o.notify(q->o.notify_ctx);
}

static int vq_open_lane(struct dev_vq *q)
{
	VIO_OPTS(vio_lane_opts, lo, .mem = q->o.mem);
	const struct vio_device_type *t = q->v.dev->type;
	int rc;

	q->v.lane = NULL;
	q->recv = false; /* the device may have made another kind of this queue */
	if (!q->v.dev->backend || (DEV_HAS(t, lane) && !t->lane(q->v.dev, q->v.index, &lo)))
		return 0;
	q->recv = lo.recv;
	rc = vio_lane_new(&q->v.lane, q->v.dev->backend, q->v.poller, &lo);
	for (struct vio_lane *l = rc ? NULL : q->v.lane; l; l = l->next)
		l->task = &q->task;
	return rc;
}

/* The ring may stand elsewhere than its front end knows: a server before this one died. */
static void vq_say_place(struct dev_vq *q)
{
	const struct vio_queue_state *was = &q->state;
	struct vio_queue_state is;

	vio_queue_flush(q->v.queue); /* that one may have given what the guest has not heard of */
	vio_queue_save(q->v.queue, &is);
	if (memcmp(&is, was, sizeof(is)))
		vio_poller_log(q->v.poller, VIO_LOG_INFO,
			       "%s queue %u goes on at %u, where its ring stands: its front end did not know",
			       q->v.dev->type->name, q->v.index, is.used_idx);
}

static int vq_open_queue(struct dev_vq *q)
{
	unsigned scratch = q->v.lane ? vio_lane_scratch(q->v.lane) : 0;
	VIO_OPTS(vio_queue_opts, qo, .size = q->o.size, .features = q->v.dev->acked, .mem = q->o.mem,
		 .desc = q->o.desc, .driver = q->o.driver, .device = q->o.device,
		 .state = q->o.state ? &q->state : NULL,
		 .scratch = scratch + VQ_STAMP_BYTES + q->v.dev->type->scratch, .notify = vq_notify,
		 .notify_ctx = q, .inflight = q->o.inflight, .inflight_size = q->o.inflight_size,
		 .dirty = q->o.dirty, .dirty_device = q->o.dirty_device,
		 .flags = DEV_HAS(q->v.dev->type, queue_flags) ? q->v.dev->type->queue_flags : 0);
	int rc;

	q->v.scratch = VIO_REQ_SCRATCH + scratch + VQ_STAMP_BYTES;
	rc = vio_queue_new(&q->v.queue, &qo);
	if (!rc && qo.flags & VIO_QUEUE_RESUMABLE && q->o.state)
		vq_say_place(q);
	return rc;
}

static int vq_watch(struct dev_vq *q)
{
	if (q->o.kick_fd < 0)
		return 0;
	q->kick =
		(struct vio_watch){ .ready = vq_kick_ready, .fd = q->o.kick_fd, .events = EPOLLIN | EPOLLET };
	return vio_watch_add(q->v.poller, &q->kick);
}

static void vq_close(struct dev_vq *q)
{
	vio_queue_free(q->v.queue);
	vio_lane_free(q->v.lane);
	vio_mem_free(q->o.mem);
	q->v.queue = NULL;
	q->v.lane = NULL;
}

/* Its poller may be gone from here on: no other queue of the device may wake it. */
static void vq_idle(struct dev_vq *q)
{
	q->started = false;
	__atomic_store_n(&q->v.poller, NULL, __ATOMIC_RELEASE);
}

static void vq_started(struct vio_msg *m)
{
	struct dev_vq *q = VIO_CONTAINER(m, struct dev_vq, answer_go);

	if (q->start_err)
		vq_idle(q);
	q->start_done(q->start_ctx, q->start_err, q->start_err ? q->sentence : "");
}

/* On the queue's own poller. */
static void vq_start(struct vio_msg *m)
{
	struct dev_vq *q = VIO_CONTAINER(m, struct dev_vq, go);
	int rc = vq_open_lane(q);

	rc = rc ? rc : vq_open_queue(q);
	rc = rc ? rc : vq_watch(q);
	q->start_err = rc;
	q->err = 0;
	q->under_way = 0;
	if (rc) {
		snprintf(q->sentence, sizeof(q->sentence), "%s", vio_errmsg());
		vq_close(q);
		q->phase = VQ_STOPPED;
	} else {
		q->phase = VQ_RUNNING;
		vio_task_add(q->v.poller, &q->task);
	}
	vio_poller_post(q->reply, &q->answer_go);
}

static void vq_stopped(struct vio_msg *m)
{
	struct dev_vq *q = VIO_CONTAINER(m, struct dev_vq, answer_halt);

	vq_idle(q);
	q->stop_done(q->stop_ctx, 0, &q->state);
}

/* All that was taken has been given: save, take everything down, answer. */
void vio__vq_end(struct dev_vq *q)
{
	vio__vq_say(q);
	vio_queue_save(q->v.queue, &q->state);
	vio_queue_kicks(q->v.queue, true); /* the next server of this ring finds kicks on, as on a new one */
	if (q->o.kick_fd >= 0)
		vio_watch_del(q->v.poller, &q->kick);
	vio_task_del(q->v.poller, &q->task);
	vq_close(q);
	q->phase = VQ_STOPPED;
	vio_poller_post(q->reply, &q->answer_halt);
}

static void vq_stop(struct vio_msg *m)
{
	struct dev_vq *q = VIO_CONTAINER(m, struct dev_vq, halt);

	if (q->phase != VQ_RUNNING) { /* its start failed meanwhile */
		vio_poller_post(q->reply, &q->answer_halt);
		return;
	}
	q->phase = VQ_STOPPING;
	vio_task_wake(q->v.poller, &q->task);
}

static void vq_kicked(struct vio_msg *m)
{
	struct dev_vq *q = VIO_CONTAINER(m, struct dev_vq, kicked);

	/* An exchange: who finds it still set has written what is read from here on. */
	__atomic_exchange_n(&q->kick_posted, 0, __ATOMIC_ACQ_REL);
	if (q->phase != VQ_RUNNING)
		return;
	vq_count(&q->stats.kicks, 1);
	vio__vq_coalesced(q);
	vio_task_wake(q->v.poller, &q->task);
}

void vio__vq_init(struct dev_vq *q, struct vio_dev *d, unsigned index)
{
	q->v.dev = d;
	q->v.index = index;
	q->v.stats = &q->stats;
	q->stats.sz = sizeof(q->stats);
	q->task = (struct vio_task){ .run = vio__vq_run, .arm = vio__vq_arm };
	q->go.fn = vq_start;
	q->halt.fn = vq_stop;
	q->answer_go.fn = vq_started;
	q->answer_halt.fn = vq_stopped;
	q->broke.fn = vq_broke;
	q->kicked.fn = vq_kicked;
	vio__vq_coal_init(q);
}

/* Has the driver just made it? A split ring comes back to these indexes after 65,536 requests: that does no
 * harm. */
static bool vq_is_new(const struct dev_vq *q)
{
	const struct vio_queue_state *s = &q->state;
	bool packed = q->v.dev->acked & 1ull << VIRTIO_F_RING_PACKED;

	return !q->o.state || (!s->avail_idx && !s->used_idx && (!packed || (s->avail_wrap && s->used_wrap)));
}

/* A refusal that needs no poller still answers by message, as every start does. */
static void vq_refuse(struct dev_vq *q, int err)
{
	q->start_err = err;
	snprintf(q->sentence, sizeof(q->sentence), "%s", vio_errmsg());
	vio_poller_post(q->reply, &q->answer_go);
}

void vio_vq_start(struct vio_dev *d, unsigned index, struct vio_poller *p, const struct vio_vq_opts *opts,
		  struct vio_poller *reply, void (*done)(void *ctx, int err, const char *sentence), void *ctx)
{
	struct dev_vq *q = index < d->queues ? &dev_full(d)->vqs[index] : NULL;
	int rc;

	if (!q || q->started) {
		rc = q ? vio__fail(EBUSY, "%s: queue %u is running already", d->type->name, index)
		       : vio__fail(EINVAL, "%s: queue %u, there are %u", d->type->name, index, d->queues);
		done(ctx, rc, vio_errmsg());
		return;
	}
	rc = vio__opts(&q->o, sizeof(q->o), opts, "vio_vq_opts");
	q->started = true;
	q->reply = reply;
	q->start_done = done;
	q->start_ctx = ctx;
	if (rc || !q->o.mem) {
		vq_refuse(q, rc ? rc
				: vio__fail(EINVAL, "%s: queue %u has no memory map", d->type->name, index));
		return;
	}
	vio_mem_ref(q->o.mem);
	if (q->o.state)
		q->state = *q->o.state;
	vio__vq_coal_begin(q, vq_is_new(q));
	__atomic_store_n(&q->v.poller, p, __ATOMIC_RELEASE);
	vio_poller_post(p, &q->go);
}

void vio_vq_stop(struct vio_dev *d, unsigned index, struct vio_poller *reply,
		 void (*done)(void *ctx, int err, const struct vio_queue_state *state), void *ctx)
{
	struct dev_vq *q = index < d->queues ? &dev_full(d)->vqs[index] : NULL;

	if (!q || !q->started) {
		done(ctx, -ENOENT, NULL);
		return;
	}
	q->reply = reply;
	q->stop_done = done;
	q->stop_ctx = ctx;
	vio_poller_post(q->v.poller, &q->halt);
}

void vio__vq_pause(struct vio_dev *d, unsigned index, bool paused)
{
	struct dev_vq *q = &dev_full(d)->vqs[index];

	if (__atomic_exchange_n(&q->paused, paused, __ATOMIC_RELEASE) != paused)
		vio_vq_kick(d, index);
}

void vio__vq_renew(struct vio_dev *d, unsigned index)
{
	VIO_STORE_RELEASE(&dev_full(d)->vqs[index].renew, true);
	vio_vq_kick(d, index);
}

void vio_vq_kick(struct vio_dev *d, unsigned index)
{
	struct dev_vq *q = index < d->queues ? &dev_full(d)->vqs[index] : NULL;
	struct vio_poller *p = q ? __atomic_load_n(&q->v.poller, __ATOMIC_ACQUIRE) : NULL;

	if (p && !__atomic_exchange_n(&q->kick_posted, 1, __ATOMIC_ACQ_REL))
		vio_poller_post(p, &q->kicked);
}

int vio_vq_stats(const struct vio_dev *d, unsigned index, struct vio_vq_stats *out)
{
	struct vio_vq_stats now = { .sz = sizeof(now) };

	if (index >= d->queues)
		return vio__fail(ENOENT, "%s: queue %u, there are %u", d->type->name, index, d->queues);
	for (size_t i = 1; i < sizeof(now) / sizeof(uint64_t); i++)
		((uint64_t *)&now)[i] = __atomic_load_n((const uint64_t *)&dev_full(d)->vqs[index].stats + i,
							__ATOMIC_RELAXED);
	vio__out(out, &now, sizeof(now));
	return 0;
}
