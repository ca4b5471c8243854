/* SPDX-License-Identifier: MIT */
#include "wire/vhost_user.h"

#include "wire/fds.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#define VU_VERSION_MASK 0x3u

_Static_assert(sizeof(struct vu_header) == 12, "a header is 12 bytes on the wire");
_Static_assert(offsetof(struct vu_msg, p) >= sizeof(struct vu_header), "the payload follows the header");
_Static_assert(offsetof(struct vu_config, data) == 12, "config data follows three words");

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

/* One read of at most len bytes: how many came (> 0), 0 for "not now", or -errno. */
static ssize_t recv_piece(struct vu_msg *msg, int socket, void *to, size_t len)
{
	struct wire_fds fds = { .n = msg->nfds, .max = VU_MAX_FDS, .fd = msg->fds };
	ssize_t got = wire_recv(socket, to, len, &fds);

	msg->nfds = fds.n;
	return got;
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
		struct iovec iov[2];
		unsigned n = send_pieces(box, iov);
		ssize_t put;

		if (!n)
			return 1;
		put = wire_send(socket, iov, n, box->msg.fds, box->sent ? 0 : box->msg.nfds);
		if (put <= 0)
			return (int)put;
		box->sent += (size_t)put;
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
