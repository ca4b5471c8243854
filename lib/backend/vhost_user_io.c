/* SPDX-License-Identifier: MIT */
/* The hot path: submit and reap, one stamp for each ring format. */
#include "backend/vhost_user.h"

static void io_finish(struct vhost_lane *v, struct vio_req *r, int res)
{
	r->res = res;
	vio_reqs_push(&v->done, r);
}

unsigned vio__vhost_room(struct vio_lane *l)
{
	struct vhost_lane *v = l->priv;

	if (VIO_UNLIKELY(v->broken))
		return v->nslots; /* to be told so */
	return v->waiting.head ? 0 : v->nfree;
}

/* One piece of shared memory: posted without further ado. */
VIO_INLINE bool io_whole(struct vhost_lane *v, struct vio_req *r, bool packed)
{
	uint64_t addr, len;
	unsigned slot;

	if (r->op > VIO_OP_WRITE || r->niov != 1 || r->flags & VIO_REQ_FUA || v->waiting.head || !v->nfree)
		return false;
	len = r->iov[0].iov_len;
	addr = vhost_translate(&v->view, r->iov[0].iov_base, len);
	if (VIO_UNLIKELY(addr == UINT64_MAX || len - 1 >= v->max_len))
		return false;
	slot = v->free[--v->nfree];
	v->slot[slot].req = r;
	v->slot[slot].how = VHOST_WHOLE;
	v->header[slot] = (struct virtio_blk_outhdr){
		.type = htole32(r->op == VIO_OP_WRITE ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN),
		.sector = htole64(r->offset / 512)
	};
	vring_post(&v->ring, slot, (struct vring_seg){ addr, (uint32_t)len }, r->op == VIO_OP_READ, packed);
	return true;
}

/* Requests that need no server, or can't have one. */
static bool io_at_once(struct vhost_lane *v, struct vio_req *r)
{
	if (VIO_UNLIKELY(v->broken))
		io_finish(v, r, -EIO);
	else if (r->op >= 32 || !(v->ops >> r->op & 1))
		io_finish(v, r, -EOPNOTSUPP);
	else if (r->op == VIO_OP_FLUSH ? !v->flush : !r->len)
		io_finish(v, r, 0);
	else
		return false;
	return true;
}

static void io_publish(struct vhost_lane *v, bool packed)
{
	if (!vring_publish(&v->ring, packed))
		return;
	vhost_count(&v->count->kicks, 1);
	vio_poller_signal(v->lane->poller, v->bells.kick);
}

VIO_INLINE void io_submit(struct vhost_lane *v, struct vio_req **r, unsigned n, bool packed)
{
	for (unsigned i = 0; i < n; i++) {
		if (VIO_LIKELY(v->running && v->ops >> (r[i]->op & 31) & 1 && io_whole(v, r[i], packed)))
			continue;
		if (!io_at_once(v, r[i]))
			vio__vhost_cut_begin(v, r[i]);
	}
	if (VIO_UNLIKELY(v->waiting.head) && v->running)
		vio__vhost_cut_more(v);
	io_publish(v, packed);
}

void vio__vhost_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct vhost_lane *v = l->priv;

	if (v->ring.packed)
		io_submit(v, r, n, true);
	else
		io_submit(v, r, n, false);
	vhost_count(&v->count->submitted, n);
	if (VIO_UNLIKELY(v->done.head)) {
		vio_task_wake(l->poller, &v->task);
		vio_lane_wake(l);
	} else if (v->spins) {
		vio_task_wake(l->poller, &v->task); /* polls meanwhile, so that no interrupt is needed */
	}
}

VIO_INLINE int io_status(uint8_t status)
{
	if (VIO_LIKELY(status == VIRTIO_BLK_S_OK))
		return 0;
	return status == VIRTIO_BLK_S_UNSUPP ? -EOPNOTSUPP : -EIO;
}

/* The slot's request if it is complete with that. */
VIO_INLINE struct vio_req *io_used(struct vhost_lane *v, unsigned slot)
{
	int err = io_status(VIO_LOAD(&v->status[slot]));
	struct vio_req *r = v->slot[slot].req;

	if (VIO_UNLIKELY(err))
		vhost_count(&v->count->errors, 1);
	if (VIO_UNLIKELY(v->slot[slot].how != VHOST_WHOLE))
		return vio__vhost_cut_done(v, slot, err);
	v->slot[slot].req = NULL;
	v->free[v->nfree++] = (uint16_t)slot;
	r->res = err;
	return r;
}

/* Up to n completed requests; the ring breaks at the first entry that can't be. */
VIO_INLINE unsigned io_ring(struct vhost_lane *v, struct vio_req **r, unsigned n, bool packed)
{
	unsigned k = 0;
	int have = 0;

	while (k < n && (have = vring_pending(&v->ring, packed)) > 0) {
		uint32_t slot = vring_next(&v->ring, packed);

		if (VIO_UNLIKELY(slot >= v->nslots || !v->slot[slot].req)) {
			vio__vhost_break(v, EBADMSG, "the server completed a request that it does not have");
			return k;
		}
		vring_consume(&v->ring, slot, packed);
		r[k] = io_used(v, slot);
		k += r[k] != NULL;
	}
	if (VIO_UNLIKELY(have < 0))
		vio__vhost_break(v, EBADMSG, "the server's used index is ahead of what it was given");
	return k;
}

static unsigned io_done(struct vhost_lane *v, struct vio_req **r, unsigned n)
{
	unsigned k = 0;

	while (k < n && v->done.head)
		r[k++] = vio_reqs_pop(&v->done);
	return k;
}

unsigned vio__vhost_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct vhost_lane *v = l->priv;
	unsigned k = VIO_UNLIKELY(v->done.head != NULL) ? io_done(v, r, n) : 0;

	if (VIO_LIKELY(v->running))
		k += v->ring.packed ? io_ring(v, r + k, n - k, true) : io_ring(v, r + k, n - k, false);
	if (VIO_UNLIKELY(v->waiting.head) && v->running) {
		vio__vhost_cut_more(v);
		io_publish(v, v->ring.packed);
	}
	if (k)
		vhost_count(&v->count->completed, k);
	return k;
}

void vio__vhost_harvest(struct vhost_lane *v)
{
	struct vio_req *r;

	while (v->ring.packed ? io_ring(v, &r, 1, true) : io_ring(v, &r, 1, false))
		vio_reqs_push(&v->done, r);
}

void vio__vhost_break(struct vhost_lane *v, int err, const char *why)
{
	struct vhost_disk *d = v->lane->backend->priv;
	struct vio_req *r;

	v->broken = -err;
	v->running = false;
	vio_poller_log(v->lane->poller, VIO_LOG_ERROR, "vhost_user: %s: queue %u: %s", d->path, v->index,
		       why);
	for (unsigned i = 0; i < v->nslots; i++) {
		r = v->slot[i].req;
		if (!r)
			continue;
		if (v->slot[i].how != VHOST_WHOLE) {
			r = vio__vhost_cut_done(v, i, -EIO);
		} else {
			v->slot[i].req = NULL;
			v->free[v->nfree++] = (uint16_t)i;
		}
		if (r)
			io_finish(v, r, -EIO);
	}
	while ((r = vio_reqs_pop(&v->waiting)))
		io_finish(v, r, -EIO);
	vio_task_wake(v->lane->poller, &v->task);
	vio_lane_wake(v->lane);
}
