/* SPDX-License-Identifier: MIT */
/*
 * From descriptors to a request's vector. Each descriptor comes in as a local copy;
 * nothing here looks at guest memory.
 *
 * A format walks each chain with struct chain_fast, which the compiler keeps in
 * registers and which gives up at anything unusual: another region, a long chain, a
 * mistake. The walk then starts anew with struct chain, which
 * knows all of that and says what is wrong. Nothing of the first walk is kept, so no
 * fact is ever taken from two looks at the same descriptor.
 */
#ifndef VIO_QUEUE_CHAIN_H
#define VIO_QUEUE_CHAIN_H

#include "queue/queue.h"

struct chain_fast {
	struct iovec *iov, *end;
	uint64_t guest, size;	/* the region that matched last */
	char *ptr;
};

VIO_INLINE struct chain_fast chain_fast_begin(const struct queue_req *s, struct mem_range range)
{
	return (struct chain_fast){ .iov = s->own, .end = s->own + QUEUE_INLINE_SEGMENTS, .guest = range.guest,
				    .size = range.size, .ptr = range.ptr };
}

/* One descriptor's buffer, or false: start anew the slow way. The second test catches a length of 0 too. */
VIO_INLINE bool chain_fast_add(struct chain_fast *c, uint64_t addr, uint32_t len)
{
	uint64_t off = addr - c->guest;

	if (VIO_UNLIKELY(off >= c->size) || VIO_UNLIKELY((uint64_t)len - 1 >= c->size - off) || VIO_UNLIKELY(c->iov == c->end))
		return false;
	*c->iov++ = (struct iovec){ c->ptr + off, len };
	return true;
}

/* An indirect table in that region, in whole descriptors and on a word boundary; NULL: start anew the slow way. */
VIO_INLINE const uint64_t *chain_fast_table(const struct chain_fast *c, uint64_t addr, uint32_t len)
{
	uint64_t off = addr - c->guest;

	if (off >= c->size || (uint64_t)len - 1 >= c->size - off || len % 16 || (uintptr_t)(c->ptr + off) % 8)
		return NULL;
	return (const uint64_t *)(c->ptr + off);
}

#define CHAIN_KIND (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

VIO_INLINE void chain_fill(struct queue_req *s, struct iovec *buf, unsigned n, unsigned nout)
{
	s->r.buf = buf;
	s->r.nout = (uint16_t)nout;
	s->r.nin = (uint16_t)(n - nout);
	s->r.written = 0;
}

/* As chain_fast_add and chain_fill, for a chain that is one buffer. */
VIO_INLINE void chain_fill_one(struct queue_req *s, void *ptr, uint32_t len, unsigned writable)
{
	struct iovec *own = s->own;

	*own = (struct iovec){ ptr, len };
	s->r.buf = own;
	s->r.nout = (uint16_t)(writable ^ 1);
	s->r.nin = (uint16_t)writable;
	s->r.written = 0;
}

struct chain {
	struct queue_req *s;
	struct iovec *iov;
	unsigned n, max;	/* entries used, and room for */
	unsigned nout;
	unsigned steps;		/* descriptors of the ring seen */
	bool writable;
};

VIO_INLINE struct chain chain_begin(struct queue_req *s)
{
	return (struct chain){ .s = s, .iov = s->own, .max = QUEUE_INLINE_SEGMENTS };
}

/*
 * One descriptor's buffer, split where it spans regions; a zero length is legal and
 * adds nothing. 0; -EBADMSG with the queue stopped; -ENOBUFS: no large vector is free
 * now, take again when some requests were given.
 */
int vio__chain_add(struct vio_queue *q, struct chain *c, uint64_t addr, uint32_t len, unsigned flags);

/* The descriptors of an indirect table (2.7.5.3, 2.8.7): split tables are linked by next, packed ones run on. */
int vio__chain_indirect(struct vio_queue *q, struct chain *c, uint64_t addr, uint32_t len, unsigned flags);

#endif
