/* SPDX-License-Identifier: MIT */
/* What a connection sends: as many PDUs a system call as there are, up to its vector's end. */
#include "backend/nvme_tcp_link.h"

static void tx_add(struct host_link *k, void *p, size_t n)
{
	k->tx_iov[k->tx_n++] = (struct iovec){ p, n };
	k->tx_queued += n;
}

/* The header in s->pdu, its digest, and what is between it and data that begins at pdo. */
static void tx_header(struct host_link *k, struct host_slot *s, unsigned hlen, unsigned pdo)
{
	static const uint8_t zeroes[256];
	unsigned n = hlen;

	if (k->hdgst) {
		uint32_t sum = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, s->pdu, hlen));

		memcpy(s->pdu + hlen, &sum, sizeof(sum));
		n += NVME_TCP_DIGEST;
	}
	tx_add(k, s->pdu, n);
	if (pdo > n)
		tx_add(k, (void *)zeroes, pdo - n);
}

/* Data that its owner may change meanwhile is copied first where its digest goes with it. */
static void tx_staged(struct host_link *k, struct host_slot *s, size_t n)
{
	char *stage = k->stage + k->staged;
	size_t at = 0;
	void *p;

	while (at < n) {
		size_t part = link_piece(&s->at, n - at, &p);

		memcpy(stage + at, p, part);
		at += part;
	}
	k->staged += n;
	tx_add(k, stage, n);
	s->ddgst = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, stage, n));
	tx_add(k, &s->ddgst, NVME_TCP_DIGEST);
}

static void tx_data(struct host_link *k, struct host_slot *s, size_t n)
{
	void *p;

	if (k->ddgst) {
		tx_staged(k, s, n);
		return;
	}
	while (n) {
		size_t part = link_piece(&s->at, n, &p);

		tx_add(k, p, part);
		n -= part;
	}
}

static struct nvme_tcp_hdr tx_common(const struct host_link *k, uint8_t type, unsigned hlen, uint32_t data)
{
	struct nvme_tcp_hdr h = { .type = type, .hlen = (uint8_t)hlen };
	unsigned n = hlen;

	if (k->hdgst) {
		h.flags |= NVME_TCP_HDGST;
		n += NVME_TCP_DIGEST;
	}
	if (data) {
		n = (n + k->align - 1) / k->align * k->align;
		h.pdo = (uint8_t)n;
		n += data;
	}
	if (data && k->ddgst) {
		h.flags |= NVME_TCP_DDGST;
		n += NVME_TCP_DIGEST;
	}
	h.plen = n;
	return h;
}

/* False: no room in this batch. */
static bool tx_command(struct host_link *k, struct host_slot *s)
{
	uint32_t data = s->capsule ? s->len : 0;
	struct nvme_tcp_cmd c = { .hdr = tx_common(k, NVME_TCP_CMD, sizeof(c), data), .cmd = s->cmd };

	if (LINK_IOV - k->tx_n < LINK_CAPSULE_IOV + 4 || (k->ddgst && LINK_STAGE - k->staged < data))
		return false;
	c.cmd.cid = s->cid;
	memcpy(s->pdu, &c, sizeof(c));
	tx_header(k, s, sizeof(c), c.hdr.pdo);
	if (data)
		tx_data(k, s, data);
	s->cmd_due = false;
	s->tx_end = k->tx_queued;
	return true;
}

/* How much of what is due fits into the batch's vector: all, or a multiple of four bytes. */
static uint32_t tx_fits(const struct host_link *k, const struct host_slot *s, uint32_t most)
{
	unsigned room = LINK_IOV - k->tx_n;
	struct host_at at = s->at;
	uint32_t n = 0;
	void *p;

	if (room < 8)
		return 0;
	if (k->ddgst) /* in one piece: Linux's target counts on it (6.1) */
		return k->staged && most > LINK_STAGE - k->staged ? 0 : VIO_MIN(most, LINK_STAGE);
	for (room -= 3; room && n < most; room--)
		n += (uint32_t)link_piece(&at, most - n, &p);
	return n == most ? n : n & ~3u;
}

