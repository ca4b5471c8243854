/* SPDX-License-Identifier: MIT */
/*
 * A queue from within. split.c, packed.c and packed_take.c know the formats; queue.c makes and
 * ends queues and picks the format once a batch; inflight_*.c keep the region that
 * outlives a crash, and packed_find.c does without.
 */
#ifndef VIO_QUEUE_QUEUE_H
#define VIO_QUEUE_QUEUE_H

#include "mem/mem.h"
#include "ring/vring.h"

#include <virtio-offload/queue.h>

/* A request with the queue's private tail; its own vector lies behind the scratch. */
struct queue_req {
	struct vio_req r;
	uint16_t head;		/* split: head descriptor; packed: buffer id */
	uint16_t ndesc;		/* packed: descriptors of the ring that it fills */
	uint16_t track;		/* packed: its entry in the inflight region */
	uint16_t place;		/* split: avail index; packed: first descriptor */
	struct iovec *own;	/* its inline vector */
	struct iovec *block;	/* the large one in place of it, or NULL */
	_Alignas(VIO_CACHELINE) char scratch[];
};
_Static_assert(sizeof(struct queue_req) == VIO_REQ_SCRATCH, "scratch follows at once");

#define QUEUE_INLINE_SEGMENTS 8

struct split_inflight;
struct packed_inflight;

/* Requests that were in flight when the last server died: taken before any others, oldest first. */
struct queue_resume {
	unsigned n, at;
	uint16_t *entry;	/* split: heads; packed: entries of the inflight region */
	uint16_t place;		/* packed: of the next one */
};

struct vio_queue {
	/* Hot: read or written every batch. */
	uint16_t size, mask;	/* mask: split only */
	bool packed, event_idx, indirect;
	bool ordered;		/* requests are used in the ring's order, however they are given */
	bool resumable;		/* and the ring shall tell a successor where to go on */
	bool kicks_off;
	bool starved;		/* take stopped for want of a large vector; until the next give */
	bool avail_wrap, used_wrap;
	uint16_t avail_idx, used_idx;
	uint16_t published;	/* split: used_idx as the driver last saw it; packed: the batch's first slot */
	uint16_t parked;	/* split, event-idx: where the event lies while kicks are off */
	uint16_t pending;	/* packed: descriptors given that the driver does not see yet */
	uint16_t unsaid;	/* split: used elements, packed: descriptors that it sees, with no flush since */
	unsigned nfree;
	unsigned inflight;	/* requests out */
	unsigned busy_desc;	/* packed: descriptors of those */
	int error;
	struct mem_range range;	/* the one that matched last */
	struct queue_req **free;	/* stack: the warmest on top */
	uint8_t *busy;		/* one for each head or id: is it out? */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *ring;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	uint64_t first_word;	/* packed: what flush will write into the batch's first slot */

	/* Ordered: those that were given before their turn, by place in the ring; and how many. */
	struct queue_req **early;
	unsigned early_n;

	union {
		struct split_inflight *split_track;
		struct packed_inflight *packed_track;
		void *track;	/* NULL: no inflight region */
	};
	uint64_t track_counter;
	uint16_t *track_batch;	/* entries given since the last flush */
	unsigned track_n;
	struct queue_resume resume;

	/* Cold. */
	struct iovec **blocks;	/* free large vectors */
	unsigned nblocks, max_segments;
	void (*notify)(void *ctx);
	void *notify_ctx;
	struct vio_dirty *dirty;
	uint64_t dirty_device;
	struct vio_mem *mem;
	uint64_t features;
	struct vio_queue_stats stats;
	char *requests;
	struct iovec *block_mem;
	size_t block_bytes;
	char errmsg[160];
};

/* Stops the queue and says why; returns -EBADMSG. */
int vio__queue_break(struct vio_queue *q, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* Logs what a request's writable buffers received. */
void vio__queue_log(struct vio_queue *q, const struct vio_req *r);
/* Logs len bytes of the used ring, or of the packed ring, at `offset`. */
VIO_INLINE void queue_log_ring(struct vio_queue *q, uint64_t offset, uint64_t len)
{
	if (VIO_UNLIKELY(q->dirty && q->dirty_device != UINT64_MAX))
		vio_dirty_mark(q->dirty, q->dirty_device + offset, len);
}

int vio__split_init(struct vio_queue *q, const struct vio_queue_opts *o);
int vio__split_take(struct vio_queue *q, struct vio_req **r, unsigned n);
void vio__split_untake(struct vio_queue *q, struct queue_req *s, bool resumed);
void vio__split_give(struct vio_queue *q, struct vio_req **r, unsigned n);
void vio__split_publish(struct vio_queue *q);
void vio__split_flush(struct vio_queue *q);
bool vio__split_kicks(struct vio_queue *q, bool on);
bool vio__split_waiting(const struct vio_queue *q);

int vio__packed_init(struct vio_queue *q, const struct vio_queue_opts *o);
int vio__packed_take(struct vio_queue *q, struct vio_req **r, unsigned n);
void vio__packed_untake(struct vio_queue *q, struct queue_req *s, bool resumed);
void vio__packed_give(struct vio_queue *q, struct vio_req **r, unsigned n);
void vio__packed_publish(struct vio_queue *q);
void vio__packed_flush(struct vio_queue *q);
bool vio__packed_kicks(struct vio_queue *q, bool on);
bool vio__packed_waiting(const struct vio_queue *q);
/* Goes to where the ring stands, if it can tell. */
void vio__packed_find(struct vio_queue *q);

VIO_INLINE struct queue_req *queue_req(struct vio_req *r)
{
	return VIO_CONTAINER(r, struct queue_req, r);
}

/* The slot's head or id may be posted again, and its large vector is free. */
VIO_INLINE void queue_unmark(struct vio_queue *q, struct queue_req *s)
{
	if (VIO_UNLIKELY(s->block != NULL)) {
		q->blocks[q->nblocks++] = s->block;
		s->block = NULL;
	}
	q->busy[s->head] = 0;
}

/* There is a slot for each descriptor of the ring, so the stack never runs out while `busy` holds. */
VIO_INLINE void queue_release(struct vio_queue *q, struct queue_req *s)
{
	queue_unmark(q, s);
	q->free[q->nfree++] = s;
}

VIO_INLINE void queue_release_all(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	struct queue_req **free = q->free + q->nfree;
	uint8_t *const busy = q->busy;

	for (unsigned i = 0; i < n; i++) {
		struct queue_req *s = queue_req(r[i]);

		if (VIO_UNLIKELY(s->block != NULL))
			queue_unmark(q, s);
		busy[s->head] = 0;
		*free++ = s;
	}
	q->nfree += n;
}

/*
 * n more are visible, and whether to notify is left to a flush. Of more than a ring's length not every
 * position could be told from those ahead: then the driver is notified wherever it wants that, but for the
 * very next one.
 */
VIO_INLINE void queue_leave_unsaid(struct vio_queue *q, unsigned n)
{
	unsigned sum = q->unsaid + n;

	q->unsaid = (uint16_t)(sum <= q->size ? sum : UINT16_MAX);
}

VIO_INLINE void queue_notify(struct vio_queue *q, bool wanted)
{
	if (!wanted) {
		q->stats.suppressed++;
		return;
	}
	q->stats.notified++;
	if (q->notify)
		q->notify(q->notify_ctx);
}

/* False if the head or id is out already: a guest that posts one twice. */
VIO_INLINE bool queue_mark_busy(uint8_t *busy, unsigned id)
{
	if (VIO_UNLIKELY(busy[id]))
		return false;
	busy[id] = 1;
	return true;
}

#endif
