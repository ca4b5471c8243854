/* SPDX-License-Identifier: MIT */
/* Carries out what was decided: a frame to one port, to many, to mirrors; here or on other threads. */
#include "packet/packet.h"
#include "switch/steer.h"
#include "switch/thread.h"

void sw_head_tag(struct sw_head *h, const struct sw_head *from, uint16_t vlan)
{
	uint8_t pcp = sw_tagged(from) ? from->bytes[14] & 0xf0 : 0;

	memcpy(h->bytes, from->bytes, 12);
	packet_put16(h->bytes + 12, 0x8100);
	packet_put16(h->bytes + 14, vlan);
	h->bytes[14] |= pcp;
	memcpy(h->bytes + 16, from->bytes + from->len - 2, 2);
	h->len = RECV_FRAME_MIN + SW_TAG;
}

void sw_head_untag(struct sw_head *h, const struct sw_head *from)
{
	memcpy(h->bytes, from->bytes, 12);
	memcpy(h->bytes + 12, from->bytes + from->len - 2, 2);
	h->len = RECV_FRAME_MIN;
}

void sw_head_for(struct sw_head *h, const struct sw_frame *f, const struct sw_conf *c)
{
	if (c->vlan == f->vlan)
		sw_head_untag(h, &f->head);
	else
		sw_head_tag(h, &f->head, f->vlan);
}

/* Equal for the packets of a flow, so that they stay in order. Looks at the sender's memory again, but a
 * frame that changes meanwhile only chooses its own lane. */
static uint32_t forward_hash(struct sw_frame *f)
{
	uint8_t head[PACKET_HEAD];
	unsigned have;
	struct packet p;

	if (f->hash)
		return f->hash;
	have = (unsigned)vio__packet_copy(head, f->r->iov, f->r->niov, 0, VIO_MIN(f->len, PACKET_HEAD));
	f->hash = vio__packet_parse(&p, head, have, f->len) ? vio__packet_hash(&p, head) : 1;
	f->hash += !f->hash;
	return f->hash;
}

/* The lane of those that have buffers, by flow. */
static struct sw_lane *forward_by_flow(const struct vio_switch_port *p, struct sw_frame *f)
{
	struct sw_receivers *rs = VIO_LOAD_ACQUIRE(&p->receivers);
	unsigned at;

	if (!rs || rs->n == 1)
		return rs ? rs->lane[0] : NULL;
	at = forward_hash(f) % rs->n;
	for (unsigned i = 0; i < rs->n; i++) {
		struct sw_lane *lane = rs->lane[(at + i) % rs->n];

		if (VIO_LOAD(&lane->live))
			return lane;
	}
	return rs->lane[at];
}

static struct sw_lane *forward_lane(const struct vio_switch_port *p, struct sw_frame *f)
{
	return VIO_LIKELY(f->pair == SW_NO_PAIR) ? forward_by_flow(p, f) : sw_receiver(p, f->pair);
}

/* The lane that receives this frame for p. NULL: none receives. */
static struct sw_lane *forward_pick(const struct vio_switch_port *p, struct sw_frame *f)
{
	const struct steer *s = VIO_LOAD_ACQUIRE(&p->steer);

	f->pair = SW_NO_PAIR;
	if (VIO_UNLIKELY(s && steer_leads(s)))
		f->pair = sw_steered(s, f);
	return forward_lane(p, f);
}

static int forward_to(struct sw_thread *t, struct sw_frame *f, const struct sw_head *h,
		      struct vio_switch_port *p, enum sw_parcel_kind kind)
{
	struct sw_lane *lane = p ? forward_pick(p, f) : NULL;

	if (!lane || (sw_conf(p)->flags & VIO_SWITCH_DOWN))
		return VIO_SWITCH_DROP_DOWN;
	if (lane->thread == t)
		return sw_deliver(lane, f, h);
	if (!sw_ring_room(t, lane->thread))
		return VIO_SWITCH_DROP_CONGESTED;
	sw_send_parcel(t, lane->thread, f, h, kind, p);
	return SW_AWAY;
}

