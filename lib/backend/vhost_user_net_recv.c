/* SPDX-License-Identifier: MIT */
/*
 * Packets from the server, in buffers that _net_post.c has shown it. RECVs are filled in the
 * order in which they were submitted, so buffers have to be used in that order, as every
 * server known does.
 */
#include "backend/vhost_user_net.h"

#include "packet/hdr.h"
#include "packet/packet.h"

#include <endian.h>

int vnet_recv_open(struct vnet_lane *v)
{
	v->recv.slot = calloc(v->nslots, sizeof(*v->recv.slot));
	if (!v->recv.slot)
		return vio__fail(ENOMEM, "vhost_user_net: out of memory for a lane");
	return recv_fifo_open(&v->recv.fifo, v->nslots, "vhost_user_net");
}

void vnet_recv_close(struct vnet_lane *v)
{
	free(v->recv.slot);
	if (v->recv.fifo.ring)
		recv_fifo_close(&v->recv.fifo);
}

static const void *recv_header(const struct vnet_lane *v, const struct vio_req *r, unsigned slot)
{
	switch (v->recv.slot[slot].how) {
	case VNET_BOUNCE:
		return v->chunks + (size_t)slot * VNET_CHUNK;
	case VNET_BEHIND:
		return v->hdrs + (size_t)slot * VNET_HDR_ROOM;
	default:
		return r->iov[0].iov_base;
	}
}

/* The header is copied once, and the copy used. False: the server says what can't be. */
VIO_INLINE bool recv_begin(struct vnet_lane *v, const struct vio_req *r, unsigned slot, uint32_t len)
{
	struct vnet_recv *t = &v->recv;

	if (VIO_UNLIKELY(len < VNET_HDR))
		return false;
	if (VIO_LIKELY(r->niov == 1 || t->slot[slot].how != VNET_WHOLE))
		memcpy(&t->hdr, recv_header(v, r, slot), VNET_HDR);
	else
		vio__packet_copy(&t->hdr, r->iov, r->niov, 0, VNET_HDR);
	__asm__ volatile("" : "+m"(t->hdr));
	t->rest = vnet_has(v->d, VIRTIO_NET_F_MRG_RXBUF) ? le16toh(t->hdr.num_buffers) : 1;
	t->len = 0;
	return t->rest && t->rest <= t->posted - t->used;
}

static __attribute__((noinline)) void recv_unbounce(struct vnet_lane *v, const struct vio_req *r,
						    unsigned slot, bool first, uint32_t len)
{
	const char *from = v->chunks + (size_t)slot * VNET_CHUNK + (first ? VNET_HDR : 0);

	if (recv_put(r, first, from, len) < len)
		v->recv.slot[slot].how = VNET_SPOILT;
	vnet_count(v, VNET_BOUNCED, 1);
	vnet_count(v, VNET_BOUNCED_BYTES, len);
}

/* Nothing but its frame is in the RECVs that say what they take. */
static bool recv_sum(struct vnet_lane *v, const struct vio_req *r, unsigned parts, uint8_t *flags,
		     struct vio_offload *o)
{
	struct iovec frame[VNET_TABLE];
	unsigned n = recv_part(r, true, frame, VNET_TABLE);

	if (parts > 1 || *flags & VIO_PACKET_GSO || vio__packet_sum_put(frame, n, v->recv.len, o))
		return false;
	*flags &= (uint8_t)~VIO_PACKET_CSUM;
	*o = (struct vio_offload){ 0 };
	vnet_count(v, VNET_SUMMED, 1);
	return true;
}

/* From our copy of the header to what the packet is; false: it is dropped, and counted. */
static bool recv_check(struct vnet_lane *v, const struct vio_req *r, unsigned parts, uint8_t *flags,
		       struct vio_offload *o)
{
	struct iovec frame[8];
	unsigned n = recv_part(r, true, frame, VIO_ARRAY_SIZE(frame));
	struct virtio_net_hdr h;

	memcpy(&h, &v->recv.hdr, sizeof(h));
	if (!vio__packet_hdr_read(&h, frame, n, v->recv.len, flags, o)) {
		vnet_count(v, VNET_DROP_MALFORMED, 1);
		return false;
	}
	*flags &= r->flags | (uint8_t)~VIO_PACKET_CSUM_OK; /* which may be left unsaid */
	if (*flags & VIO_PACKET_CSUM & ~r->flags)
		recv_sum(v, r, parts, flags, o);
	if (*flags & ~r->flags)
		vnet_count(v, VNET_DROP_OFFLOAD, 1);
	return !(*flags & ~r->flags);
}

/* Whether the packet lies in its RECVs as it should. */
static bool recv_whole(struct vnet_lane *v, const struct vio_req *r, unsigned parts)
{
	struct vnet_recv *t = &v->recv;
	enum vnet_counter why = VNET_DROP_TOO_LONG;
	bool whole = parts == 1 || r->flags & VIO_RECV_MERGE;

	for (unsigned i = 0; i < parts; i++) {
		const struct vnet_slot *s = &t->slot[(t->fifo.filled + i) & (t->fifo.size - 1)];

		whole &= s->how != VNET_SPOILT && (parts == 1 || s->how != VNET_BEHIND);
	}
	if (t->len < RECV_FRAME_MIN || t->len > RECV_FRAME_MAX) {
		why = VNET_DROP_MALFORMED;
		whole = false;
	}
	if (!whole)
		vnet_count(v, why, 1);
	return whole;
}

