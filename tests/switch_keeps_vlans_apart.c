/* SPDX-License-Identifier: MIT */
/* VLANs: access ports see no tags, trunks see those they carry, and no frame changes its VLAN. */
#include "switch_net.h"

enum { RED1, RED2, BLUE, ALL, SOME, N };

struct net {
	struct vio_poller *poller;
	struct vio_switch *sw;
	struct station s[N];
};

#define RED 10
#define BLU 20
#define NATIVE 30

/* Two access ports in RED, one in BLUE; a trunk of all VLANs, and one of RED whose untagged frames are
 * NATIVE. */
static void net_up(struct net *n)
{
	static const uint16_t some[] = { RED };
	VIO_OPTS(vio_switch_port_opts, red, .vlan = RED);
	VIO_OPTS(vio_switch_port_opts, blue, .vlan = BLU);
	VIO_OPTS(vio_switch_port_opts, all, .flags = VIO_SWITCH_TRUNK);
	VIO_OPTS(vio_switch_port_opts, trunk, .flags = VIO_SWITCH_TRUNK, .vlan = NATIVE, .nvlans = 1,
		 .vlans = some);
	const struct {
		const char *name;
		const struct vio_switch_port_opts *o;
	} ports[N] = {
		{ "red1", &red }, { "red2", &red }, { "blue", &blue }, { "all", &all }, { "some", &trunk }
	};

	assert_int_equal(vio_poller_new(&n->poller, NULL), 0);
	assert_int_equal(vio_switch_new(&n->sw, NULL), 0);
	for (unsigned i = 0; i < N; i++) {
		station_up(&n->s[i], n->sw, n->poller, ports[i].name, ports[i].o);
		station_post(&n->s[i], 16);
	}
}

static void net_down(struct net *n)
{
	for (unsigned i = 0; i < N; i++)
		station_down(&n->s[i]);
	vio_switch_free(n->sw);
	vio_poller_free(n->poller);
}

/* Sends a frame with tag tci (-1: none); each station gets it with the tag in want (-1: none, -2: gets
 * nothing). */
static void net_expect(struct net *n, unsigned from, unsigned dst, unsigned src, int tci, const int want[N])
{
	uint8_t frame[122], expect[122];
	size_t len = net_frame(frame, dst, src, tci, tci < 0 ? 118 : 122, 0), body = tci < 0 ? 12 : 16;

	station_send(&n->s[from], frame, len);
	for (unsigned i = 0; i < N; i++) {
		size_t head = want[i] < 0 ? 12 : 16;

		if (want[i] == -2) {
			if (!station_gets_nothing(&n->s[i]))
				fail_msg("station %u got a frame of %u", i, from);
			continue;
		}
		net_frame(expect, dst, src, want[i], sizeof(expect), 0);
		memcpy(expect + head, frame + body, len - body);
		if (!station_gets(&n->s[i], expect, head + len - body))
			fail_msg("station %u did not get the frame of %u as expected", i, from);
		station_post(&n->s[i], 1);
	}
}

static void floods_stay_in_their_vlan(void **state)
{
	struct net n;

	(void)state;
	net_up(&n);
	net_expect(&n, RED1, NET_BROADCAST, 1, -1, (int[]){ -2, -1, -2, RED, RED });
	net_expect(&n, BLUE, NET_BROADCAST, 2, -1, (int[]){ -2, -2, -2, BLU, -2 });
	net_expect(&n, ALL, NET_BROADCAST, 3, RED, (int[]){ -1, -1, -2, -2, RED });
	net_expect(&n, ALL, NET_BROADCAST, 3, 0x6000 | BLU, (int[]){ -2, -2, -1, -2, -2 });
	net_expect(&n, SOME, NET_BROADCAST, 4, 0xa000 | RED,
		   (int[]){ -1, -1, -2, 0xa000 | RED, -2 }); /* priority stays */
	net_expect(&n, SOME, NET_BROADCAST, 4, -1, (int[]){ -2, -2, -2, NATIVE, -2 });
	net_expect(&n, ALL, NET_BROADCAST, 3, NATIVE, (int[]){ -2, -2, -2, -2, -1 });
	net_expect(&n, RED1, NET_BROADCAST, 1, 0xe000,
		   (int[]){ -2, -1, -2, 0xe000 | RED, 0xe000 | RED }); /* a priority only */
	net_down(&n);
}

static void known_addresses_get_the_same_tags(void **state)
{
	struct net n;

	(void)state;
	net_up(&n);
	net_expect(&n, RED1, NET_BROADCAST, 1, -1, (int[]){ -2, -1, -2, RED, RED });
	net_expect(&n, ALL, NET_BROADCAST, 2, RED, (int[]){ -1, -1, -2, -2, RED });
	net_expect(&n, SOME, NET_BROADCAST, 3, RED, (int[]){ -1, -1, -2, RED, -2 });
	for (unsigned again = 0; again < 2; again++) { /* decided, then kept */
		net_expect(&n, RED1, 2, 1, -1, (int[]){ -2, -2, -2, RED, -2 });
		net_expect(&n, RED1, 2, 1, 0x4000, (int[]){ -2, -2, -2, 0x4000 | RED, -2 });
		net_expect(&n, ALL, 1, 2, RED, (int[]){ -1, -2, -2, -2, -2 });
		net_expect(&n, ALL, 3, 2, 0x2000 | RED, (int[]){ -2, -2, -2, -2, 0x2000 | RED });
	}
	net_down(&n);
}

