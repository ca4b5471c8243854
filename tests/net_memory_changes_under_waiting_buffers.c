/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/*
 * A guest's receive buffers wait at a switch, whose other port's thread fills them without end, while the
 * front end changes the memory map beneath and takes the memory away: what is under way ends first, nothing
 * is written into memory that has gone, and packets come again once there is some (THREATS rows 9, 20, 36).
 */
#include "front_end.h"
#include "switch_net.h"

#include "base/barrier.h"

#include <pthread.h>

#define SIZE 64u
#define ROUNDS 12u
#define RECV 0u
#define AVAIL 0x1000u
#define USED 0x2000u
#define BUFFERS 0x10000u
#define EACH 2048u
#define LEN 1000u
#define HDR 12u

static struct vio_switch *sw;
static bool stop, stopped;

/* Frames to all, each of one byte again and again. */
static void *flood(void *arg)
{
	uint8_t frame[LEN];
	struct vio_poller *p;
	struct station s;

	(void)arg;
	assert_int_equal(vio_poller_new(&p, NULL), 0);
	station_up(&s, sw, p, "wire", NULL);
	for (unsigned n = 0; !VIO_LOAD(&stop); n++) {
		memset(frame, (int)(n % 251), LEN);
		memset(frame, 0xff, 6);
		frame[6] = 2;
		station_send(&s, frame, LEN);
		while (s.sending > NET_REQS / 2)
			if (!station_reap_sends(&s))
				vio_poller_wait(p, 1);
	}
	station_down(&s);
	vio_poller_free(p);
	VIO_STORE(&stopped, true);
	return NULL;
}

/* The receive ring, as its driver has it. */
static struct guest {
	struct front f;
	uint16_t avail, used;
	int kick, call;
} g;

static uint16_t *guest_u16(unsigned at)
{
	return (uint16_t *)(g.f.mem + at);
}

static void guest_post(unsigned i)
{
	VIO_STORE(guest_u16(AVAIL + 4 + 2 * (g.avail % SIZE)), (uint16_t)i);
	VIO_STORE_RELEASE(guest_u16(AVAIL + 2), ++g.avail);
	assert_int_equal(write(g.kick, &(uint64_t){ 1 }, 8), 8);
}

static void guest_start(void)
{
	const struct vu_vring_addr a = {
		.index = RECV, .desc = FRONT_USER, .used = FRONT_USER + USED, .avail = FRONT_USER + AVAIL
	};
	uint64_t index = RECV;

	for (unsigned i = 0; i < SIZE; i++) {
		const struct {
			uint64_t addr;
			uint32_t len;
			uint16_t flags, next;
		} desc = { FRONT_GUEST + BUFFERS + i * EACH, EACH, 2, 0 };

		memcpy(g.f.mem + 16 * i, &desc, sizeof(desc));
		guest_post(i);
	}
	assert_int_equal(front_ack_state(&g.f, VU_SET_VRING_NUM, RECV, SIZE), 0);
	assert_int_equal(front_ack_state(&g.f, VU_SET_VRING_BASE, RECV, 0), 0);
	assert_int_equal(front_ack(&g.f, VU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0), 0);
	assert_int_equal(front_ack(&g.f, VU_SET_VRING_CALL, &index, 8, &g.call, 1), 0);
	assert_int_equal(front_ack(&g.f, VU_SET_VRING_KICK, &index, 8, &g.kick, 1), 0);
	assert_int_equal(front_ack_state(&g.f, VU_SET_VRING_ENABLE, RECV, 1), 0);
}

/* Whole packets in buffers that were posted; how many. Posted anew, if `again`. */
static unsigned guest_reap(bool again)
{
	unsigned n = 0;

	for (; VIO_LOAD_ACQUIRE(guest_u16(USED + 2)) != g.used; g.used++, n++) {
		uint32_t used[2];
		const uint8_t *p;

		memcpy(used, g.f.mem + USED + 4 + 8 * (g.used % SIZE), 8);
		assert_in_range(used[0], 0, SIZE - 1);
		assert_int_equal(used[1], HDR + LEN);
		p = g.f.mem + BUFFERS + used[0] * EACH + HDR;
		for (unsigned i = 8; i < LEN; i++)
			assert_int_equal(p[i], p[7]);
		if (again)
			guest_post(used[0]);
	}
	return n;
}

