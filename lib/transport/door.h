/* SPDX-License-Identifier: MIT */
/*
 * What servers on a Unix socket share. A door is the way in: one peer at a time comes by a
 * listening socket, by one that was given, or is dialled; when it has gone the next may come. A
 * line is the socket of the peer that is there, and how long it is waited for.
 */
#ifndef VIO_TRANSPORT_DOOR_H
#define VIO_TRANSPORT_DOOR_H

#include "base/base.h"

#include <virtio-offload/impl/poll.h>

#include <sys/types.h>

struct door {
	/* Set before it is opened. */
	struct vio_poller *poller;
	const char *protocol, *peer;		/* for the log: "vhost-user", "front end" */
	char *path;				/* a copy, or NULL */
	bool dials;				/* path is the peer's */
	uint64_t retry_ns;			/* how long until the next try */
	bool (*came)(struct door *d, int fd);	/* fd is the callee's; false: it could not be served */
	void (*connected)(void *ctx, bool yes); /* or NULL */
	void *ctx;

	int listener; /* -1: none */
	dev_t dev;    /* the file that was bound, to remove that one and no other */
	ino_t ino;
	struct vio_watch watch;
	bool listening; /* watch is on the poller */
	struct vio_timer retry;
	bool stopping;
	struct vio_msg stop_msg;
	void (*stopped)(void *ctx);
	void *stopped_ctx;
};

/* Copies the path, which may be NULL; before anything can fail that is followed by door_dispose. */
int door_init(struct door *d, struct vio_poller *p, const char *path);
/* Listens at the path, or dials it; without one, fd is a connected socket, which is then the server's. */
int door_open(struct door *d, int fd);
/* The peer has gone. Its server may be freed by this if it was stopping. */
void door_closed(struct door *d);
/* False: it is stopping already. idle: there is no peer, else its server calls door_closed soon. */
bool door_stop(struct door *d, bool idle, void (*done)(void *ctx), void *ctx);
/* Without a peer: no file is left, no timer, no memory. */
void door_dispose(struct door *d);
void door_log(const struct door *d, enum vio_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

struct line {
	struct door *door;
	void (*ready)(struct line *l);	   /* what was awaited */
	void (*impatient)(struct line *l); /* the peer had timeout_ms, and is still not through */
	unsigned timeout_ms;

	int fd; /* -1: no peer */
	struct vio_watch watch;
	bool watching;
	struct vio_timer patience;
	bool waiting; /* patience is set */
};

void line_open(struct line *l, int fd);
/* Waits for these events, and no others; 0: for none. False: it can't, which the log says. */
bool line_await(struct line *l, uint32_t events);
/* The peer has begun something: it has timeout_ms to end it, however it trickles. */
void line_be_patient(struct line *l);
void line_calm(struct line *l);
void line_close(struct line *l);

#endif
