/* SPDX-License-Identifier: MIT */
/*
 * What bench/net.c and bench/net_peer.c share, so that both are measured alike: a network
 * driver stub on hand-written rings in a memfd, the frames and their verification, and
 * the measuring. Stub and device side alternate on one thread in bursts of 32; only the
 * device side's calls are timed, in TSC cycles. The burst at the tenth percentile is
 * what counts: it saw no interruption.
 */
#ifndef BENCH_NET_STUB_H
#define BENCH_NET_STUB_H

#include "base/base.h"
#include "ring/vring.h"

#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define NET_SIZE 256u
#define NET_BURST 32u
#define NET_BURSTS 400000u
#define NET_HDR_BYTES 12u
/* Guest addresses. Queue 0 receives and queue 1 sends; buffers lie as far apart as a DPDK guest's. */
#define NET_GUEST 0x100000000ull
#define NET_DESC(queue) ((queue)*0x10000ull)
#define NET_DRIVER(queue) (NET_DESC(queue) + 0x4000)
#define NET_DEVICE(queue) (NET_DESC(queue) + 0x8000)
#define NET_DATA 0x20000u
#define NET_STRIDE 2368u
#define NET_ROOM 1536u
#define NET_MEM 0x100000u
#define NET_FRAME_BYTES 1518u

/* What both sides negotiate beside the ring's format. */
#define NET_FEATURES (VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_NET_F_MRG_RXBUF))

struct net_stub {
	int memfd;
	char *base;
	bool packed, deq; /* deq: the guest sends, the device side dequeues */
	unsigned len;	  /* of each frame */
	unsigned depth;	  /* receive buffers that the guest keeps posted */
	unsigned bursts;
	/* Free-running: buffers posted, and seen used. Slot n % NET_SIZE. */
	uint32_t posted, used;
	uint64_t seq; /* of the oldest frame under way */
	uint32_t cycles[NET_BURSTS];
};

/* The side that is measured. Each call that moves packets returns the cycles that it took. */
struct net_side {
	uint64_t (*deq)(void *ctx);				    /* NET_BURST frames out of the ring */
	const char *(*frame)(void *ctx, unsigned i, unsigned *len); /* the i-th of them */
	uint64_t (*release)(void *ctx);				    /* their buffers */
	uint64_t (*alloc)(void *ctx, unsigned len); /* buffers for NET_BURST frames of len bytes */
	char *(*room)(void *ctx, unsigned i);	    /* where the i-th goes */
	uint64_t (*enq)(void *ctx);		    /* they go into the ring, and their buffers back */
};

static inline void net_die(const char *sentence)
{
	fprintf(stderr, "%s\n", sentence);
	exit(1);
}

/* Not a power of two: a slot meets another pattern each time round, so stale bytes are seen. */
#define NET_PATTERNS 13u
static char net_pattern[NET_PATTERNS][NET_FRAME_BYTES];

static inline void net_frames_init(void)
{
	uint32_t x = 1;

	for (unsigned p = 0; p < NET_PATTERNS; p++)
		for (unsigned i = 0; i < NET_FRAME_BYTES; i++) {
			x = x * 1664525 + 1013904223;
			net_pattern[p][i] = (char)(x >> 24);
		}
}

static inline void net_frame_write(char *to, unsigned len, uint64_t seq)
{
	memcpy(to, net_pattern[seq % NET_PATTERNS], len);
	memcpy(to + 14, &seq, sizeof(seq));
}

static inline void net_frame_check(const char *at, unsigned have, unsigned len, uint64_t seq)
{
	const char *p = net_pattern[seq % NET_PATTERNS];

	if (have != len || memcmp(at, p, 14) || memcmp(at + 14, &seq, sizeof(seq)) ||
	    memcmp(at + 22, p + 22, len - 22))
		net_die("a frame came out other than it went in");
}

static inline unsigned net_queue(const struct net_stub *s)
{
	return s->deq ? 1 : 0;
}

static inline char *net_at(const struct net_stub *s, uint64_t offset)
{
	return s->base + offset;
}

static inline char *net_buffer(const struct net_stub *s, unsigned slot)
{
	return net_at(s, NET_DATA + (uint64_t)slot * NET_STRIDE);
}

/* Descriptor `slot`, one for header and frame. */
static inline void net_post_one(struct net_stub *s, unsigned slot)
{
	uint64_t addr = NET_GUEST + NET_DATA + (uint64_t)slot * NET_STRIDE;
	uint32_t len = NET_HDR_BYTES + (s->deq ? s->len : NET_ROOM);
	uint16_t flags = s->deq ? 0 : VRING_DESC_F_WRITE;
	unsigned q = net_queue(s);

	if (s->packed) {
		struct vring_packed_desc *d = (struct vring_packed_desc *)net_at(s, NET_DESC(q)) + slot;
		bool wrap = !(s->posted / NET_SIZE % 2);

		*d = (struct vring_packed_desc){
			.addr = addr, .len = len, .id = (uint16_t)slot, .flags = d->flags
		};
		VIO_STORE_RELEASE(&d->flags, (uint16_t)(flags | (wrap ? VRING_AVAIL_BIT : VRING_USED_BIT)));
	} else {
		struct vring_avail *avail = (struct vring_avail *)net_at(s, NET_DRIVER(q));

		((struct vring_desc *)net_at(s, NET_DESC(q)))[slot] =
			(struct vring_desc){ .addr = addr, .len = len, .flags = flags };
		avail->ring[slot] = (uint16_t)slot;
	}
	s->posted++;
}

