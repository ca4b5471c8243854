/* SPDX-License-Identifier: MIT */
/*
 * The NVMe controller from within. subsys.c, ns.c and ana.c are what embedders hold, qp.c
 * and group.c how a queue's commands reach the namespaces, io.c, copy.c and fused.c what
 * they do there, bad_blocks.c which blocks can't be read, fence.c what keeps them apart; ctrl.c,
 * fabrics.c, auth.c, admin.c, abort.c, identify.c, features.c, log.c, discovery.c and events.c
 * are the controller; host.c who may have one.
 *
 * Who may touch what: a group, its lanes and its queue pairs belong to their poller's
 * thread. A controller's registers and features belong to the thread of its admin queue;
 * others read them relaxed. Lists of namespaces, controllers, groups and queue pairs, what
 * has changed, and the error log are under the subsystem's lock, which no read or write takes.
 */
#ifndef VIO_NVME_NV_H
#define VIO_NVME_NV_H

#include "base/barrier.h"
#include "queue/nvme_pool.h"
#include "queue/nvme_queue.h"
#include "wire/nvme_dhchap.h"

#include <virtio-offload/impl/backend.h>
#include <virtio-offload/nvme_manage.h>

#include <pthread.h>

#define NV_ENTRIES 128u /* of a queue, at most */
#define NV_BATCH 32u
#define NV_REQS 256u /* under way in a lane, at most */
#define NV_READY 20u /* half seconds that a reset may take: a store may be slow */

#define NV_OPS 256u   /* that jobs are under way for, or will be, of all hosts; also of those that went */
#define NV_AERS 4u    /* asynchronous event requests a controller holds */
#define NV_ABORTS 4u  /* Abort commands under way */
#define NV_ERRORS 64u /* entries of the error log */
#define NV_DSM_RANGES 256u
#define NV_RIGHTS 4u /* a queue remembers, by namespace */
#define NV_COPY_RANGES 128u
#define NV_COPY_RANGE 65535u	     /* blocks of one */
#define NV_COPY_BLOCKS (1u << 22)    /* of all of them */
#define NV_FUSED_MAX (NPOOL_MAX / 2) /* bytes of a fused command */
#define NV_MAX_NS 1024u
#define NV_CNTLIDS 0xffefu /* larger ids are reserved */
#define NV_ANA_GROUPS 128u
#define NV_AUTH_MAX 4096u  /* bytes of a message */
#define NV_ANA_SECONDS 10u /* a transition may take, as hosts are told */
#define NV_MDTS 6u	   /* 4 KiB << 6 */
_Static_assert(4096u << NV_MDTS == NPOOL_MAX, "what a buffer holds is what a command may move");

struct nv_ctrl;
struct nv_lane;

/* fence.c. blocks 0: nothing is held back, only what is under way waited for. */
struct nv_fence {
	struct nv_fence *next;
	uint64_t lba, blocks;
	struct vio_poller *poller;
	struct vio_msg msg; /* to whom it belongs, when it is up */
	/* Whether it ends a command that has not begun; NULL: none. On the lanes' threads. */
	bool (*aborts)(const struct nv_fence *x, const struct nvme_req *r);
};

/* Of a namespace; under its own lock. */
struct nv_fences {
	pthread_mutex_t lock;
	struct nv_lane *lanes;
	struct nv_fence *first, *last;
	struct nv_fence *up; /* that the lanes know of, or are about to */
	unsigned waits;	     /* lanes that have not answered */
	bool busy;	     /* they are waited for */
};

/* bad_blocks.c */
struct nv_bad_piece;
struct nv_bad {
	pthread_mutex_t lock;
	unsigned n; /* atomic */
	struct nv_bad_piece **pieces;
};

