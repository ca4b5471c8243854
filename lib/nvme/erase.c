/* SPDX-License-Identifier: MIT */
/*
 * Erasing what a namespace holds, from a job: it goes through all of the store with a
 * poller and a lane of its own, while no queue has one.
 */
#include "nvme/nv.h"

#define ERASE_DEPTH 8u
#define ERASE_DATA (256u << 10) /* bytes of a write or a read */
#define ERASE_ZEROES (8u << 20) /* that a store is asked to make zeroes at a time */
#define ERASE_WAIT 100		/* ms: not every store's poller has something to wait for */

struct eraser {
	struct nv_ns *ns;
	struct vio_poller *poller;
	struct vio_lane *lane;
	struct vio_req_pool *reqs;
	uint8_t *data;			    /* ERASE_DEPTH pieces */
	struct vio_req *piece[ERASE_DEPTH]; /* whose it is */
	uint64_t size;
	uint32_t ops;
};

static int eraser_open(struct eraser *e, struct nv_ns *ns)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	int rc = vio_backend_info(ns->backend, &i);

	*e = (struct eraser){ .ns = ns, .size = i.size, .ops = i.ops };
	e->data = rc ? NULL : aligned_alloc(4096, ERASE_DEPTH * ERASE_DATA);
	if (!rc && !e->data)
		rc = vio__fail(ENOMEM, "nvme: out of memory to erase namespace %u", ns->nsid);
	rc = rc ? rc : vio_poller_new(&e->poller, NULL);
	rc = rc ? rc : vio_lane_new(&e->lane, ns->backend, e->poller, NULL);
	return rc ? rc : vio_req_pool_new(&e->reqs, e->lane, ERASE_DEPTH, 1);
}

static void eraser_close(struct eraser *e)
{
	vio_req_pool_free(e->reqs);
	vio_lane_free(e->lane);
	vio_poller_free(e->poller);
	free(e->data);
}

static unsigned eraser_piece(struct eraser *e, const struct vio_req *owner)
{
	unsigned i = 0;

	while (e->piece[i] != owner)
		i++;
	return i;
}

static void eraser_submit(struct eraser *e, enum vio_op op, uint64_t offset, uint64_t len)
{
	struct vio_req *v = vio_req_get(e->reqs);
	unsigned i = eraser_piece(e, NULL);

	e->piece[i] = v;
	v->op = op;
	v->offset = offset;
	v->len = len;
	if (op == VIO_OP_READ || op == VIO_OP_WRITE) {
		v->iov[0] = (struct iovec){ e->data + i * ERASE_DATA, len };
		v->niov = 1;
	}
	vio_lane_submit(e->lane, &v, 1);
}

/* Its outcome; what was read has to be zeroes. */
static int eraser_reap(struct eraser *e, struct vio_req *v)
{
	unsigned i = eraser_piece(e, v);
	const uint8_t *p = e->data + i * ERASE_DATA;
	int rc = v->res;

	if (!rc && v->op == VIO_OP_READ && (p[0] || memcmp(p, p + 1, v->len - 1)))
		rc = vio__fail(EIO, "nvme: namespace %u holds data where it was erased", e->ns->nsid);
	nv_count(&e->ns->erased, v->len);
	e->piece[i] = NULL;
	vio_req_put(e->reqs, v);
	return rc;
}

/* All of the store, in pieces of at most `chunk` bytes; the first failure. */
static int eraser_walk(struct eraser *e, enum vio_op op, uint64_t chunk)
{
	struct vio_req *v[ERASE_DEPTH];
	unsigned under_way = 0;
	uint64_t at = 0;
	int rc = 0;

	while (under_way || (at < e->size && !rc)) {
		unsigned n = 0;

		while (at < e->size && !rc && under_way < ERASE_DEPTH && vio_lane_room(e->lane)) {
			uint64_t len = VIO_MIN(chunk, e->size - at);

			eraser_submit(e, op, at, len);
			at += len;
			under_way++;
		}
		n = vio_lane_reap(e->lane, v, ERASE_DEPTH);
		for (unsigned i = 0; i < n; i++) {
			int res = eraser_reap(e, v[i]);

			rc = rc ? rc : res;
		}
		under_way -= n;
		if (!n && vio_poller_wait(e->poller, ERASE_WAIT) < 0 && !rc)
			rc = -EIO;
	}
	return rc;
}

static int eraser_flush(struct eraser *e)
{
	struct vio_req *v;

	if (!(e->ops & 1u << VIO_OP_FLUSH))
		return 0;
	eraser_submit(e, VIO_OP_FLUSH, 0, 0);
	while (!vio_lane_reap(e->lane, &v, 1))
		if (vio_poller_wait(e->poller, ERASE_WAIT) < 0)
			return -EIO;
	return eraser_reap(e, v);
}

int nv_erase_pattern(struct nv_ns *ns, uint32_t pattern)
{
	struct eraser e;
	int rc = eraser_open(&e, ns);

	for (size_t i = 0; !rc && i < ERASE_DEPTH * ERASE_DATA; i += sizeof(pattern))
		memcpy(e.data + i, &pattern, sizeof(pattern));
	rc = rc ? rc : eraser_walk(&e, VIO_OP_WRITE, ERASE_DATA);
	rc = rc ? rc : eraser_flush(&e);
	eraser_close(&e);
	return rc;
}

int nv_erase_zeroes(struct nv_ns *ns, bool verify)
{
	struct eraser e;
	int rc = eraser_open(&e, ns);

	if (!rc) {
		VIO_STORE(&ns->to_erase, e.size << verify);
		memset(e.data, 0, ERASE_DEPTH * ERASE_DATA);
		rc = e.ops & 1u << VIO_OP_WRITE_ZEROES ? eraser_walk(&e, VIO_OP_WRITE_ZEROES, ERASE_ZEROES)
						       : eraser_walk(&e, VIO_OP_WRITE, ERASE_DATA);
	}
	rc = rc ? rc : eraser_flush(&e);
	if (!rc && verify) {
		memset(e.data, 0xff, ERASE_DEPTH * ERASE_DATA);
		rc = eraser_walk(&e, VIO_OP_READ, ERASE_DATA);
	}
	eraser_close(&e);
	return rc;
}
