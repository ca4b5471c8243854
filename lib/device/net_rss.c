/* SPDX-License-Identifier: MIT */
/*
 * The hash of what comes (virtio 1.3, 5.1.6.4.3): over which fields, and by which key, the driver says by its
 * control queue; it is made from the frame itself and reported in its header.
 */
#include "device/net.h"

struct rss_hash_config {
	uint32_t types; /* little endian */
	uint16_t reserved[4];
} __attribute__((packed));

/* The last of a command: how long the key is, and the key. */
static bool rss_key(struct vio_steer *s, const uint8_t *data, unsigned len)
{
	if (!len || *data > NET_HASH_KEY || len - 1 != *data)
		return false;
	s->key = data + 1;
	s->key_len = *data;
	return true;
}

bool vio__net_hash_set(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	VIO_OPTS(vio_steer, s);
	struct net *n = d->priv;
	struct rss_hash_config c;

	(void)command;
	if (len < sizeof(c))
		return false;
	memcpy(&c, data, sizeof(c));
	s.hash_types = le32toh(c.types);
	if (s.hash_types & ~NET_HASH_TYPES || !rss_key(&s, data + sizeof(c), len - (unsigned)sizeof(c)))
		return false;
	vio__steer_set(&n->hash, &s);
	return true;
}

void vio__net_hash_reset(struct vio_dev *d)
{
	struct net *n = d->priv;

	vio__steer_set(&n->hash, NULL);
}

/* Copies the first bytes of the frame that begins in r[0]; returns how many. Short buffers make them lie in
 * several. */
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
