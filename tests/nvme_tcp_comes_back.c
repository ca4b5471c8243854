/* SPDX-License-Identifier: MIT */
/* A target that goes and comes back: nothing is lost, nothing is told twice, and who waits too long is told.
 */
#include "disk_client.h"
#include "fake_target.h"

static struct target t;

static int start(void **state)
{
	(void)state;
	target_start(&t);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	target_stop(&t);
	return 0;
}

static void submit_all(struct client *c, uint8_t op, unsigned n)
{
	struct vio_req *r[64];

	assert_true(vio_lane_room(c->lane) >= n);
	for (unsigned i = 0; i < n; i++)
		r[i] = client_req(c, op, i * 4096, c->shared + i * 4096, 4096);
	vio_lane_submit(c->lane, r, n);
}

static void await(struct client *c, const unsigned *what, unsigned n)
{
	for (unsigned i = 0; i < 1000 && TARGET_GET(*what) < n; i++)
		vio_poller_wait(c->poller, 5);
	assert_true(TARGET_GET(*what) >= n);
}

/* What the target had taken and not answered is done by the next association. */
static void requests_under_way_are_sent_again(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	memset(c.shared, 0x5a, CLIENT_MEM);
	TARGET_SET(t.hold, 1);
	submit_all(&c, VIO_OP_WRITE, 32);
	await(&c, &t.io, 32);
	TARGET_SET(t.hold, 0);
	target_cut(&t);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(client_finish(&c), 0);
	assert_memory_equal(t.disk, c.shared, 32 * 4096);
	assert_int_equal(client_stat(&c, "replayed"), 32);
	assert_int_equal(client_stat(&c, "completed"), 32);
	assert_int_equal(vio_lane_room(c.lane), 127);
	client_close(&c);
}

/* Only the I/O connection is lost: the controller is reset through the admin connection first. */
static void the_old_controller_is_stopped_first(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	target_lie(&t, LIE_HANG_UP, 1);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	assert_int_equal(TARGET_GET(t.resets), 1);
	assert_int_equal(client_stat(&c, "reconnects"), 1);
	client_close(&c);
}

/* One that does not even accept, for a while; requests that come meanwhile wait. */
static void requests_wait_for_the_target(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	memset(c.shared, 0x33, CLIENT_MEM);
	TARGET_SET(t.closed, 1);
	target_cut(&t);
	for (unsigned i = 0; i < 20; i++)
		vio_poller_wait(c.poller, 10);
	submit_all(&c, VIO_OP_WRITE, 8);
	for (unsigned i = 0; i < 20; i++)
		vio_poller_wait(c.poller, 10);
	assert_int_equal(t.io, 0);
	TARGET_SET(t.closed, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(client_finish(&c), 0);
	assert_memory_equal(t.disk, c.shared, 8 * 4096);
	client_close(&c);
}

static void requests_fail_when_it_stays_away(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ",timeout=1"));
	TARGET_SET(t.hold, 1);
	submit_all(&c, VIO_OP_WRITE, 8);
	await(&c, &t.io, 8);
	TARGET_SET(t.closed, 1);
	target_cut(&t);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(client_finish(&c), -EIO);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), -EIO);
	/* It is still looked for. */
	TARGET_SET(t.hold, 0);
	TARGET_SET(t.closed, 0);
	for (unsigned i = 0; i < 500 && client_do(&c, VIO_OP_READ, 0, c.shared, 4096); i++)
		vio_poller_wait(c.poller, 10);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	client_close(&c);
}

static void a_silent_queue_is_left(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ",io-timeout=1"));
	target_lie(&t, LIE_SILENT, 1);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	assert_int_equal(TARGET_GET(t.resets), 1);
	client_close(&c);
}

/* Neither its I/O queue nor its admin queue answers: its keep-alive timer is waited for. */
static void a_silent_target_is_left(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ",keep-alive=1"));
	TARGET_SET(t.hold, 1);
	submit_all(&c, VIO_OP_WRITE, 4);
	await(&c, &t.keep_alives, 1);
	for (unsigned i = 0; i < 1000 && target_connected(&t); i++)
		vio_poller_wait(c.poller, 5);
	assert_false(target_connected(&t));
	TARGET_SET(t.hold, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(client_finish(&c), 0);
	assert_int_equal(client_stat(&c, "reconnects"), 1);
	client_close(&c);
}

