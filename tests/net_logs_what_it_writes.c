/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create */
/*
 * A guest that migrates: each page that a packet, its header, the answer to a command or a ring's
 * progress was written to is in the log, and no other.
 */
#include "dirty_pages.h"
#include "net_commands.h"

#define RECV 0u
#define SEND 1u
#define CTRL 2u
#define SIZE 16u
#define SLOT (3 * PAGE) /* between the buffers */

static struct log l;
static uint8_t frame[9000] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

static uint64_t ring_page(const struct net_guest *n)
{
	return vio_dev_acked(n->dev) & NET_PACKED ? RG_AT : RG_AT + RG_DEVICE;
}

static void up(struct net_guest *n, uint64_t features, unsigned queue)
{
	log_open(&l);
	assert_int_equal(net_open(n), 0);
	assert_int_equal(net_device(n, NET_V1 | NET_CONTROL | features, "mac=02:00:00:00:00:01"), 0);
	n->q[queue].dirty = l.d;
	n->q[queue].dirty_device = ring_page(n);
	assert_int_equal(net_start(n, queue, SIZE), 0);
}

static void down(struct net_guest *n)
{
	net_close(n);
	log_close(&l);
}

/* Apart from the wish for kicks, which lies on the page of RG_DEVICE and changes at any time. */
static void logs(struct net_guest *n, const uint64_t *at, unsigned count)
{
	uint64_t want[8] = { RG_AT + RG_DEVICE, ring_page(n) };

	for (unsigned i = 0; i < count; i++)
		want[2 + i] = at[i];
	assert_true(l.bits[ring_page(n) / PAGE / 8] >> ring_page(n) / PAGE % 8 & 1);
	l.bits[(RG_AT + RG_DEVICE) / PAGE / 8] |= (uint8_t)(1u << (RG_AT + RG_DEVICE) / PAGE % 8);
	logged(&l, want, 2 + count);
}

/* Buffers of a page each, two pages apart. */
static void post(struct net_guest *n, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct rg_buf b = { NET_AT + SLOT * i, PAGE, RG_WRITE };

		assert_true(rg_post(net_ring(n, RECV), &b, 1) >= 0);
	}
	vio_vq_kick(n->dev, RECV);
	while (net_port_waiting(n->port, 0) < count)
		assert_true(vio_poller_wait(n->poller, 100) >= 0);
	memset(l.bits, 0, PAGES / 8);
}

static void receive(struct net_guest *n, size_t len, int parts)
{
	uint32_t used;

	assert_int_equal(net_port_deliver(n->port, 0, frame, len, 0, NULL), parts);
	for (int i = 0; i < parts; i++)
		while (rg_reap(net_ring(n, RECV), &used) < 0)
			assert_true(vio_poller_wait(n->poller, 100) >= 0);
}

static void packets_are_logged(uint64_t features)
{
	struct net_guest n;

	up(&n, features | NET_MERGE, RECV);
	post(&n, 4);
	receive(&n, sizeof(frame), 3);
	logs(&n, (uint64_t[]){ NET_AT, NET_AT + SLOT, NET_AT + 2 * SLOT }, 3);
	receive(&n, 60, 1);
	logs(&n, (uint64_t[]){ NET_AT + 3 * SLOT }, 1);
	down(&n);
}

/* A header's last byte and the frame behind it on a page of their own. */
static void headers_are_logged(uint64_t features)
{
	const struct rg_buf b[] = { { NET_AT + PAGE - 11, 11, RG_WRITE },
				    { NET_AT + SLOT, 2 * PAGE, RG_WRITE } };
	struct net_guest n;

	up(&n, features, RECV);
	assert_true(rg_post(net_ring(&n, RECV), b, 2) >= 0);
	vio_vq_kick(n.dev, RECV);
	while (!net_port_waiting(n.port, 0))
		assert_true(vio_poller_wait(n.poller, 100) >= 0);
	receive(&n, PAGE - 1, 1);
	logs(&n, (uint64_t[]){ NET_AT, NET_AT + SLOT }, 2);
	down(&n);
}

static void sends_are_logged(uint64_t features)
{
	const struct rg_buf b = { NET_AT, 2 * PAGE, 0 };
	struct net_guest n;

	up(&n, features, SEND);
	assert_int_equal(net_run(&n, SEND, &b, 1), 0);
	assert_int_equal(n.port->sent, 1);
	logs(&n, NULL, 0);
	down(&n);
}

static void answers_are_logged(uint64_t features)
{
	struct net_guest n;

	up(&n, features, CTRL);
	assert_int_equal(net_command_mode(&n, VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	logs(&n, (uint64_t[]){ NET_AT + NET_ACK_AT }, 1);
	down(&n);
}

static void split(void **state)
{
	(void)state;
	packets_are_logged(0);
	headers_are_logged(0);
	sends_are_logged(0);
	answers_are_logged(0);
}

static void packed(void **state)
{
	(void)state;
	packets_are_logged(NET_PACKED);
	headers_are_logged(NET_PACKED);
	sends_are_logged(NET_PACKED);
	answers_are_logged(NET_PACKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
