/* SPDX-License-Identifier: MIT */
/*
 * Frames to the interface. One that lies in guest memory as one piece is sent from there,
 * and its request is done when the kernel gives the address back; others are copied and done
 * at once. A slot's number is part of its address (the chunk, or the offset in unaligned
 * mode), so an answer finds its slot, and one that was not asked for is found out.
 */
#include "backend/xsk.h"

#include <sys/socket.h>

#define SEND_OFFSET_SHIFT XSK_UNALIGNED_BUF_OFFSET_SHIFT
/* Answers are looked for at each reap; should they come later, this often, and so often before
 * a request that gets no answer is done without. */
#define SEND_TICK_NS 1000000u
#define SEND_TICKS 1000u

/*
 * The offset says the slot, and is odd where the place is: the rest then is even. Kernels from
 * 6.17 on keep a mark of their own in the lowest bit, and give odd addresses back as even ones.
 */
static uint64_t send_addr(const struct xsk_pair *p, uint32_t slot, uint64_t at)
{
	uint64_t offset = 2ull * slot + at % 2;

	return p->umem->unaligned ? offset << SEND_OFFSET_SHIFT | (at - offset) : at;
}

/* The slot that an answer is for, or NULL. */
static struct xsk_slot *send_answered(const struct xsk_pair *p, uint64_t addr)
{
	uint64_t i = p->umem->unaligned ? addr >> (SEND_OFFSET_SHIFT + 1)
					: (addr - xsk_send_frame(p, 0)) / XSK_CHUNK;
	struct xsk_slot *slot;

	if (i >= p->ring)
		return NULL;
	slot = &p->slot[i];
	return slot->busy && (addr == slot->addr || addr == slot->second) ? slot : NULL;
}

static void send_done(struct xsk_pair *p, struct xsk_slot *slot)
{
	if (!slot->req)
		return;
	vio_reqs_push(&p->done, slot->req);
	slot->req = NULL;
	p->lent--;
}

/* Takes the kernel's answers. */
static void send_reclaim(struct xsk_pair *p)
{
	struct xsk_ring *c = &p->completion;
	uint32_t n = xsk_ring_ready(c), bad = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct xsk_slot *slot = send_answered(p, VIO_LOAD(&c->addr[xsk_ring_at(c, c->own++)]));

		if (VIO_UNLIKELY(!slot)) {
			bad++;
			continue;
		}
		send_done(p, slot);
		slot->busy = false;
		p->idle[p->nidle++] = (uint32_t)(slot - p->slot);
	}
	if (n) {
		xsk_ring_free(c);
		p->stalled = 0;
	}
	xsk_count(p, XSK_BAD_RING, bad);
}

static uint32_t send_copy(struct xsk_pair *p, uint32_t slot, const struct vio_req *r)
{
	char *frame = p->umem->base + xsk_send_frame(p, slot);
	size_t at = 0;

	for (unsigned i = 0; i < r->niov; i++) {
		size_t n = VIO_MIN(r->iov[i].iov_len, XSK_CHUNK - at);

		memcpy(frame + at, r->iov[i].iov_base, n);
		at += n;
	}
	return (uint32_t)at;
}

static void send_desc(struct xsk_pair *p, uint32_t index, uint64_t addr, uint32_t len)
{
	struct xdp_desc *d = &p->tx.desc[xsk_ring_at(&p->tx, index)];

	VIO_STORE(&d->addr, addr);
	VIO_STORE(&d->len, len);
	VIO_STORE(&d->options, 0);
}

/*
 * Requests that the kernel holds are done without it. A frame that it has not looked at is copied
 * after all; should it look right now, it sends what the guest's buffer then holds.
 */
static void send_let_go(struct xsk_pair *p)
{
	uint32_t held = xsk_ring_held(&p->tx);

	for (uint32_t i = 0; i < p->ring && p->lent; i++) {
		struct xsk_slot *slot = &p->slot[i];

		if (!slot->req)
			continue;
		if (slot->index - p->tx.seen < held && !p->tx.broken) {
			slot->second = send_addr(p, i, xsk_send_frame(p, i));
			send_desc(p, slot->index, slot->second, send_copy(p, i, slot->req));
			xsk_count(p, XSK_COPIES, 1);
		}
		send_done(p, slot);
	}
}

static void send_gone(struct xsk_pair *p)
{
	VIO_STORE(&p->gone, true);
	send_let_go(p);
}

