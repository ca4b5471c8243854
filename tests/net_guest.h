/* SPDX-License-Identifier: MIT */
/*
 * A network device over a test's port, its queues started on hand-written rings, each with
 * memory of its own, all in one thread.
 */
#ifndef TESTS_NET_GUEST_H
#define TESTS_NET_GUEST_H

#include "net_port.h"
#include "ring_guest.h"

#include <virtio-offload.h>

#include <linux/virtio_net.h>
#include <stdio.h>

#define NET_GUEST_QUEUES 9u
#define NET_AT (RG_AT + RG_DATA) /* where a queue's packets lie */
#define NET_ROOM (RG_BYTES - RG_DATA)

#define NET_V1 VIO_BIT(VIRTIO_F_VERSION_1)
#define NET_PACKED VIO_BIT(VIRTIO_F_RING_PACKED)
#define NET_MERGE VIO_BIT(VIRTIO_NET_F_MRG_RXBUF)

struct net_guest {
	struct vio_poller *poller;
	struct vio_backend *backend;
	struct net_port *port;
	struct vio_dev *dev;
	struct net_guest_queue {
		struct ring_guest g;
		bool started, stopped, open;
		int err;
		struct vio_queue_state state;
		bool resumes; /* it starts with that state */
		struct vio_dirty *dirty; /* its next start logs what it writes */
		uint64_t dirty_device;
	} q[NET_GUEST_QUEUES];
};

RG_FN void net_started(void *ctx, int err, const char *sentence)
{
	struct net_guest_queue *q = ctx;

	if (err)
		fprintf(stderr, "%s\n", sentence);
	q->started = true;
	q->err = err;
}

RG_FN void net_stopped(void *ctx, int err, const struct vio_queue_state *state)
{
	struct net_guest_queue *q = ctx;

	q->stopped = true;
	q->err = err;
	if (state)
		q->state = *state;
}

/* The port, before there is a device on it. */
RG_FN int net_open(struct net_guest *n)
{
	int rc;

	memset(n, 0, sizeof(*n));
	rc = vio_poller_new(&n->poller, NULL);
	rc = rc ? rc : vio_backend_new(&n->backend, &net_port_type, NULL, NULL, NULL);
	if (!rc)
		n->port = n->backend->priv;
	return rc;
}

/* 0, or what failed. features: all that the driver accepts. */
RG_FN int net_device(struct net_guest *n, uint64_t features, const char *arg)
{
	int rc = vio_dev_new(&n->dev, vio_dev_net(), n->backend, arg);

	return rc ? rc : vio_dev_set_features(n->dev, features);
}

/* Starts a queue: anew, or where it stopped. */
RG_FN int net_start(struct net_guest *n, unsigned index, unsigned size)
{
	struct net_guest_queue *q = &n->q[index];
	VIO_OPTS(vio_vq_opts, o, .size = size, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = -1, .notify = rg_notified,
		 .notify_ctx = &q->g);
	int rc = q->open ? 0 : rg_open(&q->g, vio_dev_acked(n->dev), size);

	if (rc)
		return rc;
	q->open = true;
	o.mem = q->g.mem;
	o.state = q->resumes ? &q->state : NULL;
	o.dirty = q->dirty;
	o.dirty_device = q->dirty_device;
	q->started = false;
	vio_vq_start(n->dev, index, n->poller, &o, n->poller, net_started, q);
	while (!q->started)
		vio_poller_wait(n->poller, 100);
	return q->err;
}

RG_FN int net_stop(struct net_guest *n, unsigned index)
{
	struct net_guest_queue *q = &n->q[index];

	q->stopped = false;
	vio_vq_stop(n->dev, index, n->poller, net_stopped, q);
	while (!q->stopped)
		vio_poller_wait(n->poller, 100);
	q->resumes = true;
	return q->err;
}

RG_FN void net_close(struct net_guest *n)
{
	for (unsigned i = 0; i < NET_GUEST_QUEUES; i++) {
		if (!n->q[i].open)
			continue;
		net_stop(n, i); /* -ENOENT: the test has stopped it */
		rg_close(&n->q[i].g);
	}
	vio_dev_free(n->dev);
	vio_backend_free(n->backend);
	vio_poller_free(n->poller);
}

/* Lets the device do all that there is to do. */
RG_FN void net_pump(struct net_guest *n)
{
	for (unsigned i = 0; i < 4; i++)
		vio_poller_wait(n->poller, 0);
}

RG_FN struct ring_guest *net_ring(struct net_guest *n, unsigned index)
{
	return &n->q[index].g;
}

RG_FN void *net_ptr(struct net_guest *n, unsigned index, uint64_t offset)
{
	return rg_ptr(&n->q[index].g, NET_AT + offset);
}

/* Posts a chain and waits until it is used: its used length, or -1 if it could not be posted. */
RG_FN int64_t net_run(struct net_guest *n, unsigned index, const struct rg_buf *b, unsigned count)
{
	uint32_t len = 0;
	int id = rg_post(net_ring(n, index), b, count);

	if (id < 0)
		return -1;
	vio_vq_kick(n->dev, index);
	while (rg_reap(net_ring(n, index), &len) != id)
		vio_poller_wait(n->poller, 100);
	return len;
}

RG_FN struct vio_net_stats net_stats(struct net_guest *n)
{
	struct vio_net_stats s = { .sz = sizeof(s) };

	if (vio_net_stats(n->dev, 0, &s))
		abort();
	return s;
}

#endif
