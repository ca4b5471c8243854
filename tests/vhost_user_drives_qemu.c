/* SPDX-License-Identifier: MIT */
/* Our driving end against somebody else's server: qemu-storage-daemon's vhost-user-blk export. */
#include "disk_client.h"
#include "qemu_server.h"

#define DISK (16u << 20)

static struct qemu qemu;

static int setup(void **state)
{
	(void)state;
	qemu_start(&qemu, DISK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	qemu_stop(&qemu);
	return 0;
}

static void open_disk(struct client *c, const char *options, enum vio_poll_mode mode)
{
	char stack[128];

	snprintf(stack, sizeof(stack), "vhost_user:%s%s", qemu.sock, options);
	client_open_mode(c, stack, mode);
}

static void fill(char *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n / 8; i++)
		((uint64_t *)p)[i] = (seed + i) * 0x9e3779b97f4a7c15ull;
}

static void tells_what_it_is_like(void **state)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct client c;

	(void)state;
	open_disk(&c, "", VIO_POLL_EVENT);
	client_ok(vio_backend_info(c.backend, &i));
	assert_int_equal(i.size, DISK);
	assert_int_equal(i.block, 512);
	assert_false(i.read_only);
	assert_true(i.volatile_cache);
	assert_int_equal(i.ops & 1u << VIO_OP_DISCARD, 1u << VIO_OP_DISCARD);
	assert_int_equal(i.ops & 1u << VIO_OP_WRITE_ZEROES, 1u << VIO_OP_WRITE_ZEROES);
	client_close(&c);
}

/* Writes and reads back n requests of `len` bytes, `depth` at a time. */
static void round_trip(struct client *c, size_t len, unsigned depth)
{
	for (uint64_t at = 0; at + len * depth <= DISK; at += len * depth) {
		for (unsigned i = 0; i < depth; i++) {
			fill(c->shared + i * len, len, at + i * len);
			client_submit(c, client_req(c, VIO_OP_WRITE, at + i * len, c->shared + i * len, len));
		}
		for (unsigned i = 0; i < depth; i++)
			assert_int_equal(client_finish(c), 0);
	}
}

static void check(struct client *c, size_t len, unsigned depth)
{
	static uint64_t expected[65536 / 8];

	for (uint64_t at = 0; at + len * depth <= DISK; at += len * depth) {
		for (unsigned i = 0; i < depth; i++)
			client_submit(c, client_req(c, VIO_OP_READ, at + i * len, c->shared + i * len, len));
		for (unsigned i = 0; i < depth; i++)
			assert_int_equal(client_finish(c), 0);
		for (unsigned i = 0; i < depth; i++) {
			fill((char *)expected, len, at + i * len);
			assert_memory_equal(c->shared + i * len, expected, len);
		}
	}
}

static void moves_data(void **state)
{
	struct client c;

	(void)state;
	open_disk(&c, "", VIO_POLL_EVENT);
	round_trip(&c, 4096, 32);
	check(&c, 4096, 32);
	round_trip(&c, 65536, 4);
	check(&c, 65536, 4);
	assert_int_equal(client_stat(&c, "bounced"), 0);
	assert_int_equal(client_stat(&c, "errors"), 0);
	client_close(&c);
}

static void moves_data_while_polling(void **state)
{
	struct client c;

	(void)state;
	open_disk(&c, ",queue-size=64", VIO_POLL_BUSY);
	round_trip(&c, 4096, 16);
	check(&c, 4096, 16);
	assert_true(client_stat(&c, "interrupts") <=
		    2); /* QEMU sends one at the start, one for the first request */
	client_close(&c);
	open_disk(&c, "", VIO_POLL_ADAPTIVE);
	check(&c, 4096, 16);
	client_close(&c);
}

