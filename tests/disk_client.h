/* SPDX-License-Identifier: MIT */
/* A test's way to a disk: poller, stack, one lane, requests, and doing them one at a time. */
#ifndef TESTS_DISK_CLIENT_H
#define TESTS_DISK_CLIENT_H

#include <virtio-offload.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CLIENT_MEM (1u << 20)

struct client {
	struct vio_poller *poller;
	struct vio_backend *backend;
	struct vio_lane *lane;
	struct vio_mem *mem; /* shared with the server */
	char *shared;	     /* CLIENT_MEM bytes of it */
	struct vio_req_pool *pool;
};

static inline void client_ok(int rc)
{
	if (rc < 0)
		fail_msg("%d: %s", rc, vio_errmsg());
}

static inline void client_open_mode(struct client *c, const char *stack, enum vio_poll_mode mode)
{
	VIO_OPTS(vio_poller_opts, po, .mode = mode);
	VIO_OPTS(vio_lane_opts, lo, 0);
	struct vio_mem_region r;

	memset(c, 0, sizeof(*c));
	client_ok(vio_poller_new(&c->poller, &po));
	client_ok(vio_mem_alloc(&c->mem, 0x1000, CLIENT_MEM));
	client_ok(vio_mem_get(c->mem, 0, &r));
	c->shared = r.ptr;
	client_ok(vio_backend_parse(&c->backend, NULL, stack));
	lo.mem = c->mem;
	client_ok(vio_lane_new(&c->lane, c->backend, c->poller, &lo));
	client_ok(vio_req_pool_new(&c->pool, c->lane, 64, 200));
}

static inline void client_open(struct client *c, const char *stack)
{
	client_open_mode(c, stack, VIO_POLL_EVENT);
}

static inline void client_close(struct client *c)
{
	vio_req_pool_free(c->pool);
	vio_lane_free(c->lane);
	vio_backend_free(c->backend);
	vio_mem_free(c->mem);
	vio_poller_free(c->poller);
}

/* A request of one piece. */
static inline struct vio_req *client_req(struct client *c, uint8_t op, uint64_t offset, void *data,
					 uint64_t len)
{
	struct vio_req *r = vio_req_get(c->pool);

	assert_non_null(r);
	r->op = op;
	r->offset = offset;
	r->len = len;
	if (data) {
		r->niov = 1;
		r->iov[0] = (struct iovec){ data, len };
	}
	return r;
}

static inline void client_submit(struct client *c, struct vio_req *r)
{
	assert_true(vio_lane_room(c->lane) > 0);
	vio_lane_submit(c->lane, &r, 1);
}

/* The next completion, for which it waits a few seconds at most. */
static inline struct vio_req *client_reap(struct client *c)
{
	struct vio_req *r;

	for (int i = 0; i < 500; i++) {
		if (vio_lane_reap(c->lane, &r, 1))
			return r;
		vio_poller_wait(c->poller, 10);
	}
	fail_msg("nothing completed within 5 s");
	return NULL;
}

static inline int client_finish(struct client *c)
{
	struct vio_req *r = client_reap(c);
	int res = r->res;

	vio_req_put(c->pool, r);
	return res;
}

static inline int client_do(struct client *c, uint8_t op, uint64_t offset, void *data, uint64_t len)
{
	client_submit(c, client_req(c, op, offset, data, len));
	return client_finish(c);
}

struct client_stat {
	const char *name;
	uint64_t value;
};

static inline void client_stat_one(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	struct client_stat *s = ctx;

	(void)layer;
	if (!strcmp(counter, s->name))
		s->value = value;
}

static inline uint64_t client_stat(struct client *c, const char *name)
{
	struct client_stat s = { name, UINT64_MAX };

	vio_backend_stats(c->backend, client_stat_one, &s);
	return s.value;
}

#endif
