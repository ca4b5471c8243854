/* SPDX-License-Identifier: MIT */
/*
 * What the guest receives. Its buffers go to the port whole, since which of them a packet
 * will begin in is not known; the port leaves room for the header there (req.h,
 * "Packets"). On the way up the header is written, and how many buffers the packet fills
 * (virtio 1.3, 5.1.6.4). Buffers come up in the order they went down, and are given in
 * that order, so that those a port still holds can be put back into the ring.
 */
#include "device/net.h"

#include "packet/gso.h"
#include "packet/packet.h"

VIO_INLINE uint64_t net_room(const struct vio_req *r)
{
	uint64_t room = 0;

	for (unsigned i = 0; i < r->niov; i++)
		room += r->iov[i].iov_len;
	return room;
}

/* A buffer without room behind the header takes its turn all the same, but what comes into it is lost. */
static void net_blind(struct net_flow *f, struct vio_req *r)
{
	f->blind = (struct iovec){ f->blind_bytes, sizeof(f->blind_bytes) };
	r->iov = &f->blind;
	r->niov = 1;
	r->len = sizeof(f->blind_bytes);
}

unsigned vio__net_recv(struct vio_vq *q, struct vio_req **r, unsigned n)
{
	const struct net *net = q->dev->priv;
	struct net_flow *f = &net->pair[q->index / 2].recv;
	const struct vio_offload head = { .hdr_len = net->hdr_len };
	const uint8_t takes = VIO_LOAD(&net->recv_takes);

	for (unsigned i = 0; i < n; i++) {
		struct vio_req *this = r[i];

		this->op = VIO_OP_RECV;
		this->flags = takes;
		this->offload = head;
		this->iov = this->buf + this->nout;
		this->niov = this->nin;
		this->len = VIO_LIKELY(this->nin == 1) ? this->iov->iov_len : net_room(this);
		if (VIO_UNLIKELY(this->len <= head.hdr_len))
			net_blind(f, this);
	}
	return n;
}

VIO_INLINE struct virtio_net_hdr_v1 net_header(const struct vio_req *r)
{
	struct virtio_net_hdr_v1 h = { .num_buffers = htole16((uint16_t)r->res) };

	if (VIO_LIKELY(!(r->flags & VIO_PACKET_CSUM))) {
		h.flags = r->flags & VIO_PACKET_CSUM_OK ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
		return h;
	}
	h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h.gso_type = packet_gso_type(r->flags);
	h.hdr_len = htole16(r->offload.hdr_len);
	h.gso_size = htole16(r->offload.gso_size);
	h.csum_start = htole16(r->offload.csum_start);
	h.csum_offset = htole16(r->offload.csum_offset);
	return h;
}

/* There are len bytes of room: it was looked at on the way down. */
void vio__net_scatter(const struct vio_req *r, const void *from, unsigned len)
{
	for (unsigned i = 0; len; i++) {
		unsigned piece = (unsigned)VIO_MIN(r->iov[i].iov_len, (size_t)len);

		memcpy(r->iov[i].iov_base, from, piece);
		from = (const char *)from + piece;
		len -= piece;
	}
}

/* Of the packet that begins in r[0]; r[1] to r[n - 1] came up behind it. */
VIO_INLINE void net_write_header(const struct net *net, struct vio_req *const *r, unsigned n)
{
	struct virtio_net_hdr_v1_hash h = { .hdr = net_header(r[0]) };
	const struct iovec *v = r[0]->iov;

	if (VIO_UNLIKELY(net->hdr_len == NET_HDR_HASH))
		vio__net_hash(net, r, n, &h);
	else if (VIO_LIKELY(v->iov_len >= NET_HDR && net->hdr_len == NET_HDR)) {
		memcpy(v->iov_base, &h, NET_HDR);
		return;
	}
	vio__net_scatter(r[0], &h, net->hdr_len);
}

VIO_INLINE bool net_receives(const struct net *net, unsigned pair)
{
	return VIO_LOAD(&net->receives) >> pair & 1;
}

/* Has the driver said that it wants such packets? The guest may change the frame meanwhile: it only fools
 * itself. */
