/* SPDX-License-Identifier: MIT */
/*
 * A port that was told a table has each packet in the lane that the table names, by the hash of the packet's
 * own bytes: wherever it comes from, whether or not there are buffers.
 */
#include "rss_vectors.h"
#include "switch_net.h"

#define LANES 4u
#define ALL 0x1ffu

static struct vio_switch *sw;
static struct vio_poller *poller;
static struct station from, to; /* to.rx is one of: */
static struct vio_lane *lane[LANES];
static struct frame f;

static struct vio_backend *port(void)
{
	return vio_switch_port_backend(to.port);
}

/* As a device has them: one that receives for each pair. The station's own is pair 0's. */
static void lanes_up(void)
{
	lane[0] = to.rx;
	for (unsigned i = 1; i < LANES; i++) {
		VIO_OPTS(vio_lane_opts, o, .recv = true, .pair = i);

		assert_int_equal(vio_lane_new(&lane[i], port(), poller, &o), 0);
	}
}

static void post_all(unsigned n)
{
	for (unsigned i = 0; i < LANES; i++) {
		to.rx = lane[i];
		station_post(&to, n);
	}
}

static void up(void)
{
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	station_up(&from, sw, poller, "from", NULL);
	station_up(&to, sw, poller, "to", NULL);
	station_known(&to, sw, 2);
	lanes_up();
}

static void down(void)
{
	for (unsigned i = 1; i < LANES; i++) {
		to.rx = lane[i];
		station_recall(&to);
		vio_lane_free(lane[i]);
	}
	to.rx = lane[0];
	station_down(&from);
	station_down(&to);
	vio_switch_free(sw);
	vio_poller_free(poller);
}

static int steer(uint32_t types, const uint16_t *table, uint16_t entries, uint16_t unhashed)
{
	VIO_OPTS(vio_steer, s, .hash_types = types, .table = table, .entries = entries, .unhashed = unhashed,
		 .key = rss_key, .key_len = sizeof(rss_key));

	return vio_backend_steer(port(), &s);
}

/* f comes out of this lane and no other. */
static void comes_to(unsigned pair)
{
	station_send(&from, f.b, f.len);
	for (unsigned i = 0; i < LANES; i++) {
		to.rx = lane[i];
		if (i != pair)
			assert_true(station_gets_nothing(&to));
		else if (!station_gets(&to, f.b, f.len))
			fail_msg("lane %u did not get the packet", i);
	}
	if (pair >= LANES)
		return;
	to.rx = lane[pair];
	station_post(&to, 1);
}

static void each_vector(const uint16_t *table, unsigned entries, unsigned unhashed)
{
	for (const struct rss_vector *v = rss_v4; v < rss_v4 + VIO_ARRAY_SIZE(rss_v4); v++) {
		rss_frame(&f, v, false, IPPROTO_TCP);
		comes_to(table[v->tcp % entries]);
		rss_frame(&f, v, false, IPPROTO_UDP);
		comes_to(table[v->tcp % entries]);
		rss_frame(&f, v, false, IPPROTO_ICMP);
		comes_to(table[v->ip % entries]);
	}
	for (const struct rss_vector *v = rss_v6; v < rss_v6 + VIO_ARRAY_SIZE(rss_v6); v++) {
		rss_frame(&f, v, true, IPPROTO_TCP);
		comes_to(table[v->tcp % entries]);
		rss_frame(&f, v, true, IPPROTO_ICMP);
		comes_to(table[v->ip % entries]);
		rss_extended(&f, v);
		comes_to(table[v->tcp % entries]);
	}
	frame_eth(&f);
	frame_type(&f, 0x0806);
	frame_payload(&f, 46);
	comes_to(unhashed);
}

static void known_vectors(void **state)
{
	uint16_t table[128];

	(void)state;
	up();
	post_all(4);
	for (unsigned entries = 1; entries <= 128; entries *= 2) {
		for (unsigned i = 0; i < entries; i++)
			table[i] = (uint16_t)((i * 7 + i / 4 + entries) % LANES);
		assert_int_equal(steer(ALL, table, (uint16_t)entries, entries % 3), 0);
		each_vector(table, entries, entries % 3);
	}
	down();
}

