/* SPDX-License-Identifier: MIT */
/* A port's options, lanes and counters. */
#include "switch/switch.h"

#define PORT_FLAGS                                                                                           \
	(VIO_SWITCH_TRUNK | VIO_SWITCH_ISOLATED | VIO_SWITCH_NO_LEARN | VIO_SWITCH_NO_FLOOD | VIO_SWITCH_DOWN)
#define PORT_COUNTS (sizeof(struct sw_counts) / sizeof(uint64_t))

static int port_check(const struct vio_switch_port_opts *o)
{
	if (o->flags & ~PORT_FLAGS)
		return vio__fail(EINVAL, "switch: port flags 0x%x, expected VIO_SWITCH_* (0x%x)", o->flags,
				 PORT_FLAGS);
	if (o->vlan > 4094)
		return vio__fail(EINVAL, "switch: VLAN %u, expected 1 to 4094, or 0 for 1", o->vlan);
	if (o->nvlans && (!(o->flags & VIO_SWITCH_TRUNK) || !o->vlans))
		return vio__fail(EINVAL, "switch: a list of VLANs needs VIO_SWITCH_TRUNK and vlans");
	for (unsigned i = 0; i < o->nvlans; i++)
		if (!o->vlans[i] || o->vlans[i] > 4094)
			return vio__fail(EINVAL, "switch: VLAN %u in a trunk, expected 1 to 4094",
					 o->vlans[i]);
	return 0;
}

static void port_vlans(struct sw_conf *c, const struct vio_switch_port_opts *o)
{
	c->vlan = o->vlan ? o->vlan : 1;
	if (o->nvlans)
		for (unsigned i = 0; i < o->nvlans; i++)
			c->vlans[o->vlans[i] / 64] |= 1ull << o->vlans[i] % 64;
	else if (o->flags & VIO_SWITCH_TRUNK)
		memset(c->vlans, 0xff, sizeof(c->vlans));
	c->vlans[c->vlan / 64] |= 1ull << c->vlan % 64;
}

/* In place: a set has no more to it than its bits, each of which is one port's. */
void sw_members_set(struct vio_switch_port *p, const struct sw_conf *from, const struct sw_conf *to)
{
	uint64_t *word = p->sw->members + p->number / 64;

	for (unsigned i = 0; i < SW_VLANS / 64; i++) {
		uint64_t change = (from ? from->vlans[i] : 0) ^ (to ? to->vlans[i] : 0);

		for (; change; change &= change - 1) {
			size_t vlan = i * 64 + (unsigned)__builtin_ctzll(change);
			uint64_t *at = word + vlan * p->sw->words;

			VIO_STORE(at, *at ^ 1ull << p->number % 64);
		}
	}
}

static int port_mirror(struct sw_conf *c, const struct vio_switch_port *p, const char *name)
{
	struct vio_switch_port *m = name ? sw_find(p->sw, name) : NULL;

	c->mirror = SW_FLOOD;
	if (!name)
		return 0;
	if (!strcmp(name, p->name))
		return vio__fail(EINVAL, "switch: port '%s' can't be its own mirror", name);
	if (!m)
		return vio__fail(ENOENT, "switch: no port is called '%s', to mirror to", name);
	c->mirror = m->number;
	c->mirror_serial = m->serial;
	return 0;
}

static int port_group(struct sw_conf *c, const struct vio_switch_port *p, const char *name)
{
	c->group = name ? sw_group_find(p->sw, name) : NULL;
	if (name && !c->group)
		return vio__fail(ENOENT, "switch: no group is called '%s'", name);
	return 0;
}

/* Those of no thread's sight any more. */
static void port_conf_free(struct sw_conf *c)
{
	if (c && c->group)
		c->group->ports--;
	free(c);
}

int sw_port_set(struct vio_switch_port *p, const struct vio_switch_port_opts *opts)
{
	struct sw_conf *c = calloc(1, sizeof(*c)), *old = p->conf;
	struct vio_switch_port_opts o;
	int rc = c ? vio__opts(&o, sizeof(o), opts, "vio_switch_port_opts")
		   : vio__fail(ENOMEM, "switch: out of memory for a port's options");

	rc = rc ? rc : port_check(&o);
	rc = rc ? rc : port_mirror(c, p, o.mirror);
	rc = rc ? rc : port_group(c, p, o.group);
	if (rc) {
		free(c);
		return rc;
	}
	c->flags = o.flags;
	c->addresses = o.addresses ? o.addresses : FDB_NO_LIMIT;
	c->limited = o.packets.rate || o.bytes.rate || c->group;
	port_vlans(c, &o);
	sw_limits_set(&p->limits, &o.packets, &o.bytes, &o.storm);
	if (c->group)
		c->group->ports++;
	sw_mirrors_add(p->sw, (c->mirror != SW_FLOOD) - (old && old->mirror != SW_FLOOD));
	VIO_STORE_RELEASE(&p->conf, c);
	sw_members_set(p, old, c);
	sw_changed(p->sw);
	port_conf_free(old);
	return 0;
}

