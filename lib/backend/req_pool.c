/* SPDX-License-Identifier: MIT */
/* Requests for those who drive a backend without a queue. */
#include "base/base.h"

#include <virtio-offload/backend.h>

struct vio_req_pool {
	struct vio_req *free;
	size_t iov_at;		/* where a request's own vector starts */
	char *mem;
};

int vio_req_pool_new(struct vio_req_pool **out, const struct vio_lane *lane, unsigned n, unsigned max_iov)
{
	struct vio_req_pool *p = calloc(1, sizeof(*p));
	size_t stride;

	*out = NULL;
	if (!p)
		return vio__fail(ENOMEM, "request pool: out of memory");
	p->iov_at = VIO_REQ_SCRATCH + vio_lane_scratch(lane);
	stride = (p->iov_at + max_iov * sizeof(struct iovec) + VIO_CACHELINE - 1) & ~(size_t)(VIO_CACHELINE - 1);
	p->mem = n ? aligned_alloc(VIO_CACHELINE, stride * n) : NULL;
	if (n && !p->mem) {
		free(p);
		return vio__fail(ENOMEM, "request pool: out of memory for %u requests", n);
	}
	for (unsigned i = n; i--;)
		vio_req_put(p, (struct vio_req *)(p->mem + i * stride));
	*out = p;
	return 0;
}

void vio_req_pool_free(struct vio_req_pool *p)
{
	if (!p)
		return;
	free(p->mem);
	free(p);
}

struct vio_req *vio_req_get(struct vio_req_pool *p)
{
	struct vio_req *r = p->free;

	if (!r)
		return NULL;
	p->free = r->next;
	*r = (struct vio_req){ .op = VIO_OP_NONE, .iov = (struct iovec *)((char *)r + p->iov_at) };
	return r;
}

void vio_req_put(struct vio_req_pool *p, struct vio_req *r)
{
	r->next = p->free;
	p->free = r;
}
