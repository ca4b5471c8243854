/* SPDX-License-Identifier: MIT */
/*
 * Two guests' cards joined by a cable: cable SOCKET SOCKET. A frame that one sends is copied into a buffer
 * that the other waits with, and nothing of it is looked at: what testpmd does between two net_vhost ports.
 * It polls until SIGTERM.
 */
#include "backend/done.h"
#include "backend/recv_fifo.h"

#include <virtio-offload.h>
#include <virtio-offload/impl/backend.h>

#include <signal.h>
#include <stdio.h>

#define CABLE_RECVS 1024u
#define CABLE_OFFLOADS (VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_GSO | VIO_PACKET_ECN)

struct cable_end {
	struct cable_end *far;
	struct vio_lane *receiver; /* NULL: nobody waits */
	struct recv_fifo recvs;
	struct done_stack sent;
};

static struct cable_end ends[2] = { { .far = &ends[1] }, { .far = &ends[0] } };
static struct vio_poller *poller;
static volatile sig_atomic_t stop;

static struct cable_end *cable_end(const struct vio_lane *l)
{
	return *(struct cable_end **)l->backend->priv;
}

static int cable_open(struct vio_backend *b, const char *arg)
{
	*(struct cable_end **)b->priv = &ends[*arg == 'b'];
	return 0;
}

static int cable_info(struct vio_backend *b, struct vio_backend_info *i)
{
	(void)b;
	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->offloads = CABLE_OFFLOADS;
	i->pairs = 1;
	return 0;
}

static int cable_lane_open(struct vio_lane *l)
{
	struct cable_end *e = cable_end(l);
	int rc = l->recv ? recv_fifo_open(&e->recvs, CABLE_RECVS, "cable") : 0;

	if (l->recv && !rc)
		e->receiver = l;
	return rc;
}

static void cable_lane_close(struct vio_lane *l)
{
	struct cable_end *e = cable_end(l);

	if (!l->recv)
		return;
	e->receiver = NULL;
	recv_fifo_close(&e->recvs);
}

static unsigned cable_room(struct vio_lane *l)
{
	struct cable_end *e = cable_end(l);

	return l->recv ? recv_fifo_room(&e->recvs) : done_room(&e->sent);
}

/* In one piece, as these guests send; a frame that finds no buffer is lost. */
static void cable_send(struct cable_end *to, struct vio_req **r, unsigned n)
{
	bool waits = recv_fifo_ready(&to->recvs);

	for (unsigned i = 0; i < n; i++) {
		if (to->receiver && r[i]->niov == 1)
			recv_fifo_put(&to->recvs, r[i]->iov->iov_base, r[i]->len, r[i]->flags & CABLE_OFFLOADS, &r[i]->offload);
		r[i]->res = 0;
	}
	if (!waits && to->receiver)
		vio_lane_wake(to->receiver);
}

static void cable_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct cable_end *e = cable_end(l);

	if (l->recv) {
		recv_fifo_push(&e->recvs, r, n);
		return;
	}
	cable_send(e->far, r, n);
	done_push(&e->sent, r, n);
}

static unsigned cable_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct cable_end *e = cable_end(l);

	return l->recv ? recv_fifo_reap(&e->recvs, r, n) : done_pop(&e->sent, r, n);
}

static unsigned cable_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return recv_fifo_recall(&cable_end(l)->recvs, r, n);
}

static const struct vio_backend_type cable_type = {
	.sz = sizeof(cable_type),
	.name = "cable",
	.help = "a or b",
	.priv = sizeof(struct cable_end *),
	.open = cable_open,
	.info = cable_info,
	.lane_open = cable_lane_open,
	.lane_close = cable_lane_close,
	.room = cable_room,
	.submit = cable_submit,
	.reap = cable_reap,
	.recall = cable_recall,
};

static void on_signal(int sig)
{
	stop = sig;
	vio_poller_wake(poller);
}

static int plug_in(const char *socket, const char *end)
{
	VIO_OPTS(vio_vhost_user_opts, at, .path = socket);
	struct vio_vhost_user *transport;
	struct vio_backend *b;
	struct vio_dev *card;

	return vio_backend_new(&b, &cable_type, NULL, NULL, end) || vio_dev_new(&card, vio_dev_net(), b, "queue-size=1024") ||
	       vio_vhost_user_new(&transport, poller, card, &at);
}

/* The process's end is the cards' end, too. */
int main(int argc, char **argv)
{
	VIO_OPTS(vio_poller_opts, po, .mode = VIO_POLL_BUSY);

	signal(SIGTERM, on_signal);
	if (argc != 3 || vio_poller_new(&poller, &po) || plug_in(argv[1], "a") || plug_in(argv[2], "b")) {
		fprintf(stderr, "cable: %s\n", argc == 3 ? vio_errmsg() : "expected two sockets");
		return 1;
	}
	while (!stop && vio_poller_wait(poller, -1) >= 0)
		;
	return 0;
}
