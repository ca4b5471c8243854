/* SPDX-License-Identifier: MIT */
/* A host that has a secret gets in by proving it, on each queue, with each hash and group, and may do so
 * again. */
#include "nvme_auth_host.h"

#define HASHES (1u << VIO_NVME_SHA256 | 1u << VIO_NVME_SHA384 | 1u << VIO_NVME_SHA512)
#define UNAUTHENTICATED (NVME_STATUS_DNR >> 1 | NVME_SCT_CMD_SPECIFIC << 8 | NVME_SC_AUTH_REQUIRED)

static void start(struct target *t, unsigned threads, const char *secret, const char *ctrl_secret,
		  unsigned groups)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = secret, .ctrl_secret = ctrl_secret, .dh_groups = groups);

	target_start(t, threads, VIO_POLL_AUTO, NULL, NULL);
	target_add(t, "ram:1M");
	assert_int_equal(vio_nvme_allow(t->s, HOST_NQN, &o), 0);
}

static void all_hashes_and_groups(void **state)
{
	struct auth_host a;
	struct target t;
	struct host h;

	(void)state;
	start(&t, 1, SECRET, CTRL_SECRET, (1u << DHCHAP_GROUPS) - 1);
	for (uint8_t hash = VIO_NVME_SHA256; hash <= VIO_NVME_SHA512; hash++) {
		for (uint8_t group = VIO_NVME_DH_NULL; group <= VIO_NVME_FFDHE8192; group++) {
			auth_dial(&h, &t, UINT16_MAX, 0);
			auth_host(&a, &h, SECRET, hash, group);
			assert_int_equal(vio__dhchap_key(&a.ctrl_key, CTRL_SECRET, HOST_TARGET_NQN, "test"),
					 0);
			a.mutual = group & 1;
			auth_pass(&a);
			assert_int_equal(host_property_set(&h, 0x14, HOST_CC_ENABLE), 0);
			host_hang_up(&h);
		}
	}
	target_stop(&t);
}

/* Of what both have, the strongest; without options no more than FFDHE4096. */
static void the_strongest_is_chosen(void **state)
{
	struct auth_host a;
	struct target t;
	struct host h;

	(void)state;
	start(&t, 1, SECRET, NULL, 0);
	auth_dial(&h, &t, UINT16_MAX, 0);
	auth_host(&a, &h, SECRET, 0, 0);
	memcpy(a.hashes, (uint8_t[]){ VIO_NVME_SHA256, VIO_NVME_SHA384, 200 }, 3);
	memcpy(a.groups, (uint8_t[]){ VIO_NVME_FFDHE8192, VIO_NVME_FFDHE3072, VIO_NVME_DH_NULL, 77 }, 4);
	a.nhashes = 3;
	a.ngroups = 4;
	auth_pass(&a);
	assert_int_equal(a.m[offsetof(struct dhchap_success1, hl)], 48);
	auth_ask(&a);
	assert_int_equal(a.d.hash, VIO_NVME_SHA384);
	assert_int_equal(a.d.group, VIO_NVME_FFDHE3072);
	host_hang_up(&h);
	target_stop(&t);
}

/* Each queue for itself: until then, nothing else is served there. */
static void each_queue_proves_itself(void **state)
{
	struct nvme_cmd read = host_rw(nvme_cmd_read, 1, 0, 4096);
	struct nvme_cmd identify = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	struct host_who io = { .qid = 1, .sqsize = 31 };
	static char data[4096];
	struct host admin, h;
	struct auth_host a;
	struct target t;

	(void)state;
	start(&t, 2, SECRET, NULL, 0);
	io.cntlid = auth_dial(&admin, &t, UINT16_MAX, 0);
	assert_int_equal(host_get(&admin, &identify, data, sizeof(data)), UNAUTHENTICATED);
	assert_int_equal(host_property_set(&admin, 0x14, HOST_CC_ENABLE), UNAUTHENTICATED);
	assert_int_equal(host_property_get(&admin, 0x1c, false), UNAUTHENTICATED);
	auth_host(&a, &admin, SECRET, VIO_NVME_SHA256, VIO_NVME_FFDHE2048);
	auth_pass(&a);
	host_enable(&admin);
	assert_int_equal(host_get(&admin, &identify, data, sizeof(data)), 0);
	auth_dial(&h, &t, io.cntlid, 1);
	assert_int_equal(host_get(&h, &read, data, sizeof(data)), UNAUTHENTICATED);
	auth_host(&a, &h, SECRET, VIO_NVME_SHA512, VIO_NVME_DH_NULL);
	auth_pass(&a);
	assert_int_equal(host_get(&h, &read, data, sizeof(data)), 0);
	auth_ask(&a); /* again, and commands are served meanwhile */
	assert_int_equal(host_get(&h, &read, data, sizeof(data)), 0);
	auth_pass(&a);
	assert_int_equal(host_get(&h, &read, data, sizeof(data)), 0);
	host_hang_up(&h);
	host_hang_up(&admin);
	target_stop(&t);
}

/* The keep-alive time begins then: before, the host could not say that it lives. */
static void keep_alive_begins_then(void **state)
{
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31, .kato = 50 };
	union nvme_tcp_pdu p;
	struct auth_host a;
	struct target t;
	struct host h;

	(void)state;
	start(&t, 1, SECRET, NULL, 0);
	host_dial(&h, &t);
	host_greet(&h, 0);
	assert_int_equal(host_connect(&h, &w), 0);
	usleep(200000); /* that nothing happens can't be waited for otherwise */
	auth_host(&a, &h, SECRET, VIO_NVME_SHA256, VIO_NVME_DH_NULL);
	auth_pass(&a);
	assert_int_equal(host_next(&h, &p, NULL), -1);
	host_hang_up(&h);
	target_stop(&t);
}

