/* SPDX-License-Identifier: MIT */
/*
 * Another backend on a port: a patch cable. What the one end receives the other sends, both
 * ways, in buffers of our own, which it may share with a peer of its own. The two requests of
 * a packet are one and the same: a RECV on one end, then a SEND on the other.
 */
#include "switch/switch.h"
#include "backend/backend.h"

#define ATTACH_BUFFERS 128u /* each way */
#define ATTACH_BATCH 32u
#define ATTACH_ROOM ((size_t)RECV_FRAME_MAX + VIO_CACHELINE - RECV_FRAME_MAX % VIO_CACHELINE)

/* One way. A request is with `from`, with `to`, or in a list. */
struct attach_way {
	struct vio_lane *from, *to;
	struct vio_req_pool *pool;
	uint8_t takes;
	unsigned receiving, sending;
	struct vio_reqs idle, ready;
};

struct sw_attach {
	struct vio_switch_port *port;
	struct vio_backend *backend;
	struct vio_poller *poller;
	struct vio_mem *mem; /* the buffers of both ways */
	struct vio_task task;
	struct attach_way in, out;
	bool leaving, orphan; /* orphan: the port is freed with it */
	struct sw_attach *next;
};

static void way_rest(struct attach_way *w, struct vio_req *r)
{
	r->op = VIO_OP_RECV;
	r->flags = w->takes;
	r->offload = (struct vio_offload){ 0 };
	r->iov[0].iov_len = ATTACH_ROOM;
	r->niov = 1;
	vio_reqs_push(&w->idle, r);
}

static unsigned way_sent(struct attach_way *w)
{
	struct vio_req *r[ATTACH_BATCH];
	unsigned n = w->sending ? vio_lane_reap(w->to, r, ATTACH_BATCH) : 0;

	w->sending -= n;
	for (unsigned i = 0; i < n; i++)
		way_rest(w, r[i]);
	return n;
}

static unsigned way_received(struct attach_way *w)
{
	struct vio_req *r[ATTACH_BATCH];
	unsigned n = w->receiving ? vio_lane_reap(w->from, r, ATTACH_BATCH) : 0;

	w->receiving -= n;
	for (unsigned i = 0; i < n; i++) {
		if (r[i]->res != 1 || r[i]->len > ATTACH_ROOM) { /* an end in trouble */
			way_rest(w, r[i]);
			continue;
		}
		r[i]->op = VIO_OP_SEND;
		r[i]->iov[0].iov_len = r[i]->len;
		vio_reqs_push(&w->ready, r[i]);
	}
	return n;
}

static unsigned way_pop(struct vio_reqs *from, struct vio_req **r, unsigned room)
{
	unsigned n = 0;

	room = VIO_MIN(room, ATTACH_BATCH);
	while (n < room && (r[n] = vio_reqs_pop(from)))
		n++;
	return n;
}

static unsigned way_send(struct attach_way *w)
{
	struct vio_req *r[ATTACH_BATCH];
	unsigned n = w->ready.head ? way_pop(&w->ready, r, vio_lane_room(w->to)) : 0;

	w->sending += n;
	if (n)
		vio_lane_submit(w->to, r, n);
	return n;
}

/* As many as fit: at first that is all of them. */
static void way_receive(struct attach_way *w)
{
	struct vio_req *r[ATTACH_BATCH];
	unsigned n;

	while (w->idle.head && (n = way_pop(&w->idle, r, vio_lane_room(w->from)))) {
		w->receiving += n;
		vio_lane_submit(w->from, r, n);
	}
}

static void way_recall(struct attach_way *w)
{
	struct vio_req *r[ATTACH_BATCH];
	struct vio_req *ready;
	unsigned n;

	while (w->receiving && (n = vio_lane_recall(w->from, r, ATTACH_BATCH))) {
		w->receiving -= n;
		for (unsigned i = 0; i < n; i++)
			way_rest(w, r[i]);
	}
	while ((ready = vio_reqs_pop(&w->ready)))
		way_rest(w, ready);
}

static unsigned way_run(struct attach_way *w, bool leaving)
{
	unsigned n = way_sent(w);

	n += way_received(w);
	if (leaving)
		way_recall(w);
	n += way_send(w);
	if (!leaving)
		way_receive(w);
	return n;
}

static bool attach_over(const struct sw_attach *a)
{
	return a->leaving && !a->in.receiving && !a->in.sending && !a->out.receiving && !a->out.sending;
}

static int way_open(struct attach_way *w, uint8_t takes, char *buffers)
{
	struct vio_lane *wide = vio_lane_scratch(w->from) > vio_lane_scratch(w->to) ? w->from : w->to;
	int rc = vio_req_pool_new(&w->pool, wide, ATTACH_BUFFERS, 1);

	if (rc)
		return rc;
	w->takes = takes;
	for (unsigned i = 0; i < ATTACH_BUFFERS; i++) {
		struct vio_req *r = vio_req_get(w->pool);

		r->iov[0].iov_base = buffers + i * ATTACH_ROOM;
		way_rest(w, r);
	}
	return 0;
}

