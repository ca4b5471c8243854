/* SPDX-License-Identifier: MIT */
/*
 * Two ports that are driven by vhost-user, and between them a switch of ours, in a process of its own, that
 * serves both: what the one sends the other receives as it was, in every ring format, shared memory or not,
 * cut into buffers or not, over a kill -9.
 */
#include "port.h"

#include "frames.h"
#include "our_switch.h"

#define EACH 66048u
#define OFFLOADS                                                                                             \
	(VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4 | VIO_PACKET_TSO6 | VIO_PACKET_ECN |         \
	 VIO_PACKET_USO4 | VIO_PACKET_USO6)

/* A port, and both its ways. */
struct end {
	struct vio_backend *b;
	struct way send, recv;
};

/* How a pair of ends is made. */
struct shape {
	const char *device, *options;
	bool shared;
	size_t each; /* bytes of a RECV */
	unsigned head;
	uint8_t flags; /* of a RECV */
};

static struct switch_server server;
static struct vio_poller *poller;
static struct end a, b;
static struct frame frame;

static void end_up(struct end *e, const char *sock, const struct shape *s)
{
	char stack[160];

	snprintf(stack, sizeof(stack), "vhost_user_net:%s%s", sock, s->options);
	if (vio_backend_parse(&e->b, NULL, stack))
		fail_msg("%s", vio_errmsg());
	e->recv = (s->shared ? way_open_shared : way_open)(e->b, poller, 0, true, s->each);
	e->send = (s->shared ? way_open_shared : way_open)(e->b, poller, 0, false, EACH);
	way_post(&e->recv, 64, s->flags, s->head);
}

static void end_down(struct end *e)
{
	way_close(&e->send);
	way_close(&e->recv);
	vio_backend_free(e->b);
}

/* An Ethernet frame of `type`, from a to b, with len bytes of payload. */
static void frame_make(unsigned len)
{
	frame_eth(&frame);
	frame_type(&frame, 0x88b5);
	frame_payload(&frame, len);
}

static void started(struct end *e, unsigned n)
{
	while (counter_of(e->b, "started") < n)
		assert_true(vio_poller_wait(poller, 20000) >= 0);
}

/* The server may not have taken b's buffers yet, and drops what comes before: sends until one comes through.
 */
static void meet(const struct shape *s)
{
	static char got[EACH];
	struct vio_offload o;
	uint64_t sent = 0;
	uint8_t flags;

	frame_make(46);
	while (!counter_of(b.b, "received")) {
		struct vio_req *r;

		way_send(&a.send, poller, frame.b, frame.len, 0, NULL);
		sent++;
		vio_poller_wait(poller, 5);
		if (!vio_lane_reap(b.recv.lane, &r, 1))
			continue;
		assert_int_equal(r->len, frame.len);
		vio_req_put(b.recv.pool, r);
		way_post(&b.recv, 1, s->flags, s->head);
	}
	while (counter_of(b.b, "received") < sent && vio_poller_wait(poller, 5) > 0) {
		way_recv(&b.recv, poller, got, &flags, &o);
		way_post(&b.recv, 1, s->flags, s->head);
	}
}

static void up(const struct shape *s)
{
	switch_start(&server, s->device);
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	end_up(&a, server.sock[0], s);
	end_up(&b, server.sock[1], s);
	started(&a, 2);
	started(&b, 2);
	meet(s);
}

static void down(void)
{
	end_down(&a);
	end_down(&b);
	vio_poller_free(poller);
	switch_stop(&server);
}

static void pass(const struct shape *s, uint8_t flags, const struct vio_offload *o)
{
	static char got[EACH];
	uint64_t before = counter_of(b.b, "received");
	struct vio_offload there;
	uint8_t with;

	way_send(&a.send, poller, frame.b, frame.len, flags, o);
	assert_int_equal(way_recv(&b.recv, poller, got, &with, &there), frame.len);
	assert_memory_equal(got, frame.b, frame.len);
	assert_int_equal(with & (uint8_t)~VIO_PACKET_CSUM_OK, flags);
	if (flags & VIO_PACKET_CSUM) {
		assert_int_equal(there.csum_start, o->csum_start);
		assert_int_equal(there.csum_offset, o->csum_offset);
		assert_int_equal(there.gso_size, o->gso_size);
	}
	assert_int_equal(counter_of(b.b, "received"), before + 1);
	for (size_t n = 0; n < frame.len + s->each; n += s->each - s->head)
		if (b.recv.next < 100000 && vio_lane_room(b.recv.lane))
			way_post(&b.recv, 1, s->flags, s->head);
}

