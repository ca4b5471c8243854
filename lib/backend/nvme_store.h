/* SPDX-License-Identifier: MIT */
/*
 * What an NVMe host believes of a controller and a namespace, and the commands that it makes of requests,
 * whichever way they go there. What can't be is refused; `who` begins the sentence that says so: "nvme-vfio:
 * 0000:03:00.0".
 */
#ifndef VIO_BACKEND_NVME_STORE_H
#define VIO_BACKEND_NVME_STORE_H

#include "wire/nvme.h"

#include <virtio-offload/req.h>

struct nvme_store {
	uint64_t blocks;
	uint8_t shift; /* of a block's size */
	bool read_only, volatile_cache;
	uint32_t events;   /* NVME_CTRL_OAES_*: that it tells of, and we look at */
	uint32_t ops;	   /* as vio_backend_info has them */
	uint32_t optimal;  /* bytes; 0: no say */
	uint32_t max_part; /* bytes of one command's data */
	uint8_t id[40];	   /* EUI64, NGUID, UUID */
};

/* Parts of s, from identify structures. The controller's first; max_part is at most `most` bytes. */
int vio__nvme_see_controller(struct nvme_store *s, const char *who, const struct nvme_id_ctrl *c,
			     uint64_t cap, uint32_t most);
int vio__nvme_see_namespace(struct nvme_store *s, const char *who, uint32_t nsid, const struct nvme_id_ns *n);
void vio__nvme_see_ids(struct nvme_store *s, const uint8_t *list, size_t len);
/* Whether `is` can stand in for `was`: the same namespace, and a controller that takes as much. */
int vio__nvme_recognize(const struct nvme_store *was, const struct nvme_store *is, const char *who,
			uint32_t nsid);

/* The most bytes of r that one command may be about. */
uint64_t vio__nvme_most(const struct vio_req *r, uint8_t shift, uint32_t max_part);
/* The command for `span` bytes of r from byte pos on, without what points at its data. A DISCARD's is range.
 */
struct nvme_cmd vio__nvme_command(uint8_t shift, uint32_t nsid, const struct vio_req *r, uint64_t pos,
				  uint64_t span);
struct nvme_dsm_range vio__nvme_range(uint8_t shift, const struct vio_req *r, uint64_t pos, uint64_t span);
/* A status that says nothing about the command itself: it was not executed, or not wholly. */
bool vio__nvme_worth_a_retry(uint16_t status);
int vio__nvme_errno(uint16_t status);

/* A flush has no length, but has to be sent: it counts as one byte. */
VIO_INLINE uint64_t nvme_total(const struct vio_req *r)
{
	return r->op == VIO_OP_FLUSH ? 1 : r->len;
}

#endif
