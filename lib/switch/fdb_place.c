/* SPDX-License-Identifier: MIT */
/* One address's place: looked for, made, changed, given up. fdb_table.h says how threads meet here. */
#include "switch/fdb_table.h"

#include <sched.h>

#define FDB_SPINS 200u
/* A writer that finds its place changed looks again; who loses so often does without. */
#define FDB_TRIES 8u

/* Held for some dozen instructions, unless its holder lost the core. */
static void fdb_spin(unsigned *spins)
{
	if (++*spins % FDB_SPINS)
		vio__relax();
	else
		sched_yield();
}

void fdb_home_lock(struct fdb_bucket *b)
{
	unsigned spins = 0;

	while (__atomic_exchange_n(&b->home, 1, __ATOMIC_ACQUIRE))
		fdb_spin(&spins);
}

void fdb_home_unlock(struct fdb_bucket *b)
{
	VIO_STORE_RELEASE(&b->home, 0);
}

static void fdb_turn_begin(struct fdb_bucket *b)
{
	uint32_t turn = VIO_LOAD(&b->turn) & ~1u;
	unsigned spins = 0;

	while (!__atomic_compare_exchange_n(&b->turn, &turn, turn + 1, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_RELAXED)) {
		turn &= ~1u;
		fdb_spin(&spins);
	}
}

static void fdb_turn_end(struct fdb_bucket *b)
{
	VIO_STORE_RELEASE(&b->turn, VIO_LOAD(&b->turn) + 1);
}

/* Acquire loads, so that none of them moves behind the turn's second look. */
VIO_INLINE uint64_t fdb_take(struct fdb_bucket *b, unsigned way, struct fdb_place *at)
{
	at->bucket = b;
	at->way = way;
	at->port = VIO_LOAD_ACQUIRE(&b->port[way]);
	at->heard = VIO_LOAD_ACQUIRE(&b->heard[way]);
	at->key = VIO_LOAD_ACQUIRE(&b->key[way]);
	return at->key;
}

/* Repeats only when another thread got something done meanwhile. */
VIO_INLINE bool fdb_look_in(struct fdb_bucket *b, uint64_t key, struct fdb_place *at)
{
	for (unsigned way = 0; way < FDB_WAYS;) {
		uint32_t turn = VIO_LOAD_ACQUIRE(&b->turn);

		if (VIO_LOAD_ACQUIRE(&b->key[way]) != key)
			way++;
		else if (VIO_LIKELY(fdb_take(b, way, at) == key && VIO_LOAD(&b->turn) == turn))
			return true;
	}
	return false;
}

bool fdb_look(const struct fdb *f, const struct fdb_path *p, struct fdb_place *at)
{
	for (unsigned i = 0; i < FDB_PROBES; i++) {
		struct fdb_bucket *b = fdb_probe(f, p, i);

		if (fdb_look_in(b, p->key, at))
			return true;
		if (VIO_LIKELY(!VIO_LOAD_ACQUIRE(&b->passed)))
			return false;
	}
	return false;
}

bool fdb_read(struct fdb_bucket *b, unsigned way, struct fdb_place *at)
{
	uint32_t turn;
	uint64_t key;

	do {
		turn = VIO_LOAD_ACQUIRE(&b->turn);
		key = VIO_LOAD_ACQUIRE(&b->key[way]);
	} while (fdb_take(b, way, at) != key || VIO_LOAD(&b->turn) != turn);
	return at->key;
}

/* Counts, or no longer counts, an address in its i-th bucket in all before that. */
static void fdb_pass(const struct fdb *f, const struct fdb_path *p, unsigned i, int by)
{
	while (i--)
		__atomic_fetch_add(&fdb_probe(f, p, i)->passed, (uint16_t)by, __ATOMIC_RELEASE);
}

/* Another address's place is in b now, or none's. */
static void fdb_gone(struct fdb *f, uint64_t key, const struct fdb_bucket *b)
{
	struct fdb_path p = fdb_path(f, key);
	unsigned i = 0;

	while (i < FDB_PROBES - 1 && fdb_probe(f, &p, i) != b)
		i++;
	fdb_pass(f, &p, i, -1);
	fdb_changed(f, &p);
}

