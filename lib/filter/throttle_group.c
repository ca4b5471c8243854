/* SPDX-License-Identifier: MIT */
#include "filter/throttle_group.h"

#include <time.h>

static void group_destroy(struct vio__named *n)
{
	free(VIO_CONTAINER(n, struct vio__throttle_group, named));
}

static struct vio__named *group_make(void *ctx)
{
	struct vio__throttle_group *g = calloc(1, sizeof(*g));

	(void)ctx;
	if (!g) {
		vio__fail(ENOMEM, "throttle: out of memory for a group");
		return NULL;
	}
	g->hold = VIO__THROTTLE_HOLD;
	g->named.kind = "throttle";
	g->named.destroy = group_destroy;
	return &g->named;
}

struct vio__throttle_group *vio__throttle_group_get(struct vio_scope *s, const char *name)
{
	struct vio__named *n;

	if (!name) {
		n = group_make(NULL);
	} else if (!s) {
		vio__fail(EINVAL,
			  "throttle: group=%s needs a scope, in which stacks share names; this one has none",
			  name);
		n = NULL;
	} else {
		n = vio__scope_get(s, "throttle", name, group_make, NULL);
	}
	return n ? VIO_CONTAINER(n, struct vio__throttle_group, named) : NULL;
}

void vio__throttle_group_put(struct vio_scope *s, struct vio__throttle_group *g)
{
	if (g->named.name)
		vio__scope_put(s, &g->named);
	else
		free(g);
}

/*
 * About a tenth of a second's worth: a queue that stops has to wait for what its lane
 * keeps, the guest's ring keeps the rest. By bytes, requests of 64 KiB are assumed.
 */
static unsigned group_hold(uint64_t rate, uint64_t each)
{
	uint64_t n = rate ? rate / 10 / each : VIO__THROTTLE_HOLD;

	return (unsigned)VIO_MAX(VIO_MIN(n, (uint64_t)VIO__THROTTLE_HOLD), 1u);
}

void vio__throttle_group_set(struct vio__throttle_group *g, const struct vio_throttle_limits *limits)
{
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * VIO__LIMIT_SECOND + (uint64_t)t.tv_nsec;
	vio__limit_set(&g->iops, limits->iops, limits->iops_burst, now);
	vio__limit_set(&g->bps, limits->bps, limits->bps_burst, now);
	VIO_STORE(&g->hold, VIO_MIN(group_hold(limits->iops, 1), group_hold(limits->bps, 65536)));
	VIO_STORE(&g->iops_burst, limits->iops_burst);
	VIO_STORE(&g->bps_burst, limits->bps_burst);
	__atomic_fetch_add(&g->changes, 1, __ATOMIC_RELEASE);
}

/* With a reference; NULL and an error text if no stack uses it. */
static struct vio__throttle_group *group_find(struct vio_scope *s, const char *name)
{
	struct vio__named *n = s && name ? vio__scope_get(s, "throttle", name, NULL, NULL) : NULL;

	if (!n)
		vio__fail(ENOENT, "no stack of this scope has a throttle with group=%s", name ? name : "");
	return n ? VIO_CONTAINER(n, struct vio__throttle_group, named) : NULL;
}

int vio_throttle_set(struct vio_scope *s, const char *group, const struct vio_throttle_limits *limits)
{
	struct vio__throttle_group *g = group_find(s, group);
	struct vio_throttle_limits o;
	int rc;

	if (!g)
		return -ENOENT;
	rc = vio__opts(&o, sizeof(o), limits, "vio_throttle_limits");
	if (!rc)
		vio__throttle_group_set(g, &o);
	vio__throttle_group_put(s, g);
	return rc;
}

int vio_throttle_get(struct vio_scope *s, const char *group, struct vio_throttle_limits *limits)
{
	struct vio__throttle_group *g = group_find(s, group);
	VIO_OPTS(vio_throttle_limits, o);

	if (!g)
		return -ENOENT;
	o.iops = VIO_LOAD(&g->iops.rate);
	o.bps = VIO_LOAD(&g->bps.rate);
	o.iops_burst = VIO_LOAD(&g->iops_burst);
	o.bps_burst = VIO_LOAD(&g->bps_burst);
	vio__throttle_group_put(s, g);
	vio__out(limits, &o, sizeof(o));
	return 0;
}
