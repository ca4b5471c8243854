/* SPDX-License-Identifier: MIT */
/*
 * Backends: the driving end. A stack of them is what a device works on: an end
 * (file, ram, null, vhost-user) with filters (crypt, throttle, ...) on top.
 *
 * A backend is shared between threads; a lane is one thread's way into it. Down
 * is submit, up is reap: a completion never runs inside a submission.
 */
#ifndef VIRTIO_OFFLOAD_BACKEND_H
#define VIRTIO_OFFLOAD_BACKEND_H

#include <virtio-offload/mem.h>
#include <virtio-offload/poll.h>
#include <virtio-offload/req.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_backend;
struct vio_backend_type;
struct vio_lane;
struct vio_scope;

/*
 * Names that several stacks share: throttle groups. May be NULL where a stack
 * uses none. Each backend made in it keeps a reference.
 */
VIO_API int vio_scope_new(struct vio_scope **s);
VIO_API void vio_scope_free(struct vio_scope *s);

/*
 * One backend of type t on top of `next` (NULL for an end; a reference is kept).
 * arg is what follows the colon in a stack: "disk.raw,direct=on"; NULL means "".
 * Errors: -EINVAL for an arg that is wrong, or what open said.
 */
VIO_API int vio_backend_new(struct vio_backend **b, const struct vio_backend_type *t,
			    struct vio_backend *next, struct vio_scope *scope, const char *arg);

/*
 * A whole stack, the end first: "file:disk.raw | crypt:keyfile=k | throttle:iops=5000".
 * A backslash takes the next character as it is (for names with | or ,). An
 * unknown element's error lists those that exist.
 */
VIO_API int vio_backend_parse(struct vio_backend **b, struct vio_scope *scope, const char *stack);

/* One reference less; the last closes it and lets go of the next. Its lanes must be closed. */
VIO_API void vio_backend_free(struct vio_backend *b);

/* Built-in types by name ("file"), and by number for lists (NULL past the last). */
VIO_API const struct vio_backend_type *vio_backend_find(const char *name);
VIO_API const struct vio_backend_type *vio_backend_type_at(unsigned i);
/* A type's name, and its arguments in one line. */
VIO_API const char *vio_backend_type_name(const struct vio_backend_type *t);
VIO_API const char *vio_backend_type_help(const struct vio_backend_type *t);

/* What a store is like, seen from its top. */
struct vio_backend_info {
	size_t sz;
	uint64_t size;		/* bytes */
	uint32_t block;		/* offsets and lengths are multiples of this: 512..65536 */
	uint32_t optimal;	/* a good transfer size in bytes, a multiple of block; 0: no preference */
	uint32_t ops;		/* 1 << enum vio_op for each operation it takes */
	bool read_only;
	bool rotational;
	bool volatile_cache;	/* writes may be lost before a FLUSH */
	bool link_down;		/* a port whose cable is out */
	/* A port: ops has SEND and RECV; size, block and optimal are 0. */
	uint8_t offloads;	/* VIO_PACKET_* that a SEND may carry, and a RECV may ask for */
	uint8_t mac[6];		/* of who sits on the port; zeroes: no preference */
	uint16_t mtu;		/* bytes after the Ethernet header, 68..65535; 0: no say */
	uint16_t pairs;		/* pairs of a SEND and a RECV lane that it tells apart, at least 1 */
	uint16_t steers;	/* entries of the longest table that vio_backend_steer takes; 0: it takes none */
	bool crypto_erase;	/* vio_backend_erase can */
	bool reserved;		/* 0 */
};
/* Asked anew at each call, so a file that grew shows its new size. Any thread. */
VIO_API int vio_backend_info(struct vio_backend *b, struct vio_backend_info *out);

/*
 * Crypto erase: what the store has held until now can't be read any more by anybody, whatever
 * copies of what lies beneath there are, for the key that it takes has been replaced wherever
 * the library kept it. What is read from then on is noise until it is written. No lane may be
 * open in any layer, and none is while it runs. It blocks, until that is on stable storage. Any
 * thread. -EOPNOTSUPP: the stack can't; -EBUSY: a lane is open; else what failed, and the
 * content may or may not be lost.
 */
VIO_API int vio_backend_erase(struct vio_backend *b);

/*
 * Which receiving lane of a port a packet comes to, by receive-side scaling (virtio 1.3,
 * 5.1.6.5.6): its Toeplitz hash, modulo the length of a table, names an entry, and that a pair.
 */
struct vio_steer {
	size_t sz;
	uint32_t hash_types;	/* what is hashed (5.1.6.4.3): VIRTIO_NET_RSS_HASH_TYPE_*, bits 0 to 8 */
	uint16_t entries;	/* of the table: a power of two, up to info's steers */
	uint16_t unhashed;	/* the pair of packets that have no hash */
	const uint16_t *table;	/* pairs */
	const uint8_t *key;	/* of the hash; beyond its end are zeroes */
	uint32_t key_len;	/* bytes, up to 40 */
	uint32_t reserved;	/* 0 */
};
/*
 * Holds for each packet that is sent to the port after it has returned, whatever threads
 * send and receive; each goes by one table as a whole. A packet for a pair without a
 * receiving lane, or without a buffer there, is dropped. NULL: the port chooses lanes
 * as it likes, as it did at first; that never fails. Nothing is kept of s. Any thread, one
 * at a time, and not within a submit or reap. -EOPNOTSUPP: the port can't; -EINVAL,
 * -ENOMEM: what was said before still holds.
 */
VIO_API int vio_backend_steer(struct vio_backend *b, const struct vio_steer *s);

struct vio_lane_opts {
	size_t sz;
	struct vio_mem *mem;	/* memory that requests will mostly lie in: registered for zero copy; or NULL */
	unsigned pair;		/* a port's lane: which of its pairs it belongs to; counts from 0 */
	bool recv;		/* a port's lane: this one receives. A lane sends or receives, never both */
};
/* A way in for the poller's thread; call it there. -errno from any layer's lane_open. */
VIO_API int vio_lane_new(struct vio_lane **l, struct vio_backend *b, struct vio_poller *p,
			 const struct vio_lane_opts *opts);
/* Nothing may be under way in it. */
VIO_API void vio_lane_free(struct vio_lane *l);

/* Scratch bytes a request needs for this lane: vio_queue_opts.scratch. */
VIO_API unsigned vio_lane_scratch(const struct vio_lane *l);

/* How many requests may be submitted now. */
VIO_API unsigned vio_lane_room(struct vio_lane *l);
/* Hands n requests (at most the room) down. */
VIO_API void vio_lane_submit(struct vio_lane *l, struct vio_req **r, unsigned n);
/* Up to n completed requests, in any order. They complete while the poller runs. */
VIO_API unsigned vio_lane_reap(struct vio_lane *l, struct vio_req **r, unsigned n);

/*
 * Takes back RECVs that wait for a packet: up to n, the newest, in the order they were
 * submitted; 0: none is left but those of packets that can be reaped. Needed before a
 * receiving lane is freed.
 */
VIO_API unsigned vio_lane_recall(struct vio_lane *l, struct vio_req **r, unsigned n);

/*
 * Counters of one layer by name, for --stats: calls back for each. Reads what the
 * layer counted on all lanes; any thread.
 */
VIO_API void vio_backend_stats(struct vio_backend *b,
			       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
			       void *ctx);

#ifdef __cplusplus
}
#endif
#endif
