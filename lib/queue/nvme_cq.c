/* SPDX-License-Identifier: MIT */
/* Completion queues in guest memory: entries with a phase, and the host's head by a doorbell (NVMe
 * Base 2.0, 3.3.3.2). */
#include "queue/nvme_ring.h"

static bool ring_size_ok(uint32_t size)
{
	return size >= 2 && size <= NRING_ENTRIES_MAX;
}

int nvme_cq_init(struct nvme_cq *cq, const struct nvme_cq_opts *o)
{
	*cq = (struct nvme_cq){ .size = o->size,
				.phase = 1,
				.vector = o->vector,
				.doorbell = o->doorbell,
				.notify = o->notify,
				.owner = o->owner };
	if (!ring_size_ok(o->size) || o->base % NRING_PAGE)
		return vio__fail(EINVAL, "nvme: a completion queue of %u entries at %#llx", o->size,
				 (unsigned long long)o->base);
	cq->ring = vio_mem_ptr(o->mem, o->base, (uint64_t)o->size * sizeof(*cq->ring));
	return cq->ring ? 0
			: vio__fail(EINVAL, "nvme: the completion queue at %#llx is no guest memory",
				    (unsigned long long)o->base);
}

VIO_INLINE uint32_t cq_next(const struct nvme_cq *cq, uint32_t at)
{
	return at + 1 == cq->size ? 0 : at + 1;
}

/* Only when the ring seems full: then any entry could be the next that the host reads. */
static bool cq_look(struct nvme_cq *cq)
{
	uint32_t head = VIO_LOAD_ACQUIRE(cq->doorbell);

	cq->broken = head >= cq->size;
	cq->head = head;
	return !cq->broken;
}

VIO_INLINE bool cq_room(struct nvme_cq *cq)
{
	return VIO_LIKELY(cq_next(cq, cq->tail) != cq->head) ||
	       (cq_look(cq) && cq_next(cq, cq->tail) != cq->head);
}

VIO_INLINE void cq_post(struct nvme_cq *cq, const struct nvme_req *r)
{
	const struct nvme_sq *sq = nvme_sq_of(r->q);
	uint64_t *entry = (uint64_t *)&cq->ring[cq->tail];
	const struct nvme_cqe e = { .result = r->result,
				    .sqhd = (uint16_t)sq->head,
				    .sqid = sq->id,
				    .cid = r->cmd.cid,
				    .status = (uint16_t)(r->status | cq->phase) };
	uint64_t half[2];

	memcpy(half, &e, sizeof(half));
	VIO_STORE(&entry[0], half[0]);
	VIO_STORE_RELEASE(&entry[1], half[1]); /* with the phase */
	if (VIO_UNLIKELY(cq->log != NULL))
		vio__log_mark(cq->log, entry, sizeof(e));
	cq->tail = cq_next(cq, cq->tail);
	cq->phase ^= !cq->tail;
	cq->unsaid++;
}

VIO_INLINE void sq_release(struct nvme_sq *sq, struct nvme_req *r)
{
	sq->cids[r->cmd.cid / 64] &= ~(1ull << r->cmd.cid % 64);
	sq->free[sq->nfree++] = VIO_CONTAINER(r, struct nring_slot, r);
	if (VIO_UNLIKELY(sq->stopped && sq->nfree == sq->nslots))
		sq->ended(sq);
}

/* Of a deleted queue nothing is posted: its completions would be another's. */
VIO_INLINE bool cq_posts(const struct nvme_cq *cq, const struct nvme_sq *sq)
{
	return VIO_LIKELY(!sq->stopped && !cq->broken);
}

void vio__nvme_cq_give(struct nvme_queue *q, struct nvme_req *r)
{
	struct nvme_sq *sq = nvme_sq_of(q);
	struct nvme_cq *cq = sq->cq;

	if (VIO_UNLIKELY(cq_posts(cq, sq) && (cq->full.head || !cq_room(cq)) && !cq->broken)) {
		nvme_reqs_push(&cq->full, r);
		return;
	}
	if (cq_posts(cq, sq))
		cq_post(cq, r);
	sq_release(sq, r);
}

static void cq_flush_full(struct nvme_cq *cq)
{
	struct nvme_req *r;

	while ((r = cq->full.head) && (!cq_posts(cq, nvme_sq_of(r->q)) || cq_room(cq) || cq->broken)) {
		struct nvme_sq *sq = nvme_sq_of(r->q);

		nvme_reqs_pop(&cq->full);
		if (cq_posts(cq, sq))
			cq_post(cq, r);
		sq_release(sq, r);
	}
}

void nvme_cq_flush(struct nvme_cq *cq)
{
	if (VIO_UNLIKELY(cq->full.head))
		cq_flush_full(cq);
	if (!cq->unsaid)
		return;
	cq->notify(cq);
	cq->unsaid = 0;
}

void nvme_cq_restore(struct nvme_cq *cq, uint32_t tail, uint16_t phase)
{
	cq->tail = tail;
	cq->head = cq_next(cq, tail); /* it seems full: the doorbell is read before anything is posted */
	cq->phase = phase;
}

void nvme_cq_hold(struct nvme_cq *cq)
{
	cq->held = cq->head = cq_next(cq, cq->tail);
	cq->doorbell = &cq->held;
	cq->log = NULL;
}

int nvme_cq_remap(struct nvme_cq *cq, const struct vio_mem *mem, uint64_t base, const uint32_t *doorbell)
{
	cq->ring = vio_mem_ptr(mem, base, (uint64_t)cq->size * sizeof(*cq->ring));
	if (!cq->ring)
		return vio__fail(EFAULT, "nvme: the completion queue at %#llx is no guest memory",
				 (unsigned long long)base);
	cq->doorbell = doorbell; /* which is read anew, for the queue still seems full */
	return 0;
}
