/* SPDX-License-Identifier: MIT */
/* vhost-user messages cross a socket whole, in pieces, with their descriptors, and never leak one. */
#include "open_fds.h"

#include "wire/vhost_user.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static void pair(int s[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
}

static void unpair(int s[2])
{
	close(s[0]);
	close(s[1]);
}

/* Sends bytes with n copies of a descriptor, past vu_send's own checks. */
static void send_raw(int s, const void *bytes, size_t len, unsigned n)
{
	char control[CMSG_SPACE(sizeof(int) * 64)] = { 0 };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[64];

	for (unsigned i = 0; i < n; i++)
		fds[i] = STDERR_FILENO;
	if (n) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	assert_int_equal(sendmsg(s, &mh, 0), len);
}

static void a_message_arrives_with_its_descriptors(void **state)
{
	struct vu_msg out = { .h = { VU_SET_VRING_KICK, VU_VERSION, 8 }, .p.u64 = 7, .nfds = 2 };
	struct vu_inbox in = { 0 };
	unsigned before = open_fds();
	int s[2];

	(void)state;
	pair(s);
	out.fds[0] = s[0];
	out.fds[1] = s[1];
	assert_int_equal(vu_send(s[0], &out, 1000), 0);
	assert_int_equal(vu_recv_wait(&in, s[1], 1000), 1);
	assert_int_equal(in.msg.h.request, VU_SET_VRING_KICK);
	assert_int_equal(in.msg.p.u64, 7);
	assert_int_equal(in.msg.nfds, 2);
	assert_true(fcntl(in.msg.fds[0], F_GETFD) & FD_CLOEXEC);
	vu_close_fds(&in.msg);
	assert_int_equal(in.msg.nfds, 0);
	unpair(s);
	assert_int_equal(open_fds(), before);
}

static void one_byte_at_a_time_is_enough(void **state)
{
	struct vu_msg out = { .h = { VU_SET_FEATURES, VU_VERSION, 8 }, .p.u64 = 0x1122334455667788 };
	struct vu_inbox in = { 0 };
	char wire[20];
	int s[2];

	(void)state;
	pair(s);
	memcpy(wire, &out.h, 12);
	memcpy(wire + 12, &out.p, 8);
	for (size_t i = 0; i < sizeof(wire); i++) {
		assert_int_equal(vu_recv(&in, s[1]), 0);
		send_raw(s[0], wire + i, 1, i == 0);
	}
	assert_int_equal(vu_recv(&in, s[1]), 1);
	assert_int_equal(in.msg.p.u64, 0x1122334455667788);
	assert_int_equal(in.msg.nfds, 1);
	vu_close_fds(&in.msg);
	unpair(s);
}

static void two_messages_in_one_write_stay_apart(void **state)
{
	struct vu_header h[2] = { { VU_GET_FEATURES, VU_VERSION, 0 }, { VU_SET_OWNER, VU_VERSION, 0 } };
	struct vu_inbox in = { 0 };
	int s[2];

	(void)state;
	pair(s);
	send_raw(s[0], h, sizeof(h), 0);
	assert_int_equal(vu_recv(&in, s[1]), 1);
	assert_int_equal(in.msg.h.request, VU_GET_FEATURES);
	memset(&in, 0, sizeof(in));
	assert_int_equal(vu_recv(&in, s[1]), 1);
	assert_int_equal(in.msg.h.request, VU_SET_OWNER);
	unpair(s);
}

static void expect_refused(struct vu_header h, unsigned nfds)
{
	struct vu_inbox in = { 0 };
	unsigned before = open_fds();
	int s[2];

	pair(s);
	send_raw(s[0], &h, sizeof(h), nfds);
	assert_int_equal(vu_recv(&in, s[1]), -EBADMSG);
	assert_int_equal(in.msg.nfds, 0);
	unpair(s);
	assert_int_equal(open_fds(), before);
}

static void too_many_descriptors_are_refused_and_closed(void **state)
{
	(void)state;
	expect_refused((struct vu_header){ VU_SET_OWNER, VU_VERSION, 0 }, VU_MAX_FDS + 1);
}

