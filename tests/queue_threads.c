/* SPDX-License-Identifier: MIT */
/*
 * Driver and device in two threads that sleep whenever they may: no wake-up is lost
 * (each waits on an eventfd, with event idx on and off). And a guest whose other
 * processor scribbles over rings, tables and buffers all the while does no harm.
 */
#include "queue_pair.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SIZE 16u
#define ROUNDS 60000u
#define PATIENCE_MS 20000 /* a lost wake-up, not a slow machine */

struct pong {
	struct pair p;
	int kick, call;
	bool lost;
};

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void call_driver(void *ctx)
{
	signal_fd(((struct pong *)ctx)->call);
}

/* False: nothing came for long, so a wake-up was lost. */
static bool wait_fd(int fd)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };
	uint64_t n;

	if (poll(&f, 1, PATIENCE_MS) != 1)
		return false;
	return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void *server_main(void *arg)
{
	struct pong *g = arg;
	struct vio_req *r[SIZE];
	unsigned done = 0;

	while (done < ROUNDS && !g->lost) {
		int n = vio_queue_take(g->p.q, r, 1 + done % SIZE);

		if (n > 0) {
			vio_queue_give(g->p.q, r, (unsigned)n);
			vio_queue_flush(g->p.q);
			done += (unsigned)n;
		} else if (n < 0 || (!vio_queue_kicks(g->p.q, true) && !wait_fd(g->kick))) {
			g->lost = done < ROUNDS;
			return NULL;
		} else {
			vio_queue_kicks(g->p.q, false);
		}
	}
	return NULL;
}

static void drive(struct pong *g)
{
	const struct rg_buf b = { RG_AT + RG_DATA, 8, RG_WRITE };
	unsigned posted = 0, done = 0;
	uint32_t len;

	while (done < ROUNDS && !g->lost) {
		uint16_t old = g->p.g.avail_idx;
		bool wrap = g->p.g.avail_wrap;
		unsigned n = 1 + done % 5;

		while (n-- && posted < ROUNDS && rg_post(&g->p.g, &b, 1) >= 0)
			posted++;
		if ((old != g->p.g.avail_idx || wrap != g->p.g.avail_wrap) && rg_must_kick(&g->p.g, old, wrap))
			signal_fd(g->kick);
		while (rg_reap(&g->p.g, &len) >= 0)
			done++;
		if (done < ROUNDS && !rg_listen(&g->p.g) && posted - done > 2 && !wait_fd(g->call))
			g->lost = true;
	}
}

static void nobody_oversleeps(uint64_t features)
{
	struct vio_queue_opts o;
	struct pong g = { .kick = eventfd(0, EFD_CLOEXEC), .call = eventfd(0, EFD_CLOEXEC) };
	pthread_t server;

	ok(rg_open(&g.p.g, features, SIZE));
	o = rg_opts(&g.p.g);
	o.notify = call_driver;
	o.notify_ctx = &g;
	ok(vio_queue_new(&g.p.q, &o));
	assert_int_equal(pthread_create(&server, NULL, server_main, &g), 0);
	drive(&g);
	signal_fd(g.kick);
	pthread_join(server, NULL);
	assert_false(g.lost);
	assert_int_equal(vio_queue_error(g.p.q), 0);
	pair_close(&g.p);
	close(g.kick);
	close(g.call);
}

static void no_wake_up_is_lost_split(void **state)
{
	(void)state;
	nobody_oversleeps(V1);
	nobody_oversleeps(V1 | EVENT_IDX);
}

static void no_wake_up_is_lost_packed(void **state)
{
	(void)state;
	nobody_oversleeps(PACKED);
	nobody_oversleeps(PACKED | EVENT_IDX);
}

#if !defined(VIO__TSAN) /* which would report just what this test is about */
struct scribbler {
	struct ring_guest *g;
	bool stop;
};

/* An address, small numbers, a packed descriptor's second half, or anything. */
static uint64_t scribble(uint64_t seed)
{
	const uint64_t v = seed >> 11;

	switch (seed >> 58 & 7) {
	case 0 ... 2:
		return RG_AT + RG_DATA + v % 4096;
	case 3 ... 4:
		return v & 0x0003000f000f000full;
	case 5 ... 6:
		return v & 0x8087000f00000fffull;
	default:
		return v;
	}
}

/* Flips what lies in memory between sound and senseless, as fast as it can. */
static void *scribbler_main(void *arg)
{
	struct scribbler *s = arg;
	uint64_t seed = 1, *words = (uint64_t *)s->g->base;
	const unsigned areas[] = { 0, RG_DRIVER / 8, RG_DEVICE / 8, RG_DATA / 8 };

	while (!VIO_LOAD(&s->stop)) {
		uint64_t *to = words + areas[seed >> 60 & 3] + (seed >> 40) % (2 * SIZE);

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		*(volatile uint64_t *)to = scribble(seed);
	}
	return NULL;
}

static void touch(const struct vio_req *r)
{
	for (unsigned i = 0; i < (unsigned)r->nout + r->nin; i++) {
		volatile char *p = r->buf[i].iov_base;

		p[0] = p[r->buf[i].iov_len - 1];
	}
}

/* Chains may be nonsense, and the ring may break; whatever is taken lies in guest memory. */
static unsigned serve_scribbled(struct ring_guest *g)
{
	const struct rg_buf b[] = { { RG_AT + RG_DATA, 8, 0 }, { RG_AT + RG_DATA + 8, 64, RG_WRITE } };
	struct vio_queue_opts o = rg_opts(g);
	struct vio_req *r[SIZE];
	struct vio_queue *q;
	unsigned taken = 0;
	int n = 0;

	o.notify = NULL;
	rg_reset(g);
	ok(vio_queue_new(&q, &o));
	for (unsigned i = 0; i < SIZE && n >= 0; i++) {
		rg_post(g, b, 1 + i % 2);
		n = vio_queue_take(q, r, SIZE);
		for (int k = 0; k < n; k++)
			touch(r[k]);
		if (n > 0)
			vio_queue_give(q, r, (unsigned)n);
		vio_queue_flush(q);
		vio_queue_kicks(q, i & 1);
		taken += n > 0 ? (unsigned)n : 0;
	}
	assert_true(vio_queue_inflight(q) == 0);
	vio_queue_free(q);
	return taken;
}

static void scribbling_does_no_harm(void **state)
{
	static const uint64_t formats[] = { V1 | INDIRECT | EVENT_IDX, PACKED | INDIRECT | EVENT_IDX };

	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		struct ring_guest g;
		struct scribbler s = { .g = &g };
		unsigned taken = 0;
		pthread_t t;

		ok(rg_open(&g, formats[f], SIZE));
		assert_int_equal(pthread_create(&t, NULL, scribbler_main, &s), 0);
		for (unsigned i = 0; i < 1500; i++)
			taken += serve_scribbled(&g);
		VIO_STORE(&s.stop, true);
		pthread_join(t, NULL);
		print_message("%u chains taken\n", taken);
		assert_true(taken > 0);
		rg_close(&g);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_wake_up_is_lost_split),
		cmocka_unit_test(no_wake_up_is_lost_packed),
#if !defined(VIO__TSAN)
		cmocka_unit_test(scribbling_does_no_harm),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
