/* SPDX-License-Identifier: MIT */
/* A tap port and the kernel's own network stack: what one sends, the other takes, offloads included. */
#define _GNU_SOURCE
#include "news.h"
#include "tap.h"
#include "udp_frame.h"

#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define ALL (VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_GSO | VIO_PACKET_ECN | VIO_RECV_MERGE)

static char data[65536];

/* A tap that the kernel has KERNEL_IP on, and lanes into it. */
struct bench {
	struct vio_poller *p;
	struct vio_backend *b;
	struct way send, recv;
	struct frame_way to_kernel;
};

static struct vio_backend *tap_new(const char *arg)
{
	struct vio_backend *b;

	if (vio_backend_new(&b, vio_backend_find("tap"), NULL, NULL, arg))
		fail_msg("%s", vio_errmsg());
	return b;
}

static struct bench up(void **state, const char *arg, size_t recv_bytes)
{
	struct bench t = { .p = poller_from(state), .b = tap_new(arg) };

	net_configure("vio0", KERNEL_IP);
	net_neighbour("vio0");
	t.send = way_open(t.b, t.p, 0, false, 64);
	t.recv = way_open(t.b, t.p, 0, true, recv_bytes);
	t.to_kernel = (struct frame_way){
		.src = OUR_MAC, .src_ip = OUR_IP, .dst_ip = KERNEL_IP, .src_port = 1000, .dst_port = 2000
	};
	net_mac("vio0", t.to_kernel.dst);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + (i >> 8));
	return t;
}

static void down(struct bench *t)
{
	way_close(&t->send);
	way_close(&t->recv);
	vio_backend_free(t->b);
}

/* The next frame of `protocol`; the kernel may have other things to say in between. */
static size_t heard(struct bench *t, uint8_t protocol, char *frame, uint8_t *flags, struct vio_offload *o)
{
	size_t len;

	do
		len = way_recv(&t->recv, t->p, frame, flags, o);
	while (!frame_is(frame, len, protocol));
	return len;
}

static void kernel_says(int s, const void *from, size_t len)
{
	struct sockaddr_in to = net_addr(OUR_IP, 3000);

	assert_int_equal(sendto(s, from, len, 0, (void *)&to, sizeof(to)), len);
}

static void kernel_hears(int s, const void *want, size_t len)
{
	static char got[65536];

	assert_int_equal(recv(s, got, sizeof(got), 0), len);
	assert_memory_equal(got, want, len);
}

static void a_ping_is_answered(void **state)
{
	struct bench t = up(state, "vio0", 2048);
	struct vio_offload o;
	char frame[2048];
	uint8_t flags;

	way_post(&t.recv, 16, 0, 12);
	way_send(&t.send, t.p, frame, frame_ping(frame, &t.to_kernel, data, 500), 0, NULL);
	assert_int_equal(heard(&t, IPPROTO_ICMP, frame, &flags, &o), FRAME_L4 + 8 + 500);
	assert_int_equal(frame[FRAME_L4], ICMP_ECHOREPLY);
	assert_memory_equal(frame + FRAME_L4 + 8, data, 500);
	assert_memory_equal(frame, OUR_MAC, 6);
	assert_int_equal(flags, 0);
	down(&t);
}

static void the_kernel_takes_flagged_checksums(void **state)
{
	const struct vio_offload o = { .csum_start = FRAME_L4, .csum_offset = 6 };
	struct bench t = up(state, "vio0", 2048);
	int s = net_socket(SOCK_DGRAM, KERNEL_IP, 2000);
	char frame[2048];
	size_t len = frame_udp(frame, &t.to_kernel, data, 1000, true);

	way_send(&t.send, t.p, frame, len, VIO_PACKET_CSUM, &o);
	kernel_hears(s, data, 1000);
	way_send(&t.send, t.p, frame, len, 0, NULL); /* the same without the flag is a wrong sum */
	assert_int_equal(recv(s, frame, sizeof(frame), 0), -1);
	way_send(&t.send, t.p, frame, frame_udp(frame, &t.to_kernel, data + 1, 999, false), 0, NULL);
	kernel_hears(s, data + 1, 999);
	assert_int_equal(counter_of(t.b, "sent"), 3);
	close(s);
	down(&t);
}

static void the_kernel_sums_for_those_who_ask_it(void **state)
{
	struct bench t = up(state, "vio0", 2048);
	int s = net_socket(SOCK_DGRAM, KERNEL_IP, 2000);
	struct vio_offload o;
	char frame[2048];
	uint8_t flags;

	way_post(&t.recv, 1, 0, 0);
	kernel_says(s, data, 700);
	assert_int_equal(heard(&t, IPPROTO_UDP, frame, &flags, &o), FRAME_UDP_DATA + 700);
	assert_int_equal(flags, 0);
	assert_int_equal(frame_l4_sum(frame, IPPROTO_UDP, 708), 0xffff);
	way_post(&t.recv, 1, ALL, 0);
	kernel_says(s, data, 700);
	assert_int_equal(heard(&t, IPPROTO_UDP, frame, &flags, &o), FRAME_UDP_DATA + 700);
	assert_int_equal(flags, VIO_PACKET_CSUM);
	assert_int_equal(o.csum_start, FRAME_L4);
	assert_int_equal(o.csum_offset, 6);
	assert_memory_equal(frame + FRAME_UDP_DATA, data, 700);
	close(s);
	down(&t);
}

