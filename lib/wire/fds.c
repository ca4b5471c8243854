/* SPDX-License-Identifier: MIT */
#include "wire/fds.h"

#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor more than is legal, so that too many are told from enough. */
union fds_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * (WIRE_MAX_FDS + 1))];
};

/* Moves the descriptors of one control message; those beyond the room are closed. True if all fitted. */
static bool fds_take(struct wire_fds *fds, struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fitted = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (fds->n < fds->max) {
			fds->fd[fds->n++] = fd;
		} else {
			close(fd);
			fitted = false;
		}
	}
	return fitted;
}

static int fds_ancillary(struct wire_fds *fds, struct msghdr *mh)
{
	bool ok = !(mh->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && !fds_take(fds, c))
			ok = false;
	if (!ok)
		return vio__fail(EBADMSG, "a message came with more than %u file descriptors", fds->max);
	return 0;
}

ssize_t wire_recv(int socket, void *to, size_t len, struct wire_fds *fds)
{
	union fds_control control;
	struct iovec iov = { .iov_base = to, .iov_len = len };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got;
	int err;

	do
		got = recvmsg(socket, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (got <= 0)
		return vio__fail(ECONNRESET, "the peer has closed the connection");
	err = fds_ancillary(fds, &mh);
	return err ? err : got;
}

static void fds_put(struct msghdr *mh, union fds_control *control, const int *fd, unsigned nfds)
{
	size_t bytes = sizeof(int) * nfds;
	struct cmsghdr *c;

	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(bytes);
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(c), fd, bytes);
}

ssize_t wire_send(int socket, struct iovec *iov, unsigned niov, const int *fd, unsigned nfds)
{
	union fds_control control = { .space = { 0 } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = niov };
	ssize_t put;

	if (nfds)
		fds_put(&mh, &control, fd, nfds);
	do
		put = sendmsg(socket, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	if (put >= 0)
		return put;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 0;
	return vio__fail(errno, "cannot send a message to the peer: %s", strerror(errno));
}
