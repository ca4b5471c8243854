/* SPDX-License-Identifier: MIT */
/*
 * The switch: a learning Ethernet switch (IEEE 802.1Q) whose ports are backends. A
 * guest's SEND meets another guest's RECV here, with one copy and its offloads whole.
 *
 * A port is used from one side only. Either a device sits on it: give
 * vio_switch_port_backend to vio_dev_new. Or another backend does (a tap, a capture
 * file): vio_switch_port_attach drives that one. Ports may live on pollers of
 * different threads. Control calls are for one thread at a time, and take effect for
 * every packet that is sent after they have returned.
 */
#ifndef VIRTIO_OFFLOAD_SWITCH_H
#define VIRTIO_OFFLOAD_SWITCH_H

#include <virtio-offload/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_switch;
struct vio_switch_port;

struct vio_switch_opts {
	size_t sz;
	uint32_t ports;	    /* at most: 1..4096, 0 means 64 */
	uint32_t addresses; /* learnt and static: 16..1,048,576, 0 means 8,192 */
	uint32_t flows;	    /* decisions kept by each thread: 16..1,048,576, 0 means 8,192 */
	uint64_t age_ns;    /* an address not heard from is forgotten; 0 means 300 s */
};
VIO_API int vio_switch_new(struct vio_switch **s, const struct vio_switch_opts *opts);
/* All its ports must have been freed. Runs the pollers of attached backends that have not given all
 * back yet: outside of their callbacks, then. */
VIO_API void vio_switch_free(struct vio_switch *s);

/* Tokens refill at `rate` a second up to `burst`; rate 0: no limit. burst 0: a tenth of a second's. */
struct vio_switch_limit {
	uint64_t rate, burst;
};

#define VIO_SWITCH_TRUNK 0x01	 /* frames carry tags of the VLANs in `vlans`; untagged ones are in `vlan` */
#define VIO_SWITCH_ISOLATED 0x02 /* reaches no other isolated port */
#define VIO_SWITCH_NO_LEARN 0x04 /* its frames teach no address */
#define VIO_SWITCH_NO_FLOOD 0x08 /* receives nothing of unknown destination */
#define VIO_SWITCH_DOWN 0x10	 /* neither sends nor receives */

struct vio_switch_port_opts {
	size_t sz;
	uint32_t flags;	 /* VIO_SWITCH_* */
	uint16_t vlan;	 /* of untagged frames: 1..4094, 0 means 1 */
	uint16_t nvlans; /* TRUNK: entries of `vlans`; 0: all VLANs */
	const uint16_t *vlans;
	const char *mirror; /* a port that gets a copy of all that this one sends and receives; NULL: none */
	/* What the port may send into the switch. */
	struct vio_switch_limit packets, bytes;
	struct vio_switch_limit storm; /* packets of broadcast, multicast and unknown destination */
	/* Addresses that it may have learnt; beyond them none is learnt, nor moves to it, until one has aged.
	 * 0: as many as there is room for. */
	uint32_t addresses;
	uint32_t reserved; /* 0 */
	const char *group; /* that it shares limits with, beside its own; NULL: none. -ENOENT */
};

/* A name has 1 to 31 characters and no space. -EEXIST, -ENOSPC, -EINVAL. */
VIO_API int vio_switch_port_new(struct vio_switch_port **p, struct vio_switch *s, const char *name,
				const struct vio_switch_port_opts *opts);
/*
 * Its devices must have been freed. An attached backend is let go of, on its poller's thread: at
 * once, or later if packets are still under way in it, as the poller runs.
 */
VIO_API void vio_switch_port_free(struct vio_switch_port *p);

/* Changes all of a port's options at once, while packets pass. */
VIO_API int vio_switch_port_set(struct vio_switch_port *p, const struct vio_switch_port_opts *opts);
VIO_API struct vio_switch_port *vio_switch_port_find(struct vio_switch *s, const char *name);
/* By number, for lists: the next port at or after *i, which is set to its number; NULL past the last. */
VIO_API struct vio_switch_port *vio_switch_port_at(struct vio_switch *s, unsigned *i);
VIO_API const char *vio_switch_port_name(const struct vio_switch_port *p);

/*
 * A group: limits on what its ports may send together, each as a port's own. The first call for a name makes
 * it, later ones change it while packets pass. A name is as a port's. It goes with the switch, or by del:
 * -ENOENT, -EBUSY as long as ports are in it.
 */
