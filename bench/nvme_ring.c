/* SPDX-License-Identifier: MIT */
/*
 * What does the serving end of an NVMe queue pair cost a command? A read of 4 KiB with one PRP: taken, its
 * data found, answered; in bursts of 32. A host stub and the queue alternate on one thread; only the
 * queue's calls are timed, in TSC cycles, and the burst at the tenth percentile is what counts.
 */
#include "queue/nvme_pool.h"
#include "queue/nvme_ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#define SIZE 256u
#define BURST 32u
#define BURSTS 400000u
#define SQ 0x0u /* guest addresses */
#define CQ 0x4000u
#define DATA 0x10000u

struct stub {
	struct vio_mem *mem;
	struct nvme_pool *pool;
	struct nvme_cq cq;
	struct nvme_sq sq;
	uint32_t tail, head; /* doorbells */
	uint16_t cid;
	uint64_t told;
	uint32_t cycles[BURSTS];
};

static void check(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s\n", vio_errmsg());
	exit(1);
}

static void stub_told(struct nvme_cq *cq)
{
	((struct stub *)cq->owner)->told++;
}

static void stub_post(struct stub *s)
{
	struct nvme_cmd *ring = vio_mem_ptr(s->mem, SQ, 1);
	uint32_t tail = s->tail;

	for (unsigned i = 0; i < BURST; i++) {
		ring[tail] = (struct nvme_cmd){ .opcode = nvme_cmd_read,
						.cid = s->cid++,
						.nsid = 1,
						.prp1 = DATA + i * NRING_PAGE,
						.cdw10 = i * 8,
						.cdw12 = 7 };
		tail = (tail + 1) % SIZE;
	}
	__atomic_store_n(&s->tail, tail, __ATOMIC_RELEASE);
}

static void stub_serve(struct stub *s, unsigned burst)
{
	struct nvme_req *r[BURST];
	unsigned aux;
	uint64_t start = __rdtscp(&aux);
	int n = nvme_sq_take(&s->sq, r, BURST);
	uint16_t status = 0;

	for (int i = 0; i < n; i++)
		status |= r[i]->q->ops->data(r[i]->q, r[i], 4096, true);
	for (int i = 0; i < n; i++)
		r[i]->q->ops->give(r[i]->q, r[i]);
	nvme_cq_flush(&s->cq);
	s->cycles[burst] = (uint32_t)(__rdtscp(&aux) - start);
	if (n != BURST || status) {
		fprintf(stderr, "took %d of %u, status %#x\n", n, BURST, status);
		exit(1);
	}
	__atomic_store_n(&s->head, s->cq.tail, __ATOMIC_RELEASE);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int main(void)
{
	struct stub *s = calloc(1, sizeof(*s));

	if (!s)
		return 1;
	check(vio_mem_alloc(&s->mem, 0, DATA + BURST * NRING_PAGE));
	check(npool_new(&s->pool, 1 << 20, 0));
	check(nvme_cq_init(&s->cq, &(struct nvme_cq_opts){ .mem = s->mem,
							   .base = CQ,
							   .size = SIZE,
							   .doorbell = &s->head,
							   .notify = stub_told,
							   .owner = s }));
	check(nvme_sq_init(&s->sq, &(struct nvme_sq_opts){ .mem = s->mem,
							   .pool = s->pool,
							   .base = SQ,
							   .size = SIZE,
							   .slots = 128,
							   .id = 1,
							   .doorbell = &s->tail,
							   .cq = &s->cq }));
	for (unsigned i = 0; i < BURSTS; i++) {
		stub_post(s);
		stub_serve(s, i);
	}
	qsort(s->cycles, BURSTS, sizeof(*s->cycles), compare);
	printf("{\"figure\":\"nvme.ring.cycles\",\"value\":%.1f,\"unit\":\"cycles\",\"p50\":%.1f,\"floor\":"
	       "60}\n",
	       s->cycles[BURSTS / 10] / (double)BURST, s->cycles[BURSTS / 2] / (double)BURST);
	nvme_sq_fini(&s->sq);
	npool_free(s->pool);
	vio_mem_free(s->mem);
	free(s);
	return 0;
}
