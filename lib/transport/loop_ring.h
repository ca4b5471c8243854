/* SPDX-License-Identifier: MIT */
/*
 * The loop transport, inside. A call only says what shall be; loop_settle starts
 * and stops queues until it is so, one step at a time, since each step takes time.
 */
#ifndef VIO_TRANSPORT_LOOP_RING_H
#define VIO_TRANSPORT_LOOP_RING_H

#include <virtio-offload/impl/poll.h>
#include <virtio-offload/loop.h>

#include "base/base.h"

struct loop_ring {
	struct vio_loop *t;
	unsigned index;
	uint32_t size;
	uint64_t desc, driver, device;
	struct vio_queue_state state;
	bool resumed;	/* state says where to go on; else the ring is new */
	bool enabled;	/* by vio_loop_set_queue, until its reset or the device's */
	bool resetting; /* by vio_loop_reset_queue */
	bool busy;	/* a start or a stop is under way */
	bool running;
	bool broken; /* by the guest, or would not start: only a reset helps */
};

struct vio_loop {
	struct vio_poller *poller;
	struct vio_dev *dev;
	struct vio_mem *mem;
	struct vio_mem *next_mem; /* shall take mem's place when the queues are quiet; NULL: none */
	void (*interrupt)(void *ctx, unsigned index);
	void *ctx;
	uint64_t features; /* as the driver wrote them */
	uint8_t status;
	bool resetting; /* status 0 was written, and queues still run */
	struct loop_ring *rings;
	unsigned nrings;
};

/* Takes every step that can be taken now towards what the driver asked for. */
void loop_settle(struct vio_loop *t);
/* 0, or -EINVAL: such a ring can't be, with the features acked and the memory there is. */
int loop_ring_check(const struct loop_ring *r);
/* Back to before the driver set it up; it has stopped. */
void loop_ring_clear(struct loop_ring *r);
void loop_interrupt(struct vio_loop *t, unsigned index);

#endif
