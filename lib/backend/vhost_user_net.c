/* SPDX-License-Identifier: MIT */
/* A vhost-user server's network card as a port: arguments, features, and what it is like. */
#include "backend/vhost_user_net.h"

#include "base/arg.h"

#include <endian.h>

#define NET_PLAIN                                                                                            \
	(VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_RING_F_EVENT_IDX) |                                    \
	 VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIO_BIT(VIRTIO_NET_F_MRG_RXBUF) |                            \
	 VIO_BIT(VIRTIO_NET_F_MAC) | VIO_BIT(VIRTIO_NET_F_MTU))
#define NET_PROTOCOL                                                                                         \
	(VIO_BIT(VU_PROTOCOL_F_MQ) | VIO_BIT(VU_PROTOCOL_F_REPLY_ACK) | VIO_BIT(VU_PROTOCOL_F_CONFIG) |      \
	 VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | VIO_BIT(VU_PROTOCOL_F_NET_MTU))

/* What one side of an offload lets us send, and the other lets the server send. */
static const struct net_offload {
	uint8_t send, recv, flags;
} net_offloads[] = {
	{ VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4, VIO_PACKET_TSO4 },
	{ VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIO_PACKET_TSO6 },
	{ VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_GUEST_ECN, VIO_PACKET_ECN },
	{ VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO4, VIO_PACKET_USO4 | VIO_PACKET_USO6 },
	{ VIRTIO_NET_F_HOST_USO, VIRTIO_NET_F_GUEST_USO6, VIO_PACKET_USO4 | VIO_PACKET_USO6 },
};

static int net_args(struct vnet *d, const char *arg)
{
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &d->path, 0, 0 },
		{ "pairs", VIO__ARG_NUM, &d->pairs, 1, VNET_PAIRS },
		{ "queue-size", VIO__ARG_NUM, &d->queue_size, 4, 1024 },
		{ "packed", VIO__ARG_BOOL, &d->packed, 0, 0 },
		{ "mtu", VIO__ARG_NUM, &d->mtu, 68, 65535 },
		{ "offloads", VIO__ARG_BOOL, &d->offloads, 0, 0 },
		{ "reconnect", VIO__ARG_BOOL, &d->reconnect, 0, 0 },
		{ "timeout", VIO__ARG_NUM, &d->timeout_ms, 1, 600000 },
	};
	int rc;

	d->pairs = 1;
	d->queue_size = 256;
	d->timeout_ms = 5000;
	d->offloads = d->reconnect = true;
	rc = vio__args("vhost_user_net", arg, args, VIO_ARRAY_SIZE(args));
	if (rc)
		return rc;
	if (!d->path || !*d->path)
		return vio__fail(EINVAL, "vhost_user_net: the path of the server's socket is missing: "
					 "vhost_user_net:PATH");
	if (!vio__is_pow2(d->queue_size))
		return vio__fail(EINVAL, "vhost_user_net: queue-size=%llu, expected a power of two",
				 (unsigned long long)d->queue_size);
	return 0;
}

static bool net_offers(const struct vnet *d, unsigned feature)
{
	return d->front.offered >> feature & 1;
}

/* Segments need checksums to be left out (virtio 1.3, 5.1.3.1), and to come whole buffers that can be merged.
 */
static void net_segments(struct vnet *d)
{
	const bool recv = vnet_has(d, VIRTIO_NET_F_GUEST_CSUM) && vnet_has(d, VIRTIO_NET_F_MRG_RXBUF);

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(net_offloads); i++) {
		const struct net_offload *o = &net_offloads[i];

		if (!net_offers(d, o->send))
			continue;
		d->takes |= o->flags;
		d->features |= VIO_BIT(o->send);
		if (recv && net_offers(d, o->recv))
			d->features |= VIO_BIT(o->recv);
	}
}

static void net_choose_offloads(struct vnet *d)
{
	if (net_offers(d, VIRTIO_NET_F_GUEST_CSUM)) {
		d->features |= VIO_BIT(VIRTIO_NET_F_GUEST_CSUM);
		d->takes |= VIO_PACKET_CSUM_OK;
	}
	if (net_offers(d, VIRTIO_NET_F_CSUM)) {
		d->features |= VIO_BIT(VIRTIO_NET_F_CSUM);
		d->takes |= VIO_PACKET_CSUM;
		net_segments(d);
	}
}

/* MQ without a control queue: that tells a server to expect several pairs; which of them are used, it hears
 * by SET_VRING_ENABLE. */
static uint64_t net_choose(struct vnet *d)
{
	d->features = d->front.offered & NET_PLAIN;
	d->takes = 0;
	if (d->packed)
		d->features |= VIO_BIT(VIRTIO_F_RING_PACKED);
	if (d->pairs > 1)
		d->features |= d->front.offered & VIO_BIT(VIRTIO_NET_F_MQ);
	if (d->offloads)
		net_choose_offloads(d);
	return d->features;
}

static int net_meet(struct vnet *d)
{
	net_choose(d);
	if (!net_offers(d, VIRTIO_F_VERSION_1))
		return vio__fail(EPROTO, "vhost_user_net: %s: the server offers no VIRTIO_F_VERSION_1",
				 d->path);
	if (d->packed && !net_offers(d, VIRTIO_F_RING_PACKED))
		return vio__fail(ENOTSUP,
				 "vhost_user_net: %s: the server has no packed rings, expected packed=off",
				 d->path);
	return 0;
}

