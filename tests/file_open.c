/* SPDX-License-Identifier: MIT */
/* What can't be served is refused with a sentence; nothing is created, truncated or left open. */
#include "file.h"
#include "open_fds.h"

#include <sys/wait.h>

/* "file:ARG" fails with err and a sentence that has `says` in it, and leaves no fd behind. */
static void refused(const char *arg, int err, const char *says)
{
	unsigned fds = open_fds();
	struct vio_backend *b = (void *)1;

	assert_int_equal(vio_backend_new(&b, vio_backend_find("file"), NULL, NULL, arg), -err);
	assert_null(b);
	if (!strstr(vio_errmsg(), says))
		fail_msg("'%s' does not say '%s'", vio_errmsg(), says);
	assert_int_equal(open_fds(), fds);
}

static void refused_image(uint64_t size, const char *options, int err, const char *says)
{
	struct disk d;
	struct stat st;
	char arg[160];

	disk_image(&d, ".", size);
	snprintf(arg, sizeof(arg), "%s%s", d.path, options);
	refused(arg, err, says);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_size, size);
	unlink(d.path);
}

static void wrong_arguments_are_refused(void **state)
{
	(void)state;
	refused("", EINVAL, "path");
	refused("x,dirct=on", EINVAL, "unknown argument");
	refused("x,direct=yes", EINVAL, "on or off");
	refused("x,block=100", EINVAL, "out of range");
	refused_image(65536, ",block=1536", EINVAL, "power of two");
}

static void what_is_no_image_is_refused(void **state)
{
	(void)state;
	refused("./no-such-image", ENOENT, "does not exist");
	assert_int_equal(access("./no-such-image", F_OK), -1);
	refused(".", EISDIR, "directory");
	refused(".,read-only=on", EISDIR, "directory");
	refused("/dev/null", EINVAL, "neither a file nor a block device");
	assert_int_equal(mkfifo("file_open.fifo", 0600), 0);
	refused("file_open.fifo,read-only=on", EINVAL, "neither");
	unlink("file_open.fifo");
}

static void wrong_sizes_are_refused(void **state)
{
	(void)state;
	refused_image(0, "", EINVAL, "has 0 bytes");
	refused_image(511, "", EINVAL, "has 511 bytes");
	refused_image(1000, "", EINVAL, "multiple");
	refused_image(4096 + 512, ",block=4096", EINVAL, "multiple");
}

static void a_file_without_permission_is_refused(void **state)
{
	struct disk d;
	int status;
	pid_t child;

	(void)state;
	disk_image(&d, "/dev/shm", 65536);
	chmod(d.path, 0400);
	child = fork();
	if (!child) {
		if (!getuid() && setuid(65534)) /* root may do anything */
			_exit(77);
		chmod(d.path, 0400);
		_exit(disk_try(&d, "") == -EACCES && strstr(vio_errmsg(), "read-only=on") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	unlink(d.path);
}

static void two_writers_cannot_share_an_image(void **state)
{
	struct disk d, e;

	(void)state;
	disk_image(&d, ".", 65536);
	e = d;
	assert_int_equal(disk_try(&d, ""), 0);
	assert_int_equal(disk_try(&e, ""), -EBUSY);
	assert_non_null(strstr(vio_errmsg(), "in use"));
	assert_int_equal(disk_try(&e, ",read-only=on"), -EBUSY);
	assert_int_equal(disk_try(&e, ",lock=off"), 0);
	disk_close(&e);
	disk_close(&d);
	assert_int_equal(disk_try(&d, ",read-only=on"), 0);
	assert_int_equal(disk_try(&e, ",read-only=on"), 0);
	disk_close(&e);
	disk_remove(&d);
}

static void a_closed_image_is_free_at_once(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct disk d;
	char buf[4096];

	disk_image(&d, ".", 65536);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(disk_try(&d, ""), 0);
		disk_lane(&d, p, NULL);
		assert_int_equal(disk_rw(&d, VIO_OP_READ, 0, 0, buf, sizeof(buf)), 0);
		disk_close(&d);
	}
	unlink(d.path);
}

static void info_shows_what_the_file_is_now(void **state)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct disk d;

	(void)state;
	disk_image(&d, ".", 65536);
	assert_int_equal(disk_try(&d, ",block=4096"), 0);
	assert_int_equal(vio_backend_info(d.b, &i), 0);
	assert_int_equal(i.size, 65536);
	assert_int_equal(i.block, 4096);
	assert_true(i.volatile_cache && !i.read_only);
	assert_true(i.ops & 1u << VIO_OP_WRITE && !(i.ops & 1u << VIO_OP_SECURE_ERASE));
	assert_int_equal(truncate(d.path, 1 << 20), 0);
	assert_int_equal(vio_backend_info(d.b, &i), 0);
	assert_int_equal(i.size, 1 << 20);
	disk_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_arguments_are_refused),
		cmocka_unit_test(what_is_no_image_is_refused),
		cmocka_unit_test(wrong_sizes_are_refused),
		cmocka_unit_test(a_file_without_permission_is_refused),
		cmocka_unit_test(two_writers_cannot_share_an_image),
		BOTH(a_closed_image_is_free_at_once),
		cmocka_unit_test(info_shows_what_the_file_is_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
