/* SPDX-License-Identifier: MIT */
/* A switch's life; its ports by name. */
#include "switch/thread.h"

#include <sched.h>
#include <stdio.h>

#define SWITCH_SECOND 1000000000ull

static int switch_range(const char *what, uint32_t *v, uint32_t preset, uint32_t min, uint32_t max)
{
	if (!*v)
		*v = preset;
	if (*v < min || *v > max)
		return vio__fail(EINVAL, "switch: %u %s, expected %u to %u, or 0 for %u", *v, what, min, max,
				 preset);
	return 0;
}

static int switch_tables(struct vio_switch *sw, const struct vio_switch_opts *o)
{
	int rc = fdb_new(&sw->fdb, o->addresses, o->age_ns);

	if (rc)
		return rc;
	sw->heard = fdb_generations(sw->fdb);
	sw->words = (o->ports + 63) / 64;
	sw->members = calloc(SW_VLANS, sw->words * sizeof(*sw->members));
	return sw->members ? 0 : vio__fail(ENOMEM, "switch: out of memory for its VLANs");
}

int vio_switch_new(struct vio_switch **out, const struct vio_switch_opts *opts)
{
	struct vio_switch_opts o;
	struct vio_switch *sw;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_switch_opts");

	*out = NULL;
	rc = rc ? rc : switch_range("ports", &o.ports, 64, 1, SW_PORTS);
	rc = rc ? rc : switch_range("addresses", &o.addresses, 8192, 16, FDB_CAPACITY_MAX);
	rc = rc ? rc : switch_range("flows", &o.flows, 8192, 16, FLOW_CAPACITY_MAX);
	if (rc)
		return rc;
	o.age_ns = o.age_ns ? o.age_ns : 300 * SWITCH_SECOND;
	sw = calloc(1, sizeof(*sw) + o.ports * sizeof(sw->port[0]));
	if (!sw)
		return vio__fail(ENOMEM, "switch: out of memory");
	rc = switch_tables(sw, &o);
	if (rc) {
		fdb_free(sw->fdb);
		free(sw);
		return rc;
	}
	pthread_mutex_init(&sw->lock, NULL);
	sw->capacity = o.ports;
	sw->flows = o.flows;
	sw->refresh_ns = VIO_MIN(o.age_ns / 4 + 1, SWITCH_SECOND);
	sw->sweep_ns = o.age_ns / 8 / fdb_sweep_parts(sw->fdb) + 1;
	*out = sw;
	return 0;
}

void vio_switch_free(struct vio_switch *sw)
{
	if (!sw)
		return;
	sw_attach_end(sw);
	for (unsigned i = 0; i < SW_THREADS; i++)
		sw_thread_free(sw->thread[i]);
	fdb_free(sw->fdb);
	free(sw->members);
	sw_groups_free(sw);
	pthread_mutex_destroy(&sw->lock);
	free(sw);
}

void sw_sync(struct vio_switch *sw)
{
	vio__full_barrier(); /* what was published is seen by sections that begin from here on */
	for (unsigned i = 0; i < SW_THREADS && sw->thread[i]; i++) {
		const uint32_t *section = &sw->thread[i]->section;
		uint32_t seen = VIO_LOAD_ACQUIRE(section);

		while (seen & 1 && VIO_LOAD_ACQUIRE(section) == seen)
			sched_yield();
	}
}

void sw_changed(struct vio_switch *sw)
{
	__atomic_fetch_add(&sw->generation, 1, __ATOMIC_RELEASE);
	sw_sync(sw);
}

void sw_mirrors_add(struct vio_switch *sw, int n)
{
	VIO_STORE(&sw->mirrors, sw->mirrors + (uint32_t)n);
}

struct vio_switch_port *sw_find(struct vio_switch *sw, const char *name)
{
	for (unsigned i = 0; i < sw->high; i++)
		if (sw->port[i] && !strcmp(sw->port[i]->name, name))
			return sw->port[i];
	return NULL;
}

int sw_name_check(const char *name, const char *what)
{
	size_t len = strnlen(name, SW_NAME);

	if (!len || len == SW_NAME || strchr(name, ' '))
		return vio__fail(EINVAL,
				 "switch: %s name '%.32s', expected 1 to %u characters without a space", what,
				 name, SW_NAME - 1);
	return 0;
}

static int switch_place(struct vio_switch *sw, const char *name, uint16_t *number)
{
	unsigned i = 0;
	int rc = sw_name_check(name, "port");

	if (rc)
		return rc;
	if (sw_find(sw, name))
		return vio__fail(EEXIST, "switch: there is a port '%s' already", name);
	while (i < sw->capacity && sw->port[i])
		i++;
	if (i == sw->capacity)
		return vio__fail(ENOSPC, "switch: all of its %u ports exist", sw->capacity);
	*number = (uint16_t)i;
	return 0;
}

