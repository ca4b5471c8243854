/* SPDX-License-Identifier: MIT */
/* At its largest, 4,096 ports and 1,048,576 addresses, the switch does what it does at any size: a flood
 * reaches the ports of its VLAN and no others, addresses are known, each packet is counted once. */
#include "switch_net.h"

#include "switch/thread.h"

#define PORTS 4096u
#ifdef VIO__TSAN /* which takes minutes, and there is one thread */
#define ADDRESSES (1u << 16)
#else
#define ADDRESSES (1u << 20)
#endif
#define STATIONS 4u /* ports with somebody on them: the first, and three far from it */
#define STEPS 20000u
#define VLAN 4000u /* of the second test's stations */
#define MAC 0x020000000000ull

struct net {
	struct vio_poller *poller;
	struct vio_switch *sw;
	struct station s[STATIONS];
	struct vio_switch_port *port[PORTS];
};

static uint64_t seed = 42;

static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((seed >> 33) % n);
}

static unsigned number_of(unsigned station)
{
	return station * (PORTS - 1) / (STATIONS - 1);
}

/* Eight ports or so to a VLAN; every 64th is a trunk of all VLANs, or of some. */
static void port_options(struct vio_switch_port_opts *o, uint16_t vlans[8], unsigned i)
{
	*o = (struct vio_switch_port_opts){ .sz = sizeof(*o), .vlan = (uint16_t)(1 + i % 512) };
	if (i % 64 != 5)
		return;
	o->flags = VIO_SWITCH_TRUNK;
	o->nvlans = i % 128 == 5 ? 8 : 0;
	o->vlans = vlans;
	for (unsigned k = 0; k < 8; k++)
		vlans[k] = (uint16_t)(1 + rnd(4094));
}

static void net_up(struct net *n)
{
	VIO_OPTS(vio_switch_opts, most, .ports = PORTS, .addresses = ADDRESSES);
	struct vio_switch_port_opts o;
	uint16_t vlans[8];
	char name[16];

	assert_int_equal(vio_poller_new(&n->poller, NULL), 0);
	assert_int_equal(vio_switch_new(&n->sw, &most), 0);
	for (unsigned i = 0; i < PORTS; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		port_options(&o, vlans, i);
		assert_int_equal(vio_switch_port_new(&n->port[i], n->sw, name, &o), 0);
	}
	for (unsigned i = 0; i < STATIONS; i++) {
		n->s[i] = (struct station){ .poller = n->poller, .room = 64, .port = n->port[number_of(i)] };
		station_lanes(&n->s[i]);
	}
}

static void net_down(struct net *n)
{
	for (unsigned i = 0; i < STATIONS; i++)
		station_close(&n->s[i]);
	for (unsigned i = 0; i < PORTS; i++)
		vio_switch_port_free(n->port[i]);
	vio_switch_free(n->sw);
	vio_poller_free(n->poller);
}

/* Exactly the ports that carry it are walked by a flood. */
static void vlan_is_walked(const struct net *n, uint16_t vlan)
{
	const struct vio_switch_port *p;
	unsigned at = 0, walked = 0, carry = 0;

	for (; (p = sw_member(n->sw, vlan, &at)); walked++)
		assert_true(sw_carries(p->conf, vlan));
	for (unsigned i = 0; i < PORTS; i++)
		carry += n->port[i] && sw_carries(n->port[i]->conf, vlan);
	assert_int_equal(walked, carry);
}

static uint64_t copies(const struct net *n, unsigned i)
{
	struct vio_switch_port_stats s = { .sz = sizeof(s) };

	assert_int_equal(vio_switch_port_stats(n->port[i], &s), 0);
	return s.delivered + s.dropped[VIO_SWITCH_DROP_DOWN] + s.dropped[VIO_SWITCH_DROP_NO_BUFFER];
}

/* A broadcast is counted once at each port of its sender's VLAN but the sender's, delivered or not. */
static void broadcast(struct net *n, unsigned from)
{
	uint16_t vlan = n->s[from].port->conf->vlan;
	static uint64_t before[PORTS];
	uint8_t frame[60];

	for (unsigned i = 0; i < PORTS; i++)
		before[i] = copies(n, i);
	station_send(&n->s[from], frame, net_frame(frame, NET_BROADCAST, 1, -1, sizeof(frame), 0));
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(copies(n, i) - before[i],
				 i != number_of(from) && sw_carries(n->port[i]->conf, vlan));
}

