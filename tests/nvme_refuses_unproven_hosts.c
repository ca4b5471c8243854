/* SPDX-License-Identifier: MIT */
/* Hosts that do not know their secret, or play with the messages: told why once, and their queue ends. */
#include "nvme_auth_host.h"

/* RFC 7919, A.1. */
static const uint8_t ffdhe2048[256] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xad, 0xf8, 0x54, 0x58, 0xa2, 0xbb, 0x4a, 0x9a,
	0xaf, 0xdc, 0x56, 0x20, 0x27, 0x3d, 0x3c, 0xf1, 0xd8, 0xb9, 0xc5, 0x83, 0xce, 0x2d, 0x36, 0x95,
	0xa9, 0xe1, 0x36, 0x41, 0x14, 0x64, 0x33, 0xfb, 0xcc, 0x93, 0x9d, 0xce, 0x24, 0x9b, 0x3e, 0xf9,
	0x7d, 0x2f, 0xe3, 0x63, 0x63, 0x0c, 0x75, 0xd8, 0xf6, 0x81, 0xb2, 0x02, 0xae, 0xc4, 0x61, 0x7a,
	0xd3, 0xdf, 0x1e, 0xd5, 0xd5, 0xfd, 0x65, 0x61, 0x24, 0x33, 0xf5, 0x1f, 0x5f, 0x06, 0x6e, 0xd0,
	0x85, 0x63, 0x65, 0x55, 0x3d, 0xed, 0x1a, 0xf3, 0xb5, 0x57, 0x13, 0x5e, 0x7f, 0x57, 0xc9, 0x35,
	0x98, 0x4f, 0x0c, 0x70, 0xe0, 0xe6, 0x8b, 0x77, 0xe2, 0xa6, 0x89, 0xda, 0xf3, 0xef, 0xe8, 0x72,
	0x1d, 0xf1, 0x58, 0xa1, 0x36, 0xad, 0xe7, 0x35, 0x30, 0xac, 0xca, 0x4f, 0x48, 0x3a, 0x79, 0x7a,
	0xbc, 0x0a, 0xb1, 0x82, 0xb3, 0x24, 0xfb, 0x61, 0xd1, 0x08, 0xa9, 0x4b, 0xb2, 0xc8, 0xe3, 0xfb,
	0xb9, 0x6a, 0xda, 0xb7, 0x60, 0xd7, 0xf4, 0x68, 0x1d, 0x4f, 0x42, 0xa3, 0xde, 0x39, 0x4d, 0xf4,
	0xae, 0x56, 0xed, 0xe7, 0x63, 0x72, 0xbb, 0x19, 0x0b, 0x07, 0xa7, 0xc8, 0xee, 0x0a, 0x6d, 0x70,
	0x9e, 0x02, 0xfc, 0xe1, 0xcd, 0xf7, 0xe2, 0xec, 0xc0, 0x34, 0x04, 0xcd, 0x28, 0x34, 0x2f, 0x61,
	0x91, 0x72, 0xfe, 0x9c, 0xe9, 0x85, 0x83, 0xff, 0x8e, 0x4f, 0x12, 0x32, 0xee, 0xf2, 0x81, 0x83,
	0xc3, 0xfe, 0x3b, 0x1b, 0x4c, 0x6f, 0xad, 0x73, 0x3b, 0xb5, 0xfc, 0xbc, 0x2e, 0xc2, 0x20, 0x05,
	0xc5, 0x8e, 0xf1, 0x83, 0x7d, 0x16, 0x83, 0xb2, 0xc6, 0xf3, 0x4a, 0x26, 0xc1, 0xb2, 0xef, 0xfa,
	0x88, 0x6b, 0x42, 0x38, 0x61, 0x28, 0x5c, 0x97, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

static struct target target;

static int start(void **state)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = SECRET);

	(void)state;
	target_start(&target, 1, VIO_POLL_AUTO, NULL, NULL);
	target_add(&target, "ram:1M");
	assert_int_equal(vio_nvme_allow(target.s, HOST_NQN, &o), 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	target_stop(&target);
	return 0;
}

static void begin(struct auth_host *a, struct host *h, uint8_t group)
{
	auth_dial(h, &target, UINT16_MAX, 0);
	auth_host(a, h, SECRET, VIO_NVME_SHA256, group);
}

/* The failure is told, and then the connection goes. */
static void expect_end(struct auth_host *a, uint8_t why)
{
	union nvme_tcp_pdu p;

	auth_expect_failure(a, why);
	assert_int_equal(host_next(a->h, &p, NULL), -1);
	host_hang_up(a->h);
	vio__dhchap_end(&a->d);
}

