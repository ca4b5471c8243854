/* SPDX-License-Identifier: MIT */
/*
 * An AF_XDP socket's rings by hand, with entries that no kernel should write: what is not ours, was not asked
 * for, or does not fit its frame is counted and touches nothing; indices that can't be end the lane, and all
 * requests come back. Needs no AF_XDP.
 */
#include "poller.h"

#include "xsk_rings.h"

#define BYTES 2048

struct bench {
	struct rings rings;
	char mem[RING][BYTES];
};

static struct bench *up(void **state, bool unaligned)
{
	struct bench *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	assert_int_equal(rings_up(&t->rings, poller_from(state), unaligned), 0);
	return t;
}

static void down(struct bench *t)
{
	rings_down(&t->rings);
	free(t);
}

static struct vio_req *request(struct bench *t, unsigned op, void *at, size_t len)
{
	struct vio_req *r = rings_request(&t->rings, op, at, len);

	assert_non_null(r);
	return r;
}

static void post(struct bench *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vio_req *r = request(t, VIO_OP_RECV, t->mem[i], BYTES);

		xsk_recv_submit(&t->rings.pair, &r, 1);
	}
}

static void send_one(struct bench *t, void *at, size_t len)
{
	struct vio_req *r = request(t, VIO_OP_SEND, at, len);

	xsk_send_submit(&t->rings.pair, &r, 1);
}

