/* SPDX-License-Identifier: MIT */
/*
 * A network device between a guest that posts sound chains of any content and framing, and
 * a port through which frames of any length come. The features, the ring's format and
 * when queues stop are the input's too.
 */
#include "net_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING 64u
#define QUEUES 3u
#define RECV 0u
#define SEND 1u
#define CTRL 2u

struct input {
	const uint8_t *at, *end;
};

static struct net_guest guest;
static uint32_t writable[QUEUES][RING]; /* bytes that the device may write, by head or id */
static uint8_t frame[RECV_FRAME_MAX] = { [12] = 8, [14] = 0x45, [23] = 17 }; /* UDP over IPv4 */

static uint8_t input_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static unsigned input_word(struct input *in)
{
	unsigned low = input_byte(in);

	return low | (unsigned)input_byte(in) << 8;
}

static uint64_t input_features(struct input *in)
{
	uint64_t f = input_byte(in), all = vio_dev_features(guest.dev);

	f = (f & 1 ? NET_V1 : 0) | (f & 2 ? NET_V1 | NET_PACKED : 0) | (f & 4 ? NET_MERGE : 0) |
	    (f & 8 ? VIO_BIT(VIRTIO_F_IN_ORDER) : 0) | (f & 16 ? VIO_BIT(VIRTIO_RING_F_EVENT_IDX) : 0) |
	    (f & 32 ? all & (VIO_BIT(15) - 1) : 0) | (f & 64 ? all & ~(VIO_BIT(41) - 1) : 0) |
	    (f & 128 ? all & 0xfe0000 : 0);
	return (f | VIO_BIT(VIRTIO_NET_F_CTRL_VQ)) & all;
}

static void guest_begin(struct input *in)
{
	if (!guest.dev && (net_open(&guest) || net_device(&guest, 0, NULL)))
		abort();
	if (vio_dev_set_features(guest.dev, input_features(in)))
		abort();
	for (unsigned i = 0; i < QUEUES; i++) {
		if (guest.q[i].open)
			rg_shape(&guest.q[i].g, vio_dev_acked(guest.dev), RING);
		guest.q[i].resumes = false;
		if (net_start(&guest, i, RING))
			abort();
	}
}

/* Up to seven buffers from `at` of the lengths that the input says. */
static unsigned input_cut(struct input *in, struct rg_buf *b, uint64_t at, uint16_t flags, unsigned n)
{
	static const uint32_t lengths[] = { 0, 1, 10, 12, 14, 1514, 60000, 66000 };
	uint64_t used = 0;

	for (unsigned i = 0; i < n; i++) {
		uint8_t v = input_byte(in);
		uint32_t len = v & 0x80 ? lengths[v & 7] : v;

		b[i] = (struct rg_buf){ at + used, (uint32_t)VIO_MIN(len, NET_ROOM / 2 - used), flags };
		used += b[i].len;
	}
	return n;
}

static void reap(unsigned index)
{
	uint32_t len = 0;
	int id;

	while ((id = rg_reap(net_ring(&guest, index), &len)) != -1)
		if (id == -2 || len > writable[index][id])
			abort();
}

static void post(struct input *in, unsigned index)
{
	struct rg_buf b[8];
	uint8_t shape = input_byte(in);
	uint8_t *p = net_ptr(&guest, index, (shape & 1) * 7u);
	unsigned n =
		input_cut(in, b, NET_AT + (shape & 1) * 7u, index == RECV ? RG_WRITE : 0, shape >> 1 & 7);
	uint32_t may = 0;
	int id;

	if (shape & 0x10 || !n)
		n += input_cut(in, b + n, NET_AT + NET_ROOM / 2, RG_WRITE, 1);
	for (unsigned i = 0; i < (index == CTRL ? 24 : 12) && index != RECV && !(shape & 0x20); i++)
		p[i] = input_byte(in);
	for (unsigned i = 0; i < n; i++)
		may += b[i].flags & RG_WRITE ? b[i].len : 0;
	id = rg_post(net_ring(&guest, index), b, n);
	if (id >= 0)
		writable[index][id] = index == SEND ? 0 : may;
	vio_vq_kick(guest.dev, index);
}

/* A port gives only what the oldest RECV asks for. */
static void deliver(struct input *in)
{
	const struct vio_offload o = { .hdr_len = 54, .gso_size = 100, .csum_start = 34, .csum_offset = 16 };
	unsigned len = RECV_FRAME_MIN + input_word(in);
	uint8_t flags = input_byte(in);

	if (net_port_waiting(guest.port, 0))
		net_port_deliver(guest.port, 0, frame, VIO_MIN(len, RECV_FRAME_MAX),
				 flags & net_port_oldest(guest.port, 0)->flags & ~VIO_RECV_MERGE, &o);
}

static void step(struct input *in)
{
	uint8_t what = input_byte(in);

	switch (what % 8) {
	case 0:
	case 1:
	case 2:
		post(in, what % 8);
		break;
	case 3:
		deliver(in);
		break;
	case 4:
		vio_net_set_link(guest.dev, what & 8);
		break;
	case 5:
		if (net_stop(&guest, what >> 3 & 1) || net_start(&guest, what >> 3 & 1, RING))
			abort();
		break;
	case 6:
		vio_dev_config_write(guest.dev, what >> 3, &what, 1);
		break;
	default:
		net_pump(&guest);
		for (unsigned i = 0; i < QUEUES; i++)
			reap(i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	guest_begin(&in);
	while (in.at < in.end)
		step(&in);
	for (unsigned i = 0; i < QUEUES; i++) {
		if (net_stop(&guest, i))
			abort();
		reap(i);
	}
	vio_net_set_link(guest.dev, true);
	return 0;
}
