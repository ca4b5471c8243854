/* SPDX-License-Identifier: MIT */
/*
 * A hostile vhost-user server, and our driving end of its disk. The input:
 *
 *     setup, n, n twists of its answers (which, kind, two bytes of value), steps (kind, three bytes)
 *
 * setup: bit 0: packed; bit 1: no event-idx; bit 2: no indirect; bit 3: no REPLY_ACK; bit 4: the
 * requests in flight are kept (and only connecting is tried). Without twists the server answers well,
 * in a thread of its own, since the driving end waits for it. The data plane is played in steps, on the
 * fuzzer's thread, by who sees all that a server sees. However it goes: every request completes once.
 */
#define _GNU_SOURCE /* memfd_create */
#include <virtio-offload.h>

#include "backend/vhost_user.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MEM (256u << 10)
#define MAX_TWISTS 16u
#define MAX_STEPS 200u
#define REQS 32u

enum { SETUP_PACKED = 1, SETUP_NO_EVENT = 2, SETUP_NO_INDIRECT = 4, SETUP_NO_ACK = 8, SETUP_INFLIGHT = 16 };

enum twist {
	TWIST_BYTE,
	TWIST_REQUEST,
	TWIST_FLAGS,
	TWIST_SIZE,
	TWIST_SILENT,
	TWIST_HANGUP,
	TWIST_FD,
	TWIST_TWICE
};

enum step {
	STEP_SUBMIT,
	STEP_COMPLETE,
	STEP_USED,
	STEP_SCRIBBLE,
	STEP_STATUS,
	STEP_REAP,
	STEP_SIGNAL,
	STEP_HANGUP
};

/* The server. What of it both threads use, one of them waits for the other. */
static struct {
	char path[64];
	int listener;
	pthread_mutex_t lock; /* over conn: the other thread may be closing it */
	int conn;	      /* -1: no conversation is under way */
	uint8_t setup, twists[MAX_TWISTS][4];
	unsigned ntwists;
	unsigned messages; /* that came in this conversation */
} server = { .lock = PTHREAD_MUTEX_INITIALIZER, .conn = -1 };

static struct {
	struct vio_poller *p;
	struct vio_mem *mem;
	uint8_t *shared;
	uint8_t own[8192]; /* memory that the server can't see */
	struct vio_backend *b;
	struct vio_lane *l;
	struct vhost_lane *v;
	struct vio_req_pool *pool;
	struct vio_req *under_way[REQS];
	uint16_t taken, used; /* split: entries of the avail and the used ring */
} z;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* The kind of twist for this message, and its value, or -1. */
static int twist_of(unsigned message, unsigned *value)
{
	for (unsigned i = 0; i < server.ntwists; i++) {
		const uint8_t *t = server.twists[i];

		*value = t[2] | (unsigned)t[3] << 8;
		if (t[0] == message)
			return t[1] % 8;
	}
	return -1;
}

static uint64_t offered(void)
{
	uint64_t f = VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_F_RING_PACKED) |
		     VIO_BIT(VU_F_PROTOCOL_FEATURES) | VIO_BIT(VIRTIO_BLK_F_SEG_MAX) |
		     VIO_BIT(VIRTIO_BLK_F_FLUSH) | VIO_BIT(VIRTIO_BLK_F_DISCARD) |
		     VIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);

	if (!(server.setup & SETUP_NO_EVENT))
		f |= VIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	return server.setup & SETUP_NO_INDIRECT ? f : f | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
}

static uint64_t protocol(void)
{
	uint64_t p = VIO_BIT(VU_PROTOCOL_F_CONFIG) | VIO_BIT(VU_PROTOCOL_F_MQ) |
		     VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | VIO_BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD);

	return server.setup & SETUP_NO_ACK ? p : p | VIO_BIT(VU_PROTOCOL_F_REPLY_ACK);
}

