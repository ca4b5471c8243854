/* SPDX-License-Identifier: MIT */
/* Stream sockets that carry file descriptors: one read or write, its descriptors counted and never leaked. */
#ifndef VIO_WIRE_FDS_H
#define VIO_WIRE_FDS_H

#include "base/base.h"

#include <sys/uio.h>

#define WIRE_MAX_FDS 16u /* of one message, whatever the protocol */

struct wire_fds {
	unsigned n;
	unsigned max; /* at most WIRE_MAX_FDS; one more than these is an error */
	int *fd;
};

/*
 * One read of at most len bytes, without blocking: how many came (> 0), 0 for "not now",
 * -ECONNRESET: the peer has gone, -EBADMSG: more descriptors than there is room for. Descriptors that came
 * are added to fds, after an error too.
 */
ssize_t wire_recv(int socket, void *to, size_t len, struct wire_fds *fds);

/* One write, without blocking and without SIGPIPE, the nfds descriptors with its first byte: how many bytes
 * have left, 0 for "not now", or -errno. */
ssize_t wire_send(int socket, struct iovec *iov, unsigned niov, const int *fd, unsigned nfds);

#endif
