/* SPDX-License-Identifier: MIT */
/*
 * A hostile driver and an honest server, both played by the fuzzer's input: each
 * step is one thing that either can do. Memory is made once; a run costs a queue.
 */
#ifndef FUZZ_QUEUE_PLAY_H
#define FUZZ_QUEUE_PLAY_H

#include "ring/vring.h"

#include <virtio-offload/queue.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PLAY_MAX 64u /* entries of the ring */
#define PLAY_AT 0x10000ull
#define PLAY_DRIVER 0x400u
#define PLAY_DEVICE 0x600u
#define PLAY_DATA 0x1000u
#define PLAY_BYTES 0x3000u
#define PLAY_SECOND (PLAY_AT + PLAY_BYTES) /* adjacent, mapped elsewhere */
#define PLAY_SECOND_BYTES 0x1000u
#define PLAY_THIRD 0x100000ull /* behind a hole, and at odd addresses */
#define PLAY_THIRD_BYTES 0x7ffu
#define PLAY_INFLIGHT 4096u

#define PLAY_CHECK(x)                                                                                        \
	do {                                                                                                 \
		if (!(x))                                                                                    \
			abort();                                                                             \
	} while (0)

struct play {
	const uint8_t *at, *end;
	struct vio_queue *q;
	struct vio_req *taken[2 * PLAY_MAX];
	unsigned ntaken, oldest_given; /* how many of the newest may be untaken */
	unsigned size;
	uint64_t features, flags;
	bool packed, inflight, failed;
	uint16_t avail_idx; /* an honest driver's next */
	bool avail_wrap;
};

static struct vio_mem *play_mem;
static char *play_base, play_second[PLAY_SECOND_BYTES], play_third[PLAY_THIRD_BYTES + 1];
static _Alignas(64) char play_region[PLAY_INFLIGHT];
static unsigned play_notified;

static void play_notify(void *ctx)
{
	(*(unsigned *)ctx)++;
}

static void play_begin(void)
{
	_Alignas(4096) static char base[PLAY_BYTES];
	const struct vio_mem_region r[] = {
		{ .guest = PLAY_AT, .size = PLAY_BYTES, .ptr = base, .fd = -1 },
		{ .guest = PLAY_SECOND, .size = PLAY_SECOND_BYTES, .ptr = play_second, .fd = -1 },
		{ .guest = PLAY_THIRD, .size = PLAY_THIRD_BYTES, .ptr = play_third + 1, .fd = -1 },
	};

	play_base = base;
	memset(base, 0, PLAY_DATA);
	if (!play_mem)
		PLAY_CHECK(!vio_mem_new(&play_mem, r, 3, NULL));
}

static uint64_t play_uint(struct play *p, unsigned bytes)
{
	uint64_t v = 0;

	for (; bytes && p->at < p->end; bytes--)
		v = v << 8 | *p->at++;
	return v;
}

static uint8_t play_byte(struct play *p)
{
	return (uint8_t)play_uint(p, 1);
}

/* Addresses and lengths that mean something, most of the time. */
static uint64_t play_addr(struct play *p, uint8_t kind)
{
	switch (kind % 8) {
	case 0 ... 2:
		return PLAY_AT + PLAY_DATA + 32ull * play_byte(p);
	case 3:
		return PLAY_SECOND - 128 + play_byte(p);
	case 4:
		return PLAY_SECOND + 16ull * play_byte(p);
	case 5:
		return PLAY_THIRD + play_byte(p);
	case 6:
		return PLAY_AT + 8ull * play_byte(p); /* into the rings */
	default:
		return play_uint(p, 8);
	}
}

static uint32_t play_len(struct play *p, uint8_t kind)
{
	if (kind % 4 == 3)
		return (uint32_t)play_uint(p, 4);
	return kind % 4 == 2 ? 0 : kind % 4 == 1 ? 16u * play_byte(p) : play_byte(p);
}

struct play_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, other; /* other: next or id */
};

