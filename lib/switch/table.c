/* SPDX-License-Identifier: MIT */
#include "switch/table.h"

#include <sys/mman.h>
#include <sys/random.h>

#define TABLE_HUGE (2ul << 20)

int table_seed_new(struct table_seed *seed)
{
	if (getrandom(seed, sizeof(*seed), 0) != (ssize_t)sizeof(*seed))
		return vio__fail(EIO, "switch: the kernel gave no random bytes for a table's hash");
	for (size_t i = 0; i < VIO_ARRAY_SIZE(seed->word); i++)
		seed->word[i] |= 1; /* a factor of zero would hash everything alike */
	return 0;
}

void *table_memory(size_t size)
{
	size_t align = size >= TABLE_HUGE ? TABLE_HUGE : VIO_CACHELINE;
	void *p;

	size = (size + align - 1) & ~(align - 1);
	p = aligned_alloc(align, size);
	if (!p)
		return NULL;
	if (align == TABLE_HUGE)
		madvise(p, size, MADV_HUGEPAGE); /* small pages do, too */
	memset(p, 0, size);
	return p;
}
