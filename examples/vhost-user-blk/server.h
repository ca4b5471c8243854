/* SPDX-License-Identifier: MIT */
/* A vhost-user-blk server: what its files share. */
#ifndef SERVER_H
#define SERVER_H

#include <virtio-offload.h>

#define MAX_DISKS 256
#define MAX_THREADS 64

/* One disk as the command line describes it; the texts are argv's. */
struct settings {
	const char *socket, *stack;
	const char *queues, *queue_size, *packed, *serial; /* NULL: the device's default */
	bool read_only, client, require_seals;
};

struct disk {
	struct settings set;
	struct vio_backend *backend;
	struct vio_dev *dev;
	struct vio_vhost_user *transport;
	bool drained;
};

struct server {
	struct disk disks[MAX_DISKS];
	unsigned ndisks;
	enum vio_poll_mode mode;
	enum vio_log_level log;
	bool stats;
	unsigned stats_seconds; /* 0: only at exit and on SIGUSR1 */

	struct vio_scope *scope;
	struct vio_poller *pollers[MAX_THREADS]; /* the first is the main thread's */
	unsigned threads;
};

/* 0, 1 when all is said (--help), or -1 after a sentence on stderr. */
int options_read(struct server *s, int argc, char **argv);

/* Backends and devices of all disks, then their sockets. -1 after a sentence on stderr. */
int disks_open(struct server *s);
/* Stops all transports and runs the main poller until the last queue has drained. */
void disks_drain(struct server *s);
void disks_free(struct server *s);
/* Tells the guests of files that grew or shrank. */
void disks_refresh(struct server *s);

void stats_print(const struct server *s);
void stats_print_pollers(const struct server *s);

/* One line on stderr, if the level is one that was asked for. */
void say(const struct server *s, enum vio_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
