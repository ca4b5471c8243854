/* SPDX-License-Identifier: MIT */
/*
 * Which packets a guest receives (virtio 1.3, 5.1.6.5.1 to 5.1.6.5.3). The control queue
 * writes it on its thread, the receive queues read it on theirs: there are two sets, and
 * a new one is written beside the one in use. Until the driver turns promiscuous mode off,
 * everything passes: it may have accepted the features and yet have no control queue.
 */
#ifndef VIO_DEVICE_NET_FILTER_H
#define VIO_DEVICE_NET_FILTER_H

#include "base/barrier.h"

#define FILTER_HEAD 18u /* bytes of a frame that decide: addresses, type, a tag */
#define FILTER_MACS 64u /* of each kind; a driver that wants more gets all of that kind */
#define FILTER_VLANS 4096u

enum filter_kind { FILTER_UNICAST, FILTER_MULTICAST, FILTER_KINDS };

/* The commands of class VIRTIO_NET_CTRL_RX set one bit each, in their order. */
#define FILTER_PROMISC 0x01u
#define FILTER_ALLMULTI 0x02u
#define FILTER_ALLUNI 0x04u
#define FILTER_NOMULTI 0x08u
#define FILTER_NOUNI 0x10u
#define FILTER_NOBCAST 0x20u
#define FILTER_TABLE_FULL 0x40u /* << enum filter_kind: the table could not hold all that was asked for */
#define FILTER_BY_VLAN 0x100u	/* the driver says which VLANs it wants */

struct net_filter_set {
	uint32_t mode;
	uint32_t n[FILTER_KINDS];
	uint64_t macs[FILTER_KINDS][FILTER_MACS]; /* an address's first byte is the highest */
	uint64_t vlans[FILTER_VLANS / 64];
};

struct net_filter {
	uint64_t mac; /* the card's own; 0: not known, then all unicast packets may be for it */
	uint32_t now; /* the set in use */
	struct net_filter_set set[2];
};

VIO_INLINE uint64_t filter_mac(const uint8_t *b)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 6; i++)
		v = v << 8 | b[i];
	return v;
}

VIO_INLINE void filter_mac_bytes(uint8_t to[6], uint64_t mac)
{
	for (unsigned i = 0; i < 6; i++)
		to[i] = (uint8_t)(mac >> (40 - 8 * i));
}

VIO_INLINE const struct net_filter_set *filter_now(const struct net_filter *f)
{
	return &f->set[VIO_LOAD_ACQUIRE(&f->now)];
}

VIO_INLINE bool filter_passes_all(const struct net_filter *f)
{
	return VIO_LOAD(&filter_now(f)->mode) & FILTER_PROMISC;
}

/* head: a copy of the first `have` bytes of a frame. What they do not show does not count against it. */
bool vio__net_filter_wants(const struct net_filter *f, const uint8_t *head, unsigned have);

/* As after a reset. by_vlan: the driver has accepted VIRTIO_NET_F_CTRL_VLAN. The queues are stopped. */
void vio__net_filter_reset(struct net_filter *f, const uint8_t mac[6], bool by_vlan);

/* The control queue's: each takes effect for all packets that come up later. */
void vio__net_filter_mode(struct net_filter *f, uint32_t bit, bool on);
/* Both tables anew: n[kind] addresses of 6 bytes each. */
void vio__net_filter_macs(struct net_filter *f, const uint8_t *const macs[FILTER_KINDS],
			  const uint32_t n[FILTER_KINDS]);
void vio__net_filter_vlan(struct net_filter *f, unsigned vlan, bool on);

#endif