static void floods_reach_their_vlan(void **state)
{
	struct vio_switch_port_opts o;
	static struct net n;
	struct vio_switch_port *more;
	uint16_t vlans[8];

	(void)state;
	net_up(&n);
	assert_int_equal(vio_switch_port_new(&more, n.sw, "one-more", NULL), -ENOSPC);
	for (unsigned i = 0; i < STATIONS; i++)
		broadcast(&n, i);
	for (unsigned i = 0; i < 500; i++) { /* they change, go and come */
		struct vio_switch_port **p = &n.port[1 + rnd(PORTS / STATIONS)];

		port_options(&o, vlans, rnd(PORTS));
		assert_int_equal(vio_switch_port_set(n.port[rnd(PORTS)], &o), 0);
		vio_switch_port_free(*p);
		assert_int_equal(vio_switch_port_new(p, n.sw, "again", &o), 0);
		memcpy((*p)->name, (uint8_t[]){ (uint8_t)('a' + i / 100), (uint8_t)(1 + i % 100), 0 }, 3);
	}
	for (uint16_t vlan = 1; vlan < 4095; vlan += 13)
		vlan_is_walked(&n, vlan);
	for (unsigned i = 0; i < STATIONS; i++)
		broadcast(&n, i);
	net_down(&n);
}

static void say(struct station *s, unsigned dst)
{
	uint8_t frame[60];

	station_send(s, frame, net_frame(frame, dst, 0, -1, sizeof(frame), 0));
}

static struct vio_switch_port_stats sum_up(const struct net *n)
{
	struct vio_switch_port_stats sum = { 0 };

	for (unsigned i = 0; i < PORTS; i++) {
		struct vio_switch_port_stats s = { .sz = sizeof(s) };

		assert_int_equal(vio_switch_port_stats(n->port[i], &s), 0);
		for (size_t k = 1; k < sizeof(s) / sizeof(uint64_t); k++)
			((uint64_t *)&sum)[k] += ((const uint64_t *)&s)[k];
	}
	return sum;
}

/* A static address on each port; packets to any of them, of which the stations alone are in the VLAN. */
static void known_ones_add_up(struct net *n)
{
	struct vio_switch_port_stats sum;
	uint64_t dropped = 0;
	uint8_t mac[6];

	for (unsigned i = 0; i < PORTS; i++) {
		net_mac(mac, i);
		assert_int_equal(vio_switch_address_set(n->sw, mac, VLAN, n->port[i]), 0);
	}
	for (unsigned i = 0; i < STATIONS; i++)
		station_post(&n->s[i], 64);
	for (unsigned i = 0; i < STEPS; i++)
		say(&n->s[rnd(STATIONS)], rnd(8) ? rnd(PORTS) : number_of(rnd(STATIONS)));
	sum = sum_up(n);
	for (unsigned i = 0; i < VIO_SWITCH_DROP_N; i++)
		dropped += sum.dropped[i];
	assert_true(sum.sent == STEPS);
	assert_true(sum.delivered + dropped == STEPS);
	assert_true(sum.delivered && sum.dropped[VIO_SWITCH_DROP_VLAN] &&
		    sum.dropped[VIO_SWITCH_DROP_SAME_PORT] && sum.dropped[VIO_SWITCH_DROP_NO_BUFFER]);
	for (unsigned i = 0; i < PORTS; i++) { /* or each port's end would look for it in a large table */
		net_mac(mac, i);
		assert_int_equal(vio_switch_address_set(n->sw, mac, VLAN, NULL), 0);
	}
}

/* One request and one frame for all, since there are so many. */
static void hear(struct station *s, uint32_t src)
{
	static uint8_t frame[60];
	struct vio_req *r = vio_req_get(s->sends), *back;

	if (!frame[0])
		net_frame(frame, NET_BROADCAST, 0, -1, sizeof(frame), 0);
	memcpy(frame + 8,
	       (uint8_t[]){ (uint8_t)(src >> 24), (uint8_t)(src >> 16), (uint8_t)(src >> 8), (uint8_t)src },
	       4);
	r->op = VIO_OP_SEND;
	r->iov[0] = (struct iovec){ frame, sizeof(frame) };
	r->niov = 1;
	r->len = sizeof(frame);
	vio_lane_submit(s->tx, &r, 1);
	if (vio_lane_reap(s->tx, &back, 1) != 1 || back != r)
		fail_msg("a SEND is lost");
	vio_req_put(s->sends, r);
}

static void addresses_are_known(void **state)
{
	VIO_OPTS(vio_switch_port_opts, o, .vlan = VLAN);
	struct vio_switch_port_stats sum;
	static struct net n;
	uint64_t known = 0;

	(void)state;
	net_up(&n);
	for (unsigned i = 0; i < STATIONS; i++)
		assert_int_equal(vio_switch_port_set(n.s[i].port, &o), 0);
	known_ones_add_up(&n);
	for (uint32_t i = 0; i < ADDRESSES; i++)
		hear(&n.s[i % STATIONS], i);
	sum = sum_up(&n);
	/* But for one in a hundred thousand whose places an unlucky seed has filled. */
	assert_in_range(sum.addresses, ADDRESSES - ADDRESSES / 100000, ADDRESSES);
	assert_true(sum.addresses + sum.unlearnt == ADDRESSES);
	for (uint32_t i = 0; i < ADDRESSES; i++)
		known += fdb_find(n.sw->fdb, MAC + i, VLAN, vio_poller_now(n.poller)) ==
			 number_of(i % STATIONS);
	assert_true(known == sum.addresses);
	net_down(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floods_reach_their_vlan),
		cmocka_unit_test(addresses_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