static void forward_copy(struct sw_thread *t, struct sw_frame *f, const struct sw_head *h,
			 struct vio_switch_port *p)
{
	if (p)
		sw_copy_ends(p, forward_to(t, f, h, p, SW_COPY));
}

/* One port of a flood; adds the thread that has to do it, if it is not this one. */
static void forward_flood_port(struct sw_thread *t, struct sw_frame *f, struct vio_switch_port *p,
			       const struct sw_conf *c, uint64_t *others)
{
	struct sw_lane *lane = forward_pick(p, f);
	struct sw_head h;

	if (!lane) {
		sw_port_lost(p, VIO_SWITCH_DROP_DOWN);
	} else if (lane->thread == t) {
		sw_head_for(&h, f, c);
		sw_copy_ends(p, sw_deliver(lane, f, &h));
	} else if (sw_ring_room(t, lane->thread)) {
		*others |= 1ull << lane->thread->index;
	} else {
		sw_port_lost(p, VIO_SWITCH_DROP_CONGESTED);
	}
}

/* Mirrors of a flood's receivers are served by its sender, whose the parcels are. */
static void forward_flood_mirrors(struct sw_thread *t, struct sw_frame *f)
{
	struct vio_switch_port *p;
	unsigned at = 0;
	struct sw_head h;

	while ((p = sw_member(t->sw, f->vlan, &at))) {
		struct vio_switch_port *mirror = sw_mirror(t->sw, sw_conf(p));

		if (!mirror || !sw_floods_to(f, p, sw_conf(p)))
			continue;
		sw_head_for(&h, f, sw_conf(p));
		forward_copy(t, f, &h, mirror);
	}
}

static int forward_flood(struct sw_thread *t, struct sw_frame *f, uint64_t now)
{
	struct vio_switch *sw = t->sw;
	struct vio_switch_port *p;
	unsigned ports = 0, at = 0;
	uint64_t others = 0;

	if (sw_storm(f->from->port, now))
		return VIO_SWITCH_DROP_STORM;
	while ((p = sw_member(sw, f->vlan, &at))) {
		const struct sw_conf *c = sw_conf(p);

		if (!sw_floods_to(f, p, c))
			continue;
		ports++;
		forward_flood_port(t, f, p, c, &others);
	}
	for (; others; others &= others - 1)
		sw_send_parcel(t, sw->thread[__builtin_ctzll(others)], f, &f->head, SW_FLOODED, NULL);
	if (VIO_LOAD(&sw->mirrors))
		forward_flood_mirrors(t, f);
	if (ports > 1)
		sw_count(&f->from->counts.flooded, 1);
	return ports ? SW_DELIVERED : VIO_SWITCH_DROP_NOWHERE;
}

static int forward_act(struct sw_thread *t, struct sw_frame *f, const struct flow *w, uint64_t now)
{
	int why = VIO_SWITCH_DROP_NOWHERE;
	struct sw_head h = f->head;

	for (unsigned i = 0; i < FLOW_ACTIONS && w->act[i].kind != FLOW_END; i++) {
		const struct flow_action *a = &w->act[i];

		if (a->kind == FLOW_DROP)
			why = a->arg;
		else if (a->kind == FLOW_POP_VLAN)
			sw_head_untag(&h, &f->head);
		else if (a->kind == FLOW_PUSH_VLAN || a->kind == FLOW_SET_VLAN)
			sw_head_tag(&h, &f->head, a->arg);
		else if (a->kind == FLOW_MIRROR)
			forward_copy(t, f, &h, sw_port(t->sw, a->arg));
		else if (a->kind == FLOW_FLOOD)
			why = forward_flood(t, f, now);
		else
			why = forward_to(t, f, &h, sw_port(t->sw, a->arg), SW_UNICAST);
	}
	return why;
}

