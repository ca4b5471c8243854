/* SPDX-License-Identifier: MIT */
#include "switch/fdb_table.h"

/* A tick is a 16th of the age, or shorter, from a millisecond to a second. */
#define FDB_SHIFT_MIN 20u
#define FDB_SHIFT_MAX 30u
#define FDB_TRIES 8u

static void fdb_clock(struct fdb *f, uint64_t age_ns)
{
	f->tick_shift = FDB_SHIFT_MIN;
	while (f->tick_shift < FDB_SHIFT_MAX && age_ns >> (f->tick_shift + 5))
		f->tick_shift++;
	f->age = (uint32_t)VIO_MIN((age_ns >> f->tick_shift) + 1, 1ull << 30);
}

int fdb_new(struct fdb **out, uint32_t capacity, uint64_t age_ns)
{
	uint32_t n = FDB_PROBES;
	struct fdb *f;
	int rc;

	*out = NULL;
	if (!capacity || capacity > FDB_CAPACITY_MAX)
		return vio__fail(EINVAL, "switch: addresses=%u, expected 1 to %u", capacity,
				 FDB_CAPACITY_MAX);
	while (n * FDB_WAYS < 2 * capacity)
		n *= 2;
	f = aligned_alloc(VIO_CACHELINE, sizeof(*f));
	if (!f)
		return vio__fail(ENOMEM, "switch: out of memory");
	memset(f, 0, sizeof(*f));
	f->capacity = capacity;
	f->mask = n - 1;
	fdb_clock(f, age_ns);
	f->buckets = table_memory(n * sizeof(*f->buckets));
	f->generations = table_memory(FDB_STRIPES * sizeof(*f->generations));
	rc = f->buckets && f->generations
		     ? table_seed_new(&f->seed)
		     : vio__fail(ENOMEM, "switch: out of memory for %u addresses", capacity);
	if (rc)
		fdb_free(f);
	else
		*out = f;
	return rc;
}

void fdb_free(struct fdb *f)
{
	if (!f)
		return;
	free(f->buckets);
	free(f->generations);
	free(f);
}

unsigned fdb_find(const struct fdb *f, uint64_t mac, uint16_t vlan, uint64_t now)
{
	struct fdb_path p = fdb_path(f, fdb_key(mac, vlan));
	struct fdb_place at;

	if (!fdb_look(f, &p, &at) || fdb_aged(f, at.heard, fdb_tick(f, now)))
		return FDB_NONE;
	return at.port;
}

/* One more for the port, unless it has as many as it may. */
static bool fdb_count(struct fdb *f, uint16_t port, uint32_t heard, uint32_t limit)
{
	if (__atomic_fetch_add(fdb_counter(f, port, heard), 1, __ATOMIC_RELAXED) < limit)
		return true;
	fdb_uncount(f, port, heard);
	return false;
}

/* An address that is in the table was heard; false: its place changed meanwhile. */
static bool fdb_hear(struct fdb *f, const struct fdb_path *p, const struct fdb_place *at, uint16_t port,
		     uint32_t limit, uint32_t tick, enum fdb_learnt *out)
{
	bool aged = fdb_aged(f, at->heard, tick), moved = at->port != port;

	*out = at->heard == FDB_FIXED_HEARD && moved ? FDB_FIXED
	       : aged				     ? FDB_NEW
	       : moved				     ? FDB_MOVED
						     : FDB_SAME;
	if (at->heard == FDB_FIXED_HEARD || (!moved && (int32_t)(tick - at->heard) <= 0))
		return true;
	if (moved && !fdb_count(f, port, tick, limit)) {
		*out = FDB_LIMIT;
		return true;
	}
	if (!fdb_replace(f, at, at->key, port, tick)) {
		if (moved)
			fdb_uncount(f, port, tick);
		return false;
	}
	if (moved && !aged)
		__atomic_fetch_add(&f->moved, 1, __ATOMIC_RELAXED);
	if (moved || aged)
		fdb_changed(f, p);
	return true;
}

