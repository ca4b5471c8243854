/* SPDX-License-Identifier: MIT */
/*
 * A server killed with kill -9 under load, again and again: the next one continues
 * from the inflight region. A shadow model knows what each block must hold, so that
 * a request lost, done twice or done late is seen.
 */
#define _GNU_SOURCE /* memfd_create, seals */
#include "tiny_guest.h"
#include "scratch.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define BLOCKS 256u
#define DEPTH 48u /* requests under way at a time: at least 32 when the server dies */
#define KILLS 40u

struct slot {
	bool write;
	uint64_t block, generation;
};

struct run {
	struct front f;
	struct guest_queue q;
	char image[64];
	pid_t server;
	int inflight; /* the region's descriptor, kept over all servers */
	struct vu_inflight geometry;
	uint64_t shadow[BLOCKS]; /* generation each block must hold; 0: never written */
	bool claimed[BLOCKS];	 /* a request for it is under way */
	struct slot slots[GUEST_SLOTS];
	uint64_t generation, completed;
};

/*
 * The kernel keeps a dead process's ring, and with it the image's lock, until the
 * I/O under way has ended: only then may a successor write.
 */
static int open_image(struct vio_backend **b, const char *image)
{
	char stack[128];
	int err;

	snprintf(stack, sizeof(stack), "file:%s", image);
	while ((err = vio_backend_parse(b, NULL, stack)) == -EBUSY)
		poll(NULL, 0, 1);
	return err;
}

static void server_main(int fd, const char *image, pid_t parent)
{
	VIO_OPTS(vio_vhost_user_opts, o, .fd = fd);
	struct vio_vhost_user *t;
	struct vio_backend *b;
	struct vio_poller *p;
	struct vio_dev *d;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (vio_poller_new(&p, NULL) || open_image(&b, image) ||
	    vio_dev_new(&d, vio_dev_blk(), b, "queue-size=256") || vio_vhost_user_new(&t, p, d, &o)) {
		fprintf(stderr, "server: %s\n", vio_errmsg());
		_exit(1);
	}
	while (vio_poller_wait(p, -1) >= 0)
		;
	_exit(1);
}

static void server_start(struct run *r)
{
	pid_t self = getpid();
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	r->server = fork();
	assert_true(r->server >= 0);
	if (!r->server) {
		close(s[0]);
		server_main(s[1], r->image, self);
	}
	close(s[1]);
	r->f.s = s[0];
}

static void server_kill(struct run *r)
{
	int status;

	assert_int_equal(kill(r->server, SIGKILL), 0);
	assert_int_equal(waitpid(r->server, &status, 0), r->server);
	assert_true(WIFSIGNALED(status)); /* it had not died by itself */
	close(r->f.s);
}

/* What a front end does after a reconnect: with packed rings it has nothing but the first base to offer. */
static uint32_t reconnect_base(struct run *r)
{
	return r->q.packed ? guest_new_base(&r->q)
			   : *(uint16_t *)(r->f.mem + guest_at(&r->q, GUEST_DEVICE) + 2);
}

static void plug_in(struct run *r)
{
	front_greet(&r->f, FRONT_PF | FRONT_V1 | (r->q.packed ? FRONT_PACKED : 0));
	if (r->inflight < 0) {
		struct vu_inflight in = { .queues = 1, .queue_size = r->q.size };
		struct vu_msg m = front_ask(&r->f, VU_GET_INFLIGHT_FD, &in, sizeof(in));

		assert_int_equal(m.nfds, 1);
		r->inflight = m.fds[0];
		r->geometry = m.p.inflight;
	}
	assert_int_equal(
		front_ack(&r->f, VU_SET_INFLIGHT_FD, &r->geometry, sizeof(r->geometry), &r->inflight, 1), 0);
	assert_int_equal(front_give_memory(&r->f), 0);
	guest_queue_start(&r->q, reconnect_base(r));
}

static void post_one(struct run *r, unsigned slot)
{
	struct slot *s = &r->slots[slot];
	uint64_t block;

	do
		block = (uint64_t)random() % BLOCKS;
	while (r->claimed[block]);
	r->claimed[block] = true;
	*s = (struct slot){ .write = random() % 4 != 0, .block = block };
	if (s->write) {
		s->generation = ++r->generation;
		guest_pattern(guest_data(&r->q, slot), block, s->generation);
	} else {
		memset(guest_data(&r->q, slot), 0x5a, GUEST_BLOCK);
	}
	guest_post(&r->q, slot, s->write, block);
}

