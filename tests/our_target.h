/* SPDX-License-Identifier: MIT */
/* Our own NVMe/TCP target in a process of its own, so that it can be killed: a file, and always the same
 * port. */
#ifndef TESTS_OUR_TARGET_H
#define TESTS_OUR_TARGET_H

#include "scratch.h"

#include <virtio-offload.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUR_NQN "nqn.2014-08.org.example:ours"

struct our_target {
	char dir[32], image[64];
	uint16_t port;
	pid_t pid;
};

static inline void our_try(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "target: %s\n", vio_errmsg());
	_exit(3);
}

/* Never returns: it is killed. */
static inline void our_run(const struct our_target *t, int ready)
{
	VIO_OPTS(vio_nvme_opts, so, .nqn = OUR_NQN);
	VIO_OPTS(vio_nvme_tcp_opts, o, 0);
	struct vio_nvme_tcp *tcp;
	struct vio_backend *b;
	struct vio_poller *p;
	struct vio_nvme *s;
	char stack[128], address[32];
	uint16_t port;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(stack, sizeof(stack), "file:%s", t->image);
	snprintf(address, sizeof(address), "127.0.0.1:%u", t->port);
	o.address = address;
	our_try(vio_poller_new(&p, NULL));
	our_try(vio_backend_parse(&b, NULL, stack));
	our_try(vio_nvme_new(&s, &so));
	our_try(vio_nvme_ns_add(s, b, NULL));
	our_try(vio_nvme_tcp_new(&tcp, p, s, &o));
	port = vio_nvme_tcp_port(tcp);
	if (write(ready, &port, sizeof(port)) != sizeof(port))
		_exit(3);
	for (;;)
		our_try(vio_poller_wait(p, -1));
}

/* The first time it takes any port, then that one. */
static inline void our_fork(struct our_target *t)
{
	int ready[2];

	if (pipe(ready))
		abort();
	t->pid = fork();
	if (!t->pid) {
		close(ready[0]);
		our_run(t, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &t->port, sizeof(t->port)) != sizeof(t->port))
		abort();
	close(ready[0]);
}

static inline void our_kill(struct our_target *t)
{
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
}

static inline void our_start(struct our_target *t, off_t size)
{
	int fd;

	memset(t, 0, sizeof(*t));
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

static inline void our_stop(struct our_target *t)
{
	our_kill(t);
	unlink(t->image);
	rmdir(t->dir);
}

#endif
