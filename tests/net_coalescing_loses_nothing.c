/* SPDX-License-Identifier: MIT */
/*
 * A notification that was put off comes, whatever happens meanwhile: the poller sleeps, spins or belongs to a
 * foreign loop; the queue pauses, breaks, stops or is reset.
 */
#include "net_commands.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE 64u
#define BUF 256u
#define FRAME 100u
#define HOUR 3600000000u
#define SOON 300u
#define RX VIO_NET_CTRL_NOTF_COAL_RX_SET

#define PAIR 1u /* whose receiving queue it is about: one that can be put out of use */
#define QUEUE (2 * PAIR)

static struct net_guest n;
static int call; /* its interrupts */
static struct vio_watch called;

static void look(struct vio_watch *w, uint32_t events)
{
	(void)w, (void)events; /* the poller's wait is over, and the test looks for itself */
}

static void start_receiving(void)
{
	struct net_guest_queue *q = &n.q[QUEUE];
	VIO_OPTS(vio_vq_opts, o, .size = SIZE, .desc = RG_AT, .driver = RG_AT + RG_DRIVER,
		 .device = RG_AT + RG_DEVICE, .kick_fd = -1, .call_fd = call);

	assert_int_equal(rg_open(&q->g, vio_dev_acked(n.dev), SIZE), 0);
	q->open = true;
	o.mem = q->g.mem;
	vio_vq_start(n.dev, QUEUE, n.poller, &o, n.poller, net_started, q);
	while (!q->started)
		vio_poller_wait(n.poller, 100);
	assert_int_equal(q->err, 0);
}

static bool up(uint64_t features, enum vio_poll_engine engine, enum vio_poll_mode mode)
{
	VIO_OPTS(vio_poller_opts, o, .engine = engine, .mode = mode);

	assert_int_equal(net_open(&n), 0);
	vio_poller_free(n.poller);
	if (vio_poller_new(&n.poller, &o)) {
		print_message("%s\n", vio_errmsg());
		vio_backend_free(n.backend);
		return false;
	}
	call = eventfd(0, EFD_NONBLOCK);
	assert_true(call >= 0);
	called = (struct vio_watch){ .ready = look, .fd = call, .events = EPOLLIN | EPOLLET };
	assert_int_equal(vio_watch_add(n.poller, &called), 0);
	assert_int_equal(net_device(&n, features | NET_V1 | NET_CONTROL | NET_F(MQ), "pairs=2"), 0);
	for (unsigned i = 0; i < vio_dev_queues(n.dev); i++)
		if (i != QUEUE)
			assert_int_equal(net_start(&n, i, SIZE), 0);
	start_receiving();
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
	return true;
}

static void down(void)
{
	vio_watch_del(n.poller, &called);
	net_close(&n);
	close(call);
}

/* Interrupts since the last look. */
static unsigned notified(void)
{
	uint64_t count = 0;

	if (read(call, &count, sizeof(count)) < 0)
		count = 0;
	return (unsigned)count;
}

static void coalesce(uint32_t packets, uint32_t usecs)
{
	assert_int_equal(net_command_coalesce(&n, RX, packets, usecs), VIRTIO_NET_OK);
	net_pump(&n);
}

/* A packet comes; the poller does no more than take notice. */
static void receive(void)
{
	const struct rg_buf b = { NET_AT, BUF, RG_WRITE };
	static const uint8_t frame[FRAME];

	assert_true(rg_post(net_ring(&n, QUEUE), &b, 1) >= 0);
	vio_vq_kick(n.dev, QUEUE);
	while (!net_port_waiting(n.port, PAIR))
		vio_poller_wait(n.poller, 0);
	assert_int_equal(net_port_deliver(n.port, PAIR, frame, FRAME, 0, NULL), 1);
}

/* The driver has it. */
static void reap(void)
{
	uint32_t len = 0;

	while (rg_reap(net_ring(&n, QUEUE), &len) < 0)
		vio_poller_wait(n.poller, 0);
	assert_int_equal(len, FRAME + 12);
}

/* One that waits for an hour. */
static void put_off(void)
{
	coalesce(1000, HOUR);
	receive();
	reap();
	net_pump(&n);
	assert_int_equal(notified(), 0);
}

/* Whatever the poller does in between, its timers see to it. */
static void waits(enum vio_poll_engine engine, enum vio_poll_mode mode)
{
	if (!up(0, engine, mode))
		return;
	coalesce(1000, SOON);
	for (unsigned i = 0; i < 20; i++) {
		receive();
		while (!notified())
			vio_poller_wait(n.poller, -1);
		reap();
	}
	down();
}

static void in_every_mode(void **state)
{
	(void)state;
	for (int mode = VIO_POLL_EVENT; mode <= VIO_POLL_ADAPTIVE; mode++) {
		waits(VIO_POLL_IO_URING, (enum vio_poll_mode)mode);
		waits(VIO_POLL_EPOLL, (enum vio_poll_mode)mode);
	}
}

