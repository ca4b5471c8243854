/* SPDX-License-Identifier: MIT */
#include "backend/xsk.h"
#include "base/arg.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int xsk_mode(struct xsk_store *s, const char *mode)
{
	static const struct {
		const char *name;
		uint16_t bind;
	} modes[] = { { "auto", 0 }, { "copy", XDP_COPY }, { "zerocopy", XDP_ZEROCOPY } };

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(modes); i++) {
		if (mode && strcmp(mode, modes[i].name))
			continue;
		s->bind = modes[i].bind;
		return 0;
	}
	return vio__fail(EINVAL, "xsk: mode=%s, expected auto, copy or zerocopy", mode);
}

static int xsk_interface(struct xsk_store *s, const char *name)
{
	if (!name || !*name || strlen(name) >= sizeof(s->name))
		return vio__fail(EINVAL, "xsk: expected an interface's name of 1 to 15 characters first");
	strcpy(s->name, name);
	s->index = if_nametoindex(name);
	return s->index ? 0 : vio__fail(ENODEV, "xsk: there is no interface %s", name);
}

static int xsk_pairs(struct xsk_store *s, const struct xsk_args *a)
{
	s->pairs = (unsigned)a->queues;
	s->pair = calloc(s->pairs, sizeof(*s->pair));
	s->ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!s->pair || s->ctl < 0)
		return vio__fail(s->pair ? errno : ENOMEM, "xsk: %s: %s", s->name,
				 s->pair ? strerror(errno) : "out of memory");
	for (unsigned i = 0; i < s->pairs; i++)
		s->pair[i] = (struct xsk_pair){
			.s = s, .queue = (unsigned)a->queue + i, .fd = -1, .ring = (uint32_t)a->ring
		};
	return xsk_prog_open(s, (unsigned)(a->queue + a->queues));
}

static void xsk_close_store(struct xsk_store *s)
{
	if (s->ctl >= 0)
		close(s->ctl);
	free(s->pair);
	pthread_mutex_destroy(&s->lock);
}

static int xsk_open_store(struct xsk_store *s, const struct xsk_args *a)
{
	int rc;

	pthread_mutex_init(&s->lock, NULL);
	s->ctl = -1;
	s->pin = a->pin;
	s->busy_poll = (int)a->busy_poll;
	rc = xsk_mode(s, a->mode);
	rc = rc ? rc : xsk_interface(s, a->name);
	if (!rc && !vio__is_pow2(a->ring))
		rc = vio__fail(EINVAL, "xsk: ring=%u, expected a power of two", (unsigned)a->ring);
	rc = rc ? rc : xsk_pairs(s, a);
	if (rc)
		xsk_close_store(s);
	return rc;
}

static int xsk_open(struct vio_backend *b, const char *arg)
{
	struct xsk_args a = { .queues = 1, .ring = 2048, .pin = true };
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &a.name, 0, 0 },
		{ "queue", VIO__ARG_NUM, &a.queue, 0, 4095 },
		{ "queues", VIO__ARG_NUM, &a.queues, 1, 256 },
		{ "mode", VIO__ARG_TEXT, &a.mode, 0, 0 },
		{ "ring", VIO__ARG_NUM, &a.ring, 64, XSK_RING_MAX },
		{ "pin", VIO__ARG_BOOL, &a.pin, 0, 0 },
		{ "busy-poll", VIO__ARG_NUM, &a.busy_poll, 0, 10000 },
	};
	int rc = vio__args("xsk", arg, args, VIO_ARRAY_SIZE(args));

	rc = rc ? rc : xsk_open_store(b->priv, &a);
	free(a.name);
	free(a.mode);
	return rc;
}

static void xsk_close(struct vio_backend *b)
{
	xsk_prog_close(b->priv);
	xsk_close_store(b->priv);
}

/* Its name may be another interface's by now. */
static bool xsk_ask(const struct xsk_store *s, unsigned long what, struct ifreq *q)
{
	memset(q, 0, sizeof(*q));
	strcpy(q->ifr_name, s->name);
	if (ioctl(s->ctl, SIOCGIFINDEX, q) || q->ifr_ifindex != (int)s->index)
		return false;
	return !ioctl(s->ctl, what, q);
}

static int xsk_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct xsk_store *s = b->priv;
	const unsigned most = XSK_CHUNK - XSK_HEADROOM - RECV_FRAME_MIN - 4 /* a VLAN tag */;
	struct ifreq q;

	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->pairs = (uint16_t)s->pairs;
	i->link_down = !xsk_ask(s, SIOCGIFFLAGS, &q) || ~q.ifr_flags & (IFF_UP | IFF_RUNNING);
	i->mtu = (uint16_t)(xsk_ask(s, SIOCGIFMTU, &q) ? VIO_MIN((unsigned)q.ifr_mtu, most) : most);
	return 0;
}

static struct xsk_pair *xsk_pair_of(const struct vio_lane *l)
{
	return *(struct xsk_pair **)l->priv;
}

