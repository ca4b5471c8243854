/* SPDX-License-Identifier: MIT */
/*
 * The inflight region (vhost-user, "Inflight I/O tracking"): memory of the front
 * end's where a server notes what it has taken and not given, so that the next one
 * can go on after a crash. A process can die between any two stores here; they are
 * in the order that makes each such point recoverable, and barriers keep the
 * compiler from changing it.
 *
 * The region comes from outside: every index read from it is checked.
 */
#ifndef VIO_QUEUE_INFLIGHT_H
#define VIO_QUEUE_INFLIGHT_H

#include "queue/queue.h"

#define TRACK_VERSION 1
#define TRACK_ORDER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

struct split_entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;	  /* links the heads of the last batch */
	uint64_t counter; /* orders what is in flight */
};

struct split_inflight {
	uint64_t features;
	uint16_t version; /* 0: never used */
	uint16_t size;
	uint16_t last_batch; /* newest head of the batch that was given last */
	uint16_t used_idx;
	struct split_entry desc[];
};

struct packed_entry {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next; /* free list, and within a chain */
	uint16_t last; /* head: the chain's last entry */
	uint16_t num;  /* head: descriptors in the chain */
	uint64_t counter;
	uint16_t id; /* the descriptor as it was in the ring */
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

/* Where the used ring stands, with and without the batch being given: one word, so that a death finds all or
 * none. */
union packed_position {
	struct {
		uint16_t used_idx, old_used_idx;
		uint8_t used_wrap, old_used_wrap;
		uint8_t padding[2];
	};
	uint64_t word;
};

struct packed_inflight {
	uint64_t features;
	uint16_t version;
	uint16_t size;
	uint16_t free_head, old_free_head;
	union packed_position at;
	uint8_t padding[8];
	struct packed_entry desc[];
};

/* Reads a region that a predecessor left, or begins a new one; sets q's resume list and indexes. */
int split_track_open(struct vio_queue *q, size_t bytes);
int packed_track_open(struct vio_queue *q, size_t bytes);

/* Sorts the entries that were in flight by their counters into q->resume. */
int vio__resume_sort(struct vio_queue *q, uint64_t (*counter)(const struct vio_queue *q, uint16_t entry));

VIO_INLINE void split_track_take(struct vio_queue *q, uint16_t head)
{
	struct split_entry *e = &q->split_track->desc[head];

	VIO_STORE(&e->counter, q->track_counter++);
	TRACK_ORDER();
	VIO_STORE(&e->inflight, 1);
	TRACK_ORDER(); /* noted before avail_idx moves on in any later store */
}

VIO_INLINE void split_track_give(struct vio_queue *q, uint16_t head)
{
	struct split_inflight *t = q->split_track;

	VIO_STORE(&t->desc[head].next, q->track_n ? q->track_batch[q->track_n - 1] : head);
	TRACK_ORDER();
	VIO_STORE(&t->last_batch, head);
	TRACK_ORDER();
	q->track_batch[q->track_n++] = head;
}

/* The batch is visible to the driver: it is in flight no more. */
VIO_INLINE void split_track_flush(struct vio_queue *q)
{
	struct split_inflight *t = q->split_track;

	TRACK_ORDER();
	for (unsigned i = 0; i < q->track_n; i++)
		VIO_STORE(&t->desc[q->track_batch[i]].inflight, 0);
	q->track_n = 0;
	TRACK_ORDER();
	VIO_STORE(&t->used_idx, q->used_idx);
}

/* Copies descriptor `d` of a chain being taken; -EBADMSG never: bounded by the ring. */
void packed_track_desc(struct vio_queue *q, uint64_t addr, uint64_t word);
/* The chain is whole: it is in flight from here on. Its entry goes to s->track. */
void packed_track_take(struct vio_queue *q, struct queue_req *s);
/* The chain being taken turned out bad: forget what packed_track_desc noted. */
void packed_track_drop(struct vio_queue *q);
/* The newest chain taken goes back to the ring. */
void packed_track_untake(struct vio_queue *q, struct queue_req *s);
/* s was put into the ring; the next used descriptor will be at idx, wrap. */
void packed_track_give(struct vio_queue *q, struct queue_req *s, uint16_t idx, bool wrap);
void packed_track_flush(struct vio_queue *q);

#endif
