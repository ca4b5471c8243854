/* SPDX-License-Identifier: MIT */
/* The control queue's commands (virtio 1.3, 5.1.6.5). */
#include "device/net.h"

/* The answer is the first writable byte of the chain; a chain without one gets none. */
static void ctrl_answer(struct vio_req *r, uint8_t ack)
{
	for (unsigned i = r->nout; i < (unsigned)r->nout + r->nin; i++) {
		if (!r->buf[i].iov_len)
			continue;
		*(uint8_t *)r->buf[i].iov_base = ack;
		r->written = 1;
		return;
	}
}

void vio__net_ctrl(struct vio_vq *q, struct vio_req *r)
{
	vq_count(&q->stats->errors, 1);
	ctrl_answer(r, VIRTIO_NET_ERR);
}
