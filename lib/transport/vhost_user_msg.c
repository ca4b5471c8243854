/* SPDX-License-Identifier: MIT */
/*
 * The message table: what each request must look like, what it stops while it is
 * dealt with and what is sent back. One check serves all, so that no handler can
 * forget one.
 */
#include "transport/vhost_user_conn.h"

#define NEEDS(f) (1 + VU_PROTOCOL_F_##f)
#define EXACTLY(type) sizeof(type), sizeof(type)

/* One descriptor, unless the payload says that none comes: checked by check_fds. */
#define FDS_VRING 0, 1
/* The padding after the two 16-bit fields is left out by some front ends. */
#define INFLIGHT_SIZE offsetof(struct vu_inflight, queue_size) + sizeof(uint16_t), sizeof(struct vu_inflight)

static const struct vus_row rows[VU_REQUEST_MAX] = {
	/* name, handler, payload, descriptors, ring, fence, reply, needs */
	[VU_GET_FEATURES] = { "GET_FEATURES", vus_get_features, 0, 0, 0, 0, 0, 0, VUS_ANSWER, 0 },
	[VU_SET_FEATURES] = { "SET_FEATURES", vus_set_features, EXACTLY(uint64_t), 0, 0, 0, VUS_FENCE_ALL, 0,
			      0 },
	[VU_SET_OWNER] = { "SET_OWNER", vus_owner, 0, 0, 0, 0, 0, 0, 0, 0 },
	[VU_RESET_OWNER] = { "RESET_OWNER", vus_reset_owner, 0, 0, 0, 0, 0, VUS_FENCE_ALL, 0, 0 },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", vus_mem_table, offsetof(struct vu_mem_table, regions),
			       sizeof(struct vu_mem_table), 0, VU_MAX_FDS, 0, VUS_FENCE_ALL, 0, 0 },
	[VU_SET_LOG_BASE] = { "SET_LOG_BASE", vus_log_base, EXACTLY(struct vu_log), 1, 1, 0, VUS_FENCE_ALL,
			      VUS_ACK_ALWAYS, NEEDS(LOG_SHMFD) },
	[VU_SET_LOG_FD] = { "SET_LOG_FD", vus_log_fd, 0, sizeof(uint64_t), 0, 1, 0, 0, 0, 0 },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", vus_vring_num, EXACTLY(struct vu_vring_state), 0, 0,
			       VUS_RING_U32, 0, 0, 0 },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", vus_vring_addr, EXACTLY(struct vu_vring_addr), 0, 0,
				VUS_RING_U32, VUS_FENCE_RING, 0, 0 },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", vus_vring_base, EXACTLY(struct vu_vring_state), 0, 0,
				VUS_RING_U32, 0, 0, 0 },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", vus_vring_get_base, EXACTLY(struct vu_vring_state), 0, 0,
				VUS_RING_U32, VUS_FENCE_RING, VUS_ANSWER, 0 },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", vus_vring_kick, EXACTLY(uint64_t), FDS_VRING, VUS_RING_FD,
				VUS_FENCE_RING, 0, 0 },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", vus_vring_call, EXACTLY(uint64_t), FDS_VRING, VUS_RING_FD,
				VUS_FENCE_RING, 0, 0 },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", vus_vring_err, EXACTLY(uint64_t), FDS_VRING, VUS_RING_FD, 0,
			       0, 0 },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", vus_get_protocol, 0, 0, 0, 0, 0, 0,
				       VUS_ANSWER, 0 },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", vus_set_protocol, EXACTLY(uint64_t), 0, 0, 0,
				       0, 0, 0 },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", vus_get_queue_num, 0, 0, 0, 0, 0, 0, VUS_ANSWER, NEEDS(MQ) },
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", vus_vring_enable, EXACTLY(struct vu_vring_state), 0, 0,
				  VUS_RING_U32, VUS_FENCE_RING, 0, 0 },
	[VU_SEND_RARP] = { "SEND_RARP", vus_net_rarp, EXACTLY(uint64_t), 0, 0, 0, 0, 0, NEEDS(RARP) },
	[VU_NET_SET_MTU] = { "NET_SET_MTU", vus_net_mtu, EXACTLY(uint64_t), 0, 0, 0, 0, 0, NEEDS(NET_MTU) },
	[VU_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", vus_backend_req, 0, sizeof(uint64_t), 1, 1, 0, 0, 0,
				    NEEDS(BACKEND_REQ) },
	[VU_GET_CONFIG] = { "GET_CONFIG", vus_get_config, offsetof(struct vu_config, data),
			    sizeof(struct vu_config), 0, 0, 0, 0, VUS_ANSWER, NEEDS(CONFIG) },
	[VU_SET_CONFIG] = { "SET_CONFIG", vus_set_config, offsetof(struct vu_config, data),
			    sizeof(struct vu_config), 0, 0, 0, 0, 0, NEEDS(CONFIG) },
	[VU_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD", vus_get_inflight, INFLIGHT_SIZE, 0, 0, 0, 0, VUS_ANSWER,
				 NEEDS(INFLIGHT_SHMFD) },
	[VU_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD", vus_set_inflight, INFLIGHT_SIZE, 1, 1, 0, VUS_FENCE_ALL,
				 0, NEEDS(INFLIGHT_SHMFD) },
	[VU_RESET_DEVICE] = { "RESET_DEVICE", vus_reset_device, 0, 0, 0, 0, 0, VUS_FENCE_ALL, 0,
			      NEEDS(RESET_DEVICE) },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", vus_mem_slots, 0, 0, 0, 0, 0, 0, VUS_ANSWER,
				   NEEDS(CONFIGURE_MEM_SLOTS) },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", vus_mem_add, EXACTLY(struct vu_mem_reg), 1, 1, 0, VUS_FENCE_ALL,
			     0, NEEDS(CONFIGURE_MEM_SLOTS) },
	/* Some front ends pass the region's descriptor once more. */
	[VU_REM_MEM_REG] = { "REM_MEM_REG", vus_mem_remove, EXACTLY(struct vu_mem_reg), 0, 1, 0,
			     VUS_FENCE_ALL, 0, NEEDS(CONFIGURE_MEM_SLOTS) },
	[VU_SET_STATUS] = { "SET_STATUS", vus_set_status, EXACTLY(uint64_t), 0, 0, 0, VUS_FENCE_ALL, 0,
			    NEEDS(STATUS) },
	[VU_GET_STATUS] = { "GET_STATUS", vus_get_status, 0, 0, 0, 0, 0, 0, VUS_ANSWER, NEEDS(STATUS) },
};

