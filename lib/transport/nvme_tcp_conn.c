/* SPDX-License-Identifier: MIT */
/* One connection: its socket's events, its time-outs, and its end, which waits for what is under way. */
#include "transport/nvme_tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_TAKE 32u

static void conn_log(const struct ntt_conn *c, enum vio_log_level level, const char *what, const char *why)
{
	char peer[64];

	vio_poller_log(c->w->poller, level, "nvme-tcp: %s: %s%s", ntt_peer(c->q.fd, peer), what, why);
}

static void conn_link(struct ntt_conn *c)
{
	struct ntt_worker *w = c->w;

	c->next = w->conns;
	if (c->next)
		c->next->prev = c;
	w->conns = c;
}

static void conn_free(struct ntt_conn *c)
{
	struct ntt_worker *w = c->w;

	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		w->conns = c->next;
	nv_qp_gone(&c->qp);
	ntq_close(&c->q);
	free(c);
	__atomic_sub_fetch(&w->nconns, 1, __ATOMIC_RELEASE);
}

/* The socket goes now; the rest when its last command has come back. */
static void conn_close(struct ntt_conn *c)
{
	if (c->closed)
		return;
	c->closed = true;
	vio_timer_cancel(c->w->poller, &c->patience);
	vio_watch_del(c->w->poller, &c->watch);
	ntq_hang_up(&c->q);
	nv_qp_close(&c->qp);
	ntq_activate(&c->q);
}

static void conn_ready(struct vio_watch *watch, uint32_t events)
{
	struct ntt_conn *c = VIO_CONTAINER(watch, struct ntt_conn, watch);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->q.readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		c->q.eof = true;
	if (events & EPOLLOUT)
		c->q.writable = true;
	ntq_activate(&c->q);
}

static void conn_be_patient(struct ntt_conn *c)
{
	c->patient = true;
	c->progress = c->q.progress;
	vio_timer_set(c->w->poller, &c->patience, c->w->t->patience_ns);
}

/* A host that has not connected in time, or that owes us something and has not moved a byte. */
static void conn_impatient(struct vio_timer *timer)
{
	struct ntt_conn *c = VIO_CONTAINER(timer, struct ntt_conn, patience);
	bool owes = c->q.phase == NTQ_TERM || ntq_waits_for_host(&c->q);

	c->patient = false;
	if (c->q.connected && !owes)
		return;
	if (c->q.connected && c->q.phase != NTQ_TERM && c->progress != c->q.progress) {
		conn_be_patient(c);
		return;
	}
	if (c->q.phase != NTQ_TERM) {
		ntt_count(&c->w->t->timeouts);
		conn_log(c, VIO_LOG_ERROR, "closed: ",
			 c->q.connected ? "it does not go on with what it began"
					: "it has not connected to a controller in time");
	}
	conn_close(c);
}

static int conn_open(struct ntt_conn *c)
{
	struct ntt_worker *w = c->w;
	int on = 1, rc = ntq_open(&c->q, &w->queues, c->fd);

	if (rc)
		return rc;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	nv_qp_init(&c->qp, &w->group, &c->q.queue);
	ntt_local(c->fd, &c->qp.local);
	c->watch = (struct vio_watch){ .ready = conn_ready,
				       .fd = c->fd,
				       .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	c->patience.fire = conn_impatient;
	rc = vio_watch_add(w->poller, &c->watch);
	if (rc) {
		close(c->fd);
		ntq_close(&c->q);
	}
	return rc;
}

/* On its worker's thread. */
static void conn_come(struct vio_msg *m)
{
	struct ntt_conn *c = VIO_CONTAINER(m, struct ntt_conn, come);
	struct ntt_worker *w = c->w;
	int rc;

	ntt_worker_start(w);
	if (w->stopping)
		close(c->fd);
	rc = w->stopping ? -ESHUTDOWN : conn_open(c);
	if (rc) {
		if (rc != -ESHUTDOWN)
			vio_poller_log(w->poller, VIO_LOG_ERROR, "nvme-tcp: a connection is lost: %s",
				       vio_errmsg());
		free(c);
		__atomic_sub_fetch(&w->nconns, 1, __ATOMIC_RELEASE);
		vio_task_wake(w->poller, &w->task);
		return;
	}
	conn_link(c);
	conn_be_patient(c);
	ntq_activate(&c->q);
}

bool ntt_conn_send(struct ntt_worker *w, int fd)
{
	struct ntt_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return false;
	}
	c->w = w;
	c->fd = fd;
	c->come.fn = conn_come;
	__atomic_add_fetch(&w->nconns, 1, __ATOMIC_RELAXED);
	vio_poller_post(w->poller, &c->come);
	return true;
}

unsigned ntt_conn_down(struct ntt_conn *c)
{
	struct nvme_req *r[CONN_TAKE];
	unsigned work = ntq_recv(&c->q), n;

	while ((n = ntq_take(&c->q, r, CONN_TAKE))) {
		nv_qp_serve(&c->qp, r, n);
		work += n;
	}
	return work;
}

static void conn_refused(struct ntt_conn *c)
{
	ntt_count(&c->w->t->violations);
	conn_log(c, VIO_LOG_ERROR, "closed: the host sent ", c->q.why);
	c->q.why = NULL;
}

unsigned ntt_conn_up(struct ntt_conn *c)
{
	unsigned work = ntq_send(&c->q);

	if (VIO_UNLIKELY(c->q.why != NULL))
		conn_refused(c);
	if (VIO_UNLIKELY(ntq_finished(&c->q)))
		conn_close(c);
	if (VIO_UNLIKELY(c->closed)) {
		if (ntq_gone(&c->q) && !c->q.active && nv_qp_ended(&c->qp))
			conn_free(c);
		return work + 1;
	}
	if (!c->patient && (c->q.phase == NTQ_TERM || ntq_waits_for_host(&c->q)))
		conn_be_patient(c);
	if (c->q.readable && !c->q.starved && !(c->q.ending && c->q.phase != NTQ_TERM))
		ntq_activate(&c->q);
	return work;
}

void ntt_conn_drain(struct ntt_conn *c)
{
	if (c->closed)
		return;
	c->q.hangup |= !c->q.connected || c->q.phase == NTQ_TERM;
	ntq_drain(&c->q);
	nv_qp_drain(&c->qp);
}
