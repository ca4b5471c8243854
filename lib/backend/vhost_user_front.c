/* SPDX-License-Identifier: MIT */
#include "backend/vhost_user_front.h"

#include "ring/vring.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FRONT_PROTOCOL                                                                                       \
	(VIO_BIT(VU_PROTOCOL_F_MQ) | VIO_BIT(VU_PROTOCOL_F_REPLY_ACK) | VIO_BIT(VU_PROTOCOL_F_CONFIG) |      \
	 VIO_BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD) | VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

static const char *front_name(uint32_t request)
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
		[VU_GET_CONFIG] = "GET_CONFIG",
		[VU_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
		[VU_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
		[VU_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
		[VU_ADD_MEM_REG] = "ADD_MEM_REG",
		[VU_REM_MEM_REG] = "REM_MEM_REG",
	};

	return request < VIO_ARRAY_SIZE(names) && names[request] ? names[request] : "message";
}

static int front_fail(const struct front *f, uint32_t request, int err)
{
	const char *name = front_name(request);

	switch (err) {
	case -ETIMEDOUT:
		return vio__fail(ETIMEDOUT, "vhost_user: %s: no answer to %s within %d ms", f->path, name,
				 f->ms);
	case -ECONNRESET:
	case -EPIPE:
		return vio__fail(ECONNRESET, "vhost_user: %s: the server hung up at %s", f->path, name);
	case -EBADMSG:
		return vio__fail(EBADMSG, "vhost_user: %s: the answer to %s is malformed", f->path, name);
	default:
		return vio__fail(-err, "vhost_user: %s: %s: %s", f->path, name, strerror(-err));
	}
}

/* The answer to m, into m: of min..max bytes of payload, with nfds descriptors. */
static int front_answer(struct front *f, struct vu_msg *m, uint32_t min, uint32_t max, unsigned nfds)
{
	uint32_t request = m->h.request;
	struct vu_inbox box = { 0 };
	int rc = vu_recv_wait(&box, f->fd, f->ms);

	if (rc < 0)
		return front_fail(f, request, rc);
	*m = box.msg;
	if (m->h.request == request && m->h.flags & VU_FLAG_REPLY && m->h.size >= min && m->h.size <= max &&
	    m->nfds == nfds)
		return 0;
	vu_close_fds(m);
	return front_fail(f, request, -EBADMSG);
}

/* A question whose answer is of the same kind and size. */
static int front_ask(struct front *f, struct vu_msg *m, uint32_t min, uint32_t max, unsigned nfds)
{
	int rc = vu_send(f->fd, m, f->ms);

	return rc ? front_fail(f, m->h.request, rc) : front_answer(f, m, min, max, nfds);
}

/* An order: acknowledged where REPLY_ACK was agreed, otherwise believed. */
static int front_tell(struct front *f, struct vu_msg *m)
{
	uint32_t request = m->h.request;
	int rc;

	if (vio__front_has(f, VU_PROTOCOL_F_REPLY_ACK))
		m->h.flags |= VU_FLAG_NEED_REPLY;
	rc = vu_send(f->fd, m, f->ms);
	if (rc)
		return front_fail(f, request, rc);
	if (!(m->h.flags & VU_FLAG_NEED_REPLY))
		return 0;
	m->nfds = 0;
	rc = front_answer(f, m, 8, 8, 0);
	if (rc || !m->p.u64)
		return rc;
	return vio__fail(EPROTO, "vhost_user: %s: the server refused %s", f->path, front_name(request));
}

#define FRONT_MSG(name, number, bytes) struct vu_msg name = { .h = { number, VU_VERSION, bytes } }

static int front_get(struct front *f, uint32_t request, uint64_t *value)
{
	FRONT_MSG(m, request, 0);
	int rc = front_ask(f, &m, 8, 8, 0);

	*value = rc ? 0 : m.p.u64;
	return rc;
}

static int front_set(struct front *f, uint32_t request, uint64_t value)
{
	FRONT_MSG(m, request, 8);

	m.p.u64 = value;
	return front_tell(f, &m);
}

static int front_own(struct front *f)
{
	FRONT_MSG(m, VU_SET_OWNER, 0);

	return front_tell(f, &m);
}

static int front_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	FRONT_MSG(m, request, 8);

	m.p.state = (struct vu_vring_state){ index, num };
	return front_tell(f, &m);
}

static int front_eventfd(struct front *f, uint32_t request, uint32_t index, int fd)
{
	FRONT_MSG(m, request, 8);

	m.p.u64 = index;
	m.nfds = 1;
	m.fds[0] = fd;
	return front_tell(f, &m);
}

/* Unix sockets connect at once or not at all, except that a full backlog would block. */
static int front_socket(struct front *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval tv = { f->ms / 1000, f->ms % 1000 * 1000 };
	int rc;

	if (strlen(f->path) >= sizeof(a.sun_path))
		return vio__fail(ENAMETOOLONG, "vhost_user: the socket's path '%s' is longer than %zu bytes",
				 f->path, sizeof(a.sun_path) - 1);
	strcpy(a.sun_path, f->path);
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->fd < 0)
		return vio__fail(errno, "vhost_user: socket: %s", strerror(errno));
	setsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (!connect(f->fd, (struct sockaddr *)&a, sizeof(a)))
		return 0;
	rc = errno == EAGAIN ? ETIMEDOUT : errno;
	vio__front_close(f);
	return vio__fail(rc, "vhost_user: %s: cannot connect: %s", f->path, strerror(rc));
}

