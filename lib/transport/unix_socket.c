/* SPDX-License-Identifier: MIT */
/* The socket in the file system: bound with care for what is there already. */
#include "transport/unix_socket.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int socket_name(struct sockaddr_un *name, const char *path)
{
	size_t len = strlen(path);

	*name = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!len || len >= sizeof(name->sun_path))
		return vio__fail(EINVAL, "socket path \"%s\" has %zu bytes, expected 1 to %zu", path, len,
				 sizeof(name->sun_path) - 1);
	memcpy(name->sun_path, path, len);
	return 0;
}

static int socket_new(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 ? fd : vio__fail(errno, "no socket to be had: %s", strerror(errno));
}

int unix_connect(const char *path)
{
	struct sockaddr_un name;
	int fd, err = socket_name(&name, path);

	if (err)
		return err;
	fd = socket_new();
	if (fd < 0 || !connect(fd, (struct sockaddr *)&name, sizeof(name)))
		return fd;
	err = errno;
	close(fd);
	return vio__fail(err, "cannot connect to %s: %s", path, strerror(err));
}

/*
 * As unix_connect. A killed server's socket accepts for some moments more: the kernel
 * ends its io_uring, which holds the socket, after the process. So an answer counts
 * only if it keeps coming.
 */
static int probe_stale(const char *path)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int fd = unix_connect(path);

	for (unsigned i = 0; i < 50 && fd >= 0; i++) {
		close(fd);
		nanosleep(&pause, NULL);
		fd = unix_connect(path);
	}
	return fd;
}

/* Removes the socket file at path if nobody listens there any more. Nothing else is ever removed. */
static int remove_stale(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : vio__fail(errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return vio__fail(EEXIST, "%s exists and is not a socket: it is left as it is", path);
	fd = probe_stale(path);
	if (fd >= 0 || fd == -EAGAIN) {
		if (fd >= 0)
			close(fd);
		return vio__fail(EADDRINUSE, "another process listens at %s", path);
	}
	if (fd != -ECONNREFUSED)
		return fd;
	if (unlink(path) && errno != ENOENT)
		return vio__fail(errno, "cannot remove the stale socket %s: %s", path, strerror(errno));
	return 0;
}

static int bind_fail(const char *path, int err)
{
	switch (err) {
	case EADDRINUSE:
		return vio__fail(err, "another process has just made %s", path);
	case ENOENT:
		return vio__fail(err, "the directory of socket %s does not exist", path);
	case EACCES:
	case EROFS:
		return vio__fail(err, "no right to create socket %s: %s", path, strerror(err));
	default:
		return vio__fail(err, "cannot create socket %s: %s", path, strerror(err));
	}
}

int unix_listen(const char *path)
{
	struct sockaddr_un name;
	int fd, err = socket_name(&name, path);

	if (!err)
		err = remove_stale(path);
	if (err)
		return err;
	fd = socket_new();
	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&name, sizeof(name))) {
		err = errno;
		close(fd);
		return bind_fail(path, err);
	}
	if (listen(fd, SOMAXCONN)) {
		err = errno;
		unlink(path);
		close(fd);
		return vio__fail(err, "cannot listen at %s: %s", path, strerror(err));
	}
	return fd;
}
