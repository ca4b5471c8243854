/* SPDX-License-Identifier: MIT */
/* Our host and our target, with secrets: each hash and group, several lanes, and those that do not match. */
#include "nvme_auth_host.h"

#include "keyfile.h"

static struct target target;
static char secret[] = KEYFILE_NAME, ctrl_secret[] = KEYFILE_NAME;

static int start(void **state)
{
	(void)state;
	target_start(&target, 2, VIO_POLL_AUTO, NULL, NULL);
	target_add(&target, "ram:1M");
	keyfile_write(secret, SECRET, sizeof(SECRET) - 1);
	keyfile_write(ctrl_secret, CTRL_SECRET, sizeof(CTRL_SECRET) - 1);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	target_stop(&target);
	unlink(secret);
	unlink(ctrl_secret);
	return 0;
}

static int opens(struct vio_backend **b, bool mutual)
{
	char stack[512];

	snprintf(stack, sizeof(stack),
		 "nvme-tcp:127.0.0.1:%u,nqn=" HOST_TARGET_NQN ",hostnqn=" HOST_NQN ",dhchap=%s%s%s",
		 vio_nvme_tcp_port(target.t), secret, mutual ? ",dhchap-ctrl=" : "",
		 mutual ? ctrl_secret : "");
	return vio_backend_parse(b, NULL, stack);
}

static void allow(const char *s, const char *ctrl, unsigned hashes, unsigned groups)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = s, .ctrl_secret = ctrl, .hashes = hashes,
		 .dh_groups = groups);

	assert_int_equal(vio_nvme_allow(target.s, HOST_NQN, &o), 0);
}

static void with_lanes(struct vio_backend *b)
{
	struct vio_lane *l[2];
	struct vio_poller *p;

	assert_int_equal(vio_poller_new(&p, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(vio_lane_new(&l[i], b, p, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		vio_lane_free(l[i]);
	vio_poller_free(p);
}

static void each_hash_and_group(void **state)
{
	struct vio_backend *b;

	(void)state;
	for (unsigned group = VIO_NVME_DH_NULL; group <= VIO_NVME_FFDHE8192; group++) {
		allow(SECRET, CTRL_SECRET, 1u << (1 + group % 3), 1u << group);
		assert_int_equal(opens(&b, group & 1), 0);
		with_lanes(b);
		vio_backend_free(b);
	}
}

static void secrets_that_differ(void **state)
{
	struct vio_backend *b;

	(void)state;
	allow(CTRL_SECRET, NULL, 0, 0);
	assert_int_equal(opens(&b, false), -EACCES);
	assert_non_null(strstr(vio_errmsg(), "does not accept our secret"));
	allow(SECRET, SECRET, 0, 0);
	assert_int_equal(opens(&b, true), -EACCES);
	assert_non_null(strstr(vio_errmsg(), "does not know the secret"));
	allow(SECRET, NULL, 0, 0); /* and one that has none to prove itself with */
	assert_int_equal(opens(&b, true), -EACCES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = { TEST(each_hash_and_group), TEST(secrets_that_differ) };

	return vio__dhchap_has() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
