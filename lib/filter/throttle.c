/* SPDX-License-Identifier: MIT */
/*
 * throttle: so many requests and bytes a second. What comes too early waits in its
 * lane, first in, first out; what the lane does not hold waits in the guest's ring.
 *
 * A lane reserves tokens for the first of its waiting requests only, and lanes that
 * wait on one limit take turns: none starves, and a limit that is raised is felt at
 * once by all that is behind the first.
 *
 * READ, WRITE and WRITE_ZEROES count with their bytes, DISCARD and SECURE_ERASE as
 * one request. A FLUSH is free and overtakes: it vouches only for writes that have
 * completed, and those that wait have not.
 */
#include "base/arg.h"
#include "base/base.h"
#include "filter/throttle_group.h"

#include <virtio-offload/impl/backend.h>

#define THROTTLE_BATCH 32u
#define THROTTLE_TURN 4u	   /* requests that a lane lets go at once while others wait too */
#define THROTTLE_LOOK 100000000ull /* ns: how soon a waiting lane sees that limits were changed */

struct throttle {
	struct vio__throttle_group *group;
	uint64_t held; /* requests that had to wait */
};

struct throttle_lane {
	struct vio_reqs held;
	unsigned nheld;
	bool reserved;	  /* the first of held has its tokens */
	bool yielded;	  /* it had its turn; the next one is when the timer fires */
	uint64_t release; /* when they may be used */
	uint64_t changes; /* of the group, when that was so */
	struct vio_timer timer;
	struct vio_lane *lane;
};

VIO_INLINE uint64_t throttle_ops(const struct vio_req *r)
{
	return r->op != VIO_OP_FLUSH;
}

VIO_INLINE uint64_t throttle_bytes(const struct vio_req *r)
{
	return r->op <= VIO_OP_WRITE || r->op == VIO_OP_WRITE_ZEROES ? r->len : 0;
}

static unsigned throttle_room(struct vio_lane *l)
{
	const struct throttle *t = l->backend->priv;
	const struct throttle_lane *tl = l->priv;
	unsigned hold = VIO_LOAD(&t->group->hold);

	if (!tl->nheld)
		return VIO_MIN(vio_next_room(l), hold);
	return hold > tl->nheld ? hold - tl->nheld : 0;
}

/* Takes tokens for the whole batch if it may go at once. Lanes that race here overdraw by a batch, and pay
 * later. */
static bool throttle_at_once(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	const struct throttle *t = l->backend->priv;
	struct vio__throttle_group *g = t->group;
	uint64_t ops = 0, bytes = 0, now;

	if (!VIO_LOAD(&g->iops.rate) && !VIO_LOAD(&g->bps.rate))
		return true;
	if (VIO_LOAD(&g->waiting))
		return false; /* others were first */
	for (unsigned i = 0; i < n; i++) {
		ops += throttle_ops(r[i]);
		if (!vio__add(bytes, throttle_bytes(r[i]), &bytes))
			return false;
	}
	now = vio_poller_now(l->poller);
	if (!vio__limit_ready(&g->iops, ops, now) || !vio__limit_ready(&g->bps, bytes, now))
		return false;
	vio__limit_reserve(&g->iops, ops, now);
	vio__limit_reserve(&g->bps, bytes, now);
	return true;
}

/* May the first go? Otherwise sets the timer for it. */
static bool throttle_first(struct vio_lane *l, const struct vio_req *r, uint64_t now)
{
	const struct throttle *t = l->backend->priv;
	struct throttle_lane *tl = l->priv;
	uint64_t iops, bps, changes = VIO_LOAD_ACQUIRE(&t->group->changes);

	if (!tl->reserved || tl->changes != changes) {
		iops = vio__limit_reserve(&t->group->iops, throttle_ops(r), now);
		bps = vio__limit_reserve(&t->group->bps, throttle_bytes(r), now);
		tl->release = VIO_MAX(iops, bps);
		tl->changes = changes;
		tl->reserved = true;
	}
	if (tl->release <= now)
		return true;
	vio_timer_set(l->poller, &tl->timer, VIO_MIN(tl->release - now, THROTTLE_LOOK));
	return false;
}

static void throttle_push(struct vio_lane *l, struct vio_req *r)
{
	const struct throttle *t = l->backend->priv;
	struct throttle_lane *tl = l->priv;

	vio_reqs_push(&tl->held, r);
	if (!tl->nheld++)
		__atomic_fetch_add(&t->group->waiting, 1, __ATOMIC_RELAXED);
}

static struct vio_req *throttle_pop(struct vio_lane *l)
{
	const struct throttle *t = l->backend->priv;
	struct throttle_lane *tl = l->priv;

	tl->reserved = false;
	if (!--tl->nheld)
		__atomic_fetch_sub(&t->group->waiting, 1, __ATOMIC_RELAXED);
	return vio_reqs_pop(&tl->held);
}

/*
 * Lets go what may. What stays has the timer to wait for, or, without room, what is
 * under way beneath. Where others wait too, the lane comes back for its next turn
 * after they had theirs.
 */
