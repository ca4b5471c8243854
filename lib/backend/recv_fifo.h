/* SPDX-License-Identifier: MIT */
/*
 * A receiving lane's RECVs in the order they were submitted: the oldest are filled and
 * wait to be reaped, the others wait for a packet. A packet takes the oldest that wait;
 * how many, and what of it each holds, follows from its length (req.h, "Packets").
 *
 *     parts = recv_fifo_fit(f, len);
 *     if (parts > 0) {
 *             ... put the frame into recv_part(recv_fifo_at(f, i), !i, ...) for each ...;
 *             recv_fifo_fill(f, len, flags, &offload);
 *     }
 */
#ifndef VIO_BACKEND_RECV_FIFO_H
#define VIO_BACKEND_RECV_FIFO_H

#include "base/base.h"

#include <virtio-offload/req.h>

#define RECV_FRAME_MAX 65550u /* no frame is longer */
#define RECV_FRAME_MIN 14u    /* or shorter than its Ethernet header */

struct recv_fifo {
	struct vio_req **ring;
	unsigned size;		     /* a power of two */
	unsigned head, filled, tail; /* free-running: head..filled can be reaped, filled..tail wait */
};

/* size: how many RECVs it has room for, a power of two. */
VIO_INLINE int recv_fifo_open(struct recv_fifo *f, unsigned size, const char *what)
{
	*f = (struct recv_fifo){ .ring = calloc(size, sizeof(*f->ring)), .size = size };
	return f->ring ? 0 : vio__fail(ENOMEM, "%s: out of memory for a lane's receive buffers", what);
}

VIO_INLINE void recv_fifo_close(struct recv_fifo *f)
{
	free(f->ring);
}

VIO_INLINE unsigned recv_fifo_room(const struct recv_fifo *f)
{
	return f->size - (f->tail - f->head);
}

/* n is at most the room. */
VIO_INLINE void recv_fifo_push(struct recv_fifo *f, struct vio_req **r, unsigned n)
{
	unsigned at = f->tail & (f->size - 1), whole = VIO_MIN(n, f->size - at);

	memcpy(f->ring + at, r, whole * sizeof(*r));
	memcpy(f->ring, r + whole, (n - whole) * sizeof(*r));
	f->tail += n;
}

VIO_INLINE unsigned recv_fifo_waiting(const struct recv_fifo *f)
{
	return f->tail - f->filled;
}

VIO_INLINE unsigned recv_fifo_ready(const struct recv_fifo *f)
{
	return f->filled - f->head;
}

/* The i-th oldest of those that wait. */
VIO_INLINE struct vio_req *recv_fifo_at(const struct recv_fifo *f, unsigned i)
{
	return f->ring[(f->filled + i) & (f->size - 1)];
}

VIO_INLINE size_t recv_room(const struct vio_req *r)
{
	size_t n = 0;

	for (unsigned i = 0; i < r->niov; i++)
		n += r->iov[i].iov_len;
	return n;
}

/* Bytes that stay free where a packet begins. */
VIO_INLINE size_t recv_head(const struct vio_req *r, bool first)
{
	return first ? r->offload.hdr_len : 0;
}

/* Bytes of a packet that r can hold as its first RECV, or as a later one. */
VIO_INLINE size_t recv_space(const struct vio_req *r, bool first)
{
	size_t n = recv_room(r), head = recv_head(r, first);

	return n > head ? n - head : 0;
}

/*
 * Where the part of a packet goes that r holds: up to max entries at v, without the head
 * room when it is the packet's first. Returns how many. Never more than r->niov.
 */
VIO_INLINE unsigned recv_part(const struct vio_req *r, bool first, struct iovec *v, unsigned max)
{
	size_t skip = recv_head(r, first);
	unsigned n = 0;

	for (unsigned i = 0; i < r->niov && n < max; i++) {
		size_t len = r->iov[i].iov_len, cut = VIO_MIN(skip, len);

		skip -= cut;
		if (len > cut)
			v[n++] = (struct iovec){ (char *)r->iov[i].iov_base + cut, len - cut };
	}
	return n;
}

/* Copies as much of len bytes into r as it can hold, as its packet's first RECV or a later one. Returns how
 * much. */