static void refill(struct run *r)
{
	for (unsigned i = 0; i < DEPTH; i++)
		if (!r->q.busy[i])
			post_one(r, i);
	guest_kick(&r->q);
}

static void check_one(struct run *r, unsigned slot)
{
	static uint8_t want[GUEST_BLOCK] __attribute__((aligned(8)));
	struct slot *s = &r->slots[slot];

	assert_int_equal(guest_status(&r->q, slot), 0);
	r->claimed[s->block] = false;
	r->completed++;
	if (s->write) {
		r->shadow[s->block] = s->generation;
		return;
	}
	if (r->shadow[s->block])
		guest_pattern(want, s->block, r->shadow[s->block]);
	else
		memset(want, 0, sizeof(want));
	assert_memory_equal(guest_data(&r->q, slot), want, GUEST_BLOCK);
}

/* Waits for the server, unless something has completed already. */
static void reap_some(struct run *r)
{
	struct pollfd p = { .fd = r->q.call, .events = POLLIN };
	uint64_t count;
	int slot;
	bool any = false;

	while ((slot = guest_reap(&r->q)) >= 0) {
		check_one(r, (unsigned)slot);
		any = true;
	}
	if (any)
		return;
	assert_int_equal(waitpid(r->server, NULL, WNOHANG), 0);
	if (poll(&p, 1, 1) == 1 && read(r->q.call, &count, sizeof(count)) < 0)
		assert_int_equal(errno, EAGAIN);
}

static void drain(struct run *r)
{
	while (r->q.inflight)
		reap_some(r);
}

/* Keeps the queue full until `more` further requests have completed; 0: kills it right away. */
static void work(struct run *r, uint64_t more)
{
	uint64_t until = r->completed + more;

	refill(r);
	while (r->completed < until) {
		reap_some(r);
		refill(r);
	}
}

static void verify_all(struct run *r)
{
	for (unsigned block = 0; block < BLOCKS; block++) {
		r->slots[0] = (struct slot){ .block = block };
		guest_post(&r->q, 0, false, block);
		guest_kick(&r->q);
		drain(r);
	}
}

static void run_start(struct run *r, bool packed)
{
	int fd;

	*r = (struct run){ .f = { .s = -1, .memfd = -1 }, .inflight = -1 };
	strcpy(r->image, "/tmp/vio-restart-XXXXXX");
	fd = mkstemp(r->image);
	assert_true(fd >= 0);
	scratch_forget(r->image);
	assert_int_equal(ftruncate(fd, BLOCKS * GUEST_BLOCK), 0);
	close(fd);
	srandom(packed ? 7 : 42);
	front_memory(&r->f);
	guest_queue_init(&r->q, &r->f, 0, packed);
	server_start(r);
	plug_in(r);
}

static void run_end(struct run *r)
{
	server_kill(r);
	guest_queue_close(&r->q);
	close(r->inflight);
	munmap(r->f.mem, FRONT_MEM);
	close(r->f.memfd);
	unlink(r->image);
}

static void kill_again_and_again(bool packed)
{
	struct run r;

	run_start(&r, packed);
	for (unsigned i = 0; i < KILLS; i++) {
		work(&r, i % 8 ? (uint64_t)random() % 400 : 0);
		assert_true(r.q.inflight >= 32);
		if (i % 3 == 1) /* at some other point of its loop */
			poll(NULL, 0, (int)(random() % 2));
		server_kill(&r);
		server_start(&r);
		if (i % 5 == 4) { /* and once more before it could say a word */
			server_kill(&r);
			server_start(&r);
		}
		plug_in(&r);
	}
	drain(&r);
	verify_all(&r);
	run_end(&r);
}

static void split_nothing_is_lost_or_doubled(void **state)
{
	(void)state;
	kill_again_and_again(false);
}

static void packed_nothing_is_lost_or_doubled(void **state)
{
	(void)state;
	kill_again_and_again(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_nothing_is_lost_or_doubled),
		cmocka_unit_test(packed_nothing_is_lost_or_doubled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
