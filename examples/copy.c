/* SPDX-License-Identifier: MIT */
/*
 * Copies one backend stack to another: encrypts, decrypts and converts images,
 * and shows how lanes are driven without a queue.
 *
 * Each slot is one chunk under way. It goes through the states below by itself,
 * so as many chunks are read and written at once as there are slots.
 */
#include <virtio-offload.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum state {
	IDLE,	 /* no chunk */
	READING, /* the source is filling here */
	READ,	 /* waits for room in the destination's lane */
	SECOND,	 /* copying: here goes to the destination. Verifying: the destination fills there */
};

struct slot {
	enum state state;
	uint64_t offset, len;
	char *here, *there;
};

struct end {
	const char *stack;
	struct vio_backend *backend;
	struct vio_backend_info info;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
};

struct copy {
	struct end from, to;
	struct vio_scope *scope;
	struct vio_poller *poller;
	struct vio_mem *mem;
	struct slot *slots;
	unsigned depth;
	uint64_t chunk;
	bool verify, quiet;
	/* One pass over the store: first to copy, then to compare. */
	bool comparing;
	uint64_t next, done;
};

#define GUEST_BASE 0x100000 /* where the buffers seem to lie; any address will do */

static int fail(const char *what)
{
	fprintf(stderr, "copy: %s: %s\n", what, vio_errmsg());
	return -1;
}

/* Hands one request down; false: no room now. */
static bool issue(struct end *e, enum vio_op op, struct slot *s, char *data)
{
	struct vio_req *r;

	if (!vio_lane_room(e->lane))
		return false;
	r = vio_req_get(e->pool);
	if (!r)
		return false;
	r->op = op;
	if (s) {
		r->offset = s->offset;
		r->len = s->len;
		r->iov[0] = (struct iovec){ data, s->len };
		r->niov = 1;
	}
	r->user = (uintptr_t)s;
	vio_lane_submit(e->lane, &r, 1);
	return true;
}

static bool start_chunk(struct copy *c, struct slot *s)
{
	s->offset = c->next;
	s->len = c->from.info.size - c->next < c->chunk ? c->from.info.size - c->next : c->chunk;
	if (!s->len || !issue(&c->from, VIO_OP_READ, s, s->here))
		return false;
	c->next += s->len;
	s->state = READING;
	return true;
}

/* Starts what can be started; true if anything was. */
static bool start(struct copy *c)
{
	bool any = false;

	for (unsigned i = 0; i < c->depth; i++) {
		struct slot *s = &c->slots[i];

		if (s->state == READ && issue(&c->to, c->comparing ? VIO_OP_READ : VIO_OP_WRITE, s,
					      c->comparing ? s->there : s->here)) {
			s->state = SECOND;
			any = true;
		}
		if (s->state == IDLE)
			any |= start_chunk(c, s);
	}
	return any;
}

static int finish_chunk(struct copy *c, struct slot *s)
{
	if (s->state == READING) {
		s->state = READ;
		return 0;
	}
	s->state = IDLE;
	c->done += s->len;
	if (c->comparing && memcmp(s->here, s->there, s->len)) {
		fprintf(stderr, "copy: %s and %s differ between bytes %llu and %llu\n", c->from.stack,
			c->to.stack, (unsigned long long)s->offset, (unsigned long long)(s->offset + s->len));
		return -1;
	}
	return 0;
}

/* Takes back what has completed: 1 if there was any, 0, or -1 after an error. */
static int collect(struct copy *c, struct end *e)
{
	struct vio_req *r[32];
	unsigned n = vio_lane_reap(e->lane, r, 32);
	int rc = n > 0;

	for (unsigned i = 0; i < n; i++) {
		struct slot *s = (struct slot *)(uintptr_t)r[i]->user;

		if (r[i]->res < 0) {
			fprintf(stderr, "copy: %s: byte %llu: %s\n", e->stack,
				(unsigned long long)r[i]->offset, strerror(-r[i]->res));
			rc = -1;
		} else if (s && finish_chunk(c, s)) {
			rc = -1;
		}
		vio_req_put(e->pool, r[i]);
	}
	return rc;
}

static void progress(const struct copy *c, bool last)
{
	if (!c->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s %3u %%%s", c->comparing ? "comparing" : "copying  ",
			(unsigned)(c->done * 100 / c->from.info.size), last ? "\n" : "");
}

static int pass(struct copy *c)
{
	c->next = c->done = 0;
	while (c->done < c->from.info.size) {
		int from = collect(c, &c->from), to = collect(c, &c->to);

		if (from < 0 || to < 0)
			return -1;
		/* An end without I/O (ram) completes at once: wait only when nothing moved. */
		if (!start(c) && !from && !to) {
			progress(c, false);
			if (vio_poller_wait(c->poller, 500) < 0)
				return fail("waiting");
		}
	}
	progress(c, true);
	return 0;
}

static int flush(struct copy *c)
{
	int rc;

	if (!(c->to.info.ops & 1u << VIO_OP_FLUSH))
		return 0;
	issue(&c->to, VIO_OP_FLUSH, NULL, NULL);
	while (!(rc = collect(c, &c->to)))
		if (vio_poller_wait(c->poller, 500) < 0)
			return fail("waiting");
	return rc < 0 ? -1 : 0;
}

static int open_end(struct copy *c, struct end *e)
{
	VIO_OPTS(vio_lane_opts, lane, .mem = c->mem);

	if (vio_lane_new(&e->lane, e->backend, c->poller, &lane) ||
	    vio_req_pool_new(&e->pool, e->lane, c->depth, 1))
		return fail(e->stack);
	return 0;
}