struct vio_switch_limits {
	size_t sz;
	struct vio_switch_limit packets, bytes, storm;
};
VIO_API int vio_switch_group_set(struct vio_switch *s, const char *name,
				 const struct vio_switch_limits *limits);
VIO_API int vio_switch_group_del(struct vio_switch *s, const char *name);
/* For lists: the name of the i-th group and, into limits (sz set by the caller), what was set; NULL past the
 * last. */
VIO_API const char *vio_switch_group_at(struct vio_switch *s, unsigned i, struct vio_switch_limits *limits);

/* The port as a backend for one device; it belongs to the port. */
VIO_API struct vio_backend *vio_switch_port_backend(struct vio_switch_port *p);

/*
 * Puts b (a reference is kept) on the port and serves all its pairs on poller r's thread, where
 * this is called. -EBUSY if the port is in use; -EINVAL if b does not send and receive packets,
 * or has more than 64 pairs.
 */
VIO_API int vio_switch_port_attach(struct vio_switch_port *p, struct vio_backend *b, struct vio_poller *r);

/*
 * Why a packet was not delivered. sent = delivered + dropped holds for what goes to one port,
 * whenever nothing is on its way; floods and mirrors deliver copies beside, and a packet that
 * was cut, of which not all segments found buffers, is counted as dropped once.
 */
enum vio_switch_drop {
	VIO_SWITCH_DROP_MALFORMED, /* no Ethernet header, or a tag cut short */
	VIO_SWITCH_DROP_SOURCE,	   /* a group address as source */
	VIO_SWITCH_DROP_VLAN,	   /* a tag that the port does not carry */
	VIO_SWITCH_DROP_LIMIT,	   /* packets or bytes above the port's limit */
	VIO_SWITCH_DROP_STORM,
	VIO_SWITCH_DROP_SAME_PORT, /* the destination is where it came from */
	VIO_SWITCH_DROP_ISOLATED,
	VIO_SWITCH_DROP_DOWN, /* a port that is down, or has no receiver, or none for the pair it is steered
				 to */
	VIO_SWITCH_DROP_NOWHERE,   /* flooded, and no port may have it */
	VIO_SWITCH_DROP_RESERVED,  /* 01-80-c2-00-00-0x: not forwarded by switches */
	VIO_SWITCH_DROP_NO_BUFFER, /* the receiver has posted too few buffers */
	VIO_SWITCH_DROP_TOO_LONG,  /* longer than a receive buffer that can't be merged */
	VIO_SWITCH_DROP_OFFLOAD,   /* the receiver can't take it, and it can't be cut or summed here */
	VIO_SWITCH_DROP_CONGESTED, /* the way to another thread is full */
	VIO_SWITCH_DROP_N
};
/* "no-buffer" for VIO_SWITCH_DROP_NO_BUFFER; NULL past the last. */
VIO_API const char *vio_switch_drop_name(enum vio_switch_drop why);

struct vio_switch_port_stats {
	size_t sz;
	uint64_t sent, sent_bytes;	     /* into the switch, by who sits on the port; drops included */
	uint64_t delivered, delivered_bytes; /* to it; a packet cut into segments counts each */
	uint64_t flooded;		     /* of sent: to more than one port */
	uint64_t segmented, summed;	     /* to it: made by software because it took no offload */
	uint64_t dropped[VIO_SWITCH_DROP_N]; /* counted where the packet was sent, a copy of a flood where it
						was not received */
	uint64_t unlearnt;  /* decisions on packets whose source was not learnt: too many, or no room */
	uint64_t addresses; /* that it has learnt now, or that have aged and not been removed yet */
};
/* Any thread. */
VIO_API int vio_switch_port_stats(const struct vio_switch_port *p, struct vio_switch_port_stats *out);

/* A static address: never aged, never moved by what is heard. p NULL takes it back. vlan 1..4094. */
VIO_API int vio_switch_address_set(struct vio_switch *s, const uint8_t mac[6], uint16_t vlan,
				   struct vio_switch_port *p);
struct vio_switch_address {
	uint8_t mac[6];
	uint16_t vlan;
	struct vio_switch_port *port;
	bool fixed;	 /* static */
	uint64_t age_ns; /* since it was heard last; 0 for static ones */
};
VIO_API void vio_switch_addresses(struct vio_switch *s,
				  void (*each)(void *ctx, const struct vio_switch_address *a), void *ctx);

#ifdef __cplusplus
}
#endif
#endif
