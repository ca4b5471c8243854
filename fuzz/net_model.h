/* SPDX-License-Identifier: MIT */
/*
 * A network device's control queue, written a second time and plainly: what it must acknowledge, what of that
 * holds from then on, which packets the guest wants and by what hash.
 */
#ifndef FUZZ_NET_MODEL_H
#define FUZZ_NET_MODEL_H

#include "net_commands.h"

#define PAIRS 2u
#define TABLE 64u /* addresses of each kind that are told apart */

static struct model {
	uint64_t features;
	uint8_t mode[6]; /* by command */
	uint8_t mac[6];
	unsigned receives; /* pairs, as bits */
	struct {
		uint32_t types;
		uint8_t key[40];
	} hash;
	unsigned entries; /* 0: the port chooses */
	uint8_t unhashed, pair[128];
	struct {
		unsigned n;
		uint8_t mac[TABLE][6];
	} table[2];
	bool vlan[4096];
	uint32_t limits[2 * PAIRS][2]; /* of notifications: packets, microseconds */
} model;

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)(p[0] | p[1] << 8 | p[2] << 16) | (uint32_t)p[3] << 24;
}

static bool model_has(unsigned bit)
{
	return model.features & VIO_BIT(bit);
}

static bool model_many(void)
{
	return model_has(VIRTIO_NET_F_MQ) || model_has(VIRTIO_NET_F_RSS);
}

static bool model_tables(const uint8_t *p, unsigned len)
{
	struct model was = model;

	for (unsigned k = 0; k < 2; k++) {
		uint64_t n = 0;

		if (len < 4)
			goto wrong;
		for (unsigned i = 0; i < 4; i++)
			n |= (uint64_t)p[i] << 8 * i;
		if (n * 6 > len - 4)
			goto wrong;
		model.table[k].n = (unsigned)n;
		memcpy(model.table[k].mac, p + 4, n <= TABLE ? n * 6 : 0);
		p += 4 + n * 6;
		len -= 4 + (unsigned)n * 6;
	}
	if (!len)
		return true;
wrong:
	model = was;
	return false;
}

static bool model_mode(uint8_t cmd, const uint8_t *p, unsigned len)
{
	if (!model_has(cmd < 2 ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA) || cmd > 5 || len != 1 ||
	    *p > 1)
		return false;
	model.mode[cmd] = *p;
	return true;
}

static bool model_mac(const uint8_t *p, unsigned len)
{
	if (!model_has(VIRTIO_NET_F_CTRL_MAC_ADDR) || len != 6 || *p & 1 || !memcmp(p, "\0\0\0\0\0", 6))
		return false;
	memcpy(model.mac, p, 6);
	return true;
}

static bool model_vlan(bool add, const uint8_t *p, unsigned len)
{
	unsigned vlan = len == 2 ? p[0] | p[1] << 8 : 4096;

	if (!model_has(VIRTIO_NET_F_CTRL_VLAN) || vlan > 4095)
		return false;
	model.vlan[vlan] = add;
	return true;
}

static bool model_pairs(const uint8_t *p, unsigned len)
{
	unsigned pairs = len == 2 ? p[0] | p[1] << 8 : 0;

	if (!model_has(VIRTIO_NET_F_MQ) || !pairs || pairs > PAIRS)
		return false;
	model.receives = (1u << pairs) - 1;
	model.entries = 0;
	return true;
}

/* types, and behind `skip` more bytes the key, that ends the command but for a byte of padding. */
static bool model_hash(const uint8_t *p, unsigned len, unsigned skip)
{
	uint32_t types = le32(p);

	if (len <= 4 + skip || types > 0x1ff || p[4 + skip] > 40 || len - 5 - skip - p[4 + skip] > 1)
		return false;
	model.hash.types = types;
	memset(model.hash.key, 0, sizeof(model.hash.key));
	memcpy(model.hash.key, p + 5 + skip, p[4 + skip]);
	return true;
}

/* The pair in two bytes, if there is such. */
static bool model_pair(const uint8_t *p, uint8_t *pair, unsigned *receives)
{
	*pair = *p;
	*receives |= 1u << (*p & 7);
	return *p < PAIRS && !p[1];
}

static bool model_table(const uint8_t *p, unsigned len)
{
	struct model was = model;
	unsigned receives = 0, n = len < 8 ? 0 : 1u + (unsigned)(p[4] | p[5] << 8);
	bool good = n && n <= 128 && !(n & (n - 1)) && len >= 10 + 2 * n;

	for (unsigned i = 0; good && i < n; i++)
		good = model_pair(p + 8 + 2 * i, &model.pair[i], &receives);
	good = good && model_pair(p + 6, &model.unhashed, &receives) && !p[9 + 2 * n] && p[8 + 2 * n] &&
	       p[8 + 2 * n] <= PAIRS && model_hash(p, len, 6 + 2 * n);
	if (!good) {
		model = was;
		return false;
	}
	model.entries = n;
	model.receives = receives;
	return true;
}

