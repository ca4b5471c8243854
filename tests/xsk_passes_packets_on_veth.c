/* SPDX-License-Identifier: MIT */
/*
 * An AF_XDP port on one end of a veth pair, a packet socket of the kernel's on the other: what one sends, the
 * other gets, byte for byte; and what happens when the interface goes down or away. In a network namespace of
 * its own.
 */
#define _GNU_SOURCE
#include "tap.h"

#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define PROTOCOL 0x88b5 /* for local experiments */

struct bench {
	struct vio_poller *p;
	struct vio_backend *b;
	struct way send, recv;
	int kernel; /* a packet socket on the other end */
};

static void run(const char *command)
{
	if (system(command))
		fail_msg("'%s' failed", command);
}

static int packet_socket(const char *name)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(PROTOCOL),
				 .sll_ifindex = (int)if_nametoindex(name) };
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(PROTOCOL)), room = 32 << 20;

	assert_true(s >= 0);
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	assert_int_equal(bind(s, (void *)&a, sizeof(a)), 0);
	return s;
}

static void veth_up(void)
{
	if (if_nametoindex("vio0")) /* of a test that failed */
		run("ip link del vio0");
	run("ip link add vio0 type veth peer name vio1 && ip link set vio0 up && ip link set vio1 up");
}

static struct bench up(void **state, const char *arg, size_t recv_bytes)
{
	struct bench t = { .p = poller_from(state) };

	veth_up();
	if (vio_backend_new(&t.b, vio_backend_find("xsk"), NULL, NULL, arg))
		fail_msg("%s", vio_errmsg());
	t.send = way_open(t.b, t.p, 0, false, 2048);
	t.recv = way_open(t.b, t.p, 0, true, recv_bytes);
	t.kernel = packet_socket("vio1");
	return t;
}

static void down(struct bench *t)
{
	way_close(&t->send);
	way_close(&t->recv);
	vio_backend_free(t->b);
	close(t->kernel);
	run("ip link del vio1");
}

/* Frame i: of a length and with a content that tell which it is. */
static size_t frame_make(char *f, unsigned i)
{
	size_t len = 20 + i * 37 % 1480;

	memset(f, 0xff, 6);
	memcpy(f + 6, OUR_MAC, 6);
	f[12] = (char)(PROTOCOL >> 8);
	f[13] = (char)(PROTOCOL & 0xff);
	memcpy(f + 14, &i, 4);
	for (size_t k = 18; k < len; k++)
		f[k] = (char)(i * 31 + k * 7);
	return len;
}

static void frame_check(const char *got, size_t len, unsigned i)
{
	char want[2048];

	assert_int_equal(len, frame_make(want, i));
	assert_memory_equal(got, want, len);
}

static void kernel_hears(const struct bench *t, unsigned i)
{
	struct pollfd p = { .fd = t->kernel, .events = POLLIN };
	char got[4096];
	ssize_t len;

	assert_int_equal(poll(&p, 1, 20000), 1);
	len = recv(t->kernel, got, sizeof(got), 0);
	assert_true(len > 0);
	frame_check(got, (size_t)len, i);
}

static void kernel_says(const struct bench *t, unsigned i)
{
	char f[2048];
	size_t len = frame_make(f, i);

	assert_int_equal(send(t->kernel, f, len, 0), len);
}

/* Puts n SENDs down at once, of frames from `first` on; their memory is mem, or the way's. */
static void send_batch(struct way *w, char *mem, unsigned first, unsigned n)
{
	struct vio_req *r[64];

	for (unsigned i = 0; i < n; i++) {
		char *f = mem + i * 2048 + i; /* at odd places */

		r[i] = vio_req_get(w->pool);
		assert_non_null(r[i]);
		r[i]->op = VIO_OP_SEND;
		r[i]->len = frame_make(f, first + i);
		r[i]->iov[0] = (struct iovec){ f, r[i]->len };
		r[i]->niov = 1;
		r[i]->res = 1;
	}
	assert_true(vio_lane_room(w->lane) >= n);
	vio_lane_submit(w->lane, r, n);
}

static void send_finish(struct way *w, struct vio_poller *p, unsigned n)
{
	struct vio_req *r[64];

	while (n) {
		unsigned k = vio_lane_reap(w->lane, r, n);

		for (unsigned i = 0; i < k; i++) {
			assert_int_equal(r[i]->res, 0);
			vio_req_put(w->pool, r[i]);
		}
		n -= k;
		if (n && !k)
			assert_true(vio_poller_wait(p, 20000) >= 0);
	}
}