struct nv_ns {
	struct vio_nvme *s;
	unsigned refs; /* atomic */
	uint32_t nsid;
	struct vio_backend *backend;
	uint8_t uuid[16];
	unsigned shift;	      /* a block has 1 << shift bytes; changes while there is no lane; atomic */
	unsigned store_shift; /* and those of its store */
	uint32_t ops;	      /* as vio_backend_info.ops */
	uint32_t optimal;
	bool read_only;
	uint32_t ana_group;
	uint64_t blocks; /* atomic */
	struct nv_fences fences;
	struct nv_bad bad;
	struct nv_resv *resv;
	uint64_t reserved; /* 0: nobody has reserved it; else the number of that change; atomic */
	bool made;	   /* by a host */
	bool exclusive;	   /* private: to one controller at a time */
	bool crypto_erase;
	uint64_t room;		   /* that it takes of the capacity; 0 if no host has made it */
	uint64_t erased, to_erase; /* bytes, while it is formatted or sanitized; atomic */

	/* Under the lock. */
	unsigned lanes;	  /* of all groups */
	uint8_t gate;	  /* NV_FORMATTING: no group may have a lane; atomic */
	struct nv_op *op; /* for which */
	bool all;	  /* attached to all hosts but those named; otherwise to those alone */
	char **hosts;
	unsigned nhosts;
};

/* Why commands of a controller don't reach a namespace: bits of nv_ctrl.access, and of nv_ns.gate. */
#define NV_DETACHED 1u
#define NV_FORMATTING 2u
#define NV_SANITIZING 4u
#define NV_SANITIZE_FAILED 8u

/* A port: where hosts reach the subsystem. It lasts as long as that. */
struct nv_port {
	struct nv_port *next;
	uint16_t id;
	uint8_t state[NV_ANA_GROUPS + 1]; /* enum vio_nvme_ana, by group; atomic */

	/* Under the lock. */
	uint64_t changes; /* of what the log page says of it */
	uint64_t changed[NV_ANA_GROUPS + 1];
};

/* Counters: one writer each, any reader. In the order of vio_nvme_stats. */
struct nv_counts {
	uint64_t reads, writes, others, bytes_read, bytes_written, errors, admin, media_errors;
};

VIO_INLINE void nv_count(uint64_t *c, uint64_t n)
{
	VIO_STORE(c, *c + n);
}

/* A group's way into a namespace. */
struct nv_lane {
	struct nv_lane *next;
	struct nv_group *group;
	struct nv_ns *ns;
	struct vio_lane *lane;
	const uint8_t *ana; /* the namespace's state here; atomic */
	struct vio_req_pool *reqs;
	unsigned under_way, nbatch;
	struct nvme_reqs waiting; /* for room */
	bool closing;		  /* the namespace has gone */

	/* Fences. */
	uint64_t fence_lba, fence_blocks;
	struct nvme_reqs held;
	uint8_t epoch;
	bool fence_due;		  /* it has not answered yet */
	bool fence_posted;	  /* under the fences' lock, as the next */
	struct nv_lane *ns_next;  /* of its namespace's */
	unsigned under_way_by[2]; /* by epoch, those in the batch too */
	unsigned pins;		  /* fused commands that wait for their fence, or are under way */
	struct vio_msg fence;

	struct vio_req *batch[NV_BATCH];
};

/* A poller's part of a subsystem, for one transport. */
struct nv_group {
	struct vio_nvme *s;
	struct nv_port *port;
	struct vio_poller *poller;
	struct vio_task *task;
	struct nvme_pool *pool;
	struct nv_group *next; /* under the lock */
	struct nv_lane **by_nsid;
	struct nv_lane *lanes; /* all, those that close among them */
	struct vio_msg sync;
	bool sync_posted; /* atomic */
	bool closing;
	struct nvme_reqs auths; /* commands that wait for their turn to calculate, see auth.c */
	uint64_t auth_at;	/* when the next may */
	struct vio_timer auth_timer;
	struct nv_counts counts;
};

struct nv_address {
	uint8_t family; /* NVMF_ADDR_FAMILY_* */
	char addr[64];
	char port[8];
};

/* A queue pair: what a queue is to its controller. */
struct nv_qp {
	struct nvme_queue *queue;
	struct nv_group *group;
	struct nv_ctrl *ctrl; /* NULL: no Connect was accepted, or it is over */
	struct nv_qp *next;   /* of the controller's; under the lock */
	uint16_t qid;
	bool io;		 /* it takes I/O commands */
	struct nv_auth *auth;	 /* NULL: its host need not prove anything */
	struct nv_address local; /* where its host has reached us */

