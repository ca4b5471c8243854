/* SPDX-License-Identifier: MIT */
/* Requests that a filter answers itself: they wait here until the next reap. One lane's, one thread's. */
#ifndef VIO_FILTER_ANSWERED_H
#define VIO_FILTER_ANSWERED_H

#include <virtio-offload/impl/backend.h>

VIO_INLINE void answered_push(struct vio_lane *l, struct vio_reqs *done, struct vio_req *r, int res)
{
	r->res = res;
	vio_reqs_push(done, r);
	vio_lane_wake(l);
}

VIO_INLINE unsigned answered_pop(struct vio_reqs *done, struct vio_req **r, unsigned n)
{
	unsigned got = 0;

	while (VIO_UNLIKELY(done->head != NULL) && got < n)
		r[got++] = vio_reqs_pop(done);
	return got;
}

#endif
