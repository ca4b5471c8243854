/* SPDX-License-Identifier: MIT */
/* Under migration exactly the pages that the device wrote are logged: buffers and ring, and nothing else. */
#define _GNU_SOURCE
#include "queue_pair.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES 0x400u
#define DATA (RG_AT + RG_DATA)

struct log {
	struct vio_dirty *d;
	uint8_t *bits;
	int fd;
};

static void log_open(struct log *l)
{
	l->fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(l->fd, PAGES / 8), 0);
	l->bits = mmap(NULL, PAGES / 8, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
	ok(vio_dirty_new(&l->d, l->fd, 0, PAGES / 8));
}

static void log_close(struct log *l)
{
	vio_dirty_free(l->d);
	munmap(l->bits, PAGES / 8);
	close(l->fd);
}

/* The log holds these pages, and is empty afterwards. */
static void logged(struct log *l, const uint64_t *at, unsigned n)
{
	uint8_t want[PAGES / 8] = { 0 };

	for (unsigned i = 0; i < n; i++)
		want[at[i] / PAGE / 8] |= (uint8_t)(1u << at[i] / PAGE % 8);
	assert_memory_equal(l->bits, want, sizeof(want));
	memset(l->bits, 0, sizeof(want));
}

static void writes_are_logged(uint64_t features, uint64_t device)
{
	/* Readable ones never; of the writable ones only what was written. */
	const struct rg_buf b[] = { { DATA, PAGE, 0 },
				    { DATA + 3 * PAGE - 8, 16, RG_WRITE },
				    { RG_SECOND - 8, 16, RG_WRITE },
				    { DATA + 9 * PAGE, PAGE, RG_WRITE } };
	const uint64_t all[] = { DATA + 2 * PAGE, DATA + 3 * PAGE, RG_SECOND - 8, RG_SECOND, device };
	const uint64_t few[] = { DATA + 2 * PAGE, device };
	struct vio_queue_opts o;
	struct vio_req *r;
	struct log l;
	struct pair p;
	int id;

	log_open(&l);
	ok(rg_open(&p.g, features, 16));
	o = rg_opts(&p.g);
	o.dirty = l.d;
	o.dirty_device = device;
	ok(vio_queue_new(&p.q, &o));
	id = rg_post(&p.g, b, 4);
	r = pair_take(&p);
	logged(&l, NULL, 0);
	pair_give(&p, r, 32);
	logged(&l, all, 5);
	pair_reap(&p, id, 32);
	id = rg_post(&p.g, b, 4);
	r = pair_take(&p);
	r->written = 8;
	vio_queue_give(p.q, &r, 1);
	memset(l.bits, 0, PAGES / 8); /* the log is fetched between give and flush */
	vio_queue_flush(p.q);
	logged(&l, few + 1, 1);
	pair_reap(&p, id, 8);
	vio_queue_kicks(p.q, true);
	l.bits[(RG_AT + RG_DEVICE) / PAGE / 8] &= (uint8_t)~(1u << (RG_AT + RG_DEVICE) / PAGE % 8);
	logged(&l, NULL, 0);
	pair_close(&p);
	log_close(&l);
}

static void split_writes_are_logged(void **state)
{
	(void)state;
	writes_are_logged(V1, RG_AT + RG_DEVICE);
}

static void packed_writes_are_logged(void **state)
{
	(void)state;
	writes_are_logged(PACKED, RG_AT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_writes_are_logged),
		cmocka_unit_test(packed_writes_are_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
