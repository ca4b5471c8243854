/* SPDX-License-Identifier: MIT */
/* Isolation, ports that are down, limits and storms, mirrors: each does what its option says, and counts it.
 */
#include "switch_net.h"

enum { A, B, C, N };

static struct vio_poller *poller;
static struct vio_switch *sw;
static struct station s[N];
static uint8_t frame[100];

static int up(void **state)
{
	static const char *const names[N] = { "a", "b", "c" };

	(void)state;
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	for (unsigned i = 0; i < N; i++) {
		station_up(&s[i], sw, poller, names[i], NULL);
		station_post(&s[i], 200);
		station_known(&s[i], sw, i);
	}
	return 0;
}

static int down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++)
		station_down(&s[i]);
	vio_switch_free(sw);
	vio_poller_free(poller);
	return 0;
}

static void set(unsigned i, struct vio_switch_port_opts o)
{
	o.sz = sizeof(o);
	assert_int_equal(vio_switch_port_set(s[i].port, &o), 0);
}

static void say(unsigned from, unsigned dst)
{
	station_send(&s[from], frame, net_frame(frame, dst, from, -1, sizeof(frame), 0));
}

/* Of what was said, whoever it was said to. */
static unsigned copies(unsigned i)
{
	static struct packet_got got;
	unsigned n = 0;

	for (; station_get(&s[i], &got); n++)
		assert_true(got.len == sizeof(frame) && !memcmp(got.bytes + 6, frame + 6, got.len - 6));
	return n;
}

static void isolated_ports_reach_only_others(void **state)
{
	(void)state;
	set(A, (struct vio_switch_port_opts){ .flags = VIO_SWITCH_ISOLATED });
	set(B, (struct vio_switch_port_opts){ .flags = VIO_SWITCH_ISOLATED });
	say(A, B);
	assert_int_equal(copies(B), 0);
	assert_true(station_dropped(&s[A], VIO_SWITCH_DROP_ISOLATED) == 1);
	say(A, NET_BROADCAST);
	assert_true(!copies(B) && copies(C) == 1);
	say(A, C);
	assert_int_equal(copies(C), 1);
	say(C, A);
	assert_int_equal(copies(A), 1);
}

static void ports_that_are_down_do_nothing(void **state)
{
	struct vio_backend_info i = { .sz = sizeof(i) };

	(void)state;
	set(B, (struct vio_switch_port_opts){ .flags = VIO_SWITCH_DOWN });
	assert_int_equal(vio_backend_info(vio_switch_port_backend(s[B].port), &i), 0);
	assert_true(i.link_down);
	say(A, B);
	say(A, NET_BROADCAST);
	assert_true(!copies(B) && copies(C) == 1);
	say(B, A);
	assert_int_equal(copies(A), 0);
	assert_true(station_dropped(&s[A], VIO_SWITCH_DROP_DOWN) == 1);
	assert_true(station_dropped(&s[B], VIO_SWITCH_DROP_DOWN) == 1);
	set(B, (struct vio_switch_port_opts){ 0 });
	say(A, B);
	assert_int_equal(copies(B), 1);
}

static void unknown_destinations_spare_some_ports(void **state)
{
	(void)state;
	set(B, (struct vio_switch_port_opts){ .flags = VIO_SWITCH_NO_FLOOD });
	say(A, 77);
	assert_true(!copies(B) && copies(C) == 1);
	say(A, NET_BROADCAST);
	assert_true(copies(B) == 1 && copies(C) == 1);
}

static void mirrors_get_what_a_port_sends_and_receives(void **state)
{
	(void)state;
	set(A, (struct vio_switch_port_opts){ .mirror = "c" });
	say(A, B);
	assert_true(copies(B) == 1 && copies(C) == 1);
	say(B, A);
	assert_true(copies(A) == 1 && copies(C) == 1);
	say(B, NET_BROADCAST);
	assert_true(copies(A) == 1 && copies(C) == 2); /* its own, and A's */
	station_recall(&s[C]);
	say(A, B);
	assert_int_equal(copies(B), 1);
	assert_true(station_dropped(&s[C], VIO_SWITCH_DROP_NO_BUFFER) == 1);
	assert_true(station_stats(&s[A]).dropped[VIO_SWITCH_DROP_NO_BUFFER] == 0);
	station_down(&s[C]); /* mirrors may go */
	say(A, B);
	assert_int_equal(copies(B), 1);
	station_up(&s[C], sw, poller, "other", NULL);
	station_post(&s[C], 8);
	say(A, B); /* and another port that has its number is none */
	assert_true(copies(B) == 1 && !copies(C));
}

/* A rate of next to nothing: what may pass is the burst. */
static void limits_hold(void **state)
{
	(void)state;
	set(A, (struct vio_switch_port_opts){ .packets = { 1, 5 } });
	for (unsigned i = 0; i < 12; i++)
		say(A, B);
	assert_int_equal(copies(B), 5);
	assert_true(station_dropped(&s[A], VIO_SWITCH_DROP_LIMIT) == 7);
	set(A, (struct vio_switch_port_opts){ .bytes = { 1, 3 * sizeof(frame) } });
	for (unsigned i = 0; i < 12; i++)
		say(A, B);
	assert_int_equal(copies(B), 3);
	set(A, (struct vio_switch_port_opts){ 0 });
	for (unsigned i = 0; i < 12; i++)
		say(A, B);
	assert_int_equal(copies(B), 12);
}

static void storms_are_calmed(void **state)
{
	(void)state;
	set(A, (struct vio_switch_port_opts){ .storm = { 1, 4 } });
	for (unsigned i = 0; i < 6; i++) {
		say(A, i & 1 ? NET_BROADCAST : 77);
		say(A, B);
	}
	assert_int_equal(copies(C), 4);
	assert_true(station_dropped(&s[A], VIO_SWITCH_DROP_STORM) == 2);
	assert_true(station_stats(&s[B]).delivered == 10);
	copies(B);
}

static void ports_are_listed_by_name_and_number(void **state)
{
	struct vio_switch_port *p;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; (p = vio_switch_port_at(sw, &i)); i++)
		assert_ptr_equal(p, s[n++].port);
	assert_int_equal(n, N);
	assert_ptr_equal(vio_switch_port_find(sw, "b"), s[B].port);
	assert_null(vio_switch_port_find(sw, "x"));
	assert_string_equal(vio_switch_drop_name(VIO_SWITCH_DROP_NO_BUFFER), "no-buffer");
	assert_null(vio_switch_drop_name(VIO_SWITCH_DROP_N));
	for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
		assert_non_null(vio_switch_drop_name(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(isolated_ports_reach_only_others, up, down),
		cmocka_unit_test_setup_teardown(ports_that_are_down_do_nothing, up, down),
		cmocka_unit_test_setup_teardown(unknown_destinations_spare_some_ports, up, down),
		cmocka_unit_test_setup_teardown(mirrors_get_what_a_port_sends_and_receives, up, down),
		cmocka_unit_test_setup_teardown(limits_hold, up, down),
		cmocka_unit_test_setup_teardown(storms_are_calmed, up, down),
		cmocka_unit_test_setup_teardown(ports_are_listed_by_name_and_number, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