	/* While it leaves; under the lock. */
	struct {
		struct nv_qp *next;
		uint16_t cntlid;
		uint8_t hostid[16];
	} left;

	/* What its host may do where namespaces are reserved, as of the change with the number. */
	struct nv_rights {
		uint64_t number;
		bool read, write;
	} rights[NV_RIGHTS];

	/* From other threads. */
	struct vio_msg kill, event;
	bool kill_posted, event_posted; /* under the lock */
	unsigned aborting;		/* messages of Abort commands; under the lock */

	/* An admin queue's. */
	struct vio_timer alive;
	struct nvme_reqs aers;
	unsigned naers, naborts;
	struct nv_op *ops; /* that its commands wait for; under the lock */
};

struct nv_error {
	uint64_t count; /* 0: none yet */
	uint16_t sqid, cid, status;
	uint32_t nsid;
	uint64_t lba;
};

/* What a host may set: reset to these by a controller reset. */
struct nv_features {
	uint32_t arbitration, power, temp_over, temp_under, recovery, atomicity, events;
	bool write_cache; /* atomic */
	uint16_t queues;  /* granted, I/O; atomic */
	uint32_t coalescing;	   /* atomic */
	uint8_t not_coalesced[64]; /* a bit for each vector; atomic */
};

/* What a host may be told of by an asynchronous event. */
enum nv_event {
	NV_EVENT_NS,
	NV_EVENT_ANA,
	NV_EVENT_DISCOVERY,
	NV_EVENT_SANITIZE,
	NV_EVENT_RESERVATION,
	NV_EVENTS
};

/* Reservation notifications. */
#define NV_NOTICES 16u
struct nv_notices {
	uint64_t count;
	unsigned n;
	struct nv_notice {
		uint64_t count;
		uint32_t nsid;
		uint8_t type;
	} at[NV_NOTICES];
};

struct nv_ctrl {
	struct vio_nvme *s;
	struct nv_ctrl *next;
	struct nv_qp *qps;   /* the admin queue's too */
	struct nv_qp *admin; /* NULL once it has gone */
	bool discovery;
	bool pci;     /* a function's: it lives as long, and its queues are in memory */
	bool unnamed; /* hostnqn was made up */
	/* Admin commands that only its transport has; NULL: none. */
	uint16_t (*more)(struct nv_qp *qp, struct nvme_req *r);
	/* The same of what Identify knows. */
	uint16_t (*identify)(struct nv_qp *qp, struct nvme_req *r, uint8_t cns);
	bool primary, secondary; /* of or with such (8.26) */
	uint16_t max_queues; /* for I/O */
	uint16_t vendor;     /* PCI's, or 0 */
	uint16_t cntlid;
	uint32_t cc, csts; /* atomic */
	uint32_t kato;	   /* ms; 0: never */
	char hostnqn[NVME_NQN_LENGTH];
	uint8_t hostid[16];
	struct nv_features f;
	uint8_t access[NV_MAX_NS + 1]; /* by namespace: 0, or why not; written under the lock, atomic */

	/* Under the lock. */
	uint32_t *changed; /* namespace ids, in no order, each once */
	unsigned nchanged;
	bool many_changed; /* more than the log page holds */
	struct nv_notices notices;
	uint8_t resv_mask[NV_MAX_NS + 1]; /* by namespace: what it does not want to be told */
	/* By enum nv_event, a bit each. */
	uint32_t events_due;	/* to be told when the host has room, and has read of the last */
	uint32_t events_masked; /* it was told and has not read the log page yet */
	uint64_t errors;
	struct nv_error error[NV_ERRORS];
};

#define NV_CC_EN 1u
#define NV_CSTS_RDY 1u
#define NV_CSTS_CFS 2u
#define NV_CSTS_SHUT 8u

/* The last sanitize operation; under the lock. */
struct nv_sanitize {
	uint8_t state; /* NVME_SANITIZE_SSTAT_STATUS_* */
	uint8_t passes;
	bool left; /* a host left the failure mode */
	uint32_t cdw10;
	uint64_t changes; /* commands that may change data, when it ended */
};

