/* SPDX-License-Identifier: MIT */
/*
 * What does a packet cost on its way through the switch? Two ports on one thread, without
 * guests: 64-byte frames of so many flows (each a pair of addresses, in a scattered order)
 * go in at one and come out at the other, in bursts of 32. Sending, reaping and posting
 * again is timed, writing and checking the frames is not; the burst at the tenth
 * percentile is what counts: it saw no interruption.
 */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <virtio-offload.h>
#include <x86intrin.h>

#define BURST 32u
#define BURSTS 400000u
#define DEPTH 256u   /* requests of each kind; RECVs are posted all the while */
#define STRIDE 2368u /* buffers lie as far apart as a DPDK guest's */
#define BYTES 64u

struct side {
	struct vio_switch_port *port;
	struct vio_lane *tx, *rx;
	struct vio_req_pool *sends, *recvs;
	struct vio_req *send[DEPTH];
	unsigned next; /* of send */
	char *memory;
};

struct bench {
	struct vio_poller *poller;
	struct vio_switch *sw;
	struct side a, b;
	uint32_t flows, mask; /* mask: the power of two that holds all flows, less one */
	uint32_t flow;	      /* the next frame's */
	uint32_t sent[BURST];
	uint32_t cycles[BURSTS];
};

static void check(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s\n", vio_errmsg());
	exit(1);
}

static void die(const char *sentence)
{
	fprintf(stderr, "%s\n", sentence);
	exit(1);
}

static uint64_t now(void)
{
	unsigned aux;

	return __rdtscp(&aux);
}

static void side_post(struct side *s)
{
	struct vio_req *r[DEPTH];

	for (unsigned i = 0; i < DEPTH; i++) {
		r[i] = vio_req_get(s->recvs);
		r[i]->op = VIO_OP_RECV;
		r[i]->iov[0] = (struct iovec){ s->memory + (DEPTH + i) * STRIDE, STRIDE };
		r[i]->niov = 1;
		r[i]->user = (uintptr_t)r[i]->iov[0].iov_base;
	}
	vio_lane_submit(s->rx, r, DEPTH);
}

static void side_open(struct side *s, struct bench *b, const char *name)
{
	VIO_OPTS(vio_lane_opts, recv, .recv = true);

	check(vio_switch_port_new(&s->port, b->sw, name, NULL));
	check(vio_lane_new(&s->tx, vio_switch_port_backend(s->port), b->poller, NULL));
	check(vio_lane_new(&s->rx, vio_switch_port_backend(s->port), b->poller, &recv));
	check(vio_req_pool_new(&s->sends, s->tx, DEPTH, 1));
	check(vio_req_pool_new(&s->recvs, s->rx, DEPTH, 1));
	s->memory = aligned_alloc(64, 2 * DEPTH * STRIDE);
	if (!s->memory)
		die("no memory for frames");
	for (unsigned i = 0; i < DEPTH; i++) {
		s->send[i] = vio_req_get(s->sends);
		s->send[i]->op = VIO_OP_SEND;
		s->send[i]->iov[0] = (struct iovec){ s->memory + i * STRIDE, BYTES };
		s->send[i]->niov = 1;
		s->send[i]->len = BYTES;
	}
	side_post(s);
}

static void side_close(struct side *s)
{
	struct vio_req *r[DEPTH];
	unsigned n;

	while ((n = vio_lane_recall(s->rx, r, DEPTH)))
		while (n)
			vio_req_put(s->recvs, r[--n]);
	for (unsigned i = 0; i < DEPTH; i++)
		vio_req_put(s->sends, s->send[i]);
	vio_req_pool_free(s->sends);
	vio_req_pool_free(s->recvs);
	vio_lane_free(s->tx);
	vio_lane_free(s->rx);
	vio_switch_port_free(s->port);
	free(s->memory);
}

static void frame_mac(char *to, char side, uint32_t flow)
{
	memcpy(to, (char[]){ 2, side, 0, (char)(flow >> 16), (char)(flow >> 8), (char)flow }, 6);
}

