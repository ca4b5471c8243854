/* SPDX-License-Identifier: MIT */
/*
 * The driver of an NVMe controller on PCI, as its files see it.
 *
 * struct drive is shared by threads: the controller, its admin queue, and what the namespace is like; all
 * that happens there happens under its lock. A lane is one I/O queue pair and one thread. Only that thread
 * touches the pair, so a lane has to leave its pair (`joined`) before others may count on that.
 *
 * A controller that does not answer, or answers what can't be, is reset as a whole. Whoever notices takes the
 * first step and rings all lanes; each of them stops, and looks every few milliseconds whether the next step
 * can be taken, so that no thread waits. When the controller is there again, each lane makes its pair anew
 * and posts again what was under way: a controller that is not ready has no commands left (NVMe
 * Base 2.0, 3.7.2), so none is executed late.
 */
#ifndef VIO_BACKEND_NVME_VFIO_H
#define VIO_BACKEND_NVME_VFIO_H

#include "backend/nvme_store.h"
#include "backend/nvme_vfio_dma.h"
#include "backend/nvme_vfio_queue.h"

#include <virtio-offload/impl/backend.h>

#include <pthread.h>

#define DRIVE_MS 1000000ull
#define DRIVE_SECOND 1000000000ull
#define DRIVE_PAGE 4096u	  /* CC.MPS 0 */
#define DRIVE_MAX_PART (1u << 20) /* bytes of one command's data */
#define DRIVE_LIST 2048u	  /* bytes of a slot's list: the pages of a megabyte */
#define DRIVE_CHUNK 65536u	  /* a bounce buffer */
#define DRIVE_CHUNKS 16u
#define DRIVE_ADMIN_ENTRIES 16u
#define DRIVE_TRIES 3u /* resets in a row after which the controller is given up */

struct drive_counters {
	uint64_t submitted, completed, errors;
	uint64_t commands, doorbells, interrupts;
	uint64_t prps, sgls, bounced, bounced_bytes; /* how commands' data went */
	uint64_t aborts, replayed, retried;
} __attribute__((aligned(VIO_CACHELINE)));

enum drive_phase {
	DRIVE_STOPPING, /* CC.EN is clear, CSTS.RDY is not yet */
	DRIVE_STARTING, /* the other way round */
	DRIVE_UP,
	DRIVE_DEAD, /* it can't be had back: all requests fail */
	DRIVE_GONE, /* taken out, or the system wants it: the same, and it is let go of */
};

/* Commands of the admin queue by their ids. */
enum { ADMIN_ASK, ADMIN_EVENT, ADMIN_ABORT, ADMIN_SLOTS };

struct drive_lane;

/* backend->priv */
struct drive {
	pthread_mutex_t lock;
	struct function *f; /* NULL once it is let go of */
	char *name, *who;   /* its address; "nvme-vfio: " before it */
	uint64_t nsid, queues, depth, io_timeout;
	bool shadow_wanted;

	enum drive_phase phase;
	unsigned generation; /* of the controller's state: one more with each reset */
	unsigned tries;	     /* resets since a lane last had an answer */
	unsigned joined;     /* lanes */
	uint64_t deadline;   /* of the present phase */
	uint64_t cap;
	struct nvme_store store;
	bool known;	/* store is filled in */
	uint8_t sgls;	/* 0: none, else what their addresses and lengths are multiples of */
	bool shadows;	/* it takes shadow doorbells */
	uint16_t given; /* I/O queue pairs */

	struct dma dma;
	char *area; /* the admin queue's rings, a page for answers, two for shadow doorbells */
	uint64_t area_size, area_iova;
	struct drive_queue admin;
	bool busy[ADMIN_SLOTS];
	uint16_t answer; /* to ADMIN_ASK */
	uint32_t result;
	uint32_t event; /* what ADMIN_EVENT said, if event_due */
	bool event_due;
	const char *why; /* what was wrong with it last */

	struct drive_lane *lanes;
	uint8_t *qids; /* by queue less one: taken */
	struct drive_counters *counters;
};

struct drive_at {
	const struct iovec *iov;
	uint64_t off;
};

/* One command: a request, or a part of a large one. */
struct drive_slot {
	struct nvme_cmd cmd;
	struct vio_req *req; /* NULL: the slot is free */
	struct drive_at start;
	uint64_t span; /* bytes of the request */
	uint64_t since;
	uint16_t chunk; /* less one: which bounce buffer; 0: none */
	uint8_t lives, retries;
	bool out;     /* posted and not answered */
	bool aborted; /* Abort was asked for it */
};

/* A request's scratch. */
struct drive_cut {
	uint64_t pos;
	struct drive_at at;
	int32_t err;
	uint32_t parts; /* under way */
};

