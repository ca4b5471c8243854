/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct given;

/* An option and where it goes: a text or flag of a disk lies at `at` in its settings. */
struct option {
	const char *name;
	const char *value; /* NULL: takes none */
	const char *help;
	int (*set)(const struct given *g);
	size_t at;
	unsigned min, max; /* of a number */
};

/* An option on the command line. */
struct given {
	const struct option *option;
	const char *value;
	struct server *server;
	struct settings *disk;
};

static int refuse(const struct given *g, const char *expected)
{
	fprintf(stderr, "vhost-user-blk: --%s %s: expected %s\n", g->option->name,
		*g->value ? g->value : "''", expected);
	return -1;
}

static int number(const struct given *g, unsigned *out)
{
	const struct option *o = g->option;
	char expected[64], *end;
	unsigned long v;

	errno = 0;
	v = strtoul(g->value, &end, 10);
	snprintf(expected, sizeof(expected), "a number from %u to %u", o->min, o->max);
	if (!isdigit((unsigned char)g->value[0]) || *end || errno || v < o->min || v > o->max)
		return refuse(g, expected);
	*out = (unsigned)v;
	return 0;
}

/* Stores the place of the value among three words. */
static int choose(const struct given *g, const char *const words[3], const char *expected, unsigned *out)
{
	for (*out = 0; *out < 3; ++*out)
		if (!strcmp(g->value, words[*out]))
			return 0;
	return refuse(g, expected);
}

static int set_text(const struct given *g)
{
	*(const char **)((char *)g->disk + g->option->at) = g->value;
	return *g->value ? 0 : refuse(g, g->option->value);
}

static int set_number(const struct given *g)
{
	unsigned n;

	return number(g, &n) ? -1 : set_text(g);
}

static int set_flag(const struct given *g)
{
	*(bool *)((char *)g->disk + g->option->at) = true;
	return 0;
}

static int set_packed(const struct given *g)
{
	if (strcmp(g->value, "on") && strcmp(g->value, "off"))
		return refuse(g, "on or off");
	return set_text(g);
}

static int set_serial(const struct given *g)
{
	return strlen(g->value) > 20 ? refuse(g, "20 bytes at most") : set_text(g);
}

static int set_poll(const struct given *g)
{
	static const char *const words[] = { "event", "busy", "adaptive" }; /* as enum vio_poll_mode */
	unsigned mode = 0;
	int rc = choose(g, words, "event, busy or adaptive", &mode);

	g->server->mode = (enum vio_poll_mode)mode;
	return rc;
}

static int set_threads(const struct given *g)
{
	return number(g, &g->server->threads);
}

static int set_log(const struct given *g)
{
	static const char *const words[] = { "error", "info", "debug" }; /* as enum vio_log_level */
	unsigned level = 0;
	int rc = choose(g, words, "error, info or debug", &level);

	g->server->log = (enum vio_log_level)level;
	return rc;
}

static int set_stats(const struct given *g)
{
	g->server->stats = true;
	return *g->value ? number(g, &g->server->stats_seconds) : 0;
}

static int set_version(const struct given *g)
{
	(void)g;
	printf("vhost-user-blk of libvirtio-offload %s\n", vio_version());
	return 1;
}

static int set_help(const struct given *g);