static void frame_write(char *to, const struct bench *b, const struct side *from, uint32_t flow)
{
	frame_mac(to, from == &b->a, flow);
	frame_mac(to + 6, from != &b->a, flow);
	memcpy(to + 12, (char[]){ 0x08, 0 }, 2);
	memcpy(to + 14, &flow, sizeof(flow));
}

/* All flows, one after another, in no order that a prefetcher knows. */
static uint32_t next_flow(struct bench *b)
{
	uint32_t flow;

	do {
		b->flow = (b->flow * 1664525 + 1013904223) & b->mask;
		flow = b->flow;
	} while (flow >= b->flows);
	return flow;
}

/* A burst from one side to the other; the cycles that it took the switch. */
static uint64_t burst(struct bench *b, struct side *from, struct side *to)
{
	struct vio_req **s = from->send + from->next % DEPTH, *sent[BURST], *got[BURST];
	uint64_t start;
	unsigned done, n;

	from->next += BURST;
	for (unsigned i = 0; i < BURST; i++) {
		b->sent[i] = next_flow(b);
		frame_write(s[i]->iov[0].iov_base, b, from, b->sent[i]);
	}
	start = now();
	vio_lane_submit(from->tx, s, BURST);
	done = vio_lane_reap(from->tx, sent, BURST);
	n = vio_lane_reap(to->rx, got, BURST);
	start = now() - start;
	if (done != BURST || n != BURST)
		die("packets were lost");
	for (unsigned i = 0; i < BURST; i++) {
		if (got[i]->len != BYTES || memcmp((char *)(uintptr_t)got[i]->user + 14, &b->sent[i], 4))
			die("a frame came out other than it went in");
		got[i]->flags = 0;
	}
	start -= now();
	vio_lane_submit(to->rx, got, BURST);
	return start + now();
}

/* What a flood leaves at its sender's own side, or at the other one before addresses are known, is the same:
 * one packet at the only other port. So these bursts are as all others. */
static void learn(struct bench *b)
{
	for (uint32_t i = 0; i < b->flows + BURST; i += BURST)
		burst(b, &b->a, &b->b);
	for (uint32_t i = 0; i < b->flows + BURST; i += BURST)
		burst(b, &b->b, &b->a);
	for (uint32_t i = 0; i < b->flows + BURST; i += BURST)
		burst(b, &b->a, &b->b);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void measure(struct bench *b, unsigned bursts)
{
	for (unsigned i = 0; i < bursts; i++)
		b->cycles[i] = (uint32_t)burst(b, &b->a, &b->b);
	qsort(b->cycles, bursts, sizeof(*b->cycles), by_value);
	printf("{\"flows\":%u,\"bytes\":%u,\"p10\":%.2f,\"median\":%.2f,\"unit\":\"cycles\"}\n", b->flows,
	       BYTES, b->cycles[bursts / 10] / (double)BURST, b->cycles[bursts / 2] / (double)BURST);
}

int main(int argc, char **argv)
{
	static struct bench b;
	VIO_OPTS(vio_switch_opts, o);
	unsigned bursts = argc > 2 ? (unsigned)atoi(argv[2]) : BURSTS;

	if (argc < 2)
		die("usage: FLOWS [BURSTS]");
	b.flows = (uint32_t)atoi(argv[1]);
	if (!b.flows || b.flows > 1u << 19 || !bursts || bursts > BURSTS)
		die("flows are 1..524288, which have twice as many addresses; bursts 1..400000");
	while (b.mask + 1 < b.flows)
		b.mask = 2 * b.mask + 1;
	o.addresses = VIO_MAX(2 * b.flows, 8192u);
	o.flows = VIO_MAX(2 * b.flows, 8192u); /* both ways */
	check(vio_poller_new(&b.poller, NULL));
	check(vio_switch_new(&b.sw, &o));
	side_open(&b.a, &b, "a");
	side_open(&b.b, &b, "b");
	learn(&b);
	measure(&b, bursts);
	side_close(&b.a);
	side_close(&b.b);
	vio_switch_free(b.sw);
	vio_poller_free(b.poller);
	return 0;
}
