/* SPDX-License-Identifier: MIT */
/* What is to happen to a frame (IEEE 802.1Q, 8.6): from its head, its port's options and the addresses. */
#include "switch/switch.h"

#define DECIDE_TPID 0x8100u
#define DECIDE_TAGGED 0x1000u /* in a key's vlan, above the VLAN's number */

_Static_assert(SW_PORTS == FDB_PORTS, "the addresses know all ports");

/* Up to `want` bytes of the frame, read once: the sender may change it all the while. */
static unsigned decide_read(const struct vio_req *r, uint8_t *to, unsigned want)
{
	unsigned have = 0;

	if (VIO_LIKELY(r->niov && r->iov[0].iov_len >= want)) {
		memcpy(to, r->iov[0].iov_base, want);
		return want;
	}
	for (unsigned i = 0; i < r->niov && have < want; i++) {
		unsigned n = (unsigned)VIO_MIN(r->iov[i].iov_len, (size_t)(want - have));

		memcpy(to + have, r->iov[i].iov_base, n);
		have += n;
	}
	return have;
}

static uint16_t decide_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The VLAN of a frame with a tag, 0: the port does not carry it. A tag of VLAN 0 is one of priority only. */
static uint16_t decide_vlan(const struct sw_conf *c, const struct sw_head *h)
{
	uint16_t vid = decide_get16(h->bytes + 14) & 0xfff;

	if (!vid)
		return c->vlan;
	return (c->flags & VIO_SWITCH_TRUNK) && vid != 0xfff && sw_carries(c, vid) ? vid : 0;
}

int sw_parse(struct sw_frame *f, const struct sw_conf *c, struct flow_key *key)
{
	struct sw_head *h = &f->head;
	unsigned want = RECV_FRAME_MIN + SW_TAG;
	bool tagged;

	if (f->len < RECV_FRAME_MIN || f->len > RECV_FRAME_MAX)
		return VIO_SWITCH_DROP_MALFORMED;
	want = VIO_MIN(want, f->len);
	if (decide_read(f->r, h->bytes, want) < want)
		return VIO_SWITCH_DROP_MALFORMED;
	tagged = decide_get16(h->bytes + 12) == DECIDE_TPID;
	h->len = RECV_FRAME_MIN + (tagged ? SW_TAG : 0);
	if (h->len > want)
		return VIO_SWITCH_DROP_MALFORMED;
	if (h->bytes[6] & 1)
		return VIO_SWITCH_DROP_SOURCE;
	f->skip = h->len;
	f->vlan = tagged ? decide_vlan(c, h) : c->vlan;
	if (!f->vlan)
		return VIO_SWITCH_DROP_VLAN;
	*key = (struct flow_key){ .in_port = f->in, .vlan = f->vlan | (tagged ? DECIDE_TAGGED : 0) };
	memcpy(key->dst, h->bytes, 12);
	return SW_DELIVERED;
}

static uint64_t decide_mac(const uint8_t *p)
{
	uint64_t mac = 0;

	for (unsigned i = 0; i < 6; i++)
		mac = mac << 8 | p[i];
	return mac;
}

/* 01-80-c2-00-00-00 to -0f (table 8-1): between neighbours, never forwarded. */
static bool decide_reserved(uint64_t mac)
{
	return mac >> 4 == 0x0180c2000000ull >> 4;
}

/* At most four: to the sender's mirror, a tag, to a port, to its mirror. */
static void decide_act(struct flow *to, enum flow_action_kind kind, unsigned arg)
{
	struct flow_action *a = to->act;

	while (a->kind != FLOW_END)
		a++;
	a->kind = kind;
	a->arg = arg & 0xfff;
}

/* The port's mirror, unless it has gone meanwhile. */
static void decide_mirror(struct vio_switch *sw, const struct sw_conf *c, struct flow *to)
{
	if (sw_mirror(sw, c))
		decide_act(to, FLOW_MIRROR, c->mirror);
}

