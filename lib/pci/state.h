/* SPDX-License-Identifier: MIT */
/*
 * A function's state on its way to another process: numbers of known lengths, little-endian, one
 * after the other, behind a header with a version, a length and a sum. It comes from whoever
 * sends it: all that is taken is checked.
 */
#ifndef VIO_PCI_STATE_H
#define VIO_PCI_STATE_H

#include "base/base.h"

struct vio_pci;

#define PCI_STATE_MAX (4u << 20) /* bytes; no function needs more */

/* Grows. Zero it before the first; free data after the last. */
struct pci_out {
	uint8_t *data;
	size_t len, room;
	bool failed; /* no memory: what is put is dropped */
};

void pci_put(struct pci_out *o, uint64_t v, unsigned bytes);
void pci_put_bytes(struct pci_out *o, const void *from, size_t n);

struct pci_in {
	const uint8_t *at;
	size_t left;
	bool failed; /* more was taken than there was: zeroes */
};

uint64_t pci_take(struct pci_in *in, unsigned bytes);
void pci_take_bytes(struct pci_in *in, void *to, size_t n);

/* While the function is quiet. -ENOMEM. */
int pci_save(struct vio_pci *f, struct pci_out *o);
/* While it is quiet, and as after a reset. -EINVAL: that can't be its state; it stays as it was. */
int pci_load(struct vio_pci *f, const uint8_t *data, size_t len);

#endif