/* A host that may see the subsystem; under the lock, which nothing keeps longer than that. */
struct nv_host {
	struct nv_host *next;
	char nqn[NVME_NQN_LENGTH];
	struct dhchap_key key, ctrl_key; /* len 0: none */
	unsigned groups, hashes;	 /* that it may use, a bit for each */
	uint64_t patience;		 /* ns */
};

struct vio_nvme {
	pthread_mutex_t lock;
	char nqn[NVME_NQN_LENGTH];
	char serial[20], model[40]; /* padded with blanks */
	unsigned max_ns, max_queues;
	uint64_t born;	       /* CLOCK_MONOTONIC, ns */
	struct nv_ns **ns;     /* by id, from 1 */
	struct nv_host *hosts; /* NULL: all are let in */
	uint32_t auth_sequence;
	struct nv_ctrl *ctrls;
	struct nv_group *groups;
	struct nv_port *ports;
	uint8_t ana[NV_ANA_GROUPS + 1]; /* of ports to come */
	struct nv_qp *leaving;
	struct nv_listing *listings;
	uint64_t listings_changes;
	uint16_t first_cntlid, last_cntlid, next_cntlid;
	struct nv_counts gone; /* of groups that have ended */

	struct vio_nvme_manager manager; /* work is NULL: there is none */
	pthread_mutex_t keeping;	 /* held while create, destroy or save is called; before the lock */
	unsigned nops;
	struct nv_sanitize sanitize;
	uint64_t allocated;	      /* bytes of namespaces made by hosts */
	bool reserved[NV_MAX_NS + 1]; /* ids that are being made or deleted */
};

/* subsys.c */
void nv_sum(struct vio_nvme *s, struct nv_counts *sum); /* takes the lock */
void nv_id_of(uint8_t id[16], const char *nqn, uint32_t nsid);
int nv_check_nqn(char to[NVME_NQN_LENGTH], const char *nqn, const char *what);

/* host.c */
const struct nv_host *nv_host(const struct vio_nvme *s, const char *nqn); /* or NULL; under the lock */
bool nv_host_allowed(const struct vio_nvme *s, const char *nqn);
void nv_hosts_free(struct vio_nvme *s);

/* ns.c */
struct nv_ns *nv_ns_get(struct vio_nvme *s, uint32_t nsid); /* a reference, or NULL; takes the lock */
void nv_ns_put(struct nv_ns *ns);
/* The same for a group that opens a lane; NULL where it must not. Puts one that it has closed. */
struct nv_ns *nv_ns_lane_get(struct vio_nvme *s, uint32_t nsid);
void nv_ns_lane_put(struct nv_ns *ns);
/* Each group looks for itself what has changed; under the lock. */
void nv_ns_sync(struct vio_nvme *s);
/* As vio_nvme_ns_add. reserved: the id was, for this one. */
int nv_ns_add(struct vio_nvme *s, struct vio_backend *b, const struct vio_nvme_ns_opts *o, bool reserved);
void nv_ns_take(struct vio_nvme *s, uint32_t nsid); /* from the subsystem, which had it; under the lock */

/* group.c */
/* port: its number, as the transport was given it. */
int nv_group_init(struct nv_group *g, struct vio_nvme *s, uint16_t port, struct vio_poller *p,
		  struct vio_task *task, struct nvme_pool *pool);
void nv_group_open(struct nv_group *g);	       /* on its thread */
void nv_group_shut(struct nv_group *g);	       /* no more queue pairs: its lanes end when they are empty */
bool nv_group_ended(const struct nv_group *g); /* they have */
void nv_group_free(struct nv_group *g);
unsigned nv_group_up(struct nv_group *g); /* reaps, finishes, goes on with what waited */
void nv_group_down(struct nv_group *g);	  /* submits what was gathered */
void nv_group_submit(struct nv_lane *l, struct nvme_req *r);
struct nv_lane *nv_group_lane(struct nv_group *g, uint32_t nsid); /* NULL: none; it may look anew */

