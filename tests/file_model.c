/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a file, 32 at once on parts that do not overlap, against a model in
 * memory: buffered and direct, aligned and not, on both engines, on a disk's file system and on tmpfs.
 */
#include "file.h"

#define SIZE (4u << 20)
#define DEPTH 32u
#define PART (SIZE / DEPTH) /* each request in flight keeps to its own */
#define BLOCK 4096u
#define OPS 1000

struct model {
	struct disk d;
	unsigned char *want, *buf; /* the file; the requests' memory, PART and a little for each */
	struct vio_req *at[DEPTH]; /* in flight, by part */
	bool odd;		   /* misaligned memory */
};

static unsigned char *model_buf(struct model *m, unsigned part)
{
	return m->buf + part * (PART + BLOCK) + (m->odd ? 3 : 0);
}

/* In up to 5 pieces that do not touch in memory order: entry i lies where entry n-1-i would. */
static void model_iov(struct model *m, struct vio_req *r, unsigned char *buf)
{
	unsigned blocks = (unsigned)(r->len / BLOCK), n = 1 + (unsigned)random() % (blocks < 5 ? blocks : 5);
	uint64_t left = r->len;

	r->niov = (uint16_t)n;
	for (unsigned i = 0; i < n; i++) {
		size_t len = i + 1 < n ? blocks / n * BLOCK : left;

		left -= len;
		r->iov[i] = (struct iovec){ buf + left, len };
	}
	if (m->odd && n > 1) { /* and border on each other at an odd place */
		r->iov[0].iov_len -= 5;
		r->iov[1].iov_len += 5;
		r->iov[0].iov_base = buf + r->len - r->iov[0].iov_len;
		r->iov[1].iov_base = (char *)r->iov[0].iov_base - r->iov[1].iov_len;
	}
}

static void model_gather(const struct vio_req *r, unsigned char *to)
{
	for (unsigned i = 0; i < r->niov; i++) {
		memcpy(to, r->iov[i].iov_base, r->iov[i].iov_len);
		to += r->iov[i].iov_len;
	}
}

/* Each 512 bytes differ from all others, each byte from those that it could be mistaken for. */
static void model_fill(unsigned char *buf, uint64_t len)
{
	for (uint64_t i = 0; i < len; i += 512) {
		uint32_t stamp = (uint32_t)random();

		for (unsigned k = 0; k < 512; k++)
			buf[i + k] = (unsigned char)((stamp >> (k % 4 * 8)) + k);
	}
}

static void model_start(struct model *m, unsigned part)
{
	static const enum vio_op ops[] = { VIO_OP_READ,	 VIO_OP_READ,	      VIO_OP_WRITE,
					   VIO_OP_WRITE, VIO_OP_WRITE_ZEROES, VIO_OP_FLUSH };
	struct vio_req *r = vio_req_get(m->d.pool);
	unsigned first = (unsigned)random() % (PART / BLOCK);
	unsigned char *buf = model_buf(m, part);

	r->op = (uint8_t)ops[(unsigned)random() % 6];
	r->flags = (uint8_t)((unsigned)random() % 4); /* FUA, UNMAP */
	r->offset = part * PART + first * BLOCK;
	r->len = (1 + (unsigned)random() % (PART / BLOCK - first)) * (uint64_t)BLOCK;
	r->user = part;
	if (r->op == VIO_OP_READ || r->op == VIO_OP_WRITE)
		model_iov(m, r, buf);
	model_fill(buf, r->len);
	if (r->op == VIO_OP_WRITE)
		model_gather(r, m->want + r->offset);
	if (r->op == VIO_OP_WRITE_ZEROES)
		memset(m->want + r->offset, 0, r->len);
	m->at[part] = r;
	vio_lane_submit(m->d.l, &r, 1);
}

static unsigned model_reap(struct model *m)
{
	static unsigned char got[PART];
	struct vio_req *r[DEPTH];
	unsigned n = vio_lane_reap(m->d.l, r, DEPTH);

	for (unsigned i = 0; i < n; i++) {
		assert_ptr_equal(m->at[r[i]->user], r[i]); /* each comes back once */
		m->at[r[i]->user] = NULL;
		assert_int_equal(r[i]->res, 0);
		if (r[i]->op == VIO_OP_READ) {
			model_gather(r[i], got);
			assert_memory_equal(got, m->want + r[i]->offset, r[i]->len);
		}
		vio_req_put(m->d.pool, r[i]);
	}
	return n;
}

static void model_run(struct model *m)
{
	unsigned started = 0, ended = 0;

	while (ended < OPS) {
		for (unsigned part = 0; part < DEPTH && started < OPS; part++)
			if (!m->at[part]) {
				model_start(m, part);
				started++;
			}
		assert_true(vio_poller_wait(m->d.p, 1000) >= 0);
		ended += model_reap(m);
	}
}

static void model_check_file(struct model *m)
{
	unsigned char *got = malloc(SIZE);
	int fd = open(m->d.path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, got, SIZE), SIZE);
	assert_memory_equal(got, m->want, SIZE);
	close(fd);
	free(got);
}

static void model_test(struct vio_poller *p, const char *dir, const char *options, bool odd)
{
	struct model m = { .odd = odd };

	disk_image(&m.d, dir, SIZE);
	if (disk_try(&m.d, options)) { /* direct I/O where there is none */
		print_message("%s\n", vio_errmsg());
		assert_non_null(strstr(options, "direct"));
		disk_remove(&m.d);
		return;
	}
	disk_lane(&m.d, p, NULL);
	m.want = calloc(1, SIZE);
	assert_int_equal(posix_memalign((void **)&m.buf, BLOCK, DEPTH * (PART + BLOCK)), 0);
	srandom(odd + 11);
	model_run(&m);
	if (odd && strstr(options, "direct"))
		assert_true(disk_count(&m.d, "bounced") > 0 || !strcmp(dir, "/dev/shm"));
	else
		assert_int_equal(disk_count(&m.d, "bounced"), 0);
	model_check_file(&m);
	free(m.want);
	free(m.buf);
	disk_remove(&m.d);
}

static void buffered(void **state)
{
	model_test(poller_from(state), ".", "", false);
	model_test(poller_from(state), ".", "", true);
}

static void direct(void **state)
{
	model_test(poller_from(state), ".", ",direct=on,block=4096", false);
	model_test(poller_from(state), ".", ",direct=on,block=4096", true);
}

static void on_tmpfs(void **state)
{
	model_test(poller_from(state), "/dev/shm", "", false);
	model_test(poller_from(state), "/dev/shm", ",direct=on", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = { BOTH(buffered), BOTH(direct), BOTH(on_tmpfs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
