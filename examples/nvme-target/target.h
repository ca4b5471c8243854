/* SPDX-License-Identifier: MIT */
/* An NVMe/TCP target: what its files share. */
#ifndef TARGET_H
#define TARGET_H

#include <virtio-offload.h>

#define MAX_NAMESPACES 128
#define MAX_THREADS 64
#define MAX_HOSTS 256

struct target {
	/* As the command line has it; the texts are argv's. */
	const char *listen, *nqn, *serial, *control;
	const char *stacks[MAX_NAMESPACES], *hosts[MAX_HOSTS];
	unsigned nstacks, nhosts, threads, stats_seconds;
	bool stats, no_digests, read_only;
	enum vio_poll_mode mode;
	enum vio_log_level log;

	struct vio_scope *scope;
	struct vio_poller *pollers[MAX_THREADS]; /* the first is the main thread's */
	struct vio_nvme *subsystem;
	struct vio_nvme_tcp *tcp;
	bool stopped;
};

/* 0, 1 when all is said (--help), or -1 after a sentence on stderr. */
int options_read(struct target *t, int argc, char **argv);

/* A namespace over a stack: its id, or -1 and vio_errmsg() says why. */
int namespace_add(struct target *t, const char *stack);

/* Opens the control socket, if there is to be one. -1 after a sentence on stderr. */
int control_open(struct target *t);
void control_close(struct target *t);

void stats_print(const struct target *t);

/* One line on stderr, if the level is one that was asked for. */
void say(const struct target *t, enum vio_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
