/* SPDX-License-Identifier: MIT */
/* What ports may: "vlan=10", "packets=1M/64K" and the like, from text, to the switch and back to text. */
#include "vswitch.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VLAN_MAX 4094u

const char policy_help[] =
	"  vlan=N                the VLAN of frames without a tag: 1..4094 (1)\n"
	"  trunk=10+20+30-39     carries these VLANs with tags; trunk=all; trunk=off (off)\n"
	"  isolated=on|off       reaches no other isolated port (off)\n"
	"  learn=on|off          its frames teach the switch where addresses are (on)\n"
	"  flood=on|off          it gets frames of unknown destination (on)\n"
	"  link=up|down          down: neither sends nor receives (up)\n"
	"  mirror=NAME           a copy of all it sends and receives goes to this port; empty: none\n"
	"  packets=RATE[/BURST]  what it may send in a second; K, M and G are thousands; 0: no limit\n"
	"  bytes=RATE[/BURST]    the same in bytes\n"
	"  storm=RATE[/BURST]    the same in packets to more than one port\n"
	"  addresses=N           it may have learnt so many; 0: no limit (0)\n"
	"  group=NAME            a group whose limits it shares, beside its own; empty: none\n";

void policy_init(struct policy *p)
{
	*p = (struct policy){ .vlan = 1 };
}

static const char *read_number(const char *text, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	return isdigit((unsigned char)*text) && !errno ? end : NULL;
}

static const char *read_vlan(const char *text, unsigned *vlan)
{
	uint64_t n;
	const char *end = read_number(text, &n);

	if (!end || n < 1 || n > VLAN_MAX)
		return NULL;
	*vlan = (unsigned)n;
	return end;
}

static int set_vlan(struct policy *p, const char *value)
{
	unsigned vlan;
	const char *end = read_vlan(value, &vlan);

	if (!end || *end)
		return -1;
	p->vlan = (uint16_t)vlan;
	return 0;
}

/* "10" or "30-39" at the start of text; what follows it. */
static const char *add_vlans(struct policy *p, const char *text)
{
	unsigned from, to;

	text = read_vlan(text, &from);
	to = from;
	if (text && *text == '-')
		text = read_vlan(text + 1, &to);
	if (!text || to < from)
		return NULL;
	for (unsigned v = from; v <= to; v++)
		p->vlans[v / 64] |= 1ull << v % 64;
	return text;
}

static int set_trunk(struct policy *p, const char *value)
{
	struct policy new = *p;

	memset(new.vlans, 0, sizeof(new.vlans));
	new.some = strcmp(value, "all") && strcmp(value, "off");
	new.flags |= VIO_SWITCH_TRUNK;
	if (!strcmp(value, "off"))
		new.flags &= ~VIO_SWITCH_TRUNK;
	while (new.some) {
		value = add_vlans(&new, value);
		if (!value || (*value && *value != '+'))
			return -1;
		if (!*value++)
			break;
	}
	*p = new;
	return 0;
}

/* Sets or clears a flag by one of two words. */
static int set_flag(struct policy *p, uint32_t flag, const char *value, const char *set, const char *clear)
{
	if (!strcmp(value, set))
		p->flags |= flag;
	else if (!strcmp(value, clear))
		p->flags &= ~flag;
	else
		return -1;
	return 0;
}

static int set_isolated(struct policy *p, const char *value)
{
	return set_flag(p, VIO_SWITCH_ISOLATED, value, "on", "off");
}

static int set_learn(struct policy *p, const char *value)
{
	return set_flag(p, VIO_SWITCH_NO_LEARN, value, "off", "on");
}

static int set_flood(struct policy *p, const char *value)
{
	return set_flag(p, VIO_SWITCH_NO_FLOOD, value, "off", "on");
}

static int set_link(struct policy *p, const char *value)
{
	return set_flag(p, VIO_SWITCH_DOWN, value, "down", "up");
}

static int set_mirror(struct policy *p, const char *value)
{
	if (*value && !name_is_good(value))
		return -1;
	snprintf(p->mirror, sizeof(p->mirror), "%s", value);
	return 0;
}

static const char *read_scaled(const char *text, uint64_t *n)
{
	static const char units[] = "KMG";
	const char *unit;

	text = read_number(text, n);
	unit = text && *text ? strchr(units, *text) : NULL;
	if (!unit)
		return text;
	for (const char *u = units; u <= unit; u++)
		if (__builtin_mul_overflow(*n, 1000u, n))
			return NULL;
	return text + 1;
}

static int set_limit(struct vio_switch_limit *limit, const char *value)
{
	struct vio_switch_limit new = { 0 };

	value = read_scaled(value, &new.rate);
	if (value && *value == '/')
		value = read_scaled(value + 1, &new.burst);
	if (!value || *value)
		return -1;
	*limit = new;
	return 0;
}

static int set_packets(struct policy *p, const char *value)
{
	return set_limit(&p->packets, value);
}

static int set_bytes(struct policy *p, const char *value)
{
	return set_limit(&p->bytes, value);
}

