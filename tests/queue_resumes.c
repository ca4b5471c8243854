/* SPDX-License-Identifier: MIT */
/*
 * A server that dies at any moment loses nothing and does nothing twice: a child
 * serves rings in shared memory, the parent drives them and kills the child, over
 * and over; then a debugger stops it at one instruction after the other.
 */
#include "queue_pair.h"

#include "queue/inflight.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOT 64u
#define BATCH 8u
#if defined(__SANITIZE_ADDRESS__) || defined(VIO__TSAN)
#define STRIDE 499u /* instrumented code has many more places to die at, and stepping is slow */
#define FLUSH_STRIDE 251u
#define LIVES 30u
#else
#define STRIDE 59u
#define FLUSH_STRIDE 7u
#define LIVES 80u
#endif

struct shared {
	struct ring_guest g; /* the parent's books; the child uses what lies in shared memory only */
	void *region;
	size_t region_size;
	uint64_t seed;
	uint64_t next_tag, done;
	uint64_t *tag_of; /* by id */
};

static unsigned dice(struct shared *s, unsigned n)
{
	s->seed = s->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(s->seed >> 33) % n;
}

static void *share(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void open_shared(struct shared *s, uint64_t features, unsigned size, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	ok(rg_open(&s->g, features, size));
	s->seed = seed;
	s->region_size = vio_queue_inflight_size(features, size);
	s->region = share(s->region_size);
	s->tag_of = calloc(size, sizeof(*s->tag_of));
}

static void close_shared(struct shared *s)
{
	munmap(s->region, s->region_size);
	free(s->tag_of);
	rg_close(&s->g);
}

/* A chain that carries its tag, in 1 to 3 descriptors; the server answers with the tag. */
static bool post_tag(struct shared *s)
{
	unsigned n = 1 + dice(s, 3);
	struct rg_buf b[3];
	int id;

	if (n > s->g.room)
		n = s->g.room;
	if (!n || s->g.nfree < n)
		return false;
	for (unsigned i = 0; i < n; i++)
		b[i] = (struct rg_buf){ RG_AT + RG_DATA + SLOT * s->g.free[s->g.nfree - 1] + 16 * i, 16,
					RG_WRITE };
	*(uint64_t *)rg_ptr(&s->g, b[0].addr) = s->next_tag;
	id = rg_post(&s->g, b, n);
	assert_true(id >= 0);
	s->tag_of[id] = s->next_tag++;
	return true;
}

static void reap_tags(struct shared *s)
{
	uint32_t len;
	int id;

	while ((id = rg_reap(&s->g, &len)) >= 0) {
		assert_int_equal(len, s->tag_of[id] % 100000); /* the answer to what was asked in this slot */
		s->done++;
	}
	assert_int_equal(id, -1); /* never one that is not out: nothing is done twice */
}

static struct vio_queue *server_open(struct shared *s)
{
	struct vio_queue_opts o = rg_opts(&s->g);
	struct vio_queue *q;
	/* What a front end says to a new server: where the used ring stands. */
	struct vio_queue_state state = { .avail_wrap = 1, .used_wrap = 1 };

	o.notify = NULL;
	o.inflight = s->region;
	o.inflight_size = s->region_size;
	o.state = s->g.packed ? &state : NULL;
	if (vio_queue_new(&q, &o))
		return NULL;
	return q;
}

static void server_give(struct vio_queue *q, struct vio_req **r, unsigned *n, unsigned at)
{
	struct vio_req *one = r[at];

	one->written = (uint32_t)(*(uint64_t *)one->buf[0].iov_base % 100000);
	r[at] = r[--*n];
	vio_queue_give(q, &one, 1);
}

/* One pass of a server: takes some, gives some in any order, flushes now and then. */
static bool server_pass(struct shared *s, struct vio_queue *q, struct vio_req **r, unsigned *n)
{
	int have = vio_queue_take(q, r + *n, 1 + dice(s, BATCH));

	if (have < 0)
		return false;
	*n += (unsigned)have;
	for (unsigned i = dice(s, BATCH); i && *n; i--)
		server_give(q, r, n, dice(s, *n));
	if (dice(s, 3))
		vio_queue_flush(q);
	return true;
}

static void server_run(struct shared *s)
{
	struct vio_queue *q = server_open(s);
	struct vio_req *r[256];
	unsigned n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!q)
		_exit(1);
	while (server_pass(s, q, r, &n))
		;
	_exit(2);
}

