/* SPDX-License-Identifier: MIT */
#include "backend/vhost_user_front.h"

#include "ring/vring.h"

#define FRONT_MSG(name, number, bytes) struct vu_msg name = { .h = { number, VU_VERSION, bytes } }

static int front_get(struct front *f, uint32_t request, uint64_t *value)
{
	FRONT_MSG(m, request, 0);
	int rc = vio__front_ask(f, &m, 8, 8, 0);

	*value = rc ? 0 : m.p.u64;
	return rc;
}

static int front_set(struct front *f, uint32_t request, uint64_t value)
{
	FRONT_MSG(m, request, 8);

	m.p.u64 = value;
	return vio__front_tell(f, &m);
}

static int front_own(struct front *f)
{
	FRONT_MSG(m, VU_SET_OWNER, 0);

	return vio__front_tell(f, &m);
}

static int front_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	FRONT_MSG(m, request, 8);

	m.p.state = (struct vu_vring_state){ index, num };
	return vio__front_tell(f, &m);
}

static int front_eventfd(struct front *f, uint32_t request, uint32_t index, int fd)
{
	FRONT_MSG(m, request, 8);

	m.p.u64 = index;
	m.nfds = 1;
	m.fds[0] = fd;
	return vio__front_tell(f, &m);
}

static int front_protocol(struct front *f)
{
	uint64_t offered;
	int rc = front_get(f, VU_GET_FEATURES, &f->offered);

	if (rc)
		return rc;
	if (!(f->offered & VIO_BIT(VU_F_PROTOCOL_FEATURES)))
		return vio__fail(EPROTO, "%s: %s: the server knows no protocol features", f->who, f->path);
	rc = front_get(f, VU_GET_PROTOCOL_FEATURES, &offered);
	if (rc)
		return rc;
	rc = front_set(f, VU_SET_PROTOCOL_FEATURES, offered & f->wants);
	if (rc)
		return rc;
	f->protocol = offered & f->wants;
	return front_own(f);
}

int vio__front_connect(struct front *f)
{
	int rc;

	if (f->fd < 0) {
		f->protocol = 0;
		rc = vio__front_socket(f);
		if (rc)
			return rc;
	}
	rc = front_protocol(f);
	if (rc && rc != -EAGAIN)
		vio__front_close(f);
	return rc;
}

int vio__front_set_features(struct front *f, uint64_t features)
{
	f->features = features;
	return front_set(f, VU_SET_FEATURES, features | VIO_BIT(VU_F_PROTOCOL_FEATURES));
}

int vio__front_set_mtu(struct front *f, uint64_t mtu)
{
	return front_set(f, VU_NET_SET_MTU, mtu);
}

int vio__front_queues(struct front *f, uint64_t n, const char *what)
{
	uint64_t has = 1;
	int rc = vio__front_has(f, VU_PROTOCOL_F_MQ) ? front_get(f, VU_GET_QUEUE_NUM, &has) : 0;

	if (!rc && n > has)
		rc = vio__fail(EINVAL, "%s: %s: the server has %llu %s, %s=%llu were asked for", f->who,
			       f->path, (unsigned long long)has, what, what, (unsigned long long)n);
	return rc;
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
	rc = vio__front_ask(f, &m, 0, FRONT_CONFIG_HEAD + len, 0);
	if (rc)
		return rc;
	if (m.h.size != FRONT_CONFIG_HEAD + len || m.p.config.size != len)
		return vio__fail(EPROTO, "%s: %s: the server refused to show %u bytes of config space",
				 f->who, f->path, len);
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
	return vio__front_tell(f, &m);
}

int vio__front_mem_add(struct front *f, const struct vu_region *r, int fd)
{
	FRONT_MSG(m, VU_ADD_MEM_REG, sizeof(m.p.reg));

	m.p.reg.region = *r;
	m.nfds = 1;
	m.fds[0] = fd;
	return vio__front_tell(f, &m);
}

int vio__front_mem_remove(struct front *f, const struct vu_region *r)
{
	FRONT_MSG(m, VU_REM_MEM_REG, sizeof(m.p.reg));

	m.p.reg.region = *r;
	return vio__front_tell(f, &m);
}

int vio__front_inflight_get(struct front *f, struct vu_inflight *i, int *fd)
{
	FRONT_MSG(m, VU_GET_INFLIGHT_FD, sizeof(*i));
	int rc;

	m.p.inflight = *i;
	rc = vio__front_ask(f, &m, sizeof(*i), sizeof(*i), 1);
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
	return vio__front_tell(f, &m);
}

static int front_ring_addr(struct front *f, const struct front_ring *r)
{
	FRONT_MSG(m, VU_SET_VRING_ADDR, sizeof(m.p.addr));

	m.p.addr = (struct vu_vring_addr){
		.index = r->index, .desc = r->desc, .avail = r->driver, .used = r->device
	};
	return vio__front_tell(f, &m);
}

int vio__front_ring_enable(struct front *f, uint32_t index, bool on)
{
	return front_state(f, VU_SET_VRING_ENABLE, index, on);
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
	return rc ? rc : vio__front_ring_enable(f, r->index, true);
}

int vio__front_ring_stop(struct front *f, uint32_t index)
{
	FRONT_MSG(m, VU_GET_VRING_BASE, 8);

	m.p.state.index = index;
	return vio__front_ask(f, &m, 8, 8, 0);
}
