/* SPDX-License-Identifier: MIT */
/*
 * What does a packet cost on its way through the network device? As a program runs it: a
 * poller's pass takes from the ring, serves, and submits to a port, then reaps, finishes,
 * gives and flushes. The port copies each packet that the guest sends into a buffer of
 * its own, and fills the guest's receive buffers from others; getting and returning these
 * is timed too. bench/net_peer.c does the same by DPDK's librte_vhost.
 */
#define _GNU_SOURCE
#include "net_stub.h"

#include "backend/done.h"
#include "backend/recv_fifo.h"

#include <virtio-offload.h>
#include <virtio-offload/impl/backend.h>

#define PORT_BUFFERS 64u
#define PORT_RECVS 1024u

struct port_buffer {
	unsigned len;
	char bytes[NET_STRIDE - sizeof(unsigned)];
};

/* Buffers, and packets of the burst under way: those that came from the guest, or those that go there. */
struct port {
	struct port_buffer *free[PORT_BUFFERS];
	unsigned nfree;
	struct port_buffer *packet[NET_BURST];
	unsigned n;
	struct port_buffer memory[PORT_BUFFERS];
};

struct port_lane {
	struct recv_fifo recvs;
	struct done_stack sent;
};

/* n more packets, whose contents come later. */
static struct port_buffer **port_get(struct port *p, unsigned n)
{
	struct port_buffer **packet = p->packet + p->n;

	p->nfree -= n;
	memcpy(packet, p->free + p->nfree, n * sizeof(*packet));
	p->n += n;
	return packet;
}

/* The n oldest are done with. */
static void port_return(struct port *p, unsigned n)
{
	memcpy(p->free + p->nfree, p->packet, n * sizeof(*p->packet));
	p->nfree += n;
	p->n -= n;
	memmove(p->packet, p->packet + n, p->n * sizeof(*p->packet));
}

static int port_open(struct vio_backend *b, const char *arg)
{
	struct port *p = b->priv;

	(void)arg;
	for (unsigned i = 0; i < PORT_BUFFERS; i++)
		p->free[p->nfree++] = &p->memory[i];
	return 0;
}

static int port_info(struct vio_backend *b, struct vio_backend_info *i)
{
	(void)b;
	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->pairs = 1;
	return 0;
}

static int port_lane_open(struct vio_lane *l)
{
	struct port_lane *pl = l->priv;

	return l->recv ? recv_fifo_open(&pl->recvs, PORT_RECVS, "bench") : 0;
}

static void port_lane_close(struct vio_lane *l)
{
	recv_fifo_close(&((struct port_lane *)l->priv)->recvs);
}

static unsigned port_room(struct vio_lane *l)
{
	const struct port_lane *pl = l->priv;

	return l->recv ? recv_fifo_room(&pl->recvs) : done_room(&pl->sent);
}

/* In as many pieces as the guest likes. */
static void port_gather(struct port_buffer *b, const struct vio_req *r)
{
	for (unsigned i = 0; i < r->niov; i++) {
		memcpy(b->bytes + b->len, r->iov[i].iov_base, r->iov[i].iov_len);
		b->len += (unsigned)r->iov[i].iov_len;
	}
}

static void port_send(struct port_buffer *b, const struct vio_req *r)
{
	b->len = 0;
	if (VIO_UNLIKELY(r->len > sizeof(b->bytes)))
		return;
	if (VIO_UNLIKELY(r->niov != 1)) {
		port_gather(b, r);
		return;
	}
	b->len = (unsigned)r->len;
	memcpy(b->bytes, r->iov->iov_base, r->len);
}

static void port_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct port_lane *pl = l->priv;
	struct port_buffer **packet;
	struct port *p = l->backend->priv;

	if (l->recv) {
		recv_fifo_push(&pl->recvs, r, n);
		return;
	}
	packet = port_get(p, n);
	for (unsigned i = 0; i < n; i++) {
		port_send(packet[i], r[i]);
		r[i]->res = 0;
	}
	done_push(&pl->sent, r, n);
}

static void port_deliver(struct port *p, struct recv_fifo *f)
{
	unsigned done = 0;

	while (done < p->n && recv_fifo_put(f, p->packet[done]->bytes, p->packet[done]->len, 0, NULL) > 0)
		done++;
	port_return(p, done);
}

static unsigned port_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct port_lane *pl = l->priv;
	struct port *p = l->backend->priv;

	if (!l->recv)
		return done_pop(&pl->sent, r, n);
	if (p->n)
		port_deliver(p, &pl->recvs);
	return recv_fifo_reap(&pl->recvs, r, n);
}

static unsigned port_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return recv_fifo_recall(&((struct port_lane *)l->priv)->recvs, r, n);
}

