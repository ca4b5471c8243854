/* SPDX-License-Identifier: MIT */
/* A port as a backend: its lanes take SENDs into the switch and RECVs for what comes out of it. */
#include "switch/steer.h"
#include "switch/thread.h"

#define LANE_BATCH 32u

struct lane_backend {
	struct vio_switch_port *port;
};

static struct vio_switch_port **lane_port(struct vio_backend *b)
{
	return &((struct lane_backend *)b->priv)->port;
}

int sw_backend_new(struct vio_switch_port *p)
{
	int rc = vio_backend_new(&p->backend, &sw_backend_type, NULL, NULL, NULL);

	if (!rc)
		*lane_port(p->backend) = p;
	return rc;
}

static int lane_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct vio_switch_port *p = *lane_port(b);

	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->offloads = VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_GSO | VIO_PACKET_ECN;
	i->pairs = SW_PAIRS;
	i->steers = STEER_TABLE;
	i->link_down = sw_port_down(p);
	return 0;
}

static int lane_open(struct vio_lane *l)
{
	struct vio_switch_port *p = *lane_port(l->backend);
	struct sw_lane *lane = l->priv;
	int rc = 0;

	lane->l = l;
	lane->port = p;
	if (l->recv)
		rc = recv_fifo_open(&lane->fifo, SW_LANE, "switch");
	pthread_mutex_lock(&p->sw->lock);
	rc = rc ? rc : sw_thread_get(&lane->thread, p->sw, l->poller);
	if (!rc) {
		rc = sw_port_add_lane(p, lane);
		if (rc)
			sw_thread_put(lane->thread);
	}
	pthread_mutex_unlock(&p->sw->lock);
	if (rc)
		recv_fifo_close(&lane->fifo);
	return rc;
}

static void lane_close(struct vio_lane *l)
{
	struct sw_lane *lane = l->priv;
	struct vio_switch *sw = lane->port->sw;

	pthread_mutex_lock(&sw->lock);
	sw_port_del_lane(lane->port, lane);
	sw_thread_put(lane->thread);
	pthread_mutex_unlock(&sw->lock);
	recv_fifo_close(&lane->fifo);
}

static unsigned lane_room(struct vio_lane *l)
{
	struct sw_lane *lane = l->priv;

	return l->recv ? recv_fifo_room(&lane->fifo) : SW_LANE - lane->held;
}

static void lane_finish(struct sw_lane *lane, struct vio_req *r)
{
	r->res = 0;
	if (!lane->done)
		vio_lane_wake(lane->l);
	lane->finished[lane->done++] = r;
}

static struct sw_send *lane_send_scratch(const struct sw_lane *lane, struct vio_req *r)
{
	return vio_req_scratch(lane->l, r);
}

void sw_lane_away(struct sw_lane *lane, struct vio_req *r)
{
	lane_send_scratch(lane, r)->away++;
}

void sw_lane_back(struct sw_lane *lane, struct vio_req *r, int why)
{
	if (why >= 0)
		sw_count(&lane->counts.dropped[why], 1);
	if (!--lane_send_scratch(lane, r)->away)
		lane_finish(lane, r);
}

/* First pass over a batch: each frame's head is read, and its decision called for. */
static void lane_look(struct sw_lane *lane, struct sw_frame *f, struct vio_req *r)
{
	f->r = r;
	f->from = lane;
	f->hash = 0;
	f->len = (uint32_t)VIO_MIN(r->len, UINT32_MAX);
	lane_send_scratch(lane, r)->away = 0;
	sw_forward_look(lane->thread, f);
}

/* Second pass: it goes where it has to. */
static void lane_send(struct sw_lane *lane, struct sw_frame *f, uint64_t now)
{
	int why = sw_forward(lane->thread, f, now);

	if (why >= 0)
		sw_count(&lane->counts.dropped[why], 1);
	if (!lane_send_scratch(lane, f->r)->away)
		lane_finish(lane, f->r);
}

static void lane_send_batch(struct sw_lane *lane, struct vio_req **r, unsigned n, uint64_t now)
{
	struct sw_frame f[LANE_BATCH];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(r[i]->niov ? r[i]->iov[0].iov_base : NULL);
	for (unsigned i = 0; i < n; i++) {
		lane_look(lane, &f[i], r[i]);
		bytes += f[i].len;
	}
	sw_count(&lane->counts.sent, n);
	sw_count(&lane->counts.sent_bytes, bytes);
	for (unsigned i = 0; i < n; i++)
		lane_send(lane, &f[i], now);
}

static void lane_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct sw_lane *lane = l->priv;
	uint64_t now;

	if (l->recv) {
		recv_fifo_push(&lane->fifo, r, n);
		VIO_STORE(&lane->live, true);
		return;
	}
	now = vio_poller_now(l->poller);
	lane->held += n;
	sw_enter(lane->thread);
	for (unsigned i = 0; i < n; i += LANE_BATCH)
		lane_send_batch(lane, r + i, VIO_MIN(n - i, LANE_BATCH), now);
	sw_flush_parcels(lane->thread);
	sw_leave(lane->thread);
}

static unsigned lane_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct sw_lane *lane = l->priv;

	if (l->recv)
		return recv_fifo_reap(&lane->fifo, r, n);
	if (!lane->done)
		sw_collect(lane->thread);
	n = VIO_MIN(n, lane->done);
	lane->done -= n;
	lane->held -= n;
	memcpy(r, lane->finished + lane->done, n * sizeof(*r));
	return n;
}

static unsigned lane_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct sw_lane *lane = l->priv;

	n = l->recv ? recv_fifo_recall(&lane->fifo, r, n) : 0;
	if (!recv_fifo_waiting(&lane->fifo))
		VIO_STORE(&lane->live, false);
	return n;
}

static int lane_steer(struct vio_backend *b, const struct vio_steer *to)
{
	struct vio_switch_port *p = *lane_port(b);
	int rc;

	pthread_mutex_lock(&p->sw->lock);
	rc = sw_port_steer(p, to);
	pthread_mutex_unlock(&p->sw->lock);
	return rc;
}

static void lane_stats(struct vio_backend *b,
		       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		       void *ctx)
{
	struct vio_switch_port_stats s = { .sz = sizeof(s) };

	vio_switch_port_stats(*lane_port(b), &s);
	each(ctx, "switch", "sent", s.sent);
	each(ctx, "switch", "delivered", s.delivered);
	for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
		each(ctx, "switch", vio_switch_drop_name(i), s.dropped[i]);
}

const struct vio_backend_type sw_backend_type = {
	.sz = sizeof(struct vio_backend_type),
	.name = "switch",
	.help = "a port of a switch",
	.priv = sizeof(struct lane_backend),
	.lane_priv = sizeof(struct sw_lane),
	.scratch = sizeof(struct sw_send),
	.info = lane_info,
	.lane_open = lane_open,
	.lane_close = lane_close,
	.room = lane_room,
	.submit = lane_submit,
	.reap = lane_reap,
	.stats = lane_stats,
	.recall = lane_recall,
	.steer = lane_steer,
};