static int net_alloc(struct vnet *d)
{
	size_t bytes = 2 * d->pairs * sizeof(*d->queue);

	d->queue = aligned_alloc(VIO_CACHELINE, bytes);
	if (!d->queue)
		return vio__fail(ENOMEM, "vhost_user_net: out of memory");
	memset(d->queue, 0, bytes);
	return 0;
}

static void net_free(struct vnet *d)
{
	vio__front_close(&d->front);
	vio__vhost_mem_fini(&d->mem);
	free(d->queue);
	free(d->path);
	pthread_mutex_destroy(&d->lock);
}

/* What offers there are decides what is agreed on; so connecting comes first, and then all that is the same
 * when the server comes back. */
static int net_begin(struct vnet *d)
{
	int rc = vio__front_connect(&d->front);

	rc = rc ? rc : net_meet(d);
	rc = rc ? rc : vnet_meet(d);
	d->area_lane = vnet_area_bytes(d);
	rc = rc ? rc : vio__vhost_mem_init(&d->mem, &d->front, d->area_lane * 2 * d->pairs);
	d->up = d->agreed = !rc;
	vio__front_patience(&d->front, true);
	return rc;
}

static int net_open(struct vio_backend *b, const char *arg)
{
	struct vnet *d = b->priv;
	int rc;

	d->front.fd = d->ringing = -1;
	rc = net_args(d, arg);
	if (rc) {
		free(d->path);
		return rc;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->front.who = "vhost_user_net";
	d->front.path = d->path;
	d->front.wants = NET_PROTOCOL;
	d->front.ms = (int)d->timeout_ms;
	rc = net_alloc(d);
	rc = rc ? rc : net_begin(d);
	if (rc)
		net_free(d);
	return rc;
}

static void net_close(struct vio_backend *b)
{
	net_free(b->priv);
}

static int net_info(struct vio_backend *b, struct vio_backend_info *i)
{
	struct vnet *d = b->priv;
	uint16_t mtu;

	pthread_mutex_lock(&d->lock);
	i->link_down = !d->up || vnet_hung_up(d);
	mtu = le16toh(d->config.mtu);
	if (vnet_has(d, VIRTIO_NET_F_MAC) && !(d->config.mac[0] & 1))
		memcpy(i->mac, d->config.mac, sizeof(i->mac));
	pthread_mutex_unlock(&d->lock);
	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->offloads = d->takes;
	i->pairs = (uint16_t)d->pairs;
	i->mtu = d->mtu ? (uint16_t)d->mtu : mtu >= 68 && vnet_has(d, VIRTIO_NET_F_MTU) ? mtu : 0;
	return 0;
}

static unsigned net_room(struct vio_lane *l)
{
	const struct vnet_lane *v = l->priv;

	return l->recv ? recv_fifo_room(&v->recv.fifo) : v->send.nfree;
}

static void net_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct vnet_lane *v = l->priv;

	if (l->recv)
		vnet_recv_submit(v, r, n);
	else
		vnet_send_submit(v, r, n);
}

static unsigned net_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct vnet_lane *v = l->priv;

	return l->recv ? vnet_recv_reap(v, r, n) : vnet_send_reap(v, r, n);
}

static unsigned net_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return l->recv ? vnet_recv_recall(l->priv, r, n) : 0;
}

static void net_stats(struct vio_backend *b,
		      void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		      void *ctx)
{
	static const char *const names[VNET_COUNTERS] = {
		[VNET_SENT] = "sent",
		[VNET_SENT_BYTES] = "sent_bytes",
		[VNET_RECEIVED] = "received",
		[VNET_RECEIVED_BYTES] = "received_bytes",
		[VNET_KICKS] = "kicks",
		[VNET_INTERRUPTS] = "interrupts",
		[VNET_BOUNCED] = "bounced",
		[VNET_BOUNCED_BYTES] = "bounced_bytes",
		[VNET_SUMMED] = "summed",
		[VNET_STARTED] = "started",
		[VNET_DROP_DOWN] = "dropped_down",
		[VNET_DROP_MALFORMED] = "dropped_malformed",
		[VNET_DROP_OFFLOAD] = "dropped_offload",
		[VNET_DROP_TOO_LONG] = "dropped_too_long",
	};
	struct vnet *d = b->priv;

	for (unsigned i = 0; i < VNET_COUNTERS; i++) {
		uint64_t sum = 0;

		for (unsigned q = 0; q < 2 * d->pairs; q++)
			sum += VIO_LOAD(&d->queue[q].count[i]);
		each(ctx, "vhost_user_net", names[i], sum);
	}
}

const struct vio_backend_type vio__backend_vhost_user_net = {
	.sz = sizeof(struct vio_backend_type),
	.name = "vhost_user_net",
	.help = "SOCKET[,pairs=N][,queue-size=N][,packed=on|off][,mtu=N][,offloads=on|off][,reconnect=on|off]"
		"[,timeout=MS]: a vhost-user server's network card",
	.priv = sizeof(struct vnet),
	.lane_priv = sizeof(struct vnet_lane),
	.open = net_open,
	.close = net_close,
	.info = net_info,
	.lane_open = vnet_lane_open,
	.lane_close = vnet_lane_close,
	.room = net_room,
	.submit = net_submit,
	.reap = net_reap,
	.stats = net_stats,
	.recall = net_recall,
};
