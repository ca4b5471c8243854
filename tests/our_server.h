/* SPDX-License-Identifier: MIT */
/* Our own server in a process of its own, so that it can be killed: a file's blocks over vhost-user. */
#ifndef TESTS_OUR_SERVER_H
#define TESTS_OUR_SERVER_H

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

struct server {
	char dir[32], image[64], sock[64];
	const char *device; /* arguments of the device */
	pid_t pid;
};

static inline void server_try(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "server: %s\n", vio_errmsg());
	_exit(3);
}

/* Never returns: it is killed. */
static inline void server_run(const struct server *s, int ready)
{
	VIO_OPTS(vio_vhost_user_opts, o, .path = s->sock);
	struct vio_vhost_user *t;
	struct vio_backend *b;
	struct vio_poller *p;
	struct vio_dev *d;
	char stack[128];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(stack, sizeof(stack), "file:%s", s->image);
	server_try(vio_poller_new(&p, NULL));
	server_try(vio_backend_parse(&b, NULL, stack));
	server_try(vio_dev_new(&d, vio_dev_blk(), b, s->device));
	server_try(vio_vhost_user_new(&t, p, d, &o));
	close(ready);
	for (;;)
		server_try(vio_poller_wait(p, -1));
}

static inline void server_fork(struct server *s)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		abort();
	s->pid = fork();
	if (!s->pid) {
		close(ready[0]);
		server_run(s, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1)) /* its end closes when it listens */
		abort();
	close(ready[0]);
}

static inline void server_kill(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

static inline void server_start(struct server *s, off_t size, const char *device)
{
	int fd;

	strcpy(s->dir, "/tmp/vio-server.XXXXXX");
	if (!mkdtemp(s->dir))
		abort();
	snprintf(s->image, sizeof(s->image), "%s/disk", s->dir);
	snprintf(s->sock, sizeof(s->sock), "%s/sock", s->dir);
	scratch_forget(s->dir);
	scratch_forget(s->image);
	scratch_forget(s->sock);
	fd = open(s->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, size))
		abort();
	close(fd);
	s->device = device;
	server_fork(s);
}

static inline void server_stop(struct server *s)
{
	server_kill(s);
	unlink(s->image);
	unlink(s->sock);
	rmdir(s->dir);
}

#endif
