/* SPDX-License-Identifier: MIT */
/*
 * A switch whose ports come, go and change while frames of any content pass. The input is a list
 * of steps, each a byte (what, % 8; which port, / 8 % PORTS), and what the step reads. However it
 * goes: each SEND comes back at once, each RECV once, no frame is longer than its buffers.
 */
#include "base/base.h"

#include <stdio.h>
#include <virtio-offload/backend.h>
#include <virtio-offload/switch.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORTS 6u
#define REQS 48u

#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "fuzz/switch: %s (%s)\n", #cond, vio_errmsg());                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

struct input {
	const uint8_t *at, *end;
};

struct side {
	struct vio_switch_port *port;
	struct vio_lane *tx, *rx;
	struct vio_req_pool *sends, *recvs;
	unsigned posted;
};

static struct vio_poller *poller;
static struct vio_switch *sw;
static struct side sides[PORTS];
static const char *const names[PORTS] = { "a", "b", "c", "d", "e", "f" };

static unsigned input_uint(struct input *in, unsigned bytes)
{
	unsigned v = 0;

	while (bytes--)
		v = v << 8 | (in->at < in->end ? *in->at++ : 0);
	return v;
}

/* Memory of exactly this size, so that a byte beyond it is found out; what went is freed. */
static void req_mem(struct vio_req *r, size_t len)
{
	char *mem = calloc(1, len ? len : 1);

	CHECK(mem);
	r->iov[0] = (struct iovec){ mem, len };
	r->niov = 1;
	r->user = (uintptr_t)mem;
}

static void req_end(struct vio_req_pool *pool, struct vio_req *r)
{
	free((void *)(uintptr_t)r->user);
	vio_req_put(pool, r);
}

static void side_options(struct input *in, struct vio_switch_port_opts *o, uint16_t *vlans)
{
	unsigned kind = input_uint(in, 1);

	*o = (struct vio_switch_port_opts){ .sz = sizeof(*o),
					    .flags = kind & 0x1f,
					    .vlan = (uint16_t)input_uint(in, 2) };
	o->nvlans = (uint16_t)(kind & 0x20 ? 1 : 0);
	o->vlans = vlans;
	vlans[0] = (uint16_t)input_uint(in, 1);
	if (kind & 0x40)
		o->mirror = names[vlans[0] % PORTS];
	if (kind & 0x80)
		o->packets = o->storm = (struct vio_switch_limit){ 1, 4 };
	o->addresses = vlans[0] / 16 % 4;
	if (vlans[0] & 0x80)
		o->group = names[vlans[0] % 2];
}

static void side_new(struct input *in, struct side *s)
{
	VIO_OPTS(vio_lane_opts, recv, .recv = true);
	struct vio_switch_port_opts o;
	uint16_t vlans[1];
	struct vio_backend *b;

	side_options(in, &o, vlans);
	if (vio_switch_port_new(&s->port, sw, names[s - sides], &o))
		return;
	b = vio_switch_port_backend(s->port);
	CHECK(!vio_lane_new(&s->tx, b, poller, NULL) && !vio_lane_new(&s->rx, b, poller, &recv));
	CHECK(!vio_req_pool_new(&s->sends, s->tx, 1, 8) && !vio_req_pool_new(&s->recvs, s->rx, REQS, 1));
}

static void side_recall(struct side *s)
{
	struct vio_req *r[8];
	unsigned n;

	while ((n = vio_lane_recall(s->rx, r, 8)))
		for (s->posted -= n; n;)
			req_end(s->recvs, r[--n]);
}

static void side_receive(struct side *s)
{
	struct vio_req *r;
	unsigned parts = 0;

	for (; vio_lane_reap(s->rx, &r, 1); parts--) {
		if (!parts) {
			CHECK(r->res >= 1);
			parts = (unsigned)r->res;
		} else {
			CHECK(!r->res);
		}
		CHECK(r->len && r->len <= r->iov[0].iov_len);
		s->posted--;
		req_end(s->recvs, r);
	}
	CHECK(!parts);
}

static void side_free(struct side *s)
{
	struct vio_switch_port_stats st = { .sz = sizeof(st) };

	side_receive(s);
	side_recall(s);
	CHECK(!s->posted);
	CHECK(!vio_switch_port_stats(s->port, &st) && st.delivered_bytes >= 14 * st.delivered);
	vio_req_pool_free(s->sends);
	vio_req_pool_free(s->recvs);
	vio_lane_free(s->tx);
	vio_lane_free(s->rx);
	vio_switch_port_free(s->port);
	*s = (struct side){ 0 };
}

