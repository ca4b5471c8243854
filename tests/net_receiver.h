/* SPDX-License-Identifier: MIT */
/* A guest that receives: buffers of any length and framing, each in a slot of its own, and packets put together. */
#ifndef TESTS_NET_RECEIVER_H
#define TESTS_NET_RECEIVER_H

#include "net_guest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define RECV 0u
#define SIZE 1024u
#define SLOT 1024u /* bytes of guest memory a buffer */

static uint64_t seed = 1;
static uint8_t frame[RECV_FRAME_MAX];

RG_FN unsigned dice(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

RG_FN void up(struct net_guest *n, uint64_t features, const char *arg)
{
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)dice(256);
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, features, arg), 0);
	assert_int_equal(net_start(n, RECV, SIZE), 0);
	memset(net_ptr(n, RECV, 0), 0xee, NET_ROOM);
}

/* Where each posted chain's bytes are, and how many. */
static struct {
	uint64_t at;
	uint32_t len;
} posted[SIZE];

/* One buffer of len bytes in slot i, cut into `pieces` descriptors at most. */
RG_FN void post(struct net_guest *n, unsigned i, uint32_t len, unsigned pieces)
{
	struct rg_buf b[8];
	uint64_t at = (uint64_t)SLOT * i;
	unsigned k = 0;
	int id;

	for (uint32_t left = len; left; k++) {
		uint32_t piece = k + 1 < pieces ? 1 + dice(VIO_MIN(left, 16)) : left;

		b[k] = (struct rg_buf){ NET_AT + at + len - left, piece, RG_WRITE };
		left -= piece;
	}
	id = rg_post(net_ring(n, RECV), b, k);
	assert_true(id >= 0);
	posted[id].at = at;
	posted[id].len = len;
}

RG_FN void put_down(struct net_guest *n, unsigned expected)
{
	vio_vq_kick(n->dev, RECV);
	while (net_port_waiting(n->port, 0) < expected)
		assert_true(vio_poller_wait(n->poller, 100) >= 0);
}

RG_FN int reap(struct net_guest *n, uint32_t *len)
{
	int id;

	while ((id = rg_reap(net_ring(n, RECV), len)) == -1)
		assert_true(vio_poller_wait(n->poller, 100) >= 0);
	assert_true(id >= 0);
	return id;
}

/* The next packet as a guest sees it: all its buffers are there when the first is. */
RG_FN uint32_t receive(struct net_guest *n, struct virtio_net_hdr_v1 *h, unsigned hdr_len, uint8_t *to)
{
	uint32_t len, total = 0;
	int id = reap(n, &len);
	unsigned parts = 1;

	memset(h, 0, sizeof(*h));
	memcpy(h, net_ptr(n, RECV, posted[id].at), hdr_len);
	if (hdr_len == 12)
		parts = h->num_buffers;
	assert_true(len > hdr_len && len <= posted[id].len);
	memcpy(to, (char *)net_ptr(n, RECV, posted[id].at) + hdr_len, total = len - hdr_len);
	for (unsigned i = 1; i < parts; i++) {
		id = rg_reap(net_ring(n, RECV), &len);
		assert_true(id >= 0);
		memcpy(to + total, net_ptr(n, RECV, posted[id].at), len);
		total += len;
	}
	return total;
}

RG_FN void is_frame(struct net_guest *n, uint32_t len, unsigned parts)
{
	static uint8_t got[RECV_FRAME_MAX + SLOT];
	struct virtio_net_hdr_v1 h;

	assert_int_equal(receive(n, &h, 12, got), len);
	assert_int_equal(h.num_buffers, parts);
	assert_memory_equal(got, frame, len);
}

#endif