void sw_port_destroy(struct vio_switch_port *p)
{
	vio_backend_free(p->backend);
	free(p->steer);
	free(p->conf);
	free(p);
}

static int switch_port_make(struct vio_switch_port *p, const struct vio_switch_port_opts *opts)
{
	struct vio_switch *sw = p->sw;
	int rc = sw_backend_new(p);

	rc = rc ? rc : sw_port_set(p, opts);
	if (rc)
		return rc;
	VIO_STORE_RELEASE(&sw->port[p->number], p);
	VIO_STORE_RELEASE(&sw->high, VIO_MAX(sw->high, p->number + 1u));
	sw_changed(sw);
	return 0;
}

static int switch_port_new(struct vio_switch_port **out, struct vio_switch *sw, const char *name,
			   const struct vio_switch_port_opts *opts)
{
	struct vio_switch_port *p;
	uint16_t number = 0;
	int rc = switch_place(sw, name, &number);

	if (rc)
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return vio__fail(ENOMEM, "switch: out of memory for a port");
	p->sw = sw;
	p->number = number;
	p->serial = ++sw->serial;
	memcpy(p->name, name, strlen(name));
	rc = switch_port_make(p, opts);
	if (rc) {
		sw_port_destroy(p);
		return rc;
	}
	*out = p;
	return 0;
}

int vio_switch_port_new(struct vio_switch_port **out, struct vio_switch *sw, const char *name,
			const struct vio_switch_port_opts *opts)
{
	int rc;

	*out = NULL;
	pthread_mutex_lock(&sw->lock);
	rc = switch_port_new(out, sw, name, opts);
	pthread_mutex_unlock(&sw->lock);
	return rc;
}

void vio_switch_port_free(struct vio_switch_port *p)
{
	struct vio_switch *sw = p ? p->sw : NULL;
	bool ours;

	if (!p)
		return;
	ours = sw_detach(p);
	pthread_mutex_lock(&sw->lock);
	VIO_STORE_RELEASE(&sw->port[p->number], NULL);
	while (sw->high && !sw->port[sw->high - 1])
		VIO_STORE(&sw->high, sw->high - 1);
	sw_mirrors_add(sw, -(p->conf->mirror != SW_FLOOD));
	sw_members_set(p, p->conf, NULL);
	sw_changed(sw);
	if (p->conf->group)
		p->conf->group->ports--;
	fdb_forget_port(sw->fdb, p->number);
	pthread_mutex_unlock(&sw->lock);
	if (ours)
		sw_port_destroy(p);
}

struct vio_switch_port *vio_switch_port_find(struct vio_switch *sw, const char *name)
{
	struct vio_switch_port *p;

	pthread_mutex_lock(&sw->lock);
	p = sw_find(sw, name);
	pthread_mutex_unlock(&sw->lock);
	if (!p)
		vio__fail(ENOENT, "switch: no port is called '%s'", name);
	return p;
}

struct vio_switch_port *vio_switch_port_at(struct vio_switch *sw, unsigned *i)
{
	struct vio_switch_port *p = NULL;

	pthread_mutex_lock(&sw->lock);
	while (*i < sw->high && !(p = sw->port[*i]))
		++*i;
	pthread_mutex_unlock(&sw->lock);
	return p;
}

const char *vio_switch_port_name(const struct vio_switch_port *p)
{
	return p->name;
}

struct vio_backend *vio_switch_port_backend(struct vio_switch_port *p)
{
	return p->backend;
}

const char *vio_switch_drop_name(enum vio_switch_drop why)
{
	static const char *const names[VIO_SWITCH_DROP_N] = {
		[VIO_SWITCH_DROP_MALFORMED] = "malformed", [VIO_SWITCH_DROP_SOURCE] = "source",
		[VIO_SWITCH_DROP_VLAN] = "vlan",	   [VIO_SWITCH_DROP_LIMIT] = "limit",
		[VIO_SWITCH_DROP_STORM] = "storm",	   [VIO_SWITCH_DROP_SAME_PORT] = "same-port",
		[VIO_SWITCH_DROP_ISOLATED] = "isolated",   [VIO_SWITCH_DROP_DOWN] = "down",
		[VIO_SWITCH_DROP_NOWHERE] = "nowhere",	   [VIO_SWITCH_DROP_RESERVED] = "reserved",
		[VIO_SWITCH_DROP_NO_BUFFER] = "no-buffer", [VIO_SWITCH_DROP_TOO_LONG] = "too-long",
		[VIO_SWITCH_DROP_OFFLOAD] = "offload",	   [VIO_SWITCH_DROP_CONGESTED] = "congested",
	};

	return (unsigned)why < VIO_SWITCH_DROP_N ? names[why] : NULL;
}
