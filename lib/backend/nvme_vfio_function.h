/* SPDX-License-Identifier: MIT */
/*
 * A PCI function as its driver reaches it: the registers in BAR 0, memory that it may reach, its interrupts,
 * and word that it has to be given back. VFIO is one way there (nvme_vfio_device.c); tests have others.
 *
 * It is not trusted: a register may say anything, and all ones when there is nobody to say it. What the
 * driver writes into memory that the function sees may be overwritten.
 */
#ifndef VIO_BACKEND_NVME_VFIO_FUNCTION_H
#define VIO_BACKEND_NVME_VFIO_FUNCTION_H

#include "base/barrier.h"

#define FUNCTION_RANGES 32u
#define FUNCTION_BELLS 0x1000u /* where doorbells begin */

struct function;

struct function_ops {
	/* 4 bytes of BAR 0, at a multiple of 4 within it. */
	uint32_t (*read)(struct function *f, uint64_t at);
	void (*write)(struct function *f, uint64_t at, uint32_t value);
	/* Whole pages of ours, at bus addresses within the ranges. -errno, with a sentence. */
	int (*map)(struct function *f, void *ptr, uint64_t size, uint64_t iova);
	void (*unmap)(struct function *f, uint64_t size, uint64_t iova);
	/* It may reach memory, or not any more. */
	void (*master)(struct function *f, bool on);
	/* Lets go of it: it reaches no memory then. f is gone. */
	void (*close)(struct function *f);
};

/* Bus addresses that memory may be mapped at: from..last. */
struct function_range {
	uint64_t from, last;
};

struct function {
	const struct function_ops *ops;
	uint64_t bar_size;
	volatile uint32_t *bells; /* bells_size bytes of the BAR from FUNCTION_BELLS on, mapped; or NULL */
	uint64_t bells_size;
	int *irq; /* an eventfd for each interrupt vector; nobody has to read it */
	unsigned vectors;
	int gone; /* an eventfd that says that the system wants it back; -1: it never does */
	uint64_t page;
	struct function_range range[FUNCTION_RANGES];
	unsigned nranges;
	uint64_t maps; /* how many more it can map, at first */
};

VIO_INLINE uint32_t function_get(struct function *f, uint64_t at)
{
	return f->ops->read(f, at);
}

VIO_INLINE uint64_t function_get64(struct function *f, uint64_t at)
{
	uint32_t low = function_get(f, at);

	return low | (uint64_t)function_get(f, at + 4) << 32;
}

VIO_INLINE void function_put(struct function *f, uint64_t at, uint32_t value)
{
	f->ops->write(f, at, value);
}

/* A doorbell: what was written to memory before is seen by whoever hears it. */
VIO_INLINE void function_ring(struct function *f, uint64_t at, uint32_t value)
{
#if defined(__aarch64__)
	__asm__ volatile("dmb oshst" : : : "memory");
#endif
	if (VIO_LIKELY(at - FUNCTION_BELLS < f->bells_size))
		VIO_STORE_RELEASE(&f->bells[(at - FUNCTION_BELLS) / 4], value);
	else
		f->ops->write(f, at, value);
}

/* nvme_vfio_device.c: a function that the driver vfio-pci has, by its address ("0000:03:00.0"). */
int vio__function_open(struct function **f, const char *name);

#endif
