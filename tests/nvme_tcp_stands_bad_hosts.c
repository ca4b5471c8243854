/* SPDX-License-Identifier: MIT */
/*
 * Hosts that trickle, fall silent, do not read, or go in the midst of things: none holds up
 * others for ever, nothing is lost, and the target can always be stopped.
 */
#include "nvme_host.h"

#include <sys/resource.h>

static void impatient_target(struct target *t, unsigned ms, size_t buffers)
{
	VIO_OPTS(vio_nvme_tcp_opts, o, .timeout_ms = ms, .buffers = buffers);

	target_start(t, 1, VIO_POLL_AUTO, NULL, &o);
}

static void expect_gone(struct host *h)
{
	char c[512];

	while (host_read(h, c, sizeof(c)) == sizeof(c))
		;
	host_hang_up(h);
}

static uint64_t timeouts(struct target *t)
{
	VIO_OPTS(vio_nvme_tcp_stats, st);

	vio_nvme_tcp_stats(t->t, &st);
	return st.timeouts;
}

/* A byte at a time, from ICReq to a write's data. */
static void a_byte_at_a_time(void **state)
{
	struct nvme_tcp_icreq ic = { .hdr = { .type = NVME_TCP_ICREQ, .hlen = 128, .plen = 128 },
				     .digest = 3 };
	struct nvme_cmd r = host_rw(nvme_cmd_read, 1, 8, 4096);
	struct nvme_tcp_cmd w = { .hdr = { .type = NVME_TCP_CMD, .hlen = 72 },
				  .cmd = { .opcode = nvme_cmd_write,
					   .flags = NVME_FLAGS_SGL,
					   .nsid = 1,
					   .cdw10 = 8,
					   .cdw12 = 7,
					   .sgl = { .len = 4096, .type = NVME_SGL_DATA_OFFSET } } };
	struct target t;
	struct host admin, h, slow;
	union nvme_tcp_pdu p;
	char data[4096], back[4096], pdu[72 + 4 + 4096 + 4];
	uint32_t sum;
	size_t n = 72;

	(void)state;
	memset(data, 0x77, sizeof(data));
	target_start(&t, 1, VIO_POLL_AUTO, NULL, NULL);
	target_add(&t, "ram:1M");
	host_io(&h, &t, host_admin(&admin, &t, 3), 1, 0, 3);
	host_dial(&slow, &t);
	for (unsigned i = 0; i < sizeof(ic); i++)
		host_write(&slow, (char *)&ic + i, 1);
	assert_int_equal(host_next(&slow, &p, NULL), NVME_TCP_ICRESP);
	w.hdr.plen = (uint32_t)(72 + 4096 + (h.hdgst ? 4 : 0) + (h.ddgst ? 4 : 0));
	w.hdr.pdo = h.hdgst ? 76 : 72;
	w.hdr.flags = (uint8_t)((h.hdgst ? NVME_TCP_HDGST : 0) | (h.ddgst ? NVME_TCP_DDGST : 0));
	w.cmd.cid = h.cid++;
	memcpy(pdu, &w, 72);
	sum = host_sum(pdu, 72);
	if (h.hdgst) {
		memcpy(pdu + n, &sum, 4);
		n += 4;
	}
	memcpy(pdu + n, data, 4096);
	n += 4096;
	sum = host_sum(data, 4096);
	if (h.ddgst) {
		memcpy(pdu + n, &sum, 4);
		n += 4;
	}
	for (size_t i = 0; i < n; i++)
		host_write(&h, pdu + i, 1);
	assert_int_equal(host_finish(&h, w.cmd.cid, NULL, NULL), 0);
	assert_int_equal(host_get(&h, &r, back, sizeof(back)), 0);
	assert_memory_equal(back, data, sizeof(back));
	host_hang_up(&slow);
	host_hang_up(&h);
	host_hang_up(&admin);
	target_stop(&t);
}

