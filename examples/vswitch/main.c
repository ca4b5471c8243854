/* SPDX-License-Identifier: MIT */
/*
 * vswitch: an Ethernet switch whose ports lead to virtual machines, to the host and elsewhere. The
 * main thread's poller has the sockets, the control channel and a share of the queues; further
 * threads only queues.
 */
#include "vswitch.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct vio_poller *main_poller;
static volatile sig_atomic_t stop, print;

void say(const struct vswitch *s, enum vio_log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (level > s->o.log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "vswitch: %s\n", line);
}

int refuse(char why[WHY_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, WHY_SIZE, fmt, ap);
	va_end(ap);
	return -1;
}

static void on_log(void *ctx, enum vio_log_level level, const char *sentence)
{
	say(ctx, level, "%s", sentence);
}

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		print = 1;
	else if (stop)
		_exit(1); /* the second request: somebody does not want to wait */
	else
		stop = 1;
	vio_poller_wake(main_poller);
}

/* A guest's memory file was shrunk under us: let that guest read zeroes, and the others live. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!vio_mem_sigbus(info->si_addr))
		signal(sig, SIG_DFL); /* none of ours: the access faults again and ends the process */
}

static void catch_signals(void)
{
	static const int caught[] = { SIGTERM, SIGINT, SIGUSR1 };
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction bus = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	for (unsigned i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaction(caught[i], &a, NULL);
	sigaction(SIGBUS, &bus, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* A port takes several descriptors, each queue of it two more: as many as we may have. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* refused: it works with fewer ports */
}

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "vswitch: %s: %s\n", what, why);
	return -1;
}

static int open_pollers(struct vswitch *s)
{
	VIO_OPTS(vio_poller_opts, o, .mode = s->o.mode, .log = on_log, .log_ctx = s);

	for (unsigned i = 0; i < s->o.threads; i++)
		if (vio_poller_new(&s->pollers[i], &o))
			return complain("--threads", vio_errmsg());
	main_poller = s->pollers[0];
	s->started = vio_poller_now(main_poller);
	return 0;
}

static int open_switch(struct vswitch *s)
{
	VIO_OPTS(vio_switch_opts, o, .ports = s->o.max_ports, .addresses = s->o.max_addresses,
		 .flows = s->o.max_flows, .age_ns = s->o.age_seconds * 1000000000ull);

	if (vio_scope_new(&s->scope) || vio_switch_new(&s->sw, &o))
		return complain("the switch", vio_errmsg());
	return 0;
}

static void print_stats(struct vswitch *s)
{
	show_stats(s, stdout, false);
	fflush(stdout);
}

struct stats_timer {
	struct vio_timer timer; /* first */
	struct vswitch *s;
};

static void on_stats_due(struct vio_timer *t)
{
	struct vswitch *s = ((struct stats_timer *)t)->s;

	print_stats(s);
	vio_timer_set(main_poller, t, s->o.stats_seconds * 1000000000ull);
}

static int serve(struct vswitch *s)
{
	struct stats_timer due = { { .fire = on_stats_due }, s };
	int rc = 0;

	if (s->o.stats_seconds)
		vio_timer_set(main_poller, &due.timer, s->o.stats_seconds * 1000000000ull);
	while (!stop && rc >= 0) {
		rc = vio_poller_wait(main_poller, -1);
		if (print) {
			print = 0;
			print_stats(s);
		}
	}
	if (s->o.stats_seconds) {
		vio_timer_cancel(main_poller, &due.timer);
		print_stats(s);
	}
	if (rc < 0)
		say(s, VIO_LOG_ERROR, "the loop ended: %s", vio_errmsg());
	return rc < 0 ? 1 : 0;
}

/* The control socket comes last: who can connect finds all ports there. */
static int open_ways_in(struct vswitch *s)
{
	char why[WHY_SIZE];

	if (groups_open(s, why))
		return complain("--group", why);
	if (ports_open(s, why))
		return complain("--port", why);
	if (s->o.control && control_open(s, why))
		return complain("--control", why);
	say(s, VIO_LOG_INFO, "ready, ports: %u", s->o.nports);
	return 0;
}

static int run(struct vswitch *s)
{
	int status = 2;

	if (!threads_start(s) && !open_ways_in(s))
		status = serve(s);
	control_close(s);
	ports_close(s);
	threads_end(s);
	return status;
}

static int vswitch(int argc, char **argv)
{
	static struct vswitch s;
	int status = options_read(&s.o, argc, argv);

	s.last = &s.ports;
	if (!status) {
		status = -1;
		raise_descriptors();
		if (!open_pollers(&s)) {
			catch_signals(); /* before there is a socket that would have to be removed */
			status = open_switch(&s) ? -1 : run(&s);
		}
	} else if (status > 0) {
		status = 0;
	}
	vio_switch_free(s.sw);
	for (unsigned i = 0; i < s.o.threads; i++)
		vio_poller_free(s.pollers[i]);
	vio_scope_free(s.scope);
	options_free(&s.o);
	return status < 0 ? 2 : status;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "ctl"))
		return ctl(argc - 2, argv + 2);
	return vswitch(argc, argv);
}
