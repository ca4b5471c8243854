/* SPDX-License-Identifier: MIT */
/*
 * hammer STACK LANES DEPTH REQUESTS event|busy [gone]: what a guest runs. Each lane is a thread that writes
 * and reads random blocks of its own share of the store, from memory that lies as it comes, and verifies what
 * it reads. With `gone` the store is expected to go away: then requests may fail, and it goes on until all
 * do.
 */
#include <virtio-offload.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define MOST 16u /* blocks of a request */
#define SLOT (MOST * BLOCK + 2 * BLOCK)
#define MAX_LANES 8
#define FAILURES 200u /* in a row: it is gone */

struct slot {
	struct vio_req *r;
	uint64_t first;
	unsigned n;
	char *data;
};

struct lane {
	pthread_t thread;
	struct vio_backend *b;
	enum vio_poll_mode mode;
	struct vio_poller *p;
	struct vio_lane *l;
	struct vio_mem *mem;
	struct vio_req_pool *pool;
	struct slot *slot;
	uint64_t first, blocks, left;
	uint32_t *version; /* by block; 0: never written */
	uint8_t *busy;
	unsigned depth, under_way, failures;
	uint64_t seed;
	bool gone;
	int result;
};

static void die(const char *what)
{
	fprintf(stderr, "hammer: %s: %s\n", what, vio_errmsg());
	exit(1);
}

static uint32_t dice(struct lane *a, uint32_t n)
{
	a->seed = a->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(a->seed >> 33) % n;
}

static uint64_t word(uint64_t block, uint32_t version, unsigned i)
{
	return (block << 32 | version) * 0x9e3779b97f4a7c15ull + i;
}

static void fill(struct lane *a, struct slot *s)
{
	for (unsigned b = 0; b < s->n; b++) {
		uint32_t version = ++a->version[s->first + b];

		for (unsigned i = 0; i < BLOCK / 8; i++) {
			uint64_t w = word(a->first + s->first + b, version, i);

			memcpy(s->data + b * BLOCK + 8 * i, &w, 8);
		}
	}
}

static bool right(const struct lane *a, const struct slot *s)
{
	for (unsigned b = 0; b < s->n; b++) {
		uint32_t version = a->version[s->first + b];

		for (unsigned i = 0; version && i < BLOCK / 8; i += 1 + i % 7) {
			uint64_t w = word(a->first + s->first + b, version, i);

			if (memcmp(s->data + b * BLOCK + 8 * i, &w, 8))
				return false;
		}
	}
	return true;
}

/* Blocks that nothing under way is about; false: none was found. */
static bool choose(struct lane *a, struct slot *s)
{
	s->n = 1 + dice(a, dice(a, 4) ? 2 : MOST);
	s->first = dice(a, (uint32_t)(a->blocks - s->n));
	for (unsigned b = 0; b < s->n; b++)
		if (a->busy[s->first + b])
			return false;
	memset(a->busy + s->first, 1, s->n);
	return true;
}

static void begin(struct lane *a, struct slot *s, char *memory)
{
	static const uint16_t odd[] = { 0, 0, 0, 0, 512, 1024, 4, 1 };
	uint32_t len, cut;

	if (!choose(a, s))
		return;
	len = s->n * BLOCK;
	s->r = vio_req_get(a->pool);
	s->data = memory + odd[dice(a, 8)];
	s->r->op = dice(a, 2) ? VIO_OP_WRITE : VIO_OP_READ;
	s->r->offset = (a->first + s->first) * BLOCK;
	s->r->len = len;
	s->r->user = (uint64_t)(s - a->slot);
	cut = dice(a, 3) ? len : 512 * (1 + dice(a, len / 512 - 1)); /* in two pieces, at times */
	s->r->niov = cut == len ? 1 : 2;
	s->r->iov[0] = (struct iovec){ s->data, cut };
	s->r->iov[1] = (struct iovec){ s->data + cut, len - cut };
	if (s->r->op == VIO_OP_WRITE)
		fill(a, s);
	if (a->left)
		a->left--;
	a->under_way++;
	vio_lane_submit(a->l, &s->r, 1);
}