static int parse_end(struct copy *c, struct end *e)
{
	e->info.sz = sizeof(e->info);
	if (vio_backend_parse(&e->backend, c->scope, e->stack) || vio_backend_info(e->backend, &e->info))
		return fail(e->stack);
	return 0;
}

static int check_sizes(const struct copy *c)
{
	const struct vio_backend_info *from = &c->from.info, *to = &c->to.info;

	if (to->read_only) {
		fprintf(stderr, "copy: %s is read-only, expected a destination that can be written\n",
			c->to.stack);
		return -1;
	}
	if (to->size < from->size || from->size % to->block) {
		fprintf(stderr, "copy: %s has %llu bytes in blocks of %u, expected room for the %llu of %s\n",
			c->to.stack, (unsigned long long)to->size, to->block, (unsigned long long)from->size,
			c->from.stack);
		return -1;
	}
	if (c->chunk % from->block || c->chunk % to->block) {
		fprintf(stderr, "copy: --chunk is %llu, expected a multiple of the blocks, %u and %u bytes\n",
			(unsigned long long)c->chunk, from->block, to->block);
		return -1;
	}
	return 0;
}

static int prepare(struct copy *c)
{
	char *buffers;

	c->slots = calloc(c->depth, sizeof(*c->slots));
	if (!c->slots || vio_mem_alloc(&c->mem, GUEST_BASE, 2 * c->depth * c->chunk) ||
	    vio_poller_new(&c->poller, NULL))
		return fail("set-up");
	buffers = vio_mem_ptr(c->mem, GUEST_BASE, 2 * c->depth * c->chunk);
	for (unsigned i = 0; i < c->depth; i++) {
		c->slots[i].here = buffers + 2 * i * c->chunk;
		c->slots[i].there = c->slots[i].here + c->chunk;
	}
	return open_end(c, &c->from) || open_end(c, &c->to) ? -1 : 0;
}

static int run(struct copy *c)
{
	if (pass(c) || flush(c))
		return -1;
	c->comparing = true;
	return c->verify ? pass(c) : 0;
}

static void help(void)
{
	const struct vio_backend_type *t;

	puts("usage: copy [OPTIONS] SOURCE DESTINATION\n"
	     "\n"
	     "Copies one backend stack to another. The destination must exist and be at least as large.\n"
	     "\n"
	     "  --verify      read both again and compare\n"
	     "  --depth N     chunks under way at once: 1..1024 (32)\n"
	     "  --chunk KIB   size of a chunk: 4..4096 (128)\n"
	     "  --quiet       no progress\n"
	     "\n"
	     "Encrypt an image, then look into it:\n"
	     "  truncate -r plain.raw secret.raw\n"
	     "  copy --verify file:plain.raw 'file:secret.raw | crypt:keyfile=disk.key'\n"
	     "  copy 'file:secret.raw | crypt:keyfile=disk.key' file:plain-again.raw\n"
	     "\n"
	     "Stack elements, an end first, then what lies on top of it:");
	for (unsigned i = 0; (t = vio_backend_type_at(i)); i++)
		printf("  %-12s %s\n", vio_backend_type_name(t), vio_backend_type_help(t));
}

static int number(const char *option, const char *text, unsigned min, unsigned max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || *out < min || *out > max) {
		fprintf(stderr, "copy: --%s %s: expected a number from %u to %u\n", option, text, min, max);
		return -1;
	}
	return 0;
}

static int options(struct copy *c, int argc, char **argv)
{
	static const struct option known[] = {
		{ "verify", no_argument, NULL, 'v' },	   { "quiet", no_argument, NULL, 'q' },
		{ "depth", required_argument, NULL, 'd' }, { "chunk", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },	   { NULL, 0, NULL, 0 }
	};
	uint64_t depth = 32, kib = 128;
	int o;

	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (o == 'h') {
			help();
			exit(0);
		}
		if (o == '?' || (o == 'd' && number("depth", optarg, 1, 1024, &depth)) ||
		    (o == 'c' && number("chunk", optarg, 4, 4096, &kib)))
			return -1;
		c->verify |= o == 'v';
		c->quiet |= o == 'q';
	}
	if (argc - optind != 2) {
		fprintf(stderr,
			"copy: %d stacks given, expected a source and a destination; see copy --help\n",
			argc - optind);
		return -1;
	}
	c->depth = (unsigned)depth;
	c->chunk = kib * 1024;
	c->from.stack = argv[optind];
	c->to.stack = argv[optind + 1];
	return 0;
}

static void release(struct copy *c)
{
	vio_req_pool_free(c->to.pool);
	vio_req_pool_free(c->from.pool);
	vio_lane_free(c->to.lane);
	vio_lane_free(c->from.lane);
	vio_poller_free(c->poller);
	vio_mem_free(c->mem);
	vio_backend_free(c->to.backend);
	vio_backend_free(c->from.backend);
	vio_scope_free(c->scope);
	free(c->slots);
}

int main(int argc, char **argv)
{
	static struct copy c;

	if (options(&c, argc, argv))
		return 2;
	if (vio_scope_new(&c.scope) || parse_end(&c, &c.from) || parse_end(&c, &c.to) || check_sizes(&c) ||
	    prepare(&c)) {
		release(&c);
		return 2;
	}
	if (run(&c))
		return 1; /* requests may be under way: their buffers stay until the process has ended */
	release(&c);
	return 0;
}
