/* SPDX-License-Identifier: MIT */
/*
 * Each RECV is one buffer of the ring: itself where the server sees its memory, else a bounce
 * buffer of the same capacity.
 */
#include "backend/vhost_user_net.h"

#define POST_LEAST 64u /* bytes of a buffer: room for a header and more, which need not fit the RECV */

/* Adds what of r lies `skip` bytes behind its start, as pieces; 0: that can't be shown to the server as it
 * is. */
static unsigned post_pieces(struct vnet_lane *v, const struct vio_req *r, size_t skip, struct vring_seg *seg,
			    unsigned n, uint32_t *room)
{
	const unsigned max = v->tables_known ? VNET_TABLE : 2;

	for (unsigned i = 0; i < r->niov && *room < VNET_CHUNK; i++) {
		const struct iovec *p = &r->iov[i];
		size_t cut = VIO_MIN(skip, p->iov_len), len = VIO_MIN(p->iov_len - cut, VNET_CHUNK - *room);

		skip -= cut;
		if (!len)
			continue;
		if (n == max)
			return 0;
		seg[n] = (struct vring_seg){ vhost_translate(&v->view, (char *)p->iov_base + cut, len),
					     (uint32_t)len };
		if (seg[n++].addr == UINT64_MAX)
			return 0;
		*room += (uint32_t)len;
	}
	return n;
}

/* So much that what comes fits the RECV: where a packet begins there, and also, if one may, where one goes
 * on. */
static uint32_t post_bounce_room(const struct vio_req *r)
{
	const bool on = r->flags & VIO_RECV_MERGE;
	const size_t room = recv_room(r),
		     head = on ? VIO_MAX(r->offload.hdr_len, VNET_HDR) : r->offload.hdr_len;
	const size_t fits = room > head ? room - head + VNET_HDR : 0;

	return (uint32_t)VIO_MIN(VIO_MAX(fits, POST_LEAST), VNET_CHUNK);
}

static unsigned post_bounce(struct vnet_lane *v, const struct vio_req *r, unsigned slot,
			    struct vring_seg *seg)
{
	struct vnet_slot *s = &v->recv.slot[slot];

	s->how = VNET_BOUNCE;
	s->room = post_bounce_room(r);
	seg[0] = (struct vring_seg){ v->chunks_guest + (uint64_t)slot * VNET_CHUNK, s->room };
	return 1;
}

/* The pieces of the slot's buffer. */
static unsigned post_show(struct vnet_lane *v, const struct vio_req *r, unsigned slot, struct vring_seg *seg)
{
	struct vnet_slot *s = &v->recv.slot[slot];
	unsigned n = 0;

	if (r->offload.hdr_len == VNET_HDR) {
		s->how = VNET_WHOLE;
		s->room = 0;
		n = post_pieces(v, r, 0, seg, 0, &s->room);
	} else if (!(r->flags & VIO_RECV_MERGE)) {
		seg[0] = (struct vring_seg){ v->hdrs_guest + (uint64_t)slot * VNET_HDR_ROOM, VNET_HDR };
		s->how = VNET_BEHIND;
		s->room = VNET_HDR;
		n = post_pieces(v, r, r->offload.hdr_len, seg, 1, &s->room);
	}
	return n && s->room > VNET_HDR ? n : post_bounce(v, r, slot, seg);
}

static void post_any(struct vnet_lane *v, const struct vio_req *r, unsigned slot, bool packed)
{
	struct vring_seg seg[VNET_TABLE];
	size_t table = (size_t)slot * VNET_TABLE * 16;
	unsigned n = post_show(v, r, slot, seg);

	if (n <= 2) {
		vring_chain(&v->ring, slot, seg, n, VRING_DESC_F_WRITE, packed);
		return;
	}
	vring_chain_table(v->tables + table, seg, n, VRING_DESC_F_WRITE, packed);
	seg[0] = (struct vring_seg){ v->tables_guest + table, 16 * n };
	vring_chain(&v->ring, slot, seg, 1, VRING_DESC_F_INDIRECT, packed);
}

/* One piece of shared memory with room for the header: what most guests post. */
VIO_INLINE bool post_whole(struct vnet_lane *v, const struct vio_req *r, unsigned slot, bool packed)
{
	const size_t len = r->iov[0].iov_len;
	struct vring_seg seg = { vhost_translate(&v->view, r->iov[0].iov_base, len), (uint32_t)len };

	if (r->niov != 1 || r->offload.hdr_len != VNET_HDR || len - VNET_HDR - 1 >= VNET_CHUNK - VNET_HDR ||
	    seg.addr == UINT64_MAX)
		return false;
	v->recv.slot[slot].how = VNET_WHOLE;
	v->recv.slot[slot].room = (uint32_t)len;
	vring_chain(&v->ring, slot, &seg, 1, VRING_DESC_F_WRITE, packed);
	return true;
}

VIO_INLINE void post_all(struct vnet_lane *v, bool packed)
{
	struct vnet_recv *t = &v->recv;

	for (; t->posted != t->fifo.tail; t->posted++) {
		const unsigned slot = t->posted & (t->fifo.size - 1);
		const struct vio_req *r = t->fifo.ring[slot];

		if (VIO_UNLIKELY(!post_whole(v, r, slot, packed)))
			post_any(v, r, slot, packed);
	}
	vnet_publish(v, packed);
}

void vnet_recv_post(struct vnet_lane *v)
{
	if (v->ring.packed)
		post_all(v, true);
	else
		post_all(v, false);
}

void vnet_recv_submit(struct vnet_lane *v, struct vio_req **r, unsigned n)
{
	recv_fifo_push(&v->recv.fifo, r, n);
	if (VIO_UNLIKELY(v->held))
		return; /* the task posts them with the others */
	vnet_recv_post(v);
	if (v->spins)
		vio_task_wake(v->lane->poller, &v->task);
}