/* All of a packet has come: its RECVs can be reaped. Those of one that is dropped hold nothing. */
static __attribute__((noinline)) void recv_packet(struct vnet_lane *v)
{
	struct vnet_recv *t = &v->recv;
	struct vio_req *first = recv_fifo_at(&t->fifo, 0);
	const unsigned parts = t->used - t->fifo.filled;
	struct vio_offload o;
	uint8_t flags;
	bool good = recv_whole(v, first, parts) && recv_check(v, first, parts, &flags, &o);

	for (unsigned i = 0; i < parts; i++) {
		struct vio_req *r = recv_fifo_at(&t->fifo, i);
		uint32_t got = t->slot[(t->fifo.filled + i) & (t->fifo.size - 1)].got;

		r->res = good ? 0 : -EBADMSG;
		r->len = good ? got - (i ? 0 : VNET_HDR) : 0;
	}
	if (good) {
		first->res = (int32_t)parts;
		first->flags = flags;
		first->offload = o;
		vnet_count(v, VNET_RECEIVED, 1);
		vnet_count(v, VNET_RECEIVED_BYTES, t->len);
	}
	t->fifo.filled = t->used;
}

/* A packet in one RECV, with nothing to tell but that: what most are. False: look closer. */
VIO_INLINE bool recv_plain(struct vnet_lane *v, struct vio_req *r, uint8_t how)
{
	struct vnet_recv *t = &v->recv;

	if (t->hdr.flags | t->hdr.gso_type || t->rest != 1 || how == VNET_SPOILT ||
	    t->len - RECV_FRAME_MIN > RECV_FRAME_MAX - RECV_FRAME_MIN)
		return false;
	r->flags = 0;
	r->res = 1;
	r->offload = (struct vio_offload){ 0 };
	r->len = t->len;
	t->rest = 0;
	t->fifo.filled = ++t->used;
	return true;
}

/* len bytes have come into the next RECV. True: as plain a packet as there is, and all of it. */
VIO_INLINE bool recv_came(struct vnet_lane *v, unsigned slot, uint32_t len, bool first)
{
	struct vnet_recv *t = &v->recv;
	struct vio_req *r = t->fifo.ring[slot];
	const uint32_t data = len - (first ? VNET_HDR : 0);

	t->slot[slot].got = len;
	if (VIO_UNLIKELY(t->slot[slot].how == VNET_BOUNCE))
		recv_unbounce(v, r, slot, first, data);
	t->len += data;
	if (VIO_LIKELY(first && recv_plain(v, r, t->slot[slot].how)))
		return true;
	t->used++;
	if (!--t->rest)
		recv_packet(v);
	return false;
}

/* Takes packets out of the ring until n RECVs can be reaped. What the server did wrong, or NULL. */
VIO_INLINE const char *recv_ring(struct vnet_lane *v, unsigned n, bool packed)
{
	struct vnet_recv *t = &v->recv;
	uint64_t packets = 0, bytes = 0;
	const char *why = NULL;
	int have = 0;

	while (recv_fifo_ready(&t->fifo) < n && (have = vring_pending(&v->ring, packed)) > 0) {
		const uint32_t len = vring_written(&v->ring, packed);
		const uint32_t slot = vring_chain_slot(vring_next(&v->ring, packed), packed);
		const bool first = !t->rest;

		if (VIO_UNLIKELY(t->used == t->posted || slot != (t->used & (t->fifo.size - 1)))) {
			why = "the server used a buffer that was not the next";
			break;
		}
		if (VIO_UNLIKELY(len > t->slot[slot].room ||
				 (first && !recv_begin(v, t->fifo.ring[slot], slot, len)))) {
			t->rest = 0;
			why = "the server says it wrote what it can't have written";
			break;
		}
		vring_consume(&v->ring, slot, packed);
		if (recv_came(v, slot, len, first)) {
			packets++;
			bytes += t->len;
		}
	}
	if (VIO_UNLIKELY(have < 0))
		why = "the server's used index is ahead of what it was given";
	vnet_count(v, VNET_RECEIVED, packets);
	vnet_count(v, VNET_RECEIVED_BYTES, bytes);
	return why;
}

static const char *recv_harvest(struct vnet_lane *v, unsigned n)
{
	return v->ring.packed ? recv_ring(v, n, true) : recv_ring(v, n, false);
}

/* n more of a packet that does not end within n: all of it is taken out of the ring when its first is. */
unsigned vnet_recv_reap(struct vnet_lane *v, struct vio_req **r, unsigned n)
{
	const char *why = recv_harvest(v, n);
	unsigned k = recv_fifo_reap(&v->recv.fifo, r, n);

	if (VIO_UNLIKELY(why != NULL))
		vnet_break(v, why);
	return k;
}

/* What the server has written to is the oldest: the newest can be had only when it has let go of all. */
unsigned vnet_recv_recall(struct vnet_lane *v, struct vio_req **r, unsigned n)
{
	struct vnet_recv *t = &v->recv;

	if (t->posted != t->fifo.filled) {
		v->held = true;
		vnet_stop(v);
		vio_task_wake(v->lane->poller, &v->task);
		vio_lane_wake(v->lane);
	}
	n = recv_fifo_recall(&t->fifo, r, n);
	return n;
}

void vnet_recv_lay(struct vnet_lane *v)
{
	struct vnet_recv *t = &v->recv;

	recv_harvest(v, t->fifo.size);
	t->rest = 0;
	t->used = t->posted = t->fifo.filled;
	vring_chain_begin(&v->ring);
	if (!v->held)
		vnet_recv_post(v);
}
