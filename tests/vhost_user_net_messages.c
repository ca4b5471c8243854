/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* The vhost-user messages that only network cards get: counted in pairs, their MTU, and the frame that says a
 * guest has moved. */
#include "front_end.h"

#include "transport/vhost_user_conn.h"

#include <virtio-offload/impl/backend.h>
#include <virtio-offload/impl/device.h>

#include <linux/virtio_net.h>

#define NET_PROTOCOL (VUS_BIT(VU_PROTOCOL_F_RARP) | VUS_BIT(VU_PROTOCOL_F_NET_MTU))
#define NET_MTU 9000

/* A port that keeps what was sent; held back, it completes only when it is told to. */
static struct {
	uint8_t frame[128];
	uint64_t len;
	unsigned sends, lanes;
	bool hold;
	struct vio_lane *lane;
	struct vio_reqs done;
} port;

static int port_info(struct vio_backend *b, struct vio_backend_info *i)
{
	(void)b;
	i->ops = 1u << VIO_OP_SEND | 1u << VIO_OP_RECV;
	i->pairs = 1;
	return 0;
}

static int port_lane_open(struct vio_lane *l)
{
	assert_false(l->recv);
	port.lane = l;
	port.lanes++;
	return 0;
}

static void port_lane_close(struct vio_lane *l)
{
	assert_ptr_equal(port.lane, l);
	assert_null(port.done.head);
	port.lane = NULL;
	port.lanes--;
}

static void port_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	(void)l;
	assert_int_equal(n, 1);
	assert_int_equal(r[0]->op, VIO_OP_SEND);
	assert_int_equal(r[0]->flags, 0);
	assert_int_equal(r[0]->niov, 1);
	assert_true(r[0]->len <= sizeof(port.frame));
	memcpy(port.frame, r[0]->iov[0].iov_base, r[0]->len);
	port.len = r[0]->len;
	port.sends++;
	r[0]->res = 0;
	vio_reqs_push(&port.done, r[0]);
}

static unsigned port_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	(void)l;
	if (port.hold || !n || !port.done.head)
		return 0;
	*r = vio_reqs_pop(&port.done);
	return 1;
}

static unsigned port_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	(void)l;
	(void)r;
	(void)n;
	return 0;
}

static const struct vio_backend_type port_type = {
	.sz = sizeof(port_type),
	.name = "port",
	.help = ": keeps what was sent",
	.info = port_info,
	.lane_open = port_lane_open,
	.lane_close = port_lane_close,
	.submit = port_submit,
	.reap = port_reap,
	.recall = port_recall,
};

static int card_init(struct vio_dev *d, const char *arg)
{
	d->queues = 5; /* two pairs and the control queue */
	if (!strcmp(arg, "mtu"))
		d->offered |= 1ull << VIRTIO_NET_F_MTU;
	return 0;
}

static void card_config(struct vio_dev *d, void *to)
{
	(void)d;
	((uint8_t *)to)[offsetof(struct virtio_net_config, mtu)] = NET_MTU & 0xff;
	((uint8_t *)to)[offsetof(struct virtio_net_config, mtu) + 1] = NET_MTU >> 8;
}

static unsigned card_pairs(const struct vio_dev *d)
{
	return d->queues / 2;
}

static const struct vio_device_type card_type = {
	.sz = sizeof(card_type),
	.name = "card",
	.id = 1,
	.config = sizeof(struct virtio_net_config),
	.init = card_init,
	.config_read = card_config,
	.vhost_user_queues = card_pairs,
};

static void serve(struct front *f, const char *arg)
{
	VIO_OPTS(vio_poller_opts, po, .log = front_log, .log_ctx = f);
	VIO_OPTS(vio_vhost_user_opts, o);
	uint64_t protocol;

	memset(&port, 0, sizeof(port));
	*f = (struct front){ .s = -1, .memfd = -1 };
	assert_int_equal(vio_poller_new(&f->p, &po), 0);
	assert_int_equal(vio_backend_new(&f->b, &port_type, NULL, NULL, NULL), 0);
	assert_int_equal(vio_dev_new(&f->d, &card_type, f->b, arg), 0);
	front_attach(f, &o);
	protocol = front_ask_u64(f, VU_GET_PROTOCOL_FEATURES);
	assert_int_equal(protocol, FRONT_PROTOCOL | NET_PROTOCOL);
	assert_int_equal(front_ack_u64(f, VU_SET_PROTOCOL_FEATURES, protocol), 0);
	assert_int_equal(front_ack_u64(f, VU_SET_FEATURES, FRONT_PF | FRONT_V1), 0);
}