static void silence_ends_a_connection(void **state)
{
	struct nvme_tcp_icreq ic = { .hdr = { .type = NVME_TCP_ICREQ, .hlen = 128, .plen = 128 } };
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 0, 65536);
	struct host_who who = { .cntlid = UINT16_MAX, .sqsize = 31 };
	struct host h;
	union nvme_tcp_pdu p;
	struct target t;

	(void)state;
	impatient_target(&t, 50, 0);
	target_add(&t, "ram:1M");
	host_dial(&h, &t); /* before anything */
	expect_gone(&h);
	host_dial(&h, &t); /* in the midst of ICReq */
	host_write(&h, &ic, 100);
	expect_gone(&h);
	host_dial(&h, &t); /* between ICReq and Connect */
	host_greet(&h, 0);
	expect_gone(&h);
	host_dial(&h, &t); /* a Connect that was refused */
	host_greet(&h, 0);
	who.subnqn = "nqn.2014-08.org.example:none";
	assert_int_not_equal(host_connect(&h, &who), 0);
	expect_gone(&h);
	assert_int_equal(timeouts(&t), 4);
	host_dial(&h, &t); /* data that was asked for */
	host_greet(&h, 0);
	who.subnqn = NULL;
	assert_int_equal(host_connect(&h, &who), 0);
	host_send(&h, &w, NULL, 65536);
	assert_int_equal(host_next(&h, &p, NULL), NVME_TCP_R2T);
	expect_gone(&h);
	host_dial(&h, &t); /* in the midst of a command */
	host_greet(&h, 0);
	assert_int_equal(host_connect(&h, &who), 0);
	host_write(&h, (char[]){ NVME_TCP_CMD, 0, 72, 0, 72 }, 5);
	expect_gone(&h);
	assert_int_equal(timeouts(&t), 6);
	target_stop(&t);
}

/* One asks for far more than it reads: it goes, and its buffers serve others. */
static void a_host_that_does_not_read_goes(void **state)
{
	struct nvme_cmd r = host_rw(nvme_cmd_read, 1, 0, 262144);
	static char data[262144];
	struct target t;
	struct host admin, slow, other;
	int small = 4096;
	uint16_t id;

	(void)state;
	impatient_target(&t, 300, 1 << 20);
	target_add(&t, "ram:1M");
	id = host_admin(&admin, &t, 0);
	host_io(&slow, &t, id, 1, 0, 0);
	setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	host_io(&other, &t, id, 2, 0, 0);
	for (unsigned i = 0; i < 100; i++)
		host_send(&slow, &r, NULL, sizeof(data));
	for (unsigned i = 0; i < 20; i++) /* while it is still there: half of the buffers are for others */
		assert_int_equal(host_get(&other, &r, data, sizeof(data)), 0);
	while (!timeouts(&t))
		assert_int_equal(host_get(&other, &r, data, sizeof(data)), 0);
	host_hang_up(&slow);
	host_hang_up(&other);
	host_hang_up(&admin);
	target_stop(&t);
}

/* Hosts that go while commands are in the store, wait for buffers, for data, or for Connect. */
static void hanging_up_ends_all(void **state)
{
	struct nvme_tcp_cmd c = { .hdr = { .type = NVME_TCP_CMD, .hlen = 72, .plen = 72 } };
	struct nvme_cmd r = host_rw(nvme_cmd_read, 1, 0, 262144), w = host_rw(nvme_cmd_write, 1, 0, 262144);
	struct target t;
	struct host admin, h, raw;

	(void)state;
	impatient_target(&t, 0, 1 << 20);
	target_add(&t, "ram:1M | fault:error=delay,delay=20,once=off");
	for (unsigned round = 0; round < 10; round++) {
		uint16_t id = host_admin(&admin, &t, 0);

		host_io(&h, &t, id, 1, 0, 0);
		for (unsigned i = 0; i < 60; i++) { /* of which two find buffers at a time */
			host_send(&h, &r, NULL, 262144);
			host_send(&h, &w, NULL, 262144);
		}
		host_dial(&raw, &t);
		host_write(&raw, &c, round * 7); /* less than a PDU, before anything was agreed on */
		if (round & 1) {
			host_hang_up(&admin);
			host_hang_up(&h);
		} else {
			host_hang_up(&h);
			host_hang_up(&admin);
		}
		host_hang_up(&raw);
	}
	target_stop(&t);
}

