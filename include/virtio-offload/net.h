/* SPDX-License-Identifier: MIT */
/*
 * virtio-net (virtio 1.3, 5.1): a guest's network card. Its backend is a port: one
 * that takes SEND and RECV, such as a switch's port (switch.h), "tap:NAME" or
 * "pcap:FILE". Queue 2k receives and queue 2k + 1 sends for pair k; the control
 * queue comes last.
 */
#ifndef VIRTIO_OFFLOAD_NET_H
#define VIRTIO_OFFLOAD_NET_H

#include <virtio-offload/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Arguments: "pairs=N" (1..64, 1), "queue-size=N" (2..32768, 256), "packed=on|off" (on),
 * "mac=XX:XX:XX:XX:XX:XX" (else the port's, else the guest chooses), "mtu=N" (68..65535,
 * else the port's, else not offered), "offloads=on|off" (on: checksums and segmentation,
 * as far as the port takes them), "merge=on|off" (on: VIRTIO_NET_F_MRG_RXBUF),
 * "control=on|off" (on), "hashes=on|off" (on, with control: VIRTIO_NET_F_HASH_REPORT, and
 * VIRTIO_NET_F_RSS with several pairs over a port that can be told where packets come).
 */
VIO_API const struct vio_device_type *vio_dev_net(void);

/* Puts the cable in or pulls it out: the guest is told, and no packet passes while it is out.
 * All of these three: on the thread of the transport's poller; -EINVAL for a device of another type. */
VIO_API int vio_net_set_link(struct vio_dev *d, bool up);

/* Asks the guest to send its gratuitous packets, as after a migration (5.1.6.5.4). -EOPNOTSUPP
 * if it did not accept VIRTIO_NET_F_GUEST_ANNOUNCE. */
VIO_API int vio_net_announce(struct vio_dev *d);

/* Why a device lost packets. Those that a port lost are the port's to count. */
enum vio_net_drop {
	VIO_NET_DROP_SHORT,	/* from the guest: no room for header and Ethernet header, or above 65,550 bytes */
	VIO_NET_DROP_HEADER,	/* from the guest: a header that contradicts the frame or the features */
	VIO_NET_DROP_FILTER,	/* to the guest: its own receive filter */
	VIO_NET_DROP_LINK,	/* either way: the cable is out */
	VIO_NET_DROP_N
};

struct vio_net_stats {
	size_t sz;
	uint64_t sent, sent_bytes;	/* by the guest, to the port */
	uint64_t received, received_bytes;
	uint64_t dropped[VIO_NET_DROP_N];
};
/* Of one pair. Any thread; -ENOENT beyond the last. */
VIO_API int vio_net_stats(const struct vio_dev *d, unsigned pair, struct vio_net_stats *out);

#ifdef __cplusplus
}
#endif
#endif
