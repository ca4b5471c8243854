/* SPDX-License-Identifier: MIT */
/*
 * tap: a network interface of the kernel as a port. tap.c is the type, tap_open.c gets
 * hold of the interface, tap_queue.c is what its queues share, tap_send.c and tap_recv.c
 * are the lanes, tap_hdr.c knows the header in front of each frame.
 *
 * Frames go by writev and readv, one call each. Handing 32 at a time to io_uring was
 * tried: the kernel's work on a frame is ten times that of a call, so it made no
 * difference that could be measured, and would have asked for each vector and header to
 * be kept until done.
 */
#ifndef VIO_BACKEND_TAP_H
#define VIO_BACKEND_TAP_H

#include "backend/backend.h"
#include "backend/done.h"
#include "backend/recv_fifo.h"

#include <linux/virtio_net.h>
#include <net/if.h>
#include <pthread.h>

#define TAP_QUEUES 256u /* as many as the kernel gives one interface */
#define TAP_RECVS 1024u /* a lane's room */
#define TAP_IOVS 1024u	/* of one readv or writev: UIO_MAXIOV */
/* One byte more than the longest frame, so that a longer one shows. */
#define TAP_SPILL (RECV_FRAME_MAX + 1)

enum tap_counter {
	TAP_SENT,
	TAP_SENT_BYTES,
	TAP_RECEIVED,
	TAP_RECEIVED_BYTES,
	TAP_SPILLED,	    /* received, and longer than foreseen: its end was copied */
	TAP_DROP_FULL,	    /* sending: the kernel had no room */
	TAP_DROP_DOWN,	    /* sending: the interface is down or gone */
	TAP_DROP_REFUSED,   /* sending: the kernel found fault with it */
	TAP_DROP_MALFORMED, /* either way: no Ethernet frame, or a header that does not fit it */
	TAP_DROP_OFFLOAD,   /* either way: an offload that the other side does not take */
	TAP_DROP_TOO_LONG,  /* receiving: longer than a RECV that can't be merged */
	TAP_DROP_NO_BUFFER, /* receiving: longer than all RECVs that waited */
	TAP_COUNTERS,
};

struct tap_queue {
	int fd;
	unsigned lanes;	  /* that use it */
	unsigned accepts; /* TUN_F_* that its RECVs take; TAP_NO_SAY: no lane has said */
};
#define TAP_NO_SAY (~0u)

struct tap_store {
	char name[IFNAMSIZ];
	int ctl; /* a socket in the interface's network namespace, for its mtu */
	unsigned queues;
	bool vnet;	      /* a virtio_net_hdr before each frame */
	bool uso;	      /* the kernel knows UDP segmentation */
	uint16_t mtu;	      /* as last seen */
	unsigned offload;     /* TUN_F_* as the kernel was told */
	pthread_mutex_t lock; /* of offload, and of each queue's lanes and accepts */
	struct tap_queue *queue;
	uint64_t count[TAP_COUNTERS]; /* atomic */
};

/* As the argument has it. */
struct tap_args {
	char *name;
	uint64_t queues, mtu, fd;
	bool persist, vnet;
};

struct tap_recv {
	struct recv_fifo fifo;
	struct vio_watch watch;
	bool readable;	  /* nothing was heard to the contrary since the last edge */
	uint8_t accepts;  /* VIO_PACKET_* as tap_queue_accept was last told */
	uint32_t foresee; /* bytes that the next frame will have, judging by the last ones */
};

struct tap_lane {
	struct tap_store *s;
	struct tap_queue *q;
	struct vio_lane *lane;
	char *spill; /* TAP_SPILL bytes */
	union {
		struct done_stack done;
		struct tap_recv recv;
	};
};

/* tap_open.c: on failure nothing is left open. */
int tap_open_store(struct tap_store *s, const struct tap_args *a);
void tap_close_store(struct tap_store *s);
uint16_t tap_mtu(struct tap_store *s);
bool tap_is_up(const struct tap_store *s);

/* tap_queue.c. A queue that nobody reads is detached, so that the kernel steers no frame to it. */
int tap_queue_get(struct tap_store *s, struct tap_queue *q);
void tap_queue_put(struct tap_store *s, struct tap_queue *q);
/* RECVs of q take these VIO_PACKET_* from now on; the interface gives what all its queues take. */
void tap_queue_accept(struct tap_store *s, struct tap_queue *q, uint8_t flags);
/* At open: which offloads the kernel knows; none are on. False: it knows nothing of them. */
bool tap_queue_probe(struct tap_store *s);

/* tap_hdr.c */
unsigned tap_hdr_size(const struct tap_store *s);
uint8_t tap_hdr_offloads(const struct tap_store *s); /* VIO_PACKET_* that the interface can carry */

/* tap_send.c, tap_recv.c */
void tap_send(struct tap_lane *tl, struct vio_req **r, unsigned n);
int tap_recv_open(struct tap_lane *tl);
void tap_recv_close(struct tap_lane *tl);
void tap_recv_submit(struct tap_lane *tl, struct vio_req **r, unsigned n);
unsigned tap_recv_reap(struct tap_lane *tl, struct vio_req **r, unsigned n);

static inline void tap_count(struct tap_store *s, enum tap_counter c, uint64_t n)
{
	if (n)
		__atomic_fetch_add(&s->count[c], n, __ATOMIC_RELAXED);
}

#endif
