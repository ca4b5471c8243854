/* SPDX-License-Identifier: MIT */
/*
 * One frame into a lane's RECVs, with one copy. What the receiver does not take (a sum still to be
 * made, a packet still to be cut) is done on the way.
 */
#include "packet/packet.h"
#include "switch/switch.h"

#define DELIVER_CARRIES (VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_GSO | VIO_PACKET_ECN)
#define DELIVER_IOV 1024u /* a frame in more pieces is neither cut nor summed */

#define DELIVER_AHEAD 8u /* buffers */

/* What goes out: a head of our own, then bytes of the sender's. */
struct deliver_out {
	const void *head;
	size_t head_len;
	const struct iovec *iov;
	unsigned niov;
	size_t skip, len; /* of iov */
};

/* Where the next byte goes. */
struct deliver_at {
	const struct recv_fifo *fifo;
	unsigned recv, iov;
	size_t at;
};

/* Copies n bytes from `from`, or passes over n bytes if it is NULL. There is room: recv_fifo_fit said so. */
static void deliver_put(struct deliver_at *d, const char *from, size_t n)
{
	while (n) {
		const struct vio_req *r = recv_fifo_at(d->fifo, d->recv);
		size_t k;

		if (d->iov == r->niov) {
			d->recv++;
			d->iov = 0;
			continue;
		}
		k = VIO_MIN(n, r->iov[d->iov].iov_len - d->at);
		if (from) {
			memcpy((char *)r->iov[d->iov].iov_base + d->at, from, k);
			from += k;
		}
		n -= k;
		d->at += k;
		if (d->at == r->iov[d->iov].iov_len) {
			d->iov++;
			d->at = 0;
		}
	}
}

/* At byte `offset` of the packet that begins in the oldest RECV that waits. */
static struct deliver_at deliver_begin(const struct recv_fifo *fifo, size_t offset)
{
	struct deliver_at d = { .fifo = fifo };

	deliver_put(&d, NULL, recv_head(recv_fifo_at(fifo, 0), true) + offset);
	return d;
}

static void deliver_copy(const struct recv_fifo *fifo, const struct deliver_out *out)
{
	struct deliver_at d = deliver_begin(fifo, 0);
	size_t skip = out->skip, left = out->len;

	deliver_put(&d, out->head, out->head_len);
	for (unsigned i = 0; i < out->niov && left; i++) {
		size_t cut = VIO_MIN(skip, out->iov[i].iov_len);
		size_t n = VIO_MIN(out->iov[i].iov_len - cut, left);

		skip -= cut;
		left -= n;
		deliver_put(&d, (const char *)out->iov[i].iov_base + cut, n);
	}
}

static void deliver_count(struct sw_lane *to, size_t len)
{
	sw_count(&to->counts.delivered, 1);
	sw_count(&to->counts.delivered_bytes, len);
}

/* A head is 14 or 18 bytes: two moves of a size that the compiler knows. */
VIO_INLINE void deliver_head(char *to, const struct sw_head *h)
{
	memcpy(to, h->bytes, RECV_FRAME_MIN);
	if (VIO_UNLIKELY(sw_tagged(h)))
		memcpy(to + RECV_FRAME_MIN, h->bytes + RECV_FRAME_MIN, SW_TAG);
}

/* The lines of a buffer that is written a few frames later were last on the guest's core: called for now. */
VIO_INLINE void deliver_call_for(const struct recv_fifo *fifo)
{
	const struct vio_req *r;

	if (VIO_UNLIKELY(recv_fifo_waiting(fifo) <= DELIVER_AHEAD))
		return;
	r = recv_fifo_at(fifo, DELIVER_AHEAD);
	if (VIO_UNLIKELY(!r->niov))
		return;
	vio__prefetch_write(r->iov->iov_base);
	vio__prefetch_write((char *)r->iov->iov_base + VIO_CACHELINE);
}

/* The usual case: the frame is in one piece, and so is the buffer, which is long enough. False: it is not. */
static bool deliver_whole(struct sw_lane *to, const struct sw_frame *f, const struct sw_head *h,
			  uint8_t flags, const struct vio_offload *o)
{
	struct recv_fifo *fifo = &to->fifo;
	struct vio_req *r = recv_fifo_at(fifo, 0);
	const struct iovec *from = f->r->iov;
	size_t len = sw_frame_len(f, h), free = r->offload.hdr_len;
	char *at;

	if (f->r->niov != 1 || from->iov_len < f->len || r->niov != 1 || r->iov[0].iov_len < len + free)
		return false;
	deliver_call_for(fifo);
	at = (char *)r->iov[0].iov_base + free;
	deliver_head(at, h);
	memcpy(at + h->len, (const char *)from->iov_base + f->skip, f->len - f->skip);
	r->res = 1;
	r->len = len;
	r->flags = flags;
	r->offload = *o;
	if (!recv_fifo_ready(fifo))
		vio_lane_wake(to->l);
	fifo->filled++;
	deliver_count(to, len);
	return true;
}