static void pass_segments(const struct shape *s, uint8_t kind, unsigned payload)
{
	struct vio_offload o = { .gso_size = 1400 };
	const bool udp = kind & (VIO_PACKET_USO4 | VIO_PACKET_USO6);

	frame_eth(&frame);
	if (kind & (VIO_PACKET_TSO6 | VIO_PACKET_USO6))
		frame_ipv6(&frame, "fd00::1", "fd00::2", udp ? IPPROTO_UDP : IPPROTO_TCP);
	else
		frame_ipv4(&frame, "10.0.0.1", "10.0.0.2", udp ? IPPROTO_UDP : IPPROTO_TCP, 0);
	if (udp)
		frame_udp(&frame, 1000, 2000);
	else
		frame_tcp(&frame, 1000, 2000, 0x10, 0);
	o.hdr_len = (uint16_t)frame.len;
	frame_payload(&frame, payload);
	frame_end(&frame);
	o.csum_start = (uint16_t)frame.l4;
	o.csum_offset = (uint16_t)frame_pseudo(&frame, udp ? IPPROTO_UDP : IPPROTO_TCP);
	pass(s, kind | VIO_PACKET_CSUM, &o);
}

static void exchange(const struct shape *s)
{
	static const unsigned sizes[] = { 46, 47, 1000, 1500, 2030, 2036, 2037, 4000, 9000, 65000 };

	up(s);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(sizes); i++) {
		if (!(s->flags & VIO_RECV_MERGE) && sizes[i] + 14 + s->head > s->each)
			continue;
		frame_make(sizes[i]);
		pass(s, 0, NULL);
	}
	if (s->flags & VIO_PACKET_TSO4) {
		pass_segments(s, VIO_PACKET_TSO4, 65000);
		pass_segments(s, VIO_PACKET_TSO6, 64000);
		pass_segments(s, VIO_PACKET_USO4, 60000);
		pass_segments(s, VIO_PACKET_USO6, 3000);
	}
	if (s->shared && (s->head == 12 || !(s->flags & VIO_RECV_MERGE)))
		assert_int_equal(counter_of(b.b, "bounced"), 0);
	else
		assert_true(counter_of(b.b, "bounced") > 0);
	down();
}

/* Each shape in both formats. */
static void exchange_both(struct shape s)
{
	s.options = "";
	exchange(&s);
	s.options = ",packed=on,queue-size=128";
	exchange(&s);
}

static void whole_packets_merged_in_shared_memory(void **state)
{
	(void)state;
	exchange_both((struct shape){ "", "", true, 2048, 12, OFFLOADS | VIO_RECV_MERGE });
}

static void whole_packets_merged_in_memory_of_ones_own(void **state)
{
	(void)state;
	exchange_both((struct shape){ "", "", false, 2048, 12, OFFLOADS | VIO_RECV_MERGE });
	exchange_both((struct shape){ "", "", false, 2048, 0, OFFLOADS | VIO_RECV_MERGE });
}

static void heads_of_any_length(void **state)
{
	(void)state;
	for (unsigned head = 0; head < 40; head += 13)
		exchange_both((struct shape){ "", "", true, 2048, head, OFFLOADS | VIO_RECV_MERGE });
}

static void whole_packets_in_one_buffer(void **state)
{
	(void)state;
	exchange_both((struct shape){ "", "", true, EACH, 0, OFFLOADS });
	exchange_both((struct shape){ "", "", true, EACH, 12, OFFLOADS });
	exchange_both((struct shape){ "", "", false, EACH, 10, OFFLOADS });
}

static void plain_packets_without_merging(void **state)
{
	(void)state;
	exchange_both((struct shape){ "merge=off", "", true, 2048, 12, 0 });
	exchange_both((struct shape){ "merge=off,offloads=off", "", false, 2048, 0, 0 });
	exchange_both((struct shape){ "", "", true, 2048, 0, 0 });
}

static bool link_down(const struct end *e)
{
	struct vio_backend_info i = { .sz = sizeof(i) };

	assert_int_equal(vio_backend_info(e->b, &i), 0);
	return i.link_down;
}

static void the_server_is_killed(const char *options)
{
	const struct shape s = { "", options, true, 2048, 12, OFFLOADS | VIO_RECV_MERGE };

	up(&s);
	frame_make(5000);
	for (unsigned n = 2; n < 7; n++) {
		pass(&s, 0, NULL);
		switch_kill(&server);
		while (!link_down(&a) || !link_down(&b)) /* its sockets may outlive it for a moment */
			assert_true(vio_poller_wait(poller, 20000) >= 0);
		switch_fork(&server);
		started(&a, 2 * n);
		started(&b, 2 * n);
		assert_false(link_down(&a) || link_down(&b));
		meet(&s);
		frame_make(5000 + n);
	}
	assert_int_equal(counter_of(b.b, "bounced"), 0);
	down();
}

static void killed_and_back(void **state)
{
	(void)state;
	the_server_is_killed("");
	the_server_is_killed(",packed=on");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_packets_merged_in_shared_memory),
		cmocka_unit_test(whole_packets_merged_in_memory_of_ones_own),
		cmocka_unit_test(heads_of_any_length),
		cmocka_unit_test(whole_packets_in_one_buffer),
		cmocka_unit_test(plain_packets_without_merging),
		cmocka_unit_test(killed_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