static void frames_pass_both_ways(void **state)
{
	struct bench t = up(state, "vio0,mode=copy,ring=64", 2048);
	struct vio_offload o;
	char got[4096];
	uint8_t flags;

	way_post(&t.recv, 128, 0, 12);
	for (unsigned i = 0; i < 4000; i += 32) {
		send_batch(&t.send, t.send.mem, i, 32);
		send_finish(&t.send, t.p, 32);
		for (unsigned k = 0; k < 32; k++)
			kernel_hears(&t, i + k);
		for (unsigned k = 0; k < 32; k++)
			kernel_says(&t, 7 * i + k);
		for (unsigned k = 0; k < 32; k++) {
			frame_check(got, way_recv(&t.recv, t.p, got, &flags, &o), 7 * i + k);
			assert_int_equal(flags, 0);
		}
		way_post(&t.recv, 32, 0, 12);
	}
	assert_int_equal(counter_of(t.b, "sent"), 4000);
	assert_int_equal(counter_of(t.b, "received"), 4000);
	assert_int_equal(counter_of(t.b, "copies"), 8000);
	assert_int_equal(counter_of(t.b, "zero_copy"), 0);
	assert_int_equal(counter_of(t.b, "bad_ring_entries"), 0);
	assert_int_equal(counter_of(t.b, "kernel_refused"), 0);
	down(&t);
}

/* A pair's sending lane over guest memory. */
static struct way guest_way_of(struct bench *t, struct vio_mem *mem, unsigned pair)
{
	VIO_OPTS(vio_lane_opts, o, .mem = mem, .pair = (uint16_t)pair);
	struct way w = { 0 };

	if (vio_lane_new(&w.lane, t->b, t->p, &o))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_req_pool_new(&w.pool, w.lane, WAY_REQS, 4), 0);
	return w;
}

static struct way guest_way(struct bench *t, struct vio_mem *mem)
{
	return guest_way_of(t, mem, 0);
}

/* Two regions, as a guest has them below and above 4 GiB. */
static struct vio_mem *guest_memory(void)
{
	struct vio_mem_region r[2] = { { .guest = 0 }, { .guest = 1ull << 32 } };
	struct vio_mem *mem;

	for (unsigned i = 0; i < 2; i++) {
		r[i].size = 1 << 20;
		r[i].fd = memfd_create("guest", MFD_CLOEXEC);
		assert_int_equal(ftruncate(r[i].fd, 1 << 20), 0);
	}
	if (vio_mem_new(&mem, r, 2, NULL))
		fail_msg("%s", vio_errmsg());
	close(r[0].fd);
	close(r[1].fd);
	return mem;
}

static void guest_memory_is_sent_without_a_copy(void **state)
{
	struct vio_mem *mem = guest_memory();
	struct bench t = { .p = poller_from(state) };

	veth_up();
	assert_int_equal(vio_backend_new(&t.b, vio_backend_find("xsk"), NULL, NULL, "vio0,ring=128"), 0);
	t.send = guest_way(&t, mem);
	t.recv = way_open(t.b, t.p, 0, true, 2048);
	t.kernel = packet_socket("vio1");
	for (unsigned i = 0; i < 4096; i += 32) {
		char *at = vio_mem_ptr(mem, i % 64 ? 1ull << 32 : 0, 1 << 20);

		send_batch(&t.send, at + i * 211 % 900000, i, 32);
		send_finish(&t.send, t.p, 32);
		for (unsigned k = 0; k < 32; k++)
			kernel_hears(&t, i + k);
	}
	assert_int_equal(counter_of(t.b, "sent"), 4096);
	assert_int_equal(counter_of(t.b, "zero_copy"), 4096);
	assert_int_equal(counter_of(t.b, "copies"), 0);
	assert_int_equal(counter_of(t.b, "kernel_refused"), 0);
	way_post(&t.recv, 4, 0, 0);
	kernel_says(&t, 5);
	{
		struct vio_offload o;
		char got[4096];
		uint8_t flags;

		frame_check(got, way_recv(&t.recv, t.p, got, &flags, &o), 5);
	}
	down(&t);
	vio_mem_free(mem);
}

/* From here on what this thread pins is counted. */
static void pin_at_most(rlim_t bytes)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	struct rlimit l = { bytes, bytes };

	assert_int_equal(syscall(SYS_capget, &h, d), 0);
	d[0].effective &= ~(1u << CAP_IPC_LOCK);
	assert_int_equal(syscall(SYS_capset, &h, d), 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &l), 0);
}

/* What the other end says comes on this queue. A sysfs shows the network namespace in which it was made; it
 * need not be mounted anywhere. */