/* sum NULL: none; else it goes where o says. */
static int deliver_one(struct sw_lane *to, const struct deliver_out *out, uint8_t flags,
		       const struct vio_offload *o, const uint16_t *sum)
{
	size_t len = out->head_len + out->len;
	int fit = recv_fifo_fit(&to->fifo, len);

	if (fit <= 0)
		return fit ? VIO_SWITCH_DROP_TOO_LONG : VIO_SWITCH_DROP_NO_BUFFER;
	deliver_copy(&to->fifo, out);
	if (sum) {
		struct deliver_at d = deliver_begin(&to->fifo, (size_t)o->csum_start + o->csum_offset);

		deliver_put(&d, (const char *)sum, sizeof(*sum));
	}
	if (!recv_fifo_ready(&to->fifo))
		vio_lane_wake(to->l);
	recv_fifo_fill(&to->fifo, len, flags, sum ? NULL : o);
	deliver_count(to, len);
	return SW_DELIVERED;
}

/* The frame as its receiver would see it, without a copy. False: in too many pieces. */
static bool deliver_view(struct vio_req *view, struct iovec *iov, const struct deliver_out *out)
{
	size_t skip = out->skip;

	if (out->niov >= DELIVER_IOV)
		return false;
	iov[0] = (struct iovec){ (void *)out->head, out->head_len };
	view->niov = 1;
	for (unsigned i = 0; i < out->niov; i++) {
		size_t cut = VIO_MIN(skip, out->iov[i].iov_len);

		skip -= cut;
		if (out->iov[i].iov_len > cut)
			iov[view->niov++] = (struct iovec){ (char *)out->iov[i].iov_base + cut,
							    out->iov[i].iov_len - cut };
	}
	view->iov = iov;
	view->len = out->head_len + out->len;
	return true;
}

/* Sums are made of the sender's memory: who changes it meanwhile spoils his own packet. */
static int deliver_summed(struct sw_lane *to, const struct deliver_out *out, const struct vio_offload *o,
			  uint8_t flags)
{
	struct iovec iov[DELIVER_IOV];
	struct vio_req view;
	uint16_t sum;
	int why;

	if (!deliver_view(&view, iov, out) || vio__packet_sum_get(iov, view.niov, view.len, o, &sum))
		return VIO_SWITCH_DROP_OFFLOAD;
	why = deliver_one(to, out, flags, o, &sum);
	sw_count(&to->counts.summed, why < 0);
	return why;
}

/* A packet that found room only for some of its segments is counted as dropped, too. */
static int deliver_cut(struct sw_lane *to, const struct deliver_out *out, const struct vio_offload *o,
		       uint8_t carries, uint8_t flags)
{
	uint8_t head[PACKET_HEAD_MAX];
	struct iovec iov[DELIVER_IOV];
	struct vio_req view = { .op = VIO_OP_SEND, .flags = carries, .offload = *o };
	struct packet_cut c;
	uint32_t offset, len;
	unsigned head_len;
	int why = VIO_SWITCH_DROP_OFFLOAD;

	if (!deliver_view(&view, iov, out) || vio__packet_cut_begin(&c, &view))
		return why;
	while (vio__packet_cut_next(&c, head, &head_len, &offset, &len)) {
		struct deliver_out part = { head, head_len, c.iov, c.niov, c.skip, len };

		why = deliver_one(to, &part, flags, NULL, NULL);
		if (why >= 0)
			break;
		sw_count(&to->counts.segmented, 1);
	}
	return why;
}

/* The offload of a frame whose head has become longer or shorter; false if it pointed into the head. */
static bool deliver_offload(struct vio_offload *o, const struct sw_frame *f, const struct sw_head *h)
{
	int shift = (int)h->len - (int)f->skip;

	*o = f->r->offload;
	if (!(f->r->flags & (VIO_PACKET_CSUM | VIO_PACKET_GSO)))
		return true;
	if (o->csum_start < f->skip || o->csum_start + shift > UINT16_MAX)
		return false;
	o->csum_start = (uint16_t)(o->csum_start + shift);
	if (o->hdr_len)
		o->hdr_len = (uint16_t)VIO_MIN(VIO_MAX(o->hdr_len, f->skip) + shift, UINT16_MAX);
	return true;
}

/* With what the receiver lacks made up for. */
static int deliver_slowly(struct sw_lane *to, const struct sw_frame *f, const struct sw_head *h,
			  uint8_t takes, const struct vio_offload *o)
{
	struct deliver_out out = { h->bytes, h->len, f->r->iov, f->r->niov, f->skip, f->len - f->skip };
	uint8_t carries = f->r->flags & DELIVER_CARRIES;
	uint8_t lacks = carries & ~takes & (VIO_PACKET_CSUM | VIO_PACKET_GSO | VIO_PACKET_ECN);

	if (lacks && carries & VIO_PACKET_GSO)
		return deliver_cut(to, &out, o, carries, takes & VIO_PACKET_CSUM_OK);
	if (lacks & VIO_PACKET_CSUM)
		return deliver_summed(to, &out, o, takes & VIO_PACKET_CSUM_OK);
	return deliver_one(to, &out, carries & takes, o, NULL);
}

int sw_deliver(struct sw_lane *to, const struct sw_frame *f, const struct sw_head *h)
{
	uint8_t carries = f->r->flags & DELIVER_CARRIES, takes;
	struct vio_offload o;

	if (!recv_fifo_waiting(&to->fifo))
		return VIO_SWITCH_DROP_NO_BUFFER;
	takes = recv_fifo_at(&to->fifo, 0)->flags & DELIVER_CARRIES;
	if (!deliver_offload(&o, f, h))
		return VIO_SWITCH_DROP_OFFLOAD;
	if (VIO_LIKELY(!(carries & ~takes)) && VIO_LIKELY(deliver_whole(to, f, h, carries, &o)))
		return SW_DELIVERED;
	return deliver_slowly(to, f, h, takes, &o);
}
