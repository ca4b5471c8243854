/* SPDX-License-Identifier: MIT */
/*
 * One way of a patch cable between two backends' lanes: what the one receives the other sends,
 * in the same buffer. The two requests of a packet are one and the same: a RECV at first,
 * then a SEND. All on one thread.
 */
#ifndef VIO_SWITCH_CABLE_H
#define VIO_SWITCH_CABLE_H

#include "backend/backend.h"
#include "backend/recv_fifo.h"

#define CABLE_BUFFERS 128u
#define CABLE_ROOM ((size_t)RECV_FRAME_MAX + VIO_CACHELINE - RECV_FRAME_MAX % VIO_CACHELINE)
#define CABLE_BYTES (CABLE_BUFFERS * CABLE_ROOM)

/* A request is with `from`, with `to`, or in a list. */
struct cable {
	struct vio_lane *from, *to;
	struct vio_req_pool *pool;
	uint8_t takes;
	unsigned receiving, sending;
	struct vio_reqs idle, ready;
};

/* The lanes are there already; buffers: CABLE_BYTES of them. takes: what `to` can send. */
int cable_open(struct cable *c, uint8_t takes, char *buffers);
/* With the lanes; nothing may be under way. Fine for one that is all zero. */
void cable_close(struct cable *c);
/* Moves what there is to move, and how much that was. leaving: takes buffers back and posts none. */
unsigned cable_run(struct cable *c, bool leaving);

static inline bool cable_idle(const struct cable *c)
{
	return !c->receiving && !c->sending;
}

#endif