static void a_wrong_secret(void **state)
{
	uint8_t m[DHCHAP_MESSAGE];
	struct auth_host a;
	struct host h;

	(void)state;
	for (uint8_t group = 0; group < 2; group++) {
		begin(&a, &h, group);
		a.key.bytes[31] ^= 1;
		auth_ask(&a);
		assert_int_equal(auth_send(&a, m, auth_answer(&a, m)), 0);
		expect_end(&a, DHCHAP_FAILED);
	}
}

/* Another queue's answer, and another NQN's. */
static void a_replayed_answer(void **state)
{
	uint8_t m[DHCHAP_MESSAGE], c1[DHCHAP_HASH_MAX];
	struct auth_host a, b;
	struct host h, other;
	uint32_t len;

	(void)state;
	begin(&a, &h, VIO_NVME_DH_NULL);
	auth_ask(&a);
	memcpy(c1, a.d.c1, sizeof(c1));
	len = auth_answer(&a, m);
	assert_int_equal(auth_send(&a, m, len), 0);
	auth_expect(&a, DHCHAP_SUCCESS1);
	begin(&b, &other, VIO_NVME_DH_NULL);
	auth_ask(&b);
	assert_memory_not_equal(c1, b.d.c1, 32);
	assert_int_not_equal(a.d.s1, b.d.s1);
	assert_int_equal(auth_send(&b, m, len), 0);
	expect_end(&b, DHCHAP_FAILED);
	host_hang_up(&h);
}

/* 0, 1, p - 1, p, and all ones: none of them may be raised. */
static void exponents_out_of_range(void **state)
{
	uint8_t m[DHCHAP_MESSAGE], value[256];
	struct auth_host a;
	struct host h;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		uint32_t len;

		begin(&a, &h, VIO_NVME_FFDHE2048);
		auth_ask(&a);
		len = auth_answer(&a, m);
		memset(value, i == 4 ? 0xff : 0, sizeof(value));
		if (i == 1)
			value[255] = 1;
		if (i == 2 || i == 3) {
			memcpy(value, ffdhe2048, sizeof(value));
			value[255] = (uint8_t)(value[255] - (i == 2));
		}
		memcpy(m + len - sizeof(value), value, sizeof(value));
		assert_int_equal(auth_send(&a, m, len), 0);
		expect_end(&a, DHCHAP_BAD_PAYLOAD);
	}
}

static void lengths_that_are_wrong(void **state)
{
	uint8_t m[DHCHAP_MESSAGE];
	struct auth_host a;
	struct host h;
	uint32_t len;

	(void)state;
	for (unsigned i = 0; i < 9; i++) {
		struct dhchap_reply r;

		begin(&a, &h, VIO_NVME_FFDHE2048);
		if (i == 0) {
			assert_int_equal(auth_send(&a, m, 5), 0);
			a.d.tid = 0;
			expect_end(&a, DHCHAP_BAD_PAYLOAD);
			continue;
		}
		if (i < 5) {
			len = auth_negotiation(&a, m);
			m[7] = i == 1 ? 200 : 1;
			m[8 + 2] = i == 2 ? 31 : 1;
			m[8 + 3] = i == 3 ? 255 : 1;
			if (i == 4)
				len--;
			assert_int_equal(auth_send(&a, m, len), 0);
			a.d.tid = i == 4 || i == 1 ? 0 : a.d.tid; /* not read */
			expect_end(&a, DHCHAP_BAD_PAYLOAD);
			continue;
		}
		auth_ask(&a);
		len = auth_answer(&a, m);
		memcpy(&r, m, sizeof(r));
		r.hl = i == 5 ? 48 : r.hl;
		r.dhvlen = i == 6 ? 65535 : i == 7 ? 0 : r.dhvlen;
		memcpy(m, &r, sizeof(r));
		assert_int_equal(auth_send(&a, m, i == 8 ? len - 1 : len), 0);
		expect_end(&a, DHCHAP_BAD_PAYLOAD);
	}
}

