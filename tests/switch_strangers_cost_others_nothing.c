/* SPDX-License-Identifier: MIT */
/* A guest that makes up addresses, or lets one wander, does not make the switch think about others' packets
 * again. */
#include "switch_net.h"

#include "switch/thread.h"

#define TURNS 4000u
#define STRANGERS 100u /* the first of their addresses */
/* Two counters in 4,096 are the steady flow's: a stranger hits one of them twice in 4,000 turns. And once a
 * second all is decided anew. */
#define BY_CHANCE 60u

static unsigned wanderer;

struct net {
	struct vio_poller *poller;
	struct vio_switch *sw;
	struct station a, b, flooder, wall;
};

static void net_up(struct net *n)
{
	/* A table that the strangers fill at once: what is used stays in it. */
	VIO_OPTS(vio_switch_opts, few, .flows = 16);
	VIO_OPTS(vio_switch_port_opts, mute, .flags = VIO_SWITCH_NO_FLOOD);

	assert_int_equal(vio_poller_new(&n->poller, NULL), 0);
	assert_int_equal(vio_switch_new(&n->sw, &few), 0);
	station_up(&n->a, n->sw, n->poller, "a", &mute);
	station_up(&n->b, n->sw, n->poller, "b", &mute);
	station_up(&n->flooder, n->sw, n->poller, "flooder", &mute);
	station_up(&n->wall, n->sw, n->poller, "wall", NULL);
}

static void net_down(struct net *n)
{
	station_down(&n->a);
	station_down(&n->b);
	station_down(&n->flooder);
	station_down(&n->wall);
	vio_switch_free(n->sw);
	vio_poller_free(n->poller);
}

static void say(struct station *s, unsigned dst, unsigned src)
{
	uint8_t frame[60];

	station_send(s, frame, net_frame(frame, dst, src, -1, sizeof(frame), src));
}

/* Until each knows where the other is, and that has been thought about. */
static void meet(struct net *n)
{
	static struct packet_got got;

	for (unsigned i = 0; i < 4; i++) {
		station_post(&n->a, 1);
		station_post(&n->b, 1);
		say(&n->a, 2, 1);
		say(&n->b, 1, 2);
		while (station_get(&n->a, &got) || station_get(&n->b, &got))
			;
	}
	station_recall(&n->a);
	station_recall(&n->b);
}

/* a and b talk; what each says arrives at the other. */
static void talk(struct net *n)
{
	static struct packet_got got;

	station_post(&n->b, 1);
	say(&n->a, 2, 1);
	assert_true(station_get(&n->b, &got));
	station_post(&n->a, 1);
	say(&n->b, 1, 2);
	assert_true(station_get(&n->a, &got));
}

static uint64_t decisions(const struct net *n)
{
	struct flow_counts c;

	flow_counts(n->sw->thread[0]->flows, &c);
	return c.added;
}

/* How often the two were thought about while the flooder said one thing each turn. */
static uint64_t talk_beside(struct net *n, void (*flood)(struct net *n, unsigned turn))
{
	uint64_t others = 0;

	meet(n);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		uint64_t before;

		flood(n, turn);
		before = decisions(n);
		talk(n);
		others += decisions(n) - before;
	}
	return others;
}

static void make_up(struct net *n, unsigned turn)
{
	say(&n->flooder, 3, STRANGERS + turn);
}

/* The first stranger whose counter is neither of the two's. */
static unsigned other_stripe(const struct net *n)
{
	uint64_t mac = 0x020000000000ull;
	unsigned i = STRANGERS;

	while (fdb_stripe(n->sw->fdb, mac + i, 1) == fdb_stripe(n->sw->fdb, mac + 1, 1) ||
	       fdb_stripe(n->sw->fdb, mac + i, 1) == fdb_stripe(n->sw->fdb, mac + 2, 1))
		i++;
	return i;
}

/* The same address on two ports in turn. */
static void wander(struct net *n, unsigned turn)
{
	say(turn & 1 ? &n->flooder : &n->wall, 3, wanderer);
}

static void strangers(void (*flood)(struct net *n, unsigned turn), unsigned known)
{
	struct fdb_counts c;
	struct net n;
	uint64_t others;

	net_up(&n);
	wanderer = other_stripe(&n);
	others = talk_beside(&n, flood);
	fdb_counts(n.sw->fdb, &c);
	assert_int_equal(c.known, known);
	assert_in_range(others, 0, BY_CHANCE);
	net_down(&n);
}

static void made_up_addresses(void **state)
{
	(void)state;
	strangers(make_up, TURNS + 2);
}

static void an_address_that_wanders(void **state)
{
	(void)state;
	strangers(wander, 3);
}

/* But a change of their own addresses shows in the very next packet. */
static void their_own_moves_count(void **state)
{
	static struct packet_got got;
	struct net n;
	uint8_t mac[6];

	(void)state;
	net_up(&n);
	meet(&n);
	station_post(&n.wall, 2);
	say(&n.wall, 1, 2); /* b has moved */
	say(&n.a, 2, 1);
	assert_true(station_get(&n.wall, &got));
	net_mac(mac, 2);
	assert_int_equal(vio_switch_address_set(n.sw, mac, 1, n.b.port), 0);
	talk(&n);
	assert_int_equal(vio_switch_address_set(n.sw, mac, 1, NULL), 0);
	say(&n.a, 2, 1); /* unknown: only the wall gets it */
	assert_true(station_get(&n.wall, &got));
	assert_true(station_gets_nothing(&n.b));
	net_down(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_up_addresses),
		cmocka_unit_test(an_address_that_wanders),
		cmocka_unit_test(their_own_moves_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