/* Types that were not asked for, and no types at all. */
static void chosen_types(void **state)
{
	static const uint16_t table[4] = { 0, 1, 2, 3 };

	(void)state;
	up();
	post_all(2);
	assert_int_equal(steer(VIRTIO_NET_RSS_HASH_TYPE_IPv4 | VIRTIO_NET_RSS_HASH_TYPE_TCPv6, table, 4, 2),
			 0);
	rss_frame(&f, &rss_v4[3], false, IPPROTO_TCP);
	comes_to(rss_v4[3].ip % 4);
	rss_frame(&f, &rss_v6[0], true, IPPROTO_TCP);
	comes_to(rss_v6[0].tcp % 4);
	rss_frame(&f, &rss_v6[0], true, IPPROTO_UDP);
	comes_to(2);
	assert_int_equal(steer(0, table, 4, 3), 0);
	comes_to(3);
	down();
}

/* To all, to a group, from a trunk with a tag, as a mirror's copy: the same. */
static void whatever_way_it_comes(void **state)
{
	static const uint16_t table[4] = { 3, 2, 1, 0 };
	const struct rss_vector *v = &rss_v4[0];
	VIO_OPTS(vio_switch_port_opts, trunk, .flags = VIO_SWITCH_TRUNK);
	VIO_OPTS(vio_switch_port_opts, mirrored, .mirror = "to", .vlan = 7);

	(void)state;
	up();
	post_all(4);
	assert_int_equal(steer(ALL, table, 4, 0), 0);
	rss_frame(&f, v, false, IPPROTO_TCP);
	memset(f.b, 0xff, 6);
	comes_to(table[v->tcp % 4]);
	memcpy(f.b, "\1\0\x5e\0\0\1", 6);
	comes_to(table[v->tcp % 4]);
	memset(f.b, 0xff, 6);
	assert_int_equal(vio_switch_port_set(from.port, &mirrored),
			 0); /* a VLAN of its own: only the copy arrives */
	comes_to(table[v->tcp % 4]);
	assert_int_equal(vio_switch_port_set(from.port, &trunk), 0);
	assert_int_equal(vio_switch_port_set(to.port, &trunk), 0);
	frame_eth(&f);
	frame_tag(&f, 0x8100, 9);
	frame_ipv4(&f, v->src, v->dst, IPPROTO_TCP, 0);
	frame_tcp(&f, v->src_port, v->dst_port, 0, 0);
	frame_payload(&f, 100);
	frame_end(&f);
	comes_to(table[v->tcp % 4]);
	down();
}

/* There are buffers elsewhere, but elsewhere it must not go. */
static void no_other_lane_will_do(void **state)
{
	static const uint16_t table[4] = { 1, 1, 1, 1 };

	(void)state;
	up();
	post_all(2);
	to.rx = lane[1];
	station_recall(&to);
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	assert_int_equal(steer(ALL, table, 4, 40), 0);
	comes_to(LANES);
	assert_int_equal(station_dropped(&from, VIO_SWITCH_DROP_NO_BUFFER), 1);
	to.rx = lane[1];
	station_post(&to, 1);
	comes_to(1);
	frame_eth(&f);
	frame_type(&f, 0x0806);
	frame_payload(&f, 46);
	comes_to(LANES); /* pair 40 has no lane */
	assert_int_equal(station_dropped(&from, VIO_SWITCH_DROP_DOWN), 1);
	down();
}

