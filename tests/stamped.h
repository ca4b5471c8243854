/* SPDX-License-Identifier: MIT */
/* A disk full of stamps: each word of a block tells the block and the round in which it was written. */
#ifndef TESTS_STAMPED_H
#define TESTS_STAMPED_H

#include "disk_client.h"

#include <fcntl.h>
#include <unistd.h>

#define STAMP_BLOCK 4096u
#define STAMP_DEPTH 32u

static inline uint64_t stamp(uint64_t block, uint64_t round, unsigned i)
{
	return (block << 32 | round << 16 | i) * 0x9e3779b97f4a7c15ull;
}

static inline void stamp_send(struct client *c, unsigned slot, uint64_t block, uint64_t round)
{
	char *data = c->shared + slot * STAMP_BLOCK;
	struct vio_req *r = client_req(c, VIO_OP_WRITE, block * STAMP_BLOCK, data, STAMP_BLOCK);

	r->user = slot;
	for (unsigned i = 0; i < STAMP_BLOCK / 8; i++)
		((uint64_t *)data)[i] = stamp(block, round, i);
	client_submit(c, r);
}

/*
 * Writes `blocks` blocks, STAMP_DEPTH at a time, and calls kill each `every`
 * completions (0: never); every write must succeed. Returns the kills.
 */
static inline unsigned stamp_write(struct client *c, uint64_t blocks, uint64_t round, unsigned every,
				   void (*kill)(void *), void *ctx)
{
	uint64_t next = 0, done = 0;
	unsigned kills = 0;

	for (; next < STAMP_DEPTH; next++)
		stamp_send(c, (unsigned)next, next, round);
	while (done < blocks) {
		struct vio_req *r = client_reap(c);
		unsigned slot = (unsigned)r->user;

		assert_int_equal(r->res, 0);
		vio_req_put(c->pool, r);
		if (next < blocks)
			stamp_send(c, slot, next++, round);
		done++;
		if (!every || done % every)
			continue;
		kill(ctx);
		kills++;
	}
	return kills;
}

/* What the file holds is what the round wrote. */
static inline void stamp_verify(const char *image, uint64_t blocks, uint64_t round)
{
	static uint64_t data[STAMP_BLOCK / 8];
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	for (uint64_t b = 0; b < blocks; b++) {
		assert_int_equal(pread(fd, data, STAMP_BLOCK, (off_t)(b * STAMP_BLOCK)), STAMP_BLOCK);
		for (unsigned i = 0; i < STAMP_BLOCK / 8; i++)
			assert_int_equal(data[i], stamp(b, round, i));
	}
	close(fd);
}

#endif