static void keep_alives_are_sent(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ",keep-alive=1"));
	await(&c, &t.keep_alives, 3);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	assert_int_equal(client_stat(&c, "reconnects"), 0);
	client_close(&c);
}

static uint64_t size_of(struct client *c)
{
	VIO_OPTS(vio_backend_info, i, 0);

	assert_int_equal(vio_backend_info(c->backend, &i), 0);
	return i.size;
}

static void a_resize_is_seen(void **state)
{
	struct client c;

	(void)state;
	t.blocks = 1000;
	client_open(&c, target_stack(&t, ""));
	assert_int_equal(size_of(&c), 512000);
	for (unsigned blocks = 2000; blocks > 1800; blocks -= 100) {
		for (unsigned i = 0; i < 500 && size_of(&c) != blocks * 512; i++) {
			target_resize(&t, blocks);
			vio_poller_wait(c.poller, 10);
		}
		assert_int_equal(size_of(&c), blocks * 512);
	}
	vio_req_pool_free(c.pool);
	vio_lane_free(c.lane);
	/* Without a lane it is asked. */
	TARGET_SET(t.blocks, 1500);
	assert_int_equal(size_of(&c), 1500 * 512);
	vio_backend_free(c.backend);
	vio_mem_free(c.mem);
	vio_poller_free(c.poller);
}

/* Under the same name, but not the same. */
static void another_namespace_is_not_taken(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ",timeout=1"));
	memset(c.shared, 0x77, 4096);
	t.uuid[3] = 9;
	target_cut(&t);
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, c.shared, 4096), -EIO);
	assert_int_equal(t.disk[0], 0);
	client_close(&c);
}

/* The lane that saw to the association goes: another one does from then on. */
static void lanes_come_and_go(void **state)
{
	VIO_OPTS(vio_lane_opts, o, 0);
	struct vio_lane *lane[3];
	struct client c;
	char *data;

	(void)state;
	client_open(&c, target_stack(&t, ",keep-alive=1"));
	data = c.shared;
	for (unsigned i = 0; i < 3; i++)
		client_ok(vio_lane_new(&lane[i], c.backend, c.poller, &o));
	vio_req_pool_free(c.pool);
	vio_lane_free(c.lane);
	vio_lane_free(lane[1]);
	c.lane = lane[2];
	client_ok(vio_req_pool_new(&c.pool, c.lane, 64, 4));
	await(&c, &t.keep_alives, TARGET_GET(t.keep_alives) + 2);
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, data, 4096), 0);
	target_cut(&t);
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, data, 4096), 0);
	vio_lane_free(lane[0]);
	client_close(&c);
}

static void too_many_lanes(void **state)
{
	VIO_OPTS(vio_lane_opts, o, 0);
	struct vio_lane *lane;
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ",queues=1"));
	assert_int_equal(vio_lane_new(&lane, c.backend, c.poller, &o), -EBUSY);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	client_close(&c);
}

static void the_next_path_is_tried(void **state)
{
	static struct target other;
	struct client c;
	char stack[256];

	(void)state;
	target_start(&other);
	snprintf(stack, sizeof(stack), "nvme-tcp:127.0.0.1:%u+127.0.0.1:%u,nqn=" TARGET_NQN, t.port,
		 other.port);
	client_open(&c, stack);
	memset(c.shared, 0x21, 32 * 4096);
	TARGET_SET(t.hold, 1);
	submit_all(&c, VIO_OP_WRITE, 32);
	await(&c, &t.io, 32);
	TARGET_SET(t.closed, 1);
	target_cut(&t);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(client_finish(&c), 0);
	assert_memory_equal(other.disk, c.shared, 32 * 4096);
	client_close(&c);
	target_stop(&other);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(requests_under_way_are_sent_again),
		TEST(the_old_controller_is_stopped_first),
		TEST(requests_wait_for_the_target),
		TEST(requests_fail_when_it_stays_away),
		TEST(a_silent_queue_is_left),
		TEST(a_silent_target_is_left),
		TEST(keep_alives_are_sent),
		TEST(a_resize_is_seen),
		TEST(another_namespace_is_not_taken),
		TEST(lanes_come_and_go),
		TEST(too_many_lanes),
		TEST(the_next_path_is_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
