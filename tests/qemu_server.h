/* SPDX-License-Identifier: MIT */
/* qemu-storage-daemon serving a file over vhost-user-blk, in a directory of its own. */
#ifndef TESTS_QEMU_SERVER_H
#define TESTS_QEMU_SERVER_H

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct qemu {
	char dir[32], image[64], sock[64];
	pid_t pid;
};

static inline void qemu_exec(const struct qemu *q)
{
	char blockdev[160], export[256];

	snprintf(blockdev, sizeof(blockdev),
		 "driver=file,node-name=d0,filename=%s,discard=unmap,cache.direct=off", q->image);
	snprintf(
		export, sizeof(export),
		"type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path=%s,writable=on,num-queues=2,"
		"iothread=io0",
		q->sock);
	execlp("qemu-storage-daemon", "qemu-storage-daemon", "--object", "iothread,id=io0", "--blockdev",
	       blockdev, "--export", export, (char *)NULL);
	_exit(127);
}

/* Waits until the daemon listens; false if it is no more. */
static inline bool qemu_ready(struct qemu *q)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(a.sun_path, q->sock);
	for (int i = 0; i < 1000; i++) {
		int s = socket(AF_UNIX, SOCK_STREAM, 0);
		bool up = !connect(s, (struct sockaddr *)&a, sizeof(a));

		close(s);
		if (up)
			return true;
		if (waitpid(q->pid, NULL, WNOHANG) == q->pid) {
			q->pid = -1;
			return false;
		}
		usleep(10000);
	}
	return false;
}

static inline void qemu_fork(struct qemu *q)
{
	unlink(q->sock);
	q->pid = fork();
	if (!q->pid)
		qemu_exec(q);
}

static inline void qemu_kill(struct qemu *q)
{
	if (q->pid > 0) {
		kill(q->pid, SIGKILL);
		waitpid(q->pid, NULL, 0);
	}
	q->pid = -1;
}

static inline void qemu_stop(struct qemu *q)
{
	qemu_kill(q);
	unlink(q->image);
	unlink(q->sock);
	rmdir(q->dir);
}

/* A disk of `size` zeroes; ends the test program with 77 where there is no such daemon. */
static inline void qemu_start(struct qemu *q, off_t size)
{
	int fd;

	strcpy(q->dir, "/tmp/vio-qemu.XXXXXX");
	if (!mkdtemp(q->dir))
		abort();
	snprintf(q->image, sizeof(q->image), "%s/disk", q->dir);
	snprintf(q->sock, sizeof(q->sock), "%s/sock", q->dir);
	scratch_forget(q->dir);
	scratch_forget(q->image);
	scratch_forget(q->sock);
	fd = open(q->image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, size))
		abort();
	close(fd);
	qemu_fork(q);
	if (qemu_ready(q))
		return;
	qemu_stop(q);
	printf("skipped: qemu-storage-daemon with vhost-user-blk is not installed\n");
	exit(77);
}

#endif
