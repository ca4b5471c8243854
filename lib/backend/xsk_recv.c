/* SPDX-License-Identifier: MIT */
/* Frames from the interface: copied out of our own, which are the kernel's again at once. */
#include "backend/xsk.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Nothing is there although something happened: perhaps that the interface was removed. */
static void recv_ask(struct xsk_pair *p)
{
	socklen_t size = sizeof(int);
	int err = 0;

	if (!getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &size) && err)
		VIO_STORE(&p->gone, true);
}

static void recv_event(struct vio_watch *w, uint32_t events)
{
	struct xsk_pair *p = VIO_CONTAINER(w, struct xsk_pair, watch);

	(void)events;
	if (!xsk_ring_ready(&p->rx))
		recv_ask(p);
	vio_lane_wake(p->recv);
}

/* A busy poller needs no waking, and a socket that someone waits for costs each frame that is sent a call of
 * its waiters. An epoll instance between the poller and the socket: a ring that watches a file keeps it open
 * until the ring is gone, and a queue is busy as long as its socket is open. */
static int recv_watch(struct xsk_pair *p)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int fd = epoll_create1(EPOLL_CLOEXEC), rc;

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, p->fd, &ev)) {
		rc = vio__fail(errno, "xsk: %s can't be watched: %s", p->s->name, strerror(errno));
	} else {
		p->watch = (struct vio_watch){ .ready = recv_event, .fd = fd, .events = EPOLLIN | EPOLLET };
		rc = vio_watch_add(p->recv->poller, &p->watch);
	}
	if (rc && fd >= 0)
		close(fd);
	return rc;
}

int xsk_recv_open(struct xsk_pair *p, struct vio_lane *l)
{
	int rc = recv_fifo_open(&p->fifo, XSK_RECVS, "xsk");

	if (rc)
		return rc;
	p->recv = l;
	p->watch.fd = -1;
	if (vio_poller_mode(l->poller) != VIO_POLL_BUSY)
		rc = recv_watch(p);
	if (rc) {
		recv_fifo_close(&p->fifo);
		p->recv = NULL;
	}
	return rc;
}

void xsk_recv_close(struct xsk_pair *p)
{
	if (p->watch.fd >= 0) {
		vio_watch_del(p->recv->poller, &p->watch);
		close(p->watch.fd);
	}
	recv_fifo_close(&p->fifo);
	p->recv = NULL;
}

/* Frames wait that no edge will tell of. A lane without a task has its poller tell: a watch that is new does.
 */
static void recv_again(struct xsk_pair *p)
{
	if (p->recv->task || p->watch.fd < 0) {
		vio_lane_wake(p->recv);
		return;
	}
	vio_watch_del(p->recv->poller, &p->watch);
	vio_watch_add(p->recv->poller, &p->watch);
}

void xsk_recv_submit(struct xsk_pair *p, struct vio_req **r, unsigned n)
{
	recv_fifo_push(&p->fifo, r, n);
	if (xsk_ring_ready(&p->rx))
		recv_again(p);
}

static void recv_put_all(struct xsk_pair *p, const char *frame, uint32_t len, unsigned parts)
{
	size_t at = 0;

	for (unsigned i = 0; i < parts; i++)
		at += recv_put(recv_fifo_at(&p->fifo, i), !i, frame + at, len - at);
	recv_fifo_fill(&p->fifo, len, 0, NULL);
	xsk_count(p, XSK_COPIES, 1);
	xsk_count(p, XSK_RECEIVED, 1);
	xsk_count(p, XSK_RECEIVED_BYTES, len);
}

static void recv_frame(struct xsk_pair *p, const char *frame, uint32_t len)
{
	int parts = recv_fifo_fit(&p->fifo, len);

	if (len < RECV_FRAME_MIN)
		xsk_count(p, XSK_DROP_MALFORMED, 1);
	else if (parts <= 0)
		xsk_count(p, parts ? XSK_DROP_TOO_LONG : XSK_DROP_NO_BUFFER, 1);
	else
		recv_put_all(p, frame, len, (unsigned)parts);
}

/* One entry of the receive ring, of which nothing is taken for granted. */
static void recv_one(struct xsk_pair *p)
{
	const struct xdp_desc *d = &p->rx.desc[xsk_ring_at(&p->rx, p->rx.own++)];
	uint64_t at = VIO_LOAD(&d->addr), frame;
	uint32_t len = VIO_LOAD(&d->len);

	if (p->umem->unaligned)
		at = (at & XSK_UNALIGNED_BUF_ADDR_MASK) + (at >> XSK_UNALIGNED_BUF_OFFSET_SHIFT);
	frame = at / XSK_CHUNK - p->first;
	if (VIO_UNLIKELY(frame >= p->ring || !p->filled[frame])) {
		xsk_count(p, XSK_BAD_RING, 1);
		return;
	}
	if (VIO_UNLIKELY(len > XSK_CHUNK - at % XSK_CHUNK || VIO_LOAD(&d->options)))
		xsk_count(p, XSK_BAD_RING, 1);
	else
		recv_frame(p, p->umem->base + at, len);
	p->fill.addr[xsk_ring_at(&p->fill, p->fill.own++)] = xsk_recv_frame(p, (uint32_t)frame);
}

static void recv_call(struct xsk_pair *p)
{
	xsk_count(p, XSK_KICKS, 1);
	recvfrom(p->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL); /* no news in what it returns */
}

/* Entries of the receive ring; the driver is asked for some if there is none and its interrupts are off. */
static uint32_t recv_look(struct xsk_pair *p)
{
	uint32_t ready = xsk_ring_ready(&p->rx);

	if (VIO_LIKELY(ready || !p->s->busy_poll || !recv_fifo_waiting(&p->fifo)))
		return ready;
	recv_call(p);
	return xsk_ring_ready(&p->rx);
}

static void recv_give(struct xsk_pair *p)
{
	xsk_ring_free(&p->rx);
	xsk_ring_give(&p->fill);
	if (VIO_UNLIKELY(xsk_ring_wants_wakeup(&p->fill)))
		recv_call(p);
}

unsigned xsk_recv_reap(struct xsk_pair *p, struct vio_req **r, unsigned n)
{
	struct recv_fifo *f = &p->fifo;
	uint32_t ready = recv_look(p), i = 0;

	if (VIO_UNLIKELY(p->rx.broken))
		VIO_STORE(&p->gone, true);
	while (i < ready && i < n && recv_fifo_ready(f) < n && recv_fifo_waiting(f)) {
		recv_one(p);
		i++;
	}
	if (i)
		recv_give(p);
	/* Some were dropped, and others wait. */
	if (i < ready && recv_fifo_ready(f) < n && recv_fifo_waiting(f))
		recv_again(p);
	return recv_fifo_reap(f, r, n);
}
