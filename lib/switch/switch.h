/* SPDX-License-Identifier: MIT */
/*
 * The switch inside. A frame's way: a lane that sends (lane.c) makes a sw_frame of each SEND,
 * asks what is to happen to it (decide.c), and carries that out (forward.c): the frame is
 * copied into RECVs of lanes on the same thread (deliver.c), or its SEND travels to the
 * thread of the lane that receives, is copied there, and comes back (thread.c).
 *
 * What all threads read (ports, their options, their receivers) is replaced whole and never
 * changed in place; who replaced it waits until no thread is inside a section that began
 * before, then frees the old one (sw_sync).
 */
#ifndef VIO_SWITCH_SWITCH_H
#define VIO_SWITCH_SWITCH_H

#include "backend/recv_fifo.h"
#include "base/barrier.h"
#include "base/base.h"
#include "packet/steer.h"
#include "switch/bucket.h"
#include "switch/fdb.h"
#include "switch/flow.h"

#include <pthread.h>
#include <virtio-offload/impl/backend.h>
#include <virtio-offload/switch.h>

#define SW_NAME 32u
#define SW_PORTS 4096u
#define SW_VLANS 4096u
#define SW_THREADS 64u
#define SW_PAIRS 64u
#define SW_NO_PAIR 0xffu /* a frame's: its lane is chosen by flow */
#define SW_LANE 1024u	 /* requests that a lane holds; a power of two */
#define SW_RING 512u	 /* SENDs on their way from one thread to another; a power of two */
#define SW_FLOOD 0xffffu /* instead of a port's number */
#define SW_TAG 4u

/* What became of a frame beside the reasons of enum vio_switch_drop. */
enum { SW_DELIVERED = -1, SW_AWAY = -2 /* on another thread now */ };

/* Each is written by one thread, read by any. */
struct sw_counts {
	uint64_t sent, sent_bytes, delivered, delivered_bytes, flooded, segmented, summed;
	uint64_t dropped[VIO_SWITCH_DROP_N];
	uint64_t unlearnt;
};

VIO_INLINE void sw_count(uint64_t *c, uint64_t n)
{
	VIO_STORE(c, *c + n);
}

/* What may be sent in a second. */
struct sw_limits {
	struct bucket packets, bytes, storm;
};

/* Limits that ports share. */
struct sw_group {
	struct sw_limits limits;
	struct sw_group *next;
	unsigned ports;
	char name[SW_NAME];
	struct vio_switch_limits set;
};

/* A port's options. */
struct sw_conf {
	struct sw_group *group; /* NULL: none */
	uint32_t flags;
	uint32_t mirror_serial;
	uint32_t addresses; /* that it may have learnt, or FDB_NO_LIMIT */
	bool limited;	    /* by packets or bytes */
	uint16_t mirror;    /* a port's number, or SW_FLOOD: none */
	uint16_t vlan;
	uint64_t vlans[SW_VLANS / 64]; /* that it carries, as bits: `vlan` without a tag */
};

/* The lanes that receive for a port, of any thread. */
struct sw_receivers {
	unsigned n;
	uint16_t of_pair[SW_PAIRS]; /* which lane[] is that pair's, counted from 1; 0: none */
	struct sw_lane *lane[];
};

struct vio_switch_port {
	struct vio_switch *sw;
	struct sw_conf *conf;		/* never NULL */
	struct sw_receivers *receivers; /* NULL: none */
	struct steer *steer; /* who sits on it says which lane gets what; NULL: has never said so */
	uint32_t serial;     /* of all ports that ever were, for numbers are used again */
	uint16_t number;
	char name[SW_NAME];
	struct vio_backend *backend;
	struct sw_lane *lanes; /* under the switch's lock */
	struct sw_attach *attach;
	struct sw_counts past; /* of lanes that are closed, and of copies that no lane counts: atomic */
	struct sw_limits limits;
};