static void put_config(struct vu_msg *m)
{
	struct virtio_blk_config c = { .capacity = htole64(2048),
				       .seg_max = htole32(8),
				       .max_discard_sectors = htole32(16),
				       .max_discard_seg = htole32(1),
				       .max_write_zeroes_sectors = htole32(16),
				       .max_write_zeroes_seg = htole32(1) };

	memcpy(m->p.config.data, &c, sizeof(c));
}

static void put_inflight(struct vu_msg *m)
{
	m->fds[0] = memfd_create("inflight", MFD_CLOEXEC);
	check(m->fds[0] >= 0);
	m->nfds = 1;
	m->p.inflight.mmap_size = 4096;
	m->p.inflight.mmap_offset = 0;
}

/* Makes the question a good answer; false if there is none to give. */
static bool answer(struct vu_msg *m)
{
	switch (m->h.request) {
	case VU_GET_FEATURES:
		m->p.u64 = offered();
		break;
	case VU_GET_PROTOCOL_FEATURES:
		m->p.u64 = protocol();
		break;
	case VU_GET_QUEUE_NUM:
		m->p.u64 = 1;
		break;
	case VU_GET_MAX_MEM_SLOTS:
		m->p.u64 = 32;
		break;
	case VU_GET_CONFIG:
		put_config(m);
		return true;
	case VU_GET_INFLIGHT_FD:
		put_inflight(m);
		return true;
	case VU_GET_VRING_BASE:
		break;
	default:
		if (!(m->h.flags & VU_FLAG_NEED_REPLY))
			return false;
		m->p.u64 = 0;
	}
	m->h.size = 8;
	return true;
}

/* False: hang up. */
static bool twist(struct vu_msg *m, int kind, unsigned value)
{
	switch (kind) {
	case TWIST_BYTE:
		m->p.bytes[(value >> 8) % 128] = (uint8_t)value;
		break;
	case TWIST_REQUEST:
		m->h.request = value;
		break;
	case TWIST_FLAGS:
		m->h.flags ^= value;
		break;
	case TWIST_SIZE:
		m->h.size = value % sizeof(m->p);
		break;
	case TWIST_FD:
		for (; m->nfds < 1 + value % VU_MAX_FDS; m->nfds++)
			m->fds[m->nfds] = dup(server.listener);
		break;
	case TWIST_HANGUP:
		return false;
	}
	return true;
}

/* One message; false ends the conversation. */
static bool serve(struct vu_msg *m, int conn)
{
	unsigned value = 0;
	int kind = twist_of(server.messages++, &value);
	bool reply;

	vu_close_fds(m);
	m->nfds = 0;
	reply = answer(m);
	m->h.flags = VU_VERSION | VU_FLAG_REPLY;
	if (!twist(m, kind, value)) {
		vu_close_fds(m);
		return false;
	}
	for (unsigned i = 0; reply && kind != TWIST_SILENT && i <= (kind == TWIST_TWICE); i++)
		vu_send(conn, m, 1000);
	vu_close_fds(m);
	return true;
}

static void server_set(int conn)
{
	pthread_mutex_lock(&server.lock);
	if (server.conn >= 0)
		close(server.conn);
	server.conn = conn;
	pthread_mutex_unlock(&server.lock);
}

static void server_hang_up(void)
{
	pthread_mutex_lock(&server.lock);
	if (server.conn >= 0)
		shutdown(server.conn, SHUT_RDWR);
	pthread_mutex_unlock(&server.lock);
}

static void *server_main(void *arg)
{
	int conn;

	while ((conn = accept(server.listener, NULL, NULL)) >= 0) {
		struct vu_inbox in = { 0 };
		bool on = true;

		server_set(conn);
		server.messages = 0;
		while (on && vu_recv_wait(&in, conn, 600000) == 1) {
			struct vu_msg m = in.msg;

			on = serve(&m, conn);
			memset(&in, 0, sizeof(in));
		}
		if (in.have)
			vu_close_fds(&in.msg);
		server_set(-1);
	}
	return arg;
}

