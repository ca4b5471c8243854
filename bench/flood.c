/* SPDX-License-Identifier: MIT */
/*
 * Two guests that send each other packets of 64 bytes through a switch, as fast as it takes them: more
 * addresses than DPDK's testpmd can make. Each is a front end with hand-written split rings; a packet costs
 * it the writing of two addresses and a port.
 *
 * flood SOCKET SOCKET ADDRESSES ADDRESSES FLOWS; all FLOWS (each way) have another pair of addresses. It says
 * ready, and for each line on stdin, "seconds S" or "flows N" (until so many were sent each way), what
 * happened: packets received, and in how many seconds.
 */
#define _GNU_SOURCE
#include "base/base.h"
#include "ring/vring.h"
#include "wire/vhost_user.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SIZE 1024u
#define FRAME 64u
#define HDR 12u
#define STRIDE 2368u /* buffers lie as far apart as a DPDK guest's */
#define RING 0x10000u
#define DESC 0u
#define AVAIL 0x8000u
#define USED 0xc000u
#define DATA (2 * RING)
#define MEMORY (DATA + 2 * SIZE * STRIDE)
#define WAIT_MS 30000
#define SRC_PORT 34u /* of UDP over IPv4, in the frame */

enum { RX, TX };

struct ring {
	char *base, *data;
	uint16_t posted, seen;
};

struct port {
	int socket;
	char *base;
	struct ring ring[2];
	unsigned side;	   /* the second byte of its guests' addresses */
	uint64_t next;	   /* flow */
	uint64_t received; /* frames */
};

struct flood {
	struct port port[2];
	unsigned addresses[2], flows;
};

static void die(const char *sentence)
{
	fprintf(stderr, "flood: %s\n", sentence);
	exit(1);
}

static void say(struct port *p, uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct vu_msg m = { .h = { request, VU_VERSION, size }, .nfds = fd >= 0, .fds = { fd } };

	if (size)
		memcpy(m.p.bytes, payload, size);
	if (vu_send(p->socket, &m, WAIT_MS))
		die("the switch hung up");
}

static void say_ring(struct port *p, unsigned i)
{
	const uint64_t at = (uint64_t)(uintptr_t)p->ring[i].base, index = i;
	const struct vu_vring_state size = { i, SIZE }, base = { i, 0 };
	const struct vu_vring_addr addr = { i, 0, at + DESC, at + USED, at + AVAIL, 0 };
	int kick = eventfd(1, EFD_CLOEXEC), call = eventfd(0, EFD_CLOEXEC);

	say(p, VU_SET_VRING_NUM, &size, sizeof(size), -1);
	say(p, VU_SET_VRING_BASE, &base, sizeof(base), -1);
	say(p, VU_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	say(p, VU_SET_VRING_CALL, &index, sizeof(index), call);
	say(p, VU_SET_VRING_KICK, &index, sizeof(index), kick);
}

static uint64_t ask_features(struct port *p)
{
	struct vu_inbox box = { 0 };

	say(p, VU_GET_FEATURES, NULL, 0, -1);
	if (vu_recv_wait(&box, p->socket, WAIT_MS) < 0)
		die("no answer from the switch");
	return box.msg.p.u64;
}

/* Without protocol features, rings run as soon as they are kicked. */
static void meet(struct port *p, int memfd)
{
	const uint64_t features = VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
	const uint64_t at = (uint64_t)(uintptr_t)p->base;
	const struct vu_mem_table table = { .n = 1, .regions = { { at, MEMORY, at, 0 } } };

	if (features & ~ask_features(p))
		die("the switch does not offer merged receive buffers");
	say(p, VU_SET_OWNER, NULL, 0, -1);
	say(p, VU_SET_FEATURES, &features, sizeof(features), -1);
	say(p, VU_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), memfd);
	say_ring(p, RX);
	say_ring(p, TX);
	ask_features(p); /* all before has been dealt with */
}

static void dial(struct port *p, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	p->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(p->socket, (struct sockaddr *)&a, sizeof(a)))
		die("cannot connect to the switch");
}

/* What does not change from frame to frame: IPv4 with its sum, UDP without. */
static void frame_init(char *frame)
{
	static const uint8_t ip[] = { 8,  0, 0x45, 0, 0,  FRAME - 14, 0, 0, 0, 0, 64, 17, 0x66, 0xb9,
				      10, 0, 0,	   1, 10, 0,	      0, 2, 0, 0, 0,  9,  0,	FRAME - 34 };

	memcpy(frame + 12, ip, sizeof(ip));
}

static void ring_init(struct ring *r, bool device_writes)
{
	struct vring_desc *d = (struct vring_desc *)(r->base + DESC);

	((struct vring_avail *)(r->base + AVAIL))->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (unsigned i = 0; i < SIZE; i++) {
		char *at = r->data + i * STRIDE;

		frame_init(at + HDR);
		d[i] = (struct vring_desc){ .addr = (uint64_t)(uintptr_t)at,
					    .len = device_writes ? STRIDE - 128 : HDR + FRAME,
					    .flags = device_writes ? VRING_DESC_F_WRITE : 0 };
	}
}

