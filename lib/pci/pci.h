/* SPDX-License-Identifier: MIT */
/*
 * A PCI function as a device writes it and a transport serves it: config space with its
 * capabilities, BARs, MSI-X vectors, reset, and the memory of the guest that it works in.
 *
 * The transport calls it on one thread, its poller's. The function is quiet at first:
 * it touches no guest memory and interrupts nobody. resume lets it run with a snapshot of
 * memory until quiesce; in between its queues may live on any threads.
 */
#ifndef VIO_PCI_PCI_H
#define VIO_PCI_PCI_H

#include "base/barrier.h"

#include <virtio-offload/impl/poll.h>
#include <virtio-offload/mem.h>

#define PCI_CONFIG_SIZE 4096u
#define PCI_BARS 6u
#define PCI_MAX_VECTORS 2048u

struct mem_log;
struct pci_in;
struct pci_out;
struct vio_pci;

struct pci_ops {
	/* A BAR is read or written, quiet or not: len is 1, 2, 4 or 8, `at` a multiple of it and within the
	 * BAR. */
	uint64_t (*read)(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len);
	void (*write)(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len, uint64_t value);
	/*
	 * Work no more: true if that is so at once, else f->quiet is called when nothing that was taken is
	 * under way any more, guest memory is not touched, and interrupts have left.
	 */
	bool (*quiesce)(struct vio_pci *f);
	/* Go on where quiesce stopped, or begin. The snapshot is the transport's until the next quiesce. */
	void (*resume)(struct vio_pci *f, struct vio_mem *mem);
	/* While it is quiet: as after power-on. Config space has been seen to. */
	void (*reset)(struct vio_pci *f);
	/* Config space has been written to, quiet or not; or NULL. */
	void (*config)(struct vio_pci *f);
	/*
	 * While it is quiet: its own state is put (pci/state.h); or taken, all or nothing, -EINVAL, after a
	 * reset. save NULL: the function can't move.
	 */
	void (*save)(struct vio_pci *f, struct pci_out *o);
	int (*load)(struct vio_pci *f, struct pci_in *in);
};

struct pci_bar {
	uint64_t size; /* a power of two; 0: there is none */
	bool wide;     /* 64 bits: takes the next BAR too */
	/* A range that the client may map, whole pages of a file in which they lie as in the BAR; fd -1:
	 * none. */
	int fd;
	uint64_t map_at, map_size;
};

struct pci_config {
	uint8_t data[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* the bits that a guest may set */
	uint8_t clears[PCI_CONFIG_SIZE];   /* those that it clears by writing 1 */
	uint8_t fresh[PCI_CONFIG_SIZE];	   /* data as it is after a reset */
	uint16_t last_cap, last_ext;	   /* where the lists end so far; 0: they are empty */
	uint16_t next_cap, next_ext;	   /* where the next capabilities go */
	uint16_t pcie;			   /* the PCI Express capability; 0: none */
};

struct vio_pci {
	const struct pci_ops *ops;
	const char *name; /* for the log */
	struct pci_config config;
	struct pci_bar bar[PCI_BARS];
	uint16_t sriov; /* the SR-IOV capability; 0: none */
	unsigned vectors;
	unsigned msix_bar;   /* the BAR with nothing but the MSI-X table and the pending bits */
	uint8_t *msix;	     /* the table's content */
	int *irq;	     /* an eventfd for each vector, or -1; changes only while it is quiet */
	uint8_t *pending;    /* for each vector: it was due while it had no eventfd; atomic */
	struct mem_log *log; /* what it writes is marked there; or NULL. Changes only while it is quiet */
	bool served;	     /* by a transport, one at a time */
	struct vio_poller *poller; /* where ops are called */
	void (*quiet)(struct vio_pci *f);
	void *transport;
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code; /* class, subclass, programming interface */
};

/* pci.c. -EINVAL, -ENOMEM. */
int pci_init(struct vio_pci *f, const struct pci_ops *ops, const struct pci_ids *ids);
void pci_fini(struct vio_pci *f);
int pci_add_bar(struct vio_pci *f, unsigned bar, uint64_t size, bool wide);
/* PM, PCI Express (with FLR), MSI-X with a BAR of its own, AER. */
void pci_add_pm(struct vio_pci *f);
void pci_add_pcie(struct vio_pci *f);
int pci_add_msix(struct vio_pci *f, unsigned bar, unsigned vectors);
void pci_add_aer(struct vio_pci *f);
void pci_ready(struct vio_pci *f); /* config space is complete: what it holds now is its reset state */
void pci_reset(struct vio_pci *f); /* while it is quiet */

/* config.c; the range lies within config space. */
uint16_t pci_config_add(struct pci_config *c, uint8_t id, unsigned size);
uint16_t pci_config_add_ext(struct pci_config *c, uint16_t id, uint8_t version, unsigned size);
void pci_config_put(struct pci_config *c, unsigned at, unsigned len, uint32_t value, uint32_t writable);
/* True: the guest asks for a function-level reset. */
bool pci_config_write(struct pci_config *c, unsigned at, const uint8_t *from, unsigned len);

/* Any access within a BAR, in pieces that its function understands. */
void pci_bar_read(struct vio_pci *f, unsigned bar, uint64_t at, uint8_t *to, unsigned len);
void pci_bar_write(struct vio_pci *f, unsigned bar, uint64_t at, const uint8_t *from, unsigned len);

/* Interrupts the guest, from a task or a message of poller p. While the function is not quiet. */
VIO_INLINE void pci_interrupt(struct vio_pci *f, struct vio_poller *p, unsigned vector)
{
	int fd = f->irq[vector];

	if (VIO_LIKELY(fd >= 0))
		vio_poller_signal(p, fd);
	else
		VIO_STORE(&f->pending[vector], 1);
}

#endif