struct vio_switch {
	pthread_mutex_t lock; /* ports, lanes and threads that come and go; never for a packet */
	struct fdb *fdb;
	const uint32_t *heard; /* fdb's generations */
	uint32_t generation;   /* of all that decisions are made from beside fdb */
	uint32_t capacity;     /* of ports */
	uint32_t high;	       /* no port has this number or a higher one */
	uint32_t serial;
	uint32_t flows;
	uint32_t mirrors;    /* ports that have one */
	uint64_t *members;   /* for each VLAN the ports that carry it, as bits */
	uint32_t words;	     /* of such a set */
	uint64_t refresh_ns; /* a decision is made again after so long: addresses age */
	uint64_t sweep_ns;   /* between parts of fdb that are rid of aged ones */
	uint64_t sweep_at;   /* the next one's time */
	struct sw_group *groups;
	struct sw_attach *leaving; /* detached, but their backends have not given all back */
	struct sw_thread *thread[SW_THREADS];
	struct vio_switch_port *port[];
};

/* A lane of a port. */
struct sw_lane {
	struct vio_lane *l;
	struct vio_switch_port *port;
	struct sw_thread *thread;
	struct sw_lane *next; /* of the port */
	struct sw_counts counts;
	bool live; /* has had a RECV since it last was empty: takes part in receiving */
	struct recv_fifo fifo;
	/* SENDs */
	struct flow *last;   /* found for one of them; NULL: none yet */
	unsigned held, done; /* submitted and not reaped; of these, in finished */
	struct vio_req *finished[SW_LANE];
};

/* A SEND's scratch. */
struct sw_send {
	uint32_t away; /* parcels on their way with it */
};

struct sw_head {
	uint8_t len;	   /* 14, or 18 with a tag */
	uint8_t bytes[19]; /* padded */
};

/* A frame and what was found out about it, from its head, which was read once. */
struct sw_frame {
	struct vio_req *r;
	struct sw_lane *from;
	uint32_t len;	     /* of the frame as it was sent, checked */
	uint32_t hash;	     /* 0: not computed yet */
	uint16_t skip;	     /* bytes of it that head stands for */
	uint16_t vlan;	     /* that it is in */
	uint16_t in;	     /* port */
	uint8_t in_flags;    /* that port's VIO_SWITCH_* */
	uint8_t pair;	     /* that the port to which it goes now has it steered to, or SW_NO_PAIR */
	int result;	     /* a drop reason that its head has, or SW_DELIVERED */
	struct sw_head head; /* as it goes out */
	struct flow_key key;
	struct flow *guess; /* where that is, if it is anywhere; or NULL */
};

VIO_INLINE bool sw_tagged(const struct sw_head *h)
{
	return h->len > RECV_FRAME_MIN;
}

VIO_INLINE size_t sw_frame_len(const struct sw_frame *f, const struct sw_head *h)
{
	return f->len - f->skip + h->len;
}

/* port.c. Inside a section: */
struct sw_thread;

VIO_INLINE struct vio_switch_port *sw_port(const struct vio_switch *sw, unsigned number)
{
	return number < VIO_LOAD(&sw->high) ? VIO_LOAD_ACQUIRE(&sw->port[number]) : NULL;
}

VIO_INLINE const struct sw_conf *sw_conf(const struct vio_switch_port *p)
{
	return VIO_LOAD_ACQUIRE(&p->conf);
}

/*
 * The next port at or after *at that carries this VLAN, NULL: none. A set is no snapshot: whoever has just
 * left may still be in it, so its options count.
 */
VIO_INLINE struct vio_switch_port *sw_member(const struct vio_switch *sw, uint16_t vlan, unsigned *at)
{
	const uint64_t *set = sw->members + (size_t)vlan * sw->words;
	unsigned high = VIO_LOAD(&sw->high);

	while (*at < high) {
		uint64_t rest = VIO_LOAD(&set[*at / 64]) >> *at % 64;
		struct vio_switch_port *p;

		if (!rest) {
			*at = (*at | 63) + 1;
			continue;
		}
		*at += (unsigned)__builtin_ctzll(rest);
		p = sw_port(sw, (*at)++);
		if (p)
			return p;
	}
	return NULL;
}

/* NULL: none, or it has gone. */
VIO_INLINE struct vio_switch_port *sw_mirror(const struct vio_switch *sw, const struct sw_conf *c)
{
	struct vio_switch_port *p = sw_port(sw, c->mirror);

	return p && p->serial == c->mirror_serial ? p : NULL;
}

VIO_INLINE bool sw_carries(const struct sw_conf *c, uint16_t vlan)
{
	return c->vlans[vlan / 64] >> vlan % 64 & 1;
}

/* Of what decisions for these two addresses are made from: none of the three ever goes back, so their sum
 * tells. */