/* Frames come in the order sent, each in the RECVs it needs, wherever head room is left. */
static void frames_spread_over_small_buffers(void **state)
{
	struct bench t = up(state, "vio0,mtu=9000", 256);
	int s = net_socket(SOCK_DGRAM, KERNEL_IP, 2000);
	const size_t sizes[] = { 1, 8000, 100, 3000, 203, 4000, 9000 - 28 };
	struct vio_offload o;
	char frame[16384];
	uint8_t flags;

	way_post(&t.recv, 200, ALL, 12);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		kernel_says(s, data + i, sizes[i]);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(heard(&t, IPPROTO_UDP, frame, &flags, &o), FRAME_UDP_DATA + sizes[i]);
		assert_memory_equal(frame + FRAME_UDP_DATA, data + i, sizes[i]);
	}
	assert_true(counter_of(t.b, "spilled") >= 1);
	close(s);
	down(&t);
}

static void what_does_not_fit_is_dropped_and_counted(void **state)
{
	struct bench t = up(state, "vio0", 256);
	int s = net_socket(SOCK_DGRAM, KERNEL_IP, 2000);
	struct vio_offload o;
	char frame[2048];
	uint8_t flags;

	way_post(&t.recv, 2, 0, 12);
	kernel_says(s, data, 1400);
	kernel_says(s, data, 256 - 12 - FRAME_UDP_DATA + 1);
	kernel_says(s, data, 256 - 12 - FRAME_UDP_DATA);
	assert_int_equal(heard(&t, IPPROTO_UDP, frame, &flags, &o), 256 - 12);
	assert_int_equal(counter_of(t.b, "dropped_too_long"), 2);
	assert_int_equal(way_recall(&t.recv), 1);
	way_post(&t.recv, 5, VIO_RECV_MERGE, 0);
	kernel_says(s, data, 1400);
	kernel_says(s, data, 10);
	assert_int_equal(heard(&t, IPPROTO_UDP, frame, &flags, &o), FRAME_UDP_DATA + 10);
	assert_int_equal(counter_of(t.b, "dropped_no_buffer"), 1);
	assert_int_equal(way_recall(&t.recv), 4);
	close(s);
	down(&t);
}

static void a_link_that_is_down_loses_frames_and_says_so(void **state)
{
	struct bench t = up(state, "vio0", 2048);
	VIO_OPTS(vio_backend_info, i);
	char frame[2048];
	size_t len = frame_ping(frame, &t.to_kernel, data, 20);

	assert_int_equal(vio_backend_info(t.b, &i), 0);
	assert_false(i.link_down);
	assert_int_equal(i.mtu, 1500);
	assert_int_equal(i.pairs, 1);
	assert_int_equal(i.ops, 1u << VIO_OP_SEND | 1u << VIO_OP_RECV);
	assert_true(i.offloads & VIO_PACKET_TSO4);
	net_up("vio0", false);
	way_send(&t.send, t.p, frame, len, 0, NULL);
	assert_int_equal(counter_of(t.b, "dropped_down"), 1);
	assert_int_equal(vio_backend_info(t.b, &i), 0);
	assert_true(i.link_down);
	net_up("vio0", true);
	way_send(&t.send, t.p, frame, len, 0, NULL);
	way_send(&t.send, t.p, frame, 13, 0, NULL);
	assert_int_equal(counter_of(t.b, "sent"), 1);
	assert_int_equal(counter_of(t.b, "dropped_malformed"), 1);
	down(&t);
}

static void frames_without_headers(void **state)
{
	struct bench t = up(state, "vio0,vnet=off", 2048);
	const struct vio_offload o = { .csum_start = FRAME_L4, .csum_offset = 6 };
	VIO_OPTS(vio_backend_info, i);
	struct vio_offload got;
	char frame[2048];
	uint8_t flags;

	assert_int_equal(vio_backend_info(t.b, &i), 0);
	assert_int_equal(i.offloads, 0);
	way_post(&t.recv, 16, VIO_RECV_MERGE, 0);
	way_send(&t.send, t.p, frame, frame_ping(frame, &t.to_kernel, data, 300), VIO_PACKET_CSUM, &o);
	assert_int_equal(counter_of(t.b, "dropped_offload"), 1);
	way_send(&t.send, t.p, frame, frame_ping(frame, &t.to_kernel, data, 300), 0, NULL);
	assert_int_equal(heard(&t, IPPROTO_ICMP, frame, &flags, &got), FRAME_L4 + 8 + 300);
	down(&t);
}