static void finish(struct lane *a, struct vio_req *r)
{
	struct slot *s = &a->slot[r->user];

	if (r->res && !a->gone) {
		fprintf(stderr, "hammer: %s of %u blocks at %llu: %d\n",
			r->op == VIO_OP_READ ? "read" : "write", s->n,
			(unsigned long long)(a->first + s->first), r->res);
		a->result = 1;
	} else if (!r->res && r->op == VIO_OP_READ && !right(a, s)) {
		fprintf(stderr, "hammer: wrong data in %u blocks at %llu\n", s->n,
			(unsigned long long)(a->first + s->first));
		a->result = 1;
	}
	a->failures = r->res ? a->failures + 1 : 0;
	memset(a->busy + s->first, 0, s->n);
	vio_req_put(a->pool, r);
	s->r = NULL;
	a->under_way--;
}

static bool done(const struct lane *a)
{
	return a->result || (a->gone ? a->failures >= FAILURES : !a->left);
}

static void set_up(struct lane *a, char **memory)
{
	VIO_OPTS(vio_poller_opts, po, .mode = a->mode);
	VIO_OPTS(vio_lane_opts, lo, 0);
	struct vio_mem_region r;

	if (vio_poller_new(&a->p, &po) || vio_mem_alloc(&a->mem, 0x1000, (uint64_t)a->depth * SLOT) ||
	    vio_mem_get(a->mem, 0, &r))
		die("poller");
	*memory = r.ptr;
	lo.mem = a->mem;
	if (vio_lane_new(&a->l, a->b, a->p, &lo) || vio_req_pool_new(&a->pool, a->l, a->depth, 2))
		die("lane");
	a->slot = calloc(a->depth, sizeof(*a->slot));
	a->version = calloc(a->blocks, sizeof(*a->version));
	a->busy = calloc(a->blocks, 1);
}

static void *work(void *arg)
{
	struct lane *a = arg;
	struct vio_req *r;
	char *memory;

	set_up(a, &memory);
	while (!done(a) || a->under_way) {
		for (unsigned i = 0; i < a->depth && !done(a); i++)
			if (!a->slot[i].r && vio_lane_room(a->l))
				begin(a, &a->slot[i], memory + (size_t)i * SLOT);
		while (vio_lane_reap(a->l, &r, 1))
			finish(a, r);
		if (a->under_way && vio_poller_wait(a->p, 100) < 0)
			die("wait");
	}
	vio_req_pool_free(a->pool);
	vio_lane_free(a->l);
	vio_mem_free(a->mem);
	vio_poller_free(a->p);
	free(a->slot);
	free(a->version);
	free(a->busy);
	return NULL;
}

static void count(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	(void)ctx;
	if (value)
		printf(" %s.%s=%llu", layer, counter, (unsigned long long)value);
}

int main(int argc, char **argv)
{
	struct vio_backend_info info = { .sz = sizeof(info) };
	static struct lane lane[MAX_LANES];
	unsigned n = argc > 5 ? (unsigned)atoi(argv[2]) : 0;
	struct vio_backend *b;
	int result = 0;

	if (!n || n > MAX_LANES) {
		fprintf(stderr, "hammer STACK LANES DEPTH REQUESTS event|busy [gone]\n");
		return 2;
	}
	if (vio_backend_parse(&b, NULL, argv[1]) || vio_backend_info(b, &info))
		die("open");
	printf("hammer: open\n");
	fflush(stdout);
	for (unsigned i = 0; i < n; i++) {
		uint64_t share = info.size / BLOCK / n;

		lane[i] = (struct lane){ .b = b,
					 .mode = strcmp(argv[5], "busy") ? VIO_POLL_EVENT : VIO_POLL_BUSY,
					 .depth = (unsigned)atoi(argv[3]),
					 .left = (uint64_t)atoi(argv[4]),
					 .first = i * share,
					 .blocks = share,
					 .seed = 88172645463325252ull * (i + 1),
					 .gone = argc > 6 };
		if (pthread_create(&lane[i].thread, NULL, work, &lane[i]))
			die("thread");
	}
	for (unsigned i = 0; i < n; i++) {
		pthread_join(lane[i].thread, NULL);
		result |= lane[i].result;
	}
	printf("hammer: %s lanes=%u depth=%s %s:", result ? "FAILED" : "ok", n, argv[3], argv[5]);
	vio_backend_stats(b, count, NULL);
	printf("\n");
	vio_backend_free(b);
	return result;
}
