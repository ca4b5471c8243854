/* SPDX-License-Identifier: MIT */
/*
 * For tests of the switch: stations on its ports, without a guest. Each has a lane that
 * sends, one that receives, and requests of a pool with memory of their own.
 */
#ifndef TESTS_SWITCH_NET_H
#define TESTS_SWITCH_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <virtio-offload/impl/backend.h>
#include <virtio-offload/switch.h>

#include "base/base.h"

#define NET_FN static __attribute__((unused)) /* not every test uses all */
#define NET_REQS 256u
#define NET_FRAME 65550u

struct station {
	struct vio_poller *poller;
	struct vio_switch_port *port;
	struct vio_lane *tx, *rx;
	struct vio_req_pool *sends, *recvs;
	unsigned sending, posted;
	uint8_t takes;
	unsigned room, free; /* of each RECV; free: in front of a packet */
};

/* What a station got. */
struct packet_got {
	size_t len;
	uint8_t flags;
	struct vio_offload offload;
	unsigned parts;
	uint8_t bytes[NET_FRAME];
};

NET_FN void station_lanes(struct station *s)
{
	struct vio_backend *b = vio_switch_port_backend(s->port);
	VIO_OPTS(vio_lane_opts, recv, .recv = true);

	assert_int_equal(vio_lane_new(&s->tx, b, s->poller, NULL), 0);
	assert_int_equal(vio_lane_new(&s->rx, b, s->poller, &recv), 0);
	assert_int_equal(vio_req_pool_new(&s->sends, s->tx, NET_REQS, 8), 0);
	assert_int_equal(vio_req_pool_new(&s->recvs, s->rx, NET_REQS, 8), 0);
}

NET_FN void station_up(struct station *s, struct vio_switch *sw, struct vio_poller *p, const char *name,
		       const struct vio_switch_port_opts *o)
{
	*s = (struct station){ .poller = p, .room = 2048 };
	if (vio_switch_port_new(&s->port, sw, name, o))
		fail_msg("%s: %s", name, vio_errmsg());
	station_lanes(s);
}

/* SENDs that have completed are put back. */
NET_FN unsigned station_reap_sends(struct station *s)
{
	struct vio_req *r[32];
	unsigned n = vio_lane_reap(s->tx, r, 32);

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(r[i]->op, VIO_OP_SEND);
		assert_int_equal(r[i]->res, 0);
		free((void *)(uintptr_t)r[i]->user);
		vio_req_put(s->sends, r[i]);
	}
	assert_true(n <= s->sending);
	s->sending -= n;
	return n;
}

NET_FN void station_recall(struct station *s)
{
	struct vio_req *r[32];
	unsigned n;

	while ((n = vio_lane_recall(s->rx, r, 32))) {
		s->posted -= n;
		for (unsigned i = 0; i < n; i++) {
			free((void *)(uintptr_t)r[i]->user);
			vio_req_put(s->recvs, r[i]);
		}
	}
}

/* n more RECVs of s->room bytes each. */
NET_FN void station_post(struct station *s, unsigned n)
{
	for (; n; n--) {
		struct vio_req *r = vio_req_get(s->recvs);
		char *mem = malloc(s->room);

		assert_non_null(r);
		assert_non_null(mem);
		r->op = VIO_OP_RECV;
		r->flags = s->takes;
		r->offload.hdr_len = (uint16_t)s->free;
		r->iov[0] = (struct iovec){ mem, s->room };
		r->niov = 1;
		r->user = (uintptr_t)mem;
		assert_true(vio_lane_room(s->rx) > 0);
		vio_lane_submit(s->rx, &r, 1);
		s->posted++;
	}
}

/* In pieces of `cut` bytes at first (0: one piece), in memory that ends where the frame does. */
NET_FN void station_send_cut(struct station *s, const void *frame, size_t len, uint8_t flags,
			     const struct vio_offload *o, size_t cut)
{
	struct vio_req *r = vio_req_get(s->sends);
	char *mem = malloc(len ? len : 1);
	size_t at = 0;

	assert_non_null(r);
	assert_non_null(mem);
	memcpy(mem, frame, len);
	r->op = VIO_OP_SEND;
	r->flags = flags;
	if (o)
		r->offload = *o;
	r->len = len;
	r->user = (uintptr_t)mem;
	while (at < len) {
		size_t n = cut && r->niov < 7 ? VIO_MIN(cut, len - at) : len - at;

		r->iov[r->niov++] = (struct iovec){ mem + at, n };
		at += n;
	}
	r->res = 12345;
	assert_true(vio_lane_room(s->tx) > 0);
	s->sending++;
	vio_lane_submit(s->tx, &r, 1);
}

