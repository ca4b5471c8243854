/* SPDX-License-Identifier: MIT */
/* Commands to a network device's control queue, for tests over net_guest.h. */
#ifndef TESTS_NET_COMMANDS_H
#define TESTS_NET_COMMANDS_H

#include "device/net.h"
#include "net_guest.h"

#define NET_F(x) VIO_BIT(VIRTIO_NET_F_##x)
#define NET_CONTROL                                                                                          \
	(NET_F(CTRL_VQ) | NET_F(CTRL_RX) | NET_F(CTRL_RX_EXTRA) | NET_F(CTRL_VLAN) | NET_F(CTRL_MAC_ADDR) |  \
	 NET_F(CTRL_GUEST_OFFLOADS) | NET_F(GUEST_ANNOUNCE) | NET_F(NOTF_COAL) | NET_F(VQ_NOTF_COAL))
#define NET_NO_ANSWER 0xaau
#define NET_ACK_AT 0x8000u /* behind the command, in the control queue's memory */

/* Where the control queue is: behind all pairs, or behind the first. */
RG_FN unsigned net_command_queue(struct net_guest *n)
{
	return vio_dev_acked(n->dev) & (NET_F(MQ) | NET_F(RSS)) ? vio_dev_queues(n->dev) - 1 : 2;
}

/* The bytes as they are, in one buffer or, if `each`, in pieces of that many; what the device answered. */
RG_FN uint8_t net_command_bytes(struct net_guest *n, const void *bytes, unsigned len, unsigned each)
{
	unsigned queue = net_command_queue(n), count = 0;
	uint8_t *ack = net_ptr(n, queue, NET_ACK_AT);
	struct rg_buf b[32];

	memcpy(net_ptr(n, queue, 0), bytes, len);
	*ack = NET_NO_ANSWER;
	for (unsigned at = 0; at < len; count++) {
		unsigned piece = each && count + 2 < 32 ? VIO_MIN(each, len - at) : len - at;

		b[count] = (struct rg_buf){ NET_AT + at, piece, 0 };
		at += piece;
	}
	b[count++] = (struct rg_buf){ NET_AT + NET_ACK_AT, 1, RG_WRITE };
	if (net_run(n, queue, b, count) != 1)
		return NET_NO_ANSWER;
	return *ack;
}

RG_FN uint8_t net_command(struct net_guest *n, uint8_t class, uint8_t cmd, const void *data, unsigned len)
{
	uint8_t bytes[0x8000] = { class, cmd };

	if (len)
		memcpy(bytes + 2, data, len);
	return net_command_bytes(n, bytes, len + 2, 0);
}

RG_FN uint8_t net_command_mode(struct net_guest *n, uint8_t cmd, uint8_t on)
{
	return net_command(n, VIRTIO_NET_CTRL_RX, cmd, &on, 1);
}

RG_FN uint8_t net_command_vlan(struct net_guest *n, uint8_t cmd, uint16_t vlan)
{
	uint8_t data[2] = { (uint8_t)vlan, (uint8_t)(vlan >> 8) };

	return net_command(n, VIRTIO_NET_CTRL_VLAN, cmd, data, 2);
}

/* Tables of addresses 02:0:0:0:hi:lo and 03:..., one after another. */
RG_FN uint8_t net_command_tables(struct net_guest *n, unsigned unicast, unsigned multicast)
{
	static uint8_t data[0x7000];
	uint8_t *p = data;

	for (unsigned kind = 0; kind < 2; kind++) {
		unsigned count = kind ? multicast : unicast;

		memcpy(p, (uint8_t[4]){ (uint8_t)count, (uint8_t)(count >> 8) }, 4);
		p += 4;
		for (unsigned i = 0; i < count; i++, p += 6)
			memcpy(p, (uint8_t[6]){ (uint8_t)(2 + kind), 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i },
			       6);
	}
	return net_command(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data, (unsigned)(p - data));
}

RG_FN uint8_t net_command_pairs(struct net_guest *n, uint16_t pairs)
{
	uint8_t data[2] = { (uint8_t)pairs, (uint8_t)(pairs >> 8) };

	return net_command(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, 2);
}

