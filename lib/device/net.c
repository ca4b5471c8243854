/* SPDX-License-Identifier: MIT */
/* The virtio-net device: arguments, config space, queues. */
#include "device/net.h"

#include "base/arg.h"

#include <linux/virtio_ring.h>
#include <stdio.h>

static int net_mac(struct net *n, const char *text)
{
	unsigned b[ETH_ALEN];
	int end = 0;

	if (!text)
		return 0;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) !=
		    ETH_ALEN ||
	    end != 17 || text[end])
		return vio__fail(EINVAL, "net: mac=%s, expected XX:XX:XX:XX:XX:XX", text);
	for (unsigned i = 0; i < ETH_ALEN; i++)
		n->mac[i] = (uint8_t)b[i];
	if (n->mac[0] & 1 || !(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
		return vio__fail(EINVAL, "net: mac=%s is no address of one card: zero, or a group's", text);
	return 0;
}

static int net_args(struct vio_dev *d, const char *arg)
{
	struct net *n = d->priv;
	uint64_t pairs = 1, size = 256, mtu = 0;
	bool packed = true;
	char *mac = NULL;
	const struct vio__arg args[] = {
		{ "pairs", VIO__ARG_NUM, &pairs, 1, NET_PAIRS },
		{ "queue-size", VIO__ARG_NUM, &size, 2, 32768 },
		{ "packed", VIO__ARG_BOOL, &packed, 0, 0 },
		{ "mac", VIO__ARG_TEXT, &mac, 0, 0 },
		{ "mtu", VIO__ARG_NUM, &mtu, 68, 65535 },
		{ "offloads", VIO__ARG_BOOL, &n->offloads, 0, 0 },
		{ "merge", VIO__ARG_BOOL, &n->merge, 0, 0 },
		{ "control", VIO__ARG_BOOL, &n->control, 0, 0 },
		{ "hashes", VIO__ARG_BOOL, &n->hashes, 0, 0 },
	};
	int rc;

	n->offloads = n->merge = n->control = n->hashes = n->link = true;
	rc = vio__args("net", arg, args, VIO_ARRAY_SIZE(args));
	rc = rc ? rc : net_mac(n, mac);
	free(mac);
	if (!rc && !vio__is_pow2(size))
		rc = vio__fail(EINVAL, "net: queue-size=%llu is no power of two", (unsigned long long)size);
	if (!rc && pairs > 1 && !n->control)
		rc = vio__fail(EINVAL, "net: pairs=%llu needs control=on", (unsigned long long)pairs);
	n->pairs = (unsigned)pairs;
	n->mtu = (uint16_t)mtu;
	d->queues = 2 * n->pairs + n->control;
	d->queue_size = (unsigned)size;
	if (!packed)
		d->offered &= ~NET_BIT(VIRTIO_F_RING_PACKED);
	return rc;
}

/* The port's wishes count where the arguments have none. */
static int net_port(struct vio_dev *d)
{
	const uint32_t ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	static const uint8_t none[ETH_ALEN];
	struct net *n = d->priv;
	int rc;

	if (!d->backend)
		return vio__fail(EINVAL, "net: a network device needs a port");
	n->port.sz = sizeof(n->port);
	rc = vio_backend_info(d->backend, &n->port);
	if (rc)
		return rc;
	if ((n->port.ops & ops) != ops)
		return vio__fail(EINVAL,
				 "net: the backend takes no packets, expected a port such as \"tap:NAME\"");
	if (n->pairs > VIO_MAX(n->port.pairs, 1))
		return vio__fail(EINVAL, "net: pairs=%u, but the port has %u", n->pairs,
				 VIO_MAX(n->port.pairs, 1));
	if (!n->offloads)
		n->port.offloads = 0;
	if (!n->mtu)
		n->mtu = n->port.mtu;
	if (!memcmp(n->mac, none, sizeof(none)))
		memcpy(n->mac, n->port.mac, sizeof(n->mac));
	return 0;
}

void vio__net_use(struct vio_dev *d, uint64_t receives, unsigned sends)
{
	struct net *n = d->priv;

	VIO_STORE(&n->receives, receives);
	for (unsigned i = 0; i < n->pairs; i++) {
		vio__vq_pause(d, 2 * i, !(receives >> i & 1));
		vio__vq_pause(d, 2 * i + 1, i >= sends);
	}
}

void vio__net_use_pairs(struct vio_dev *d, unsigned pairs)
{
	vio_backend_steer(d->backend, NULL);
	vio__net_use(d, net_first(pairs), pairs);
}

/* What the driver has said is forgotten. */
static void net_forget(struct vio_dev *d)
{
	struct net *n = d->priv;

	vio__net_accept(d);
	vio__net_hash_reset(d);
	vio__net_filter_reset(&n->filter, n->mac, d->acked & NET_BIT(VIRTIO_NET_F_CTRL_VLAN));
	VIO_STORE(&n->announce, false);
	for (unsigned i = 0; i < n->pairs; i++)
		n->pair[i].recv.rest = 0;
}

/* Of several pairs one is used until the driver says otherwise (5.1.6.5.6), if it can say so. */
static void net_features_set(struct vio_dev *d)
{
	const struct net *n = d->priv;

	net_forget(d);
	vio__net_coal_reset(d);
	vio__net_use_pairs(d, d->acked & NET_BIT(VIRTIO_NET_F_CTRL_VQ) && net_many(d) ? 1 : n->pairs);
}

static int net_init(struct vio_dev *d, const char *arg)
{
	struct net *n = d->priv;
	int rc = net_args(d, arg);

	rc = rc ? rc : net_port(d);
	if (rc)
		return rc;
	vio__net_offer(d);
	n->pair = aligned_alloc(VIO_CACHELINE, n->pairs * sizeof(*n->pair));
	if (!n->pair)
		return vio__fail(ENOMEM, "net: out of memory for %u pairs", n->pairs);
	memset(n->pair, 0, n->pairs * sizeof(*n->pair));
	n->receives = net_first(n->pairs);
	net_forget(d);
	return 0;
}

static void net_fini(struct vio_dev *d)
{
	const struct net *n = d->priv;

	vio_backend_steer(d->backend, NULL); /* the port may have another device after this one */
	free(n->pair);
}

static unsigned net_status(const struct vio_dev *d)
{
	const struct net *n = d->priv;
	bool announce = VIO_LOAD(&n->announce) && d->acked & NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);

	return (n->up ? VIRTIO_NET_S_LINK_UP : 0) | (announce ? VIRTIO_NET_S_ANNOUNCE : 0);
}

