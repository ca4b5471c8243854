/* SPDX-License-Identifier: MIT */
/*
 * A hostile vhost-user front end. The input is a list of records, one a message:
 *
 *     request, flags, descriptors, n, n bytes of payload
 *
 * flags: bits 0-3 are flipped in the header's; bit 4: the header announces a byte
 * more than comes; bit 5: 2^31 more; bit 6: the poller does not run before the next
 * record; bit 7: hang up and begin a new connection. descriptors: how many (bits
 * 0-3) and of which kind (bits 4-6). One kind of memory has rings with requests in
 * them, so that a front end that does all right has a guest that does I/O.
 */
#define _GNU_SOURCE /* memfd_create, seals */
#include <virtio-offload.h>

#include "wire/vhost_user.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* What it is the front end of; vhost_user_net.c has another. */
#ifndef FUZZ_DEVICE
#define FUZZ_DEVICE vio_dev_blk(), b, "queues=2,queue-size=64"
#define FUZZ_STACK "ram:1M"
#define FUZZ_FIRST 16 /* bytes of a request that the device reads */
#endif

#define MEM (64u << 10)
#define RING 16u	/* entries of the rings in memory */
#define USER 0x10000ull /* the front end's address of guest address 0 */
#define MAX_RECORDS 64
#define MAX_FDS 15

enum { FLAG_LONGER = 16, FLAG_HUGE = 32, FLAG_HURRY = 64, FLAG_AGAIN = 128 };

static struct {
	struct vio_poller *p;
	struct vio_dev *d;
	struct vio_vhost_user *t;
	int kinds[8];	    /* descriptors to send */
	uint8_t *mem;	    /* kinds[0], mapped */
	uint8_t fresh[MEM]; /* what it holds at the beginning */
	int s;
	bool connected;
} z;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int memfd(size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	check(fd >= 0 && !ftruncate(fd, (off_t)size) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	return fd;
}

static void put(unsigned at, uint64_t v, unsigned bytes)
{
	memcpy(z.fresh + at, &v, bytes);
}

/* A chain of header, data and status; with `next` as a split ring wants it, else as a packed one does. */
static void put_chain(unsigned ring, unsigned i, bool next)
{
	static const unsigned len[3] = { FUZZ_FIRST, 512, 1 };

	for (unsigned k = 0; k < 3; k++) {
		unsigned at = ring + (3 * i + k) * 16, flags = (k < 2 ? 1 : 0) | (k ? 2 : 0);

		put(at, 0x4000 + i * 1024 + k * 256, 8);
		put(at + 8, len[k], 4);
		put(at + 12, next ? flags : i, 2);
		put(at + 14, next ? 3 * i + k + 1 : flags | 1u << 7, 2);
	}
}

/* A split ring at 0 (driver area 0x400, device area 0x800), a packed one at 0x1000 (0x1400, 0x1800). */
static void make_guest(void)
{
	for (unsigned i = 0; i < RING / 3; i++) {
		put_chain(0, i, true);
		put_chain(0x1000, i, false);
		put(0x400 + 4 + 2 * i, 3 * i, 2);
		put(0x4000 + i * 1024, i % 2, 4); /* IN, OUT */
	}
	put(0x400 + 2, RING / 3, 2);
}

static void start(void)
{
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_EPOLL);
	struct vio_backend *b;
	int s[2];

	check(!vio_poller_new(&z.p, &o));
	check(!vio_backend_parse(&b, NULL, FUZZ_STACK));
	check(!vio_dev_new(&z.d, FUZZ_DEVICE));
	vio_backend_free(b);
	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	z.kinds[0] = memfd(MEM);
	z.kinds[1] = memfd(4096);
	z.kinds[2] = eventfd(0, EFD_NONBLOCK);
	z.kinds[3] = eventfd(0, EFD_NONBLOCK);
	z.kinds[4] = open("/dev/null", O_RDWR);
	z.kinds[5] = s[0];
	z.kinds[6] = memfd(1u << 20);
	z.kinds[7] = open("/proc/self/maps", O_RDONLY);
	z.mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_SHARED, z.kinds[0], 0);
	check(z.mem != MAP_FAILED);
	make_guest();
}

static void connected(void *ctx, bool yes)
{
	(void)ctx;
	z.connected = yes;
}

static void plug(void)
{
	VIO_OPTS(vio_vhost_user_opts, o, .timeout_ms = 1, .connected = connected);
	int s[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	z.s = s[0];
	o.fd = s[1];
	check(!vio_vhost_user_new(&z.t, z.p, z.d, &o));
}

/* However it went: the server ends the connection and lets go of everything. */
static void unplug(void)
{
	close(z.s);
	for (unsigned i = 0; z.connected; i++) {
		check(i < 100000);
		check(vio_poller_run(z.p, 0) >= 0);
	}
	vio_vhost_user_free(z.t);
}

static void read_replies(void)
{
	struct vu_inbox in = { 0 };

	while (vu_recv(&in, z.s) == 1) {
		vu_close_fds(&in.msg);
		memset(&in, 0, sizeof(in));
	}
	if (in.have)
		vu_close_fds(&in.msg);
}

static void send_record(const uint8_t r[4], const uint8_t *payload)
{
	struct {
		struct vu_header h;
		uint8_t payload[255];
	} m = { .h = { r[0], VU_VERSION ^ (r[1] & 0xf), r[3] } };
	char control[CMSG_SPACE(sizeof(int) * MAX_FDS)] = { 0 };
	struct iovec iov = { &m, sizeof(m.h) + r[3] };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned nfds = r[2] & 0xf;

	memcpy(m.payload, payload, r[3]);
	m.h.size += r[1] & FLAG_LONGER ? 1 : 0;
	m.h.size += r[1] & FLAG_HUGE ? 1u << 31 : 0;
	if (nfds) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		*c = (struct cmsghdr){ CMSG_LEN(sizeof(int) * nfds), SOL_SOCKET, SCM_RIGHTS };
		for (unsigned i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &z.kinds[r[2] >> 4 & 7], sizeof(int));
	}
	if (sendmsg(z.s, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return; /* the server has hung up, or is slow: both are legal */
}

static void settle(void)
{
	for (unsigned i = 0; i < 8 && vio_poller_run(z.p, 8) > 0; i++)
		;
	read_replies();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!z.p)
		start();
	memcpy(z.mem, z.fresh, MEM);
	plug();
	for (unsigned i = 0; i < MAX_RECORDS && size >= 4; i++) {
		uint8_t r[4];

		memcpy(r, data, 4);
		r[3] = (uint8_t)VIO_MIN((size_t)r[3], size - 4);
		send_record(r, data + 4);
		data += 4 + r[3];
		size -= 4 + r[3];
		if (!(r[1] & FLAG_HURRY))
			settle();
		if (r[1] & FLAG_AGAIN) {
			unplug();
			plug();
		}
	}
	settle();
	unplug();
	return 0;
}