static void kernel_sends_to(unsigned queue)
{
	int fs = fsopen("sysfs", FSOPEN_CLOEXEC), root, fd;
	char path[64];

	assert_int_equal(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
	root = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	assert_true(root >= 0);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "class/net/vio1/queues/tx-%u/xps_cpus", i);
		fd = openat(root, path, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, i == queue ? "3" : "0", 1), 1);
		close(fd);
	}
	close(root);
	close(fs);
}

static void pair_works(struct bench *t, struct vio_mem *mem, unsigned pair, unsigned first)
{
	struct way send = guest_way_of(t, mem, pair), recv = way_open(t->b, t->p, pair, true, 2048);
	struct vio_offload o;
	char got[4096];
	uint8_t flags;

	kernel_sends_to(pair);
	for (unsigned i = first; i < first + 300; i += 30) {
		send_batch(&send, vio_mem_ptr(mem, 0, 1 << 20), i, 30);
		send_finish(&send, t->p, 30);
		way_post(&recv, 30, 0, 0);
		for (unsigned k = i; k < i + 30; k++) {
			kernel_hears(t, k);
			kernel_says(t, k);
		}
		for (unsigned k = i; k < i + 30; k++)
			frame_check(got, way_recv(&recv, t->p, got, &flags, &o), k);
	}
	way_close(&send);
	way_close(&recv);
}

/* The limit lets frames and guest memory, 3 MiB, be pinned once. A pair that holds nothing but the umem keeps
 * it for those that come and go. */
static void pairs_pin_their_memory_once(void **state)
{
	struct bench t = { .p = poller_from(state) };
	struct vio_mem *mem = guest_memory();
	struct way first, second;

	pin_at_most(4 << 20);
	run("ip link add vio0 numrxqueues 2 numtxqueues 2 type veth peer name vio1 numrxqueues 2 numtxqueues "
	    "2 && "
	    "ip link set vio0 up && ip link set vio1 up");
	assert_int_equal(vio_backend_new(&t.b, vio_backend_find("xsk"), NULL, NULL, "vio0,queues=2,ring=64"),
			 0);
	t.kernel = packet_socket("vio1");
	first = guest_way_of(&t, mem, 1);
	pair_works(&t, mem, 0, 0);
	pair_works(&t, mem, 0, 300);
	second = guest_way_of(&t, mem, 0);
	way_close(&first);
	pair_works(&t, mem, 1, 600);
	way_close(&second);
	assert_int_equal(counter_of(t.b, "zero_copy"), 900);
	assert_int_equal(counter_of(t.b, "copies"), 900); /* what was received */
	assert_int_equal(counter_of(t.b, "bad_ring_entries"), 0);
	vio_backend_free(t.b);
	close(t.kernel);
	run("ip link del vio1");
	vio_mem_free(mem);
}

/* pin=off, several pieces, or memory that is not the guest's: copied, and counted. */
static void what_does_not_fit_is_copied(void **state)
{
	struct vio_mem *mem = guest_memory();
	struct bench t = { .p = poller_from(state) };
	char *at = vio_mem_ptr(mem, 0, 1 << 20), *f = calloc(1, 4096);

	veth_up();
	assert_int_equal(vio_backend_new(&t.b, vio_backend_find("xsk"), NULL, NULL, "vio0"), 0);
	t.send = guest_way(&t, mem);
	t.recv = way_open(t.b, t.p, 0, true, 2048);
	t.kernel = packet_socket("vio1");
	way_send(&t.send, t.p, at, frame_make(at, 1), 0, NULL); /* in two halves */
	kernel_hears(&t, 1);
	send_batch(&t.send, f, 2, 1);
	send_finish(&t.send, t.p, 1);
	kernel_hears(&t, 2);
	assert_int_equal(counter_of(t.b, "copies"), 2);
	assert_int_equal(counter_of(t.b, "zero_copy"), 0);
	way_close(&t.send);
	way_close(&t.recv);
	vio_backend_free(t.b);
	assert_int_equal(vio_backend_new(&t.b, vio_backend_find("xsk"), NULL, NULL, "vio0,pin=off"), 0);
	t.send = guest_way(&t, mem);
	t.recv = way_open(t.b, t.p, 0, true, 2048);
	send_batch(&t.send, at, 3, 1);
	send_finish(&t.send, t.p, 1);
	kernel_hears(&t, 3);
	assert_int_equal(counter_of(t.b, "copies"), 1);
	down(&t);
	vio_mem_free(mem);
	free(f);
}

