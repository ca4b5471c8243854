/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user serving end, inside. One message is dealt with at a time, in
 * steps: it is read and checked against the table (vhost_user_msg.c), the queues
 * that it concerns are stopped, its handler runs, the queues that shall run are
 * started again, the reply goes out. Stopping and starting take time, since a
 * queue may live on another thread: meanwhile the socket is not read.
 */
#ifndef VIO_TRANSPORT_VHOST_USER_CONN_H
#define VIO_TRANSPORT_VHOST_USER_CONN_H

#include <virtio-offload/impl/poll.h>
#include <virtio-offload/vhost_user.h>

#include "base/base.h"
#include "transport/door.h"
#include "wire/vhost_user.h"

#define VUS_BIT(b) (1ull << (b))

/* What a front end has said about one ring, and where that ring stands. */
struct vus_ring {
	struct vio_vhost_user *t;
	unsigned index;
	uint32_t size;		      /* 0: not told yet */
	struct vu_vring_addr addr;    /* valid if addressed */
	uint32_t base;		      /* as SET_VRING_BASE has it; valid unless resumed */
	struct vio_queue_state state; /* as the queue stopped; valid if resumed */
	int kick, call, err;	      /* -1: none */
	bool addressed;
	bool resumed;
	bool started;  /* a kick fd has come (or NOFD), GET_VRING_BASE has not */
	bool enabled;  /* by SET_VRING_ENABLE */
	bool running;  /* vio_vq_start was called and vio_vq_stop was not */
	bool broken;   /* by the guest; not started again before the next kick fd */
	bool failed;   /* would not start; tried again when something about it changes */
	bool announce; /* interrupt the guest once when it runs: it may have missed one */
};

/* What a front end must do before its message is dealt with further: nothing, one ring or all stopped. */
enum vus_fence { VUS_FENCE_NONE, VUS_FENCE_RING, VUS_FENCE_ALL };

#define vus_log(t, level, ...) door_log(&(t)->door, level, __VA_ARGS__)

struct vus_row;

enum vus_phase {
	VUS_IDLE, /* no front end */
	VUS_READ,
	VUS_FENCE, /* the queues that a message concerns are stopping */
	VUS_START, /* they are starting again */
	VUS_REPLY,
	VUS_CLOSE,  /* the front end has gone, or has to */
	VUS_CLOSED, /* and all queues have stopped */
};

struct vio_vhost_user {
	struct vio_poller *poller;
	struct vio_dev *dev;
	struct door door;		 /* the way in */
	struct vio_vhost_user_opts opts; /* path and pollers are copies */
	struct vus_ring *rings;
	unsigned nrings;

	/* The conversation (vhost_user_conn.c). */
	struct line line;
	bool in_run;
	enum vus_phase phase;
	unsigned pending; /* starts and stops under way */
	struct vu_inbox in;
	struct vu_outbox out;
	const struct vus_row *row; /* of the message being dealt with; NULL: none fits */
	struct vus_ring *ring;	   /* that it names, or NULL */
	int err;		   /* what became of the message */
	int start_err;		   /* and of the queue that it should have started */

	/* What the front end has told. */
	uint64_t features; /* acked, with the two bits that belong to vhost-user */
	uint64_t protocol;
	uint8_t status;
	struct vio_mem *mem; /* NULL: no table yet */
	struct vio_dirty *dirty;
	int backend_req;	  /* the channel for our own messages, or -1 */
	struct vio_mem *inflight; /* the region of I/O in flight, at address 0; NULL: none */
	uint16_t inflight_queues, inflight_queue_size;
	struct vio_timer poll_timer; /* while rings without a kick fd run */
	bool polling;		     /* poll_timer is set */
};

/* One row of the message table. */
struct vus_row {
	const char *name;
	int (*handle)(struct vio_vhost_user *t, struct vu_msg *m);
	uint16_t min, max; /* bytes of payload */
	uint8_t fds_min, fds_max;
	uint8_t index; /* enum vus_index */
	uint8_t fence; /* enum vus_fence */
	uint8_t reply; /* enum vus_reply */
	uint8_t needs; /* 1 + the protocol feature that brings the message; 0: none */
};

/* Where a payload names its ring. */
enum vus_index { VUS_NO_RING, VUS_RING_U32, VUS_RING_FD };
/* What the front end waits for: an acknowledgement if it asks for one, always one, or an answer. */
enum vus_reply { VUS_ACK_ASKED, VUS_ACK_ALWAYS, VUS_ANSWER };

/* vhost_user_msg.c: the row for m, with t->ring set; NULL and t->err set if m is not acceptable. */
const struct vus_row *vus_msg_check(struct vio_vhost_user *t, const struct vu_msg *m);