/* Many flows reach both queues; with one closed, all reach the other. */
static void two_queues(void **state)
{
	struct bench t = up(state, "vio0,queues=2", 2048);
	struct way second = way_open(t.b, t.p, 1, true, 2048);
	unsigned got[2] = { 0 };
	int s[64];

	way_post(&t.recv, WAY_REQS, 0, 0);
	way_post(&second, WAY_REQS, 0, 0);
	for (unsigned i = 0; i < 64; i++) {
		s[i] = net_socket(SOCK_DGRAM, KERNEL_IP, (uint16_t)(5000 + i));
		kernel_says(s[i], data, 100);
	}
	while (got[0] + got[1] < 64) {
		struct vio_req *r;

		for (unsigned q = 0; q < 2; q++)
			while (vio_lane_reap(q ? second.lane : t.recv.lane, &r, 1)) {
				got[q] += frame_is(r->iov[0].iov_base, r->len, IPPROTO_UDP);
				vio_req_put(q ? second.pool : t.recv.pool, r);
			}
		if (got[0] + got[1] < 64)
			news_within(t.p, 20);
	}
	assert_true(got[0] && got[1]);
	way_close(&second);
	for (unsigned i = 0; i < 64; i++) {
		struct vio_offload o;
		uint8_t flags;
		char frame[2048];

		kernel_says(s[i], data, 100);
		assert_int_equal(heard(&t, IPPROTO_UDP, frame, &flags, &o), FRAME_UDP_DATA + 100);
		close(s[i]);
	}
	down(&t);
}

/* Somebody else opens the tap and hands over the fd. */
static void a_tap_by_its_fd(void **state)
{
	struct ifreq r = { .ifr_name = "vio0", .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	char arg[32], frame[2048];
	struct vio_offload o;
	struct bench t;
	uint8_t flags;

	assert_int_equal(ioctl(fd, TUNSETIFF, &r), 0);
	snprintf(arg, sizeof(arg), "fd=%d", fd);
	t = up(state, arg, 2048);
	way_post(&t.recv, 16, ALL, 0);
	way_send(&t.send, t.p, frame, frame_ping(frame, &t.to_kernel, data, 300), 0, NULL);
	assert_int_equal(heard(&t, IPPROTO_ICMP, frame, &flags, &o), FRAME_L4 + 8 + 300);
	down(&t);
	assert_int_equal(ioctl(fd, TUNGETIFF, &r), 0); /* still the giver's */
	close(fd);
}

static void a_persistent_tap_is_found_again(void **state)
{
	struct ifreq r = { .ifr_name = "vio0" };
	struct bench t = up(state, "vio0,persist=on", 2048);
	int fd, s;

	down(&t);
	net_ioctl(SIOCGIFFLAGS, &r); /* it is there */
	t = up(state, "vio0", 2048);
	s = net_socket(SOCK_DGRAM, KERNEL_IP, 2000);
	close(s);
	down(&t);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	r.ifr_flags = IFF_TAP | IFF_NO_PI;
	assert_int_equal(ioctl(fd, TUNSETIFF, &r), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0ul), 0);
	close(fd);
}

/* In the child: holds the tap with its poller at work, tells so, and waits for the end. */
static void hold(enum vio_poll_engine engine, int told)
{
	struct vio_poller *p = poller_of(engine, VIO_POLL_EVENT);
	struct vio_backend *b = tap_new("vio0");
	struct way recv = way_open(b, p, 0, true, 2048);
	struct vio_req *r;

	way_post(&recv, 16, 0, 0);
	vio_lane_reap(recv.lane, &r, 1);
	vio_poller_wait(p, 0);
	event_write(told);
	for (;;)
		vio_poller_wait(p, -1);
}

/* A ring outlives its process for a while; what it polls must not keep the interface busy. */
static void the_tap_is_free_when_its_holder_was_killed(void **state)
{
	enum vio_poll_engine engine = vio_poller_engine(poller_from(state));
	struct pollfd told = { .fd = event_fd(), .events = POLLIN };
	pid_t child = fork();
	int status;

	if (!child) {
		hold(engine, told.fd);
		_exit(1);
	}
	assert_int_equal(poll(&told, 1, 20000), 1);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	vio_backend_free(tap_new("vio0"));
	close(told.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_ping_is_answered),
		BOTH(the_kernel_takes_flagged_checksums),
		BOTH(the_kernel_sums_for_those_who_ask_it),
		BOTH(frames_spread_over_small_buffers),
		BOTH(what_does_not_fit_is_dropped_and_counted),
		BOTH(a_link_that_is_down_loses_frames_and_says_so),
		BOTH(frames_without_headers),
		BOTH(two_queues),
		BOTH(a_tap_by_its_fd),
		BOTH(a_persistent_tap_is_found_again),
		BOTH(the_tap_is_free_when_its_holder_was_killed),
	};

	if (!net_enter())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