static int check_size(const struct vus_row *row, const struct vu_msg *m)
{
	if (m->h.size >= row->min && m->h.size <= row->max)
		return 0;
	if (row->min == row->max)
		return vio__fail(EINVAL, "%s has a payload of %u bytes, expected %u", row->name, m->h.size,
				 row->min);
	return vio__fail(EINVAL, "%s has a payload of %u bytes, expected %u to %u", row->name, m->h.size,
			 row->min, row->max);
}

static int check_fds(const struct vus_row *row, const struct vu_msg *m)
{
	unsigned min = row->fds_min, max = row->fds_max;

	if (row->index == VUS_RING_FD)
		min = max = m->p.u64 & VU_NO_FD ? 0 : 1;
	if (m->nfds >= min && m->nfds <= max)
		return 0;
	return vio__fail(EINVAL, "%s came with %u file descriptors, expected %u%s", row->name, m->nfds,
			 m->nfds < min ? min : max,
			 min == max	 ? ""
			 : m->nfds < min ? " at least"
					 : " at most");
}

static int check_ring(struct vio_vhost_user *t, const struct vus_row *row, const struct vu_msg *m)
{
	uint64_t index = row->index == VUS_RING_FD ? m->p.u64 & 0xff : m->p.state.index;

	if (index >= t->nrings)
		return vio__fail(EINVAL, "%s names queue %llu, the device has %u", row->name,
				 (unsigned long long)index, t->nrings);
	t->ring = &t->rings[index];
	return 0;
}

static int check(struct vio_vhost_user *t, const struct vus_row *row, const struct vu_msg *m)
{
	int r;

	if (m->h.flags & VU_FLAG_REPLY)
		return vio__fail(EINVAL, "%s is marked as a reply, but nothing was asked", row->name);
	if (row->needs && !(t->protocol & VUS_BIT(row->needs - 1)))
		return vio__fail(EPROTO, "%s was sent without having accepted protocol feature %u", row->name,
				 row->needs - 1);
	r = check_size(row, m);
	if (!r)
		r = check_fds(row, m);
	if (!r && row->index != VUS_NO_RING)
		r = check_ring(t, row, m);
	return r;
}

const struct vus_row *vus_msg_check(struct vio_vhost_user *t, const struct vu_msg *m)
{
	const struct vus_row *row = m->h.request < VU_REQUEST_MAX ? &rows[m->h.request] : NULL;

	t->ring = NULL;
	if (!row || !row->handle) {
		t->err = vio__fail(EOPNOTSUPP, "message %u is not known here", m->h.request);
		return NULL;
	}
	t->err = check(t, row, m);
	return t->err ? NULL : row;
}
