/* SPDX-License-Identifier: MIT */
/*
 * vhost-user-blk: serves disks to virtual machines. The main thread's poller has
 * the sockets and a share of the queues; further threads only queues.
 */
#include "server.h"
#include <virtio-offload/impl/poll.h>

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static struct vio_poller *main_poller;
static volatile sig_atomic_t stop, refresh, print;
static atomic_bool threads_stop;

void say(const struct server *s, enum vio_log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (level > s->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "vhost-user-blk: %s\n", line);
}

static void on_log(void *ctx, enum vio_log_level level, const char *sentence)
{
	say(ctx, level, "%s", sentence);
}

static void on_signal(int sig)
{
	if (sig == SIGHUP)
		refresh = 1;
	else if (sig == SIGUSR1)
		print = 1;
	else if (stop)
		_exit(1); /* the second request: somebody does not want to wait for the disk */
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
	static const int caught[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sigaction bus = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	for (unsigned i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaction(caught[i], &a, NULL);
	sigaction(SIGBUS, &bus, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int open_pollers(struct server *s)
{
	VIO_OPTS(vio_poller_opts, o, .mode = s->mode, .log = on_log, .log_ctx = s);

	for (unsigned i = 0; i < s->threads; i++)
		if (vio_poller_new(&s->pollers[i], &o)) {
			fprintf(stderr, "vhost-user-blk: --threads %u: %s\n", s->threads, vio_errmsg());
			return -1;
		}
	main_poller = s->pollers[0];
	return 0;
}

static void *serve_queues(void *poller)
{
	while (!atomic_load(&threads_stop) && vio_poller_wait(poller, -1) >= 0)
		;
	return NULL;
}

/* How many run, the main thread included. */
static unsigned start_threads(struct server *s, pthread_t *threads)
{
	sigset_t all, old;
	unsigned n = 1;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (n < s->threads && !pthread_create(&threads[n], NULL, serve_queues, s->pollers[n]))
		n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}

static void end_threads(struct server *s, pthread_t *threads, unsigned n)
{
	atomic_store(&threads_stop, true);
	for (unsigned i = 1; i < n; i++) {
		vio_poller_wake(s->pollers[i]);
		pthread_join(threads[i], NULL);
	}
}

struct stats_timer {
	struct vio_timer timer;
	struct server *server;
};

static void on_stats_due(struct vio_timer *t)
{
	struct server *s = ((struct stats_timer *)t)->server;

	stats_print(s);
	vio_timer_set(main_poller, t, s->stats_seconds * 1000000000ull);
}

static int serve(struct server *s)
{
	struct stats_timer due = { { .fire = on_stats_due }, s };
	int rc = 0;

	if (s->stats_seconds)
		vio_timer_set(main_poller, &due.timer, s->stats_seconds * 1000000000ull);
	while (!stop && rc >= 0) {
		rc = vio_poller_wait(main_poller, -1);
		if (refresh) {
			refresh = 0;
			disks_refresh(s);
		}
		if (print) {
			print = 0;
			stats_print(s);
		}
	}
	if (s->stats_seconds)
		vio_timer_cancel(main_poller, &due.timer);
	if (rc < 0)
		say(s, VIO_LOG_ERROR, "the loop ended: %s", vio_errmsg());
	return rc < 0 ? 1 : 0;
}

static int run(struct server *s)
{
	pthread_t threads[MAX_THREADS];
	unsigned n = start_threads(s, threads);
	int status = 1;

	if (n == s->threads)
		status = serve(s);
	else
		say(s, VIO_LOG_ERROR, "--threads %u: only %u could be started", s->threads, n);
	disks_drain(s);
	end_threads(s, threads, n);
	if (s->stats) {
		stats_print(s);
		stats_print_pollers(s);
	}
	return status;
}

int main(int argc, char **argv)
{
	static struct server s;
	int status = options_read(&s, argc, argv);

	if (status)
		return status < 0 ? 2 : 0;
	status = 2;
	if (!vio_scope_new(&s.scope) && !open_pollers(&s)) {
		catch_signals(); /* before there is a socket that would have to be removed */
		if (!disks_open(&s))
			status = run(&s);
		else
			disks_drain(&s);
	}
	disks_free(&s);
	for (unsigned i = 0; i < s.threads; i++)
		vio_poller_free(s.pollers[i]);
	vio_scope_free(s.scope);
	return status;
}
