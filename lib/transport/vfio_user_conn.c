/* SPDX-License-Identifier: MIT */
/* The conversation with one client: a machine of phases, none of which blocks. */
#include "transport/vfio_user.h"

#include <sys/epoll.h>

/* Messages dealt with before the poller's other work has its turn. */
#define RUN_BUDGET 32

/* Waits for these events on the socket, and no others; 0: for none. */
static void conn_await(struct vio_vfio_user *t, uint32_t events)
{
	if (!line_await(&t->line, events))
		t->phase = VFS_CLOSE;
}

static void conn_ready(struct line *l)
{
	vfs_run(VIO_CONTAINER(l, struct vio_vfio_user, line));
}

static void conn_impatient(struct line *l)
{
	struct vio_vfio_user *t = VIO_CONTAINER(l, struct vio_vfio_user, line);

	vfs_log(t, VIO_LOG_ERROR, "the client %s for %u ms: dropped",
		t->agreed ? "stopped in the middle of a message" : "has not agreed on a version",
		t->opts.timeout_ms);
	t->phase = VFS_CLOSE;
	vfs_run(t);
}

static void conn_quiet(struct vio_pci *f)
{
	struct vio_vfio_user *t = f->transport;

	t->pending = false;
	vfs_run(t);
}

static void conn_quiesce(struct vio_vfio_user *t)
{
	if (!t->runs)
		return;
	t->runs = false;
	t->pending = !t->pci->ops->quiesce(t->pci);
}

static void conn_resume(struct vio_vfio_user *t)
{
	if (t->runs || !t->live || t->state != VFIO_DEVICE_STATE_RUNNING)
		return;
	t->runs = true;
	t->pci->ops->resume(t->pci, t->mem);
}

void vfs_go_live(struct vio_vfio_user *t)
{
	t->live = true;
	conn_resume(t);
}

static void conn_next(struct vio_vfio_user *t)
{
	t->box.done = 0;
	t->phase = VFS_READ;
}

static bool conn_read(struct vio_vfio_user *t)
{
	int r;

	if (t->door.stopping) {
		t->phase = VFS_CLOSE;
		return true;
	}
	r = vfu_recv(&t->box, t->line.fd);
	if (r < 0) {
		if (r != -ECONNRESET)
			vfs_log(t, VIO_LOG_ERROR, "%s: connection closed", vio_errmsg());
		t->phase = VFS_CLOSE;
	} else if (!r) {
		if (t->box.done || !t->agreed)
			line_be_patient(&t->line);
		conn_await(t, EPOLLIN);
		return t->phase == VFS_CLOSE;
	} else {
		line_calm(&t->line);
		t->row = vfs_msg_check(t, &t->box.msg);
		t->phase = VFS_HANDLE;
		if (t->row && vfs_msg_fences(t->row, &t->box.msg))
			conn_quiesce(t);
	}
	return true;
}

/* What goes back for the message, in its place. */
static void conn_answer(struct vio_vfio_user *t)
{
	struct vfu_msg *m = &t->box.msg;
	bool asked = !(m->h.flags & VFU_FLAG_NO_REPLY);

	if (t->err)
		vfs_log(t, VIO_LOG_ERROR, "%s", vio_errmsg());
	if (t->err || !asked)
		vfu_close_fds(m);
	if (!t->agreed) { /* it has nothing to say to us that we understand */
		t->phase = VFS_CLOSE;
		return;
	}
	if (!asked) {
		conn_next(t);
		return;
	}
	m->h.flags = VFU_TYPE_REPLY | (t->err ? VFU_FLAG_ERROR : 0);
	m->h.error = (uint32_t)-t->err;
	if (t->err)
		vfs_reply(m, 0);
	t->box.done = 0;
	t->phase = VFS_REPLY;
}

static bool conn_handle(struct vio_vfio_user *t)
{
	t->reset = false;
	if (t->row)
		t->err = t->row->handle(t, &t->box.msg);
	if (t->reset) {
		t->phase = VFS_RESET;
		conn_quiesce(t);
		return true;
	}
	conn_resume(t);
	conn_answer(t);
	return true;
}

