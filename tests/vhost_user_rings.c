/* SPDX-License-Identifier: MIT */
/* When a ring runs and when it does not, with a guest that does real block I/O through it. */
#define _GNU_SOURCE /* memfd_create, seals */
#include "tiny_guest.h"

#include <poll.h>

static void serve(struct front *f, uint64_t features)
{
	VIO_OPTS(vio_vhost_user_opts, o);

	front_serve(f, "queues=2,queue-size=256", &o);
	front_greet(f, features | FRONT_V1);
	assert_int_equal(front_give_memory(f), 0);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* True if the posted request is still not served after the server had every chance. */
static bool unserved(struct front *f, struct guest_queue *q)
{
	for (int i = 0; i < 10; i++)
		front_pump(f);
	front_ask_u64(f, VU_GET_QUEUE_NUM); /* it is alive */
	return guest_reap(q) < 0;
}

static void wait_served(struct front *f, struct guest_queue *q)
{
	while (guest_reap(q) < 0)
		front_pump(f);
}

static uint32_t get_base(struct front *f, unsigned index)
{
	struct vu_vring_state s = { index, 0 };

	return front_ask(f, VU_GET_VRING_BASE, &s, sizeof(s)).p.state.num;
}

static void a_split_ring_reads_and_writes(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	for (uint64_t i = 0; i < 300; i++) /* around the ring */
		guest_check_path(&q, i % 1024, i);
	assert_true(readable(q.call));
	front_free(&f);
	guest_queue_close(&q);
}

static void a_packed_ring_reads_and_writes(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF | FRONT_PACKED);
	guest_queue_init(&q, &f, 0, true);
	guest_queue_start(&q, guest_new_base(&q));
	for (uint64_t i = 0; i < 300; i++)
		guest_check_path(&q, i % 1024, i);
	assert_true(readable(q.call));
	front_free(&f);
	guest_queue_close(&q);
}

static void both_queues_run(void **state)
{
	struct guest_queue q[2];
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	for (unsigned i = 0; i < 2; i++) {
		guest_queue_init(&q[i], &f, i, false);
		guest_queue_start(&q[i], 0);
	}
	guest_check_path(&q[1], 9, 1);
	guest_check_path(&q[0], 9, 2);
	front_free(&f);
	guest_queue_close(&q[0]);
	guest_queue_close(&q[1]);
}

static void a_ring_starts_disabled_and_waits_for_enable(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 0), 0);
	guest_post(&q, 0, false, 1);
	guest_kick(&q);
	assert_true(unserved(&f, &q));
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0);
	wait_served(&f, &q);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0); /* twice: nothing changes */
	guest_check_path(&q, 1, 1);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 2), 1);
	front_free(&f);
	guest_queue_close(&q);
}

/* As QEMU does for network cards. */
static void a_ring_may_be_enabled_before_features_are_set(void **state)
{
	VIO_OPTS(vio_vhost_user_opts, o);
	struct vu_vring_addr addr;
	struct guest_queue q;
	struct front f;

	(void)state;
	front_serve(&f, "queues=2,queue-size=256", &o);
	assert_int_equal(front_ack_u64(&f, VU_SET_PROTOCOL_FEATURES, FRONT_PROTOCOL), 0);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0);
	front_greet(&f, FRONT_PF | FRONT_V1);
	assert_int_equal(front_give_memory(&f), 0);
	guest_queue_init(&q, &f, 0, false);
	addr = guest_addr(&q);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, q.size), 0);
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	guest_send_fd(&q, VU_SET_VRING_CALL, q.call);
	assert_int_equal(guest_send_fd(&q, VU_SET_VRING_KICK, q.kick), 0);
	guest_check_path(&q, 7, 7);
	front_free(&f);
	guest_queue_close(&q);
}

