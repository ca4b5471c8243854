/* SPDX-License-Identifier: MIT */
/*
 * While the namespace is not optimized by the path that is used, paths that could not be
 * reached are knocked at: a connection is made, no more. If one is accepted, a round is
 * worth it. A path that accepts and is no better after all is left alone for longer each
 * time.
 */
#include "backend/nvme_tcp.h"

#include <poll.h>
#include <unistd.h>

#define KNOCK_FIRST (5 * HOST_SECOND)
#define KNOCK_LONGEST (640 * HOST_SECOND)
#define KNOCK_ANSWER HOST_SECOND /* until it is looked at */

void vio__host_knock_end(struct host *h)
{
	if (h->knocking)
		close(h->knock_fd);
	h->knocking = false;
	h->knock_at = 0;
}

void vio__host_knock_never(struct host *h)
{
	vio__host_knock_end(h);
	h->knock_pause = 0;
}

void vio__host_knock_later(struct host *h, uint64_t now)
{
	vio__host_knock_end(h);
	h->knock_pause = h->knock_pause ? VIO_MIN(2 * h->knock_pause, KNOCK_LONGEST) : KNOCK_FIRST;
	h->knock_at = now + h->knock_pause;
}

/* The next in turn; NULL: all could be reached. */
static const struct host_path *knock_whom(struct host *h)
{
	for (unsigned i = 1; i <= h->npaths; i++) {
		unsigned n = (h->knock_path + i) % h->npaths;

		if (n == h->at_path || h->path[n].rank != HOST_UNREACHED)
			continue;
		h->knock_path = n;
		return &h->path[n];
	}
	return NULL;
}

static void knock_begin(struct host *h, uint64_t now)
{
	const struct host_path *p = knock_whom(h);

	h->knock_at = 0;
	if (!p)
		return;
	h->knock_at = now + h->knock_pause;
	h->knock_fd = socket(p->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->knock_fd < 0)
		return;
	h->knocking = true;
	if (connect(h->knock_fd, (const struct sockaddr *)&p->addr, p->len) && errno != EINPROGRESS)
		vio__host_knock_end(h);
	h->knock_at = now + (h->knocking ? KNOCK_ANSWER : h->knock_pause);
}

static bool knock_opened(const struct host *h)
{
	struct pollfd p = { .fd = h->knock_fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int err = 0;

	return poll(&p, 1, 0) > 0 && !getsockopt(h->knock_fd, SOL_SOCKET, SO_ERROR, &err, &len) && !err;
}

bool vio__host_knock(struct host *h, uint64_t now)
{
	bool opened;

	if (!h->knocking) {
		knock_begin(h, now);
		return false;
	}
	opened = knock_opened(h);
	vio__host_knock_end(h);
	h->knock_at = now + h->knock_pause;
	return opened;
}