int vio_switch_port_set(struct vio_switch_port *p, const struct vio_switch_port_opts *opts)
{
	int rc;

	pthread_mutex_lock(&p->sw->lock);
	rc = sw_port_set(p, opts);
	pthread_mutex_unlock(&p->sw->lock);
	return rc;
}

bool sw_port_down(const struct vio_switch_port *p)
{
	bool down;

	pthread_mutex_lock(&p->sw->lock);
	down = p->conf->flags & VIO_SWITCH_DOWN;
	pthread_mutex_unlock(&p->sw->lock);
	return down;
}

static void port_receiver(struct sw_receivers *rs, struct sw_lane *lane)
{
	unsigned pair = lane->l->pair;

	rs->lane[rs->n++] = lane;
	if (pair < SW_PAIRS && !rs->of_pair[pair])
		rs->of_pair[pair] = (uint16_t)rs->n;
}

/* Puts the receivers in place that the port's lanes are, without the one that leaves. */
static int port_receivers(struct vio_switch_port *p, const struct sw_lane *without)
{
	struct sw_receivers *old = p->receivers, *rs = NULL;
	unsigned n = 0;

	for (const struct sw_lane *l = p->lanes; l; l = l->next)
		n += l->l->recv && l != without;
	if (n) {
		rs = calloc(1, sizeof(*rs) + n * sizeof(rs->lane[0]));
		if (!rs)
			return vio__fail(ENOMEM, "switch: out of memory for a lane");
		for (struct sw_lane *l = p->lanes; l; l = l->next)
			if (l->l->recv && l != without)
				port_receiver(rs, l);
	}
	VIO_STORE_RELEASE(&p->receivers, rs);
	sw_sync(p->sw);
	free(old);
	return 0;
}

int sw_port_add_lane(struct vio_switch_port *p, struct sw_lane *lane)
{
	int rc;

	lane->next = p->lanes;
	p->lanes = lane;
	rc = lane->l->recv ? port_receivers(p, NULL) : 0;
	if (rc)
		p->lanes = lane->next;
	return rc;
}

static void port_add(struct sw_counts *to, const struct sw_counts *from)
{
	for (unsigned i = 0; i < PORT_COUNTS; i++)
		__atomic_fetch_add((uint64_t *)to + i, VIO_LOAD((const uint64_t *)from + i),
				   __ATOMIC_RELAXED);
}

/* Without memory for a shorter list the lane's place is taken by another lane, which is no other pair's:
 * there is one, or no list. */
static void port_replace(struct vio_switch_port *p, const struct sw_lane *lane)
{
	struct sw_receivers *rs = p->receivers;

	if (lane->l->pair < SW_PAIRS)
		VIO_STORE(&rs->of_pair[lane->l->pair], 0);
	sw_sync(p->sw);
	for (unsigned i = 0; i < rs->n; i++)
		if (rs->lane[i] == lane)
			VIO_STORE_RELEASE(&rs->lane[i], rs->lane[i ? 0 : rs->n - 1]);
	sw_sync(p->sw);
}

void sw_port_del_lane(struct vio_switch_port *p, struct sw_lane *lane)
{
	struct sw_lane **at = &p->lanes;

	if (lane->l->recv && port_receivers(p, lane))
		port_replace(p, lane);
	while (*at != lane)
		at = &(*at)->next;
	*at = lane->next;
	port_add(&p->past, &lane->counts);
}

void sw_port_lost(struct vio_switch_port *p, int why)
{
	__atomic_fetch_add(&p->past.dropped[why], 1, __ATOMIC_RELAXED);
}

int vio_switch_port_stats(const struct vio_switch_port *p, struct vio_switch_port_stats *out)
{
	struct sw_counts sum = { 0 };
	struct vio_switch_port_stats s = { .sz = sizeof(s) };

	_Static_assert(offsetof(struct vio_switch_port_stats, addresses) == sizeof(s.sz) + sizeof(sum),
		       "one is a size, the other, and what is no counter");
	pthread_mutex_lock(&p->sw->lock);
	port_add(&sum, &p->past);
	for (const struct sw_lane *l = p->lanes; l; l = l->next)
		port_add(&sum, &l->counts);
	pthread_mutex_unlock(&p->sw->lock);
	memcpy(&s.sent, &sum, sizeof(sum));
	s.addresses = fdb_count_port(p->sw->fdb, p->number);
	vio__out(out, &s, sizeof(s));
	return 0;
}
