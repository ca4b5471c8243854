/* SPDX-License-Identifier: MIT */
/* A tap that can't be had: the error says what is missing, and nothing stays open. */
#define _GNU_SOURCE
#include "tap.h"
#include "open_fds.h"

#include <linux/capability.h>
#include <linux/if_tun.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void refused(const char *arg, int err, const char *words)
{
	struct vio_backend *b;
	unsigned before = open_fds();

	if (vio_backend_new(&b, vio_backend_find("tap"), NULL, NULL, arg) != -err)
		fail_msg("tap:%s: %s", arg, b ? "accepted" : vio_errmsg());
	assert_null(b);
	if (!strstr(vio_errmsg(), words))
		fail_msg("'%s' does not say '%s'", vio_errmsg(), words);
	assert_int_equal(open_fds(), before);
}

static void wrong_arguments(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char arg[32];

	(void)state;
	refused("", EINVAL, "must be named");
	refused("sixteencharacter", EINVAL, "longer than the 15");
	refused("vio0,queues=0", EINVAL, "1 to 256");
	refused("vio0,queues=257", EINVAL, "1 to 256");
	refused("vio0,mtu=67", EINVAL, "68 to");
	refused("vio0,tune=on", EINVAL, "queues, mtu, persist, vnet, fd");
	refused("a/b", EINVAL, "a/b");
	snprintf(arg, sizeof(arg), "fd=%d", null);
	refused(arg, EINVAL, "is no tap");
	snprintf(arg, sizeof(arg), "fd=%d,queues=2", null);
	refused(arg, EINVAL, "one queue");
	close(null);
	refused("fd=1000000", EINVAL, "is no tap");
}

static int interface(const char *name, int flags)
{
	struct ifreq r = { .ifr_flags = (short)flags };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &r), 0);
	return fd;
}

static void interfaces_of_another_kind(void **state)
{
	int tun = interface("vio0", IFF_TUN | IFF_NO_PI), tap = interface("vio1", IFF_TAP | IFF_NO_PI);
	int many = interface("vio2", IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE);
	char arg[32];

	(void)state;
	refused("vio0", EINVAL, "is no tap");
	refused("vio1", EBUSY, "in use by another");
	refused("vio1,queues=2", EINVAL, "several queues");
	refused("vio2", EINVAL, "queues=N");
	refused("lo", EINVAL, "lo");
	snprintf(arg, sizeof(arg), "fd=%d", tun);
	refused(arg, EINVAL, "expected a tap");
	snprintf(arg, sizeof(arg), "vio0,fd=%d", tap);
	refused(arg, EINVAL, "expected vio0");
	close(tun);
	close(tap);
	close(many);
}

/* In a process of its own, which gives its privileges up. */
static void without_privileges(void **state)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	pid_t child = fork();
	int status;

	(void)state;
	if (!child) {
		struct vio_backend *b;

		if (syscall(SYS_capset, &h, none))
			_exit(1);
		if (vio_backend_new(&b, vio_backend_find("tap"), NULL, NULL, "vio0") != -EPERM)
			_exit(2);
		_exit(strstr(vio_errmsg(), "CAP_NET_ADMIN") ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void pairs_that_are_not_there(void **state)
{
	struct vio_poller *p = poller_from(state);
	VIO_OPTS(vio_lane_opts, o, .pair = 2, .recv = true);
	struct vio_backend *b;
	struct vio_lane *l;

	assert_int_equal(vio_backend_new(&b, vio_backend_find("tap"), NULL, NULL, "vio0,queues=2"), 0);
	assert_int_equal(vio_lane_new(&l, b, p, &o), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "2 queues"));
	vio_backend_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_arguments),
		cmocka_unit_test(interfaces_of_another_kind),
		cmocka_unit_test(without_privileges),
		BOTH(pairs_that_are_not_there),
	};

	if (!net_enter())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
