/* SPDX-License-Identifier: MIT */
/* What the NVMe/TCP host sends and receives, in every form that a target may want it in. */
#include "disk_client.h"
#include "fake_target.h"

static struct target t;

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = (char)(seed >> 16);
	}
}

/* One request for each piece, as many at once as there is room for. */
static void all_at_once(struct client *c, uint8_t op, char *data)
{
	static const uint32_t sizes[] = { 512, 4096, 8192, 8704, 65536, 200704, 512, 131072 };
	unsigned out = 0;
	uint64_t at = 0;

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(sizes); at += sizes[i++]) {
		while (!vio_lane_room(c->lane)) {
			assert_int_equal(client_finish(c), 0);
			out--;
		}
		client_submit(c, client_req(c, op, at, data + at, sizes[i]));
		out++;
	}
	while (out--)
		assert_int_equal(client_finish(c), 0);
}

#define ALL (512u + 4096 + 8192 + 8704 + 65536 + 200704 + 512 + 131072)

static void check_data(struct client *c)
{
	char *out = c->shared, *in = c->shared + CLIENT_MEM / 2;

	fill(out, CLIENT_MEM / 2, 1);
	memset(in, 0, CLIENT_MEM / 2);
	all_at_once(c, VIO_OP_WRITE, out);
	assert_memory_equal(t.disk, out, ALL);
	all_at_once(c, VIO_OP_READ, in);
	assert_memory_equal(in, out, ALL);
}

/* The same through a vector of odd pieces, empty ones among them. */
static void check_vector(struct client *c)
{
	char *out = c->shared, *in = c->shared + CLIENT_MEM / 2;

	for (int read = 0; read < 2; read++) {
		struct vio_req *r = client_req(c, read ? VIO_OP_READ : VIO_OP_WRITE, 4096, NULL, 65536);
		char *p = read ? in : out;
		size_t left = 65536;

		for (unsigned i = 0; left; i++) {
			size_t n = i % 7 == 3 ? 0 : i == 199 ? left : VIO_MIN(left, 1 + i * 37 % 611);

			r->iov[r->niov++] = (struct iovec){ p, n };
			p += n;
			left -= n;
		}
		client_submit(c, r);
		assert_int_equal(client_finish(c), 0);
	}
	assert_memory_equal(t.disk + 4096, out, 65536);
	assert_memory_equal(in, out, 65536);
}

static void check(const char *more)
{
	struct client c;

	client_open(&c, target_stack(&t, more));
	check_data(&c);
	check_vector(&c);
	client_close(&c);
}

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

static void data_in_capsules_and_by_r2t(void **state)
{
	(void)state;
	check("");
}

static void no_room_in_capsules(void **state)
{
	(void)state;
	t.ioccsz = 4;
	check("");
}

static void data_in_many_pieces(void **state)
{
	(void)state;
	t.c2h_max = 1000;
	t.r2t_max = 5000;
	t.max_h2c = 4096;
	check("");
}

static void success_with_the_last_data(void **state)
{
	(void)state;
	t.success = true;
	check("");
}

static void aligned_data(void **state)
{
	(void)state;
	t.cpda = 31;
	check("");
}

static void small_commands_and_few(void **state)
{
	(void)state;
	t.mdts = 1;
	t.mqes = 3;
	check("");
}

static void large_blocks(void **state)
{
	struct client c;
	char *p;

	(void)state;
	t.shift = 12;
	t.blocks = TARGET_SIZE >> 12;
	client_open(&c, target_stack(&t, ""));
	p = c.shared;
	fill(p, 16384, 3);
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 8192, p, 16384), 0);
	assert_memory_equal(t.disk + 8192, p, 16384);
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 512, p, 4096), -EINVAL);
	client_close(&c);
}

static void digests_of_each_kind(void **state)
{
	(void)state;
	if (!vio__nvme_tcp_has_digests())
		skip();
	check(",digests=header");
	check(",digests=data");
	check(",digests=both");
	t.cpda = 1;
	t.c2h_max = 6000;
	t.max_h2c = 4096;
	check(",digests=both");
}