VIO_INLINE uint32_t sw_generation(const struct vio_switch *sw, const uint16_t stripe[2])
{
	return VIO_LOAD_ACQUIRE(&sw->generation) + VIO_LOAD_ACQUIRE(&sw->heard[stripe[0]]) +
	       VIO_LOAD_ACQUIRE(&sw->heard[stripe[1]]);
}

/* What is published before this holds for all packets after it; under the lock. */
void sw_changed(struct vio_switch *sw);
/* Returns when no thread is in a section that began before the call. Not inside one. */
void sw_sync(struct vio_switch *sw);
/* The rest of these under the lock. */
struct vio_switch_port *sw_find(struct vio_switch *sw, const char *name);
int sw_name_check(const char *name, const char *what); /* -EINVAL */
void sw_mirrors_add(struct vio_switch *sw, int n);
/* From the VLANs of the options `from` to those of `to`; NULL: none. */
void sw_members_set(struct vio_switch_port *p, const struct sw_conf *from, const struct sw_conf *to);
int sw_port_set(struct vio_switch_port *p, const struct vio_switch_port_opts *opts);
int sw_port_add_lane(struct vio_switch_port *p, struct sw_lane *lane);
void sw_port_del_lane(struct vio_switch_port *p, struct sw_lane *lane);
/* For copies that were not delivered, by any thread, without the lock. */
void sw_port_lost(struct vio_switch_port *p, int why);
/* Why a copy was not delivered, unless it was. */
VIO_INLINE void sw_copy_ends(struct vio_switch_port *p, int why)
{
	if (why >= 0)
		sw_port_lost(p, why);
}

bool sw_port_down(const struct vio_switch_port *p);

/* Without the lock: no one knows it any more. */
void sw_port_destroy(struct vio_switch_port *p);

/* limits.c */
/* Whether a packet that the port sends is above its limits or its group's; inside a section. */
bool sw_limited(struct vio_switch_port *p, uint32_t len, uint64_t now);
/* The same of one that is flooded. */
bool sw_storm(struct vio_switch_port *p, uint64_t now);
/* Under the lock. */
void sw_limits_set(struct sw_limits *l, const struct vio_switch_limit *packets,
		   const struct vio_switch_limit *bytes, const struct vio_switch_limit *storm);
struct sw_group *sw_group_find(struct vio_switch *sw, const char *name);
void sw_groups_free(struct vio_switch *sw);

/* lane.c */
extern const struct vio_backend_type sw_backend_type;
int sw_backend_new(struct vio_switch_port *p);
/* A parcel with r leaves; comes back, with a drop reason to be counted here or without. */
void sw_lane_away(struct sw_lane *lane, struct vio_req *r);
void sw_lane_back(struct sw_lane *lane, struct vio_req *r, int why);

/* decide.c: parses f's head (len, in, from and r are set) into key. Drop reason or SW_DELIVERED. */
int sw_parse(struct sw_frame *f, const struct sw_conf *c, struct flow_key *key);
/* The actions for a frame of this key; learns its source. */
void sw_decide(struct vio_switch *sw, const struct sw_frame *f, struct flow *to, uint64_t now);
/* Whether a flooded frame is for this port. */
bool sw_floods_to(const struct sw_frame *f, const struct vio_switch_port *p, const struct sw_conf *c);

/* forward.c. Reads f's head (r, from, len and hash are set) and calls for what sw_forward will want. */
void sw_forward_look(struct sw_thread *t, struct sw_frame *f);
/* All that happens to one SEND on its own thread. Drop reason, SW_DELIVERED or SW_AWAY. */
int sw_forward(struct sw_thread *t, struct sw_frame *f, uint64_t now);
/* A head with the tag of this VLAN, or without one. */
void sw_head_tag(struct sw_head *h, const struct sw_head *from, uint16_t vlan);
void sw_head_untag(struct sw_head *h, const struct sw_head *from);
/* As port options c want the tag. */
void sw_head_for(struct sw_head *h, const struct sw_frame *f, const struct sw_conf *c);

/* deliver.c: copies the frame, with this head, into the lane's RECVs, on its thread. */
int sw_deliver(struct sw_lane *to, const struct sw_frame *f, const struct sw_head *h);

/* attach.c */
/* False: it frees the port when its backend has given all back. */
bool sw_detach(struct vio_switch_port *p);
/* Waits for those that have not. */
void sw_attach_end(struct vio_switch *sw);

#endif
