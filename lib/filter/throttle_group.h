/* SPDX-License-Identifier: MIT */
/* A throttle's limits, shared by every stack of a scope that names the group. */
#ifndef VIO_FILTER_THROTTLE_GROUP_H
#define VIO_FILTER_THROTTLE_GROUP_H

#include "backend/scope.h"
#include "filter/limit.h"

#include <virtio-offload/throttle.h>

#define VIO__THROTTLE_HOLD 64u

struct vio__throttle_group {
	struct vio__named named;
	struct vio__limit iops, bps;
	uint64_t iops_burst, bps_burst; /* as they were set */
	uint64_t changes;		/* how often */
	unsigned hold;			/* requests that a lane may keep waiting, 1..VIO__THROTTLE_HOLD */
	unsigned waiting;		/* lanes that keep some */
};

/*
 * The group of that name, made without limits if there is none; a name of NULL stands
 * for a group of one's own. NULL and an error text without memory, or for a name without a scope.
 */
struct vio__throttle_group *vio__throttle_group_get(struct vio_scope *s, const char *name);
void vio__throttle_group_put(struct vio_scope *s, struct vio__throttle_group *g);

/* Any thread. A request that is being looked at meets the old limits, the new ones, or some of each. */
void vio__throttle_group_set(struct vio__throttle_group *g, const struct vio_throttle_limits *limits);

#endif
