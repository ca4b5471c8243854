/* SPDX-License-Identifier: MIT */
/*
 * Both ends are ours: the driver of PCI controllers and our NVMe controller, without VFIO in between. What is
 * read is what was written, however it lies in memory; lanes are threads' own; changes of the namespace are
 * seen; what the system wants back is given back.
 */
#include "nvme_vfio_function.h"

#include "scratch.h"
#include "stamped.h"

#include <fcntl.h>

#define SIZE (8u << 20)

static struct served served;
static struct client client;

static struct vio_lane *lane_on(struct vio_poller *p, struct vio_backend *b, struct vio_mem *mem)
{
	VIO_OPTS(vio_lane_opts, lo, .mem = mem);
	struct vio_lane *l;

	if (vio_lane_new(&l, b, p, &lo))
		fail_msg("%s", vio_errmsg());
	return l;
}

static void open_mode(const char *more, enum vio_poll_mode mode)
{
	VIO_OPTS(vio_poller_opts, po, .mode = mode);
	struct vio_mem_region r;

	memset(&client, 0, sizeof(client));
	client_ok(vio_poller_new(&client.poller, &po));
	client_ok(vio_mem_alloc(&client.mem, 0x1000, CLIENT_MEM));
	client_ok(vio_mem_get(client.mem, 0, &r));
	client.shared = r.ptr;
	client.backend = served_backend(more);
	client.lane = lane_on(client.poller, client.backend, client.mem);
	client_ok(vio_req_pool_new(&client.pool, client.lane, 64, 300));
}

/* Stores what is in the client's memory in pieces of a pattern, and finds it again. */
static void pieces(uint64_t offset, size_t from, size_t len, size_t gap, unsigned n)
{
	struct vio_req *w = client_req(&client, VIO_OP_WRITE, offset, NULL, len * n), *r;
	static char back[256 * 8192];

	w->niov = (uint16_t)n;
	for (unsigned i = 0; i < n; i++) {
		w->iov[i] = (struct iovec){ client.shared + from + i * (len + gap), len };
		memset(w->iov[i].iov_base, (int)(i + offset / 512 + 1), len);
	}
	client_submit(&client, w);
	assert_int_equal(client_finish(&client), 0);
	memset(back, 0, len * n);
	r = client_req(&client, VIO_OP_READ, offset, back, len * n);
	client_submit(&client, r);
	assert_int_equal(client_finish(&client), 0);
	for (size_t i = 0; i < len * n; i++)
		assert_int_equal((uint8_t)back[i], (uint8_t)(i / len + offset / 512 + 1));
}

