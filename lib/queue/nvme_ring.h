/* SPDX-License-Identifier: MIT */
/*
 * NVMe queues in guest memory (NVMe Base 2.0, 3.3): submission queues that are struct
 * nvme_queue, and the completion queue that one or several of them share. nvme_sq.c takes
 * commands, nvme_cq.c answers them, nvme_prp.c and nvme_sgl.c find a command's data.
 *
 * Doorbells are words in memory that the host writes, or that the transport writes for it;
 * with Doorbell Buffer Config (5.8) they are the shadow doorbells. A page is 4 KiB
 * (CC.MPS 0).
 *
 * How long a command's data is, its opcode and namespace say, so the controller does: `data`
 * of nvme_queue_ops. What a read or a write moves is left where the host has it (iov); all
 * other data is bounced through a buffer of the pool, and so read once.
 */
#ifndef VIO_QUEUE_NVME_RING_H
#define VIO_QUEUE_NVME_RING_H

#include "base/barrier.h"
#include "mem/log.h"
#include "queue/nvme_queue.h"

#define NRING_PAGE 4096u
#define NRING_SEGMENTS 65u /* 256 KiB that begin within a page; descriptors of an SGL, too */
#define NRING_ENTRIES_MAX 4096u

/* Where a command's data lies. */
struct nvme_map {
	struct iovec *iov; /* NRING_SEGMENTS */
	unsigned n;
	const struct vio_mem *mem;
	struct mem_range range; /* the one that matched last */
};

VIO_INLINE struct nvme_map nvme_map(struct iovec *iov, const struct vio_mem *mem, struct mem_range last)
{
	return (struct nvme_map){ .iov = iov, .mem = mem, .range = last };
}

/* One more piece, which may lie in several regions; a status. */
uint16_t vio__nvme_map_add(struct nvme_map *m, uint64_t addr, uint64_t len);

/* There is room for one more. What goes on where the last piece ends becomes a part of it. */
VIO_INLINE void nvme_map_push(struct nvme_map *m, char *at, uint64_t len)
{
	struct iovec *last = m->iov + m->n - 1;

	if (m->n && (char *)last->iov_base + last->iov_len == at)
		last->iov_len += len;
	else
		m->iov[m->n++] = (struct iovec){ at, len };
}

/* The same in the region that matched last; false: it is not there. */
VIO_INLINE bool nvme_map_add_fast(struct nvme_map *m, uint64_t addr, uint64_t len)
{
	uint64_t off = addr - m->range.guest;

	if (VIO_UNLIKELY(off >= m->range.size || len > m->range.size - off || m->n == NRING_SEGMENTS))
		return false;
	nvme_map_push(m, m->range.ptr + off, len);
	return true;
}

/* The len bytes that a command's PRPs name (4.1.1), or its SGL (4.1.2, all of it): a status. len is at most
 * 256 KiB. */
uint16_t vio__nvme_prp(struct nvme_map *m, uint64_t prp1, uint64_t prp2, uint32_t len);
uint16_t vio__nvme_sgl(struct nvme_map *m, struct nvme_sgl first, uint32_t len);

/* A completion queue; one thread's. */
struct nvme_cq {
	struct nvme_cqe *ring;
	uint32_t size;	     /* entries, 2 or more */
	uint32_t tail, head; /* head: as the doorbell last said */
	uint16_t phase;
	uint16_t vector;
	const uint32_t *doorbell; /* the host's head */
	uint32_t *event;	  /* where it wants to be told that it is waited for; or NULL */
	struct nvme_reqs full;	  /* answers that wait for room */
	unsigned unsaid;	  /* posted since the last flush */
	unsigned sqs;		  /* that answer here */
	bool broken;		  /* its doorbell said what can't be */
	struct mem_log *log;	  /* what is written in the host's memory; or NULL */
	uint32_t held;		  /* stands for the doorbell while nothing is posted */
	void (*notify)(struct nvme_cq *cq); /* of `unsaid` entries */
	void *owner;
};

struct nring_slot {
	struct nvme_req r;
	uint16_t at; /* in `slots` */
};