static void truncated_ancillary_data_is_refused_and_closed(void **state)
{
	(void)state;
	expect_refused((struct vu_header){ VU_SET_OWNER, VU_VERSION, 0 }, 60);
}

static void a_payload_larger_than_the_buffer_is_refused(void **state)
{
	(void)state;
	expect_refused((struct vu_header){ VU_SET_OWNER, VU_VERSION, sizeof(union vu_payload) + 1 }, 1);
	expect_refused((struct vu_header){ VU_SET_OWNER, VU_VERSION, UINT32_MAX }, 1);
}

static void another_version_is_refused(void **state)
{
	(void)state;
	expect_refused((struct vu_header){ VU_SET_OWNER, 0, 0 }, 1);
	expect_refused((struct vu_header){ VU_SET_OWNER, 2, 0 }, 1);
}

static void a_peer_that_goes_in_mid_message_leaks_nothing(void **state)
{
	struct vu_header h = { VU_SET_VRING_KICK, VU_VERSION, 8 };
	struct vu_inbox in = { 0 };
	unsigned before = open_fds();
	int s[2];

	(void)state;
	pair(s);
	send_raw(s[0], &h, sizeof(h), 1);
	assert_int_equal(vu_recv(&in, s[1]), 0);
	assert_int_equal(in.msg.nfds, 1);
	close(s[0]);
	assert_int_equal(vu_recv(&in, s[1]), -ECONNRESET);
	close(s[1]);
	assert_int_equal(open_fds(), before);
}

static void a_peer_that_does_not_answer_times_out(void **state)
{
	struct vu_inbox in = { 0 };
	int s[2];

	(void)state;
	pair(s);
	assert_int_equal(vu_recv_wait(&in, s[1], 1), -ETIMEDOUT);
	unpair(s);
}

static void a_peer_that_does_not_read_times_out(void **state)
{
	struct vu_msg out = { .h = { VU_SET_CONFIG, VU_VERSION, 268 } };
	int s[2], r;

	(void)state;
	pair(s);
	while (!(r = vu_send(s[0], &out, 1)))
		;
	assert_int_equal(r, -ETIMEDOUT);
	unpair(s);
}

static void a_slow_reader_gets_every_message_whole(void **state)
{
	struct vu_outbox out = { .msg = { .h = { VU_SET_CONFIG, VU_VERSION, 268 } } };
	struct vu_inbox in = { 0 };
	unsigned sent = 0, got = 0;
	int s[2];

	(void)state;
	pair(s);
	while (sent < 4000) {
		int r = vu_send_some(&out, s[0]);

		assert_true(r >= 0);
		if (r) {
			out.sent = 0;
			out.msg.p.config.offset = ++sent;
			continue;
		}
		assert_int_equal(vu_recv(&in, s[1]), 1);
		assert_int_equal(in.msg.p.config.offset, got++);
		memset(&in, 0, sizeof(in));
	}
	assert_true(got > 0);
	unpair(s);
}

static void a_closed_peer_is_an_error_and_no_signal(void **state)
{
	struct vu_msg out = { .h = { VU_SET_OWNER, VU_VERSION, 0 } };
	int s[2];

	(void)state;
	pair(s);
	close(s[1]);
	assert_int_equal(vu_send(s[0], &out, 10), -EPIPE);
	close(s[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives_with_its_descriptors),
		cmocka_unit_test(one_byte_at_a_time_is_enough),
		cmocka_unit_test(two_messages_in_one_write_stay_apart),
		cmocka_unit_test(too_many_descriptors_are_refused_and_closed),
		cmocka_unit_test(truncated_ancillary_data_is_refused_and_closed),
		cmocka_unit_test(a_payload_larger_than_the_buffer_is_refused),
		cmocka_unit_test(another_version_is_refused),
		cmocka_unit_test(a_peer_that_goes_in_mid_message_leaks_nothing),
		cmocka_unit_test(a_peer_that_does_not_answer_times_out),
		cmocka_unit_test(a_peer_that_does_not_read_times_out),
		cmocka_unit_test(a_slow_reader_gets_every_message_whole),
		cmocka_unit_test(a_closed_peer_is_an_error_and_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