static void port_init(struct port *p, unsigned side, const char *path)
{
	int memfd = memfd_create("flood", MFD_CLOEXEC);

	if (memfd < 0 || ftruncate(memfd, MEMORY))
		die("no memory");
	p->base = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd, 0);
	if (p->base == MAP_FAILED)
		die("no memory");
	p->side = side;
	for (unsigned i = 0; i < 2; i++) {
		p->ring[i].base = p->base + i * RING;
		p->ring[i].data = p->base + DATA + (size_t)i * SIZE * STRIDE;
		ring_init(&p->ring[i], i == RX);
	}
	dial(p, path);
	meet(p, memfd);
	close(memfd);
}

static void write_address(char *to, unsigned side, uint32_t number)
{
	to[0] = 2;
	to[1] = (char)side;
	number = htonl(number);
	memcpy(to + 2, &number, sizeof(number));
}

/* Flow n is between the n-th (going round) of the one side and the n-th (in equal parts) of the other. */
static void write_flow(const struct flood *f, const struct port *p, char *frame, uint32_t n)
{
	const uint32_t number[2] = { n % f->addresses[0], n / (f->flows / f->addresses[1]) };

	write_address(frame, !p->side, number[!p->side]);
	write_address(frame + 6, p->side, number[p->side]);
	memcpy(frame + SRC_PORT, &n, 2);
}

static void ring_post(struct ring *r, unsigned id)
{
	((struct vring_avail *)(r->base + AVAIL))->ring[r->posted++ % SIZE] = (uint16_t)id;
}

static void ring_publish(struct ring *r)
{
	VIO_STORE_RELEASE(&((struct vring_avail *)(r->base + AVAIL))->idx, r->posted);
}

static uint16_t ring_used(const struct ring *r)
{
	return (uint16_t)(VIO_LOAD_ACQUIRE(&((struct vring_used *)(r->base + USED))->idx) - r->seen);
}

static struct vring_used_elem ring_next(struct ring *r)
{
	return ((struct vring_used *)(r->base + USED))->ring[r->seen++ % SIZE];
}

static void port_post(const struct flood *f, struct port *p, unsigned id)
{
	write_flow(f, p, p->ring[TX].data + id * STRIDE + HDR, (uint32_t)(p->next++ % f->flows));
	ring_post(&p->ring[TX], id);
}

static void port_send(const struct flood *f, struct port *p)
{
	struct ring *r = &p->ring[TX];

	for (unsigned n = ring_used(r); n; n--)
		port_post(f, p, ring_next(r).id % SIZE);
	ring_publish(r);
}

static void port_receive(struct port *p)
{
	struct ring *r = &p->ring[RX];

	for (unsigned n = ring_used(r); n; n--) {
		const struct vring_used_elem e = ring_next(r);
		const char *frame = r->data + e.id % SIZE * STRIDE + HDR;

		if (e.len == HDR + FRAME && frame[1] == (char)p->side)
			p->received++;
		ring_post(r, e.id % SIZE);
	}
	ring_publish(r);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Until `end`, or until so many flows were sent each way. */
static void run(struct flood *f, double end, uint64_t flows)
{
	const double start = now();
	const uint64_t before = f->port[0].received + f->port[1].received;
	const uint64_t until[2] = { f->port[0].next + flows, f->port[1].next + flows };
	bool more = true;

	while (more && (!end || now() < start + end)) {
		for (unsigned turn = 0; turn < 64; turn++)
			for (unsigned i = 0; i < 2; i++) {
				port_receive(&f->port[i]);
				port_send(f, &f->port[i]);
			}
		more = !flows || f->port[0].next < until[0] || f->port[1].next < until[1];
	}
	printf("%llu %.6f\n", (unsigned long long)(f->port[0].received + f->port[1].received - before),
	       now() - start);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static struct flood f;
	double seconds;
	unsigned long long flows;
	char line[64];

	if (argc != 6)
		die("expected SOCKET SOCKET ADDRESSES ADDRESSES FLOWS");
	for (unsigned i = 0; i < 2; i++)
		f.addresses[i] = (unsigned)atoi(argv[3 + i]);
	f.flows = (unsigned)atoi(argv[5]);
	if (!f.addresses[0] || !f.addresses[1] || f.flows % f.addresses[0] || f.flows % f.addresses[1])
		die("flows are a multiple of the addresses of either side");
	for (unsigned i = 0; i < 2; i++) {
		port_init(&f.port[i], i, argv[1 + i]);
		for (unsigned id = 0; id < SIZE; id++) {
			ring_post(&f.port[i].ring[RX], id);
			port_post(&f, &f.port[i], id);
		}
	}
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "seconds %lf", &seconds) == 1)
			run(&f, seconds, 0);
		else if (sscanf(line, "flows %llu", &flows) == 1)
			run(&f, 0, flows);
	}
	return 0;
}
