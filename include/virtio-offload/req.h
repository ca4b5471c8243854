/* SPDX-License-Identifier: MIT */
/*
 * The request: the one thing that travels down (submit) and up (reap).
 *
 * It has one owner at a time. A layer that changes a field on the way down puts
 * it back on the way up, so that every layer sees on the way up what it sent.
 * Requests are allocated by the library only: by a queue, or by vio_req_pool_new
 * for those who drive a backend without a queue.
 */
#ifndef VIRTIO_OFFLOAD_REQ_H
#define VIRTIO_OFFLOAD_REQ_H

#include <virtio-offload/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vio_op {
	VIO_OP_READ,		/* fill iov from offset */
	VIO_OP_WRITE,		/* store iov at offset */
	VIO_OP_FLUSH,		/* all writes completed before it are on stable storage after it */
	VIO_OP_DISCARD,		/* offset..offset+len is no longer needed; its content is undefined */
	VIO_OP_WRITE_ZEROES,	/* offset..offset+len reads as zeroes from now on */
	VIO_OP_SECURE_ERASE,	/* as DISCARD, and the old content cannot be had back */
	VIO_OP_SEND,		/* a packet out of iov */
	VIO_OP_RECV,		/* completes when a packet has come into iov */
	VIO_OP_NONE = 255,	/* carries nothing for a backend */
};

#define VIO_REQ_FUA	0x01	/* WRITE, WRITE_ZEROES: on stable storage when it completes */
#define VIO_REQ_UNMAP	0x02	/* WRITE_ZEROES: the range may be deallocated */

struct vio_req {
	/* The operation: set by the device, read by the layers below it. */
	uint8_t op;		/* enum vio_op */
	uint8_t flags;		/* VIO_REQ_* */
	uint16_t niov;		/* entries of iov; 0 for operations without data */
	int32_t res;		/* the outcome, valid on the way up: 0, or -errno. Never short */
	uint64_t offset;	/* bytes from the start of the store */
	uint64_t len;		/* bytes; for READ and WRITE the sum of iov */
	struct iovec *iov;	/* the data, in guest memory or wherever the maker put it */

	struct vio_req *next;	/* for the present owner's lists */

	/* The buffers as the guest posted them: set by the queue. */
	struct iovec *buf;	/* nout device-readable entries, then nin device-writable ones */
	uint16_t nout;
	uint16_t nin;
	uint32_t written;	/* bytes stored into the writable ones; set before give */

	uint64_t user;		/* the embedder's own */
	/* What follows is private to the library, then each layer's scratch. */
};

struct vio_lane;
struct vio_req_pool;

/*
 * n requests for driving `lane` without a queue: each has the scratch bytes that
 * the lane's stack needs and a vector (iov) of up to max_iov entries of its own.
 * All is allocated here; get and put allocate nothing.
 */
VIO_API int vio_req_pool_new(struct vio_req_pool **pool, const struct vio_lane *lane, unsigned n,
			     unsigned max_iov);
/* Every request must have been put back. */
VIO_API void vio_req_pool_free(struct vio_req_pool *pool);
/* A request with op NONE and all else zero but iov; NULL when all are out. */
VIO_API struct vio_req *vio_req_get(struct vio_req_pool *pool);
VIO_API void vio_req_put(struct vio_req_pool *pool, struct vio_req *r);

#ifdef __cplusplus
}
#endif
#endif
