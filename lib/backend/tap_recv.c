/* SPDX-License-Identifier: MIT */
/*
 * Frames from the kernel, one readv each, at the time of reaping. How long the next one
 * is can't be asked, and a read that is too short loses the rest. So each read is over as
 * many RECVs as the last frames let foresee, with a buffer of the lane's own behind
 * them; what lands in there is copied.
 */
#include "backend/tap.h"
#include "packet/hdr.h"

#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define RECV_FORESEE_LEAST 2048u

/* A read's vector: the header, the RECVs it is over, the spill buffer. */
struct recv_read {
	struct virtio_net_hdr_mrg_rxbuf h;
	struct iovec v[TAP_IOVS];
	unsigned n;	/* entries: [0] the header's, then the frame's */
	unsigned parts; /* RECVs */
	size_t room;	/* bytes of theirs */
};

static void recv_readable(struct vio_watch *w, uint32_t events)
{
	struct tap_lane *tl = VIO_CONTAINER(w, struct tap_lane, recv.watch);

	(void)events;
	tl->recv.readable = true;
	vio_lane_wake(tl->lane);
}

/*
 * A ring that watches a file keeps it open until the ring is gone, which is some time after
 * its process; and an interface is busy as long as a file has it. So the ring gets an epoll
 * instance to watch, which keeps nothing open.
 */
static int recv_watch(struct tap_lane *tl)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int fd = epoll_create1(EPOLL_CLOEXEC), rc;

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, tl->q->fd, &ev))
		rc = vio__fail(errno, "tap: %s can't be watched: %s", tl->s->name, strerror(errno));
	else {
		tl->recv.watch =
			(struct vio_watch){ .ready = recv_readable, .fd = fd, .events = EPOLLIN | EPOLLET };
		rc = vio_watch_add(tl->lane->poller, &tl->recv.watch);
	}
	if (rc && fd >= 0)
		close(fd);
	return rc;
}

int tap_recv_open(struct tap_lane *tl)
{
	struct tap_recv *t = &tl->recv;
	int rc = recv_fifo_open(&t->fifo, TAP_RECVS, "tap");

	if (rc)
		return rc;
	t->readable = true;
	t->foresee = RECV_FORESEE_LEAST;
	rc = recv_watch(tl);
	if (rc)
		recv_fifo_close(&t->fifo);
	else
		tap_queue_accept(tl->s, tl->q, 0);
	return rc;
}

void tap_recv_close(struct tap_lane *tl)
{
	vio_watch_del(tl->lane->poller, &tl->recv.watch);
	close(tl->recv.watch.fd);
	recv_fifo_close(&tl->recv.fifo);
}

/* Frames may wait that no edge will tell of. A lane without a task has its poller tell: a watch that is new
 * does. */
static void recv_again(struct tap_lane *tl)
{
	if (tl->lane->task) {
		vio_lane_wake(tl->lane);
		return;
	}
	vio_watch_del(tl->lane->poller, &tl->recv.watch);
	vio_watch_add(tl->lane->poller, &tl->recv.watch);
}

void tap_recv_submit(struct tap_lane *tl, struct vio_req **r, unsigned n)
{
	struct tap_recv *t = &tl->recv;
	uint8_t accepts = n ? r[n - 1]->flags & tap_hdr_offloads(tl->s) : t->accepts;

	if (VIO_UNLIKELY(accepts != t->accepts)) {
		t->accepts = accepts;
		tap_queue_accept(tl->s, tl->q, accepts);
	}
	recv_fifo_push(&t->fifo, r, n);
	if (t->readable)
		recv_again(tl);
}

/* Adds the part of RECV k, if the vector has room for all its entries and the spill buffer's. */
static bool recv_add(struct recv_read *d, const struct vio_req *r)
{
	bool first = !d->parts;

	if (r->niov > TAP_IOVS - 1 - d->n)
		return false;
	d->n += recv_part(r, first, d->v + d->n, r->niov);
	d->room += recv_space(r, first);
	d->parts++;
	return true;
}

