/* SPDX-License-Identifier: MIT */
/*
 * A queue of NVMe commands as the controller sees it, whatever brought them: an
 * NVMe/TCP connection's capsules, or submission and completion queues in memory.
 *
 * A command is taken when its data is here (or room for it is), is in the
 * controller's hands until it is given back, and is given back once, in any order.
 * What it does to a store are requests of the namespace's lane, which come and go
 * meanwhile: how much scratch they need depends on the stack, and a namespace may come
 * after its host.
 */
#ifndef VIO_QUEUE_NVME_QUEUE_H
#define VIO_QUEUE_NVME_QUEUE_H

#include "wire/nvme.h"

#include <sys/uio.h>

struct nvme_pool;
struct nvme_queue;

/* Which way a command's data goes; the lowest bits of an opcode, or of a fabrics command's type. */
enum nvme_dir { NVME_DIR_NONE, NVME_DIR_IN /* to the controller */, NVME_DIR_OUT, NVME_DIR_BOTH };

struct nvme_req {
	struct nvme_cmd cmd; /* the queue's own copy */
	struct nvme_queue *q;
	struct nvme_req *next; /* for the present owner's lists */
	void *buf;	       /* its data, or room for it; NULL: none, or iov has it */
	struct iovec *iov;     /* its data where the host has it, if niov */
	uint16_t niov;
	uint32_t len;	 /* bytes of it; all of them go out if the command succeeds */
	uint8_t dir;	 /* enum nvme_dir */
	uint8_t step;	 /* the controller's own, 0 at first */
	uint8_t epoch;	 /* the controller's own */
	uint16_t status; /* the answer: NVME_STATUS(...), perhaps with NVME_STATUS_DNR */
	uint64_t result;
	void *aux; /* the controller's own, NULL at first */
	/* A fused command's first half, which alone is given to the controller, and its second: each other. A
	 * half that is marked so and has none is alone. The controller gives both back. */
	struct nvme_req *mate;
};

struct nvme_queue_ops {
	/*
	 * The command's data has so many bytes: finds them. in_place: it may stay where the host has it,
	 * which can change it meanwhile. A status. NULL: commands say it themselves, and buf and len are set.
	 */
	uint16_t (*data)(struct nvme_queue *q, struct nvme_req *r, uint32_t len, bool in_place);
	void (*give)(struct nvme_queue *q, struct nvme_req *r);
	/* Connect was accepted: so many commands at once; sqflow: answers say where the submission queue's
	 * head is. -errno: no memory. */
	int (*accept)(struct nvme_queue *q, unsigned entries, bool sqflow);
	/* Refuses a command that the controller has not been given yet: true. NULL: there are none. */
	bool (*abort)(struct nvme_queue *q, uint16_t cid);
	/* The controller is through with it. now: whatever is under way; otherwise when all is answered. */
	void (*end)(struct nvme_queue *q, bool now);
};

struct nvme_queue {
	const struct nvme_queue_ops *ops;
	void *owner;		/* the controller's queue pair */
	struct nvme_pool *pool; /* where data lies; for the controller's own needs too */
	uint32_t max_len;	/* most bytes of data a command may move, a power of two */
};

/* First in, first out. */
struct nvme_reqs {
	struct nvme_req *head, *tail;
};

VIO_INLINE void nvme_reqs_push(struct nvme_reqs *l, struct nvme_req *r)
{
	r->next = NULL;
	if (l->head)
		l->tail->next = r;
	else
		l->head = r;
	l->tail = r;
}

VIO_INLINE struct nvme_req *nvme_reqs_pop(struct nvme_reqs *l)
{
	struct nvme_req *r = l->head;

	if (r)
		l->head = r->next;
	return r;
}

/* False: it is not there. */
VIO_INLINE bool nvme_reqs_remove(struct nvme_reqs *l, struct nvme_req *r)
{
	struct nvme_req *before = NULL, *at = l->head;

	while (at && at != r) {
		before = at;
		at = at->next;
	}
	if (!at)
		return false;
	if (before)
		before->next = r->next;
	else
		l->head = r->next;
	if (l->tail == r)
		l->tail = before;
	return true;
}

#endif
