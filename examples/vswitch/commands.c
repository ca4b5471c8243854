/* SPDX-License-Identifier: MIT */
/* The commands of control clients: one line in, a table or nothing out, or a sentence that says why not. */
#include "vswitch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 32

const char commands_help[] =
	"  show                        what runs, and the ports\n"
	"  ports                       where each port leads, its state, VLANs and options\n"
	"  addresses                   which address was heard on which port\n"
	"  stats                       packets of each port, and why some were dropped\n"
	"  add PORT                    a new port, as --port has it\n"
	"  remove NAME                 takes a port away, its guest's queues drained\n"
	"  set NAME KEY=VALUE...       changes a port while packets pass\n"
	"  link NAME up|down           puts a port's cable in or pulls it out\n"
	"  address add MAC VLAN NAME   a static address: never aged, never moved\n"
	"  address del MAC VLAN        takes it back\n"
	"  groups                      limits that ports share, and whose they are\n"
	"  group set NAME KEY=VALUE... packets, bytes, storm: makes a group, or changes it\n"
	"  group del NAME              when no port is in it\n";

/* A command being run. */
struct run {
	struct vswitch *s;
	struct conn *from;
	FILE *to;
	char *why;
	bool json;
	char *rest; /* of the line, behind the command */
	char *word[MAX_WORDS];
	unsigned words;
};

static enum answer answer(int rc)
{
	return rc ? ANSWER_REFUSED : ANSWER_DONE;
}

static enum answer run_show(struct run *r)
{
	show_all(r->s, r->to, r->json);
	return ANSWER_DONE;
}

static enum answer run_ports(struct run *r)
{
	show_ports(r->s, r->to, r->json);
	return ANSWER_DONE;
}

static enum answer run_addresses(struct run *r)
{
	show_addresses(r->s, r->to, r->json);
	return ANSWER_DONE;
}

static enum answer run_stats(struct run *r)
{
	show_stats(r->s, r->to, r->json);
	return ANSWER_DONE;
}

static enum answer run_groups(struct run *r)
{
	show_groups(r->s, r->to, r->json);
	return ANSWER_DONE;
}

static enum answer run_group(struct run *r)
{
	if (!strcmp(r->word[0], "set") && r->words > 2)
		return answer(group_set(r->s, r->word[1], r->word + 2, r->words - 2, r->why));
	if (!strcmp(r->word[0], "del") && r->words == 2)
		return answer(group_del(r->s, r->word[1], r->why));
	refuse(r->why, "expected: group set NAME KEY=VALUE..., or group del NAME");
	return ANSWER_REFUSED;
}

static enum answer run_add(struct run *r)
{
	struct spec spec;

	if (spec_read(&spec, r->rest, r->why))
		return ANSWER_REFUSED;
	return answer(port_add(r->s, &spec, r->why));
}

/* A port that is there and stays. */
static struct port *named(struct run *r, const char *name)
{
	struct port *p = port_find(r->s, name);

	if (!p)
		refuse(r->why, "there is no port '%.64s'", name);
	else if (p->leaving)
		refuse(r->why, "port %s is about to leave", name);
	return p && !p->leaving ? p : NULL;
}

static enum answer run_remove(struct run *r)
{
	struct port *p = named(r, r->word[0]);
	int rc = p ? port_remove(p, r->from, r->why) : -1;

	return rc > 0 ? ANSWER_LATER : answer(rc);
}

static int change(struct run *r, struct policy *policy, char *word)
{
	char *value = strchr(word, '=');
	int rc;

	if (!value)
		return refuse(r->why, "'%.64s': expected KEY=VALUE", word);
	*value++ = 0;
	rc = policy_set(policy, word, value, r->why);
	if (!rc)
		return refuse(r->why, "'%.64s' cannot be changed, expected one of:\n%s", word, policy_help);
	return rc < 0 ? -1 : 0;
}

/* All of the changes, or none. */
static enum answer run_set(struct run *r)
{
	struct port *p = named(r, r->word[0]);
	struct policy policy;

	if (!p)
		return ANSWER_REFUSED;
	policy = p->spec.policy;
	for (unsigned i = 1; i < r->words; i++)
		if (change(r, &policy, r->word[i]))
			return ANSWER_REFUSED;
	return answer(port_change(p, &policy, r->why));
}

static enum answer run_link(struct run *r)
{
	struct port *p = named(r, r->word[0]);
	struct policy policy;

