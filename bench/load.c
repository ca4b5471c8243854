/* SPDX-License-Identifier: MIT */
/*
 * The load generator: drives one vhost-user-blk server, ours or another's, over the
 * vhost_user backend from one thread that polls, and says how fast it was.
 *
 *     load --socket S [--op randread|read|randwrite|write|verify|fill|idle] [--qd 32]
 *          [--block 4096] [--seconds 1 | --requests N] [--warmup 0.1] [--packed on]
 *          [--queue-size N] [--event]
 *
 * Prints one JSON object. `fill` writes a pattern over the whole disk once, and
 * `verify` reads at random and checks every word of it.
 */
#include <virtio-offload.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_QD 1024
#define SUB 16 /* histogram buckets a power of two */

enum load_op { OP_RANDREAD, OP_READ, OP_RANDWRITE, OP_WRITE, OP_VERIFY, OP_FILL, OP_IDLE };

static const char *const op_names[] = { "randread", "read", "randwrite", "write", "verify", "fill", "idle" };

struct load {
	const char *socket, *packed;
	enum load_op op;
	unsigned qd, block, queue_size;
	double seconds, warmup;
	uint64_t requests; /* 0: by time */
	bool event;

	struct vio_backend *backend;
	struct vio_poller *poller;
	struct vio_mem *mem;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	char *data;
	uint64_t blocks, cursor, seed;

	uint64_t issued, completed, failed, wrong;
	uint64_t buckets[64 * SUB], sum_ns, max_ns;
};

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, vio_errmsg());
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t load_random(struct load *l)
{
	l->seed ^= l->seed << 13;
	l->seed ^= l->seed >> 7;
	l->seed ^= l->seed << 17;
	return l->seed;
}

/* The pattern: each word tells its own offset. */
static void pattern_fill(uint64_t *w, uint64_t offset, size_t bytes)
{
	for (size_t i = 0; i < bytes / 8; i++)
		w[i] = (offset + 8 * i) ^ 0x5851f42d4c957f2dull;
}

#ifndef __clang__ /* which makes a vector loop of it anyway */
__attribute__((optimize("O3")))
#endif
static bool pattern_ok(const uint64_t *w, uint64_t offset, size_t bytes)
{
	uint64_t wrong = 0;

	for (size_t i = 0; i < bytes / 8; i++)
		wrong |= w[i] ^ (offset + 8 * i) ^ 0x5851f42d4c957f2dull;
	return !wrong;
}

static void load_open(struct load *l)
{
	VIO_OPTS(vio_poller_opts, po, .mode = l->event ? VIO_POLL_EVENT : VIO_POLL_BUSY);
	VIO_OPTS(vio_lane_opts, lo, 0);
	struct vio_backend_info info = { .sz = sizeof(info) };
	struct vio_mem_region region;
	char stack[512];

	snprintf(stack, sizeof(stack), "vhost_user:%s,queue-size=%u,packed=%s", l->socket, l->queue_size,
		 l->packed);
	if (vio_poller_new(&l->poller, &po) || vio_backend_parse(&l->backend, NULL, stack) ||
	    vio_backend_info(l->backend, &info) || vio_mem_alloc(&l->mem, 0, (uint64_t)l->qd * l->block))
		die(l->socket);
	lo.mem = l->mem;
	if (vio_lane_new(&l->lane, l->backend, l->poller, &lo) ||
	    vio_req_pool_new(&l->pool, l->lane, l->qd, 1) || vio_mem_get(l->mem, 0, &region))
		die(l->socket);
	l->data = region.ptr;
	memset(l->data, 1, (size_t)l->qd * l->block);
	l->blocks = info.size / l->block;
	if (!l->blocks)
		die("the disk is smaller than a block");
	if (vio_lane_room(l->lane) < l->qd)
		die("the queue is too small for that depth; --queue-size asks for more");
	if (l->op == OP_FILL)
		l->requests = l->blocks;
}

static void load_close(struct load *l)
{
	vio_req_pool_free(l->pool);
	vio_lane_free(l->lane);
	vio_backend_free(l->backend);
	vio_poller_free(l->poller);
	vio_mem_free(l->mem);
}

