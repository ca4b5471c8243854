/* SPDX-License-Identifier: MIT */
/*
 * The NVMe/TCP host, as its files see it.
 *
 * struct host is shared by threads: the paths to the subsystem, the association with one of
 * its controllers, and what the namespace is like. Its admin connection is seen to by one
 * lane's thread, the keeper; by nobody while there is no lane, and then there is no
 * association. A lane is one I/O queue with a connection of its own, and one thread.
 *
 * An association ends as a whole. Whoever notices that a connection is lost severs all
 * the others, under the lock; the keeper sees to it that the old controller is done with
 * its commands and makes the next association; then each lane connects its queue again
 * and sends what was under way. Threads tell each other by bells, eventfds.
 */
#ifndef VIO_BACKEND_NVME_TCP_H
#define VIO_BACKEND_NVME_TCP_H

#include "backend/nvme_store.h"
#include "backend/nvme_tcp_link.h"
#include "base/barrier.h"
#include "wire/nvme_dhchap.h"

#include <virtio-offload/impl/backend.h>

#include <pthread.h>

#define HOST_PATHS 8u
#define HOST_UNREACHED 255u /* a path's rank */
#define HOST_SECOND 1000000000ull
#define HOST_MS 1000000ull
#define HOST_MAX_PART (1u << 20) /* bytes of one command's data */
#define HOST_LANE_BUDGET 16u	 /* times that a lane receives in a pass */
#define HOST_TICK (250 * HOST_MS)
#define HOST_PATIENCE (10 * HOST_SECOND) /* for a set-up */

struct host_counters {
	uint64_t submitted, completed, errors;
	uint64_t commands, sends, receives;
	uint64_t reconnects, replayed, retried, bad_digests, refused, moved;
} __attribute__((aligned(VIO_CACHELINE)));

struct host_path {
	char *name;   /* as it was given */
	uint8_t rank; /* of the namespace by it, less is better; as it last was */
	bool tried;   /* in this round */
	struct sockaddr_storage addr;
	socklen_t len;
};

/* What a controller says of itself and of the namespace, checked. */
struct host_store {
	struct nvme_store ns;
	bool ana;	    /* it says how well it reaches the namespace */
	bool offsets;	    /* log pages are read in parts */
	uint8_t transition; /* seconds that a change of that may take */
	uint32_t ana_group;
	uint32_t capsule; /* bytes of data that may go inside a command */
	uint16_t depth;	  /* commands under way in an I/O queue */
	uint16_t queues;  /* that it gives */
};

/* A queue's authentication. */
struct host_auth {
	struct dhchap d;
	bool on; /* under way */
	uint8_t step;
	const char *why; /* after an error: what it was */
	struct iovec iov;
	uint32_t len; /* of the message, where it was made before it is sent */
	uint8_t message[DHCHAP_MESSAGE];
};

enum host_phase {
	HOST_NONE,	/* no association, and nobody wants one */
	HOST_SETUP,	/* the admin connection is being made */
	HOST_UP,	/* lanes may connect their queues */
	HOST_LOST,	/* for the keeper to see to */
	HOST_RESETTING, /* the old controller is being stopped */
	HOST_WAITING,	/* for the next try */
};

/* Commands of the admin queue: each has its slot. */
enum { ADMIN_ASK, ADMIN_STOP, ADMIN_EVENT, ADMIN_ALIVE, ADMIN_SLOTS };

struct host;

/* One question of a conversation on the admin queue. */
struct host_step {
	const char *what;
	void (*ask)(struct host *h, struct host_slot *s);
	/* 0: goes on; 1: to be asked again at once; -EAGAIN: to be asked again a little later; another -errno
	 * ends it. */
	int (*answer)(struct host *h, uint64_t result);
	bool optional;			      /* it may refuse */
	bool (*unless)(const struct host *h); /* left out if so */
};

struct host_lane;

/* backend->priv */
struct host {
	pthread_mutex_t lock; /* all that follows, but for what never changes after open */
	char *nqn, *hostnqn;
	uint8_t hostid[16];
	uint64_t nsid, queues, depth, timeout, io_timeout, keep_alive, quiesce; /* times in seconds */
	uint8_t digests;
	struct host_path path[HOST_PATHS];
	unsigned npaths, at_path;
	bool settled;			/* on at_path, the best of a round */
	bool visiting;			/* any path will do */
	uint64_t move_at;		/* when to leave at_path; 0: it will do */
	uint64_t knock_at, knock_pause; /* see nvme_tcp_knock.c */
	unsigned knock_path;
	int knock_fd; /* if knocking */
	bool knocking;

