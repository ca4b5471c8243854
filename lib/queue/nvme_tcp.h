/* SPDX-License-Identifier: MIT */
/*
 * The serving end of an NVMe/TCP connection (NVMe/TCP Transport 1.0): a queue of
 * capsules. nvme_tcp.c is its life, nvme_tcp_recv.c takes PDUs apart, nvme_tcp_cmd.c
 * makes commands of them and finds room for their data, nvme_tcp_abort.c refuses those
 * that are not wanted any more, nvme_tcp_send.c answers.
 *
 * All connections of a poller share what one needs only while it is busy: the receive
 * buffer, the data buffers, the vector of a send. A command that finds no buffer waits in
 * its slot; nothing that was received ever waits, so a host that went is noticed
 * whatever its commands wait for. A connection that has no slot left for
 * capsules, or might not find buffers for what they carry, is not read.
 */
#ifndef VIO_QUEUE_NVME_TCP_H
#define VIO_QUEUE_NVME_TCP_H

#include "queue/nvme_pool.h"
#include "queue/nvme_queue.h"
#include "wire/nvme_tcp.h"

#define NTQ_RECV (128u << 10)	/* bytes of the receive buffer */
#define NTQ_MAXH2C (128u << 10) /* bytes of data in an H2CData PDU */
#define NTQ_ENTRIES 128u	/* most commands of a queue at once */
#define NTQ_IOV 1024u		/* entries of a send's vector */
#define NTQ_FIRST UINT16_MAX	/* the tag of the slot that is there before Connect */

enum ntq_phase {
	NTQ_ICREQ, /* nothing has come yet */
	NTQ_LIVE,
	NTQ_TERM, /* the host broke the protocol: it is told, and then only its hanging up is waited for */
	NTQ_GONE, /* the socket is closed; commands may still be out */
};

enum ntq_slot_state {
	NTQ_SLOT_FREE,
	NTQ_SLOT_WAITS, /* for a buffer */
	NTQ_SLOT_DATA,	/* its data is coming */
	NTQ_SLOT_READY,
	NTQ_SLOT_TAKEN,
	NTQ_SLOT_ANSWERED,
};

struct ntq_slot {
	struct nvme_req r;
	uint16_t tag;
	uint16_t cid_next; /* in its bucket of ntq.cids */
	uint8_t state;
	bool listed; /* by its cid */
	bool queued; /* to be sent */
	bool bad_sum;
	uint16_t refused;	 /* a status: what it is answered with when its data has come; or 0 */
	uint32_t got;		 /* bytes of data that have come */
	uint32_t reserved;	 /* bytes that its connection counts as held */
	struct ntq_slot *out;	 /* the next to be sent */
	union nvme_tcp_pdu_out { /* R2T, then C2HData */
		struct nvme_tcp_r2t r2t;
		struct nvme_tcp_data data;
		char bytes[28];
	} first;
	uint32_t data_sum;
	struct {
		struct nvme_tcp_rsp rsp;
		uint32_t sum;
	} last;
	uint32_t first_len, last_len; /* bytes of each that go out; 0: none */
	bool data_out;		      /* the data lies between them */
};

struct ntq_group;

struct ntq {
	struct nvme_queue queue;
	struct ntq_group *group;
	int fd;
	uint8_t phase;
	bool hdgst, ddgst;
	bool sqflow, connected;	 /* Connect was accepted */
	bool readable, writable; /* as far as known: set by who watches the socket */
	bool eof;		 /* the host has shut its side: read on until that shows */
	bool hangup;		 /* it has gone, or nothing it says counts any more */
	bool ending;		 /* no more is read: when all is answered and sent, it goes */
	bool active;		 /* on the group's list */
	bool starved;		 /* not read for want of capsule buffers */
	struct ntq *next_active, *next_starved;
	uint64_t progress; /* bytes moved: to see that a host is alive */

	/* Receiving. */
	unsigned have;	   /* bytes of the header in hdr */
	uint32_t left;	   /* bytes of data to come */
	unsigned sum_have; /* bytes of its digest */
	bool sum_comes;
	uint32_t sum, sum_got;
	struct ntq_slot *slot; /* whose data it is; NULL: nobody's */
	char hdr[sizeof(union nvme_tcp_pdu) + NVME_TCP_DIGEST] __attribute__((aligned(8)));

	/* Commands. */
	struct ntq_slot first;
	struct ntq_slot *slots;
	unsigned entries, fresh, used;	    /* fresh: slots never used yet begin here */
	unsigned taken, coming;		    /* in the controller's hands; waiting for the host's data */
	struct nvme_reqs free, ready, over; /* over: wait until this connection holds less */
	uint16_t *cids;			    /* NTQ_BUCKETS heads */
	struct ntq_slot *half;		    /* the last command, if it was the first half of a fused one */
	bool half_failed;		    /* it was, and was refused */
	size_t held;
	uint16_t sqhd;

