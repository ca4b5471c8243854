/* SPDX-License-Identifier: MIT */
/*
 * The state of an NVMe function, as whoever sends it has made it. The first byte of the input says
 * what follows: bit 0: all of a state, or what comes behind config space and MSI-X, with a header
 * that fits. What is accepted runs, over memory that holds the input too, with its doorbells rung;
 * and what it then is can be written down, and read again.
 */
#include <virtio-offload.h>

#include "nvme/pci.h"

#define MEM (1u << 20)
#define QUEUES 3u
#define VECTORS (QUEUES + 1)
#define HEADER 32u
#define PREFIX (HEADER + PCI_CONFIG_SIZE + 4 + VECTORS * 17u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct vio_poller *p;
	struct vio_nvme *s;
	struct vio_pci *f;
	struct vio_mem *mem;
	uint8_t *ram;
	bool quiet, runs;
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

static void start(void)
{
	VIO_OPTS(vio_poller_opts, po, .engine = VIO_POLL_EPOLL);
	VIO_OPTS(vio_nvme_opts, so, .nqn = "nqn.2014-08.org.example:fuzz", .max_namespaces = 4);
	VIO_OPTS(vio_nvme_pci_opts, fo, .queues = QUEUES, .buffers = 1 << 20);
	struct vio_mem_region r;
	struct vio_backend *b;

	check(!vio_poller_new(&z.p, &po) && !vio_nvme_new(&z.s, &so));
	check(!vio_backend_parse(&b, NULL, "ram:1M") && vio_nvme_ns_add(z.s, b, NULL) == 1);
	vio_backend_free(b);
	check(!vio_nvme_pci_new(&z.f, z.p, z.s, &fo));
	z.f->quiet = on_quiet;
	check(!vio_mem_alloc(&z.mem, 0, MEM) && !vio_mem_get(z.mem, 0, &r));
	z.ram = r.ptr;
}

static void fill(const uint8_t *data, size_t size)
{
	memset(z.ram, 0, MEM);
	for (size_t at = 0; size && at < MEM / 4; at += size)
		memcpy(z.ram + at, data, VIO_MIN(size, MEM / 4 - at));
}

/* A header that fits, config space as it is, and then the input. */
static uint8_t *dress(const uint8_t *data, size_t size)
{
	struct pci_out o = { 0 };
	uint64_t sum = 0xcbf29ce484222325u, length = PREFIX - HEADER + size;

	check(!pci_save(z.f, &o) && o.len > PREFIX);
	o.data = realloc(o.data, PREFIX + size);
	check(o.data);
	memcpy(o.data + PREFIX, data, size);
	for (size_t i = HEADER; i < PREFIX + size; i++)
		sum = (sum ^ o.data[i]) * 0x100000001b3u;
	memcpy(o.data + 16, &length, 8);
	memcpy(o.data + 24, &sum, 8);
	return o.data;
}

static void play(void)
{
	struct pci_out o = { 0 };

	z.f->ops->resume(z.f, z.mem);
	for (unsigned i = 0; i < 4; i++)
		pass();
	for (uint32_t at = 0; at < 8 * VECTORS; at += 4) {
		uint32_t v = z.ram[at] % 8;

		pci_bar_write(z.f, 0, 0x1000 + at, (const uint8_t *)&v, 4);
		pass();
	}
	for (unsigned i = 0; i < 8; i++)
		pass();
	quiesce();
	check(!pci_save(z.f, &o));
	pci_reset(z.f);
	check(!pci_load(z.f, o.data, o.len));
	free(o.data);
	z.f->ops->resume(z.f, z.mem);
	for (unsigned i = 0; i < 8; i++)
		pass();
	quiesce();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *blob;
	int rc;

	if (!size)
		return 0;
	if (!z.p)
		start();
	pci_reset(z.f);
	for (unsigned i = 0; i < 4; i++)
		pass();
	fill(data + 1, size - 1);
	if (data[0] & 1) {
		rc = pci_load(z.f, data + 1, size - 1);
	} else {
		blob = dress(data + 1, size - 1);
		rc = pci_load(z.f, blob, PREFIX + size - 1);
		free(blob);
	}
	check(!rc || rc == -EINVAL);
	if (!rc)
		play();
	return 0;
}