static int decide_refuse(const struct sw_frame *f, const struct vio_switch_port *p, const struct sw_conf *c)
{
	if (p->number == f->in)
		return VIO_SWITCH_DROP_SAME_PORT;
	if (c->flags & VIO_SWITCH_DOWN)
		return VIO_SWITCH_DROP_DOWN;
	if (c->flags & f->in_flags & VIO_SWITCH_ISOLATED)
		return VIO_SWITCH_DROP_ISOLATED;
	return sw_carries(c, f->vlan) ? SW_DELIVERED : VIO_SWITCH_DROP_VLAN;
}

static void decide_tag(const struct sw_frame *f, const struct sw_conf *c, struct flow *to)
{
	bool tagged = sw_tagged(&f->head);

	if (c->vlan != f->vlan)
		decide_act(to, tagged ? FLOW_SET_VLAN : FLOW_PUSH_VLAN, f->vlan);
	else if (tagged)
		decide_act(to, FLOW_POP_VLAN, 0);
}

static void decide_output(struct vio_switch *sw, const struct sw_frame *f, unsigned number, struct flow *to)
{
	struct vio_switch_port *p = sw_port(sw, number);
	const struct sw_conf *c = p ? sw_conf(p) : NULL;
	int why = p ? decide_refuse(f, p, c) : VIO_SWITCH_DROP_DOWN;

	if (why >= 0) {
		decide_act(to, FLOW_DROP, (unsigned)why);
		return;
	}
	decide_tag(f, c, to);
	decide_act(to, FLOW_OUTPUT, p->number);
	decide_mirror(sw, c, to);
}

/* Whoever comes by when it is time: an idle switch has nothing to forget, and no timer that wakes it. */
static void decide_sweep(struct vio_switch *sw, uint64_t now)
{
	uint64_t due = VIO_LOAD(&sw->sweep_at);

	if (now >= due && __atomic_compare_exchange_n(&sw->sweep_at, &due, now + sw->sweep_ns, false,
						      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		fdb_sweep(sw->fdb, now);
}

static void decide_learn(struct vio_switch *sw, const struct sw_frame *f, const struct sw_conf *c,
			 uint64_t src, uint64_t now)
{
	enum fdb_learnt learnt;

	decide_sweep(sw, now);
	learnt = fdb_learn(sw->fdb, src, f->vlan, f->in, c->addresses, now);
	if (learnt == FDB_LIMIT || learnt == FDB_FULL)
		sw_count(&f->from->counts.unlearnt, 1);
}

void sw_decide(struct vio_switch *sw, const struct sw_frame *f, struct flow *to, uint64_t now)
{
	uint64_t dst = decide_mac(f->head.bytes), src = decide_mac(f->head.bytes + 6);
	const struct sw_conf *c = sw_conf(f->from->port);
	unsigned number = SW_FLOOD;

	to->stripe[0] = fdb_stripe(sw->fdb, src, f->vlan);
	to->stripe[1] = fdb_stripe(sw->fdb, dst, f->vlan);
	to->generation = sw_generation(sw, to->stripe);
	to->decided_ns = now;
	if (!(f->in_flags & VIO_SWITCH_NO_LEARN))
		decide_learn(sw, f, c, src, now);
	decide_mirror(sw, c, to);
	if (!(f->head.bytes[0] & 1))
		number = fdb_find(sw->fdb, dst, f->vlan, now);
	if (decide_reserved(dst))
		decide_act(to, FLOW_DROP, VIO_SWITCH_DROP_RESERVED);
	else if (number == SW_FLOOD)
		decide_act(to, FLOW_FLOOD, 0);
	else
		decide_output(sw, f, number, to);
}

bool sw_floods_to(const struct sw_frame *f, const struct vio_switch_port *p, const struct sw_conf *c)
{
	bool unknown = !(f->head.bytes[0] & 1);

	if (unknown && (c->flags & VIO_SWITCH_NO_FLOOD))
		return false;
	return decide_refuse(f, p, c) == SW_DELIVERED;
}
