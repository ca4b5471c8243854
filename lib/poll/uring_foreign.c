/* SPDX-License-Identifier: MIT */
/*
 * An fd for a foreign loop. The ring's own will not do: under DEFER_TASKRUN the
 * kernel wakes nobody who waits for that. An eventfd registered with the ring will,
 * but not in time where the news is itself an eventfd's (a kick): one may not write
 * another, so the kernel puts it off. Hence an epoll fd that holds both, the ring's
 * eventfd and everything watched. Its edges say only "run"; the ring says what for.
 */
#include "poll/uring.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FOREIGN_EDGES 64

static int foreign_add(const struct vio_poller *p, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events | EPOLLET };

	return epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &ev) && errno != EEXIST ? -errno : 0;
}

int poll_uring_foreign_watch(struct vio_poller *p, struct poll_slot *slot)
{
	return foreign_add(p, slot->fd, slot->events);
}

void poll_uring_foreign_unwatch(struct vio_poller *p, struct poll_slot *slot)
{
	epoll_ctl(p->epfd, EPOLL_CTL_DEL, slot->fd, NULL);
}

int poll_uring_expose(struct vio_poller *p)
{
	struct uring *u = uring_of(p);
	int rc;

	if (u->news_fd < 0)
		u->news_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (u->news_fd < 0)
		return -errno;
	rc = io_uring_register_eventfd(&u->ring, u->news_fd);
	if (rc && rc != -EBUSY) /* -EBUSY: an earlier attempt came as far as this */
		return rc;
	rc = foreign_add(p, u->news_fd, EPOLLIN);
	return rc ? rc : poll_slots_each(p, poll_uring_foreign_watch);
}

void poll_uring_expose_end(struct vio_poller *p)
{
	if (uring_of(p)->news_fd >= 0)
		close(uring_of(p)->news_fd);
}

void poll_uring_quiet(struct vio_poller *p)
{
	struct epoll_event edges[FOREIGN_EDGES];

	io_uring_cq_eventfd_toggle(&uring_of(p)->ring, false);
	p->stats.syscalls++;
	epoll_wait(p->epfd, edges, FOREIGN_EDGES,
		   0); /* takes them; should there be more, they stay to be told */
}

void poll_uring_announce(struct vio_poller *p, bool work)
{
	struct uring *u = uring_of(p);
	uint64_t one = 1;

	io_uring_cq_eventfd_toggle(&u->ring, true);
	vio__full_barrier(); /* the kernel adds, then looks at the toggle: what it added before is seen here
			      */
	if (!work && !io_uring_cq_ready(&u->ring) && !uring_kernel_has_news(u))
		return;
	p->stats.syscalls++;
	if (write(u->news_fd, &one, sizeof(one)) < 0) {
		/* full, that is, readable */
	}
}
