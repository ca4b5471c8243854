/* SPDX-License-Identifier: MIT */
/* A key or argument that is not right is refused with a sentence that says what was expected. */
#include "store.h"
#include "keyfile.h"

static unsigned char key[80];

static void refused(const void *bytes, size_t len, int err, const char *args, const char *sentence)
{
	char path[] = KEYFILE_NAME, arg[200];

	keyfile_write(path, bytes, len);
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s%s", path, args);
	assert_int_equal(stack_try(arg, 1 << 20), err);
	if (!strstr(vio_errmsg(), sentence))
		fail_msg("'%s' lacks '%s'", vio_errmsg(), sentence);
	unlink(path);
}

static void wrong_lengths(void **state)
{
	(void)state;
	refused(key, 0, -EINVAL, "", "exactly 64");
	refused(key, 63, -EINVAL, "", "holds 63 bytes");
	refused(key, 65, -EINVAL, "", "more than 64 bytes");
	refused(key, 32, -EINVAL, "", "exactly 64");
	refused(key, 64, -EINVAL, ",cipher=aes-128-xts", "exactly 32");
	refused(key, 33, -EINVAL, ",cipher=aes-128-xts", "exactly 32");
}

static void equal_halves(void **state)
{
	unsigned char twice[64];

	(void)state;
	memcpy(twice, key, 32);
	memcpy(twice + 32, key, 32);
	refused(twice, 64, -EINVAL, "", "halves");
}

static void wrong_arguments(void **state)
{
	(void)state;
	refused(key, 64, -EINVAL, ",sector=1024", "512 or 4096");
	refused(key, 64, -EINVAL, ",cipher=des", "aes-256-xts");
	refused(key, 64, -EINVAL, ",bounce=1", "bounce");
	refused(key, 64, -EINVAL, ",key=abc", "there are: keyfile");
	assert_int_equal(stack_try("crypt", 1 << 20), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "keyfile=PATH"));
}

static void no_key_file(void **state)
{
	(void)state;
	assert_int_equal(stack_try("crypt:keyfile=/nonexistent/k", 1 << 20), -ENOENT);
	assert_non_null(strstr(vio_errmsg(), "/nonexistent/k"));
	assert_true(stack_try("crypt:keyfile=/", 1 << 20) < 0);
}

static void a_key_that_everybody_may_write(void **state)
{
	char path[] = KEYFILE_NAME, arg[200];

	(void)state;
	keyfile_write(path, key, 64);
	chmod(path, 0666);
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s", path);
	assert_int_equal(stack_try(arg, 1 << 20), -EPERM);
	assert_non_null(strstr(vio_errmsg(), "chmod 600"));
	chmod(path, 0644);
	assert_int_equal(stack_try(arg, 1 << 20), 0);
	unlink(path);
}

static void a_store_smaller_than_a_sector(void **state)
{
	char path[] = KEYFILE_NAME, arg[200];

	(void)state;
	keyfile_write(path, key, 64);
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s,sector=4096", path);
	assert_int_equal(stack_try(arg, 2048), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "less than one sector"));
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_lengths),
		cmocka_unit_test(equal_halves),
		cmocka_unit_test(wrong_arguments),
		cmocka_unit_test(no_key_file),
		cmocka_unit_test(a_key_that_everybody_may_write),
		cmocka_unit_test(a_store_smaller_than_a_sector),
	};

	fill(key, sizeof(key), 7);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
