/* SPDX-License-Identifier: MIT */
/* Queues: made, ended, and handed to their format once a batch. */
#include "queue/queue.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#define QUEUE_MAX_BLOCKS 64 /* large vectors: as many requests of more than QUEUE_INLINE_SEGMENTS at once */

uint64_t vio_queue_features(void)
{
	return VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_F_RING_PACKED) | VIO_BIT(VIRTIO_F_IN_ORDER) |
	       VIO_BIT(VIRTIO_F_ORDER_PLATFORM) | VIO_BIT(VIRTIO_F_NOTIFICATION_DATA) | VIO_BIT(VIRTIO_F_RING_RESET) |
	       VIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
}

int vio__queue_break(struct vio_queue *q, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(q->errmsg, sizeof(q->errmsg), fmt, ap);
	va_end(ap);
	q->error = -EBADMSG;
	return vio__fail(EBADMSG, "queue: %s", q->errmsg);
}

/* One allocation for all requests, and one, touched only when needed, for the large vectors. */
static int queue_alloc(struct vio_queue *q, const struct vio_queue_opts *o)
{
	size_t scratch = ((size_t)o->scratch + 15) & ~(size_t)15;
	size_t stride = sizeof(struct queue_req) + scratch + QUEUE_INLINE_SEGMENTS * sizeof(struct iovec);
	unsigned blocks = VIO_MIN(q->size, QUEUE_MAX_BLOCKS);

	stride = (stride + VIO_CACHELINE - 1) & ~(size_t)(VIO_CACHELINE - 1);
	q->requests = aligned_alloc(VIO_CACHELINE, stride * q->size);
	q->free = calloc(q->size, sizeof(*q->free));
	q->busy = calloc(q->size, sizeof(*q->busy));
	q->early = calloc(q->size, sizeof(*q->early));
	q->track_batch = calloc(q->size, sizeof(*q->track_batch));
	q->resume.entry = calloc(q->size, sizeof(*q->resume.entry));
	q->blocks = calloc(blocks, sizeof(*q->blocks));
	q->block_bytes = (size_t)blocks * q->max_segments * sizeof(struct iovec);
	q->block_mem = mmap(NULL, q->block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!q->requests || !q->free || !q->busy || !q->early || !q->track_batch || !q->resume.entry || !q->blocks ||
	    q->block_mem == MAP_FAILED)
		return vio__fail(ENOMEM, "queue: out of memory for %u entries", q->size);
	memset(q->requests, 0, stride * q->size);
	for (unsigned i = q->size; i--;) {
		struct queue_req *s = (struct queue_req *)(q->requests + i * stride);

		s->own = (struct iovec *)(s->scratch + scratch);
		q->free[q->nfree++] = s;
	}
	while (blocks--)
		q->blocks[q->nblocks++] = q->block_mem + (size_t)blocks * q->max_segments;
	return 0;
}

static int queue_check(const struct vio_queue_opts *o)
{
	if (!o->mem)
		return vio__fail(EINVAL, "queue: no memory map given");
	if (!o->size || o->size > 32768)
		return vio__fail(EINVAL, "queue: size %u, expected 1 to 32768", o->size);
	if (o->max_segments && (o->max_segments < QUEUE_INLINE_SEGMENTS || o->max_segments > UINT16_MAX))
		return vio__fail(EINVAL, "queue: max_segments %u, expected %u to %u", o->max_segments,
				 QUEUE_INLINE_SEGMENTS, UINT16_MAX);
	if (o->flags & ~(uint64_t)VIO_QUEUE_RESUMABLE)
		return vio__fail(EINVAL, "queue: flags %#llx are not known", (unsigned long long)o->flags);
	if ((uintptr_t)o->inflight % 8)
		return vio__fail(EINVAL, "queue: the inflight region is not aligned to 8 bytes");
	if (o->state && (o->state->avail_wrap > 1 || o->state->used_wrap > 1 || o->state->reserved[0] || o->state->reserved[1]))
		return vio__fail(EINVAL, "queue: a state with wrap counters %u and %u, expected 0 or 1",
				 o->state->avail_wrap, o->state->used_wrap);
	return 0;
}

static int queue_init(struct vio_queue *q, const struct vio_queue_opts *o)
{
	int rc;

	q->mem = vio_mem_ref(o->mem);
	q->size = (uint16_t)o->size;
	q->features = o->features;
	q->packed = o->features & VIO_BIT(VIRTIO_F_RING_PACKED);
	q->event_idx = o->features & VIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	q->resumable = o->flags & VIO_QUEUE_RESUMABLE && !o->inflight;
	q->ordered = q->resumable || o->features & VIO_BIT(VIRTIO_F_IN_ORDER);
	q->indirect = o->features & VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	q->max_segments = o->max_segments ? o->max_segments : VIO_MAX(VIO_MIN(o->size, 1024), 256) + 8;
	q->notify = o->notify;
	q->notify_ctx = o->notify_ctx;
	q->dirty = o->dirty;
	q->dirty_device = o->dirty_device;
	q->track = o->inflight;
	if (vio_mem_count(q->mem))
		q->range = q->mem->ranges[0];
	rc = queue_alloc(q, o);
	if (rc)
		return rc;
	return q->packed ? vio__packed_init(q, o) : vio__split_init(q, o);
}

