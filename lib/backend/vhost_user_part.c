/* SPDX-License-Identifier: MIT */
/*
 * Requests that are not one piece of shared memory: vectors, memory that the
 * server can't see (copied through bounce buffers), ranges, flushes. They are cut
 * into parts, each a virtio request of its own that keeps to the device's limits.
 */
#include "backend/vhost_user.h"

static struct vhost_cut *part_cut(struct vhost_lane *v, struct vio_req *r)
{
	return vio_req_scratch(v->lane, r);
}

static bool part_data(const struct vio_req *r)
{
	return r->op == VIO_OP_READ || r->op == VIO_OP_WRITE;
}

/* True if the vector can be handed over as it is, or cut between its entries. */
static bool part_shared(struct vhost_lane *v, const struct vio_req *r)
{
	bool aligned = true, fits = r->niov <= v->max_segs;

	for (unsigned i = 0; i < r->niov; i++) {
		if (vhost_translate(&v->view, r->iov[i].iov_base, r->iov[i].iov_len) == UINT64_MAX)
			return false;
		aligned &= r->iov[i].iov_len % v->block == 0;
		fits &= r->iov[i].iov_len <= v->max_len;
	}
	return fits || aligned;
}

void vio__vhost_cut_begin(struct vhost_lane *v, struct vio_req *r)
{
	struct vhost_cut *c = part_cut(v, r);

	*c = (struct vhost_cut){ .flush_due = r->flags & VIO_REQ_FUA && v->flush && r->op != VIO_OP_FLUSH };
	if (part_data(r))
		c->how = part_shared(v, r) ? VHOST_DIRECT : VHOST_BOUNCE;
	else
		c->how = r->op == VIO_OP_FLUSH ? VHOST_FLUSH : VHOST_RANGE;
	vio_reqs_push(&v->waiting, r);
}

/* A flush has no length, but has to be sent: it counts as one byte. */
static uint64_t part_total(const struct vhost_cut *c, const struct vio_req *r)
{
	return c->how == VHOST_FLUSH ? 1 : r->len;
}

/* Moves c over up to max_segs pieces, or `limit` bytes; returns how many bytes those are. */
static uint64_t part_advance(struct vhost_lane *v, struct vhost_cut *c, const struct vio_req *r,
			     unsigned segs, uint64_t limit)
{
	uint64_t len = 0;

	while (c->iov < r->niov && segs && len < limit) {
		uint64_t left = r->iov[c->iov].iov_len - c->iov_pos;
		uint64_t take = VIO_MIN(VIO_MIN(left, (uint64_t)v->max_len), limit - len);

		len += take;
		segs -= take > 0;
		c->iov_pos += (uint32_t)take;
		if (take == left) {
			c->iov++;
			c->iov_pos = 0;
		}
	}
	return len;
}

static uint64_t part_range_len(const struct vhost_lane *v, const struct vhost_cut *c, const struct vio_req *r)
{
	return VIO_MIN(r->len - c->pos, r->op == VIO_OP_DISCARD ? v->max_discard : v->max_zeroes);
}

/* The next part of r into a slot; false when it needs a bounce buffer and there is none. */
static bool part_next(struct vhost_lane *v, struct vio_req *r)
{
	struct vhost_cut *c = part_cut(v, r);
	unsigned slot;
	struct vhost_slot *s;

	if (c->how == VHOST_BOUNCE && !v->nchunks)
		return false;
	slot = v->free[--v->nfree];
	s = &v->slot[slot];
	*s = (struct vhost_slot){
		.req = r, .pos = c->pos, .iov = c->iov, .iov_pos = c->iov_pos, .how = c->how
	};
	if (c->how == VHOST_DIRECT)
		s->len = part_advance(v, c, r, v->max_segs, UINT64_MAX);
	else if (c->how == VHOST_BOUNCE)
		s->len = part_advance(v, c, r, UINT32_MAX, VIO_MIN(VHOST_CHUNK, v->max_len));
	else
		s->len = c->how == VHOST_RANGE ? part_range_len(v, c, r) : 1;
	if (c->how == VHOST_BOUNCE)
		s->chunk = v->chunks[--v->nchunks];
	c->pos += s->len;
	c->parts++;
	vio__vhost_post(v, slot);
	return true;
}

void vio__vhost_cut_more(struct vhost_lane *v)
{
	struct vio_req *r;

	while (v->nfree && (r = v->waiting.head)) {
		if (!part_next(v, r))
			return;
		if (part_cut(v, r)->pos >= part_total(part_cut(v, r), r))
			vio_reqs_pop(&v->waiting);
	}
}

/* Between the request's vector and a bounce buffer, for the slot's part. */
static void part_copy(struct vhost_lane *v, const struct vhost_slot *s, bool in)
{
	char *b = v->bounce + (size_t)s->chunk * VHOST_CHUNK;
	const struct iovec *iov = &s->req->iov[s->iov];
	uint64_t left = s->len, at = s->iov_pos;

	for (; left; iov++, at = 0) {
		uint64_t n = VIO_MIN(iov->iov_len - at, left);
		char *p = (char *)iov->iov_base + at;

		if (n)
			memcpy(in ? b : p, in ? p : b, n);
		b += n;
		left -= n;
	}
}

