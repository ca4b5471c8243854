/* SPDX-License-Identifier: MIT */
/*
 * Packets to the server. A frame in memory that the server shares stays where it is, behind
 * a header of ours; another one is copied. The server may use the buffers in any order.
 */
#include "backend/vhost_user_net.h"

#include "packet/hdr.h"
#include "packet/packet.h"

#include <endian.h>

static void send_stalled(struct vio_timer *t);

static void send_free_all(struct vnet_lane *v)
{
	struct vnet_send *s = &v->send;

	for (unsigned i = 0; i < v->nslots; i++)
		s->free[i] = (uint16_t)(v->nslots - 1 - i); /* the lowest comes off first */
	s->nfree = v->nslots;
}

int vnet_send_open(struct vnet_lane *v)
{
	struct vnet_send *s = &v->send;

	s->req = calloc(v->nslots, sizeof(*s->req));
	s->free = calloc(v->nslots, sizeof(*s->free));
	s->stall.fire = send_stalled;
	if (!s->req || !s->free)
		return vio__fail(ENOMEM, "vhost_user_net: out of memory for a lane");
	send_free_all(v);
	return 0;
}

void vnet_send_close(struct vnet_lane *v)
{
	free(v->send.req);
	free(v->send.free);
}

static void send_drop(struct vnet_lane *v, struct vio_req *r, enum vnet_counter why)
{
	vnet_count(v, why, 1);
	r->res = 0;
	vio_reqs_push(&v->send.done, r);
}

/* Header and frame in one piece of the slot's own. */
static unsigned send_bounce(struct vnet_lane *v, const struct vio_req *r, unsigned slot, const char *hdr,
			    struct vring_seg *seg)
{
	char *to = v->chunks + (size_t)slot * VNET_CHUNK;

	memcpy(to, hdr, VNET_HDR);
	vio__packet_copy(to + VNET_HDR, r->iov, r->niov, 0, r->len);
	vnet_count(v, VNET_BOUNCED, 1);
	vnet_count(v, VNET_BOUNCED_BYTES, r->len);
	seg[0] = (struct vring_seg){ v->chunks_guest + (uint64_t)slot * VNET_CHUNK,
				     VNET_HDR + (uint32_t)r->len };
	return 1;
}

/* Adds the frame's pieces behind the header's; 0: some can't be shown to the server, or they are too many. */
static unsigned send_pieces(struct vnet_lane *v, const struct vio_req *r, struct vring_seg *seg)
{
	const unsigned max = v->tables_known ? VNET_TABLE : 2;
	unsigned n = 1;

	for (unsigned i = 0; i < r->niov; i++) {
		const struct iovec *p = &r->iov[i];

		if (!p->iov_len)
			continue;
		if (n == max)
			return 0;
		seg[n] = (struct vring_seg){ vhost_translate(&v->view, p->iov_base, p->iov_len),
					     (uint32_t)p->iov_len };
		if (seg[n++].addr == UINT64_MAX)
			return 0;
	}
	return n;
}

static __attribute__((noinline)) void send_any(struct vnet_lane *v, const struct vio_req *r, unsigned slot,
					       struct vring_seg hdr, bool packed)
{
	struct vring_seg seg[VNET_TABLE] = { hdr };
	size_t table = (size_t)slot * VNET_TABLE * 16;
	unsigned n = send_pieces(v, r, seg);

	if (!n)
		n = send_bounce(v, r, slot, v->hdrs + (size_t)slot * VNET_HDR_ROOM, seg);
	if (n <= 2) {
		vring_chain(&v->ring, slot, seg, n, 0, packed);
		return;
	}
	vring_chain_table(v->tables + table, seg, n, 0, packed);
	seg[0] = (struct vring_seg){ v->tables_guest + table, 16 * n };
	vring_chain(&v->ring, slot, seg, 1, VRING_DESC_F_INDIRECT, packed);
}

VIO_INLINE void send_header(char *to, const struct vio_req *r)
{
	struct virtio_net_hdr_v1 h = { 0 };

	if (VIO_UNLIKELY(r->flags & (VIO_PACKET_CSUM | VIO_PACKET_GSO)))
		vio__packet_hdr_make((struct virtio_net_hdr *)&h, r);
	memcpy(to, &h, sizeof(h));
}

VIO_INLINE void send_post(struct vnet_lane *v, struct vio_req *r, bool packed)
{
	const unsigned slot = v->send.free[--v->send.nfree];
	const size_t at = (size_t)slot * VNET_HDR_ROOM;
	struct vring_seg seg[2] = { { v->hdrs_guest + at, VNET_HDR } };

	v->send.req[slot] = r;
	send_header(v->hdrs + at, r);
	seg[1] =
		(struct vring_seg){ vhost_translate(&v->view, r->iov[0].iov_base, r->len), (uint32_t)r->len };
	if (VIO_LIKELY(r->niov == 1 && seg[1].addr != UINT64_MAX))
		vring_chain(&v->ring, slot, seg, 2, 0, packed);
	else
		send_any(v, r, slot, seg[0], packed);
}

