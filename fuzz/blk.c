/* SPDX-License-Identifier: MIT */
/* Block requests of any content in any framing: sound chains, so that one queue serves all runs. */
#include "blk_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING 64u
#define BATCH 8u
#define ROOM 0x1000u /* bytes a request, each way */

struct input {
	const uint8_t *at, *end;
};

static struct blk_guest guest;

static uint8_t input_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static void guest_begin(void)
{
	if (guest.dev)
		return;
	if (blk_open(&guest, VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_F_RING_PACKED), RING, "ram:32K", "serial=fuzz"))
		abort();
}

/* Up to `most` buffers from `at`, of the lengths that the input says; mostly short ones. */
static unsigned input_cut(struct input *in, struct rg_buf *b, uint64_t at, uint16_t flags, unsigned most, uint8_t n)
{
	static const uint16_t lengths[] = { 0, 1, 16, 512, 511, 17, 1024, 15 };
	uint32_t used = 0;
	unsigned i;

	for (i = 0; i < n % most; i++) {
		uint8_t v = input_byte(in);
		uint32_t len = v & 0x80 ? lengths[v & 7] : v;

		b[i] = (struct rg_buf){ at + used, VIO_MIN(len, ROOM - used), flags };
		used += b[i].len;
	}
	return i;
}

/* The request's bytes: a header that may mean something, then what the input says. */
static void input_fill(struct input *in, uint64_t at)
{
	uint8_t *p = rg_ptr(&guest.g, at), kind = input_byte(in);
	struct virtio_blk_outhdr h = { .type = kind & 0xf, .sector = input_byte(in) };

	if (kind & 0x10)
		h.sector *= 0x0101010101010101ull;
	if (kind & 0x20)
		h.type *= 0x01010101u;
	memcpy(p, &h, sizeof(h));
	for (unsigned i = 16; i < 48 && kind & 0x40; i++)
		p[i] = input_byte(in);
}

static void input_post(struct input *in, unsigned slot)
{
	uint64_t out = BLK_AT + slot * ROOM, back = BLK_IN + slot * ROOM;
	struct rg_buf b[8];
	uint8_t shape = input_byte(in);
	unsigned n;

	input_fill(in, out);
	n = input_cut(in, b, out, 0, 5, shape & 0xf);
	n += input_cut(in, b + n, back, RG_WRITE, 4, shape >> 4);
	if (!n)
		b[n++] = (struct rg_buf){ out, 16, 0 };
	if (rg_post(&guest.g, b, n) < 0)
		abort();
}

/* Every chain comes back, whatever was in it. */
static void guest_drain(unsigned n)
{
	uint32_t len;

	vio_vq_kick(guest.dev, 0);
	while (n) {
		int id = rg_reap(&guest.g, &len);

		if (id == -2)
			abort();
		if (id >= 0)
			n--;
		else if (vio_poller_run(guest.poller, 64) < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	guest_begin();
	while (in.at < in.end) {
		unsigned n = 0;
		uint8_t wce = input_byte(&in);

		vio_dev_config_write(guest.dev, wce & 0xf0 ? offsetof(struct virtio_blk_config, wce) : wce, &wce, 1);
		for (; n < BATCH && in.at < in.end; n++)
			input_post(&in, n);
		guest_drain(n);
	}
	return 0;
}