/* Its lane closes and opens again, as when a queue is reset. */
static void lanes_come_and_go(void **state)
{
	static const uint16_t table[1] = { 3 };
	VIO_OPTS(vio_lane_opts, o, .recv = true, .pair = 3);

	(void)state;
	up();
	post_all(1);
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	assert_int_equal(steer(ALL, table, 1, 0), 0);
	comes_to(3);
	to.rx = lane[3];
	station_recall(&to);
	vio_lane_free(lane[3]);
	station_send(&from, f.b, f.len);
	assert_int_equal(station_dropped(&from, VIO_SWITCH_DROP_DOWN), 1);
	assert_int_equal(vio_lane_new(&lane[3], port(), poller, &o), 0);
	to.rx = lane[3];
	station_post(&to, 1);
	comes_to(3);
	down();
}

/* Without a table the port goes by flow again, and by where buffers are. */
static void a_table_is_taken_back(void **state)
{
	static const uint16_t table[1] = { 1 };

	(void)state;
	up();
	assert_int_equal(vio_backend_steer(port(), NULL), 0);
	assert_int_equal(steer(ALL, table, 1, 1), 0);
	to.rx = lane[2];
	station_post(&to, 1);
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	comes_to(LANES);
	assert_int_equal(vio_backend_steer(port(), NULL), 0);
	comes_to(2);
	assert_int_equal(steer(ALL, table, 1, 1), 0);
	comes_to(LANES);
	down();
}

/* What is wrong is refused, and the table before it still holds. */
static void wrong_tables_are_refused(void **state)
{
	static const uint16_t good[2] = { 2, 2 };
	uint16_t table[256] = { 0 };

	(void)state;
	up();
	post_all(1);
	assert_int_equal(steer(ALL, good, 2, 2), 0);
	assert_int_equal(steer(0x200, table, 1, 0), -EINVAL);
	assert_int_equal(steer(ALL, table, 0, 0), -EINVAL);
	assert_int_equal(steer(ALL, table, 3, 0), -EINVAL);
	assert_int_equal(steer(ALL, table, 127, 0), -EINVAL);
	assert_int_equal(steer(ALL, table, 256, 0), -EINVAL);
	assert_int_equal(steer(ALL, table, 128, 64), -EINVAL);
	table[127] = 64;
	assert_int_equal(steer(ALL, table, 128, 0), -EINVAL);
	table[127] = 0xffff;
	assert_int_equal(steer(ALL, table, 128, 0), -EINVAL);
	assert_int_equal(vio_backend_steer(port(), &(struct vio_steer){ .sz = sizeof(struct vio_steer),
									.table = good,
									.entries = 2,
									.key = rss_key,
									.key_len = 41 }),
			 -EINVAL);
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	comes_to(2);
	down();
}

/* A filter does not stand in the way; a port that can't says so. */
static void through_filters_and_not_at_all(void **state)
{
	static const uint16_t table[1] = { 2 };
	VIO_OPTS(vio_steer, s, .hash_types = ALL, .table = table, .entries = 1);
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct vio_backend *trace, *sink;

	(void)state;
	up();
	post_all(1);
	assert_int_equal(vio_backend_new(&trace, vio_backend_find("trace"), port(), NULL, "file=/dev/null"), 0);
	assert_int_equal(vio_backend_info(trace, &i), 0);
	assert_int_equal(i.steers, 128);
	assert_int_equal(vio_backend_steer(trace, &s), 0);
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	comes_to(2);
	vio_backend_free(trace);
	assert_int_equal(vio_backend_parse(&sink, NULL, "sink"), 0);
	assert_int_equal(vio_backend_info(sink, &i), 0);
	assert_int_equal(i.steers, 0);
	assert_int_equal(vio_backend_steer(sink, &s), -EOPNOTSUPP);
	assert_int_equal(vio_backend_steer(sink, NULL), 0);
	vio_backend_free(sink);
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_vectors),
		cmocka_unit_test(chosen_types),
		cmocka_unit_test(whatever_way_it_comes),
		cmocka_unit_test(no_other_lane_will_do),
		cmocka_unit_test(lanes_come_and_go),
		cmocka_unit_test(a_table_is_taken_back),
		cmocka_unit_test(wrong_tables_are_refused),
		cmocka_unit_test(through_filters_and_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
