/* SPDX-License-Identifier: MIT */
/*
 * Both ends of a ring against each other, each of which sleeps whenever it may:
 * every chain arrives as it was posted, comes back once, and nobody oversleeps.
 */
#include "backend/vring_driver.h"

#include <virtio-offload/queue.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define GUEST 0x100000ull
#define SLOTS 128u
#define TABLE 10u
#define CHAINS 60000u

struct end {
	bool awake;
	unsigned wakes;
};

struct pair {
	struct vio_mem *mem;
	char *base;
	struct vring_driver drv;
	uint8_t per_slot[SLOTS];
	struct vio_queue *queue;
	struct vio_req *taken[SLOTS];
	unsigned ntaken;
	bool busy[SLOTS];
	uint32_t written[SLOTS]; /* what each chain in flight carries */
	unsigned posted, reaped, size;
	struct end driver, server;
	uint64_t seed;
};

static unsigned dice(struct pair *p, unsigned n)
{
	p->seed = p->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(p->seed >> 33) % n;
}

/* Memory: rings, then headers, status bytes, tables and data of all slots. */
enum {
	AT_DRIVER = 0x4000,
	AT_DEVICE = 0x6000,
	AT_HEADER = 0x8000,
	AT_STATUS = 0x9000,
	AT_TABLE = 0xa000,
	AT_DATA = 0x20000,
	AT_END = 0x80000
};

static void notify(void *ctx)
{
	struct pair *p = ctx;

	p->driver.awake = true;
	p->driver.wakes++;
}

static void pair_open(struct pair *p, bool packed, bool event_idx, unsigned size, uint64_t seed)
{
	uint64_t features = VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
			    (packed ? VIO_BIT(VIRTIO_F_RING_PACKED) : 0) |
			    (event_idx ? VIO_BIT(VIRTIO_RING_F_EVENT_IDX) : 0);
	VIO_OPTS(vio_queue_opts, o, .size = size, .features = features, .desc = GUEST,
		 .driver = GUEST + AT_DRIVER, .device = GUEST + AT_DEVICE, .notify = notify, .notify_ctx = p);

	memset(p, 0, sizeof(*p));
	assert_int_equal(vio_mem_alloc(&p->mem, GUEST, AT_END), 0);
	p->base = vio_mem_ptr(p->mem, GUEST, AT_END);
	p->seed = seed;
	p->size = size;
	p->drv.packed = packed;
	if (packed) {
		p->drv.p = (struct vring_packed){ .desc = (void *)p->base,
						  .driver = (void *)(p->base + AT_DRIVER),
						  .device = (void *)(p->base + AT_DEVICE),
						  .span = p->per_slot,
						  .header = GUEST + AT_HEADER,
						  .status = GUEST + AT_STATUS,
						  .size = (uint16_t)size,
						  .slots = (uint16_t)(size / 3),
						  .event_idx = event_idx };
		vring_packed_start(&p->drv.p);
	} else {
		p->drv.s = (struct vring_split){ .desc = (void *)p->base,
						 .avail = (void *)(p->base + AT_DRIVER),
						 .used = (void *)(p->base + AT_DEVICE),
						 .shape = p->per_slot,
						 .header = GUEST + AT_HEADER,
						 .status = GUEST + AT_STATUS,
						 .size = (uint16_t)size,
						 .slots = (uint16_t)(size / 3),
						 .event_idx = event_idx };
		vring_split_start(&p->drv.s, 0);
	}
	o.mem = p->mem;
	if (vio_queue_new(&p->queue, &o))
		fail_msg("%s", vio_errmsg());
	p->driver.awake = p->server.awake = true;
}

static void pair_close(struct pair *p)
{
	vio_queue_free(p->queue);
	vio_mem_free(p->mem);
}

static struct vring_seg data_seg(unsigned slot, unsigned i)
{
	return (struct vring_seg){ GUEST + AT_DATA + (slot * TABLE + i) * 64, 64 };
}

/* A chain of a random shape. Its header tells the slot and how many pieces there are. */
static void post(struct pair *p, unsigned slot)
{
	unsigned n = dice(p, 4) ? 1 : dice(p, TABLE - 2);
	bool in = dice(p, 2);
	struct vring_seg seg[TABLE];
	uint32_t *header = (uint32_t *)(p->base + AT_HEADER + 16 * slot);

	header[0] = slot;
	header[1] = n;
	header[2] = in;
	header[3] = p->posted;
	p->written[slot] = p->posted;
	for (unsigned i = 0; i < n; i++)
		seg[i] = data_seg(slot, i);
	if (n == 0)
		vring_post_bare(&p->drv, slot);
	else if (n == 1)
		vring_post(&p->drv, slot, seg[0], in, p->drv.packed);
	else
		vring_post_table(&p->drv, slot, p->base + AT_TABLE + slot * 16 * TABLE,
				 GUEST + AT_TABLE + slot * 16 * TABLE, seg, n, in);
	p->busy[slot] = true;
	p->posted++;
}

