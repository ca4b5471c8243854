/* SPDX-License-Identifier: MIT */
/* For tests of vhost_user_net: a port of one pair at the fake server, in either ring format. */
#ifndef TESTS_VNET_PORT_H
#define TESTS_VNET_PORT_H

#include "port.h"

#include "fake_server.h"

#define EACH 2048u
#define RECVS 6u
#define TAKES (VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4)
#define RX 0u
#define TX 1u

static struct fake fake;
static struct vio_poller *poller;
static struct vio_backend *port;
static struct way tx, rx;
static bool packed;
static char frame[64] = "\2\0\0\0\0\2\2\0\0\0\0\1\x88\xb5 a frame that is sent";

MAYBE_UNUSED static void started(unsigned n)
{
	while (counter_of(port, "started") < n)
		assert_true(vio_poller_wait(poller, 20000) >= 0);
}

MAYBE_UNUSED static void open_port(const char *options)
{
	char stack[160];

	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user_net:%s,queue-size=16,packed=%s%s", fake.path,
		 packed ? "on" : "off", options);
	if (vio_backend_parse(&port, NULL, stack))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	rx = way_open_shared(port, poller, 0, true, EACH);
	tx = way_open_shared(port, poller, 0, false, EACH);
	started(2);
}

MAYBE_UNUSED static void start(void **state)
{
	packed = *state != NULL;
	fake_init_net(&fake);
	open_port("");
}

MAYBE_UNUSED static void stop(void)
{
	way_close(&tx);
	way_close(&rx);
	vio_backend_free(port);
	vio_poller_free(poller);
	fake_stop(&fake);
}

MAYBE_UNUSED static void post(uint8_t flags)
{
	way_post(&rx, RECVS, flags, sizeof(struct virtio_net_hdr_v1));
}

MAYBE_UNUSED static void take(unsigned q, struct fake_req *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(fake_take(&fake, q, &t[i]));
}

/* Submits n packets and has the server take them. */
MAYBE_UNUSED static void send_some(struct fake_req *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct vio_req *r = vio_req_get(tx.pool);

		r->op = VIO_OP_SEND;
		r->len = sizeof(frame);
		r->niov = 1;
		r->iov[0] = (struct iovec){ tx.mem + i * EACH, sizeof(frame) };
		memcpy(r->iov[0].iov_base, frame, sizeof(frame));
		vio_lane_submit(tx.lane, &r, 1);
	}
	take(TX, t, n);
}

MAYBE_UNUSED static unsigned reap_sent(void)
{
	struct vio_req *r;
	unsigned n = 0;

	for (; vio_lane_reap(tx.lane, &r, 1); n++) {
		assert_int_equal(r->res, 0);
		vio_req_put(tx.pool, r);
	}
	return n;
}

MAYBE_UNUSED static struct vio_req *reap_recv(void)
{
	struct vio_req *r;

	return vio_lane_reap(rx.lane, &r, 1) ? r : NULL;
}

MAYBE_UNUSED static bool link_down(void)
{
	struct vio_backend_info i = { .sz = sizeof(i) };

	assert_int_equal(vio_backend_info(port, &i), 0);
	return i.link_down;
}

/* Into a receive buffer that the server took: a header, and a frame behind it. */
MAYBE_UNUSED static struct virtio_net_hdr_v1 *put(const struct fake_req *t, uint16_t buffers)
{
	struct virtio_net_hdr_v1 *h = t->data[0].iov_base;

	*h = (struct virtio_net_hdr_v1){ .num_buffers = htole16(buffers) };
	memcpy(h + 1, frame, sizeof(frame));
	return h;
}

/* It is left: what it had to send is lost, once each, and so is what comes later; RECVs wait. */
MAYBE_UNUSED static void left(unsigned lost)
{
	assert_true(link_down());
	while (counter_of(port, "dropped_down") < lost)
		assert_true(vio_poller_wait(poller, 20000) >= 0);
	assert_int_equal(reap_sent(), lost);
	way_send(&tx, poller, frame, sizeof(frame), 0, NULL);
	assert_int_equal(counter_of(port, "dropped_down"), lost + 1);
	assert_null(reap_recv());
}

MAYBE_UNUSED static void left_for_good(unsigned lost)
{
	left(lost);
	assert_int_equal(way_recall(&rx), RECVS);
	stop();
}

/* After a while it is there again, and all is well. */
MAYBE_UNUSED static void back(void)
{
	struct fake_req t[RECVS];
	struct vio_req *r;

	started(4);
	assert_false(link_down());
	take(RX, t, RECVS);
	put(&t[0], 1);
	fake_use_len(&fake, RX, &t[0], 12 + sizeof(frame));
	r = reap_recv();
	assert_non_null(r);
	assert_int_equal(r->res, 1);
	assert_memory_equal((char *)r->iov[0].iov_base + 12, frame, sizeof(frame));
	vio_req_put(rx.pool, r);
	send_some(t, 1);
	fake_use_len(&fake, TX, &t[0], 0);
	assert_int_equal(reap_sent(), 1);
	assert_int_equal(way_recall(&rx), RECVS - 1);
	stop();
}

#define EITHER(f)                                                                                            \
	{ #f, f, NULL, NULL, NULL },                                                                         \
	{                                                                                                    \
#f ", packed", f, NULL, NULL, &packed                                                        \
	}

#endif
