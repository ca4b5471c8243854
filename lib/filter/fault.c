/* SPDX-License-Identifier: MIT */
/*
 * fault: the Nth matching operation fails, is cut short or comes late; once, or from
 * then on. For tests of what stands above. Operations are counted over all lanes.
 */
#include "base/arg.h"
#include "base/barrier.h"
#include "filter/answered.h"
#include "filter/fault.h"

#define FAULT_SHORT (-1) /* half of the data is moved, then EIO */
#define FAULT_DELAY (-2) /* goes down after the delay */
#define FAULT_ANY 255u

static const struct fault_name {
	const char *name;
	int value;
} fault_ops[] = {
	{ "any", FAULT_ANY },
	{ "read", VIO_OP_READ },
	{ "write", VIO_OP_WRITE },
	{ "flush", VIO_OP_FLUSH },
	{ "discard", VIO_OP_DISCARD },
	{ "write-zeroes", VIO_OP_WRITE_ZEROES },
}, fault_errors[] = {
	{ "EIO", EIO },
	{ "ENOSPC", ENOSPC },
	{ "ENOMEM", ENOMEM },
	{ "ENOTSUP", ENOTSUP },
	{ "EINVAL", EINVAL },
	{ "EAGAIN", EAGAIN },
	{ "ETIMEDOUT", ETIMEDOUT },
	{ "EROFS", EROFS },
	{ "short", FAULT_SHORT },
	{ "delay", FAULT_DELAY },
};

struct fault {
	int op, error;
	bool once;
	uint64_t nth;		       /* counted as seen is; 0: none */
	uint64_t delay, percent, seed; /* delay in ns */
	unsigned block;
	uint64_t seen, hit; /* atomic */
};

struct fault_lane {
	struct vio_reqs done, late;
	struct vio_timer timer;
	struct vio_lane *lane;
};

/* A request that was cut short, to be put right on the way up; or when a late one goes down. */
struct fault_req {
	uint64_t len, at;
	size_t last; /* the length of the last entry that was left */
	uint16_t niov;
	bool cut;
};

static int fault_lookup(const char *what, const char *name, const struct fault_name *names, unsigned n,
			int *value)
{
	char list[128] = "";

	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(name, names[i].name)) {
			*value = names[i].value;
			return 0;
		}
		strncat(list, i ? ", " : "", sizeof(list) - strlen(list) - 1);
		strncat(list, names[i].name, sizeof(list) - strlen(list) - 1);
	}
	return vio__fail(EINVAL, "fault: %s=%s, expected one of: %s", what, name, list);
}

static int fault_names(struct fault *f, const char *op, const char *error)
{
	int rc = fault_lookup("op", op ? op : "any", fault_ops, VIO_ARRAY_SIZE(fault_ops), &f->op);

	return rc ? rc
		  : fault_lookup("error", error ? error : "EIO", fault_errors, VIO_ARRAY_SIZE(fault_errors),
				 &f->error);
}

static int fault_open(struct vio_backend *b, const char *arg)
{
	struct fault *f = b->priv;
	char *op = NULL, *error = NULL;
	const struct vio__arg args[] = {
		{ "op", VIO__ARG_TEXT, &op, 0, 0 },	   { "nth", VIO__ARG_NUM, &f->nth, 0, 0 },
		{ "error", VIO__ARG_TEXT, &error, 0, 0 },  { "delay", VIO__ARG_NUM, &f->delay, 0, 3600000 },
		{ "once", VIO__ARG_BOOL, &f->once, 0, 0 }, { "percent", VIO__ARG_NUM, &f->percent, 0, 100 },
		{ "seed", VIO__ARG_NUM, &f->seed, 0, 0 },
	};
	VIO_OPTS(vio_backend_info, i);
	int rc;

	f->nth = 1;
	f->once = true;
	rc = vio__args("fault", arg, args, VIO_ARRAY_SIZE(args));
	if (!rc)
		rc = fault_names(f, op, error);
	if (!rc)
		rc = vio_backend_info(b->next, &i);
	f->block = rc ? 512 : i.block;
	f->delay *= 1000000;
	free(op);
	free(error);
	return rc;
}

void vio__fault_arm(struct vio_backend *b, uint64_t nth)
{
	struct fault *f = b->priv;

	VIO_STORE(&f->nth, nth ? VIO_LOAD(&f->seen) + nth : 0);
}

/* Number n's share of chance: the same for the same seed (a step of splitmix64). */
static bool fault_chance(const struct fault *f, uint64_t n)
{
	uint64_t x = f->seed + n * 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (x ^ x >> 31) % 100 < f->percent;
}

static bool fault_hits(struct fault *f, const struct vio_req *r)
{
	uint64_t n, nth;
	bool hit;

	if (f->op != (int)FAULT_ANY && f->op != r->op)
		return false;
	n = __atomic_add_fetch(&f->seen, 1, __ATOMIC_RELAXED);
	nth = VIO_LOAD(&f->nth);
	if (f->percent)
		hit = fault_chance(f, n);
	else
		hit = f->once ? n == nth : nth && n >= nth;
	if (hit)
		__atomic_fetch_add(&f->hit, 1, __ATOMIC_RELAXED);
	return hit;
}

