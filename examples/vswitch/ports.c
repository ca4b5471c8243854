/* SPDX-License-Identifier: MIT */
/* Ports: how they come, change and go. All on the main thread, but what is attached is so on its own. */
#include "vswitch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct port *port_find(struct vswitch *s, const char *name)
{
	for (struct port *p = s->ports; p; p = p->next)
		if (!strcmp(p->spec.name, name))
			return p;
	return NULL;
}

/* The port joins the list; what its spec says is still to be made. */
static struct port *port_new(struct vswitch *s, struct spec *spec, char why[WHY_SIZE])
{
	struct port *p;

	if (port_find(s, spec->name)) {
		refuse(why, "there is a port '%s' already", spec->name);
		spec_free(spec);
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		spec_free(spec);
		refuse(why, "out of memory");
		return NULL;
	}
	p->s = s;
	p->spec = *spec;
	p->thread = s->next_thread++ % s->o.threads;
	*s->last = p;
	s->last = &p->next;
	return p;
}

static void port_unlink(struct port *p)
{
	struct port **at = &p->s->ports;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (p->s->last == &p->next)
		p->s->last = at;
}

/* An attached backend's lanes are closed where they were opened. */
static void port_free_switch_port(void *ctx)
{
	vio_switch_port_free(((struct port *)ctx)->port);
}

static void port_free(struct port *p)
{
	vio_vhost_user_free(p->transport);
	vio_dev_free(p->dev);
	if (p->port)
		threads_call(p->s, p->backend ? p->thread : 0, port_free_switch_port, p);
	vio_backend_free(p->backend);
	port_unlink(p);
	spec_free(&p->spec);
	free(p);
}

static int port_make_device(struct port *p)
{
	return vio_dev_new(&p->dev, vio_dev_net(), vio_switch_port_backend(p->port), p->spec.device);
}

/* Everything but the way in: nothing is to be seen of it yet. */
static int port_make(struct port *p, char why[WHY_SIZE])
{
	int rc = vio_switch_port_new(&p->port, p->s->sw, p->spec.name, NULL);

	if (!rc && p->spec.stack)
		rc = vio_backend_parse(&p->backend, p->s->scope, p->spec.stack);
	if (!rc && p->spec.socket)
		rc = port_make_device(p);
	return rc ? refuse(why, "%s", vio_errmsg()) : 0;
}

/* The cable of a guest's card is what the guest sees of its port. */
static int port_apply(struct port *p, char why[WHY_SIZE])
{
	const struct policy *policy = &p->spec.policy;
	int rc = policy_apply(policy, p->port);

	if (!rc && p->dev)
		rc = vio_net_set_link(p->dev, !(policy->flags & VIO_SWITCH_DOWN));
	return rc ? refuse(why, "%s", vio_errmsg()) : 0;
}

static int port_check_mirror(struct port *p, const struct policy *policy, char why[WHY_SIZE])
{
	struct port *to = *policy->mirror ? port_find(p->s, policy->mirror) : NULL;

	if (to == p)
		return refuse(why, "mirror=%s: a port cannot be its own mirror", policy->mirror);
	if (*policy->mirror && (!to || to->leaving))
		return refuse(why, "mirror=%s: there is no such port", policy->mirror);
	return 0;
}

static void on_connected(void *ctx, bool yes)
{
	((struct port *)ctx)->connected = yes;
}

/* Each pair of queues on one thread, neighbouring pairs on neighbouring threads; then the control queue. */
static struct vio_poller **port_pollers(const struct port *p, unsigned n)
{
	struct vio_poller **pollers = calloc(n, sizeof(struct vio_poller *));

	for (unsigned i = 0; pollers && i < n; i++)
		pollers[i] = p->s->pollers[(p->thread + i / 2) % p->s->o.threads];
	return pollers;
}

static int port_open_socket(struct port *p)
{
	unsigned n = vio_dev_queues(p->dev);
	struct vio_poller **pollers = port_pollers(p, n);
	VIO_OPTS(vio_vhost_user_opts, o, .path = p->spec.socket, .client = p->spec.client,
		 .require_seals = p->spec.require_seals, .pollers = pollers, .npollers = n,
		 .connected = on_connected, .ctx = p);
	int rc = pollers ? vio_vhost_user_new(&p->transport, p->s->pollers[0], p->dev, &o) : -ENOMEM;

	free(pollers);
	return rc;
}