	enum host_phase phase;
	unsigned generation; /* of the association */
	uint16_t cntlid;
	uint64_t cap;
	struct host_store store; /* the namespace as it last was */
	struct host_store seen;	 /* as the conversation under way tells it */
	bool known;		 /* store is filled in */

	struct host_link admin;
	char reply[4096];
	struct iovec reply_iov;
	struct nvmf_connect_data hello;
	struct iovec hello_iov;
	struct host_auth auth;
	struct dhchap_key key, ctrl_key; /* len 0: none; never changes after open */
	const struct host_step *script;	 /* the conversation under way */
	unsigned script_left;
	uint64_t ana_at;     /* how far the log page was read */
	unsigned ana_left;   /* groups that follow */
	uint8_t ana_state;   /* the namespace's, by at_path; 0: the controller doesn't say */
	unsigned asking;     /* ADMIN_ASK or ADMIN_STOP: its slot */
	uint64_t ask_at;     /* when to ask again; 0: the question is out */
	uint64_t deadline;   /* of the conversation, or of waiting */
	uint64_t alive_at;   /* when a keep-alive is due */
	uint64_t alive_sent; /* when the last was sent */
	uint64_t look_at;    /* when to look at the namespace again; 0: it has not changed */
	uint64_t up_at;	     /* since when the association is there */
	uint64_t safe_at;    /* before that, a controller that fell silent may still execute commands */
	unsigned tries;	     /* since an association last was of use */

	struct host_lane *lanes, *keeper;
	uint8_t *qids; /* by queue less one: taken */
	struct host_counters *counters;
};

/* A request's scratch: how far it was cut into commands, and how those go. */
struct host_cut {
	uint64_t pos;
	struct host_at at;
	int32_t err;
	uint32_t parts; /* under way */
};

/* lane->priv */
struct host_lane {
	struct host_link link;
	struct vio_lane *lane;
	struct host_lane *next;
	struct host_counters *count;
	uint16_t qid, cntlid;
	unsigned generation; /* the association that link belongs to */
	bool joined;	     /* link takes requests */
	bool failing;	     /* the target was away for too long */
	bool unproven;	     /* no answer since the last loss */
	bool ticking;
	uint64_t lost_at; /* 0: not lost, or it does not matter */
	uint64_t join_by;

	uint8_t shift;
	uint32_t ops;
	bool flush; /* is needed */
	uint32_t max_part, capsule;
	uint16_t depth, nfree, *free; /* slots: a stack, so that the warm ones are reused */
	struct vio_reqs waiting;      /* not yet wholly sent */
	unsigned nwaiting;
	struct vio_reqs done;
	uint16_t nagain; /* slots to be posted again, at the next tick */

	struct nvmf_connect_data hello;
	struct iovec hello_iov;
	struct host_auth auth;
	struct vio_task task;
	struct vio_watch watch, bell; /* bell.fd: -1 until lane_open has it */
	struct vio_timer tick;
	struct vio_watch admin_watch; /* the keeper's; fd -1: none */
	struct vio_timer admin_timer;
};

uint64_t vio__host_now(void);

/* nvme_tcp_path.c: "ADDR:PORT+ADDR:PORT". */
int vio__host_paths(struct host *h, const char *text);
void vio__host_paths_free(struct host *h);
/* A host id's text; and a new one. */
int vio__host_uuid(const char *text, uint8_t id[16]);
int vio__host_new_uuid(uint8_t id[16], char text[37]);

/* nvme_tcp_identify.c: parts of h->seen, from an identify structure. */
int vio__host_see_controller(struct host *h, const struct nvme_id_ctrl *c);
int vio__host_see_namespace(struct host *h, const struct nvme_id_ns *n);
void vio__host_see_ids(struct host *h, const uint8_t *list, size_t len);
/* Whether h->seen is the namespace that h->store was. */
int vio__host_recognize(struct host *h);

/* nvme_tcp_connect.c */
void vio__host_connect_cmd(struct host_slot *s, struct nvmf_connect_data *d, struct iovec *iov,
			   const struct host *h, uint16_t qid, uint16_t cntlid, uint16_t sqsize);
/* Conversations: to make an association, to look at the namespace again, to stop the controller, to leave it.
 */
void vio__host_script_setup(struct host *h);
void vio__host_script_look(struct host *h);
void vio__host_script_reset(struct host *h);
void vio__host_script_leave(struct host *h);

void vio__host_reply_into(struct host *h, struct host_slot *s);

