/* SPDX-License-Identifier: MIT */
/* A block device over a stack, its queue 0 started on hand-written rings, all in one thread. */
#ifndef TESTS_BLK_GUEST_H
#define TESTS_BLK_GUEST_H

#include "ring_guest.h"

#include <virtio-offload.h>

#include <errno.h>
#include <linux/virtio_blk.h>

struct blk_guest {
	struct ring_guest g;
	struct vio_poller *poller;
	struct vio_backend *backend;
	struct vio_dev *dev;
	bool started, stopped;
	int err;
	struct vio_queue_state state;
};

/* What one request looks like to its driver. */
struct blk_ask {
	uint32_t type;
	uint64_t sector;
	const void *out; /* data to the device, or NULL */
	uint32_t nout;
	uint32_t nin; /* bytes that the device may write before the status */
};

#define BLK_AT (RG_AT + RG_DATA) /* the requests' bytes: readable ones, then, from BLK_IN, writable ones */
#define BLK_IN (BLK_AT + 0x40000)

RG_FN void blk_started(void *ctx, int err, const char *sentence)
{
	struct blk_guest *b = ctx;

	(void)sentence;
	b->started = true;
	b->err = err;
}

RG_FN void blk_stopped(void *ctx, int err, const struct vio_queue_state *state)
{
	struct blk_guest *b = ctx;

	b->stopped = true;
	b->err = err;
	b->state = *state;
}

/* 0, or what failed. arg is the device's; features beside those of the ring are all that it offers. */
RG_FN int blk_open(struct blk_guest *b, uint64_t ring, unsigned size, const char *stack, const char *arg)
{
	const uint64_t others = VIO_BIT(VIRTIO_F_RING_PACKED) | VIO_BIT(VIRTIO_RING_F_EVENT_IDX) |
				VIO_BIT(VIRTIO_F_IN_ORDER) | VIO_BIT(VIRTIO_F_NOTIFICATION_DATA);
	VIO_OPTS(vio_vq_opts, o, .size = size, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = -1, .notify = rg_notified,
		 .notify_ctx = &b->g);
	int rc;

	memset(b, 0, sizeof(*b));
	rc = rg_open(&b->g, ring, size);
	rc = rc ? rc : vio_poller_new(&b->poller, NULL);
	rc = rc ? rc : vio_backend_parse(&b->backend, NULL, stack);
	rc = rc ? rc : vio_dev_new(&b->dev, vio_dev_blk(), b->backend, arg);
	rc = rc ? rc : vio_dev_set_features(b->dev, ring | (vio_dev_features(b->dev) & ~others));
	if (rc)
		return rc;
	o.mem = b->g.mem;
	vio_vq_start(b->dev, 0, b->poller, &o, b->poller, blk_started, b);
	while (!b->started)
		vio_poller_wait(b->poller, 100);
	return b->err;
}

RG_FN void blk_close(struct blk_guest *b)
{
	vio_vq_stop(b->dev, 0, b->poller, blk_stopped, b);
	while (!b->stopped)
		vio_poller_wait(b->poller, 100);
	vio_dev_free(b->dev);
	vio_backend_free(b->backend);
	vio_poller_free(b->poller);
	rg_close(&b->g);
}

/* Posts a chain and waits for it: its used length, or -1 if it could not be posted. */
RG_FN int64_t blk_run(struct blk_guest *b, const struct rg_buf *bufs, unsigned n)
{
	uint32_t len = 0;
	int id = rg_post(&b->g, bufs, n);

	if (id < 0)
		return -1;
	vio_vq_kick(b->dev, 0);
	while (rg_reap(&b->g, &len) != id)
		vio_poller_wait(b->poller, 100);
	return len;
}

/* Writes the request's readable bytes to memory and makes its writable ones all `fill`. */
RG_FN void blk_lay(struct blk_guest *b, const struct blk_ask *a, uint8_t fill)
{
	struct virtio_blk_outhdr h = { .type = a->type, .sector = a->sector };

	memcpy(rg_ptr(&b->g, BLK_AT), &h, sizeof(h));
	if (a->out)
		memcpy(rg_ptr(&b->g, BLK_AT + sizeof(h)), a->out, a->nout);
	memset(rg_ptr(&b->g, BLK_IN), fill, a->nin + 1);
}

/* The usual framing: header, data, status. Returns the status; 0xee if none was written. */
RG_FN uint8_t blk_ask(struct blk_guest *b, const struct blk_ask *a)
{
	struct rg_buf bufs[3] = { { BLK_AT, sizeof(struct virtio_blk_outhdr), 0 } };
	unsigned n = 1;

	blk_lay(b, a, 0xee);
	if (a->nout)
		bufs[n++] = (struct rg_buf){ BLK_AT + 16, a->nout, 0 };
	if (a->nin)
		bufs[n++] = (struct rg_buf){ BLK_IN, a->nin, RG_WRITE };
	bufs[n++] = (struct rg_buf){ BLK_IN + a->nin, 1, RG_WRITE };
	blk_run(b, bufs, n);
	return *(uint8_t *)rg_ptr(&b->g, BLK_IN + a->nin);
}

RG_FN void *blk_data(struct blk_guest *b)
{
	return rg_ptr(&b->g, BLK_IN);
}

#endif
