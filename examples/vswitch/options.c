/* SPDX-License-Identifier: MIT */
#include "vswitch.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct option {
	const char *name;
	const char *value; /* NULL: takes none; in brackets: may stand alone */
	const char *help;
	int (*set)(const struct option *o, const char *value, struct options *to);
	size_t at; /* of a number in struct options */
	unsigned min, max;
};

static int unexpected(const struct option *o, const char *value, const char *expected)
{
	fprintf(stderr, "vswitch: --%s %s: expected %s\n", o->name, *value ? value : "''", expected);
	return -1;
}

static int set_number(const struct option *o, const char *value, struct options *to)
{
	char expected[64], *end;
	unsigned long v;

	errno = 0;
	v = strtoul(value, &end, 10);
	snprintf(expected, sizeof(expected), "a number from %u to %u", o->min, o->max);
	if (!isdigit((unsigned char)value[0]) || *end || errno || v < o->min || v > o->max)
		return unexpected(o, value, expected);
	*(unsigned *)((char *)to + o->at) = (unsigned)v;
	return 0;
}

static int set_port(const struct option *o, const char *value, struct options *to)
{
	struct spec *more = realloc(to->ports, (to->nports + 1) * sizeof(*more));
	char why[WHY_SIZE] = "out of memory";

	if (more)
		to->ports = more;
	if (!more || spec_read(&to->ports[to->nports], value, why)) {
		fprintf(stderr, "vswitch: --%s %s: %s\n", o->name, value, why);
		return -1;
	}
	for (unsigned i = 0; i < to->nports; i++)
		if (!strcmp(to->ports[i].name, to->ports[to->nports].name)) {
			fprintf(stderr,
				"vswitch: --port %s: there is a port '%s' already, expected name=NAME\n",
				value, to->ports[i].name);
			spec_free(&to->ports[to->nports]);
			return -1;
		}
	to->nports++;
	return 0;
}

static int set_group(const struct option *o, const char *value, struct options *to)
{
	const char **more = realloc(to->groups, (to->ngroups + 1) * sizeof(*more));

	if (!more)
		return unexpected(o, value, "enough memory");
	to->groups = more;
	to->groups[to->ngroups++] = value;
	return 0;
}

/* The place of the value among three words, or -1. */
static int choose(const struct option *o, const char *value, const char *const words[3], const char *expected)
{
	for (int i = 0; i < 3; i++)
		if (!strcmp(value, words[i]))
			return i;
	return unexpected(o, value, expected);
}

static int set_poll(const struct option *o, const char *value, struct options *to)
{
	static const char *const words[] = { "event", "busy", "adaptive" }; /* as enum vio_poll_mode */
	int mode = *value ? choose(o, value, words, "event, busy or adaptive") : VIO_POLL_BUSY;

	to->mode = (enum vio_poll_mode)mode;
	return mode < 0 ? -1 : 0;
}

static int set_log(const struct option *o, const char *value, struct options *to)
{
	static const char *const words[] = { "error", "info", "debug" }; /* as enum vio_log_level */
	int level = choose(o, value, words, "error, info or debug");

	to->log = (enum vio_log_level)level;
	return level < 0 ? -1 : 0;
}

static int set_control(const struct option *o, const char *value, struct options *to)
{
	to->control = value;
	return *value ? 0 : unexpected(o, value, "a path");
}

static int set_version(const struct option *o, const char *value, struct options *to)
{
	(void)o;
	(void)value;
	(void)to;
	printf("vswitch of libvirtio-offload %s\n", vio_version());
	return 1;
}

static int set_help(const struct option *o, const char *value, struct options *to);

#define NUMBER(field, from, to) set_number, offsetof(struct options, field), from, to
static const struct option options[] = {
	{ "port", "PORT", "a port of the switch, see below; as often as there are ports", .set = set_port },
	{ "group", "GROUP", "limits that ports share: NAME,packets=1M,bytes=125M,storm=1K",
	  .set = set_group },
	{ "control", "SOCKET", "where 'vswitch ctl' reaches this switch (none)", .set = set_control },
	{ "control-timeout", "SECONDS", "silence after which one of its clients is dropped (10)",
	  NUMBER(control_timeout, 1, 3600) },
	{ "threads", "N", "threads that ports are spread over: 1..64 (1)", NUMBER(threads, 1, MAX_THREADS) },
	{ "poll", "[MODE]", "event (the default), adaptive or busy, which --poll alone means",
	  .set = set_poll },
	{ "stats", "SECONDS", "counters to stdout so often, and at exit", NUMBER(stats_seconds, 1, 86400) },
	{ "age", "SECONDS", "an address not heard from so long is forgotten (300)",
	  NUMBER(age_seconds, 1, 1000000) },
	{ "max-ports", "N", "ports at a time: 1..4096 (64)", NUMBER(max_ports, 1, 4096) },
	{ "max-addresses", "N", "addresses known at a time: 16..1048576 (8192)",
	  NUMBER(max_addresses, 16, 1048576) },
	{ "max-flows", "N", "decisions that each thread keeps: 16..1048576 (65536)",
	  NUMBER(max_flows, 16, 1048576) },
	{ "log", "LEVEL", "error, info or debug (info)", .set = set_log },
	{ "version", NULL, "the library's version", .set = set_version },
	{ "help", NULL, "this text", .set = set_help },
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* What can sit on a port, of all that there is. */
static void print_places(void)
{
	static const char *const names[] = { "tap", "xsk", "pcap", "null" };

	puts("Other places:");
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct vio_backend_type *t = vio_backend_find(names[i]);

		if (t)
			printf("  %-5s %s\n", vio_backend_type_name(t), vio_backend_type_help(t));
	}
}