/* Whether the port's cable is in is asked here; nothing else of a port changes. */
static void net_config_read(struct vio_dev *d, void *to)
{
	struct net *n = d->priv;
	struct vio_backend_info now = { .sz = sizeof(now) };
	struct virtio_net_config c = { .speed = htole32(UINT32_MAX), .duplex = UINT8_MAX };

	if (d->offered & NET_BIT(VIRTIO_NET_F_HASH_REPORT)) {
		c.rss_max_key_size = NET_HASH_KEY;
		c.supported_hash_types = htole32(NET_HASH_TYPES);
	}
	if (d->offered & NET_BIT(VIRTIO_NET_F_RSS))
		c.rss_max_indirection_table_length = htole16(NET_RSS_TABLE);
	if (!vio_backend_info(d->backend, &now))
		n->port.link_down = now.link_down;
	VIO_STORE(&n->up, n->link && !n->port.link_down);
	filter_mac_bytes(c.mac, VIO_LOAD(&n->filter.mac));
	c.status = htole16((uint16_t)net_status(d));
	c.max_virtqueue_pairs = htole16((uint16_t)n->pairs);
	c.mtu = htole16(n->mtu);
	memcpy(to, &c, sizeof(c));
}

/* A legacy driver sets its address here (5.1.4.3); others have the control queue for that. */
static int net_config_write(struct vio_dev *d, unsigned offset, const void *from, unsigned len)
{
	struct net *n = d->priv;
	uint8_t mac[ETH_ALEN];

	if (offset + len > sizeof(mac) || d->acked & NET_BIT(VIRTIO_F_VERSION_1))
		return vio__fail(EINVAL,
				 "net: config write %u+%u; nothing is writable but a legacy driver's mac",
				 offset, len);
	filter_mac_bytes(mac, VIO_LOAD(&n->filter.mac));
	memcpy(mac + offset, from, len);
	VIO_STORE(&n->filter.mac, filter_mac(mac));
	return 0;
}

static bool net_lane(struct vio_dev *d, unsigned index, struct vio_lane_opts *o)
{
	o->pair = index / 2;
	o->recv = !(index & 1);
	return index != net_control_queue(d) && index < 2 * ((struct net *)d->priv)->pairs;
}

static unsigned net_vhost_user_queues(const struct vio_dev *d)
{
	return ((const struct net *)d->priv)->pairs;
}

/* A queue that has no lane is the control queue, or there is none such for this driver: that answers nothing.
 */
static unsigned net_serve(struct vio_vq *q, struct vio_req **r, unsigned n)
{
	bool control;

	if (VIO_LIKELY(q->lane))
		return q->index & 1 ? vio__net_send(q, r, n) : vio__net_recv(q, r, n);
	control = q->index == net_control_queue(q->dev);
	for (unsigned i = 0; i < n; i++) {
		r[i]->written = 0;
		if (control)
			vio__net_ctrl(q, r[i]);
	}
	return 0;
}

static void net_finish(struct vio_vq *q, struct vio_req **r, unsigned n)
{
	if (!(q->index & 1)) /* what was sent needs no answer: written is 0 */
		vio__net_received(q, r, n);
}

const struct vio_device_type *vio_dev_net(void)
{
	static const struct vio_device_type type = {
		.sz = sizeof(type),
		.name = "net",
		.help = "pairs=N,queue-size=N,packed=on|off,mac=XX:XX:XX:XX:XX:XX,mtu=N,offloads=on|off,"
			"merge=on|off,control=on|off,hashes=on|off: a network card",
		.id = 1,
		.features = NET_BIT(VIRTIO_NET_F_STATUS),
		.priv = sizeof(struct net),
		.config = sizeof(struct virtio_net_config),
		.init = net_init,
		.fini = net_fini,
		.serve = net_serve,
		.finish = net_finish,
		.config_read = net_config_read,
		.config_write = net_config_write,
		.features_set = net_features_set,
		.lane = net_lane,
		.vhost_user_queues = net_vhost_user_queues,
		.queue_flags = VIO_QUEUE_RESUMABLE, /* front ends keep no inflight region for a network card */
	};

	return &type;
}
