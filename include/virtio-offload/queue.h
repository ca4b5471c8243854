/* SPDX-License-Identifier: MIT */
/*
 * The serving end of a virtqueue (virtio 1.3, sections 2.7 split, 2.8 packed).
 *
 * take a batch of requests, serve them, give them back in any order, flush once.
 * The peer is hostile: each descriptor is read once into a local copy, checked
 * and used from that copy. A peer that breaks the ring's rules stops this queue
 * (take says -EBADMSG from then on) and nothing else.
 *
 * A queue belongs to one thread at a time and allocates nothing after new.
 */
#ifndef VIRTIO_OFFLOAD_QUEUE_H
#define VIRTIO_OFFLOAD_QUEUE_H

#include <virtio-offload/mem.h>
#include <virtio-offload/req.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_queue;

/* Virtqueue features that the serving end handles: VIRTIO_F_RING_PACKED, _EVENT_IDX,
 * _INDIRECT_DESC, _IN_ORDER, _NOTIFICATION_DATA, _RING_RESET, _VERSION_1 and
 * _ORDER_PLATFORM, as 1 << bit. */
VIO_API uint64_t vio_queue_features(void);

/* Where a queue stands: enough to continue it in another process. Plain data, safe to
 * store; whatever comes back is validated like live input. */
struct vio_queue_state {
	uint16_t avail_idx;	/* split: next avail index to take. packed: next descriptor, 0..size-1 */
	uint16_t used_idx;	/* split: next used index to write. packed: next descriptor to write */
	uint8_t avail_wrap;	/* packed: the wrap counters, 0 or 1; a new ring starts with 1 */
	uint8_t used_wrap;
	uint8_t reserved[2];	/* 0 */
};

/*
 * vio_queue_opts.flags. Without an inflight region only the ring can tell a successor where to
 * go on, should this process die. With this flag it does: requests become visible to the guest
 * in the ring's order, whatever the order in which they are given. And the queue begins where
 * the ring stands, even if `state` says otherwise: what its predecessor took and had not given
 * is taken again, and none is given twice. The ring can't tell if another kind of server left
 * it; then `state` counts. Beside an inflight region, which knows more, the flag means nothing.
 */
#define VIO_QUEUE_RESUMABLE 1u

struct vio_queue_opts {
	size_t sz;
	uint32_t size;		/* entries: 1..32768, for split rings a power of two (2.7); 0 means 256 */
	uint64_t features;	/* negotiated; bits that are no concern of queues are ignored */
	struct vio_mem *mem;	/* required; one reference is kept */
	uint64_t desc;		/* guest addresses: descriptor table, or packed descriptor ring */
	uint64_t driver;	/* avail ring, or driver event suppression structure */
	uint64_t device;	/* used ring, or device event suppression structure */
	const struct vio_queue_state *state;	/* NULL: a new ring */
	unsigned scratch;	/* bytes of scratch a request; see vio_backend_scratch */
	unsigned max_segments;	/* entries of a request's buf; 0 means min(size, 1024) + 8, at least 264 */
	void (*notify)(void *ctx);	/* the peer wants an interrupt; called by flush */
	void *notify_ctx;
	/*
	 * A vhost-user inflight region for this queue (its I/O that was under way
	 * when a server died), or NULL. The first `take`s return what was in flight.
	 */
	void *inflight;
	size_t inflight_size;
	struct vio_dirty *dirty;	/* log writes here; NULL: no migration under way */
	uint64_t dirty_device;	/* where writes to the used ring are logged; UINT64_MAX: not at all */
	uint64_t flags;		/* VIO_QUEUE_* */
};

/* -EINVAL for a bad size, alignment, address or state, -ENOMEM. */
VIO_API int vio_queue_new(struct vio_queue **q, const struct vio_queue_opts *opts);

/* Requests that were taken and not given are forgotten: have them back first. */
VIO_API void vio_queue_free(struct vio_queue *q);

/*
 * Takes up to n requests (at most 65,535). 0..n, or -EBADMSG: the guest broke the
 * ring; what was taken before the fault is returned first, and the error next time.
 */
VIO_API int vio_queue_take(struct vio_queue *q, struct vio_req **r, unsigned n);

/* Puts back the newest n requests taken, unserved; r as take stored them. The guest sees nothing. */
VIO_API void vio_queue_untake(struct vio_queue *q, struct vio_req **r, unsigned n);

/* Gives n requests back; `written` of each says how many bytes its writable buffers received. */
VIO_API void vio_queue_give(struct vio_queue *q, struct vio_req **r, unsigned n);

/* Makes all given requests visible to the guest, and notifies it once if it asked for that. */
VIO_API void vio_queue_flush(struct vio_queue *q);

/*
 * Makes all given requests visible and leaves open whether to notify: the next flush asks
 * for all that was published since the last one, as the ring's event index wants it. For
 * those who notify late, and not after every batch.
 */
VIO_API void vio_queue_publish(struct vio_queue *q);

/*
 * on: the guest shall kick from now on; then looks again and returns true if
 * requests are there already (so no wake-up is lost). off: kicks are not needed.
 */
VIO_API bool vio_queue_kicks(struct vio_queue *q, bool on);

/*
 * What a driver wrote to the doorbell under VIRTIO_F_NOTIFICATION_DATA (2.9): true
 * if it announces requests not yet taken. A hint; garbage does no harm.
 */
VIO_API bool vio_queue_kick_data(const struct vio_queue *q, uint32_t data);

/* Requests taken and not yet given. */
VIO_API unsigned vio_queue_inflight(const struct vio_queue *q);

/* 0, or why the queue stopped: -EBADMSG. */
VIO_API int vio_queue_error(const struct vio_queue *q);
/* The sentence that goes with it, valid as long as q; "" without an error. */
VIO_API const char *vio_queue_errmsg(const struct vio_queue *q);

/* The state to continue from. Drain and flush first: nothing may be in flight, or unsaid (-EBUSY). */
VIO_API int vio_queue_save(const struct vio_queue *q, struct vio_queue_state *out);

struct vio_queue_stats {
	size_t sz;
	uint64_t taken;		/* requests */
	uint64_t given;
	uint64_t notified;	/* interrupts asked of the transport */
	uint64_t suppressed;	/* flushes for which the guest wanted none */
};
VIO_API void vio_queue_stats(const struct vio_queue *q, struct vio_queue_stats *out);

/* Bytes of an inflight region for one queue, as vhost-user lays it out. */
VIO_API size_t vio_queue_inflight_size(uint64_t features, uint32_t size);

#ifdef __cplusplus
}
#endif
#endif
