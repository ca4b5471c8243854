/* SPDX-License-Identifier: MIT */
/*
 * Blocks that hosts have marked by Write Uncorrectable: reading them fails until they are
 * written. A bit each, in pieces of 64 Ki blocks, so that a write never needs memory to
 * unmark some; how many pieces there may be is bounded, and marking more is refused. All
 * lanes share them under a lock, which no command takes while nothing is marked.
 */
#include "nvme/nv.h"

#define BAD_BLOCKS 65536u /* of a piece */
#define BAD_PIECES 1024u  /* 8 MiB of bits */

struct nv_bad_piece {
	uint64_t index;
	unsigned marked;
	uint64_t bits[BAD_BLOCKS / 64];
};

/* Where the piece is, or would be. */
static unsigned bad_at(const struct nv_bad *b, uint64_t index)
{
	unsigned low = 0, high = b->n;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (b->pieces[middle]->index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct nv_bad_piece *bad_find(const struct nv_bad *b, uint64_t index)
{
	unsigned at = bad_at(b, index);

	return at < b->n && b->pieces[at]->index == index ? b->pieces[at] : NULL;
}

static struct nv_bad_piece *bad_get(struct nv_bad *b, uint64_t index)
{
	struct nv_bad_piece *p = bad_find(b, index);
	unsigned at;

	if (p || b->n == BAD_PIECES)
		return p;
	if (!b->pieces)
		b->pieces = calloc(BAD_PIECES, sizeof(struct nv_bad_piece *));
	p = b->pieces ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return NULL;
	p->index = index;
	at = bad_at(b, index);
	memmove(&b->pieces[at + 1], &b->pieces[at], (b->n - at) * sizeof(struct nv_bad_piece *));
	b->pieces[at] = p;
	VIO_STORE(&b->n, b->n + 1);
	return p;
}

static void bad_drop(struct nv_bad *b, struct nv_bad_piece *p)
{
	unsigned at = bad_at(b, p->index);

	memmove(&b->pieces[at], &b->pieces[at + 1], (b->n - at - 1) * sizeof(struct nv_bad_piece *));
	VIO_STORE(&b->n, b->n - 1);
	free(p);
}

enum bad_what { BAD_MARK, BAD_UNMARK, BAD_ASK };

/* A part of one piece: whether one of its blocks is marked (now, or was). */
static bool bad_bits(struct nv_bad_piece *p, unsigned from, unsigned n, enum bad_what what)
{
	bool any = false;

	for (unsigned i = from; i < from + n; i++) {
		uint64_t *word = &p->bits[i / 64], bit = 1ull << i % 64;
		bool was = *word & bit;

		any |= was;
		if (what == BAD_ASK && was)
			return true;
		if (what == BAD_MARK && !was)
			p->marked++;
		if (what == BAD_UNMARK && was)
			p->marked--;
		*word = what == BAD_MARK ? *word | bit : what == BAD_UNMARK ? *word & ~bit : *word;
	}
	return any;
}

/* n: 64 Ki at most, so of two pieces. */
static bool bad_walk(struct nv_bad *b, uint64_t lba, uint64_t n, enum bad_what what)
{
	bool any = false;

	while (n && !(any && what == BAD_ASK)) {
		unsigned from = lba % BAD_BLOCKS, part = (unsigned)VIO_MIN(n, BAD_BLOCKS - from);
		struct nv_bad_piece *p = bad_find(b, lba / BAD_BLOCKS);

		if (p)
			any |= bad_bits(p, from, part, what);
		if (p && !p->marked)
			bad_drop(b, p);
		lba += part;
		n -= part;
	}
	return any;
}

uint16_t nv_bad_mark(struct nv_ns *ns, uint64_t lba, uint32_t n)
{
	struct nv_bad *b = &ns->bad;
	struct nv_bad_piece *first, *last;
	uint16_t status = 0;

	pthread_mutex_lock(&b->lock);
	first = bad_get(b, lba / BAD_BLOCKS);
	last = first ? bad_get(b, (lba + n - 1) / BAD_BLOCKS) : NULL;
	if (last)
		bad_walk(b, lba, n, BAD_MARK);
	else
		status = NV_NO(NVME_SC_CAP_EXCEEDED);
	if (!last && first && !first->marked)
		bad_drop(b, first);
	pthread_mutex_unlock(&b->lock);
	return status;
}

void nv_bad_unmark(struct nv_ns *ns, uint64_t lba, uint32_t n)
{
	pthread_mutex_lock(&ns->bad.lock);
	bad_walk(&ns->bad, lba, n, BAD_UNMARK);
	pthread_mutex_unlock(&ns->bad.lock);
}

uint16_t nv_bad_status(struct nv_ns *ns, uint64_t lba, uint32_t n)
{
	bool bad;

	pthread_mutex_lock(&ns->bad.lock);
	bad = bad_walk(&ns->bad, lba, n, BAD_ASK);
	pthread_mutex_unlock(&ns->bad.lock);
	return bad ? NV_MEDIA(NVME_SC_READ_ERROR) | NVME_STATUS_DNR : 0;
}

void nv_bad_forget(struct nv_ns *ns)
{
	struct nv_bad *b = &ns->bad;

	pthread_mutex_lock(&b->lock);
	while (b->n)
		bad_drop(b, b->pieces[b->n - 1]);
	free(b->pieces);
	b->pieces = NULL;
	pthread_mutex_unlock(&b->lock);
}