static int set_help(const struct option *o, const char *value, struct options *to)
{
	(void)o;
	(void)value;
	(void)to;
	puts("usage: vswitch --port PORT [--port PORT]... [OPTIONS]\n"
	     "       vswitch ctl [--control SOCKET] [--json] COMMAND\n"
	     "\n"
	     "A learning Ethernet switch between virtual machines (vhost-user), the host (tap) and what "
	     "else\n"
	     "can be a port.\n");
	for (unsigned i = 0; i < OPTIONS; i++)
		printf("  --%-15s %-8s  %s\n", options[i].name, options[i].value ? options[i].value : "",
		       options[i].help);
	puts("\nA PORT is where it leads and what it may: vhost-user:/run/vm1.sock,vlan=10,pairs=2\n"
	     "  name=NAME             what 'vswitch ctl' calls it (the last part of where it leads)");
	fputs(policy_help, stdout);
	puts("vhost-user:SOCKET leads to a virtual machine. Also:\n"
	     "  client=on             connect to SOCKET, and again when it goes, instead of listening there\n"
	     "  require-seals=on      refuse guest memory that could shrink\n"
	     "  pairs=N, queue-size=N, packed, mac=MAC, mtu=N, offloads, merge, control, hashes=on|off: of its card");
	print_places();
	puts("A backslash takes the next character as it is, for names that hold ',' or '|'.\n"
	     "\nCOMMANDs of vswitch ctl:");
	fputs(commands_help, stdout);
	puts("\nTwo virtual machines in VLAN 10, and the host as their trunk:\n"
	     "  vswitch --port vhost-user:/run/vm1.sock,vlan=10 --port vhost-user:/run/vm2.sock,vlan=10 \\\n"
	     "    --port tap:vsw0,trunk=10+20 --control /run/vswitch.sock\n"
	     "  qemu-system-x86_64 -m 1G -object memory-backend-memfd,id=m,size=1G,share=on -numa "
	     "node,memdev=m \\\n"
	     "    -chardev socket,id=c,path=/run/vm1.sock,reconnect=1 -netdev vhost-user,id=n,chardev=c \\\n"
	     "    -device virtio-net-pci,netdev=n,mac=52:54:00:00:00:01 ...\n"
	     "\n"
	     "SIGTERM, SIGINT: drain and exit with status 0. SIGUSR1: print counters. Refused options: "
	     "status 2.");
	return 1;
}

static const struct option *find(const char *name, size_t len)
{
	for (unsigned i = 0; i < OPTIONS; i++)
		if (strlen(options[i].name) == len && !memcmp(options[i].name, name, len))
			return &options[i];
	return NULL;
}

static int unknown(const char *arg)
{
	fprintf(stderr, "vswitch: unknown option '%s'; there are:", arg);
	for (unsigned i = 0; i < OPTIONS; i++)
		fprintf(stderr, " --%s", options[i].name);
	fputc('\n', stderr);
	return -1;
}

/* The value of argv[*i]: after '=', or the next argument. An option that may stand alone gets "". */
static const char *value_of(const struct option *o, char **argv, int *i)
{
	const char *eq = strchr(argv[*i], '='), *next = argv[*i + 1];

	if (eq)
		return eq + 1;
	if (!o->value)
		return "";
	if (!next || !strncmp(next, "--", 2))
		return o->value[0] == '[' ? "" : NULL;
	++*i;
	return next;
}

static int read_one(struct options *to, char **argv, int *i)
{
	const char *arg = argv[*i], *value;
	const struct option *o = strncmp(arg, "--", 2) ? NULL : find(arg + 2, strcspn(arg + 2, "="));

	if (!o)
		return unknown(arg);
	if (!o->value && strchr(arg, '=')) {
		fprintf(stderr, "vswitch: %s: --%s takes no value\n", arg, o->name);
		return -1;
	}
	value = value_of(o, argv, i);
	if (value)
		return o->set(o, value, to);
	fprintf(stderr, "vswitch: --%s needs a value: --%s %s\n", o->name, o->name, o->value);
	return -1;
}

int options_read(struct options *o, int argc, char **argv)
{
	int rc = 0;

	*o = (struct options){ .threads = 1, .log = VIO_LOG_INFO, .control_timeout = 10, .max_flows = 65536 };
	for (int i = 1; i < argc && !rc; i++)
		rc = read_one(o, argv, &i);
	if (!rc && !o->nports && !o->control) {
		fputs("vswitch: nothing to do, expected --port PORT or --control SOCKET; see vswitch "
		      "--help\n",
		      stderr);
		rc = -1;
	}
	return rc;
}

void options_free(struct options *o)
{
	for (unsigned i = 0; i < o->nports; i++)
		spec_free(&o->ports[i]);
	free(o->ports);
	free(o->groups);
}