static int server_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, server.path);
	check(s >= 0 && !connect(s, (struct sockaddr *)&a, sizeof(a)));
	return s;
}

/* Conversations are taken one after another, so when one without a word is over, all before it are: there may
 * have been several, for a client comes back to a server that hung up on it. */
static void server_rest(void)
{
	int s = server_connect();
	char none;

	shutdown(s, SHUT_WR);
	check(read(s, &none, 1) <= 0);
	close(s);
	server_set(-1); /* it is; under the lock, so that all that was done is seen */
}

static void start(void)
{
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_EPOLL);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct vio_mem_region r;
	pthread_t t;

	snprintf(server.path, sizeof(server.path), "/tmp/vio-fuzz-front.%d", getpid());
	strcpy(a.sun_path, server.path);
	unlink(server.path);
	server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(!bind(server.listener, (struct sockaddr *)&a, sizeof(a)) && !listen(server.listener, 4));
	check(!pthread_create(&t, NULL, server_main, NULL) && !pthread_detach(t));
	check(!vio_poller_new(&z.p, &o));
	check(!vio_mem_alloc(&z.mem, 0x1000, MEM) && !vio_mem_get(z.mem, 0, &r));
	z.shared = r.ptr;
}

static void forget_path(void)
{
	unlink(server.path);
}

static void submit(const uint8_t *s)
{
	static const uint8_t ops[] = { VIO_OP_READ, VIO_OP_WRITE, VIO_OP_FLUSH, VIO_OP_DISCARD,
				       VIO_OP_WRITE_ZEROES };
	struct vio_req *r = vio_lane_room(z.l) ? vio_req_get(z.pool) : NULL;
	unsigned i = 0;

	if (!r)
		return;
	r->op = ops[s[0] % VIO_ARRAY_SIZE(ops)];
	r->flags = s[0] & 0x80 && r->op == VIO_OP_WRITE ? VIO_REQ_FUA : 0;
	r->offset = s[1] * 512ull;
	r->niov = 0;
	r->len = r->op == VIO_OP_FLUSH ? 0 : 512ull * (1 + s[2] % 12);
	if (r->op <= VIO_OP_WRITE) {
		uint8_t *from = s[0] & 0x40 ? z.own : z.shared + s[2] * 64;

		r->niov = s[2] & 0x80 ? 2 : 1;
		r->iov[0] = (struct iovec){ from, r->len };
		if (r->niov == 2) {
			r->iov[0].iov_len = 256;
			r->iov[1] = (struct iovec){ z.shared + 0x8000, r->len - 256 };
		}
	}
	while (z.under_way[i])
		check(++i < REQS);
	z.under_way[i] = r;
	vio_lane_submit(z.l, &r, 1);
}

static void reap(void)
{
	struct vio_req *r;

	vio_poller_run(z.p, 8);
	while (vio_lane_reap(z.l, &r, 1)) {
		unsigned i = 0;

		while (z.under_way[i] != r)
			check(++i < REQS); /* completed twice, or never submitted */
		z.under_way[i] = NULL;
		vio_req_put(z.pool, r);
	}
}

static void use_split(uint32_t id, unsigned more)
{
	struct vring_split *s = &z.v->ring.s;

	s->used->ring[z.used++ & (s->size - 1)].id = htole32(id);
	z.used = (uint16_t)(z.used + more);
	VIO_STORE_RELEASE(&s->used->idx, htole16(z.used));
}

static void use_packed(uint16_t id, uint16_t flags)
{
	struct vring_packed *p = &z.v->ring.p;

	p->desc[p->seen.at].id = htole16(id);
	VIO_STORE_RELEASE(&p->desc[p->seen.at].flags, htole16(flags));
}

