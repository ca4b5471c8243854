/* SPDX-License-Identifier: MIT */
/*
 * Two ways to a namespace, each better or worse from time to time: the better is used, commands that one
 * refuses are done by the other, and no change is waited out in vain or loses anything.
 */
#include "disk_client.h"
#include "fake_target.h"

#define OPT NVME_ANA_STATE_OPTIMIZED
#define NON NVME_ANA_STATE_NONOPTIMIZED
#define INACCESSIBLE NVME_ANA_STATE_INACCESSIBLE
#define LOSS NVME_ANA_STATE_PERSISTENT_LOSS
#define CHANGE NVME_ANA_STATE_CHANGE

static struct target a, b;

static int start(void **state)
{
	(void)state;
	target_start(&a);
	target_start(&b);
	free(b.disk);
	b.disk = a.disk;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	b.disk = NULL;
	target_stop(&b);
	target_stop(&a);
	return 0;
}

static const char *both(const char *more)
{
	static char text[256];

	snprintf(text, sizeof(text), "nvme-tcp:127.0.0.1:%u+127.0.0.1:%u,nqn=" TARGET_NQN "%s", a.port,
		 b.port, more);
	return text;
}

static void states(int of_a, int of_b)
{
	TARGET_SET(a.ana, of_a);
	TARGET_SET(b.ana, of_b);
}

static void await(struct client *c, const unsigned *what, unsigned n)
{
	for (unsigned i = 0; i < 2000 && TARGET_GET(*what) < n; i++)
		vio_poller_wait(c->poller, 5);
	assert_true(TARGET_GET(*what) >= n);
}

static void submit_writes(struct client *c, unsigned n)
{
	struct vio_req *r[64];

	assert_true(vio_lane_room(c->lane) >= n);
	for (unsigned i = 0; i < n; i++)
		r[i] = client_req(c, VIO_OP_WRITE, i * 4096, c->shared + i * 4096, 4096);
	vio_lane_submit(c->lane, r, n);
}

static void finish_all(struct client *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(client_finish(c), 0);
}

/* Commands that the other target has had. */
static unsigned unused(bool is_b)
{
	return is_b ? TARGET_GET(a.io) : TARGET_GET(b.io);
}

static void the_better_one_is_used(void **state)
{
	static const struct {
		int a, b;
		bool is_b;
	} want[] = {
		{ OPT, OPT, false },	     { NON, OPT, true },	   { OPT, NON, false },
		{ INACCESSIBLE, NON, true }, { NON, INACCESSIBLE, false }, { CHANGE, OPT, true },
		{ LOSS, OPT, true },	     { 0, INACCESSIBLE, false },   { INACCESSIBLE, 0, true },
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(want); i++) {
		struct client c;
		unsigned io;

		states(want[i].a, want[i].b);
		io = unused(want[i].is_b);
		client_open(&c, both(""));
		assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
		assert_int_equal(unused(want[i].is_b), io);
		client_close(&c);
	}
}

/* What the path that gets worse has taken and not answered is done by the other, after that was stopped. */
static void an_event_moves_all_that_is_under_way(void **state)
{
	struct client c;

	(void)state;
	states(OPT, OPT);
	client_open(&c, both(""));
	memset(c.shared, 0x5a, CLIENT_MEM);
	TARGET_SET(a.hold, 1);
	submit_writes(&c, 32);
	await(&c, &a.io, 32);
	target_ana(&a, INACCESSIBLE);
	finish_all(&c, 32);
	assert_memory_equal(b.disk, c.shared, 32 * 4096);
	assert_int_equal(TARGET_GET(a.resets), 1);
	assert_int_equal(TARGET_GET(a.writes), 0);
	assert_int_equal(TARGET_GET(b.writes), 32);
	assert_int_equal(client_stat(&c, "moved"), 1);
	assert_int_equal(client_stat(&c, "completed"), 32);
	client_close(&c);
}

