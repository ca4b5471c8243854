/* SPDX-License-Identifier: MIT */
/*
 * The driving end of a vhost-user disk, as its files see it: the disk (shared by
 * threads, control plane under a lock) and the lane (one virtqueue, one thread).
 */
#ifndef VIO_BACKEND_VHOST_USER_H
#define VIO_BACKEND_VHOST_USER_H

#include "backend/vhost_user_bells.h"
#include "backend/vhost_user_mem.h"
#include "backend/vring_driver.h"

#include <virtio-offload/impl/backend.h>

#include <linux/virtio_blk.h>
#include <pthread.h>

struct vhost_counters {
	uint64_t submitted, completed, errors;
	uint64_t kicks, interrupts;
	uint64_t bounced, bounced_bytes; /* pieces copied, because they lie in unshared memory */
	uint64_t reconnects, replayed;
} __attribute__((aligned(VIO_CACHELINE)));

struct vhost_lane;

/* backend->priv */
struct vhost_disk {
	pthread_mutex_t lock; /* the connection, the memory table, which queues are taken */
	struct front front;
	char *path;
	uint64_t queues, queue_size, timeout_ms;
	bool packed, reconnect;
	uint64_t features;		 /* agreed at open; a server that comes back must have them all */
	struct virtio_blk_config config; /* little-endian, as it came */
	unsigned generation;		 /* of the connection */
	unsigned running;		 /* rings started */

	struct vhost_mem mem; /* area: rings, headers, status bytes, tables, bounce buffers of all queues */
	uint64_t area_lane;   /* bytes of it a queue */
	struct vu_inflight inflight;
	int inflight_fd; /* -1: the server keeps no such record */

	struct vhost_lane **lanes;	 /* by queue; NULL: free */
	struct vhost_counters *counters; /* by queue, over all lanes it had */
};

/* How a slot's part of a request is carried. */
enum vhost_how {
	VHOST_WHOLE,  /* all of it, one piece of shared memory; no scratch is used */
	VHOST_DIRECT, /* pieces of shared memory */
	VHOST_BOUNCE, /* through a bounce buffer */
	VHOST_RANGE,  /* DISCARD, WRITE_ZEROES */
	VHOST_FLUSH,  /* FLUSH, or the second half of a write with FUA */
};

/* One virtio request on its way: a request, or a part of a large one. */
struct vhost_slot {
	struct vio_req *req; /* NULL: the slot is free */
	uint64_t pos;	     /* where in the request the part begins */
	uint64_t len;	     /* bytes; a part of DISCARD may be large */
	uint32_t iov_pos;    /* bytes into iov[iov] */
	uint16_t iov;
	uint16_t chunk; /* VHOST_BOUNCE: which buffer */
	uint8_t how;
};

/* A request's scratch, while it is done in parts. */
struct vhost_cut {
	uint64_t pos; /* how far it has been cut */
	uint32_t iov_pos;
	uint16_t iov;
	uint16_t parts; /* under way */
	int32_t err;
	uint8_t how;
	bool flush_due; /* FUA: a flush follows */
};

/* lane->priv */
struct vhost_lane {
	struct vring_driver ring;
	struct vhost_view view;
	struct vhost_slot *slot;
	uint16_t *free, nfree; /* slots: a stack, so that the warm ones are reused */
	uint16_t nslots;
	uint8_t *per_slot;	   /* the ring's own */
	uint16_t *chunks, nchunks; /* free bounce buffers */
	uint32_t block;
	uint32_t max_segs, max_len;	  /* of a virtio request: pieces, and bytes of a piece */
	uint64_t max_discard, max_zeroes; /* bytes of one request; 0: not supported */
	bool flush, unmap;		  /* what the server can do */
	uint32_t ops;
	bool running; /* the server serves the ring */
	bool spins;   /* the poller does: see to completions without interrupts */
	int broken;   /* 0, or -errno: the server can't be trusted or has gone */

	struct virtio_blk_outhdr *header;
	struct virtio_blk_discard_write_zeroes *range;
	uint64_t range_guest;
	uint8_t *status;
	char *tables, *bounce;
	uint64_t tables_guest, bounce_guest;

	struct vio_reqs waiting; /* not yet wholly posted */
	struct vio_reqs done;	 /* completed without the ring */

	struct vhost_counters *count;
	struct vio_lane *lane;
	unsigned index, generation;
	struct vhost_bells bells;
	struct vio_task task; /* sees to interrupts */
	struct vio_watch gone_watch;
	struct vio_timer retry;
};

#define VHOST_CHUNK 65536u /* a bounce buffer */
#define VHOST_CHUNKS 64u
#define VHOST_TABLE 128u /* entries of an indirect table */
#define VHOST_MAX_LEN 0x40000000u

static inline bool vhost_has(const struct vhost_disk *d, unsigned feature)
{
	return d->features >> feature & 1;
}

/* vhost_user.c: from the config space. block 0: an impossible one. */
uint32_t vio__vhost_ops(const struct vhost_disk *d);
uint32_t vio__vhost_block(const struct vhost_disk *d);

/* vhost_user_lane.c */
int vio__vhost_lane_open(struct vio_lane *l);
void vio__vhost_lane_close(struct vio_lane *l);

/* vhost_user_area.c: the memory of one queue, and its ring in there. */
uint64_t vio__vhost_area_bytes(const struct vhost_disk *d);
int vio__vhost_area_open(struct vhost_disk *d, struct vhost_lane *v);
void vio__vhost_area_close(struct vhost_lane *v);
/* Lays the ring out anew, empty. */
void vio__vhost_ring_reset(struct vhost_lane *v);
/* Starts it on the present connection, under the lock, at a SET_VRING_BASE value: where v stands. */
int vio__vhost_ring_start(struct vhost_disk *d, struct vhost_lane *v, uint32_t base);
uint32_t vio__vhost_ring_base(const struct vhost_lane *v);

/* vhost_user_gone.c */
/* A new connection, with all that the disk had agreed on and shared. Under the lock. */
int vio__vhost_reconnect(struct vhost_disk *d);
int vio__vhost_watch_connection(struct vhost_lane *v);
void vio__vhost_unwatch_connection(struct vhost_lane *v);

/* vhost_user_io.c */
unsigned vio__vhost_room(struct vio_lane *l);
void vio__vhost_submit(struct vio_lane *l, struct vio_req **r, unsigned n);
unsigned vio__vhost_reap(struct vio_lane *l, struct vio_req **r, unsigned n);
/* Takes what was completed out of the ring, for the next reap. */
void vio__vhost_harvest(struct vhost_lane *v);
/* Nothing is to be expected from the server any more: all that it has fails with -EIO. */
void vio__vhost_break(struct vhost_lane *v, int err, const char *why);

/* vhost_user_part.c: requests that are no single piece of shared memory. */
void vio__vhost_cut_begin(struct vhost_lane *v, struct vio_req *r);
/* Posts parts of what waits while there are slots and buffers. */
void vio__vhost_cut_more(struct vhost_lane *v);
/* A part has completed: its slot is free, `err` is its outcome. The request if that was the last. */
struct vio_req *vio__vhost_cut_done(struct vhost_lane *v, unsigned slot, int err);
/* Writes the slot's descriptors (anew) and posts them. */
void vio__vhost_post(struct vhost_lane *v, unsigned slot);

VIO_INLINE void vhost_count(uint64_t *counter, uint64_t n)
{
	VIO_STORE(counter, *counter + n); /* one writer; stats read it from any thread */
}

#endif