static struct play_desc play_desc(struct play *p)
{
	uint8_t kind = play_byte(p), flags = play_byte(p);
	struct play_desc d = { .addr = play_addr(p, kind), .len = play_len(p, kind >> 3) };

	d.flags = flags & 7 & ~((flags & 0x18) ? VRING_DESC_F_INDIRECT : 0);
	d.other = (uint16_t)(flags & 0x20 ? play_uint(p, 2) : flags >> 6 ? play_byte(p) % p->size : p->avail_idx);
	return d;
}

static void play_store(struct play *p, void *to, struct play_desc d)
{
	struct vring_desc s = { d.addr, d.len, d.flags, d.other };
	struct vring_packed_desc k = { d.addr, d.len, d.other, d.flags };

	memcpy(to, p->packed ? (void *)&k : (void *)&s, 16);
}

/* The driver: a descriptor anywhere in the ring or in what may be an indirect table. */
static void play_write_desc(struct play *p)
{
	uint8_t where = play_byte(p);

	play_store(p, play_base + (where & 0x80 ? PLAY_DATA + 32u * (where & 0x7f) : 16u * (where % p->size)), play_desc(p));
}

/* The driver: makes the next descriptor of a packed ring, or a head in a split one, available. */
static void play_post(struct play *p)
{
	struct vring_avail *avail = (void *)(play_base + PLAY_DRIVER);
	struct play_desc d;

	if (!p->packed) {
		avail->ring[p->avail_idx % p->size] = (uint16_t)(play_byte(p) % (p->size + 1));
		avail->idx = ++p->avail_idx;
		return;
	}
	d = play_desc(p);
	d.flags |= p->avail_wrap ? VRING_AVAIL_BIT : VRING_USED_BIT;
	play_store(p, play_base + 16 * p->avail_idx, d);
	if (++p->avail_idx == p->size) {
		p->avail_idx = 0;
		p->avail_wrap = !p->avail_wrap;
	}
}

static void play_scribble(struct play *p)
{
	uint16_t at = (uint16_t)play_uint(p, 2);
	unsigned n = play_byte(p) % 9;
	bool region = p->inflight && at & 0x8000;

	at = (uint16_t)(region ? at % (PLAY_INFLIGHT - 8) : at % (PLAY_DATA - 8));
	while (n--)
		(region ? play_region : play_base)[at + n] = (char)play_byte(p);
}

static bool play_in(const struct iovec *v, const char *base, size_t size)
{
	size_t off = (size_t)((char *)v->iov_base - base);

	return off < size && v->iov_len <= size - off;
}

/* Whatever the driver wrote, a vector lies in its memory. */
static void play_inspect(const struct vio_req *r)
{
	for (unsigned i = 0; i < (unsigned)r->nout + r->nin; i++) {
		const struct iovec *v = &r->buf[i];

		PLAY_CHECK(v->iov_len && (play_in(v, play_base, PLAY_BYTES) || play_in(v, play_second, PLAY_SECOND_BYTES) ||
					  play_in(v, play_third + 1, PLAY_THIRD_BYTES)));
	}
}

static void play_take(struct play *p)
{
	unsigned n = 1 + play_byte(p) % PLAY_MAX;
	int err = vio_queue_error(p->q), have;

	have = vio_queue_take(p->q, p->taken + p->ntaken, n);
	PLAY_CHECK(have <= (int)n && (have >= 0 || have == -EBADMSG) && (!err || have == err));
	for (int i = 0; i < have; i++)
		play_inspect(p->taken[p->ntaken + (unsigned)i]);
	p->ntaken += have > 0 ? (unsigned)have : 0;
	PLAY_CHECK(p->ntaken <= p->size && p->ntaken == vio_queue_inflight(p->q));
	PLAY_CHECK(!vio_queue_error(p->q) == !vio_queue_errmsg(p->q)[0]);
}

