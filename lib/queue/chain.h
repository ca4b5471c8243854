/* SPDX-License-Identifier: MIT */
/*
 * From descriptors to a request's vector. Each descriptor comes in as a local copy;
 * nothing here looks at guest memory. Buffers that span regions are split at the border.
 */
#ifndef VIO_QUEUE_CHAIN_H
#define VIO_QUEUE_CHAIN_H

#include "queue/queue.h"

struct chain {
	struct queue_req *s;
	struct iovec *iov;
	unsigned n, max;	/* entries used, and room for */
	unsigned nout;
	unsigned steps;		/* descriptors seen, bounded by chain_limit */
	bool writable;		/* a device-writable one came */
};

VIO_INLINE struct chain chain_begin(struct queue_req *s)
{
	return (struct chain){ .s = s, .iov = s->own, .max = QUEUE_INLINE_SEGMENTS };
}

VIO_INLINE void chain_end(const struct chain *c)
{
	c->s->r.buf = c->iov;
	c->s->r.nout = (uint16_t)c->nout;
	c->s->r.nin = (uint16_t)(c->n - c->nout);
	c->s->r.written = 0;
}

/* 0, -EBADMSG with the queue stopped, or -ENOBUFS: no large vector is free now, try when some are back. */
int vio__chain_add_slow(struct vio_queue *q, struct chain *c, uint64_t addr, uint32_t len, bool write);

/* One descriptor's buffer. A zero length is legal and adds nothing. */
VIO_INLINE int chain_add(struct vio_queue *q, struct chain *c, uint64_t addr, uint32_t len, unsigned flags)
{
	bool write = flags & VRING_DESC_F_WRITE;

	if (VIO_UNLIKELY((c->writable && !write) || !len || c->n == c->max ||
			 !vio__range_has(&q->range, addr, len)))
		return vio__chain_add_slow(q, c, addr, len, write);
	c->iov[c->n++] = (struct iovec){ q->range.ptr + (addr - q->range.guest), len };
	c->writable |= write;
	c->nout += !write;
	return 0;
}

/* The descriptors of an indirect table (2.7.5.3, 2.8.7): split tables are linked by next, packed ones run on. */
int vio__chain_indirect(struct vio_queue *q, struct chain *c, uint64_t addr, uint32_t len, unsigned flags);

#endif
