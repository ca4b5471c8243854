/* SPDX-License-Identifier: MIT */
/* Which memory the server gets to see: once each, no more than it takes, and taken back in the end. */
#include "disk_client.h"
#include "fake_server.h"

static struct fake fake;
static struct client client;

static void start(const char *options)
{
	char stack[128];

	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user:%s%s", fake.path, options);
	client_open(&client, stack);
}

static void stop(void)
{
	client_close(&client);
	fake_stop(&fake);
}

/* One read into p, served; how many pieces were bounced by it. */
static uint64_t bounces_of(struct vio_lane *l, unsigned queue, char *p)
{
	struct client c = client;
	uint64_t before = client_stat(&c, "bounced");
	struct vio_req *r = client_req(&c, VIO_OP_READ, 0, p, 512);
	struct fake_req t;

	c.lane = l;
	client_submit(&c, r);
	assert_true(fake_take(&fake, queue, &t));
	assert_non_null(t.data[0].iov_base);
	memset(t.data[0].iov_base, 0x3c, 512);
	fake_use(&fake, queue, &t, VIRTIO_BLK_S_OK);
	assert_int_equal(client_finish(&c), 0);
	assert_int_equal(p[511], 0x3c);
	return client_stat(&c, "bounced") - before;
}

static struct vio_lane *second_lane(struct vio_mem *mem)
{
	VIO_OPTS(vio_lane_opts, lo, .mem = mem);
	struct vio_lane *l;

	client_ok(vio_lane_new(&l, client.backend, client.poller, &lo));
	return l;
}

static void lanes_share_regions(void **state)
{
	struct vio_lane *l;

	(void)state;
	fake_init(&fake);
	start(",queues=2");
	assert_int_equal(fake.nmap, 2); /* the area of the rings, and the client's memory */
	l = second_lane(client.mem);
	assert_int_equal(fake.nmap, 2);
	assert_int_equal(bounces_of(l, 1, client.shared), 0);
	vio_lane_free(l);
	assert_int_equal(fake.nmap, 2);
	assert_int_equal(bounces_of(client.lane, 0, client.shared), 0);
	stop();
}

static void regions_come_and_go_with_lanes(void **state)
{
	struct vio_mem *mem;
	struct vio_mem_region r;

	(void)state;
	fake_init(&fake);
	start(",queues=2");
	client_ok(vio_mem_alloc(&mem, 0x1000, 8192));
	client_ok(vio_mem_get(mem, 0, &r));
	for (unsigned i = 0; i < 100; i++) { /* many more than there are slots */
		struct vio_lane *l = second_lane(mem);

		assert_int_equal(fake.nmap, 3);
		assert_int_equal(bounces_of(l, 1, r.ptr), 0);
		vio_lane_free(l);
		assert_int_equal(fake.nmap, 2);
	}
	vio_mem_free(mem);
	stop();
}

/* A snapshot of n regions of one page, each a file of its own. */
static struct vio_mem *many(unsigned n)
{
	VIO_OPTS(vio_mem_opts, mo, .keep_fds = true);
	struct vio_mem_region r[16] = { 0 };
	struct vio_mem *mem;

	for (unsigned i = 0; i < n; i++) {
		char name[] = "/tmp/vio-region.XXXXXX";

		r[i] = (struct vio_mem_region){ .guest = 0x10000 * (i + 1),
						.size = 4096,
						.fd = mkstemp(name) };
		unlink(name);
		assert_int_equal(ftruncate(r[i].fd, 4096), 0);
	}
	client_ok(vio_mem_new(&mem, r, n, &mo));
	for (unsigned i = 0; i < n; i++)
		close(r[i].fd);
	return mem;
}

static unsigned bounced_regions(struct vio_lane *l, unsigned queue, struct vio_mem *mem)
{
	unsigned n = 0;

	for (unsigned i = 0; i < vio_mem_count(mem); i++) {
		struct vio_mem_region r;

		client_ok(vio_mem_get(mem, i, &r));
		n += (unsigned)bounces_of(l, queue, r.ptr);
	}
	return n;
}

