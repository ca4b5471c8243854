/* SPDX-License-Identifier: MIT */
/* offset: a window on the store beneath: a partition, or the payload behind a header. */
#include "base/arg.h"
#include "base/base.h"
#include "filter/answered.h"

struct offset {
	uint64_t start;
	uint64_t size; /* 0: up to the store's end, wherever that is */
};

struct offset_lane {
	struct vio_reqs done;
};

static int offset_check(const struct offset *o, const struct vio_backend_info *i)
{
	uint64_t end;

	if (o->start % i->block || o->size % i->block)
		return vio__fail(EINVAL, "offset: start=%llu and size=%llu, expected multiples of %u bytes",
				 (unsigned long long)o->start, (unsigned long long)o->size, i->block);
	if (!vio__add(o->start, VIO_MAX(o->size, (uint64_t)i->block), &end) || end > i->size)
		return vio__fail(EINVAL,
				 "offset: a window from %llu of %llu bytes, but the store holds %llu bytes",
				 (unsigned long long)o->start,
				 (unsigned long long)VIO_MAX(o->size, (uint64_t)i->block),
				 (unsigned long long)i->size);
	return 0;
}

static int offset_open(struct vio_backend *b, const char *arg)
{
	struct offset *o = b->priv;
	const struct vio__arg args[] = {
		{ "start", VIO__ARG_SIZE, &o->start, 0, 0 },
		{ "size", VIO__ARG_SIZE, &o->size, 1, 0 },
	};
	VIO_OPTS(vio_backend_info, i);
	int rc = vio__args("offset", arg, args, VIO_ARRAY_SIZE(args));

	if (!rc)
		rc = vio_backend_info(b->next, &i);
	return rc ? rc : offset_check(o, &i);
}

/* The store may have shrunk since: what is left of the window. */
static int offset_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct offset *o = b->priv;
	uint64_t left = i->size > o->start ? i->size - o->start : 0;

	i->size = o->size ? VIO_MIN(o->size, left) : left;
	i->crypto_erase = false; /* it would be all of the store's */
	return 0;
}

VIO_INLINE bool offset_has_range(const struct vio_req *r)
{
	return r->op <= VIO_OP_SECURE_ERASE && r->op != VIO_OP_FLUSH;
}

/* False if it does not fit into the window; without a size the store itself checks its end. */
static bool offset_down(const struct offset *o, struct vio_req *r)
{
	uint64_t end;

	if (!offset_has_range(r))
		return true;
	if (!vio__add(r->offset, r->len, &end) || (o->size && end > o->size) ||
	    !vio__add(end, o->start, &end))
		return false;
	r->offset += o->start;
	return true;
}

static void offset_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	const struct offset *o = l->backend->priv;
	struct offset_lane *ol = l->priv;
	unsigned from = 0;

	for (unsigned i = 0; i < n; i++) {
		if (VIO_LIKELY(offset_down(o, r[i])))
			continue;
		if (i > from)
			vio_next_submit(l, r + from, i - from);
		answered_push(l, &ol->done, r[i], -EINVAL);
		from = i + 1;
	}
	if (n > from)
		vio_next_submit(l, r + from, n - from);
}

static unsigned offset_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	const struct offset *o = l->backend->priv;
	struct offset_lane *ol = l->priv;
	unsigned done = answered_pop(&ol->done, r, n), got = vio_next_reap(l, r + done, n - done);

	for (unsigned i = done; i < done + got; i++)
		if (offset_has_range(r[i]))
			r[i]->offset -= o->start;
	return done + got;
}

const struct vio_backend_type vio__backend_offset = {
	.sz = sizeof(struct vio_backend_type),
	.name = "offset",
	.help = "start=SIZE[,size=SIZE]: a window on the store",
	.flags = VIO_BACKEND_FILTER,
	.priv = sizeof(struct offset),
	.lane_priv = sizeof(struct offset_lane),
	.open = offset_open,
	.info = offset_info,
	.submit = offset_submit,
	.reap = offset_reap,
};
