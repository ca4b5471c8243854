/* SPDX-License-Identifier: MIT */
/*
 * The flow table: decisions kept, match -> actions, so that only the first packet of a
 * flow is thought about. It belongs to one thread. It is a cache: room for a new flow is
 * made by giving up the one that was idle longest among a few.
 */
#ifndef VIO_SWITCH_FLOW_H
#define VIO_SWITCH_FLOW_H

#include "base/base.h"

#define FLOW_CAPACITY_MAX (1u << 20)
#define FLOW_ACTIONS 4u

/* Compared whole. */
struct flow_key {
	uint8_t dst[6], src[6];
	uint16_t vlan, in_port;
};

enum flow_action_kind {
	FLOW_END,    /* no more of them */
	FLOW_OUTPUT, /* arg: port */
	FLOW_MIRROR, /* arg: port */
	FLOW_FLOOD,
	FLOW_PUSH_VLAN, /* arg: VLAN */
	FLOW_POP_VLAN,
	FLOW_SET_VLAN, /* arg: VLAN */
	FLOW_DROP,     /* arg: enum vio_switch_drop */
};

/* Ports and VLANs have 12 bits. */
struct flow_action {
	uint16_t kind : 4, arg : 12;
};

/* All but the key is the caller's. */
struct flow {
	struct flow_key key;
	uint64_t packets, bytes, used_ns;
	uint64_t decided_ns;
	uint32_t generation;		      /* of what the decision was made from */
	uint16_t stripe[2];		      /* of the addresses that it was made for */
	struct flow_action act[FLOW_ACTIONS]; /* up to the first FLOW_END, or all */
} __attribute__((aligned(VIO_CACHELINE)));

_Static_assert(sizeof(struct flow) == VIO_CACHELINE, "a packet should touch one line");

struct flow_table;

/* All memory is allocated here: 83 bytes a flow. capacity 1..FLOW_CAPACITY_MAX; a flow that was not
 * used for idle_ns is given up before others. */
int flow_table_new(struct flow_table **t, uint32_t capacity, uint64_t idle_ns);
void flow_table_free(struct flow_table *t);

VIO_INLINE bool flow_is(const struct flow *f, const struct flow_key *k)
{
	uint64_t x[2], y[2];

	_Static_assert(sizeof(x) == sizeof(*k), "a key is compared whole");
	memcpy(x, &f->key, sizeof(x));
	memcpy(y, k, sizeof(y));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

/* NULL: none. Valid until the next flow_add. */
struct flow *flow_find(const struct flow_table *t, const struct flow_key *k);

/* Where k's flow most likely is, which starts to be loaded; flow_is tells, then or later. NULL: nowhere. For
 * batches: all guesses before the first look. */
struct flow *flow_guess(const struct flow_table *t, const struct flow_key *k);

/*
 * A place for k's decision: its old one, which keeps its counters, a free one, or the stalest's.
 * Never fails. used_ns is now, and there are no actions yet.
 */
struct flow *flow_add(struct flow_table *t, const struct flow_key *k, uint64_t now);

void flow_each(struct flow_table *t, void (*each)(void *ctx, const struct flow *f), void *ctx);

struct flow_counts {
	uint32_t flows;	   /* places in use, idle ones included */
	uint64_t added;	   /* decisions made */
	uint64_t replaced; /* flows given up although they were not idle */
};
void flow_counts(const struct flow_table *t, struct flow_counts *out);

#endif
