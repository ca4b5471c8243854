/* SPDX-License-Identifier: MIT */
/*
 * The control queue's commands (virtio 1.3, 5.1.6.5). A command is gathered into one copy,
 * whatever descriptors it came in, and must be of the length that it says itself. One that
 * is unknown, belongs to a feature that was not negotiated, or makes no sense changes
 * nothing and is answered with VIRTIO_NET_ERR.
 */
#include "device/net.h"

#include "packet/packet.h"

#define CTRL_BYTES 8192u     /* longest command: MAC tables of 1,363 addresses in all */
#define CTRL_SAYS UINT16_MAX /* as ctrl_command.len: the command says itself */

struct ctrl_command {
	uint8_t class, command;
	uint8_t feature; /* that it needs */
	uint16_t len;	 /* of its data */
	/* NULL: the one command that asks; its answer has NET_COAL_RESULT bytes in front of the ack. */
	bool (*run)(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len);
};

static uint16_t ctrl_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t ctrl_le32(const uint8_t *p)
{
	return ctrl_le16(p) | (uint32_t)ctrl_le16(p + 2) << 16;
}

static bool ctrl_rx(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct net *n = d->priv;

	(void)len;
	if (data[0] > 1)
		return false;
	vio__net_filter_mode(&n->filter, FILTER_PROMISC << command, data[0]);
	return true;
}

/* One table from *at: a count, then so many addresses. False: it is longer than the command. */
static bool ctrl_table(const uint8_t **at, unsigned *left, const uint8_t **macs, uint32_t *n)
{
	if (*left < 4)
		return false;
	*n = ctrl_le32(*at);
	*macs = *at + 4;
	*left -= 4;
	if (*n > *left / ETH_ALEN)
		return false;
	*at = *macs + *n * ETH_ALEN;
	*left -= *n * ETH_ALEN;
	return true;
}

static bool ctrl_mac_table(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct net *n = d->priv;
	const uint8_t *macs[FILTER_KINDS];
	uint32_t count[FILTER_KINDS];

	(void)command;
	for (unsigned k = 0; k < FILTER_KINDS; k++)
		if (!ctrl_table(&data, &len, &macs[k], &count[k]))
			return false;
	if (len)
		return false;
	vio__net_filter_macs(&n->filter, macs, count);
	return true;
}

/* As net_config_read shows it, too. */
static bool ctrl_mac_address(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct net *n = d->priv;
	uint64_t mac = filter_mac(data);

	(void)command;
	(void)len;
	if (data[0] & 1 || !mac)
		return false; /* a group's, or none */
	VIO_STORE(&n->filter.mac, mac);
	return true;
}

static bool ctrl_vlan(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct net *n = d->priv;
	uint16_t vlan = ctrl_le16(data);

	(void)len;
	if (vlan >= FILTER_VLANS)
		return false;
	vio__net_filter_vlan(&n->filter, vlan, command == VIRTIO_NET_CTRL_VLAN_ADD);
	return true;
}

static bool ctrl_announced(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct net *n = d->priv;

	(void)command;
	(void)data;
	(void)len;
	VIO_STORE(&n->announce, false);
	return true;
}

static bool ctrl_pairs(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	const struct net *n = d->priv;
	uint16_t pairs = ctrl_le16(data);

	(void)command;
	(void)len;
	if (!pairs || pairs > n->pairs)
		return false;
	vio__net_use_pairs(d, pairs);
	return true;
}

/* A set of the VIRTIO_NET_F_GUEST_* that were negotiated: what else is not to be delivered from now on. */
static bool ctrl_offloads(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	uint64_t wanted = ctrl_le32(data) | (uint64_t)ctrl_le32(data + 4) << 32;

	(void)command;
	(void)len;
	if (wanted & ~(d->acked & NET_GUEST_OFFLOADS))
		return false;
	vio__net_use_offloads(d, wanted);
	return true;
}

