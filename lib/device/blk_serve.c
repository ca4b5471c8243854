/* SPDX-License-Identifier: MIT */
/*
 * A virtio-blk request: 16 bytes of header, data, one byte of status, in whatever
 * descriptors the driver likes (virtio 1.3, 2.7.4). The header is copied once; the
 * data vector is the guest's own, with header and status cut off.
 */
#include "device/blk.h"

#include "base/barrier.h"

#include <endian.h>

/* Copies len bytes from the front of an n-entry vector; returns how many there were. */
static uint32_t blk_gather(void *to, uint32_t len, const struct iovec *iov, unsigned n)
{
	uint32_t have = 0;

	for (unsigned i = 0; i < n && have < len; i++) {
		uint32_t piece = (uint32_t)VIO_MIN(iov[i].iov_len, (size_t)(len - have));

		memcpy((char *)to + have, iov[i].iov_base, piece);
		have += piece;
	}
	return have;
}

/* Cuts the header off; returns the first entry of data, or -1 if the chain is too short for one. */
static int blk_cut_header(struct blk_scratch *s, struct vio_req *r, struct virtio_blk_outhdr *h)
{
	unsigned i = 0;
	uint32_t left = sizeof(*h);

	if (blk_gather(h, left, r->buf, r->nout) < left)
		return -1;
	for (; left && r->buf[i].iov_len <= left; i++)
		left -= (uint32_t)r->buf[i].iov_len;
	if (left) {
		s->head_cut = true;
		s->head_entry = (uint16_t)i;
		s->head_bytes = left;
		r->buf[i].iov_base = (char *)r->buf[i].iov_base + left;
		r->buf[i].iov_len -= left;
	}
	return (int)i;
}

/* The status is the last writable byte; what is before it in the same entry stays data. */
static void blk_cut_status(struct blk_scratch *s, struct vio_req *r)
{
	struct iovec *last = &r->buf[r->nout + r->nin - 1];

	s->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	s->status_cut = last->iov_len > 1;
	if (s->status_cut)
		last->iov_len--;
}

/* Makes iov what lies between header and status in the direction that the operation moves. */
static void blk_data(struct vio_req *r, const struct blk_scratch *s, unsigned first_out, bool in)
{
	unsigned first = in ? r->nout : first_out;
	unsigned end = in ? r->nout + r->nin - !s->status_cut : r->nout;
	uint64_t len = 0;

	r->iov = r->buf + first;
	r->niov = (uint16_t)(end - first);
	for (unsigned i = 0; i < r->niov; i++)
		len += r->iov[i].iov_len;
	r->len = len;
}

static int blk_range(const struct blk *b, struct vio_req *r, uint64_t sector, uint64_t sectors)
{
	uint64_t capacity = VIO_LOAD(&b->capacity);

	if (sector > capacity || sectors > capacity - sector || ((sector | sectors) & b->block_mask))
		return VIRTIO_BLK_S_IOERR;
	r->offset = sector << BLK_SECTOR_SHIFT;
	r->len = sectors << BLK_SECTOR_SHIFT;
	return VIRTIO_BLK_S_OK;
}

