/* SPDX-License-Identifier: MIT */
/*
 * Answers, R2Ts and what else is said to the host: each slot makes its PDUs itself, and
 * as many as fit leave in one call, their data straight from its buffers.
 */
#include "queue/nvme_tcp.h"

#include <sys/socket.h>

static void tx_queue(struct ntq *q, struct ntq_slot *s)
{
	s->queued = true;
	s->out = NULL;
	if (q->out_head)
		q->out_tail->out = s;
	else
		q->out_head = s;
	q->out_tail = s;
}

/* A header's flag and digest; bytes that go out. */
static uint32_t tx_header(const struct ntq *q, void *pdu, uint32_t hlen)
{
	struct nvme_tcp_hdr *h = pdu;
	uint32_t sum;

	if (!q->hdgst)
		return hlen;
	h->flags |= NVME_TCP_HDGST;
	sum = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, pdu, hlen));
	memcpy((char *)pdu + hlen, &sum, sizeof(sum));
	return hlen + NVME_TCP_DIGEST;
}

static uint32_t tx_digest(const struct ntq *q)
{
	return q->hdgst ? NVME_TCP_DIGEST : 0;
}

void ntq_send_r2t(struct ntq *q, struct ntq_slot *s)
{
	s->first.r2t = (struct nvme_tcp_r2t){
		.hdr = { .type = NVME_TCP_R2T,
			 .hlen = sizeof(s->first.r2t),
			 .plen = sizeof(s->first.r2t) + tx_digest(q) },
		.cid = s->r.cmd.cid,
		.ttag = s->tag,
		.len = s->r.len,
	};
	s->first_len = tx_header(q, &s->first, sizeof(s->first.r2t));
	s->data_out = false;
	s->last_len = 0;
	tx_queue(q, s);
}

static void tx_data(struct ntq *q, struct ntq_slot *s, bool success)
{
	struct nvme_tcp_data *d = &s->first.data;
	uint32_t behind = q->ddgst ? NVME_TCP_DIGEST : 0;

	*d = (struct nvme_tcp_data){
		.hdr = { .type = NVME_TCP_C2H_DATA,
			 .flags = NVME_TCP_DATA_LAST | (q->ddgst ? NVME_TCP_DDGST : 0) |
				  (success ? NVME_TCP_DATA_SUCCESS : 0),
			 .hlen = sizeof(*d),
			 .pdo = (uint8_t)(sizeof(*d) + tx_digest(q)),
			 .plen = (uint32_t)sizeof(*d) + tx_digest(q) + s->r.len + behind },
		.cid = s->r.cmd.cid,
		.len = s->r.len,
	};
	s->first_len = tx_header(q, d, sizeof(*d));
	if (behind)
		s->data_sum = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, s->r.buf, s->r.len));
	s->data_out = true;
}

void ntq_answer(struct ntq *q, struct ntq_slot *s)
{
	bool data = s->r.dir == NVME_DIR_OUT && s->r.buf && !s->r.status;
	/* Without flow control a success says nothing that the data's flag does not. */
	bool success = data && !q->sqflow && !s->r.result;

	s->state = NTQ_SLOT_ANSWERED;
	s->first_len = s->last_len = 0;
	s->data_out = false;
	if (data)
		tx_data(q, s, success);
	if (!success) {
		s->last.rsp = (struct nvme_tcp_rsp){
			.hdr = { .type = NVME_TCP_RSP,
				 .hlen = sizeof(s->last.rsp),
				 .plen = sizeof(s->last.rsp) + tx_digest(q) },
			.cqe = { .result = s->r.result,
				 .sqhd = q->sqflow ? q->sqhd : UINT16_MAX,
				 .cid = s->r.cmd.cid,
				 .status = s->r.status },
		};
		s->last_len = tx_header(q, &s->last, sizeof(s->last.rsp));
	}
	tx_queue(q, s);
	ntq_activate(q);
}

void ntq_send_icresp(struct ntq *q)
{
	struct nvme_tcp_icresp r = {
		.hdr = { .type = NVME_TCP_ICRESP, .hlen = sizeof(r), .plen = sizeof(r) },
		.pfv = NVME_TCP_PFV,
		.digest = (uint8_t)((q->hdgst ? NVME_TCP_WANT_HDGST : 0) |
				    (q->ddgst ? NVME_TCP_WANT_DDGST : 0)),
		.maxh2cdata = NTQ_MAXH2C,
	};

	memcpy(q->ctl, &r, sizeof(r));
	q->ctl_len = sizeof(r);
	q->ctl_done = 0;
}

