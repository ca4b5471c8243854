/* SPDX-License-Identifier: MIT */
/*
 * trace: one line of JSON a request, written when it comes up:
 *
 *     {"op":"read","flags":0,"offset":4096,"len":512,"res":0,"ns":8123}
 *
 * Lines are gathered by lane and written in one go, appended whole, at the end of
 * each batch that comes up. This filter reads clocks and makes system calls.
 */
#define _GNU_SOURCE
#include "base/arg.h"
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <virtio-offload/impl/backend.h>

#define TRACE_LINE 160u /* the longest line there can be, and some */
#define TRACE_BUFFER (64u << 10)

struct trace {
	int fd;
	uint64_t lines, lost;
};

struct trace_lane {
	char *buf;
	size_t fill;
};

struct trace_req {
	uint64_t down; /* ns */
};

static int trace_open_file(struct trace *t, const char *path)
{
	if (!path)
		return vio__fail(EINVAL, "trace: file=PATH is missing; - is the standard output");
	if (!strcmp(path, "-"))
		t->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		t->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (t->fd < 0)
		return vio__fail(errno, "trace: can't open %s: %s", path, strerror(errno));
	return 0;
}

static int trace_open(struct vio_backend *b, const char *arg)
{
	struct trace *t = b->priv;
	char *path = NULL;
	const struct vio__arg args[] = { { "file", VIO__ARG_TEXT, &path, 0, 0 } };
	int rc = vio__args("trace", arg, args, VIO_ARRAY_SIZE(args));

	if (!rc)
		rc = trace_open_file(t, path);
	free(path);
	return rc;
}

static void trace_close(struct vio_backend *b)
{
	struct trace *t = b->priv;

	close(t->fd);
}

static int trace_lane_open(struct vio_lane *l)
{
	struct trace_lane *tl = l->priv;

	tl->buf = malloc(TRACE_BUFFER);
	return tl->buf ? 0 : vio__fail(ENOMEM, "trace: no memory for a lane's buffer");
}

static void trace_lane_close(struct vio_lane *l)
{
	struct trace_lane *tl = l->priv;

	free(tl->buf);
}

static uint64_t trace_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const char *trace_op(uint8_t op)
{
	static const char *const names[] = {
		[VIO_OP_READ] = "read",
		[VIO_OP_WRITE] = "write",
		[VIO_OP_FLUSH] = "flush",
		[VIO_OP_DISCARD] = "discard",
		[VIO_OP_WRITE_ZEROES] = "write-zeroes",
		[VIO_OP_SECURE_ERASE] = "secure-erase",
		[VIO_OP_SEND] = "send",
		[VIO_OP_RECV] = "recv",
	};

	return op < VIO_ARRAY_SIZE(names) ? names[op] : "none";
}

/* A reader that is gone or a disk that is full costs lines, not requests. */
static void trace_write(struct trace *t, struct trace_lane *tl)
{
	if (tl->fill && write(t->fd, tl->buf, tl->fill) != (ssize_t)tl->fill)
		__atomic_fetch_add(&t->lost, 1, __ATOMIC_RELAXED);
	tl->fill = 0;
}

static void trace_line(struct trace *t, struct trace_lane *tl, const struct vio_req *r, uint64_t ns)
{
	if (TRACE_BUFFER - tl->fill < TRACE_LINE)
		trace_write(t, tl);
	tl->fill += (size_t)snprintf(
		tl->buf + tl->fill, TRACE_LINE,
		"{\"op\":\"%s\",\"flags\":%u,\"offset\":%llu,\"len\":%llu,\"res\":%d,\"ns\":%llu}\n",
		trace_op(r->op), r->flags, (unsigned long long)r->offset, (unsigned long long)r->len, r->res,
		(unsigned long long)ns);
}

static void trace_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	uint64_t now = trace_now();

	for (unsigned i = 0; i < n; i++) {
		struct trace_req *q = vio_req_scratch(l, r[i]);

		q->down = now;
	}
	vio_next_submit(l, r, n);
}

static unsigned trace_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct trace *t = l->backend->priv;
	struct trace_lane *tl = l->priv;
	uint64_t now;

	n = vio_next_reap(l, r, n);
	if (!n)
		return 0;
	now = trace_now();
	for (unsigned i = 0; i < n; i++) {
		const struct trace_req *q = vio_req_scratch(l, r[i]);

		trace_line(t, tl, r[i], now - q->down);
	}
	trace_write(t, tl);
	__atomic_fetch_add(&t->lines, n, __ATOMIC_RELAXED);
	return n;
}

static void trace_stats(struct vio_backend *b,
			void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
			void *ctx)
{
	struct trace *t = b->priv;

	each(ctx, "trace", "lines", __atomic_load_n(&t->lines, __ATOMIC_RELAXED));
	each(ctx, "trace", "writes-failed", __atomic_load_n(&t->lost, __ATOMIC_RELAXED));
}

const struct vio_backend_type vio__backend_trace = {
	.sz = sizeof(struct vio_backend_type),
	.name = "trace",
	.help = "file=PATH|-: a line of JSON for each request",
	.flags = VIO_BACKEND_FILTER,
	.priv = sizeof(struct trace),
	.lane_priv = sizeof(struct trace_lane),
	.scratch = sizeof(struct trace_req),
	.open = trace_open,
	.close = trace_close,
	.lane_open = trace_lane_open,
	.lane_close = trace_lane_close,
	.submit = trace_submit,
	.reap = trace_reap,
	.stats = trace_stats,
};
