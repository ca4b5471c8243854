/* SPDX-License-Identifier: MIT */
#include "queue/chain.h"

/* Moves a request that outgrew its own vector to a large one. */
static int chain_grow(struct vio_queue *q, struct chain *c)
{
	if (c->s->block)
		return vio__queue_break(q, "a chain has more than %u segments", q->max_segments);
	if (!q->nblocks) {
		q->starved = true;
		return -ENOBUFS;
	}
	c->s->block = q->blocks[--q->nblocks];
	memcpy(c->s->block, c->iov, c->n * sizeof(*c->iov));
	c->iov = c->s->block;
	c->max = q->max_segments;
	return 0;
}

/* The part of addr..addr+len that lies in one region; leaves that region as the one to try first. */
static uint64_t chain_piece(struct vio_queue *q, uint64_t addr, uint64_t len)
{
	const struct mem_range *g = vio__mem_find(q->mem, addr);

	if (!g)
		return 0;
	q->range = *g;
	return VIO_MIN(len, g->size - (addr - g->guest));
}

int vio__chain_add(struct vio_queue *q, struct chain *c, uint64_t addr, uint32_t len, unsigned flags)
{
	bool write = flags & VRING_DESC_F_WRITE;
	uint64_t left = len, piece;
	int rc;

	if (c->writable && !write)
		return vio__queue_break(q, "a device-readable descriptor follows a device-writable one");
	if (len && addr > UINT64_MAX - (len - 1))
		return vio__queue_break(q, "buffer %#llx+%#x wraps around", (unsigned long long)addr, len);
	for (; left; left -= piece, addr += piece) {
		if (c->n == c->max && (rc = chain_grow(q, c)))
			return rc;
		piece = chain_piece(q, addr, left);
		if (!piece)
			return vio__queue_break(q, "buffer at %#llx, %#llx bytes of it, is not guest memory",
						(unsigned long long)addr, (unsigned long long)left);
		c->iov[c->n++] = (struct iovec){ q->range.ptr + (addr - q->range.guest), piece };
		c->nout += !write;
	}
	c->writable |= write;
	return 0;
}

static int chain_table(struct vio_queue *q, const struct chain *c, uint64_t addr, uint32_t len, unsigned flags,
		       const char **table)
{
	if (!q->indirect)
		return vio__queue_break(q, "an indirect descriptor, but VIRTIO_F_INDIRECT_DESC was not negotiated");
	if (flags & VRING_DESC_F_NEXT || (q->packed && c->steps > 1))
		return vio__queue_break(q, "an indirect descriptor that is part of a longer chain");
	if (!len || len % 16)
		return vio__queue_break(q, "an indirect table of %u bytes, expected a multiple of 16", len);
	*table = vio_mem_ptr(q->mem, addr, len);
	if (!*table)
		return vio__queue_break(q, "an indirect table of %u bytes at %#llx is not in one region", len,
					(unsigned long long)addr);
	return 0;
}

/* Where an indirect descriptor's successor is; `count`: it was the last. */
static unsigned chain_next(const struct vio_queue *q, unsigned i, unsigned count, unsigned flags, uint64_t word)
{
	if (q->packed)
		return i + 1;
	return flags & VRING_DESC_F_NEXT ? (unsigned)(word >> 48) : count;
}

static int chain_indirect_one(struct vio_queue *q, struct chain *c, uint64_t addr, uint64_t word, unsigned flags,
			      unsigned next, unsigned count)
{
	if (flags & VRING_DESC_F_INDIRECT)
		return vio__queue_break(q, "an indirect table inside an indirect table");
	if (next > count || (next == count && !q->packed && flags & VRING_DESC_F_NEXT))
		return vio__queue_break(q, "next %u in an indirect table of %u", next, count);
	return vio__chain_add(q, c, addr, (uint32_t)word, flags);
}

/* A table may lie at any address (2.7.5.3 asks for no alignment), so no plain loads. */
static void chain_load(const char *at, uint64_t *addr, uint64_t *word)
{
	memcpy(addr, at, sizeof(*addr));
	memcpy(word, at + sizeof(*addr), sizeof(*word));
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* the copies are what counts from here on */
}

int vio__chain_indirect(struct vio_queue *q, struct chain *c, uint64_t addr, uint32_t len, unsigned flags)
{
	const unsigned most = q->size + q->max_segments; /* empty ones count too */
	const char *table = NULL;
	unsigned count = len / 16, i = 0, steps = 0;
	int rc = chain_table(q, c, addr, len, flags, &table);

	while (!rc && i < count) {
		uint64_t at, word;
		unsigned f, next;

		chain_load(table + 16ull * i, &at, &word);
		/* A split descriptor ends in flags, next; a packed one in id, flags. */
		f = (uint16_t)(word >> (q->packed ? 48 : 32));
		next = chain_next(q, i, count, f, word);
		if (++steps > VIO_MIN(count, most))
			return vio__queue_break(q, steps > count ? "an indirect table of %u descriptors goes in circles" :
						"a chain in an indirect table has more than %u descriptors",
						VIO_MIN(count, most));
		rc = chain_indirect_one(q, c, at, word, f, next, count);
		i = next;
	}
	return rc;
}