static void a_refusal_without_an_event_moves_too(void **state)
{
	struct client c;

	(void)state;
	states(OPT, NON);
	client_open(&c, both(""));
	memset(c.shared, 0x77, CLIENT_MEM);
	TARGET_SET(a.ana, INACCESSIBLE);
	submit_writes(&c, 32);
	finish_all(&c, 32);
	assert_memory_equal(b.disk, c.shared, 32 * 4096);
	assert_int_equal(TARGET_GET(a.writes), 0);
	assert_int_equal(TARGET_GET(b.writes), 32);
	assert_true(client_stat(&c, "refused") >= 1);
	assert_int_equal(client_stat(&c, "errors"), 0);
	client_close(&c);
}

/* There is one path only, for which commands wait. */
static void a_change_is_waited_out(void **state)
{
	struct client c;

	(void)state;
	states(OPT, OPT);
	client_open(&c, target_stack(&a, ""));
	memset(c.shared, 0x31, CLIENT_MEM);
	TARGET_SET(a.ana, CHANGE);
	submit_writes(&c, 16);
	await(&c, &a.io, 32); /* tried again */
	assert_int_equal(TARGET_GET(a.writes), 0);
	target_ana(&a, OPT);
	finish_all(&c, 16);
	assert_memory_equal(a.disk, c.shared, 16 * 4096);
	assert_int_equal(TARGET_GET(a.writes), 16);
	assert_int_equal(client_stat(&c, "reconnects"), 0);
	assert_int_equal(client_stat(&c, "moved"), 0);
	client_close(&c);
}

/* A transition that takes longer than it may (1 s) is left for the other path. */
static void a_change_is_not_waited_for_ever(void **state)
{
	struct client c;

	(void)state;
	states(OPT, NON);
	client_open(&c, both(""));
	TARGET_SET(a.ana, CHANGE);
	submit_writes(&c, 16);
	finish_all(&c, 16);
	assert_int_equal(TARGET_GET(a.writes), 0);
	assert_int_equal(TARGET_GET(b.writes), 16);
	client_close(&c);
}

/* No path can be used; one that can is found although the one that is held to says nothing. */
static void a_path_that_comes_back_is_found(void **state)
{
	struct client c;

	(void)state;
	states(INACCESSIBLE, INACCESSIBLE);
	client_open(&c, both(""));
	memset(c.shared, 0x12, CLIENT_MEM);
	submit_writes(&c, 16);
	await(&c, &a.io, 16);
	TARGET_SET(b.ana, NON);
	finish_all(&c, 16);
	assert_int_equal(TARGET_GET(a.writes), 0);
	assert_memory_equal(b.disk, c.shared, 16 * 4096);
	client_close(&c);
}

static void nothing_is_waited_for_ever(void **state)
{
	struct client c;

	(void)state;
	states(INACCESSIBLE, LOSS);
	client_open(&c, both(",timeout=1"));
	submit_writes(&c, 16);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(client_finish(&c), -EIO);
	target_ana(&a, OPT);
	for (unsigned i = 0; i < 500 && client_do(&c, VIO_OP_READ, 0, c.shared, 4096); i++)
		vio_poller_wait(c.poller, 10);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	client_close(&c);
}

/* The better path goes away: the worse will do, and commands that were lost with the one are done by the
 * other. */
static void a_worse_path_is_used_when_the_better_is_lost(void **state)
{
	struct client c;

	(void)state;
	states(OPT, NON);
	client_open(&c, both(""));
	memset(c.shared, 0x66, CLIENT_MEM);
	TARGET_SET(a.hold, 1);
	submit_writes(&c, 32);
	await(&c, &a.io, 32);
	TARGET_SET(a.closed, 1);
	target_cut(&a);
	finish_all(&c, 32);
	assert_memory_equal(b.disk, c.shared, 32 * 4096);
	assert_int_equal(TARGET_GET(b.writes), 32);
	/* It returns, and the other gets worse. */
	TARGET_SET(a.hold, 0);
	TARGET_SET(a.closed, 0);
	target_ana(&b, INACCESSIBLE);
	await(&c, &b.resets, 1);
	submit_writes(&c, 32);
	finish_all(&c, 32);
	assert_int_equal(TARGET_GET(a.writes), 32);
	client_close(&c);
}

