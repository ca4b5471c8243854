/* SPDX-License-Identifier: MIT */
/* What there is and what was counted, as tables. */
#include "vswitch.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS(c) (c), sizeof(c) / sizeof((c)[0])

static const char *port_state(const struct port *p)
{
	if (p->leaving)
		return "leaving";
	if (p->spec.policy.flags & VIO_SWITCH_DOWN)
		return "down";
	if (!p->spec.socket)
		return "attached";
	return p->connected ? "connected" : "waiting";
}

/* What `put` writes, as a cell. */
static void put_policy(struct table *t, const struct policy *p, void (*put)(const struct policy *p, FILE *to))
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (to) {
		put(p, to);
		if (fclose(to)) {
			free(text);
			text = NULL;
		}
	}
	table_put(t, "%s", text ? text : "");
	free(text);
}

void show_ports(struct vswitch *s, FILE *to, bool json)
{
	static const struct column columns[] = {
		{ "PORT", COLUMN_TEXT }, { "STATE", COLUMN_TEXT },    { "THREAD", COLUMN_NUMBER },
		{ "VLAN", COLUMN_TEXT }, { "LEADS TO", COLUMN_TEXT }, { "OPTIONS", COLUMN_TEXT },
	};
	struct table *t = table_new(COLUMNS(columns));

	for (const struct port *p = s->ports; t && p; p = p->next) {
		table_put(t, "%s", p->spec.name);
		table_put(t, "%s", port_state(p));
		table_number(t, p->thread);
		put_policy(t, &p->spec.policy, policy_put_vlans);
		table_put(t, "%s", p->spec.what);
		put_policy(t, &p->spec.policy, policy_put_rest);
	}
	table_end(t, to, json);
}

void show_all(struct vswitch *s, FILE *to, bool json)
{
	static const char *const modes[] = { "event", "busy", "adaptive" }; /* as enum vio_poll_mode */
	unsigned seconds = (unsigned)((vio_poller_now(s->pollers[0]) - s->started) / 1000000000);

	if (json) {
		fprintf(to,
			"{\"version\": \"%s\", \"up_seconds\": %u, \"threads\": %u, \"poll\": \"%s\", "
			"\"ports\": ",
			vio_version(), seconds, s->o.threads, modes[s->o.mode]);
		show_ports(s, to, true);
		fputs("}\n", to);
		return;
	}
	fprintf(to, "vswitch %s, up %u s, threads: %u, poll: %s\n\n", vio_version(), seconds, s->o.threads,
		modes[s->o.mode]);
	show_ports(s, to, false);
}

/* Addresses as the switch tells them, to be sorted. */
struct heard {
	struct vio_switch_address *a;
	size_t have, room;
};

static void on_address(void *ctx, const struct vio_switch_address *a)
{
	struct heard *h = ctx;

	if (h->have == h->room) {
		size_t room = h->room ? 2 * h->room : 256;
		struct vio_switch_address *more = realloc(h->a, room * sizeof(*more));

		if (!more)
			return;
		h->a = more;
		h->room = room;
	}
	h->a[h->have++] = *a;
}

static int by_vlan_and_address(const void *x, const void *y)
{
	const struct vio_switch_address *a = x, *b = y;

	return a->vlan != b->vlan ? (a->vlan > b->vlan) - (a->vlan < b->vlan) : memcmp(a->mac, b->mac, 6);
}

void show_addresses(struct vswitch *s, FILE *to, bool json)
{
	static const struct column columns[] = {
		{ "VLAN", COLUMN_NUMBER }, { "ADDRESS", COLUMN_TEXT },	 { "PORT", COLUMN_TEXT },
		{ "KIND", COLUMN_TEXT },   { "SECONDS", COLUMN_NUMBER },
	};
	struct table *t = table_new(COLUMNS(columns));
	struct heard h = { 0 };

	vio_switch_addresses(s->sw, on_address, &h);
	if (h.have)
		qsort(h.a, h.have, sizeof(*h.a), by_vlan_and_address);
	for (size_t i = 0; t && i < h.have; i++) {
		const struct vio_switch_address *a = &h.a[i];

		table_number(t, a->vlan);
		table_put(t, "%02x:%02x:%02x:%02x:%02x:%02x", a->mac[0], a->mac[1], a->mac[2], a->mac[3],
			  a->mac[4], a->mac[5]);
		table_put(t, "%s", vio_switch_port_name(a->port));
		table_put(t, "%s", a->fixed ? "static" : "learnt");
		table_number(t, a->age_ns / 1000000000);
	}
	table_end(t, to, json);
	free(h.a);
}

/* The names of a group's ports, as a cell. */
static void put_group_ports(struct table *t, const struct vswitch *s, const char *group)
{
	char *text = NULL;
	const char *space = "";
	size_t len;
	FILE *to = open_memstream(&text, &len);

	for (const struct port *p = s->ports; to && p; p = p->next)
		if (!strcmp(p->spec.policy.group, group)) {
			fprintf(to, "%s%s", space, p->spec.name);
			space = " ";
		}
	table_put(t, "%s", to && !fclose(to) ? text : "");
	free(text);
}

