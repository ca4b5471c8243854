/* SPDX-License-Identifier: MIT */
/* A PCI function that does nothing but note what its transport asks of it. */
#ifndef TESTS_PCI_STUB_H
#define TESTS_PCI_STUB_H

#include "pci/pci.h"
#include "pci/state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STUB_BAR 0x4000u
#define STUB_VECTORS 20u

struct pci_stub {
	struct vio_pci pci;
	uint8_t bar[STUB_BAR];
	struct vio_mem *mem; /* while it runs */
	bool slow;	     /* falls quiet only by stub_quiet */
	bool running;
	unsigned resumes, quiesces, resets, writes;
	struct vio_msg later;
};

static inline uint64_t stub_read(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len)
{
	struct pci_stub *s = VIO_CONTAINER(f, struct pci_stub, pci);
	uint64_t v = 0;

	if (bar || at % len || len > 8 || at + len > STUB_BAR)
		abort();
	memcpy(&v, s->bar + at, len);
	return v;
}

static inline void stub_write(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len, uint64_t value)
{
	struct pci_stub *s = VIO_CONTAINER(f, struct pci_stub, pci);

	if (bar || at % len || len > 8 || at + len > STUB_BAR)
		abort();
	memcpy(s->bar + at, &value, len);
	s->writes++;
}

static inline void stub_quiet(struct pci_stub *s)
{
	s->mem = NULL;
	s->running = false;
	s->pci.quiet(&s->pci);
}

static inline void stub_later(struct vio_msg *m)
{
	stub_quiet(VIO_CONTAINER(m, struct pci_stub, later));
}

static inline bool stub_quiesce(struct vio_pci *f)
{
	struct pci_stub *s = VIO_CONTAINER(f, struct pci_stub, pci);

	if (!s->running)
		abort();
	s->quiesces++;
	if (s->slow)
		return false;
	if (s->quiesces % 2) { /* now this way, now that */
		s->later.fn = stub_later;
		vio_poller_post(f->poller, &s->later);
		return false;
	}
	s->mem = NULL;
	s->running = false;
	return true;
}

static inline void stub_resume(struct vio_pci *f, struct vio_mem *mem)
{
	struct pci_stub *s = VIO_CONTAINER(f, struct pci_stub, pci);

	if (s->running || !mem)
		abort();
	s->mem = mem;
	s->running = true;
	s->resumes++;
}

static inline void stub_reset(struct vio_pci *f)
{
	struct pci_stub *s = VIO_CONTAINER(f, struct pci_stub, pci);

	if (s->running)
		abort();
	memset(s->bar, 0, sizeof(s->bar));
	s->resets++;
}

static inline void stub_save(struct vio_pci *f, struct pci_out *o)
{
	struct pci_stub *s = VIO_CONTAINER(f, struct pci_stub, pci);

	if (s->running)
		abort();
	pci_put_bytes(o, s->bar, sizeof(s->bar));
}

static inline int stub_load(struct vio_pci *f, struct pci_in *in)
{
	struct pci_stub *s = VIO_CONTAINER(f, struct pci_stub, pci);

	if (s->running)
		abort();
	if (in->left != sizeof(s->bar))
		return vio__fail(EINVAL, "%zu bytes for the stub", in->left);
	pci_take_bytes(in, s->bar, sizeof(s->bar));
	return 0;
}

static inline void stub_new(struct pci_stub *s)
{
	static const struct pci_ops ops = {
		.read = stub_read,
		.write = stub_write,
		.quiesce = stub_quiesce,
		.resume = stub_resume,
		.reset = stub_reset,
		.save = stub_save,
		.load = stub_load,
	};
	static const struct pci_ids ids = { .vendor = 0x1234, .device = 0x5678, .class_code = 0xff0000 };
	struct vio_pci *f = &s->pci;

	memset(s, 0, sizeof(*s));
	pci_init(f, &ops, &ids);
	if (pci_add_bar(f, 0, STUB_BAR, true) || pci_add_msix(f, 4, STUB_VECTORS))
		abort();
	pci_add_pm(f);
	pci_add_pcie(f);
	pci_add_aer(f);
	f->bar[0].fd = memfd_create("stub", MFD_CLOEXEC);
	if (f->bar[0].fd < 0 || ftruncate(f->bar[0].fd, 0x2000))
		abort();
	f->bar[0].map_at = f->bar[0].map_size = 0x1000;
	pci_ready(f);
}

static inline void stub_free(struct pci_stub *s)
{
	pci_fini(&s->pci);
}

#endif
