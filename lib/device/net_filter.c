/* SPDX-License-Identifier: MIT */
#include "device/net_filter.h"

#define FILTER_BROADCAST 0xffffffffffffull
#define FILTER_GROUP (1ull << 40)

static bool filter_lists(const struct net_filter_set *s, enum filter_kind kind, uint64_t mac)
{
	uint32_t n = VIO_LOAD(&s->n[kind]);

	for (uint32_t i = 0; i < n; i++)
		if (VIO_LOAD(&s->macs[kind][i]) == mac)
			return true;
	return false;
}

static bool filter_wants_group(const struct net_filter_set *s, uint32_t mode, uint64_t mac)
{
	if (mac == FILTER_BROADCAST)
		return !(mode & FILTER_NOBCAST);
	if (mode & FILTER_NOMULTI)
		return false;
	return mode & (FILTER_ALLMULTI | FILTER_TABLE_FULL << FILTER_MULTICAST) ||
	       filter_lists(s, FILTER_MULTICAST, mac);
}

static bool filter_wants_one(const struct net_filter_set *s, uint32_t mode, uint64_t mac, uint64_t own)
{
	if (mode & FILTER_NOUNI)
		return false;
	return mac == own || !own || mode & (FILTER_ALLUNI | FILTER_TABLE_FULL << FILTER_UNICAST) ||
	       filter_lists(s, FILTER_UNICAST, mac);
}

/* A tag with VLAN 0 has only a priority: that is no VLAN. */
static bool filter_wants_vlan(const struct net_filter_set *s, const uint8_t *head, unsigned have)
{
	unsigned vlan;

	if (have < FILTER_HEAD || head[12] != 0x81 || head[13])
		return true;
	vlan = (head[14] << 8 | head[15]) & (FILTER_VLANS - 1);
	return !vlan || VIO_LOAD(&s->vlans[vlan / 64]) >> vlan % 64 & 1;
}

bool vio__net_filter_wants(const struct net_filter *f, const uint8_t *head, unsigned have)
{
	const struct net_filter_set *s = filter_now(f);
	uint32_t mode = VIO_LOAD(&s->mode);
	uint64_t mac;

	if (mode & FILTER_PROMISC || have < 6)
		return true;
	if (mode & FILTER_BY_VLAN && !filter_wants_vlan(s, head, have))
		return false;
	mac = filter_mac(head);
	if (mac & FILTER_GROUP)
		return filter_wants_group(s, mode, mac);
	return filter_wants_one(s, mode, mac, VIO_LOAD(&f->mac));
}

/*
 * The set to change: a copy of the one in use. A receive queue that has held on to it
 * since the change before may see halves of both for one batch, as it may when a change
 * and a packet cross on the wire; so every field is one access.
 */
static struct net_filter_set *filter_begin(struct net_filter *f)
{
	const struct net_filter_set *from = filter_now(f);
	struct net_filter_set *to = &f->set[!f->now];

	VIO_STORE(&to->mode, from->mode);
	for (unsigned k = 0; k < FILTER_KINDS; k++) {
		for (unsigned i = 0; i < from->n[k]; i++)
			VIO_STORE(&to->macs[k][i], from->macs[k][i]);
		VIO_STORE(&to->n[k], from->n[k]);
	}
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(to->vlans); i++)
		VIO_STORE(&to->vlans[i], from->vlans[i]);
	return to;
}

static void filter_end(struct net_filter *f)
{
	VIO_STORE_RELEASE(&f->now, !f->now);
}

void vio__net_filter_reset(struct net_filter *f, const uint8_t mac[6], bool by_vlan)
{
	memset(f, 0, sizeof(*f));
	f->mac = filter_mac(mac);
	f->set[0].mode = FILTER_PROMISC | (by_vlan ? FILTER_BY_VLAN : 0);
}

void vio__net_filter_mode(struct net_filter *f, uint32_t bit, bool on)
{
	struct net_filter_set *s = filter_begin(f);

	VIO_STORE(&s->mode, on ? s->mode | bit : s->mode & ~bit);
	filter_end(f);
}

void vio__net_filter_macs(struct net_filter *f, const uint8_t *const macs[FILTER_KINDS],
			  const uint32_t n[FILTER_KINDS])
{
	struct net_filter_set *s = filter_begin(f);
	uint32_t mode = s->mode;

	for (unsigned k = 0; k < FILTER_KINDS; k++) {
		bool full = n[k] > FILTER_MACS;

		for (unsigned i = 0; !full && i < n[k]; i++)
			VIO_STORE(&s->macs[k][i], filter_mac(macs[k] + 6 * i));
		VIO_STORE(&s->n[k], full ? 0 : n[k]);
		mode = full ? mode | FILTER_TABLE_FULL << k : mode & ~(FILTER_TABLE_FULL << k);
	}
	VIO_STORE(&s->mode, mode);
	filter_end(f);
}

void vio__net_filter_vlan(struct net_filter *f, unsigned vlan, bool on)
{
	struct net_filter_set *s = filter_begin(f);
	uint64_t bit = 1ull << vlan % 64, was = s->vlans[vlan / 64];

	VIO_STORE(&s->vlans[vlan / 64], on ? was | bit : was & ~bit);
	filter_end(f);
}
