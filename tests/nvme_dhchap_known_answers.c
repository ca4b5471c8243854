/* SPDX-License-Identifier: MIT */
/*
 * DH-HMAC-CHAP's keys and responses against those that Python's hmac and zlib have calculated:
 * of the bytes 00h, 01h and so on as secret, with challenges a0h + i % 16 and 10h + i % 7, session
 * key e0h + i % 32, sequence numbers 01020304h and 0a0b0c0dh, transaction beefh.
 */
#include "nvme_auth_host.h"

static const struct {
	uint8_t hash;
	const char *secret, *key, *host, *controller; /* the host's without a group, the other with */
} answers[] = {
	{ 1, "DHHC-1:01:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:",
	  "7863a339224010efc7e5b0e158ccc774c033e64ca11d995ba94d47581974e625",
	  "3657dd004ae8045ecadc139ecc29f401df914f9f2735a0c02f08713dbeab3616",
	  "f11690ba59e453dd0056391a3f5d76be12c6c5aedf5a58eaaded3fe43f8f11f2" },
	{ 2, "DHHC-1:02:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vcSEgBQ==:",
	  "392151a6ce7106525d19897fd90da4cb964987ba8fd099b8a214e06355c4a014da7d42ec776b67a36921d94d43e85f4c",
	  "72ca75053c0949fd130e805e8d9e04e37eb4b0031cbec79d94ce7ea9ed6dc0ecbcf156986c52131e3f81f58407ca1579",
	  "3543c0aa43486598866f7d2f78aefff89f61a2ecf446ce139bb9770d30861b4de57e553c9d9f0d451b51a558c28b817"
	  "1" },
	{ 3,
	  "DHHC-1:03:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+"
	  "P4zODhA=:",
	  "f05f252ae9a293af4091e81f2c2a17b4a2cea2884e79b4947980ab67c38f89405c8d42bfb9c41b49b3ae6086a8d35acae1"
	  "f0ed6ecc881343ab2836ed1803a1d8",
	  "298ae5de010fe20d18dee5ca7a6c2389e181168c1cc4ef028b17f2ebefa8ea57afdc5a33170102501dc7213e62eede19b6"
	  "a2e77f830c6e2c10134e21fb801f42",
	  "b79164a44964798907d2be141860fa4d23ea9e1cfb69c2b1619876a14afb7fe27debbde33a381659cc9f09c74bca8cf2a9"
	  "1d3284267d1a8cf1a34995aa94e9bc" },
};

static void expect(const char *hex, const uint8_t *bytes, unsigned len)
{
	char text[2 * DHCHAP_HASH_MAX + 1];

	for (unsigned i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	assert_string_equal(text, hex);
}

static void keys_and_responses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct dhchap d = {
			.hash = answers[i].hash, .s1 = 0x01020304, .s2 = 0x0a0b0c0d, .tid = 0xbeef
		};
		struct dhchap_key host, ctrl;
		uint8_t got[DHCHAP_HASH_MAX];

		d.hash_len = (uint8_t)vio__dhchap_hash_len(d.hash);
		for (unsigned n = 0; n < d.hash_len; n++) {
			d.c1[n] = (uint8_t)(0xa0 + n % 16);
			d.c2[n] = (uint8_t)(0x10 + n % 7);
			d.session[n] = (uint8_t)(0xe0 + n % 32);
		}
		assert_int_equal(vio__dhchap_key(&host, answers[i].secret, HOST_NQN, "test"), 0);
		assert_int_equal(vio__dhchap_key(&ctrl, answers[i].secret, HOST_TARGET_NQN, "test"), 0);
		expect(answers[i].key, host.bytes, host.len);
		assert_int_equal(vio__dhchap_response(&d, &host, DHCHAP_HOST, HOST_NQN, HOST_TARGET_NQN, got),
				 0);
		expect(answers[i].host, got, d.hash_len);
		d.group = VIO_NVME_FFDHE2048;
		assert_int_equal(vio__dhchap_response(&d, &ctrl, DHCHAP_CTRL, HOST_NQN, HOST_TARGET_NQN, got),
				 0);
		expect(answers[i].controller, got, d.hash_len);
	}
}

/* With hash 00 it is used as it is. */
static void a_plain_key(void **state)
{
	struct dhchap_key k;

	(void)state;
	assert_int_equal(vio__dhchap_key(&k, SECRET, HOST_NQN, "test"), 0);
	expect("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", k.bytes, k.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_responses),
		cmocka_unit_test(a_plain_key),
	};

	return vio__dhchap_has() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
