/* SPDX-License-Identifier: MIT */
/*
 * The control queue runs on another thread than the queues that its commands change: a
 * packet that every state of the filter wants always arrives, one that none wants never
 * does, and buffers that pairs and offloads take back are neither lost nor used twice.
 */
#include "net_commands.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SIZE 64u
#define BUF 256u
#define FRAME 100u
#define COMMANDS 2000u

static struct net_guest n;
static struct vio_poller *other; /* of the receiving queues, on a thread of its own */
static uint32_t stop;
static const char *wrong;
static uint64_t wanted, refused, received, empty;

/* Queue `index` on the other poller; its answer comes to this one. */
static void start(unsigned index)
{
	struct net_guest_queue *q = &n.q[index];
	VIO_OPTS(vio_vq_opts, o, .size = SIZE, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = -1, .notify = rg_notified,
		 .notify_ctx = &q->g);

	assert_int_equal(rg_open(&q->g, vio_dev_acked(n.dev), SIZE), 0);
	q->open = true;
	o.mem = q->g.mem;
	vio_vq_start(n.dev, index, other, &o, n.poller, net_started, q);
}

/* As many as fit, each with bytes of its own: buffers are used in the order they were posted. */
static void post(unsigned pair)
{
	static unsigned slot[2];
	struct rg_buf b = { NET_AT + slot[pair] * BUF, BUF, RG_WRITE };

	while (rg_post(net_ring(&n, 2 * pair), &b, 1) >= 0) {
		slot[pair] = (slot[pair] + 1) % SIZE;
		b.addr = NET_AT + slot[pair] * BUF;
	}
	vio_vq_kick(n.dev, 2 * pair);
}

/* One for us and one for nobody, whenever there is room for both. */
static void deliver(unsigned pair)
{
	uint8_t frame[FRAME] = { 2, 0, 0, 0, 0, 1 };

	if (net_port_waiting(n.port, pair) < 2)
		return;
	net_port_deliver(n.port, pair, frame, FRAME, 0, NULL);
	frame[5] = 9;
	net_port_deliver(n.port, pair, frame, FRAME, 0, NULL);
	VIO_STORE(&wanted, wanted + !pair);
	refused += !pair;
}

static void reap(unsigned pair)
{
	uint32_t len;
	int id;

	while ((id = rg_reap(net_ring(&n, 2 * pair), &len)) != -1) {
		if (id == -2 || (len && len != FRAME + 12))
			wrong = "a buffer came back twice, or half full";
		received += !pair && len;
		empty += !pair && !len;
	}
}

static void *receive(void *arg)
{
	(void)arg;
	while (!VIO_LOAD(&stop)) {
		for (unsigned pair = 0; pair < 2; pair++) {
			reap(pair);
			post(pair);
			deliver(pair);
		}
		if (vio_poller_run(other, 64) < 0)
			wrong = "the poller failed";
	}
	return NULL;
}

static void command(unsigned i)
{
	uint8_t ack;

	switch (i % 6) {
	case 0:
		ack = net_command_tables(&n, i % 5, i % 7);
		break;
	case 1:
		ack = net_command_pairs(&n, (uint16_t)(1 + i / 6 % 2));
		break;
	case 2:
		ack = net_command_mode(&n, VIRTIO_NET_CTRL_RX_ALLMULTI, i / 6 & 1);
		break;
	case 3:
		ack = net_command_offloads(&n, i / 6 & 1 ? NET_F(GUEST_CSUM) : 0);
		break;
	case 4:
		ack = net_command_vlan(&n, i / 6 & 1, (uint16_t)(i % 4096));
		break;
	default:
		ack = net_command(&n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\2\0\0\0\0\1", 6);
	}
	assert_int_equal(ack, VIRTIO_NET_OK);
}

static void stopped(unsigned index)
{
	n.q[index].stopped = false;
	vio_vq_stop(n.dev, index, n.poller, net_stopped, &n.q[index]);
	while (!n.q[index].stopped)
		vio_poller_wait(n.poller, 100);
	assert_int_equal(n.q[index].err, 0);
}

static void commands_while_packets_come(uint64_t features)
{
	pthread_t thread;

	stop = 0;
	wanted = refused = received = empty = 0;
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(vio_poller_new(&other, NULL), 0);
	assert_int_equal(net_device(&n, features | NET_V1 | NET_CONTROL | NET_F(MQ) | NET_F(GUEST_CSUM),
				    "pairs=2,mac=02:00:00:00:00:01"),
			 0);
	assert_int_equal(net_start(&n, 4, SIZE), 0);
	start(0);
	start(2);
	while (!n.q[0].started || !n.q[2].started) {
		vio_poller_wait(other, 0);
		vio_poller_wait(n.poller, 0);
	}
	assert_int_equal(net_command_mode(&n, VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	assert_int_equal(pthread_create(&thread, NULL, receive, NULL), 0);
	for (unsigned i = 0; i < COMMANDS || VIO_LOAD(&wanted) < COMMANDS; i++)
		command(i);
	stopped(0);
	stopped(2);
	VIO_STORE(&stop, 1);
	pthread_join(thread, NULL);
	reap(0);
	assert_null(wrong);
	assert_int_equal(received, wanted);
	assert_int_equal(empty, refused);
	net_close(&n);
	vio_poller_free(other);
}

static void split(void **state)
{
	(void)state;
	commands_while_packets_come(0);
}

static void packed(void **state)
{
	(void)state;
	commands_while_packets_come(NET_PACKED | NET_MERGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(split), cmocka_unit_test(packed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
