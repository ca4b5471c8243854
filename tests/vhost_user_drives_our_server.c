/* SPDX-License-Identifier: MIT */
/* Both ends are ours, in two processes: every ring format, one queue and two, and kill -9 under load. */
#include "our_server.h"
#include "stamped.h"

#include <errno.h>

#define BLOCKS 2048u

static struct server server;
static struct client client;

static void start(const char *device, const char *options)
{
	char stack[160];

	server_start(&server, (off_t)BLOCKS * STAMP_BLOCK, device);
	snprintf(stack, sizeof(stack), "vhost_user:%s%s", server.sock, options);
	client_open(&client, stack);
}

static void stop(void)
{
	client_close(&client);
	server_stop(&server);
}

static void read_back(struct client *c, uint64_t round)
{
	for (uint64_t b = 0; b < BLOCKS; b += 17) {
		assert_int_equal(client_do(c, VIO_OP_READ, b * STAMP_BLOCK, c->shared, STAMP_BLOCK), 0);
		for (unsigned i = 0; i < STAMP_BLOCK / 8; i++)
			assert_int_equal(((uint64_t *)c->shared)[i], stamp(b, round, i));
	}
}

static void round_trip(const char *device, const char *options)
{
	static char own[100000 / 512 * 512], back[sizeof(own)];
	struct vio_req *r;

	start(device, options);
	stamp_write(&client, BLOCKS, 1, 0, NULL, NULL);
	assert_int_equal(client_do(&client, VIO_OP_FLUSH, 0, NULL, 0), 0);
	stamp_verify(server.image, BLOCKS, 1);
	read_back(&client, 1);
	assert_int_equal(client_stat(&client, "bounced"), 0);
	memset(own, 0x77, sizeof(own));
	assert_int_equal(client_do(&client, VIO_OP_WRITE, 512, own, sizeof(own)), 0);
	assert_int_equal(client_do(&client, VIO_OP_READ, 512, back, sizeof(back)), 0);
	assert_memory_equal(own, back, sizeof(own));
	assert_int_equal(client_do(&client, VIO_OP_WRITE_ZEROES, 512, NULL, 8192), 0);
	assert_int_equal(client_do(&client, VIO_OP_DISCARD, 65536, NULL, 4096), 0);
	assert_int_equal(client_do(&client, VIO_OP_READ, 512, back, 8192), 0);
	memset(own, 0, 8192);
	assert_memory_equal(own, back, 8192);
	r = client_req(&client, VIO_OP_READ, 8704, NULL, 50 * 512);
	r->niov = 50;
	for (unsigned i = 0; i < 50; i++)
		r->iov[i] = (struct iovec){ client.shared + i * 1024, 512 };
	client_submit(&client, r);
	assert_int_equal(client_finish(&client), 0);
	assert_int_equal(client.shared[49 * 1024], 0x77);
	assert_int_equal(client_do(&client, VIO_OP_READ, (uint64_t)BLOCKS * STAMP_BLOCK, back, 512), -EIO);
	stop();
}

static void split(void **state)
{
	(void)state;
	round_trip("", "");
	round_trip("", ",queue-size=128");
}

static void packed(void **state)
{
	(void)state;
	round_trip("", ",packed=on");
	round_trip("", ",packed=on,queue-size=101");
}

static void two_queues(const char *options)
{
	VIO_OPTS(vio_lane_opts, lo, 0);
	struct vio_req_pool *pool;
	struct client second;
	struct vio_lane *lane;

	start("queues=2", options);
	second = client;
	lo.mem = client.mem;
	client_ok(vio_lane_new(&lane, client.backend, client.poller, &lo));
	client_ok(vio_req_pool_new(&pool, lane, 64, 200));
	second.lane = lane;
	second.pool = pool;
	stamp_write(&client, BLOCKS, 1, 0, NULL, NULL);
	read_back(&second, 1);
	stamp_write(&second, BLOCKS, 2, 0, NULL, NULL);
	read_back(&client, 2);
	vio_req_pool_free(pool);
	vio_lane_free(lane);
	stop();
}

static void split_with_two_queues(void **state)
{
	(void)state;
	two_queues(",queues=2");
}

static void packed_with_two_queues(void **state)
{
	(void)state;
	two_queues(",queues=2,packed=on");
}

static void kill_server(void *ctx)
{
	server_kill(ctx);
	server_fork(ctx);
}

/* The inflight region tells the next server what the last one had taken. */
static void killed_under_load(const char *options)
{
	unsigned kills = 0;

	start("", options);
	for (uint64_t round = 1; round <= 4; round++) {
		kills += stamp_write(&client, BLOCKS, round, 300, kill_server, &server);
		stamp_verify(server.image, BLOCKS, round);
	}
	assert_true(kills >= 20);
	assert_int_equal(client_stat(&client, "completed"), client_stat(&client, "submitted"));
	assert_int_equal(client_stat(&client, "errors"), 0);
	assert_int_equal(client_stat(&client, "replayed"), 0); /* by us: it is the server that did it */
	stop();
}

static void split_killed_under_load(void **state)
{
	(void)state;
	killed_under_load(",reconnect=on");
}

static void packed_killed_under_load(void **state)
{
	(void)state;
	killed_under_load(",reconnect=on,packed=on");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
		cmocka_unit_test(split_with_two_queues),
		cmocka_unit_test(packed_with_two_queues),
		cmocka_unit_test(split_killed_under_load),
		cmocka_unit_test(packed_killed_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