static void an_address_is_known_in_its_vlan_only(void **state)
{
	struct net n;

	(void)state;
	net_up(&n);
	net_expect(&n, RED1, NET_BROADCAST, 1, -1, (int[]){ -2, -1, -2, RED, RED });
	net_expect(&n, BLUE, 1, 2, -1, (int[]){ -2, -2, -2, BLU, -2 });
	net_expect(&n, BLUE, NET_BROADCAST, 1, -1,
		   (int[]){ -2, -2, -2, BLU, -2 }); /* the same address in another VLAN */
	net_expect(&n, RED2, 1, 5, -1, (int[]){ -1, -2, -2, -2, -2 });
	net_expect(&n, ALL, 1, 6, BLU, (int[]){ -2, -2, -1, -2, -2 });
	net_down(&n);
}

static void tags_that_a_port_does_not_carry_are_dropped(void **state)
{
	static const int nobody[N] = { -2, -2, -2, -2, -2 };
	struct net n;

	(void)state;
	net_up(&n);
	net_expect(&n, RED1, NET_BROADCAST, 1, RED,
		   nobody); /* an access port takes none, its own VLAN's neither */
	net_expect(&n, RED1, NET_BROADCAST, 1, BLU, nobody);
	assert_true(station_dropped(&n.s[RED1], VIO_SWITCH_DROP_VLAN) == 2);
	net_expect(&n, SOME, NET_BROADCAST, 1, BLU, nobody);
	net_expect(&n, ALL, NET_BROADCAST, 1, 4095, nobody);
	assert_true(station_dropped(&n.s[SOME], VIO_SWITCH_DROP_VLAN) == 1);
	assert_true(station_dropped(&n.s[ALL], VIO_SWITCH_DROP_VLAN) == 1);
	net_down(&n);
}

static void a_port_changes_its_vlan_at_once(void **state)
{
	VIO_OPTS(vio_switch_port_opts, blue, .vlan = BLU);
	struct net n;

	(void)state;
	net_up(&n);
	net_expect(&n, RED2, NET_BROADCAST, 2, -1, (int[]){ -1, -2, -2, RED, RED });
	net_expect(&n, RED1, 2, 1, -1, (int[]){ -2, -1, -2, -2, -2 });
	assert_int_equal(vio_switch_port_set(n.s[RED2].port, &blue), 0);
	net_expect(&n, RED1, 2, 1, -1,
		   (int[]){ -2, -2, -2, -2, -2 }); /* known at a port that left the VLAN */
	assert_true(station_dropped(&n.s[RED1], VIO_SWITCH_DROP_VLAN) == 1);
	net_expect(&n, BLUE, NET_BROADCAST, 3, -1, (int[]){ -2, -1, -2, BLU, -2 });
	net_down(&n);
}

static void bad_options_change_nothing(void **state)
{
	static const uint16_t none[] = { 1, 0 };
	const struct vio_switch_port_opts bad[] = {
		{ .sz = sizeof(bad[0]), .vlan = 4095 },
		{ .sz = sizeof(bad[0]), .nvlans = 1, .vlans = none },
		{ .sz = sizeof(bad[0]), .flags = VIO_SWITCH_TRUNK, .nvlans = 2, .vlans = none },
		{ .sz = sizeof(bad[0]), .flags = VIO_SWITCH_TRUNK, .nvlans = 2 },
		{ .sz = sizeof(bad[0]), .flags = 0x20 },
		{ .sz = sizeof(bad[0]), .mirror = "red1" }, /* itself */
	};
	VIO_OPTS(vio_switch_port_opts, nowhere, .mirror = "nobody");
	struct vio_switch_port *p;
	struct net n;

	(void)state;
	net_up(&n);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(bad); i++)
		assert_int_equal(vio_switch_port_set(n.s[RED1].port, &bad[i]), -EINVAL);
	assert_int_equal(vio_switch_port_set(n.s[RED1].port, &nowhere), -ENOENT);
	assert_int_equal(vio_switch_port_new(&p, n.sw, "x", &bad[0]), -EINVAL);
	assert_null(p);
	assert_int_equal(vio_switch_port_new(&p, n.sw, "red1", NULL), -EEXIST);
	assert_int_equal(vio_switch_port_new(&p, n.sw, "", NULL), -EINVAL);
	assert_int_equal(vio_switch_port_new(&p, n.sw, "a b", NULL), -EINVAL);
	assert_int_equal(vio_switch_port_new(&p, n.sw, "a-name-that-has-32-characters-aa", NULL), -EINVAL);
	net_expect(&n, RED1, NET_BROADCAST, 1, -1, (int[]){ -2, -1, -2, RED, RED });
	net_down(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floods_stay_in_their_vlan),
		cmocka_unit_test(known_addresses_get_the_same_tags),
		cmocka_unit_test(an_address_is_known_in_its_vlan_only),
		cmocka_unit_test(tags_that_a_port_does_not_carry_are_dropped),
		cmocka_unit_test(a_port_changes_its_vlan_at_once),
		cmocka_unit_test(bad_options_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