RG_FN uint8_t net_command_offloads(struct net_guest *n, uint64_t offloads)
{
	uint8_t data[8];

	for (unsigned i = 0; i < 8; i++)
		data[i] = (uint8_t)(offloads >> 8 * i);
	return net_command(n, VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, data, 8);
}

/* key_len bytes of the key, whatever it says that they are. */
RG_FN uint8_t net_command_hash(struct net_guest *n, uint32_t types, const void *key, unsigned key_len,
			       uint8_t says)
{
	struct {
		uint32_t types;
		uint16_t reserved[4];
		uint8_t key_len, key[300];
	} __attribute__((packed)) data = { .types = htole32(types), .key_len = says };

	if (key_len)
		memcpy(data.key, key, key_len);
	return net_command(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, &data, 13 + key_len);
}

/* A table: what a driver says, and how it may lie. */
struct net_rss {
	uint32_t types;
	uint16_t mask, unclassified, sends;
	const uint16_t *table;
	unsigned entries; /* that are there */
	const uint8_t *key;
	unsigned key_len; /* bytes that are there */
	uint8_t says;	  /* bytes that it says are there */
};

RG_FN uint8_t net_command_rss(struct net_guest *n, const struct net_rss *r)
{
	static uint8_t data[0x6000];
	uint8_t *p = data + 8;

	memcpy(data, (uint32_t[]){ htole32(r->types), htole32(r->mask | (uint32_t)r->unclassified << 16) },
	       8);
	for (unsigned i = 0; i < r->entries; i++, p += 2)
		memcpy(p, (uint8_t[]){ (uint8_t)r->table[i], (uint8_t)(r->table[i] >> 8) }, 2);
	memcpy(p, (uint8_t[]){ (uint8_t)r->sends, (uint8_t)(r->sends >> 8), r->says }, 3);
	p += 3;
	if (r->key_len)
		memcpy(p, r->key, r->key_len);
	return net_command(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, data,
			   (unsigned)(p - data) + r->key_len);
}

/* All queues of a direction, by TX_SET or RX_SET. */
RG_FN uint8_t net_command_coalesce(struct net_guest *n, uint8_t cmd, uint32_t packets, uint32_t usecs)
{
	const uint32_t data[] = { htole32(packets), htole32(usecs) };

	return net_command(n, VIO_NET_CTRL_NOTF_COAL, cmd, data, sizeof(data));
}

/* One queue, by VQ_SET. */
RG_FN uint8_t net_command_coalesce_queue(struct net_guest *n, uint16_t index, uint32_t packets,
					 uint32_t usecs)
{
	const uint32_t data[] = { htole32(index | 0xabcdu << 16), htole32(packets), htole32(usecs) };

	return net_command(n, VIO_NET_CTRL_NOTF_COAL, VIO_NET_CTRL_NOTF_COAL_VQ_SET, data, sizeof(data));
}

/* By VQ_GET, the answer in pieces of `each` bytes: packets << 32 | usecs, or UINT64_MAX if it is refused. */
RG_FN uint64_t net_command_coalescing(struct net_guest *n, uint16_t index, unsigned each)
{
	const uint8_t command[] = { VIO_NET_CTRL_NOTF_COAL,
				    VIO_NET_CTRL_NOTF_COAL_VQ_GET,
				    (uint8_t)index,
				    (uint8_t)(index >> 8),
				    0,
				    0 };
	unsigned queue = net_command_queue(n), count = 1;
	uint8_t *answer = net_ptr(n, queue, NET_ACK_AT);
	struct rg_buf b[10] = { { NET_AT, sizeof(command), 0 } };
	uint32_t value[2];

	memcpy(net_ptr(n, queue, 0), command, sizeof(command));
	memset(answer, NET_NO_ANSWER, 9);
	for (unsigned at = 0; at < 9; at += each)
		b[count++] = (struct rg_buf){ NET_AT + NET_ACK_AT + at, VIO_MIN(each, 9 - at), RG_WRITE };
	if (net_run(n, queue, b, count) != 9 || answer[8] != VIRTIO_NET_OK)
		return UINT64_MAX;
	memcpy(value, answer, sizeof(value));
	return (uint64_t)le32toh(value[0]) << 32 | le32toh(value[1]);
}

#endif