/* As a good server would, the next request that it has not answered yet. */
static void complete(uint8_t status)
{
	struct vring_split *s = &z.v->ring.s;
	struct vring_packed *p = &z.v->ring.p;
	uint16_t id;

	if (z.v->ring.packed) {
		for (id = 0; id < z.v->nslots && !z.v->slot[id].req; id++)
			;
		if (id == z.v->nslots)
			return;
		use_packed(id, p->seen.wrap ? VRING_AVAIL_BIT | VRING_USED_BIT : 0);
	} else {
		if (z.taken == le16toh(VIO_LOAD(&s->avail->idx)))
			return;
		id = le16toh(s->avail->ring[z.taken++ & (s->size - 1)]) % z.v->nslots;
		use_split(id, 0);
	}
	z.v->status[id] = status;
	reap();
}

/* Anywhere in the queue's memory; the rings lie first. */
static void scribble(const uint8_t *s)
{
	struct vhost_disk *d = z.b->priv;
	struct vio_mem_region r;

	check(!vio_mem_get(d->mem.area, 0, &r));
	((uint8_t *)r.ptr)[(s[0] | (uint64_t)s[1] << 8) % d->area_lane] = s[2];
}

static void play(const uint8_t *s)
{
	switch ((enum step)(s[0] % 8)) {
	case STEP_SUBMIT:
		submit(s + 1);
		break;
	case STEP_COMPLETE:
		complete(s[1] % 4);
		break;
	case STEP_USED:
		if (z.v->ring.packed)
			use_packed(s[1], (uint16_t)(s[2] << 8 | s[3]));
		else
			use_split(s[1] | (uint32_t)(s[2] & 1) << 31, s[3]);
		break;
	case STEP_SCRIBBLE:
		scribble(s + 1);
		break;
	case STEP_STATUS:
		z.v->status[s[1] % z.v->nslots] = s[2];
		break;
	case STEP_REAP:
		reap();
		break;
	case STEP_SIGNAL:
		eventfd_write(s[1] & 1 ? z.v->bells.err : z.v->bells.call, 1);
		break;
	case STEP_HANGUP:
		server_hang_up();
		break;
	}
}

/* The server hangs up: what it still had must come back. */
static void end_all(void)
{
	unsigned left = 1;

	server_hang_up();
	for (unsigned pass = 0; left; pass++) {
		check(pass < 10000);
		reap();
		left = 0;
		for (unsigned i = 0; i < REQS; i++)
			left += z.under_way[i] != NULL;
	}
}

static void drive(const uint8_t *data, size_t size)
{
	VIO_OPTS(vio_lane_opts, o, .mem = z.mem);

	if (vio_lane_new(&z.l, z.b, z.p, &o))
		return;
	check(!vio_req_pool_new(&z.pool, z.l, REQS, 4));
	z.v = z.l->priv;
	z.taken = z.used = z.v->ring.packed ? 0 : z.v->ring.s.seen;
	for (unsigned i = 0; i < MAX_STEPS && size >= 4; i++, data += 4, size -= 4)
		play(data);
	end_all();
	vio_req_pool_free(z.pool);
	vio_lane_free(z.l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char stack[128];

	if (!z.p) {
		start();
		atexit(forget_path);
	}
	if (size < 2)
		return 0;
	server.setup = data[0];
	server.ntwists = VIO_MIN(VIO_MIN(data[1], MAX_TWISTS), (unsigned)(size - 2) / 4);
	memcpy(server.twists, data + 2, 4ul * server.ntwists);
	data += 2 + 4 * server.ntwists;
	size -= 2 + 4 * server.ntwists;
	snprintf(stack, sizeof(stack), "vhost_user:%s,queue-size=16,timeout=5%s%s", server.path,
		 server.setup & SETUP_PACKED ? ",packed=on" : "",
		 server.setup & SETUP_INFLIGHT ? ",reconnect=on" : "");
	if (!vio_backend_parse(&z.b, NULL, stack)) {
		if (!(server.setup & SETUP_INFLIGHT))
			drive(data, size);
		vio_backend_free(z.b);
	}
	server_rest();
	return 0;
}
