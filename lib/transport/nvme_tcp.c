/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4 */
/* The NVMe/TCP target: it listens, spreads connections over its pollers, and stops. */
#include "transport/nvme_tcp.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_CONNECTIONS 16384u
#define TCP_TIMEOUT_MS 5000u
#define TCP_ACCEPTS 64u /* at a time */
#define TCP_RETRY_NS 100000000ull
#define TCP_MS 1000000ull

static void tcp_watch(struct vio_nvme_tcp *t)
{
	t->listening = !vio_watch_add(t->poller, &t->watch);
	if (!t->listening)
		vio_timer_set(t->poller, &t->retry, TCP_RETRY_NS);
}

static void tcp_unwatch(struct vio_nvme_tcp *t)
{
	if (t->listening)
		vio_watch_del(t->poller, &t->watch);
	t->listening = false;
}

static void tcp_retry(struct vio_timer *timer)
{
	tcp_watch(VIO_CONTAINER(timer, struct vio_nvme_tcp, retry));
}

static unsigned tcp_connections(const struct vio_nvme_tcp *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->nworkers; i++)
		n += __atomic_load_n(&t->workers[i].nconns, __ATOMIC_RELAXED);
	return n;
}

static void tcp_came(struct vio_nvme_tcp *t, int fd)
{
	bool full = tcp_connections(t) >= t->opts.max_connections;

	ntt_count(&t->accepted);
	if (full)
		close(fd);
	if (full || !ntt_conn_send(&t->workers[t->next], fd))
		ntt_count(&t->refused);
	else
		t->next = (t->next + 1) % t->nworkers;
}

static void tcp_ready(struct vio_watch *w, uint32_t events)
{
	struct vio_nvme_tcp *t = VIO_CONTAINER(w, struct vio_nvme_tcp, watch);
	int fd = 0;

	(void)events;
	for (unsigned i = 0; i < TCP_ACCEPTS; i++) {
		fd = accept4(t->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			break;
		tcp_came(t, fd);
	}
	if (fd >= 0 || errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	vio_poller_log(t->poller, VIO_LOG_ERROR, "nvme-tcp: cannot accept a connection: %s", strerror(errno));
	tcp_unwatch(t); /* out of descriptors, say: the listener would stay ready */
	vio_timer_set(t->poller, &t->retry, TCP_RETRY_NS);
}

static void tcp_dispose(struct vio_nvme_tcp *t)
{
	nv_listing_remove(t->s, t);
	if (t->listener >= 0)
		close(t->listener);
	for (unsigned i = 0; t->workers && i < t->nworkers; i++)
		ntt_worker_free(&t->workers[i]);
	free(t->workers);
	free(t);
}

static int tcp_workers(struct vio_nvme_tcp *t)
{
	int rc = 0;

	if (t->opts.npollers && !t->opts.pollers)
		return vio__fail(EINVAL, "vio_nvme_tcp_opts.npollers is %u, but pollers is NULL",
				 t->opts.npollers);
	t->nworkers = t->running = t->opts.npollers ? t->opts.npollers : 1;
	t->workers = calloc(t->nworkers, sizeof(*t->workers));
	if (!t->workers)
		return vio__fail(ENOMEM, "nvme-tcp: out of memory for %u pollers", t->nworkers);
	for (unsigned i = 0; !rc && i < t->nworkers; i++)
		rc = ntt_worker_open(&t->workers[i], t, t->opts.npollers ? t->opts.pollers[i] : t->poller);
	t->opts.pollers = NULL;
	return rc;
}

/* Discovery names it from now on. */
static int tcp_list(struct vio_nvme_tcp *t)
{
	struct nv_address a;
	int rc = 0;

	if (t->opts.advertise)
		rc = ntt_address(t->opts.advertise, &a);
	else
		ntt_local(t->listener, &a);
	return rc ? rc : nv_listing_add(t->s, t, t->opts.port, &a);
}

static int tcp_open(struct vio_nvme_tcp *t, const struct vio_nvme_tcp_opts *opts)
{
	int rc = vio__opts(&t->opts, sizeof(t->opts), opts, "vio_nvme_tcp_opts");

	if (rc)
		return rc;
	if (!t->opts.max_connections)
		t->opts.max_connections = TCP_CONNECTIONS;
	t->patience_ns = (t->opts.timeout_ms ? t->opts.timeout_ms : TCP_TIMEOUT_MS) * TCP_MS;
	rc = tcp_workers(t);
	if (rc)
		return rc;
	t->listener = ntt_listen(t->opts.address, &t->port);
	rc = t->listener < 0 ? t->listener : tcp_list(t);
	t->opts.address = t->opts.advertise = NULL;
	return rc;
}

int vio_nvme_tcp_new(struct vio_nvme_tcp **out, struct vio_poller *p, struct vio_nvme *s,
		     const struct vio_nvme_tcp_opts *opts)
{
	struct vio_nvme_tcp *t = calloc(1, sizeof(*t));
	int rc;

	*out = NULL;
	if (!t)
		return vio__fail(ENOMEM, "nvme-tcp: out of memory");
	t->listener = -1;
	t->poller = p;
	t->s = s;
	t->retry.fire = tcp_retry;
	rc = tcp_open(t, opts);
	if (rc) {
		tcp_dispose(t);
		return rc;
	}
	t->watch = (struct vio_watch){ .ready = tcp_ready, .fd = t->listener, .events = EPOLLIN };
	for (unsigned i = 0; i < t->nworkers; i++)
		vio_poller_post(t->workers[i].poller, &t->workers[i].start);
	tcp_watch(t);
	*out = t;
	return 0;
}

uint16_t vio_nvme_tcp_port(const struct vio_nvme_tcp *t)
{
	return t->port;
}

void ntt_worker_ended(struct ntt_worker *w)
{
	struct vio_nvme_tcp *t = w->t;

	if (!--t->running && t->stopped)
		t->stopped(t->stopped_ctx);
}

void vio_nvme_tcp_stop(struct vio_nvme_tcp *t, void (*done)(void *ctx), void *ctx)
{
	if (t->stopping)
		return;
	t->stopping = true;
	t->stopped = done;
	t->stopped_ctx = ctx;
	nv_listing_remove(t->s, t);
	tcp_unwatch(t);
	vio_timer_cancel(t->poller, &t->retry);
	close(t->listener);
	t->listener = -1;
	for (unsigned i = 0; i < t->nworkers; i++)
		vio_poller_post(t->workers[i].poller, &t->workers[i].stop);
}

void vio_nvme_tcp_free(struct vio_nvme_tcp *t)
{
	if (t)
		tcp_dispose(t);
}

void vio_nvme_tcp_stats(struct vio_nvme_tcp *t, struct vio_nvme_tcp_stats *out)
{
	struct vio_nvme_tcp_stats now = { .sz = sizeof(now), .connections = tcp_connections(t) };

	now.accepted = VIO_LOAD(&t->accepted);
	now.refused = VIO_LOAD(&t->refused);
	now.violations = VIO_LOAD(&t->violations);
	now.timeouts = VIO_LOAD(&t->timeouts);
	vio__out(out, &now, sizeof(now));
}
