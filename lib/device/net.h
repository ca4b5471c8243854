/* SPDX-License-Identifier: MIT */
/*
 * virtio-net (virtio 1.3, 5.1) from within: net.c is the device, net_features.c what it
 * offers, net_tx.c what its guest sends, net_rx.c what it receives, net_filter.c what of
 * that it wants, net_rss.c by which hash it goes, net_ctrl.c its control queue,
 * net_coal.c how often it is notified.
 */
#ifndef VIO_DEVICE_NET_H
#define VIO_DEVICE_NET_H

#include "device/device.h"

#include "base/barrier.h"
#include "device/net_filter.h"
#include "packet/steer.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <virtio-offload/net.h>

/* Absent from older headers (virtio 1.3, 5.1.3 and 5.1.6). */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif
#ifndef VIRTIO_NET_F_NOTF_COAL
#define VIRTIO_NET_F_NOTF_COAL 53
#endif
#ifndef VIRTIO_NET_F_VQ_NOTF_COAL
#define VIRTIO_NET_F_VQ_NOTF_COAL 52
#endif
/* 5.1.6.5.10; headers have some of them, by different names. */
#define VIO_NET_CTRL_NOTF_COAL 6
#define VIO_NET_CTRL_NOTF_COAL_TX_SET 0
#define VIO_NET_CTRL_NOTF_COAL_RX_SET 1
#define VIO_NET_CTRL_NOTF_COAL_VQ_SET 2
#define VIO_NET_CTRL_NOTF_COAL_VQ_GET 3
#define NET_COAL_RESULT 8u /* what VQ_GET answers, beside the ack */

#define NET_BIT(b) (1ull << (b))
/* What VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET can turn off and on. */
#define NET_GUEST_OFFLOADS                                                                                   \
	(NET_BIT(VIRTIO_NET_F_GUEST_CSUM) | NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |                               \
	 NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | NET_BIT(VIRTIO_NET_F_GUEST_ECN) |                                \
	 NET_BIT(VIRTIO_NET_F_GUEST_USO4) | NET_BIT(VIRTIO_NET_F_GUEST_USO6))
#define NET_PAIRS 64u
#define NET_FRAME_MIN 14u    /* an Ethernet header */
#define NET_FRAME_MAX 65550u /* no frame is longer (virtio 1.3, 5.1.6.3.1) */
#define NET_HDR_LEGACY 10u   /* struct virtio_net_hdr without num_buffers */
#define NET_HDR 12u
#define NET_HDR_HASH 20u      /* with VIRTIO_NET_F_HASH_REPORT */
#define NET_RSS_TABLE 128u    /* entries of the longest table: the least that may be offered */
#define NET_HASH_TYPES 0x1ffu /* all of 5.1.6.4.3.1 */
#define NET_HASH_KEY 40u      /* bytes: as many as decide anything, and the least that may be offered */

/* One direction of a pair: one thread writes it, any may read the counters. */
struct net_flow {
	_Alignas(VIO_CACHELINE) uint64_t packets;
	uint64_t bytes;
	uint64_t dropped[VIO_NET_DROP_N];
	/* To the guest only: the packet whose RECVs are coming up. */
	uint32_t rest; /* of them are still to come */
	bool lost;     /* it is dropped: they go back empty */
	/* Where a packet goes that meets a buffer with no room behind the header. */
	struct iovec blind;
	char blind_bytes[NET_HDR_HASH + 64];
};

struct net_pair {
	struct net_flow send, recv;
};

struct net {
	/* What the data path reads, once a batch. The control thread or the control queue writes it. */
	uint8_t hdr_len;    /* of each packet's header */
	uint8_t send_takes; /* VIO_PACKET_* that the guest's headers may ask for */
	uint8_t recv_takes; /* flags of each RECV */
	bool up;	    /* packets pass: the cable is in here, and at the port */
	uint64_t receives;  /* pairs that receive, as bits: the others' packets are dropped */
	struct net_pair *pair;
	struct net_filter filter;
	struct steer hash; /* that is reported of what comes, if hdr_len has room for it */

	uint8_t mac[ETH_ALEN]; /* at reset; the one in use is filter.mac */
	uint16_t mtu;	       /* 0: not offered */
	unsigned pairs;
	bool link;			       /* as vio_net_set_link has it */
	bool announce;			       /* asked of the guest, and not done yet */
	bool offloads, merge, control, hashes; /* arguments */
	struct vio_backend_info port;
};

/* Does it use several pairs? */
VIO_INLINE bool net_many(const struct vio_dev *d)
{
	return d->acked & (NET_BIT(VIRTIO_NET_F_MQ) | NET_BIT(VIRTIO_NET_F_RSS));
}

/* Where the control queue is, or UINT_MAX: there is none (5.1.2). */
VIO_INLINE unsigned net_control_queue(const struct vio_dev *d)
{
	const struct net *n = d->priv;

	if (!(d->acked & NET_BIT(VIRTIO_NET_F_CTRL_VQ)))
		return UINT32_MAX;
	return net_many(d) ? 2 * n->pairs : 2;
}

/* 1..NET_PAIRS of them, as bits. */
VIO_INLINE uint64_t net_first(unsigned pairs)
{
	return UINT64_MAX >> (NET_PAIRS - pairs);
}

VIO_INLINE void net_drop(struct vio_vq *q, struct net_flow *f, enum vio_net_drop why)
{
	vq_count(&f->dropped[why], 1);
	vq_count(&q->stats->errors, 1);
}

unsigned vio__net_send(struct vio_vq *q, struct vio_req **r, unsigned n);
unsigned vio__net_recv(struct vio_vq *q, struct vio_req **r, unsigned n);
void vio__net_received(struct vio_vq *q, struct vio_req **r, unsigned n);

/* Into a request's buffers, which have len bytes of room. */
void vio__net_scatter(const struct vio_req *r, const void *from, unsigned len);

/* At init, once the arguments and the port are known. */
void vio__net_offer(struct vio_dev *d);
/* d->acked is new: the header's length and the offloads follow. */
void vio__net_accept(struct vio_dev *d);

/* Carries out one command of the control queue and answers it: written is set. */
void vio__net_ctrl(struct vio_vq *q, struct vio_req *r);

/* The control queue's, which have queues that are asleep see to it: which pairs receive, as bits, and how
 * many of the first send; the same of the first so many, with the port to choose where a packet comes; and
 * which offloads those that come may carry. */
void vio__net_use(struct vio_dev *d, uint64_t receives, unsigned sends);
void vio__net_use_pairs(struct vio_dev *d, unsigned pairs);
void vio__net_use_offloads(struct vio_dev *d, uint64_t guest_offloads);

/* Commands of the control queue's, as net_ctrl.c has them. False: refused, and nothing has changed. */
bool vio__net_coal_all(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len);
bool vio__net_coal_one(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len);
bool vio__net_coal_tell(const struct vio_dev *d, const uint8_t *data, uint8_t *result);
/* No queue puts its notifications off. */
void vio__net_coal_reset(struct vio_dev *d);

bool vio__net_rss_set(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len);
bool vio__net_hash_set(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len);
void vio__net_hash_reset(struct vio_dev *d);
/* Into the header of the packet that begins in r[0]; r[1] to r[n - 1] came up behind it. */
void vio__net_hash(const struct net *net, struct vio_req *const *r, unsigned n,
		   struct virtio_net_hdr_v1_hash *h);

#endif
