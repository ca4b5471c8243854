/* SPDX-License-Identifier: MIT */
/*
 * What a lane adds to a read: 4 KiB random reads of a file in the page cache, 32 at
 * once, through vio_lane in event mode, beside a bare liburing loop that does nothing else. The two take
 * turns; each pair of turns gives a ratio. bench-file [PATH] [pairs]
 */
#include <virtio-offload.h>

#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DEPTH 32u
#define BLOCK 4096u
#define SIZE (64u << 20)
#define READS 60000u /* a turn */
#define PAIRS_MAX 101

static char *mem; /* DEPTH blocks, registered by both */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-file: %s\n", what);
	exit(2);
}

static uint32_t seed = 1;

static uint64_t somewhere(void)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint64_t)(seed >> 8) % (SIZE / BLOCK) * BLOCK;
}

/* The bare loop: submits what came back, in one call with the wait. */
static double plain_turn(struct io_uring *ring)
{
	uint64_t from = now_ns();
	unsigned started = 0, ended = 0;
	struct io_uring_cqe *cqe;
	unsigned free_slots[DEPTH], nfree = DEPTH, head, n;

	for (unsigned i = 0; i < DEPTH; i++)
		free_slots[i] = i;
	while (ended < READS) {
		while (nfree && started < READS) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
			unsigned slot = free_slots[--nfree];

			io_uring_prep_read_fixed(sqe, 0, mem + slot * BLOCK, BLOCK, somewhere(), 0);
			sqe->flags |= IOSQE_FIXED_FILE;
			sqe->user_data = slot;
			started++;
		}
		io_uring_submit_and_wait(ring, 1);
		n = 0;
		io_uring_for_each_cqe(ring, head, cqe)
		{
			if (cqe->res != BLOCK)
				die("a plain read failed");
			free_slots[nfree++] = (unsigned)cqe->user_data;
			n++;
		}
		io_uring_cq_advance(ring, n);
		ended += n;
	}
	return (double)(now_ns() - from) / READS;
}

struct reader {
	struct vio_poller *p;
	struct vio_lane *l;
	struct vio_req *idle[DEPTH];
	unsigned nidle;
};

static double lane_turn(struct reader *t)
{
	uint64_t from = now_ns();
	unsigned started = 0, ended = 0;
	struct vio_req *r[DEPTH];

	while (ended < READS) {
		unsigned n = 0;

		while (t->nidle && started < READS) {
			r[n] = t->idle[--t->nidle];
			r[n]->offset = somewhere();
			n++, started++;
		}
		vio_lane_submit(t->l, r, n);
		vio_poller_wait(t->p, -1);
		n = vio_lane_reap(t->l, r, DEPTH);
		for (unsigned i = 0; i < n; i++) {
			if (r[i]->res)
				die("a read by the lane failed");
			t->idle[t->nidle++] = r[i];
		}
		ended += n;
	}
	return (double)(now_ns() - from) / READS;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static void image(const char *path)
{
	static char block[1 << 20];
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		die("the image can't be made; is it there already?");
	for (unsigned i = 0; i < SIZE; i += sizeof(block))
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			die("the image can't be filled");
	close(fd);
}

static void plain_open(struct io_uring *ring, const char *path)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };
	struct iovec iov = { mem, DEPTH * BLOCK };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (io_uring_queue_init_params(DEPTH, ring, &params) || io_uring_register_buffers(ring, &iov, 1) ||
	    io_uring_register_files(ring, &fd, 1))
		die("no io_uring here");
}

static void lane_open(struct reader *t, struct vio_backend *b, struct vio_mem *m)
{
	VIO_OPTS(vio_lane_opts, o, .mem = m);
	struct vio_req_pool *pool;

	if (vio_poller_new(&t->p, NULL) || vio_lane_new(&t->l, b, t->p, &o) ||
	    vio_req_pool_new(&pool, t->l, DEPTH, 1))
		die(vio_errmsg());
	for (unsigned i = 0; i < DEPTH; i++) {
		struct vio_req *r = t->idle[t->nidle++] = vio_req_get(pool);

		r->op = VIO_OP_READ;
		r->len = BLOCK;
		r->niov = 1;
		r->iov[0] = (struct iovec){ mem + i * BLOCK, BLOCK };
	}
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "bench-file.raw";
	unsigned pairs = argc > 2 ? (unsigned)atoi(argv[2]) : 15;
	struct vio_mem_region region = { .size = DEPTH * BLOCK };
	double plain[PAIRS_MAX], ours[PAIRS_MAX], ratio[PAIRS_MAX];
	struct vio_poller_stats st = { .sz = sizeof(st) };
	struct reader t = { 0 };
	struct io_uring ring;
	struct vio_backend *b;
	struct vio_mem *m;
	char stack[300];

	if (pairs < 1 || pairs > PAIRS_MAX)
		die("pairs: 1 to 101");
	mem = region.ptr =
		mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	image(path);
	snprintf(stack, sizeof(stack), "file:%s,read-only=on", path);
	if (vio_mem_new(&m, &region, 1, NULL) || vio_backend_parse(&b, NULL, stack))
		die(vio_errmsg());
	plain_open(&ring, path);
	lane_open(&t, b, m);
	unlink(path);
	plain_turn(&ring);
	lane_turn(&t);
	for (unsigned i = 0; i < pairs; i++) {
		if (i % 2) /* A B B A */
			ours[i] = lane_turn(&t), plain[i] = plain_turn(&ring);
		else
			plain[i] = plain_turn(&ring), ours[i] = lane_turn(&t);
		ratio[i] = ours[i] / plain[i];
	}
	vio_poller_stats(t.p, &st);
	printf("4 KiB reads, page cache, qd %u: plain %.0f ns, lane %.0f ns, ratio %.3f (median of %u "
	       "pairs), "
	       "%.4f system calls a read\n",
	       DEPTH, median(plain, pairs), median(ours, pairs), median(ratio, pairs), pairs,
	       (double)st.syscalls / (double)st.ios);
	return 0;
}
