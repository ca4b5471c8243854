/* SPDX-License-Identifier: MIT */
#include "wire/vfio_user.h"

#include "wire/fds.h"

#include <unistd.h>

_Static_assert(sizeof(struct vfu_header) == 16, "a header is 16 bytes on the wire");
_Static_assert(offsetof(struct vfu_msg, p) == offsetof(struct vfu_msg, h) + sizeof(struct vfu_header),
	       "the payload follows the header");
_Static_assert(sizeof(struct vfu_dma_map) == 32 && sizeof(struct vfu_dma_unmap) == 24, "as on the wire");
_Static_assert(sizeof(struct vfu_region_rw) == 16 && sizeof(struct vfu_write_one) == 24, "as on the wire");
_Static_assert(sizeof(struct vfio_region_info) == 32 && sizeof(struct vfio_irq_info) == 16 &&
		       sizeof(struct vfio_irq_set) == 20,
	       "as on the wire");
_Static_assert(sizeof(struct vfu_feature) + sizeof(struct vfu_log_report) + VFU_MAX_BITMAP <= VFU_MAX_PAYLOAD,
	       "the longest answer fits");
_Static_assert(VFU_MAX_REQUEST >=
		       sizeof(struct vfu_write_multi) + VFU_MAX_WRITES * sizeof(struct vfu_write_one),
	       "the longest message fits");

void vfu_close_fds(struct vfu_msg *msg)
{
	for (unsigned i = 0; i < msg->nfds; i++)
		close(msg->fds[i]);
	msg->nfds = 0;
}

static int recv_check(const struct vfu_header *h)
{
	if (h->size >= sizeof(*h) && h->size - sizeof(*h) <= VFU_MAX_PAYLOAD)
		return 0;
	return vio__fail(EBADMSG, "message %u says that it has %u bytes, expected %zu to %zu", h->command,
			 h->size, sizeof(*h), sizeof(*h) + VFU_MAX_PAYLOAD);
}

/* One read, never into the message after this one: its descriptors are its own. 1: go on. */
static int recv_some(struct vfu_box *box, int socket)
{
	struct vfu_msg *m = &box->msg;
	struct wire_fds fds = { .n = m->nfds, .max = VFU_MAX_FDS, .fd = m->fds };
	size_t end = box->done < sizeof(m->h) ? sizeof(m->h) : m->h.size;
	ssize_t got = wire_recv(socket, (char *)&m->h + box->done, end - box->done, &fds);

	m->nfds = fds.n;
	if (got <= 0)
		return (int)got;
	box->done += (size_t)got;
	if (box->done == sizeof(m->h) && recv_check(&m->h))
		return -EBADMSG;
	return 1;
}

int vfu_recv(struct vfu_box *box, int socket)
{
	while (box->done < sizeof(box->msg.h) || box->done < box->msg.h.size) {
		int r = recv_some(box, socket);

		if (r < 0)
			vfu_close_fds(&box->msg);
		if (r <= 0)
			return r;
	}
	return 1;
}

int vfu_send(struct vfu_box *box, int socket)
{
	struct vfu_msg *m = &box->msg;

	while (box->done < m->h.size) {
		struct iovec rest = { (char *)&m->h + box->done, m->h.size - box->done };
		ssize_t put = wire_send(socket, &rest, 1, m->fds, box->done ? 0 : m->nfds);

		if (put <= 0)
			return (int)put;
		box->done += (size_t)put;
	}
	return 1;
}