static void long_frames_fill_several_buffers(void **state)
{
	struct bench t = up(state, "vio0", 100);
	struct vio_offload o;
	char got[4096];
	uint8_t flags;

	way_post(&t.recv, 200, VIO_RECV_MERGE, 12);
	for (unsigned i = 0; i < 10; i++)
		kernel_says(&t, i * 100);
	for (unsigned i = 0; i < 10; i++)
		frame_check(got, way_recv(&t.recv, t.p, got, &flags, &o), i * 100);
	way_recall(&t.recv);
	way_post(&t.recv, 2, 0, 0);
	kernel_says(&t, 20); /* 760 bytes */
	kernel_says(&t, 40); /* 20 bytes */
	kernel_says(&t, 0);
	frame_check(got, way_recv(&t.recv, t.p, got, &flags, &o), 40);
	frame_check(got, way_recv(&t.recv, t.p, got, &flags, &o), 0);
	assert_int_equal(counter_of(t.b, "dropped_too_long"), 1);
	down(&t);
}

static void what_is_no_frame_is_dropped(void **state)
{
	struct bench t = up(state, "vio0", 2048);
	char f[8192] = { 0 };

	way_send(&t.send, t.p, f, 13, 0, NULL);
	way_send(&t.send, t.p, f, 4097, 0, NULL);
	assert_int_equal(counter_of(t.b, "dropped_malformed"), 1);
	assert_int_equal(counter_of(t.b, "dropped_too_long"), 1);
	assert_int_equal(counter_of(t.b, "sent"), 0);
	down(&t);
}

static void a_link_that_is_down_loses_frames_and_says_so(void **state)
{
	struct bench t = up(state, "vio0", 2048);
	VIO_OPTS(vio_backend_info, i);

	assert_int_equal(vio_backend_info(t.b, &i), 0);
	assert_false(i.link_down);
	assert_int_equal(i.mtu, 1500);
	assert_int_equal(i.pairs, 1);
	assert_int_equal(i.offloads, 0);
	assert_int_equal(i.ops, 1u << VIO_OP_SEND | 1u << VIO_OP_RECV);
	net_up("vio0", false);
	assert_int_equal(vio_backend_info(t.b, &i), 0);
	assert_true(i.link_down);
	for (unsigned k = 0; k < 3; k++) {
		send_batch(&t.send, t.send.mem, 0, 1);
		send_finish(&t.send, t.p, 1);
	}
	assert_int_equal(counter_of(t.b, "dropped_down"), 2); /* the first told us */
	net_up("vio0", true);
	send_batch(&t.send, t.send.mem, 9, 1);
	send_finish(&t.send, t.p, 1);
	kernel_hears(&t, 0); /* the first was in the ring, and left now */
	kernel_hears(&t, 9);
	down(&t);
}

/* With guest memory in the kernel's hands and buffers posted, the interface goes away: all comes back. */
static void an_interface_may_vanish(void **state)
{
	struct vio_mem *mem = guest_memory();
	struct bench t = { .p = poller_from(state) };
	VIO_OPTS(vio_backend_info, i);
	char *at = vio_mem_ptr(mem, 0, 1 << 20);

	veth_up();
	assert_int_equal(vio_backend_new(&t.b, vio_backend_find("xsk"), NULL, NULL, "vio0"), 0);
	t.send = guest_way(&t, mem);
	t.recv = way_open(t.b, t.p, 0, true, 2048);
	way_post(&t.recv, 50, 0, 0);
	net_up("vio0", false);
	send_batch(&t.send, at, 0, 32);
	run("ip link del vio1");
	send_finish(&t.send, t.p, 32);
	for (unsigned k = 0; k < 2; k++) {
		send_batch(&t.send, at, 0, 32);
		send_finish(&t.send, t.p, 32);
	}
	assert_true(counter_of(t.b, "dropped_down") >= 32);
	assert_int_equal(way_recall(&t.recv), 50);
	assert_int_equal(vio_backend_info(t.b, &i), 0);
	assert_true(i.link_down);
	way_close(&t.send);
	way_close(&t.recv);
	vio_backend_free(t.b);
	vio_mem_free(mem);
}