/* One H2CData of what an R2T asked for. False: no room in this batch. */
static bool tx_h2c(struct host_link *k, struct host_slot *s)
{
	uint32_t n = tx_fits(k, s, VIO_MIN(s->r2t_left, k->max_h2c));
	struct nvme_tcp_data d = { .hdr = tx_common(k, NVME_TCP_H2C_DATA, sizeof(d), n),
				   .cid = s->cid,
				   .ttag = s->ttag,
				   .offset = s->done - s->r2t_left,
				   .len = n };

	if (!n)
		return false;
	s->r2t_left -= n;
	if (!s->r2t_left)
		d.hdr.flags |= NVME_TCP_DATA_LAST;
	memcpy(s->pdu, &d, sizeof(d));
	tx_header(k, s, sizeof(d), d.hdr.pdo);
	tx_data(k, s, n);
	s->tx_end = s->r2t_left ? UINT64_MAX : k->tx_queued;
	if (s->r2t_left)
		link_queue(&k->more, s); /* its header is in use until the batch has left */
	return true;
}

static void tx_batch(struct host_link *k)
{
	struct host_slot *s;

	k->tx_n = k->tx_at = 0;
	k->staged = 0;
	while ((s = k->more.head)) {
		k->more.head = s->next;
		link_queue(&k->due, s);
	}
	while ((s = k->due.head)) {
		struct host_slot *next = s->next;

		if (!(s->cmd_due ? tx_command(k, s) : tx_h2c(k, s)))
			return;
		k->due.head = next;
	}
}

static void tx_took(struct host_link *k, size_t n)
{
	k->tx_sent += n;
	for (; k->tx_at < k->tx_n && n >= k->tx_iov[k->tx_at].iov_len; k->tx_at++)
		n -= k->tx_iov[k->tx_at].iov_len;
	if (n) {
		k->tx_iov[k->tx_at].iov_base = (char *)k->tx_iov[k->tx_at].iov_base + n;
		k->tx_iov[k->tx_at].iov_len -= n;
	}
}

int vio__host_link_push(struct host_link *k)
{
	while (k->writable) {
		struct msghdr m = { 0 };
		ssize_t n;

		if (k->tx_at == k->tx_n)
			tx_batch(k);
		if (k->tx_at == k->tx_n)
			return 0;
		m.msg_iov = k->tx_iov + k->tx_at;
		m.msg_iovlen = k->tx_n - k->tx_at;
		n = sendmsg(k->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		k->sends++;
		if (n >= 0) {
			tx_took(k, (size_t)n);
		} else if (errno == EAGAIN) {
			k->writable = false;
		} else if (errno != EINTR) {
			k->why = strerror(errno);
			return -errno;
		}
	}
	return 0;
}

void vio__host_link_post(struct host_link *k, struct host_slot *s)
{
	unsigned index = (unsigned)(s - k->slot);

	k->generation++;
	s->cid = (uint16_t)(k->generation * LINK_SLOTS | index);
	s->busy = s->cmd_due = true;
	s->spoilt = false;
	s->at = s->start;
	s->r2t_left = 0;
	s->done = s->capsule ? s->len : 0;
	s->tx_end = UINT64_MAX;
	k->big += !s->write && s->len > LINK_RX / 4;
	link_queue(&k->due, s);
}

int vio__host_link_greet(struct host_link *k)
{
	k->icreq = (struct nvme_tcp_icreq){ .hdr = { .type = NVME_TCP_ICREQ, .hlen = 128, .plen = 128 },
					    .pfv = NVME_TCP_PFV,
					    .digest = k->digests };
	tx_add(k, &k->icreq, sizeof(k->icreq));
	k->state = LINK_GREETING;
	return vio__host_link_push(k);
}
