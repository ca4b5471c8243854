/* SPDX-License-Identifier: MIT */
/* Ports of a group have one limit together, which changes while packets pass; a port's own limits hold
 * beside. */
#include "switch_net.h"

#define TRIES 200u
/* A limit of one a second, so that what passes is the burst, and some for a test that takes long. */
#define SLACK 60u

struct net {
	struct vio_poller *poller;
	struct vio_switch *sw;
	struct station a, b, c, wall;
};

static void net_up(struct net *n, const struct vio_switch_limits *limits,
		   const struct vio_switch_port_opts *member)
{
	assert_int_equal(vio_poller_new(&n->poller, NULL), 0);
	assert_int_equal(vio_switch_new(&n->sw, NULL), 0);
	assert_int_equal(vio_switch_group_set(n->sw, "tenant", limits), 0);
	station_up(&n->a, n->sw, n->poller, "a", member);
	station_up(&n->b, n->sw, n->poller, "b", member);
	station_up(&n->c, n->sw, n->poller, "c", NULL);
	station_up(&n->wall, n->sw, n->poller, "wall", NULL);
	station_known(&n->wall, n->sw, 9);
}

static void net_down(struct net *n)
{
	station_down(&n->a);
	station_down(&n->b);
	station_down(&n->c);
	station_down(&n->wall);
	vio_switch_free(n->sw);
	vio_poller_free(n->poller);
}

/* How many of TRIES frames are not stopped by a limit. */
static unsigned passes(struct station *s, unsigned dst, enum vio_switch_drop why)
{
	uint64_t before = station_dropped(s, why);
	uint8_t frame[100];

	for (unsigned i = 0; i < TRIES; i++)
		station_send(s, frame, net_frame(frame, dst, 1, -1, sizeof(frame), i));
	return TRIES - (unsigned)(station_dropped(s, why) - before);
}

static const struct vio_switch_port_opts in_tenant = { .sz = sizeof(in_tenant), .group = "tenant" };

static void packets_are_shared(void **state)
{
	VIO_OPTS(vio_switch_limits, l, .packets = { 1, 100 });
	struct net n;

	(void)state;
	net_up(&n, &l, &in_tenant);
	assert_in_range(passes(&n.a, 9, VIO_SWITCH_DROP_LIMIT), 100, 100 + SLACK);
	assert_in_range(passes(&n.b, 9, VIO_SWITCH_DROP_LIMIT), 0, SLACK);
	assert_int_equal(passes(&n.c, 9, VIO_SWITCH_DROP_LIMIT), TRIES); /* is in no group */
	net_down(&n);
}

static void bytes_and_storms_are_shared(void **state)
{
	VIO_OPTS(vio_switch_limits, l, .bytes = { 100, 100 * 100 }, .storm = { 1, 20 });
	struct net n;

	(void)state;
	net_up(&n, &l, &in_tenant);
	assert_in_range(passes(&n.a, NET_BROADCAST, VIO_SWITCH_DROP_STORM) +
				passes(&n.b, NET_BROADCAST, VIO_SWITCH_DROP_STORM),
			20, 2 * TRIES);
	assert_true(station_dropped(&n.a, VIO_SWITCH_DROP_STORM) > 0);
	assert_in_range(TRIES * 2 - station_dropped(&n.a, VIO_SWITCH_DROP_LIMIT) -
				station_dropped(&n.b, VIO_SWITCH_DROP_LIMIT),
			100, 100 + SLACK);
	net_down(&n);
}

/* What one limit stops is not taken from another. */
static void own_limits_hold_beside(void **state)
{
	VIO_OPTS(vio_switch_limits, l, .packets = { 1, 100 });
	VIO_OPTS(vio_switch_port_opts, own, .group = "tenant", .packets = { 1, 30 });
	struct net n;

	(void)state;
	net_up(&n, &l, &own);
	assert_in_range(passes(&n.a, 9, VIO_SWITCH_DROP_LIMIT), 30, 30 + SLACK);
	own.packets.rate = 0;
	assert_int_equal(vio_switch_port_set(n.b.port, &own), 0);
	assert_in_range(passes(&n.b, 9, VIO_SWITCH_DROP_LIMIT), 70 - SLACK, 70 + SLACK);
	net_down(&n);
}

static void a_group_changes_with_the_next_packet(void **state)
{
	VIO_OPTS(vio_switch_limits, l, .packets = { 1, 10 });
	VIO_OPTS(vio_switch_port_opts, out);
	struct net n;

	(void)state;
	net_up(&n, &l, &in_tenant);
	assert_in_range(passes(&n.a, 9, VIO_SWITCH_DROP_LIMIT), 10, 10 + SLACK);
	l.packets.rate = 0;
	assert_int_equal(vio_switch_group_set(n.sw, "tenant", &l), 0);
	assert_int_equal(passes(&n.a, 9, VIO_SWITCH_DROP_LIMIT), TRIES);
	l.packets = (struct vio_switch_limit){ 1, 1 };
	assert_int_equal(vio_switch_group_set(n.sw, "tenant", &l), 0);
	assert_in_range(passes(&n.b, 9, VIO_SWITCH_DROP_LIMIT), 1, 1 + SLACK);
	assert_int_equal(vio_switch_port_set(n.a.port, &out), 0);
	assert_int_equal(passes(&n.a, 9, VIO_SWITCH_DROP_LIMIT), TRIES);
	net_down(&n);
}

static void groups_come_and_go(void **state)
{
	VIO_OPTS(vio_switch_limits, l, .bytes = { 5, 7 });
	VIO_OPTS(vio_switch_port_opts, none);
	struct vio_switch_limits got = { .sz = sizeof(got) };
	struct net n;

	(void)state;
	net_up(&n, &l, &in_tenant);
	assert_string_equal(vio_switch_group_at(n.sw, 0, &got), "tenant");
	assert_true(got.bytes.rate == 5 && got.bytes.burst == 7 && !got.packets.rate);
	assert_null(vio_switch_group_at(n.sw, 1, &got));
	assert_int_equal(vio_switch_group_del(n.sw, "tenant"), -EBUSY);
	assert_int_equal(vio_switch_port_set(n.a.port, &in_tenant), 0); /* in it already */
	assert_int_equal(vio_switch_port_set(n.a.port, &none), 0);
	assert_int_equal(vio_switch_group_del(n.sw, "tenant"), -EBUSY);
	station_down(&n.b);
	assert_int_equal(vio_switch_group_del(n.sw, "tenant"), 0);
	assert_int_equal(vio_switch_group_del(n.sw, "tenant"), -ENOENT);
	assert_int_equal(vio_switch_port_set(n.a.port, &in_tenant), -ENOENT);
	assert_int_equal(vio_switch_group_set(n.sw, "", &l), -EINVAL);
	assert_int_equal(vio_switch_group_set(n.sw, "a name", &l), -EINVAL);
	station_up(&n.b, n.sw, n.poller, "b", NULL);
	net_down(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_shared),
		cmocka_unit_test(bytes_and_storms_are_shared),
		cmocka_unit_test(own_limits_hold_beside),
		cmocka_unit_test(a_group_changes_with_the_next_packet),
		cmocka_unit_test(groups_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