static pid_t server_fork(struct shared *s)
{
	pid_t pid;

	s->seed += 12345;
	fflush(NULL);
	pid = fork();
	if (!pid)
		server_run(s);
	assert_true(pid > 0);
	return pid;
}

static void server_kill(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("the server ended by itself with %d: 1 no queue, 2 ring broken",
			 WEXITSTATUS(status));
}

/* All that was posted comes back once a server may finish. */
static void finish(struct shared *s)
{
	struct vio_queue *q = server_open(s);
	struct vio_req *r[256];
	unsigned n = 0;
	int have = 0;

	if (!q)
		fail_msg("%s", vio_errmsg());
	do {
		have = vio_queue_take(q, r + n, 1);
		ok(have);
		n += (unsigned)have;
		while (n)
			server_give(q, r, &n, 0);
		vio_queue_flush(q);
		reap_tags(s);
	} while (have || s->done < s->next_tag);
	vio_queue_free(q);
	assert_int_equal(s->done, s->next_tag);
}

/* Drives the server until it has answered `answers` more requests. */
static void live(struct shared *s, pid_t pid, unsigned answers)
{
	uint64_t until = s->done + answers;
	siginfo_t info = { 0 };

	for (unsigned i = 0; s->done < until; i++) {
		post_tag(s);
		reap_tags(s);
		if (i % 1024)
			continue;
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
		if (info.si_pid)
			break; /* server_kill says what is wrong */
	}
}

static void killed_at_random(uint64_t features, unsigned size)
{
	struct shared s;

	open_shared(&s, features, size, size);
	for (unsigned life = 0; life < LIVES; life++) {
		pid_t pid = server_fork(&s);

		live(&s, pid, dice(&s, 500));
		server_kill(pid);
		reap_tags(&s);
	}
	finish(&s);
	print_message("%llu requests over %u lives\n", (unsigned long long)s.done, LIVES);
	close_shared(&s);
}

static void killed_servers_lose_nothing_split(void **state)
{
	(void)state;
	killed_at_random(V1, 64);
	killed_at_random(V1 | IN_ORDER, 16);
}

static void killed_servers_lose_nothing_packed(void **state)
{
	(void)state;
	killed_at_random(PACKED, 64);
	killed_at_random(PACKED, 29);
	killed_at_random(PACKED | IN_ORDER, 16);
}

/* What was taken and not seen used by the driver comes again, oldest first, before anything else. */
static void resumes_in_order(uint64_t features)
{
	struct vio_req *r[16];
	struct vio_queue *q;
	struct shared s;
	unsigned n;

	open_shared(&s, features, 16, 3);
	q = server_open(&s);
	for (unsigned i = 0; i < 8; i++)
		if (!post_tag(&s))
			break;
	n = (unsigned)vio_queue_take(q, r, 4);
	assert_int_equal(n, 4);
	server_give(q, r, &n, 1);
	vio_queue_flush(q);	  /* tag 1 is done */
	server_give(q, r, &n, 0); /* tag 0 is not: never flushed */
	vio_queue_free(q);
	reap_tags(&s);
	assert_int_equal(s.done, 1);
	q = server_open(&s);
	assert_true(vio_queue_kicks(q, true)); /* nobody will kick for these */
	assert_int_equal(vio_queue_take(q, r, 16), 3);
	assert_int_equal(*(uint64_t *)r[0]->buf[0].iov_base, 0);
	assert_int_equal(*(uint64_t *)r[1]->buf[0].iov_base, 2);
	assert_int_equal(*(uint64_t *)r[2]->buf[0].iov_base, 3);
	vio_queue_untake(q, r + 1, 2);
	assert_int_equal(vio_queue_take(q, r + 1, 1), 1);
	assert_int_equal(*(uint64_t *)r[1]->buf[0].iov_base, 2);
	vio_queue_free(q);
	finish(&s);
	close_shared(&s);
}