static void recv_gather(struct tap_lane *tl, struct recv_read *d)
{
	const struct recv_fifo *f = &tl->recv.fifo;
	unsigned waiting = recv_fifo_waiting(f);

	d->v[0] = (struct iovec){ &d->h, tap_hdr_size(tl->s) };
	d->n = 1;
	d->parts = 0;
	d->room = 0;
	while (d->parts < waiting && d->room < tl->recv.foresee) {
		const struct vio_req *r = recv_fifo_at(f, d->parts);

		if (!recv_add(d, r) || !(r->flags & VIO_RECV_MERGE))
			break;
	}
	d->v[d->n++] = (struct iovec){ tl->spill, TAP_SPILL };
}

/* What went past the gathered RECVs belongs into the next ones. */
static void recv_unspill(struct tap_lane *tl, const struct recv_read *d, size_t len)
{
	size_t at = 0;

	len -= d->room;
	for (unsigned k = d->parts; at < len; k++)
		at += recv_put(recv_fifo_at(&tl->recv.fifo, k), !k, tl->spill + at, len - at);
	tap_count(tl->s, TAP_SPILLED, 1);
}

/* A frame of len bytes is there; *flags and *o are what its header says. False: it is dropped, and counted.
 */
static bool recv_check(struct tap_lane *tl, const struct recv_read *d, size_t len, uint8_t *flags,
		       struct vio_offload *o)
{
	uint8_t takes = recv_fifo_at(&tl->recv.fifo, 0)->flags;

	*flags = 0;
	*o = (struct vio_offload){ 0 };
	if (len < RECV_FRAME_MIN || len > RECV_FRAME_MAX ||
	    (tl->s->vnet && !vio__packet_hdr_read(&d->h.hdr, d->v + 1, d->n - 1, len, flags, o))) {
		tap_count(tl->s, TAP_DROP_MALFORMED, 1);
		return false;
	}
	*flags &= takes | (uint8_t)~VIO_PACKET_CSUM_OK; /* which may be left unsaid */
	if (*flags & ~takes)
		tap_count(tl->s, TAP_DROP_OFFLOAD, 1);
	return !(*flags & ~takes);
}

static void recv_frame(struct tap_lane *tl, const struct recv_read *d, size_t len)
{
	struct recv_fifo *f = &tl->recv.fifo;
	struct vio_offload o;
	uint8_t flags;
	int parts;

	if (!recv_check(tl, d, len, &flags, &o))
		return;
	if (len > d->room) {
		parts = recv_fifo_fit(f, len);
		if (parts <= 0) {
			tap_count(tl->s, parts ? TAP_DROP_TOO_LONG : TAP_DROP_NO_BUFFER, 1);
			return;
		}
		recv_unspill(tl, d, len);
	}
	recv_fifo_fill(f, len, flags, &o);
	tap_count(tl->s, TAP_RECEIVED, 1);
	tap_count(tl->s, TAP_RECEIVED_BYTES, len);
}

/* Follows a longer frame at once, shorter ones by an eighth each. */
static void recv_foresee(struct tap_recv *t, size_t len)
{
	uint32_t least = VIO_MAX((uint32_t)len, RECV_FORESEE_LEAST);

	t->foresee = VIO_MAX(least, t->foresee - t->foresee / 8);
}

static void recv_one(struct tap_lane *tl)
{
	unsigned hdr = tap_hdr_size(tl->s);
	struct recv_read d;
	ssize_t got;

	recv_gather(tl, &d);
	got = readv(tl->q->fd, d.v + !hdr, (int)(d.n - !hdr));
	if (got >= (ssize_t)hdr) {
		recv_frame(tl, &d, (size_t)got - hdr);
		recv_foresee(&tl->recv, (size_t)got - hdr);
	} else if (got >= 0) {
		tap_count(tl->s, TAP_DROP_MALFORMED, 1);
	} else if (errno != EINTR) {
		tl->recv.readable = false; /* EAGAIN; or the interface is gone, and no edge follows */
	}
}

unsigned tap_recv_reap(struct tap_lane *tl, struct vio_req **r, unsigned n)
{
	struct recv_fifo *f = &tl->recv.fifo;
	unsigned tries = 0;

	while (tl->recv.readable && recv_fifo_ready(f) < n && recv_fifo_waiting(f) && tries++ < n)
		recv_one(tl);
	if (tl->recv.readable && recv_fifo_ready(f) < n && recv_fifo_waiting(f)) /* some were dropped */
		recv_again(tl);
	return recv_fifo_reap(f, r, n);
}