	/* Sending. */
	struct ntq_slot *out_head, *out_tail;
	size_t out_done; /* bytes of out_head that have left */
	unsigned ctl_len, ctl_done;
	char ctl[NVME_TCP_TERM_MAX + NVME_TCP_DIGEST] __attribute__((aligned(8))); /* ICResp, or C2HTermReq */

	const char *why; /* what the host did wrong */
};

#define NTQ_BUCKETS 128u /* no fewer than entries: a power of two */
_Static_assert(NTQ_BUCKETS >= NTQ_ENTRIES, "a host that counts its ids from 0 finds a bucket for each");

struct ntq_group {
	struct nvme_pool *pool;
	size_t quota; /* bytes of buffers that one connection may hold */
	bool digests; /* agreed on when asked for */
	char *recv;
	struct ntq *active, *active_last;
	struct ntq *starved;
	struct nvme_reqs waiting; /* for a buffer */
	struct iovec iov[NTQ_IOV];
	void (*wake)(struct ntq_group *g); /* something became active outside of a pass */
	uint64_t answered, refused;	   /* commands; PDUs against the protocol */
};

/* bytes: of data buffers. */
int ntq_group_open(struct ntq_group *g, size_t bytes);
void ntq_group_close(struct ntq_group *g);

/* fd: a connected stream socket that does not block; q's from here on, also on failure. */
int ntq_open(struct ntq *q, struct ntq_group *g, int fd);
/* Frees what q holds; it is gone (ntq_gone). */
void ntq_close(struct ntq *q);

/* q has something to do in the next pass. */
void ntq_activate(struct ntq *q);
/* The list's first, which leaves it. */
struct ntq *ntq_next_active(struct ntq_group *g);

/* One pass: receive; take as often as there is something; give; send. Each returns what it did. */
unsigned ntq_recv(struct ntq *q);
unsigned ntq_take(struct ntq *q, struct nvme_req **r, unsigned n);
unsigned ntq_send(struct ntq *q);
/* Commands that wait for buffers get what came back; their connections become active. */
void ntq_group_serve_waiting(struct ntq_group *g);

/* No more is read: it ends when what is whole has been answered. Commands whose data is still to come, or
 * that wait for a buffer, are forgotten. */
void ntq_drain(struct ntq *q);
/* The socket is closed and what can be forgotten is. Commands that are taken come back by give. */
void ntq_hang_up(struct ntq *q);
/* It is closed, and no command is out. */
bool ntq_gone(const struct ntq *q);
/* Something is expected of the host: the rest of a PDU, data, or that it reads. */
bool ntq_waits_for_host(const struct ntq *q);
/* It may be closed now: what was to be said has left, or nobody listens. */
bool ntq_finished(const struct ntq *q);

/* Between the files. */
/* fei: see enum nvme_tcp_fes. */
void ntq_violation(struct ntq *q, enum nvme_tcp_fes fes, uint32_t fei, const void *hdr, size_t len,
		   const char *why);
void ntq_command(struct ntq *q, const struct nvme_tcp_cmd *pdu, uint32_t data);
bool ntq_data(struct ntq *q, const struct nvme_tcp_data *pdu, uint32_t data);
void ntq_have_data(struct ntq *q, struct ntq_slot *s);
void ntq_answer(struct ntq *q, struct ntq_slot *s);
void ntq_send_r2t(struct ntq *q, struct ntq_slot *s);
void ntq_send_icresp(struct ntq *q);
void ntq_slot_free(struct ntq *q, struct ntq_slot *s);
struct ntq_slot *ntq_slot_by_tag(struct ntq *q, uint16_t tag);
struct ntq_slot *ntq_slot_by_cid(struct ntq *q, uint16_t cid);
void ntq_slot_refuse(struct ntq *q, struct ntq_slot *s, uint16_t code);
bool ntq_abort(struct nvme_queue *queue, uint16_t cid);
uint16_t ntq_fuse(struct ntq *q, struct ntq_slot *s, uint16_t wrong);
struct ntq_slot *ntq_fused_ready(struct ntq_slot *s);
void ntq_fused_refuse(struct ntq *q, struct ntq_slot *s);
void ntq_fused_forget(struct ntq *q, struct ntq_slot *s);
/* The slot's buffer, or it waits. */
bool ntq_slot_buffer(struct ntq *q, struct ntq_slot *s);

VIO_INLINE struct ntq_slot *ntq_slot_of(struct nvme_req *r)
{
	return VIO_CONTAINER(r, struct ntq_slot, r);
}

VIO_INLINE struct ntq *ntq_of(struct nvme_queue *q)
{
	return VIO_CONTAINER(q, struct ntq, queue);
}

#endif
