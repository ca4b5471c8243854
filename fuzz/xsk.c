/* SPDX-License-Identifier: MIT */
/*
 * An AF_XDP port between requests and rings whose kernel end writes what the input says: entries of any
 * address and length, answers to anything, indices of any value. No access leaves the umem (ASan, and the
 * guard that munmap leaves), no RECV is said to hold more than it can, and every request comes back once.
 */
#include "xsk_rings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at, *end;
};

static struct vio_poller *poller;
static char buffers[16][8192];

static uint64_t input_number(struct input *in, unsigned bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | (in->at < in->end ? *in->at++ : 0);
	return v;
}

static unsigned play_request(struct rings *t, struct input *in, unsigned op)
{
	size_t off = input_number(in, 1) * 16, len = input_number(in, 2) % 4200;
	bool guest = input_number(in, 1) & 1;
	char *at = op == VIO_OP_SEND && guest ? t->guest + off : buffers[off / 16 % 16];
	struct vio_req *r = rings_request(t, op, at, len);

	if (!r)
		return 0;
	r->flags = op == VIO_OP_RECV && guest ? VIO_RECV_MERGE : 0;
	if (op == VIO_OP_SEND)
		xsk_send_submit(&t->pair, &r, 1);
	else
		xsk_recv_submit(&t->pair, &r, 1);
	return 1;
}

static unsigned play_reap(struct rings *t, bool recv)
{
	struct vio_req *r[RING];
	unsigned n = recv ? xsk_recv_reap(&t->pair, r, RING) : xsk_send_reap(&t->pair, r, RING);

	for (unsigned i = 0; i < n; i++) {
		if (recv && r[i]->len > r[i]->iov[0].iov_len)
			abort();
		vio_req_put(t->pool, r[i]);
	}
	return n;
}

/* What the kernel does, or what it could be thought to. */
static void play_kernel(struct rings *t, struct input *in, unsigned what)
{
	struct xsk_pair *p = &t->pair;

	switch (what) {
	case 0:
		rings_receive(t, input_number(in, 8), (uint32_t)input_number(in, 4),
			      (uint32_t)input_number(in, 1));
		break;
	case 1: /* a likely one */
		rings_receive(t, input_number(in, 1) % RING * XSK_CHUNK + 256, (uint32_t)input_number(in, 2),
			      0);
		break;
	case 2:
		rings_complete(t, input_number(in, 8));
		break;
	case 3:
		rings_complete(t, p->tx.desc[input_number(in, 1) % RING].addr);
		break;
	case 4:
		*p->tx.consumer += (uint32_t)input_number(in, 1) % 8;
		break;
	case 5:
		*p->rx.producer = (uint32_t)input_number(in, 4);
		break;
	case 6:
		*p->completion.producer = (uint32_t)input_number(in, 4);
		break;
	default:
		*p->tx.flags = *p->fill.flags = (uint32_t)input_number(in, 1) & 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct rings *t = calloc(1, sizeof(*t));
	unsigned out = 0, back = 0;

	if (!t || (!poller && vio_poller_new(&poller, NULL)) || rings_up(t, poller, input_number(&in, 1) & 1))
		abort();
	for (unsigned steps = 0; in.at < in.end && steps < 4096; steps++) {
		unsigned what = (unsigned)input_number(&in, 1) % 12;

		if (what < 2)
			out += play_request(t, &in, what ? VIO_OP_SEND : VIO_OP_RECV);
		else if (what < 4)
			back += play_reap(t, what == 2);
		else
			play_kernel(t, &in, what - 4);
	}
	back += rings_down(t);
	if (out != back)
		abort();
	free(t);
	return 0;
}
