/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "backend/file.h"
#include "base/arg.h"
#include "base/barrier.h"

#include <fcntl.h>
#include <unistd.h>

static int file_open(struct vio_backend *b, const char *arg)
{
	struct file_store *s = b->priv;
	struct file_args *a = &s->args;
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &a->path, 0, 0 },
		{ "direct", VIO__ARG_BOOL, &a->direct, 0, 0 },
		{ "read-only", VIO__ARG_BOOL, &a->read_only, 0, 0 },
		{ "block", VIO__ARG_SIZE, &a->block, 512, 65536 },
		{ "lock", VIO__ARG_BOOL, &a->lock, 0, 0 },
		{ "pin", VIO__ARG_BOOL, &a->pin, 0, 0 },
	};
	int rc;

	a->lock = a->pin = true;
	rc = vio__args("file", arg, args, VIO_ARRAY_SIZE(args));
	if (rc)
		return rc;
	if (!a->path || !*a->path)
		rc = vio__fail(EINVAL, "file: the path must be given, as in \"file:disk.raw\"");
	else
		rc = file_open_store(s);
	if (rc)
		free(a->path);
	return rc;
}

static void file_close(struct vio_backend *b)
{
	struct file_store *s = b->priv;
	struct flock unlock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	/* Closing would do, but a ring that is still being torn down may hold the file a little longer. */
	if (s->args.lock)
		fcntl(s->fd, F_OFD_SETLK, &unlock);
	close(s->fd);
	free(s->args.path);
}

static int file_info(struct vio_backend *b, struct vio_backend_info *i)
{
	struct file_store *s = b->priv;
	uint64_t size;
	int rc = file_size(s, &size);

	if (rc)
		return vio__fail(-rc, "file: the size of %s can't be had: %s", s->args.path, strerror(-rc));
	VIO_STORE(&s->size, size);
	i->size = size - size % s->block;
	i->block = s->block;
	i->optimal = s->optimal;
	i->read_only = s->args.read_only;
	i->rotational = s->rotational;
	i->volatile_cache = !s->args.read_only;
	i->ops = 1u << VIO_OP_READ | 1u << VIO_OP_FLUSH;
	if (!s->args.read_only)
		i->ops |= 1u << VIO_OP_WRITE | 1u << VIO_OP_DISCARD | 1u << VIO_OP_WRITE_ZEROES;
	return 0;
}

static void file_stats(struct vio_backend *b,
		       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		       void *ctx)
{
	static const char *const names[FILE_COUNTERS] = {
		[FILE_REGISTERED] = "registered", [FILE_UNREGISTERED] = "unregistered",
		[FILE_BOUNCED] = "bounced",	  [FILE_BOUNCE_WAITS] = "bounce-waits",
		[FILE_CONTINUED] = "continued",	  [FILE_ZEROES_WRITTEN] = "zeroes-written",
	};
	struct file_store *s = b->priv;

	for (unsigned i = 0; i < FILE_COUNTERS; i++)
		each(ctx, "file", names[i], VIO_LOAD(&s->count[i]));
}

const struct vio_backend_type vio__backend_file = {
	.sz = sizeof(struct vio_backend_type),
	.name = "file",
	.help = "PATH[,direct=on|off][,read-only=on|off][,block=N][,lock=on|off][,pin=on|off]: a file or "
		"block device; "
		"pin registers guest memory with io_uring",
	.priv = sizeof(struct file_store),
	.lane_priv = sizeof(struct file_lane),
	.scratch = sizeof(struct file_io),
	.open = file_open,
	.close = file_close,
	.info = file_info,
	.lane_open = file_lane_open,
	.lane_close = file_lane_close,
	.submit = file_lane_submit,
	.reap = file_lane_reap,
	.stats = file_stats,
};
