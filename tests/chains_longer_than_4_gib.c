/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * Chains whose bytes are more than 32 bits can count, which need little memory: its buffers are the same
 * again and again. Their length is taken for what it is, not for what is left of it in 32 bits (THREATS row
 * 8).
 */
#include "blk_guest.h"
#include "net_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

#define RECV 0u
#define SEND 1u
#define CTRL 2u
#define SIZE 16u
#define BIG 0x100000000ull /* where the guest has that memory */
#define HALF 0x80000000u   /* two of these make 2^32 */

static char *big;
static uint8_t frame[9000];

static int big_set(void **state)
{
	(void)state;
	big = mmap(NULL, HALF + 4096ull, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1, 0);
	return big == MAP_FAILED;
}

static int big_end(void **state)
{
	(void)state;
	return munmap(big, HALF + 4096ull);
}

static void big_add(struct ring_guest *g)
{
	const struct vio_mem_region r = { .guest = BIG, .size = HALF + 4096ull, .ptr = big, .fd = -1 };
	struct vio_mem *next;

	assert_int_equal(vio_mem_add(&next, g->mem, &r, NULL), 0);
	vio_mem_free(g->mem);
	g->mem = next;
}

static void net_up(struct net_guest *n, uint64_t features, unsigned queue)
{
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, NET_V1 | features | VIO_BIT(VIRTIO_NET_F_CTRL_VQ), NULL), 0);
	assert_int_equal(rg_open(&n->q[queue].g, vio_dev_acked(n->dev), SIZE), 0);
	n->q[queue].open = true;
	big_add(&n->q[queue].g);
	assert_int_equal(net_start(n, queue, SIZE), 0);
}

/* 2^32 bytes and a frame's. */
static void no_frame_is_sent(uint64_t features)
{
	const struct rg_buf apart[] = { { NET_AT, 12, 0 }, { BIG, HALF, 0 }, { BIG, HALF + 60, 0 } };
	const struct rg_buf within[] = { { BIG, HALF, 0 }, { BIG, HALF + 72, 0 } };
	const struct rg_buf sound = { NET_AT, 72, 0 };
	struct net_guest n;

	net_up(&n, features, SEND);
	memset(net_ptr(&n, SEND, 0), 0, 72);
	assert_int_equal(net_run(&n, SEND, apart, 3), 0);
	assert_int_equal(net_run(&n, SEND, within, 2), 0);
	assert_int_equal(n.port->sent, 0);
	assert_int_equal(net_stats(&n).dropped[VIO_NET_DROP_SHORT], 2);
	assert_int_equal(net_run(&n, SEND, &sound, 1), 0);
	assert_int_equal(n.port->sent, 1);
	net_close(&n);
}

static void none_is_sent(void **state)
{
	(void)state;
	no_frame_is_sent(0);
	no_frame_is_sent(NET_PACKED);
}

/* 2^32 bytes and some that would not even hold a header. */
static void all_the_room_is_there(uint64_t features)
{
	const struct rg_buf b[] = { { BIG, HALF, RG_WRITE }, { BIG, HALF + 8, RG_WRITE } };
	struct net_guest n;
	uint32_t len = 0;

	net_up(&n, features, RECV);
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7);
	assert_true(rg_post(net_ring(&n, RECV), b, 2) >= 0);
	vio_vq_kick(n.dev, RECV);
	while (!net_port_waiting(n.port, 0))
		assert_true(vio_poller_wait(n.poller, 100) >= 0);
	assert_true(net_port_oldest(n.port, 0)->len == 2ull * HALF + 8);
	assert_int_equal(net_port_deliver(n.port, 0, frame, sizeof(frame), 0, NULL), 1);
	while (rg_reap(net_ring(&n, RECV), &len) < 0)
		assert_true(vio_poller_wait(n.poller, 100) >= 0);
	assert_int_equal(len, 12 + sizeof(frame));
	assert_memory_equal(big + 12, frame, sizeof(frame));
	net_close(&n);
}

static void a_packet_is_received(void **state)
{
	(void)state;
	all_the_room_is_there(0);
	all_the_room_is_there(NET_PACKED);
	all_the_room_is_there(NET_MERGE);
}

/* The command that would be right if that was all. */
static void a_command_is_refused(void **state)
{
	const struct rg_buf b[] = { { BIG, HALF, 0 }, { BIG, HALF + 3, 0 }, { NET_AT, 1, RG_WRITE } };
	static const uint8_t promiscuous[] = { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 };
	struct net_guest n;

	(void)state;
	net_up(&n, VIO_BIT(VIRTIO_NET_F_CTRL_RX), CTRL);
	memcpy(big, promiscuous, 3);
	assert_int_equal(net_run(&n, CTRL, b, 3), 1);
	assert_int_equal(*(uint8_t *)net_ptr(&n, CTRL, 0), VIRTIO_NET_ERR);
	net_close(&n);
}

/* The queue goes on with that memory too. */
static void blk_anew(struct blk_guest *g)
{
	VIO_OPTS(vio_vq_opts, o, .size = SIZE, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = -1, .notify = rg_notified,
		 .notify_ctx = &g->g);

	vio_vq_stop(g->dev, 0, g->poller, blk_stopped, g);
	while (!g->stopped)
		vio_poller_wait(g->poller, 100);
	big_add(&g->g);
	o.mem = g->g.mem;
	g->started = g->stopped = false;
	vio_vq_start(g->dev, 0, g->poller, &o, g->poller, blk_started, g);
	while (!g->started)
		vio_poller_wait(g->poller, 100);
	assert_int_equal(g->err, 0);
}

/* 2^32 bytes and a sector. */
static void a_disk_request_fails(void **state)
{
	const struct rg_buf b[] = { { BLK_AT, 16, 0 },
				    { BIG, HALF, RG_WRITE },
				    { BIG, HALF + 512, RG_WRITE },
				    { BLK_IN, 1, RG_WRITE } };
	const struct blk_ask ask = { .type = VIRTIO_BLK_T_IN };
	struct blk_guest g;

	(void)state;
	assert_int_equal(blk_open(&g, VIO_BIT(VIRTIO_F_VERSION_1), SIZE, "ram:64K", NULL), 0);
	blk_anew(&g);
	blk_lay(&g, &ask, 0xee);
	blk_run(&g, b, 4);
	assert_int_equal(*(uint8_t *)rg_ptr(&g.g, BLK_IN), VIRTIO_BLK_S_IOERR);
	blk_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_sent),
		cmocka_unit_test(a_packet_is_received),
		cmocka_unit_test(a_command_is_refused),
		cmocka_unit_test(a_disk_request_fails),
	};

	return cmocka_run_group_tests(tests, big_set, big_end);
}