static void moves_vectors_and_foreign_memory(void **state)
{
	static char own[200 * 1024], back[200 * 1024];
	struct client c;
	struct vio_req *r;

	(void)state;
	open_disk(&c, "", VIO_POLL_EVENT);
	fill(own, sizeof(own), 42);
	assert_int_equal(client_do(&c, VIO_OP_WRITE, 1 << 20, own, sizeof(own)), 0);
	assert_int_equal(client_do(&c, VIO_OP_READ, 1 << 20, back, sizeof(back)), 0);
	assert_memory_equal(own, back, sizeof(own));
	r = client_req(&c, VIO_OP_READ, 1 << 20, NULL, 40 * 4096);
	r->niov = 40;
	for (unsigned i = 0; i < 40; i++)
		r->iov[i] = (struct iovec){ c.shared + (39 - i) * 8192, 4096 };
	client_submit(&c, r);
	assert_int_equal(client_finish(&c), 0);
	for (unsigned i = 0; i < 40; i++)
		assert_memory_equal(c.shared + (39 - i) * 8192, own + i * 4096, 4096);
	client_close(&c);
}

static void flushes_discards_and_zeroes(void **state)
{
	static char zeroes[65536];
	struct client c;
	struct vio_req *r;

	(void)state;
	open_disk(&c, "", VIO_POLL_EVENT);
	fill(c.shared, 65536, 7);
	r = client_req(&c, VIO_OP_WRITE, 0, c.shared, 65536);
	r->flags = VIO_REQ_FUA;
	client_submit(&c, r);
	assert_int_equal(client_finish(&c), 0);
	assert_int_equal(client_do(&c, VIO_OP_FLUSH, 0, NULL, 0), 0);
	r = client_req(&c, VIO_OP_WRITE_ZEROES, 4096, NULL, 8192);
	r->flags = VIO_REQ_UNMAP;
	client_submit(&c, r);
	assert_int_equal(client_finish(&c), 0);
	assert_int_equal(client_do(&c, VIO_OP_DISCARD, 32768, NULL, 32768), 0);
	memset(c.shared + 4096, 1, 61440);
	assert_int_equal(client_do(&c, VIO_OP_READ, 4096, c.shared + 4096, 61440), 0);
	assert_memory_equal(c.shared + 4096, zeroes, 8192);
	assert_memory_equal(c.shared + 32768, zeroes, 32768); /* what a discard leaves in a file */
	client_close(&c);
}

static void fails_beyond_the_end(void **state)
{
	struct client c;

	(void)state;
	open_disk(&c, "", VIO_POLL_EVENT);
	assert_int_equal(client_do(&c, VIO_OP_READ, DISK, c.shared, 512), -EIO);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 512), 0);
	client_close(&c);
}

static void has_two_queues_but_not_three(void **state)
{
	VIO_OPTS(vio_lane_opts, lo, 0);
	struct vio_lane *second, *third;
	struct vio_backend *b;
	struct client c;
	char stack[128];

	(void)state;
	open_disk(&c, ",queues=2", VIO_POLL_EVENT);
	lo.mem = c.mem;
	client_ok(vio_lane_new(&second, c.backend, c.poller, &lo));
	assert_int_equal(vio_lane_new(&third, c.backend, c.poller, &lo), -EBUSY);
	assert_non_null(strstr(vio_errmsg(), "all 2 queues are in use"));
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 512), 0);
	vio_lane_free(second);
	client_ok(vio_lane_new(&second, c.backend, c.poller, &lo));
	vio_lane_free(second);
	client_close(&c);
	snprintf(stack, sizeof(stack), "vhost_user:%s,queues=3", qemu.sock);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "has 2 queues"));
	snprintf(stack, sizeof(stack), "vhost_user:%s,packed=on", qemu.sock);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), -ENOTSUP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_what_it_is_like),
		cmocka_unit_test(moves_data),
		cmocka_unit_test(moves_data_while_polling),
		cmocka_unit_test(moves_vectors_and_foreign_memory),
		cmocka_unit_test(flushes_discards_and_zeroes),
		cmocka_unit_test(fails_beyond_the_end),
		cmocka_unit_test(has_two_queues_but_not_three),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
