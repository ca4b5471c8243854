/* SPDX-License-Identifier: MIT */
/*
 * Threads of a switch: one for each poller that has lanes. Between each two lies a ring of
 * parcels. A parcel names a SEND that another thread has a receiver for: that thread copies
 * the frame out of the sender's memory, writes down what became of it and moves the ring's
 * tail; the sender finds the slot passed and completes the SEND. So nothing travels back,
 * and no slot is ever written by two threads.
 */
#ifndef VIO_SWITCH_THREAD_H
#define VIO_SWITCH_THREAD_H

#include "switch/switch.h"

enum sw_parcel_kind {
	SW_UNICAST, /* its sender counts what became of it */
	SW_COPY,    /* a mirror's: the port that it did not reach counts */
	SW_FLOODED, /* for all ports of the thread that floods reach */
};

struct sw_parcel {
	struct sw_frame f;
	uint8_t kind;
	uint16_t port;
	uint32_t serial;
	int32_t result; /* by the receiving thread, before it moves the tail */
};

struct sw_ring {
	/* The sender's. */
	_Alignas(VIO_CACHELINE) uint32_t head; /* published */
	uint32_t next;			       /* written up to here */
	uint32_t back;			       /* completed up to here */
	/* The receiver's. */
	_Alignas(VIO_CACHELINE) uint32_t tail; /* passed */
	_Alignas(VIO_CACHELINE) struct sw_parcel parcel[SW_RING];
};

struct sw_thread {
	struct vio_switch *sw;
	struct vio_poller *poller; /* NULL: waits for another one */
	struct flow_table *flows;
	struct vio_task task;
	struct vio_watch bell;
	unsigned index, lanes;
	uint64_t filled; /* threads whose rings have parcels that are not published, as bits */
	uint64_t away;	 /* threads that have parcels which are not back */
	_Alignas(VIO_CACHELINE) uint32_t section; /* odd: inside one */
	uint32_t asleep;
	int bell_fd;
	struct sw_ring *to[SW_THREADS]; /* owned; from the other side: sw->thread[i]->to[index] */
};

/* Sections: what was found by sw_port and the like stays until the end. */
VIO_INLINE void sw_enter(struct sw_thread *t)
{
	VIO_STORE(&t->section, t->section + 1);
	vio__full_barrier();
}

VIO_INLINE void sw_leave(struct sw_thread *t)
{
	VIO_STORE_RELEASE(&t->section, t->section + 1);
}

/* On the poller's thread, under the lock: that poller's, made if need be; counts lanes. */
int sw_thread_get(struct sw_thread **t, struct vio_switch *sw, struct vio_poller *p);
void sw_thread_put(struct sw_thread *t);
void sw_thread_free(struct sw_thread *t);

/* Inside a section: room for one more parcel to that thread. */
bool sw_ring_room(struct sw_thread *t, const struct sw_thread *to);
/* Puts f on the way; only after sw_ring_room. */
void sw_send_parcel(struct sw_thread *t, const struct sw_thread *to, const struct sw_frame *f,
		    const struct sw_head *h, enum sw_parcel_kind kind, const struct vio_switch_port *p);
/* At the end of a batch: publishes, and wakes who sleeps. */
void sw_flush_parcels(struct sw_thread *t);
/* Completes SENDs whose parcels are back. */
unsigned sw_collect(struct sw_thread *t);

/* forward.c: what the receiving thread does with a parcel. */
int sw_arrive(struct sw_thread *t, struct sw_parcel *x);

#endif