#define AT(field) .at = offsetof(struct settings, field)
/* Those of a disk first, then those of the process. */
static const struct option options[] = {
	{ "socket", "PATH", "where the virtual machine connects", set_text, AT(socket) },
	{ "disk", "STACK", "what it gets: an end with filters on top, see below", set_text, AT(stack) },
	{ "queues", "N", "virtqueues: 1..64 (1)", set_number, AT(queues), 1, 64 },
	{ "queue-size", "N", "entries of each: 2..32768 (256)", set_number, AT(queue_size), 2, 32768 },
	{ "packed", "on|off", "offer packed rings beside split ones (on)", set_packed, AT(packed) },
	{ "serial", "TEXT", "what the guest reads as serial number: 20 bytes at most", set_serial,
	  AT(serial) },
	{ "read-only", NULL, "the guest cannot write", set_flag, AT(read_only) },
	{ "client", NULL, "connect to PATH, and again when it goes, instead of listening there", set_flag,
	  AT(client) },
	{ "require-seals", NULL, "refuse guest memory that could shrink (QEMU: memory-backend-memfd)",
	  set_flag, AT(require_seals) },
	{ "poll", "MODE", "event: sleep when idle; busy: never; adaptive: spin a while, then sleep (event)",
	  .set = set_poll },
	{ "threads", "N", "threads that serve queues, queue i on thread i modulo N: 1..64 (1)", set_threads,
	  .min = 1, .max = MAX_THREADS },
	{ "stats", "[SECONDS]", "counters and latencies at exit, on SIGUSR1 and every SECONDS", set_stats,
	  .min = 1, .max = 86400 },
	{ "log", "LEVEL", "error, info or debug (info)", .set = set_log },
	{ "version", NULL, "the library's version", .set = set_version },
	{ "help", NULL, "this text", .set = set_help },
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void print_elements(void)
{
	const struct vio_backend_type *t;

	puts("\nA stack is an end, then the filters that lie on it, separated by '|':");
	for (unsigned i = 0; (t = vio_backend_type_at(i)); i++)
		printf("  %-12s %s\n", vio_backend_type_name(t), vio_backend_type_help(t));
	puts("A backslash takes the next character as it is, for names that hold '|' or ','.\n");
}

static int set_help(const struct given *g)
{
	(void)g;
	puts("usage: vhost-user-blk --socket PATH --disk STACK [OPTIONS] [--socket PATH --disk STACK "
	     "[OPTIONS]]...\n"
	     "\n"
	     "Serves disks to virtual machines over vhost-user. A disk begins with its --socket or its\n"
	     "--disk; what follows is for this disk, up to the next. What stands before the first disk is\n"
	     "for all. The options from --poll on are for the process, wherever they stand.\n");
	for (unsigned i = 0; i < OPTIONS; i++)
		printf("  --%-13s %-9s  %s\n", options[i].name, options[i].value ? options[i].value : "",
		       options[i].help);
	print_elements();
	puts("An encrypted disk, limited to 5,000 requests a second:\n"
	     "  truncate -s 1G disk.raw\n"
	     "  (umask 077; head -c 64 /dev/urandom >disk.key)\n"
	     "  vhost-user-blk --socket /tmp/d.sock --disk 'file:disk.raw | crypt:keyfile=disk.key | "
	     "throttle:iops=5000'\n"
	     "The virtual machine that uses it:\n"
	     "  qemu-system-x86_64 -m 1G -object memory-backend-memfd,id=m,size=1G,share=on -numa "
	     "node,memdev=m \\\n"
	     "    -chardev socket,id=c,path=/tmp/d.sock,reconnect=1 -device vhost-user-blk-pci,chardev=c "
	     "...\n"
	     "Two disks, two queues each, the second one read-only:\n"
	     "  vhost-user-blk --queues 2 --socket a --disk file:a.raw --socket b --disk file:b.raw "
	     "--read-only\n"
	     "\n"
	     "SIGTERM, SIGINT: finish what was taken, then exit with status 0. SIGHUP: look again at the\n"
	     "sizes of files and tell the guests. SIGUSR1: print counters. Refused options: status 2.");
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
	fprintf(stderr, "vhost-user-blk: unknown option '%s'; there are:", arg);
	for (unsigned i = 0; i < OPTIONS; i++)
		fprintf(stderr, " --%s", options[i].name);
	fputc('\n', stderr);
	return -1;
}

/* Where an option goes: the disk that has begun, a new one, or what all later ones start from. */
static struct settings *destination(struct server *s, struct settings *defaults, const struct option *o)
{
	struct settings *last = s->ndisks ? &s->disks[s->ndisks - 1].set : NULL;
	bool begins = (o == find("socket", 6) && (!last || last->socket)) ||
		      (o == find("disk", 4) && (!last || last->stack));

	if (!begins)
		return last ? last : defaults;
	if (s->ndisks == MAX_DISKS)
		return NULL;
	s->disks[s->ndisks].set = *defaults;
	return &s->disks[s->ndisks++].set;
}

/* The value of argv[*i]: after '=', or the next argument. An option that may stand alone gets "". */
static const char *value_of(const struct option *o, char **argv, int *i)
{
	const char *eq = strchr(argv[*i], '='), *next = argv[*i + 1];

	if (eq)
		return eq + 1;
	if (!o->value)
		return "";
	if (o->value[0] == '[' && (!next || !isdigit((unsigned char)next[0])))
		return "";
	if (!next || !strncmp(next, "--", 2))
		return NULL;
	++*i;
	return next;
}

static int read_one(struct server *s, struct settings *defaults, char **argv, int *i)
{
	const char *arg = argv[*i], *value;
	const struct option *o;
	struct settings *disk;

	o = strncmp(arg, "--", 2) ? NULL : find(arg + 2, strcspn(arg + 2, "="));
	if (!o)
		return unknown(arg);
	if (!o->value && strchr(arg, '=')) {
		fprintf(stderr, "vhost-user-blk: %s: --%s takes no value\n", arg, o->name);
		return -1;
	}
	value = value_of(o, argv, i);
	if (!value) {
		fprintf(stderr, "vhost-user-blk: --%s needs a value: --%s %s\n", o->name, o->name, o->value);
		return -1;
	}
	disk = destination(s, defaults, o);
	if (!disk) {
		fprintf(stderr, "vhost-user-blk: more than %d disks\n", MAX_DISKS);
		return -1;
	}
	return o->set(&(struct given){ o, value, s, disk });
}

static int check_disk(const struct server *s, unsigned i)
{
	const struct settings *set = &s->disks[i].set;

	if (!set->stack) {
		fprintf(stderr,
			"vhost-user-blk: --socket %s has no --disk, for example --disk file:disk.raw\n",
			set->socket);
		return -1;
	}
	if (!set->socket) {
		fprintf(stderr, "vhost-user-blk: --disk %s has no --socket PATH\n", set->stack);
		return -1;
	}
	for (unsigned j = 0; j < i; j++)
		if (!strcmp(set->socket, s->disks[j].set.socket)) {
			fprintf(stderr,
				"vhost-user-blk: --socket %s is there twice, expected one for each disk\n",
				set->socket);
			return -1;
		}
	return 0;
}

int options_read(struct server *s, int argc, char **argv)
{
	struct settings defaults = { 0 };
	int rc = 0;

	s->threads = 1;
	s->log = VIO_LOG_INFO;
	for (int i = 1; i < argc && !rc; i++)
		rc = read_one(s, &defaults, argv, &i);
	if (rc)
		return rc;
	if (!s->ndisks) {
		fputs("vhost-user-blk: no disk to serve, expected --socket PATH --disk STACK; see "
		      "vhost-user-blk --help\n",
		      stderr);
		return -1;
	}
	for (unsigned i = 0; i < s->ndisks && !rc; i++)
		rc = check_disk(s, i);
	return rc;
}
