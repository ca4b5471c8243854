/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* The server's socket: paths that can't be, stale files, one front end at a time, reconnects that leak
 * nothing. */
#include "tiny_guest.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/un.h>

static char dir[64];

static char *in_dir(char *to, const char *name)
{
	snprintf(to, 108, "%s/%s", dir, name);
	return to;
}

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/vio-sockets-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[108];

	(void)state;
	unlink(in_dir(path, "s")); /* there if a test was cut short */
	unlink(in_dir(path, "file"));
	return rmdir(dir);
}

static int listen_at(struct front *f, const char *path)
{
	VIO_OPTS(vio_vhost_user_opts, o, .path = path, .connected = front_connected, .ctx = f);

	return vio_vhost_user_new(&f->t, f->p, f->d, &o);
}

static int dial(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(name.sun_path, path);
	if (!connect(s, (struct sockaddr *)&name, sizeof(name)))
		return s;
	close(s);
	return -1;
}

static void expect_fail(const char *path, int err, const char *sentence)
{
	struct front f;

	front_device(&f, "");
	assert_int_equal(listen_at(&f, path), -err);
	assert_null(f.t);
	assert_non_null(strstr(vio_errmsg(), sentence));
	front_free(&f);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
	char path[200];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	expect_fail(path, EINVAL, "expected 1 to 107");
	expect_fail("", EINVAL, "expected 1 to 107");
}

