/* SPDX-License-Identifier: MIT */
/* What a port driven by vhost-user is like follows from what its server offers; what does not fit is refused.
 */
#include "vnet_port.h"

#define HAS(f, bit) ((f) >> (bit)&1)

static struct vio_backend_info info_of(const char *options)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct vio_backend *b;
	char stack[128];

	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user_net:%s%s", fake.path, options);
	if (vio_backend_parse(&b, NULL, stack))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_backend_info(b, &i), 0);
	vio_backend_free(b);
	fake_stop(&fake);
	assert_int_equal(i.ops, 1u << VIO_OP_SEND | 1u << VIO_OP_RECV);
	assert_false(i.link_down);
	return i;
}

static void as_the_server_offers(void **state)
{
	struct vio_backend_info i;

	(void)state;
	fake_init_net(&fake);
	i = info_of("");
	assert_int_equal(i.offloads, VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4);
	assert_int_equal(i.pairs, 1);
	assert_int_equal(i.mtu, 1400);
	assert_memory_equal(i.mac, fake.net_config.mac, 6);
	assert_int_equal(fake.mtu, 0);
	assert_true(HAS(fake.acked, VIRTIO_NET_F_GUEST_TSO4) && HAS(fake.acked, VIRTIO_NET_F_MRG_RXBUF));
	assert_false(HAS(fake.acked, VIRTIO_NET_F_MQ) || HAS(fake.acked, VIRTIO_F_RING_PACKED));
}

static void as_it_is_asked_for(void **state)
{
	struct vio_backend_info i;

	(void)state;
	fake_init_net(&fake);
	fake.features |= VIO_BIT(VIRTIO_NET_F_MQ);
	i = info_of(",mtu=9000,pairs=3,packed=on,offloads=off");
	assert_int_equal(i.offloads, 0);
	assert_int_equal(i.pairs, 3);
	assert_int_equal(i.mtu, 9000);
	assert_int_equal(fake.mtu, 9000);
	assert_true(HAS(fake.acked, VIRTIO_NET_F_MQ) && HAS(fake.acked, VIRTIO_F_RING_PACKED));
	assert_false(HAS(fake.acked, VIRTIO_NET_F_CSUM) || HAS(fake.acked, VIRTIO_NET_F_GUEST_CSUM));
}

/* Segments need checksums, and to come whole buffers that can be merged. */
static void segments_only_where_they_can_pass(void **state)
{
	(void)state;
	fake_init_net(&fake);
	fake.features &= ~VIO_BIT(VIRTIO_NET_F_CSUM);
	assert_int_equal(info_of("").offloads, VIO_PACKET_CSUM_OK);
	assert_false(HAS(fake.acked, VIRTIO_NET_F_HOST_TSO4) || HAS(fake.acked, VIRTIO_NET_F_GUEST_TSO4));
	fake_init_net(&fake);
	fake.features &= ~VIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
	assert_int_equal(info_of("").offloads, VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4);
	assert_true(HAS(fake.acked, VIRTIO_NET_F_HOST_TSO4));
	assert_false(HAS(fake.acked, VIRTIO_NET_F_GUEST_TSO4));
}

static void without_a_config_space(void **state)
{
	static const uint8_t none[6];
	struct vio_backend_info i;

	(void)state;
	fake_init_net(&fake);
	fake.protocol &= ~VIO_BIT(VU_PROTOCOL_F_CONFIG);
	i = info_of("");
	assert_int_equal(i.mtu, 0);
	assert_memory_equal(i.mac, none, 6);
}

static void refused(const char *options, int err, const char *what)
{
	struct vio_backend *b;
	char stack[128];

	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user_net:%s%s", fake.path, options);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), -err);
	assert_null(b);
	assert_non_null(strstr(vio_errmsg(), what));
	fake_stop(&fake);
}

static void refuses_what_does_not_fit(void **state)
{
	struct vio_backend *b;

	(void)state;
	fake_init_net(&fake);
	refused(",pairs=5", EINVAL, "has 4 pairs");
	refused(",queue-size=100", EINVAL, "power of two");
	refused(",pairs=65", EINVAL, "pairs");
	fake.features &= ~VIO_BIT(VIRTIO_F_RING_PACKED);
	refused(",packed=on", ENOTSUP, "packed");
	fake.features &= ~VIO_BIT(VIRTIO_F_VERSION_1);
	refused("", EPROTO, "VIRTIO_F_VERSION_1");
	fake.features &= ~VIO_BIT(VU_F_PROTOCOL_FEATURES);
	refused("", EPROTO, "protocol features");
	assert_int_equal(vio_backend_parse(&b, NULL, "vhost_user_net:"), -EINVAL);
	assert_int_equal(vio_backend_parse(&b, NULL, "vhost_user_net:/nowhere/at/all"), -ENOENT);
}

/* One packet each way, with a server that leaves some of the protocol out. */
static void passes_a_packet(void)
{
	struct fake_req t[RECVS];
	struct vio_req *r;

	post(0);
	send_some(t, 1);
	assert_int_equal(t[0].ndata, 2);
	assert_memory_equal(t[0].data[1].iov_base, frame, sizeof(frame));
	fake_use_len(&fake, TX, &t[0], 0);
	assert_int_equal(reap_sent(), 1);
	take(RX, t, RECVS);
	put(&t[0], 1);
	fake_use_len(&fake, RX, &t[0], 12 + sizeof(frame));
	r = reap_recv();
	assert_non_null(r);
	assert_int_equal(r->res, 1);
	vio_req_put(rx.pool, r);
	assert_int_equal(counter_of(port, "bounced"), 0);
	stop();
}

static void without_acknowledgements(void **state)
{
	(void)state;
	fake_init_net(&fake);
	fake.protocol &= ~VIO_BIT(VU_PROTOCOL_F_REPLY_ACK);
	open_port("");
	/* Nothing else says that it has heard it all. */
	while (!VIO_LOAD(&fake.enabled[TX]))
		vio_poller_wait(poller, 1);
	passes_a_packet();
}

/* The area's at first, then one for each lane's memory. */
static void memory_in_tables(void **state)
{
	(void)state;
	fake_init_net(&fake);
	fake.protocol &= ~VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	open_port("");
	assert_int_equal(fake.tables, 3);
	passes_a_packet();
}

static void a_pair_has_one_lane_each_way(void **state)
{
	VIO_OPTS(vio_lane_opts, o, .recv = true);
	struct vio_lane *l;

	(void)state;
	fake_init_net(&fake);
	open_port("");
	assert_int_equal(vio_lane_new(&l, port, poller, &o), -EBUSY);
	o.pair = 1;
	assert_int_equal(vio_lane_new(&l, port, poller, &o), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "pair"));
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_server_offers),
		cmocka_unit_test(as_it_is_asked_for),
		cmocka_unit_test(segments_only_where_they_can_pass),
		cmocka_unit_test(without_a_config_space),
		cmocka_unit_test(refuses_what_does_not_fit),
		cmocka_unit_test(without_acknowledgements),
		cmocka_unit_test(memory_in_tables),
		cmocka_unit_test(a_pair_has_one_lane_each_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
