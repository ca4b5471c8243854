/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database: on which port an address was heard (IEEE 802.1Q, 8.8). Any
 * thread may call anything but new and free. fdb_find takes no lock and waits for no
 * writer; writers of different buckets do not meet.
 */
#ifndef VIO_SWITCH_FDB_H
#define VIO_SWITCH_FDB_H

#include "base/base.h"

struct fdb;

#define FDB_PORTS 4096u /* ports are lower */
#define FDB_NONE 0xffffu
#define FDB_NO_LIMIT UINT32_MAX
#define FDB_CAPACITY_MAX (1u << 20)

struct fdb_entry {
	uint64_t mac; /* 48 bits, the first byte on the wire highest */
	uint16_t vlan;
	uint16_t port;
	bool fixed;
	uint64_t heard_ns; /* to the tick: a second or so, less for short ages; 0: fixed */
};

/*
 * All memory is allocated here: 32 to 64 bytes an address. capacity 1..FDB_CAPACITY_MAX. An
 * address is forgotten when it was not heard for age_ns, or up to an eighth longer; at least some
 * milliseconds.
 */
int fdb_new(struct fdb **f, uint32_t capacity, uint64_t age_ns);
void fdb_free(struct fdb *f);

/* The port, or FDB_NONE: unknown, or aged. */
unsigned fdb_find(const struct fdb *f, uint64_t mac, uint16_t vlan, uint64_t now);

enum fdb_learnt {
	FDB_SAME, /* known there */
	FDB_NEW,
	FDB_MOVED, /* was elsewhere */
	FDB_FULL,  /* no room: not learnt; its packets are flooded */
	FDB_FIXED, /* static and elsewhere: not moved */
	FDB_LIMIT, /* the port has as many as it may: not learnt, nor moved to it */
};

/* A source address was seen on a port, which may have `limit` learnt ones. Cheap when FDB_SAME: a look, and
 * one write a tick. */
enum fdb_learnt fdb_learn(struct fdb *f, uint64_t mac, uint16_t vlan, uint16_t port, uint32_t limit,
			  uint64_t now);

/*
 * Static: never aged nor moved; takes a learnt one's place when there is no room. FDB_NONE as
 * port: forget, whether static or learnt. -ENOSPC: all places are static ones'; -ENOENT.
 */
int fdb_fix(struct fdb *f, uint64_t mac, uint16_t vlan, uint16_t port);

/* Forgets a port's addresses, static ones too. */
void fdb_forget_port(struct fdb *f, uint16_t port);

/* Forgets what has aged in the next part of the table: up to 4,096 places. How many. Now and then: until then
 * it takes up room, and counts for its port. */
unsigned fdb_sweep(struct fdb *f, uint64_t now);
unsigned fdb_sweep_parts(const struct fdb *f);

/* Calls back for each address that is known; changes meanwhile may or may not show. */
void fdb_each(const struct fdb *f, uint64_t now, void (*each)(void *ctx, const struct fdb_entry *e),
	      void *ctx);

/*
 * Each address has one of FDB_STRIPES counters, by a hash that guests can't know, so that who makes
 * addresses up touches few others'. It grows whenever a decision made for that address before
 * may be wrong: it moved, was forgotten, fixed, or was unknown and became known. Read it (acquire)
 * before fdb_find, keep it with the decision.
 */
#define FDB_STRIPES 4096u
const uint32_t *fdb_generations(const struct fdb *f);
uint16_t fdb_stripe(const struct fdb *f, uint64_t mac, uint16_t vlan);

struct fdb_counts {
	uint32_t known; /* places in use, aged ones included */
	uint64_t full;	/* FDB_FULL so far */
	uint64_t moved;
};
void fdb_counts(const struct fdb *f, struct fdb_counts *out);
/* A port's learnt addresses, aged ones included. */
uint32_t fdb_count_port(const struct fdb *f, uint16_t port);

#endif