static void packets_come(void)
{
	for (unsigned n = 0; n < 2 * SIZE;) {
		front_pump(&g.f);
		n += guest_reap(true);
	}
}

static uint64_t region(uint32_t request, unsigned nfds)
{
	const struct vu_mem_reg r = { .region = { FRONT_GUEST, FRONT_MEM, FRONT_USER, 0 } };

	return front_ack(&g.f, request, &r, sizeof(r), &g.f.memfd, nfds);
}

static struct vio_switch_port *port;

static void guest_up(void)
{
	VIO_OPTS(vio_poller_opts, po, .log = front_log, .log_ctx = &g.f);
	VIO_OPTS(vio_vhost_user_opts, o);
	uint64_t protocol;

	g.f = (struct front){ .s = -1, .memfd = -1 };
	g.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(vio_poller_new(&g.f.p, &po), 0);
	assert_int_equal(vio_switch_port_new(&port, sw, "guest", NULL), 0);
	assert_int_equal(vio_dev_new(&g.f.d, vio_dev_net(), vio_switch_port_backend(port), NULL), 0);
	front_attach(&g.f, &o);
	protocol = front_ask_u64(&g.f, VU_GET_PROTOCOL_FEATURES);
	assert_int_equal(front_ack_u64(&g.f, VU_SET_PROTOCOL_FEATURES, protocol), 0);
	assert_int_equal(front_ack_u64(&g.f, VU_SET_FEATURES, FRONT_PF | FRONT_V1), 0);
}

static void guest_down(void)
{
	front_hang_up(&g.f);
	front_stop(&g.f);
	vio_dev_free(g.f.d);
	vio_switch_port_free(port);
	vio_poller_free(g.f.p);
	munmap(g.f.mem, FRONT_MEM);
	close(g.f.memfd);
	close(g.kick);
	close(g.call);
}

/* What has been used already is looked at; from then on nothing more comes. */
static void no_packets_come(void)
{
	guest_reap(true);
	for (unsigned i = 0; i < 20; i++)
		front_pump(&g.f);
	assert_int_equal(guest_reap(true), 0);
}

/* Into another file, once no buffer waits: the ring goes on there, and the old one is left alone. */
static void memory_moves(void)
{
	int fd = front_memfd(FRONT_MEM, F_SEAL_SHRINK), old_fd = g.f.memfd;
	uint8_t *mem = mmap(NULL, FRONT_MEM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *old = g.f.mem;

	assert_ptr_not_equal(mem, MAP_FAILED);
	while (g.used != g.avail) {
		front_pump(&g.f);
		guest_reap(false);
	}
	memcpy(mem, old, FRONT_MEM);
	g.f.mem = mem;
	g.f.memfd = fd;
	assert_int_equal(front_give_memory(&g.f), 0);
	for (unsigned i = 0; i < SIZE; i++)
		guest_post(i);
	packets_come();
	assert_int_not_equal(VIO_LOAD((uint16_t *)(old + USED + 2)), g.used);
	munmap(old, FRONT_MEM);
	close(old_fd);
}

static void memory_comes_and_goes(void **state)
{
	unsigned maps = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	guest_up();
	assert_int_equal(front_give_memory(&g.f), 0);
	guest_start();
	assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		packets_come();
		assert_int_equal(front_give_memory(&g.f), 0);
		packets_come();
		assert_int_equal(region(VU_REM_MEM_REG, 0), 0);
		no_packets_come();
		assert_int_equal(region(VU_ADD_MEM_REG, 1), 0);
		memory_moves();
		if (!round)
			maps = front_maps();
	}
	packets_come();
	assert_int_equal(front_maps(), maps);
	VIO_STORE(&stop, true);
	while (!VIO_LOAD(&stopped)) /* what it has sent is ours to finish */
		front_pump(&g.f);
	pthread_join(thread, NULL);
	guest_down();
	vio_switch_free(sw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