static int blk_read_write(struct vio_vq *q, const struct blk *b, struct vio_req *r, uint64_t sector)
{
	if (r->len & ((1u << BLK_SECTOR_SHIFT) - 1))
		return VIRTIO_BLK_S_IOERR;
	if (r->op == VIO_OP_WRITE && b->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (r->op == VIO_OP_WRITE && !VIO_LOAD(&b->writeback))
		r->flags = VIO_REQ_FUA;
	vq_count(r->op == VIO_OP_WRITE ? &q->stats->bytes_written : &q->stats->bytes_read, r->len);
	return blk_range(b, r, sector, r->len >> BLK_SECTOR_SHIFT);
}

/* Discard, write zeroes, secure erase: the range is the data (5.2.6); one segment, as our config space says. */
static int blk_segment(const struct blk *b, struct vio_req *r, uint8_t op, uint32_t max_sectors)
{
	struct virtio_blk_discard_write_zeroes seg;
	uint32_t flags, sectors;

	if (!(b->ops & 1u << op))
		return VIRTIO_BLK_S_UNSUPP;
	if (r->len != sizeof(seg) || blk_gather(&seg, sizeof(seg), r->iov, r->niov) < sizeof(seg) || b->read_only)
		return VIRTIO_BLK_S_IOERR;
	flags = le32toh(seg.flags);
	sectors = le32toh(seg.num_sectors);
	if (flags & ~(op == VIO_OP_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0u))
		return VIRTIO_BLK_S_UNSUPP;
	if (!sectors || sectors > max_sectors)
		return VIRTIO_BLK_S_IOERR;
	r->op = op;
	r->flags = (uint8_t)((flags ? VIO_REQ_UNMAP : 0) | (op == VIO_OP_DISCARD || VIO_LOAD(&b->writeback) ? 0 : VIO_REQ_FUA));
	r->iov = NULL;
	r->niov = 0;
	return blk_range(b, r, le64toh(seg.sector), sectors);
}

/* Answers from here: the bytes of `from` into the data buffers, as far as they reach. */
static int blk_answer(struct vio_req *r, const void *from, uint32_t len)
{
	for (unsigned i = 0; i < r->niov && len; i++) {
		uint32_t piece = (uint32_t)VIO_MIN(r->iov[i].iov_len, (size_t)len);

		memcpy(r->iov[i].iov_base, from, piece);
		from = (const char *)from + piece;
		len -= piece;
	}
	r->op = VIO_OP_NONE;
	return VIRTIO_BLK_S_OK;
}

static int blk_rare(struct vio_vq *q, const struct blk *b, struct vio_req *r, uint32_t type)
{
	static const uint8_t unknown_lifetime[6]; /* all fields "undefined" (5.2.6, get lifetime) */

	switch (type) {
	case VIRTIO_BLK_T_FLUSH:
		r->op = VIO_OP_FLUSH;
		r->niov = 0;
		r->offset = r->len = 0;
		vq_count(&q->stats->flushes, 1);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		return blk_answer(r, b->serial, sizeof(b->serial));
	case BLK_T_GET_LIFETIME:
		return blk_answer(r, unknown_lifetime, sizeof(unknown_lifetime));
	case VIRTIO_BLK_T_DISCARD:
		return blk_segment(b, r, VIO_OP_DISCARD, BLK_MAX_DISCARD_SECTORS);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return blk_segment(b, r, VIO_OP_WRITE_ZEROES, BLK_MAX_ZERO_SECTORS);
	case VIRTIO_BLK_T_SECURE_ERASE:
		return blk_segment(b, r, VIO_OP_SECURE_ERASE, BLK_MAX_DISCARD_SECTORS);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* The answer is known: a status, or nothing where there is no room even for that. */
static bool blk_close(struct vio_vq *q, struct blk_scratch *s, struct vio_req *r, uint8_t status)
{
	if (status != VIRTIO_BLK_S_OK)
		vq_count(&q->stats->errors, 1);
	if (s->status)
		*s->status = status;
	r->written = s->written;
	if (s->status_cut)
		r->buf[r->nout + r->nin - 1].iov_len++;
	if (s->head_cut) {
		r->buf[s->head_entry].iov_base = (char *)r->buf[s->head_entry].iov_base - s->head_bytes;
		r->buf[s->head_entry].iov_len += s->head_bytes;
	}
	return false;
}

/* Every driver's usual shape: the header alone in the first entry, the status alone in the last. */
VIO_INLINE bool blk_usual(const struct vio_req *r)
{
	return r->nout && r->nin && r->buf[0].iov_len == sizeof(struct virtio_blk_outhdr) &&
	       r->buf[r->nout + r->nin - 1].iov_len == 1;
}

/* Bytes the guest made writable; the status is the last of them, so an answer has written them all. */
static uint32_t blk_writable(const struct vio_req *r)
{
	uint64_t len = 0;

	for (unsigned i = r->nout; i < (unsigned)r->nout + r->nin; i++)
		len += r->buf[i].iov_len;
	return (uint32_t)VIO_MIN(len, UINT32_MAX);
}

VIO_INLINE int blk_split(struct blk_scratch *s, struct vio_req *r, struct virtio_blk_outhdr *h)
{
	int first = 1;

	*s = (struct blk_scratch){ 0 };
	if (VIO_LIKELY(blk_usual(r))) {
		memcpy(h, r->buf[0].iov_base, sizeof(*h));
		s->status = r->buf[r->nout + r->nin - 1].iov_base;
	} else {
		first = blk_cut_header(s, r, h);
		if (r->nin)
			blk_cut_status(s, r);
	}
	__asm__ volatile("" ::: "memory"); /* *h is the copy from here on: the guest may change the original */
	return first;
}

/* True: it is for the backend. False: it is answered. */
VIO_INLINE bool blk_serve_one(struct vio_vq *q, const struct blk *b, struct vio_req *r)
{
	struct blk_scratch *s = vio_vq_scratch(q, r);
	struct virtio_blk_outhdr h;
	int first = blk_split(s, r, &h), status;
	uint32_t type;

	if (VIO_UNLIKELY(first < 0 || !r->nin)) {
		s->written = s->status ? blk_writable(r) + s->status_cut : 0;
		return blk_close(q, s, r, VIRTIO_BLK_S_IOERR);
	}
	type = le32toh(h.type);
	r->flags = 0;
	r->res = 0;
	blk_data(r, s, (unsigned)first, type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID || type == BLK_T_GET_LIFETIME);
	s->written = VIO_LIKELY(r->nin == 1 && !s->status_cut) ? 1 : blk_writable(r) + s->status_cut;
	if (VIO_LIKELY(type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT)) {
		r->op = type == VIRTIO_BLK_T_OUT ? VIO_OP_WRITE : VIO_OP_READ;
		status = blk_read_write(q, b, r, le64toh(h.sector));
		if (VIO_UNLIKELY(!r->len && status == VIRTIO_BLK_S_OK))
			return blk_close(q, s, r, VIRTIO_BLK_S_OK); /* nothing to move */
	} else {
		status = blk_rare(q, b, r, type);
	}
	if (VIO_LIKELY(status == VIRTIO_BLK_S_OK && r->op != VIO_OP_NONE))
		return true;
	return blk_close(q, s, r, (uint8_t)status);
}

unsigned vio__blk_serve(struct vio_vq *q, struct vio_req **r, unsigned n)
{
	const struct blk *b = q->dev->priv;
	unsigned down = 0;

	for (unsigned i = 0; i < n; i++)
		if (r[i]->nout)
			__builtin_prefetch(r[i]->buf[0].iov_base);
	for (unsigned i = 0; i < n; i++) {
		struct vio_req *this = r[i];

		if (VIO_UNLIKELY(!blk_serve_one(q, b, this)))
			continue;
		r[i] = r[down]; /* answered ones gather behind those for the backend */
		r[down++] = this;
	}
	return down;
}

VIO_INLINE uint8_t blk_status(int res)
{
	return res == 0 ? VIRTIO_BLK_S_OK : res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

void vio__blk_finish(struct vio_vq *q, struct vio_req **r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		blk_close(q, vio_vq_scratch(q, r[i]), r[i], blk_status(r[i]->res));
}