/* Leaves the first half of the data, in whole blocks; false if that is nothing. */
static bool fault_cut(const struct fault *f, struct vio_req *r, struct fault_req *q)
{
	uint64_t half = r->len / 2 / f->block * f->block, left = half;
	unsigned i = 0;

	if (!half || r->op > VIO_OP_WRITE)
		return false;
	while (i < r->niov && left > r->iov[i].iov_len)
		left -= r->iov[i++].iov_len;
	if (i == r->niov)
		return false;
	*q = (struct fault_req){ .len = r->len, .last = r->iov[i].iov_len, .niov = r->niov, .cut = true };
	r->iov[i].iov_len = left;
	r->niov = (uint16_t)(i + 1);
	r->len = half;
	return true;
}

static void fault_mend(struct vio_req *r, struct fault_req *q)
{
	r->iov[r->niov - 1].iov_len = q->last;
	r->niov = q->niov;
	r->len = q->len;
	if (!r->res)
		r->res = -EIO;
}

static void fault_delay(struct vio_lane *l, struct vio_req *r)
{
	const struct fault *f = l->backend->priv;
	struct fault_lane *fl = l->priv;
	struct fault_req *q = vio_req_scratch(l, r);

	q->at = vio_poller_now(l->poller) + f->delay;
	if (!fl->late.head)
		vio_timer_set(l->poller, &fl->timer, f->delay);
	vio_reqs_push(&fl->late, r);
}

static void fault_late(struct vio_timer *t)
{
	struct fault_lane *fl = VIO_CONTAINER(t, struct fault_lane, timer);
	uint64_t now = vio_poller_now(fl->lane->poller);
	struct vio_req *r;

	while ((r = fl->late.head)) {
		const struct fault_req *q = vio_req_scratch(fl->lane, r);

		if (q->at > now || !vio_next_room(fl->lane)) {
			vio_timer_set(fl->lane->poller, t, q->at > now ? q->at - now : 1000000);
			break;
		}
		vio_reqs_pop(&fl->late);
		vio_next_submit(fl->lane, &r, 1);
	}
	vio_lane_wake(fl->lane);
}

static int fault_lane_open(struct vio_lane *l)
{
	struct fault_lane *fl = l->priv;

	fl->timer.fire = fault_late;
	fl->lane = l;
	return 0;
}

static void fault_lane_close(struct vio_lane *l)
{
	struct fault_lane *fl = l->priv;

	vio_timer_cancel(l->poller, &fl->timer);
}

/* True if it goes down now. */
static bool fault_down(struct vio_lane *l, struct vio_req *r)
{
	struct fault *f = l->backend->priv;
	struct fault_lane *fl = l->priv;
	struct fault_req *q = vio_req_scratch(l, r);

	q->cut = false;
	if (!fault_hits(f, r))
		return true;
	if (f->error == FAULT_DELAY) {
		fault_delay(l, r);
		return false;
	}
	if (f->error == FAULT_SHORT && fault_cut(f, r, q))
		return true;
	answered_push(l, &fl->done, r, f->error == FAULT_SHORT ? -EIO : -f->error);
	return false;
}

static void fault_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fault_down(l, r[i]))
			vio_next_submit(l, r + i, 1);
}

static unsigned fault_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct fault_lane *fl = l->priv;
	unsigned done = answered_pop(&fl->done, r, n), got = vio_next_reap(l, r + done, n - done);

	for (unsigned i = done; i < done + got; i++) {
		struct fault_req *q = vio_req_scratch(l, r[i]);

		if (q->cut)
			fault_mend(r[i], q);
	}
	return done + got;
}

static void fault_stats(struct vio_backend *b,
			void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
			void *ctx)
{
	struct fault *f = b->priv;

	each(ctx, "fault", "seen", __atomic_load_n(&f->seen, __ATOMIC_RELAXED));
	each(ctx, "fault", "hit", __atomic_load_n(&f->hit, __ATOMIC_RELAXED));
}

const struct vio_backend_type vio__backend_fault = {
	.sz = sizeof(struct vio_backend_type),
	.name = "fault",
	.help = "op=any|read|write|flush|discard|write-zeroes,nth=N,error=EIO|ENOSPC|...|short|delay"
		"[,delay=MS]"
		"[,once=on|off][,percent=N,seed=N]: makes operations fail",
	.flags = VIO_BACKEND_FILTER,
	.priv = sizeof(struct fault),
	.lane_priv = sizeof(struct fault_lane),
	.scratch = sizeof(struct fault_req),
	.open = fault_open,
	.lane_open = fault_lane_open,
	.lane_close = fault_lane_close,
	.submit = fault_submit,
	.reap = fault_reap,
	.stats = fault_stats,
};
