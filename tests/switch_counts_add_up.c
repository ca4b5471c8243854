/* SPDX-License-Identifier: MIT */
/*
 * Random frames between many ports of random options, beside a model of the switch: every
 * port gets exactly the frames that the model says, in order, and every counter is the model's.
 */
#include "switch_net.h"

#define PORTS 12u
#define STEPS 20000u
#define MACS 16u
#define VLANS 4u /* 1.. */
#define WAITING 64u
#define ROOM 400u
#define LONGEST 420u

struct model_port {
	struct vio_switch_port_opts o;
	uint16_t vlans[VLANS];
	int mirror; /* a port's number, -1: none */
	struct vio_switch_port_stats s;
	struct {
		size_t len;
		uint8_t bytes[LONGEST + 4];
	} expect[WAITING];
	unsigned first, waiting, posted;
};

static struct model_port model[PORTS];
static int heard[MACS][VLANS + 1]; /* port + 1, 0: unknown */
static struct station stations[PORTS];
static struct vio_switch *sw;
static uint64_t seed;

static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((seed >> 33) % n);
}

static uint16_t model_vlan(const struct model_port *p)
{
	return p->o.vlan;
}

static bool model_carries(const struct model_port *p, unsigned vlan)
{
	if (vlan == model_vlan(p))
		return true;
	for (unsigned i = 0; p->o.flags & VIO_SWITCH_TRUNK && i < p->o.nvlans; i++)
		if (p->vlans[i] == vlan)
			return true;
	return false;
}

/* Puts a frame as it would leave into p's queue, or says why not; -1: it went. */
static int model_put(struct model_port *p, const uint8_t *f, size_t len)
{
	unsigned at = (p->first + p->waiting) % WAITING;

	if (p->o.flags & VIO_SWITCH_DOWN)
		return VIO_SWITCH_DROP_DOWN;
	if (!p->posted)
		return VIO_SWITCH_DROP_NO_BUFFER;
	if (len > ROOM)
		return VIO_SWITCH_DROP_TOO_LONG;
	assert_true(p->waiting < WAITING);
	memcpy(p->expect[at].bytes, f, len);
	p->expect[at].len = len;
	p->waiting++;
	p->posted--;
	p->s.delivered++;
	p->s.delivered_bytes += len;
	return -1;
}

static void model_copy(int to, const uint8_t *f, size_t len)
{
	int why = to < 0 ? -1 : model_put(&model[to], f, len);

	if (why >= 0)
		model[to].s.dropped[why]++;
}

/* A frame without its tag, as p wants it. */
static size_t model_tag(const struct model_port *p, const uint8_t *f, size_t len, unsigned vlan, unsigned pcp,
			uint8_t *out)
{
	if (vlan == model_vlan(p)) {
		memcpy(out, f, len);
		return len;
	}
	memcpy(out, f, 12);
	memcpy(out + 12, (uint8_t[]){ 0x81, 0, (uint8_t)(pcp << 5), (uint8_t)vlan }, 4);
	memcpy(out + 16, f + 12, len - 12);
	return len + 4;
}

static int model_refuses(unsigned in, unsigned to, unsigned vlan)
{
	if (in == to)
		return VIO_SWITCH_DROP_SAME_PORT;
	if (model[to].o.flags & VIO_SWITCH_DOWN)
		return VIO_SWITCH_DROP_DOWN;
	if (model[in].o.flags & model[to].o.flags & VIO_SWITCH_ISOLATED)
		return VIO_SWITCH_DROP_ISOLATED;
	return model_carries(&model[to], vlan) ? -1 : VIO_SWITCH_DROP_VLAN;
}

