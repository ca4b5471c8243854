/* SPDX-License-Identifier: MIT */
/* Frames to the kernel. Its answer comes at once, so nothing of a SEND outlives its submission. */
#include "backend/tap.h"
#include "packet/hdr.h"

#include <unistd.h>

struct send_counts {
	uint64_t sent, bytes;
};

static enum tap_counter send_drop_reason(int err)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return TAP_DROP_FULL;
	case EIO:
	case EBADFD:
	case ENODEV:
	case ENETDOWN:
		return TAP_DROP_DOWN;
	default:
		return TAP_DROP_REFUSED;
	}
}

/* What one writev has no entries for goes together into the lane's buffer; returns the buffer's entry. */
static struct iovec send_gather(struct tap_lane *tl, const struct iovec *iov, unsigned n)
{
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		size_t len = VIO_MIN(iov[i].iov_len, TAP_SPILL - at);

		memcpy(tl->spill + at, iov[i].iov_base, len);
		at += len;
	}
	return (struct iovec){ tl->spill, at };
}

/* The header's entry stays free at v[0]. Returns how many are used. */
static unsigned send_vector(struct tap_lane *tl, const struct vio_req *r, struct iovec *v)
{
	unsigned n = r->niov < TAP_IOVS ? r->niov : TAP_IOVS - 2;

	memcpy(v + 1, r->iov, n * sizeof(*v));
	if (n < r->niov) {
		v[n + 1] = send_gather(tl, r->iov + n, r->niov - n);
		n++;
	}
	return n + 1;
}

static void send_one(struct tap_lane *tl, const struct vio_req *r, struct send_counts *c)
{
	struct virtio_net_hdr_mrg_rxbuf h = { .num_buffers = 0 };
	struct iovec v[TAP_IOVS];
	unsigned skip = !tl->s->vnet, n = send_vector(tl, r, v);
	ssize_t did;

	vio__packet_hdr_make(&h.hdr, r);
	v[0] = (struct iovec){ &h, sizeof(h) };
	do
		did = writev(tl->q->fd, v + skip, (int)(n - skip));
	while (did < 0 && errno == EINTR);
	if (did < 0) {
		tap_count(tl->s, send_drop_reason(errno), 1);
		return;
	}
	c->sent++;
	c->bytes += r->len;
}

void tap_send(struct tap_lane *tl, struct vio_req **r, unsigned n)
{
	const uint8_t offers = tap_hdr_offloads(tl->s);
	struct send_counts c = { 0 };

	for (unsigned i = 0; i < n; i++) {
		r[i]->res = 0;
		if (r[i]->len < RECV_FRAME_MIN || r[i]->len > RECV_FRAME_MAX)
			tap_count(tl->s, TAP_DROP_MALFORMED, 1);
		else if (r[i]->flags & (VIO_PACKET_CSUM | VIO_PACKET_GSO) & ~offers)
			tap_count(tl->s, TAP_DROP_OFFLOAD, 1);
		else
			send_one(tl, r[i], &c);
	}
	tap_count(tl->s, TAP_SENT, c.sent);
	tap_count(tl->s, TAP_SENT_BYTES, c.bytes);
}
