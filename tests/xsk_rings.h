/* SPDX-License-Identifier: MIT */
/* An AF_XDP socket's pair as xsk_socket.c makes it, but for the kernel: whoever includes this plays the
 * kernel. */
#ifndef TESTS_XSK_RINGS_H
#define TESTS_XSK_RINGS_H

#include "backend/xsk.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define RING 64u

struct rings {
	struct vio_poller *p;
	struct xsk_store s;
	struct xsk_pair pair;
	struct vio_backend *null; /* for a lane and requests */
	struct vio_lane *send, *recv;
	struct vio_req_pool *pool;
	char guest[4 * XSK_CHUNK]; /* guest memory, as far as the umem knows */
};

static inline struct xsk_ring ring_new(size_t entry)
{
	struct xsk_ring r = { .size = RING };

	r.producer = calloc(3, sizeof(uint32_t));
	r.addr = calloc(RING, entry);
	if (!r.producer || !r.addr)
		abort();
	r.consumer = r.producer + 1;
	r.flags = r.producer + 2;
	return r;
}

static inline void ring_free(struct xsk_ring *r)
{
	free(r->producer);
	free(r->addr);
}

static inline void rings_new(struct xsk_pair *p)
{
	p->rx = ring_new(sizeof(struct xdp_desc));
	p->tx = ring_new(sizeof(struct xdp_desc));
	p->fill = ring_new(sizeof(uint64_t));
	p->completion = ring_new(sizeof(uint64_t));
	for (uint32_t i = 0; i < RING; i++)
		p->filled[i] = true;
	p->fill.own = *p->fill.producer = *p->fill.consumer = RING;
}

/* With guest memory in the umem, or without. -errno. */
static inline int rings_up(struct rings *t, struct vio_poller *poller, bool unaligned)
{
	struct xsk_pair *p = &t->pair;
	int rc;

	t->p = poller;
	*p = (struct xsk_pair){ .s = &t->s, .ring = RING, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	rc = xsk_pair_alloc(p);
	rc = rc ? rc : xsk_umem_new(&p->umem, 2 * RING, NULL, false);
	if (!rc)
		p->umem->unaligned = unaligned;
	if (!rc && unaligned)
		p->umem->region[p->umem->nregions++] =
			(struct xsk_region){ t->guest, sizeof(t->guest), 2 * RING * XSK_CHUNK };
	rings_new(p);
	rc = rc ? rc : vio_backend_new(&t->null, vio_backend_find("null"), NULL, NULL, NULL);
	rc = rc ? rc : vio_lane_new(&t->send, t->null, poller, NULL);
	rc = rc ? rc : vio_lane_new(&t->recv, t->null, poller, NULL);
	rc = rc ? rc : vio_req_pool_new(&t->pool, t->send, 2 * RING, 1);
	if (rc)
		return rc;
	xsk_send_open(p, t->send);
	return xsk_recv_open(p, t->recv);
}

/* Takes every request back first; how many they were. */
static inline unsigned rings_down(struct rings *t)
{
	struct xsk_pair *p = &t->pair;
	struct vio_req *r;
	unsigned n = 0;

	p->gone = true;
	while (xsk_send_reap(p, &r, 1) || recv_fifo_reap(&p->fifo, &r, 1) ||
	       recv_fifo_recall(&p->fifo, &r, 1)) {
		vio_req_put(t->pool, r);
		n++;
	}
	xsk_send_close(p);
	xsk_recv_close(p);
	ring_free(&p->rx);
	ring_free(&p->tx);
	ring_free(&p->fill);
	ring_free(&p->completion);
	close(p->fd);
	xsk_umem_put(p->umem);
	xsk_pair_free(p);
	vio_req_pool_free(t->pool);
	vio_lane_free(t->send);
	vio_lane_free(t->recv);
	vio_backend_free(t->null);
	return n;
}

static inline void rings_receive(struct rings *t, uint64_t addr, uint32_t len, uint32_t options)
{
	struct xsk_ring *r = &t->pair.rx;

	r->desc[(*r->producer)++ & (RING - 1)] = (struct xdp_desc){ addr, len, options };
}

static inline void rings_complete(struct rings *t, uint64_t addr)
{
	struct xsk_ring *r = &t->pair.completion;

	r->addr[(*r->producer)++ & (RING - 1)] = addr;
}

/* NULL: all are out. */
static inline struct vio_req *rings_request(struct rings *t, unsigned op, void *at, size_t len)
{
	struct vio_req *r = vio_req_get(t->pool);

	if (!r)
		return NULL;
	r->op = (uint8_t)op;
	r->len = op == VIO_OP_SEND ? len : 0;
	r->iov[0] = (struct iovec){ at, len };
	r->niov = 1;
	return r;
}

#endif
