/* SPDX-License-Identifier: MIT */
/* Another backend on a port: packets go through both ways, and it gets all its requests back before it is
 * closed. */
#include "switch_net.h"

#include "backend/recv_fifo.h"

#define PAIRS 2u

/* A wire with one end, and a few pairs: what it is sent it keeps; what the test puts in comes out of its
 * RECVs. */
static struct {
	struct wire_pair {
		struct vio_lane *rx;
		struct recv_fifo fifo;
		struct vio_req *held[64];
		unsigned n, sent;
	} pair[PAIRS];
	unsigned open, closed;
	bool hold; /* SENDs do not complete */
	uint8_t last[NET_FRAME], flags;
	size_t last_len;
	struct vio_offload offload;
} wire;

static struct wire_pair *wire_of(const struct vio_lane *l)
{
	return &wire.pair[l->pair];
}

static int wire_info(struct vio_backend *b, struct vio_backend_info *i)
{
	(void)b;
	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->offloads = VIO_PACKET_CSUM | VIO_PACKET_TSO4;
	i->pairs = PAIRS;
	return 0;
}

static int wire_lane_open(struct vio_lane *l)
{
	wire.open++;
	if (!l->recv)
		return 0;
	wire_of(l)->rx = l;
	return recv_fifo_open(&wire_of(l)->fifo, 64, "wire");
}

static void wire_lane_close(struct vio_lane *l)
{
	if (l->recv) {
		assert_int_equal(recv_fifo_room(&wire_of(l)->fifo), 64);
		recv_fifo_close(&wire_of(l)->fifo);
	} else {
		assert_int_equal(wire_of(l)->n, 0);
	}
	wire.open--;
}

static void wire_close(struct vio_backend *b)
{
	(void)b;
	wire.closed++;
}

static unsigned wire_room(struct vio_lane *l)
{
	return l->recv ? recv_fifo_room(&wire_of(l)->fifo) : 64 - wire_of(l)->n;
}

static void wire_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	assert_true(n <= wire_room(l));
	if (l->recv) {
		recv_fifo_push(&wire_of(l)->fifo, r, n);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		wire.last_len = 0;
		for (unsigned k = 0; k < r[i]->niov; k++) {
			memcpy(wire.last + wire.last_len, r[i]->iov[k].iov_base, r[i]->iov[k].iov_len);
			wire.last_len += r[i]->iov[k].iov_len;
		}
		assert_int_equal(wire.last_len, r[i]->len);
		wire.flags = r[i]->flags;
		wire.offload = r[i]->offload;
		wire_of(l)->held[wire_of(l)->n++] = r[i];
		wire_of(l)->sent++;
	}
}

static unsigned wire_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	if (l->recv)
		return recv_fifo_reap(&wire_of(l)->fifo, r, n);
	if (wire.hold)
		return 0;
	n = VIO_MIN(n, wire_of(l)->n);
	for (unsigned i = 0; i < n; i++)
		r[i] = wire_of(l)->held[--wire_of(l)->n];
	return n;
}

static unsigned wire_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return l->recv ? recv_fifo_recall(&wire_of(l)->fifo, r, n) : 0;
}

static const struct vio_backend_type wire_type = {
	.sz = sizeof(struct vio_backend_type),
	.name = "wire",
	.info = wire_info,
	.close = wire_close,
	.lane_open = wire_lane_open,
	.lane_close = wire_lane_close,
	.room = wire_room,
	.submit = wire_submit,
	.reap = wire_reap,
	.recall = wire_recall,
};

static struct vio_poller *poller;
static struct vio_switch *sw;
static struct vio_switch_port *port;
static struct station s;
static uint8_t frame[NET_FRAME];
static struct packet_got got;

static void settle(void)
{
	for (unsigned quiet = 0; quiet < 3;)
		quiet = vio_poller_run(poller, 0) ? 0 : quiet + 1;
}

static int up(void **state)
{
	struct vio_backend *b;

	(void)state;
	memset(&wire, 0, sizeof(wire));
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	station_up(&s, sw, poller, "guest", NULL);
	s.takes = VIO_PACKET_CSUM | VIO_PACKET_TSO4 | VIO_RECV_MERGE;
	station_post(&s, 60);
	assert_int_equal(vio_switch_port_new(&port, sw, "wire", NULL), 0);
	assert_int_equal(vio_backend_new(&b, &wire_type, NULL, NULL, NULL), 0);
	assert_int_equal(vio_switch_port_attach(port, b, poller), 0);
	assert_int_equal(vio_switch_port_attach(port, b, poller), -EBUSY);
	vio_backend_free(b); /* the port keeps it */
	settle();
	return 0;
}