static inline void net_post(struct net_stub *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned slot = s->posted % NET_SIZE;

		if (s->deq) {
			memset(net_buffer(s, slot), 0, NET_HDR_BYTES);
			net_frame_write(net_buffer(s, slot) + NET_HDR_BYTES, s->len, s->seq + i);
		}
		net_post_one(s, slot);
	}
	if (!s->packed)
		VIO_STORE_RELEASE(&((struct vring_avail *)net_at(s, NET_DRIVER(net_queue(s))))->idx,
				  (uint16_t)s->posted);
}

/* The oldest buffer must be used; how many bytes the device wrote. Both sides use them in order. */
static inline uint32_t net_used_one(struct net_stub *s)
{
	unsigned slot = s->used % NET_SIZE, id;
	uint32_t len;

	if (s->packed) {
		struct vring_packed_desc *d =
			(struct vring_packed_desc *)net_at(s, NET_DESC(net_queue(s))) + slot;

		if (!vring_packed_used(VIO_LOAD_ACQUIRE(&d->flags), !(s->used / NET_SIZE % 2)))
			net_die("a buffer was not used");
		id = d->id;
		len = d->len;
	} else {
		struct vring_used *used = (struct vring_used *)net_at(s, NET_DEVICE(net_queue(s)));

		if (VIO_LOAD_ACQUIRE(&used->idx) == (uint16_t)s->used)
			net_die("a buffer was not used");
		id = used->ring[slot].id;
		len = used->ring[slot].len;
	}
	if (id != slot)
		net_die("buffers were used out of order");
	s->used++;
	return len;
}

static inline void net_reap(struct net_stub *s)
{
	static const struct virtio_net_hdr_mrg_rxbuf one = { .num_buffers = 1 };

	for (unsigned i = 0; i < NET_BURST; i++) {
		const char *at = net_buffer(s, s->used % NET_SIZE);
		uint32_t written = net_used_one(s);

		if (s->deq)
			continue;
		if (memcmp(at, &one, NET_HDR_BYTES))
			net_die("a received packet's header is wrong");
		net_frame_check(at + NET_HDR_BYTES, written - NET_HDR_BYTES, s->len, s->seq + i);
	}
}

static inline uint64_t net_burst_deq(struct net_stub *s, const struct net_side *side, void *ctx)
{
	uint64_t took;

	net_post(s, NET_BURST);
	took = side->deq(ctx);
	for (unsigned i = 0; i < NET_BURST; i++) {
		unsigned len;
		const char *at = side->frame(ctx, i, &len);

		net_frame_check(at, len, s->len, s->seq + i);
	}
	took += side->release(ctx);
	net_reap(s);
	return took;
}

static inline uint64_t net_burst_enq(struct net_stub *s, const struct net_side *side, void *ctx)
{
	uint64_t took = side->alloc(ctx, s->len);

	for (unsigned i = 0; i < NET_BURST; i++)
		net_frame_write(side->room(ctx, i), s->len, s->seq + i);
	net_post(s, s->depth - (s->posted - s->used));
	took += side->enq(ctx);
	net_reap(s);
	return took;
}

static inline int net_by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static inline void net_measure(struct net_stub *s, const struct net_side *side, void *ctx)
{
	for (unsigned i = 0; i < s->bursts; i++) {
		s->cycles[i] = (uint32_t)(s->deq ? net_burst_deq : net_burst_enq)(s, side, ctx);
		s->seq += NET_BURST;
	}
	qsort(s->cycles, s->bursts, sizeof(*s->cycles), net_by_value);
	printf("{\"ring\":\"%s\",\"way\":\"%s\",\"bytes\":%u,\"p10\":%.2f,\"median\":%.2f,\"unit\":"
	       "\"cycles\"}\n",
	       s->packed ? "packed" : "split", s->deq ? "deq" : "enq", s->len,
	       s->cycles[s->bursts / 10] / (double)NET_BURST, s->cycles[s->bursts / 2] / (double)NET_BURST);
}

/* No interrupts wanted, on either queue. */
static inline void net_quiet(struct net_stub *s, unsigned queue)
{
	if (s->packed)
		((struct vring_packed_desc_event *)net_at(s, NET_DRIVER(queue)))->flags =
			VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		((struct vring_avail *)net_at(s, NET_DRIVER(queue)))->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

static inline struct net_stub *net_stub_new(int argc, char **argv)
{
	struct net_stub *s = calloc(1, sizeof(*s));

	if (!s || argc < 4)
		net_die("usage: split|packed deq|enq BYTES [BURSTS [RECEIVE-BUFFERS]]");
	s->packed = !strcmp(argv[1], "packed");
	s->deq = !strcmp(argv[2], "deq");
	s->len = (unsigned)atoi(argv[3]);
	s->bursts = argc > 4 ? (unsigned)atoi(argv[4]) : NET_BURSTS;
	s->depth = argc > 5 ? (unsigned)atoi(argv[5]) : NET_BURST;
	if (s->len < 60 || s->len > NET_FRAME_BYTES || s->bursts < 1 || s->bursts > NET_BURSTS ||
	    s->depth < NET_BURST || s->depth > NET_SIZE)
		net_die("frames have 60..1518 bytes, bursts are 1..400000, receive buffers 32..256");
	s->memfd = memfd_create("net", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->memfd < 0 || ftruncate(s->memfd, NET_MEM))
		net_die("no memory for the guest");
	s->base = mmap(NULL, NET_MEM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->memfd, 0);
	if (s->base == MAP_FAILED)
		net_die("no memory for the guest");
	net_quiet(s, 0);
	net_quiet(s, 1);
	net_frames_init();
	return s;
}

static inline void net_stub_free(struct net_stub *s)
{
	munmap(s->base, NET_MEM);
	close(s->memfd);
	free(s);
}

/* Time as both sides take it. */
static inline uint64_t net_now(void)
{
	unsigned aux;

	return __rdtscp(&aux);
}

#endif
