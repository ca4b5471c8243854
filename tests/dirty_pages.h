/* SPDX-License-Identifier: MIT */
/* A dirty log of the pages around ring_guest.h's memory, and what must be in it. */
#ifndef TESTS_DIRTY_PAGES_H
#define TESTS_DIRTY_PAGES_H

#include <virtio-offload/mem.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096u
#define PAGES 0x400u

struct log {
	struct vio_dirty *d;
	uint8_t *bits;
	int fd;
};

static inline void log_open(struct log *l)
{
	l->fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(l->fd, PAGES / 8), 0);
	l->bits = mmap(NULL, PAGES / 8, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	assert_ptr_not_equal(l->bits, MAP_FAILED);
	assert_int_equal(vio_dirty_new(&l->d, l->fd, 0, PAGES / 8), 0);
}

static inline void log_close(struct log *l)
{
	vio_dirty_free(l->d);
	munmap(l->bits, PAGES / 8);
	close(l->fd);
}

/* The log holds the pages of these addresses and no others, and is empty afterwards. */
static inline void logged(struct log *l, const uint64_t *at, unsigned n)
{
	uint8_t want[PAGES / 8] = { 0 };

	for (unsigned i = 0; i < n; i++)
		want[at[i] / PAGE / 8] |= (uint8_t)(1u << at[i] / PAGE % 8);
	assert_memory_equal(l->bits, want, sizeof(want));
	memset(l->bits, 0, sizeof(want));
}

#endif