static void queues_are_counted_in_pairs(void **state)
{
	struct front f;

	(void)state;
	serve(&f, "");
	assert_int_equal(front_ask_u64(&f, VU_GET_QUEUE_NUM), 2);
	/* The control queue exists for a front end that leaves it to us. */
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 4, 64), 0);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 5, 64), 1);
	front_free(&f);
}

static void an_mtu_is_checked_against_the_standard(void **state)
{
	struct front f;

	(void)state;
	serve(&f, "");
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, 67), 1);
	assert_non_null(strstr(f.log, "expected 68 to 65535"));
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, 68), 0);
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, 65535), 0);
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, 65536), 1);
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, UINT64_MAX), 1);
	front_free(&f);
}

static void an_mtu_is_checked_against_the_devices_own(void **state)
{
	struct front f;

	(void)state;
	serve(&f, "mtu");
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, NET_MTU), 0);
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, 1500), 0);
	assert_int_equal(front_ack_u64(&f, VU_NET_SET_MTU, NET_MTU + 1), 1);
	assert_non_null(strstr(f.log, "expected 68 to 9000"));
	front_free(&f);
}

static void wrong_sizes_and_descriptors_are_refused(void **state)
{
	static const uint32_t requests[] = { VU_SEND_RARP, VU_NET_SET_MTU };
	uint8_t bytes[16] = { 0 };
	struct front f;

	(void)state;
	serve(&f, "");
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(requests); i++) {
		assert_int_equal(front_ack(&f, requests[i], bytes, 6, NULL, 0), 1);
		assert_int_equal(front_ack(&f, requests[i], bytes, 16, NULL, 0), 1);
		assert_int_equal(front_ack(&f, requests[i], bytes, 8, &f.memfd, 1), 1);
	}
	assert_int_equal(port.sends, 0);
	front_free(&f);
}

static void a_moved_guest_is_announced_by_a_broadcast(void **state)
{
	static const uint8_t payload[8] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0xaa, 0xaa };
	static const uint8_t frame[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, /* Ethernet ... */
		0x80, 0x35, 0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x03,		/* RARP, a request */
		0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0,	  0,	0,    0,		/* from */
		0x52, 0x54, 0x00, 0x12, 0x34, 0x56,					/* for */
	};
	struct front f;

	(void)state;
	serve(&f, "");
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(front_ack(&f, VU_SEND_RARP, payload, 8, NULL, 0), 0);
		assert_int_equal(port.sends, i);
		assert_int_equal(port.lanes, 0);
	}
	assert_int_equal(port.len, 60);
	assert_memory_equal(port.frame, frame, sizeof(frame));
	for (unsigned i = sizeof(frame); i < 60; i++)
		assert_int_equal(port.frame[i], 0);
	front_free(&f);
}

static void a_group_address_cannot_have_moved(void **state)
{
	struct front f;

	(void)state;
	serve(&f, "");
	assert_int_equal(front_ack_u64(&f, VU_SEND_RARP, 0xffffffffffffull), 1);
	assert_non_null(strstr(f.log, "group address"));
	assert_int_equal(port.sends, 0);
	front_free(&f);
}

/* The front end goes while the frame is under way: nothing is torn down beneath it. */
static void a_slow_port_holds_the_message_and_outlives_the_front_end(void **state)
{
	uint64_t mac = 0x563412005452ull;
	struct front f;

	(void)state;
	serve(&f, "");
	port.hold = true;
	front_send(&f, VU_SEND_RARP, 0, &mac, sizeof(mac), NULL, 0);
	while (!port.sends)
		front_pump(&f);
	front_hang_up(&f);
	for (unsigned i = 0; i < 5; i++)
		front_pump(&f);
	assert_int_equal(f.downs, 0);
	assert_int_equal(port.lanes, 1);
	port.hold = false;
	vio_lane_wake(port.lane);
	while (!f.downs)
		front_pump(&f);
	assert_int_equal(port.lanes, 0);
	front_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_are_counted_in_pairs),
		cmocka_unit_test(an_mtu_is_checked_against_the_standard),
		cmocka_unit_test(an_mtu_is_checked_against_the_devices_own),
		cmocka_unit_test(wrong_sizes_and_descriptors_are_refused),
		cmocka_unit_test(a_moved_guest_is_announced_by_a_broadcast),
		cmocka_unit_test(a_group_address_cannot_have_moved),
		cmocka_unit_test(a_slow_port_holds_the_message_and_outlives_the_front_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
