/* SPDX-License-Identifier: MIT */
/* Whatever a request looks like, the driving end makes it fit the server's limits, and no byte is lost. */
#include "disk_client.h"
#include "fake_server.h"

#define DISK (1u << 20)

static struct fake fake;
static struct client client;
static char disk[DISK];
static const char *format; /* each test runs on both kinds of ring */
static unsigned served, flushes, most_pieces;
static uint32_t most_sectors;

static void start(const char *options)
{
	char stack[128];

	for (unsigned i = 0; i < DISK; i++)
		disk[i] = (char)(i * 7 + (i >> 9));
	served = flushes = most_pieces = most_sectors = 0;
	fake.features |= VIO_BIT(VIRTIO_F_RING_PACKED);
	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user:%s,packed=%s%s", fake.path, format, options);
	client_open(&client, stack);
}

static void stop(void)
{
	client_close(&client);
	fake_stop(&fake);
}

static void serve_data(const struct fake_req *r)
{
	uint64_t at = le64toh(r->header->sector) * 512, total = 0;

	for (unsigned i = 0; i < r->ndata; i++) {
		char *p = r->data[i].iov_base;
		size_t n = r->data[i].iov_len;

		assert_non_null(p);
		assert_true(at + n <= DISK);
		memcpy(r->in ? p : disk + at, r->in ? disk + at : p, n);
		at += n;
		total += n;
	}
	assert_int_equal(total % 512, 0);
	most_pieces = VIO_MAX(most_pieces, r->ndata);
}

static void serve_range(const struct fake_req *r)
{
	const struct virtio_blk_discard_write_zeroes *z = r->data[0].iov_base;
	uint32_t n = le32toh(z->num_sectors);

	assert_int_equal(r->ndata, 1);
	assert_int_equal(r->data[0].iov_len, 16);
	memset(disk + le64toh(z->sector) * 512, 0, n * 512u);
	most_sectors = VIO_MAX(most_sectors, n);
}

/* Serves all that is posted, the newest first: an order that a driver has to live with. */
static void serve(void)
{
	struct fake_req r[64];
	unsigned n = 0;

	while (n < 64 && fake_take(&fake, 0, &r[n]))
		n++;
	while (n--) {
		uint32_t type = le32toh(r[n].header->type);

		served++;
		if (type == VIRTIO_BLK_T_FLUSH) {
			flushes++;
			assert_int_equal(r[n].ndata, 0);
		} else if (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT) {
			assert_int_equal(r[n].in, type == VIRTIO_BLK_T_IN);
			serve_data(&r[n]);
		} else {
			serve_range(&r[n]);
		}
		fake_use(&fake, 0, &r[n], VIRTIO_BLK_S_OK);
	}
}

static int run(struct vio_req *r)
{
	struct vio_req *done;
	int res;

	client_submit(&client, r);
	for (unsigned i = 0; i < 1000; i++) {
		serve();
		if (!vio_lane_reap(client.lane, &done, 1))
			continue;
		assert_ptr_equal(done, r);
		res = r->res;
		vio_req_put(client.pool, r);
		return res;
	}
	fail_msg("the request never completed");
	return -1;
}

/* A request over n pieces of `piece` bytes each, taken from base. */
static struct vio_req *vector(uint8_t op, uint64_t offset, char *base, unsigned n, size_t piece)
{
	struct vio_req *r = client_req(&client, op, offset, NULL, n * piece);

	r->niov = (uint16_t)n;
	for (unsigned i = 0; i < n; i++)
		r->iov[i] = (struct iovec){ base + i * piece, piece };
	return r;
}

static void shared_memory_is_not_copied(void **state)
{
	(void)state;
	fake_init(&fake);
	start("");
	assert_int_equal(run(client_req(&client, VIO_OP_READ, 4096, client.shared, 8192)), 0);
	assert_memory_equal(client.shared, disk + 4096, 8192);
	assert_int_equal(served, 1);
	assert_int_equal(run(vector(VIO_OP_READ, 0, client.shared, 8, 512)), 0);
	assert_memory_equal(client.shared, disk, 4096);
	assert_int_equal(served, 2);
	assert_int_equal(most_pieces, 8);
	assert_int_equal(client_stat(&client, "bounced"), 0);
	stop();
}

static void other_memory_is_bounced(void **state)
{
	static char own[300 * 1024];

	(void)state;
	fake_init(&fake);
	start("");
	assert_int_equal(run(client_req(&client, VIO_OP_READ, 512, own, sizeof(own))), 0);
	assert_memory_equal(own, disk + 512, sizeof(own));
	memset(own, 0x5a, sizeof(own));
	assert_int_equal(run(client_req(&client, VIO_OP_WRITE, 8192, own, sizeof(own))), 0);
	assert_memory_equal(own, disk + 8192, sizeof(own));
	assert_int_equal(client_stat(&client, "bounced"), 10); /* 64 KiB at a time */
	assert_int_equal(client_stat(&client, "bounced_bytes"), 2 * sizeof(own));
	stop();
}

/* More bounce buffers than there are: the rest waits for the first. */
static void a_request_larger_than_all_buffers(void **state)
{
	static char own[DISK];

	(void)state;
	fake_init(&fake);
	start(",queue-size=8");
	assert_int_equal(run(client_req(&client, VIO_OP_READ, 0, own, sizeof(own))), 0);
	assert_memory_equal(own, disk, sizeof(own));
	stop();
}