static void a_missing_directory_is_named(void **state)
{
	char path[108];

	(void)state;
	expect_fail(in_dir(path, "none/s"), ENOENT, "directory");
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
	char path[108];
	struct stat st;
	int fd = open(in_dir(path, "file"), O_CREAT | O_WRONLY, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	expect_fail(path, EEXIST, "is not a socket");
	assert_int_equal(stat(path, &st), 0);
	unlink(path);
}

static void a_socket_in_use_is_refused(void **state)
{
	struct front f, g;
	char path[108];

	(void)state;
	front_device(&f, "");
	assert_int_equal(listen_at(&f, in_dir(path, "s")), 0);
	front_device(&g, "");
	assert_int_equal(listen_at(&g, path), -EADDRINUSE);
	assert_non_null(strstr(vio_errmsg(), "another process listens"));
	front_free(&g);
	assert_true((f.s = dial(path)) >= 0);
	assert_int_equal(front_ask_u64(&f, VU_GET_FEATURES) & FRONT_PF, FRONT_PF);
	front_free(&f);
	assert_int_equal(access(path, F_OK), -1); /* removed by stop */
}

static void a_stale_socket_is_replaced(void **state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	char path[108];
	struct front f;

	(void)state;
	strcpy(name.sun_path, in_dir(path, "s"));
	assert_int_equal(bind(s, (struct sockaddr *)&name, sizeof(name)), 0);
	close(s);
	front_device(&f, "");
	assert_int_equal(listen_at(&f, path), 0);
	assert_true((f.s = dial(path)) >= 0);
	front_greet(&f, FRONT_PF | FRONT_V1);
	front_free(&f);
}

/* Another server has taken the path over: its socket is not ours to remove. */
static void only_the_own_socket_is_removed(void **state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	char path[108];
	struct front f;

	(void)state;
	front_device(&f, "");
	assert_int_equal(listen_at(&f, in_dir(path, "s")), 0);
	unlink(path);
	strcpy(name.sun_path, path);
	assert_int_equal(bind(s, (struct sockaddr *)&name, sizeof(name)), 0);
	front_free(&f);
	assert_int_equal(access(path, F_OK), 0);
	close(s);
	unlink(path);
}

static void the_next_front_end_waits_for_the_first_to_go(void **state)
{
	struct vu_header h = { VU_GET_FEATURES, VU_VERSION, 0 };
	struct vu_inbox in = { 0 };
	char path[108];
	struct front f;
	int second;

	(void)state;
	front_device(&f, "");
	assert_int_equal(listen_at(&f, in_dir(path, "s")), 0);
	assert_true((f.s = dial(path)) >= 0);
	front_greet(&f, FRONT_PF | FRONT_V1);
	assert_true((second = dial(path)) >= 0);
	assert_int_equal(send(second, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(front_ask_u64(&f, VU_GET_QUEUE_NUM), 1);
	assert_int_equal(vu_recv(&in, second), 0);
	assert_int_equal(f.ups, 1);
	front_hang_up(&f);
	f.s = second;
	while (!vu_recv(&in, second))
		front_pump(&f);
	assert_int_equal(in.msg.h.request, VU_GET_FEATURES);
	assert_int_equal(f.ups, 2);
	front_free(&f);
}

static void a_new_connection_starts_without_the_last_ones_features(void **state)
{
	char path[108];
	struct front f;

	(void)state;
	front_device(&f, "");
	assert_int_equal(listen_at(&f, in_dir(path, "s")), 0);
	assert_true((f.s = dial(path)) >= 0);
	front_greet(&f, FRONT_PF | FRONT_V1);
	assert_int_equal(vio_dev_acked(f.d), FRONT_V1);
	front_hang_up(&f);
	while (!f.downs)
		front_pump(&f);
	assert_int_equal(vio_dev_acked(f.d), 0);
	assert_true((f.s = dial(path)) >= 0);
	front_send(&f, VU_GET_QUEUE_NUM, 0, NULL, 0, NULL, 0); /* MQ is to be accepted anew */
	front_expect_closed(&f);
	front_free(&f);
}

/* Row 38: a client that comes, sets up what it can and goes, over and over. */
static void a_reconnect_loop_leaks_nothing(void **state)
{
	unsigned fds = 0, maps = 0;
	char path[108];
	struct front f;

	(void)state;
	front_device(&f, "");
	front_memory(&f);
	assert_int_equal(listen_at(&f, in_dir(path, "s")), 0);
	for (int i = 0; i < 100; i++) {
		struct vu_inflight in = { .queues = 1, .queue_size = 256 };
		struct guest_queue q;
		struct vu_msg m;
		int s[2];

		assert_true((f.s = dial(path)) >= 0);
		front_greet(&f, FRONT_PF | FRONT_V1);
		assert_int_equal(front_give_memory(&f), 0);
		m = front_ask(&f, VU_GET_INFLIGHT_FD, &in, sizeof(in));
		assert_int_equal(front_ack(&f, VU_SET_INFLIGHT_FD, &m.p, sizeof(in), m.fds, 1), 0);
		vu_close_fds(&m);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
		assert_int_equal(front_ack(&f, VU_SET_BACKEND_REQ_FD, NULL, 0, &s[1], 1), 0);
		guest_queue_init(&q, &f, 0, false);
		guest_queue_start(&q, 0);
		guest_check_path(&q, 3, (uint64_t)i);
		if (i % 2) { /* in mid-message */
			struct vu_header h = { VU_SET_VRING_KICK, VU_VERSION, 8 };

			assert_int_equal(send(f.s, &h, sizeof(h), 0), sizeof(h));
		}
		front_hang_up(&f);
		close(s[0]);
		close(s[1]);
		guest_queue_close(&q);
		while (f.downs <= i)
			front_pump(&f);
		if (i == 4) {
			fds = open_fds();
			maps = front_maps();
		}
	}
	assert_int_equal(open_fds(), fds);
	assert_int_equal(front_maps(), maps);
	front_free(&f);
}

static void a_client_retries_until_there_is_a_front_end(void **state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	VIO_OPTS(vio_vhost_user_opts, o, .client = true, .retry_ms = 1);
	int l = socket(AF_UNIX, SOCK_STREAM, 0);
	char path[108];
	struct front f;

	(void)state;
	front_device(&f, "");
	o.path = in_dir(path, "s");
	o.connected = front_connected;
	o.ctx = &f;
	assert_int_equal(vio_vhost_user_new(&f.t, f.p, f.d, &o), 0);
	for (int i = 0; i < 5; i++)
		front_pump(&f);
	strcpy(name.sun_path, path);
	assert_int_equal(bind(l, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(l, 1), 0);
	for (int i = 1; i <= 2; i++) { /* and again after the first has gone */
		while (f.ups < i)
			front_pump(&f);
		f.s = accept(l, NULL, NULL);
		front_greet(&f, FRONT_PF | FRONT_V1);
		front_hang_up(&f);
		while (f.downs < i)
			front_pump(&f);
	}
	close(l);
	front_free(&f);
	assert_int_equal(access(path, F_OK), 0); /* the front end's socket, not ours to remove */
	unlink(path);
}

static void options_that_cannot_be_are_refused(void **state)
{
	VIO_OPTS(vio_vhost_user_opts, not_a_socket, .fd = STDERR_FILENO);
	VIO_OPTS(vio_vhost_user_opts, closed, .fd = -1);
	VIO_OPTS(vio_vhost_user_opts, nowhere, .client = true);
	VIO_OPTS(vio_vhost_user_opts, no_pollers, .path = "/tmp/x", .npollers = 2);
	struct front f;
	int file = open("/dev/null", O_RDONLY);

	(void)state;
	not_a_socket.fd = file;
	front_device(&f, "");
	assert_int_equal(vio_vhost_user_new(&f.t, f.p, f.d, &not_a_socket), -ENOTSOCK);
	assert_int_equal(vio_vhost_user_new(&f.t, f.p, f.d, &closed), -EBADF);
	assert_int_equal(vio_vhost_user_new(&f.t, f.p, f.d, &nowhere), -EINVAL);
	assert_int_equal(vio_vhost_user_new(&f.t, f.p, f.d, &no_pollers), -EINVAL);
	assert_null(f.t);
	close(file);
	front_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_that_is_too_long_is_refused),
		cmocka_unit_test(a_missing_directory_is_named),
		cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
		cmocka_unit_test(a_socket_in_use_is_refused),
		cmocka_unit_test(a_stale_socket_is_replaced),
		cmocka_unit_test(only_the_own_socket_is_removed),
		cmocka_unit_test(the_next_front_end_waits_for_the_first_to_go),
		cmocka_unit_test(a_new_connection_starts_without_the_last_ones_features),
		cmocka_unit_test(a_reconnect_loop_leaks_nothing),
		cmocka_unit_test(a_client_retries_until_there_is_a_front_end),
		cmocka_unit_test(options_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
