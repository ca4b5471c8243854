/* SPDX-License-Identifier: MIT */
#include "wire/vhost_user.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define VU_VERSION_MASK 0x3u

_Static_assert(sizeof(struct vu_header) == 12, "a header is 12 bytes on the wire");
_Static_assert(offsetof(struct vu_msg, p) >= sizeof(struct vu_header), "the payload follows the header");
_Static_assert(offsetof(struct vu_config, data) == 12, "config data follows three words");

/* Room for one descriptor more than is legal, so that too many are told from enough. */
union vu_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * (VU_MAX_FDS + 1))];
};

void vu_close_fds(struct vu_msg *msg)
{
	for (unsigned i = 0; i < msg->nfds; i++)
		close(msg->fds[i]);
	msg->nfds = 0;
}

static int recv_fail(struct vu_inbox *box, int err)
{
	vu_close_fds(&box->msg);
	return -err;
}

/* Moves the descriptors of one control message into msg; those beyond its room are closed. True if all
 * fitted. */
static bool recv_take_fds(struct vu_msg *msg, struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fitted = true;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (msg->nfds < VU_MAX_FDS) {
			msg->fds[msg->nfds++] = fd;
		} else {
			close(fd);
			fitted = false;
		}
	}
	return fitted;
}

static int recv_ancillary(struct vu_msg *msg, struct msghdr *mh)
{
	bool ok = !(mh->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && !recv_take_fds(msg, c))
			ok = false;
	if (!ok)
		return vio__fail(EBADMSG, "a message came with more than %u file descriptors", VU_MAX_FDS);
	return 0;
}

/* One read of at most len bytes: how many came (> 0), 0 for "not now", or -errno. */
static ssize_t recv_piece(struct vu_msg *msg, int socket, void *to, size_t len)
{
	union vu_control control;
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
	err = recv_ancillary(msg, &mh);
	return err ? err : got;
}

static int recv_check_header(const struct vu_header *h)
{
	if ((h->flags & VU_VERSION_MASK) != VU_VERSION)
		return vio__fail(EBADMSG, "message %u has protocol version %u, expected %u", h->request,
				 h->flags & VU_VERSION_MASK, VU_VERSION);
	if (h->size > sizeof(union vu_payload))
		return vio__fail(EBADMSG,
				 "message %u announces a payload of %u bytes, at most %zu are expected",
				 h->request, h->size, sizeof(union vu_payload));
	return 0;
}

/* Where the next byte goes, and how many may be read without touching the message after this one. */
static void *recv_next(struct vu_inbox *box, size_t *len)
{
	const size_t head = sizeof(box->msg.h);

	if (box->have < head) {
		*len = head - box->have;
		return (char *)&box->msg.h + box->have;
	}
	*len = head + box->msg.h.size - box->have;
	return box->msg.p.bytes + (box->have - head);
}

int vu_recv(struct vu_inbox *box, int socket)
{
	for (;;) {
		size_t len;
		void *to = recv_next(box, &len);
		ssize_t got;

		if (!len)
			return 1;
		if (!box->have)
			box->msg.nfds = 0;
		got = recv_piece(&box->msg, socket, to, len);
		if (got < 0)
			return recv_fail(box, (int)-got);
		if (!got)
			return 0;
		box->have += (size_t)got;
		if (box->have == sizeof(box->msg.h) && recv_check_header(&box->msg.h))
			return recv_fail(box, EBADMSG);
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

/* Waits for the socket until the deadline: 0, or -ETIMEDOUT. */
static int wait_for(int socket, short events, int64_t deadline, const char *what)
{
	for (;;) {
		struct pollfd p = { .fd = socket, .events = events };
		int64_t left = deadline - now_ms();

		if (poll(&p, 1, (int)VIO_MAX(left, 0)) > 0)
			return 0;
		if (left <= 0)
			return vio__fail(ETIMEDOUT, "the peer did not %s in time", what);
	}
}

int vu_recv_wait(struct vu_inbox *box, int socket, int ms)
{
	int64_t deadline = now_ms() + ms;
	int r;

	while (!(r = vu_recv(box, socket))) {
		r = wait_for(socket, POLLIN, deadline, "answer");
		if (r) {
			if (box->have)
				vu_close_fds(&box->msg);
			return r;
		}
	}
	return r;
}

static void send_put_fds(struct msghdr *mh, union vu_control *control, const struct vu_msg *msg)
{
	size_t bytes = sizeof(int) * msg->nfds;
	struct cmsghdr *c;

	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(bytes);
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(c), msg->fds, bytes);
}

/* What is left to send, as one or two pieces. */
static unsigned send_pieces(struct vu_outbox *box, struct iovec iov[2])
{
	const size_t head = sizeof(box->msg.h);
	size_t sent = box->sent;
	unsigned n = 0;

	if (sent < head) {
		iov[n++] = (struct iovec){ (char *)&box->msg.h + sent, head - sent };
		sent = head;
	}
	if (head + box->msg.h.size > sent)
		iov[n++] = (struct iovec){ box->msg.p.bytes + (sent - head), head + box->msg.h.size - sent };
	return n;
}

int vu_send_some(struct vu_outbox *box, int socket)
{
	for (;;) {
		union vu_control control = { .space = { 0 } };
		struct iovec iov[2];
		struct msghdr mh = { .msg_iov = iov, .msg_iovlen = send_pieces(box, iov) };
		ssize_t put;

		if (!mh.msg_iovlen)
			return 1;
		if (!box->sent && box->msg.nfds)
			send_put_fds(&mh, &control, &box->msg);
		put = sendmsg(socket, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put >= 0)
			box->sent += (size_t)put;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		else if (errno != EINTR)
			return vio__fail(errno, "cannot send a message to the peer: %s", strerror(errno));
	}
}

int vu_send(int socket, const struct vu_msg *msg, int ms)
{
	int64_t deadline = now_ms() + ms;
	struct vu_outbox box = { .msg = *msg };
	int r;

	if (msg->h.size > sizeof(union vu_payload) || msg->nfds > VU_MAX_FDS)
		return vio__fail(EINVAL, "a message of %u bytes and %u descriptors cannot be sent",
				 msg->h.size, msg->nfds);
	while (!(r = vu_send_some(&box, socket))) {
		r = wait_for(socket, POLLOUT, deadline, "read");
		if (r)
			return r;
	}
	return r < 0 ? r : 0;
}
