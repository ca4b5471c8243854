/* SPDX-License-Identifier: MIT */
/*
 * The front end's half of the vhost-user conversation: each call is one question
 * and its answer, within a time-out. A connection belongs to who holds its lock.
 *
 * With `nowait` nothing blocks: a call whose answer is not there yet returns -EAGAIN.
 * When the socket is readable, its caller calls vio__front_again and then the same calls
 * once more, from the last vio__front_settle on: what was answered meanwhile is
 * remembered, and not asked again. So one function has the whole conversation, waited
 * for or not, and another thread may go on with it, or end it waiting.
 */
#ifndef VIO_BACKEND_VHOST_USER_FRONT_H
#define VIO_BACKEND_VHOST_USER_FRONT_H

#include "wire/vhost_user.h"

#define FRONT_LOG 16	   /* calls between two vio__front_settle */
#define FRONT_LOG_BYTES 24 /* of an answer that are remembered */

struct front {
	int fd;		   /* the socket; -1: not connected */
	int ms;		   /* how long to wait for an answer */
	const char *who;   /* the backend, for sentences */
	const char *path;  /* of the socket */
	uint64_t wants;	   /* protocol features to agree on where they are offered */
	uint64_t offered;  /* virtio features of the peer */
	uint64_t features; /* those agreed */
	uint64_t protocol; /* protocol features agreed */

	int64_t by;	  /* when all has to be answered, in CLOCK_MONOTONIC milliseconds; 0: no matter */
	bool nowait;
	bool said;	    /* a question is out, and its answer is not in */
	int64_t until;	    /* when it has to be, in CLOCK_MONOTONIC milliseconds */
	unsigned at, known; /* calls since the last vio__front_again; those that were answered */
	uint8_t log[FRONT_LOG][FRONT_LOG_BYTES];
	struct vu_inbox box;
};

/* How a ring starts. */
struct front_ring {
	uint32_t index, size, base;
	uint64_t desc, driver, device; /* as the memory table's user addresses have them */
	int kick, call, err;
};

/* vhost_user_ask.c: a question whose answer, of min..max bytes and with nfds descriptors, comes into m; and
 * an order, acknowledged where REPLY_ACK was agreed, otherwise believed. */
int vio__front_ask(struct front *f, struct vu_msg *m, uint32_t min, uint32_t max, unsigned nfds);
int vio__front_tell(struct front *f, struct vu_msg *m);
/* Without waiting from now on; or waiting, but at most one time-out for all that follows. */
void vio__front_patience(struct front *f, bool nowait);
void vio__front_again(struct front *f);
void vio__front_settle(struct front *f);
int vio__front_socket(struct front *f);

/* Connects, and agrees on protocol features. Its errors, as all below, are sentences. */
int vio__front_connect(struct front *f);
void vio__front_close(struct front *f);
/* Agrees on `features`, all of them offered. After the config space was looked at. */
int vio__front_set_features(struct front *f, uint64_t features);
/* A network's: where VU_PROTOCOL_F_NET_MTU was agreed. */
int vio__front_set_mtu(struct front *f, uint64_t mtu);

/* Makes sure that the peer has n "queues", or "pairs". */
int vio__front_queues(struct front *f, uint64_t n, const char *what);
/* How many memory slots it has. */
int vio__front_slots(struct front *f, uint64_t *n);
/* The first len bytes of the config space. */
int vio__front_config(struct front *f, void *to, unsigned len);

int vio__front_mem_table(struct front *f, const struct vu_region *r, const int *fds, unsigned n);
int vio__front_mem_add(struct front *f, const struct vu_region *r, int fd);
int vio__front_mem_remove(struct front *f, const struct vu_region *r);

/* The region that remembers requests in flight: fresh from the peer; and back to a new one. */
int vio__front_inflight_get(struct front *f, struct vu_inflight *i, int *fd);
int vio__front_inflight_set(struct front *f, const struct vu_inflight *i, int fd);

int vio__front_ring_start(struct front *f, const struct front_ring *r);
/* A ring that is started but disabled takes and gives nothing. */
int vio__front_ring_enable(struct front *f, uint32_t index, bool on);
/* Waits until the peer has completed all it took. */
int vio__front_ring_stop(struct front *f, uint32_t index);

static inline bool vio__front_has(const struct front *f, enum vu_protocol_feature p)
{
	return f->protocol >> p & 1;
}

#endif