/* Packets come in trains: the flow that a lane found last is most often its next one's. Its place always
 * holds some flow. */
VIO_INLINE bool forward_last(const struct sw_frame *f)
{
	return f->from->last && flow_is(f->from->last, &f->key);
}

VIO_INLINE struct flow *forward_known(const struct sw_thread *t, const struct sw_frame *f)
{
	if (forward_last(f))
		return f->from->last;
	return VIO_LIKELY(f->guess && flow_is(f->guess, &f->key)) ? f->guess : flow_find(t->flows, &f->key);
}

/* A kept decision, or a new one. Those kept are made again now and then, since addresses age. */
static struct flow *forward_decision(struct sw_thread *t, const struct sw_frame *f, uint64_t now)
{
	struct flow *w = forward_known(t, f);

	if (VIO_UNLIKELY(!w || w->generation != sw_generation(t->sw, w->stripe) ||
			 now - w->decided_ns >= t->sw->refresh_ns)) {
		w = flow_add(t->flows, &f->key, now);
		sw_decide(t->sw, f, w, now);
	}
	f->from->last = w;
	return w;
}

void sw_forward_look(struct sw_thread *t, struct sw_frame *f)
{
	struct vio_switch_port *p = f->from->port;
	const struct sw_conf *c = sw_conf(p);

	f->in = p->number;
	f->in_flags = (uint8_t)c->flags;
	f->result = c->flags & VIO_SWITCH_DOWN ? VIO_SWITCH_DROP_DOWN : sw_parse(f, c, &f->key);
	f->guess = NULL;
	if (f->result < 0 && !forward_last(f))
		f->guess = flow_guess(t->flows, &f->key);
}

int sw_forward(struct sw_thread *t, struct sw_frame *f, uint64_t now)
{
	struct vio_switch_port *p = f->from->port;
	const struct sw_conf *c = sw_conf(p);
	struct flow *w;

	if (f->result >= 0)
		return f->result;
	if (c->limited && sw_limited(p, f->len, now))
		return VIO_SWITCH_DROP_LIMIT;
	w = forward_decision(t, f, now);
	w->packets++;
	w->bytes += f->len;
	w->used_ns = now;
	if (VIO_LIKELY(w->act[0].kind == FLOW_OUTPUT && w->act[1].kind == FLOW_END))
		return forward_to(t, f, &f->head, sw_port(t->sw, w->act[0].arg), SW_UNICAST);
	return forward_act(t, f, w, now);
}

/* All ports that this thread receives for. */
static void forward_arrive_flood(struct sw_thread *t, struct sw_frame *f)
{
	struct vio_switch_port *p;
	unsigned at = 0;
	struct sw_head h;

	while ((p = sw_member(t->sw, f->vlan, &at))) {
		const struct sw_conf *c = sw_conf(p);
		struct sw_lane *lane = sw_floods_to(f, p, c) ? forward_pick(p, f) : NULL;

		if (!lane || lane->thread != t)
			continue;
		sw_head_for(&h, f, c);
		sw_copy_ends(p, sw_deliver(lane, f, &h));
	}
}

int sw_arrive(struct sw_thread *t, struct sw_parcel *x)
{
	struct vio_switch_port *p;
	struct sw_lane *lane;
	int why = VIO_SWITCH_DROP_DOWN;

	if (x->kind == SW_FLOODED) {
		forward_arrive_flood(t, &x->f);
		return SW_DELIVERED;
	}
	p = sw_port(t->sw, x->port);
	if (!p || p->serial != x->serial)
		return x->kind == SW_COPY ? SW_DELIVERED : why;
	lane = forward_lane(p, &x->f); /* as it was chosen when it was sent, whatever the table says now */
	if (lane && lane->thread == t && !(sw_conf(p)->flags & VIO_SWITCH_DOWN))
		why = sw_deliver(lane, &x->f, &x->f.head);
	if (x->kind == SW_UNICAST)
		return why;
	sw_copy_ends(p, why);
	return SW_DELIVERED;
}
