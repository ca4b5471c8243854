/* SPDX-License-Identifier: MIT */
/* The NVMe/TCP host authenticates and wants its target to: against one that lies, on the admin queue or on
 * I/O queues, and after it came back. */
#include "disk_client.h"
#include "fake_target.h"
#include "keyfile.h"

static struct target t;
static char secret[] = KEYFILE_NAME, ctrl_secret[] = KEYFILE_NAME;
static char mutual[256], alone[128];

static int start(void **state)
{
	(void)state;
	target_start(&t);
	t.auth = true;
	keyfile_write(secret, TARGET_SECRET "\n", sizeof(TARGET_SECRET));
	keyfile_write(ctrl_secret, TARGET_CTRL_SECRET, sizeof(TARGET_CTRL_SECRET) - 1);
	snprintf(alone, sizeof(alone), ",hostnqn=" TARGET_HOSTNQN ",dhchap=%s", secret);
	snprintf(mutual, sizeof(mutual), "%s,dhchap-ctrl=%s", alone, ctrl_secret);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	target_stop(&t);
	unlink(secret);
	unlink(ctrl_secret);
	return 0;
}

static int opens(const char *more)
{
	struct vio_backend *b;
	int rc = vio_backend_parse(&b, NULL, target_stack(&t, more));

	if (!rc)
		vio_backend_free(b);
	return rc;
}

static void expect_refusal(const char *more, const char *says)
{
	assert_int_equal(opens(more), -EACCES);
	if (!strstr(vio_errmsg(), says))
		fail_msg("'%s' does not say '%s'", vio_errmsg(), says);
}

static void both_prove_themselves(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, mutual));
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	assert_true(TARGET_GET(t.convinced) >= 2);
	for (unsigned i = 0; i < 3; i++) {
		unsigned before = TARGET_GET(t.convinced);

		target_cut(&t);
		assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
		assert_true(TARGET_GET(t.convinced) >= before + 2); /* the admin queue, and this one */
	}
	client_close(&c);
}

static void only_we_do(void **state)
{
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, alone));
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	assert_int_equal(TARGET_GET(t.convinced), 0);
	client_close(&c);
}

static void lies(void **state)
{
	static const char *const says[CHAPS] = {
		[CHAP_TID] = "not due",
		[CHAP_TYPE] = "not due",
		[CHAP_ORDER] = "not due",
		[CHAP_EMPTY] = "not due",
		[CHAP_AGAIN] = "not due",
		[CHAP_FAILURE] = "no Diffie-Hellman group",
		[CHAP_HASH] = "a challenge that is none",
		[CHAP_HASH_LENGTH] = "a challenge that is none",
		[CHAP_GROUP] = "a challenge that is none",
		[CHAP_VALUE_SHORT] = "a challenge that is none",
		[CHAP_VALUE_LONG] = "a challenge that is none",
		[CHAP_SEQUENCE_0] = "a challenge that is none",
		[CHAP_VALUE_0] = "out of range",
		[CHAP_VALUE_1] = "out of range",
		[CHAP_VALUE_ONES] = "out of range",
		[CHAP_DENIED] = "does not accept our secret",
		[CHAP_UNPROVEN] = "does not prove who it is",
		[CHAP_WRONG] = "does not know the secret",
		[CHAP_MIRRORED] = "does not know the secret",
	};

	(void)state;
	for (int lie = CHAP_HONEST + 1; lie < CHAPS; lie++) {
		TARGET_SET(t.chap_lie, lie);
		if (says[lie])
			expect_refusal(mutual, says[lie]);
		else
			assert_int_equal(opens(mutual), -EPROTO);
	}
	assert_int_equal(TARGET_GET(t.convinced), 0);
	TARGET_SET(t.chap_lie, CHAP_UNPROVEN); /* who asks for no proof takes it */
	assert_int_equal(opens(alone), 0);
}

/* The admin queue was all right: a lane is refused the same, and says so. */
static void lies_on_io_queues(void **state)
{
	struct vio_backend *b;
	struct vio_poller *p;
	struct vio_lane *l;

	(void)state;
	assert_int_equal(vio_poller_new(&p, NULL), 0);
	assert_int_equal(vio_backend_parse(&b, NULL, target_stack(&t, mutual)), 0);
	TARGET_SET(t.chap_io, true);
	for (int lie = CHAP_HONEST + 1; lie < CHAPS; lie++) {
		TARGET_SET(t.chap_lie, lie);
		assert_true(vio_lane_new(&l, b, p, NULL) < 0);
		if (!strstr(vio_errmsg(), "queue 1: "))
			fail_msg("lie %d: %s", lie, vio_errmsg());
	}
	TARGET_SET(t.chap_lie, CHAP_HONEST);
	assert_int_equal(vio_lane_new(&l, b, p, NULL), 0);
	vio_lane_free(l);
	vio_backend_free(b);
	vio_poller_free(p);
}

/* One that comes back as another is not talked to: requests fail when the time is over. */
static void comes_back_as_another(void **state)
{
	struct client c;
	char stack[300];

	(void)state;
	snprintf(stack, sizeof(stack), "%s,timeout=1", mutual);
	client_open(&c, target_stack(&t, stack));
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
	TARGET_SET(t.chap_lie, CHAP_WRONG);
	target_cut(&t);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), -EIO);
	client_close(&c);
}

static void what_is_missing_is_said(void **state)
{
	char more[256];

	(void)state;
	expect_refusal("", "dhchap=FILE says the secret");
	snprintf(more, sizeof(more), ",hostnqn=" TARGET_HOSTNQN ",dhchap=%s", ctrl_secret);
	expect_refusal(more, "does not accept our secret");
	snprintf(more, sizeof(more), ",dhchap=%s", secret);
	assert_int_equal(opens(more), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "hostnqn="));
	snprintf(more, sizeof(more), ",hostnqn=" TARGET_HOSTNQN ",dhchap-ctrl=%s", secret);
	assert_int_equal(opens(more), -EINVAL);
	assert_int_equal(opens(",hostnqn=" TARGET_HOSTNQN ",dhchap=/nonexistent"), -ENOENT);
	assert_int_equal(opens(",hostnqn=" TARGET_HOSTNQN ",dhchap=/dev/null"), -EINVAL);
	assert_int_equal(chmod(secret, 0640), 0);
	assert_int_equal(opens(alone), -EPERM);
	assert_non_null(strstr(vio_errmsg(), "chmod 600"));
	t.auth = false;
	assert_int_equal(chmod(secret, 0600), 0);
	assert_int_equal(opens(alone), 0); /* it need not be asked */
	expect_refusal(mutual, "does not authenticate");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(both_prove_themselves),
		TEST(only_we_do),
		TEST(lies),
		TEST(lies_on_io_queues),
		TEST(comes_back_as_another),
		TEST(what_is_missing_is_said),
	};

	return vio__dhchap_has() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