/* A submission queue; the same thread's. */
struct nvme_sq {
	struct nvme_queue q;
	const struct nvme_cmd *ring;
	uint32_t size; /* entries, 2 or more */
	uint32_t head;
	uint16_t id;
	bool broken;		  /* its doorbell said what can't be: nothing is taken any more */
	bool stopped;		  /* deleted: nothing is taken any more */
	const uint32_t *doorbell; /* the host's tail */
	uint32_t *event;	  /* the tail from which on it rings; NULL: it always does */
	struct nvme_cq *cq;
	struct vio_mem *mem; /* a reference */
	struct mem_log *log; /* or NULL */
	struct mem_range range;
	unsigned nslots, nfree;
	struct nring_slot *slots;
	struct nring_slot **free;
	struct iovec *iov;		   /* NRING_SEGMENTS for each slot */
	uint64_t *cids;			   /* a bit each: in use */
	struct nvme_req *half;		   /* the first half of a fused command, taken last */
	void (*ended)(struct nvme_sq *sq); /* stopped, and all was given back */
};

struct nvme_cq_opts {
	const struct vio_mem *mem;
	uint64_t base; /* page-aligned */
	uint32_t size;
	uint16_t vector;
	const uint32_t *doorbell;
	void (*notify)(struct nvme_cq *cq);
	void *owner;
};
/* -EINVAL: the ring is no guest memory, or its size can't be. */
int nvme_cq_init(struct nvme_cq *cq, const struct nvme_cq_opts *o);

struct nvme_sq_opts {
	struct vio_mem *mem;
	struct nvme_pool *pool;
	uint64_t base;
	uint32_t size;
	unsigned slots; /* commands under way, at most */
	uint16_t id;
	const uint32_t *doorbell;
	struct nvme_cq *cq;
	void (*ended)(struct nvme_sq *sq);
};
int nvme_sq_init(struct nvme_sq *sq, const struct nvme_sq_opts *o);
/* All was given back. */
void nvme_sq_fini(struct nvme_sq *sq);

/* Up to n commands (2 or more, where some are fused), or -EBADMSG: the doorbell broke the ring, for good. */
int nvme_sq_take(struct nvme_sq *sq, struct nvme_req **r, unsigned n);
/* Takes nothing any more; `ended` comes when all is back, perhaps at once. */
void nvme_sq_stop(struct nvme_sq *sq);
/* After the regions have changed; nothing is under way. Returns -EFAULT if the ring is no longer there. */
int nvme_sq_remap(struct nvme_sq *sq, struct vio_mem *mem, uint64_t base);
/*
 * A queue that was elsewhere, before anything is taken: one of its commands, with its id alone, that was
 * taken there and has no answer yet. NULL: there is no such id, or no room.
 */
struct nvme_req *nvme_sq_restore(struct nvme_sq *sq, uint16_t cid);
/* As vio_queue_kicks: on, the host rings for the next command; true: there already is one. */
bool nvme_sq_kicks(struct nvme_sq *sq, bool on);

/* An answer: posted, or kept until there is room; the host is not told yet. */
void vio__nvme_cq_give(struct nvme_queue *q, struct nvme_req *r);
/* Posts what waited for room, then notifies if anything was posted since the last time. */
void nvme_cq_flush(struct nvme_cq *cq);
/* The same, from where another has left it. */
void nvme_cq_restore(struct nvme_cq *cq, uint32_t tail, uint16_t phase);
/* Posts nothing any more: answers wait as if there were no room, until the next remap. */
void nvme_cq_hold(struct nvme_cq *cq);
/* After hold, with the regions as they are now. -EFAULT: the ring is not there; it stays held, its ring NULL.
 */
int nvme_cq_remap(struct nvme_cq *cq, const struct vio_mem *mem, uint64_t base, const uint32_t *doorbell);

VIO_INLINE struct nvme_sq *nvme_sq_of(struct nvme_queue *q)
{
	return VIO_CONTAINER(q, struct nvme_sq, q);
}

#endif
