/* SPDX-License-Identifier: MIT */
/*
 * The front end's half of the vhost-user conversation: each call is one question
 * and its answer, within a time-out. A connection belongs to who holds its lock.
 */
#ifndef VIO_BACKEND_VHOST_USER_FRONT_H
#define VIO_BACKEND_VHOST_USER_FRONT_H

#include "wire/vhost_user.h"

struct front {
	int fd;		   /* the socket; -1: not connected */
	int ms;		   /* how long to wait for an answer */
	const char *path;  /* for sentences */
	uint64_t offered;  /* virtio features of the peer */
	uint64_t features; /* those agreed */
	uint64_t protocol; /* protocol features agreed */
};

/* How a ring starts. */
struct front_ring {
	uint32_t index, size, base;
	uint64_t desc, driver, device; /* as the memory table's user addresses have them */
	int kick, call, err;
};

/* Connects, and agrees on protocol features. Its errors, as all below, are sentences. */
int vio__front_connect(struct front *f);
void vio__front_close(struct front *f);
/* Agrees on `features`, all of them offered. After the config space was looked at. */
int vio__front_set_features(struct front *f, uint64_t features);

/* How many queues and memory slots the peer has. */
int vio__front_queues(struct front *f, uint64_t *n);
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
/* Waits until the peer has completed all it took. */
int vio__front_ring_stop(struct front *f, uint32_t index);

static inline bool vio__front_has(const struct front *f, enum vu_protocol_feature p)
{
	return f->protocol >> p & 1;
}

#endif
