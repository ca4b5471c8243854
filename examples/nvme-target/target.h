/* SPDX-License-Identifier: MIT */
/* A target for hosts by NVMe/TCP, and for guests by vfio-user: what its files share. */
#ifndef TARGET_H
#define TARGET_H

#include <virtio-offload.h>

#define MAX_NAMESPACES 128
#define MAX_THREADS 64
#define MAX_HOSTS 256
#define MAX_GUESTS 64
#define MAX_LISTENS 16
#define MAX_PORTS 32
#define MAX_GROUPS 128

struct target {
	/* As the command line has it; the texts are argv's. */
	const char *nqn, *serial, *reservations, *control, *pool, *pool_filters;
	const char *keyfile;
	const char *stacks[MAX_NAMESPACES], *hosts[MAX_HOSTS];
	const char *sockets[MAX_GUESTS], *listens[MAX_LISTENS], *refers[MAX_LISTENS], *states[MAX_LISTENS];
	unsigned stack_group[MAX_NAMESPACES];
	unsigned nstacks, nhosts, nsockets, nlistens, nrefers, nstates, threads, stats_seconds;
	unsigned group; /* of namespaces to come */
	unsigned first_controller, last_controller;
	bool stats, no_digests, read_only;
	enum vio_poll_mode mode;
	enum vio_log_level log;

	struct vio_scope *scope;
	struct vio_poller *pollers[MAX_THREADS]; /* the first is the main thread's */
	struct vio_nvme *subsystem;
	struct vio_nvme_tcp *tcp[MAX_LISTENS];
	unsigned ntcp;
	bool groups[MAX_GROUPS + 1]; /* those to be shown, and the ports */
	uint16_t ports[MAX_PORTS];
	unsigned nports;
	struct {
		struct vio_pci *controller;
		struct vio_vfio_user *socket;
	} guests[MAX_GUESTS];
	unsigned nguests;
	struct vio_pci *primary; /* the last that has secondaries */
	unsigned ending; /* what has been asked to stop, and has not yet */
};

/* 0, 1 when all is said (--help), or -1 after a sentence on stderr. */
int options_read(struct target *t, int argc, char **argv);

/* A namespace over a stack: its id, or -1 and vio_errmsg() says why. */
int namespace_add(struct target *t, const char *stack, unsigned group);

/* For what may block: as vio_nvme_manager.work has it. */
void jobs_run(void *ctx, void (*job)(void *arg), void *arg);
void jobs_await(void);

/* Namespaces that hosts make, if there is a pool for them. -1 after a sentence on stderr. */
int pool_open(struct target *t, struct vio_nvme_manager *m);
/* Those that there are, once the command line's are there. */
int pool_open_namespaces(struct target *t);
/* Bytes of a block that hosts have given a namespace of the command line's; 0: those of its store. */
uint32_t pool_block(const struct target *t, uint32_t nsid);

/* Opens the control socket, if there is to be one. -1 after a sentence on stderr. */
int control_open(struct target *t);
void control_close(struct target *t);

/* Listens, and says where others do. -1 after a sentence on stderr. */
int listens_open(struct target *t);
void listens_stop(struct target *t, void (*ended)(void *t));
void listens_close(struct target *t);

/* The file of hosts and secrets, if there is one. -1 after a sentence on stderr. */
int keys_open(const struct target *t);
/* Reads it. NULL, or what is wrong. */
const char *keys_read(const struct target *t);

/* The states that the command line asks for. -1 after a sentence on stderr. */
int access_open(struct target *t);
/* "GROUP STATE [PORT]". NULL, or what is wrong. */
const char *access_set(struct target *t, const char *text);
void access_note_port(struct target *t, unsigned port);
void access_note_group(struct target *t, unsigned group);
/* All groups and ports that there are, in a line. */
void access_show(struct target *t, char *to, size_t size);

/* A controller for each socket that guests may connect to. -1 after a sentence on stderr. */
int guests_open(struct target *t);
/* ended(t) is called for each socket, and later for each controller. */
void guests_stop_sockets(struct target *t, void (*ended)(void *t));
void guests_stop_controllers(struct target *t, void (*ended)(void *t));
void guests_close(struct target *t);

void stats_print(const struct target *t);

/* One line on stderr, if the level is one that was asked for. */
void say(const struct target *t, enum vio_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