	if (!p)
		return ANSWER_REFUSED;
	policy = p->spec.policy;
	if (policy_set(&policy, "link", r->word[1], r->why) < 0)
		return ANSWER_REFUSED;
	return answer(port_change(p, &policy, r->why));
}

static int read_mac(struct run *r, const char *text, uint8_t mac[6])
{
	unsigned b[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 6 ||
	    end != 17 || text[end])
		return refuse(r->why, "'%.64s': expected an address such as 52:54:00:12:34:56", text);
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return 0;
}

static int read_vlan(struct run *r, const char *text, uint16_t *vlan)
{
	struct policy p;

	policy_init(&p);
	if (policy_set(&p, "vlan", text, r->why) < 0)
		return -1;
	*vlan = p.vlan;
	return 0;
}

static enum answer run_address(struct run *r)
{
	bool add = !strcmp(r->word[0], "add");
	struct port *p = NULL;
	uint16_t vlan;
	uint8_t mac[6];

	if ((!add && strcmp(r->word[0], "del")) || r->words != (add ? 4 : 3)) {
		refuse(r->why, "expected: address add MAC VLAN NAME, or address del MAC VLAN");
		return ANSWER_REFUSED;
	}
	if (read_mac(r, r->word[1], mac) || read_vlan(r, r->word[2], &vlan))
		return ANSWER_REFUSED;
	if (add && !(p = named(r, r->word[3])))
		return ANSWER_REFUSED;
	if (!vio_switch_address_set(r->s->sw, mac, vlan, p ? p->port : NULL))
		return ANSWER_DONE;
	refuse(r->why, "%s", vio_errmsg());
	return ANSWER_REFUSED;
}

static const struct command {
	const char *name;
	enum answer (*run)(struct run *r);
	unsigned min, max; /* words that follow */
	const char *expected;
} commands[] = {
	{ "show", run_show, 0, 0, "show" },
	{ "ports", run_ports, 0, 0, "ports" },
	{ "addresses", run_addresses, 0, 0, "addresses" },
	{ "stats", run_stats, 0, 0, "stats" },
	{ "add", run_add, 1, MAX_WORDS, "add PORT" },
	{ "remove", run_remove, 1, 1, "remove NAME" },
	{ "set", run_set, 2, MAX_WORDS, "set NAME KEY=VALUE..." },
	{ "link", run_link, 2, 2, "link NAME up|down" },
	{ "address", run_address, 3, 4, "address add MAC VLAN NAME, or address del MAC VLAN" },
	{ "groups", run_groups, 0, 0, "groups" },
	{ "group", run_group, 2, MAX_WORDS, "group set NAME KEY=VALUE..., or group del NAME" },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static enum answer unknown(const char *word, char why[WHY_SIZE])
{
	size_t at = (size_t)snprintf(why, WHY_SIZE, "unknown command '%.64s'; there are:", word);

	for (unsigned i = 0; i < COMMANDS; i++)
		at += (size_t)snprintf(why + at, WHY_SIZE - at, " %s", commands[i].name);
	return ANSWER_REFUSED;
}

/* Takes the next word off the line; "" at its end. */
static char *next_word(char **line)
{
	char *word = *line + strspn(*line, " ");

	*line = word + strcspn(word, " ");
	if (**line)
		*(*line)++ = 0;
	return word;
}

/* The words of the rest, which `add` wants whole. False: too many. */
static bool split(struct run *r, char *text)
{
	for (r->words = 0; *(text += strspn(text, " "));) {
		if (r->words == MAX_WORDS)
			return false;
		r->word[r->words++] = next_word(&text);
	}
	return true;
}

enum answer command_run(struct vswitch *s, struct conn *from, char *line, FILE *to, char why[WHY_SIZE])
{
	struct run r = { .s = s, .from = from, .to = to, .why = why };
	char *name = next_word(&line), *words;
	enum answer a;

	r.json = !strcmp(name, "json");
	if (r.json)
		name = next_word(&line);
	r.rest = line + strspn(line, " ");
	words = strdup(r.rest);
	if (!words) {
		refuse(why, "out of memory");
		return ANSWER_REFUSED;
	}
	a = unknown(name, why);
	for (unsigned i = 0; i < COMMANDS; i++) {
		if (strcmp(name, commands[i].name))
			continue;
		if (!split(&r, words) || r.words < commands[i].min || r.words > commands[i].max)
			refuse(why, "expected: %s", commands[i].expected);
		else
			a = commands[i].run(&r);
	}
	free(words);
	return a;
}