/* lane->priv */
struct drive_lane {
	struct drive_queue q;
	struct drive *d;
	struct vio_lane *lane;
	struct drive_counters *count;
	struct dma_view view;
	bool joined;		 /* the controller has the pair */
	bool failing;		 /* it will not come back */
	bool unproven;		 /* no answer since the last reset */
	struct nvme_store store; /* as it was when the lane was opened: what a command may be */
	uint8_t sgls;
	uint16_t depth, nfree, *free;		/* slots: a stack, so that the warm ones are reused */
	uint16_t nchunks, chunks[DRIVE_CHUNKS]; /* free ones */
	struct drive_slot *slot;
	struct vio_reqs waiting; /* not yet wholly posted */
	unsigned nwaiting;
	struct vio_reqs done;
	unsigned nagain; /* slots to be posted again at the next tick */

	char *area, *lists, *bounce; /* lists: DRIVE_LIST bytes for each slot */
	uint64_t area_size, area_iova, lists_iova;
	unsigned generation;
	bool interrupts;
	bool ticking;
	struct drive_lane *next;
	struct vio_task task;
	struct vio_timer tick;
	int bell_fd;
	struct vio_watch bell, irq, admin_irq, gone; /* fd -1: not watched */
};

uint64_t vio__drive_now(void);

/* nvme_vfio.c: the backend type's open, where `find` says how the function is reached. */
int vio__drive_open(struct vio_backend *b, const char *arg,
		    int (*find)(struct function **f, const char *name));

/* nvme_vfio_reset.c: under the lock. */
int vio__drive_check(struct drive *d);
void vio__drive_begin(struct drive *d);
/* The next step of a reset, if it can be taken; -errno: it was the last, and the controller is dead. */
int vio__drive_step(struct drive *d);
/* All steps, while the caller waits. */
int vio__drive_await(struct drive *d);
void vio__drive_shutdown(struct drive *d);
void vio__drive_bells(const struct drive *d, struct drive_queue *q);

/* nvme_vfio_admin.c: under the lock. */
/* A command, and its answer: its status, or -errno: no use asking any more. */
int vio__drive_ask(struct drive *d, struct nvme_cmd *c);
void vio__drive_abort(struct drive *d, uint16_t qid, uint16_t cid);
/* What was answered without being waited for, and what events said. -errno as ask. */
int vio__drive_news(struct drive *d);
void vio__drive_await_event(struct drive *d);
int vio__drive_create(struct drive *d, struct drive_queue *q, uint64_t sq, uint64_t cq, bool interrupts,
		      unsigned vector);
int vio__drive_delete(struct drive *d, uint16_t qid);

/* nvme_vfio_identify.c: under the lock. */
int vio__drive_learn(struct drive *d);
int vio__drive_look(struct drive *d); /* at the namespace again */

/* nvme_vfio_lane.c */
int vio__drive_lane_open(struct vio_lane *l);
void vio__drive_lane_close(struct vio_lane *l);
void vio__drive_tick(struct drive_lane *v);
void vio__drive_ring_all(struct drive *d);

/* nvme_vfio_gone.c */
/* Under the lock: all lanes stop, for the controller has to be reset; of the present generation only. */
void vio__drive_lost(struct drive *d, unsigned generation, const char *why);
/* What is different for v since it last looked. */
void vio__drive_settle(struct drive_lane *v);
/* Its pair is not to be used any more. */
void vio__drive_leave(struct drive_lane *v);
int vio__drive_join(struct drive_lane *v);
void vio__drive_ticked(struct vio_timer *t);
/* It has answered what it was not asked. */
void vio__drive_distrust(struct drive_lane *v);
/* Under the lock: it is let go of, as soon as no lane touches it. */
void vio__drive_give_back(struct drive *d);
void vio__drive_release(struct drive *d);

/* nvme_vfio_io.c */
unsigned vio__drive_room(struct vio_lane *l);
void vio__drive_submit(struct vio_lane *l, struct vio_req **r, unsigned n);
unsigned vio__drive_reap(struct vio_lane *l, struct vio_req **r, unsigned n);
/* Takes answers, posts what waits, rings: how many answers; -errno: one can't be. */
int vio__drive_turn(struct drive_lane *v);
int vio__drive_take(struct drive_lane *v);
void vio__drive_replay(struct drive_lane *v);
void vio__drive_again(struct drive_lane *v);
void vio__drive_fail_all(struct drive_lane *v);

/* nvme_vfio_data.c: points s->cmd at the data of s->req from s->start on, at most s->span bytes; less is done
 * if that is all that one command takes. false: no bounce buffer is free. */
bool vio__drive_data(struct drive_lane *v, struct drive_slot *s);
/* What was bounced has come. */
void vio__drive_data_in(struct drive_lane *v, struct drive_slot *s);
void vio__drive_data_free(struct drive_lane *v, struct drive_slot *s);

/* Skips what is at its end: the next byte of the vector is at at->iov. Only while bytes are left. */
VIO_INLINE uint64_t drive_piece(struct drive_at *at, uint64_t most, char **ptr)
{
	uint64_t n;

	while (at->off == at->iov->iov_len) {
		at->iov++;
		at->off = 0;
	}
	n = VIO_MIN(at->iov->iov_len - at->off, most);
	*ptr = (char *)at->iov->iov_base + at->off;
	at->off += n;
	return n;
}

VIO_INLINE void drive_count(uint64_t *counter, uint64_t n)
{
	VIO_STORE(counter, *counter + n); /* one writer; stats read it from any thread */
}

#endif