static void way_close(struct attach_way *w)
{
	struct vio_req *r;

	while ((r = vio_reqs_pop(&w->idle)))
		vio_req_put(w->pool, r);
	vio_req_pool_free(w->pool);
	vio_lane_free(w->from);
	vio_lane_free(w->to);
}

static void attach_close(struct sw_attach *a)
{
	way_close(&a->in);
	way_close(&a->out);
	vio_backend_free(a->backend);
	vio_mem_free(a->mem);
	if (a->orphan)
		sw_port_destroy(a->port);
	free(a);
}

static void attach_unlist(struct sw_attach *a)
{
	struct vio_switch *sw = a->port->sw;
	struct sw_attach **at = &sw->leaving;

	pthread_mutex_lock(&sw->lock);
	while (*at && *at != a)
		at = &(*at)->next;
	if (*at)
		*at = a->next;
	pthread_mutex_unlock(&sw->lock);
}

static unsigned attach_run(struct vio_task *t, unsigned budget)
{
	struct sw_attach *a = VIO_CONTAINER(t, struct sw_attach, task);
	unsigned n = way_run(&a->in, a->leaving);

	(void)budget;
	n += way_run(&a->out, a->leaving);
	if (attach_over(a)) {
		vio_task_del(a->poller, &a->task);
		attach_unlist(a);
		attach_close(a);
	}
	return n;
}

/* What happens in either lane wakes us. */
static bool attach_arm(struct vio_task *t, bool on)
{
	(void)t, (void)on;
	return false;
}

static int attach_lane(struct sw_attach *a, struct vio_lane **l, struct vio_backend *b, bool recv)
{
	VIO_OPTS(vio_lane_opts, o, .mem = a->mem, .recv = recv);
	int rc = vio_lane_new(l, b, a->poller, &o);

	for (struct vio_lane *layer = rc ? NULL : *l; layer; layer = layer->next)
		layer->task = &a->task;
	return rc;
}

static int attach_buffers(struct sw_attach *a, uint8_t takes)
{
	struct vio_mem_region r;
	int rc;

	vio_mem_get(a->mem, 0, &r);
	rc = way_open(&a->in, takes, r.ptr);
	return rc ? rc : way_open(&a->out, takes, (char *)r.ptr + ATTACH_BUFFERS * ATTACH_ROOM);
}

static int attach_open(struct sw_attach *a)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct vio_backend *ours = a->port->backend;
	uint32_t ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	int rc = vio_backend_info(a->backend, &i);

	if (!rc && (i.ops & ops) != ops)
		rc = vio__fail(EINVAL, "switch: %s is no port: it does not send and receive packets",
			       a->backend->type->name);
	rc = rc ? rc : vio_mem_alloc(&a->mem, 0, 2 * ATTACH_BUFFERS * ATTACH_ROOM);
	rc = rc ? rc : attach_lane(a, &a->in.from, a->backend, true);
	rc = rc ? rc : attach_lane(a, &a->in.to, ours, false);
	rc = rc ? rc : attach_lane(a, &a->out.from, ours, true);
	rc = rc ? rc : attach_lane(a, &a->out.to, a->backend, false);
	return rc ? rc : attach_buffers(a, i.offloads);
}

int vio_switch_port_attach(struct vio_switch_port *p, struct vio_backend *b, struct vio_poller *r)
{
	struct sw_attach *a;
	int rc;

	if (p->attach || p->lanes)
		return vio__fail(EBUSY, "switch: port '%s' is in use already", p->name);
	a = calloc(1, sizeof(*a));
	if (!a)
		return vio__fail(ENOMEM, "switch: out of memory for an attached backend");
	a->task = (struct vio_task){ .run = attach_run, .arm = attach_arm };
	a->port = p;
	a->poller = r;
	a->backend = b;
	vio__backend_ref(b);
	rc = attach_open(a);
	if (rc) {
		attach_close(a);
		return rc;
	}
	p->attach = a;
	vio_task_add(r, &a->task);
	return 0;
}

/* Lets go at once if nothing is under way; else as soon as its poller has seen all come back. */
bool sw_detach(struct vio_switch_port *p)
{
	struct sw_attach *a = p->attach;

	if (!a)
		return true;
	a->leaving = true;
	way_run(&a->in, true);
	way_run(&a->out, true);
	if (attach_over(a)) {
		vio_task_del(a->poller, &a->task);
		attach_close(a);
		return true;
	}
	a->orphan = true;
	pthread_mutex_lock(&p->sw->lock);
	a->next = p->sw->leaving;
	p->sw->leaving = a;
	pthread_mutex_unlock(&p->sw->lock);
	vio_task_wake(a->poller, &a->task);
	return false;
}

void sw_attach_end(struct vio_switch *sw)
{
	struct sw_attach *a;

	while ((a = sw->leaving)) {
		vio_task_wake(a->poller, &a->task);
		if (vio_poller_wait(a->poller, 10) < 0)
			return;
	}
}
