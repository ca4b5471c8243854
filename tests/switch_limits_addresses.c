/* SPDX-License-Identifier: MIT */
/* A port teaches the switch no more addresses than it may, whatever its guest says. */
#include "switch_net.h"

#define MANY 40u

struct net {
	struct vio_poller *poller;
	struct vio_switch *sw;
	struct station a, b;
};

static void net_up(struct net *n, const struct vio_switch_opts *so, uint32_t addresses)
{
	VIO_OPTS(vio_switch_port_opts, few, .addresses = addresses);

	assert_int_equal(vio_poller_new(&n->poller, NULL), 0);
	assert_int_equal(vio_switch_new(&n->sw, so), 0);
	station_up(&n->a, n->sw, n->poller, "a", &few);
	station_up(&n->b, n->sw, n->poller, "b", NULL);
}

static void net_down(struct net *n)
{
	station_down(&n->a);
	station_down(&n->b);
	vio_switch_free(n->sw);
	vio_poller_free(n->poller);
}

/* To nobody: what counts is the source. */
static void say(struct station *s, unsigned src)
{
	uint8_t frame[60];

	station_send(s, frame, net_frame(frame, 999, src, -1, sizeof(frame), 0));
}

struct whose {
	const struct vio_switch_port *port;
	unsigned learnt, fixed;
};

static void count_address(void *ctx, const struct vio_switch_address *a)
{
	struct whose *w = ctx;

	w->learnt += a->port == w->port && !a->fixed;
	w->fixed += a->port == w->port && a->fixed;
}

static unsigned learnt(const struct net *n, const struct station *s)
{
	struct whose w = { .port = s->port };

	vio_switch_addresses(n->sw, count_address, &w);
	assert_true(station_stats(s).addresses >= w.learnt);
	return w.learnt;
}

static void more_are_counted_and_not_learnt(void **state)
{
	struct net n;

	(void)state;
	net_up(&n, NULL, 4);
	for (unsigned i = 0; i < MANY; i++)
		say(&n.a, i);
	for (unsigned i = 0; i < 4; i++)
		say(&n.a, i); /* those that were learnt are still heard */
	assert_int_equal(learnt(&n, &n.a), 4);
	assert_true(station_stats(&n.a).addresses == 4);
	assert_true(station_stats(&n.a).unlearnt == MANY - 4);
	assert_true(station_stats(&n.a).sent == MANY + 4);
	net_down(&n);
}

/* What is in the table already is no way around it. */
static void others_addresses_do_not_move_there(void **state)
{
	uint8_t frame[60];
	struct net n;

	(void)state;
	net_up(&n, NULL, 2);
	for (unsigned i = 0; i < 2; i++)
		say(&n.a, i);
	say(&n.b, 7);
	say(&n.a, 7);
	assert_int_equal(learnt(&n, &n.a), 2);
	assert_int_equal(learnt(&n, &n.b), 1);
	station_post(&n.b, 1);
	station_send(&n.a, frame, net_frame(frame, 7, 0, -1, sizeof(frame), 0));
	assert_true(station_gets(&n.b, frame, sizeof(frame)));
	say(&n.b, 1); /* but a's may leave, and make room */
	say(&n.a, 8);
	assert_int_equal(learnt(&n, &n.a), 2);
	assert_int_equal(learnt(&n, &n.b), 2);
	net_down(&n);
}

static void the_rest_of_the_table_is_for_others(void **state)
{
	VIO_OPTS(vio_switch_opts, small, .addresses = 16);
	struct net n;

	(void)state;
	net_up(&n, &small, 6);
	for (unsigned i = 0; i < MANY; i++)
		say(&n.a, i);
	for (unsigned i = 0; i < 10; i++)
		say(&n.b, 100 + i);
	assert_int_equal(learnt(&n, &n.a), 6);
	assert_int_equal(learnt(&n, &n.b), 10);
	assert_true(!station_stats(&n.b).unlearnt);
	say(&n.b, 200); /* no room for anyone */
	assert_true(station_stats(&n.b).unlearnt == 1);
	net_down(&n);
}

static void a_limit_changes_with_the_next_packet(void **state)
{
	VIO_OPTS(vio_switch_port_opts, o, .addresses = 3);
	struct net n;

	(void)state;
	net_up(&n, NULL, 1);
	for (unsigned i = 0; i < 5; i++)
		say(&n.a, i);
	assert_int_equal(learnt(&n, &n.a), 1);
	assert_int_equal(vio_switch_port_set(n.a.port, &o), 0);
	for (unsigned i = 0; i < 5; i++)
		say(&n.a, i);
	assert_int_equal(learnt(&n, &n.a), 3);
	o.addresses = 0;
	assert_int_equal(vio_switch_port_set(n.a.port, &o), 0);
	for (unsigned i = 0; i < MANY; i++)
		say(&n.a, i);
	assert_int_equal(learnt(&n, &n.a), MANY);
	o.addresses = 2; /* what was learnt stays until it ages */
	assert_int_equal(vio_switch_port_set(n.a.port, &o), 0);
	say(&n.a, MANY);
	assert_int_equal(learnt(&n, &n.a), MANY);
	net_down(&n);
}

static void static_ones_do_not_count(void **state)
{
	struct whose w = { 0 };
	struct net n;

	(void)state;
	net_up(&n, NULL, 2);
	for (unsigned i = 10; i < 15; i++)
		station_known(&n.a, n.sw, i);
	for (unsigned i = 0; i < 5; i++)
		say(&n.a, i);
	assert_int_equal(learnt(&n, &n.a), 2);
	station_known(&n.a, n.sw, 0); /* a learnt one becomes static: another may be learnt */
	say(&n.a, 5);
	w.port = n.a.port;
	vio_switch_addresses(n.sw, count_address, &w);
	assert_true(w.fixed == 6 && w.learnt == 2);
	net_down(&n);
}

/* Those that are not heard any more do not keep a port from learning others. */
static void the_aged_make_room(void **state)
{
	VIO_OPTS(vio_switch_opts, so, .age_ns = 20000000);
	struct net n;
	uint64_t unlearnt;
	unsigned turns = 0;

	(void)state;
	net_up(&n, &so, 2);
	say(&n.a, 1);
	say(&n.a, 2);
	do {
		unlearnt = station_stats(&n.a).unlearnt;
		vio_poller_wait(n.poller, 5);
		say(&n.a, 3);
	} while (station_stats(&n.a).unlearnt > unlearnt && ++turns < 1000);
	assert_true(turns < 1000);
	net_down(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_are_counted_and_not_learnt),
		cmocka_unit_test(others_addresses_do_not_move_there),
		cmocka_unit_test(the_rest_of_the_table_is_for_others),
		cmocka_unit_test(a_limit_changes_with_the_next_packet),
		cmocka_unit_test(static_ones_do_not_count),
		cmocka_unit_test(the_aged_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