static void messages_out_of_order(void **state)
{
	struct dhchap_success2 s2 = { .head = { .type = DHCHAP_OWN, .id = DHCHAP_SUCCESS2, .tid = 0x1234 } };
	uint8_t m[DHCHAP_MESSAGE];
	struct auth_host a;
	struct host h;

	(void)state;
	begin(&a, &h, VIO_NVME_DH_NULL); /* that all is well, at once */
	assert_int_equal(auth_send(&a, &s2, sizeof(s2)), 0);
	a.d.tid = 0;
	expect_end(&a, DHCHAP_BAD_MESSAGE);
	begin(&a, &h, VIO_NVME_DH_NULL); /* a challenge, before it said of what kind */
	a.d.tid = 0;
	expect_end(&a, DHCHAP_BAD_MESSAGE);
	begin(&a, &h, VIO_NVME_DH_NULL); /* that all is well, in place of the reply */
	auth_ask(&a);
	assert_int_equal(auth_send(&a, &s2, sizeof(s2)), 0);
	expect_end(&a, DHCHAP_BAD_MESSAGE);
	begin(&a, &h, VIO_NVME_DH_NULL); /* success, without a reply */
	auth_ask(&a);
	expect_end(&a, DHCHAP_BAD_MESSAGE);
	begin(&a, &h, VIO_NVME_DH_NULL); /* the reply twice */
	auth_ask(&a);
	auth_answer(&a, m);
	assert_int_equal(auth_send(&a, m, 80), 0);
	assert_int_equal(auth_send(&a, m, 80), 0);
	expect_end(&a, DHCHAP_BAD_MESSAGE);
	begin(&a, &h, VIO_NVME_DH_NULL); /* a message of an unknown kind */
	auth_ask(&a);
	auth_answer(&a, m);
	m[1] = 0x77;
	assert_int_equal(auth_send(&a, m, 80), 0);
	expect_end(&a, DHCHAP_BAD_MESSAGE);
	begin(&a, &h, VIO_NVME_DH_NULL); /* another transaction's */
	auth_ask(&a);
	auth_answer(&a, m);
	m[4] ^= 1;
	assert_int_equal(auth_send(&a, m, 80), 0);
	expect_end(&a, DHCHAP_BAD_PAYLOAD);
}

static void what_can_not_be_agreed_on(void **state)
{
	uint8_t m[128];
	struct auth_host a;
	struct host h;

	(void)state;
	begin(&a, &h, VIO_NVME_FFDHE8192); /* not among the default */
	assert_int_equal(auth_send(&a, m, auth_negotiation(&a, m)), 0);
	expect_end(&a, DHCHAP_NO_GROUP);
	begin(&a, &h, VIO_NVME_DH_NULL);
	a.hashes[0] = 0;
	assert_int_equal(auth_send(&a, m, auth_negotiation(&a, m)), 0);
	expect_end(&a, DHCHAP_NO_HASH);
	begin(&a, &h, VIO_NVME_DH_NULL);
	assert_int_equal(auth_send(&a, m, (auth_negotiation(&a, m), m[6] = 2, 72)), 0);
	expect_end(&a, DHCHAP_CONCATENATION);
	begin(&a, &h, VIO_NVME_DH_NULL);
	assert_int_equal(auth_send(&a, m, (auth_negotiation(&a, m), m[8] = 2, 72)), 0);
	expect_end(&a, DHCHAP_NO_PROTOCOL);
}

/* It asks us to prove ourselves: with nothing to do it by; by its own challenge; by a number that is none. */
static void challenges_that_are_wrong(void **state)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = SECRET, .ctrl_secret = CTRL_SECRET);
	uint8_t m[DHCHAP_MESSAGE];
	struct auth_host a;
	struct host h;

	(void)state;
	begin(&a, &h, VIO_NVME_DH_NULL);
	a.mutual = true;
	auth_ask(&a);
	assert_int_equal(auth_send(&a, m, auth_answer(&a, m)), 0);
	expect_end(&a, DHCHAP_FAILED);
	assert_int_equal(vio_nvme_allow(target.s, HOST_NQN, &o), 0);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t len;

		begin(&a, &h, VIO_NVME_DH_NULL);
		a.mutual = true;
		auth_ask(&a);
		len = auth_answer(&a, m);
		if (i == 0)
			memcpy(m + sizeof(struct dhchap_reply) + 32, a.d.c1, 32);
		else if (i == 1)
			memset(m + offsetof(struct dhchap_reply, seq), 0, 4);
		else
			m[offsetof(struct dhchap_reply, cvalid)] = 2;
		assert_int_equal(auth_send(&a, m, len), 0);
		expect_end(&a, DHCHAP_BAD_PAYLOAD);
	}
	begin(&a, &h, VIO_NVME_DH_NULL); /* until it is satisfied, nothing is served */
	a.mutual = true;
	auth_ask(&a);
	assert_int_equal(auth_send(&a, m, auth_answer(&a, m)), 0);
	auth_expect(&a, DHCHAP_SUCCESS1);
	assert_int_not_equal(host_property_set(&h, 0x14, HOST_CC_ENABLE), 0);
	host_hang_up(&h);
	vio__dhchap_end(&a.d);
}

