/* SPDX-License-Identifier: MIT */
/*
 * Two targets in processes of their own serve one file. Each is killed in turn, or the namespace is not
 * reached by it any more, while their host writes: each request completes once and well, and the file holds
 * what was written last.
 */
#include "our_target.h"
#include "writers.h"

static struct our_target a, b;

static int start(void **state)
{
	(void)state;
	our_start_first(&a, WRITER_BLOCKS * STAMP_BLOCK);
	our_start_second(&b, &a);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	our_kill(&b);
	our_stop(&a);
	return 0;
}

static const char *both(void)
{
	static char text[128];

	snprintf(text, sizeof(text), "nvme-tcp:127.0.0.1:%u+127.0.0.1:%u,nqn=" OUR_NQN, a.port, b.port);
	return text;
}

/* The one that was killed last time is there again, and stays down until the next one's turn. */
static void kill_in_turn(void *ctx)
{
	bool *second = ctx;
	struct our_target *now = *second ? &b : &a, *last = *second ? &a : &b;

	if (!last->pid)
		our_fork(last);
	our_kill(now);
	now->pid = 0;
	*second = !*second;
}

/* The namespace is reached by one of them only. */
static void turn(void *ctx)
{
	bool *second = ctx;

	our_state(*second ? &b : &a, VIO_NVME_ANA_OPTIMIZED);
	our_state(*second ? &a : &b, VIO_NVME_ANA_INACCESSIBLE);
	*second = !*second;
}

static void rounds(unsigned every, void (*happens)(void *), bool second, const char *counter)
{
	struct client c;

	client_open(&c, both());
	for (uint64_t round = 1; round <= 4; round++) {
		assert_int_equal(stamp_write(&c, WRITER_BLOCKS, round, every, happens, &second),
				 WRITER_BLOCKS / every);
		stamp_verify(a.image, WRITER_BLOCKS, round);
	}
	assert_int_equal(client_stat(&c, "completed"), 4 * WRITER_BLOCKS);
	assert_int_equal(client_stat(&c, "errors"), 0);
	assert_true(client_stat(&c, counter) >= 4);
	client_close(&c);
}

static void each_is_killed_in_turn(void **state)
{
	(void)state;
	rounds(400, kill_in_turn, false, "reconnects");
	if (!a.pid)
		our_fork(&a);
	if (!b.pid)
		our_fork(&b);
}

static void each_is_inaccessible_in_turn(void **state)
{
	(void)state;
	our_state(&b, VIO_NVME_ANA_INACCESSIBLE);
	rounds(300, turn, true, "moved");
}

/* A transition on both sides, as in a take-over: commands wait, and none is lost. */
static void take_over(unsigned times)
{
	struct our_target *from = times & 1 ? &b : &a, *to = times & 1 ? &a : &b;

	our_state(from, VIO_NVME_ANA_CHANGE);
	our_state(to, VIO_NVME_ANA_CHANGE);
	if (times % 3 == 0) {
		our_kill(from);
		our_fork(from);
	}
	our_state(from, VIO_NVME_ANA_INACCESSIBLE);
	our_state(to, VIO_NVME_ANA_OPTIMIZED);
}

static void from_several_threads(void **state)
{
	struct writer w[WRITERS] = { 0 };
	struct vio_backend *backend;

	(void)state;
	client_ok(vio_backend_parse(&backend, NULL, both()));
	our_state(&b, VIO_NVME_ANA_INACCESSIBLE);
	writers_start(w, backend);
	for (unsigned times = 0; times < 9; times++) {
		await_progress(w, 50);
		take_over(times);
	}
	await_progress(w, 50);
	writers_end(w);
	vio_backend_free(backend);
}

/* The better one is killed, comes back, and is used again without a loss. */
static void the_better_one_is_returned_to(void **state)
{
	struct client c;
	uint64_t round = 0;

	(void)state;
	our_state(&b, VIO_NVME_ANA_NON_OPTIMIZED);
	client_open(&c, both());
	our_kill(&a);
	assert_int_equal(stamp_write(&c, WRITER_BLOCKS, ++round, 0, NULL, NULL), 0);
	our_fork(&a);
	while (!client_stat(&c, "moved")) {
		assert_int_equal(stamp_write(&c, WRITER_BLOCKS, ++round, 0, NULL, NULL), 0);
		assert_true(round < 60000);
	}
	stamp_verify(a.image, WRITER_BLOCKS, round);
	our_kill(&b);
	assert_int_equal(stamp_write(&c, WRITER_BLOCKS, ++round, 0, NULL, NULL), 0);
	our_fork(&b);
	assert_int_equal(client_stat(&c, "errors"), 0);
	assert_int_equal(client_stat(&c, "reconnects"), 2);
	client_close(&c);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(each_is_killed_in_turn),
		TEST(each_is_inaccessible_in_turn),
		TEST(from_several_threads),
		TEST(the_better_one_is_returned_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
