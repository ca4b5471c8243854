/* SPDX-License-Identifier: MIT */
/*
 * A key is erased: it is killed at each of its steps, and each of them fails in turn. What is left is one
 * whole key: the data is there as it was, or is noise, and then no file holds the key that it was.
 */
#define _GNU_SOURCE /* asprintf */
#include "store.h"
#include "keyfile.h"
#include "open_fds.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/wait.h>

static struct {
	int kill_at, fail_at; /* -1: never */
	int steps;
} turn = { -1, -1, 0 };

/* Before each call that changes something: the process ends here, or the call fails. */
static bool step(void)
{
	int now = turn.steps++;

	if (now == turn.kill_at)
		_exit(9);
	if (now != turn.fail_at)
		return false;
	errno = EIO;
	return true;
}

#define pwrite(fd, p, n, at) (step() ? -1 : pwrite(fd, p, n, at))
#define fsync(fd) (step() ? -1 : fsync(fd))
#define rename(from, to) (step() ? -1 : rename(from, to))
#define link(from, to) (step() ? -1 : link(from, to))
#define unlink(name) (step() ? -1 : unlink(name))
#define fchmod(fd, mode) (step() ? -1 : fchmod(fd, mode))
#define VIO_HAVE_CRYPTO 1 /* or there is no such test */
#include "filter/crypt_keeper.c"
#undef pwrite
#undef unlink
#undef fsync

#define SIZE 65536u

static char dir[] = "/tmp/vio-keys-XXXXXX", path[64], raw[64], filter[100], stack[200];
static unsigned char first[64], plain[SIZE], seen[SIZE];

static void key_at(const char *name, void *to)
{
	int fd = open(name, O_RDONLY);

	assert_int_equal(pread(fd, to, 64, 0), 64);
	close(fd);
}

/* All of the store, by a stack that is opened for it. */
static void move(enum vio_op op, void *buf)
{
	struct vio_poller *p;
	struct vio_backend *b;
	struct vio_lane *l;
	struct vio_req_pool *reqs;
	struct vio_req *r;

	assert_int_equal(vio_poller_new(&p, NULL), 0);
	if (vio_backend_parse(&b, NULL, stack))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_lane_new(&l, b, p, NULL), 0);
	assert_int_equal(vio_req_pool_new(&reqs, l, 1, 1), 0);
	r = vio_req_get(reqs);
	r->op = op;
	r->len = SIZE;
	r->iov[0] = (struct iovec){ buf, SIZE };
	r->niov = 1;
	vio_lane_submit(l, &r, 1);
	while (!vio_lane_reap(l, &r, 1))
		assert_true(vio_poller_wait(p, 1) >= 0);
	assert_int_equal(r->res, 0);
	vio_req_put(reqs, r);
	vio_req_pool_free(reqs);
	vio_lane_free(l);
	vio_backend_free(b);
	vio_poller_free(p);
}

static int erase_once(void)
{
	struct vio_backend *b;
	int rc = vio_backend_parse(&b, NULL, stack);

	if (rc)
		return rc;
	turn.steps = 0;
	rc = vio_backend_erase(b);
	vio_backend_free(b);
	return rc;
}

static void begin(int *old)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0640);

	turn.kill_at = turn.fail_at = -1;
	assert_int_equal(write(fd, first, sizeof(first)), sizeof(first));
	close(fd);
	fd = open(raw, O_CREAT | O_RDWR, 0600);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	move(VIO_OP_WRITE, plain);
	*old = open(path, O_RDONLY);
}

static unsigned files(void)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* After the next opening: true if it was erased. */
static bool settle(int old)
{
	unsigned char key[64], was[64];
	struct stat st;
	bool erased;

	move(VIO_OP_READ, seen);
	assert_int_equal(files(), 2); /* the key and the disk */
	key_at(path, key);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	erased = memcmp(key, first, sizeof(first)) != 0;
	assert_int_equal(pread(old, was, 64, 0), 64);
	if (erased) { /* no byte of the old key but by chance, and no sector of the data */
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(was[i], 0);
		for (unsigned i = 0; i < SIZE; i += 512)
			assert_memory_not_equal(seen + i, plain + i, 16);
	} else {
		assert_memory_equal(was, first, 64);
		assert_memory_equal(seen, plain, SIZE);
	}
	close(old);
	return erased;
}