static int xsk_lane_start(struct xsk_pair *p, struct vio_lane *l)
{
	int rc;

	if (l->recv ? p->recv : p->send)
		return vio__fail(EBUSY, "xsk: %s queue %u has its %s lane already", p->s->name, p->queue,
				 l->recv ? "receiving" : "sending");
	rc = p->fd < 0 ? xsk_pair_open(p, l->mem) : 0;
	if (rc)
		return rc;
	if (l->recv)
		rc = xsk_recv_open(p, l);
	else
		xsk_send_open(p, l);
	if (rc && !p->send)
		xsk_pair_close(p);
	return rc;
}

static int xsk_lane_open(struct vio_lane *l)
{
	struct xsk_store *s = l->backend->priv;
	int rc;

	if (l->pair >= s->pairs)
		return vio__fail(EINVAL, "xsk: %s has %u queues here, pair %u needs one more (queues=N)",
				 s->name, s->pairs, l->pair);
	*(struct xsk_pair **)l->priv = &s->pair[l->pair];
	pthread_mutex_lock(&s->lock);
	rc = xsk_lane_start(&s->pair[l->pair], l);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static void xsk_lane_close(struct vio_lane *l)
{
	struct xsk_pair *p = xsk_pair_of(l);

	pthread_mutex_lock(&p->s->lock);
	if (l->recv)
		xsk_recv_close(p);
	else
		xsk_send_close(p);
	if (!p->send && !p->recv)
		xsk_pair_close(p);
	pthread_mutex_unlock(&p->s->lock);
}

static unsigned xsk_room(struct vio_lane *l)
{
	const struct xsk_pair *p = xsk_pair_of(l);

	/* A SEND that finds no frame is dropped. */
	return l->recv ? recv_fifo_room(&p->fifo) : p->ring;
}

static void xsk_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	if (l->recv)
		xsk_recv_submit(xsk_pair_of(l), r, n);
	else
		xsk_send_submit(xsk_pair_of(l), r, n);
}

static unsigned xsk_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return l->recv ? xsk_recv_reap(xsk_pair_of(l), r, n) : xsk_send_reap(xsk_pair_of(l), r, n);
}

static unsigned xsk_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return l->recv ? recv_fifo_recall(&xsk_pair_of(l)->fifo, r, n) : 0;
}

/* What the kernel's end of the open sockets counted. */
static void xsk_kernel_stats(struct xsk_store *s, struct xdp_statistics *sum)
{
	memset(sum, 0, sizeof(*sum));
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < s->pairs; i++) {
		struct xdp_statistics k = { 0 };
		socklen_t size = sizeof(k);

		if (s->pair[i].fd < 0 || getsockopt(s->pair[i].fd, SOL_XDP, XDP_STATISTICS, &k, &size))
			continue;
		sum->rx_dropped += k.rx_dropped + k.rx_ring_full + k.rx_fill_ring_empty_descs;
		sum->tx_invalid_descs += k.tx_invalid_descs + k.rx_invalid_descs;
	}
	pthread_mutex_unlock(&s->lock);
}

static void xsk_stats(struct vio_backend *b,
		      void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		      void *ctx)
{
	static const char *const names[XSK_COUNTERS] = {
		[XSK_SENT] = "sent",
		[XSK_SENT_BYTES] = "sent_bytes",
		[XSK_RECEIVED] = "received",
		[XSK_RECEIVED_BYTES] = "received_bytes",
		[XSK_COPIES] = "copies",
		[XSK_ZERO_COPY] = "zero_copy",
		[XSK_KICKS] = "kicks",
		[XSK_DROP_FULL] = "dropped_full",
		[XSK_DROP_DOWN] = "dropped_down",
		[XSK_DROP_TOO_LONG] = "dropped_too_long",
		[XSK_DROP_NO_BUFFER] = "dropped_no_buffer",
		[XSK_DROP_MALFORMED] = "dropped_malformed",
		[XSK_BAD_RING] = "bad_ring_entries",
	};
	struct xsk_store *s = b->priv;
	struct xdp_statistics kernel;

	for (unsigned i = 0; i < XSK_COUNTERS; i++)
		each(ctx, "xsk", names[i], VIO_LOAD(&s->count[i]));
	xsk_kernel_stats(s, &kernel);
	each(ctx, "xsk", "kernel_dropped", kernel.rx_dropped);
	each(ctx, "xsk", "kernel_refused", kernel.tx_invalid_descs);
}

const struct vio_backend_type vio__backend_xsk = {
	.sz = sizeof(struct vio_backend_type),
	.name = "xsk",
	.help = "IFNAME[,queue=N][,queues=N][,mode=auto|copy|zerocopy][,ring=N][,pin=on|off][,busy-poll=N]: "
		"queues of a "
		"network "
		"interface by AF_XDP",
	.priv = sizeof(struct xsk_store),
	.lane_priv = sizeof(struct xsk_pair *),
	.open = xsk_open,
	.close = xsk_close,
	.info = xsk_info,
	.lane_open = xsk_lane_open,
	.lane_close = xsk_lane_close,
	.room = xsk_room,
	.submit = xsk_submit,
	.reap = xsk_reap,
	.stats = xsk_stats,
	.recall = xsk_recall,
};
