/* SPDX-License-Identifier: MIT */
/*
 * A guest's block driver, as small as it gets: request i is in slot i, always of
 * three descriptors (header, 4 KiB of data, status), on a split or a packed ring.
 */
#ifndef TESTS_TINY_GUEST_H
#define TESTS_TINY_GUEST_H

#include "front_end.h"

#define GUEST_QUEUE_BYTES 0x20000u /* of the memory, a queue: rings first */
#define GUEST_DRIVER 0x8000u
#define GUEST_DEVICE 0xc000u
#define GUEST_DATA 0x100000u /* where the slots begin */
#define GUEST_SLOT 8192u     /* header at 0, status at 16, data at 4096 */
#define GUEST_SLOTS 64u	     /* a queue */
#define GUEST_BLOCK 4096u

struct guest_queue {
	struct front *f;
	unsigned index;
	uint16_t size;
	bool packed;
	int kick, call;
	uint16_t avail, used; /* split: free-running; packed: descriptor positions */
	bool avail_wrap, used_wrap;
	bool busy[GUEST_SLOTS];
	unsigned inflight;
};

struct guest_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t a, b; /* split: flags, next; packed: id, flags */
};

static inline uint32_t guest_at(const struct guest_queue *q, uint32_t offset)
{
	return q->index * GUEST_QUEUE_BYTES + offset;
}

static inline struct guest_desc *guest_ring(struct guest_queue *q)
{
	return (struct guest_desc *)(q->f->mem + guest_at(q, 0));
}

static inline uint32_t guest_slot_at(const struct guest_queue *q, unsigned slot)
{
	return GUEST_DATA + (q->index * GUEST_SLOTS + slot) * GUEST_SLOT;
}

static inline uint8_t *guest_data(struct guest_queue *q, unsigned slot)
{
	return q->f->mem + guest_slot_at(q, slot) + 4096;
}

/* A ring nobody has used yet. */
static inline void guest_queue_init(struct guest_queue *q, struct front *f, unsigned index, bool packed)
{
	*q = (struct guest_queue){
		.f = f, .index = index, .packed = packed, .avail_wrap = true, .used_wrap = true
	};
	q->size = packed ? 3 * GUEST_SLOTS : 256;
	q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	memset(f->mem + guest_at(q, 0), 0, GUEST_QUEUE_BYTES);
}

static inline void guest_queue_close(struct guest_queue *q)
{
	close(q->kick);
	close(q->call);
}

static inline struct vu_vring_addr guest_addr(const struct guest_queue *q)
{
	return (struct vu_vring_addr){
		.index = q->index,
		.desc = FRONT_USER + guest_at(q, 0),
		.avail = FRONT_USER + guest_at(q, GUEST_DRIVER),
		.used = FRONT_USER + guest_at(q, GUEST_DEVICE),
	};
}

static inline uint64_t guest_send_fd(struct guest_queue *q, uint32_t request, int fd)
{
	uint64_t v = q->index;

	return front_ack(q->f, request, &v, sizeof(v), &fd, 1);
}