/* The next request in r, which keeps its buffer. */
static void load_prepare(struct load *l, struct vio_req *r)
{
	bool sequential = l->op == OP_READ || l->op == OP_WRITE || l->op == OP_FILL;
	uint64_t block = sequential ? l->cursor++ % l->blocks
				    : (uint64_t)((unsigned __int128)load_random(l) * l->blocks >> 64);

	r->offset = block * l->block;
	if (l->op == OP_FILL)
		pattern_fill(r->iov[0].iov_base, r->offset, l->block);
	l->issued++;
}

static unsigned load_bucket(uint64_t ns)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(ns | 1);

	return log * SUB + (log >= 4 ? (unsigned)(ns >> (log - 4)) & (SUB - 1) : 0);
}

/* Counts what came back; user holds when it was sent. */
static void load_account(struct load *l, struct vio_req *r, uint64_t now)
{
	uint64_t ns = now - r->user;

	l->completed++;
	l->failed += r->res != 0;
	if (l->op == OP_VERIFY && !pattern_ok(r->iov[0].iov_base, r->offset, l->block))
		l->wrong++;
	l->buckets[load_bucket(ns)]++;
	l->sum_ns += ns;
	if (ns > l->max_ns)
		l->max_ns = ns;
}

static void load_reset_counts(struct load *l)
{
	l->completed = l->sum_ns = l->max_ns = 0;
	memset(l->buckets, 0, sizeof(l->buckets));
}

static unsigned load_fill_queue(struct load *l)
{
	struct vio_req *r[MAX_QD];
	bool write = l->op == OP_RANDWRITE || l->op == OP_WRITE || l->op == OP_FILL;
	unsigned n = 0;

	while (n < l->qd && (!l->requests || l->issued < l->requests)) {
		r[n] = vio_req_get(l->pool);
		r[n]->op = write ? VIO_OP_WRITE : VIO_OP_READ;
		r[n]->len = l->block;
		r[n]->niov = 1;
		r[n]->iov[0] = (struct iovec){ l->data + (size_t)n * l->block, l->block };
		r[n]->user = now_ns();
		load_prepare(l, r[n]);
		n++;
	}
	vio_lane_submit(l->lane, r, n);
	return n;
}

/* One turn: takes what is done and sends as many anew, unless it is time to stop. */
static unsigned load_turn(struct load *l, bool stop, uint64_t *now)
{
	struct vio_req *r[MAX_QD];
	unsigned n = vio_lane_reap(l->lane, r, MAX_QD), again = 0;

	if (!n)
		return 0;
	*now = now_ns();
	for (unsigned i = 0; i < n; i++) {
		load_account(l, r[i], *now);
		if (stop || (l->requests && l->issued >= l->requests)) {
			vio_req_put(l->pool, r[i]);
			continue;
		}
		load_prepare(l, r[i]);
		r[i]->user = *now;
		r[again++] = r[i];
	}
	if (again)
		vio_lane_submit(l->lane, r, again);
	return n - again;
}

/* Runs until `end` or until all requests are done; returns how many are still out. */
static unsigned load_run(struct load *l, unsigned out, uint64_t end, bool stop)
{
	uint64_t now = now_ns();

	for (uint64_t turn = 1; out && now < end; turn++) {
		if (l->event)
			vio_poller_wait(l->poller, 100);
		out -= load_turn(l, stop, &now);
		if (!(turn & 1023)) {
			vio_poller_run(l->poller, 0); /* sees a server that went away */
			now = now_ns();
		}
	}
	return out;
}

static double load_percentile(const struct load *l, double p)
{
	uint64_t seen = 0, want = (uint64_t)(p * (double)l->completed);

	for (unsigned i = 0; i < 64 * SUB; i++) {
		unsigned log = i / SUB;

		seen += l->buckets[i];
		if (seen > want)
			return (double)(1ull << log) * (1 + (i % SUB + 0.5) / SUB) / 1000;
	}
	return 0;
}

struct load_counter {
	const char *name;
	uint64_t value;
};

static void load_stat(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	struct load_counter *c = ctx;

	(void)layer;
	if (!strcmp(counter, c->name))
		c->value = value;
}

static uint64_t load_counter(struct load *l, const char *name)
{
	struct load_counter c = { name, 0 };

	vio_backend_stats(l->backend, load_stat, &c);
	return c.value;
}

