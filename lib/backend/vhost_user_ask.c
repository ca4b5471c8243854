/* SPDX-License-Identifier: MIT */
/* One question to the server and its answer, whatever they are about; see vhost_user_front.h. */
#include "backend/vhost_user_front.h"

#include "ring/vring.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *ask_name(uint32_t request)
{
	static const char *const names[] = {
		[VU_GET_FEATURES] = "GET_FEATURES",
		[VU_SET_FEATURES] = "SET_FEATURES",
		[VU_SET_OWNER] = "SET_OWNER",
		[VU_SET_MEM_TABLE] = "SET_MEM_TABLE",
		[VU_SET_VRING_NUM] = "SET_VRING_NUM",
		[VU_SET_VRING_ADDR] = "SET_VRING_ADDR",
		[VU_SET_VRING_BASE] = "SET_VRING_BASE",
		[VU_GET_VRING_BASE] = "GET_VRING_BASE",
		[VU_SET_VRING_KICK] = "SET_VRING_KICK",
		[VU_SET_VRING_CALL] = "SET_VRING_CALL",
		[VU_SET_VRING_ERR] = "SET_VRING_ERR",
		[VU_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
		[VU_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
		[VU_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
		[VU_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
		[VU_NET_SET_MTU] = "NET_SET_MTU",
		[VU_GET_CONFIG] = "GET_CONFIG",
		[VU_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
		[VU_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
		[VU_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
		[VU_ADD_MEM_REG] = "ADD_MEM_REG",
		[VU_REM_MEM_REG] = "REM_MEM_REG",
	};

	return request < VIO_ARRAY_SIZE(names) && names[request] ? names[request] : "message";
}

static int ask_fail(const struct front *f, uint32_t request, int err)
{
	const char *name = ask_name(request);

	switch (err) {
	case -ETIMEDOUT:
		return vio__fail(ETIMEDOUT, "%s: %s: no answer to %s within %d ms", f->who, f->path, name,
				 f->ms);
	case -ECONNRESET:
	case -EPIPE:
		return vio__fail(ECONNRESET, "%s: %s: the server hung up at %s", f->who, f->path, name);
	case -EBADMSG:
		return vio__fail(EBADMSG, "%s: %s: the answer to %s is malformed", f->who, f->path, name);
	default:
		return vio__fail(-err, "%s: %s: %s: %s", f->who, f->path, name, strerror(-err));
	}
}

static int64_t ask_clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static int ask_patience(const struct front *f)
{
	int64_t left = f->by ? f->by - ask_clock_ms() : f->ms;

	return (int)VIO_MAX(VIO_MIN(left, (int64_t)f->ms), 0);
}

/* 1: a whole message is in the inbox; -EAGAIN: not yet, and it is not to be waited for; -errno. */
static int ask_hear(struct front *f)
{
	int rc = f->nowait ? vu_recv(&f->box, f->fd) : vu_recv_wait(&f->box, f->fd, ask_patience(f));

	if (rc)
		return rc;
	return ask_clock_ms() > f->until ? -ETIMEDOUT : -EAGAIN;
}

/* The answer to m, into m: of min..max bytes of payload, with nfds descriptors. */
static int ask_answer(struct front *f, struct vu_msg *m, uint32_t min, uint32_t max, unsigned nfds)
{
	uint32_t request = m->h.request;
	int rc = ask_hear(f);

	if (rc == -EAGAIN)
		return rc;
	if (rc < 0 && f->box.have)
		vu_close_fds(&f->box.msg);
	*m = f->box.msg;
	memset(&f->box, 0, sizeof(f->box));
	f->said = false;
	if (rc < 0)
		return ask_fail(f, request, rc);
	if (m->h.request == request && m->h.flags & VU_FLAG_REPLY && m->h.size >= min && m->h.size <= max &&
	    m->nfds == nfds)
		return 0;
	vu_close_fds(m);
	return ask_fail(f, request, -EBADMSG);
}

static int ask_say(struct front *f, const struct vu_msg *m)
{
	int rc = f->said ? 0 : vu_send(f->fd, m, f->nowait ? 0 : ask_patience(f));

	if (rc)
		return ask_fail(f, m->h.request, rc);
	if (!f->said)
		f->until = ask_clock_ms() + f->ms;
	f->said = true;
	return 0;
}

/* Already answered the last time that the caller came along here. */
static bool ask_known(struct front *f, struct vu_msg *m)
{
	if (f->at == f->known)
		return false;
	memcpy(m->p.bytes, f->log[f->at++], FRONT_LOG_BYTES);
	return true;
}

static int ask_note(struct front *f, const struct vu_msg *m)
{
	if (!f->nowait)
		return 0;
	if (f->known == FRONT_LOG)
		return vio__fail(EOVERFLOW, "%s: %s: too much to be said at once", f->who, f->path);
	memcpy(f->log[f->known++], m->p.bytes, FRONT_LOG_BYTES);
	f->at++;
	return 0;
}

int vio__front_ask(struct front *f, struct vu_msg *m, uint32_t min, uint32_t max, unsigned nfds)
{
	int rc;

	if (ask_known(f, m))
		return 0;
	rc = ask_say(f, m);
	rc = rc ? rc : ask_answer(f, m, min, max, nfds);
	return rc ? rc : ask_note(f, m);
}

int vio__front_tell(struct front *f, struct vu_msg *m)
{
	uint32_t request = m->h.request;
	int rc;

	if (vio__front_has(f, VU_PROTOCOL_F_REPLY_ACK))
		m->h.flags |= VU_FLAG_NEED_REPLY;
	if (ask_known(f, m))
		return 0;
	rc = ask_say(f, m);
	if (rc)
		return rc;
	if (m->h.flags & VU_FLAG_NEED_REPLY) {
		m->nfds = 0;
		rc = ask_answer(f, m, 8, 8, 0);
		if (!rc && m->p.u64)
			rc = vio__fail(EPROTO, "%s: %s: the server refused %s", f->who, f->path,
				       ask_name(request));
	}
	f->said = f->said && rc == -EAGAIN;
	return rc ? rc : ask_note(f, m);
}

void vio__front_patience(struct front *f, bool nowait)
{
	f->nowait = nowait;
	f->by = nowait ? 0 : ask_clock_ms() + f->ms;
}

void vio__front_again(struct front *f)
{
	f->at = 0;
}

void vio__front_settle(struct front *f)
{
	f->at = f->known = 0;
}

/* Unix sockets connect at once or not at all, except that a full backlog would block. */
int vio__front_socket(struct front *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval tv = { f->ms / 1000, f->ms % 1000 * 1000 };
	int rc;

	if (strlen(f->path) >= sizeof(a.sun_path))
		return vio__fail(ENAMETOOLONG, "%s: the socket's path '%s' is longer than %zu bytes", f->who,
				 f->path, sizeof(a.sun_path) - 1);
	strcpy(a.sun_path, f->path);
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (f->nowait ? SOCK_NONBLOCK : 0), 0);
	if (f->fd < 0)
		return vio__fail(errno, "%s: socket: %s", f->who, strerror(errno));
	setsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (!connect(f->fd, (struct sockaddr *)&a, sizeof(a)))
		return 0;
	rc = errno == EAGAIN ? ETIMEDOUT : errno;
	vio__front_close(f);
	return vio__fail(rc, "%s: %s: cannot connect: %s", f->who, f->path, strerror(rc));
}

void vio__front_close(struct front *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (f->box.have)
		vu_close_fds(&f->box.msg);
	memset(&f->box, 0, sizeof(f->box));
	f->said = false;
	vio__front_settle(f);
}