static void it_is_erased(void **state)
{
	unsigned fds = open_fds();
	int old;

	(void)state;
	begin(&old);
	assert_int_equal(erase_once(), 0);
	assert_true(settle(old));
	move(VIO_OP_WRITE, plain);
	move(VIO_OP_READ, seen);
	assert_memory_equal(seen, plain, SIZE);
	assert_int_equal(open_fds(), fds);
}

static void it_is_killed_at_each_step(void **state)
{
	unsigned erased = 0, kept = 0;
	bool again = true;

	(void)state;
	for (int at = 0; again; at++) {
		int old, status;
		pid_t pid;

		begin(&old);
		pid = fork();
		if (!pid) {
			turn.kill_at = at;
			_exit(erase_once() ? 1 : 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		again = WEXITSTATUS(status) == 9;
		assert_true(again || !WEXITSTATUS(status));
		if (settle(old))
			erased++;
		else
			kept++;
	}
	assert_true(kept > 4 && erased > 4);
}

/* And is tried again, in the same process, after each failure: the second time it works. */
static void it_fails_at_each_step(void **state)
{
	bool again = true;

	(void)state;
	for (int at = 0; again; at++) {
		struct vio_backend *b;
		int old, rc;

		begin(&old);
		assert_int_equal(vio_backend_parse(&b, NULL, stack), 0);
		turn.fail_at = at;
		turn.steps = 0;
		rc = vio_backend_erase(b);
		again = turn.steps > at;
		assert_true(again || !rc);
		turn.fail_at = -1;
		if (at % 2) {
			vio_backend_free(b);
			settle(old);
			continue;
		}
		assert_int_equal(vio_backend_erase(b), 0);
		vio_backend_free(b);
		assert_true(settle(old));
	}
}

/* Stacks that would share the key, and those that show a part of what it is for. */
static void what_is_refused(void **state)
{
	char twin[200], none[240], link_path[80], linked[200];
	struct vio_backend *b, *c;
	struct vio_poller *p;
	struct vio_lane *l;
	int old;

	(void)state;
	begin(&old);
	snprintf(twin, sizeof(twin), "ram:1M | crypt:keyfile=%s,erase=on", path);
	snprintf(none, sizeof(none), "ram:1M | crypt:keyfile=%s", path);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), 0);
	assert_int_equal(vio_backend_parse(&c, NULL, twin), -EBUSY);
	assert_int_equal(vio_backend_parse(&c, NULL, none), -EBUSY);
	assert_int_equal(vio_poller_new(&p, NULL), 0);
	assert_int_equal(vio_lane_new(&l, b, p, NULL), 0);
	assert_int_equal(vio_backend_erase(b), -EBUSY);
	vio_lane_free(l);
	assert_int_equal(vio_backend_erase(b), 0);
	assert_int_equal(vio_backend_parse(&c, NULL, twin), -EBUSY); /* the new file is locked as well */
	assert_int_equal(vio_lane_new(&l, b, p, NULL), 0);
	vio_lane_free(l);
	vio_poller_free(p);
	vio_backend_free(b);
	assert_int_equal(vio_backend_parse(&b, NULL, none), 0);
	assert_int_equal(vio_backend_erase(b), -EOPNOTSUPP);
	vio_backend_free(b);
	snprintf(none, sizeof(none), "%s | offset:start=4K",
		 twin); /* the key is that of more than the window */
	assert_int_equal(vio_backend_parse(&b, NULL, none), 0);
	assert_int_equal(vio_backend_erase(b), -EOPNOTSUPP);
	vio_backend_free(b);
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M | crypt:keyfile=/dev/zero,erase=on"), -EINVAL);

	snprintf(link_path, sizeof(link_path), "%s/link",
		 dir); /* what a symbolic link names is replaced, not the link */
	assert_int_equal(symlink(path, link_path), 0);
	snprintf(linked, sizeof(linked), "ram:1M | crypt:keyfile=%s,erase=on", link_path);
	assert_int_equal(vio_backend_parse(&b, NULL, linked), 0);
	assert_int_equal(vio_backend_erase(b), 0);
	vio_backend_free(b);
	unlink(link_path);
	assert_true(settle(old));
}

static int open_all(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	snprintf(raw, sizeof(raw), "%s/raw", dir);
	snprintf(filter, sizeof(filter), "crypt:keyfile=%s,erase=on", path);
	snprintf(stack, sizeof(stack), "file:%s | %s", raw, filter);
	fill(first, sizeof(first), 3);
	fill(plain, sizeof(plain), 4);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	unlink(path);
	unlink(raw);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_erased),
		cmocka_unit_test(it_is_killed_at_each_step),
		cmocka_unit_test(it_fails_at_each_step),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
