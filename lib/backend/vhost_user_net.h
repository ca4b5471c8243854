/* SPDX-License-Identifier: MIT */
/*
 * vhost_user_net: the network card of a vhost-user server as a port. The store (shared by
 * threads, control plane under a lock) and the lane (one virtqueue, one thread), as their
 * files see them: _net.c is the type, _net_talk.c what is said to the server, _net_lane.c
 * how a lane comes, goes and meets the connection, _net_area.c where things lie that the
 * server sees, _net_send.c, _net_post.c and _net_recv.c the rings at work.
 *
 * While the server is away, packets are lost and counted, RECVs wait, and whichever lane's
 * timer or socket tells first goes on with the conversation; nothing of that blocks.
 * What is asked and waited for, one time-out at most for all of it: opening the backend,
 * closing a lane, recalling its RECVs.
 */
#ifndef VIO_BACKEND_VHOST_USER_NET_H
#define VIO_BACKEND_VHOST_USER_NET_H

#include "backend/backend.h"
#include "backend/recv_fifo.h"
#include "backend/vhost_user_bells.h"
#include "backend/vhost_user_mem.h"
#include "backend/vring_driver_chain.h"

#include <linux/virtio_net.h>
#include <pthread.h>

#ifndef VIRTIO_NET_F_GUEST_USO4 /* absent from older headers */
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif

#define VNET_PAIRS 64u
#define VNET_HDR 12u	     /* struct virtio_net_hdr_v1, before each packet */
#define VNET_HDR_ROOM 16u    /* that lie in a row */
#define VNET_TABLE 32u	     /* entries of an indirect table */
#define VNET_CHUNK 65600u    /* a bounce buffer: header and longest frame, in whole cache lines */
#define VNET_RETRY_MS 50u    /* until a server that went away is looked for again */
#define VNET_BROKEN_MS 1000u /* the same if it had to be left */

enum vnet_counter {
	VNET_SENT,
	VNET_SENT_BYTES,
	VNET_RECEIVED,
	VNET_RECEIVED_BYTES,
	VNET_KICKS,
	VNET_INTERRUPTS,
	VNET_BOUNCED, /* packets or parts copied, because they lie in unshared memory */
	VNET_BOUNCED_BYTES,
	VNET_SUMMED,	     /* received without a checksum by RECVs that take no such packets: summed here */
	VNET_STARTED,	     /* times that a server took the ring */
	VNET_DROP_DOWN,	     /* sending: no server, or it went away, or it stalled */
	VNET_DROP_MALFORMED, /* either way: no Ethernet frame, or a header that does not fit it */
	VNET_DROP_OFFLOAD,   /* either way: an offload that the other side does not take */
	VNET_DROP_TOO_LONG,  /* receiving: longer than a RECV that can't be merged */
	VNET_COUNTERS,
};

struct vnet_lane;

/* What lasts of a ring when its lanes come and go. Under the lock, but for the counters: one writer. */
struct vnet_queue {
	_Alignas(VIO_CACHELINE) uint64_t count[VNET_COUNTERS];
	struct vnet_lane *lane; /* NULL: free */
	bool begun;		/* the server of this connection has the ring */
};

/* backend->priv */
struct vnet {
	pthread_mutex_t lock; /* the connection, the memory table, which lanes there are */
	struct front front;
	char *path;
	uint64_t pairs, queue_size, timeout_ms, mtu;
	bool packed, reconnect, offloads;
	uint64_t features;		 /* agreed at open; a server that comes back must have them all */
	uint8_t takes;			 /* VIO_PACKET_* that it says: as vio_backend_info has it */
	struct virtio_net_config config; /* little-endian, as it came; zeroes: it shows none */
	struct vhost_mem mem;		 /* area: rings, headers, tables, bounce buffers of all queues */
	uint64_t area_lane;		 /* bytes of it a queue */
	struct vnet_queue *queue;
	bool agreed;	     /* about features and all that holds for all rings */
	bool up;	     /* packets pass; read without the lock */
	int ringing;	     /* whose ring is being talked about; -1: nobody's */
	unsigned generation; /* connections lost so far */
	unsigned connection; /* connections made so far */
	uint64_t retry_at;   /* in nanoseconds of CLOCK_MONOTONIC */
};

/* Of a lane's ring. Written under the lock. */
enum vnet_state {
	VNET_LAID,    /* laid out, and to be started */
	VNET_RUNS,    /* the server has it */
	VNET_STOP,    /* to be stopped */
	VNET_STOPPED, /* the server has let go of it, and it is to be laid out anew */
};

/* How a RECV's buffer is shown to the server. */
enum vnet_how {
	VNET_WHOLE,  /* as it is: the header goes where the RECV has room for it */
	VNET_BEHIND, /* behind a header of ours; what a packet goes on in can't be such a one */
	VNET_BOUNCE, /* a bounce buffer in its place */
	VNET_SPOILT, /* which held more than the RECV has room for */
};