static int model_flood(unsigned in, bool unknown, const uint8_t *f, size_t len, unsigned vlan, unsigned pcp)
{
	uint8_t out[LONGEST + 4];
	unsigned n = 0;

	for (unsigned mirrors = 0; mirrors < 2; mirrors++)
		for (unsigned to = 0; to < PORTS; to++) {
			size_t k = model_tag(&model[to], f, len, vlan, pcp, out);

			if (model_refuses(in, to, vlan) >= 0 ||
			    (unknown && model[to].o.flags & VIO_SWITCH_NO_FLOOD))
				continue;
			model_copy(mirrors ? model[to].mirror : (int)to, out, k);
			n += !mirrors;
		}
	model[in].s.flooded += n > 1;
	return n ? -1 : VIO_SWITCH_DROP_NOWHERE;
}

static int model_to(unsigned in, unsigned to, const uint8_t *f, size_t len, unsigned vlan, unsigned pcp)
{
	uint8_t out[LONGEST + 4];
	size_t k = model_tag(&model[to], f, len, vlan, pcp, out);
	int why = model_refuses(in, to, vlan);

	if (why >= 0)
		return why;
	why = model_put(&model[to], out, k);
	model_copy(model[to].mirror, out, k);
	return why;
}

/* frame: as it is sent; tci -1: it has no tag. */
static int model_switch(unsigned in, unsigned dst, unsigned src, int tci, const uint8_t *frame, size_t len)
{
	struct model_port *p = &model[in];
	unsigned vlan = tci >= 0 && tci & 0xfff ? (unsigned)tci & 0xfff : model_vlan(p),
		 pcp = tci < 0 ? 0 : (unsigned)tci >> 13;
	uint8_t bare[LONGEST];
	size_t n = tci < 0 ? len : len - 4;

	if (p->o.flags & VIO_SWITCH_DOWN)
		return VIO_SWITCH_DROP_DOWN;
	if (tci >= 0 && tci & 0xfff && !(p->o.flags & VIO_SWITCH_TRUNK && model_carries(p, vlan)))
		return VIO_SWITCH_DROP_VLAN;
	memcpy(bare, frame, 12);
	memcpy(bare + 12, frame + (tci < 0 ? 12 : 16), n - 12);
	if (!(p->o.flags & VIO_SWITCH_NO_LEARN))
		heard[src][vlan] = (int)in + 1;
	model_copy(p->mirror, frame, len);
	if (dst == NET_BROADCAST || !heard[dst][vlan])
		return model_flood(in, dst != NET_BROADCAST, bare, n, vlan, pcp);
	return model_to(in, (unsigned)heard[dst][vlan] - 1, bare, n, vlan, pcp);
}

static void step_send(unsigned step)
{
	unsigned in = rnd(PORTS), src = rnd(MACS), dst = rnd(5) ? rnd(MACS) : NET_BROADCAST;
	int tci = rnd(2) ? -1 : (int)(rnd(8) << 13 | rnd(VLANS + 1)), why;
	size_t len = 18 + rnd(LONGEST - 18 + 1);
	uint8_t frame[LONGEST];

	net_frame(frame, dst, src, tci, len, step);
	station_send(&stations[in], frame, len);
	assert_int_equal(stations[in].sending, 0);
	why = model_switch(in, dst, src, tci, frame, len);
	model[in].s.sent++;
	model[in].s.sent_bytes += len;
	if (why >= 0)
		model[in].s.dropped[why]++;
}

static void step_receive(unsigned i)
{
	static struct packet_got got;
	struct model_port *p = &model[i];

	while (station_get(&stations[i], &got)) {
		assert_true(p->waiting > 0);
		assert_int_equal(got.len, p->expect[p->first].len);
		assert_memory_equal(got.bytes, p->expect[p->first].bytes, got.len);
		p->first = (p->first + 1) % WAITING;
		p->waiting--;
	}
	assert_int_equal(p->waiting, 0);
}

static void step_post(unsigned i)
{
	unsigned n = rnd(8);

	n = VIO_MIN(n, WAITING / 2 - model[i].posted);
	station_post(&stations[i], n);
	model[i].posted += n;
}

