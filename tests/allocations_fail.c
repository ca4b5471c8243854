/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Each allocation on the way to a queue, a map, a device, a lane or a stack fails in
 * turn: -errno, a sentence, NULL, and (what the sanitizer tells) nothing leaked.
 * The sources are compiled in here, over allocators that can fail.
 */
#include "faults_in_turn.h"

#include "backend/lane.c"
#include "backend/ram.c"
#include "backend/scope.c"
#include "backend/stack.c"
#include "base/arg.c"
#include "device/dev.c"
#include "mem/dirty.c"
#include "mem/map.c"
#include "mem/mem.c"
#include "queue/inflight.c"
#include "queue/queue.c"

#include "queue_pair.h"
#include "queue/inflight.h"

#include <virtio-offload.h>

static struct ring_guest guest;
static struct vio_backend *store;
static struct vio_poller *poller;
static _Alignas(64) char region[4096];

static int make_mem(void **out)
{
	return vio_mem_alloc((struct vio_mem **)out, 0, 4096);
}

static int make_more_mem(void **out)
{
	static char bytes[64];
	const struct vio_mem_region r = { .guest = 0, .size = 64, .ptr = bytes, .fd = -1 };

	return vio_mem_add((struct vio_mem **)out, guest.mem, &r, NULL);
}

static void end_mem(void *made)
{
	vio_mem_free(made);
}

static int make_queue(void **out)
{
	struct vio_queue_opts o = rg_opts(&guest);
	struct split_inflight *t = (void *)region;

	memset(region, 0, sizeof(region));
	t->version = 1; /* and something in flight, whose order must be found */
	t->size = 16;
	t->desc[3].inflight = t->desc[5].inflight = 1;
	o.inflight = region;
	o.inflight_size = sizeof(region);
	return vio_queue_new((struct vio_queue **)out, &o);
}

static void end_queue(void *made)
{
	vio_queue_free(made);
}

static int make_dev(void **out)
{
	return vio_dev_new((struct vio_dev **)out, vio_dev_blk(), store, "serial=x,queues=3");
}

static void end_dev(void *made)
{
	vio_dev_free(made);
}

static int make_lane(void **out)
{
	return vio_lane_new((struct vio_lane **)out, store, poller, NULL);
}

static void end_lane(void *made)
{
	vio_lane_free(made);
}

static int make_stack(void **out)
{
	return vio_backend_parse((struct vio_backend **)out, NULL, "ram:64K | offset:start=512,size=1K");
}

static void end_stack(void *made)
{
	vio_backend_free(made);
}

static void every_constructor_says_so(void **state)
{
	(void)state;
	ok(rg_open(&guest, V1, 16));
	ok(vio_poller_new(&poller, NULL));
	ok(vio_backend_parse(&store, NULL, "ram:64K"));
	each_fails("memory", make_mem, end_mem);
	each_fails("one more region", make_more_mem, end_mem);
	each_fails("a queue", make_queue, end_queue);
	each_fails("a device", make_dev, end_dev);
	each_fails("a lane", make_lane, end_lane);
	each_fails("a stack", make_stack, end_stack);
	vio_backend_free(store);
	vio_poller_free(poller);
	rg_close(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_constructor_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
