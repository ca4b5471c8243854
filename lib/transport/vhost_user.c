/* SPDX-License-Identifier: MIT */
/* The vhost-user server's life: what it is made of, and how it ends. */
#include "transport/vhost_user_conn.h"

#include <stdlib.h>

#define RETRY_MS 1000
#define TIMEOUT_MS 5000

static void dispose(struct vio_vhost_user *t)
{
	door_dispose(&t->door);
	free(t->opts.pollers);
	free(t->rings);
	free(t);
}

/* The caller keeps nothing of what the options point to. */
static int copy_opts(struct vio_vhost_user *t)
{
	struct vio_vhost_user_opts *o = &t->opts;
	struct vio_poller **pollers = o->pollers;

	o->pollers = NULL;
	o->retry_ms = o->retry_ms ? o->retry_ms : RETRY_MS;
	o->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	if (o->client && !o->path)
		return vio__fail(EINVAL, "vio_vhost_user_opts.client needs a path to connect to");
	if (o->npollers && !pollers)
		return vio__fail(EINVAL, "vio_vhost_user_opts.npollers is %u, but pollers is NULL",
				 o->npollers);
	if (!o->npollers)
		return 0;
	o->pollers = calloc(o->npollers, sizeof(struct vio_poller *));
	if (!o->pollers)
		return vio__fail(ENOMEM, "no memory for %u pollers", o->npollers);
	memcpy(o->pollers, pollers, o->npollers * sizeof(struct vio_poller *));
	return 0;
}

static int make_rings(struct vio_vhost_user *t)
{
	t->nrings = vio_dev_queues(t->dev);
	t->rings = calloc(t->nrings, sizeof(*t->rings));
	if (!t->rings)
		return vio__fail(ENOMEM, "no memory for %u queues", t->nrings);
	for (unsigned i = 0; i < t->nrings; i++)
		vus_ring_init(&t->rings[i], t, i);
	return 0;
}

static bool came(struct door *d, int fd)
{
	struct vio_vhost_user *t = VIO_CONTAINER(d, struct vio_vhost_user, door);

	vus_open(t, fd);
	return t->phase != VUS_IDLE;
}

static int prepare(struct vio_vhost_user *t)
{
	const struct vio_vhost_user_opts *o = &t->opts;
	int err = door_init(&t->door, t->poller, o->path);

	t->opts.path = t->door.path;
	err = err ? err : copy_opts(t);
	err = err ? err : make_rings(t);
	if (err)
		return err;
	t->door.protocol = "vhost-user";
	t->door.peer = "front end";
	t->door.dials = o->client;
	t->door.retry_ns = o->retry_ms * 1000000ull;
	t->door.came = came;
	t->door.connected = o->connected;
	t->door.ctx = o->ctx;
	vus_prepare(t);
	return door_open(&t->door, o->fd);
}

int vio_vhost_user_new(struct vio_vhost_user **out, struct vio_poller *p, struct vio_dev *d,
		       const struct vio_vhost_user_opts *opts)
{
	struct vio_vhost_user *t;
	int err;

	*out = NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return vio__fail(ENOMEM, "no memory for a vhost-user transport");
	t->poller = p;
	t->dev = d;
	t->backend_req = -1;
	err = vio__opts(&t->opts, sizeof(t->opts), opts, "vio_vhost_user_opts");
	if (err) {
		free(t);
		return err;
	}
	err = prepare(t);
	if (err) {
		dispose(t);
		return err;
	}
	vio_dev_on_config(d, vus_config_changed, t);
	*out = t;
	return 0;
}

void vio_vhost_user_stop(struct vio_vhost_user *t, void (*done)(void *ctx), void *ctx)
{
	if (door_stop(&t->door, t->phase == VUS_IDLE, done, ctx))
		vus_run(t);
}

void vio_vhost_user_free(struct vio_vhost_user *t)
{
	if (!t)
		return;
	vio_dev_on_config(t->dev, NULL, NULL);
	dispose(t);
}