static int set_storm(struct policy *p, const char *value)
{
	return set_limit(&p->storm, value);
}

static int set_addresses(struct policy *p, const char *value)
{
	uint64_t n;

	value = read_scaled(value, &n);
	if (!value || *value || n > UINT32_MAX)
		return -1;
	p->addresses = (uint32_t)n;
	return 0;
}

static int set_group(struct policy *p, const char *value)
{
	if (*value && !name_is_good(value))
		return -1;
	snprintf(p->group, sizeof(p->group), "%s", value);
	return 0;
}

static const struct {
	const char *key;
	int (*set)(struct policy *p, const char *value);
	const char *expected;
} keys[] = {
	{ "vlan", set_vlan, "a VLAN: 1 to 4094" },
	{ "trunk", set_trunk, "VLANs such as 10+20+30-39, all or off" },
	{ "isolated", set_isolated, "on or off" },
	{ "learn", set_learn, "on or off" },
	{ "flood", set_flood, "on or off" },
	{ "link", set_link, "up or down" },
	{ "mirror", set_mirror, "a port's name, or nothing" },
	{ "packets", set_packets, "a rate, or a rate and a burst such as 1M/64K" },
	{ "bytes", set_bytes, "a rate, or a rate and a burst such as 125M/1M" },
	{ "storm", set_storm, "a rate, or a rate and a burst such as 1K/100" },
	{ "addresses", set_addresses, "a number, 0 for no limit" },
	{ "group", set_group, "a group's name, or nothing" },
};

int policy_set(struct policy *p, const char *key, const char *value, char why[WHY_SIZE])
{
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i].key))
			continue;
		if (keys[i].set(p, value))
			return refuse(why, "%s=%s: expected %s", key, value, keys[i].expected);
		return 1;
	}
	return 0;
}

/* The VLANs of p as a list; how many. */
static uint16_t list_vlans(const struct policy *p, uint16_t vlans[VLAN_MAX])
{
	uint16_t n = 0;

	for (uint16_t v = 1; v <= VLAN_MAX; v++)
		if (p->vlans[v / 64] >> v % 64 & 1)
			vlans[n++] = v;
	return n;
}

int policy_apply(const struct policy *p, struct vio_switch_port *port)
{
	uint16_t vlans[VLAN_MAX];
	VIO_OPTS(vio_switch_port_opts, o, .flags = p->flags, .vlan = p->vlan,
		 .nvlans = p->some ? list_vlans(p, vlans) : 0, .vlans = vlans,
		 .mirror = *p->mirror ? p->mirror : NULL, .packets = p->packets, .bytes = p->bytes,
		 .storm = p->storm, .addresses = p->addresses, .group = *p->group ? p->group : NULL);

	return vio_switch_port_set(port, &o);
}

/* "10+20+30-39" */
static void put_list(const uint16_t *vlans, unsigned n, FILE *to)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned first = i;

		while (i + 1 < n && vlans[i + 1] == vlans[i] + 1)
			i++;
		fprintf(to, "%s%u", first ? "+" : "", vlans[first]);
		if (i > first)
			fprintf(to, "-%u", vlans[i]);
	}
}

void policy_put_vlans(const struct policy *p, FILE *to)
{
	uint16_t vlans[VLAN_MAX];

	fprintf(to, "%u", p->vlan);
	if (!(p->flags & VIO_SWITCH_TRUNK))
		return;
	fputs(" trunk=", to);
	if (p->some)
		put_list(vlans, list_vlans(p, vlans), to);
	else
		fputs("all", to);
}

static void put_word(FILE *to, const char **space, const char *word)
{
	fprintf(to, "%s%s", *space, word);
	*space = " ";
}

static void put_limit(FILE *to, const char **space, const char *key, const struct vio_switch_limit *limit)
{
	if (!limit->rate)
		return;
	put_word(to, space, key);
	fprintf(to, "=%llu", (unsigned long long)limit->rate);
	if (limit->burst)
		fprintf(to, "/%llu", (unsigned long long)limit->burst);
}

void policy_limits(struct policy *p, const struct vio_switch_limits *l)
{
	p->packets = l->packets;
	p->bytes = l->bytes;
	p->storm = l->storm;
}

void policy_put_rest(const struct policy *p, FILE *to)
{
	const char *space = "";

	if (p->flags & VIO_SWITCH_ISOLATED)
		put_word(to, &space, "isolated=on");
	if (p->flags & VIO_SWITCH_NO_LEARN)
		put_word(to, &space, "learn=off");
	if (p->flags & VIO_SWITCH_NO_FLOOD)
		put_word(to, &space, "flood=off");
	if (*p->mirror) {
		put_word(to, &space, "mirror=");
		fputs(p->mirror, to);
	}
	put_limit(to, &space, "packets", &p->packets);
	put_limit(to, &space, "bytes", &p->bytes);
	put_limit(to, &space, "storm", &p->storm);
	if (p->addresses) {
		put_word(to, &space, "addresses=");
		fprintf(to, "%u", p->addresses);
	}
	if (*p->group) {
		put_word(to, &space, "group=");
		fputs(p->group, to);
	}
}