static void long_vectors_are_cut(void **state)
{
	(void)state;
	fake_init(&fake); /* seg_max 8 */
	start("");
	assert_int_equal(run(vector(VIO_OP_READ, 0, client.shared, 100, 1024)), 0);
	assert_memory_equal(client.shared, disk, 100 * 1024);
	assert_int_equal(served, 13);
	assert_int_equal(most_pieces, 8);
	assert_int_equal(client_stat(&client, "bounced"), 0);
	stop();
}

/* Pieces that are no whole blocks can't be cut between: they are gathered in bounce buffers. */
static void ragged_vectors_are_gathered(void **state)
{
	(void)state;
	fake_init(&fake);
	start("");
	assert_int_equal(run(vector(VIO_OP_READ, 1024, client.shared, 128, 100)), 0);
	assert_memory_equal(client.shared, disk + 1024, 12800);
	assert_int_equal(served, 1);
	assert_int_equal(client_stat(&client, "bounced"), 1);
	assert_int_equal(run(vector(VIO_OP_READ, 1024, client.shared, 8, 64)), 0); /* short enough as it is */
	assert_int_equal(client_stat(&client, "bounced"), 1);
	stop();
}

static void pieces_keep_to_size_max(void **state)
{
	(void)state;
	fake_init(&fake);
	fake.features |= VIO_BIT(VIRTIO_BLK_F_SIZE_MAX);
	fake.config.size_max = htole32(4096 + 100);
	start("");
	assert_int_equal(run(client_req(&client, VIO_OP_READ, 0, client.shared, 65536)), 0);
	assert_memory_equal(client.shared, disk, 65536);
	assert_int_equal(served, 2); /* 8 pieces of 4096 each */
	stop();
}

static void without_indirect_each_piece_is_a_request(void **state)
{
	(void)state;
	fake_init(&fake);
	fake.features &= ~VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	start("");
	assert_int_equal(run(vector(VIO_OP_WRITE, 2048, client.shared, 5, 512)), 0);
	assert_memory_equal(client.shared, disk + 2048, 5 * 512);
	assert_int_equal(served, 5);
	stop();
}

static void ranges_are_cut(void **state)
{
	static const char zeroes[40 * 512];

	(void)state;
	fake_init(&fake); /* 16 sectors at most */
	start("");
	assert_int_equal(run(client_req(&client, VIO_OP_DISCARD, 512, NULL, 40 * 512)), 0);
	assert_memory_equal(disk + 512, zeroes, sizeof(zeroes));
	assert_int_equal(served, 3);
	assert_int_equal(run(client_req(&client, VIO_OP_WRITE_ZEROES, 40960, NULL, 32 * 512)), 0);
	assert_memory_equal(disk + 40960, zeroes, 32 * 512);
	assert_int_equal(served, 5);
	assert_int_equal(most_sectors, 16);
	stop();
}

static void fua_is_a_write_and_a_flush(void **state)
{
	struct vio_req *r;

	(void)state;
	fake_init(&fake);
	start("");
	r = client_req(&client, VIO_OP_WRITE, 0, client.shared, 4096);
	r->flags = VIO_REQ_FUA;
	assert_int_equal(run(r), 0);
	assert_int_equal(served, 2);
	assert_int_equal(flushes, 1);
	assert_int_equal(run(client_req(&client, VIO_OP_FLUSH, 0, NULL, 0)), 0);
	assert_int_equal(flushes, 2);
	stop();
}

static void without_a_cache_there_is_nothing_to_flush(void **state)
{
	struct vio_req *r;

	(void)state;
	fake_init(&fake);
	fake.features &= ~(VIO_BIT(VIRTIO_BLK_F_FLUSH) | VIO_BIT(VIRTIO_BLK_F_DISCARD));
	start("");
	r = client_req(&client, VIO_OP_WRITE, 0, client.shared, 4096);
	r->flags = VIO_REQ_FUA;
	assert_int_equal(run(r), 0);
	assert_int_equal(run(client_req(&client, VIO_OP_FLUSH, 0, NULL, 0)), 0);
	assert_int_equal(served, 1);
	assert_int_equal(run(client_req(&client, VIO_OP_DISCARD, 0, NULL, 512)), -EOPNOTSUPP);
	assert_int_equal(run(client_req(&client, VIO_OP_SECURE_ERASE, 0, NULL, 512)), -EOPNOTSUPP);
	stop();
}

/* Indexes wrap at 65,536, slots come round again in every order, interrupts stay parked. */
static void a_hundred_thousand_requests(void **state)
{
	(void)state;
	fake_init(&fake);
	fake.features |= VIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	start(*format == 'o' && format[1] == 'n' ? ",queue-size=29"
						 : ",queue-size=32"); /* 29: none divides it */
	for (unsigned i = 0; i < 100000; i++) {
		struct vio_req *r = client_req(&client, VIO_OP_READ, i % 2048 * 512, client.shared, 512);

		assert_int_equal(run(r), 0);
	}
	assert_int_equal(served, 100000);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_memory_is_not_copied),
		cmocka_unit_test(other_memory_is_bounced),
		cmocka_unit_test(a_request_larger_than_all_buffers),
		cmocka_unit_test(long_vectors_are_cut),
		cmocka_unit_test(ragged_vectors_are_gathered),
		cmocka_unit_test(pieces_keep_to_size_max),
		cmocka_unit_test(without_indirect_each_piece_is_a_request),
		cmocka_unit_test(ranges_are_cut),
		cmocka_unit_test(fua_is_a_write_and_a_flush),
		cmocka_unit_test(without_a_cache_there_is_nothing_to_flush),
		cmocka_unit_test(a_hundred_thousand_requests),
	};

	format = "off";
	if (cmocka_run_group_tests_name("split", tests, NULL, NULL))
		return 1;
	format = "on";
	return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