/* The host is not satisfied; a queue that was proven ends too. */
static void a_host_that_refuses_us(void **state)
{
	struct dhchap_failure f = { .head = { .type = DHCHAP_COMMON, .id = DHCHAP_FAILURE2, .tid = 0x1234 },
				    .reason = 1,
				    .why = 1 };
	union nvme_tcp_pdu p;
	struct auth_host a;
	struct host h;

	(void)state;
	begin(&a, &h, VIO_NVME_DH_NULL);
	auth_pass(&a);
	auth_ask(&a);
	assert_int_equal(auth_send(&a, &f, sizeof(f)), 0);
	assert_int_equal(host_next(&h, &p, NULL), -1);
	host_hang_up(&h);
	vio__dhchap_end(&a.d);
}

/* One that was let in and then fails is out. */
static void failing_again_ends_it(void **state)
{
	uint8_t m[DHCHAP_MESSAGE];
	struct auth_host a;
	struct host h;

	(void)state;
	begin(&a, &h, VIO_NVME_DH_NULL);
	auth_pass(&a);
	assert_int_equal(host_property_set(&h, 0x14, HOST_CC_ENABLE), 0);
	auth_ask(&a);
	auth_answer(&a, m);
	m[20] ^= 1;
	assert_int_equal(auth_send(&a, m, 80), 0);
	assert_int_not_equal(host_property_get(&h, 0x1c, false), 0);
	expect_end(&a, DHCHAP_FAILED);
}

static void commands_that_are_wrong(void **state)
{
	struct nvme_cmd c = auth_cmd(nvme_fabrics_type_auth_send, 72), r;
	static uint8_t m[8192];
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31 };
	struct auth_host a;
	struct host h;

	(void)state;
	begin(&a, &h, VIO_NVME_DH_NULL);
	auth_negotiation(&a, m);
	assert_int_not_equal(host_put(&h, &c, m, 71), 0); /* not what it says */
	r = auth_cmd(nvme_fabrics_type_auth_send, sizeof(m));
	assert_int_not_equal(host_put(&h, &r, m, sizeof(m)), 0); /* larger than any */
	r = auth_cmd(nvme_fabrics_type_auth_send, 0);
	assert_int_not_equal(host_do(&h, &r), 0);
	r = c;
	r.cdw10 ^= 1u << 24; /* another security protocol */
	assert_int_not_equal(host_put(&h, &r, m, 72), 0);
	assert_int_equal(host_put(&h, &c, m, 72), 0);
	r = auth_cmd(nvme_fabrics_type_auth_receive, 20);
	assert_int_not_equal(host_get(&h, &r, m, 20),
			     0); /* no room for the challenge, which is still there */
	auth_expect(&a, DHCHAP_CHALLENGE);
	host_hang_up(&h);
	assert_int_equal(vio_nvme_allow(target.s, "nqn.2014-08.org.example:another", NULL), 0);
	w.hostnqn = "nqn.2014-08.org.example:another"; /* of whom it is not wanted */
	host_dial(&h, &target);
	host_greet(&h, 0);
	assert_int_equal(host_connect(&h, &w), 0);
	assert_int_not_equal(host_put(&h, &c, m, 72), 0);
	host_hang_up(&h);
}

static void a_slow_host_goes(void **state)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = SECRET, .timeout_ms = 100);
	union nvme_tcp_pdu p;
	struct auth_host a;
	struct host h;

	(void)state;
	assert_int_equal(vio_nvme_allow(target.s, HOST_NQN, &o), 0);
	begin(&a, &h, VIO_NVME_DH_NULL);
	auth_ask(&a);
	assert_int_equal(host_next(&h, &p, NULL), -1);
	host_hang_up(&h);
	begin(&a, &h, VIO_NVME_DH_NULL); /* and one that begins anew and does not go on */
	auth_pass(&a);
	auth_ask(&a);
	assert_int_equal(host_next(&h, &p, NULL), -1);
	host_hang_up(&h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(a_wrong_secret),
		TEST(a_replayed_answer),
		TEST(exponents_out_of_range),
		TEST(lengths_that_are_wrong),
		TEST(messages_out_of_order),
		TEST(what_can_not_be_agreed_on),
		TEST(challenges_that_are_wrong),
		TEST(a_host_that_refuses_us),
		TEST(failing_again_ends_it),
		TEST(commands_that_are_wrong),
		TEST(a_slow_host_goes),
	};

	return vio__dhchap_has() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
