/* SPDX-License-Identifier: MIT */
/* What front ends say of network cards only: how long their frames may be, and that one has moved here. */
#include "transport/vhost_user_conn.h"

#include <virtio-offload/impl/backend.h>
#include <virtio-offload/impl/device.h>

#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>

#define NET_MTU_MIN 68u /* virtio 1.3, 5.1.4.1 */
#define NET_MTU_MAX 65535u
#define RARP_FRAME 60u /* the shortest that Ethernet has, without its FCS */

uint64_t vus_net_protocol(const struct vio_vhost_user *t)
{
	if (vio_dev_id(t->dev) != VIRTIO_ID_NET)
		return 0;
	return VUS_BIT(VU_PROTOCOL_F_RARP) | VUS_BIT(VU_PROTOCOL_F_NET_MTU);
}

/* The longest that the device would have told the guest by itself. */
static unsigned net_mtu_limit(const struct vio_vhost_user *t)
{
	uint8_t le[2];

	if (!(vio_dev_features(t->dev) & VUS_BIT(VIRTIO_NET_F_MTU)) ||
	    vio_dev_config_read(t->dev, offsetof(struct virtio_net_config, mtu), le, sizeof(le)))
		return NET_MTU_MAX;
	return le[0] | le[1] << 8;
}

/* The front end shows the guest this MTU. Ours has only to agree: frames carry their own length. */
int vus_net_mtu(struct vio_vhost_user *t, struct vu_msg *m)
{
	unsigned limit = net_mtu_limit(t);

	if (m->p.u64 < NET_MTU_MIN || m->p.u64 > limit)
		return vio__fail(EINVAL, "NET_SET_MTU says %llu, expected %u to %u",
				 (unsigned long long)m->p.u64, NET_MTU_MIN, limit);
	return 0;
}

/* A frame of ours on its way to the port. The message that asked for it is not over before it went. */
struct rarp {
	struct vio_task task;
	struct vio_vhost_user *t;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	struct vio_req *req;
	uint8_t frame[RARP_FRAME];
};

/* A request for an address, broadcast (RFC 903): nobody answers, but all switches hear where the card is. */
static void rarp_fill(uint8_t frame[RARP_FRAME], const uint8_t mac[6])
{
	static const uint8_t type_to_op[] = { 0x80, 0x35, 0, 1, 0x08, 0, 6, 4, 0, 3 };

	memset(frame, 0, RARP_FRAME);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	memcpy(frame + 12, type_to_op, sizeof(type_to_op));
	memcpy(frame + 22, mac, 6); /* the sender's */
	memcpy(frame + 32, mac, 6); /* whose address is asked for */
}

static void rarp_free(struct rarp *r)
{
	if (r->req)
		vio_req_put(r->pool, r->req);
	vio_req_pool_free(r->pool);
	vio_lane_free(r->lane);
	free(r);
}

static unsigned rarp_run(struct vio_task *task, unsigned budget)
{
	struct rarp *r = VIO_CONTAINER(task, struct rarp, task);
	struct vio_vhost_user *t = r->t;
	struct vio_req *done;

	(void)budget;
	if (!vio_lane_reap(r->lane, &done, 1))
		return 0;
	vio_task_del(t->poller, task);
	rarp_free(r);
	vus_unpend(t);
	return 1;
}

/* The lane wakes the task: there is no peer to be asked for a kick. */
static bool rarp_arm(struct vio_task *task, bool on)
{
	(void)task;
	(void)on;
	return false;
}

static int rarp_open(struct rarp *r, struct vio_vhost_user *t)
{
	VIO_OPTS(vio_lane_opts, o);
	int err;

	r->t = t;
	r->task = (struct vio_task){ .run = rarp_run, .arm = rarp_arm };
	err = vio_lane_new(&r->lane, t->dev->backend, t->poller, &o);
	if (!err)
		err = vio_req_pool_new(&r->pool, r->lane, 1, 1);
	if (!err && !vio_lane_room(r->lane))
		err = vio__fail(EAGAIN, "SEND_RARP: the port takes no frame now");
	return err;
}

static void rarp_send(struct rarp *r, const uint8_t mac[6])
{
	struct vio_req *q = r->req = vio_req_get(r->pool);

	rarp_fill(r->frame, mac);
	q->op = VIO_OP_SEND;
	q->iov[0] = (struct iovec){ r->frame, sizeof(r->frame) };
	q->niov = 1;
	q->len = sizeof(r->frame);
	for (struct vio_lane *l = r->lane; l; l = l->next)
		l->task = &r->task;
	vus_pend(r->t);
	vio_task_add(r->t->poller, &r->task);
	vio_lane_submit(r->lane, &q, 1);
}

/* A guest that cannot announce itself has moved here: tell the network in its place. */
int vus_net_rarp(struct vio_vhost_user *t, struct vu_msg *m)
{
	uint8_t mac[6];
	struct rarp *r;
	int err;

	memcpy(mac, m->p.bytes, sizeof(mac));
	if (mac[0] & 1)
		return vio__fail(EINVAL, "SEND_RARP names a group address, expected a network card's own");
	if (!t->dev->backend)
		return vio__fail(EOPNOTSUPP, "SEND_RARP: the device has no port to send to");
	r = calloc(1, sizeof(*r));
	if (!r)
		return vio__fail(ENOMEM, "SEND_RARP: out of memory");
	err = rarp_open(r, t);
	if (err)
		rarp_free(r);
	else
		rarp_send(r, mac);
	return err;
}
