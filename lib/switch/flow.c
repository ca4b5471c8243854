/* SPDX-License-Identifier: MIT */
/*
 * A flow has two buckets of eight places. A bucket's tags, 16 hash bits for each place, are
 * 16 bytes apart from the flows: for 1 M flows they are 2.6 MB, near the core, so that a
 * look touches far memory only for the flow itself.
 */
#include "switch/flow.h"

#include "switch/table.h"

#define FLOW_WAYS 8u
#define FLOW_LANES 0x0001000100010001ull

/* 0: the place is free. */
struct flow_tags {
	union {
		uint16_t tag[FLOW_WAYS];
		uint64_t four[2];
	};
};

struct flow_table {
	struct table_seed seed;
	struct flow_tags *tags;
	struct flow *flows; /* FLOW_WAYS a bucket */
	uint32_t buckets;
	uint64_t idle_ns;
	struct flow_counts counts;
};

/* Where a key may be. */
struct flow_spot {
	uint32_t bucket[2];
	uint16_t tag;
};

int flow_table_new(struct flow_table **out, uint32_t capacity, uint64_t idle_ns)
{
	struct flow_table *t;
	int rc;

	*out = NULL;
	if (!capacity || capacity > FLOW_CAPACITY_MAX)
		return vio__fail(EINVAL, "switch: flows=%u, expected 1 to %u", capacity, FLOW_CAPACITY_MAX);
	t = calloc(1, sizeof(*t));
	if (!t)
		return vio__fail(ENOMEM, "switch: out of memory");
	t->idle_ns = idle_ns;
	/* A quarter more places than flows: then few find both their buckets full before the table is. */
	t->buckets = (capacity + capacity / 4) / FLOW_WAYS + 2;
	t->tags = table_memory(t->buckets * sizeof(*t->tags));
	t->flows = table_memory((size_t)t->buckets * FLOW_WAYS * sizeof(*t->flows));
	rc = t->tags && t->flows ? table_seed_new(&t->seed)
				 : vio__fail(ENOMEM, "switch: out of memory for %u flows", capacity);
	if (rc)
		flow_table_free(t);
	else
		*out = t;
	return rc;
}

void flow_table_free(struct flow_table *t)
{
	if (!t)
		return;
	free(t->tags);
	free(t->flows);
	free(t);
}

VIO_INLINE struct flow_spot flow_spot(const struct flow_table *t, const struct flow_key *k)
{
	const uint64_t *seed = t->seed.word;
	struct flow_spot s;
	uint64_t w[2], h;

	memcpy(w, k, sizeof(w));
	h = table_mix(table_mix(w[0] ^ seed[0], seed[1]) ^ w[1], seed[2]);
	s.bucket[0] = table_pick((uint32_t)(h >> 32), t->buckets);
	s.bucket[1] = table_pick((uint32_t)(table_mix(h, seed[3]) >> 32), t->buckets);
	s.tag = (uint16_t)h | 1;
	return s;
}

/* The top bit of each lane that equals the tag. */
VIO_INLINE uint64_t flow_match(uint64_t four, uint64_t tag)
{
	uint64_t x = four ^ tag * FLOW_LANES, low = 0x7fff * FLOW_LANES;

	return ~(((x & low) + low) | x | low);
}

/* Which of four a match is: the first in memory is the lowest lane where bytes are in little-endian order. */
VIO_INLINE unsigned flow_lane(uint64_t hits)
{
	unsigned lane = (unsigned)__builtin_ctzll(hits) / 16;

	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? lane : 3 - lane;
}

VIO_INLINE struct flow *flow_place(const struct flow_table *t, uint32_t bucket, unsigned way)
{
	return &t->flows[(size_t)bucket * FLOW_WAYS + way];
}