/* nvme_tcp_ana.c: steps of conversations. */
bool vio__host_ana_absent(const struct host *h);
void vio__host_ana_ask(struct host *h, struct host_slot *s);
int vio__host_ana_got(struct host *h, uint64_t result);
int vio__host_ana_looked(struct host *h, uint64_t result);
/* Whether to stay at at_path, to which an association is there. */
bool vio__host_path_fits(struct host *h);
/* It is the one; until it has become worse. */
void vio__host_path_taken(struct host *h, uint64_t now);
/* at_path was not: goes on to the next. False: none can be reached for now. */
bool vio__host_path_next(struct host *h);
/* at_path is dialled: how long it may take to answer. */
uint64_t vio__host_path_patience(struct host *h);
/* The association ended by itself, or is to end because its path is not good enough. */
void vio__host_path_lost(struct host *h);
void vio__host_path_leave(struct host *h);

/* nvme_tcp_knock.c: the path that is used is the best there is, or is not optimized; and it is used no more.
 */
void vio__host_knock_never(struct host *h);
void vio__host_knock_later(struct host *h, uint64_t now);
void vio__host_knock_end(struct host *h);
/* It is time. True: one that was away accepts connections. */
bool vio__host_knock(struct host *h, uint64_t now);

/* nvme_tcp_auth.c */
int vio__host_secrets(struct host *h, const char *file, const char *ctrl_file);
/* Of a Connect's result: a->on if there is something to be said; or why that queue can't be used. */
const char *vio__host_auth_begin(struct host_auth *a, const struct host *h, uint64_t result);
void vio__host_auth_ask(struct host_auth *a, struct host_slot *s);
/* 1: to be asked again; 0: authenticated, and so is the target if that is wanted; -errno, and a->why. */
int vio__host_auth_got(struct host_auth *a, const struct host *h, uint16_t status);
void vio__host_auth_end(struct host_auth *a);

/* nvme_tcp_admin.c: under the lock. What is due on the admin connection; -errno: it is of no use any more. */
int vio__host_admin_dial(struct host *h);
int vio__host_admin_run(struct host *h);
/* The first question of h->script, or the next. */
void vio__host_admin_ask(struct host *h);
int vio__host_admin_init(struct host *h);
/* When run is due next, if nothing comes; UINT64_MAX: never. */
uint64_t vio__host_admin_next(const struct host *h);
/* Without a keeper: an association made while the caller waits; and one that is left in good order. */
int vio__host_associate(struct host *h);
void vio__host_dissociate(struct host *h);

/* nvme_tcp_keep.c: under the lock. */
void vio__host_lost(struct host *h, unsigned generation);
/* The keeper's: what is due, and watching for what comes. */
void vio__host_keep(struct host_lane *v);
void vio__host_unkeep(struct host_lane *v);
void vio__host_ring(struct host_lane *v);
void vio__host_ring_all(struct host *h);

/* nvme_tcp_lane_open.c */
int vio__host_lane_open(struct vio_lane *l);
void vio__host_lane_close(struct vio_lane *l);

/* nvme_tcp_lane.c */
void vio__host_lane_init(struct host_lane *v);
/* Under the lock: begins to connect the queue to the present association; gives its connection up. */
int vio__host_lane_join(struct host *h, struct host_lane *v);
void vio__host_lane_drop(struct host_lane *v);
/* The lane's connection can't go on: with it goes the association. */
void vio__host_lane_lost(struct host_lane *v, int err);
/* The target refused a command because of its path: the keeper is to look. */
void vio__host_lane_refused(struct host_lane *v);
/* From now on it looks after its time-outs, until nothing is under way. Unless it ticks already. */
void vio__host_tick(struct host_lane *v);

/* nvme_tcp_io.c */
unsigned vio__host_room(struct vio_lane *l);
void vio__host_submit(struct vio_lane *l, struct vio_req **r, unsigned n);
unsigned vio__host_reap(struct vio_lane *l, struct vio_req **r, unsigned n);
int vio__host_answered(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result);
/* Posts what waits, while there are slots; sends nothing yet. */
void vio__host_more(struct host_lane *v);
/* Nothing is left of the old connection: all that was under way is posted on the new one. */
void vio__host_replay(struct host_lane *v);
/* Those that were to be tried again. */
void vio__host_again(struct host_lane *v);
/* Without a connection: all that the lane has fails. */
void vio__host_fail_all(struct host_lane *v);

/* Asymmetric access: inaccessible, lost, or in transition. The command was not executed. */
VIO_INLINE bool host_path_refuses(uint16_t status)
{
	unsigned type = status >> 9 & 7, code = status >> 1 & 0xff;

	return type == NVME_SCT_PATH && code >= NVME_SC_ANA_PERSISTENT_LOSS &&
	       code <= NVME_SC_ANA_TRANSITION && !(status & NVME_STATUS_DNR);
}

VIO_INLINE void host_count(uint64_t *counter, uint64_t n)
{
	VIO_STORE(counter, *counter + n); /* one writer; stats read it from any thread */
}

#endif
