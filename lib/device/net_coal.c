/* SPDX-License-Identifier: MIT */
/*
 * Notification coalescing (virtio 1.3, 5.1.6.5.10): how often the driver wants to hear of what a queue has
 * used. The waiting is vq_coal.c's; here is what the driver says, for all queues of a direction or for one of
 * them.
 */
#include "device/net.h"

struct coal_limits {
	uint32_t packets, usecs; /* little endian */
} __attribute__((packed));

struct coal_queue {
	uint16_t index, reserved;
} __attribute__((packed));

/* Queues that move packets, as the driver counts them. */
static unsigned coal_queues(const struct vio_dev *d)
{
	const unsigned control = net_control_queue(d), all = 2 * ((const struct net *)d->priv)->pairs;

	return VIO_MIN(control, all);
}

bool vio__net_coal_all(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct coal_limits l;

	(void)len;
	memcpy(&l, data, sizeof(l));
	for (unsigned i = command == VIO_NET_CTRL_NOTF_COAL_TX_SET; i < coal_queues(d); i += 2)
		vio__vq_coalesce(d, i, le32toh(l.packets), le32toh(l.usecs), true);
	return true;
}

/* The queue that the command is about, if it is one that moves packets, and is enabled. */
static bool coal_which(const struct vio_dev *d, const uint8_t *data, unsigned *index)
{
	struct coal_queue q;

	memcpy(&q, data, sizeof(q));
	*index = le16toh(q.index);
	return *index < coal_queues(d) && vq_runs(d, *index);
}

bool vio__net_coal_one(struct vio_dev *d, uint8_t command, const uint8_t *data, unsigned len)
{
	struct coal_limits l;
	unsigned index;

	(void)command;
	(void)len;
	if (!coal_which(d, data, &index))
		return false;
	memcpy(&l, data + sizeof(struct coal_queue), sizeof(l));
	vio__vq_coalesce(d, index, le32toh(l.packets), le32toh(l.usecs), false);
	return true;
}

bool vio__net_coal_tell(const struct vio_dev *d, const uint8_t *data, uint8_t *result)
{
	struct coal_limits l;
	uint32_t packets, usecs;
	unsigned index;

	if (!coal_which(d, data, &index))
		return false;
	vio__vq_coalesces(d, index, &packets, &usecs);
	l = (struct coal_limits){ htole32(packets), htole32(usecs) };
	memcpy(result, &l, sizeof(l));
	return true;
}

void vio__net_coal_reset(struct vio_dev *d)
{
	for (unsigned i = 0; i < d->queues; i++)
		vio__vq_coalesce(d, i, 0, 0, true);
}
