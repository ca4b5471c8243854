/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option names[] = {
	{ "listen", required_argument, NULL, 'l' },
	{ "refer", required_argument, NULL, 'R' },
	{ "controllers", required_argument, NULL, 'C' },
	{ "group", required_argument, NULL, 'g' },
	{ "ana", required_argument, NULL, 'A' },
	{ "vfio-user", required_argument, NULL, 'v' },
	{ "nqn", required_argument, NULL, 'q' },
	{ "ns", required_argument, NULL, 'n' },
	{ "pool", required_argument, NULL, 'O' },
	{ "pool-filters", required_argument, NULL, 'F' },
	{ "allow", required_argument, NULL, 'a' },
	{ "dhchap-keyfile", required_argument, NULL, 'k' },
	{ "serial", required_argument, NULL, 's' },
	{ "threads", required_argument, NULL, 't' },
	{ "poll", required_argument, NULL, 'p' },
	{ "control", required_argument, NULL, 'c' },
	{ "reservations", required_argument, NULL, 'P' },
	{ "read-only", no_argument, NULL, 'r' },
	{ "no-digests", no_argument, NULL, 'd' },
	{ "stats", optional_argument, NULL, 'S' },
	{ "log", required_argument, NULL, 'L' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int help(void)
{
	const struct vio_backend_type *t;

	puts("usage: nvme-target --nqn NQN --ns STACK [--ns STACK]... [OPTIONS]\n"
	     "\n"
	     "Serves namespaces to NVMe/TCP hosts, and to virtual machines as NVMe drives.\n"
	     "\n"
	     "  --listen ADDR:PORT[,port=N][,as=ADDR:PORT]\n"
	     "                      where hosts connect, and discover (127.0.0.1:4420; with --vfio-user "
	     "nowhere);\n"
	     "                      may be there several times: each is a port, numbered in turn; as: what\n"
	     "                      hosts are told to connect to instead\n"
	     "  --refer ADDR:PORT[,port=N]\n"
	     "                      where another process serves the same subsystem: hosts are told of it\n"
	     "  --controllers A-B   this process's part of the controllers' ids, if others serve it too\n"
	     "                      (1-65519)\n"
	     "  --vfio-user PATH[,secondaries=N|,secondary=N]\n"
	     "                      a socket for a virtual machine; each is a controller of its own:\n"
	     "                      secondaries: a primary of so many; secondary: that of the primary before it,\n"
	     "                      which the primary's guest sets on line (nvme virt-mgmt)\n"
	     "  --nqn NQN           the subsystem's name: nqn.2014-08.org.example:disks\n"
	     "  --ns STACK          a namespace, the first is 1: an end with filters on top, see below\n"
	     "  --group N           the ANA group of the namespaces that follow: 1..128 (1)\n"
	     "  --ana 'GROUP STATE [PORT]'\n"
	     "                      how a group is reached at a port, or at all: optimized, non-optimized,\n"
	     "                      inaccessible, persistent-loss, change (optimized)\n"
	     "  --pool DIR,size=SIZE[,block=512|4096]\n"
	     "                      hosts may create and delete namespaces, which are files here and may "
	     "have\n"
	     "                      so much together; format and sanitize those and the others\n"
	     "  --pool-filters 'FILTER | ...'\n"
	     "                      what lies on each of those files; %k is a key file of its own, as in\n"
	     "                      'crypt:keyfile=%k,erase=on'\n"
	     "  --allow HOSTNQN     a host that may connect, and no others; may be there several times\n"
	     "  --dhchap-keyfile FILE\n"
	     "                      hosts that may connect if they authenticate, a line each: HOSTNQN "
	     "SECRET\n"
	     "                      [CTRL-SECRET] [hash=sha256|sha384|sha512] "
	     "[dh=null|ffdhe2048|...|ffdhe8192];\n"
	     "                      secrets by 'nvme gen-dhchap-key'; others may not read the file\n"
	     "  --serial TEXT       what hosts read as serial number: 20 bytes at most\n"
	     "  --reservations DIR  where namespaces keep their reservations through a restart, if hosts "
	     "want that\n"
	     "  --read-only         hosts cannot write\n"
	     "  --threads N         threads that serve connections: 1..64 (1)\n"
	     "  --poll MODE         event: sleep when idle; busy: never; adaptive: spin a while, then sleep "
	     "(event)\n"
	     "  --no-digests        refuse digests\n"
	     "  --control PATH      a socket for changes while it runs, see below\n"
	     "  --stats[=SECONDS]   counters at exit, on SIGUSR1 and every SECONDS\n"
	     "  --log LEVEL         error, info or debug (info)\n"
	     "  --version, --help   the library's version; this text\n"
	     "\n"
	     "A stack is an end, then the filters that lie on it, separated by '|':");
	for (unsigned i = 0; (t = vio_backend_type_at(i)); i++)
		printf("  %-12s %s\n", vio_backend_type_name(t), vio_backend_type_help(t));
	puts("\n"
	     "The control socket takes a line and answers with one, which begins with ok or error:\n"
	     "  add STACK, remove ID, resize ID (after its file has grown or shrunk)\n"
	     "  ana GROUP STATE [PORT], show (how groups are reached)\n"
	     "  keys (read --dhchap-keyfile again, for connections to come)\n"
	     "\n"
	     "An encrypted namespace, and a Linux host that uses it:\n"
	     "  nvme-target --listen 192.0.2.1:4420 --nqn nqn.2014-08.org.example:disks --ns 'file:a.raw | "
	     "crypt:keyfile=k'\n"
	     "  nvme connect -t tcp -a 192.0.2.1 -s 4420 -n nqn.2014-08.org.example:disks\n"
	     "\n"
	     "A virtual machine (QEMU 10.1 or later) that has it as a drive; its memory has to be shared:\n"
	     "  nvme-target --vfio-user /tmp/n.sock --nqn nqn.2014-08.org.example:disks --ns file:a.raw\n"
	     "  qemu-system-x86_64 -machine q35,memory-backend=m -object "
	     "memory-backend-memfd,id=m,size=1G,share=on "
	     "...\\\n"
	     "    -device "
	     "'{\"driver\":\"vfio-user-pci\",\"socket\":{\"type\":\"unix\",\"path\":\"/tmp/n.sock\"}}'\n"
	     "\n"
	     "SIGTERM, SIGINT: answer what was taken, then exit with status 0. SIGHUP: look again at the\n"
	     "sizes of files and tell the hosts. SIGUSR1: print counters. Refused options: status 2.");
	return 1;
}

static int refuse(const char *name, const char *value, const char *expected)
{
	fprintf(stderr, "nvme-target: --%s %s: expected %s\n", name, value, expected);
	return -1;
}

static int number(const char *name, const char *value, unsigned max, unsigned *out)
{
	char expected[64], *end;
	unsigned long v = strtoul(value, &end, 10);

	snprintf(expected, sizeof(expected), "a number from 1 to %u", max);
	if (value[0] < '0' || value[0] > '9' || *end || !v || v > max)
		return refuse(name, value, expected);
	*out = (unsigned)v;
	return 0;
}

static int word(const char *name, const char *value, const char *const words[3], const char *expected,
		unsigned *out)
{
	for (*out = 0; *out < 3; ++*out)
		if (!strcmp(value, words[*out]))
			return 0;
	return refuse(name, value, expected);
}

static int list(const char *name, const char **to, unsigned *n, unsigned max)
{
	if (*n == max) {
		fprintf(stderr, "nvme-target: more than %u times --%s\n", max, name);
		return -1;
	}
	to[(*n)++] = optarg;
	return 0;
}

static int range(struct target *t)
{
	char rest;

	if (sscanf(optarg, "%u-%u%c", &t->first_controller, &t->last_controller, &rest) == 2 &&
	    t->first_controller && t->first_controller <= t->last_controller && t->last_controller <= 65519)
		return 0;
	return refuse("controllers", optarg, "two numbers from 1 to 65519, as in 1-999");
}

static int read_word(struct target *t, int option)
{
	static const char *const modes[] = { "event", "busy", "adaptive" }; /* as enum vio_poll_mode */
	static const char *const levels[] = { "error", "info", "debug" };   /* as enum vio_log_level */
	unsigned v = 0;
	int rc;

	if (option == 'p') {
		rc = word("poll", optarg, modes, "event, busy or adaptive", &v);
		t->mode = (enum vio_poll_mode)v;
	} else {
		rc = word("log", optarg, levels, "error, info or debug", &v);
		t->log = (enum vio_log_level)v;
	}
	return rc;
}

static int read_one(struct target *t, int option)
{
	switch (option) {
	case 'l':
		return list("listen", t->listens, &t->nlistens, MAX_LISTENS);
	case 'R':
		return list("refer", t->refers, &t->nrefers, MAX_LISTENS);
	case 'A':
		return list("ana", t->states, &t->nstates, MAX_LISTENS);
	case 'C':
		return range(t);
	case 'g':
		return number("group", optarg, MAX_GROUPS, &t->group);
	case 'v':
		return list("vfio-user", t->sockets, &t->nsockets, MAX_GUESTS);
	case 'q':
		t->nqn = optarg;
		return 0;
	case 's':
		t->serial = optarg;
		return 0;
	case 'c':
		t->control = optarg;
		return 0;
	case 'P':
		t->reservations = optarg;
		return 0;
	case 'n':
		if (t->nstacks < MAX_NAMESPACES)
			t->stack_group[t->nstacks] = t->group;
		return list("ns", t->stacks, &t->nstacks, MAX_NAMESPACES);
	case 'O':
		t->pool = optarg;
		return 0;
	case 'F':
		t->pool_filters = optarg;
		return 0;
	case 'a':
		return list("allow", t->hosts, &t->nhosts, MAX_HOSTS);
	case 'k':
		t->keyfile = optarg;
		return 0;
	case 't':
		return number("threads", optarg, MAX_THREADS, &t->threads);
	case 'r':
		t->read_only = true;
		return 0;
	case 'd':
		t->no_digests = true;
		return 0;
	case 'S':
		t->stats = true;
		return optarg ? number("stats", optarg, 86400, &t->stats_seconds) : 0;
	case 'V':
		printf("nvme-target of libvirtio-offload %s\n", vio_version());
		return 1;
	case 'h':
		return help();
	case 'p':
	case 'L':
		return read_word(t, option);
	default: /* getopt has said what is wrong */
		return -1;
	}
}

int options_read(struct target *t, int argc, char **argv)
{
	int option, rc = 0;

	t->threads = t->group = 1;
	t->log = VIO_LOG_INFO;
	while (!rc && (option = getopt_long(argc, argv, "", names, NULL)) >= 0)
		rc = read_one(t, option);
	if (rc)
		return rc;
	if (optind < argc) {
		fprintf(stderr, "nvme-target: '%s' is no option; see nvme-target --help\n", argv[optind]);
		return -1;
	}
	if (!t->nqn || (!t->nstacks && !t->control && !t->pool)) {
		fputs("nvme-target: nothing to serve, expected --nqn NQN --ns STACK; see nvme-target "
		      "--help\n",
		      stderr);
		return -1;
	}
	return 0;
}
