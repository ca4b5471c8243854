/* SPDX-License-Identifier: MIT */
/* File I/O and signals as callers see them, and the tables of registered buffers and files. */
#include "poll/poll.h"

#include <unistd.h>

void vio_io_submit(struct vio_poller *p, struct vio_io *io)
{
	p->engine->submit(p, io);
	poll_outside(p);
}

void vio_poller_signal(struct vio_poller *p, int eventfd)
{
	uint64_t one = 1;

	if (p->engine->signal && p->engine->signal(p, eventfd))
		return;
	p->stats.syscalls++;
	if (write(eventfd, &one, sizeof(one)) < 0) {
		/* full: its reader has been told; or not an eventfd: its giver's mistake */
	}
}

void vio_poller_close(struct vio_poller *p, int eventfd)
{
	poll_signals_leave(p);
	close(eventfd);
}

/* The same range again is the same buffer: lanes on one poller share what is pinned. */
static struct poll_buf *io_buf_find(struct vio_poller *p, void *ptr, size_t len)
{
	struct poll_buf *room = NULL;

	for (unsigned i = 0; i < POLL_BUFS; i++) {
		struct poll_buf *b = &p->bufs[i];

		if (b->refs && b->ptr == ptr && b->len == len)
			return b;
		if (!b->refs && !room)
			room = b;
	}
	return room;
}

int vio_poller_buf_add(struct vio_poller *p, void *ptr, size_t len)
{
	struct poll_buf *b;
	int rc;

	if (!p->engine->buf_set)
		return vio__fail(EOPNOTSUPP, "poller: only io_uring registers buffers");
	if (!p->bufs)
		p->bufs = calloc(POLL_BUFS, sizeof(*p->bufs));
	if (!p->bufs)
		return vio__fail(ENOMEM, "poller: out of memory for the table of buffers");
	b = io_buf_find(p, ptr, len);
	if (!b)
		return vio__fail(ENOSPC, "poller: %u buffers are registered already", POLL_BUFS);
	if (!b->refs) {
		rc = p->engine->buf_set(p, (unsigned)(b - p->bufs), ptr, len);
		if (rc)
			return vio__fail(-rc, "poller: a buffer of %zu bytes can't be registered: %s", len,
					 strerror(-rc));
		b->ptr = ptr;
		b->len = len;
	}
	b->refs++;
	return (int)(b - p->bufs);
}

void vio_poller_buf_del(struct vio_poller *p, int index)
{
	if (index < 0 || --p->bufs[index].refs)
		return;
	p->engine->buf_set(p, (unsigned)index, NULL, 0);
}

int vio_poller_file_add(struct vio_poller *p, int fd)
{
	unsigned i = 0;
	int rc;

	if (!p->engine->file_set)
		return vio__fail(EOPNOTSUPP, "poller: only io_uring registers files");
	if (!p->files)
		p->files = calloc(POLL_FILES, sizeof(*p->files));
	if (!p->files)
		return vio__fail(ENOMEM, "poller: out of memory for the table of files");
	while (i < POLL_FILES && p->files[i])
		i++;
	if (i == POLL_FILES)
		return vio__fail(ENOSPC, "poller: %u files are registered already", POLL_FILES);
	rc = p->engine->file_set(p, i, fd);
	if (rc)
		return vio__fail(-rc, "poller: fd %d can't be registered: %s", fd, strerror(-rc));
	p->files[i] = 1;
	return (int)i;
}

void vio_poller_file_del(struct vio_poller *p, int index)
{
	if (index < 0)
		return;
	p->engine->file_set(p, (unsigned)index, -1);
	p->files[index] = 0;
}