/* A busy poller does not watch the socket: frames are found, and so is that the interface has gone. */
static void busy_poller_finds_frames(void **state, const char *arg)
{
	struct vio_poller *event = poller_from(state), *busy = poller_like(event, VIO_POLL_BUSY);
	struct bench t = up((void **)&busy, arg, 2048);
	static char frames[8 * 2048 + 8];
	struct vio_req *r;

	way_post(&t.recv, 8, 0, 0);
	for (unsigned i = 0; i < 100; i++) {
		kernel_says(&t, i);
		while (!vio_lane_reap(t.recv.lane, &r, 1))
			assert_true(vio_poller_run(busy, 0) >= 0);
		frame_check(r->iov[0].iov_base, r->len, i);
		vio_req_put(t.recv.pool, r);
		way_post(&t.recv, 1, 0, 0);
	}
	run("ip link del vio1");
	for (unsigned k = 0; k < 2; k++) {
		send_batch(&t.send, frames, 0, 8);
		send_finish(&t.send, busy, 8);
	}
	assert_true(counter_of(t.b, "dropped_down") >= 8);
	way_recall(&t.recv);
	way_close(&t.send);
	way_close(&t.recv);
	vio_backend_free(t.b);
	close(t.kernel);
	vio_poller_free(busy);
}

static void a_busy_poller_finds_frames(void **state)
{
	busy_poller_finds_frames(state, "vio0,mode=copy,ring=64");
}

static void a_busy_poller_may_ask_the_driver(void **state)
{
	struct bench t;
	struct vio_req *r;

	busy_poller_finds_frames(state, "vio0,mode=copy,ring=64,busy-poll=20");
	t = up(state, "vio0,mode=copy,ring=64,busy-poll=20", 2048);
	way_post(&t.recv, 8, 0, 0);
	for (unsigned i = 1; i < 4; i++) { /* nothing is there: it is asked each time */
		assert_int_equal(vio_lane_reap(t.recv.lane, &r, 1), 0);
		assert_int_equal(counter_of(t.b, "kicks"), i);
	}
	way_recall(&t.recv);
	down(&t);
}

static void lanes_can_be_opened_again(void **state)
{
	struct bench t = up(state, "vio0", 2048);
	VIO_OPTS(vio_lane_opts, o, .pair = 1);
	struct vio_backend *other;
	struct vio_lane *l;

	for (unsigned i = 0; i < 3; i++) {
		way_close(&t.send);
		way_close(&t.recv);
		t.recv = way_open(t.b, t.p, 0, true, 2048);
		t.send = way_open(t.b, t.p, 0, false, 2048);
		send_batch(&t.send, t.send.mem, i, 1);
		send_finish(&t.send, t.p, 1);
		kernel_hears(&t, i);
	}
	assert_int_equal(vio_lane_new(&l, t.b, t.p, &o), -EINVAL);
	o.pair = 0;
	assert_int_equal(vio_lane_new(&l, t.b, t.p, &o), -EBUSY);
	assert_int_equal(vio_backend_new(&other, vio_backend_find("xsk"), NULL, NULL, "vio0"), -EBUSY);
	down(&t);
}

static void wrong_arguments_are_refused(void **state)
{
	static const char *const args[] = { "",
					    "no-such-if",
					    "a-name-that-is-too-long",
					    "lo,mode=fast",
					    "lo,ring=100",
					    "lo,ring=16384",
					    "lo,queues=0",
					    "lo,queue=5000",
					    "lo,busy-poll=20000",
					    "lo,what=1" };
	struct vio_backend *b;

	(void)state;
	for (unsigned i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
		assert_true(vio_backend_new(&b, vio_backend_find("xsk"), NULL, NULL, args[i]) < 0);
		assert_null(b);
		assert_non_null(strstr(vio_errmsg(), "xsk: "));
	}
}

/* Needs AF_XDP, BPF and veth, and the right to use them. */
static bool can_run(void)
{
	struct vio_backend *b;
	int rc;

	if (!net_enter())
		return false;
	if (system("ip link add vio0 type veth peer name vio1")) {
		printf("no veth pair can be made: ip (iproute2), root and a kernel with veth are needed\n");
		return false;
	}
	rc = vio_backend_new(&b, vio_backend_find("xsk"), NULL, NULL, "vio0");
	if (rc)
		printf("%s\n", vio_errmsg());
	vio_backend_free(b);
	return !system("ip link del vio0") && !rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(frames_pass_both_ways),
		BOTH(guest_memory_is_sent_without_a_copy),
		BOTH(what_does_not_fit_is_copied),
		BOTH(long_frames_fill_several_buffers),
		BOTH(what_is_no_frame_is_dropped),
		BOTH(a_link_that_is_down_loses_frames_and_says_so),
		BOTH(an_interface_may_vanish),
		BOTH(a_busy_poller_finds_frames),
		BOTH(a_busy_poller_may_ask_the_driver),
		BOTH(lanes_can_be_opened_again),
		BOTH(pairs_pin_their_memory_once), /* limits all that come after it */
		cmocka_unit_test(wrong_arguments_are_refused),
	};

	if (!can_run())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
