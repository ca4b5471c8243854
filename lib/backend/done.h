/* SPDX-License-Identifier: MIT */
/* For ends that complete inside submit: requests wait here until reap. Last in, first out: all are done alike. */
#ifndef VIO_BACKEND_DONE_H
#define VIO_BACKEND_DONE_H

#include "base/base.h"

#include <virtio-offload/req.h>

struct done_stack {
	unsigned n;
	struct vio_req *r[256];
};

VIO_INLINE unsigned done_room(const struct done_stack *s)
{
	return (unsigned)VIO_ARRAY_SIZE(s->r) - s->n;
}

VIO_INLINE void done_push(struct done_stack *s, struct vio_req **r, unsigned n)
{
	memcpy(s->r + s->n, r, n * sizeof(*r));
	s->n += n;
}

VIO_INLINE unsigned done_pop(struct done_stack *s, struct vio_req **r, unsigned n)
{
	n = VIO_MIN(n, s->n);
	s->n -= n;
	memcpy(r, s->r + s->n, n * sizeof(*r));
	return n;
}

#endif