static unsigned sent(struct bench *t)
{
	struct vio_req *r;
	unsigned n = 0;

	while (xsk_send_reap(&t->rings.pair, &r, 1)) {
		assert_int_equal(r->res, 0);
		vio_req_put(t->rings.pool, r);
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
	memset(t->rings.pair.umem->base + 3 * XSK_CHUNK + 256, 'x', 100);
	rings_receive(&t->rings, UINT64_MAX, 100, 0);
	rings_receive(&t->rings, end, 100, 0);
	rings_receive(&t->rings, end - XSK_CHUNK, 100, 0);	       /* a frame for sending */
	rings_receive(&t->rings, RING * XSK_CHUNK, 100, 0);	       /* the same */
	rings_receive(&t->rings, 256, XSK_CHUNK - 255, 0);	       /* past its frame */
	rings_receive(&t->rings, 2 * XSK_CHUNK, UINT32_MAX, 0);	       /* past everything */
	rings_receive(&t->rings, XSK_CHUNK + 256, 100, 1);	       /* a part of something longer */
	rings_receive(&t->rings, 3 * XSK_CHUNK + 256, 100, 0);	       /* a good one */
	rings_receive(&t->rings, 4 * XSK_CHUNK + 256, 0, 0);	       /* nothing */
	rings_receive(&t->rings, 5 * XSK_CHUNK + XSK_CHUNK - 1, 1, 0); /* too short for a frame */
	assert_int_equal(xsk_recv_reap(&t->rings.pair, r, RING), 1);
	assert_int_equal(r[0]->len, 100);
	assert_int_equal(r[0]->res, 1);
	assert_memory_equal(t->mem[0], "xxxx", 4);
	vio_req_put(t->rings.pool, r[0]);
	assert_int_equal(t->rings.s.count[XSK_BAD_RING], 7);
	assert_int_equal(t->rings.s.count[XSK_DROP_MALFORMED], 2);
	/* The frames that are ours are the kernel's again, each once. */
	assert_int_equal(*t->rings.pair.fill.producer, RING + 6);
	down(t);
}

/* Offsets in an address's upper bits may add up to anything. */
static void bad_unaligned_receive_entries(void **state)
{
	struct bench *t = up(state, true);
	struct vio_req *r[RING];

	post(t, 10);
	rings_receive(&t->rings, 0xffffull << 48 | ((1ull << 48) - 1), 100, 0);
	rings_receive(&t->rings, 0xffffull << 48 | (RING * XSK_CHUNK - 1), 100, 0);
	rings_receive(&t->rings, 2ull * RING * XSK_CHUNK + 5, 100, 0); /* guest memory */
	rings_receive(&t->rings, 256ull << 48 | XSK_CHUNK, 60, 0);     /* a good one */
	assert_int_equal(xsk_recv_reap(&t->rings.pair, r, RING), 1);
	assert_int_equal(r[0]->len, 60);
	vio_req_put(t->rings.pool, r[0]);
	assert_int_equal(t->rings.s.count[XSK_BAD_RING], 3);
	down(t);
}

/* A frame that the kernel has given once is not its to give again before it has it back. */
static void frames_given_twice(void **state)
{
	struct bench *t = up(state, false);
	struct vio_req *r[RING];

	post(t, 10);
	t->rings.pair.filled[7] = false;
	rings_receive(&t->rings, 7 * XSK_CHUNK + 256, 60, 0);
	assert_int_equal(xsk_recv_reap(&t->rings.pair, r, RING), 0);
	assert_int_equal(t->rings.s.count[XSK_BAD_RING], 1);
	down(t);
}

static void an_index_that_cannot_be(void **state)
{
	struct bench *t = up(state, false);
	struct vio_req *r[RING];

	post(t, 10);
	*t->rings.pair.rx.producer = RING + 1;
	assert_int_equal(xsk_recv_reap(&t->rings.pair, r, RING), 0);
	assert_true(t->rings.pair.gone);
	*t->rings.pair.rx.producer = 1;
	assert_int_equal(xsk_recv_reap(&t->rings.pair, r, RING), 0);
	send_one(t, t->mem[0], 60);
	assert_int_equal(t->rings.s.count[XSK_DROP_DOWN], 1);
	assert_int_equal(sent(t), 1);
	down(t);
}

static void answers_that_nobody_asked_for(void **state)
{
	struct bench *t = up(state, false);
	uint64_t good;

	rings_complete(&t->rings, 0);
	rings_complete(&t->rings, UINT64_MAX);
	rings_complete(&t->rings, xsk_send_frame(&t->rings.pair, 0));
	rings_complete(&t->rings, xsk_send_frame(&t->rings.pair, RING));
	assert_int_equal(sent(t), 0);
	send_one(t, t->mem[0], 60);
	assert_int_equal(sent(t), 1);
	assert_int_equal(t->rings.s.count[XSK_BAD_RING], 4);
	good = t->rings.pair.tx.desc[0].addr;
	rings_complete(&t->rings, good + 1);
	rings_complete(&t->rings, good);
	rings_complete(&t->rings, good); /* twice */
	assert_int_equal(sent(t), 0);
	assert_int_equal(t->rings.s.count[XSK_BAD_RING], 6);
	assert_int_equal(t->rings.pair.nidle, RING);
	down(t);
}

/* A request is done once, by the answer to it, in whatever order they come. */
static void guest_memory_comes_back_once(void **state)
{
	struct bench *t = up(state, true);
	uint64_t addr[3];

	for (unsigned i = 0; i < 3; i++)
		send_one(t, t->rings.guest + 77, 60); /* the same place each time */
	assert_int_equal(t->rings.s.count[XSK_ZERO_COPY], 3);
	assert_int_equal(sent(t), 0);
	for (unsigned i = 0; i < 3; i++)
		addr[i] = t->rings.pair.tx.desc[i].addr;
	assert_int_not_equal(addr[0], addr[1]);
	*t->rings.pair.tx.consumer = 3;
	rings_complete(&t->rings, addr[2]);
	rings_complete(&t->rings, addr[2]);
	rings_complete(&t->rings, addr[0]);
	assert_int_equal(sent(t), 2);
	assert_int_equal(t->rings.s.count[XSK_BAD_RING], 1);
	rings_complete(&t->rings, addr[1]);
	assert_int_equal(sent(t), 1);
	assert_int_equal(t->rings.pair.nidle, RING);
	down(t);
}

/* Invalid entries are never completed by some kernels, and answers may be lost: the guest gets its buffers
 * back. */
static void answers_that_never_come(void **state)
{
	struct bench *t = up(state, true);

	for (unsigned i = 0; i < 4; i++)
		send_one(t, t->rings.guest + i * 100, 60);
	*t->rings.pair.tx.consumer = 2;
	while (t->rings.pair.lent)
		assert_true(vio_poller_wait(t->rings.p, 20000) >= 0);
	assert_int_equal(sent(t), 4);
	/* Two are the kernel's still, as copies of what the guest sent. */
	assert_int_equal(t->rings.s.count[XSK_COPIES], 2);
	rings_complete(&t->rings, t->rings.pair.tx.desc[2].addr);
	assert_int_equal(sent(t), 0);
	assert_int_equal(t->rings.s.count[XSK_BAD_RING], 0);
	assert_int_equal(t->rings.pair.nidle, RING - 3);
	down(t);
}

static void a_kernel_that_takes_nothing(void **state)
{
	struct bench *t = up(state, false);

	for (unsigned i = 0; i < RING + 5; i++) {
		send_one(t, t->mem[0], 60);
		assert_int_equal(sent(t), 1);
	}
	assert_int_equal(t->rings.s.count[XSK_SENT], RING);
	assert_int_equal(t->rings.s.count[XSK_DROP_FULL], 5);
	/* One that answers what it has not taken frees no entry. */
	for (unsigned i = 0; i < RING; i++)
		rings_complete(&t->rings, t->rings.pair.tx.desc[i].addr);
	send_one(t, t->mem[0], 60);
	assert_int_equal(sent(t), 1);
	assert_int_equal(t->rings.s.count[XSK_SENT], RING);
	/* And one that claims to have taken more than there was. */
	*t->rings.pair.tx.consumer = RING + 1;
	send_one(t, t->mem[0], 60);
	assert_int_equal(sent(t), 1);
	assert_true(t->rings.pair.gone);
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
