/* SPDX-License-Identifier: MIT */
/*
 * An AF_XDP socket's rings by hand, with entries that no kernel should write: what is not ours, was not asked
 * for, or does not fit its frame is counted and touches nothing; indices that can't be end the lane, and all
 * requests come back. Needs no AF_XDP.
 */
#include "poller.h"

#include "backend/xsk.h"

#define RING 64u
#define BYTES 2048

struct bench {
	struct vio_poller *p;
	struct xsk_store s;
	struct xsk_pair pair;
	struct vio_backend *null; /* for a lane and requests */
	struct vio_lane *send, *recv;
	struct vio_req_pool *pool;
	char mem[RING][BYTES];
	char guest[4 * XSK_CHUNK];
};

static struct xsk_ring ring_new(size_t entry)
{
	struct xsk_ring r = { .size = RING };

	r.producer = calloc(3, sizeof(uint32_t));
	r.consumer = r.producer + 1;
	r.flags = r.producer + 2;
	r.addr = calloc(RING, entry);
	return r;
}

static void ring_free(struct xsk_ring *r)
{
	free(r->producer);
	free(r->addr);
}

static struct vio_lane *lane_new(struct bench *t)
{
	struct vio_lane *l;

	assert_int_equal(vio_lane_new(&l, t->null, t->p, NULL), 0);
	return l;
}

static void rings_up(struct xsk_pair *p)
{
	p->rx = ring_new(sizeof(struct xdp_desc));
	p->tx = ring_new(sizeof(struct xdp_desc));
	p->fill = ring_new(sizeof(uint64_t));
	p->completion = ring_new(sizeof(uint64_t));
	for (uint32_t i = 0; i < RING; i++)
		p->filled[i] = true;
	p->fill.own = *p->fill.producer = *p->fill.consumer = RING;
}

/* As xsk_socket.c makes a pair, but for the kernel; with guest memory in the umem or without. */
static struct bench *up(void **state, bool unaligned)
{
	struct bench *t = calloc(1, sizeof(*t));
	struct xsk_pair *p = &t->pair;

	t->p = poller_from(state);
	*p = (struct xsk_pair){ .s = &t->s, .ring = RING, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	assert_int_equal(xsk_pair_alloc(p), 0);
	assert_int_equal(xsk_umem_open(&p->umem, 2 * RING, NULL), 0);
	if (unaligned) {
		p->umem.unaligned = true;
		p->umem.region[p->umem.nregions++] =
			(struct xsk_region){ t->guest, sizeof(t->guest), 2 * RING * XSK_CHUNK };
	}
	rings_up(p);
	assert_int_equal(vio_backend_new(&t->null, vio_backend_find("null"), NULL, NULL, NULL), 0);
	t->send = lane_new(t);
	t->recv = lane_new(t);
	assert_int_equal(vio_req_pool_new(&t->pool, t->send, 2 * RING, 1), 0);
	xsk_send_open(p, t->send);
	assert_int_equal(xsk_recv_open(p, t->recv), 0);
	return t;
}

static void down(struct bench *t)
{
	struct xsk_pair *p = &t->pair;
	struct vio_req *r;

	while (xsk_send_reap(p, &r, 1) || recv_fifo_reap(&p->fifo, &r, 1) ||
	       recv_fifo_recall(&p->fifo, &r, 1))
		vio_req_put(t->pool, r);
	xsk_send_close(p);
	xsk_recv_close(p);
	ring_free(&p->rx);
	ring_free(&p->tx);
	ring_free(&p->fill);
	ring_free(&p->completion);
	close(p->fd);
	xsk_umem_close(&p->umem);
	xsk_pair_free(p);
	vio_req_pool_free(t->pool); /* every request is back */
	vio_lane_free(t->send);
	vio_lane_free(t->recv);
	vio_backend_free(t->null);
	free(t);
}

static struct vio_req *request(struct bench *t, unsigned op, void *at, size_t len)
{
	struct vio_req *r = vio_req_get(t->pool);

	assert_non_null(r);
	r->op = (uint8_t)op;
	r->len = op == VIO_OP_SEND ? len : 0;
	r->iov[0] = (struct iovec){ at, len };
	r->niov = 1;
	return r;
}

static void post(struct bench *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vio_req *r = request(t, VIO_OP_RECV, t->mem[i], BYTES);

		xsk_recv_submit(&t->pair, &r, 1);
	}
}