/* A target that is stopped waits for no host's data, and for none that has to find a buffer. */
static void stopping_waits_for_no_data(void **state)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 0, 262144);
	struct target t;
	struct host admin, h;
	union nvme_tcp_pdu p;

	(void)state;
	impatient_target(&t, 3600000, 1 << 20);
	target_add(&t, "ram:1M");
	host_io(&h, &t, host_admin(&admin, &t, 0), 1, 0, 0);
	for (unsigned i = 0; i < 100; i++)
		host_send(&h, &w, NULL, 262144);
	assert_int_equal(host_next(&h, &p, NULL), NVME_TCP_R2T);
	host_write(&h, (char[]){ NVME_TCP_CMD, 0, 72, 0, 72 }, 5);
	target_stop(&t);
	expect_gone(&h);
	expect_gone(&admin);
}

static void a_silent_controller_ends_with_its_queues(void **state)
{
	struct host_who who = { .cntlid = UINT16_MAX, .sqsize = 31, .kato = 200 };
	struct host admin, io;
	struct target t;

	(void)state;
	target_start(&t, 2, VIO_POLL_AUTO, NULL, NULL);
	target_add(&t, "ram:1M");
	host_dial(&admin, &t);
	host_greet(&admin, 0);
	assert_int_equal(host_connect(&admin, &who), 0);
	who.cntlid = (uint16_t)admin.result;
	who.qid = 1;
	host_enable(&admin);
	host_dial(&io, &t);
	host_greet(&io, 0);
	assert_int_equal(host_connect(&io, &who), 0);
	for (unsigned i = 0; i < 3; i++) { /* keep-alive keeps it */
		struct nvme_cmd alive = { .opcode = nvme_admin_keep_alive };

		assert_int_equal(host_do(&admin, &alive), 0);
	}
	expect_gone(&io);
	expect_gone(&admin);
	target_stop(&t);
}

/* The admin queue's end is the controller's: its queues go, wherever they are served. */
static void queues_end_with_their_admin_queue(void **state)
{
	struct host admin, io[6];
	struct target t;
	uint16_t id;

	(void)state;
	target_start(&t, 3, VIO_POLL_AUTO, NULL, NULL);
	target_add(&t, "ram:1M");
	id = host_admin(&admin, &t, 0);
	for (uint16_t i = 0; i < 6; i++)
		host_io(&io[i], &t, id, i + 1, 0, 0);
	host_hang_up(&admin);
	for (uint16_t i = 0; i < 6; i++)
		expect_gone(&io[i]);
	target_stop(&t);
}

static long resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &size, &pages), 2);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static void idle_connections_cost_little(void **state)
{
	enum { MANY = 2000, MOST = 16 << 10 };
	struct rlimit files = { 2 * MANY + 64, 0 };
	struct host_who who = { .cntlid = UINT16_MAX, .sqsize = 31 };
	struct host *h = calloc(MANY, sizeof(*h));
	struct target t;
	long before;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0 });
	files.rlim_max = files.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &files)) {
		free(h);
		skip();
	}
	target_start(&t, 1, VIO_POLL_AUTO, NULL, NULL);
	host_admin(&h[0], &t, 0);
	before = resident();
	for (unsigned i = 1; i < MANY; i++) {
		host_dial(&h[i], &t);
		host_greet(&h[i], 0);
		assert_int_equal(host_connect(&h[i], &who), 0);
	}
	print_message("%ld bytes for each of %d connections\n", (resident() - before) / MANY, MANY);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_in_range(resident() - before, 0, (long)MANY * MOST);
#endif
	for (unsigned i = 0; i < MANY; i++)
		host_hang_up(&h[i]);
	free(h);
	target_stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_byte_at_a_time),
		cmocka_unit_test(silence_ends_a_connection),
		cmocka_unit_test(a_host_that_does_not_read_goes),
		cmocka_unit_test(hanging_up_ends_all),
		cmocka_unit_test(stopping_waits_for_no_data),
		cmocka_unit_test(a_silent_controller_ends_with_its_queues),
		cmocka_unit_test(queues_end_with_their_admin_queue),
		cmocka_unit_test(idle_connections_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
