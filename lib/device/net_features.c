/* SPDX-License-Identifier: MIT */
/* What a network device offers, and what follows from what of it a driver has accepted. */
#include "device/net.h"

/* What a feature lets through, from the guest and to it; offered if the port takes it. */
static const struct net_feature {
	uint8_t bit, send, recv;
} net_features[] = {
	{ VIRTIO_NET_F_CSUM, VIO_PACKET_CSUM, 0 },
	{ VIRTIO_NET_F_HOST_TSO4, VIO_PACKET_TSO4, 0 },
	{ VIRTIO_NET_F_HOST_TSO6, VIO_PACKET_TSO6, 0 },
	{ VIRTIO_NET_F_HOST_ECN, VIO_PACKET_ECN, 0 },
	{ VIRTIO_NET_F_HOST_USO, VIO_PACKET_USO4 | VIO_PACKET_USO6, 0 },
	{ VIRTIO_NET_F_GUEST_CSUM, 0, VIO_PACKET_CSUM },
	{ VIRTIO_NET_F_GUEST_CSUM, 0, VIO_PACKET_CSUM_OK },
	{ VIRTIO_NET_F_GUEST_TSO4, 0, VIO_PACKET_TSO4 },
	{ VIRTIO_NET_F_GUEST_TSO6, 0, VIO_PACKET_TSO6 },
	{ VIRTIO_NET_F_GUEST_ECN, 0, VIO_PACKET_ECN },
	{ VIRTIO_NET_F_GUEST_USO4, 0, VIO_PACKET_USO4 },
	{ VIRTIO_NET_F_GUEST_USO6, 0, VIO_PACKET_USO6 },
};

static bool net_port_takes(const struct net *n, const struct net_feature *f)
{
	return !((f->send | f->recv) & ~n->port.offloads);
}

/* What comes with a control queue. */
static const uint64_t net_control = NET_BIT(VIRTIO_NET_F_CTRL_VQ) | NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |
				    NET_BIT(VIRTIO_NET_F_CTRL_RX) | NET_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
				    NET_BIT(VIRTIO_NET_F_CTRL_VLAN) | NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
				    NET_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |
				    NET_BIT(VIRTIO_NET_F_NOTF_COAL) | NET_BIT(VIRTIO_NET_F_VQ_NOTF_COAL);

void vio__net_offer(struct vio_dev *d)
{
	static const uint8_t none[ETH_ALEN];
	const struct net *n = d->priv;

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(net_features); i++)
		if (net_port_takes(n, &net_features[i]))
			d->offered |= NET_BIT(net_features[i].bit);
	if (memcmp(n->mac, none, sizeof(none)))
		d->offered |= NET_BIT(VIRTIO_NET_F_MAC);
	if (n->mtu)
		d->offered |= NET_BIT(VIRTIO_NET_F_MTU);
	if (n->merge)
		d->offered |= NET_BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (n->control)
		d->offered |= net_control;
	if (n->control && n->hashes)
		d->offered |= NET_BIT(VIRTIO_NET_F_HASH_REPORT);
	if (n->pairs > 1)
		d->offered |= NET_BIT(VIRTIO_NET_F_MQ);
	if (n->pairs > 1 && n->hashes && n->port.steers >= NET_RSS_TABLE)
		d->offered |= NET_BIT(VIRTIO_NET_F_RSS);
}

/* A segmented frame's checksum is still to be put in (5.1.3.1): without that, no segmentation. */
static uint8_t net_sound(uint8_t takes)
{
	return takes & VIO_PACKET_CSUM ? takes : takes & VIO_PACKET_CSUM_OK;
}

/* Puts into the hot fields what these features let through. */
static void net_apply(struct vio_dev *d, uint64_t features)
{
	struct net *n = d->priv;
	uint8_t send = 0, recv = 0;

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(net_features); i++) {
		const struct net_feature *f = &net_features[i];

		if (features & NET_BIT(f->bit) && net_port_takes(n, f)) {
			send |= f->send;
			recv |= f->recv;
		}
	}
	recv = net_sound(recv);
	if (features & NET_BIT(VIRTIO_NET_F_MRG_RXBUF))
		recv |= VIO_RECV_MERGE;
	VIO_STORE(&n->send_takes, net_sound(send));
	VIO_STORE(&n->recv_takes, recv);
}

static unsigned net_hdr_len(uint64_t features)
{
	const uint64_t long_header = NET_BIT(VIRTIO_F_VERSION_1) | NET_BIT(VIRTIO_NET_F_MRG_RXBUF);

	if (features & NET_BIT(VIRTIO_NET_F_HASH_REPORT))
		return NET_HDR_HASH;
	return features & long_header ? NET_HDR : NET_HDR_LEGACY;
}

void vio__net_accept(struct vio_dev *d)
{
	struct net *n = d->priv;

	n->hdr_len = (uint8_t)net_hdr_len(d->acked);
	net_apply(d, d->acked);
}

/* RECVs that wait at the port say what was on before; so they are taken back, and anew. */
void vio__net_use_offloads(struct vio_dev *d, uint64_t guest_offloads)
{
	const struct net *n = d->priv;

	net_apply(d, d->acked & (~NET_GUEST_OFFLOADS | guest_offloads));
	for (unsigned i = 0; i < n->pairs; i++)
		vio__vq_renew(d, 2 * i);
}