static int down(void **state)
{
	(void)state;
	vio_switch_port_free(port);
	station_down(&s);
	vio_switch_free(sw);
	assert_true(wire.closed == 1 && !wire.open);
	vio_poller_free(poller);
	return 0;
}

static const struct vio_offload tso = {
	.hdr_len = 54, .gso_size = 1400, .csum_start = 34, .csum_offset = 16
};

/* As from the network. */
static void wire_hears(unsigned pair, size_t len, uint8_t flags)
{
	struct wire_pair *w = &wire.pair[pair];
	struct vio_req *r = recv_fifo_at(&w->fifo, 0);

	assert_int_equal(recv_fifo_fit(&w->fifo, len), 1);
	memcpy(r->iov[0].iov_base, frame, len);
	recv_fifo_fill(&w->fifo, len, flags, flags ? &tso : NULL);
	vio_lane_wake(w->rx);
}

static void packets_go_both_ways(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 500; i++) { /* more than there are buffers */
		size_t len = i % 5 ? 60 + i : 65550;

		net_frame(frame, 2, 1, -1, len, i);
		station_post(&s, 60 - s.posted);
		wire_hears(i % PAIRS, len, i % 5 ? 0 : VIO_PACKET_CSUM | VIO_PACKET_TSO4);
		settle();
		assert_true(station_get(&s, &got));
		assert_true(got.len == len && !memcmp(got.bytes, frame, len));
		assert_int_equal(got.flags, i % 5 ? 0 : VIO_PACKET_CSUM | VIO_PACKET_TSO4);
		net_frame(frame, 1, 2, -1, len, i);
		station_send_cut(&s, frame, len, i % 5 ? 0 : VIO_PACKET_CSUM | VIO_PACKET_TSO4,
				 i % 5 ? NULL : &tso, 100);
		settle();
		station_reap_sends(&s);
		assert_true(wire.last_len == len && !memcmp(wire.last, frame, len));
		assert_int_equal(wire.flags, i % 5 ? 0 : VIO_PACKET_CSUM | VIO_PACKET_TSO4);
		assert_true(i % 5 || !memcmp(&wire.offload, &tso, sizeof(tso)));
	}
}

/* A flow stays on its pair, and many flows use them all. */
static void flows_spread_over_its_pairs(void **state)
{
	unsigned before;

	(void)state;
	net_frame(frame, 2, 1, -1, 100, 0);
	wire_hears(0, 100, 0); /* the switch knows where station 2 is */
	settle();
	for (unsigned flow = 0; flow < 64; flow++) {
		before = wire.pair[0].sent;
		for (unsigned i = 1; i <= 10; i++) {
			net_frame(frame, 100 + flow, 2, -1, 100, flow);
			station_send(&s, frame, 100);
			settle();
			station_reap_sends(&s);
			assert_true(wire.pair[0].sent == before + i || wire.pair[0].sent == before);
		}
	}
	assert_int_equal(wire.pair[0].sent + wire.pair[1].sent, 640);
	assert_true(wire.pair[0].sent && wire.pair[1].sent);
}

/* Freed with packets under way in the backend: it is closed when it has given them back, not before. */
static void a_slow_backend_is_waited_for(void **state)
{
	(void)state;
	wire.hold = true;
	net_frame(frame, 1, 2, -1, 100, 0);
	for (unsigned i = 0; i < 100; i++) {
		station_send(&s, frame, 100);
		settle();
	}
	assert_true(wire.pair[0].n + wire.pair[1].n > 0);
	vio_switch_port_free(port);
	settle();
	assert_true(wire.open == 2 * PAIRS && !wire.closed);
	assert_null(vio_switch_port_find(sw, "wire"));
	assert_int_equal(vio_switch_port_new(&port, sw, "wire", NULL), 0); /* its name is free */
	station_send(&s, frame, 100);
	wire.hold = false; /* vio_switch_free does the rest */
}

static void a_disk_is_no_port(void **state)
{
	struct vio_switch_port *p;
	struct vio_backend *b;

	(void)state;
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	assert_int_equal(vio_switch_port_new(&p, sw, "disk", NULL), 0);
	assert_int_equal(vio_switch_port_attach(p, b, poller), -EINVAL);
	vio_backend_free(b);
	vio_switch_port_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(packets_go_both_ways, up, down),
		cmocka_unit_test_setup_teardown(flows_spread_over_its_pairs, up, down),
		cmocka_unit_test_setup_teardown(a_slow_backend_is_waited_for, up, down),
		cmocka_unit_test_setup_teardown(a_disk_is_no_port, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