/* Of all guest offloads only bit 1, for checksums, is ever negotiated here. */
static bool model_offloads(const uint8_t *p, unsigned len)
{
	return model_has(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) && len == 8 && !memcmp(p + 1, "\0\0\0\0\0\0", 7) &&
	       !(*p & ~(model_has(VIRTIO_NET_F_GUEST_CSUM) ? 2 : 0));
}

static bool model_limits(uint8_t cmd, const uint8_t *p, unsigned len)
{
	unsigned queues = model_many() ? 2 * PAIRS : 2;
	unsigned i = len < 2 ? queues : (unsigned)(p[0] | p[1] << 8);

	if (!model_has(VIRTIO_NET_F_NOTF_COAL) || cmd > 3 || len != (cmd < 2 ? 8 : cmd == 2 ? 12 : 4))
		return false;
	if (cmd == 3) /* it has no room for an answer */
		return false;
	if (cmd == 2 && i >= queues)
		return false;
	p += cmd == 2 ? 4 : 0;
	for (unsigned k = 0; k < queues; k++)
		if (cmd == 2 ? k == i : k % 2 == !cmd)
			memcpy(model.limits[k], (uint32_t[2]){ le32(p), le32(p + 4) },
			       sizeof(model.limits[k]));
	return true;
}

/* Must the device do it? */
static bool model_does(const uint8_t *p, unsigned len)
{
	if (len < 2)
		return false;
	len -= 2;
	switch (p[0] << 8 | p[1]) {
	case 0x0100:
		return model_has(VIRTIO_NET_F_CTRL_RX) && model_tables(p + 2, len);
	case 0x0101:
		return model_mac(p + 2, len);
	case 0x0200:
	case 0x0201:
		return model_vlan(!p[1], p + 2, len);
	case 0x0300:
		return model_has(VIRTIO_NET_F_GUEST_ANNOUNCE) && !len;
	case 0x0400:
		return model_pairs(p + 2, len);
	case 0x0401:
		return model_has(VIRTIO_NET_F_RSS) && model_table(p + 2, len);
	case 0x0402:
		return model_has(VIRTIO_NET_F_HASH_REPORT) && !model_has(VIRTIO_NET_F_RSS) && len >= 4 &&
		       model_hash(p + 2, len, 8);
	case 0x0500:
		return model_offloads(p + 2, len);
	case 0x0600 ... 0x06ff:
		return model_limits(p[1], p + 2, len);
	default:
		return !p[0] && model_mode(p[1], p + 2, len);
	}
}

static bool model_lists(unsigned kind, const uint8_t *mac)
{
	for (unsigned i = 0; i < model.table[kind].n && model.table[kind].n <= TABLE; i++)
		if (!memcmp(model.table[kind].mac[i], mac, 6))
			return true;
	return model.table[kind].n > TABLE;
}

/* The six modes by their commands: promiscuous, all multicast, all unicast, no multicast, no unicast, no
 * broadcast. */
static bool model_wants(const uint8_t *f)
{
	unsigned vlan = f[12] == 0x81 && !f[13] ? (f[14] << 8 | f[15]) & 4095 : 0;

	if (model.mode[0])
		return true;
	if (vlan && model_has(VIRTIO_NET_F_CTRL_VLAN) && !model.vlan[vlan])
		return false;
	if (!memcmp(f, "\xff\xff\xff\xff\xff\xff", 6))
		return !model.mode[5];
	if (f[0] & 1)
		return !model.mode[3] && (model.mode[1] || model_lists(1, f));
	return !model.mode[4] && (model.mode[2] || !memcmp(f, model.mac, 6) || model_lists(0, f));
}

/* Toeplitz by the book: a bit of the input, a shift of the key. */
static uint32_t toeplitz(const uint8_t *in, unsigned bytes)
{
	const uint8_t *key = model.hash.key;
	uint32_t hash = 0, window = packet_get32(key);

	for (unsigned bit = 0; bit < 8 * bytes; bit++) {
		if (in[bit / 8] >> (7 - bit % 8) & 1)
			hash ^= window;
		window = window << 1 | (key[4 + bit / 8] >> (7 - bit % 8) & 1);
	}
	return hash;
}

#endif