static uint32_t part_type(const struct vio_req *r, uint8_t how)
{
	static const uint32_t types[] = {
		[VIO_OP_READ] = VIRTIO_BLK_T_IN,
		[VIO_OP_WRITE] = VIRTIO_BLK_T_OUT,
		[VIO_OP_FLUSH] = VIRTIO_BLK_T_FLUSH,
		[VIO_OP_DISCARD] = VIRTIO_BLK_T_DISCARD,
		[VIO_OP_WRITE_ZEROES] = VIRTIO_BLK_T_WRITE_ZEROES,
	};

	return how == VHOST_FLUSH ? VIRTIO_BLK_T_FLUSH : types[r->op];
}

static void part_post_direct(struct vhost_lane *v, unsigned slot)
{
	const struct vhost_slot *s = &v->slot[slot];
	const struct iovec *iov = &s->req->iov[s->iov];
	uint64_t left = s->len, at = s->iov_pos;
	struct vring_seg seg[VHOST_TABLE];
	unsigned n = 0;
	bool in = s->req->op == VIO_OP_READ;
	size_t table = (size_t)slot * VHOST_TABLE * 16;

	while (left) {
		uint64_t take = VIO_MIN(VIO_MIN(iov->iov_len - at, (uint64_t)v->max_len), left);

		if (take)
			seg[n++] = (struct vring_seg){
				vhost_translate(&v->view, (char *)iov->iov_base + at, take), (uint32_t)take
			};
		left -= take;
		at += take;
		if (at == iov->iov_len) {
			iov++;
			at = 0;
		}
	}
	if (n == 1)
		vring_post(&v->ring, slot, seg[0], in, v->ring.packed);
	else
		vring_post_table(&v->ring, slot, v->tables + table, v->tables_guest + table, seg, n, in);
}

static void part_post_bounce(struct vhost_lane *v, unsigned slot)
{
	const struct vhost_slot *s = &v->slot[slot];
	struct vring_seg seg = { v->bounce_guest + (uint64_t)s->chunk * VHOST_CHUNK, (uint32_t)s->len };

	if (s->req->op == VIO_OP_WRITE)
		part_copy(v, s, true);
	vhost_count(&v->count->bounced, 1);
	vhost_count(&v->count->bounced_bytes, s->len);
	vring_post(&v->ring, slot, seg, s->req->op == VIO_OP_READ, v->ring.packed);
}

static void part_post_range(struct vhost_lane *v, unsigned slot)
{
	const struct vhost_slot *s = &v->slot[slot];
	const struct vio_req *r = s->req;
	bool unmap = r->op == VIO_OP_WRITE_ZEROES && r->flags & VIO_REQ_UNMAP && v->unmap;
	struct vring_seg seg = { v->range_guest + 16ull * slot, 16 };

	v->range[slot] = (struct virtio_blk_discard_write_zeroes){
		.sector = htole64((r->offset + s->pos) / 512),
		.num_sectors = htole32((uint32_t)(s->len / 512)),
		.flags = htole32(unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0)
	};
	vring_post(&v->ring, slot, seg, false, v->ring.packed);
}

void vio__vhost_post(struct vhost_lane *v, unsigned slot)
{
	const struct vhost_slot *s = &v->slot[slot];
	bool sector = part_data(s->req) && s->how != VHOST_FLUSH;

	v->header[slot] =
		(struct virtio_blk_outhdr){ .type = htole32(part_type(s->req, s->how)),
					    .sector = sector ? htole64((s->req->offset + s->pos) / 512) : 0 };
	switch (s->how) {
	case VHOST_BOUNCE:
		part_post_bounce(v, slot);
		break;
	case VHOST_RANGE:
		part_post_range(v, slot);
		break;
	case VHOST_FLUSH:
		vring_post_bare(&v->ring, slot);
		break;
	default:
		part_post_direct(v, slot);
	}
}

static void part_free(struct vhost_lane *v, unsigned slot)
{
	struct vhost_slot *s = &v->slot[slot];

	if (s->how == VHOST_BOUNCE)
		v->chunks[v->nchunks++] = s->chunk;
	s->req = NULL;
	v->free[v->nfree++] = (uint16_t)slot;
}

struct vio_req *vio__vhost_cut_done(struct vhost_lane *v, unsigned slot, int err)
{
	const struct vhost_slot *s = &v->slot[slot];
	struct vio_req *r = s->req;
	struct vhost_cut *c = part_cut(v, r);

	if (s->how == VHOST_BOUNCE && r->op == VIO_OP_READ && !err)
		part_copy(v, s, false);
	part_free(v, slot);
	if (err && !c->err)
		c->err = err;
	if (--c->parts || c->pos < part_total(c, r))
		return NULL; /* more are under way, or r still waits to be cut */
	if (c->flush_due && !c->err) {
		c->flush_due = false;
		c->how = VHOST_FLUSH;
		c->pos = 0;
		vio_reqs_push(&v->waiting, r);
		return NULL;
	}
	r->res = c->err;
	return r;
}
