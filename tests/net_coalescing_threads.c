/* SPDX-License-Identifier: MIT */
/*
 * A driver that sleeps until it is interrupted, a queue on a thread of its own whose poller sleeps when it
 * can, and a control queue that changes on a third how long notifications are put off: the driver gets each
 * packet, and never sleeps for good.
 */
#include "net_commands.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE 64u
#define BUF 256u
#define FRAME 100u
#define PACKETS 50000u
#define HOUR 3600000000u
#define LAST 5u /* packets that nothing but the queue's stop makes known */
#define RX VIO_NET_CTRL_NOTF_COAL_RX_SET

static struct net_guest n;
static struct vio_poller *other; /* of the receiving queue; the thread that runs it first keeps it */
static int call;
static uint32_t received, allowed, stop;
static const char *wrong;

static void start(void)
{
	struct net_guest_queue *q = &n.q[0];
	VIO_OPTS(vio_vq_opts, o, .size = SIZE, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = call);

	assert_int_equal(rg_open(&q->g, vio_dev_acked(n.dev), SIZE), 0);
	q->open = true;
	o.mem = q->g.mem;
	vio_vq_start(n.dev, 0, other, &o, n.poller, net_started, q);
	while (!q->started)
		vio_poller_wait(n.poller, 100);
	assert_int_equal(q->err, 0);
}

/* The queue's thread: packets come as long as there is a buffer for each, and then it sleeps. */
static void *serve(void *arg)
{
	static const uint8_t frame[FRAME];
	uint32_t delivered = 0;

	(void)arg;
	while (!VIO_LOAD(&stop)) {
		for (unsigned i = 0; i < 3 && net_port_waiting(n.port, 0) && delivered < VIO_LOAD(&allowed);
		     i++) {
			net_port_deliver(n.port, 0, frame, FRAME, 0, NULL);
			delivered++;
		}
		if (vio_poller_wait(other, -1) < 0)
			wrong = "the poller failed";
	}
	return NULL;
}

static void post_all(void)
{
	const struct rg_buf b = { NET_AT, BUF, RG_WRITE };
	unsigned posted = 0;

	while (rg_post(net_ring(&n, 0), &b, 1) >= 0)
		posted++;
	if (posted)
		vio_vq_kick(n.dev, 0);
}

static void reap_all(void)
{
	uint32_t len;
	int id;

	while ((id = rg_reap(net_ring(&n, 0), &len)) != -1) {
		if (id == -2 || len != FRAME + 12)
			wrong = "a buffer came back twice, or half full";
		VIO_STORE(&received, received + 1);
	}
}

static void sleep_until_called(void)
{
	struct pollfd fd = { .fd = call, .events = POLLIN };
	uint64_t count;

	if (poll(&fd, 1, -1) != 1 || read(call, &count, sizeof(count)) < 0)
		wrong = "the eventfd failed";
}

/* The driver's thread: it polls while there is something, then asks to be interrupted and sleeps. */
static void *drive(void *arg)
{
	(void)arg;
	for (;;) {
		reap_all();
		if (received == PACKETS + LAST)
			return NULL;
		post_all();
		if (!rg_listen(net_ring(&n, 0)))
			sleep_until_called();
	}
}

static void command(unsigned i)
{
	static const uint32_t packets[] = { 2, 0, 7, 1, 1000, 30 }, usecs[] = { 20, 100, 0, 5, 60 };

	if (i % 3)
		assert_int_equal(net_command_coalesce(&n, RX, packets[i % 6], usecs[i % 5]), VIRTIO_NET_OK);
	else
		assert_int_equal(net_command_coalesce_queue(&n, 0, packets[i % 5], usecs[i % 4]),
				 VIRTIO_NET_OK);
}

static void stop_the_queue(void)
{
	n.q[0].stopped = false;
	vio_vq_stop(n.dev, 0, n.poller, net_stopped, &n.q[0]);
	while (!n.q[0].stopped)
		vio_poller_wait(n.poller, 100);
	assert_int_equal(n.q[0].err, 0);
}

static void sleeps_and_wakes(uint64_t features, enum vio_poll_mode mode)
{
	VIO_OPTS(vio_poller_opts, o, .mode = mode);
	pthread_t server, driver;

	received = stop = 0;
	allowed = PACKETS;
	assert_int_equal(net_open(&n), 0);
	assert_int_equal(vio_poller_new(&other, &o), 0);
	call = eventfd(0, EFD_NONBLOCK);
	assert_true(call >= 0);
	assert_int_equal(net_device(&n, features | NET_V1 | NET_CONTROL, NULL), 0);
	assert_int_equal(net_start(&n, 2, SIZE), 0);
	assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
	start();
	assert_int_equal(pthread_create(&driver, NULL, drive, NULL), 0);
	for (unsigned i = 0; VIO_LOAD(&received) < PACKETS; i++)
		command(i);
	assert_int_equal(net_command_coalesce(&n, RX, 1000, HOUR), VIRTIO_NET_OK);
	VIO_STORE(&allowed, PACKETS + LAST);
	vio_vq_kick(n.dev, 0);
	while (net_stats(&n).received < PACKETS + LAST)
		vio_poller_wait(n.poller, 1);
	stop_the_queue();
	pthread_join(driver, NULL);
	VIO_STORE(&stop, 1);
	vio_poller_wake(other);
	pthread_join(server, NULL);
	assert_null(wrong);
	assert_int_equal(received, PACKETS + LAST);
	net_close(&n);
	vio_poller_free(other);
	close(call);
}

static void split(void **state)
{
	(void)state;
	sleeps_and_wakes(0, VIO_POLL_EVENT);
	sleeps_and_wakes(VIO_BIT(VIRTIO_RING_F_EVENT_IDX), VIO_POLL_ADAPTIVE);
}

static void packed(void **state)
{
	(void)state;
	sleeps_and_wakes(NET_PACKED, VIO_POLL_ADAPTIVE);
	sleeps_and_wakes(NET_PACKED | VIO_BIT(VIRTIO_RING_F_EVENT_IDX), VIO_POLL_EVENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(split), cmocka_unit_test(packed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