static void more_regions_than_slots(void **state)
{
	struct vio_mem *mem = many(10);
	struct vio_lane *l;

	(void)state;
	fake_init(&fake);
	fake.slots = 6; /* two are taken already */
	start(",queues=2");
	l = second_lane(mem);
	assert_int_equal(fake.nmap, 6);
	assert_int_equal(bounced_regions(l, 1, mem), 6);
	vio_lane_free(l);
	vio_mem_free(mem);
	stop();
}

/* The old way, one table of eight: it can't change under rings that run. */
static void without_slots_the_table_is_fixed(void **state)
{
	struct vio_mem *mem = many(3);
	struct vio_lane *l;

	(void)state;
	fake_init(&fake);
	fake.protocol &= ~VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	start(",queues=2");
	assert_int_equal(fake.nmap, 2);
	assert_int_equal(bounces_of(client.lane, 0, client.shared), 0);
	l = second_lane(mem);
	assert_int_equal(fake.nmap, 2);
	assert_int_equal(bounced_regions(l, 1, mem), 3);
	assert_int_equal(bounces_of(l, 1, client.shared), 1); /* not this lane's */
	vio_lane_free(l);
	vio_mem_free(mem);
	stop();
}

static void memory_without_a_file_is_bounced(void **state)
{
	static char own[8192] __attribute__((aligned(4096)));
	struct vio_mem_region r = { .guest = 0x1000, .size = sizeof(own), .ptr = own, .fd = -1 };
	struct vio_mem *mem;
	struct vio_lane *l;

	(void)state;
	fake_init(&fake);
	start(",queues=2");
	client_ok(vio_mem_new(&mem, &r, 1, NULL));
	l = second_lane(mem);
	assert_int_equal(bounces_of(l, 1, own), 1);
	vio_lane_free(l);
	vio_mem_free(mem);
	stop();
}

static void regions_are_shared_up_to_their_last_byte(void **state)
{
	(void)state;
	fake_init(&fake);
	start("");
	assert_int_equal(bounces_of(client.lane, 0, client.shared), 0);
	assert_int_equal(bounces_of(client.lane, 0, client.shared + CLIENT_MEM - 512), 0);
	stop();
}

static void a_disk_that_grows_shows_it(void **state)
{
	struct vio_backend_info i = { .sz = sizeof(i) };

	(void)state;
	fake_init(&fake);
	start("");
	client_ok(vio_backend_info(client.backend, &i));
	assert_int_equal(i.size, 2048 * 512);
	fake.config.capacity = htole64(4096);
	client_ok(vio_backend_info(client.backend, &i));
	assert_int_equal(i.size, 4096 * 512);
	stop();
}

static void refuse(const char *arg, const char *why)
{
	struct vio_backend *b;

	assert_int_equal(vio_backend_new(&b, vio_backend_find("vhost_user"), NULL, NULL, arg), -EINVAL);
	assert_null(b);
	if (!strstr(vio_errmsg(), why))
		fail_msg("'%s' says '%s', expected '%s'", arg, vio_errmsg(), why);
}

static void arguments_are_checked(void **state)
{
	(void)state;
	refuse("", "the path of the server's socket is missing");
	refuse("queues=2", "the path of the server's socket is missing");
	refuse("/s,queues=0", "queues=0 is out of range");
	refuse("/s,queue-size=100", "power of two");
	refuse("/s,queue-size=2", "out of range");
	refuse("/s,packed=maybe", "expected on or off");
	refuse("/s,colour=red", "there are: queues, queue-size, packed, reconnect, timeout");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lanes_share_regions),
		cmocka_unit_test(regions_come_and_go_with_lanes),
		cmocka_unit_test(more_regions_than_slots),
		cmocka_unit_test(without_slots_the_table_is_fixed),
		cmocka_unit_test(memory_without_a_file_is_bounced),
		cmocka_unit_test(regions_are_shared_up_to_their_last_byte),
		cmocka_unit_test(a_disk_that_grows_shows_it),
		cmocka_unit_test(arguments_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
