/* SPDX-License-Identifier: MIT */
/*
 * What does the serving end of a ring cost a request? Take and give of a block
 * request's chain (header, 4 KiB, status) in bursts of 32. A driver stub and the
 * queue alternate on one thread; only the queue's calls are timed, in TSC cycles, and
 * the burst at the tenth percentile is what counts: it saw no interruption.
 */
#include "ring/vring.h"

#include <stdio.h>
#include <stdlib.h>
#include <virtio-offload.h>
#include <x86intrin.h>

#define SIZE 256u
#define BURST 32u
#define BURSTS 400000u
#define RING 0x0u /* guest addresses */
#define DRIVER 0x2000u
#define DEVICE 0x3000u
#define DATA 0x10000u

struct stub {
	struct vio_mem *mem;
	struct vio_queue *q;
	char *base;
	uint16_t next; /* split: chain to post; packed: slot */
	bool packed, wrap;
	uint32_t cycles[BURSTS];
};

static void check(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s\n", vio_errmsg());
	exit(1);
}

/* Header, data and status of chain i. */
static void part(unsigned i, unsigned k, uint64_t *addr, uint32_t *len)
{
	static const uint32_t lens[] = { 16, 4096, 1 };

	*addr = DATA + (i % BURST) * 8192ull + (k == 0 ? 4096 : k == 1 ? 0 : 4096 + 64);
	*len = lens[k];
}

static void split_post(struct stub *s)
{
	struct vring_desc *desc = (struct vring_desc *)(s->base + RING);
	struct vring_avail *avail = (struct vring_avail *)(s->base + DRIVER);

	for (unsigned i = 0; i < BURST; i++, s->next++) {
		unsigned head = s->next % (SIZE / 4) * 4;

		for (unsigned k = 0; k < 3; k++) {
			struct vring_desc d = { .flags = (uint16_t)((k < 2 ? VRING_DESC_F_NEXT : 0) | (k ? VRING_DESC_F_WRITE : 0)),
						.next = (uint16_t)(head + k + 1) };
			uint64_t addr;

			part(s->next, k, &addr, &d.len);
			d.addr = addr;
			desc[head + k] = d;
		}
		avail->ring[s->next % SIZE] = (uint16_t)head;
	}
	__atomic_store_n(&avail->idx, s->next, __ATOMIC_RELEASE);
}

static void packed_post(struct stub *s)
{
	struct vring_packed_desc *ring = (struct vring_packed_desc *)(s->base + RING);

	for (unsigned i = 0; i < BURST; i++)
		for (unsigned k = 0; k < 3; k++) {
			uint16_t flags = (uint16_t)((k < 2 ? VRING_DESC_F_NEXT : 0) | (k ? VRING_DESC_F_WRITE : 0) |
						    (s->wrap ? VRING_AVAIL_BIT : VRING_USED_BIT));
			struct vring_packed_desc d = { .id = (uint16_t)i };
			uint64_t addr;

			part(i, k, &addr, &d.len);
			d.addr = addr;
			ring[s->next] = d;
			__atomic_store_n(&ring[s->next].flags, flags, __ATOMIC_RELEASE);
			if (++s->next == SIZE) {
				s->next = 0;
				s->wrap = !s->wrap;
			}
		}
}

/* The ring's one descriptor of chain i, and behind it the table that Linux drivers use for most requests. */
#define TABLES 0x8000u

static void table_post(struct stub *s, unsigned i)
{
	struct vring_desc *t = (struct vring_desc *)(s->base + TABLES + i * 64);

	for (unsigned k = 0; k < 3; k++) {
		uint16_t flags = (uint16_t)((k < 2 ? VRING_DESC_F_NEXT : 0) | (k ? VRING_DESC_F_WRITE : 0));
		uint64_t addr;
		uint32_t len;

		part(i, k, &addr, &len);
		if (s->packed)
			((struct vring_packed_desc *)t)[k] = (struct vring_packed_desc){ .addr = addr, .len = len, .flags = flags };
		else
			t[k] = (struct vring_desc){ .addr = addr, .len = len, .flags = flags, .next = (uint16_t)(k + 1) };
	}
}