VIO_INLINE struct flow *flow_in(const struct flow_table *t, uint32_t bucket, uint16_t tag,
				const struct flow_key *k)
{
	for (unsigned half = 0; half < 2; half++) {
		uint64_t hits = flow_match(t->tags[bucket].four[half], tag);

		for (; hits; hits &= hits - 1) {
			struct flow *f = flow_place(t, bucket, half * 4 + flow_lane(hits));

			if (VIO_LIKELY(flow_is(f, k)))
				return f;
		}
	}
	return NULL;
}

VIO_INLINE struct flow *flow_look(const struct flow_table *t, const struct flow_spot *s,
				  const struct flow_key *k)
{
	struct flow *f = flow_in(t, s->bucket[0], s->tag, k);

	return VIO_LIKELY(f) ? f : flow_in(t, s->bucket[1], s->tag, k);
}

struct flow *flow_find(const struct flow_table *t, const struct flow_key *k)
{
	struct flow_spot s = flow_spot(t, k);

	return flow_look(t, &s, k);
}

struct flow *flow_guess(const struct flow_table *t, const struct flow_key *k)
{
	struct flow_spot s = flow_spot(t, k);

	for (unsigned i = 0; i < 4; i++) {
		uint64_t hits = flow_match(t->tags[s.bucket[i / 2]].four[i % 2], s.tag);

		if (hits) {
			struct flow *f = flow_place(t, s.bucket[i / 2], i % 2 * 4 + flow_lane(hits));

			__builtin_prefetch(f, 1);
			return f;
		}
	}
	return NULL;
}

static unsigned flow_free_ways(const struct flow_table *t, uint32_t bucket)
{
	unsigned n = 0;

	for (unsigned way = 0; way < FLOW_WAYS; way++)
		n += !t->tags[bucket].tag[way];
	return n;
}

static unsigned flow_free_way(const struct flow_table *t, uint32_t bucket)
{
	unsigned way = 0;

	while (t->tags[bucket].tag[way])
		way++;
	return way;
}

/* Of a full bucket. */
static unsigned flow_stalest(const struct flow_table *t, uint32_t bucket)
{
	unsigned stalest = 0;

	for (unsigned way = 0; way < FLOW_WAYS; way++)
		__builtin_prefetch(&flow_place(t, bucket, way)->used_ns);
	for (unsigned way = 1; way < FLOW_WAYS; way++)
		if (flow_place(t, bucket, way)->used_ns < flow_place(t, bucket, stalest)->used_ns)
			stalest = way;
	return stalest;
}

/* A free place in the emptier bucket, so that both fill alike; else the stalest's in the first. */
static struct flow *flow_room(struct flow_table *t, const struct flow_spot *s, uint64_t now)
{
	unsigned free0 = flow_free_ways(t, s->bucket[0]), free1 = flow_free_ways(t, s->bucket[1]), way;
	uint32_t bucket = s->bucket[free1 > free0];
	struct flow *f;

	if (free0 | free1) {
		way = flow_free_way(t, bucket);
		t->counts.flows++;
	} else {
		way = flow_stalest(t, bucket);
	}
	f = flow_place(t, bucket, way);
	if (!(free0 | free1))
		t->counts.replaced += now - f->used_ns < t->idle_ns;
	t->tags[bucket].tag[way] = s->tag;
	return f;
}

struct flow *flow_add(struct flow_table *t, const struct flow_key *k, uint64_t now)
{
	struct flow_spot s = flow_spot(t, k);
	struct flow *f = flow_look(t, &s, k);

	if (!f) {
		f = flow_room(t, &s, now);
		f->key = *k;
		f->packets = 0;
		f->bytes = 0;
	}
	memset(f->act, 0, sizeof(f->act));
	f->used_ns = now;
	t->counts.added++;
	return f;
}

void flow_each(struct flow_table *t, void (*each)(void *ctx, const struct flow *f), void *ctx)
{
	for (uint32_t bucket = 0; bucket < t->buckets; bucket++)
		for (unsigned way = 0; way < FLOW_WAYS; way++)
			if (t->tags[bucket].tag[way])
				each(ctx, flow_place(t, bucket, way));
}

void flow_counts(const struct flow_table *t, struct flow_counts *out)
{
	*out = t->counts;
}
