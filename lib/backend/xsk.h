/* SPDX-License-Identifier: MIT */
/*
 * xsk: a queue of a network interface by AF_XDP, past the kernel's network stack. xsk.c is
 * the type, xsk_prog.c sends the interface's packets here, xsk_socket.c makes a queue's
 * socket, xsk_umem.c its memory, xsk_send.c and xsk_recv.c are the lanes.
 *
 * A pair is one socket: its two lanes may be on two threads, since they share no ring. Pairs
 * share a umem, so that its memory is pinned once. It starts with frames of our own, one for
 * each entry of each pair's rings: what comes is received there and copied. Behind them,
 * where the layout allows, lies guest memory, mapped a second time: a guest's packet is sent
 * from where it is.
 *
 * Only plain system calls: neither libbpf nor libxdp is needed.
 */
#ifndef VIO_BACKEND_XSK_H
#define VIO_BACKEND_XSK_H

#include "backend/backend.h"
#include "backend/recv_fifo.h"
#include "backend/xsk_ring.h"

#include <net/if.h>
#include <pthread.h>

#define XSK_CHUNK 4096u	   /* bytes of a frame: the most the kernel allows with 4 KiB pages */
#define XSK_HEADROOM 256u  /* the kernel's, before what it receives */
#define XSK_RING_MAX 8192u /* so that a slot's number fits into an address's offset */
#define XSK_RECVS 1024u
#define XSK_REGIONS 16u

enum xsk_counter {
	XSK_SENT,
	XSK_SENT_BYTES,
	XSK_RECEIVED,
	XSK_RECEIVED_BYTES,
	XSK_COPIES,	    /* frames copied, either way */
	XSK_ZERO_COPY,	    /* frames sent from guest memory */
	XSK_KICKS,	    /* system calls that told the kernel to send or to fill */
	XSK_DROP_FULL,	    /* sending: the kernel still had all frames */
	XSK_DROP_DOWN,	    /* sending: the interface is down or gone */
	XSK_DROP_TOO_LONG,  /* sending: longer than a frame; receiving: than a RECV that can't be merged */
	XSK_DROP_NO_BUFFER, /* receiving: longer than all RECVs that waited */
	XSK_DROP_MALFORMED, /* no Ethernet frame */
	XSK_BAD_RING,	    /* entries of the kernel's that can't be */
	XSK_COUNTERS,
};

/* As the argument has it. */
struct xsk_args {
	char *name, *mode;
	uint64_t queue, queues, ring, busy_poll;
	bool pin;
};

/* Guest memory at `ptr` is at `at` in the umem. */
struct xsk_region {
	const char *ptr;
	uint64_t size, at;
};

struct xsk_umem {
	unsigned refs; /* of pairs; under the store's lock */
	char *base;
	uint64_t size;
	struct vio_mem *mem; /* what its first pair has asked to hold, or NULL; a reference */
	bool unaligned;	     /* does hold it: addresses are base | offset << 48 */
	unsigned nregions;
	struct xsk_region region[XSK_REGIONS];
};

/* What one entry of the transmit ring uses: a frame of its own, or guest memory. */
struct xsk_slot {
	uint64_t addr, second; /* as the kernel will give it back, either */
	struct vio_req *req;   /* whose memory it is; NULL: a copy */
	uint32_t index;	       /* in the transmit ring */
	bool busy;
};

struct xsk_pair {
	struct xsk_store *s;
	unsigned queue;
	int fd; /* -1: none is open */
	struct vio_lane *send, *recv;
	bool gone;     /* atomic: the interface has vanished, or the kernel broke a ring */
	uint32_t ring; /* entries of each ring; frames of each direction */
	struct xsk_umem *umem;
	uint32_t first; /* of the umem's frames that are this pair's */
	/* The sending lane's. */
	struct xsk_ring tx, completion;
	struct xsk_slot *slot;
	uint32_t *idle;	      /* slots that are */
	uint32_t nidle, lent; /* lent: slots with a request */
	bool down;
	unsigned stalled; /* timer ticks without news */
	struct vio_timer timer;
	struct vio_reqs done;
	/* The receiving lane's. */
	struct xsk_ring rx, fill;
	uint8_t *filled; /* frames that are the kernel's */
	struct recv_fifo fifo;
	struct vio_watch watch; /* fd -1: none, for the poller is busy */
};

struct xsk_store {
	char name[IFNAMSIZ];
	unsigned index;
	int ctl;	     /* a socket in the interface's network namespace */
	int map, prog, link; /* where the redirect program finds the sockets, and the program's hold */
	unsigned pairs;
	uint16_t bind; /* XDP_COPY, XDP_ZEROCOPY or neither */
	bool pin;
	int busy_poll;	      /* microseconds that a call polls the driver for; 0: its interrupts tell */
	pthread_mutex_t lock; /* of pair: opened and closed by several threads */
	struct xsk_pair *pair;
	uint64_t count[XSK_COUNTERS]; /* atomic */
};

/* xsk_prog.c: sends what comes on queues that have a socket there; the rest goes on to the kernel. */
int xsk_prog_open(struct xsk_store *s, unsigned queues);
void xsk_prog_close(struct xsk_store *s);
int xsk_prog_add(struct xsk_store *s, unsigned queue, int fd);

/* xsk_umem.c: frames of our own, and, with guest, the memory mem (or NULL) if it fits. -errno. */
int xsk_umem_new(struct xsk_umem **u, uint32_t frames, struct vio_mem *mem, bool guest);
void xsk_umem_put(struct xsk_umem *u); /* NULL is fine */
/* Where len bytes at p are in the umem, or UINT64_MAX. */
uint64_t xsk_umem_find(const struct xsk_umem *u, const void *p, uint64_t len);

/* xsk_socket.c: called with the lock held. */
int xsk_pair_open(struct xsk_pair *p, struct vio_mem *mem);
void xsk_pair_close(struct xsk_pair *p);

/* The pair's memory apart from the umem; xsk_pair_open and tests use it. */
int xsk_pair_alloc(struct xsk_pair *p);
void xsk_pair_free(struct xsk_pair *p);

/* xsk_send.c */
void xsk_send_open(struct xsk_pair *p, struct vio_lane *l);
void xsk_send_close(struct xsk_pair *p);
void xsk_send_submit(struct xsk_pair *p, struct vio_req **r, unsigned n);
unsigned xsk_send_reap(struct xsk_pair *p, struct vio_req **r, unsigned n);

/* xsk_recv.c */
int xsk_recv_open(struct xsk_pair *p, struct vio_lane *l);
void xsk_recv_close(struct xsk_pair *p);
void xsk_recv_submit(struct xsk_pair *p, struct vio_req **r, unsigned n);
unsigned xsk_recv_reap(struct xsk_pair *p, struct vio_req **r, unsigned n);

static inline void xsk_count(struct xsk_pair *p, enum xsk_counter c, uint64_t n)
{
	if (n)
		__atomic_fetch_add(&p->s->count[c], n, __ATOMIC_RELAXED);
}

/* Frames of a pair: those for receiving come first, then those for sending. */
static inline uint64_t xsk_recv_frame(const struct xsk_pair *p, uint32_t i)
{
	return (uint64_t)(p->first + i) * XSK_CHUNK;
}

static inline uint64_t xsk_send_frame(const struct xsk_pair *p, uint32_t slot)
{
	return xsk_recv_frame(p, p->ring + slot);
}

#endif
