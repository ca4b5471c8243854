/* SPDX-License-Identifier: MIT */
/*
 * What the guest sends: a header, then a frame, in whatever descriptors its driver likes
 * (virtio 1.3, 2.7.4). The header is copied once and checked against the frame's length
 * and the features (5.1.6.2); the frame stays where the guest has it. A packet that is not
 * sound is dropped and counted, and its queue goes on.
 */
#include "device/net.h"

#include "packet/gso.h"
#include "packet/packet.h"

/*
 * Cuts the first `left` bytes off; returns the first entry of the frame. There are as many. For good: nobody
 * looks at a readable buffer's entry again.
 */
static unsigned net_cut(struct vio_req *r, unsigned left)
{
	unsigned i = 0;

	for (; left && r->buf[i].iov_len <= left; i++)
		left -= (unsigned)r->buf[i].iov_len;
	if (left)
		r->buf[i] = (struct iovec){ (char *)r->buf[i].iov_base + left, r->buf[i].iov_len - left };
	return i;
}

/* False: the chain is too short for a header. Else *h is the copy, and iov and len are the frame's. */
static bool net_split(struct vio_req *r, struct virtio_net_hdr_v1_hash *h, unsigned hdr_len)
{
	unsigned first;

	_Static_assert(sizeof(*h) == NET_HDR_HASH, "there is no longer header");

	if (VIO_LIKELY(r->nout && r->buf[0].iov_len >= hdr_len))
		memcpy(h, r->buf[0].iov_base, NET_HDR_LEGACY);
	else if (vio__packet_copy(h, r->buf, r->nout, 0, hdr_len) < hdr_len)
		return false;
	__asm__ volatile("" : "+m"(*h)); /* the copy from here on: the guest may change the original */
	first = net_cut(r, hdr_len);
	r->iov = r->buf + first;
	r->niov = (uint16_t)(r->nout - first);
	r->len = 0;
	for (unsigned i = 0; i < r->niov; i++)
		r->len += r->iov[i].iov_len;
	return true;
}

/*
 * From the header to flags and offload; false: it contradicts the frame or the features. Flags
 * that the guest has no business to set are ignored, hdr_len is a hint (5.1.6.2.2).
 */
VIO_INLINE bool net_offload(struct vio_req *r, const struct virtio_net_hdr_v1 *h, uint8_t takes)
{
	uint16_t start, offset, hdr_len;
	uint8_t gso;

	r->flags = 0;
	r->offload = (struct vio_offload){ 0 };
	if (VIO_LIKELY(!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)))
		return h->gso_type == VIRTIO_NET_HDR_GSO_NONE;
	start = le16toh(h->csum_start);
	offset = le16toh(h->csum_offset);
	hdr_len = le16toh(h->hdr_len);
	if (!(takes & VIO_PACKET_CSUM) || start < NET_FRAME_MIN || (uint32_t)start + offset + 2 > r->len)
		return false;
	r->flags = VIO_PACKET_CSUM;
	r->offload.csum_start = start;
	r->offload.csum_offset = offset;
	r->offload.hdr_len = hdr_len <= r->len ? hdr_len : 0;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	gso = vio__packet_gso_flags(h->gso_type, r->iov, r->niov);
	r->flags |= gso;
	r->offload.gso_size = le16toh(h->gso_size);
	return gso && !(gso & ~takes) && r->offload.gso_size;
}

/*
 * One buffer for header and frame, and no offload asked for: what most packets are. False: look closer;
 * nothing is kept of what was read here. (The first half of a header: flags and gso_type.)
 */
VIO_INLINE bool net_send_plain(struct vio_req *r, unsigned hdr_len)
{
	struct iovec *v = r->buf;
	const size_t len = v->iov_len - hdr_len; /* wraps where it must be refused */
	uint16_t kind;

	if (VIO_UNLIKELY(r->nout != 1 || len - NET_FRAME_MIN > NET_FRAME_MAX - NET_FRAME_MIN))
		return false;
	memcpy(&kind, v->iov_base, sizeof(kind));
	if (VIO_UNLIKELY(kind & htole16(0xff00 | VIRTIO_NET_HDR_F_NEEDS_CSUM)))
		return false;
	*v = (struct iovec){ (char *)v->iov_base + hdr_len, len };
	r->op = VIO_OP_SEND;
	r->flags = 0;
	r->niov = 1;
	r->res = 0;
	r->offload = (struct vio_offload){ 0 };
	r->len = len;
	r->iov = v;
	return true;
}

/* True: it is for the port. */
static __attribute__((noinline)) bool net_send_any(struct vio_vq *q, struct net_flow *f, struct vio_req *r,
						   unsigned hdr_len, uint8_t takes)
{
	struct virtio_net_hdr_v1_hash h; /* what it says of a hash is nobody's business */
	enum vio_net_drop why = VIO_NET_DROP_SHORT;

	r->op = VIO_OP_SEND;
	r->res = 0;
	if (VIO_LIKELY(net_split(r, &h, hdr_len) && r->len >= NET_FRAME_MIN && r->len <= NET_FRAME_MAX)) {
		if (VIO_LIKELY(net_offload(r, &h.hdr, takes)))
			return true;
		why = VIO_NET_DROP_HEADER;
	}
	net_drop(q, f, why);
	return false;
}

static unsigned net_send_none(struct vio_vq *q, struct net_flow *f, unsigned n)
{
	vq_count(&f->dropped[VIO_NET_DROP_LINK], n);
	vq_count(&q->stats->errors, n);
	return 0;
}

unsigned vio__net_send(struct vio_vq *q, struct vio_req **r, unsigned n)
{
	const struct net *net = q->dev->priv;
	struct net_flow *f = &net->pair[q->index / 2].send;
	const unsigned hdr_len = net->hdr_len;
	const uint8_t takes = VIO_LOAD(&net->send_takes);
	unsigned down = 0;
	uint64_t bytes = 0;

	if (VIO_UNLIKELY(!VIO_LOAD(&net->up)))
		return net_send_none(q, f, n);
	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(r[i]->buf[0].iov_base); /* a stale one where there is none does no harm */
	for (unsigned i = 0; i < n; i++) {
		struct vio_req *this = r[i];

		if (!net_send_plain(this, hdr_len) && VIO_UNLIKELY(!net_send_any(q, f, this, hdr_len, takes)))
			continue;
		bytes += this->len;
		if (VIO_UNLIKELY(down != i)) { /* dropped ones gather behind those for the port */
			r[i] = r[down];
			r[down] = this;
		}
		down++;
	}
	vq_count(&f->packets, down);
	vq_count(&f->bytes, bytes);
	vq_count(&q->stats->bytes_written, bytes);
	return down;
}
