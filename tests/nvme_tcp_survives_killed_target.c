/* SPDX-License-Identifier: MIT */
/*
 * Our own target is killed again and again while its host writes: each request completes
 * once and well, and the file holds what was written last.
 */
#include "our_target.h"
#include "wire/nvme_tcp.h"
#include "writers.h"

#define BLOCKS WRITER_BLOCKS

static struct our_target target;

static const char *ours(const char *more)
{
	static char text[128];

	snprintf(text, sizeof(text), "nvme-tcp:127.0.0.1:%u,nqn=" OUR_NQN "%s", target.port, more);
	return text;
}

static void kill_it(void *ctx)
{
	(void)ctx;
	our_kill(&target);
	our_fork(&target);
}

static void rounds(const char *more)
{
	struct client c;

	our_start(&target, BLOCKS * STAMP_BLOCK);
	client_open(&c, ours(more));
	for (uint64_t round = 1; round <= 4; round++) {
		assert_int_equal(stamp_write(&c, BLOCKS, round, 500, kill_it, NULL), 4);
		stamp_verify(target.image, BLOCKS, round);
	}
	assert_int_equal(client_stat(&c, "completed"), 4 * BLOCKS);
	assert_int_equal(client_stat(&c, "errors"), 0);
	assert_true(client_stat(&c, "reconnects") >= 8);
	client_close(&c);
	our_stop(&target);
}

static void under_load(void **state)
{
	(void)state;
	rounds("");
}

static void with_few_commands_and_digests(void **state)
{
	(void)state;
	rounds(vio__nvme_tcp_has_digests() ? ",depth=40,digests=both" : ",depth=40");
}

static void from_several_threads(void **state)
{
	struct writer w[WRITERS] = { 0 };
	struct vio_backend *b;

	(void)state;
	our_start(&target, BLOCKS * STAMP_BLOCK);
	client_ok(vio_backend_parse(&b, NULL, ours("")));
	writers_start(w, b);
	for (unsigned kills = 0; kills < 10; kills++) {
		await_progress(w, 50);
		kill_it(NULL);
	}
	await_progress(w, 50);
	writers_end(w);
	vio_backend_free(b);
	our_stop(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(under_load),
		cmocka_unit_test(with_few_commands_and_digests),
		cmocka_unit_test(from_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