static bool net_passes(const struct net *net, unsigned pair, const struct vio_req *r)
{
	uint8_t head[FILTER_HEAD];
	size_t have = VIO_MIN(r->len, sizeof(head));

	if (!net_receives(net, pair))
		return false;
	if (filter_passes_all(&net->filter))
		return true;
	have = vio__packet_copy(head, r->iov, r->niov, net->hdr_len, have);
	return vio__net_filter_wants(&net->filter, head, (unsigned)have);
}

/* May the guest have the packet that begins in r? */
VIO_INLINE bool net_wanted(struct vio_vq *q, const struct net *net, struct net_flow *f,
			   const struct vio_req *r, bool blind)
{
	enum vio_net_drop why = VIO_NET_DROP_FILTER;

	if (VIO_UNLIKELY(r->res <= 0))
		return false; /* the port failed, and there is no packet */
	if (VIO_UNLIKELY(blind))
		why = VIO_NET_DROP_SHORT;
	else if (VIO_UNLIKELY(!VIO_LOAD(&net->up)))
		why = VIO_NET_DROP_LINK;
	else if (VIO_LIKELY(net_passes(net, q->index / 2, r)))
		return true;
	net_drop(q, f, why);
	return false;
}

/* up: n that came up, of which the first has its turn. Returns how many of the frame's bytes the guest gets
 * in it. */
static __attribute__((noinline)) uint32_t net_received_any(struct vio_vq *q, const struct net *net,
							   struct net_flow *f, struct vio_req *const *up,
							   unsigned n, uint64_t *packets)
{
	struct vio_req *r = up[0];
	const bool blind = r->iov == &f->blind, first = !f->rest;
	uint32_t head = 0;

	if (first) {
		f->lost = !net_wanted(q, net, f, r, blind);
		f->rest = r->res > 0 ? (uint32_t)r->res : 1;
		*packets += !f->lost;
	} else {
		vq_part(q);
	}
	f->rest--;
	if (VIO_UNLIKELY(f->lost || blind))
		return 0; /* written stays 0: drivers pass over a buffer too short for a header */
	if (first) {
		head = net->hdr_len;
		net_write_header(net, up, n);
	}
	r->written = head + (uint32_t)r->len;
	return (uint32_t)r->len;
}

/* A packet in one buffer, with nothing to tell but that: what most are. False: look closer. */
VIO_INLINE bool net_received_plain(const struct iovec *blind, struct vio_req *r)
{
	static const uint8_t plain[NET_HDR] = { [offsetof(struct virtio_net_hdr_v1, num_buffers)] = 1 };
	const struct iovec *v = r->iov;

	if (VIO_UNLIKELY(r->res != 1 || r->flags & (VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK) ||
			 v->iov_len < NET_HDR || v == blind))
		return false;
	memcpy(v->iov_base, plain, NET_HDR);
	r->written = NET_HDR + (uint32_t)r->len;
	return true;
}

/* From the front of r, where no packet is in the midst of coming up: how many were plain. */
VIO_INLINE unsigned net_received_run(const struct net_flow *f, struct vio_req **r, unsigned n,
				     uint64_t *bytes)
{
	const struct iovec *blind = &f->blind;
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		struct vio_req *this = r[i];

		if (!net_received_plain(blind, this))
			break;
		sum += this->len;
	}
	*bytes += sum;
	return i;
}

void vio__net_received(struct vio_vq *q, struct vio_req **r, unsigned n)
{
	const struct net *net = q->dev->priv;
	struct net_flow *f = &net->pair[q->index / 2].recv;
	const bool all = net_receives(net, q->index / 2) && filter_passes_all(&net->filter);
	const bool plain = all && net->hdr_len == NET_HDR && VIO_LOAD(&net->up);
	const unsigned ahead = vq_ahead(q);
	uint64_t bytes = 0, packets = 0;

	for (unsigned i = 0; i < n; i++) {
		if (VIO_LIKELY(plain && !f->rest)) {
			unsigned run = net_received_run(f, r + i, n - i, &bytes);

			packets += run;
			i += run;
			if (i == n)
				break;
		}
		bytes += net_received_any(q, net, f, r + i, n - i + ahead, &packets);
	}
	vq_count(&f->packets, packets);
	vq_count(&f->bytes, bytes);
	vq_count(&q->stats->bytes_read, bytes);
}
