/* SPDX-License-Identifier: MIT */
/* sink: a port that nobody is behind. It counts what it is sent and drops it; nothing ever comes. */
#include "backend/backend.h"
#include "backend/done.h"
#include "backend/recv_fifo.h"
#include "base/arg.h"
#include "base/barrier.h"

#define SINK_ROOM 1024u

struct sink {
	uint64_t packets, bytes; /* by all lanes */
};

struct sink_lane {
	struct recv_fifo recvs;
	struct done_stack sent;
};

static int sink_open(struct vio_backend *b, const char *arg)
{
	(void)b;
	return vio__args("sink", arg, NULL, 0);
}

static int sink_info(struct vio_backend *b, struct vio_backend_info *i)
{
	(void)b;
	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->offloads = VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_GSO | VIO_PACKET_ECN;
	i->pairs = UINT16_MAX;
	return 0;
}

static int sink_lane_open(struct vio_lane *l)
{
	struct sink_lane *s = l->priv;

	return l->recv ? recv_fifo_open(&s->recvs, SINK_ROOM, "sink") : 0;
}

static void sink_lane_close(struct vio_lane *l)
{
	struct sink_lane *s = l->priv;

	recv_fifo_close(&s->recvs);
}

static unsigned sink_room(struct vio_lane *l)
{
	const struct sink_lane *s = l->priv;

	return l->recv ? recv_fifo_room(&s->recvs) : done_room(&s->sent);
}

static void sink_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct sink_lane *s = l->priv;
	struct sink *k = l->backend->priv;
	uint64_t bytes = 0;

	if (l->recv) {
		recv_fifo_push(&s->recvs, r, n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		r[i]->res = 0;
		bytes += r[i]->len;
	}
	__atomic_fetch_add(&k->packets, n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&k->bytes, bytes, __ATOMIC_RELAXED);
	done_push(&s->sent, r, n);
}

static unsigned sink_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct sink_lane *s = l->priv;

	return l->recv ? 0 : done_pop(&s->sent, r, n);
}

static unsigned sink_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct sink_lane *s = l->priv;

	return recv_fifo_recall(&s->recvs, r, n);
}

static void sink_stats(struct vio_backend *b,
		       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		       void *ctx)
{
	const struct sink *k = b->priv;

	each(ctx, "sink", "packets", VIO_LOAD(&k->packets));
	each(ctx, "sink", "bytes", VIO_LOAD(&k->bytes));
}

const struct vio_backend_type vio__backend_sink = {
	.sz = sizeof(struct vio_backend_type),
	.name = "sink",
	.help = ": a port that counts and drops packets, and receives none",
	.priv = sizeof(struct sink),
	.lane_priv = sizeof(struct sink_lane),
	.open = sink_open,
	.info = sink_info,
	.lane_open = sink_lane_open,
	.lane_close = sink_lane_close,
	.room = sink_room,
	.submit = sink_submit,
	.reap = sink_reap,
	.recall = sink_recall,
	.stats = sink_stats,
};
