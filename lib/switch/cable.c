/* SPDX-License-Identifier: MIT */
#include "switch/cable.h"

#include "switch/switch.h"

#define CABLE_BATCH 32u

static void cable_rest(struct cable *c, struct vio_req *r)
{
	r->op = VIO_OP_RECV;
	r->flags = c->takes;
	r->offload = (struct vio_offload){ 0 };
	r->iov[0].iov_len = CABLE_ROOM;
	r->niov = 1;
	vio_reqs_push(&c->idle, r);
}

static unsigned cable_sent(struct cable *c)
{
	struct vio_req *r[CABLE_BATCH];
	unsigned n = c->sending ? vio_lane_reap(c->to, r, CABLE_BATCH) : 0;

	c->sending -= n;
	for (unsigned i = 0; i < n; i++)
		cable_rest(c, r[i]);
	return n;
}

static unsigned cable_received(struct cable *c)
{
	struct vio_req *r[CABLE_BATCH];
	unsigned n = c->receiving ? vio_lane_reap(c->from, r, CABLE_BATCH) : 0;

	c->receiving -= n;
	for (unsigned i = 0; i < n; i++) {
		if (r[i]->res != 1 || r[i]->len > CABLE_ROOM) { /* an end in trouble */
			cable_rest(c, r[i]);
			continue;
		}
		r[i]->op = VIO_OP_SEND;
		r[i]->iov[0].iov_len = r[i]->len;
		vio_reqs_push(&c->ready, r[i]);
	}
	return n;
}

static unsigned cable_pop(struct vio_reqs *from, struct vio_req **r, unsigned room)
{
	unsigned n = 0;

	room = VIO_MIN(room, CABLE_BATCH);
	while (n < room && (r[n] = vio_reqs_pop(from)))
		n++;
	return n;
}

static unsigned cable_send(struct cable *c)
{
	struct vio_req *r[CABLE_BATCH];
	unsigned n = c->ready.head ? cable_pop(&c->ready, r, vio_lane_room(c->to)) : 0;

	c->sending += n;
	if (n)
		vio_lane_submit(c->to, r, n);
	return n;
}

/* As many as fit: at first that is all of them. */
static void cable_receive(struct cable *c)
{
	struct vio_req *r[CABLE_BATCH];
	unsigned n;

	while (c->idle.head && (n = cable_pop(&c->idle, r, vio_lane_room(c->from)))) {
		c->receiving += n;
		vio_lane_submit(c->from, r, n);
	}
}

static void cable_recall(struct cable *c)
{
	struct vio_req *r[CABLE_BATCH];
	struct vio_req *ready;
	unsigned n;

	while (c->receiving && (n = vio_lane_recall(c->from, r, CABLE_BATCH))) {
		c->receiving -= n;
		for (unsigned i = 0; i < n; i++)
			cable_rest(c, r[i]);
	}
	while ((ready = vio_reqs_pop(&c->ready)))
		cable_rest(c, ready);
}

unsigned cable_run(struct cable *c, bool leaving)
{
	unsigned n = cable_sent(c);

	n += cable_received(c);
	if (leaving)
		cable_recall(c);
	n += cable_send(c);
	if (!leaving)
		cable_receive(c);
	return n;
}

int cable_open(struct cable *c, uint8_t takes, char *buffers)
{
	struct vio_lane *wide = vio_lane_scratch(c->from) > vio_lane_scratch(c->to) ? c->from : c->to;
	int rc = vio_req_pool_new(&c->pool, wide, CABLE_BUFFERS, 1);

	if (rc)
		return rc;
	c->takes = takes;
	for (unsigned i = 0; i < CABLE_BUFFERS; i++) {
		struct vio_req *r = vio_req_get(c->pool);

		r->iov[0].iov_base = buffers + i * CABLE_ROOM;
		cable_rest(c, r);
	}
	return 0;
}

void cable_close(struct cable *c)
{
	struct vio_req *r;

	while ((r = vio_reqs_pop(&c->idle)))
		vio_req_put(c->pool, r);
	vio_req_pool_free(c->pool);
	vio_lane_free(c->from);
	vio_lane_free(c->to);
}
