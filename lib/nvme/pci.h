/* SPDX-License-Identifier: MIT */
/*
 * The controller as a PCI function, from within. pci.c is its life and what its transport
 * calls, pci_regs.c its registers, pci_admin.c the admin commands that only PCI has,
 * pci_worker.c a poller's share of the queues, pci_queue.c what is done to a queue there, pci_image.c
 * and pci_move.c how it goes to another process, pci_virt.c what a primary does with its secondaries.
 *
 * The control thread is that of the registers and of the admin queue, workers[0]'s. Queues are
 * known to it by their ids, and belong to their worker from the message that adds them until
 * it has said that they are gone: each message to a worker is answered by one to control.
 */
#ifndef VIO_NVME_PCI_H
#define VIO_NVME_PCI_H

#include "nvme/nv.h"
#include "pci/pci.h"
#include "nvme/pci_image.h"
#include "nvme/pci_virt.h"
#include "queue/nvme_ring.h"

#include <virtio-offload/nvme_pci.h>

#define NPCI_ENTRIES 1024u   /* of a queue, at most */
#define NPCI_SLOTS 256u	     /* commands of one under way, at most */
#define NPCI_MAX_QUEUES 511u /* whose doorbells fit into one page */
#define NPCI_BAR 0x4000u
#define NPCI_BELLS 0x1000u /* in BAR 0 */
#define NPCI_BELLS_SIZE 0x1000u
_Static_assert((NPCI_MAX_QUEUES + 1) * 8 <= NPCI_BELLS_SIZE, "two words a pair");

struct nvme_pci;
struct npci_worker;

struct npci_cq {
	struct nvme_cq cq;
	struct npci_worker *w;
	struct npci_cq *next; /* of the worker's */
	uint64_t base;
	uint32_t size;
	uint16_t qid, vector;
	bool interrupts;
	bool ready;		/* the worker has it */
	unsigned late;		/* entries that its host has had no interrupt for yet */
	struct vio_timer delay; /* set if late */

	struct nvme_req *req; /* the admin command that makes or ends it */
	int rc;
	struct vio_msg down, up;
};

struct npci_sq {
	struct nvme_sq sq;
	struct nv_qp qp;
	struct npci_worker *w;
	struct npci_sq *next;
	struct npci_cq *cq;
	uint64_t base;
	uint32_t size;
	uint16_t qid;
	bool ready;
	bool away; /* its ring is no guest memory now */
	bool said; /* that it is broken */
	bool ended;
	bool removing; /* an admin command waits for its end */

	struct nvme_req *req;
	int rc;
	struct vio_msg down, up;
};

/* A message to a worker, and its answer. */
struct npci_call {
	struct vio_msg down, up;
};

struct npci_worker {
	struct nvme_pci *p;
	struct vio_poller *poller;
	struct vio_task task;
	struct nvme_pool *pool;
	struct nv_group group;
	struct npci_sq *sqs;
	struct npci_cq *cqs;
	uint32_t *shadow, *event; /* Doorbell Buffer Config's pages, or NULL */
	uint64_t shadow_at, event_at;
	bool started;
	bool pausing, quiet; /* asked to pause; said that it does */
	bool dropping;	     /* asked to end all queues */
	bool stopping, ended;
	struct npci_call pause, resume, drop, stop, buffers, restore;
	struct vio_msg start, kick;
	uint32_t kicked; /* atomic: kick is on its way */
};

struct nvme_pci {
	struct vio_pci pci;
	struct vio_nvme *s;
	struct nv_ctrl *ctrl;
	struct vio_mem *mem; /* the transport's; NULL while quiet */
	bool runs;	     /* between resume and quiesce */
	unsigned queues;     /* I/O pairs, at most */
	uint16_t port;	     /* the subsystem's, as it was given */
	struct npci_worker *workers;
	unsigned nworkers, first_io; /* first_io: I/O queues begin with this worker */

	struct npci_virt virt;	   /* if it is a primary controller */
	struct nvme_pci *primary;  /* if it is a secondary: */
	struct npci_secondary *as; /* what that one knows of it; NULL: it is none, or no more */

	uint32_t aqa;
	uint64_t asq, acq;
	uint32_t *bells;     /* the doorbells' page */
	struct npci_sq **sq; /* by id; [0] is the admin queue */
	struct npci_cq **cq;
	bool up;	   /* the admin queue is there */
	unsigned dropping; /* workers that still end queues */
	unsigned pausing;  /* that still have something under way */

