/* SPDX-License-Identifier: MIT */
/* Written pages, by region. */
#include "mem/log.h"

#define LOG_WORD 64u

static uint64_t log_words(uint64_t size)
{
	uint64_t pages = ((size - 1) >> LOG_PAGE_SHIFT) + 1;

	return (pages - 1) / LOG_WORD + 1;
}

/* The same region's bits change owners; NULL: there are none. */
static uint64_t *log_inherit(struct mem_log *old, const struct mem_range *m)
{
	for (unsigned i = 0; old && i < old->n; i++) {
		uint64_t *bits = old->r[i].bits;

		if (old->r[i].mem.guest != m->guest || old->r[i].mem.ptr != m->ptr ||
		    old->r[i].mem.size != m->size)
			continue;
		old->r[i].bits = NULL;
		return bits;
	}
	return NULL;
}

static bool log_known(const struct mem_log *old, const struct mem_range *m)
{
	for (unsigned i = 0; old && i < old->n; i++)
		if (old->r[i].mem.guest == m->guest && old->r[i].mem.ptr == m->ptr &&
		    old->r[i].mem.size == m->size)
			return true;
	return false;
}

void vio__log_free(struct mem_log *log)
{
	for (unsigned i = 0; log && i < log->n; i++)
		free(log->r[i].bits);
	free(log);
}

/* What may fail comes first, so that the old one stays whole. */
int vio__log_new(struct mem_log **out, const struct vio_mem *mem, struct mem_log *old)
{
	struct mem_log *log = calloc(1, sizeof(*log) + mem->n * sizeof(log->r[0]));
	bool ok = log;

	*out = NULL;
	for (unsigned i = 0; ok && i < mem->n; i++) {
		struct mem_log_range *r = &log->r[log->n++];

		r->mem = mem->ranges[i];
		if (!log_known(old, &r->mem))
			r->bits = calloc(log_words(r->mem.size), sizeof(uint64_t));
		ok = r->bits || log_known(old, &r->mem);
	}
	if (!ok) {
		vio__log_free(log);
		return vio__fail(ENOMEM, "memory map: out of memory for a log of what is written");
	}
	for (unsigned i = 0; i < log->n; i++)
		if (!log->r[i].bits)
			log->r[i].bits = log_inherit(old, &log->r[i].mem);
	vio__log_free(old);
	*out = log;
	return 0;
}

void vio__log_mark(struct mem_log *log, const void *at, uint64_t len)
{
	for (unsigned i = 0; len && i < log->n; i++) {
		const struct mem_log_range *r = &log->r[i];
		uint64_t off = (uintptr_t)at - (uintptr_t)r->mem.ptr, page, last;

		if (off >= r->mem.size)
			continue;
		last = (off + VIO_MIN(len, r->mem.size - off) - 1) >> LOG_PAGE_SHIFT;
		for (page = off >> LOG_PAGE_SHIFT; page <= last; page++)
			__atomic_or_fetch(&r->bits[page / LOG_WORD], 1ull << page % LOG_WORD,
					  __ATOMIC_SEQ_CST);
		return;
	}
}

/* Of one word: the bits from first to last. */
static uint64_t log_take_word(uint64_t *word, unsigned first, unsigned last)
{
	uint64_t mask = UINT64_MAX << first & UINT64_MAX >> (LOG_WORD - 1 - last);

	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & mask))
		return 0;
	return __atomic_fetch_and(word, ~mask, __ATOMIC_SEQ_CST) & mask;
}

/* from and to: bytes of the region, the last of them to. guest: what the first bit of `bits` stands for. */
static void log_take_range(const struct mem_log_range *r, uint64_t from, uint64_t to, uint64_t guest,
			   unsigned shift, uint8_t *bits)
{
	uint64_t page = from >> LOG_PAGE_SHIFT, last = to >> LOG_PAGE_SHIFT;

	while (page <= last) {
		uint64_t base = page / LOG_WORD * LOG_WORD, end = VIO_MIN(last, base + LOG_WORD - 1);
		uint64_t found = log_take_word(&r->bits[page / LOG_WORD], (unsigned)(page - base),
					       (unsigned)(end - base));

		for (; found; found &= found - 1) {
			uint64_t at = (base + (unsigned)__builtin_ctzll(found)) << LOG_PAGE_SHIFT;
			uint64_t bit = (r->mem.guest + at - guest) >> shift;

			bits[bit / 8] |= (uint8_t)(1u << bit % 8);
		}
		page = end + 1;
	}
}

void vio__log_take(struct mem_log *log, uint64_t guest, uint64_t len, unsigned shift, uint8_t *bits)
{
	for (unsigned i = 0; len && i < log->n; i++) {
		const struct mem_range *m = &log->r[i].mem;
		uint64_t from = guest > m->guest ? guest - m->guest : 0, last = guest + (len - 1);

		if (from >= m->size || last < m->guest)
			continue;
		log_take_range(&log->r[i], from, VIO_MIN(m->size - 1, last - m->guest), guest, shift, bits);
	}
}