/* qp.c */
void nv_qp_init(struct nv_qp *qp, struct nv_group *g, struct nvme_queue *q);
void nv_qp_serve(struct nv_qp *qp, struct nvme_req **r, unsigned n);
/* Events that its host waits for will not come. */
void nv_qp_drain(struct nv_qp *qp);
/* Its queue has ended: its controller lets go of it. Commands under way still come back. */
void nv_qp_close(struct nv_qp *qp);
/* They have: nothing of it is executed any more. leaving.c */
void nv_qp_gone(struct nv_qp *qp);
bool nv_qp_ended(const struct nv_qp *qp); /* no message to it is on its way; takes the lock */
void nv_qp_kill(struct nv_qp *qp);	  /* under the lock, any thread */
void nv_done(struct nvme_req *r, uint16_t status);
void nv_answer(struct nvme_req *r);
struct nv_qp *nv_qp_of(const struct nvme_req *r);
/* The command has so many bytes of data, in buf or, where it may stay in place, in iov; a status. */
uint16_t nv_data(struct nvme_req *r, uint32_t len, bool in_place);
/* The same, in buf, for commands over fabrics that may bring more. */
uint16_t nv_data_at_least(struct nvme_req *r, uint32_t len);

/* io.c */
void nv_io(struct nv_qp *qp, struct nvme_req *r);
void nv_io_fill(const struct nv_lane *l, struct nvme_req *r, struct vio_req *v);
/* True: r is not through yet, and wants to be submitted again. */
bool nv_io_finish(struct nv_lane *l, struct nvme_req *r, int res);
void nv_io_span(const struct nvme_req *r, uint64_t *lba, uint64_t *blocks); /* what it touches next */
/* Half of a fused command: its lane, or why there is none. more: bytes behind what it compares with. */
uint16_t nv_io_check(struct nv_qp *qp, struct nvme_req *r, uint32_t more, struct nv_lane **l);

/* What needs no request: done, and true. */
bool nv_io_at_once(const struct nv_lane *l, struct nvme_req *r);

/* resv.c */
int nv_resv_init(struct nv_ns *ns, const char *path); /* -errno after a sentence; freed in any case */
void nv_resv_free(struct nv_ns *ns);
bool nv_resv_same_file(const struct nv_ns *a, const struct nv_ns *b);
bool nv_resv_persists(const struct nv_ns *ns); /* it can */
uint16_t nv_resv_persist(struct nv_ns *ns, bool on);
bool nv_resv_persisted(struct nv_ns *ns);
uint64_t nv_resv_number(void);
void nv_resv_host_changed(struct vio_nvme *s);
uint16_t nv_resv(struct nv_lane *l, struct nvme_req *r); /* a command: a status, or NV_LATER */
uint16_t nv_resv_status(struct nv_qp *qp, struct nv_ns *ns, uint8_t opcode, uint64_t number);
VIO_INLINE bool nv_resv_is(uint8_t opcode)
{
	return opcode == nvme_cmd_resv_register || opcode == nvme_cmd_resv_report ||
	       opcode == nvme_cmd_resv_acquire || opcode == nvme_cmd_resv_release;
}
/* Why the queue's host may not do that now; 0: it may. */
VIO_INLINE uint16_t nv_resv_refuses(struct nv_qp *qp, struct nv_ns *ns, uint8_t opcode)
{
	uint64_t number = VIO_LOAD(&ns->reserved);

	return VIO_LIKELY(!number) ? 0 : nv_resv_status(qp, ns, opcode, number);
}

/* The same for admin commands that change all of a namespace, or of all (FFFFFFFFh). */
uint16_t nv_resv_refuses_admin(struct nv_qp *qp, uint32_t nsid);

/* resv_notify.c */
size_t nv_resv_log(struct nv_ctrl *c, struct nvme_resv_notification_log *log, bool retain);
uint16_t nv_resv_feature_set(struct nv_qp *qp, struct nvme_req *r);
uint16_t nv_resv_feature_get(struct nv_qp *qp, struct nvme_req *r, bool fresh);
uint16_t nv_resv_host_set(struct nv_qp *qp, struct nvme_req *r);

