/* SPDX-License-Identifier: MIT */
/* Our own switch in a process of its own, so that it can be killed: two network cards over vhost-user. */
#ifndef TESTS_OUR_SWITCH_H
#define TESTS_OUR_SWITCH_H

#include "our_server.h"

#include <virtio-offload/net.h>
#include <virtio-offload/switch.h>

struct switch_server {
	char dir[32], sock[2][64];
	const char *device; /* arguments of each card */
	pid_t pid;
};

static inline void switch_card(struct vio_switch *sw, struct vio_poller *p, const struct switch_server *s,
			       unsigned i)
{
	VIO_OPTS(vio_vhost_user_opts, o, .path = s->sock[i]);
	struct vio_switch_port *port;
	struct vio_vhost_user *t;
	struct vio_dev *d;

	server_try(vio_switch_port_new(&port, sw, i ? "b" : "a", NULL));
	server_try(vio_dev_new(&d, vio_dev_net(), vio_switch_port_backend(port), s->device));
	server_try(vio_vhost_user_new(&t, p, d, &o));
}

/* Never returns: it is killed. */
static inline void switch_run(const struct switch_server *s, int ready)
{
	struct vio_poller *p;
	struct vio_switch *sw;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	server_try(vio_poller_new(&p, NULL));
	server_try(vio_switch_new(&sw, NULL));
	switch_card(sw, p, s, 0);
	switch_card(sw, p, s, 1);
	close(ready);
	for (;;)
		server_try(vio_poller_wait(p, -1));
}

static inline void switch_fork(struct switch_server *s)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		abort();
	s->pid = fork();
	if (!s->pid) {
		close(ready[0]);
		switch_run(s, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1)) /* its end closes when it listens */
		abort();
	close(ready[0]);
}

static inline void switch_kill(struct switch_server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

static inline void switch_start(struct switch_server *s, const char *device)
{
	strcpy(s->dir, "/tmp/vio-switch.XXXXXX");
	if (!mkdtemp(s->dir))
		abort();
	scratch_forget(s->dir);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(s->sock[i], sizeof(s->sock[i]), "%s/%c", s->dir, 'a' + i);
		scratch_forget(s->sock[i]);
	}
	s->device = device;
	switch_fork(s);
}

static inline void switch_stop(struct switch_server *s)
{
	switch_kill(s);
	unlink(s->sock[0]);
	unlink(s->sock[1]);
	rmdir(s->dir);
}

#endif
