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
#define FLOW_ACTIONS 6u

/* Compared whole; what is not used is zero. */
struct flow_key {
	uint8_t dst[6], src[6];
	uint16_t vlan, in_port, ether_type, reserved[3];
};

enum flow_action_kind {
	FLOW_OUTPUT,	/* arg: port */
	FLOW_PUSH_VLAN, /* arg: VLAN */
	FLOW_POP_VLAN,
	FLOW_SET_VLAN, /* arg: VLAN */
	FLOW_DROP,     /* why: enum vio_switch_drop */
};

struct flow_action {
	uint8_t kind, why;
	uint16_t arg;
};

struct flow {
	struct flow_key key;
	uint32_t generation; /* of what the decision was made from */
	uint8_t n;
	struct flow_action act[FLOW_ACTIONS];
	/* Kept by the caller. */
	uint64_t packets, bytes, used_ns;
} __attribute__((aligned(VIO_CACHELINE)));

struct flow_table;

/* All memory is allocated here: 165 bytes a flow. capacity 1..FLOW_CAPACITY_MAX; a flow that was not
 * used for idle_ns is given up before others. */
int flow_table_new(struct flow_table **t, uint32_t capacity, uint64_t idle_ns);
void flow_table_free(struct flow_table *t);

/* NULL: none, or made from another generation. Valid until the next flow_add. */
struct flow *flow_find(struct flow_table *t, const struct flow_key *k, uint32_t generation);

/* Starts to load k's flow, if it seems to be there: for batches, all of these before the first flow_find. */
void flow_prefetch(const struct flow_table *t, const struct flow_key *k);

/*
 * A place for k's decision: its old one, which keeps its counters, a free one, or the stalest's.
 * Never fails. used_ns is now; the caller fills n and act.
 */
struct flow *flow_add(struct flow_table *t, const struct flow_key *k, uint32_t generation, uint64_t now);

void flow_each(struct flow_table *t, void (*each)(void *ctx, const struct flow *f), void *ctx);

struct flow_counts {
	uint32_t flows;	   /* places in use, idle ones included */
	uint64_t added;	   /* decisions made */
	uint64_t replaced; /* flows given up although they were not idle */
};
void flow_counts(const struct flow_table *t, struct flow_counts *out);

#endif
