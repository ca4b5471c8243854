/* SPDX-License-Identifier: MIT */
/* A controller between two processes: what its host has set and where its queues stand, and how that is
 * written down. */
#ifndef VIO_NVME_PCI_IMAGE_H
#define VIO_NVME_PCI_IMAGE_H

#include "nvme/nv.h"
#include "pci/state.h"

struct npci_image_cq {
	uint64_t base;
	uint32_t size, tail, bell;
	uint16_t qid, vector, phase;
	bool interrupts, broken;
};

struct npci_image_sq {
	uint64_t base;
	uint32_t size, head, bell;
	uint16_t qid, cqid;
	bool broken;
};

/* An answer that waits for room in its completion queue. */
struct npci_image_answer {
	uint64_t result;
	uint16_t sqid, cid, status;
};

struct npci_image {
	/* What the one that goes on has to be. */
	char nqn[NVME_NQN_LENGTH];
	char serial[20];
	uint16_t cntlid, queues;

	uint32_t cc, csts, aqa;
	uint64_t asq, acq;
	bool up; /* it has its admin queue; what follows means something */
	uint32_t kato, events_masked;
	uint8_t hostid[16];
	struct nv_features f;
	uint64_t shadow_at, event_at;
	uint16_t aers[NV_AERS]; /* ids */
	unsigned naers;
	unsigned ncqs, nsqs, nanswers;
	struct npci_image_cq *cq; /* the admin queue's first */
	struct npci_image_sq *sq;
	struct npci_image_answer *answers; /* of each completion queue in order */
};

/* Room for so many; NULL: no memory. */
struct npci_image *npci_image_new(unsigned queues, unsigned answers);
void npci_image_free(struct npci_image *im);
void npci_image_put(const struct npci_image *im, struct pci_out *o);
/* Checked by itself: ids are in range and name one queue each, places lie within rings. -EINVAL, -ENOMEM. */
int npci_image_take(struct npci_image **im, struct pci_in *in, unsigned queues, unsigned vectors);

#endif
