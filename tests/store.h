/* SPDX-License-Identifier: MIT */
/*
 * For tests of filters: an end that stores in memory, remembers what it was asked,
 * and completes when the test lets it; and a filter (or several) on top of it.
 */
#ifndef TESTS_STORE_H
#define TESTS_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <virtio-offload/impl/backend.h>

#include "base/base.h"

#define STORE_LOG 1024
#define STORE_FN static __attribute__((unused)) /* not every test uses all */

struct store_entry {
	uint8_t op, flags;
	uint64_t offset, len;
	void *ptr; /* of the first entry */
	unsigned niov;
};

struct store {
	unsigned char *mem;
	uint64_t size;
	unsigned block, room, under_way, logged;
	int res;   /* of what completes from now on */
	bool hold; /* nothing completes */
	struct vio_reqs pending;
	struct store_entry log[STORE_LOG];
};

static int store_open(struct vio_backend *b, const char *arg)
{
	struct store *s = b->priv;

	s->size = strtoull(arg, NULL, 0);
	s->mem = calloc(1, s->size + 1);
	s->block = 512;
	s->room = 256;
	return s->mem ? 0 : -ENOMEM;
}

static void store_close(struct vio_backend *b)
{
	free(((struct store *)b->priv)->mem);
}

static int store_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct store *s = b->priv;

	i->size = s->size;
	i->block = s->block;
	i->ops = 1u << VIO_OP_READ | 1u << VIO_OP_WRITE | 1u << VIO_OP_FLUSH | 1u << VIO_OP_DISCARD;
	return 0;
}

static unsigned store_room(struct vio_lane *l)
{
	const struct store *s = l->backend->priv;

	return s->room - s->under_way;
}

static void store_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct store *s = l->backend->priv;

	assert_true(n && n <= store_room(l));
	for (unsigned i = 0; i < n; i++) {
		s->log[s->logged++ % STORE_LOG] = (struct store_entry){
			r[i]->op,
			r[i]->flags,
			r[i]->offset,
			r[i]->len,
			r[i]->niov ? r[i]->iov[0].iov_base : NULL,
			r[i]->niov,
		};
		vio_reqs_push(&s->pending, r[i]);
		s->under_way++;
	}
}

static int store_move(struct store *s, struct vio_req *r)
{
	uint64_t at = r->offset, sum = 0;

	for (unsigned i = 0; i < r->niov; i++)
		sum += r->iov[i].iov_len;
	if (r->op > VIO_OP_WRITE)
		return 0;
	if (sum != r->len || r->offset > s->size || r->len > s->size - r->offset)
		return -ERANGE;
	for (unsigned i = 0; i < r->niov; at += r->iov[i++].iov_len) {
		if (r->op == VIO_OP_READ)
			memcpy(r->iov[i].iov_base, s->mem + at, r->iov[i].iov_len);
		else
			memcpy(s->mem + at, r->iov[i].iov_base, r->iov[i].iov_len);
	}
	return 0;
}

static unsigned store_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct store *s = l->backend->priv;
	unsigned got = 0;

	while (!s->hold && got < n && (r[got] = vio_reqs_pop(&s->pending))) {
		r[got]->res = s->res ? s->res : store_move(s, r[got]);
		s->under_way--;
		got++;
	}
	return got;
}

static const struct vio_backend_type store_type = {
	.sz = sizeof(struct vio_backend_type),
	.name = "store",
	.help = "SIZE",
	.priv = sizeof(struct store),
	.open = store_open,
	.close = store_close,
	.info = store_info,
	.room = store_room,
	.submit = store_submit,
	.reap = store_reap,
};

/* A filter over a store, with a lane and requests. */
struct stack {
	struct vio_poller *poller;
	struct vio_scope *scope;
	struct vio_backend *top;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	struct store *store;
};

/* "name:arg | name:arg" over *b, which is released: the stack keeps it. */
STORE_FN int stack_filters(struct vio_backend **b, struct vio_scope *scope, const char *filters)
{
	char text[512], *save, *item, *arg;
	struct vio_backend *next;
	int rc = 0;

	snprintf(text, sizeof(text), "%s", filters);
	for (item = strtok_r(text, " |", &save); item && !rc; item = strtok_r(NULL, " |", &save)) {
		arg = strchr(item, ':');
		if (arg)
			*arg++ = 0;
		assert_non_null(vio_backend_find(item));
		next = *b;
		rc = vio_backend_new(b, vio_backend_find(item), next, scope, arg);
		vio_backend_free(next);
	}
	return rc;
}

/* Whether the filters accept their arguments over a store of `size` bytes; leaves the sentence. */
STORE_FN int stack_try(const char *filters, uint64_t size)
{
	struct vio_backend *b;
	char text[32];
	int rc;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	assert_int_equal(vio_backend_new(&b, &store_type, NULL, NULL, text), 0);
	rc = stack_filters(&b, NULL, filters);
	if (rc)
		assert_null(b);
	vio_backend_free(b);
	return rc;
}

STORE_FN void stack_up(struct stack *s, const char *filters, uint64_t size)
{
	char text[32];
	int rc;

	memset(s, 0, sizeof(*s));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	assert_int_equal(vio_poller_new(&s->poller, NULL), 0);
	assert_int_equal(vio_scope_new(&s->scope), 0);
	assert_int_equal(vio_backend_new(&s->top, &store_type, NULL, s->scope, text), 0);
	s->store = s->top->priv;
	rc = stack_filters(&s->top, s->scope, filters);
	if (rc)
		fail_msg("%s: %s", filters, vio_errmsg());
	assert_int_equal(vio_lane_new(&s->lane, s->top, s->poller, NULL), 0);
	assert_int_equal(vio_req_pool_new(&s->pool, s->lane, 128, 64), 0);
}

STORE_FN void stack_down(struct stack *s)
{
	vio_req_pool_free(s->pool);
	vio_lane_free(s->lane);
	vio_backend_free(s->top);
	vio_scope_free(s->scope);
	vio_poller_free(s->poller);
}

STORE_FN struct vio_req *stack_req(struct stack *s, enum vio_op op, uint64_t offset, void *buf, uint64_t len)
{
	struct vio_req *r = vio_req_get(s->pool);

	assert_non_null(r);
	r->op = op;
	r->offset = offset;
	r->len = len;
	if (buf) {
		r->iov[0] = (struct iovec){ buf, len };
		r->niov = 1;
	}
	return r;
}

STORE_FN void stack_submit(struct stack *s, struct vio_req *r)
{
	assert_true(vio_lane_room(s->lane) > 0);
	r->res = 12345;
	vio_lane_submit(s->lane, &r, 1);
}

/* The next request that comes up, while the poller runs. */
STORE_FN struct vio_req *stack_reap(struct stack *s)
{
	struct vio_req *r;

	while (!vio_lane_reap(s->lane, &r, 1))
		assert_true(vio_poller_wait(s->poller, 1) >= 0);
	return r;
}

/* Submits r, waits for it, puts it back; its outcome. */
STORE_FN int stack_run(struct stack *s, struct vio_req *r)
{
	int res;

	stack_submit(s, r);
	assert_ptr_equal(stack_reap(s), r);
	res = r->res;
	vio_req_put(s->pool, r);
	return res;
}

STORE_FN int stack_io(struct stack *s, enum vio_op op, uint64_t offset, void *buf, uint64_t len)
{
	return stack_run(s, stack_req(s, op, offset, buf, len));
}

/* Reproducible bytes. */
STORE_FN void fill(void *to, size_t len, uint64_t seed)
{
	unsigned char *p = to;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (unsigned char)(seed >> 56);
	}
}

#endif