/* All of the set-up messages in QEMU's order; from `base` on. */
static inline void guest_queue_start(struct guest_queue *q, uint32_t base)
{
	struct vu_vring_addr addr = guest_addr(q);

	assert_int_equal(front_ack_state(q->f, VU_SET_VRING_NUM, q->index, q->size), 0);
	assert_int_equal(front_ack_state(q->f, VU_SET_VRING_BASE, q->index, base), 0);
	assert_int_equal(front_ack(q->f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(guest_send_fd(q, VU_SET_VRING_KICK, q->kick), 0);
	assert_int_equal(guest_send_fd(q, VU_SET_VRING_CALL, q->call), 0);
	assert_int_equal(front_ack_state(q->f, VU_SET_VRING_ENABLE, q->index, 1), 0);
}

/* What SET_VRING_BASE says for a new ring. */
static inline uint32_t guest_new_base(const struct guest_queue *q)
{
	return q->packed ? 0x80008000u : 0;
}

static inline void guest_fill(struct guest_queue *q, unsigned slot, bool write, uint64_t block)
{
	uint8_t *s = q->f->mem + guest_slot_at(q, slot);
	uint32_t type = write ? 1 : 0;
	uint64_t sector = block * (GUEST_BLOCK / 512);

	memset(s, 0, 16);
	memcpy(s, &type, 4);
	memcpy(s + 8, &sector, 8);
	s[16] = 0xee;
}

static inline void guest_chain(struct guest_queue *q, unsigned slot, bool write, struct guest_desc d[3])
{
	uint64_t at = FRONT_GUEST + guest_slot_at(q, slot);

	/* flags: NEXT 1, WRITE 2 */
	d[0] = (struct guest_desc){ at, 16, 1, 0 };
	d[1] = (struct guest_desc){ at + 4096, GUEST_BLOCK, write ? 1 : 3, 0 };
	d[2] = (struct guest_desc){ at + 16, 1, 2, 0 };
}

static inline void guest_post_split(struct guest_queue *q, unsigned slot, struct guest_desc d[3])
{
	uint16_t *avail = (uint16_t *)(q->f->mem + guest_at(q, GUEST_DRIVER));

	for (unsigned i = 0; i < 3; i++) {
		d[i].b = (uint16_t)(3 * slot + i + 1);
		guest_ring(q)[3 * slot + i] = d[i];
	}
	avail[2 + q->avail++ % q->size] = (uint16_t)(3 * slot);
	__atomic_store_n(&avail[1], q->avail, __ATOMIC_RELEASE);
}

static inline void guest_post_packed(struct guest_queue *q, unsigned slot, struct guest_desc d[3])
{
	uint16_t head = q->avail;
	uint16_t head_flags = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct guest_desc *to = &guest_ring(q)[q->avail];
		uint16_t flags = d[i].a | (q->avail_wrap ? 1u << 7 : 1u << 15);

		to->addr = d[i].addr;
		to->len = d[i].len;
		to->a = (uint16_t)slot;
		if (i)
			__atomic_store_n(&to->b, flags, __ATOMIC_RELAXED);
		else
			head_flags = flags;
		if (++q->avail == q->size) {
			q->avail = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	__atomic_store_n(&guest_ring(q)[head].b, head_flags, __ATOMIC_RELEASE);
}

/* Puts a request into the ring; its data is in (for a write) or will be in guest_data. No kick. */
static inline void guest_post(struct guest_queue *q, unsigned slot, bool write, uint64_t block)
{
	struct guest_desc d[3];

	assert_false(q->busy[slot]);
	q->busy[slot] = true;
	q->inflight++;
	guest_fill(q, slot, write, block);
	guest_chain(q, slot, write, d);
	if (q->packed)
		guest_post_packed(q, slot, d);
	else
		guest_post_split(q, slot, d);
}

static inline void guest_kick(struct guest_queue *q)
{
	uint64_t one = 1;

	assert_int_equal(write(q->kick, &one, 8), 8);
}

static inline int guest_reap_split(struct guest_queue *q)
{
	uint8_t *used = q->f->mem + guest_at(q, GUEST_DEVICE);
	uint32_t id;

	if (__atomic_load_n((uint16_t *)(used + 2), __ATOMIC_ACQUIRE) == q->used)
		return -1;
	memcpy(&id, used + 4 + 8 * (q->used++ % q->size), 4);
	assert_true(id % 3 == 0 && id / 3 < GUEST_SLOTS);
	return (int)(id / 3);
}

static inline int guest_reap_packed(struct guest_queue *q)
{
	struct guest_desc *d = &guest_ring(q)[q->used];
	uint16_t flags = __atomic_load_n(&d->b, __ATOMIC_ACQUIRE);
	bool avail = flags >> 7 & 1, used = flags >> 15 & 1;

	if (avail != used || used != q->used_wrap)
		return -1;
	q->used += 3;
	if (q->used >= q->size) {
		q->used -= q->size;
		q->used_wrap = !q->used_wrap;
	}
	assert_true(d->a < GUEST_SLOTS);
	return d->a;
}

/* A slot that has completed, or -1. One that was not posted, or twice, is a failure of the server. */
static inline int guest_reap(struct guest_queue *q)
{
	int slot = q->packed ? guest_reap_packed(q) : guest_reap_split(q);

	if (slot < 0)
		return -1;
	assert_true(q->busy[slot]);
	q->busy[slot] = false;
	q->inflight--;
	return slot;
}

/* The status byte of a completed slot: 0 OK, 1 error, 2 unsupported. */
static inline uint8_t guest_status(struct guest_queue *q, unsigned slot)
{
	return q->f->mem[guest_slot_at(q, slot) + 16];
}

/* Posts, kicks and waits, with the server in this thread. */
static inline uint8_t guest_do(struct guest_queue *q, unsigned slot, bool write, uint64_t block)
{
	int got;

	guest_post(q, slot, write, block);
	guest_kick(q);
	while ((got = guest_reap(q)) < 0)
		front_pump(q->f);
	assert_int_equal(got, slot);
	return guest_status(q, slot);
}

/* A block that says where it belongs and how often it was written. */
static inline void guest_pattern(uint8_t *data, uint64_t block, uint64_t generation)
{
	uint64_t *words = (uint64_t *)data;

	for (unsigned i = 0; i < GUEST_BLOCK / 8; i++)
		words[i] = block * 0x9e3779b97f4a7c15ull ^ generation << 17 ^ i;
}

/* Writes a block of a generation and reads it back: the whole path works. */
__attribute__((unused)) static void guest_check_path(struct guest_queue *q, uint64_t block,
						     uint64_t generation)
{
	static uint8_t want[GUEST_BLOCK] __attribute__((aligned(8)));

	guest_pattern(guest_data(q, 0), block, generation);
	assert_int_equal(guest_do(q, 0, true, block), 0);
	memset(guest_data(q, 1), 0, GUEST_BLOCK);
	assert_int_equal(guest_do(q, 1, false, block), 0);
	guest_pattern(want, block, generation);
	assert_memory_equal(guest_data(q, 1), want, GUEST_BLOCK);
}

#endif
