/* SPDX-License-Identifier: MIT */
/*
 * A device and its queues from within: dev.c is what all types share, vq.c runs a queue, vq_life.c starts and
 * stops it, vq_coal.c puts its notifications off.
 */
#ifndef VIO_DEVICE_DEVICE_H
#define VIO_DEVICE_DEVICE_H

#include "base/base.h"

#include <virtio-offload/impl/backend.h>
#include <virtio-offload/impl/device.h>

enum vq_state {
	VQ_STOPPED,
	VQ_RUNNING,
	VQ_STOPPING,	/* takes nothing more; ends when all is given */
};

/* When a queue asks whether its guest wants to be notified. */
struct vq_coal {
	uint64_t by;		/* packets << 32 | microseconds, 0: after each pass; written by any thread */
	uint64_t by_anew;	/* what a new ring begins with */
	struct vio_timer timer;
	bool waits;		/* it is set, for this: */
	uint64_t waits_by;
	uint64_t since;		/* when the first request was used of those that nothing was said of */
	uint64_t said;		/* stats.requests when the guest was last asked */
	uint64_t parts;		/* requests since then that only go on with another's packet */
};

/*
 * One queue. The control thread writes it while it is stopped; from start's post to
 * stop's reply it is its poller's. Messages carry it across; each has one use at a time.
 */
struct dev_vq {
	struct vio_vq v;
	struct vio_task task;
	struct vio_watch kick;
	struct vio_vq_opts o;
	struct vio_queue_state state;	/* o.state's copy at start; the answer at stop */
	enum vq_state phase;		/* the poller's */
	bool started;			/* the control thread's: start was called, stop's reply is not here */
	bool measure;
	bool recv;			/* its lane receives: what is under way waits for packets */
	bool paused, renew;		/* as vio__vq_pause and vio__vq_renew say; written by any thread */
	unsigned under_way;		/* submitted to the lane and not reaped */
	unsigned ahead;			/* of those that came up, not in the batch that finish has; a RECV queue's only */
	struct vq_coal coal;
	struct vio_poller *reply;
	struct vio_msg go, answer_go, halt, answer_halt, broke, kicked;
	int kick_posted;
	void (*start_done)(void *ctx, int err, const char *sentence);
	void (*stop_done)(void *ctx, int err, const struct vio_queue_state *state);
	void *start_ctx, *stop_ctx;
	int start_err;
	int err;			/* why it takes nothing more: the guest broke its ring */
	char sentence[192];
	struct vio_vq_stats stats;
};

struct dev {
	struct vio_dev d;
	struct dev_vq *vqs;
	void *config;		/* as it was last told, then room for it as it is now */
	void (*changed)(void *ctx);
	void *changed_ctx;
	_Alignas(VIO_CACHELINE) char priv[];
};

/* A member younger than the type's writer is not there. */
#define DEV_HAS(t, member) ((t)->sz > offsetof(struct vio_device_type, member) && (t)->member)

static inline struct dev *dev_full(const struct vio_dev *d)
{
	return VIO_CONTAINER(d, struct dev, d);
}

/* Counters have one writer; readers in other threads may see them a little late. */
VIO_INLINE void vq_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Each request carries when it was taken, in front of the device's scratch. */
#define VQ_STAMP_BYTES 16

void vio__vq_init(struct dev_vq *q, struct vio_dev *d, unsigned index);
unsigned vio__vq_run(struct vio_task *t, unsigned budget);
bool vio__vq_arm(struct vio_task *t, bool on);
/* All that was taken has been given, and the queue is to stop: takes everything down and answers. */
void vio__vq_end(struct dev_vq *q);

/* vq_coal.c: once, and with each start, before the queue's poller hears of it. */
void vio__vq_coal_init(struct dev_vq *q);
void vio__vq_coal_begin(struct dev_vq *q, bool anew);
/* On that poller. The guest sees what was given; it is asked now or later. In place of a flush, while coal.by is not 0. */
void vio__vq_publish(struct dev_vq *q);
/* It is asked now. */
void vio__vq_say(struct dev_vq *q);
/* coal.by may have changed. */
void vio__vq_coalesced(struct dev_vq *q);

/* This request only goes on with the packet of the one before. */
VIO_INLINE void vq_part(struct vio_vq *q)
{
	VIO_CONTAINER(q, struct dev_vq, v)->coal.parts++;
}

/* How many requests lie behind those that finish is given, where a RECV queue's device may look at them. */
VIO_INLINE unsigned vq_ahead(const struct vio_vq *q)
{
	return VIO_CONTAINER(q, const struct dev_vq, v)->ahead;
}

/* Was it started, and its stop not answered yet? Any thread. */
VIO_INLINE bool vq_runs(const struct vio_dev *d, unsigned index)
{
	return __atomic_load_n(&dev_full(d)->vqs[index].v.poller, __ATOMIC_ACQUIRE);
}

/*
 * For a device whose guest says how often to notify it: once so many packets or so many microseconds have
 * come together, at once if either is 0. anew: a ring that is reset begins with that, too. Any thread that
 * runs one of the device's queues, or the control thread while none runs.
 */
void vio__vq_coalesce(struct vio_dev *d, unsigned index, uint32_t packets, uint32_t usecs, bool anew);
void vio__vq_coalesces(const struct vio_dev *d, unsigned index, uint32_t *packets, uint32_t *usecs);

/*
 * For a device whose control queue changes what others do: any thread that runs one of its
 * queues, or the control thread while none runs. A paused queue takes nothing, and its
 * RECVs that wait for packets are back in the ring; renewed ones are taken anew. It
 * happens in the queue's next pass; what had come until then still comes up.
 */
void vio__vq_pause(struct vio_dev *d, unsigned index, bool paused);
void vio__vq_renew(struct vio_dev *d, unsigned index);

#endif