static void kernel_receives(struct bench *t, uint64_t addr, uint32_t len, uint32_t options)
{
	struct xsk_ring *r = &t->pair.rx;

	r->desc[(*r->producer)++ & (RING - 1)] = (struct xdp_desc){ addr, len, options };
}

static void kernel_completes(struct bench *t, uint64_t addr)
{
	struct xsk_ring *r = &t->pair.completion;

	r->addr[(*r->producer)++ & (RING - 1)] = addr;
}

static void send_one(struct bench *t, void *at, size_t len)
{
	struct vio_req *r = request(t, VIO_OP_SEND, at, len);

	xsk_send_submit(&t->pair, &r, 1);
}

static unsigned sent(struct bench *t)
{
	struct vio_req *r;
	unsigned n = 0;

	while (xsk_send_reap(&t->pair, &r, 1)) {
		assert_int_equal(r->res, 0);
		vio_req_put(t->pool, r);
		n++;
	}
	return n;
}

static void bad_receive_entries(void **state)
{
	struct bench *t = up(state, false);
	const uint64_t end = 2ull * RING * XSK_CHUNK;
	struct vio_req *r[RING];

	post(t, 10);
	memset(t->pair.umem.base + 3 * XSK_CHUNK + 256, 'x', 100);
	kernel_receives(t, UINT64_MAX, 100, 0);
	kernel_receives(t, end, 100, 0);
	kernel_receives(t, end - XSK_CHUNK, 100, 0);		 /* a frame for sending */
	kernel_receives(t, RING * XSK_CHUNK, 100, 0);		 /* the same */
	kernel_receives(t, 256, XSK_CHUNK - 255, 0);		 /* past its frame */
	kernel_receives(t, 2 * XSK_CHUNK, UINT32_MAX, 0);	 /* past everything */
	kernel_receives(t, XSK_CHUNK + 256, 100, 1);		 /* a part of something longer */
	kernel_receives(t, 3 * XSK_CHUNK + 256, 100, 0);	 /* a good one */
	kernel_receives(t, 4 * XSK_CHUNK + 256, 0, 0);		 /* nothing */
	kernel_receives(t, 5 * XSK_CHUNK + XSK_CHUNK - 1, 1, 0); /* too short for a frame */
	assert_int_equal(xsk_recv_reap(&t->pair, r, RING), 1);
	assert_int_equal(r[0]->len, 100);
	assert_int_equal(r[0]->res, 1);
	assert_memory_equal(t->mem[0], "xxxx", 4);
	vio_req_put(t->pool, r[0]);
	assert_int_equal(t->s.count[XSK_BAD_RING], 7);
	assert_int_equal(t->s.count[XSK_DROP_MALFORMED], 2);
	/* The frames that are ours are the kernel's again, each once. */
	assert_int_equal(*t->pair.fill.producer, RING + 6);
	down(t);
}

/* Offsets in an address's upper bits may add up to anything. */
static void bad_unaligned_receive_entries(void **state)
{
	struct bench *t = up(state, true);
	struct vio_req *r[RING];

	post(t, 10);
	kernel_receives(t, 0xffffull << 48 | ((1ull << 48) - 1), 100, 0);
	kernel_receives(t, 0xffffull << 48 | (RING * XSK_CHUNK - 1), 100, 0);
	kernel_receives(t, 2ull * RING * XSK_CHUNK + 5, 100, 0); /* guest memory */
	kernel_receives(t, 256ull << 48 | XSK_CHUNK, 60, 0);	 /* a good one */
	assert_int_equal(xsk_recv_reap(&t->pair, r, RING), 1);
	assert_int_equal(r[0]->len, 60);
	vio_req_put(t->pool, r[0]);
	assert_int_equal(t->s.count[XSK_BAD_RING], 3);
	down(t);
}

/* A frame that the kernel has given once is not its to give again before it has it back. */
static void frames_given_twice(void **state)
{
	struct bench *t = up(state, false);
	struct vio_req *r[RING];

	post(t, 10);
	t->pair.filled[7] = false;
	kernel_receives(t, 7 * XSK_CHUNK + 256, 60, 0);
	assert_int_equal(xsk_recv_reap(&t->pair, r, RING), 0);
	assert_int_equal(t->s.count[XSK_BAD_RING], 1);
	down(t);
}

static void an_index_that_cannot_be(void **state)
{
	struct bench *t = up(state, false);
	struct vio_req *r[RING];

	post(t, 10);
	*t->pair.rx.producer = RING + 1;
	assert_int_equal(xsk_recv_reap(&t->pair, r, RING), 0);
	assert_true(t->pair.gone);
	*t->pair.rx.producer = 1;
	assert_int_equal(xsk_recv_reap(&t->pair, r, RING), 0);
	send_one(t, t->mem[0], 60);
	assert_int_equal(t->s.count[XSK_DROP_DOWN], 1);
	assert_int_equal(sent(t), 1);
	down(t);
}