/* Others need not; discovery asks nobody. */
static void only_those_with_a_secret(void **state)
{
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31 };
	struct target t;
	struct host h;

	(void)state;
	start(&t, 1, SECRET, NULL, 0);
	assert_int_equal(vio_nvme_allow(t.s, "nqn.2014-08.org.example:another", NULL), 0);
	host_dial(&h, &t);
	host_greet(&h, 0);
	w.hostnqn = "nqn.2014-08.org.example:another";
	assert_int_equal(host_connect(&h, &w), 0);
	assert_int_equal(h.result >> 16, 0);
	assert_int_equal(host_property_set(&h, 0x14, HOST_CC_ENABLE), 0);
	host_hang_up(&h);
	host_dial(&h, &t);
	host_greet(&h, 0);
	w.hostnqn = HOST_NQN;
	w.subnqn = NVME_DISCOVERY_NQN;
	assert_int_equal(host_connect(&h, &w), 0);
	assert_int_equal(h.result >> 16, 0);
	host_hang_up(&h);
	target_stop(&t);
}

/* Another secret counts for those who come then. */
static void secrets_change(void **state)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = CTRL_SECRET);
	struct auth_host old, new;
	struct host first, second;
	struct target t;

	(void)state;
	start(&t, 1, SECRET, NULL, 0);
	auth_dial(&first, &t, UINT16_MAX, 0);
	assert_int_equal(vio_nvme_allow(t.s, HOST_NQN, &o), 0);
	auth_host(&old, &first, SECRET, VIO_NVME_SHA256, VIO_NVME_DH_NULL);
	auth_pass(&old);
	auth_dial(&second, &t, UINT16_MAX, 0);
	auth_host(&new, &second, CTRL_SECRET, VIO_NVME_SHA256, VIO_NVME_DH_NULL);
	auth_pass(&new);
	host_hang_up(&first);
	host_hang_up(&second);
	target_stop(&t);
}

/* Queues of one poller that all calculate have their turns, and all get through. */
static void many_take_turns(void **state)
{
	enum { MANY = 12 };
	struct auth_host a[MANY];
	struct host h[MANY];
	uint8_t m[MANY][DHCHAP_MESSAGE];
	uint16_t cid[MANY];
	struct target t;

	(void)state;
	start(&t, 1, SECRET, NULL, 0);
	for (unsigned i = 0; i < MANY; i++) {
		auth_dial(&h[i], &t, UINT16_MAX, 0);
		auth_host(&a[i], &h[i], SECRET, VIO_NVME_SHA256, VIO_NVME_FFDHE4096);
		auth_ask(&a[i]);
	}
	for (unsigned i = 0; i < MANY; i++) {
		uint32_t len = auth_answer(&a[i], m[i]);
		struct nvme_cmd c = auth_cmd(nvme_fabrics_type_auth_send, len);

		cid[i] = host_send(&h[i], &c, m[i], len);
	}
	host_hang_up(&h[MANY - 1]); /* one of them without waiting */
	for (unsigned i = 0; i < MANY - 1; i++) {
		assert_int_equal(host_finish(&h[i], cid[i], NULL, NULL), 0);
		auth_expect(&a[i], DHCHAP_SUCCESS1);
		host_hang_up(&h[i]);
	}
	for (unsigned i = 0; i < MANY; i++)
		vio__dhchap_end(&a[i].d);
	target_stop(&t);
}

static int allowed(struct target *t, const char *secret, const char *ctrl_secret)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = secret, .ctrl_secret = ctrl_secret);

	return vio_nvme_allow(t->s, HOST_NQN, &o);
}

static void secrets_are_checked(void **state)
{
	static const char *const bad[] = {
		"",
		"DHHC-1:00:",
		"DHHC-1:00::",
		"DHHC-2:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:",
		"DHHC-1:04:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:",
		"DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR",
		"DHHC-1:00:BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:", /* another key */
		"DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+Kfia=:", /* a byte less */
		"DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGx dHh+KfiaR:",
		"DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGx=dHh+KfiaR:",
	};
	VIO_OPTS(vio_nvme_host_opts, o, .secret = SECRET, .dh_groups = 1u << 6);
	struct target t;

	(void)state;
	start(&t, 1, SECRET, NULL, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(allowed(&t, bad[i], NULL), -EINVAL);
		assert_int_equal(allowed(&t, SECRET, bad[i]), -EINVAL);
		assert_null(strstr(vio_errmsg(), "AAEC"));
	}
	assert_int_equal(allowed(&t, NULL, SECRET), -EINVAL);
	assert_int_equal(vio_nvme_allow(t.s, HOST_NQN, &o), -EINVAL);
	o.dh_groups = 0;
	o.hashes = HASHES | 1;
	assert_int_equal(vio_nvme_allow(t.s, HOST_NQN, &o), -EINVAL);
	target_stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_hashes_and_groups),    cmocka_unit_test(the_strongest_is_chosen),
		cmocka_unit_test(each_queue_proves_itself), cmocka_unit_test(only_those_with_a_secret),
		cmocka_unit_test(keep_alive_begins_then),   cmocka_unit_test(secrets_change),
		cmocka_unit_test(many_take_turns),	    cmocka_unit_test(secrets_are_checked),
	};

	return vio__dhchap_has() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