static int front_protocol(struct front *f)
{
	uint64_t offered;
	int rc = front_get(f, VU_GET_FEATURES, &f->offered);

	if (rc)
		return rc;
	if (!(f->offered & VIO_BIT(VU_F_PROTOCOL_FEATURES)))
		return vio__fail(EPROTO,
				 "vhost_user: %s: the server knows no protocol features, which a disk needs",
				 f->path);
	rc = front_get(f, VU_GET_PROTOCOL_FEATURES, &offered);
	if (rc)
		return rc;
	if (!(offered & VIO_BIT(VU_PROTOCOL_F_CONFIG)))
		return vio__fail(EPROTO, "vhost_user: %s: the server has no config space; is it a disk?",
				 f->path);
	rc = front_set(f, VU_SET_PROTOCOL_FEATURES, offered & FRONT_PROTOCOL);
	if (rc)
		return rc;
	f->protocol = offered & FRONT_PROTOCOL;
	return front_own(f);
}

int vio__front_connect(struct front *f)
{
	int rc;

	f->protocol = 0;
	rc = front_socket(f);
	if (rc)
		return rc;
	rc = front_protocol(f);
	if (rc)
		vio__front_close(f);
	return rc;
}

void vio__front_close(struct front *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

int vio__front_set_features(struct front *f, uint64_t features)
{
	f->features = features;
	return front_set(f, VU_SET_FEATURES, features | VIO_BIT(VU_F_PROTOCOL_FEATURES));
}

int vio__front_queues(struct front *f, uint64_t *n)
{
	*n = 1;
	return vio__front_has(f, VU_PROTOCOL_F_MQ) ? front_get(f, VU_GET_QUEUE_NUM, n) : 0;
}

int vio__front_slots(struct front *f, uint64_t *n)
{
	*n = VU_MAX_FDS;
	return vio__front_has(f, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) ? front_get(f, VU_GET_MAX_MEM_SLOTS, n)
								    : 0;
}

#define FRONT_CONFIG_HEAD 12u

int vio__front_config(struct front *f, void *to, unsigned len)
{
	FRONT_MSG(m, VU_GET_CONFIG, FRONT_CONFIG_HEAD + len);
	int rc;

	m.p.config.size = len;
	rc = front_ask(f, &m, 0, FRONT_CONFIG_HEAD + len, 0);
	if (rc)
		return rc;
	if (m.h.size != FRONT_CONFIG_HEAD + len || m.p.config.size != len)
		return vio__fail(EPROTO,
				 "vhost_user: %s: the server refused to show %u bytes of config space",
				 f->path, len);
	memcpy(to, m.p.config.data, len);
	return 0;
}

int vio__front_mem_table(struct front *f, const struct vu_region *r, const int *fds, unsigned n)
{
	FRONT_MSG(m, VU_SET_MEM_TABLE, 8 + n * sizeof(*r));

	m.p.mem.n = n;
	m.nfds = n;
	memcpy(m.p.mem.regions, r, n * sizeof(*r));
	memcpy(m.fds, fds, n * sizeof(*fds));
	return front_tell(f, &m);
}

int vio__front_mem_add(struct front *f, const struct vu_region *r, int fd)
{
	FRONT_MSG(m, VU_ADD_MEM_REG, sizeof(m.p.reg));

	m.p.reg.region = *r;
	m.nfds = 1;
	m.fds[0] = fd;
	return front_tell(f, &m);
}

int vio__front_mem_remove(struct front *f, const struct vu_region *r)
{
	FRONT_MSG(m, VU_REM_MEM_REG, sizeof(m.p.reg));

	m.p.reg.region = *r;
	return front_tell(f, &m);
}

int vio__front_inflight_get(struct front *f, struct vu_inflight *i, int *fd)
{
	FRONT_MSG(m, VU_GET_INFLIGHT_FD, sizeof(*i));
	int rc;

	m.p.inflight = *i;
	rc = front_ask(f, &m, sizeof(*i), sizeof(*i), 1);
	if (rc)
		return rc;
	*i = m.p.inflight;
	*fd = m.fds[0];
	return 0;
}

int vio__front_inflight_set(struct front *f, const struct vu_inflight *i, int fd)
{
	FRONT_MSG(m, VU_SET_INFLIGHT_FD, sizeof(*i));

	m.p.inflight = *i;
	m.nfds = 1;
	m.fds[0] = fd;
	return front_tell(f, &m);
}

static int front_ring_addr(struct front *f, const struct front_ring *r)
{
	FRONT_MSG(m, VU_SET_VRING_ADDR, sizeof(m.p.addr));

	m.p.addr = (struct vu_vring_addr){
		.index = r->index, .desc = r->desc, .avail = r->driver, .used = r->device
	};
	return front_tell(f, &m);
}

int vio__front_ring_start(struct front *f, const struct front_ring *r)
{
	int rc = front_state(f, VU_SET_VRING_NUM, r->index, r->size);

	if (!rc)
		rc = front_state(f, VU_SET_VRING_BASE, r->index, r->base);
	if (!rc)
		rc = front_ring_addr(f, r);
	if (!rc)
		rc = front_eventfd(f, VU_SET_VRING_CALL, r->index, r->call);
	if (!rc)
		rc = front_eventfd(f, VU_SET_VRING_ERR, r->index, r->err);
	if (!rc)
		rc = front_eventfd(f, VU_SET_VRING_KICK, r->index, r->kick);
	return rc ? rc : front_state(f, VU_SET_VRING_ENABLE, r->index, 1);
}

int vio__front_ring_stop(struct front *f, uint32_t index)
{
	FRONT_MSG(m, VU_GET_VRING_BASE, 8);

	m.p.state.index = index;
	return front_ask(f, &m, 8, 8, 0);
}