static void side_post(struct input *in, struct side *s)
{
	unsigned n = input_uint(in, 1) % 16, flags = input_uint(in, 1), room = 1 + input_uint(in, 2) % 4096;

	for (; n && s->posted < REQS; n--, s->posted++) {
		struct vio_req *r = vio_req_get(s->recvs);

		r->op = VIO_OP_RECV;
		r->flags = (uint8_t)flags;
		r->offload.hdr_len = (uint16_t)(room > 20 ? 12 : 0);
		req_mem(r, room);
		vio_lane_submit(s->rx, &r, 1);
	}
}

/* A frame: its head from the input, so that addresses and types can be anything, then zeroes. */
static void side_send(struct input *in, struct side *s)
{
	unsigned len = input_uint(in, 2), head = input_uint(in, 1), cut = input_uint(in, 1) % 32;
	struct vio_req *r = vio_req_get(s->sends), *up = NULL;
	char *mem;

	r->op = VIO_OP_SEND;
	r->flags = (uint8_t)(input_uint(in, 1) & ~(unsigned)VIO_RECV_MERGE);
	r->offload = (struct vio_offload){ .hdr_len = (uint16_t)input_uint(in, 1),
					   .gso_size = (uint16_t)input_uint(in, 2),
					   .csum_start = (uint16_t)input_uint(in, 1),
					   .csum_offset = (uint16_t)input_uint(in, 1) };
	len = len & 0x8000 ? len : len % 2048;
	req_mem(r, len);
	mem = r->iov[0].iov_base;
	for (unsigned i = 0; i < head && i < len; i++)
		mem[i] = (char)input_uint(in, 1);
	r->len = len;
	if (cut && cut < len) {
		r->iov[0].iov_len = cut;
		r->iov[1] = (struct iovec){ mem + cut, len - cut };
		r->niov = 2;
	}
	vio_lane_submit(s->tx, &r, 1);
	CHECK(vio_lane_reap(s->tx, &up, 1) == 1 && up == r && !r->res);
	req_end(s->sends, r);
}

/* The first ports' names serve groups, too. */
static void group_turn(const uint8_t mac[6])
{
	VIO_OPTS(vio_switch_limits, l, .packets = { mac[1], mac[2] }, .bytes = { mac[3] * 1000u, mac[4] },
		 .storm = { mac[5], 0 });
	const char *name = names[mac[1] % 2];

	if (mac[0] & 2)
		vio_switch_group_del(sw, name);
	else
		CHECK(!vio_switch_group_set(sw, name, &l));
}

static void side_address(struct input *in, struct side *s)
{
	uint8_t mac[6];

	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)input_uint(in, 1);
	vio_switch_address_set(sw, mac, (uint16_t)input_uint(in, 1), s->port);
	if (mac[0] & 1)
		group_turn(mac);
}

static void side_set(struct input *in, struct side *s)
{
	struct vio_switch_port_opts o;
	uint16_t vlans[1];

	side_options(in, &o, vlans);
	vio_switch_port_set(s->port, &o);
}

/* A table that may be sound; entries, and what has no hash, lead to the one lane or to none. */
static void side_steer(struct input *in, struct side *s)
{
	unsigned kind = input_uint(in, 1);
	uint16_t table[256];
	uint8_t key[40];
	VIO_OPTS(vio_steer, o, .hash_types = input_uint(in, 2), .entries = (uint16_t)(1u << kind % 16 % 9),
		 .unhashed = kind >> 6, .table = table, .key = key, .key_len = sizeof(key));
	int rc;

	for (unsigned i = 0; i < o.entries; i++)
		table[i] = (uint16_t)input_uint(in, 1) % 65;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)input_uint(in, 1);
	rc = vio_backend_steer(vio_switch_port_backend(s->port), kind & 0x20 ? NULL : &o);
	CHECK(!rc || (rc == -EINVAL && !(kind & 0x20)));
}

static void step(struct input *in)
{
	unsigned kind = input_uint(in, 1);
	struct side *s = &sides[kind / 8 % PORTS];

	if (!s->port) {
		side_new(in, s);
		return;
	}
	switch (kind % 8) {
	case 0:
		side_free(s);
		break;
	case 1:
		if (kind < 8 * PORTS * 5)
			side_set(in, s);
		else
			side_steer(in, s);
		break;
	case 2:
	case 3:
		side_post(in, s);
		break;
	case 4:
		side_address(in, s);
		break;
	case 5:
		side_receive(s);
		break;
	default:
		side_send(in, s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	VIO_OPTS(vio_switch_opts, o, .ports = PORTS - 1, .addresses = 16, .flows = 16);
	struct input in = { data, data + size };

	if (!poller && vio_poller_new(&poller, NULL))
		abort();
	CHECK(!vio_switch_new(&sw, &o));
	while (in.at < in.end)
		step(&in);
	for (unsigned i = 0; i < PORTS; i++)
		if (sides[i].port)
			side_free(&sides[i]);
	vio_switch_free(sw);
	return 0;
}
