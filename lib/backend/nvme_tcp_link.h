/* SPDX-License-Identifier: MIT */
/*
 * One NVMe/TCP connection of a host, whatever its queue is for: commands in slots go
 * out, data comes into their vectors, and each is answered once. It knows PDUs; what
 * the commands are is its owner's business.
 *
 * The target is not trusted: each PDU is checked against what was asked, and one that
 * can't be ends the connection (-EBADMSG, and `why` says what it was). Nothing is
 * written into a slot's vector but what a PDU for it brings in order and in range, and
 * nothing is read from it once the slot was answered.
 */
#ifndef VIO_BACKEND_NVME_TCP_LINK_H
#define VIO_BACKEND_NVME_TCP_LINK_H

#include "wire/nvme_tcp.h"

#include <sys/socket.h>

#define LINK_IOV 512u	     /* pieces of one sendmsg */
#define LINK_RX 65536u	     /* an I/O connection's buffer for what is received */
#define LINK_STAGE 262144u   /* with data digests: a copy of what one sendmsg sends */
#define LINK_CAPSULE_IOV 64u /* data in more pieces is never sent inside a capsule */
#define LINK_CAPSULE 32768u  /* nor more bytes */
#define LINK_SLOTS 1024u     /* a command id has room for as many, and a generation */

struct vio_req;

enum host_link_state {
	LINK_NONE,
	LINK_CONNECTING,
	LINK_GREETING, /* ICReq is out */
	LINK_UP,
};

/* A place in a vector. */
struct host_at {
	const struct iovec *iov;
	size_t off;
};

/* A command. Its owner sets the upper half; the lower is the connection's. */
struct host_slot {
	struct vio_req *req; /* whose part it is; NULL: free, or not of a request */
	uint64_t pos;	     /* where in the request the part begins */
	uint64_t span;	     /* bytes of the request that it does */
	struct host_at start;
	uint32_t len; /* bytes of data */
	uint8_t lives, retries;
	bool refused; /* by its path: it was not executed */
	bool write;   /* the data goes to the target */
	bool capsule; /* inside the command */
	struct nvme_cmd cmd;
	struct nvme_dsm_range range;
	struct iovec range_iov;

	struct host_slot *next;
	bool busy;    /* sent, or to be, and not answered */
	bool spoilt;  /* data came with the wrong digest */
	bool cmd_due; /* the command is not on its way yet */
	uint16_t cid, ttag;
	uint32_t done;	   /* bytes received, or asked for */
	uint32_t r2t_left; /* of those asked for: not on their way yet */
	uint64_t tx_end;   /* where in the stream its last PDU ends; UINT64_MAX: not known yet */
	uint64_t since;	   /* when it was posted, in nanoseconds */
	struct host_at at;
	uint32_t ddgst;
	uint8_t pdu[80];
};

struct host_slots {
	struct host_slot *head, *tail;
};

struct host_link {
	int fd; /* -1: none */
	enum host_link_state state;
	uint8_t digests; /* NVME_TCP_WANT_*: asked for */
	bool hdgst, ddgst;
	uint32_t align; /* of data in what is sent */
	uint32_t max_h2c;
	bool readable, writable; /* as far as is known: a try is worth it */
	bool ended;		 /* the peer sends no more: a short read is not the last */
	const char *why;	 /* after an error: what it was */

	struct host_slot *slot;
	unsigned nslots;
	uint16_t generation;
	unsigned big; /* reads under way that are large */

	/* The connection is there: post commands. -errno ends it. */
	int (*greeted)(struct host_link *k);
	/* s was answered, and is free of the connection. status: as in nvme_cqe, without the phase. */
	int (*answered)(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result);

	/* What is being sent: a batch of whole PDUs, and slots that have one to send after it. */
	struct host_slots due, more;
	struct iovec tx_iov[LINK_IOV];
	unsigned tx_n, tx_at;
	uint64_t tx_queued, tx_sent; /* bytes since the connection began */
	char *stage;
	size_t staged;
	struct nvme_tcp_icreq icreq;

	/* What was received: PDUs from rx_at on; or the rest of a C2HData's data comes first. */
	uint8_t *rx;
	unsigned rx_size, rx_at, rx_end;
	struct host_slot *rx_slot;
	uint32_t rx_left;
	uint32_t rx_sum;
	uint8_t rx_flags;
	bool rx_digest; /* a data digest follows */

	uint64_t sends, receives, bad_digests;
};

/* rx_size: LINK_RX, or less for one that has little to say. digests: NVME_TCP_WANT_*. */
int vio__host_link_init(struct host_link *k, unsigned nslots, unsigned rx_size, uint8_t digests);
void vio__host_link_fini(struct host_link *k);

/* Begins to connect. */
int vio__host_link_dial(struct host_link *k, const struct sockaddr *to, socklen_t len);
/* Aborts: nothing that was not sent yet is sent any more. Slots keep what they were posted with. */
void vio__host_link_close(struct host_link *k);
/* What close does to the peer, from another thread: who owns k sees that it ended. */
void vio__host_link_sever(int fd);

/* Queues a command: sent by the next push. */
void vio__host_link_post(struct host_link *k, struct host_slot *s);
/* Sends what is due while the socket takes it. */
int vio__host_link_push(struct host_link *k);
/* Whatever can be done now, receiving at most `budget` times. How often it received, or -errno. */
int vio__host_link_run(struct host_link *k, unsigned budget);
/* Waits until run has something to do, ms at most. */
void vio__host_link_wait(struct host_link *k, int ms);

/* What the socket's watch (edges) was told. */
void vio__host_link_told(struct host_link *k, uint32_t events);

VIO_INLINE bool link_wants_to_send(const struct host_link *k)
{
	return k->due.head || k->tx_at < k->tx_n;
}

VIO_INLINE bool link_has_work(const struct host_link *k)
{
	return k->state > LINK_CONNECTING && (k->readable || (k->writable && link_wants_to_send(k)));
}

/* nvme_tcp_link_send.c: says ICReq, once it is connected. */
int vio__host_link_greet(struct host_link *k);

/* nvme_tcp_link_recv.c */
int vio__host_link_receive(struct host_link *k);

/* nvme_tcp_link_pdu.c: takes the header of what was received next; data follows as rx_left and rx_digest say.
 */
#define LINK_NEXT 1 /* more bytes are needed */
int vio__host_link_pdu(struct host_link *k);
/* The command of s is over. */
int vio__host_link_answer(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result);
/* Ends it with that reason. */
VIO_INLINE int link_bad(struct host_link *k, const char *why)
{
	k->why = why;
	return -EBADMSG;
}

VIO_INLINE void link_queue(struct host_slots *q, struct host_slot *s)
{
	s->next = NULL;
	if (q->head)
		q->tail->next = s;
	else
		q->head = s;
	q->tail = s;
}

/* Skips what is at its end: the next byte of the vector is at at->iov. Only while bytes are left. */
VIO_INLINE size_t link_piece(struct host_at *at, size_t most, void **ptr)
{
	size_t n;

	while (at->off == at->iov->iov_len) {
		at->iov++;
		at->off = 0;
	}
	n = VIO_MIN(at->iov->iov_len - at->off, most);
	*ptr = (char *)at->iov->iov_base + at->off;
	at->off += n;
	return n;
}

#endif