/* The sentence of a failure belongs to the thread that failed. */
struct attach {
	struct port *port;
	int rc;
	char *why;
};

static void port_attach(void *ctx)
{
	struct attach *a = ctx;
	struct port *p = a->port;

	a->rc = vio_switch_port_attach(p->port, p->backend, p->s->pollers[p->thread]);
	if (a->rc)
		refuse(a->why, "%s", vio_errmsg());
}

static int port_open_way_in(struct port *p, char why[WHY_SIZE])
{
	struct attach a = { .port = p, .why = why };

	if (p->spec.socket)
		return port_open_socket(p) ? refuse(why, "%s", vio_errmsg()) : 0;
	threads_call(p->s, p->thread, port_attach, &a);
	return a.rc ? -1 : 0;
}

static int port_start(struct port *p, char why[WHY_SIZE])
{
	int rc = port_check_mirror(p, &p->spec.policy, why);

	if (!rc)
		rc = port_apply(p, why);
	if (!rc)
		rc = port_open_way_in(p, why);
	if (!rc)
		say(p->s, VIO_LOG_INFO, "port %s: %s", p->spec.name, p->spec.what);
	return rc;
}

/* Names the port that `why` is about. */
static int port_blame(const char *what, char why[WHY_SIZE])
{
	char said[WHY_SIZE];

	memcpy(said, why, sizeof(said));
	said[WHY_SIZE - 1] = 0;
	return refuse(why, "%s: %s", what, said);
}

/* All are made before one is seen, so that mirrors may be named before they come and little is to be undone.
 */
int ports_open(struct vswitch *s, char why[WHY_SIZE])
{
	for (unsigned i = 0; i < s->o.nports; i++) {
		struct spec spec = s->o.ports[i];
		struct port *p;

		s->o.ports[i] = (struct spec){ 0 };
		p = port_new(s, &spec, why);
		if (!p)
			return -1;
		if (port_make(p, why))
			return port_blame(p->spec.what, why);
	}
	for (struct port *p = s->ports; p; p = p->next)
		if (port_start(p, why))
			return port_blame(p->spec.what, why);
	return 0;
}

int port_add(struct vswitch *s, struct spec *spec, char why[WHY_SIZE])
{
	struct port *p = port_new(s, spec, why);

	if (!p)
		return -1;
	if (!port_make(p, why) && !port_start(p, why))
		return 0;
	port_free(p);
	return -1;
}

int port_change(struct port *p, const struct policy *to, char why[WHY_SIZE])
{
	struct policy old = p->spec.policy;

	if (port_check_mirror(p, to, why))
		return -1;
	p->spec.policy = *to;
	if (!port_apply(p, why))
		return 0;
	p->spec.policy = old;
	return -1;
}

static void on_drained(void *ctx)
{
	struct port *p = ctx;
	struct conn *waiter = p->waiter;

	port_free(p);
	if (waiter)
		control_done(waiter);
}

static void port_leave(struct port *p)
{
	p->leaving = true;
	if (p->transport)
		vio_vhost_user_stop(p->transport, on_drained, p);
	else
		on_drained(p);
}

int port_remove(struct port *p, struct conn *waiter, char why[WHY_SIZE])
{
	int rc;

	for (struct port *o = p->s->ports; o; o = o->next)
		if (!o->leaving && !strcmp(o->spec.policy.mirror, p->spec.name))
			return refuse(why, "port %s is the mirror of port %s", p->spec.name, o->spec.name);
	say(p->s, VIO_LOG_INFO, "port %s: leaves", p->spec.name);
	p->waiter = p->transport ? waiter : NULL;
	rc = p->transport ? 1 : 0;
	port_leave(p);
	return rc;
}

void ports_close(struct vswitch *s)
{
	for (struct port *p = s->ports, *next; p; p = next) {
		next = p->next;
		if (!p->leaving)
			port_leave(p);
	}
	while (s->ports && vio_poller_wait(s->pollers[0], -1) >= 0)
		;
}