static void answers_that_nobody_asked_for(void **state)
{
	struct bench *t = up(state, false);
	uint64_t good;

	kernel_completes(t, 0);
	kernel_completes(t, UINT64_MAX);
	kernel_completes(t, xsk_send_frame(&t->pair, 0));
	kernel_completes(t, xsk_send_frame(&t->pair, RING));
	assert_int_equal(sent(t), 0);
	send_one(t, t->mem[0], 60);
	assert_int_equal(sent(t), 1);
	assert_int_equal(t->s.count[XSK_BAD_RING], 4);
	good = t->pair.tx.desc[0].addr;
	kernel_completes(t, good + 1);
	kernel_completes(t, good);
	kernel_completes(t, good); /* twice */
	assert_int_equal(sent(t), 0);
	assert_int_equal(t->s.count[XSK_BAD_RING], 6);
	assert_int_equal(t->pair.nidle, RING);
	down(t);
}

/* A request is done once, by the answer to it, in whatever order they come. */
static void guest_memory_comes_back_once(void **state)
{
	struct bench *t = up(state, true);
	uint64_t addr[3];

	for (unsigned i = 0; i < 3; i++)
		send_one(t, t->guest + 77, 60); /* the same place each time */
	assert_int_equal(t->s.count[XSK_ZERO_COPY], 3);
	assert_int_equal(sent(t), 0);
	for (unsigned i = 0; i < 3; i++)
		addr[i] = t->pair.tx.desc[i].addr;
	assert_int_not_equal(addr[0], addr[1]);
	*t->pair.tx.consumer = 3;
	kernel_completes(t, addr[2]);
	kernel_completes(t, addr[2]);
	kernel_completes(t, addr[0]);
	assert_int_equal(sent(t), 2);
	assert_int_equal(t->s.count[XSK_BAD_RING], 1);
	kernel_completes(t, addr[1]);
	assert_int_equal(sent(t), 1);
	assert_int_equal(t->pair.nidle, RING);
	down(t);
}

/* Invalid entries are never completed by some kernels, and answers may be lost: the guest gets its buffers
 * back. */
static void answers_that_never_come(void **state)
{
	struct bench *t = up(state, true);

	for (unsigned i = 0; i < 4; i++)
		send_one(t, t->guest + i * 100, 60);
	*t->pair.tx.consumer = 2;
	while (t->pair.lent)
		assert_true(vio_poller_wait(t->p, 20000) >= 0);
	assert_int_equal(sent(t), 4);
	/* Two are the kernel's still, as copies of what the guest sent. */
	assert_int_equal(t->s.count[XSK_COPIES], 2);
	kernel_completes(t, t->pair.tx.desc[2].addr);
	assert_int_equal(sent(t), 0);
	assert_int_equal(t->s.count[XSK_BAD_RING], 0);
	assert_int_equal(t->pair.nidle, RING - 3);
	down(t);
}

static void a_kernel_that_takes_nothing(void **state)
{
	struct bench *t = up(state, false);

	for (unsigned i = 0; i < RING + 5; i++) {
		send_one(t, t->mem[0], 60);
		assert_int_equal(sent(t), 1);
	}
	assert_int_equal(t->s.count[XSK_SENT], RING);
	assert_int_equal(t->s.count[XSK_DROP_FULL], 5);
	/* One that answers what it has not taken frees no entry. */
	for (unsigned i = 0; i < RING; i++)
		kernel_completes(t, t->pair.tx.desc[i].addr);
	send_one(t, t->mem[0], 60);
	assert_int_equal(sent(t), 1);
	assert_int_equal(t->s.count[XSK_SENT], RING);
	/* And one that claims to have taken more than there was. */
	*t->pair.tx.consumer = RING + 1;
	send_one(t, t->mem[0], 60);
	assert_int_equal(sent(t), 1);
	assert_true(t->pair.gone);
	down(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(bad_receive_entries),
		BOTH(bad_unaligned_receive_entries),
		BOTH(frames_given_twice),
		BOTH(an_index_that_cannot_be),
		BOTH(answers_that_nobody_asked_for),
		BOTH(guest_memory_comes_back_once),
		BOTH(answers_that_never_come),
		BOTH(a_kernel_that_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