static void throttle_drain(struct vio_lane *l)
{
	const struct throttle *t = l->backend->priv;
	struct throttle_lane *tl = l->priv;
	uint64_t now = vio_poller_now(l->poller);
	struct vio_req *batch[THROTTLE_BATCH];
	unsigned n = 0, room = vio_next_room(l), turn;

	if (tl->yielded)
		return;
	turn = VIO_LOAD(&t->group->waiting) > 1 ? THROTTLE_TURN : THROTTLE_BATCH;
	while (n < VIO_MIN(room, turn) && tl->held.head && throttle_first(l, tl->held.head, now))
		batch[n++] = throttle_pop(l);
	if (n)
		vio_next_submit(l, batch, n);
	if (n == turn && tl->held.head) {
		tl->yielded = true;
		vio_timer_set(l->poller, &tl->timer, 0);
	}
}

static void throttle_hold(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct throttle *t = l->backend->priv;
	struct throttle_lane *tl = l->priv;

	for (unsigned i = 0; i < n; i++) {
		if (r[i]->op == VIO_OP_FLUSH && vio_next_room(l))
			vio_next_submit(l, &r[i], 1);
		else
			throttle_push(l, r[i]);
	}
	throttle_drain(l);
	__atomic_fetch_add(&t->held, VIO_MIN(n, tl->nheld), __ATOMIC_RELAXED);
}

static void throttle_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	const struct throttle_lane *tl = l->priv;

	if (VIO_LIKELY(!tl->nheld) && VIO_LIKELY(throttle_at_once(l, r, n)))
		vio_next_submit(l, r, n);
	else
		throttle_hold(l, r, n);
}

static unsigned throttle_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	const struct throttle_lane *tl = l->priv;

	if (VIO_UNLIKELY(tl->nheld))
		throttle_drain(l);
	return vio_next_reap(l, r, n);
}

static void throttle_fire(struct vio_timer *t)
{
	struct throttle_lane *tl = VIO_CONTAINER(t, struct throttle_lane, timer);

	tl->yielded = false;
	throttle_drain(tl->lane);
	vio_lane_wake(tl->lane);
}

static int throttle_lane_open(struct vio_lane *l)
{
	struct throttle_lane *tl = l->priv;

	tl->timer.fire = throttle_fire;
	tl->lane = l;
	return 0;
}

static void throttle_lane_close(struct vio_lane *l)
{
	struct throttle_lane *tl = l->priv;

	vio_timer_cancel(l->poller, &tl->timer);
}

static int throttle_join(struct vio_backend *b, const char *group, const struct vio_throttle_limits *limits)
{
	struct throttle *t = b->priv;

	t->group = vio__throttle_group_get(b->scope, group);
	if (!t->group)
		return group && !b->scope ? -EINVAL : -ENOMEM;
	if (limits->iops || limits->bps)
		vio__throttle_group_set(t->group, limits);
	return 0;
}

static int throttle_open(struct vio_backend *b, const char *arg)
{
	VIO_OPTS(vio_throttle_limits, limits);
	char *group = NULL;
	const struct vio__arg args[] = {
		{ "iops", VIO__ARG_NUM, &limits.iops, 0, 0 },
		{ "bps", VIO__ARG_SIZE, &limits.bps, 0, 0 },
		{ "iops-burst", VIO__ARG_NUM, &limits.iops_burst, 0, 0 },
		{ "bps-burst", VIO__ARG_SIZE, &limits.bps_burst, 0, 0 },
		{ "group", VIO__ARG_TEXT, &group, 0, 0 },
	};
	int rc = vio__args("throttle", arg, args, VIO_ARRAY_SIZE(args));

	if (!rc)
		rc = throttle_join(b, group, &limits);
	free(group);
	return rc;
}

static void throttle_close(struct vio_backend *b)
{
	const struct throttle *t = b->priv;

	vio__throttle_group_put(b->scope, t->group);
}

static void throttle_stats(struct vio_backend *b,
			   void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
			   void *ctx)
{
	struct throttle *t = b->priv;

	each(ctx, "throttle", "held", __atomic_load_n(&t->held, __ATOMIC_RELAXED));
}

const struct vio_backend_type vio__backend_throttle = {
	.sz = sizeof(struct vio_backend_type),
	.name = "throttle",
	.help = "[iops=N][,bps=SIZE][,iops-burst=N][,bps-burst=SIZE][,group=NAME]: so many requests and "
		"bytes a second; "
		"stacks that name the same group share its limits",
	.flags = VIO_BACKEND_FILTER,
	.priv = sizeof(struct throttle),
	.lane_priv = sizeof(struct throttle_lane),
	.open = throttle_open,
	.close = throttle_close,
	.lane_open = throttle_lane_open,
	.lane_close = throttle_lane_close,
	.room = throttle_room,
	.submit = throttle_submit,
	.reap = throttle_reap,
	.stats = throttle_stats,
};