static void fdb_write(struct fdb_bucket *b, unsigned way, uint64_t key, uint16_t port, uint32_t heard)
{
	if (b->key[way] != key)
		VIO_STORE_RELEASE(&b->key[way], 0);
	VIO_STORE_RELEASE(&b->port[way], port);
	VIO_STORE_RELEASE(&b->heard[way], heard);
	VIO_STORE_RELEASE(&b->key[way], key);
}

/* An address that has left its place or its port, or is fixed or no longer fixed. */
static void fdb_discount(struct fdb *f, const struct fdb_place *at, uint64_t key, uint16_t port,
			 uint32_t heard)
{
	bool stays = at->key == key && fdb_counter(f, at->port, at->heard) == fdb_counter(f, port, heard);

	if (at->key && !stays)
		fdb_uncount(f, at->port, at->heard);
}

bool fdb_replace(struct fdb *f, const struct fdb_place *at, uint64_t key, uint16_t port, uint32_t heard)
{
	struct fdb_bucket *b = at->bucket;
	unsigned way = at->way;
	bool same;

	fdb_turn_begin(b);
	same = b->key[way] == at->key && b->port[way] == at->port && b->heard[way] == at->heard;
	if (same)
		fdb_write(b, way, key, port, heard);
	fdb_turn_end(b);
	if (!same)
		return false;
	fdb_discount(f, at, key, port, heard);
	if (at->key == key)
		return true;
	if (at->key)
		fdb_gone(f, at->key, b);
	if (!key)
		__atomic_fetch_sub(&f->known, 1, __ATOMIC_RELAXED);
	return true;
}

/* Is there, for each purpose, a better place than this? */
enum fdb_worth { FDB_TAKEN, FDB_LEARNT, FDB_AGED, FDB_FREE };

static enum fdb_worth fdb_worth(const struct fdb *f, const struct fdb_place *at, uint32_t tick)
{
	if (!at->key)
		return FDB_FREE;
	if (at->heard == FDB_FIXED_HEARD)
		return FDB_TAKEN;
	return fdb_aged(f, at->heard, tick) ? FDB_AGED : FDB_LEARNT;
}

/* The first place that is free (if that may be used) or aged; else, for a fixed one, the first learnt one. */
static bool fdb_choose(const struct fdb *f, const struct fdb_path *p, bool room, bool fixed, uint32_t tick,
		       struct fdb_place *best)
{
	enum fdb_worth most = FDB_TAKEN;

	for (unsigned i = 0; i < FDB_PROBES * FDB_WAYS; i++) {
		struct fdb_place at = { .probe = i / FDB_WAYS };
		enum fdb_worth worth;

		fdb_take(fdb_probe(f, p, at.probe), i % FDB_WAYS, &at);
		worth = fdb_worth(f, &at, tick);
		if ((worth == FDB_FREE && !room) || (worth == FDB_LEARNT && !fixed) || worth <= most)
			continue;
		most = worth;
		*best = at;
		if (worth >= FDB_AGED)
			break;
	}
	return most != FDB_TAKEN;
}

static bool fdb_reserve(struct fdb *f)
{
	if (__atomic_fetch_add(&f->known, 1, __ATOMIC_RELAXED) < f->capacity)
		return true;
	__atomic_fetch_sub(&f->known, 1, __ATOMIC_RELAXED);
	return false;
}

bool fdb_insert(struct fdb *f, const struct fdb_path *p, uint16_t port, uint32_t heard, uint32_t tick)
{
	bool room = fdb_reserve(f), done = false, used = false;
	struct fdb_place at;

	for (unsigned i = 0; i < FDB_TRIES && !done; i++) {
		if (!fdb_choose(f, p, room, heard == FDB_FIXED_HEARD, tick, &at))
			break;
		fdb_pass(f, p, at.probe, 1); /* before a reader may need it */
		done = fdb_replace(f, &at, p->key, port, heard);
		if (!done)
			fdb_pass(f, p, at.probe, -1);
		used = done && !at.key;
	}
	if (done)
		fdb_changed(f, p);
	if (room && !used)
		__atomic_fetch_sub(&f->known, 1, __ATOMIC_RELAXED);
	return done;
}
