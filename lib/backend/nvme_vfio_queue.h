/* SPDX-License-Identifier: MIT */
/*
 * A pair of NVMe queues from the driver's end (NVMe Base 2.0, 3.3.1): commands go in at the submission
 * queue's tail, answers are told from old entries by their phase. There are never more commands under way
 * than the rings have entries less one, so neither can be overrun, and how far the controller has read need
 * not be known.
 *
 * With shadow doorbells (5.8) the values go into memory, and the register is written only when the controller
 * asks.
 */
#ifndef VIO_BACKEND_NVME_VFIO_QUEUE_H
#define VIO_BACKEND_NVME_VFIO_QUEUE_H

#include "backend/nvme_vfio_function.h"
#include "base/barrier.h"
#include "wire/nvme.h"

struct drive_bell {
	uint64_t at;	  /* in the BAR */
	uint32_t *shadow; /* NULL: there is none */
	uint32_t *event;  /* the controller's: the value after which it wants to be told */
	uint32_t said;
};

struct drive_queue {
	struct nvme_cmd *sq;
	struct nvme_cqe *cq;
	uint32_t entries; /* of each, 2 or more */
	uint32_t tail, head;
	uint16_t phase;
	uint16_t qid;
	struct drive_bell sq_bell, cq_bell;
};

/* Empty rings, for a controller that knows nothing of the queue yet. */
VIO_INLINE void drive_queue_clear(struct drive_queue *q)
{
	memset(q->cq, 0, q->entries * sizeof(*q->cq));
	q->tail = q->head = 0;
	q->phase = 1;
	q->sq_bell.said = q->cq_bell.said = 0;
	if (!q->sq_bell.shadow)
		return;
	VIO_STORE(q->sq_bell.shadow, 0);
	VIO_STORE(q->sq_bell.event, 0);
	VIO_STORE(q->cq_bell.shadow, 0);
	VIO_STORE(q->cq_bell.event, 0);
}

VIO_INLINE void drive_queue_post(struct drive_queue *q, const struct nvme_cmd *c)
{
	memcpy(&q->sq[q->tail], c, sizeof(*c));
	q->tail = q->tail + 1 == q->entries ? 0 : q->tail + 1;
}

/* Whether `event` was passed on the way from `said` to `now`; all count round. */
VIO_INLINE bool drive_bell_due(uint32_t event, uint32_t said, uint32_t now)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - said);
}

VIO_INLINE void drive_bell_ring(struct function *f, struct drive_bell *b, uint32_t now)
{
	uint32_t said = b->said;

	if (said == now)
		return;
	b->said = now;
	if (b->shadow) {
		VIO_STORE_RELEASE(b->shadow, now);
		vio__full_barrier(); /* the shadow is seen before what the controller asks for is read */
		if (!drive_bell_due(VIO_LOAD(b->event), said, now))
			return;
	}
	function_ring(f, b->at, now);
}

/* An answer's second half, which has the phase, in one piece: sqhd, sqid, cid, status. */
VIO_INLINE uint64_t drive_queue_peek(const struct drive_queue *q)
{
	return VIO_LOAD_ACQUIRE((const uint64_t *)&q->cq[q->head] + 1);
}

VIO_INLINE bool drive_queue_pending(const struct drive_queue *q)
{
	return (drive_queue_peek(q) >> 48 & 1) == q->phase;
}

/* The next answer, read once; false: there is none. */
VIO_INLINE bool drive_queue_take(struct drive_queue *q, struct nvme_cqe *e)
{
	uint64_t half = drive_queue_peek(q);

	if ((half >> 48 & 1) != q->phase)
		return false;
	e->result = VIO_LOAD(&q->cq[q->head].result);
	e->sqhd = (uint16_t)half;
	e->sqid = (uint16_t)(half >> 16);
	e->cid = (uint16_t)(half >> 32);
	e->status = (uint16_t)(half >> 48) & (uint16_t)~1u;
	if (++q->head == q->entries) {
		q->head = 0;
		q->phase ^= 1;
	}
	return true;
}

#endif