static void flush_discard_and_zeroes(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	memset(t.disk, 0x55, TARGET_SIZE);
	assert_int_equal(client_do(&c, VIO_OP_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(t.flushes, 1);
	assert_int_equal(client_do(&c, VIO_OP_WRITE_ZEROES, 4096, NULL, 65536), 0);
	assert_int_equal(t.disk[4095], 0x55);
	assert_int_equal(t.disk[4096], 0);
	assert_int_equal(t.disk[4096 + 65535], 0);
	assert_int_equal(t.disk[4096 + 65536], 0x55);
	assert_int_equal(client_do(&c, VIO_OP_DISCARD, 131072, NULL, 512), 0);
	assert_int_equal((uint8_t)t.disk[131072], 0xdd);
	assert_int_equal(t.disk[131072 + 512], 0x55);
	assert_int_equal(client_do(&c, VIO_OP_SECURE_ERASE, 0, NULL, 512), -EOPNOTSUPP);
	client_close(&c);
}

/* A controller that has neither, nor a cache. */
static void what_the_target_has_not(void **state)
{
	VIO_OPTS(vio_backend_info, i, 0);
	struct client c;

	(void)state;
	t.oncs = 0;
	t.vwc = 0;
	client_open(&c, target_stack(&t, ""));
	assert_int_equal(vio_backend_info(c.backend, &i), 0);
	assert_int_equal(i.size, TARGET_SIZE);
	assert_int_equal(i.block, 512);
	assert_int_equal(i.ops, 1u << VIO_OP_READ | 1u << VIO_OP_WRITE | 1u << VIO_OP_FLUSH);
	assert_false(i.volatile_cache);
	assert_int_equal(client_do(&c, VIO_OP_DISCARD, 0, NULL, 512), -EOPNOTSUPP);
	assert_int_equal(client_do(&c, VIO_OP_WRITE_ZEROES, 0, NULL, 512), -EOPNOTSUPP);
	assert_int_equal(client_do(&c, VIO_OP_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(t.flushes, 0);
	client_close(&c);
}

static void statuses_are_told(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	assert_int_equal(client_do(&c, VIO_OP_READ, TARGET_SIZE, c.shared, 512), -EIO);
	t.fail = NVME_STATUS(NVME_SC_CAP_EXCEEDED);
	t.fails = 1;
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, c.shared, 512), -ENOSPC);
	t.fail = NVME_STATUS(NVME_SC_INTERNAL) | NVME_STATUS_DNR;
	t.fails = 1;
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 512), -EIO);
	/* One of several parts: the request has its outcome once, when all are over. */
	t.fails = 1;
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, c.shared, CLIENT_MEM), -EIO);
	assert_int_equal(client_stat(&c, "errors"), 4);
	client_close(&c);
}

static void what_is_worth_it_is_tried_again(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	fill(c.shared, 4096, 9);
	t.fail = NVME_STATUS(NVME_SC_NS_NOT_READY);
	t.fails = 2;
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, c.shared, 4096), 0);
	assert_memory_equal(t.disk, c.shared, 4096);
	assert_int_equal(client_stat(&c, "retried"), 2);
	t.fails = 100;
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, c.shared, 4096), -EIO);
	client_close(&c);
}

/* As many requests as a lane has room for go out in one call. */
static void a_batch_is_one_call(void **state)
{
	struct vio_req *r[32];
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	for (unsigned i = 0; i < 32; i++)
		r[i] = client_req(&c, VIO_OP_READ, i * 4096, c.shared + i * 4096, 4096);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared + 32 * 4096, 4096), 0);
	uint64_t before = client_stat(&c, "sends");
	vio_lane_submit(c.lane, r, 32);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(client_finish(&c), 0);
	assert_int_equal(client_stat(&c, "sends") - before, 1);
	client_close(&c);
}

static void nothing_is_left_behind(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ",queues=4,depth=16"));
	assert_int_equal(vio_lane_room(c.lane), 16);
	client_close(&c);
	/* One association to have a look, one for the lane, and each was left in good order. */
	assert_int_equal(TARGET_GET(t.leaves), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(data_in_capsules_and_by_r2t),
		TEST(no_room_in_capsules),
		TEST(data_in_many_pieces),
		TEST(success_with_the_last_data),
		TEST(aligned_data),
		TEST(small_commands_and_few),
		TEST(large_blocks),
		TEST(digests_of_each_kind),
		TEST(flush_discard_and_zeroes),
		TEST(what_the_target_has_not),
		TEST(statuses_are_told),
		TEST(what_is_worth_it_is_tried_again),
		TEST(a_batch_is_one_call),
		TEST(nothing_is_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
