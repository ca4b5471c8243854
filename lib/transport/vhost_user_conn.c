/* SPDX-License-Identifier: MIT */
/* The conversation with one front end: a machine of phases, none of which blocks. */
#include "transport/vhost_user_conn.h"

#include <sys/epoll.h>
#include <unistd.h>

/* Messages dealt with before the poller's other work has its turn. */
#define RUN_BUDGET 32

int vus_take_fd(struct vu_msg *m)
{
	return m->nfds ? m->fds[--m->nfds] : -1;
}

void vus_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Waits for these events on the socket, and no others; 0: for none. */
static void conn_await(struct vio_vhost_user *t, uint32_t events)
{
	if (!line_await(&t->line, events))
		t->phase = VUS_CLOSE;
}

static void conn_ready(struct line *l)
{
	vus_run(VIO_CONTAINER(l, struct vio_vhost_user, line));
}

static void conn_impatient(struct line *l)
{
	struct vio_vhost_user *t = VIO_CONTAINER(l, struct vio_vhost_user, line);

	vus_log(t, VIO_LOG_ERROR, "the front end stopped in the middle of a message for %u ms: dropped",
		t->opts.timeout_ms);
	t->phase = VUS_CLOSE;
	vus_run(t);
}

void vus_pend(struct vio_vhost_user *t)
{
	t->pending++;
}

void vus_unpend(struct vio_vhost_user *t)
{
	if (!--t->pending)
		vus_run(t);
}

/* A whole message is in t->in: judge it and stop what it concerns. */
static void conn_begin(struct vio_vhost_user *t)
{
	enum vus_fence fence;

	t->start_err = 0;
	t->row = vus_msg_check(t, &t->in.msg);
	t->phase = VUS_FENCE;
	if (!t->row)
		return;
	vus_log(t, VIO_LOG_DEBUG, "%s", t->row->name);
	fence = t->row->fence;
	if (fence == VUS_FENCE_RING)
		vus_ring_stop(t->ring);
	for (unsigned i = 0; fence == VUS_FENCE_ALL && i < t->nrings; i++)
		vus_ring_stop(&t->rings[i]);
}

static bool conn_read(struct vio_vhost_user *t)
{
	int r;

	if (t->door.stopping) {
		t->phase = VUS_CLOSE;
		return true;
	}
	r = vu_recv(&t->in, t->line.fd);
	if (r == 1) {
		line_calm(&t->line);
		conn_begin(t);
	} else if (r < 0) {
		if (r != -ECONNRESET)
			vus_log(t, VIO_LOG_ERROR, "%s: connection closed", vio_errmsg());
		t->phase = VUS_CLOSE;
	} else {
		if (t->in.have)
			line_be_patient(&t->line);
		conn_await(t, EPOLLIN);
		return t->phase == VUS_CLOSE;
	}
	return true;
}

/* The queues are quiet: apply the message, then let run what shall run. */
static bool conn_handle(struct vio_vhost_user *t)
{
	struct vu_msg *m = &t->in.msg;
	bool answer = t->row && t->row->reply == VUS_ANSWER;

	if (t->row)
		t->err = t->row->handle(t, m);
	if (t->err)
		vus_log(t, VIO_LOG_ERROR, "%s", vio_errmsg());
	if (t->err || !answer)
		vu_close_fds(m); /* what the handler has not taken; an answer's go out first */
	t->phase = VUS_START;
	for (unsigned i = 0; t->row && t->row->fence && i < t->nrings; i++)
		vus_ring_start(&t->rings[i]);
	return true;
}

/* What goes back for the message in t->in: true if something does. */
static bool conn_answer(struct vio_vhost_user *t)
{
	struct vu_msg *m = &t->in.msg;
	enum vus_reply kind = t->row ? t->row->reply : VUS_ACK_ASKED;
	bool asked = m->h.flags & VU_FLAG_NEED_REPLY && t->protocol & VUS_BIT(VU_PROTOCOL_F_REPLY_ACK);
	int err = t->err ? t->err : t->start_err;

	if (kind == VUS_ANSWER && !t->err)
		return true;
	if (kind == VUS_ANSWER || !(asked || kind == VUS_ACK_ALWAYS))
		return false;
	vus_answer_u64(m, err ? 1 : 0);
	t->err = 0;
	return true;
}

