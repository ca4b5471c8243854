/* SPDX-License-Identifier: MIT */
/* null: a store that forgets writes and leaves a read's buffers as they are. */
#include "backend/backend.h"
#include "backend/done.h"
#include "base/arg.h"

struct null_store {
	uint64_t size;
};

static int null_open(struct vio_backend *b, const char *arg)
{
	struct null_store *s = b->priv;
	const struct vio__arg args[] = { { "", VIO__ARG_SIZE, &s->size, 512, 1ull << 62 } };

	s->size = 1ull << 30;
	return vio__args("null", arg, args, VIO_ARRAY_SIZE(args));
}

static int null_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct null_store *s = b->priv;

	i->size = s->size & ~511ull;
	i->block = 512;
	i->ops = 1u << VIO_OP_READ | 1u << VIO_OP_WRITE | 1u << VIO_OP_FLUSH | 1u << VIO_OP_DISCARD |
		 1u << VIO_OP_WRITE_ZEROES | 1u << VIO_OP_SECURE_ERASE;
	return 0;
}

static void null_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		r[i]->res = 0;
	done_push(l->priv, r, n);
}

static unsigned null_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return done_pop(l->priv, r, n);
}

static unsigned null_room(struct vio_lane *l)
{
	return done_room(l->priv);
}

const struct vio_backend_type vio__backend_null = {
	.sz = sizeof(struct vio_backend_type),
	.name = "null",
	.help = "[SIZE]: forgets what is written, reads nothing; 1G",
	.priv = sizeof(struct null_store),
	.lane_priv = sizeof(struct done_stack),
	.open = null_open,
	.info = null_info,
	.room = null_room,
	.submit = null_submit,
	.reap = null_reap,
};
