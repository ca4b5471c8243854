/* SPDX-License-Identifier: MIT */
/* Features, protocol features, device status and reset. */
#include "transport/vhost_user_conn.h"

#include <virtio-offload/impl/device.h>

#include <linux/virtio_config.h>

/* Bits that are the transport's, not the device's. */
#define OWN_FEATURES (VUS_BIT(VU_F_PROTOCOL_FEATURES) | VUS_BIT(VU_F_LOG_ALL))

#define PROTOCOL_FEATURES                                                                                    \
	(VUS_BIT(VU_PROTOCOL_F_MQ) | VUS_BIT(VU_PROTOCOL_F_LOG_SHMFD) | VUS_BIT(VU_PROTOCOL_F_REPLY_ACK) |   \
	 VUS_BIT(VU_PROTOCOL_F_BACKEND_REQ) | VUS_BIT(VU_PROTOCOL_F_CONFIG) |                                \
	 VUS_BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD) | VUS_BIT(VU_PROTOCOL_F_RESET_DEVICE) |                       \
	 VUS_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | VUS_BIT(VU_PROTOCOL_F_STATUS))

int vus_owner(struct vio_vhost_user *t, struct vu_msg *m)
{
	(void)t;
	(void)m;
	return 0;
}

/* Long out of use; the protocol advises to disable all rings and to discard nothing else. */
int vus_reset_owner(struct vio_vhost_user *t, struct vu_msg *m)
{
	(void)m;
	for (unsigned i = 0; i < t->nrings; i++) {
		t->rings[i].started = false;
		t->rings[i].enabled = false;
	}
	return 0;
}

int vus_get_features(struct vio_vhost_user *t, struct vu_msg *m)
{
	return vus_answer_u64(m, vio_dev_features(t->dev) | OWN_FEATURES);
}

/* The device's own features change only while no ring is in use: they fix the rings' layout. */
static int set_device_features(struct vio_vhost_user *t, uint64_t features)
{
	int err;

	if (features == (t->features & ~OWN_FEATURES) && features == vio_dev_acked(t->dev))
		return 0;
	for (unsigned i = 0; i < t->nrings; i++)
		if (vus_ring_wanted(&t->rings[i]) && t->rings[i].resumed)
			return vio__fail(EBUSY, "SET_FEATURES changes features while queue %u runs", i);
	for (unsigned i = 0; i < t->nrings; i++)
		vus_ring_requeue(&t->rings[i]);
	err = vio_dev_set_features(t->dev, features);
	return err;
}

int vus_set_features(struct vio_vhost_user *t, struct vu_msg *m)
{
	int err = set_device_features(t, m->p.u64 & ~OWN_FEATURES);

	if (!err)
		t->features = m->p.u64;
	return err;
}

int vus_get_protocol(struct vio_vhost_user *t, struct vu_msg *m)
{
	return vus_answer_u64(m, PROTOCOL_FEATURES | vus_net_protocol(t));
}

int vus_set_protocol(struct vio_vhost_user *t, struct vu_msg *m)
{
	uint64_t offered = PROTOCOL_FEATURES | vus_net_protocol(t);

	if (m->p.u64 & ~offered)
		return vio__fail(EINVAL, "SET_PROTOCOL_FEATURES accepts 0x%llx, offered was 0x%llx",
				 (unsigned long long)m->p.u64, (unsigned long long)offered);
	t->protocol = m->p.u64;
	return 0;
}

/* A network card's are counted in pairs. */
int vus_get_queue_num(struct vio_vhost_user *t, struct vu_msg *m)
{
	const struct vio_device_type *type = t->dev->type;
	bool own = type->sz > offsetof(struct vio_device_type, vhost_user_queues) && type->vhost_user_queues;

	return vus_answer_u64(m, own ? type->vhost_user_queues(t->dev) : t->nrings);
}

/* As before features were set. Memory, the inflight region and what was agreed about the protocol stay. */
static void device_reset(struct vio_vhost_user *t)
{
	for (unsigned i = 0; i < t->nrings; i++)
		vus_ring_reset(&t->rings[i]);
	/* QEMU disables the rings after it has reset the device: SET_VRING_ENABLE must go on to be legal. */
	t->features &= VUS_BIT(VU_F_PROTOCOL_FEATURES);
	t->status = 0;
	vio_dev_reset(t->dev);
}

int vus_reset_device(struct vio_vhost_user *t, struct vu_msg *m)
{
	(void)m;
	device_reset(t);
	return 0;
}

int vus_get_status(struct vio_vhost_user *t, struct vu_msg *m)
{
	uint8_t status = t->status;

	for (unsigned i = 0; i < t->nrings; i++)
		if (t->rings[i].broken)
			status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	return vus_answer_u64(m, status);
}

int vus_set_status(struct vio_vhost_user *t, struct vu_msg *m)
{
	if (m->p.u64 > UINT8_MAX)
		return vio__fail(EINVAL, "SET_STATUS says 0x%llx, expected one byte",
				 (unsigned long long)m->p.u64);
	if (!m->p.u64)
		device_reset(t);
	t->status = (uint8_t)m->p.u64;
	return 0;
}
