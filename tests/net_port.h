/* SPDX-License-Identifier: MIT */
/*
 * A port for tests: it keeps what it is sent, and what comes to it is what the test
 * says. No framework: the fuzz target uses it too.
 */
#ifndef TESTS_NET_PORT_H
#define TESTS_NET_PORT_H

#include "backend/done.h"
#include "backend/recv_fifo.h"

#include <virtio-offload/impl/backend.h>

#define NET_PORT_PAIRS 4u
#define NET_PORT_ROOM 1024u
#define NET_PORT_TABLE 128u
#define NET_PORT_ALL (VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_GSO | VIO_PACKET_ECN)

/* b->priv: the test writes info before a device is made, and reads the rest. */
struct net_port {
	struct vio_backend_info info;
	struct vio_lane *recv[NET_PORT_PAIRS];
	unsigned sent;
	/* The last one that was sent. */
	uint8_t flags;
	struct vio_offload offload;
	size_t len;
	unsigned niov, pair;
	uint8_t frame[RECV_FRAME_MAX];
	/* How it was steered last; entries is 0: not, or not any more. */
	struct vio_steer steer;
	uint16_t table[NET_PORT_TABLE];
	uint8_t key[40];
	unsigned steered; /* times */
	int refuses;	  /* it fails so, if it is not 0 */
};

struct net_port_lane {
	struct recv_fifo recvs;
	struct done_stack done;
};

static inline int net_port_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct net_port *p = b->priv;
	size_t sz = i->sz;

	*i = p->info;
	i->sz = sz;
	return 0;
}

static inline int net_port_open(struct vio_backend *b, const char *arg)
{
	struct net_port *p = b->priv;

	(void)arg;
	p->info = (struct vio_backend_info){ .ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV,
					     .offloads = NET_PORT_ALL,
					     .pairs = NET_PORT_PAIRS,
					     .steers = NET_PORT_TABLE };
	return 0;
}

static inline int net_port_steer(struct vio_backend *b, const struct vio_steer *s)
{
	struct net_port *p = b->priv;

	if (s && p->refuses)
		return p->refuses;
	p->steered++;
	p->steer = s ? *s : (struct vio_steer){ 0 };
	for (unsigned i = 0; i < p->steer.entries; i++)
		p->table[i] = s->table[i];
	memset(p->key, 0, sizeof(p->key));
	if (p->steer.key_len)
		memcpy(p->key, s->key, s->key_len);
	return 0;
}

static inline int net_port_lane_open(struct vio_lane *l)
{
	struct net_port_lane *s = l->priv;
	struct net_port *p = l->backend->priv;

	if (!l->recv)
		return 0;
	p->recv[l->pair] = l;
	return recv_fifo_open(&s->recvs, NET_PORT_ROOM, "a test's port");
}

static inline void net_port_lane_close(struct vio_lane *l)
{
	struct net_port_lane *s = l->priv;
	struct net_port *p = l->backend->priv;

	if (l->recv)
		p->recv[l->pair] = NULL;
	recv_fifo_close(&s->recvs);
}

static inline unsigned net_port_room(struct vio_lane *l)
{
	struct net_port_lane *s = l->priv;

	return l->recv ? recv_fifo_room(&s->recvs) : done_room(&s->done);
}

/* The device promises that a frame's sizes and its offloads' offsets are sound. */
static inline void net_port_send(struct net_port *p, const struct vio_lane *l, const struct vio_req *r)
{
	const struct vio_offload *o = &r->offload;
	size_t at = 0;

	if (r->op != VIO_OP_SEND || r->len < RECV_FRAME_MIN || r->len > RECV_FRAME_MAX)
		abort();
	if (r->flags & VIO_PACKET_CSUM && (size_t)o->csum_start + o->csum_offset + 2 > r->len)
		abort();
	if (o->hdr_len > r->len)
		abort();
	if (r->flags & VIO_PACKET_GSO && (!o->gso_size || !(r->flags & VIO_PACKET_CSUM)))
		abort();
	for (unsigned i = 0; i < r->niov; at += r->iov[i++].iov_len)
		memcpy(p->frame + at, r->iov[i].iov_base, r->iov[i].iov_len);
	if (at != r->len)
		abort();
	p->len = at;
	p->flags = r->flags;
	p->offload = r->offload;
	p->niov = r->niov;
	p->pair = l->pair;
	p->sent++;
}

static inline void net_port_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct net_port_lane *s = l->priv;

	if (l->recv) {
		recv_fifo_push(&s->recvs, r, n);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		net_port_send(l->backend->priv, l, r[i]);
	done_push(&s->done, r, n);
}

static inline unsigned net_port_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct net_port_lane *s = l->priv;

	return l->recv ? recv_fifo_reap(&s->recvs, r, n) : done_pop(&s->done, r, n);
}

static inline unsigned net_port_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct net_port_lane *s = l->priv;

	return recv_fifo_recall(&s->recvs, r, n);
}

static const struct vio_backend_type net_port_type = {
	.sz = sizeof(struct vio_backend_type),
	.name = "test-port",
	.priv = sizeof(struct net_port),
	.lane_priv = sizeof(struct net_port_lane),
	.open = net_port_open,
	.info = net_port_info,
	.lane_open = net_port_lane_open,
	.lane_close = net_port_lane_close,
	.room = net_port_room,
	.submit = net_port_submit,
	.reap = net_port_reap,
	.recall = net_port_recall,
	.steer = net_port_steer,
};

/* RECVs that the device has put down for a pair. */
static inline unsigned net_port_waiting(const struct net_port *p, unsigned pair)
{
	const struct net_port_lane *s = p->recv[pair] ? p->recv[pair]->priv : NULL;

	return s ? recv_fifo_waiting(&s->recvs) : 0;
}

/* The oldest of them. */
static inline const struct vio_req *net_port_oldest(const struct net_port *p, unsigned pair)
{
	const struct net_port_lane *s = p->recv[pair]->priv;

	return recv_fifo_at(&s->recvs, 0);
}

/* The oldest of them comes back without a packet. */
static inline void net_port_fail(struct net_port *p, unsigned pair, int err)
{
	struct net_port_lane *s = p->recv[pair]->priv;
	struct vio_req *r = recv_fifo_at(&s->recvs, 0);

	r->res = err;
	r->len = 0;
	s->recvs.filled++;
	vio_lane_wake(p->recv[pair]);
}

/* A frame comes in for a pair. How many RECVs it took; 0 or less: it found no room. */
static inline int net_port_deliver(struct net_port *p, unsigned pair, const void *frame, size_t len,
				   uint8_t flags, const struct vio_offload *o)
{
	struct net_port_lane *s = p->recv[pair]->priv;
	int parts = recv_fifo_fit(&s->recvs, len);
	const char *at = frame;
	size_t left = len;

	for (int i = 0; i < parts; i++) {
		struct iovec v[64];
		unsigned n = recv_part(recv_fifo_at(&s->recvs, (unsigned)i), !i, v, 64);

		for (unsigned k = 0; k < n && left; k++) {
			size_t piece = VIO_MIN(v[k].iov_len, left);

			memcpy(v[k].iov_base, at, piece);
			at += piece;
			left -= piece;
		}
	}
	if (parts > 0)
		recv_fifo_fill(&s->recvs, len, flags, o);
	vio_lane_wake(p->recv[pair]);
	return parts;
}

#endif
