/* SPDX-License-Identifier: MIT */
/*
 * The bytes beneath crypt are those of IEEE 1619 and of dm-crypt's plain64: the
 * standard's vectors, and the sector numbering of both sector sizes.
 */
#include "store.h"
#include "keyfile.h"

#include <endian.h>
#include <openssl/evp.h>

static const char e_pi[] = "2718281828459045235360287471352662497757247093699959574966967627"
			   "3141592653589793238462643383279502884197169399375105820974944592";

/* IEEE 1619-2007, B.1: the vectors 10 to 14, AES-256, 512 bytes 00..ff 00..ff. The first and the last 16
 * bytes. */
static const struct vector {
	uint64_t unit;
	const char *head, *tail;
} vectors[] = {
	{ 0xff, "1c3b3a102f770386e4836c99e370cf9b", "c4f36ffda9fcea70b9c6e693e148c151" },
	{ 0xffff, "77a31251618a15e6b92d1d66dffe7b50", NULL },
	{ 0xffffff, "e387aaa58ba483afa7e8eb469778317e", NULL },
	{ 0xffffffff, "bf53d2dade78e822a4d949a9bc6766b0", NULL },
	{ 0xffffffffff, "64497e5a831e4a932c09be3e5393376d", NULL },
};

static void unhex(unsigned char *to, const char *hex, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		to[i] = (unsigned char)v;
	}
}

static void vectors_of_the_standard(void **state)
{
	unsigned char key[64], plain[512], want[16];
	char path[] = KEYFILE_NAME, arg[128];
	struct stack s;

	(void)state;
	unhex(key, e_pi, 64);
	keyfile_write(path, key, 64);
	for (unsigned i = 0; i < sizeof(plain); i++)
		plain[i] = (unsigned char)i;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(vectors); i++) {
		snprintf(arg, sizeof(arg), "crypt:keyfile=%s,iv-offset=%llu", path,
			 (unsigned long long)vectors[i].unit);
		stack_up(&s, arg, 4096);
		assert_int_equal(stack_io(&s, VIO_OP_WRITE, 0, plain, 512), 0);
		unhex(want, vectors[i].head, 16);
		assert_memory_equal(s.store->mem, want, 16);
		if (vectors[i].tail) {
			unhex(want, vectors[i].tail, 16);
			assert_memory_equal(s.store->mem + 496, want, 16);
		}
		stack_down(&s);
	}
	unlink(path);
}

/* One data unit by OpenSSL, the tweak given as plain64's number. */
static void reference(unsigned char *to, const unsigned char *from, int len, const unsigned char *key,
		      const EVP_CIPHER *cipher, uint64_t number)
{
	uint64_t iv[2] = { htole64(number), 0 };
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	assert_int_equal(EVP_EncryptInit_ex(c, cipher, NULL, key, (unsigned char *)iv), 1);
	assert_int_equal(EVP_EncryptUpdate(c, to, &n, from, len), 1);
	EVP_CIPHER_CTX_free(c);
}

static void check_numbers(const char *args, unsigned keylen, unsigned sector, uint64_t first, unsigned step)
{
	unsigned char key[64], plain[16384], want[4096];
	char path[] = KEYFILE_NAME, arg[200];
	struct stack s;

	fill(key, keylen, 1);
	fill(plain, sizeof(plain), 2);
	keyfile_write(path, key, keylen);
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s,%s", path, args);
	stack_up(&s, arg, 64 << 10);
	assert_int_equal(stack_io(&s, VIO_OP_WRITE, 32768, plain, sizeof(plain)), 0);
	for (unsigned i = 0; i < sizeof(plain) / sector; i++) {
		reference(want, plain + i * sector, (int)sector, key,
			  keylen == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts(), first + i * step);
		assert_memory_equal(s.store->mem + 32768 + i * sector, want, sector);
	}
	stack_down(&s);
	unlink(path);
}

static void sectors_are_numbered_in_512(void **state)
{
	(void)state;
	check_numbers("sector=512", 64, 512, 64, 1);
	check_numbers("sector=512,iv-offset=1000", 64, 512, 1064, 1);
	check_numbers("sector=4096", 64, 4096, 64, 8);
	check_numbers("sector=4096,iv-offset=16", 64, 4096, 80, 8);
	check_numbers("sector=512,cipher=aes-128-xts", 32, 512, 64, 1);
}

static void large_sectors_are_numbered_by_themselves(void **state)
{
	(void)state;
	check_numbers("sector=4096,iv-large-sectors=on", 64, 4096, 8, 1);
	check_numbers("sector=4096,iv-large-sectors=on,iv-offset=16", 64, 4096, 10, 1);
	check_numbers("sector=512,iv-large-sectors=on", 64, 512, 64, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_standard),
		cmocka_unit_test(sectors_are_numbered_in_512),
		cmocka_unit_test(large_sectors_are_numbered_by_themselves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
