/* SPDX-License-Identifier: MIT */
#include "backend/tap.h"
#include "base/arg.h"

static int tap_open(struct vio_backend *b, const char *arg)
{
	struct tap_args a = { .queues = 1, .vnet = true, .fd = UINT64_MAX };
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &a.name, 0, 0 },
		{ "queues", VIO__ARG_NUM, &a.queues, 1, TAP_QUEUES },
		{ "mtu", VIO__ARG_NUM, &a.mtu, 68, 65521 },
		{ "persist", VIO__ARG_BOOL, &a.persist, 0, 0 },
		{ "vnet", VIO__ARG_BOOL, &a.vnet, 0, 0 },
		{ "fd", VIO__ARG_NUM, &a.fd, 0, INT32_MAX },
	};
	int rc = vio__args("tap", arg, args, VIO_ARRAY_SIZE(args));

	rc = rc ? rc : tap_open_store(b->priv, &a);
	free(a.name);
	return rc;
}

static void tap_close(struct vio_backend *b)
{
	tap_close_store(b->priv);
}

static int tap_info(struct vio_backend *b, struct vio_backend_info *i)
{
	struct tap_store *s = b->priv;

	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->offloads = tap_hdr_offloads(s);
	i->mtu = tap_mtu(s);
	i->pairs = (uint16_t)s->queues;
	i->link_down = !tap_is_up(s);
	return 0;
}

static int tap_lane_open(struct vio_lane *l)
{
	struct tap_lane *tl = l->priv;
	int rc;

	tl->s = l->backend->priv;
	tl->lane = l;
	if (l->pair >= tl->s->queues)
		return vio__fail(EINVAL, "tap: %s has %u queues, pair %u needs one more (queues=N)",
				 tl->s->name, tl->s->queues, l->pair);
	tl->q = &tl->s->queue[l->pair];
	tl->spill = malloc(TAP_SPILL);
	if (!tl->spill)
		return vio__fail(ENOMEM, "tap: out of memory for a lane");
	rc = tap_queue_get(tl->s, tl->q);
	if (!rc && l->recv) {
		rc = tap_recv_open(tl);
		if (rc)
			tap_queue_put(tl->s, tl->q);
	}
	if (rc)
		free(tl->spill);
	return rc;
}

static void tap_lane_close(struct vio_lane *l)
{
	struct tap_lane *tl = l->priv;

	if (l->recv)
		tap_recv_close(tl);
	tap_queue_put(tl->s, tl->q);
	free(tl->spill);
}

static unsigned tap_room(struct vio_lane *l)
{
	const struct tap_lane *tl = l->priv;

	return l->recv ? recv_fifo_room(&tl->recv.fifo) : done_room(&tl->done);
}

static void tap_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct tap_lane *tl = l->priv;

	if (l->recv) {
		tap_recv_submit(tl, r, n);
		return;
	}
	tap_send(tl, r, n);
	done_push(&tl->done, r, n);
}

static unsigned tap_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct tap_lane *tl = l->priv;

	return l->recv ? tap_recv_reap(tl, r, n) : done_pop(&tl->done, r, n);
}

static unsigned tap_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct tap_lane *tl = l->priv;

	return l->recv ? recv_fifo_recall(&tl->recv.fifo, r, n) : 0;
}

static void tap_stats(struct vio_backend *b,
		      void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		      void *ctx)
{
	static const char *const names[TAP_COUNTERS] = {
		[TAP_SENT] = "sent",
		[TAP_SENT_BYTES] = "sent_bytes",
		[TAP_RECEIVED] = "received",
		[TAP_RECEIVED_BYTES] = "received_bytes",
		[TAP_SPILLED] = "spilled",
		[TAP_DROP_FULL] = "dropped_full",
		[TAP_DROP_DOWN] = "dropped_down",
		[TAP_DROP_REFUSED] = "dropped_refused",
		[TAP_DROP_MALFORMED] = "dropped_malformed",
		[TAP_DROP_OFFLOAD] = "dropped_offload",
		[TAP_DROP_TOO_LONG] = "dropped_too_long",
		[TAP_DROP_NO_BUFFER] = "dropped_no_buffer",
	};
	struct tap_store *s = b->priv;

	for (unsigned i = 0; i < TAP_COUNTERS; i++)
		each(ctx, "tap", names[i], __atomic_load_n(&s->count[i], __ATOMIC_RELAXED));
}

const struct vio_backend_type vio__backend_tap = {
	.sz = sizeof(struct vio_backend_type),
	.name = "tap",
	.help = "NAME[,queues=N][,mtu=N][,persist=on|off][,vnet=on|off][,fd=N]: a network interface of the "
		"kernel",
	.priv = sizeof(struct tap_store),
	.lane_priv = sizeof(struct tap_lane),
	.open = tap_open,
	.close = tap_close,
	.info = tap_info,
	.lane_open = tap_lane_open,
	.lane_close = tap_lane_close,
	.room = tap_room,
	.submit = tap_submit,
	.reap = tap_reap,
	.stats = tap_stats,
	.recall = tap_recall,
};
