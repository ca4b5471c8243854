/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* the registers' names in ucontext.h */
/*
 * A server that dies at any moment loses nothing and does nothing twice, thanks to the inflight region.
 * Each state of the memory that it shares with its driver is tried; and a child serves while the parent
 * drives it and kills it, over and over.
 */
#include "mortal_deaths.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH 8u
#define LIVES 40u

/* One pass of a server: takes some, gives some in any order, flushes now and then. */
static bool server_pass(struct mortal *s, struct vio_queue *q, struct vio_req **r, unsigned *n)
{
	int have = vio_queue_take(q, r + *n, 1 + mortal_dice(s, BATCH));

	if (have < 0)
		return false;
	*n += (unsigned)have;
	for (unsigned i = mortal_dice(s, BATCH); i && *n; i--)
		mortal_give(q, r, n, mortal_dice(s, *n));
	if (mortal_dice(s, 3))
		vio_queue_flush(q);
	if (!have)
		sched_yield(); /* there may be one processor for two */
	return true;
}

static void server_run(struct mortal *s)
{
	struct vio_queue *q = mortal_server(s);
	struct vio_req *r[2 * MORTAL_MAX];
	unsigned n = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!q)
		_exit(1);
	while (server_pass(s, q, r, &n))
		;
	_exit(2);
}

static pid_t server_fork(struct mortal *s)
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

/* Drives the server until it has answered `answers` more requests. */
static void live(struct mortal *s, pid_t pid, unsigned answers)
{
	uint64_t until = s->b.done + answers;
	siginfo_t info = { 0 };

	for (unsigned i = 0; s->b.done < until; i++) {
		uint64_t done = s->b.done;

		mortal_post(s);
		mortal_reap(s);
		if (s->b.done == done)
			sched_yield();
		if (i % 1024)
			continue;
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
		if (info.si_pid)
			break; /* server_kill says what is wrong */
	}
}

static void killed_at_random(uint64_t features, unsigned size)
{
	struct mortal s;

	mortal_open(&s, features, size, true);
	for (unsigned life = 0; life < LIVES; life++) {
		pid_t pid = server_fork(&s);

		live(&s, pid, mortal_dice(&s, 500));
		server_kill(pid);
		mortal_reap(&s);
	}
	mortal_succeed(&s);
	print_message("%llu requests over %u lives\n", (unsigned long long)s.b.done, LIVES);
	mortal_close(&s);
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
	struct mortal s;
	unsigned n;

	mortal_open(&s, features, 16, true);
	q = mortal_server(&s);
	for (unsigned i = 0; i < 8; i++)
		if (!mortal_post(&s))
			break;
	n = (unsigned)vio_queue_take(q, r, 4);
	assert_int_equal(n, 4);
	mortal_give(q, r, &n, 1);
	vio_queue_flush(q);	  /* tag 1 is done */
	mortal_give(q, r, &n, 0); /* tag 0 is not: never flushed */
	vio_queue_free(q);
	mortal_reap(&s);
	assert_int_equal(s.b.done, 1);
	q = mortal_server(&s);
	assert_true(vio_queue_kicks(q, true)); /* nobody will kick for these */
	assert_int_equal(vio_queue_take(q, r, 16), 3);
	assert_int_equal(*(uint64_t *)r[0]->buf[0].iov_base, 0);
	assert_int_equal(*(uint64_t *)r[1]->buf[0].iov_base, 2);
	assert_int_equal(*(uint64_t *)r[2]->buf[0].iov_base, 3);
	vio_queue_untake(q, r + 1, 2);
	assert_int_equal(vio_queue_take(q, r + 1, 1), 1);
	assert_int_equal(*(uint64_t *)r[1]->buf[0].iov_base, 2);
	vio_queue_free(q);
	mortal_succeed(&s);
	mortal_close(&s);
}

static void what_was_in_flight_comes_first(void **state)
{
	(void)state;
	resumes_in_order(V1);
	resumes_in_order(PACKED);
}

/* In order, what comes from the region has its place in the ring too, also after it was put back. */
static void resumes_and_gives(uint64_t features)
{
	struct vio_req *r[16];
	struct vio_queue *q;
	struct mortal s;
	unsigned n;

	mortal_open(&s, features, 16, true);
	q = mortal_server(&s);
	for (unsigned i = 0; i < 5; i++)
		assert_true(mortal_post(&s));
	assert_int_equal(vio_queue_take(q, r, 5), 5);
	vio_queue_free(q);
	q = mortal_server(&s);
	assert_int_equal(vio_queue_take(q, r, 4), 4);
	vio_queue_untake(q, r + 2, 2);
	assert_int_equal(vio_queue_take(q, r + 2, 14), 3);
	for (n = 5; n;)
		mortal_give(q, r, &n, n - 1);
	vio_queue_flush(q);
	mortal_reap(&s);
	assert_int_equal(s.b.done, 5);
	vio_queue_free(q);
	mortal_succeed(&s);
	mortal_close(&s);
}

static void what_was_in_flight_keeps_its_order(void **state)
{
	(void)state;
	resumes_and_gives(V1 | IN_ORDER);
	resumes_and_gives(PACKED | IN_ORDER);
}

static void life(struct vio_queue *q)
{
	struct vio_req *r[2 * MORTAL_MAX];
	unsigned n = (unsigned)vio_queue_take(q, r, 5);

	while (n > 1)
		mortal_give(q, r, &n, n / 2);
	vio_queue_flush(q);
	n += (unsigned)vio_queue_take(q, r + n, MORTAL_MAX);
	while (n)
		mortal_give(q, r, &n, n / 3);
	vio_queue_publish(q);
	n = (unsigned)vio_queue_take(q, r, 5);
	if (n)
		vio_queue_untake(q, r + n - 1, 1);
	vio_queue_kicks(q, true);
	vio_queue_flush(q);
}

static void dies_everywhere(uint64_t features, unsigned size)
{
	unsigned n = 0;

	for (unsigned at = 0; at < 2 * size; at += 1 + size / 3) {
		struct vio_queue *q;
		struct mortal s;

		mortal_open(&s, features, size, true);
		q = mortal_server(&s);
		mortal_advance(&s, q, at);
		vio_queue_free(q);
		mortal_fill(&s);
		n += mortal_everywhere(&s, life);
		mortal_close(&s);
	}
	print_message("features %#llx, size %u: %u deaths\n", (unsigned long long)features, size, n);
}

static void death_anywhere_is_harmless(void **state)
{
	(void)state;
	if (!WATCHED_STEPS)
		skip();
	dies_everywhere(V1, 8);
	dies_everywhere(V1 | IN_ORDER, 4);
	dies_everywhere(PACKED, 7);
	dies_everywhere(PACKED | IN_ORDER, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_in_flight_comes_first),
		cmocka_unit_test(what_was_in_flight_keeps_its_order),
		cmocka_unit_test(killed_servers_lose_nothing_split),
		cmocka_unit_test(killed_servers_lose_nothing_packed),
		cmocka_unit_test(death_anywhere_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
