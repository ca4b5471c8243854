/* SPDX-License-Identifier: MIT */
/* A stack driven without a queue on one thread, in batches of 32. */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include <stdio.h>
#include <stdlib.h>
#include <virtio-offload.h>

#define DRIVE_BATCH 32u

struct drive {
	struct vio_poller *poller;
	struct vio_backend *backend;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	struct vio_req *r[DRIVE_BATCH];
};

static inline void drive_check(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s\n", vio_errmsg());
	exit(1);
}

/* Owns backend. Requests of `len` bytes each, one after another in buf. */
static inline void drive_open(struct drive *d, struct vio_backend *backend, unsigned char *buf, uint64_t len)
{
	d->backend = backend;
	drive_check(vio_poller_new(&d->poller, NULL));
	drive_check(vio_lane_new(&d->lane, backend, d->poller, NULL));
	drive_check(vio_req_pool_new(&d->pool, d->lane, DRIVE_BATCH, 1));
	for (unsigned i = 0; i < DRIVE_BATCH; i++) {
		d->r[i] = vio_req_get(d->pool);
		d->r[i]->offset = i * len;
		d->r[i]->len = len;
		d->r[i]->iov[0] = (struct iovec){ buf + i * len, len };
		d->r[i]->niov = 1;
	}
}

static inline void drive_batch(struct drive *d, enum vio_op op)
{
	unsigned got = 0, room = vio_lane_room(d->lane);

	if (room < DRIVE_BATCH)
		abort();
	for (unsigned i = 0; i < DRIVE_BATCH; i++)
		d->r[i]->op = op;
	vio_lane_submit(d->lane, d->r, DRIVE_BATCH);
	while (got < DRIVE_BATCH)
		got += vio_lane_reap(d->lane, d->r + got, DRIVE_BATCH - got);
}

static inline void drive_close(struct drive *d)
{
	for (unsigned i = 0; i < DRIVE_BATCH; i++)
		vio_req_put(d->pool, d->r[i]);
	vio_req_pool_free(d->pool);
	vio_lane_free(d->lane);
	vio_backend_free(d->backend);
	vio_poller_free(d->poller);
}

#endif