/* Puts an address in unless another thread just did; true: it did not, and *done says if there was room. */
static bool fdb_enter(struct fdb *f, const struct fdb_path *p, uint16_t port, uint32_t heard, uint32_t tick,
		      bool *done)
{
	struct fdb_bucket *home = fdb_probe(f, p, 0);
	struct fdb_place at;
	bool absent;

	fdb_home_lock(home);
	absent = !fdb_look(f, p, &at);
	if (absent)
		*done = fdb_insert(f, p, port, heard, tick);
	fdb_home_unlock(home);
	return absent;
}

enum fdb_learnt fdb_learn(struct fdb *f, uint64_t mac, uint16_t vlan, uint16_t port, uint32_t limit,
			  uint64_t now)
{
	struct fdb_path p = fdb_path(f, fdb_key(mac, vlan));
	uint32_t tick = fdb_tick(f, now);
	enum fdb_learnt learnt;
	struct fdb_place at;
	bool done = false, absent;

	for (unsigned i = 0; i < FDB_TRIES; i++) {
		if (VIO_LIKELY(fdb_look(f, &p, &at))) {
			if (VIO_LIKELY(fdb_hear(f, &p, &at, port, limit, tick, &learnt)))
				return learnt;
			continue;
		}
		VIO_STORE(&f->tick, tick);
		if (!fdb_count(f, port, tick, limit))
			return FDB_LIMIT;
		absent = fdb_enter(f, &p, port, tick, tick, &done);
		if (!done)
			fdb_uncount(f, port, tick);
		if (absent)
			break;
	}
	if (done)
		return FDB_NEW;
	__atomic_fetch_add(&f->full, 1, __ATOMIC_RELAXED);
	return FDB_FULL;
}

static int fdb_forget(struct fdb *f, const struct fdb_path *p)
{
	struct fdb_place at;

	while (fdb_look(f, p, &at))
		if (fdb_replace(f, &at, 0, 0, 0))
			return 0; /* else another thread moved or forgot it */
	return vio__fail(ENOENT, "switch: no such address");
}

/* An address that is in the table becomes static, if its place has not changed meanwhile. */
static bool fdb_fix_known(struct fdb *f, const struct fdb_path *p, const struct fdb_place *at, uint16_t port)
{
	if (at->heard == FDB_FIXED_HEARD && at->port == port)
		return true;
	fdb_count(f, port, FDB_FIXED_HEARD, FDB_NO_LIMIT);
	if (fdb_replace(f, at, p->key, port, FDB_FIXED_HEARD)) {
		fdb_changed(f, p);
		return true;
	}
	fdb_uncount(f, port, FDB_FIXED_HEARD);
	return false;
}

int fdb_fix(struct fdb *f, uint64_t mac, uint16_t vlan, uint16_t port)
{
	struct fdb_path p = fdb_path(f, fdb_key(mac, vlan));
	bool done = false, absent = false;
	struct fdb_place at;

	if (port == FDB_NONE)
		return fdb_forget(f, &p);
	for (unsigned i = 0; i < FDB_TRIES && !absent; i++) {
		if (fdb_look(f, &p, &at)) {
			if (fdb_fix_known(f, &p, &at, port))
				return 0;
			continue;
		}
		fdb_count(f, port, FDB_FIXED_HEARD, FDB_NO_LIMIT);
		absent = fdb_enter(f, &p, port, FDB_FIXED_HEARD, VIO_LOAD(&f->tick), &done);
		if (!done)
			fdb_uncount(f, port, FDB_FIXED_HEARD);
	}
	return done ? 0 : vio__fail(ENOSPC, "switch: no room for a static address beside the others");
}

const uint32_t *fdb_generations(const struct fdb *f)
{
	return f->generations;
}

uint16_t fdb_stripe(const struct fdb *f, uint64_t mac, uint16_t vlan)
{
	return fdb_path(f, fdb_key(mac, vlan)).stripe;
}

void fdb_counts(const struct fdb *f, struct fdb_counts *out)
{
	out->known = VIO_LOAD(&f->known);
	out->full = VIO_LOAD(&f->full);
	out->moved = VIO_LOAD(&f->moved);
}

uint32_t fdb_count_port(const struct fdb *f, uint16_t port)
{
	return VIO_LOAD(&f->port[port].learnt);
}