/* bad_blocks.c, any thread; n: 64 Ki at most */
uint16_t nv_bad_mark(struct nv_ns *ns, uint64_t lba, uint32_t n);
void nv_bad_unmark(struct nv_ns *ns, uint64_t lba, uint32_t n);
uint16_t nv_bad_status(struct nv_ns *ns, uint64_t lba, uint32_t n);
void nv_bad_forget(struct nv_ns *ns);

/* copy.c */
uint16_t nv_copy_check(struct nv_ns *ns, struct nvme_req *r);
void nv_copy_fill(const struct nv_ns *ns, const struct nvme_req *r, struct vio_req *v, bool fua);
bool nv_copy_next(struct nv_ns *ns, struct nvme_req *r); /* a piece was moved: it goes on, or not */
void nv_copy_failed(struct nvme_req *r);

/* fence.c, any thread */
void nv_fence_raise(struct nv_ns *ns, struct nv_fence *x);
void nv_fence_lift(struct nv_ns *ns); /* the one that is up */
/* On the lane's. */
void nv_fence_join(struct nv_lane *l);
bool nv_fence_leave(struct nv_lane *l);
void nv_fence_drained(struct nv_lane *l); /* it owes an answer */
bool nv_fence_holds(const struct nv_lane *l, const struct nvme_req *r);

/* fused.c */
void nv_fused(struct nv_qp *qp, struct nvme_req *r);
void nv_fused_done(struct nvme_req *r,
		   uint16_t status); /* not begun: it, and its other half if there is one */
void nv_fused_refuse(struct nv_lane *l, struct nvme_req *r, uint16_t status);
void nv_fused_finish(struct nv_lane *l, struct nvme_req *r, uint16_t status);

/* ana.c */
struct nv_port *nv_port_get(struct vio_nvme *s, uint16_t id); /* takes the lock; NULL: no memory */
void nv_ports_free(struct vio_nvme *s);
void nv_ana_moved(struct vio_nvme *s,
		  uint32_t group); /* one of its namespaces came or went; under the lock */
uint16_t nv_ana_status(uint8_t state);
size_t nv_ana_log(struct nv_qp *qp, const struct nvme_cmd *cmd, struct nvme_ana_log *log);
#define NV_ANA_LOG(max_ns)                                                                                   \
	(sizeof(struct nvme_ana_log) + NV_ANA_GROUPS * sizeof(struct nvme_ana_group_desc) +                  \
	 (max_ns) * sizeof(uint32_t))

/* Why the namespace can't be reached this way now; 0: it can. */
VIO_INLINE uint16_t nv_ana_refuses(const struct nv_lane *l)
{
	uint8_t state = VIO_LOAD(l->ana);

	return VIO_LIKELY(state <= VIO_NVME_ANA_NON_OPTIMIZED) ? 0 : nv_ana_status(state);
}

/* discovery.c: addresses that hosts are told of. owner: the transport that is there, or NULL. */
int nv_listing_add(struct vio_nvme *s, const void *owner, uint16_t port, const struct nv_address *at);
void nv_listing_remove(struct vio_nvme *s, const void *owner);
void nv_listings_free(struct vio_nvme *s);
uint16_t nv_discovery_log(struct nv_qp *qp, struct nvme_req *r, uint64_t offset);

/* leaving.c */
void nv_leaving_add(struct nv_qp *qp); /* under the lock, while it has a controller */
/* No command of an earlier queue may still be executed: of a controller that was disabled, its own; of one
 * that is to be enabled, its host's. Takes the lock. */
bool nv_ctrl_idle(const struct nv_ctrl *c, bool enabled);

/* attach.c: under the lock, but for nv_ns_attach */
void nv_attach_come(struct nv_ctrl *c); /* its name is known: it gets what is attached to its host */
void nv_attach_leave(struct nv_ctrl *c);
void nv_attach_ns(struct vio_nvme *s, const struct nv_ns *ns); /* it is new, or its gate has changed */
bool nv_attach_is_host(const struct nv_ctrl *c);	       /* one that namespaces may be attached to */
void nv_attach_free(struct nv_ns *ns);
uint16_t nv_ns_attach(struct nv_qp *qp, struct nvme_req *r); /* the command */
uint16_t nv_access_status(uint8_t access);