void show_groups(struct vswitch *s, FILE *to, bool json)
{
	static const struct column columns[] = {
		{ "GROUP", COLUMN_TEXT },
		{ "LIMITS", COLUMN_TEXT },
		{ "PORTS", COLUMN_TEXT },
	};
	struct table *t = table_new(COLUMNS(columns));
	VIO_OPTS(vio_switch_limits, l);
	const char *name;

	for (unsigned i = 0; t && (name = vio_switch_group_at(s->sw, i, &l)); i++) {
		struct policy limits;

		policy_init(&limits);
		policy_limits(&limits, &l);
		table_put(t, "%s", name);
		put_policy(t, &limits, policy_put_rest);
		put_group_ports(t, s, name);
	}
	table_end(t, to, json);
}

static const char *const guest_drops[VIO_NET_DROP_N] = {
	[VIO_NET_DROP_SHORT] = "guest-length",
	[VIO_NET_DROP_HEADER] = "guest-header",
	[VIO_NET_DROP_FILTER] = "guest-filter",
	[VIO_NET_DROP_LINK] = "guest-link",
};

/* What a port counted, and of a guest's card what it lost by itself, all pairs together. */
struct counted {
	struct vio_switch_port_stats port;
	uint64_t guest[VIO_NET_DROP_N];
};

static void count(const struct port *p, struct counted *c)
{
	VIO_OPTS(vio_net_stats, pair);

	*c = (struct counted){ .port.sz = sizeof(c->port) };
	vio_switch_port_stats(p->port, &c->port);
	for (unsigned i = 0; p->dev && !vio_net_stats(p->dev, i, &pair); i++)
		for (unsigned why = 0; why < VIO_NET_DROP_N; why++)
			c->guest[why] += pair.dropped[why];
}

static uint64_t drops(const struct counted *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
		n += c->port.dropped[i];
	for (unsigned i = 0; i < VIO_NET_DROP_N; i++)
		n += c->guest[i];
	return n;
}

static void put_counters(struct table *t, const struct port *p)
{
	struct counted c;

	count(p, &c);
	table_put(t, "%s", p->spec.name);
	table_number(t, c.port.sent);
	table_number(t, c.port.sent_bytes);
	table_number(t, c.port.delivered);
	table_number(t, c.port.delivered_bytes);
	table_number(t, c.port.flooded);
	table_number(t, c.port.segmented);
	table_number(t, c.port.summed);
	table_number(t, c.port.addresses);
	table_number(t, c.port.unlearnt);
	table_number(t, drops(&c));
	for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
		table_number(t, c.port.dropped[i]);
	for (unsigned i = 0; i < VIO_NET_DROP_N; i++)
		table_number(t, c.guest[i]);
}

static void show_counters(struct vswitch *s, FILE *to, bool json)
{
	static const struct column shown[] = {
		{ "PORT", COLUMN_TEXT },
		{ "SENT", COLUMN_NUMBER },
		{ "SENT BYTES", COLUMN_NUMBER },
		{ "DELIVERED", COLUMN_NUMBER },
		{ "DELIVERED BYTES", COLUMN_NUMBER },
		{ "FLOODED", COLUMN_NUMBER },
		{ "SEGMENTED", COLUMN_NUMBER },
		{ "SUMMED", COLUMN_NUMBER },
		{ "ADDRESSES", COLUMN_NUMBER },
		{ "UNLEARNT", COLUMN_NUMBER },
		{ "DROPPED", COLUMN_NUMBER },
	};
	struct column columns[sizeof(shown) / sizeof(shown[0]) + VIO_SWITCH_DROP_N + VIO_NET_DROP_N];
	unsigned n = sizeof(shown) / sizeof(shown[0]);
	struct table *t;

	memcpy(columns, shown, sizeof(shown));
	for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
		columns[n++] = (struct column){ vio_switch_drop_name(i), COLUMN_HIDDEN };
	for (unsigned i = 0; i < VIO_NET_DROP_N; i++)
		columns[n++] = (struct column){ guest_drops[i], COLUMN_HIDDEN };
	t = table_new(columns, n);
	for (const struct port *p = s->ports; t && p; p = p->next)
		put_counters(t, p);
	table_end(t, to, json);
}

static void put_drop(struct table *t, const struct port *p, const char *why, uint64_t n)
{
	if (!n)
		return;
	table_put(t, "%s", p->spec.name);
	table_put(t, "%s", why);
	table_number(t, n);
}

/* Only the reasons that there were. */
static void show_drops(struct vswitch *s, FILE *to)
{
	static const struct column columns[] = {
		{ "PORT", COLUMN_TEXT },
		{ "DROPPED BECAUSE OF", COLUMN_TEXT },
		{ "PACKETS", COLUMN_NUMBER },
	};
	struct table *t = table_new(COLUMNS(columns));

	for (const struct port *p = s->ports; t && p; p = p->next) {
		struct counted c;

		count(p, &c);
		for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
			put_drop(t, p, vio_switch_drop_name(i), c.port.dropped[i]);
		for (unsigned i = 0; i < VIO_NET_DROP_N; i++)
			put_drop(t, p, guest_drops[i], c.guest[i]);
	}
	table_end(t, to, false);
}

void show_stats(struct vswitch *s, FILE *to, bool json)
{
	uint64_t dropped = 0;

	show_counters(s, to, json);
	for (const struct port *p = s->ports; !json && p; p = p->next) {
		struct counted c;

		count(p, &c);
		dropped += drops(&c);
	}
	if (!dropped)
		return;
	fputc('\n', to);
	show_drops(s, to);
}
