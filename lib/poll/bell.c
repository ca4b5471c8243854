/* SPDX-License-Identifier: MIT */
/*
 * How other threads and signal handlers reach a poller: a word of reasons, and an
 * eventfd that is written when the word stops being zero. The word is set before
 * the eventfd is written and looked at after the eventfd's event was consumed, so no
 * ring is lost; the eventfd is watched by edge and never read.
 */
#include "poll/poll.h"
#include "base/barrier.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void bell_ready(struct vio_watch *w, uint32_t events)
{
	(void)w, (void)events; /* it has ended the sleep, and the word says the rest */
}

int poll_bell_open(struct vio_poller *p)
{
	p->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->bell_fd < 0)
		return vio__fail(errno, "poller: no eventfd: %s", strerror(errno));
	p->bell_watch =
		(struct vio_watch){ .ready = bell_ready, .fd = p->bell_fd, .events = EPOLLIN | EPOLLET };
	return 0;
}

/* Async-signal-safe. */
void poll_bell_ring(struct vio_poller *p, uint32_t why)
{
	uint64_t one = 1;
	int saved = errno;

	if (!__atomic_fetch_or(&p->bell, why, __ATOMIC_ACQ_REL) && write(p->bell_fd, &one, sizeof(one)) < 0) {
		/* full, that is, readable */
	}
	errno = saved;
}

static struct vio_msg *bell_posted(struct vio_poller *p)
{
	struct vio_msg *m = __atomic_exchange_n(&p->posted, NULL, __ATOMIC_ACQUIRE), *first = NULL, *next;

	for (; m; m = next) { /* newest first, so turn it round */
		next = m->next;
		m->next = first;
		first = m;
	}
	return first;
}

unsigned poll_bell_answer(struct vio_poller *p)
{
	unsigned done = 0;
	struct vio_msg *m, *next;
	uint32_t why;

	if (!VIO_LOAD(&p->bell))
		return 0;
	why = __atomic_exchange_n(&p->bell, 0, __ATOMIC_ACQ_REL);
	if (why & BELL_WAKE)
		p->ended = true;
	for (m = why & BELL_POST ? bell_posted(p) : NULL; m; m = next, done++) {
		poll_signals_leave(p);
		next = m->next;
		m->fn(m);
	}
	return done;
}

void vio_poller_post(struct vio_poller *p, struct vio_msg *m)
{
	struct vio_msg *head = VIO_LOAD(&p->posted);

	do
		m->next = head;
	while (!__atomic_compare_exchange_n(&p->posted, &head, m, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	poll_bell_ring(p, BELL_POST);
}

void vio_poller_wake(struct vio_poller *p)
{
	poll_bell_ring(p, BELL_WAKE);
}
