/* SPDX-License-Identifier: MIT */
/*
 * A primary controller and its secondaries (NVMe Base 2.0, 8.26): functions of one subsystem, whose
 * control threads are one. Queues and vectors of secondaries are flexible resources: they come from
 * a pool of the primary's, which hands them out and sets its secondaries on line.
 */
#ifndef VIO_NVME_PCI_VIRT_H
#define VIO_NVME_PCI_VIRT_H

#include "nvme/nv.h"

#define NPCI_MAX_SECONDARIES 127u /* what one list names */

struct nvme_pci;
struct vio_pci;

enum npci_resource { NPCI_QUEUE, NPCI_VECTOR, NPCI_RESOURCES };

/* What a primary knows of a secondary. */
struct npci_secondary {
	struct nvme_pci *f; /* NULL: there is none with this number */
	bool online;
	uint16_t has[NPCI_RESOURCES]; /* pairs of queues, the admin queue's among them; vectors */
};

struct npci_virt {
	unsigned n;
	bool enabled; /* the host has set VF Enable */
	struct npci_secondary *secondary;
};

int npci_virt_open(struct nvme_pci *p, unsigned secondaries);
void npci_virt_close(struct nvme_pci *p);
/* A function becomes number n of a primary; it is off line. */
int npci_virt_join(struct nvme_pci *p, struct nvme_pci *primary, unsigned n);
void npci_virt_leave(struct nvme_pci *p);
/* All of them are off line. */
void npci_virt_reset(struct nvme_pci *p);
void npci_virt_config(struct vio_pci *f); /* the host has written to config space */
uint16_t npci_virt_identify(struct nv_qp *qp, struct nvme_req *r, uint8_t cns);
uint16_t npci_virt_manage(struct nvme_pci *p, struct nvme_req *r);

#endif
