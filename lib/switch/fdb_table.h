/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database's memory. Four addresses to a bucket of one cache line; an address
 * has FDB_PROBES buckets where it may be, the first of them its home, and is in one of them
 * or not known. `passed` tells a reader when to stop: no address went further.
 *
 * Writers. `turn` is odd while someone writes the bucket, and one turn changes one place only:
 * first its key to 0, then the rest, then the new key. A reader that saw the key before and
 * after it read the port, in one turn, has the key's port; it never waits for a turn to end.
 * `home` is held, before and outside of any turn, while a key with this home is put in, so
 * that two threads do not put it in twice. No thread holds two of a kind.
 */
#ifndef VIO_SWITCH_FDB_TABLE_H
#define VIO_SWITCH_FDB_TABLE_H

#include "base/barrier.h"
#include "switch/fdb.h"
#include "switch/table.h"

#define FDB_WAYS 4u
#define FDB_PROBES 8u
#define FDB_USED (1ull << 63)
#define FDB_FIXED_HEARD UINT32_MAX

struct fdb_bucket {
	uint32_t turn;
	uint16_t passed; /* addresses in a later bucket of theirs: few, for no guest can steer the hash */
	uint16_t home;
	uint64_t key[FDB_WAYS];	  /* FDB_USED, VLAN, MAC; 0: free */
	uint32_t heard[FDB_WAYS]; /* tick, or FDB_FIXED_HEARD */
	uint16_t port[FDB_WAYS];
};

_Static_assert(sizeof(struct fdb_bucket) == VIO_CACHELINE, "a look should touch one line");

struct fdb {
	struct table_seed seed;
	struct fdb_bucket *buckets;
	uint32_t *generations; /* FDB_STRIPES */
	uint32_t mask;
	uint32_t capacity;
	unsigned tick_shift; /* nanoseconds to ticks */
	uint32_t age;	     /* ticks */
	uint32_t sweep_at;
	/* Written while packets pass. */
	uint32_t known __attribute__((aligned(VIO_CACHELINE)));
	uint32_t tick; /* the latest that a writer saw: fdb_fix has no clock */
	uint64_t full, moved;
	struct {
		uint32_t learnt, fixed;
	} port[FDB_PORTS]; /* addresses of each */
};

/* An address's buckets: home + i * step, all different since step is odd and their number a power of two. */
struct fdb_path {
	uint64_t key;
	uint32_t home, step;
	uint16_t stripe;
};

/* A place and what was in it. */
struct fdb_place {
	struct fdb_bucket *bucket;
	unsigned way, probe;
	uint64_t key;
	uint32_t heard;
	uint16_t port;
};

VIO_INLINE uint64_t fdb_key(uint64_t mac, uint16_t vlan)
{
	return FDB_USED | (uint64_t)(vlan & 0xfff) << 48 | (mac & 0xffffffffffffull);
}

VIO_INLINE struct fdb_path fdb_path(const struct fdb *f, uint64_t key)
{
	uint64_t h = table_mix(table_mix(key ^ f->seed.word[0], f->seed.word[1]) ^ f->seed.word[2],
			       f->seed.word[3]);

	return (struct fdb_path){ key, (uint32_t)h & f->mask, (uint32_t)(h >> 32) | 1,
				  (uint16_t)(h >> 48) % FDB_STRIPES };
}

VIO_INLINE struct fdb_bucket *fdb_probe(const struct fdb *f, const struct fdb_path *p, unsigned i)
{
	return &f->buckets[(p->home + i * p->step) & f->mask];
}

/* Never FDB_FIXED_HEARD. */
VIO_INLINE uint32_t fdb_tick(const struct fdb *f, uint64_t now)
{
	uint32_t tick = (uint32_t)(now >> f->tick_shift);

	return tick - (tick == FDB_FIXED_HEARD);
}

/* A thread's clock may be a little behind that of the one who heard. */
VIO_INLINE bool fdb_aged(const struct fdb *f, uint32_t heard, uint32_t tick)
{
	return heard != FDB_FIXED_HEARD && (int32_t)(tick - heard) > (int32_t)f->age;
}

/* After the change. */
VIO_INLINE void fdb_changed(struct fdb *f, const struct fdb_path *p)
{
	__atomic_fetch_add(&f->generations[p->stripe], 1, __ATOMIC_RELEASE);
}

/* A port's addresses that were heard, or that are fixed. */
VIO_INLINE uint32_t *fdb_counter(struct fdb *f, uint16_t port, uint32_t heard)
{
	return heard == FDB_FIXED_HEARD ? &f->port[port].fixed : &f->port[port].learnt;
}

VIO_INLINE void fdb_uncount(struct fdb *f, uint16_t port, uint32_t heard)
{
	__atomic_fetch_sub(fdb_counter(f, port, heard), 1, __ATOMIC_RELAXED);
}

/* fdb_place.c */
void fdb_home_lock(struct fdb_bucket *b);
void fdb_home_unlock(struct fdb_bucket *b);
bool fdb_look(const struct fdb *f, const struct fdb_path *p, struct fdb_place *at);
/* One place as it was at one time; false: it was free. */
bool fdb_read(struct fdb_bucket *b, unsigned way, struct fdb_place *at);
/* Makes the place another address's, or free (key 0); false: it had changed, nothing was done. What leaves no
 * longer counts; what comes the caller has counted. Of an address that stays the caller knows whether it
 * has changed. */
bool fdb_replace(struct fdb *f, const struct fdb_place *at, uint64_t key, uint16_t port, uint32_t heard);
/* Puts an absent address in; its home is locked. A fixed one may take any learnt one's place. */
bool fdb_insert(struct fdb *f, const struct fdb_path *p, uint16_t port, uint32_t heard, uint32_t tick);

#endif
