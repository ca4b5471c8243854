/* SPDX-License-Identifier: MIT */
/*
 * Receive-side scaling (virtio 1.3, 5.1.6.5.6): over which fields packets are hashed, by which key, and into
 * which queue a hash leads, the driver says by its control queue. The port is told the table, and goes by it.
 * The hash that a packet's header reports is made here, from the frame itself (5.1.6.4.3).
 */
#include "device/net.h"

#define RSS_PADDING 1u /* bytes that may follow a key: Linux 6.12.95 counts its struct's padding in */

/* Behind it are mask + 1 pairs, how many pairs send, and the key. */
struct rss_config {
	uint32_t types; /* little endian, as all of it */
	uint16_t mask, unclassified;
} __attribute__((packed));

/* Behind it is the key. */
struct rss_hash_config {
	uint32_t types;
	uint16_t reserved[4];
} __attribute__((packed));

/* What a command comes to. */
struct rss_said {
	struct vio_steer steer;
	uint16_t table[NET_RSS_TABLE];
	uint64_t receives; /* pairs that it names, as bits */
};

static uint16_t rss_le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static bool rss_types(struct vio_steer *s, uint32_t types)
{
	s->hash_types = types;
	return !(types & ~NET_HASH_TYPES);
}

/* The last of a command: how long the key is, and the key. */
static bool rss_key(struct vio_steer *s, const uint8_t *data, unsigned len)
{
	if (!len || *data > NET_HASH_KEY || len - 1 < *data || len - 1 > *data + RSS_PADDING)
		return false;
	s->key = data + 1;
	s->key_len = *data;
	return true;
}

/* A receive queue by its pair; the bit above, which is reserved, makes it one that there is not. */
static bool rss_names(const struct net *n, struct rss_said *c, uint16_t pair, uint16_t *to)
{
	if (pair >= n->pairs)
		return false;
	c->receives |= 1ull << pair;
	*to = pair;
	return true;
}

static bool rss_table(const struct net *n, struct rss_said *c, const uint8_t *data)
{
	for (unsigned i = 0; i < c->steer.entries; i++)
		if (!rss_names(n, c, rss_le16(data + 2 * i), &c->table[i]))
			return false;
	return true;
}

/* False: it is cut short or too long, contradicts itself, or goes beyond what is offered. */
static bool rss_read(const struct net *n, struct rss_said *c, const uint8_t *data, unsigned len)
{
	struct rss_config head;
	unsigned entries, bytes, sends;

	if (len < sizeof(head))
		return false;
	memcpy(&head, data, sizeof(head));
	entries = le16toh(head.mask) + 1u;
	bytes = sizeof(head) + 2 * entries + 2;
	if (!vio__is_pow2(entries) || entries > NET_RSS_TABLE || len < bytes)
		return false;
	*c = (struct rss_said){
		.steer = { .sz = sizeof(c->steer), .table = c->table, .entries = (uint16_t)entries }
	};
	sends = rss_le16(data + bytes - 2);
	return rss_types(&c->steer, le32toh(head.types)) && sends && sends <= n->pairs &&
	       rss_names(n, c, le16toh(head.unclassified), &c->steer.unhashed) &&
	       rss_table(n, c, data + sizeof(head)) && rss_key(&c->steer, data + bytes, len - bytes);
}

/* All pairs may go on sending: Linux 6.1 says as many as it began with, and uses those that ethtool set. */
bool vio__net_rss_set(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct net *n = d->priv;
	struct rss_said c;

	(void)command;
	if (!rss_read(n, &c, data, len) || vio_backend_steer(d->backend, &c.steer))
		return false;
	vio__steer_set(&n->hash, &c.steer);
	vio__net_use(d, c.receives, n->pairs);
	return true;
}

/* A driver that accepted RSS says it there (5.1.6.4.3), and here nothing. */
bool vio__net_hash_set(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	VIO_OPTS(vio_steer, s);
	struct net *n = d->priv;
	struct rss_hash_config c;

	(void)command;
	if (d->acked & NET_BIT(VIRTIO_NET_F_RSS) || len < sizeof(c))
		return false;
	memcpy(&c, data, sizeof(c));
	if (!rss_types(&s, le32toh(c.types)) || !rss_key(&s, data + sizeof(c), len - (unsigned)sizeof(c)))
		return false;
	vio__steer_set(&n->hash, &s);
	return true;
}

void vio__net_hash_reset(struct vio_dev *d)
{
	struct net *n = d->priv;

	vio__steer_set(&n->hash, NULL);
}

/* Copies the first bytes of the frame that begins in r[0], maybe in several short buffers; returns how many.
 */
static unsigned rss_head(const struct net *net, struct vio_req *const *r, unsigned n,
			 uint8_t head[PACKET_HEAD_MAX])
{
	unsigned have = 0;

	n = VIO_MIN(n, (unsigned)r[0]->res);
	for (unsigned i = 0; i < n && have < PACKET_HEAD_MAX; i++)
		have += (unsigned)vio__packet_copy(head + have, r[i]->iov, r[i]->niov, i ? 0 : net->hdr_len,
						   VIO_MIN(r[i]->len, PACKET_HEAD_MAX - have));
	return have;
}

/* The guest may change the frame meanwhile: it only fools itself. */
void vio__net_hash(const struct net *net, struct vio_req *const *r, unsigned n,
		   struct virtio_net_hdr_v1_hash *h)
{
	uint8_t head[PACKET_HEAD_MAX];
	uint16_t report = VIRTIO_NET_HASH_REPORT_NONE;
	unsigned have = rss_head(net, r, n, head);
	uint32_t hash = 0;
	struct packet p;

	if (vio__packet_parse(&p, head, have, have))
		hash = vio__steer_hash(&net->hash, &p, head, &report);
	h->hash_value = htole32(hash);
	h->hash_report = htole16(report);
}