static void driver_post(struct pair *p)
{
	unsigned want = dice(p, p->size / 3 + 1);

	for (unsigned slot = 0; slot < p->size / 3 && want && p->posted < CHAINS; slot++) {
		if (p->busy[slot])
			continue;
		post(p, slot);
		want--;
	}
	if (vring_publish(&p->drv, p->drv.packed)) {
		p->server.awake = true;
		p->server.wakes++;
	}
}

static unsigned driver_reap(struct pair *p)
{
	unsigned n = 0;
	int have;

	while ((have = vring_pending(&p->drv, p->drv.packed)) > 0) {
		uint32_t slot = vring_next(&p->drv, p->drv.packed);
		uint32_t *header = (uint32_t *)(p->base + AT_HEADER + 16 * slot);

		assert_true(slot < p->size / 3 && p->busy[slot]);
		assert_int_equal(header[3], p->written[slot]);
		assert_int_equal(p->base[AT_STATUS + slot], (char)header[3]);
		vring_consume(&p->drv, slot, p->drv.packed);
		p->busy[slot] = false;
		p->reaped++;
		n++;
	}
	assert_int_equal(have, 0);
	return n;
}

static void driver_turn(struct pair *p)
{
	if (!p->driver.awake)
		return;
	vring_arm(&p->drv, false);
	if (driver_reap(p) + dice(p, 3) == 0)
		p->driver.awake = vring_arm(&p->drv, true);
}

/* The chain is what the driver meant; its status is the low byte of its number. */
static void check(struct pair *p, struct vio_req *r)
{
	const uint32_t *header = r->buf[0].iov_base;
	unsigned slot = header[0], n = header[1], in = header[2];

	assert_int_equal(r->nout, 1 + (in ? 0 : n));
	assert_int_equal(r->nin, 1 + (in ? n : 0));
	assert_int_equal(header[3], p->written[slot]);
	for (unsigned i = 0; i < n; i++)
		assert_ptr_equal(r->buf[1 + i].iov_base, p->base + (data_seg(slot, i).addr - GUEST));
	*(char *)r->buf[r->nout + r->nin - 1].iov_base = (char)header[3];
	r->written = 1;
}

static void server_give(struct pair *p, unsigned n)
{
	while (n--) {
		unsigned i = dice(p, p->ntaken);

		vio_queue_give(p->queue, &p->taken[i], 1);
		p->taken[i] = p->taken[--p->ntaken];
	}
	vio_queue_flush(p->queue);
}

static void server_turn(struct pair *p)
{
	int n;

	if (!p->server.awake) {
		server_give(p, p->ntaken ? dice(p, p->ntaken + 1) : 0); /* completions come by themselves */
		return;
	}
	vio_queue_kicks(p->queue, false);
	n = vio_queue_take(p->queue, p->taken + p->ntaken, 1 + dice(p, p->size));
	if (n < 0)
		fail_msg("%s", vio_queue_errmsg(p->queue));
	for (int i = 0; i < n; i++)
		check(p, p->taken[p->ntaken + (unsigned)i]);
	p->ntaken += (unsigned)n;
	server_give(p, p->ntaken ? dice(p, p->ntaken + 1) : 0);
	if (!n)
		p->server.awake = vio_queue_kicks(p->queue, true);
}

static void play(bool packed, bool event_idx, unsigned size)
{
	struct pair p;
	unsigned idle = 0;

	pair_open(&p, packed, event_idx, size, size + packed);
	while (p.reaped < CHAINS) {
		unsigned before = p.reaped + p.posted;

		if (p.driver.awake || p.posted == p.reaped)
			driver_post(&p);
		server_turn(&p);
		driver_turn(&p);
		idle = p.reaped + p.posted == before ? idle + 1 : 0;
		if (idle > 10000)
			fail_msg("asleep: posted %u, reaped %u, driver %d, server %d", p.posted, p.reaped,
				 p.driver.awake, p.server.awake);
	}
	assert_int_equal(vio_queue_inflight(p.queue), 0);
	assert_true(p.server.wakes > 0 && p.driver.wakes > 0);
	pair_close(&p);
}

static void split(void **state)
{
	(void)state;
	play(false, false, 256);
	play(false, false, 4);
}

static void split_with_event_idx(void **state)
{
	(void)state;
	play(false, true, 256);
	play(false, true, 8);
}

static void packed(void **state)
{
	(void)state;
	play(true, false, 256);
	play(true, false, 29);
}

static void packed_with_event_idx(void **state)
{
	(void)state;
	play(true, true, 256);
	play(true, true, 29);
	play(true, true, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(split_with_event_idx),
		cmocka_unit_test(packed),
		cmocka_unit_test(packed_with_event_idx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
