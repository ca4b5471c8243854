/* SPDX-License-Identifier: MIT */
/* Sockets with a path: what listens there, and what is left of one that did. */
#ifndef VIO_TRANSPORT_UNIX_SOCKET_H
#define VIO_TRANSPORT_UNIX_SOCKET_H

#include "base/base.h"

/* A listening socket at path, in place of one that nobody listens at any more; or -errno. */
int unix_listen(const char *path);
/* A connected one, or -errno. */
int unix_connect(const char *path);

#endif