static bool conn_started(struct vio_vhost_user *t)
{
	if (conn_answer(t)) {
		t->out = (struct vu_outbox){ .msg = t->in.msg };
		t->out.msg.h.flags = VU_VERSION | VU_FLAG_REPLY;
		t->phase = VUS_REPLY;
	} else if (t->err) {
		vus_log(t, VIO_LOG_ERROR, "the front end cannot be told: connection closed");
		t->phase = VUS_CLOSE;
	} else {
		t->phase = VUS_READ;
	}
	memset(&t->in, 0, sizeof(t->in));
	return true;
}

static bool conn_reply(struct vio_vhost_user *t)
{
	int r = vu_send_some(&t->out, t->line.fd);

	if (!r) {
		line_be_patient(&t->line);
		conn_await(t, EPOLLOUT);
		return t->phase == VUS_CLOSE;
	}
	line_calm(&t->line);
	vu_close_fds(&t->out.msg);
	if (r < 0)
		vus_log(t, VIO_LOG_INFO, "%s", vio_errmsg());
	t->phase = r < 0 ? VUS_CLOSE : VUS_READ;
	return true;
}

/* Forgets all that the front end said. Its queues have stopped. */
static void conn_forget(struct vio_vhost_user *t)
{
	for (unsigned i = 0; i < t->nrings; i++)
		vus_ring_clear(&t->rings[i]);
	vio_mem_free(t->mem);
	vio_mem_free(t->inflight);
	vio_dirty_free(t->dirty);
	t->mem = t->inflight = NULL;
	t->dirty = NULL;
	vus_close_fd(&t->backend_req);
	t->features = t->protocol = t->status = 0;
	vio_dev_reset(t->dev);
}

static bool conn_close(struct vio_vhost_user *t)
{
	line_calm(&t->line);
	conn_await(t, 0);
	vio_timer_cancel(t->poller, &t->poll_timer);
	t->polling = false;
	t->phase = VUS_CLOSED;
	for (unsigned i = 0; i < t->nrings; i++)
		vus_ring_stop(&t->rings[i]);
	return true;
}

static bool conn_closed(struct vio_vhost_user *t)
{
	if (t->in.have)
		vu_close_fds(&t->in.msg);
	vu_close_fds(&t->out.msg);
	memset(&t->in, 0, sizeof(t->in));
	conn_forget(t);
	line_close(&t->line);
	t->phase = VUS_IDLE;
	return false;
}

static bool conn_idle(struct vio_vhost_user *t)
{
	(void)t;
	return false;
}

void vus_run(struct vio_vhost_user *t)
{
	static bool (*const step[])(struct vio_vhost_user *) = {
		[VUS_IDLE] = conn_idle,	    [VUS_READ] = conn_read,   [VUS_FENCE] = conn_handle,
		[VUS_START] = conn_started, [VUS_REPLY] = conn_reply, [VUS_CLOSE] = conn_close,
		[VUS_CLOSED] = conn_closed,
	};
	unsigned read = 0;

	if (t->in_run || t->phase == VUS_IDLE)
		return;
	t->in_run = true;
	while (!t->pending) {
		if (t->phase == VUS_READ && read++ == RUN_BUDGET) {
			conn_await(t, EPOLLIN); /* level-triggered: what waits there calls again */
			if (t->phase == VUS_READ)
				break;
		}
		if (!step[t->phase](t))
			break;
	}
	if (t->pending)
		conn_await(t, 0);
	t->in_run = false;
	if (t->phase == VUS_IDLE)
		door_closed(&t->door);
}

void vus_prepare(struct vio_vhost_user *t)
{
	t->line = (struct line){ .door = &t->door,
				 .ready = conn_ready,
				 .impatient = conn_impatient,
				 .timeout_ms = t->opts.timeout_ms,
				 .fd = -1 };
}

void vus_open(struct vio_vhost_user *t, int fd)
{
	line_open(&t->line, fd);
	memset(&t->in, 0, sizeof(t->in));
	t->out.msg.nfds = 0;
	t->phase = VUS_READ;
	conn_await(t, EPOLLIN);
	if (t->phase == VUS_CLOSE)
		vus_run(t);
}
