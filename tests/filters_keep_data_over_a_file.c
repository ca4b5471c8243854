/* SPDX-License-Identifier: MIT */
/*
 * All filters at once over a real file, many requests under way, some late, with both
 * engines of the poller: what is read is what was last written there.
 */
#include "store.h"
#include "keyfile.h"

#define SLOTS 64u
#define SLOT 32768u
#define REQUESTS 32u

struct slot {
	unsigned char data[SLOT]; /* what the disk must hold */
	bool busy;
};

static struct slot slots[SLOTS];
static unsigned char bufs[REQUESTS][SLOT];
static uint64_t rng = 1;

static unsigned roll(unsigned n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(rng >> 33) % n;
}

/* Two entries, cut anywhere. */
static void aim(struct vio_req *r, unsigned char *buf, uint64_t len)
{
	uint64_t cut = 1 + roll((unsigned)len - 1);

	r->iov[0] = (struct iovec){ buf, cut };
	r->iov[1] = (struct iovec){ buf + cut, len - cut };
	r->niov = 2;
}

/* A request on a slot that no other is under way to; its buffer's number in user. */
static bool send(struct stack *s, unsigned buf)
{
	unsigned n = roll(SLOTS), at = roll(8) * 4096;
	struct vio_req *r;

	if (slots[n].busy || !vio_lane_room(s->lane))
		return false;
	slots[n].busy = true;
	r = vio_req_get(s->pool);
	r->user = (uint64_t)n << 32 | buf;
	r->offset = (uint64_t)n * SLOT + at;
	r->len = (1 + roll((SLOT - at) / 4096)) * 4096;
	r->op = (uint8_t[]){ VIO_OP_READ, VIO_OP_READ, VIO_OP_WRITE, VIO_OP_WRITE,
			     VIO_OP_WRITE_ZEROES }[roll(5)];
	if (r->op == VIO_OP_WRITE)
		fill(bufs[buf], r->len, rng);
	if (r->op == VIO_OP_WRITE)
		memcpy(slots[n].data + at, bufs[buf], r->len);
	else if (r->op == VIO_OP_WRITE_ZEROES)
		memset(slots[n].data + at, 0, r->len);
	if (r->op != VIO_OP_WRITE_ZEROES)
		aim(r, bufs[buf], r->len);
	vio_lane_submit(s->lane, &r, 1);
	return true;
}

/* Its buffer's number, free again. */
static unsigned check(struct stack *s, struct vio_req *r)
{
	unsigned n = (unsigned)(r->user >> 32), buf = (unsigned)r->user;

	assert_int_equal(r->res, 0);
	if (r->op == VIO_OP_READ)
		assert_memory_equal(bufs[buf], slots[n].data + r->offset % SLOT, r->len);
	slots[n].busy = false;
	vio_req_put(s->pool, r);
	return buf;
}

static void at_random(struct stack *s, unsigned total)
{
	unsigned idle[REQUESTS], nidle = REQUESTS, done = 0;
	struct vio_req *r;

	for (unsigned i = 0; i < REQUESTS; i++)
		idle[i] = i;
	while (done < total || nidle < REQUESTS) {
		for (unsigned i = 0; i < 8 && done < total && nidle; i++)
			nidle -= send(s, idle[nidle - 1]);
		assert_true(vio_poller_wait(s->poller, 1) >= 0);
		for (; vio_lane_reap(s->lane, &r, 1); done++)
			idle[nidle++] = check(s, r);
	}
}

static void up(struct stack *s, enum vio_poll_engine engine, const char *dir, const char *file_args)
{
	VIO_OPTS(vio_poller_opts, o, .engine = engine);
	char text[512];

	memset(s, 0, sizeof(*s));
	snprintf(text, sizeof(text),
		 "file:%s/disk%s | offset:start=64K | fault:error=delay,delay=1,percent=2,op=any | "
		 "crypt:keyfile=%s/key,sector=4096,bounce=256K | throttle:iops=1000000,iops-burst=50 | "
		 "trace:file=%s/trace",
		 dir, file_args, dir, dir);
	assert_int_equal(vio_poller_new(&s->poller, &o), 0);
	if (vio_backend_parse(&s->top, NULL, text))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_lane_new(&s->lane, s->top, s->poller, NULL), 0);
	assert_int_equal(vio_req_pool_new(&s->pool, s->lane, REQUESTS, 2), 0);
}

static void make(const char *dir, const char *name, const void *data, size_t len, off_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void with(enum vio_poll_engine engine, const char *file_args)
{
	char dir[] = "/tmp/vio-stack-XXXXXX", line[64];
	unsigned char key[64];
	struct stack s;

	fill(key, sizeof(key), 3);
	memset(slots, 0, sizeof(slots));
	assert_non_null(mkdtemp(dir));
	make(dir, "key", key, sizeof(key), sizeof(key));
	make(dir, "disk", "", 0, 65536 + SLOTS * SLOT);
	up(&s, engine, dir, file_args);
	for (unsigned i = 0; i < SLOTS; i++) /* what was never written would be noise */
		assert_int_equal(stack_io(&s, VIO_OP_WRITE_ZEROES, i * SLOT, NULL, SLOT), 0);
	at_random(&s, 3000);
	stack_down(&s);
	up(&s, engine, dir, file_args); /* and it is still there */
	for (unsigned i = 0; i < SLOTS; i++) {
		assert_int_equal(stack_io(&s, VIO_OP_READ, i * SLOT, bufs[0], SLOT), 0);
		assert_memory_equal(bufs[0], slots[i].data, SLOT);
	}
	stack_down(&s);
	snprintf(line, sizeof(line), "rm -r %s", dir);
	assert_int_equal(system(line), 0);
}

static void by_io_uring(void **state)
{
	struct vio_poller *p;

	(void)state;
	if (vio_poller_new(&p, &(struct vio_poller_opts){ .sz = sizeof(struct vio_poller_opts),
							  .engine = VIO_POLL_IO_URING })) {
		print_message("skipped: %s\n", vio_errmsg());
		skip();
	}
	vio_poller_free(p);
	with(VIO_POLL_IO_URING, "");
}

static void by_epoll(void **state)
{
	(void)state;
	with(VIO_POLL_EPOLL, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_io_uring),
		cmocka_unit_test(by_epoll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
