/* SPDX-License-Identifier: MIT */
/* Limits: of a port, and of groups of ports that share them by name. */
#include "switch/switch.h"

#include <time.h>

void sw_limits_set(struct sw_limits *l, const struct vio_switch_limit *packets,
		   const struct vio_switch_limit *bytes, const struct vio_switch_limit *storm)
{
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * BUCKET_SECOND + (uint64_t)t.tv_nsec;
	bucket_set(&l->packets, packets->rate, packets->burst, now);
	bucket_set(&l->bytes, bytes->rate, bytes->burst, now);
	bucket_set(&l->storm, storm->rate, storm->burst, now);
}

static bool limits_take(struct sw_limits *l, uint32_t len, uint64_t now)
{
	if (!bucket_take(&l->packets, 1, now))
		return false;
	if (bucket_take(&l->bytes, len, now))
		return true;
	bucket_put(&l->packets, 1);
	return false;
}

bool sw_limited(struct vio_switch_port *p, uint32_t len, uint64_t now)
{
	struct sw_group *g = sw_conf(p)->group;

	if (!limits_take(&p->limits, len, now))
		return true;
	if (!g || limits_take(&g->limits, len, now))
		return false;
	bucket_put(&p->limits.packets, 1);
	bucket_put(&p->limits.bytes, len);
	return true;
}

bool sw_storm(struct vio_switch_port *p, uint64_t now)
{
	struct sw_group *g = sw_conf(p)->group;

	if (!bucket_take(&p->limits.storm, 1, now))
		return true;
	if (!g || bucket_take(&g->limits.storm, 1, now))
		return false;
	bucket_put(&p->limits.storm, 1);
	return true;
}

struct sw_group *sw_group_find(struct vio_switch *sw, const char *name)
{
	struct sw_group *g = sw->groups;

	while (g && strcmp(g->name, name))
		g = g->next;
	return g;
}

static struct sw_group *group_new(struct vio_switch *sw, const char *name)
{
	struct sw_group **at = &sw->groups, *g = calloc(1, sizeof(*g));

	if (!g) {
		vio__fail(ENOMEM, "switch: out of memory for a group");
		return NULL;
	}
	memcpy(g->name, name, strlen(name));
	while (*at)
		at = &(*at)->next;
	*at = g;
	return g;
}

static int group_set(struct vio_switch *sw, const char *name, const struct vio_switch_limits *l)
{
	struct sw_group *g = sw_group_find(sw, name);

	if (!g)
		g = group_new(sw, name);
	if (!g)
		return -ENOMEM;
	g->set = *l;
	sw_limits_set(&g->limits, &l->packets, &l->bytes, &l->storm);
	return 0;
}

int vio_switch_group_set(struct vio_switch *sw, const char *name, const struct vio_switch_limits *limits)
{
	struct vio_switch_limits l;
	int rc = vio__opts(&l, sizeof(l), limits, "vio_switch_limits");

	rc = rc ? rc : sw_name_check(name, "group");
	if (rc)
		return rc;
	pthread_mutex_lock(&sw->lock);
	rc = group_set(sw, name, &l);
	pthread_mutex_unlock(&sw->lock);
	return rc;
}

/* Whose options named it has waited until no thread could be looking at it any more. */
static int group_del(struct vio_switch *sw, const char *name)
{
	struct sw_group *g = sw_group_find(sw, name), **at = &sw->groups;

	if (!g)
		return vio__fail(ENOENT, "switch: no group is called '%s'", name);
	if (g->ports)
		return vio__fail(EBUSY, "switch: ports are in the group '%s': %u", name, g->ports);
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	free(g);
	return 0;
}

int vio_switch_group_del(struct vio_switch *sw, const char *name)
{
	int rc;

	pthread_mutex_lock(&sw->lock);
	rc = group_del(sw, name);
	pthread_mutex_unlock(&sw->lock);
	return rc;
}

const char *vio_switch_group_at(struct vio_switch *sw, unsigned i, struct vio_switch_limits *limits)
{
	struct sw_group *g;

	pthread_mutex_lock(&sw->lock);
	for (g = sw->groups; g && i; i--)
		g = g->next;
	if (g)
		vio__out(limits, &g->set, sizeof(g->set));
	pthread_mutex_unlock(&sw->lock);
	return g ? g->name : NULL;
}

void sw_groups_free(struct vio_switch *sw)
{
	for (struct sw_group *g = sw->groups, *next; g; g = next) {
		next = g->next;
		free(g);
	}
}
