/* SPDX-License-Identifier: MIT */
/* A connection's life. */
#include "backend/nvme_tcp_link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

static int link_stage(struct host_link *k)
{
	if (k->stage)
		return 0;
	k->stage = malloc(LINK_STAGE);
	return k->stage ? 0 : vio__fail(ENOMEM, "nvme-tcp: out of memory");
}

int vio__host_link_init(struct host_link *k, unsigned nslots, unsigned rx_size, uint8_t digests)
{
	k->fd = -1;
	k->why = "";
	k->nslots = nslots;
	k->rx_size = rx_size;
	k->digests = digests;
	k->slot = calloc(nslots, sizeof(*k->slot));
	k->rx = malloc(rx_size);
	if (!k->slot || !k->rx)
		return vio__fail(ENOMEM, "nvme-tcp: out of memory");
	return digests & NVME_TCP_WANT_DDGST ? link_stage(k) : 0;
}

void vio__host_link_fini(struct host_link *k)
{
	free(k->stage);
	free(k->slot);
	free(k->rx);
	k->stage = NULL;
	k->slot = NULL;
	k->rx = NULL;
}

static void link_reset(struct host_link *k)
{
	k->hdgst = k->ddgst = k->rx_digest = false;
	k->due = k->more = (struct host_slots){ 0 };
	k->tx_n = k->tx_at = 0;
	k->tx_queued = k->tx_sent = k->staged = 0;
	k->rx_at = k->rx_end = k->rx_left = 0;
	k->rx_slot = NULL;
	k->big = 0;
	for (unsigned i = 0; i < k->nslots; i++)
		k->slot[i].busy = false;
}

int vio__host_link_dial(struct host_link *k, const struct sockaddr *to, socklen_t len)
{
	int on = 1;

	link_reset(k);
	k->why = "";
	k->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->fd < 0)
		return vio__fail(errno, "nvme-tcp: socket: %s", strerror(errno));
	setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	k->state = LINK_CONNECTING;
	k->readable = k->writable = k->ended = false;
	if (!connect(k->fd, to, len)) {
		k->writable = true;
		return 0;
	}
	if (errno == EINPROGRESS)
		return 0;
	k->why = strerror(errno);
	return -errno;
}

void vio__host_link_sever(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	connect(fd, &none, sizeof(none)); /* resets the connection and forgets what is unsent */
}

void vio__host_link_close(struct host_link *k)
{
	if (k->fd >= 0) {
		vio__host_link_sever(k->fd);
		close(k->fd);
	}
	k->fd = -1;
	k->state = LINK_NONE;
	link_reset(k);
}

/* A non-blocking connect that was under way. */
static int link_connected(struct host_link *k)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer), elen = sizeof(int);
	int err = 0;

	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &err, &elen) || err) {
		err = err ? err : errno;
		k->why = strerror(err);
		return -err;
	}
	if (getpeername(k->fd, (struct sockaddr *)&peer, &len)) {
		k->writable = false; /* not yet */
		return 0;
	}
	return vio__host_link_greet(k);
}

int vio__host_link_run(struct host_link *k, unsigned budget)
{
	int rc = 0, work = 0;

	if (k->state == LINK_CONNECTING && (k->writable || k->readable)) {
		k->writable = true;
		rc = link_connected(k);
	}
	while (!rc && k->state > LINK_CONNECTING && k->readable && budget--) {
		rc = vio__host_link_receive(k);
		work++;
	}
	if (!rc && k->state > LINK_CONNECTING && link_wants_to_send(k))
		rc = vio__host_link_push(k);
	return rc ? rc : work;
}

void vio__host_link_wait(struct host_link *k, int ms)
{
	bool out = k->state == LINK_CONNECTING || (k->state != LINK_NONE && link_wants_to_send(k));
	struct pollfd p = { .fd = k->fd, .events = (short)(POLLIN | (out ? POLLOUT : 0)) };

	poll(&p, 1, ms);
	k->readable |= !!(p.revents & ~POLLOUT);
	k->writable |= !!(p.revents & ~POLLIN);
}

void vio__host_link_told(struct host_link *k, uint32_t events)
{
	k->readable |= !!(events & ~(uint32_t)EPOLLOUT);
	k->writable |= !!(events & ~(uint32_t)EPOLLIN);
	k->ended |= !!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}