struct vnet_slot {
	uint32_t room; /* bytes that the server may write */
	uint32_t got;  /* that it wrote, while its packet is coming */
	uint8_t how;   /* enum vnet_how */
};

struct vnet_send {
	struct vio_req **req;	 /* by slot; NULL: free */
	uint16_t *free, nfree;	 /* slots: a stack, so that the warm ones are reused */
	struct vio_reqs done;	 /* dropped, and to be reaped */
	uint64_t used, used_was; /* by the server; when the stall timer was set */
	struct vio_timer stall;
	bool watched; /* that timer runs */
};

/* Slots are the RECVs' places in the fifo: filled..used have come in part, used..posted are with the server.
 */
struct vnet_recv {
	struct recv_fifo fifo;
	struct vnet_slot *slot;
	unsigned used, posted;
	unsigned rest;		      /* RECVs that the packet which is coming has still to come in */
	uint32_t len;		      /* bytes of it that have come */
	struct virtio_net_hdr_v1 hdr; /* its header: our copy */
};

/* lane->priv */
struct vnet_lane {
	struct vring_driver ring;
	struct vhost_view view;
	uint64_t *count; /* the queue's */
	struct vnet *d;
	char *hdrs, *tables, *chunks;
	uint64_t hdrs_guest, tables_guest, chunks_guest;
	uint16_t nslots; /* a power of two */
	bool tables_known;
	bool spins; /* the poller does: see to completions without interrupts */
	bool held;  /* RECVs were recalled: what is left is not posted yet */
	int state;  /* enum vnet_state */
	union {
		struct vnet_send send;
		struct vnet_recv recv;
	};

	struct vio_lane *lane;
	uint8_t *per_slot; /* the ring's own */
	unsigned index, generation, connection;
	struct vhost_bells bells;
	struct vio_task task; /* sees to interrupts */
	struct vio_watch socket;
	struct vio_timer retry;
};

static inline bool vnet_has(const struct vnet *d, unsigned feature)
{
	return d->features >> feature & 1;
}

VIO_INLINE void vnet_count(struct vnet_lane *v, enum vnet_counter c, uint64_t n)
{
	VIO_STORE(&v->count[c], v->count[c] + n); /* one writer; stats read it from any thread */
}

/* vhost_user_net_talk.c, all under the lock. */
/* Connects and agrees on all that holds for all rings: for the first time, waiting. */
int vnet_meet(struct vnet *d);
/* Says all that is to be said as far as answers are there; -EAGAIN: not all are. */
int vnet_talk(struct vnet *d);
/* The same, waiting for the answers; a server that does not give them is left. */
int vnet_talk_out(struct vnet *d, uint64_t now);
/* Ends the connection, to be tried again: soon if err is -ECONNRESET, the server's own doing, else later. */
void vnet_leave(struct vnet *d, uint64_t now, int err);
/* Notices that the server has hung up. */
bool vnet_hung_up(const struct vnet *d);

/* vhost_user_net_lane.c */
int vnet_lane_open(struct vio_lane *l);
void vnet_lane_close(struct vio_lane *l);
/* Does about the connection and the ring whatever there is to do now. Not under the lock. */
void vnet_attend(struct vnet_lane *v);
/* The server can't be trusted: it is left. Not under the lock. */
void vnet_break(struct vnet_lane *v, const char *why);
/* The lane's ring, which is with the server, stops: used entries may be there. Waits. Not under the lock. */
void vnet_stop(struct vnet_lane *v);
void vnet_publish(struct vnet_lane *v, bool packed);

/* vhost_user_net_area.c: the memory of one queue, and its ring in there. */
uint64_t vnet_area_bytes(const struct vnet *d);
int vnet_area_open(struct vnet_lane *v);
void vnet_area_close(struct vnet_lane *v);
int vnet_ring_start(struct vnet *d, const struct vnet_lane *v);

/* vhost_user_net_send.c */
int vnet_send_open(struct vnet_lane *v);
void vnet_send_close(struct vnet_lane *v);
void vnet_send_submit(struct vnet_lane *v, struct vio_req **r, unsigned n);
unsigned vnet_send_reap(struct vnet_lane *v, struct vio_req **r, unsigned n);
/* The ring is laid out anew: what the server had is lost. */
void vnet_send_lay(struct vnet_lane *v);

/* vhost_user_net_recv.c */
int vnet_recv_open(struct vnet_lane *v);
void vnet_recv_close(struct vnet_lane *v);
unsigned vnet_recv_reap(struct vnet_lane *v, struct vio_req **r, unsigned n);
unsigned vnet_recv_recall(struct vnet_lane *v, struct vio_req **r, unsigned n);
/* The ring is laid out anew: packets that came whole are kept, RECVs that wait are posted unless they are
 * held. */
void vnet_recv_lay(struct vnet_lane *v);

/* vhost_user_net_post.c */
void vnet_recv_submit(struct vnet_lane *v, struct vio_req **r, unsigned n);
/* Posts the RECVs that are not. */
void vnet_recv_post(struct vnet_lane *v);

#endif