static void split_post_indirect(struct stub *s)
{
	struct vring_desc *desc = (struct vring_desc *)(s->base + RING);
	struct vring_avail *avail = (struct vring_avail *)(s->base + DRIVER);

	for (unsigned i = 0; i < BURST; i++, s->next++) {
		table_post(s, i);
		desc[i] = (struct vring_desc){ .addr = TABLES + i * 64, .len = 48, .flags = VRING_DESC_F_INDIRECT };
		avail->ring[s->next % SIZE] = (uint16_t)i;
	}
	__atomic_store_n(&avail->idx, s->next, __ATOMIC_RELEASE);
}

static void packed_post_indirect(struct stub *s)
{
	struct vring_packed_desc *ring = (struct vring_packed_desc *)(s->base + RING);

	for (unsigned i = 0; i < BURST; i++) {
		uint16_t flags = (uint16_t)(VRING_DESC_F_INDIRECT | (s->wrap ? VRING_AVAIL_BIT : VRING_USED_BIT));

		table_post(s, i);
		ring[s->next] = (struct vring_packed_desc){ .addr = TABLES + i * 64, .len = 48, .id = (uint16_t)i };
		__atomic_store_n(&ring[s->next].flags, flags, __ATOMIC_RELEASE);
		if (++s->next == SIZE) {
			s->next = 0;
			s->wrap = !s->wrap;
		}
	}
}

static void serve(struct stub *s, unsigned burst)
{
	struct vio_req *r[BURST];
	uint64_t start;
	unsigned aux;
	int n;

	start = __rdtscp(&aux);
	n = vio_queue_take(s->q, r, BURST);
	for (int i = 0; i < n; i++)
		r[i]->written = 4097;
	vio_queue_give(s->q, r, (unsigned)n);
	vio_queue_flush(s->q);
	s->cycles[burst] = (uint32_t)(__rdtscp(&aux) - start);
	if (n != BURST) {
		fprintf(stderr, "took %d of %u: %s\n", n, BURST, vio_errmsg());
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void run(const char *figure, bool packed, void (*post)(struct stub *), double floor)
{
	struct stub *s = calloc(1, sizeof(*s));
	VIO_OPTS(vio_queue_opts, o, .size = SIZE, .desc = RING, .driver = DRIVER, .device = DEVICE,
		 .features = VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
			     (packed ? VIO_BIT(VIRTIO_F_RING_PACKED) : 0));

	if (!s)
		exit(1);
	check(vio_mem_alloc(&s->mem, 0, DATA + BURST * 8192));
	s->base = vio_mem_ptr(s->mem, 0, 1);
	s->packed = packed;
	s->wrap = true;
	o.mem = s->mem;
	check(vio_queue_new(&s->q, &o));
	if (packed) /* no interrupts wanted */
		((struct vring_packed_desc_event *)(s->base + DRIVER))->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		((struct vring_avail *)(s->base + DRIVER))->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (unsigned i = 0; i < BURSTS; i++) {
		post(s);
		serve(s, i);
	}
	qsort(s->cycles, BURSTS, sizeof(*s->cycles), compare);
	printf("{\"figure\":\"%s\",\"value\":%.1f,\"unit\":\"cycles\",\"p50\":%.1f,\"floor\":%g}\n", figure,
	       s->cycles[BURSTS / 10] / (double)BURST, s->cycles[BURSTS / 2] / (double)BURST, floor);
	vio_queue_free(s->q);
	vio_mem_free(s->mem);
	free(s);
}

int main(void)
{
	run("queue.split.cycles", false, split_post, 60);
	run("queue.packed.cycles", true, packed_post, 45);
	run("queue.split.indirect", false, split_post_indirect, 60);
	run("queue.packed.indirect", true, packed_post_indirect, 45);
	return 0;
}
