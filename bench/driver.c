/* SPDX-License-Identifier: MIT */
/*
 * What does our own driving end cost? One thread plays both ends: the lane submits
 * a batch and reaps it, a device that only walks the ring answers in between. Only
 * the lane's calls are timed.
 */
#include "../tests/fake_server.h"
#include "drive.h"

#include <time.h>

#define ROUNDS 20000u

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void answer(struct fake *f, unsigned n)
{
	struct fake_req r;

	for (; n; n--) {
		if (!fake_take(f, 0, &r))
			abort();
		fake_use(f, 0, &r, VIRTIO_BLK_S_OK);
	}
}

/* Nanoseconds of the lane's two calls for a batch of n. */
static uint64_t round_trip(struct fake *f, struct drive *d, unsigned n)
{
	uint64_t t0 = now(), t1, t2;
	unsigned got = 0;

	vio_lane_submit(d->lane, d->r, n);
	t1 = now();
	answer(f, n);
	t2 = now();
	while (got < n)
		got += vio_lane_reap(d->lane, d->r + got, n - got);
	return now() - t2 + t1 - t0;
}

/* As a server that polls: no kicks, please. */
static void quiet(struct fake *f)
{
	struct vring_packed_desc_event *e = fake_at(f, f->addr[0].used, 4);

	if (f->packed)
		e->flags = htole16(VRING_PACKED_EVENT_FLAG_DISABLE);
}

static void measure(struct fake *f, struct drive *d, const char *format, unsigned n)
{
	static uint64_t took[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++)
		took[i] = round_trip(f, d, n);
	qsort(took, ROUNDS, sizeof(took[0]), by_value);
	printf("{\"figure\": \"driver.%s%s.ns\", \"value\": %.1f, \"unit\": \"ns\", \"median\": %.1f}\n",
	       format, n == 1 ? ".single" : "", (double)took[ROUNDS / 10] / n, (double)took[ROUNDS / 2] / n);
}

/* As drive_open, but polling, and in memory that the server shares. */
static void open_shared(struct drive *d, const char *stack, struct vio_mem *mem)
{
	VIO_OPTS(vio_poller_opts, po, .mode = VIO_POLL_BUSY);
	VIO_OPTS(vio_lane_opts, lo, .mem = mem);
	struct vio_mem_region m;

	drive_check(vio_mem_get(mem, 0, &m));
	drive_check(vio_poller_new(&d->poller, &po));
	drive_check(vio_backend_parse(&d->backend, NULL, stack));
	drive_check(vio_lane_new(&d->lane, d->backend, d->poller, &lo));
	drive_check(vio_req_pool_new(&d->pool, d->lane, DRIVE_BATCH, 1));
	for (unsigned i = 0; i < DRIVE_BATCH; i++) {
		d->r[i] = vio_req_get(d->pool);
		d->r[i]->op = VIO_OP_READ;
		d->r[i]->len = 4096;
		d->r[i]->niov = 1;
		d->r[i]->iov[0] = (struct iovec){ (char *)m.ptr + i * 4096, 4096 };
	}
}

static void bench(const char *format, const char *packed)
{
	struct fake f;
	struct drive d;
	struct vio_mem *mem;
	char stack[128];

	fake_init(&f);
	f.features |= VIO_BIT(VIRTIO_F_RING_PACKED) | VIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	fake_start(&f);
	snprintf(stack, sizeof(stack), "vhost_user:%s,packed=%s", f.path, packed);
	drive_check(vio_mem_alloc(&mem, 0, DRIVE_BATCH * 4096));
	open_shared(&d, stack, mem);
	quiet(&f);
	measure(&f, &d, format, DRIVE_BATCH);
	measure(&f, &d, format, 1);
	drive_close(&d);
	vio_mem_free(mem);
	fake_stop(&f);
}

int main(void)
{
	bench("split", "off");
	bench("packed", "on");
	return 0;
}