NET_FN void station_send(struct station *s, const void *frame, size_t len)
{
	station_send_cut(s, frame, len, 0, NULL, 0);
	station_reap_sends(s);
}

/* The next packet, put together; false: none waits. Its RECVs are not posted again. */
NET_FN bool station_get(struct station *s, struct packet_got *g)
{
	struct vio_req *r;

	if (!vio_lane_reap(s->rx, &r, 1))
		return false;
	g->parts = (unsigned)r->res;
	g->flags = r->flags;
	g->offload = r->offload;
	g->len = 0;
	assert_true(g->parts >= 1);
	for (unsigned i = 0; i < g->parts; i++) {
		size_t skip = i ? 0 : s->free;

		if (i) {
			assert_int_equal(vio_lane_reap(s->rx, &r, 1), 1);
			assert_int_equal(r->res, 0);
		}
		assert_int_equal(r->op, VIO_OP_RECV);
		assert_true(r->len && r->len <= s->room - skip && g->len + r->len <= sizeof(g->bytes));
		memcpy(g->bytes + g->len, (char *)r->iov[0].iov_base + skip, r->len);
		g->len += r->len;
		free((void *)(uintptr_t)r->user);
		vio_req_put(s->recvs, r);
		s->posted--;
	}
	return true;
}

NET_FN void station_close(struct station *s)
{
	static _Thread_local struct packet_got g;

	while (s->sending)
		if (!station_reap_sends(s))
			vio_poller_wait(s->poller, 1);
	while (station_get(s, &g))
		;
	station_recall(s);
	assert_int_equal(s->posted, 0);
	vio_req_pool_free(s->sends);
	vio_req_pool_free(s->recvs);
	vio_lane_free(s->tx);
	vio_lane_free(s->rx);
}

NET_FN void station_down(struct station *s)
{
	station_close(s);
	vio_switch_port_free(s->port);
}

NET_FN struct vio_switch_port_stats station_stats(const struct station *s)
{
	struct vio_switch_port_stats st = { .sz = sizeof(st) };

	assert_int_equal(vio_switch_port_stats(s->port, &st), 0);
	return st;
}

NET_FN uint64_t station_dropped(const struct station *s, enum vio_switch_drop why)
{
	return station_stats(s).dropped[why];
}

/* Station i's address: 02-00-00-00-xx-xx. */
NET_FN void net_mac(uint8_t *to, unsigned i)
{
	memcpy(to, (uint8_t[]){ 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i }, 6);
}

/* Makes i the station's address without a packet. */
NET_FN void station_known(struct station *s, struct vio_switch *sw, unsigned i)
{
	uint8_t mac[6];

	net_mac(mac, i);
	assert_int_equal(vio_switch_address_set(sw, mac, 1, s->port), 0);
}

#define NET_BROADCAST 0xffffffffu

/* A frame of len bytes from station src to dst, its content after `seed`; tci: with that tag, -1: without. */
NET_FN size_t net_frame(uint8_t *to, unsigned dst, unsigned src, int tci, size_t len, unsigned seed)
{
	size_t at = 12;

	net_mac(to, dst);
	if (dst == NET_BROADCAST)
		memset(to, 0xff, 6);
	net_mac(to + 6, src);
	if (tci >= 0) {
		memcpy(to + at, (uint8_t[]){ 0x81, 0, (uint8_t)(tci >> 8), (uint8_t)tci }, 4);
		at += 4;
	}
	memcpy(to + at, (uint8_t[]){ 0x88, 0xb5 }, 2); /* for local experiments */
	for (at += 2; at < len; at++)
		to[at] = (uint8_t)(seed * 31 + at * 7);
	return len;
}

/* True if the next packet of s is exactly these bytes. */
NET_FN bool station_gets(struct station *s, const void *frame, size_t len)
{
	static _Thread_local struct packet_got g;

	return station_get(s, &g) && g.len == len && !memcmp(g.bytes, frame, len);
}

NET_FN bool station_gets_nothing(struct station *s)
{
	static _Thread_local struct packet_got g;

	return !station_get(s, &g);
}

#endif
