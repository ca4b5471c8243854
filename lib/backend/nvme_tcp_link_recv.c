/* SPDX-License-Identifier: MIT */
/*
 * What a connection receives. Small PDUs are read many at a time into a buffer and
 * copied from there; the rest of one that is large is received where it belongs.
 */
#include "backend/nvme_tcp_link.h"

#define RX_DIRECT 4096u	  /* less than that of a PDU's data is copied */
#define RX_DIRECT_IOV 64u /* pieces of memory received into at once */
#define RX_BESIDE_BIG                                                                                        \
	256u /* buffer to receive into while large data is expected: it should not land there                \
	      */

/* All of a C2HData is here. */
static int rx_data_end(struct host_link *k)
{
	struct host_slot *s = k->rx_slot;

	k->rx_slot = NULL;
	return k->rx_flags & NVME_TCP_DATA_SUCCESS ? vio__host_link_answer(k, s, 0, 0) : 0;
}

/* n bytes of data have come to where rx_slot's vector stands. */
static int rx_took(struct host_link *k, size_t n)
{
	k->rx_left -= (uint32_t)n;
	return k->rx_left || k->rx_digest ? 0 : rx_data_end(k);
}

static int rx_copy(struct host_link *k)
{
	size_t n = VIO_MIN(k->rx_left, k->rx_end - k->rx_at), left = n;
	uint8_t *from = k->rx + k->rx_at;
	void *to;

	if (k->rx_digest)
		k->rx_sum = vio__nvme_tcp_sum(k->rx_sum, from, n);
	while (left) {
		size_t part = link_piece(&k->rx_slot->at, left, &to);

		memcpy(to, from, part);
		from += part;
		left -= part;
	}
	k->rx_at += (unsigned)n;
	return rx_took(k, n);
}

static int rx_data_digest(struct host_link *k)
{
	uint32_t sum;

	if (k->rx_end - k->rx_at < NVME_TCP_DIGEST)
		return LINK_NEXT;
	memcpy(&sum, k->rx + k->rx_at, sizeof(sum));
	k->rx_at += NVME_TCP_DIGEST;
	k->rx_digest = false;
	if (sum != nvme_tcp_sum_end(k->rx_sum)) {
		k->rx_slot->spoilt = true;
		k->bad_digests++;
	}
	return rx_data_end(k);
}

/* Each turn consumes bytes, so what was received bounds it. */
static int rx_parse(struct host_link *k)
{
	int rc = 0;

	while (!rc && k->rx_at < k->rx_end) {
		if (k->rx_left)
			rc = rx_copy(k);
		else if (k->rx_digest)
			rc = rx_data_digest(k);
		else
			rc = vio__host_link_pdu(k);
	}
	if (k->rx_at) {
		memmove(k->rx, k->rx + k->rx_at, k->rx_end - k->rx_at);
		k->rx_end -= k->rx_at;
		k->rx_at = 0;
	}
	return rc == LINK_NEXT ? 0 : rc;
}

/* Where the rest of a large PDU belongs; the bytes that this is. */
static size_t rx_direct(const struct host_link *k, struct iovec *iov, unsigned *n)
{
	struct host_at at;
	size_t len = 0;
	void *p;

	if (k->rx_left < RX_DIRECT)
		return 0;
	for (at = k->rx_slot->at; *n < RX_DIRECT_IOV && len < k->rx_left; ++*n) {
		size_t part = link_piece(&at, k->rx_left - len, &p);

		iov[*n] = (struct iovec){ p, part };
		len += part;
	}
	return len;
}

static int rx_landed(struct host_link *k, size_t n)
{
	size_t left = n;
	void *p;

	while (left) {
		size_t part = link_piece(&k->rx_slot->at, left, &p);

		if (k->rx_digest)
			k->rx_sum = vio__nvme_tcp_sum(k->rx_sum, p, part);
		left -= part;
	}
	return rx_took(k, n);
}

static int rx_failed(struct host_link *k, ssize_t n)
{
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && errno == EAGAIN) {
		k->readable = false;
		return 0;
	}
	k->why = n ? strerror(errno) : "it closed the connection";
	return n ? -errno : -ECONNRESET;
}

int vio__host_link_receive(struct host_link *k)
{
	struct iovec iov[RX_DIRECT_IOV + 1];
	struct msghdr m = { .msg_iov = iov };
	size_t direct, space = k->rx_size - k->rx_end, landed;
	unsigned pieces = 0;
	ssize_t n;
	int rc = 0;

	direct = rx_direct(k, iov, &pieces);
	if (k->big)
		space = VIO_MIN(space, (size_t)RX_BESIDE_BIG);
	if (direct == k->rx_left || !direct)
		iov[pieces++] = (struct iovec){ k->rx + k->rx_end, space };
	else
		space = 0;
	m.msg_iovlen = pieces;
	n = recvmsg(k->fd, &m, MSG_DONTWAIT);
	k->receives++;
	if (n <= 0)
		return rx_failed(k, n);
	if ((size_t)n < direct + space && !k->ended)
		k->readable = false; /* that was all; more makes another edge */
	landed = VIO_MIN((size_t)n, direct);
	if (landed)
		rc = rx_landed(k, landed);
	k->rx_end += (unsigned)((size_t)n - landed);
	return rc ? rc : rx_parse(k);
}
