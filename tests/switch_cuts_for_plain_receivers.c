/* SPDX-License-Identifier: MIT */
/* A receiver that takes no offloads gets segments and sums made by software, also behind a VLAN tag. */
#include "switch_net.h"

#include "packet/packet.h"

#define L4 (14 + 20)
#define PAYLOAD 5000u
#define MSS 1400u
#define TCP_FRAME (L4 + 20 + PAYLOAD)

static struct vio_poller *poller;
static struct vio_switch *sw;
static struct station a, b;
static uint8_t frame[TCP_FRAME + 4];
static struct packet_got got;

static int up(void **state)
{
	(void)state;
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	station_up(&a, sw, poller, "a", NULL);
	station_up(&b, sw, poller, "b", NULL);
	station_known(&b, sw, 2);
	return 0;
}

static int down(void **state)
{
	(void)state;
	station_down(&a);
	station_down(&b);
	vio_switch_free(sw);
	vio_poller_free(poller);
	return 0;
}

/* Ones' complement sum over p, folded; plain and slow. */
static uint16_t sum_of(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The pseudo header's sum for l4 bytes of protocol `proto`. */
static uint16_t pseudo(const uint8_t *ip, uint8_t proto, size_t l4)
{
	return sum_of(ip + 12, 8, (uint32_t)(proto + l4));
}

/* An Ethernet and IPv4 header for l4 bytes of protocol `proto`, and a pattern as payload. */
static void ipv4_frame(uint8_t proto, size_t l4)
{
	uint8_t *ip = frame + 14;

	net_frame(frame, 2, 1, -1, 14 + 20 + l4, 3);
	packet_put16(frame + 12, 0x0800);
	memset(ip, 0, 20);
	ip[0] = 0x45;
	packet_put16(ip + 2, (uint16_t)(20 + l4));
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, (uint8_t[]){ 10, 0, 0, 1, 10, 0, 0, 2 }, 8);
	packet_put16(ip + 10, (uint16_t)~sum_of(ip, 20, 0));
}

/* As a guest's driver makes it: the sum field holds the pseudo header's sum. */
static void tcp_frame(size_t payload)
{
	uint8_t *tcp = frame + L4;

	ipv4_frame(6, 20 + payload);
	memset(tcp, 0, 20);
	packet_put16(tcp, 1000);
	packet_put16(tcp + 2, 80);
	packet_put32(tcp + 4, 0xfffffe00); /* wraps on the way */
	tcp[12] = 0x50;
	tcp[13] = 0x18;
	packet_put16(tcp + 16, pseudo(frame + 14, 6, 20 + payload));
}

static void check_tcp(const uint8_t *f, size_t len, size_t head)
{
	const uint8_t *ip = f + head;

	assert_int_equal(packet_get16(ip + 2), len - head);
	assert_int_equal(sum_of(ip, 20, 0), 0xffff);
	assert_int_equal(sum_of(ip + 20, len - head - 20, pseudo(ip, 6, len - head - 20)), 0xffff);
}

/* Gets the segments of tcp_frame(PAYLOAD), whose Ethernet header is `head` bytes, and puts the payload
 * together. */
static void check_segments(size_t head, uint8_t flags)
{
	size_t at = 0, n = 0;

	for (; station_get(&b, &got); n++) {
		size_t payload = got.len - head - 40;

		check_tcp(got.bytes, got.len, head);
		assert_int_equal(got.flags, flags);
		assert_true(payload == MSS || at + payload == PAYLOAD);
		assert_int_equal(packet_get32(got.bytes + head + 20 + 4), (uint32_t)(0xfffffe00 + at));
		assert_memory_equal(got.bytes + head + 40, frame + L4 + 20 + at, payload);
		at += payload;
	}
	assert_true(at == PAYLOAD);
	assert_true(n == (PAYLOAD + MSS - 1) / MSS);
}

static const struct vio_offload tso = {
	.hdr_len = L4 + 20, .gso_size = MSS, .csum_start = L4, .csum_offset = 16
};

static void send_tso(size_t cut)
{
	tcp_frame(PAYLOAD);
	station_send_cut(&a, frame, TCP_FRAME, VIO_PACKET_CSUM | VIO_PACKET_TSO4, &tso, cut);
	station_reap_sends(&a);
}

static void tcp_is_cut(void **state)
{
	(void)state;
	for (size_t cut = 0; cut < 70; cut += 23) {
		station_post(&b, 10);
		send_tso(cut);
		check_segments(14, 0);
		station_recall(&b);
	}
	b.takes = VIO_PACKET_CSUM_OK;
	b.room = 300; /* each segment over several */
	b.takes |= VIO_RECV_MERGE;
	station_post(&b, 40);
	send_tso(0);
	check_segments(14, VIO_PACKET_CSUM_OK);
	assert_true(station_stats(&b).segmented == 5 * 4);
	assert_true(station_stats(&b).delivered == 5 * 4);
}

static void tcp_is_cut_behind_a_tag_that_was_put_on(void **state)
{
	VIO_OPTS(vio_switch_port_opts, trunk, .flags = VIO_SWITCH_TRUNK, .vlan = 7);

	(void)state;
	assert_int_equal(vio_switch_port_set(b.port, &trunk), 0);
	station_post(&b, 10);
	send_tso(0);
	check_segments(18, 0);
}

static void segments_without_buffers_count_as_one_drop(void **state)
{
	(void)state;
	station_post(&b, 2);
	send_tso(0);
	assert_true(station_stats(&b).delivered == 2);
	assert_true(station_dropped(&a, VIO_SWITCH_DROP_NO_BUFFER) == 1);
}

static void sums_are_made(void **state)
{
	struct vio_offload o = { .csum_start = L4, .csum_offset = 16 };

	(void)state;
	b.room = 77; /* the sum's place is in another part than the beginning, at times cut in two */
	b.takes = VIO_RECV_MERGE;
	for (b.free = 0; b.free < 77; b.free++) {
		tcp_frame(333);
		station_post(&b, 8);
		station_send_cut(&a, frame, L4 + 20 + 333, VIO_PACKET_CSUM, &o, 60);
		station_reap_sends(&a);
		assert_true(station_get(&b, &got));
		check_tcp(got.bytes, L4 + 20 + 333, 14);
		assert_int_equal(got.flags, 0);
		station_recall(&b);
	}
	assert_true(station_stats(&b).summed == 77);
}

/* A header that contradicts its offload, or lies outside: refused, not read beyond. */
static void offloads_that_make_no_sense_are_dropped(void **state)
{
	struct vio_offload far = { .csum_start = 90, .csum_offset = 40 };

	(void)state;
	station_post(&b, 4);
	ipv4_frame(17, 20 + 1000); /* UDP, but TSO4 */
	station_send_cut(&a, frame, L4 + 1020, VIO_PACKET_CSUM | VIO_PACKET_TSO4, &tso, 0);
	station_send_cut(&a, frame, 100, VIO_PACKET_CSUM, &far, 0);
	station_reap_sends(&a);
	assert_true(station_gets_nothing(&b));
	assert_true(station_dropped(&a, VIO_SWITCH_DROP_OFFLOAD) == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tcp_is_cut, up, down),
		cmocka_unit_test_setup_teardown(tcp_is_cut_behind_a_tag_that_was_put_on, up, down),
		cmocka_unit_test_setup_teardown(segments_without_buffers_count_as_one_drop, up, down),
		cmocka_unit_test_setup_teardown(sums_are_made, up, down),
		cmocka_unit_test_setup_teardown(offloads_that_make_no_sense_are_dropped, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
