/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest of the NVMe function: its registers, its doorbells, and commands in its rings. The input is
 * a list of records:
 *
 *     kind, a, b, n, n bytes
 *
 * kind 0: the bytes (8 at most) go to BAR 0 at 4 * a; 1: to doorbell a of queue b; 2: the bytes go over those
 * of a command that would be right (a: an admin opcode; b: which queue it is for), which is rung; 3: the same
 * of an I/O command in queue 1 + a % 3; 4: memory is mapped anew, the function reset, or the client comes
 * anew (a). A pass runs after each but those with bit 7 of kind set.
 */
#define _GNU_SOURCE /* memfd_create, seals */
#include <virtio-offload.h>

#include "nvme/pci.h"

#include <stdio.h>

#include "nvme_manager.h"

#define MEM (1u << 20)
#define GUEST_MAX_RECORDS 64u
#define ENTRIES 8u
#define SQ(q) ((q)*0x2000u)
#define CQ(q) ((q)*0x2000u + 0x1000u)
#define DATA 0x20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct vio_poller *p;
	struct vio_nvme *s;
	struct vio_pci *f;
	struct vio_mem *mem;
	uint8_t *ram;
	bool quiet, stopped;
	uint16_t tail[4];
	uint16_t cid;
} z;

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void on_quiet(struct vio_pci *f)
{
	(void)f;
	z.quiet = true;
}

static void pass(void)
{
	check(vio_poller_run(z.p, 0) >= 0);
}

static void quiesce(void)
{
	z.quiet = z.f->ops->quiesce(z.f);
	for (unsigned i = 0; !z.quiet; i++) {
		check(i < 100000); /* whatever it was given, it comes to rest */
		pass();
	}
}

static void resume(void)
{
	z.f->ops->resume(z.f, z.mem);
}

static void put(uint64_t at, uint64_t v, unsigned len)
{
	pci_bar_write(z.f, 0, at, (const uint8_t *)&v, len);
}

static void enable(void)
{
	memset(z.ram, 0, DATA);
	memset(z.ram + DATA, 1, 16); /* a host identifier, and keys */
	memset(z.tail, 0, sizeof(z.tail));
	put(0x24, (ENTRIES - 1) << 16 | (ENTRIES - 1), 4);
	put(0x28, SQ(0), 8);
	put(0x30, CQ(0), 8);
	put(0x14, 0x00460001, 4);
}

static void post(unsigned q, struct nvme_cmd c, const uint8_t *over, unsigned n)
{
	c.cid = z.cid++;
	memcpy(&c, over, VIO_MIN(n, sizeof(c)));
	memcpy(z.ram + SQ(q) + z.tail[q] * sizeof(c), &c, sizeof(c));
	z.tail[q] = (uint16_t)((z.tail[q] + 1) % ENTRIES);
	put(0x1000 + 8 * q, z.tail[q], 4);
}

/* Reads all there is, so that the rings go on. */
static void read_answers(void)
{
	for (unsigned q = 0; q < 4; q++)
		put(0x1004 + 8 * q, z.tail[q], 4);
}

static void admin(uint8_t opcode, uint8_t q, const uint8_t *over, unsigned n)
{
	uint32_t qid = 1 + q % 3;
	struct nvme_cmd c = { .opcode = opcode,
			      .nsid = 1,
			      .prp1 = DATA,
			      .prp2 = DATA + 4096,
			      .cdw10 = qid | (ENTRIES - 1) << 16,
			      .cdw11 = 3 | qid << 16 };

	if (opcode == nvme_admin_create_cq)
		c.prp1 = CQ(qid);
	if (opcode == nvme_admin_create_sq)
		c.prp1 = SQ(qid);
	if (opcode == nvme_admin_create_sq)
		z.tail[qid] = 0;
	if (opcode == nvme_admin_identify)
		c.cdw10 = q;
	if (n > sizeof(c)) /* what it points at */
		memcpy(z.ram + DATA, over + sizeof(c), n - sizeof(c));
	post(0, c, over, n);
}

static void io(uint8_t q, uint8_t opcode, const uint8_t *over, unsigned n)
{
	const struct nvme_cmd c = {
		.opcode = opcode, .nsid = 1, .prp1 = DATA, .prp2 = DATA + 4096, .cdw12 = 7
	};

	post(1 + q % 3, c, over, n);
}

static void turn(uint8_t what)
{
	quiesce();
	if (what & 1)
		pci_reset(z.f);
	resume();
	if (what & 2)
		enable();
}

static void add_namespace(void)
{
	struct vio_backend *b;

	check(!vio_backend_parse(&b, NULL, "ram:1M") && vio_nvme_ns_add(z.s, b, NULL) == 1);
	vio_backend_free(b);
}

static void start(void)
{
	VIO_OPTS(vio_poller_opts, po, .engine = VIO_POLL_EPOLL);
	VIO_OPTS(vio_nvme_opts, so, .nqn = "nqn.2014-08.org.example:fuzz", .max_namespaces = 4,
		 .manager = &manager);
	VIO_OPTS(vio_nvme_pci_opts, fo, .queues = 3, .buffers = 1 << 20);
	struct vio_mem_region r;

	check(!vio_poller_new(&z.p, &po) && !vio_nvme_new(&z.s, &so));
	add_namespace();
	check(!vio_nvme_pci_new(&z.f, z.p, z.s, &fo));
	z.f->quiet = on_quiet;
	check(!vio_mem_alloc(&z.mem, 0, MEM) && !vio_mem_get(z.mem, 0, &r));
	z.ram = r.ptr;
	resume();
}

static void record(const uint8_t r[4], const uint8_t *bytes)
{
	uint64_t v = 0;

	memcpy(&v, bytes, VIO_MIN(r[3], 8u));
	switch (r[0] & 7) {
	case 0:
		put(4u * r[1], v, 4);
		break;
	case 1:
		put(0x1000 + 8u * r[2] + 4u * (r[1] & 1), v, 4);
		break;
	case 2:
		admin(r[1], r[2], bytes, r[3]);
		break;
	case 3:
		io(r[1], r[2], bytes, r[3]);
		break;
	default:
		turn(r[1]);
	}
	if (!(r[0] & 0x80)) {
		pass();
		pass();
		read_answers();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!z.p)
		start();
	turn(3); /* from a fresh controller on */
	for (unsigned i = 0; i < 8; i++)
		pass();
	for (unsigned i = 0; i < GUEST_MAX_RECORDS && size >= 4; i++) {
		uint8_t r[4];

		memcpy(r, data, 4);
		r[3] = (uint8_t)VIO_MIN((size_t)r[3], size - 4);
		record(r, data + 4);
		data += 4 + r[3];
		size -= 4 + r[3];
	}
	for (unsigned i = 0; i < 100 && z.s->nops; i++)
		pass();
	check(manager_reset(z.s, add_namespace));
	return 0;
}
