/* SPDX-License-Identifier: MIT */
/* NVMe queues in the memory of a host that writes anything anywhere: commands, lists of pages, doorbells. */
#include "queue/nvme_pool.h"
#include "queue/nvme_ring.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY 0x20000u
#define SQ 0x0u
#define CQ 0x1000u
#define SIZE 16u
#define SLOTS 8u

enum play { PLAY_WORD, PLAY_COMMAND, PLAY_TAIL, PLAY_HEAD, PLAY_TAKE, PLAY_GIVE, PLAY_STOP, PLAY_KINDS };

struct input {
	const uint8_t *at, *end;
};

struct host {
	struct vio_mem *mem;
	struct nvme_pool *pool;
	struct nvme_cq cq;
	struct nvme_sq sq;
	char *base;
	uint32_t sq_bell, cq_bell, event;
	struct nvme_req *out[SLOTS];
	unsigned nout, ended;
};

static struct host host;

static uint8_t input_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

/* An address that may mean something: page, offset, and how far from memory. */
static uint64_t input_addr(struct input *in)
{
	uint8_t page = input_byte(in), kind = input_byte(in);
	uint64_t addr = (uint64_t)(page % 34) * NRING_PAGE;

	switch (kind >> 6) {
	case 1:
		return addr + (kind & 63) * 8;
	case 2:
		return addr + NRING_PAGE - (kind & 63) * 8;
	case 3:
		return kind & 1 ? UINT64_MAX - (kind & 62) * 64 : addr + (kind & 63);
	default:
		return addr;
	}
}

static uint32_t input_len(struct input *in)
{
	static const uint32_t lens[] = { 512, 4096, 16, 8192, 0, 65536, NPOOL_MAX, UINT32_MAX };
	uint8_t v = input_byte(in);

	return v & 0x80 ? lens[v & 7] : v * 64u;
}

static void host_told(struct nvme_cq *cq)
{
	(void)cq;
}

static void host_ended(struct nvme_sq *sq)
{
	(void)sq;
	host.ended++;
}

static void host_start(void)
{
	struct nvme_cq_opts c = {
		.mem = host.mem, .base = CQ, .size = SIZE, .doorbell = &host.cq_bell, .notify = host_told
	};
	struct nvme_sq_opts s = { .mem = host.mem,
				  .pool = host.pool,
				  .base = SQ,
				  .size = SIZE,
				  .slots = SLOTS,
				  .id = 1,
				  .doorbell = &host.sq_bell,
				  .cq = &host.cq,
				  .ended = host_ended };

	host.sq_bell = host.cq_bell = host.nout = host.ended = 0;
	if (nvme_cq_init(&host.cq, &c) || nvme_sq_init(&host.sq, &s))
		abort();
	host.sq.event = &host.event;
}

static void host_begin(void)
{
	if (!host.mem && (vio_mem_alloc(&host.mem, 0, MEMORY) || npool_new(&host.pool, 1 << 20, 0)))
		abort();
	host.base = vio_mem_ptr(host.mem, 0, MEMORY);
	memset(host.base, 0, MEMORY);
	host_start();
}

/* A word of a list, or a descriptor's second half. */
static void play_word(struct input *in)
{
	uint64_t at = input_addr(in) % (MEMORY - 7), word = input_addr(in);
	uint8_t kind = input_byte(in);

	if (kind & 1)
		word = input_len(in) | (uint64_t)(kind & 0xf0) << 56;
	memcpy(host.base + at, &word, sizeof(word));
}

static void play_command(struct input *in)
{
	struct nvme_cmd c = { .opcode = input_byte(in), .cid = input_byte(in) % 12 };
	uint8_t kind = input_byte(in);

	c.flags = kind & NVME_FLAGS_PSDT;
	c.prp1 = input_addr(in);
	if (c.flags == NVME_FLAGS_SGL) {
		c.sgl.len = input_len(in);
		c.sgl.type = kind << 4 & 0xf0;
	} else {
		c.prp2 = input_addr(in);
	}
	c.cdw10 = input_len(in);
	memcpy(host.base + SQ + host.sq_bell % SIZE * sizeof(c), &c, sizeof(c));
	host.sq_bell = (host.sq_bell + 1) % SIZE;
}

/* What was found is all of it, and in memory. */
static void data_check(const struct nvme_req *r)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->niov; i++) {
		uint64_t at = (uint64_t)((char *)r->iov[i].iov_base - host.base);

		if (at >= MEMORY || r->iov[i].iov_len > MEMORY - at || !r->iov[i].iov_len)
			abort();
		sum += r->iov[i].iov_len;
	}
	if (sum != r->len || r->niov > NRING_SEGMENTS)
		abort();
}

static void play_take(void)
{
	struct nvme_req **r = host.out + host.nout;
	int n = nvme_sq_take(&host.sq, r, SLOTS - host.nout);

	for (int i = 0; i < n; i++) {
		r[i]->status = host.sq.q.ops->data(&host.sq.q, r[i], r[i]->cmd.cdw10, r[i]->cmd.opcode & 4);
		data_check(r[i]);
	}
	host.nout += n > 0 ? (unsigned)n : 0;
}

static void play_give(unsigned which)
{
	struct nvme_req *r;

	if (!host.nout)
		return;
	which %= host.nout;
	r = host.out[which];
	host.out[which] = host.out[--host.nout];
	host.sq.q.ops->give(&host.sq.q, r);
	nvme_cq_flush(&host.cq);
}

/* All comes back, once, and then a queue of the same memory begins anew. */
static void play_stop(void)
{
	nvme_sq_stop(&host.sq);
	while (host.nout)
		play_give(0);
	if (host.ended != 1 || host.sq.nfree != SLOTS || npool_used(host.pool) || host.cq.full.head)
		abort();
	nvme_sq_fini(&host.sq);
	host_start();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	host_begin();
	while (in.at < in.end) {
		uint8_t what = input_byte(&in);

		switch (what % PLAY_KINDS) {
		case PLAY_WORD:
			play_word(&in);
			break;
		case PLAY_COMMAND:
			play_command(&in);
			break;
		case PLAY_TAIL:
			host.sq_bell = what & 0x80 ? input_byte(&in) * 0x1010101u : what / PLAY_KINDS % SIZE;
			break;
		case PLAY_HEAD:
			host.cq_bell = what & 0x80 ? input_byte(&in) * 0x1010101u : host.cq.tail;
			break;
		case PLAY_TAKE:
			play_take();
			break;
		case PLAY_GIVE:
			play_give(what / PLAY_KINDS);
			break;
		default:
			play_stop();
		}
	}
	play_stop();
	nvme_sq_fini(&host.sq);
	return 0;
}
