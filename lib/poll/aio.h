/* SPDX-License-Identifier: MIT */
/* File I/O of the epoll engine: Linux AIO, whose completions an eventfd announces. */
#ifndef VIO_POLL_AIO_H
#define VIO_POLL_AIO_H

#include "poll/poll.h"

struct aio;

/* *a stays NULL where the kernel refuses AIO; I/O is then done on the spot. -errno otherwise. */
int poll_aio_open(struct vio_poller *p, struct aio **a);
void poll_aio_close(struct aio *a);
void poll_aio_submit(struct aio *a, struct vio_io *io);
/* Hands what was submitted to the kernel. */
void poll_aio_flush(struct vio_poller *p, struct aio *a);
/* Runs the dones of what has completed; their number. */
unsigned poll_aio_harvest(struct aio *a);
/* Is there something to harvest? Asks no kernel. */
bool poll_aio_ready(const struct aio *a);

#endif