VIO_INLINE void send_all(struct vnet_lane *v, struct vio_req **r, unsigned n, bool packed)
{
	const uint8_t bad = (VIO_PACKET_CSUM | VIO_PACKET_GSO | VIO_PACKET_ECN) & (uint8_t)~v->d->takes;
	const bool up = VIO_LOAD(&v->d->up);

	for (unsigned i = 0; i < n; i++) {
		if (VIO_UNLIKELY(!up))
			send_drop(v, r[i], VNET_DROP_DOWN);
		else if (VIO_UNLIKELY(r[i]->len - RECV_FRAME_MIN > RECV_FRAME_MAX - RECV_FRAME_MIN))
			send_drop(v, r[i], VNET_DROP_MALFORMED);
		else if (VIO_UNLIKELY(r[i]->flags & bad))
			send_drop(v, r[i], VNET_DROP_OFFLOAD);
		else
			send_post(v, r[i], packed);
	}
	vnet_publish(v, packed);
}

/* A server that uses nothing for so long has stalled: what it has is taken back. */
static void send_watch(struct vnet_lane *v)
{
	struct vnet_send *s = &v->send;

	s->watched = s->nfree < v->nslots;
	s->used_was = s->used;
	if (s->watched)
		vio_timer_set(v->lane->poller, &s->stall, v->d->timeout_ms * 1000000ull);
}

static void send_stalled(struct vio_timer *t)
{
	struct vnet_lane *v = VIO_CONTAINER(t, struct vnet_lane, send.stall);
	bool stop = v->send.used == v->send.used_was && v->send.nfree < v->nslots;

	if (stop) {
		pthread_mutex_lock(&v->d->lock);
		if (v->state == VNET_RUNS && v->generation == v->d->generation)
			VIO_STORE(&v->state, VNET_STOP);
		pthread_mutex_unlock(&v->d->lock);
		vnet_attend(v);
	}
	send_watch(v);
}

void vnet_send_submit(struct vnet_lane *v, struct vio_req **r, unsigned n)
{
	if (v->ring.packed)
		send_all(v, r, n, true);
	else
		send_all(v, r, n, false);
	if (VIO_UNLIKELY(!v->send.watched))
		send_watch(v);
	if (VIO_UNLIKELY(v->send.done.head)) {
		vio_task_wake(v->lane->poller, &v->task);
		vio_lane_wake(v->lane);
	} else if (v->spins) {
		vio_task_wake(v->lane->poller,
			      &v->task); /* polls meanwhile, so that no interrupt is needed */
	}
}

/* Up to n that the server has used. Less, and *why, when it claims what can't be. */
VIO_INLINE unsigned send_ring(struct vnet_lane *v, struct vio_req **r, unsigned n, const char **why,
			      bool packed)
{
	struct vnet_send *s = &v->send;
	uint64_t bytes = 0;
	unsigned k = 0;
	int have = 0;

	while (k < n && (have = vring_pending(&v->ring, packed)) > 0) {
		uint32_t slot = vring_chain_slot(vring_next(&v->ring, packed), packed);

		if (VIO_UNLIKELY(slot >= v->nslots || !s->req[slot])) {
			*why = "the server used a packet that it does not have";
			break;
		}
		vring_consume(&v->ring, slot, packed);
		r[k] = s->req[slot];
		r[k]->res = 0;
		bytes += r[k++]->len;
		s->req[slot] = NULL;
		s->free[s->nfree++] = (uint16_t)slot;
	}
	if (VIO_UNLIKELY(have < 0))
		*why = "the server's used index is ahead of what it was given";
	s->used += k;
	vnet_count(v, VNET_SENT, k);
	vnet_count(v, VNET_SENT_BYTES, bytes);
	return k;
}

unsigned vnet_send_reap(struct vnet_lane *v, struct vio_req **r, unsigned n)
{
	const char *why = NULL;
	unsigned k = 0;

	while (VIO_UNLIKELY(v->send.done.head != NULL) && k < n)
		r[k++] = vio_reqs_pop(&v->send.done);
	if (v->ring.packed)
		k += send_ring(v, r + k, n - k, &why, true);
	else
		k += send_ring(v, r + k, n - k, &why, false);
	if (VIO_UNLIKELY(why != NULL))
		vnet_break(v, why);
	return k;
}

void vnet_send_lay(struct vnet_lane *v)
{
	const char *fault = NULL;
	struct vio_req *r;

	while (send_ring(v, &r, 1, &fault, v->ring.packed))
		vio_reqs_push(&v->send.done, r);
	for (unsigned i = 0; i < v->nslots; i++) {
		if (!v->send.req[i])
			continue;
		send_drop(v, v->send.req[i], VNET_DROP_DOWN);
		v->send.req[i] = NULL;
	}
	send_free_all(v);
	vring_chain_begin(&v->ring);
}
