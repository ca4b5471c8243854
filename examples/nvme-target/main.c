/* SPDX-License-Identifier: MIT */
/*
 * nvme-target: serves namespaces to NVMe/TCP hosts, and to guests by vfio-user. The main
 * thread's poller has the listening sockets and a share of the queues; further threads only queues.
 */
#include "target.h"
#include <virtio-offload/impl/poll.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static struct vio_poller *main_poller;
static volatile sig_atomic_t stop, refresh, print;
static atomic_bool threads_stop;

void say(const struct target *t, enum vio_log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (level > t->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	fprintf(stderr, "nvme-target: %s\n", line);
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
		_exit(1); /* the second request: somebody does not want to wait */
	else
		stop = 1;
	vio_poller_wake(main_poller);
}

static void catch_signals(void)
{
	static const int caught[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	for (unsigned i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		sigaction(caught[i], &a, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* The file of its reservations has the namespace's id in its name, which therefore is looked for here. */
static int namespace_place(struct target *t, struct vio_backend *b, struct vio_nvme_ns_opts *o)
{
	char path[4096];
	int rc = -EEXIST;

	if (!t->reservations)
		return vio_nvme_ns_add(t->subsystem, b, o);
	o->reservations = path;
	for (uint32_t id = 1; rc == -EEXIST && id <= MAX_NAMESPACES; id++) {
		o->nsid = id;
		snprintf(path, sizeof(path), "%s/namespace-%u", t->reservations, id);
		rc = vio_nvme_ns_add(t->subsystem, b, o);
	}
	return rc;
}

static int namespace_add_as(struct target *t, const char *stack, unsigned group, uint32_t nsid)
{
	VIO_OPTS(vio_nvme_ns_opts, o, .read_only = t->read_only, .ana_group = group, .nsid = nsid,
		 .block = nsid ? pool_block(t, nsid) : 0);
	struct vio_backend *b;
	int id;

	if (vio_backend_parse(&b, t->scope, stack))
		return -1;
	id = namespace_place(t, b, &o);
	vio_backend_free(b);
	if (id > 0)
		access_note_group(t, group);
	return id < 0 ? -1 : id;
}

int namespace_add(struct target *t, const char *stack, unsigned group)
{
	return namespace_add_as(t, stack, group, 0);
}

static int fail(const char *option, const char *value)
{
	fprintf(stderr, "nvme-target: --%s %s: %s\n", option, value, vio_errmsg());
	return -1;
}

static int open_pollers(struct target *t)
{
	VIO_OPTS(vio_poller_opts, o, .mode = t->mode, .log = on_log, .log_ctx = t);

	for (unsigned i = 0; i < t->threads; i++)
		if (vio_poller_new(&t->pollers[i], &o)) {
			fprintf(stderr, "nvme-target: --threads %u: %s\n", t->threads, vio_errmsg());
			return -1;
		}
	main_poller = t->pollers[0];
	return 0;
}

static int open_subsystem(struct target *t)
{
	VIO_OPTS(vio_nvme_opts, o, .nqn = t->nqn, .serial = t->serial, .max_namespaces = MAX_NAMESPACES,
		 .first_controller = (uint16_t)t->first_controller,
		 .last_controller = (uint16_t)t->last_controller);
	struct vio_nvme_manager manager;

	if (pool_open(t, &manager))
		return -1;
	o.manager = t->pool ? &manager : NULL;
	if (vio_nvme_new(&t->subsystem, &o))
		return fail("nqn", t->nqn);
	for (unsigned i = 0; i < t->nhosts; i++)
		if (vio_nvme_allow(t->subsystem, t->hosts[i], NULL))
			return fail("allow", t->hosts[i]);
	if (keys_open(t))
		return -1;
	for (unsigned i = 0; i < t->nstacks; i++)
		if (namespace_add_as(t, t->stacks[i], t->stack_group[i], i + 1) < 0)
			return fail("ns", t->stacks[i]);
	return pool_open_namespaces(t);
}

static int open_ways_in(struct target *t)
{
	if (access_open(t) || guests_open(t))
		return -1;
	return listens_open(t);
}

static void *serve_connections(void *poller)
{
	while (!atomic_load(&threads_stop) && vio_poller_wait(poller, -1) >= 0)
		;
	return NULL;
}

/* How many run, the main thread included. */
static unsigned start_threads(struct target *t, pthread_t *threads)
{
	sigset_t all, old;
	unsigned n = 1;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (n < t->threads && !pthread_create(&threads[n], NULL, serve_connections, t->pollers[n]))
		n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return n;
}

static void end_threads(struct target *t, pthread_t *threads, unsigned n)
{
	atomic_store(&threads_stop, true);
	for (unsigned i = 1; i < n; i++) {
		vio_poller_wake(t->pollers[i]);
		pthread_join(threads[i], NULL);
	}
}

struct stats_timer {
	struct vio_timer timer;
	struct target *target;
};

static void on_stats_due(struct vio_timer *timer)
{
	struct target *t = ((struct stats_timer *)timer)->target;

	stats_print(t);
	vio_timer_set(main_poller, timer, t->stats_seconds * 1000000000ull);
}

static void look_again(struct target *t)
{
	for (uint32_t i = 1; i <= MAX_NAMESPACES; i++)
		vio_nvme_ns_resize(t->subsystem, i); /* most ids name none */
}

static int serve(struct target *t)
{
	struct stats_timer due = { { .fire = on_stats_due }, t };
	int rc = 0;

	if (t->stats_seconds)
		vio_timer_set(main_poller, &due.timer, t->stats_seconds * 1000000000ull);
	while (!stop && rc >= 0) {
		rc = vio_poller_wait(main_poller, -1);
		if (refresh) {
			refresh = 0;
			look_again(t);
		}
		if (print) {
			print = 0;
			stats_print(t);
		}
	}
	if (t->stats_seconds)
		vio_timer_cancel(main_poller, &due.timer);
	if (rc < 0)
		say(t, VIO_LOG_ERROR, "the loop ended: %s", vio_errmsg());
	return rc < 0 ? 1 : 0;
}

static void on_stopped(void *ctx)
{
	((struct target *)ctx)->ending--;
}

static void await_ends(struct target *t)
{
	while (t->ending && vio_poller_wait(t->pollers[0], -1) >= 0)
		;
}

/* Who can come no more leaves; then what they used ends. */
static void stop_all(struct target *t)
{
	listens_stop(t, on_stopped);
	guests_stop_sockets(t, on_stopped);
	await_ends(t);
	guests_stop_controllers(t, on_stopped);
	await_ends(t);
	jobs_await();
}

static int run(struct target *t)
{
	pthread_t threads[MAX_THREADS];
	unsigned n = start_threads(t, threads);
	int status = 1;

	if (n == t->threads)
		status = serve(t);
	else
		say(t, VIO_LOG_ERROR, "--threads %u: only %u could be started", t->threads, n);
	control_close(t);
	if (n == t->threads) /* threads that could not be started can't say that they have ended */
		stop_all(t);
	end_threads(t, threads, n);
	if (t->stats)
		stats_print(t);
	return n == t->threads ? status : -1;
}

int main(int argc, char **argv)
{
	static struct target t;
	int status = options_read(&t, argc, argv);

	if (status)
		return status < 0 ? 2 : 0;
	status = 2;
	if (!vio_scope_new(&t.scope) && !open_pollers(&t)) {
		catch_signals(); /* before there is a socket that would have to be removed */
		if (!open_subsystem(&t) && !control_open(&t)) {
			if (!open_ways_in(&t))
				status = run(&t);
			else
				control_close(&t);
		}
	}
	if (status < 0)
		return 1; /* what did not end is left to the kernel */
	listens_close(&t);
	guests_close(&t);
	vio_nvme_free(t.subsystem);
	for (unsigned i = 0; i < t.threads; i++)
		vio_poller_free(t.pollers[i]);
	vio_scope_free(t.scope);
	return status;
}