/* A loop of someone else's sleeps on the poller's fd, without a limit. */
static void foreign_loop(enum vio_poll_engine engine)
{
	struct pollfd fd = { .events = POLLIN };

	if (!up(0, engine, VIO_POLL_EVENT))
		return;
	coalesce(1000, SOON);
	fd.fd = vio_poller_fd(n.poller);
	assert_true(fd.fd >= 0);
	for (unsigned i = 0; i < 20; i++) {
		receive();
		assert_true(vio_poller_run(n.poller, 0) >= 0);
		while (!notified()) {
			assert_int_equal(poll(&fd, 1, -1), 1);
			assert_true(vio_poller_run(n.poller, 0) >= 0);
		}
		reap();
	}
	down();
}

static void in_a_foreign_loop(void **state)
{
	(void)state;
	foreign_loop(VIO_POLL_IO_URING);
	foreign_loop(VIO_POLL_EPOLL);
}

static void simple(uint64_t features)
{
	assert_true(up(features, VIO_POLL_AUTO, VIO_POLL_EVENT));
}

/* Stopped, by a ring reset or for good: before the stop is answered, and never after. */
static void stopping_says_it(uint64_t features)
{
	simple(features);
	put_off();
	assert_int_equal(net_stop(&n, QUEUE), 0);
	assert_int_equal(notified(), 1);
	down();
}

static void when_the_queue_stops(void **state)
{
	(void)state;
	stopping_says_it(0);
	stopping_says_it(NET_PACKED);
}

static void until(unsigned wanted)
{
	unsigned seen = 0;

	while (seen < wanted) {
		vio_poller_wait(n.poller, -1);
		seen += notified();
	}
	assert_int_equal(seen, wanted);
}

/* A pair out of use is served no more, but of what it was served it hears. */
static void while_the_queue_pauses(void **state)
{
	(void)state;
	simple(0);
	put_off();
	assert_int_equal(net_command_pairs(&n, 1), VIRTIO_NET_OK);
	net_pump(&n);
	assert_int_equal(notified(), 0);
	assert_int_equal(net_command_coalesce(&n, RX, 1000, SOON), VIRTIO_NET_OK);
	until(1);
	assert_int_equal(net_command_pairs(&n, 2), VIRTIO_NET_OK);
	put_off();
	assert_int_equal(net_command_pairs(&n, 1), VIRTIO_NET_OK);
	net_pump(&n);
	assert_int_equal(net_stop(&n, QUEUE), 0);
	assert_int_equal(notified(), 1);
	down();
}

/* The guest makes available what there cannot be. */
static void break_ring(void)
{
	net_ring(&n, QUEUE)->avail->idx = (uint16_t)(net_ring(&n, QUEUE)->avail->idx + 2 * SIZE);
	vio_vq_kick(n.dev, QUEUE);
	net_pump(&n);
}

static void after_the_queue_broke(void **state)
{
	(void)state;
	simple(0);
	put_off();
	break_ring();
	assert_int_equal(notified(), 0);
	assert_int_equal(net_command_coalesce(&n, RX, 1000, SOON), VIRTIO_NET_OK);
	until(1);
	down();
	simple(0);
	put_off();
	break_ring();
	assert_int_equal(net_stop(&n, QUEUE), 0);
	assert_int_equal(notified(), 1);
	down();
}

static bool over;

static void pass(struct vio_timer *t)
{
	(void)t;
	over = true;
}

/* A timer set after the queue's, and for longer: that one is due before. */
static void pass_the_time(void)
{
	struct vio_timer later = { .fire = pass };

	over = false;
	vio_timer_set(n.poller, &later, 2000ull * SOON);
	while (!over)
		vio_poller_wait(n.poller, -1);
}

/* Its timer is no more: the poller ends, or serves others. */
static void no_timer_outlives_the_queue(void **state)
{
	(void)state;
	simple(0);
	coalesce(1000, SOON);
	receive();
	reap();
	assert_int_equal(net_stop(&n, QUEUE), 0);
	assert_int_equal(notified(), 1);
	pass_the_time();
	assert_int_equal(net_start(&n, QUEUE, SIZE), 0); /* by another way: the eventfd hears no more */
	receive();
	while (!net_ring(&n, QUEUE)->notified)
		vio_poller_wait(n.poller, -1);
	assert_int_equal(notified(), 0);
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_every_mode),	 cmocka_unit_test(in_a_foreign_loop),
		cmocka_unit_test(when_the_queue_stops),	 cmocka_unit_test(while_the_queue_pauses),
		cmocka_unit_test(after_the_queue_broke), cmocka_unit_test(no_timer_outlives_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
