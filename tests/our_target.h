/* SPDX-License-Identifier: MIT */
/*
 * Our own NVMe/TCP target in a process of its own, so that it can be killed: a file, and always the same
 * port. A second one serves the same file.
 */
#ifndef TESTS_OUR_TARGET_H
#define TESTS_OUR_TARGET_H

#include "scratch.h"

#include <virtio-offload.h>
#include <virtio-offload/impl/poll.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUR_NQN "nqn.2014-08.org.example:ours"

struct our_target {
	char dir[32], image[64];
	uint16_t port;
	bool pair, second;
	int tell;      /* a byte is a state */
	uint8_t state; /* of the namespace there: enum vio_nvme_ana; 0: that at first */
	pid_t pid;
};

static inline void our_try(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "target: %s\n", vio_errmsg());
	_exit(3);
}

struct our_ear {
	struct vio_watch watch;
	struct vio_nvme *s;
};

/* It is told of a state. */
static inline void our_told(struct vio_watch *w, uint32_t events)
{
	struct our_ear *e = (struct our_ear *)w;
	uint8_t state;

	(void)events;
	while (read(w->fd, &state, 1) == 1)
		our_try(vio_nvme_ana_set(e->s, 1, 1, state));
}

/* Without a lock to wait for, the one that was killed may have its port still, until the kernel has ended its
 * I/O. */
static inline int our_listen(struct vio_nvme_tcp **tcp, struct vio_poller *p, struct vio_nvme *s,
			     const struct vio_nvme_tcp_opts *o)
{
	int rc;

	while ((rc = vio_nvme_tcp_new(tcp, p, s, o)) == -EADDRINUSE)
		usleep(1000);
	return rc;
}

/* Never returns: it is killed. */
static inline void our_run(const struct our_target *t, int ready, int told)
{
	VIO_OPTS(vio_nvme_opts, so, .nqn = OUR_NQN, .first_controller = t->second ? 1000 : 1,
		 .last_controller = t->second ? 1999 : 999);
	struct our_ear ear = { .watch = { .ready = our_told, .fd = told, .events = EPOLLIN } };
	VIO_OPTS(vio_nvme_tcp_opts, o, 0);
	struct vio_nvme_tcp *tcp;
	struct vio_backend *b;
	struct vio_poller *p;
	struct vio_nvme *s;
	char stack[128], address[32];
	uint16_t port;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(stack, sizeof(stack), "file:%s,lock=%s", t->image, t->pair ? "off" : "on");
	snprintf(address, sizeof(address), "127.0.0.1:%u", t->port);
	o.address = address;
	our_try(vio_poller_new(&p, NULL));
	our_try(vio_backend_parse(&b, NULL, stack));
	our_try(vio_nvme_new(&s, &so));
	our_try(vio_nvme_ns_add(s, b, NULL));
	ear.s = s;
	our_try(vio_watch_add(p, &ear.watch));
	if (t->state)
		our_try(vio_nvme_ana_set(s, 1, 1, t->state));
	our_try(our_listen(&tcp, p, s, &o));
	port = vio_nvme_tcp_port(tcp);
	if (write(ready, &port, sizeof(port)) != sizeof(port))
		_exit(3);
	for (;;)
		our_try(vio_poller_wait(p, -1));
}

/* The first time it takes any port, then that one. */
static inline void our_fork(struct our_target *t)
{
	int ready[2], told[2];

	if (pipe(ready) || pipe(told))
		abort();
	fcntl(told[0], F_SETFL, O_NONBLOCK);
	t->pid = fork();
	if (!t->pid) {
		close(ready[0]);
		close(told[1]);
		our_run(t, ready[1], told[0]);
	}
	close(ready[1]);
	close(told[0]);
	t->tell = told[1];
	if (read(ready[0], &t->port, sizeof(t->port)) != sizeof(t->port))
		abort();
	close(ready[0]);
}

static inline void our_kill(struct our_target *t)
{
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	close(t->tell);
}

/* How well the namespace is reached there from now on, and after it was killed. */
static inline void our_state(struct our_target *t, uint8_t state)
{
	t->state = state;
	if (write(t->tell, &state, 1) != 1)
		abort();
}

static inline void our_start_as(struct our_target *t, off_t size, bool pair)
{
	int fd;

	memset(t, 0, sizeof(*t));
	t->pair = pair;
	strcpy(t->dir, "/tmp/vio-target.XXXXXX");
	if (!mkdtemp(t->dir))
		abort();
	snprintf(t->image, sizeof(t->image), "%s/disk", t->dir);
	scratch_forget(t->dir);
	scratch_forget(t->image);
	fd = open(t->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, size))
		abort();
	close(fd);
	our_fork(t);
}

static inline void our_start(struct our_target *t, off_t size)
{
	our_start_as(t, size, false);
}

/* One of two. */
static inline void our_start_first(struct our_target *t, off_t size)
{
	our_start_as(t, size, true);
}

/* Another process with the same subsystem and file. */
static inline void our_start_second(struct our_target *t, const struct our_target *first)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->image, first->image, sizeof(t->image));
	t->pair = t->second = true;
	our_fork(t);
}

static inline void our_stop(struct our_target *t)
{
	our_kill(t);
	unlink(t->image);
	rmdir(t->dir);
}

#endif
