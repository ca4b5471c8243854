/* SPDX-License-Identifier: MIT */
/* For tests of ports: lanes into one, with requests and buffers, and its counters. */
#ifndef TESTS_PORT_H
#define TESTS_PORT_H

#include "news.h"
#include "poller.h"

#include <virtio-offload/backend.h>

/* One direction of a port's pair: a lane, its requests, and a buffer of `each` bytes for each. */
struct way {
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	struct vio_mem *shared; /* holds mem, and what is sent goes through it; or NULL */
	char *mem;
	size_t each;
	unsigned next, head;
};

#define WAY_REQS 256

static void way_lane(struct way *w, struct vio_backend *b, struct vio_poller *p, unsigned pair, bool recv)
{
	VIO_OPTS(vio_lane_opts, o, .mem = w->shared, .pair = pair, .recv = recv);

	if (vio_lane_new(&w->lane, b, p, &o))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_req_pool_new(&w->pool, w->lane, WAY_REQS, 64), 0);
}

MAYBE_UNUSED static struct way way_open(struct vio_backend *b, struct vio_poller *p, unsigned pair, bool recv,
					size_t each)
{
	struct way w = { .mem = calloc(WAY_REQS, each), .each = each };

	way_lane(&w, b, p, pair, recv);
	return w;
}

/* The same with buffers in memory that the lane may share with a peer. */
MAYBE_UNUSED static struct way way_open_shared(struct vio_backend *b, struct vio_poller *p, unsigned pair,
					       bool recv, size_t each)
{
	struct way w = { .each = each };
	struct vio_mem_region r;

	assert_int_equal(vio_mem_alloc(&w.shared, 0, WAY_REQS * each), 0);
	assert_int_equal(vio_mem_get(w.shared, 0, &r), 0);
	w.mem = r.ptr;
	way_lane(&w, b, p, pair, recv);
	return w;
}

/* Posts n RECVs that take `flags` and leave `head` bytes free. */
MAYBE_UNUSED static void way_post(struct way *w, unsigned n, uint8_t flags, unsigned head)
{
	w->head = head;
	while (n--) {
		struct vio_req *r = vio_req_get(w->pool);

		assert_non_null(r);
		r->op = VIO_OP_RECV;
		r->flags = flags;
		r->offload = (struct vio_offload){ .hdr_len = (uint16_t)head };
		r->iov[0] = (struct iovec){ w->mem + w->next++ % WAY_REQS * w->each, w->each };
		r->niov = 1;
		assert_true(vio_lane_room(w->lane) > 0);
		vio_lane_submit(w->lane, &r, 1);
	}
}

/* Sends one frame, and waits until it has been taken. */
MAYBE_UNUSED static void way_send(struct way *w, struct vio_poller *p, const void *frame, size_t len,
				  uint8_t flags, const struct vio_offload *o)
{
	struct vio_req *r = vio_req_get(w->pool);
	size_t half = len / 2;

	if (w->shared)
		frame = memcpy(w->mem, frame, len);
	r->op = VIO_OP_SEND;
	r->flags = flags;
	if (o)
		r->offload = *o;
	r->len = len;
	r->iov[0] = (struct iovec){ (void *)(uintptr_t)frame, half };
	r->iov[1] = (struct iovec){ (char *)(uintptr_t)frame + half, len - half };
	r->niov = 2;
	r->res = 1;
	vio_lane_submit(w->lane, &r, 1);
	while (!vio_lane_reap(w->lane, &r, 1))
		news_within(p, 20);
	assert_int_equal(r->res, 0);
	vio_req_put(w->pool, r);
}

/* The next packet, put together at `to`; its bytes, and its first RECV's flags and offload. */
MAYBE_UNUSED static size_t way_recv(struct way *w, struct vio_poller *p, char *to, uint8_t *flags,
				    struct vio_offload *o)
{
	struct vio_req *r;
	size_t len = 0;
	int parts = 0;

	for (int i = 0; i < parts || !parts; i++) {
		while (!vio_lane_reap(w->lane, &r, 1)) {
			assert_int_equal(i, 0); /* a packet's RECVs come together */
			news_within(p, 20);
		}
		if (!i) {
			parts = r->res;
			*flags = r->flags;
			*o = r->offload;
			assert_true(parts >= 1);
		} else {
			assert_int_equal(r->res, 0);
		}
		assert_true(r->len <= w->each);
		memcpy(to + len, (char *)r->iov[0].iov_base + (i ? 0 : w->head), r->len);
		len += r->len;
		vio_req_put(w->pool, r);
	}
	return len;
}

MAYBE_UNUSED static unsigned way_recall(struct way *w)
{
	struct vio_req *r[32];
	unsigned n, all = 0;

	while ((n = vio_lane_recall(w->lane, r, 32))) {
		for (unsigned i = 0; i < n; i++)
			vio_req_put(w->pool, r[i]);
		all += n;
	}
	return all;
}

MAYBE_UNUSED static void way_close(struct way *w)
{
	struct vio_req *r;

	way_recall(w);
	while (vio_lane_reap(w->lane, &r, 1))
		vio_req_put(w->pool, r);
	vio_req_pool_free(w->pool);
	vio_lane_free(w->lane);
	if (w->shared)
		vio_mem_free(w->shared);
	else
		free(w->mem);
}

struct counter {
	const char *name;
	uint64_t value;
};

static void counter_each(void *ctx, const char *layer, const char *name, uint64_t value)
{
	struct counter *c = ctx;

	(void)layer;
	if (!strcmp(name, c->name))
		c->value = value;
}

MAYBE_UNUSED static uint64_t counter_of(struct vio_backend *b, const char *name)
{
	struct counter c = { name, UINT64_MAX };

	vio_backend_stats(b, counter_each, &c);
	assert_true(c.value != UINT64_MAX);
	return c.value;
}

#endif
