/* SPDX-License-Identifier: MIT */
/*
 * A hostile vhost-user server, and our driving end of its network card. The input:
 *
 *     setup, n, n twists of its answers (which, kind, two bytes of value), steps (kind, four bytes)
 *
 * The data plane is played in steps, on the fuzzer's thread, by who sees all that a server sees: it writes
 * used entries, and anywhere into shared memory. However it goes: every request comes back once, no RECV is
 * said to hold more than it has room for, and a packet's RECVs come one after another.
 */
#include "front_server.h"

#include <virtio-offload.h>

#include "backend/vhost_user_net.h"

#define MEM (256u << 10)
#define EACH 4096u
#define MAX_STEPS 300u
#define REQS 24u /* each way */

enum step {
	STEP_SEND,
	STEP_RECV,
	STEP_USE, /* as a good server would, the next that it has */
	STEP_USED,
	STEP_AREA,
	STEP_MEMORY,
	STEP_REAP,
	STEP_RECALL,
	STEP_SIGNAL,
	STEP_HANGUP,
	STEPS,
};

/* One direction. */
struct way {
	struct vio_lane *l;
	struct vnet_lane *v;
	struct vio_req_pool *pool;
	struct vio_req *under_way[REQS];
	unsigned rest; /* RECVs of a packet that have to come next */
	uint16_t used;
};

static struct {
	struct vio_poller *p;
	struct vio_mem *mem;
	uint8_t *shared;
	uint8_t own[2][REQS][EACH]; /* memory that the server can't see */
	struct vio_backend *b;
	struct way way[2]; /* [1]: what is sent */
} z;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void start(void)
{
	static const struct virtio_net_config c = { .mac = { 2, 0, 0, 0, 0, 1 } };
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_EPOLL);
	struct vio_mem_region r;

	server.device_features = VIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIO_BIT(VIRTIO_NET_F_CSUM) |
				 VIO_BIT(VIRTIO_NET_F_GUEST_CSUM) | VIO_BIT(VIRTIO_NET_F_HOST_TSO4) |
				 VIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIO_BIT(VIRTIO_NET_F_HOST_USO) |
				 VIO_BIT(VIRTIO_NET_F_GUEST_USO4) | VIO_BIT(VIRTIO_NET_F_MAC);
	memcpy(server.config, &c, VIO_MIN(sizeof(c), sizeof(server.config)));
	server_start();
	check(!vio_poller_new(&z.p, &o));
	check(!vio_mem_alloc(&z.mem, 0x1000, MEM) && !vio_mem_get(z.mem, 0, &r));
	z.shared = r.ptr;
}

static struct vio_req *request(struct way *w, unsigned *i)
{
	struct vio_req *r = vio_lane_room(w->l) ? vio_req_get(w->pool) : NULL;

	*i = 0;
	if (!r)
		return NULL;
	while (w->under_way[*i])
		check(++*i < REQS);
	w->under_way[*i] = r;
	return r;
}

/* s: where and how many pieces, flags, two bytes of length. */
static void submit(struct way *w, const uint8_t *s)
{
	const bool sends = w == &z.way[1];
	unsigned i, pieces = 1 + (s[0] >> 1 & 3);
	struct vio_req *r = request(w, &i);
	size_t len = (s[2] | (size_t)s[3] << 8) % EACH, each;
	uint8_t *at = s[0] & 1 ? z.own[sends][i] : z.shared + (i * EACH + (s[0] >> 3)) % (MEM - EACH);

	if (!r)
		return;
	each = len / pieces;
	r->op = sends ? VIO_OP_SEND : VIO_OP_RECV;
	r->flags = sends ? s[1] & (uint8_t)~VIO_RECV_MERGE : s[1];
	r->offload = (struct vio_offload){ .hdr_len = sends || s[0] & 0x80 ? VNET_HDR : s[0] >> 3 };
	r->niov = (uint16_t)pieces;
	r->len = len;
	for (unsigned k = 0; k < pieces; k++)
		r->iov[k] = (struct iovec){ at + k * each, k + 1 < pieces ? each : len - k * each };
	vio_lane_submit(w->l, &r, 1);
}

static void came_back(struct way *w, struct vio_req *r)
{
	unsigned i = 0;

	while (w->under_way[i] != r)
		check(++i < REQS); /* twice, or never submitted */
	w->under_way[i] = NULL;
	vio_req_put(w->pool, r);
}

static void received(struct way *w, const struct vio_req *r)
{
	if (w->rest) {
		check(!r->res);
		w->rest--;
	} else {
		check(r->res);
		w->rest = r->res > 0 ? (unsigned)r->res - 1 : 0;
	}
	check(r->len <= recv_room(r));
}

static void reap(void)
{
	struct vio_req *r;

	vio_poller_run(z.p, 8);
	while (vio_lane_reap(z.way[1].l, &r, 1)) {
		check(!r->res);
		came_back(&z.way[1], r);
	}
	while (vio_lane_reap(z.way[0].l, &r, 1)) {
		received(&z.way[0], r);
		came_back(&z.way[0], r);
	}
	check(!z.way[0].rest);
}

static void recall(unsigned n)
{
	struct vio_req *r[REQS];

	n = vio_lane_recall(z.way[0].l, r, VIO_MIN(n, REQS));
	for (unsigned i = 0; i < n; i++)
		came_back(&z.way[0], r[i]);
}

