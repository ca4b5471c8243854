/* SPDX-License-Identifier: MIT */
/* What the tables share: memory, and a hash that guests, who choose the keys, can't steer. */
#ifndef VIO_SWITCH_TABLE_H
#define VIO_SWITCH_TABLE_H

#include "base/base.h"

/* Random, one a table: whoever does not know it can't choose keys that meet in one bucket. */
struct table_seed {
	uint64_t word[4];
};

/* -EIO when the kernel has no random bytes. */
int table_seed_new(struct table_seed *seed);

/* Zeroed and already touched, in huge pages where the kernel gives them; NULL: out of memory. free() frees
 * it. */
void *table_memory(size_t size);

/* The 128-bit product, folded. */
VIO_INLINE uint64_t table_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* 0..n-1 from 32 random bits; n need be no power of two. */
VIO_INLINE uint32_t table_pick(uint32_t random, uint32_t n)
{
	return (uint32_t)((uint64_t)random * n >> 32);
}

#endif
