/* SPDX-License-Identifier: MIT */
/*
 * For those who write a backend or a filter. A filter is a backend over a backend
 * that implements only what it changes: a NULL method means "as the next layer",
 * and costs nothing. An end must have info, submit and reap.
 */
#ifndef VIRTIO_OFFLOAD_IMPL_BACKEND_H
#define VIRTIO_OFFLOAD_IMPL_BACKEND_H

#include <virtio-offload/backend.h>
#include <virtio-offload/impl/poll.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The shared object; the type's `priv` bytes, zeroed, are at priv. */
struct vio_backend {
	const struct vio_backend_type *type;
	struct vio_backend *next;	/* the layer beneath; NULL for an end */
	struct vio_scope *scope;
	void *priv;
	/* the library's own follows */
};

/* One thread's way in; the type's `lane_priv` bytes, zeroed, are at priv. */
struct vio_lane {
	const struct vio_backend_type *type;
	struct vio_backend *backend;
	struct vio_lane *next;		/* the layer beneath; NULL for an end */
	/* The nearest layer from here down that has the method; set by the library. */
	struct vio_lane *room_at, *submit_at, *reap_at;
	struct vio_poller *poller;
	struct vio_mem *mem;		/* as vio_lane_opts.mem */
	void *priv;
	unsigned scratch;		/* where a request's scratch for this layer starts */
	struct vio_task *task;		/* who reaps; woken by vio_lane_wake. NULL: the embedder itself */
	struct vio_lane *recall_at;	/* as submit_at */
	unsigned pair;			/* as vio_lane_opts has them */
	bool recv;
	/* the library's own follows */
};

#define VIO_BACKEND_FILTER 1u		/* needs a next layer; an end refuses one */

/* Append-only: a library newer than the writer reads sz. */
struct vio_backend_type {
	size_t sz;
	const char *name;
	const char *help;		/* its arguments, one line: "PATH[,direct=on|off]: a file" */
	unsigned flags;			/* VIO_BACKEND_* */
	unsigned priv, lane_priv;	/* bytes, zeroed before open and lane_open */
	unsigned scratch;		/* bytes a request, 8-aligned, not zeroed */

	int (*open)(struct vio_backend *b, const char *arg);	/* may run in any thread */
	void (*close)(struct vio_backend *b);	/* only after an open that succeeded */
	/* A filter gets the next layer's answer to change; an end gets zeroes. */
	int (*info)(struct vio_backend *b, struct vio_backend_info *i);
	int (*lane_open)(struct vio_lane *l);	/* next's lane is open already */
	void (*lane_close)(struct vio_lane *l);	/* only after a lane_open that succeeded */

	unsigned (*room)(struct vio_lane *l);
	/* n is at most room. Each request comes out of reap once, never before submit has returned. */
	void (*submit)(struct vio_lane *l, struct vio_req **r, unsigned n);
	unsigned (*reap)(struct vio_lane *l, struct vio_req **r, unsigned n);

	void (*stats)(struct vio_backend *b,
		      void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value), void *ctx);

	/* Up to n RECVs that no packet has begun to fill: the newest, in the order they were submitted. An end
	 * that takes RECV must have it. */
	unsigned (*recall)(struct vio_lane *l, struct vio_req **r, unsigned n);

	/* As vio_backend_steer, which has checked s against info; a port whose info says that it steers must have it. */
	int (*steer)(struct vio_backend *b, const struct vio_steer *s);

	/* As vio_backend_erase, for a layer whose info says crypto_erase. A filter that shows a part only says that it can't. */
	int (*erase)(struct vio_backend *b);
};

static inline void *vio_req_scratch(const struct vio_lane *l, struct vio_req *r)
{
	return (char *)r + l->scratch;
}

/* How a filter reaches the layer beneath it. */
static inline unsigned vio_next_room(struct vio_lane *l)
{
	l = l->next->room_at;
	return l ? l->type->room(l) : 65535u;
}

static inline void vio_next_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	l = l->next->submit_at;
	l->type->submit(l, r, n);
}

static inline unsigned vio_next_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	l = l->next->reap_at;
	return l->type->reap(l, r, n);
}

/* Completions wait in l although its poller's task may be asleep. */
static inline void vio_lane_wake(struct vio_lane *l)
{
	if (l->task)
		vio_task_wake(l->poller, l->task);
}

/* A list of requests, first in, first out, through their next. */
struct vio_reqs {
	struct vio_req *head, *tail;
};

static inline void vio_reqs_push(struct vio_reqs *s, struct vio_req *r)
{
	r->next = NULL;
	if (s->head)
		s->tail->next = r;
	else
		s->head = r;
	s->tail = r;
}

static inline struct vio_req *vio_reqs_pop(struct vio_reqs *s)
{
	struct vio_req *r = s->head;

	if (r)
		s->head = r->next;
	return r;
}

#ifdef __cplusplus
}
#endif
#endif
