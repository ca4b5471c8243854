/* SPDX-License-Identifier: MIT */
/*
 * A hostile vhost-user server, and our driving end of its disk. The input:
 *
 *     setup, n, n twists of its answers (which, kind, two bytes of value), steps (kind, three bytes)
 *
 * setup: as front_server.h has it; with SETUP_INFLIGHT only connecting is tried. The data plane is played
 * in steps, on the fuzzer's thread, by who sees all that a server sees. However it goes: every request
 * completes once.
 */
#include "front_server.h"

#include <virtio-offload.h>

#include "backend/vhost_user.h"

#include <sys/eventfd.h>

#define MEM (256u << 10)
#define MAX_STEPS 200u
#define REQS 32u

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

static void start(void)
{
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_EPOLL);
	struct vio_mem_region r;
	struct virtio_blk_config c = { .capacity = htole64(2048),
				       .seg_max = htole32(8),
				       .max_discard_sectors = htole32(16),
				       .max_discard_seg = htole32(1),
				       .max_write_zeroes_sectors = htole32(16),
				       .max_write_zeroes_seg = htole32(1) };

	server.device_features = VIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIO_BIT(VIRTIO_BLK_F_FLUSH) |
				 VIO_BIT(VIRTIO_BLK_F_DISCARD) | VIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	memcpy(server.config, &c, VIO_MIN(sizeof(c), sizeof(server.config)));
	server_start();
	check(!vio_poller_new(&z.p, &o));
	check(!vio_mem_alloc(&z.mem, 0x1000, MEM) && !vio_mem_get(z.mem, 0, &r));
	z.shared = r.ptr;
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

	if (!z.p)
		start();
	if (!server_setup(&data, &size))
		return 0;
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
