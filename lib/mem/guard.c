/* SPDX-License-Identifier: MIT */
/*
 * A guard against SIGBUS. A front end may shrink its memory file under us, and
 * only a signal handler can repair that; it has no way to reach an object, so this
 * list is the one process-wide table of the library. It does nothing unless the
 * embedder's handler asks.
 */
#include "mem/map.h"

#include <sys/mman.h>
#include <unistd.h>

static struct {
	uintptr_t start; /* 0: free; 1: being changed */
	size_t size;
} guard_list[4096];

int vio__guard_add(char *map, size_t size)
{
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(guard_list); i++) {
		uintptr_t empty = 0;

		if (!__atomic_compare_exchange_n(&guard_list[i].start, &empty, 1, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
			continue;
		__atomic_store_n(&guard_list[i].size, size, __ATOMIC_RELAXED);
		__atomic_store_n(&guard_list[i].start, (uintptr_t)map, __ATOMIC_RELEASE);
		return (int)i;
	}
	return -1;
}

void vio__guard_del(int slot)
{
	if (slot >= 0)
		__atomic_store_n(&guard_list[slot].start, 0, __ATOMIC_RELEASE);
}

static bool guard_has(uintptr_t addr)
{
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(guard_list); i++) {
		uintptr_t start = __atomic_load_n(&guard_list[i].start, __ATOMIC_ACQUIRE);

		if (start > 1 && addr - start < __atomic_load_n(&guard_list[i].size, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

bool vio_mem_sigbus(void *addr)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)addr & ~(page - 1);
	int saved = errno;
	bool mended = guard_has((uintptr_t)addr) &&
		      mmap((void *)at, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
			      MAP_FAILED;

	errno = saved;
	return mended;
}
