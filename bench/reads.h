/* SPDX-License-Identifier: MIT */
/* What clients of bench/nvme.py share: the clock, and which block is read next. */
#ifndef BENCH_READS_H
#define BENCH_READS_H

#include <stdint.h>
#include <time.h>

#define READ_BLOCK 4096u
#define READ_BLOCKS 32768u /* of the store: 128 MiB */

/* Seconds. */
static inline double read_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The same blocks in each run. */
static inline uint32_t read_any(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x % READ_BLOCKS);
}

#endif