/* Memory that is not shared is copied, whole pages are not; what lies oddly goes by SGL. */
static void layouts(void)
{
	uint64_t bounced, sgls;

	pieces(0, 0, 4096, 0, 64);
	pieces(512, 4096 - 512, 512, 0, 1);
	pieces(4096, 512, 512, 0, 200);
	bounced = client_stat(&client, "bounced"); /* the reads' own */
	sgls = client_stat(&client, "sgls");
	assert_int_equal(sgls, 0);
	assert_true(bounced >= 3);
	pieces(1 << 20, 16, 512, 32, 50);
	assert_true(client_stat(&client, "sgls") > sgls);
	pieces(2 << 20, 20, 1536, 36, 256); /* more pieces than a command names */
	pieces(3 << 20, 3, 512, 1, 3);	    /* at odd addresses */
	assert_int_equal(client_do(&client, VIO_OP_WRITE_ZEROES, 8192, NULL, 8192), 0);
	assert_int_equal(client_do(&client, VIO_OP_DISCARD, 65536, NULL, 4096), 0);
	assert_int_equal(client_do(&client, VIO_OP_READ, 8192, client.shared, 8192), 0);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(client.shared[i], 0);
	assert_int_equal(client_do(&client, VIO_OP_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(client_do(&client, VIO_OP_READ, SIZE, client.shared, 512), -EIO);
	assert_int_equal(client_do(&client, VIO_OP_READ, 100, client.shared, 512), -EINVAL);
	assert_int_equal(client_do(&client, VIO_OP_SECURE_ERASE, 0, NULL, 512), -EOPNOTSUPP);
}

/* One command's data and more, from memory of our own that a driver can't have mapped. */
static void large(void)
{
	size_t len = 5u << 20;
	char *out = malloc(len), *in = malloc(len);

	for (size_t i = 0; i < len / 8; i++)
		((uint64_t *)out)[i] = stamp(i, 3, 1);
	assert_int_equal(client_do(&client, VIO_OP_WRITE, 512, out, len), 0);
	assert_int_equal(client_do(&client, VIO_OP_READ, 512, in, len), 0);
	assert_memory_equal(in, out, len);
	free(out);
	free(in);
}

static void read_back(uint64_t round)
{
	for (uint64_t b = 0; b < SIZE / STAMP_BLOCK; b += 17) {
		assert_int_equal(client_do(&client, VIO_OP_READ, b * STAMP_BLOCK, client.shared, STAMP_BLOCK),
				 0);
		for (unsigned i = 0; i < STAMP_BLOCK / 8; i++)
			assert_int_equal(((uint64_t *)client.shared)[i], stamp(b, round, i));
	}
}

static void round_trip(enum vio_poll_mode mode, enum vio_poll_mode theirs, const char *more)
{
	struct vio_backend_info i = { .sz = sizeof(i) };

	served_start(&served, "ram:8M", theirs);
	open_mode(more, mode);
	assert_int_equal(vio_backend_info(client.backend, &i), 0);
	assert_int_equal(i.size, SIZE);
	assert_int_equal(i.block, 512);
	stamp_write(&client, SIZE / STAMP_BLOCK, 1, 0, NULL, NULL);
	read_back(1);
	assert_int_equal(client_stat(&client, "bounced"), 0);
	assert_true(mode == VIO_POLL_BUSY ? !client_stat(&client, "interrupts")
					  : client_stat(&client, "interrupts") > 0);
	layouts();
	large();
	client_close(&client);
	assert_int_equal(served.maps, 0);
	assert_int_equal(served.closes, 1);
	served_stop(&served);
}

static void with_interrupts(void **state)
{
	(void)state;
	round_trip(VIO_POLL_EVENT, VIO_POLL_EVENT, "");
	round_trip(VIO_POLL_ADAPTIVE, VIO_POLL_EVENT, ",shadow=off");
	round_trip(VIO_POLL_EVENT, VIO_POLL_EVENT, ",depth=32");
}

static void without_interrupts(void **state)
{
	(void)state;
	round_trip(VIO_POLL_BUSY, VIO_POLL_BUSY, ",shadow=off");
	round_trip(VIO_POLL_BUSY, VIO_POLL_EVENT, "");
	round_trip(VIO_POLL_BUSY, VIO_POLL_BUSY, ",depth=33");
}

struct worker {
	pthread_t thread;
	struct vio_backend *b;
	unsigned index;
};

/* Its own eighth of the disk, written and read with its own lane. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct client c = { .backend = w->b };
	VIO_OPTS(vio_poller_opts, po, .mode = w->index % 2 ? VIO_POLL_BUSY : VIO_POLL_EVENT);
	uint64_t first = w->index * (SIZE / STAMP_BLOCK / 8);
	struct vio_mem_region r;

	client_ok(vio_poller_new(&c.poller, &po));
	client_ok(vio_mem_alloc(&c.mem, 0x1000, CLIENT_MEM));
	client_ok(vio_mem_get(c.mem, 0, &r));
	c.shared = r.ptr;
	c.lane = lane_on(c.poller, c.backend, c.mem);
	client_ok(vio_req_pool_new(&c.pool, c.lane, 64, 4));
	for (unsigned round = 1; round < 4; round++) {
		for (uint64_t b = first; b < first + SIZE / STAMP_BLOCK / 8; b += 16) {
			for (unsigned k = 0; k < 16; k++)
				stamp_send(&c, k, b + k, round);
			for (unsigned k = 0; k < 16; k++)
				assert_int_equal(client_finish(&c), 0);
		}
		for (uint64_t b = first; b < first + SIZE / STAMP_BLOCK / 8; b++) {
			assert_int_equal(client_do(&c, VIO_OP_READ, b * STAMP_BLOCK, c.shared, STAMP_BLOCK),
					 0);
			assert_int_equal(((uint64_t *)c.shared)[77], stamp(b, round, 77));
		}
	}
	vio_req_pool_free(c.pool);
	vio_lane_free(c.lane);
	vio_mem_free(c.mem);
	vio_poller_free(c.poller);
	return NULL;
}

static void lanes_are_threads(void **state)
{
	struct worker w[6];
	struct vio_backend *b;

	(void)state;
	served_start(&served, "ram:8M", VIO_POLL_EVENT);
	b = served_backend("");
	for (unsigned i = 0; i < 6; i++) {
		w[i] = (struct worker){ .b = b, .index = i };
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 6; i++)
		pthread_join(w[i].thread, NULL);
	vio_backend_free(b);
	assert_int_equal(served.maps, 0);
	served_stop(&served);
}

/* One poller with two lanes, of either engine, hears of both. */
static void lanes_share_a_poller(void **state)
{
	const enum vio_poll_engine engines[] = { VIO_POLL_EPOLL, VIO_POLL_IO_URING };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		VIO_OPTS(vio_poller_opts, po, .engine = engines[i]);
		struct client a = { 0 }, b;

		served_start(&served, "ram:8M", VIO_POLL_EVENT);
		client_ok(vio_poller_new(&a.poller, &po));
		client_ok(vio_mem_alloc(&a.mem, 0x1000, CLIENT_MEM));
		a.shared = vio_mem_ptr(a.mem, 0x1000, CLIENT_MEM);
		a.backend = served_backend("");
		b = a;
		a.lane = lane_on(a.poller, a.backend, a.mem);
		b.lane = lane_on(b.poller, b.backend, b.mem);
		client_ok(vio_req_pool_new(&a.pool, a.lane, 4, 1));
		client_ok(vio_req_pool_new(&b.pool, b.lane, 4, 1));
		for (unsigned k = 0; k < 50; k++) {
			memset(a.shared, (int)k, 8192);
			assert_int_equal(client_do(&a, VIO_OP_WRITE, k * 8192, a.shared, 8192), 0);
			memset(a.shared, 0xff, 8192);
			assert_int_equal(client_do(&b, VIO_OP_READ, k * 8192, b.shared, 8192), 0);
			assert_int_equal(a.shared[8191], k);
		}
		vio_req_pool_free(b.pool);
		vio_lane_free(b.lane);
		client_close(&a);
		assert_int_equal(served.maps, 0);
		served_stop(&served);
	}
}

static uint64_t size_now(void)
{
	struct vio_backend_info i = { .sz = sizeof(i) };

	assert_int_equal(vio_backend_info(client.backend, &i), 0);
	return i.size;
}

static void growth_is_seen(void **state)
{
	char path[64], stack[96];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/vio-nvfio.%d", getpid());
	snprintf(stack, sizeof(stack), "file:%s", path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	served_start(&served, stack, VIO_POLL_EVENT);
	open_mode("", VIO_POLL_EVENT);
	for (unsigned i = 2; i < 5; i++) {
		assert_int_equal(ftruncate(fd, (off_t)SIZE * i), 0);
		assert_int_equal(vio_nvme_ns_resize(served.s, 1), 0);
		while (size_now() != (uint64_t)SIZE * i)
			vio_poller_wait(client.poller, 10);
	}
	client_close(&client);
	served_stop(&served);
	close(fd);
	unlink(path);
}

static void is_given_back(void **state)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	VIO_OPTS(vio_lane_opts, lo, 0);
	const uint64_t one = 1;
	struct vio_lane *l;
	unsigned failed = 0;

	(void)state;
	served_start(&served, "ram:8M | throttle:iops=50", VIO_POLL_EVENT);
	open_mode("", VIO_POLL_EVENT);
	for (unsigned k = 0; k < 32; k++)
		stamp_send(&client, k, k, 1);
	assert_int_equal(write(served.f.gone, &one, sizeof(one)), sizeof(one));
	for (unsigned k = 0; k < 32; k++)
		failed += client_finish(&client) == -EIO;
	assert_true(failed > 0);
	assert_int_equal(served.closes, 1); /* while the lane is still there */
	assert_int_equal(client_do(&client, VIO_OP_READ, 0, client.shared, 512), -EIO);
	assert_int_equal(vio_backend_info(client.backend, &i), -ENODEV);
	assert_int_equal(vio_lane_new(&l, client.backend, client.poller, &lo), -ENODEV);
	client_close(&client);
	assert_int_equal(served.closes, 1);
	served_stop(&served);
}

/* Guest memory that can't be mapped is copied to and from; queues that can't be are none. */
static void memory_is_refused(void **state)
{
	VIO_OPTS(vio_lane_opts, lo, 0);
	struct vio_lane *l;

	(void)state;
	served_start(&served, "ram:8M", VIO_POLL_EVENT);
	open_mode("", VIO_POLL_EVENT);
	served.refuse_map = -ENOMEM;
	assert_int_equal(vio_lane_new(&l, client.backend, client.poller, &lo), -ENOMEM);
	served.refuse_map = 0;
	client_close(&client);
	served_stop(&served);

	served_start(&served, "ram:8M", VIO_POLL_EVENT);
	served.f.maps = 2; /* the admin queue's, and one lane's */
	open_mode("", VIO_POLL_EVENT);
	stamp_write(&client, SIZE / STAMP_BLOCK, 2, 0, NULL, NULL);
	read_back(2);
	assert_int_equal(client_stat(&client, "prps"), 0);
	assert_int_equal(client_stat(&client, "bounced"), client_stat(&client, "commands"));
	client_close(&client);
	served_stop(&served);
}

static void bad_arguments(void **state)
{
	struct vio_backend *b;

	(void)state;
	assert_int_equal(vio_backend_parse(&b, NULL, "nvme-vfio:"), -EINVAL);
	assert_int_equal(vio_backend_parse(&b, NULL, "nvme-vfio:../../x"), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "0000:03:00.0"));
	assert_int_equal(vio_backend_parse(&b, NULL, "nvme-vfio:0000:00:00.0,depth=0"), -EINVAL);
	assert_int_equal(vio_backend_parse(&b, NULL, "nvme-vfio:fffe:1f:1f.7"), -ENODEV);
	served_start(&served, "ram:8M", VIO_POLL_EVENT);
	{
		struct vio_backend_type t = *vio_backend_find("nvme-vfio");

		t.open = served_open;
		assert_int_equal(vio_backend_new(&b, &t, NULL, NULL, "0000:00:00.0,nsid=2"), -ENODEV);
		assert_non_null(strstr(vio_errmsg(), "no namespace 2"));
		assert_int_equal(served.closes, 1);
	}
	served_stop(&served);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_interrupts),   cmocka_unit_test(without_interrupts),
		cmocka_unit_test(lanes_are_threads), cmocka_unit_test(lanes_share_a_poller),
		cmocka_unit_test(growth_is_seen),    cmocka_unit_test(is_given_back),
		cmocka_unit_test(memory_is_refused), cmocka_unit_test(bad_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