	struct nvme_req *buffers; /* Doorbell Buffer Config under way ... */
	unsigned nbuffers;	  /* ... in so many workers */
	uint64_t shadow_at, event_at;

	struct npci_image *image; /* what it shall be once it runs, or NULL */
	unsigned restoring;	  /* workers that still take it from there */

	bool stopping;
	unsigned running; /* workers that have not ended */
	void (*stopped)(void *ctx);
	void *stopped_ctx;
};

VIO_INLINE struct nvme_pci *npci_of(struct vio_pci *f)
{
	return VIO_CONTAINER(f, struct nvme_pci, pci);
}

/* A secondary that its primary has not set on line. */
VIO_INLINE bool npci_offline(const struct nvme_pci *p)
{
	return p->primary && !(p->as && p->as->online);
}

VIO_INLINE uint32_t *npci_sq_bell(struct nvme_pci *p, uint16_t qid)
{
	return &p->bells[2 * qid];
}

VIO_INLINE uint32_t *npci_cq_bell(struct nvme_pci *p, uint16_t qid)
{
	return &p->bells[2 * qid + 1];
}

/* The admin queue is the control thread's, the others go round. */
VIO_INLINE struct npci_worker *npci_worker_of(struct nvme_pci *p, uint16_t qid)
{
	return &p->workers[qid ? p->first_io + (qid - 1u) % (p->nworkers - p->first_io) : 0];
}

/* pci_regs.c: on the control thread, as all that does not say otherwise. */
uint64_t npci_read(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len);
void npci_write(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len, uint64_t value);
void npci_settle(struct nvme_pci *p); /* takes the next step towards what CC says */
void npci_dropped(struct nvme_pci *p);

/* pci.c */
void npci_reset(struct vio_pci *f);
void npci_paused(struct nvme_pci *p);
void npci_worker_ended(struct nvme_pci *p);
void npci_stop_workers(struct nvme_pci *p);

/* pci_admin.c */
uint16_t npci_admin(struct nv_qp *qp, struct nvme_req *r);
void npci_sq_added(struct npci_sq *q);
void npci_sq_removed(struct npci_sq *q);
void npci_cq_added(struct npci_cq *q);
void npci_cq_removed(struct npci_cq *q);
void npci_buffers_set(struct nvme_pci *p);

/* pci_move.c */
void npci_save(struct vio_pci *f, struct pci_out *o);
int npci_load(struct vio_pci *f, struct pci_in *in);
void npci_image_drop(struct nvme_pci *p);      /* it has been reset meanwhile */
void npci_restore(struct nvme_pci *p);	       /* it runs, and is off */
void npci_restore_part(struct npci_worker *w); /* on the worker's thread */
void npci_restored(struct nvme_pci *p);

/* pci_queue.c: on the worker's thread. */
int npci_cq_open(struct npci_cq *q);
int npci_sq_open(struct npci_sq *q);
int npci_cq_restore(struct npci_cq *q, const struct npci_image_cq *at);
int npci_sq_restore(struct npci_sq *q, const struct npci_image_sq *at);
void npci_cq_close(struct npci_cq *q);
void npci_cq_hurry(struct npci_cq *q); /* no interrupt is put off any longer */
void npci_sq_stop(struct npci_sq *q);  /* it is closed once all has come back */
void npci_sq_close(struct npci_sq *q);
bool npci_sq_idle(const struct npci_sq *q);  /* nothing of it is under way */
bool npci_worker_map(struct npci_worker *w); /* finds the shadow doorbells; false: they are gone */
void npci_cq_resume(struct npci_cq *q);
void npci_sq_resume(struct npci_sq *q);
void npci_sq_shadow(struct npci_sq *q); /* goes over to the shadow doorbells */
void npci_cq_shadow(struct npci_cq *q);

/* pci_worker.c */
int npci_worker_open(struct npci_worker *w, struct nvme_pci *p, struct vio_poller *poller, size_t buffers);
void npci_worker_free(struct npci_worker *w);
void npci_worker_ring(struct npci_worker *w); /* a doorbell of its was rung */
void npci_sq_send(struct npci_sq *q, void (*down)(struct vio_msg *m));
void npci_cq_send(struct npci_cq *q, void (*down)(struct vio_msg *m));
/* To be sent down. */
void npci_sq_add(struct vio_msg *m);
void npci_sq_remove(struct vio_msg *m);
void npci_cq_add(struct vio_msg *m);
void npci_cq_remove(struct vio_msg *m);
void npci_worker_call(struct npci_worker *w, struct npci_call *c);

#endif
