/* SPDX-License-Identifier: MIT */
/* A hand-written driver and the queue that serves it, for one thread. */
#ifndef TESTS_QUEUE_PAIR_H
#define TESTS_QUEUE_PAIR_H

#include "ring_guest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define V1 VIO_BIT(VIRTIO_F_VERSION_1)
#define PACKED (V1 | VIO_BIT(VIRTIO_F_RING_PACKED))
#define EVENT_IDX VIO_BIT(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER VIO_BIT(VIRTIO_F_IN_ORDER)

struct pair {
	struct ring_guest g;
	struct vio_queue *q;
};

RG_FN void ok(int rc)
{
	if (rc < 0)
		fail_msg("%d: %s", rc, vio_errmsg());
}

RG_FN void pair_open(struct pair *p, uint64_t features, unsigned size)
{
	struct vio_queue_opts o;

	ok(rg_open(&p->g, features, size));
	o = rg_opts(&p->g);
	ok(vio_queue_new(&p->q, &o));
}

RG_FN void pair_close(struct pair *p)
{
	vio_queue_free(p->q);
	rg_close(&p->g);
}

/* One request that is there. */
RG_FN struct vio_req *pair_take(struct pair *p)
{
	struct vio_req *r = NULL;
	int n = vio_queue_take(p->q, &r, 1);

	ok(n);
	assert_int_equal(n, 1);
	return r;
}

RG_FN void pair_give(struct pair *p, struct vio_req *r, uint32_t written)
{
	r->written = written;
	vio_queue_give(p->q, &r, 1);
	vio_queue_flush(p->q);
}

/* The next used chain must be `id`. */
RG_FN void pair_reap(struct pair *p, int id, uint32_t written)
{
	uint32_t len = 0;

	assert_int_equal(rg_reap(&p->g, &len), id);
	assert_int_equal(len, written);
}

/* A sound chain of one readable and one writable buffer, round the ring once. */
RG_FN void pair_round(struct pair *p, unsigned i)
{
	const struct rg_buf b[] = { { RG_AT + RG_DATA + 64 * (i % 512), 16, 0 },
				    { RG_AT + RG_DATA + 0x10000 + 64 * (i % 512), 32, RG_WRITE } };
	unsigned n = p->g.size > 1 ? 2 : 1;
	int id = rg_post(&p->g, b, n);
	struct vio_req *r;

	assert_true(id >= 0);
	r = pair_take(p);
	assert_int_equal(r->nout, 1);
	assert_int_equal(r->nin, n - 1);
	assert_ptr_equal(r->buf[0].iov_base, rg_ptr(&p->g, b[0].addr));
	assert_int_equal(r->buf[0].iov_len, 16);
	pair_give(p, r, i);
	pair_reap(p, id, i);
}

#endif