static void use(struct way *w, uint32_t id, uint32_t len, unsigned more)
{
	struct vring_driver *d = &w->v->ring;
	struct vring_packed *p = &d->p;

	if (d->packed) {
		p->desc[p->seen.at].id = htole16((uint16_t)id);
		p->desc[p->seen.at].len = htole32(len);
		VIO_STORE_RELEASE(
			&p->desc[p->seen.at].flags,
			htole16(p->seen.wrap == !(more & 1) ? VRING_AVAIL_BIT | VRING_USED_BIT : 0));
		return;
	}
	w->used = d->s.seen;
	d->s.used->ring[w->used++ & (d->s.size - 1)] =
		(struct vring_used_elem){ .id = htole32(id), .len = htole32(len) };
	VIO_STORE_RELEASE(&d->s.used->idx, htole16((uint16_t)(w->used + more)));
}

/* The oldest buffer, after a header of that many buffers was put there. */
static void use_next(struct way *w, const uint8_t *s)
{
	const struct vnet_recv *t = &w->v->recv;
	const unsigned slot = t->used & (w->v->nslots - 1u), packed = w->v->ring.packed;
	const struct vio_req *r;
	struct virtio_net_hdr_v1 h = { .num_buffers = htole16(s[1]),
				       .flags = s[0] & 3,
				       .gso_type = s[0] >> 4 };

	if (w == &z.way[1]) {
		for (unsigned i = 0; i < w->v->nslots; i++)
			if (w->v->send.req[i]) {
				use(w, packed ? i : 2 * i, 0, 0);
				break;
			}
		return;
	}
	if (t->used == t->posted)
		return;
	r = t->fifo.ring[slot];
	h.csum_start = htole16(20);
	h.gso_size = htole16(s[3]);
	if (t->slot[slot].how == VNET_BOUNCE)
		memcpy(w->v->chunks + (size_t)slot * VNET_CHUNK, &h, sizeof(h));
	else if (t->slot[slot].how == VNET_BEHIND)
		memcpy(w->v->hdrs + (size_t)slot * VNET_HDR_ROOM, &h, sizeof(h));
	else if (r->iov[0].iov_len >= sizeof(h))
		memcpy(r->iov[0].iov_base, &h, sizeof(h));
	use(w, packed ? slot : 2 * slot, (s[2] | (uint32_t)(s[3] & 15) << 8) % (t->slot[slot].room + 2), 0);
}

/* Anywhere in what belongs to the queues; rings and headers lie first. */
static void scribble(const uint8_t *s)
{
	struct vnet *d = z.b->priv;
	uint64_t guest;

	vio__vhost_mem_area(&d->mem, &guest)[(s[0] & 1) * d->area_lane + (s[1] | (uint64_t)s[2] << 8)] =
		(char)s[3];
}

static void play(const uint8_t *s)
{
	struct way *w = &z.way[s[1] & 1];

	switch ((enum step)(s[0] % STEPS)) {
	case STEP_SEND:
		submit(&z.way[1], s + 1);
		break;
	case STEP_RECV:
		submit(&z.way[0], s + 1);
		break;
	case STEP_USE:
		use_next(w, s + 1);
		break;
	case STEP_USED:
		use(w, s[2] | (uint32_t)(s[1] & 2) << 30, s[3] | (uint32_t)s[4] << 8, s[1] >> 4);
		break;
	case STEP_AREA:
		scribble(s + 1);
		break;
	case STEP_MEMORY:
		z.shared[(s[1] | (unsigned)s[2] << 8) % MEM] = s[3];
		break;
	case STEP_REAP:
		reap();
		break;
	case STEP_RECALL:
		recall(s[1]);
		break;
	case STEP_SIGNAL:
		eventfd_write(s[1] & 2 ? w->v->bells.err : w->v->bells.call, 1);
		break;
	default:
		server_hang_up();
	}
}

static bool open_way(struct way *w, bool recv)
{
	VIO_OPTS(vio_lane_opts, o, .mem = z.mem, .recv = recv);

	*w = (struct way){ 0 };
	if (vio_lane_new(&w->l, z.b, z.p, &o))
		return false;
	check(!vio_req_pool_new(&w->pool, w->l, REQS, 4));
	w->v = w->l->priv;
	return true;
}

static void close_way(struct way *w)
{
	for (unsigned i = 0; i < REQS; i++)
		check(!w->under_way[i]);
	vio_req_pool_free(w->pool);
	vio_lane_free(w->l);
}

/* What was sent comes back when the server is left, and what waits is recalled. */
static void end_all(void)
{
	vnet_break(z.way[1].v, "the end");
	reap();
	recall(REQS);
	reap();
}

static void settle(void)
{
	for (unsigned i = 0; i < 1000 && VIO_LOAD(&z.way[1].v->state) != VNET_RUNS && z.way[1].v->d->up; i++)
		vio_poller_wait(z.p, 1);
}

static void drive(const uint8_t *data, size_t size)
{
	check(open_way(&z.way[0], true) && open_way(&z.way[1], false));
	settle();
	for (unsigned i = 0; i < MAX_STEPS && size >= 5; i++, data += 5, size -= 5)
		play(data);
	end_all();
	close_way(&z.way[0]);
	close_way(&z.way[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char stack[128];

	if (!z.p)
		start();
	if (!server_setup(&data, &size))
		return 0;
	snprintf(stack, sizeof(stack), "vhost_user_net:%s,queue-size=32,timeout=20,reconnect=off%s",
		 server.path, server.setup & SETUP_PACKED ? ",packed=on" : "");
	if (!vio_backend_parse(&z.b, NULL, stack)) {
		drive(data, size);
		vio_backend_free(z.b);
	}
	server_rest();
	return 0;
}
