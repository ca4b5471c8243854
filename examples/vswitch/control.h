/* SPDX-License-Identifier: MIT */
/*
 * The control socket. A client sends lines; each gets "OK LENGTH" and so many bytes, or
 * "ERR SENTENCE". Clients are not to be trusted with anything but the commands: lines,
 * connections and the time for either are bounded, and a reply that is not read holds
 * nobody else up.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "vswitch.h"

#include <sys/types.h>
#include <sys/un.h>

#define MAX_CONNS 16
#define MAX_LINE 4096

struct conn {
	struct vio_watch watch; /* first */
	struct vio_timer patience;
	struct control *control;
	int fd; /* -1: nobody */
	bool watching;
	bool last;   /* closed after this reply */
	size_t have; /* of the line */
	char line[MAX_LINE];
	char *reply; /* NULL: none is under way */
	size_t len, sent;
};

struct control {
	struct vio_watch watch; /* first */
	struct vio_timer retry;
	struct vswitch *s;
	int fd;
	bool watching;
	struct sockaddr_un name;
	dev_t dev; /* the socket's file, to remove that one and no other */
	ino_t ino;
	struct conn conns[MAX_CONNS];
};

/* conn.c: one client. */
void conn_init(struct conn *n, struct control *c);
void conn_open(struct conn *n, int fd);
void conn_close(struct conn *n);

/* control.c: a place has become free. */
void control_has_room(struct control *c);

#endif
