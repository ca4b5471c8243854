/* SPDX-License-Identifier: MIT */
/*
 * A hostile vfio-user client. The input is a list of records, one a message:
 *
 *     command, flags, descriptors, n, n bytes of payload
 *
 * flags: bits 0-3 are flipped in the header's, bit 4 asks for no reply; bit 5: the header
 * announces a byte more than comes; bit 6: the poller does not run before the next record;
 * bit 7: hang up and begin a new connection, with VERSION agreed on. descriptors: how many
 * (bits 0-3) and of which kind (bits 4-6). The function reads and writes the memory it is
 * given, and interrupts as it is written to.
 */
#define _GNU_SOURCE /* memfd_create, seals */
#include <virtio-offload.h>

#include "transport/vfio_user.h"

#include "mem/log.h"
#include "pci_stub.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

#define MEM (64u << 10)
#define MAX_RECORDS 64
#define MAX_FDS 15

enum { FLAG_SILENT = 16, FLAG_LONGER = 32, FLAG_HURRY = 64, FLAG_AGAIN = 128 };

static struct {
	struct vio_poller *p;
	struct vio_vfio_user *t;
	struct pci_stub stub;
	int kinds[8]; /* descriptors to send */
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

/* Uses all that it was given: the first and the last byte of each region, and a vector. */
static void fuzz_write(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len, uint64_t value)
{
	struct vio_mem_region r;

	stub_write(f, bar, at, len, value);
	check(z.stub.running || z.t->state != VFIO_DEVICE_STATE_RUNNING);
	if (!z.stub.running)
		return;
	for (unsigned i = 0; !vio_mem_get(z.stub.mem, i, &r); i++) {
		((uint8_t *)r.ptr)[r.size - 1] ^= *(uint8_t *)r.ptr;
		if (f->log)
			vio__log_mark(f->log, (uint8_t *)r.ptr + r.size - 1, 1);
	}
	pci_interrupt(f, z.p, (unsigned)(value % STUB_VECTORS));
}

static void start(void)
{
	static struct pci_ops ops;
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_EPOLL);

	check(!vio_poller_new(&z.p, &o));
	stub_new(&z.stub);
	z.stub.pci.poller = z.p;
	ops = *z.stub.pci.ops;
	ops.write = fuzz_write;
	z.stub.pci.ops = &ops;
	z.kinds[0] = memfd(MEM);
	z.kinds[1] = memfd(4096);
	z.kinds[2] = z.kinds[3] = eventfd(0, EFD_NONBLOCK);
	z.kinds[4] = open("/dev/null", O_RDWR);
	z.kinds[5] = open("/proc/self/maps", O_RDONLY);
	z.kinds[6] = memfd(1u << 20);
	z.kinds[7] = z.kinds[0];
}

static void connected(void *ctx, bool yes)
{
	(void)ctx;
	z.connected = yes;
}

static void plug(void)
{
	VIO_OPTS(vio_vfio_user_opts, o, .timeout_ms = 1, .connected = connected);
	int s[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	z.s = s[0];
	o.fd = s[1];
	check(!vio_vfio_user_new(&z.t, z.p, &z.stub.pci, &o));
}

/* However it went: the server ends the connection and lets go of everything. */
static void unplug(void)
{
	close(z.s);
	for (unsigned i = 0; z.connected; i++) {
		check(i < 100000);
		check(vio_poller_run(z.p, 0) >= 0);
	}
	check(!z.stub.running);
	vio_vfio_user_free(z.t);
}

/* What comes back is a reply, and a short one if it is an error. */
static void read_replies(void)
{
	static struct vfu_box box;

	box.done = box.msg.nfds = 0;
	while (vfu_recv(&box, z.s) == 1) {
		check((box.msg.h.flags & ~VFU_FLAG_ERROR) == VFU_TYPE_REPLY);
		check(!(box.msg.h.flags & VFU_FLAG_ERROR) || box.msg.h.size == sizeof(box.msg.h));
		vfu_close_fds(&box.msg);
		box.done = 0;
	}
	vfu_close_fds(&box.msg);
}

static void settle(void)
{
	for (unsigned i = 0; i < 8 && vio_poller_run(z.p, 8) > 0; i++)
		;
	read_replies();
}

static void send_record(const uint8_t r[4], const uint8_t *payload)
{
	struct {
		struct vfu_header h;
		uint8_t payload[255];
	} m = { .h = { .id = r[0], .command = r[0], .flags = r[1] & (0xf | FLAG_SILENT) } };
	char control[CMSG_SPACE(sizeof(int) * MAX_FDS)] = { 0 };
	struct iovec iov = { &m, sizeof(m.h) + r[3] };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned nfds = r[2] & 0xf;

	memcpy(m.payload, payload, r[3]);
	m.h.size = (uint32_t)iov.iov_len + (r[1] & FLAG_LONGER ? 1 : 0);
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

static void greet(void)
{
	static const uint8_t version[4] = { VFU_VERSION, 0, 0, 4 }, zeroes[4];

	send_record(version, zeroes);
	settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!z.p)
		start();
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
			greet();
		}
	}
	settle();
	unplug();
	return 0;
}