static void play_give_one(struct play *p, unsigned i, uint32_t written)
{
	struct vio_req *r = p->taken[i];

	memmove(p->taken + i, p->taken + i + 1, (--p->ntaken - i) * sizeof(*p->taken));
	p->oldest_given = VIO_MAX(p->oldest_given, i); /* newer ones stay, but the row has a gap */
	r->written = written;
	vio_queue_give(p->q, &r, 1);
}

static void play_give(struct play *p)
{
	unsigned n = play_byte(p), from = play_byte(p);

	for (n %= 8; n && p->ntaken; n--)
		play_give_one(p, from % p->ntaken, from);
}

static void play_give_all(struct play *p)
{
	while (p->ntaken)
		play_give_one(p, p->ntaken - 1, 0);
	vio_queue_flush(p->q);
	p->oldest_given = 0;
}

/* The newest, as long as none was given since they were taken. */
static void play_untake(struct play *p)
{
	unsigned n = play_byte(p) % PLAY_MAX;

	n = VIO_MIN(n, p->ntaken);
	if (p->oldest_given)
		return;
	vio_queue_untake(p->q, p->taken + p->ntaken - n, n);
	p->ntaken -= n;
}

/* One byte says what happens, the next ones how. */
static void play_step(struct play *p)
{
	uint8_t what = play_byte(p);

	switch (what % 16) {
	case 0 ... 2:
		play_write_desc(p);
		break;
	case 3 ... 6:
		play_post(p);
		break;
	case 7:
		*(uint16_t *)(play_base + PLAY_DRIVER + 2) = (uint16_t)play_uint(p, 2);
		break;
	case 8 ... 9:
		play_take(p);
		break;
	case 10:
		play_give(p);
		break;
	case 11:
		if (what & 16)
			vio_queue_publish(p->q);
		else
			vio_queue_flush(p->q);
		break;
	case 12:
		vio_queue_kicks(p->q, what & 16);
		break;
	case 13:
		play_untake(p);
		break;
	case 14:
		play_scribble(p);
		break;
	default:
		if (what & 16)
			play_give_all(p);
		else
			vio_queue_kick_data(p->q, (uint32_t)play_uint(p, 4));
	}
}

static struct vio_queue_opts play_opts(const struct play *p)
{
	VIO_OPTS(vio_queue_opts, o, .size = p->size, .features = p->features, .mem = play_mem, .desc = PLAY_AT,
		 .driver = PLAY_AT + PLAY_DRIVER, .device = PLAY_AT + PLAY_DEVICE, .max_segments = 24,
		 .notify = play_notify, .notify_ctx = &play_notified, .flags = p->flags);

	return o;
}

/* Features and size; the format is the target's. */
static void play_choose(struct play *p, bool packed)
{
	uint8_t f = play_byte(p), size = play_byte(p);

	p->packed = packed;
	p->features = VIO_BIT(VIRTIO_F_VERSION_1) | (packed ? VIO_BIT(VIRTIO_F_RING_PACKED) : 0) |
		      (f & 1 ? VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0) | (f & 2 ? VIO_BIT(VIRTIO_RING_F_EVENT_IDX) : 0) |
		      (f & 4 ? VIO_BIT(VIRTIO_F_IN_ORDER) : 0);
	p->flags = f & 8 ? VIO_QUEUE_RESUMABLE : 0;
	p->size = packed ? 1 + size % PLAY_MAX : 1u << size % 7;
	p->avail_wrap = true;
}

static void play_end(struct play *p)
{
	while (p->at < p->end)
		play_step(p);
	play_give_all(p);
	PLAY_CHECK(!vio_queue_inflight(p->q));
	vio_queue_free(p->q);
}

static inline int play_rings(const uint8_t *data, size_t size, bool packed)
{
	struct play p = { .at = data, .end = data + size };
	struct vio_queue_opts o;

	play_begin();
	play_choose(&p, packed);
	o = play_opts(&p);
	PLAY_CHECK(!vio_queue_new(&p.q, &o));
	play_end(&p);
	return 0;
}

#endif