void ntq_violation(struct ntq *q, enum nvme_tcp_fes fes, uint32_t fei, const void *hdr, size_t len,
		   const char *why)
{
	struct nvme_tcp_term t = { .hdr = { .type = NVME_TCP_C2H_TERM, .hlen = sizeof(t) },
				   .fes = (uint16_t)fes,
				   .fei = fei };
	struct ntq_slot *cut = q->out_done ? q->out_head : NULL;

	q->why = why;
	q->group->refused++;
	len = VIO_MIN(len, NVME_TCP_TERM_MAX - sizeof(t));
	t.hdr.plen = (uint32_t)(sizeof(t) + len);
	memcpy(q->ctl, &t, sizeof(t));
	memcpy(q->ctl + sizeof(t), hdr, len);
	q->ctl_len = t.hdr.plen;
	q->ctl_done = 0;
	q->phase = NTQ_TERM;
	q->out_head = q->out_tail = cut; /* a PDU that has left in part is ended first */
	if (cut)
		cut->out = NULL;
	ntq_activate(q);
}

VIO_INLINE size_t tx_size(const struct ntq *q, const struct ntq_slot *s)
{
	return s->first_len + (s->data_out ? s->r.len + (q->ddgst ? NVME_TCP_DIGEST : 0) : 0) + s->last_len;
}

VIO_INLINE void tx_add(struct iovec *v, unsigned *n, void *p, size_t len)
{
	v[(*n)++] = (struct iovec){ p, len };
}

/* The slots that fit, at most four entries each. */
static unsigned tx_gather(struct ntq *q, struct iovec *v)
{
	unsigned n = 0;

	for (struct ntq_slot *s = q->out_head; s && n + 5 <= NTQ_IOV; s = s->out) {
		if (s->first_len)
			tx_add(v, &n, &s->first, s->first_len);
		if (s->data_out)
			tx_add(v, &n, s->r.buf, s->r.len);
		if (s->data_out && q->ddgst)
			tx_add(v, &n, &s->data_sum, NVME_TCP_DIGEST);
		if (s->last_len)
			tx_add(v, &n, &s->last, s->last_len);
	}
	return n;
}

/* Leaves out what has left already. */
static struct iovec *tx_skip(struct iovec *v, unsigned *n, size_t done)
{
	for (; *n && done >= v->iov_len; v++, (*n)--)
		done -= v->iov_len;
	if (*n) {
		v->iov_base = (char *)v->iov_base + done;
		v->iov_len -= done;
	}
	return v;
}

static void tx_left(struct ntq *q, size_t bytes)
{
	q->out_done += bytes;
	while (q->out_head && q->out_done >= tx_size(q, q->out_head)) {
		struct ntq_slot *s = q->out_head;

		q->out_done -= tx_size(q, s);
		q->out_head = s->out;
		s->queued = false;
		if (s->state == NTQ_SLOT_ANSWERED || q->ending) /* then nobody reads what an R2T asks for */
			ntq_slot_free(q, s);
	}
}

/* -1: not now, or never again. */
static ssize_t tx_some(struct ntq *q, struct iovec *v, unsigned n)
{
	struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
	ssize_t sent = sendmsg(q->fd, &m, MSG_NOSIGNAL);

	if (sent >= 0) {
		q->progress += (uint64_t)sent;
		return sent;
	}
	if (errno == EINTR) {
		ntq_activate(q);
	} else {
		q->writable = false;
		q->hangup |= errno != EAGAIN;
	}
	return -1;
}

static bool tx_ctl(struct ntq *q)
{
	struct iovec v = { q->ctl + q->ctl_done, q->ctl_len - q->ctl_done };
	ssize_t n = tx_some(q, &v, 1);

	if (n < 0)
		return false;
	q->ctl_done += (unsigned)n;
	if (q->ctl_done < q->ctl_len)
		return true;
	q->ctl_len = 0;
	if (q->phase == NTQ_TERM)
		shutdown(q->fd, SHUT_WR); /* and read on, for closing now might take the PDU back */
	return true;
}

static bool tx_slots(struct ntq *q)
{
	unsigned n = tx_gather(q, q->group->iov);
	struct iovec *v = tx_skip(q->group->iov, &n, q->out_done);
	ssize_t sent = tx_some(q, v, n);

	if (sent >= 0)
		tx_left(q, (size_t)sent);
	return sent >= 0;
}

unsigned ntq_send(struct ntq *q)
{
	unsigned work = 0;

	while (q->phase != NTQ_GONE && q->writable && !q->hangup && (q->out_head || q->ctl_len)) {
		/* ICResp comes before all else, C2HTermReq after what was begun. */
		bool ctl = q->ctl_len && (q->phase == NTQ_LIVE || !q->out_head);

		if (!(ctl ? tx_ctl(q) : tx_slots(q)))
			break;
		work++;
	}
	return work;
}