static void without_protocol_features_a_ring_starts_enabled(void **state)
{
	struct vu_vring_addr addr;
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, 0);
	guest_queue_init(&q, &f, 0, false);
	addr = guest_addr(&q);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, q.size), 0);
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	guest_send_fd(&q, VU_SET_VRING_CALL, q.call);
	assert_int_equal(guest_send_fd(&q, VU_SET_VRING_KICK, q.kick), 0);
	guest_check_path(&q, 7, 7);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1),
			 1); /* not this front end's message */
	front_free(&f);
	guest_queue_close(&q);
}

static void get_vring_base_stops_and_says_where(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	for (unsigned i = 0; i < 5; i++)
		guest_check_path(&q, i, i);
	assert_int_equal(get_base(&f, 0), 10);
	assert_int_equal(get_base(&f, 0), 10); /* again: neither started nor reset */
	guest_post(&q, 0, false, 1);
	guest_kick(&q);
	assert_true(unserved(&f, &q));
	guest_queue_start(&q, 10);
	wait_served(&f, &q);
	guest_check_path(&q, 8, 8);
	assert_int_equal(get_base(&f, 0), 13);
	front_free(&f);
	guest_queue_close(&q);
}

static void the_base_of_a_packed_ring_has_both_places(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF | FRONT_PACKED);
	guest_queue_init(&q, &f, 0, true);
	guest_queue_start(&q, 0x8000); /* a front end that knows the avail place only */
	guest_check_path(&q, 1, 1);
	assert_int_equal(get_base(&f, 0), 0x80068006);
	guest_queue_start(&q, 0x80068006);
	for (unsigned i = 0; i < 31; i++)
		guest_check_path(&q, i, i);
	assert_int_equal(get_base(&f, 0), 0); /* 192 descriptors: around, the wrap counters have turned */
	guest_queue_start(&q, 0);
	guest_check_path(&q, 2, 2);
	assert_int_equal(get_base(&f, 0), 0x00060006);
	front_free(&f);
	guest_queue_close(&q);
}

static void what_was_in_the_ring_when_it_stopped_is_served_later(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	for (unsigned i = 0; i < 8; i++)
		guest_post(&q, i, false, i);
	guest_queue_start(&q, 0); /* no kick: the ring is looked at when it starts */
	for (unsigned i = 0; i < 8; i++)
		wait_served(&f, &q);
	front_free(&f);
	guest_queue_close(&q);
}

static void a_second_kick_fd_never_disables_a_ring(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	close(q.kick);
	q.kick = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(guest_send_fd(&q, VU_SET_VRING_KICK, q.kick), 0);
	guest_check_path(&q, 2, 2);
	front_free(&f);
	guest_queue_close(&q);
}

static void a_new_call_fd_takes_over_while_the_ring_runs(void **state)
{
	struct guest_queue q;
	struct front f;
	uint64_t count;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	assert_int_equal(read(q.call, &count, 8), 8);
	close(q.call);
	q.call = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(guest_send_fd(&q, VU_SET_VRING_CALL, q.call), 0);
	guest_check_path(&q, 2, 2);
	while (!readable(q.call))
		front_pump(&f);
	front_free(&f);
	guest_queue_close(&q);
}

/* A front end may fill the counter of an eventfd that we write: nobody may wait for it. */
static void a_full_call_fd_blocks_nobody(void **state)
{
	uint64_t full = UINT64_MAX - 1;
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	close(q.call);
	q.call = eventfd(0, EFD_CLOEXEC); /* blocking, as some make it */
	assert_int_equal(write(q.call, &full, 8), 8);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	guest_check_path(&q, 2, 2);
	front_free(&f);
	guest_queue_close(&q);
}

/* Row 31: a write to a pipe without a reader would end the process, one to a disk would wait. */
static void a_descriptor_that_is_no_eventfd_is_refused(void **state)
{
	static const uint32_t requests[] = { VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR };
	struct guest_queue q;
	struct front f;
	int fds[5], null = open("/dev/null", O_RDWR);

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2), 0);
	close(fds[2]);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(requests); i++) {
		assert_int_equal(guest_send_fd(&q, requests[i], fds[1]), 1);
		assert_int_equal(guest_send_fd(&q, requests[i], fds[3]), 1);
		assert_int_equal(guest_send_fd(&q, requests[i], f.memfd), 1);
		assert_int_equal(guest_send_fd(&q, requests[i], null), 1);
	}
	guest_check_path(&q, 1, 1); /* with the descriptors it had */
	close(fds[1]);
	close(fds[3]);
	close(null);
	front_free(&f);
	guest_queue_close(&q);
}