static const struct ctrl_command ctrl_commands[] = {
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, 1, ctrl_rx },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX, 1, ctrl_rx },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, ctrl_rx },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, ctrl_rx },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOUNI, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, ctrl_rx },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, VIRTIO_NET_F_CTRL_RX_EXTRA, 1, ctrl_rx },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX, CTRL_SAYS,
	  ctrl_mac_table },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR, 6,
	  ctrl_mac_address },
	{ VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_F_CTRL_VLAN, 2, ctrl_vlan },
	{ VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, VIRTIO_NET_F_CTRL_VLAN, 2, ctrl_vlan },
	{ VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_F_GUEST_ANNOUNCE, 0,
	  ctrl_announced },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ, 2, ctrl_pairs },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, VIRTIO_NET_F_RSS, CTRL_SAYS, vio__net_rss_set },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, VIRTIO_NET_F_HASH_REPORT, CTRL_SAYS,
	  vio__net_hash_set },
	{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
	  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, 8, ctrl_offloads },
	{ VIO_NET_CTRL_NOTF_COAL, VIO_NET_CTRL_NOTF_COAL_TX_SET, VIRTIO_NET_F_NOTF_COAL, 8,
	  vio__net_coal_all },
	{ VIO_NET_CTRL_NOTF_COAL, VIO_NET_CTRL_NOTF_COAL_RX_SET, VIRTIO_NET_F_NOTF_COAL, 8,
	  vio__net_coal_all },
	{ VIO_NET_CTRL_NOTF_COAL, VIO_NET_CTRL_NOTF_COAL_VQ_SET, VIRTIO_NET_F_VQ_NOTF_COAL, 12,
	  vio__net_coal_one },
	{ VIO_NET_CTRL_NOTF_COAL, VIO_NET_CTRL_NOTF_COAL_VQ_GET, VIRTIO_NET_F_VQ_NOTF_COAL, 4, NULL },
};

/* The one that bytes are, if it was negotiated and has its length. */
static const struct ctrl_command *ctrl_find(const struct vio_dev *d, const uint8_t *bytes, unsigned len)
{
	struct virtio_net_ctrl_hdr h;

	if (len < sizeof(h) || len > CTRL_BYTES)
		return NULL;
	memcpy(&h, bytes, sizeof(h));
	for (const struct ctrl_command *c = ctrl_commands; c < ctrl_commands + VIO_ARRAY_SIZE(ctrl_commands);
	     c++)
		if (c->class == h.class && c->command == h.cmd && d->acked & NET_BIT(c->feature))
			return c->len == len - sizeof(h) || c->len == CTRL_SAYS ? c : NULL;
	return NULL;
}

static bool ctrl_run(struct vio_dev *d, const struct ctrl_command *c, const uint8_t *bytes, unsigned len,
		     uint8_t *result)
{
	bytes += sizeof(struct virtio_net_ctrl_hdr);
	len -= sizeof(struct virtio_net_ctrl_hdr);
	return c->run ? c->run(d, c->command, bytes, len) : vio__net_coal_tell(d, bytes, result);
}

/* Writable bytes of the chain, which take the answer: at most as many as one can have. */
static unsigned ctrl_room(struct vio_req *r)
{
	uint64_t room = 0;

	r->iov = r->buf + r->nout;
	r->niov = r->nin;
	for (unsigned i = 0; i < r->niov; i++)
		room += r->iov[i].iov_len;
	return (unsigned)VIO_MIN(room, NET_COAL_RESULT + 1);
}

/* The answer is a result, if the command has one, then the ack. Where there is no room for both, the command
 * is refused; where there is none at all, it can't be answered. */
void vio__net_ctrl(struct vio_vq *q, struct vio_req *r)
{
	uint8_t bytes[CTRL_BYTES + 1], answer[NET_COAL_RESULT + 1] = { 0 };
	unsigned len = (unsigned)vio__packet_copy(bytes, r->buf, r->nout, 0, sizeof(bytes));
	unsigned room = ctrl_room(r), result;
	const struct ctrl_command *c;
	bool done;

	__asm__ volatile("" ::: "memory"); /* bytes are the copy from here on */
	c = ctrl_find(q->dev, bytes, len);
	result = c && !c->run ? NET_COAL_RESULT : 0;
	done = c && room > result && ctrl_run(q->dev, c, bytes, len, answer);
	if (!done)
		vq_count(&q->stats->errors, 1);
	r->written = VIO_MIN(room, result + 1);
	if (!r->written)
		return;
	answer[r->written - 1] = done ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	vio__net_scatter(r, answer, r->written);
}
