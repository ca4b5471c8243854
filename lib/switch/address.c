/* SPDX-License-Identifier: MIT */
/* The addresses as users see and set them. */
#include "switch/switch.h"

#include <time.h>

#define ADDRESS_SECOND 1000000000ull

int vio_switch_address_set(struct vio_switch *sw, const uint8_t mac[6], uint16_t vlan,
			   struct vio_switch_port *p)
{
	uint64_t m = 0;
	int rc;

	if (!vlan || vlan > 4094)
		return vio__fail(EINVAL, "switch: VLAN %u of an address, expected 1 to 4094", vlan);
	if (mac[0] & 1)
		return vio__fail(EINVAL, "switch: a group address can't be static");
	for (unsigned i = 0; i < 6; i++)
		m = m << 8 | mac[i];
	pthread_mutex_lock(&sw->lock);
	rc = fdb_fix(sw->fdb, m, vlan, p ? p->number : FDB_NONE);
	pthread_mutex_unlock(&sw->lock);
	return rc;
}

struct address_list {
	struct vio_switch *sw;
	void (*each)(void *ctx, const struct vio_switch_address *a);
	void *ctx;
	uint64_t now;
};

static void address_put(void *ctx, const struct fdb_entry *e)
{
	const struct address_list *list = ctx;
	struct vio_switch_address a = { .vlan = e->vlan,
					.port = sw_port(list->sw, e->port),
					.fixed = e->fixed };

	if (!a.port)
		return;
	for (unsigned i = 0; i < 6; i++)
		a.mac[i] = (uint8_t)(e->mac >> (40 - 8 * i));
	if (!e->fixed && list->now > e->heard_ns)
		a.age_ns = list->now - e->heard_ns;
	list->each(list->ctx, &a);
}

void vio_switch_addresses(struct vio_switch *sw, void (*each)(void *ctx, const struct vio_switch_address *a),
			  void *ctx)
{
	struct address_list list = { sw, each, ctx, 0 };
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	list.now = (uint64_t)t.tv_sec * ADDRESS_SECOND + (uint64_t)t.tv_nsec;
	fdb_each(sw->fdb, list.now, address_put, &list);
}