/* With it ends a move to or from another server. */
static bool conn_reset(struct vio_vfio_user *t)
{
	pci_reset(t->pci);
	vfs_move_reset(t);
	conn_resume(t);
	conn_answer(t);
	return true;
}

static bool conn_reply(struct vio_vfio_user *t)
{
	int r = vfu_send(&t->box, t->line.fd);

	if (!r) {
		line_be_patient(&t->line);
		conn_await(t, EPOLLOUT);
		return t->phase == VFS_CLOSE;
	}
	line_calm(&t->line);
	vfu_close_fds(&t->box.msg);
	if (r < 0) {
		vfs_log(t, VIO_LOG_INFO, "%s", vio_errmsg());
		t->phase = VFS_CLOSE;
		return true;
	}
	conn_next(t);
	return true;
}

static bool conn_close(struct vio_vfio_user *t)
{
	line_calm(&t->line);
	conn_await(t, 0);
	t->phase = VFS_CLOSED;
	conn_quiesce(t);
	return true;
}

/* Forgets the client and what it gave. The function stays as it is, quiet. */
static bool conn_closed(struct vio_vfio_user *t)
{
	vfu_close_fds(&t->box.msg);
	vfs_irqs_clear(t);
	vfs_move_reset(t);
	vfs_log_stop(t);
	vio_mem_free(t->mem);
	t->mem = NULL;
	t->nmaps = 0;
	t->agreed = t->live = false;
	line_close(&t->line);
	t->phase = VFS_IDLE;
	return false;
}

static bool conn_idle(struct vio_vfio_user *t)
{
	(void)t;
	return false;
}

void vfs_run(struct vio_vfio_user *t)
{
	static bool (*const step[])(struct vio_vfio_user *) = {
		[VFS_IDLE] = conn_idle,	    [VFS_READ] = conn_read,   [VFS_HANDLE] = conn_handle,
		[VFS_RESET] = conn_reset,   [VFS_REPLY] = conn_reply, [VFS_CLOSE] = conn_close,
		[VFS_CLOSED] = conn_closed,
	};
	unsigned read = 0;

	if (t->in_run || t->phase == VFS_IDLE)
		return;
	t->in_run = true;
	while (!t->pending) {
		if (t->phase == VFS_READ && read++ == RUN_BUDGET) {
			conn_await(t, EPOLLIN); /* level-triggered: what waits there calls again */
			if (t->phase == VFS_READ)
				break;
		}
		if (!step[t->phase](t))
			break;
	}
	if (t->pending)
		conn_await(t, 0);
	t->in_run = false;
	if (t->phase == VFS_IDLE)
		door_closed(&t->door);
}

int vfs_prepare(struct vio_vfio_user *t)
{
	t->pci->transport = t;
	t->pci->quiet = conn_quiet;
	t->line = (struct line){ .door = &t->door,
				 .ready = conn_ready,
				 .impatient = conn_impatient,
				 .timeout_ms = t->opts.timeout_ms,
				 .fd = -1 };
	t->maps = calloc(VFS_MAX_MAPS, sizeof(*t->maps));
	return t->maps ? 0 : vio__fail(ENOMEM, "vfio-user: out of memory");
}

void vfs_open(struct vio_vfio_user *t, int fd)
{
	line_open(&t->line, fd);
	t->state = VFIO_DEVICE_STATE_RUNNING;
	t->box.msg.nfds = 0;
	conn_next(t);
	line_be_patient(&t->line);
	conn_await(t, EPOLLIN);
	if (vio_mem_new(&t->mem, NULL, 0, NULL)) {
		vfs_log(t, VIO_LOG_ERROR, "no client can be served: %s", vio_errmsg());
		t->phase = VFS_CLOSE;
	}
	if (t->phase == VFS_CLOSE)
		vfs_run(t);
}