/* States change all the time, and each write is stored by one of the two. */
static void paths_that_change_all_the_time(void **state)
{
	static const int all[] = { OPT, INACCESSIBLE, NON, CHANGE };
	struct client c;

	(void)state;
	states(OPT, OPT);
	client_open(&c, both(""));
	for (unsigned round = 1; round <= 24; round++) {
		target_ana(&a, all[round % 4]);
		target_ana(&b, all[(round / 2 + 2) % 4] == all[round % 4] ? OPT : all[(round / 2 + 2) % 4]);
		if (all[round % 4] > NON)
			TARGET_SET(b.ana, OPT);
		memset(c.shared, (int)round, CLIENT_MEM);
		submit_writes(&c, 16);
		finish_all(&c, 16);
		assert_memory_equal(a.disk, c.shared, 16 * 4096);
	}
	assert_int_equal(client_stat(&c, "errors"), 0);
	assert_int_equal(client_stat(&c, "completed"), 24 * 16);
	client_close(&c);
}

/* More groups than fit into one answer. */
static void a_long_log_page_is_read_in_parts(void **state)
{
	struct client c;

	(void)state;
	states(NON, OPT);
	a.ana_before = 300;
	client_open(&c, both(""));
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	assert_int_equal(TARGET_GET(a.io), 0);
	assert_true(TARGET_GET(a.ana_logs) >= 3);
	client_close(&c);
}

static void absurd_log_pages(void **state)
{
	static const enum target_lie lies[] = { LIE_ANA_NO_GROUP, LIE_ANA_LONG, LIE_ANA_SHORT,
						LIE_ANA_REFUSED };
	struct vio_backend *backend;
	struct client c;

	(void)state;
	states(OPT, OPT);
	a.ana_before = 3;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++) {
		target_lie(&a, lies[i], -1);
		assert_true(vio_backend_parse(&backend, NULL, target_stack(&a, "")) < 0);
		target_lie(&a, HONEST, 0);
		/* In the midst of it: the association ends, and the next may be better. */
		client_open(&c, target_stack(&a, ""));
		for (unsigned k = 0; k < 1000 && !target_is_asked(&a); k++)
			vio_poller_wait(c.poller, 5);
		target_lie(&a, lies[i], 1);
		target_ana(&a, OPT);
		for (unsigned k = 0; k < 1000 && TARGET_GET(a.lies); k++)
			vio_poller_wait(c.poller, 5);
		assert_int_equal(TARGET_GET(a.lies), 0);
		assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
		client_close(&c);
	}
}

/* It goes on for longer than it is listened to; a state that is none is as bad as inaccessible. */
static void more_groups_than_are_listened_to(void **state)
{
	struct vio_backend *backend;
	struct client c;

	(void)state;
	states(OPT, OPT);
	target_lie(&a, LIE_ANA_ENDLESS, -1);
	assert_int_equal(vio_backend_parse(&backend, NULL, target_stack(&a, "")), -EPROTO);
	assert_true(TARGET_GET(a.ana_logs) <= 65535 / 127 + 1);
	target_lie(&a, LIE_ANA_STATE, -1);
	client_open(&c, both(""));
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	assert_int_equal(TARGET_GET(a.io), 0);
	client_close(&c);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(the_better_one_is_used),
		TEST(an_event_moves_all_that_is_under_way),
		TEST(a_refusal_without_an_event_moves_too),
		TEST(a_change_is_waited_out),
		TEST(a_change_is_not_waited_for_ever),
		TEST(a_path_that_comes_back_is_found),
		TEST(nothing_is_waited_for_ever),
		TEST(a_worse_path_is_used_when_the_better_is_lost),
		TEST(paths_that_change_all_the_time),
		TEST(a_long_log_page_is_read_in_parts),
		TEST(absurd_log_pages),
		TEST(more_groups_than_are_listened_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
