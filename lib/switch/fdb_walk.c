/* SPDX-License-Identifier: MIT */
/* What goes through the whole table, or a part of it. */
#include "switch/fdb_table.h"

#define FDB_SWEEP 1024u /* buckets, a power of two: some microseconds */

/* Again if the address was heard meanwhile, but not as often as it is heard. */
static void fdb_forget_at(struct fdb *f, struct fdb_bucket *b, unsigned way, uint16_t port)
{
	struct fdb_place at;

	for (unsigned i = 0; i < 8; i++) {
		if (!fdb_read(b, way, &at) || at.port != port || fdb_replace(f, &at, 0, 0, 0))
			return;
	}
}

void fdb_forget_port(struct fdb *f, uint16_t port)
{
	uint64_t n = ((uint64_t)f->mask + 1) * FDB_WAYS;

	for (uint64_t i = 0; i < n && (VIO_LOAD(&f->port[port].learnt) | VIO_LOAD(&f->port[port].fixed)); i++)
		fdb_forget_at(f, &f->buckets[i / FDB_WAYS], i % FDB_WAYS, port);
}

unsigned fdb_sweep_parts(const struct fdb *f)
{
	return VIO_MAX((f->mask + 1) / FDB_SWEEP, 1u);
}

unsigned fdb_sweep(struct fdb *f, uint64_t now)
{
	uint32_t n = VIO_MIN(f->mask + 1, FDB_SWEEP);
	uint32_t first = __atomic_fetch_add(&f->sweep_at, n, __ATOMIC_RELAXED), tick = fdb_tick(f, now);
	unsigned forgotten = 0;
	struct fdb_place at;

	for (uint32_t i = 0; i < n * FDB_WAYS; i++)
		if (fdb_read(&f->buckets[(first + i / FDB_WAYS) & f->mask], i % FDB_WAYS, &at) &&
		    fdb_aged(f, at.heard, tick))
			forgotten += fdb_replace(f, &at, 0, 0, 0);
	return forgotten;
}

void fdb_each(const struct fdb *f, uint64_t now, void (*each)(void *ctx, const struct fdb_entry *e),
	      void *ctx)
{
	uint32_t tick = fdb_tick(f, now);
	struct fdb_place at;

	for (uint64_t i = 0; i < ((uint64_t)f->mask + 1) * FDB_WAYS; i++) {
		if (!fdb_read(&f->buckets[i / FDB_WAYS], i % FDB_WAYS, &at) || fdb_aged(f, at.heard, tick))
			continue;
		struct fdb_entry e = {
			.mac = at.key & 0xffffffffffffull,
			.vlan = at.key >> 48 & 0xfff,
			.port = at.port,
			.fixed = at.heard == FDB_FIXED_HEARD,
		};
		if (!e.fixed) /* the tick counts modulo 2^32 from whatever the clock's zero is */
			e.heard_ns =
				now - ((uint64_t)VIO_MAX((int32_t)(tick - at.heard), 0) << f->tick_shift);
		each(ctx, &e);
	}
}
