/* SPDX-License-Identifier: MIT */
/* Threads that write one disk, each its part, and read what they wrote last. */
#ifndef TESTS_WRITERS_H
#define TESTS_WRITERS_H

#include "stamped.h"

#include <pthread.h>

#define WRITER_BLOCKS 2048u /* of all */
#define WRITERS 3u

/* A thread with a lane of its own writes a part of the disk, over and over, and reads what it wrote last. */
struct writer {
	pthread_t thread;
	struct vio_backend *backend;
	unsigned index;
	uint64_t written; /* blocks; read by the one that kills */
	uint64_t *round;  /* of each block; what completed last */
	bool stop;
};

static inline void writer_one(struct client *c, struct writer *w, uint64_t n)
{
	uint64_t at = w->index * WRITER_BLOCKS / WRITERS, block = n * 7919 % (WRITER_BLOCKS / WRITERS);
	uint64_t *data = (uint64_t *)c->shared;

	for (unsigned i = 0; i < STAMP_BLOCK / 8; i++)
		data[i] = stamp(at + block, w->round[block] + 1, i);
	assert_int_equal(client_do(c, VIO_OP_WRITE, (at + block) * STAMP_BLOCK, data, STAMP_BLOCK), 0);
	w->round[block]++;
	block = n * 104729 % (WRITER_BLOCKS / WRITERS);
	assert_int_equal(client_do(c, VIO_OP_READ, (at + block) * STAMP_BLOCK, data, STAMP_BLOCK), 0);
	for (unsigned i = 0; i < STAMP_BLOCK / 8 && w->round[block]; i++)
		assert_int_equal(data[i], stamp(at + block, w->round[block], i));
}

static inline void *writer_run(void *arg)
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
static inline void await_progress(struct writer *w, uint64_t n)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		uint64_t until = __atomic_load_n(&w[i].written, __ATOMIC_ACQUIRE) + n;

		for (unsigned ms = 0; __atomic_load_n(&w[i].written, __ATOMIC_ACQUIRE) < until; ms++) {
			assert_true(ms < 30000);
			usleep(1000);
		}
	}
}

static inline void writers_start(struct writer *w, struct vio_backend *b)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i].backend = b;
		w[i].index = i;
		w[i].round = calloc(WRITER_BLOCKS / WRITERS, sizeof(uint64_t));
		pthread_create(&w[i].thread, NULL, writer_run, &w[i]);
	}
}

static inline void writers_end(struct writer *w)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		__atomic_store_n(&w[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(w[i].thread, NULL);
		free(w[i].round);
	}
}

#endif