static const struct vio_backend_type port_type = {
	.sz = sizeof(port_type),
	.name = "bench",
	.help = "",
	.priv = sizeof(struct port),
	.lane_priv = sizeof(struct port_lane),
	.open = port_open,
	.info = port_info,
	.lane_open = port_lane_open,
	.lane_close = port_lane_close,
	.room = port_room,
	.submit = port_submit,
	.reap = port_reap,
	.recall = port_recall,
};

struct ours {
	struct net_stub *s;
	struct vio_poller *poller;
	struct vio_backend *backend;
	struct vio_dev *dev;
	struct vio_mem *mem;
	struct port *port;
	bool turned; /* a start or stop has been answered */
};

static void check(int rc)
{
	if (rc < 0)
		net_die(vio_errmsg());
}

static void ours_pass(struct ours *o)
{
	check(vio_poller_run(o->poller, NET_BURST));
}

static uint64_t ours_deq(void *ctx)
{
	struct ours *o = ctx;
	uint64_t start = net_now();

	ours_pass(o);
	start = net_now() - start;
	if (o->port->n != NET_BURST)
		net_die("the port got too few");
	return start;
}

static const char *ours_frame(void *ctx, unsigned i, unsigned *len)
{
	const struct port_buffer *b = ((struct ours *)ctx)->port->packet[i];

	*len = b->len;
	return b->bytes;
}

static uint64_t ours_release(void *ctx)
{
	struct port *p = ((struct ours *)ctx)->port;
	uint64_t start = net_now();

	port_return(p, NET_BURST);
	return net_now() - start;
}

static uint64_t ours_alloc(void *ctx, unsigned len)
{
	struct port *p = ((struct ours *)ctx)->port;
	uint64_t start = net_now();

	port_get(p, NET_BURST);
	for (unsigned i = 0; i < NET_BURST; i++)
		p->packet[i]->len = len;
	return net_now() - start;
}

static char *ours_room(void *ctx, unsigned i)
{
	return ((struct ours *)ctx)->port->packet[i]->bytes;
}

static uint64_t ours_enq(void *ctx)
{
	struct ours *o = ctx;
	uint64_t start = net_now();

	ours_pass(o);
	start = net_now() - start;
	if (o->port->n)
		net_die("the port could not get rid of all");
	return start;
}

static void ours_started(void *ctx, int err, const char *sentence)
{
	if (err)
		net_die(sentence);
	((struct ours *)ctx)->turned = true;
}

static void ours_stopped(void *ctx, int err, const struct vio_queue_state *state)
{
	(void)err, (void)state;
	((struct ours *)ctx)->turned = true;
}

static void ours_wait(struct ours *o)
{
	while (!o->turned)
		ours_pass(o);
	o->turned = false;
}

/* Only the queue that is measured: the peer looks at one, too. */
static void ours_start(struct ours *o)
{
	const struct vio_mem_region region = { .guest = NET_GUEST, .size = NET_MEM, .fd = o->s->memfd };
	const unsigned queue = net_queue(o->s);
	VIO_OPTS(vio_poller_opts, po, .mode = VIO_POLL_BUSY);
	VIO_OPTS(vio_vq_opts, vo, .size = NET_SIZE, .desc = NET_GUEST + NET_DESC(queue),
		 .driver = NET_GUEST + NET_DRIVER(queue), .device = NET_GUEST + NET_DEVICE(queue),
		 .kick_fd = -1, .call_fd = -1);

	check(vio_poller_new(&o->poller, &po));
	check(vio_backend_new(&o->backend, &port_type, NULL, NULL, NULL));
	check(vio_dev_new(&o->dev, vio_dev_net(), o->backend, NULL));
	check(vio_dev_set_features(o->dev,
				   NET_FEATURES | (o->s->packed ? VIO_BIT(VIRTIO_F_RING_PACKED) : 0)));
	check(vio_mem_new(&o->mem, &region, 1, NULL));
	vo.mem = o->mem;
	o->port = o->backend->priv;
	vio_vq_start(o->dev, queue, o->poller, &vo, o->poller, ours_started, o);
	ours_wait(o);
}

static void ours_stop(struct ours *o)
{
	vio_vq_stop(o->dev, net_queue(o->s), o->poller, ours_stopped, o);
	ours_wait(o);
	vio_dev_free(o->dev);
	vio_backend_free(o->backend);
	vio_mem_free(o->mem);
	vio_poller_free(o->poller);
}

int main(int argc, char **argv)
{
	static const struct net_side side = { ours_deq,	  ours_frame, ours_release,
					      ours_alloc, ours_room,  ours_enq };
	struct ours o = { .s = net_stub_new(argc, argv) };

	ours_start(&o);
	net_measure(o.s, &side, &o);
	ours_stop(&o);
	net_stub_free(o.s);
	return 0;
}