static void load_print(struct load *l, double seconds, uint64_t kicks)
{
	double n = l->completed ? (double)l->completed : 1;

	printf("{\"op\": \"%s\", \"qd\": %u, \"block\": %u, \"seconds\": %.6f, \"ios\": %" PRIu64
	       ", \"iops\": %.1f, \"mean_us\": %.3f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f, "
	       "\"kicks\": %" PRIu64 ", \"kicks_per_io\": %.6f, \"bounced\": %" PRIu64
	       ", \"failed\": %" PRIu64 ", \"wrong\": %" PRIu64 "}\n",
	       op_names[l->op], l->qd, l->block, seconds, l->completed, n / seconds,
	       (double)l->sum_ns / n / 1000, load_percentile(l, 0.5), load_percentile(l, 0.99),
	       (double)l->max_ns / 1000, kicks, (double)kicks / n, load_counter(l, "bounced"), l->failed,
	       l->wrong);
}

static void load_measure(struct load *l)
{
	unsigned out = load_fill_queue(l);
	uint64_t t0 = now_ns(), kicks;
	double seconds;

	if (!l->requests) {
		out = load_run(l, out, t0 + (uint64_t)(l->warmup * 1e9), false);
		load_reset_counts(l);
	}
	kicks = load_counter(l, "kicks");
	t0 = now_ns();
	out = load_run(l, out, l->requests ? UINT64_MAX : t0 + (uint64_t)(l->seconds * 1e9), false);
	seconds = (double)(now_ns() - t0) / 1e9;
	load_print(l, seconds, load_counter(l, "kicks") - kicks);
	if (load_run(l, out, now_ns() + 5000000000u, true)) {
		fprintf(stderr, "load: %u requests were not answered within 5 s\n", out);
		exit(1);
	}
}

static void load_idle(struct load *l)
{
	printf("{\"op\": \"idle\"}\n");
	fflush(stdout);
	usleep((useconds_t)(l->seconds * 1e6));
}

static enum load_op load_parse_op(const char *name)
{
	for (unsigned i = 0; i < sizeof(op_names) / sizeof(op_names[0]); i++)
		if (!strcmp(name, op_names[i]))
			return (enum load_op)i;
	fprintf(stderr, "load: unknown --op %s; there are: randread read randwrite write verify fill idle\n",
		name);
	exit(2);
}

static void load_args(struct load *l, int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", 1, NULL, 's' }, { "op", 1, NULL, 'o' },	 { "qd", 1, NULL, 'q' },
		{ "block", 1, NULL, 'b' },  { "seconds", 1, NULL, 't' }, { "requests", 1, NULL, 'n' },
		{ "warmup", 1, NULL, 'w' }, { "packed", 1, NULL, 'p' },	 { "queue-size", 1, NULL, 'z' },
		{ "event", 0, NULL, 'e' },  { NULL, 0, NULL, 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
		switch (c) {
		case 's':
			l->socket = optarg;
			break;
		case 'o':
			l->op = load_parse_op(optarg);
			break;
		case 'q':
			l->qd = (unsigned)atoi(optarg);
			break;
		case 'b':
			l->block = (unsigned)atoi(optarg);
			break;
		case 't':
			l->seconds = atof(optarg);
			break;
		case 'n':
			l->requests = strtoull(optarg, NULL, 0);
			break;
		case 'w':
			l->warmup = atof(optarg);
			break;
		case 'p':
			l->packed = optarg;
			break;
		case 'z':
			l->queue_size = (unsigned)atoi(optarg);
			break;
		case 'e':
			l->event = true;
			break;
		default:
			exit(2);
		}
	}
	if (!l->socket || !l->qd || l->qd > MAX_QD || l->block < 512 || l->block % 512 || optind < argc) {
		fprintf(stderr, "load: expected --socket PATH, --qd 1..%d, --block a multiple of 512\n",
			MAX_QD);
		exit(2);
	}
	while (l->queue_size / 3 < l->qd)
		l->queue_size *= 2;
}

int main(int argc, char **argv)
{
	struct load l = { .op = OP_RANDREAD,
			  .qd = 32,
			  .block = 4096,
			  .queue_size = 128,
			  .seconds = 1,
			  .warmup = 0.1,
			  .packed = "off",
			  .seed = 0x9e3779b97f4a7c15ull };

	load_args(&l, argc, argv);
	load_open(&l);
	if (l.op == OP_IDLE)
		load_idle(&l);
	else
		load_measure(&l);
	load_close(&l);
	return l.failed || l.wrong;
}