VIO_INLINE bool nv_attached(const struct nv_ctrl *c, uint32_t nsid)
{
	return !(VIO_LOAD(&c->access[nsid]) & NV_DETACHED);
}

/*
 * op.c. What a command begins and a job ends: the command is answered then, if its queue is still there.
 * nv_op_new, under the lock nv_op_add for each namespace that no command may reach meanwhile, nv_op_go: the
 * job runs when their last lane has ended, and calls nv_op_done.
 */
struct nv_op {
	struct vio_nvme *s;
	void (*job)(struct nv_op *op);	 /* may block */
	struct vio_nvme_ns_opts ns_opts; /* of a namespace to be made */
	struct vio_nvme_kept kept;
	uint32_t cdw10, cdw11;

	/* Under the lock. */
	struct nv_op *next; /* of the queue pair's */
	struct nv_qp *qp;   /* NULL: nobody waits */
	struct nvme_req *r;
	unsigned waits; /* namespaces that have lanes, and one while it is not to run yet */
	uint16_t status;
	uint64_t result;
	bool done;
	bool opened;   /* the gates are, or are what it keeps */
	uint8_t keeps; /* of the gates */
	unsigned nns;
	struct nv_ns *ns[]; /* references */
};
/* NULL: no memory, or too many are under way. */
struct nv_op *nv_op_new(struct nv_qp *qp, struct nvme_req *r, void (*job)(struct nv_op *op), unsigned max_ns);
void nv_op_drop(struct nv_op *op);				  /* it was not begun; NULL is fine */
void nv_op_add(struct nv_op *op, struct nv_ns *ns, uint8_t gate); /* takes the reference */
uint16_t nv_op_go(struct nv_op *op);				  /* NV_LATER */
void nv_op_run(struct nv_op *op);				  /* to the embedder; without the lock */
void nv_op_open(struct nv_op *op);				  /* before nv_op_done; under the lock */
void nv_op_done(struct nv_op *op, uint16_t status, uint64_t result);
void nv_ops_tell(struct nv_qp *qp);  /* answers those that are done; takes the lock, as the next */
void nv_ops_drain(struct nv_qp *qp); /* none is waited for any more */

/* format.c: the sizes of blocks that a namespace may have, and which it has. */
struct nv_formats {
	uint8_t n, now, shift[3];
};
void nv_formats(const struct vio_nvme *s, const struct nv_ns *ns, struct nv_formats *f);
uint16_t nv_format(struct nv_qp *qp, struct nvme_req *r);
uint8_t nv_format_fna(struct vio_nvme *s);	    /* takes the lock */
uint8_t nv_format_progress(const struct nv_ns *ns); /* Identify's FPI */

/* erase.c: in a job, while the namespace has no lane. -errno */
int nv_erase_zeroes(struct nv_ns *ns, bool verify);
int nv_erase_pattern(struct nv_ns *ns, uint32_t pattern); /* written, whatever the store could do instead */

/* identify_manage.c */
void nv_identify_manager(const struct nv_ctrl *c, struct nvme_id_ctrl *id);
void nv_identify_formats(const struct vio_nvme *s, const struct nv_ns *ns, struct nvme_id_ns *id);
uint16_t nv_identify_common(const struct vio_nvme *s, struct nvme_id_ns *id);
uint16_t nv_identify_list(const struct nv_qp *qp, const struct nvme_req *r, bool all);
uint16_t nv_identify_controllers(const struct nv_qp *qp, const struct nvme_req *r, bool of_ns);
uint16_t nv_identify_granularity(const struct vio_nvme *s, const struct nvme_req *r);

/* sanitize.c */
uint16_t nv_sanitize(struct nv_qp *qp, struct nvme_req *r);
uint16_t
nv_sanitize_refuses(struct vio_nvme *s); /* commands that change namespaces; takes the lock, as the next */
uint32_t nv_sanitize_cap(struct vio_nvme *s);
size_t nv_sanitize_log(struct nv_qp *qp, struct nvme_sanitize_log_page *l, bool retain);