int vio_queue_new(struct vio_queue **out, const struct vio_queue_opts *opts)
{
	struct vio_queue_opts o;
	struct vio_queue *q;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_queue_opts");

	*out = NULL;
	if (!rc && !o.size)
		o.size = 256;
	rc = rc ? rc : queue_check(&o);
	if (rc)
		return rc;
	q = aligned_alloc(VIO_CACHELINE, (sizeof(*q) + VIO_CACHELINE - 1) & ~(size_t)(VIO_CACHELINE - 1));
	if (!q)
		return vio__fail(ENOMEM, "queue: out of memory");
	memset(q, 0, sizeof(*q));
	rc = queue_init(q, &o);
	if (rc)
		vio_queue_free(q);
	else
		*out = q;
	return rc;
}

void vio_queue_free(struct vio_queue *q)
{
	if (!q)
		return;
	free(q->requests);
	free(q->free);
	free(q->busy);
	free(q->early);
	free(q->track_batch);
	free(q->resume.entry);
	free(q->blocks);
	if (q->block_mem && q->block_mem != MAP_FAILED)
		munmap(q->block_mem, q->block_bytes);
	vio_mem_free(q->mem);
	free(q);
}

int vio_queue_take(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (VIO_UNLIKELY(q->error))
		return vio__fail(-q->error, "queue: %s", q->errmsg);
	n = VIO_MIN(n, UINT16_MAX);
	return q->packed ? vio__packed_take(q, r, n) : vio__split_take(q, r, n);
}

void vio_queue_give(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	if (q->packed)
		vio__packed_give(q, r, n);
	else
		vio__split_give(q, r, n);
}

void vio_queue_untake(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	q->inflight -= n;
	q->starved = false;
	while (n--) {
		/* What the inflight region brought back was taken before all else. */
		bool resumed = --q->stats.taken < q->resume.n;

		q->resume.at -= resumed;
		if (q->packed)
			vio__packed_untake(q, queue_req(r[n]), resumed);
		else
			vio__split_untake(q, queue_req(r[n]), resumed);
	}
}

void vio_queue_publish(struct vio_queue *q)
{
	if (q->packed)
		vio__packed_publish(q);
	else
		vio__split_publish(q);
}

void vio_queue_flush(struct vio_queue *q)
{
	if (q->packed)
		vio__packed_flush(q);
	else
		vio__split_flush(q);
}

bool vio_queue_kicks(struct vio_queue *q, bool on)
{
	if (q->error)
		return false;
	return q->packed ? vio__packed_kicks(q, on) : vio__split_kicks(q, on);
}

bool vio_queue_kick_data(const struct vio_queue *q, uint32_t data)
{
	uint16_t next = (uint16_t)(data >> 16);

	if (q->error)
		return false;
	return next != (q->packed ? q->avail_idx | q->avail_wrap << 15 : q->avail_idx);
}

unsigned vio_queue_inflight(const struct vio_queue *q)
{
	return q->inflight;
}

int vio_queue_error(const struct vio_queue *q)
{
	return q->error;
}

const char *vio_queue_errmsg(const struct vio_queue *q)
{
	return q->errmsg;
}

int vio_queue_save(const struct vio_queue *q, struct vio_queue_state *out)
{
	bool flushed = !q->unsaid && (q->packed ? !q->pending : q->published == q->used_idx);

	if (q->inflight || !flushed)
		return vio__fail(EBUSY, "queue: %u requests are in flight%s", q->inflight,
				 flushed ? "" : ", and some that were given are not flushed");
	*out = (struct vio_queue_state){ .avail_idx = q->avail_idx, .used_idx = q->used_idx,
					 .avail_wrap = q->avail_wrap, .used_wrap = q->used_wrap };
	return 0;
}

void vio_queue_stats(const struct vio_queue *q, struct vio_queue_stats *out)
{
	vio__out(out, &q->stats, sizeof(q->stats));
}

void vio__queue_log(struct vio_queue *q, const struct vio_req *r)
{
	uint64_t left = r->written;

	for (unsigned i = r->nout; i < (unsigned)r->nout + r->nin && left; i++) {
		uint64_t len = VIO_MIN(left, r->buf[i].iov_len);

		vio_dirty_mark(q->dirty, vio_mem_guest(q->mem, r->buf[i].iov_base), len);
		left -= len;
	}
}
