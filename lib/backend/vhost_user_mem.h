/* SPDX-License-Identifier: MIT */
/*
 * The memory that a vhost-user server is shown: an area of the backend's own, for rings
 * and what belongs to them, and whatever memory its lanes bring. All but translating is
 * done under the lock of the connection.
 */
#ifndef VIO_BACKEND_VHOST_USER_MEM_H
#define VIO_BACKEND_VHOST_USER_MEM_H

#include "backend/vhost_user_front.h"

#include <virtio-offload/mem.h>

/* A region that the server maps: one entry of its memory table. */
struct vhost_shared {
	struct vio_mem *mem; /* keeps it mapped, and its fd open; NULL: a free entry */
	struct vio_mem_region r;
	uint64_t guest; /* where the server sees it */
	unsigned users; /* views */
	bool told;	/* the server of this connection knows it */
	bool telling;	/* it has been said, and no answer is in */
};

struct vhost_mem {
	struct front *front;
	struct vhost_shared *shared; /* [0]: the area */
	unsigned nshared, max_shared;
	uint64_t next_guest;
	struct vio_mem *area;
	bool running; /* rings run, which need not survive a table that is sent anew */
};

/* A region as a lane looks it up. */
struct vhost_span {
	uintptr_t from, to;
	uint64_t delta; /* what to add to a pointer for the server's address */
};

/* What of a lane's memory the server sees. */
struct vhost_view {
	struct vhost_span *span, *hit; /* hit: the one that was hit last */
	unsigned nspan;
	struct vhost_shared **uses; /* what it holds in the table */
	unsigned nuses;
};

/* Asks the server how much it can map, and makes an area of so many bytes. */
int vio__vhost_mem_init(struct vhost_mem *m, struct front *f, uint64_t area);
void vio__vhost_mem_fini(struct vhost_mem *m);
/* The area: here, and as the server sees it. */
char *vio__vhost_mem_area(const struct vhost_mem *m, uint64_t *guest);

/* Shows what can be shared of `mem`, from the next tell on. */
int vio__vhost_mem_use(struct vhost_mem *m, struct vhost_view *v, struct vio_mem *mem);
void vio__vhost_mem_unuse(struct vhost_mem *m, struct vhost_view *v);
/* Tells the server of what it does not know yet; after untell, which a new connection calls for, of all. */
int vio__vhost_mem_tell(struct vhost_mem *m);
void vio__vhost_mem_untell(struct vhost_mem *m);

/* The server's address of ptr..ptr+len, or UINT64_MAX where it can't see all of that. */
VIO_INLINE uint64_t vhost_translate(struct vhost_view *v, const void *ptr, uint64_t len)
{
	uintptr_t at = (uintptr_t)ptr;

	if (VIO_LIKELY(at >= v->hit->from && at < v->hit->to && len <= v->hit->to - at))
		return at + v->hit->delta;
	for (unsigned i = 0; i < v->nspan; i++) {
		if (at >= v->span[i].from && at < v->span[i].to && len <= v->span[i].to - at) {
			v->hit = &v->span[i];
			return at + v->hit->delta;
		}
	}
	return UINT64_MAX;
}

#endif