/* One call to the kernel; false: another at once would achieve nothing. */
static bool send_call(struct xsk_pair *p, uint32_t before)
{
	xsk_count(p, XSK_KICKS, 1);
	if (sendto(p->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
		p->down = false;
		return false;
	}
	switch (errno) {
	case EAGAIN: /* it takes a few dozen at a time */
	case EBUSY:
	case ENOBUFS:
	case EINTR:
		p->down = false;
		return xsk_ring_held(&p->tx) != before;
	case ENETDOWN:
		p->down = true;
		send_let_go(p);
		return false;
	default: /* ENXIO: the interface was removed */
		send_gone(p);
		return false;
	}
}

static void send_kick(struct xsk_pair *p)
{
	uint32_t held = xsk_ring_held(&p->tx);

	/* Each call that comes back for more has taken one or more. */
	while (held && !p->tx.broken && xsk_ring_wants_wakeup(&p->tx) && send_call(p, held))
		held = xsk_ring_held(&p->tx);
}

static bool send_room(struct xsk_pair *p)
{
	if (VIO_UNLIKELY(!p->nidle))
		send_reclaim(p);
	if (VIO_UNLIKELY(!p->nidle)) {
		xsk_ring_give(&p->tx);
		send_kick(p);
		send_reclaim(p);
	}
	/* An answer to what was never taken frees a slot, not an entry. */
	return p->nidle && (p->tx.own - p->tx.seen < p->ring || xsk_ring_held(&p->tx) < p->ring);
}

/* Why r can't be sent, or XSK_SENT. */
static enum xsk_counter send_refuse(struct xsk_pair *p, const struct vio_req *r)
{
	if (r->len < RECV_FRAME_MIN)
		return XSK_DROP_MALFORMED;
	if (r->len > XSK_CHUNK)
		return XSK_DROP_TOO_LONG;
	return send_room(p) ? XSK_SENT : XSK_DROP_FULL;
}

/* Counted for a batch at once: an addition that other threads see costs more than the rest of a packet. */
struct send_counts {
	uint32_t of[XSK_COUNTERS];
	uint64_t bytes;
};

static void send_count(struct xsk_pair *p, const struct send_counts *c)
{
	for (unsigned i = 0; i < XSK_COUNTERS; i++)
		xsk_count(p, i, c->of[i]);
	xsk_count(p, XSK_SENT_BYTES, c->bytes);
}

/* True: r is done at once. */
static bool send_one(struct xsk_pair *p, struct vio_req *r, struct send_counts *c)
{
	enum xsk_counter what = send_refuse(p, r);
	uint64_t at = UINT64_MAX;
	struct xsk_slot *slot;
	uint32_t i, len = (uint32_t)r->len;

	c->of[what]++;
	if (what != XSK_SENT)
		return true;
	i = p->idle[--p->nidle];
	slot = &p->slot[i];
	if (r->niov == 1 && p->umem->unaligned)
		at = xsk_umem_find(p->umem, r->iov->iov_base, len);
	*slot = (struct xsk_slot){ .busy = true, .index = p->tx.own };
	if (at == UINT64_MAX) {
		len = send_copy(p, i, r);
		at = xsk_send_frame(p, i);
		c->of[XSK_COPIES]++;
	} else {
		slot->req = r;
		p->lent++;
		c->of[XSK_ZERO_COPY]++;
	}
	slot->addr = slot->second = send_addr(p, i, at);
	send_desc(p, p->tx.own++, slot->addr, len);
	c->bytes += len;
	return !slot->req;
}

static bool send_down(struct xsk_pair *p)
{
	if (VIO_UNLIKELY(p->down && !VIO_LOAD(&p->gone)))
		send_call(p, 0); /* is it up again? */
	return VIO_LOAD(&p->gone) || p->down;
}

static void send_watch(struct xsk_pair *p)
{
	bool stuck = xsk_ring_held(&p->tx) && xsk_ring_wants_wakeup(&p->tx) && !p->down;

	if (p->tx.broken || p->completion.broken)
		send_gone(p);
	if ((p->lent || stuck) && !p->timer.at && !VIO_LOAD(&p->gone))
		vio_timer_set(p->send->poller, &p->timer, SEND_TICK_NS);
}

static void send_tick(struct vio_timer *t)
{
	struct xsk_pair *p = VIO_CONTAINER(t, struct xsk_pair, timer);

	t->at = 0;
	p->stalled++;
	send_kick(p);
	send_reclaim(p);
	if (p->stalled >= SEND_TICKS)
		send_let_go(p);
	send_watch(p);
	if (p->done.head)
		vio_lane_wake(p->send);
}

void xsk_send_submit(struct xsk_pair *p, struct vio_req **r, unsigned n)
{
	struct send_counts c = { 0 };
	bool down = send_down(p);

	for (unsigned i = 0; i < n; i++) {
		r[i]->res = 0;
		if (down || send_one(p, r[i], &c))
			vio_reqs_push(&p->done, r[i]);
	}
	c.of[XSK_DROP_DOWN] = down ? n : 0;
	send_count(p, &c);
	if (down)
		return;
	xsk_ring_give(&p->tx);
	send_kick(p);
	send_watch(p);
}

unsigned xsk_send_reap(struct xsk_pair *p, struct vio_req **r, unsigned n)
{
	unsigned k = 0;

	if (!VIO_LOAD(&p->gone))
		send_reclaim(p);
	else if (p->lent)
		send_let_go(p);
	while (k < n && p->done.head)
		r[k++] = vio_reqs_pop(&p->done);
	return k;
}

void xsk_send_open(struct xsk_pair *p, struct vio_lane *l)
{
	p->send = l;
	p->done = (struct vio_reqs){ 0 };
	p->timer = (struct vio_timer){ .fire = send_tick };
}

void xsk_send_close(struct xsk_pair *p)
{
	vio_timer_cancel(p->send->poller, &p->timer);
	p->send = NULL;
}
