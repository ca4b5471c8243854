/* SPDX-License-Identifier: MIT */
/*
 * Another backend on a port: for each of its pairs two patch cables, in and out, whose
 * buffers are our own. The backend may share them with a peer of its own.
 */
#include "switch/switch.h"
#include "switch/cable.h"

struct sw_attach {
	struct vio_switch_port *port;
	struct vio_backend *backend;
	struct vio_poller *poller;
	struct vio_mem *mem; /* the buffers of all cables */
	struct vio_task task;
	bool leaving, orphan; /* orphan: the port is freed with it */
	struct sw_attach *next;
	unsigned ncables;
	struct cable cable[]; /* a pair's are neighbours: into the switch, and out of it */
};

static unsigned attach_pass(struct sw_attach *a)
{
	unsigned n = 0;

	for (unsigned i = 0; i < a->ncables; i++)
		n += cable_run(&a->cable[i], a->leaving);
	return n;
}

static bool attach_over(const struct sw_attach *a)
{
	for (unsigned i = 0; i < a->ncables; i++)
		if (!cable_idle(&a->cable[i]))
			return false;
	return a->leaving;
}

static void attach_close(struct sw_attach *a)
{
	for (unsigned i = 0; i < a->ncables; i++)
		cable_close(&a->cable[i]);
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
	unsigned n = attach_pass(a);

	(void)budget;
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

static int attach_lane(struct sw_attach *a, struct vio_lane **l, struct vio_backend *b, unsigned pair,
		       bool recv)
{
	VIO_OPTS(vio_lane_opts, o, .mem = a->mem, .recv = recv, .pair = (uint16_t)pair);
	int rc = vio_lane_new(l, b, a->poller, &o);

	for (struct vio_lane *layer = rc ? NULL : *l; layer; layer = layer->next)
		layer->task = &a->task;
	return rc;
}

static int attach_cable(struct sw_attach *a, unsigned i, struct vio_backend *from, struct vio_backend *to,
			uint8_t takes)
{
	struct cable *c = &a->cable[i];
	struct vio_mem_region r;
	int rc = attach_lane(a, &c->from, from, i / 2, true);

	vio_mem_get(a->mem, 0, &r);
	rc = rc ? rc : attach_lane(a, &c->to, to, i / 2, false);
	return rc ? rc : cable_open(c, takes, (char *)r.ptr + i * CABLE_BYTES);
}

static int attach_open(struct sw_attach *a, uint8_t takes)
{
	struct vio_backend *ours = a->port->backend;
	int rc = vio_mem_alloc(&a->mem, 0, a->ncables * CABLE_BYTES);

	for (unsigned i = 0; !rc && i < a->ncables; i += 2) {
		rc = attach_cable(a, i, a->backend, ours, takes);
		rc = rc ? rc : attach_cable(a, i + 1, ours, a->backend, takes);
	}
	return rc;
}

static int attach_check(const struct vio_backend *b, const struct vio_backend_info *i)
{
	const uint32_t ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;

	if ((i->ops & ops) != ops)
		return vio__fail(EINVAL, "switch: %s is no port: it does not send and receive packets",
				 b->type->name);
	if (i->pairs > SW_PAIRS)
		return vio__fail(EINVAL, "switch: %s has %u pairs, at most %u can be attached", b->type->name,
				 i->pairs, SW_PAIRS);
	return 0;
}

static struct sw_attach *attach_new(struct vio_switch_port *p, struct vio_backend *b, struct vio_poller *r,
				    unsigned pairs)
{
	struct sw_attach *a = calloc(1, sizeof(*a) + 2 * pairs * sizeof(a->cable[0]));

	if (!a) {
		vio__fail(ENOMEM, "switch: out of memory for an attached backend");
		return NULL;
	}
	a->task = (struct vio_task){ .run = attach_run, .arm = attach_arm };
	a->port = p;
	a->poller = r;
	a->backend = b;
	a->ncables = 2 * pairs;
	vio__backend_ref(b);
	return a;
}

int vio_switch_port_attach(struct vio_switch_port *p, struct vio_backend *b, struct vio_poller *r)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct sw_attach *a;
	int rc;

	if (p->attach || p->lanes)
		return vio__fail(EBUSY, "switch: port '%s' is in use already", p->name);
	rc = vio_backend_info(b, &i);
	rc = rc ? rc : attach_check(b, &i);
	if (rc)
		return rc;
	a = attach_new(p, b, r, VIO_MAX(i.pairs, 1u));
	if (!a)
		return -ENOMEM;
	rc = attach_open(a, i.offloads);
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
	attach_pass(a);
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
