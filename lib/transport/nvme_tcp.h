/* SPDX-License-Identifier: MIT */
/*
 * The NVMe/TCP transport from within: nvme_tcp.c listens and stops, nvme_tcp_worker.c is
 * a poller's share of the connections, nvme_tcp_conn.c one of them,
 * nvme_tcp_socket.c addresses and sockets.
 */
#ifndef VIO_TRANSPORT_NVME_TCP_H
#define VIO_TRANSPORT_NVME_TCP_H

#include "nvme/nv.h"
#include "queue/nvme_tcp.h"

#include <virtio-offload/nvme_tcp.h>

struct ntt_worker {
	struct vio_nvme_tcp *t;
	struct vio_poller *poller;
	struct vio_task task;
	struct ntq_group queues;
	struct nv_group group;
	struct ntt_conn *conns;
	unsigned nconns; /* atomic: those on their way here too */
	bool started, stopping, ended;
	struct vio_msg start, stop, answer;
};

struct ntt_conn {
	struct ntq q;
	struct nv_qp qp;
	struct ntt_worker *w;
	struct ntt_conn *next, *prev;
	struct vio_msg come;
	int fd;
	struct vio_watch watch;
	struct vio_timer patience;
	bool patient;	   /* it is set */
	bool closed;	   /* its queue pair has let go */
	uint64_t progress; /* the queue's, when it was set */
};

struct vio_nvme_tcp {
	struct vio_poller *poller;
	struct vio_nvme *s;
	struct vio_nvme_tcp_opts opts; /* addresses and pollers are not kept */
	struct ntt_worker *workers;
	unsigned nworkers, next; /* next: whose turn it is */
	unsigned running;	 /* workers that have not ended */
	uint64_t patience_ns;

	int listener;
	uint16_t port;
	struct vio_watch watch;
	struct vio_timer retry;
	bool listening, stopping;
	void (*stopped)(void *ctx);
	void *stopped_ctx;

	/* Atomic. */
	uint64_t accepted, refused, violations, timeouts;
};

VIO_INLINE void ntt_count(uint64_t *c)
{
	__atomic_add_fetch(c, 1, __ATOMIC_RELAXED);
}

/* nvme_tcp_socket.c */
int ntt_listen(const char *address, uint16_t *port);
int ntt_address(const char *address, struct nv_address *a);
void ntt_local(int fd, struct nv_address *a);
const char *ntt_peer(int fd, char text[64]);

/* nvme_tcp_worker.c */
int ntt_worker_open(struct ntt_worker *w, struct vio_nvme_tcp *t, struct vio_poller *p);
void ntt_worker_free(struct ntt_worker *w);
void ntt_worker_start(struct ntt_worker *w); /* on its thread; again does no harm */
void ntt_worker_ended(struct ntt_worker *w); /* nvme_tcp.c: on the transport's thread */

/* nvme_tcp_conn.c */
/* A connection has come for w; the descriptor is its. False: no memory, and it is closed. */
bool ntt_conn_send(struct ntt_worker *w, int fd);
unsigned ntt_conn_down(struct ntt_conn *c); /* receives, serves */
unsigned ntt_conn_up(struct ntt_conn *c);   /* answers; may be c's end */
void ntt_conn_drain(struct ntt_conn *c);    /* no more is read; it ends when all is answered */

#endif