/* vhost_user_conn.c */
void vus_prepare(struct vio_vhost_user *t);	 /* once, with its options */
void vus_open(struct vio_vhost_user *t, int fd); /* a front end has come on fd */
void vus_run(struct vio_vhost_user *t);		 /* does what can be done now */
void vus_pend(struct vio_vhost_user *t);	 /* a start or stop is under way ... */
void vus_unpend(struct vio_vhost_user *t);	 /* ... and has completed */
int vus_take_fd(struct vu_msg *m);		 /* the message's only descriptor, or -1; now the caller's */
void vus_close_fd(int *fd);			 /* and set it to -1 */

/* vhost_user_ring.c */
void vus_ring_init(struct vus_ring *r, struct vio_vhost_user *t, unsigned index);
void vus_ring_stop(struct vus_ring *r);		  /* if it runs; pends */
void vus_ring_start(struct vus_ring *r);	  /* if it shall run and does not; pends */
void vus_ring_reset(struct vus_ring *r);	  /* the device was reset: only call and err fds stay */
void vus_ring_clear(struct vus_ring *r);	  /* back to before any message; it has stopped */
bool vus_ring_wanted(const struct vus_ring *r);	  /* the front end wants it to run */
uint32_t vus_ring_base(const struct vus_ring *r); /* where it stands, as SET_VRING_BASE would say it */
void vus_ring_requeue(struct vus_ring *r);	  /* keep its place across a change of features */

/* vhost_user_vring.c */
int vus_vring_num(struct vio_vhost_user *t, struct vu_msg *m);
int vus_vring_addr(struct vio_vhost_user *t, struct vu_msg *m);
int vus_vring_base(struct vio_vhost_user *t, struct vu_msg *m);
int vus_vring_get_base(struct vio_vhost_user *t, struct vu_msg *m);
int vus_vring_kick(struct vio_vhost_user *t, struct vu_msg *m);
int vus_vring_call(struct vio_vhost_user *t, struct vu_msg *m);
int vus_vring_err(struct vio_vhost_user *t, struct vu_msg *m);
int vus_vring_enable(struct vio_vhost_user *t, struct vu_msg *m);

/* vhost_user_features.c */
int vus_owner(struct vio_vhost_user *t, struct vu_msg *m);
int vus_reset_owner(struct vio_vhost_user *t, struct vu_msg *m);
int vus_get_features(struct vio_vhost_user *t, struct vu_msg *m);
int vus_set_features(struct vio_vhost_user *t, struct vu_msg *m);
int vus_get_protocol(struct vio_vhost_user *t, struct vu_msg *m);
int vus_set_protocol(struct vio_vhost_user *t, struct vu_msg *m);
int vus_get_queue_num(struct vio_vhost_user *t, struct vu_msg *m);
int vus_reset_device(struct vio_vhost_user *t, struct vu_msg *m);
int vus_get_status(struct vio_vhost_user *t, struct vu_msg *m);
int vus_set_status(struct vio_vhost_user *t, struct vu_msg *m);

/* vhost_user_mem.c */
int vus_mem_table(struct vio_vhost_user *t, struct vu_msg *m);
int vus_mem_slots(struct vio_vhost_user *t, struct vu_msg *m);
int vus_mem_add(struct vio_vhost_user *t, struct vu_msg *m);
int vus_mem_remove(struct vio_vhost_user *t, struct vu_msg *m);
int vus_log_base(struct vio_vhost_user *t, struct vu_msg *m);
int vus_log_fd(struct vio_vhost_user *t, struct vu_msg *m);

/* vhost_user_inflight.c */
int vus_get_inflight(struct vio_vhost_user *t, struct vu_msg *m);
int vus_set_inflight(struct vio_vhost_user *t, struct vu_msg *m);
/* Ring r's part of the region; NULL and size 0 if the front end gave none. */
void *vus_inflight_of(const struct vus_ring *r, size_t *size);

/* vhost_user_config.c */
int vus_get_config(struct vio_vhost_user *t, struct vu_msg *m);
int vus_set_config(struct vio_vhost_user *t, struct vu_msg *m);
int vus_backend_req(struct vio_vhost_user *t, struct vu_msg *m);
void vus_config_changed(void *ctx); /* for vio_dev_on_config; ctx is t */

/* vhost_user_net.c */
/* Protocol features that only a network card has. */
uint64_t vus_net_protocol(const struct vio_vhost_user *t);
int vus_net_rarp(struct vio_vhost_user *t, struct vu_msg *m);
int vus_net_mtu(struct vio_vhost_user *t, struct vu_msg *m);

/* An answer of one u64. */
static inline int vus_answer_u64(struct vu_msg *m, uint64_t v)
{
	m->p.u64 = v;
	m->h.size = sizeof(m->p.u64);
	return 0;
}

#endif