static void without_a_kick_fd_the_ring_is_polled(void **state)
{
	uint64_t none = VU_NO_FD;
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	assert_int_equal(front_ack(&f, VU_SET_VRING_KICK, &none, 8, NULL, 0), 0);
	assert_int_equal(front_ack(&f, VU_SET_VRING_CALL, &none, 8, NULL, 0), 0);
	for (unsigned i = 0; i < 5; i++) {
		guest_post(&q, 0, false, 1);
		wait_served(&f, &q);
	}
	front_free(&f);
	guest_queue_close(&q);
}

/* Row 35. */
static void a_kick_before_everything_else_is_remembered(void **state)
{
	VIO_OPTS(vio_vhost_user_opts, o);
	struct vu_vring_addr addr;
	struct guest_queue q;
	struct front f;

	(void)state;
	front_serve(&f, "queues=2,queue-size=256", &o);
	guest_queue_init(&q, &f, 0, false);
	addr = guest_addr(&q);
	front_send(&f, VU_SET_VRING_KICK, 0, &(uint64_t){ 0 }, 8, &q.kick, 1);
	front_send(&f, VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
	front_greet(&f, FRONT_PF | FRONT_V1);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 1), 0); /* it cannot run yet: it waits */
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, q.size), 0);
	guest_post(&q, 0, false, 1);
	assert_true(unserved(&f, &q));
	assert_int_equal(front_give_memory(&f), 0);
	guest_kick(&q);
	wait_served(&f, &q);
	front_free(&f);
	guest_queue_close(&q);
}

/* Row 16: validated, then frozen. */
static void size_and_base_of_a_running_ring_are_frozen(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	guest_check_path(&q, 1, 1);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, 128), 1);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_BASE, 0, 0), 1);
	assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_PF | FRONT_V1 | FRONT_PACKED), 1);
	guest_check_path(&q, 2, 2);
	front_free(&f);
	guest_queue_close(&q);
}

/* Rows 16 and 17: rings that can't be stop themselves and nothing else. */
static void rings_that_cannot_be_do_not_start(void **state)
{
	struct guest_queue bad, good;
	struct vu_vring_addr addr;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&bad, &f, 0, false);
	guest_queue_init(&good, &f, 1, false);
	guest_queue_start(&good, 0);
	guest_queue_start(&bad, 0);
	get_base(&f, 0);
	addr = guest_addr(&bad);
	addr.desc += 1; /* unaligned */
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(guest_send_fd(&bad, VU_SET_VRING_KICK, bad.kick), 1);
	get_base(&f, 0);
	addr = guest_addr(&bad);
	addr.used = FRONT_USER + FRONT_MEM - 16; /* over the end */
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(guest_send_fd(&bad, VU_SET_VRING_KICK, bad.kick), 1);
	get_base(&f, 0);
	addr.used = UINT64_MAX;
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(guest_send_fd(&bad, VU_SET_VRING_KICK, bad.kick), 1);
	guest_check_path(&good, 3, 3);
	addr = guest_addr(&bad);
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	guest_check_path(&bad, 4, 4); /* and once they can be, they start */
	front_free(&f);
	guest_queue_close(&bad);
	guest_queue_close(&good);
}

