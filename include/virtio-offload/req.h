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
	VIO_OP_SEND,		/* a packet out of iov; see below */
	VIO_OP_RECV,		/* completes when a packet has come into iov; see below */
	VIO_OP_NONE = 255,	/* carries nothing for a backend */
};

#define VIO_REQ_FUA	0x01	/* WRITE, WRITE_ZEROES: on stable storage when it completes */
#define VIO_REQ_UNMAP	0x02	/* WRITE_ZEROES: the range may be deallocated */

/*
 * Packets. A SEND's iov is one Ethernet frame without its FCS, len its bytes; a RECV's
 * iov is room for one. What offloads a frame carries is in flags and `offload`, taken
 * from and made into a virtio_net_hdr (virtio 1.3, 5.1.6) by the device; both were
 * checked against the frame's length before a SEND goes down.
 *
 * A SEND completes with res 0 when it went on or was dropped (the port counts which: a
 * network loses packets), so a full receiver holds up no sender.
 *
 * A RECV says in flags, on the way down, what it takes: the offloads and VIO_RECV_MERGE;
 * and in offload.hdr_len how many bytes at the start of its iov stay free when a packet
 * begins in it (for the device's header; iov has more than these; a RECV that a packet
 * goes on in is filled from its first byte; one lane's RECVs all say the same). A packet
 * longer than what is left goes on in the next RECV of the lane if that was allowed, else
 * it is dropped. RECVs are filled in the order they were submitted. On the way up len is
 * the packet's bytes in this one, what stayed free not among them; res of a packet's first
 * RECV is how many it filled (1 or more) and flags and offload are the packet's; res of
 * its others is 0. All RECVs of a packet can be reaped once the first can, and come one
 * after another. A RECV whose res is -errno holds nothing: what came into it had to be
 * dropped. iov and niov come up as they went down.
 */
#define VIO_PACKET_CSUM		0x01	/* the sum from csum_start on is still to be put at csum_start + csum_offset */
#define VIO_PACKET_CSUM_OK	0x02	/* its checksums were verified, or never left memory */
#define VIO_PACKET_TSO4		0x04	/* TCP over IPv4, to be cut into segments of gso_size bytes; CSUM is set too */
#define VIO_PACKET_TSO6		0x08	/* TCP over IPv6 */
#define VIO_PACKET_USO4		0x10	/* UDP over IPv4, to be cut into datagrams of gso_size bytes */
#define VIO_PACKET_USO6		0x20	/* UDP over IPv6 */
#define VIO_PACKET_ECN		0x40	/* beside TSO: the TCP header has CWR set */
#define VIO_RECV_MERGE		0x80	/* RECV: a packet may go on in the next one */
#define VIO_PACKET_GSO		(VIO_PACKET_TSO4 | VIO_PACKET_TSO6 | VIO_PACKET_USO4 | VIO_PACKET_USO6)

/* Offsets and lengths in bytes, from the frame's first; host byte order. */
struct vio_offload {
	uint16_t hdr_len;	/* Ethernet to the end of the TCP or UDP header; a hint, 0: unknown. RECV, down: see above */
	uint16_t gso_size;	/* payload bytes of each segment; 0 unless a GSO flag is set */
	uint16_t csum_start;
	uint16_t csum_offset;
};

struct vio_req {
	/* The operation: set by the device, read by the layers below it. */
	uint8_t op;		/* enum vio_op */
	uint8_t flags;		/* VIO_REQ_*; SEND, RECV: VIO_PACKET_*, VIO_RECV_* */
	uint16_t niov;		/* entries of iov; 0 for operations without data */
	int32_t res;		/* the outcome, valid on the way up: 0, or -errno. Never short. RECV: see above */
	union {
		uint64_t offset;		/* bytes from the start of the store */
		struct vio_offload offload;	/* SEND, RECV */
	};
	uint64_t len;		/* bytes; for READ, WRITE and SEND the sum of iov */
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
