/* SPDX-License-Identifier: MIT */
/*
 * Our own target is killed again and again while its host writes: each request completes
 * once and well, and the file holds what was written last.
 */
#include "our_target.h"
#include "stamped.h"
#include "wire/nvme_tcp.h"

#include <pthread.h>

#define BLOCKS 2048u
#define THREADS 3u

static struct our_target target;

static const char *ours(const char *more)
{
	static char text[128];

	snprintf(text, sizeof(text), "nvme-tcp:127.0.0.1:%u,nqn=" OUR_NQN "%s", target.port, more);
	return text;
}

static void kill_it(void *ctx)
{
	(void)ctx;
	our_kill(&target);
	our_fork(&target);
}

static void rounds(const char *more)
{
	struct client c;

	our_start(&target, BLOCKS * STAMP_BLOCK);
	client_open(&c, ours(more));
	for (uint64_t round = 1; round <= 4; round++) {
		assert_int_equal(stamp_write(&c, BLOCKS, round, 500, kill_it, NULL), 4);
		stamp_verify(target.image, BLOCKS, round);
	}
	assert_int_equal(client_stat(&c, "completed"), 4 * BLOCKS);
	assert_int_equal(client_stat(&c, "errors"), 0);
	assert_true(client_stat(&c, "reconnects") >= 8);
	client_close(&c);
	our_stop(&target);
}

static void under_load(void **state)
{
	(void)state;
	rounds("");
}

static void with_few_commands_and_digests(void **state)
{
	(void)state;
	rounds(vio__nvme_tcp_has_digests() ? ",depth=40,digests=both" : ",depth=40");
}

/* A thread with a lane of its own writes a part of the disk, over and over, and reads what it wrote last. */
struct writer {
	pthread_t thread;
	struct vio_backend *backend;
	unsigned index;
	uint64_t written; /* blocks; read by the one that kills */
	uint64_t *round;  /* of each block; what completed last */
	bool stop;
};

static void writer_one(struct client *c, struct writer *w, uint64_t n)
{
	uint64_t at = w->index * BLOCKS / THREADS, block = n * 7919 % (BLOCKS / THREADS);
	uint64_t *data = (uint64_t *)c->shared;

	for (unsigned i = 0; i < STAMP_BLOCK / 8; i++)
		data[i] = stamp(at + block, w->round[block] + 1, i);
	assert_int_equal(client_do(c, VIO_OP_WRITE, (at + block) * STAMP_BLOCK, data, STAMP_BLOCK), 0);
	w->round[block]++;
	block = n * 104729 % (BLOCKS / THREADS);
	assert_int_equal(client_do(c, VIO_OP_READ, (at + block) * STAMP_BLOCK, data, STAMP_BLOCK), 0);
	for (unsigned i = 0; i < STAMP_BLOCK / 8 && w->round[block]; i++)
		assert_int_equal(data[i], stamp(at + block, w->round[block], i));
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	struct client c = { 0 };
	struct vio_mem_region r;

	client_ok(vio_poller_new(&c.poller, NULL));
	client_ok(vio_mem_alloc(&c.mem, 0x1000, CLIENT_MEM));
	client_ok(vio_mem_get(c.mem, 0, &r));
	c.shared = r.ptr;
	client_ok(vio_lane_new(&c.lane, w->backend, c.poller, NULL));
	client_ok(vio_req_pool_new(&c.pool, c.lane, 4, 4));
	for (uint64_t n = 0; !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE); n++) {
		writer_one(&c, w, n);
		__atomic_add_fetch(&w->written, 1, __ATOMIC_ACQ_REL);
	}
	vio_req_pool_free(c.pool);
	vio_lane_free(c.lane);
	vio_mem_free(c.mem);
	vio_poller_free(c.poller);
	return NULL;
}

/* Until each has got on by so many. */
static void await_progress(struct writer *w, uint64_t n)
{
	for (unsigned i = 0; i < THREADS; i++) {
		uint64_t until = __atomic_load_n(&w[i].written, __ATOMIC_ACQUIRE) + n;

		for (unsigned ms = 0; __atomic_load_n(&w[i].written, __ATOMIC_ACQUIRE) < until; ms++) {
			assert_true(ms < 30000);
			usleep(1000);
		}
	}
}

static void from_several_threads(void **state)
{
	struct writer w[THREADS] = { 0 };
	struct vio_backend *b;

	(void)state;
	our_start(&target, BLOCKS * STAMP_BLOCK);
	client_ok(vio_backend_parse(&b, NULL, ours("")));
	for (unsigned i = 0; i < THREADS; i++) {
		w[i].backend = b;
		w[i].index = i;
		w[i].round = calloc(BLOCKS / THREADS, sizeof(uint64_t));
		pthread_create(&w[i].thread, NULL, writer_run, &w[i]);
	}
	for (unsigned kills = 0; kills < 10; kills++) {
		await_progress(w, 50);
		kill_it(NULL);
	}
	await_progress(w, 50);
	for (unsigned i = 0; i < THREADS; i++) {
		__atomic_store_n(&w[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(w[i].thread, NULL);
		free(w[i].round);
	}
	vio_backend_free(b);
	our_stop(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(under_load),
		cmocka_unit_test(with_few_commands_and_digests),
		cmocka_unit_test(from_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