VIO_INLINE size_t recv_put(const struct vio_req *r, bool first, const void *from, size_t len)
{
	size_t skip = recv_head(r, first), at = 0;

	for (unsigned i = 0; i < r->niov && at < len; i++) {
		size_t cut = VIO_MIN(skip, r->iov[i].iov_len), n = VIO_MIN(r->iov[i].iov_len - cut, len - at);

		memcpy((char *)r->iov[i].iov_base + cut, (const char *)from + at, n);
		skip -= cut;
		at += n;
	}
	return at;
}

/*
 * How many RECVs a frame of len bytes takes. 0: more than wait now. -EMSGSIZE: it will
 * never fit, as its first RECVs can't be merged with later ones.
 */
VIO_INLINE int recv_fifo_fit(const struct recv_fifo *f, size_t len)
{
	unsigned n = recv_fifo_waiting(f);
	size_t room = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct vio_req *r = recv_fifo_at(f, i);

		room += recv_space(r, !i);
		if (room >= len)
			return (int)i + 1;
		if (!(r->flags & VIO_RECV_MERGE))
			return -EMSGSIZE;
	}
	return 0;
}

/*
 * The oldest that wait hold a frame of len bytes now, which must fit: they can be reaped.
 * o NULL: all zero. Returns how many they are.
 */
VIO_INLINE unsigned recv_fifo_fill(struct recv_fifo *f, size_t len, uint8_t flags,
				   const struct vio_offload *o)
{
	struct vio_req *first = recv_fifo_at(f, 0);
	unsigned parts = 0;

	do {
		struct vio_req *r = recv_fifo_at(f, parts);
		size_t space = recv_space(r, !parts);

		r->res = 0;
		r->len = VIO_MIN(len, space);
		len -= r->len;
		parts++;
	} while (len);
	first->res = (int32_t)parts;
	first->flags = flags;
	first->offload = o ? *o : (struct vio_offload){ 0 };
	f->filled += parts;
	return parts;
}

/* The general case of recv_fifo_put. */
static __attribute__((noinline, unused)) int recv_fifo_scatter(struct recv_fifo *f, const char *frame,
							       size_t len, uint8_t flags,
							       const struct vio_offload *o)
{
	int parts = recv_fifo_fit(f, len);
	size_t at = 0;

	for (int i = 0; i < parts; i++)
		at += recv_put(recv_fifo_at(f, (unsigned)i), !i, frame + at, len - at);
	if (parts > 0)
		recv_fifo_fill(f, len, flags, o);
	return parts;
}

/* Copies a frame that lies in one piece into the oldest that wait: they can be reaped. How many, or as
 * recv_fifo_fit has it. o NULL: all zero. */
VIO_INLINE int recv_fifo_put(struct recv_fifo *f, const void *frame, size_t len, uint8_t flags,
			     const struct vio_offload *o)
{
	struct vio_req *r = recv_fifo_at(f, 0);
	unsigned head;

	if (VIO_UNLIKELY(f->filled == f->tail))
		return 0;
	head = r->offload.hdr_len;
	if (VIO_UNLIKELY(r->niov != 1 || r->iov->iov_len < len + head))
		return recv_fifo_scatter(f, frame, len, flags, o);
	memcpy((char *)r->iov->iov_base + head, frame, len);
	r->flags = flags;
	r->res = 1;
	r->offload = o ? *o : (struct vio_offload){ 0 };
	r->len = len;
	f->filled++;
	return 1;
}

VIO_INLINE unsigned recv_fifo_reap(struct recv_fifo *f, struct vio_req **r, unsigned n)
{
	unsigned at = f->head & (f->size - 1), whole;

	n = VIO_MIN(n, recv_fifo_ready(f));
	whole = VIO_MIN(n, f->size - at);
	memcpy(r, f->ring + at, whole * sizeof(*r));
	memcpy(r + whole, f->ring, (n - whole) * sizeof(*r));
	f->head += n;
	return n;
}

/* The newest that wait, in the order they were submitted. */
VIO_INLINE unsigned recv_fifo_recall(struct recv_fifo *f, struct vio_req **r, unsigned n)
{
	n = VIO_MIN(n, recv_fifo_waiting(f));
	f->tail -= n;
	for (unsigned i = 0; i < n; i++)
		r[i] = f->ring[(f->tail + i) & (f->size - 1)];
	return n;
}

#endif