static void a_broken_ring_stops_alone_and_says_so(void **state)
{
	struct guest_queue bad, good;
	struct front f;
	int err = eventfd(0, EFD_NONBLOCK);

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&bad, &f, 0, false);
	guest_queue_init(&good, &f, 1, false);
	guest_queue_start(&bad, 0);
	guest_queue_start(&good, 0);
	assert_int_equal(guest_send_fd(&bad, VU_SET_VRING_ERR, err), 0);
	guest_check_path(&bad, 1, 1);
	bad.avail += 1000; /* the index jumps beyond the ring */
	guest_post(&bad, 0, false, 1);
	guest_kick(&bad);
	while (!readable(err))
		front_pump(&f);
	assert_non_null(strstr(f.log, "queue 0 stopped"));
	assert_int_equal(front_ask_u64(&f, VU_GET_STATUS) & 0x40, 0x40); /* DEVICE_NEEDS_RESET */
	guest_check_path(&good, 2, 2);
	get_base(&f, 0);
	guest_queue_init(&bad, &f, 0, false); /* the guest resets the queue */
	guest_queue_start(&bad, 0);
	guest_check_path(&bad, 3, 3);
	front_free(&f);
	guest_queue_close(&good);
	close(err);
}

static void a_reset_stops_the_rings_and_they_start_anew(void **state)
{
	struct guest_queue q;
	struct front f;

	(void)state;
	serve(&f, FRONT_PF);
	for (unsigned i = 0; i < 3; i++) {
		guest_queue_init(&q, &f, 0, false);
		guest_queue_start(&q, 0);
		guest_check_path(&q, 1, i);
		if (i == 1)
			assert_int_equal(front_ack_u64(&f, VU_SET_STATUS, 0), 0);
		else
			assert_int_equal(front_ack(&f, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
		assert_int_equal(front_ack_state(&f, VU_SET_VRING_ENABLE, 0, 0), 0); /* as QEMU does */
		guest_post(&q, 0, false, 1);
		guest_kick(&q);
		assert_true(unserved(&f, &q));
		assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_PF | FRONT_V1), 0);
		guest_queue_close(&q);
	}
	front_free(&f);
}

static void stop_drains_what_is_in_flight(void **state)
{
	struct guest_queue q;
	struct front f;
	unsigned served = 0;

	(void)state;
	serve(&f, FRONT_PF);
	guest_queue_init(&q, &f, 0, false);
	guest_queue_start(&q, 0);
	for (unsigned i = 0; i < 32; i++)
		guest_post(&q, i, false, i);
	guest_kick(&q);
	vio_poller_run(f.p, 4);
	front_stop(&f);
	while (guest_reap(&q) >= 0)
		served++;
	assert_true(served <= 32);
	front_expect_closed(&f);
	front_free(&f);
	guest_queue_close(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_split_ring_reads_and_writes),
		cmocka_unit_test(a_packed_ring_reads_and_writes),
		cmocka_unit_test(both_queues_run),
		cmocka_unit_test(a_ring_starts_disabled_and_waits_for_enable),
		cmocka_unit_test(a_ring_may_be_enabled_before_features_are_set),
		cmocka_unit_test(without_protocol_features_a_ring_starts_enabled),
		cmocka_unit_test(get_vring_base_stops_and_says_where),
		cmocka_unit_test(the_base_of_a_packed_ring_has_both_places),
		cmocka_unit_test(what_was_in_the_ring_when_it_stopped_is_served_later),
		cmocka_unit_test(a_second_kick_fd_never_disables_a_ring),
		cmocka_unit_test(a_new_call_fd_takes_over_while_the_ring_runs),
		cmocka_unit_test(a_full_call_fd_blocks_nobody),
		cmocka_unit_test(a_descriptor_that_is_no_eventfd_is_refused),
		cmocka_unit_test(without_a_kick_fd_the_ring_is_polled),
		cmocka_unit_test(a_kick_before_everything_else_is_remembered),
		cmocka_unit_test(size_and_base_of_a_running_ring_are_frozen),
		cmocka_unit_test(rings_that_cannot_be_do_not_start),
		cmocka_unit_test(a_broken_ring_stops_alone_and_says_so),
		cmocka_unit_test(a_reset_stops_the_rings_and_they_start_anew),
		cmocka_unit_test(stop_drains_what_is_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