static void what_was_in_flight_comes_first(void **state)
{
	(void)state;
	resumes_in_order(V1);
	resumes_in_order(PACKED);
}

/* The debugger counts instructions from here. */
static void scene_begins(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
}

/* One take, give and flush; what is left is given, and more is taken. */
static void pass_scene(struct shared *s)
{
	struct vio_queue *q = server_open(s);
	struct vio_req *r[16];
	unsigned n = 0;
	int have;

	scene_begins();
	have = vio_queue_take(q, r, 16);
	n = have > 0 ? (unsigned)have : 0;
	while (n > 1)
		server_give(q, r, &n, n / 2);
	vio_queue_flush(q);
	while (n)
		server_give(q, r, &n, 0);
	have = vio_queue_take(q, r, 16);
	vio_queue_flush(q);
	_exit(0);
}

/* All that the ring holds is one batch. */
static void flush_scene(struct shared *s)
{
	struct vio_queue *q = server_open(s);
	struct vio_req *r[16];
	int have = vio_queue_take(q, r, 16);
	unsigned n = have > 0 ? (unsigned)have : 0;

	have = vio_queue_take(q, r + n, 16 - n); /* first came what was in flight */
	n += have > 0 ? (unsigned)have : 0;
	while (n)
		server_give(q, r, &n, 0);
	scene_begins();
	vio_queue_flush(q);
	_exit(0);
}

/*
 * Runs the scene up to its instruction `stop` and ends it there: that death must be as
 * harmless as any other. False if it has fewer.
 */
static bool scene_up_to(struct shared *s, void (*scene)(struct shared *s), unsigned stop)
{
	bool more = true;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		scene(s);
	waitpid(pid, &status, 0);
	while (stop-- && more) {
		ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
		waitpid(pid, &status, 0);
		more = WIFSTOPPED(status);
	}
	if (more) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return more;
}

static bool tracing_works(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (!WIFSTOPPED(status))
		return false;
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return true;
}

/* Lives one after another, each `stride` instructions longer than the one before. */
static void killed_at_each_place(uint64_t features, unsigned size, void (*scene)(struct shared *s),
				 unsigned stride)
{
	struct shared s;
	unsigned stop = 0;

	open_shared(&s, features, size, 7);
	do {
		while (s.g.room && post_tag(&s))
			;
		stop += stride;
	} while (scene_up_to(&s, scene, stop) && stop < 6000 && (reap_tags(&s), true));
	reap_tags(&s);
	finish(&s);
	print_message("died at %u places, %u instructions apart\n", stop / stride, stride);
	close_shared(&s);
}

static void death_at_any_instruction_is_harmless(void **state)
{
	(void)state;
	if (!tracing_works()) {
		print_message("no child can be traced here\n");
		skip();
	}
	killed_at_each_place(V1, 16, pass_scene, STRIDE);
	killed_at_each_place(PACKED, 13, pass_scene, STRIDE);
	killed_at_each_place(V1, 16, flush_scene, FLUSH_STRIDE);
	killed_at_each_place(PACKED, 13, flush_scene, FLUSH_STRIDE);
	killed_at_each_place(PACKED | IN_ORDER, 4, flush_scene, FLUSH_STRIDE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_in_flight_comes_first),
		cmocka_unit_test(killed_servers_lose_nothing_split),
		cmocka_unit_test(killed_servers_lose_nothing_packed),
		cmocka_unit_test(death_at_any_instruction_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