/* manage.c */
bool nv_manages(const struct vio_nvme *s); /* hosts may make namespaces */
int nv_manager_init(struct vio_nvme *s, const struct vio_nvme_manager *m);
uint16_t nv_ns_mgmt(struct nv_qp *qp, struct nvme_req *r);
uint16_t nv_keep(struct nv_qp *qp, struct nvme_req *r, uint32_t nsid); /* 0, or NV_LATER */
int nv_keep_now(struct vio_nvme *s, uint32_t nsid);		       /* in a job */
uint64_t nv_room(const struct vio_nvme *s, uint64_t bytes);	       /* what it takes of the capacity */

/* ctrl.c */
struct nv_ctrl *nv_ctrl_new(struct vio_nvme *s); /* under the lock; NULL: no memory, or no id is left */
void nv_ctrl_join(struct nv_qp *qp, struct nv_ctrl *c, uint16_t qid); /* under the lock */
void nv_ctrl_free(struct nv_ctrl *c);				      /* under the lock */
void nv_ctrl_leave(struct nv_qp *qp);		     /* under the lock; frees the last one's controller */
void nv_ctrl_end(struct nv_ctrl *c);		     /* kills its queue pairs; under the lock */
void nv_ctrl_end_io(struct nv_ctrl *c);		     /* all but the admin queue's */
bool nv_ctrl_rename(struct nv_ctrl *c, uint16_t id); /* under the lock; false: another has it */
void nv_ctrl_reset(struct nv_ctrl *c);		     /* features are the defaults again */
void nv_ctrl_alive(struct nv_qp *admin);	     /* starts its time anew */
void nv_ctrl_error(struct nv_qp *qp, const struct nvme_req *r);
uint64_t nv_ctrl_cap(const struct nv_ctrl *c);
uint64_t nv_power_on_ns(const struct vio_nvme *s);

/* auth.c: what a queue's host has to prove. -ENOMEM; under the lock. */
int nv_auth_want(struct nv_qp *qp, const struct nv_host *h);
void nv_auth_begin(struct nv_qp *qp); /* its time runs */
bool nv_auth_lacks(const struct nv_qp *qp);
uint16_t nv_auth(struct nv_qp *qp, struct nvme_req *r); /* Authentication Send and Receive; or NV_LATER */
void nv_auth_end(struct nv_qp *qp);
void nv_auth_group(struct nv_group *g);

/* fabrics.c, admin.c, abort.c, identify.c, features.c, log.c: a command's status; events.c. */
bool nv_cc_fits(const struct nv_ctrl *c, uint32_t cc);
uint16_t nv_fabrics(struct nv_qp *qp, struct nvme_req *r);
uint16_t nv_admin(struct nv_qp *qp, struct nvme_req *r);
uint16_t nv_abort(struct nv_qp *admin, struct nvme_req *r);
uint16_t nv_identify(struct nv_qp *qp, struct nvme_req *r);
uint16_t nv_features_set(struct nv_qp *qp, struct nvme_req *r);
uint16_t nv_features_get(struct nv_qp *qp, struct nvme_req *r);
uint16_t nv_log(struct nv_qp *qp, struct nvme_req *r);
void nv_ns_changed(struct vio_nvme *s, uint32_t nsid); /* under the lock, as the next */
void nv_ns_changed_for(struct nv_ctrl *c, uint32_t nsid);
void nv_event_post(struct nv_ctrl *c, enum nv_event event); /* under the lock, any thread */
void nv_event_read(struct nv_ctrl *c, enum nv_event event); /* the host knows; under the lock */
void nv_event_tell(struct nv_qp *admin);		    /* on its thread; takes the lock */

/* A status: the command shall not be repeated as it is; or may be. */
#define NV_NO(code) ((uint16_t)(NVME_STATUS(code) | NVME_STATUS_DNR))
#define NV_NO_SPECIFIC(code) NV_NO(NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | (code))
#define NV_PATH(code) NVME_STATUS(NVME_SCT_PATH << NVME_SCT_SHIFT | (code))
#define NV_MEDIA(code) NVME_STATUS(NVME_SCT_MEDIA << NVME_SCT_SHIFT | (code))
/* nv_admin: the answer comes later. */
#define NV_LATER UINT16_MAX

#endif
