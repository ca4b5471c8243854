/* SPDX-License-Identifier: MIT */
/* A packet that a receiver takes whole arrives whole: merged over RECVs, its offloads as they were. */
#include "switch_net.h"

#define TCP_AT (14 + 20)
#define BIG 65000u
#define ALL_OFFLOADS                                                                                         \
	(VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4 | VIO_PACKET_TSO6 | VIO_PACKET_USO4 |        \
	 VIO_PACKET_USO6 | VIO_PACKET_ECN)

static struct vio_poller *poller;
static struct vio_switch *sw;
static struct station a, b;
static uint8_t frame[BIG], expect[BIG + 4];
static struct packet_got got;

static int up(void **state)
{
	(void)state;
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	station_up(&a, sw, poller, "a", NULL);
	station_up(&b, sw, poller, "b", NULL);
	station_known(&b, sw, 2);
	net_frame(frame, 2, 1, -1, sizeof(frame), 1);
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

static const struct vio_offload tso = {
	.hdr_len = TCP_AT + 20, .gso_size = 1448, .csum_start = TCP_AT, .csum_offset = 16
};

static void same_offload(const struct vio_offload *x, const struct vio_offload *y)
{
	assert_int_equal(x->hdr_len, y->hdr_len);
	assert_int_equal(x->gso_size, y->gso_size);
	assert_int_equal(x->csum_start, y->csum_start);
	assert_int_equal(x->csum_offset, y->csum_offset);
}

static void a_large_packet_fills_several_buffers(void **state)
{
	uint8_t flags = VIO_PACKET_CSUM | VIO_PACKET_TSO4 | VIO_PACKET_ECN;

	(void)state;
	b.takes = ALL_OFFLOADS | VIO_RECV_MERGE;
	for (b.free = 0; b.free < 24; b.free += 12) {
		station_post(&b, 40);
		station_send_cut(&a, frame, BIG, flags, &tso, 1000);
		station_reap_sends(&a);
		assert_true(station_get(&b, &got));
		assert_true(got.len == BIG && !memcmp(got.bytes, frame, BIG));
		assert_int_equal(got.flags, flags);
		assert_int_equal(got.parts, (BIG + b.free + 2047) / 2048);
		same_offload(&got.offload, &tso);
		station_recall(&b);
	}
	assert_true(station_stats(&b).segmented == 0 && station_stats(&b).delivered == 2);
	assert_true(station_stats(&b).delivered_bytes == 2 * BIG);
}

/* What does not fit is dropped as a whole, and leaves the buffers for the next. */
static void a_packet_without_enough_buffers_leaves_them_alone(void **state)
{
	(void)state;
	b.takes = ALL_OFFLOADS | VIO_RECV_MERGE;
	station_post(&b, 31); /* 32 would do */
	station_send_cut(&a, frame, BIG, VIO_PACKET_CSUM | VIO_PACKET_TSO4, &tso, 0);
	station_reap_sends(&a);
	assert_true(station_gets_nothing(&b));
	assert_true(station_dropped(&a, VIO_SWITCH_DROP_NO_BUFFER) == 1);
	station_send(&a, frame, 1000);
	assert_true(station_gets(&b, frame, 1000));
	station_post(&b, 2);
	station_send_cut(&a, frame, BIG, VIO_PACKET_CSUM | VIO_PACKET_TSO4, &tso, 0);
	station_reap_sends(&a);
	assert_true(station_gets(&b, frame, BIG));
}

static void a_buffer_that_cannot_be_merged_drops_what_is_longer(void **state)
{
	(void)state;
	b.free = 10;
	station_post(&b, 3);
	station_send(&a, frame, 2039);
	assert_true(station_dropped(&a, VIO_SWITCH_DROP_TOO_LONG) == 1);
	station_send(&a, frame, 2038);
	assert_true(station_gets(&b, frame, 2038));
	assert_int_equal(b.posted, 2);
	station_recall(&b);
	station_send(&a, frame, 100);
	assert_true(station_dropped(&a, VIO_SWITCH_DROP_NO_BUFFER) == 1);
}

static void offsets_follow_a_tag_that_comes_or_goes(void **state)
{
	VIO_OPTS(vio_switch_port_opts, trunk, .flags = VIO_SWITCH_TRUNK, .vlan = 7);
	VIO_OPTS(vio_switch_port_opts, native, .vlan = 1);
	struct vio_offload tagged = tso, untagged = tso;

	(void)state;
	tagged.csum_start += 4;
	tagged.hdr_len += 4;
	b.takes = a.takes = ALL_OFFLOADS | VIO_RECV_MERGE;
	assert_int_equal(vio_switch_port_set(b.port, &trunk), 0);
	assert_int_equal(vio_switch_port_set(a.port, &native), 0);
	station_post(&b, 40);
	station_send_cut(&a, frame, BIG, VIO_PACKET_CSUM | VIO_PACKET_TSO4, &untagged, 0);
	station_reap_sends(&a);
	assert_true(station_get(&b, &got));
	net_frame(expect, 2, 1, 1, sizeof(expect), 0);
	memcpy(expect + 16, frame + 12, BIG - 12);
	assert_true(got.len == BIG + 4 && !memcmp(got.bytes, expect, BIG + 4));
	same_offload(&got.offload, &tagged);

	net_mac(expect, 1); /* and back */
	net_mac(expect + 6, 2);
	station_post(&a, 40);
	station_send_cut(&b, expect, BIG + 4, VIO_PACKET_CSUM | VIO_PACKET_TSO4, &tagged, 0);
	station_reap_sends(&b);
	assert_true(station_get(&a, &got));
	assert_true(got.len == BIG && !memcmp(got.bytes + 12, frame + 12, BIG - 12));
	same_offload(&got.offload, &untagged);
}

static void offsets_into_the_ethernet_header_are_refused(void **state)
{
	struct vio_offload o = { .csum_start = 2, .csum_offset = 0 };

	(void)state;
	b.takes = ALL_OFFLOADS;
	station_post(&b, 1);
	station_send_cut(&a, frame, 100, VIO_PACKET_CSUM, &o, 0);
	station_reap_sends(&a);
	assert_true(station_dropped(&a, VIO_SWITCH_DROP_OFFLOAD) == 1);
	assert_true(station_gets_nothing(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_large_packet_fills_several_buffers, up, down),
		cmocka_unit_test_setup_teardown(a_packet_without_enough_buffers_leaves_them_alone, up, down),
		cmocka_unit_test_setup_teardown(a_buffer_that_cannot_be_merged_drops_what_is_longer, up,
						down),
		cmocka_unit_test_setup_teardown(offsets_follow_a_tag_that_comes_or_goes, up, down),
		cmocka_unit_test_setup_teardown(offsets_into_the_ethernet_header_are_refused, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