static void step_configure(unsigned i)
{
	static const uint32_t flags[] = { VIO_SWITCH_TRUNK, VIO_SWITCH_ISOLATED, VIO_SWITCH_NO_LEARN,
					  VIO_SWITCH_NO_FLOOD, VIO_SWITCH_DOWN };
	struct model_port *p = &model[i];
	unsigned mirror = rnd(PORTS);

	p->o = (struct vio_switch_port_opts){ .sz = sizeof(p->o), .vlan = (uint16_t)(1 + rnd(VLANS)) };
	for (unsigned k = 0; k < VIO_ARRAY_SIZE(flags); k++)
		p->o.flags |= rnd(k ? 8 : 3) ? 0 : flags[k];
	if (p->o.flags & VIO_SWITCH_TRUNK) {
		p->o.nvlans = (uint16_t)(1 + rnd(VLANS));
		for (unsigned k = 0; k < p->o.nvlans; k++)
			p->vlans[k] = (uint16_t)(1 + rnd(VLANS));
		p->o.vlans = p->vlans;
	}
	p->mirror = rnd(4) || mirror == i ? -1 : (int)mirror;
	p->o.mirror = p->mirror < 0 ? NULL : vio_switch_port_name(stations[mirror].port);
	assert_int_equal(vio_switch_port_set(stations[i].port, &p->o), 0);
}

static unsigned model_addresses(unsigned i)
{
	unsigned n = 0;

	for (unsigned mac = 0; mac < MACS; mac++)
		for (unsigned vlan = 0; vlan <= VLANS; vlan++)
			n += heard[mac][vlan] == (int)i + 1;
	return n;
}

static void compare(unsigned i)
{
	struct vio_switch_port_stats s = station_stats(&stations[i]);

	model[i].s.sz = sizeof(s);
	model[i].s.addresses = model_addresses(i);
	for (unsigned k = 0; k < VIO_SWITCH_DROP_N; k++)
		if (s.dropped[k] != model[i].s.dropped[k])
			fail_msg("port %u, %s: %llu, expected %llu", i, vio_switch_drop_name(k),
				 (unsigned long long)s.dropped[k], (unsigned long long)model[i].s.dropped[k]);
	assert_memory_equal(&s, &model[i].s, sizeof(s));
}

static void step(unsigned n)
{
	step_send(n);
	if (!rnd(3))
		step_post(rnd(PORTS));
	if (!rnd(100))
		step_configure(rnd(PORTS));
	if (!rnd(8) || n + 1 == STEPS)
		for (unsigned i = 0; i < PORTS; i++) {
			step_receive(i);
			compare(i);
		}
}

/* The model saw each way that a frame can go. */
static void every_way_was_gone(void)
{
	static const enum vio_switch_drop reasons[] = {
		VIO_SWITCH_DROP_VLAN,	  VIO_SWITCH_DROP_SAME_PORT, VIO_SWITCH_DROP_ISOLATED,
		VIO_SWITCH_DROP_DOWN,	  VIO_SWITCH_DROP_NOWHERE,   VIO_SWITCH_DROP_NO_BUFFER,
		VIO_SWITCH_DROP_TOO_LONG,
	};

	for (unsigned k = 0; k < VIO_ARRAY_SIZE(reasons); k++) {
		uint64_t n = 0;

		for (unsigned i = 0; i < PORTS; i++)
			n += model[i].s.dropped[reasons[k]];
		assert_true(n > 10);
	}
}

static void every_frame_is_where_the_model_says(void **state)
{
	struct vio_poller *poller;
	char name[8];

	(void)state;
	seed = 42;
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	for (unsigned i = 0; i < PORTS; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		station_up(&stations[i], sw, poller, name, NULL);
		stations[i].room = ROOM;
		model[i].o.vlan = 1;
		model[i].mirror = -1;
	}
	for (unsigned i = 0; i < PORTS; i++)
		step_configure(i);
	for (unsigned n = 0; n < STEPS; n++)
		step(n);
	every_way_was_gone();
	for (unsigned i = 0; i < PORTS; i++)
		station_down(&stations[i]);
	vio_switch_free(sw);
	vio_poller_free(poller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_is_where_the_model_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
