/* SPDX-License-Identifier: MIT */
/* A host of NVMe queues in its own memory: one submission and one completion queue, and pages for data. */
#ifndef TESTS_NVME_RING_HOST_H
#define TESTS_NVME_RING_HOST_H

#include "queue/nvme_pool.h"
#include "queue/nvme_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#define HOST_MEMORY (2u << 20)
#define HOST_HIGH 0x100000000ull /* a second region of as many bytes */
#define HOST_SQ 0x0u
#define HOST_CQ 0x10000u
#define HOST_DATA 0x20000u
#define HOST_ENTRIES 8u

struct host {
	struct vio_mem *mem;
	struct nvme_pool *pool;
	struct nvme_cq cq;
	struct nvme_sq sq;
	uint32_t sq_bell, cq_bell;
	uint32_t size; /* of both queues */
	uint32_t tail, head;
	uint16_t phase;
	unsigned notified, ended;
};

__attribute__((unused)) static void host_notified(struct nvme_cq *cq)
{
	((struct host *)cq->owner)->notified++;
}

__attribute__((unused)) static void host_ended(struct nvme_sq *sq)
{
	((struct host *)sq->cq->owner)->ended++;
}

__attribute__((unused)) static void *host_at(const struct host *h, uint64_t addr)
{
	void *p = vio_mem_ptr(h->mem, addr, 1);

	assert_non_null(p);
	return p;
}

__attribute__((unused)) static void host_start(struct host *h, uint32_t size, unsigned slots)
{
	const struct nvme_cq_opts c = { .mem = h->mem,
					.base = HOST_CQ,
					.size = size,
					.doorbell = &h->cq_bell,
					.notify = host_notified,
					.owner = h };
	const struct nvme_sq_opts s = { .mem = h->mem,
					.pool = h->pool,
					.base = HOST_SQ,
					.size = size,
					.slots = slots,
					.id = 1,
					.doorbell = &h->sq_bell,
					.cq = &h->cq,
					.ended = host_ended };

	h->size = size;
	h->sq_bell = h->cq_bell = h->tail = h->head = 0;
	h->phase = 1;
	assert_int_equal(nvme_cq_init(&h->cq, &c), 0);
	assert_int_equal(nvme_sq_init(&h->sq, &s), 0);
}

__attribute__((unused)) static void host_open(struct host *h, uint32_t size, unsigned slots)
{
	struct vio_mem *low, *high;
	struct vio_mem_region r;

	*h = (struct host){ 0 };
	assert_int_equal(vio_mem_alloc(&low, 0, HOST_MEMORY), 0);
	assert_int_equal(vio_mem_alloc(&high, HOST_HIGH, HOST_MEMORY), 0);
	assert_int_equal(vio_mem_get(high, 0, &r), 0);
	assert_int_equal(vio_mem_add(&h->mem, low, &r, NULL), 0);
	vio_mem_free(low);
	vio_mem_free(high);
	assert_int_equal(npool_new(&h->pool, 1 << 20, 0), 0);
	host_start(h, size, slots);
}

__attribute__((unused)) static void host_close(struct host *h)
{
	nvme_sq_fini(&h->sq);
	npool_free(h->pool);
	vio_mem_free(h->mem);
}

/* Puts a command into the ring; the doorbell is not rung. */
__attribute__((unused)) static void host_post(struct host *h, const struct nvme_cmd *c)
{
	((struct nvme_cmd *)host_at(h, HOST_SQ))[h->tail] = *c;
	h->tail = (h->tail + 1) % h->size;
}

__attribute__((unused)) static void host_ring(struct host *h)
{
	__atomic_store_n(&h->sq_bell, h->tail, __ATOMIC_RELEASE);
}

/* The next answer, if there is one. */
__attribute__((unused)) static bool host_answer(struct host *h, struct nvme_cqe *out)
{
	struct nvme_cqe *e = (struct nvme_cqe *)host_at(h, HOST_CQ) + h->head;

	if ((__atomic_load_n(&e->status, __ATOMIC_ACQUIRE) & 1) != h->phase)
		return false;
	*out = *e;
	out->status &= (uint16_t)~1u;
	h->head = (h->head + 1) % h->size;
	h->phase ^= !h->head;
	return true;
}

__attribute__((unused)) static void host_read(struct host *h)
{
	__atomic_store_n(&h->cq_bell, h->head, __ATOMIC_RELEASE);
}

#endif
