/* SPDX-License-Identifier: MIT */
/* Where seccomp refuses io_uring, as containers' filters do, AUTO means epoll, and it works; no AIO is
 * needed. */
#include "poller.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* From now on `nr` fails with err in this process. */
static int refuse_syscall(unsigned nr, unsigned err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int io_result;

static void io_done(struct vio_io *io, int res)
{
	(void)io;
	io_result = res;
}

static bool reads_a_file(struct vio_poller *p)
{
	char path[] = "fallback-XXXXXX", buf[64];
	struct iovec iov = { buf, sizeof(buf) };
	int fd = mkstemp(path);
	struct vio_io io = {
		.done = io_done, .op = VIO_IO_READ, .niov = 1, .iov = &iov, .buf = -1, .file = -1, .fd = fd
	};

	unlink(path);
	io_result = -1;
	if (write(fd, "hello", 5) != 5)
		return false;
	vio_io_submit(p, &io);
	while (io_result == -1)
		if (vio_poller_wait(p, -1) < 0)
			return false;
	close(fd);
	return io_result == 5 && !memcmp(buf, "hello", 5);
}

/* The exit status says what went wrong. */
static int child_main(unsigned err, bool no_aio)
{
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_IO_URING);
	struct vio_poller *p;

	if (refuse_syscall(SYS_io_uring_setup, err) || (no_aio && refuse_syscall(SYS_io_setup, err)))
		return 77;
	if (vio_poller_new(&p, &o) != -(int)err || p || !strstr(vio_errmsg(), "io_uring"))
		return 1;
	if (vio_poller_new(&p, NULL))
		return 2;
	if (vio_poller_engine(p) != VIO_POLL_EPOLL)
		return 3;
	if (!reads_a_file(p))
		return 4;
	vio_poller_free(p);
	return 0;
}

static void falls_back(unsigned err, bool no_aio)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(child_main(err, no_aio));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no seccomp filters here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void forbidden_means_epoll(void **state)
{
	(void)state;
	falls_back(EPERM, false);
}

static void unknown_means_epoll(void **state)
{
	(void)state;
	falls_back(ENOSYS, false);
}

static void without_aio_files_work_too(void **state)
{
	(void)state;
	falls_back(EPERM, true);
	falls_back(ENOSYS, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_means_epoll),
		cmocka_unit_test(unknown_means_epoll),
		cmocka_unit_test(without_aio_files_work_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
