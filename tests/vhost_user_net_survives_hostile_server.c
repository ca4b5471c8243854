/* SPDX-License-Identifier: MIT */
/*
 * The driving end of a network card believes nothing that a server says: threats 2, 11, 15, 24, 25, 37, 38,
 * from the other side. A server that breaks the ring is left, and its port's cable is out until it is back.
 */
#include "vnet_port.h"

/* A used entry as no good server writes it: id, bytes written, steps of the index or descriptors. */
static void use_wrong(unsigned q, uint32_t id, uint32_t len, unsigned step)
{
	if (packed)
		fake_use_packed_len(&fake, q, (uint16_t)id, len, step);
	else
		fake_use_id_len(&fake, q, id, len, (uint16_t)step);
}

static void sent_id_out_of_range(void **state)
{
	struct fake_req t[3];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	use_wrong(TX, 0xfffe, 0, 1);
	assert_int_equal(reap_sent(), 0);
	left(3);
	back();
}

static void sent_id_never_submitted(void **state)
{
	struct fake_req t[3];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	use_wrong(TX, packed ? 5 : 10, 0, 1);
	assert_int_equal(reap_sent(), 0);
	left_for_good(3);
}

static void sent_id_twice(void **state)
{
	struct fake_req t[3];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	fake_use_len(&fake, TX, &t[1], 0);
	fake_use_len(&fake, TX, &t[1], 0);
	assert_int_equal(reap_sent(), 1);
	left_for_good(2);
}

/* The second descriptor of a chain heads none. */
static void sent_id_within_a_chain(void **state)
{
	struct fake_req t[3];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	use_wrong(TX, t[0].head + 1, 0, 1);
	assert_int_equal(reap_sent(), 0);
	left_for_good(3);
}

static void sent_index_jumps(void **state)
{
	struct fake_req t[3];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	use_wrong(TX, t[0].head, 0, 4);
	assert_int_equal(reap_sent(), 0);
	left_for_good(3);
}

/* Used, in whatever order. */
static void sent_in_any_order(void **state)
{
	struct fake_req t[5];

	start(state);
	for (unsigned round = 0; round < 20; round++) {
		send_some(t, 5);
		for (unsigned i = 5; i--;)
			fake_use_len(&fake, TX, &t[i], 0);
		assert_int_equal(reap_sent(), 5);
	}
	assert_int_equal(counter_of(port, "sent"), 100);
	assert_int_equal(counter_of(port, "sent_bytes"), 100 * sizeof(frame));
	stop();
}

/* A received packet that can't be: the server is left, and every RECV waits. */
static void received_wrong(void **state, unsigned which, uint32_t len, uint16_t buffers)
{
	struct fake_req t[RECVS];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	take(RX, t, RECVS);
	put(&t[which], buffers);
	fake_use_len(&fake, RX, &t[which], len);
	assert_null(reap_recv());
	left_for_good(0);
}

static void received_not_the_next_buffer(void **state)
{
	received_wrong(state, 1, 100, 1);
}

static void received_longer_than_the_buffer(void **state)
{
	received_wrong(state, 0, EACH + 1, 1);
	received_wrong(state, 0, 0xffffffffu, 1);
}

static void received_shorter_than_a_header(void **state)
{
	received_wrong(state, 0, 11, 1);
	received_wrong(state, 0, 0, 1);
}

static void received_in_impossibly_many_buffers(void **state)
{
	received_wrong(state, 0, 100, 0);
	received_wrong(state, 0, 100, RECVS + 1);
	received_wrong(state, 0, 100, 0xffff);
}

static void received_before_anything_was_posted(void **state)
{
	start(state);
	use_wrong(RX, 0, 100, 1);
	assert_null(reap_recv());
	assert_true(link_down());
	stop();
}

/* What it announced does not come: nothing of it is shown, and the RECVs can be had back. */
static void received_in_part_only(void **state)
{
	struct fake_req t[RECVS];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	take(RX, t, RECVS);
	put(&t[0], 3);
	fake_use_len(&fake, RX, &t[0], EACH);
	fake_use_len(&fake, RX, &t[1], EACH);
	assert_null(reap_recv());
	assert_null(reap_recv());
	assert_int_equal(way_recall(&rx), RECVS);
	assert_false(link_down());
	stop();
}

static void received_merged(void **state)
{
	struct fake_req t[RECVS];

	start(state);
	for (unsigned round = 0; round < 20; round++) {
		post(TAKES | VIO_RECV_MERGE);
		take(RX, t, RECVS);
		put(&t[0], 2);
		fake_use_len(&fake, RX, &t[0], EACH);
		assert_null(reap_recv());
		fake_use_len(&fake, RX, &t[1], 100);
		put(&t[2], 4);
		for (unsigned i = 2; i < RECVS; i++)
			fake_use_len(&fake, RX, &t[i], 700);
		for (unsigned i = 0; i < RECVS; i++) {
			struct vio_req *r = reap_recv();

			assert_non_null(r);
			assert_int_equal(r->res, i == 0 ? 2 : i == 2 ? 4 : 0);
			assert_int_equal(r->len, i == 0 ? EACH - 12 : i == 1 ? 100 : i == 2 ? 688 : 700);
			vio_req_put(rx.pool, r);
		}
	}
	assert_int_equal(counter_of(port, "received"), 40);
	assert_int_equal(counter_of(port, "received_bytes"), 20 * (EACH - 12 + 100 + 2800 - 12));
	stop();
}

/* A frame whose header contradicts it is one packet less; the server stays. */
static void dropped(void **state, const struct virtio_net_hdr_v1 *h, uint32_t len, uint8_t takes,
		    const char *why)
{
	struct fake_req t[RECVS];
	struct vio_req *r;

	start(state);
	post(takes);
	take(RX, t, RECVS);
	*put(&t[0], 1) = *h;
	fake_use_len(&fake, RX, &t[0], len);
	put(&t[1], 1);
	fake_use_len(&fake, RX, &t[1], 12 + sizeof(frame));
	r = reap_recv();
	assert_non_null(r);
	assert_int_equal(r->res, -EBADMSG);
	assert_int_equal(r->len, 0);
	vio_req_put(rx.pool, r);
	r = reap_recv();
	assert_non_null(r);
	assert_int_equal(r->res, 1);
	vio_req_put(rx.pool, r);
	assert_int_equal(counter_of(port, why), 1);
	assert_int_equal(counter_of(port, "received"), 1);
	assert_false(link_down());
	stop();
}

static struct virtio_net_hdr_v1 header(uint8_t flags, uint16_t start_at, uint16_t offset, uint8_t gso,
				       uint16_t size)
{
	return (struct virtio_net_hdr_v1){ .flags = flags,
					   .csum_start = htole16(start_at),
					   .csum_offset = htole16(offset),
					   .gso_type = gso,
					   .gso_size = htole16(size),
					   .num_buffers = htole16(1) };
}

static void headers_that_contradict_the_frame(void **state)
{
	const uint8_t csum = VIRTIO_NET_HDR_F_NEEDS_CSUM, tso = VIRTIO_NET_HDR_GSO_TCPV4;
	const uint32_t len = 12 + sizeof(frame);
	const struct virtio_net_hdr_v1 bad[] = {
		header(csum, 13, 0, 0, 0),	     header(csum, 14, 49, 0, 0),
		header(csum, 0xffff, 0xffff, 0, 0),  header(0, 0, 0, tso, 1000),
		header(csum, 20, 4, tso, 0),	     header(csum, 20, 4, 0x7f, 1000),
		header(csum, 20, 4, tso | 0x40, 10), header(csum, 62, 0, 1, 0),
	};

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(bad); i++)
		dropped(state, &bad[i], len, TAKES | VIO_RECV_MERGE, "dropped_malformed");
}

static void frames_too_short(void **state)
{
	const struct virtio_net_hdr_v1 h = header(0, 0, 0, 0, 0);

	dropped(state, &h, 12, TAKES, "dropped_malformed");
	dropped(state, &h, 12 + 13, TAKES, "dropped_malformed");
}

static void offloads_that_were_not_asked_for(void **state)
{
	const struct virtio_net_hdr_v1 h =
		header(VIRTIO_NET_HDR_F_NEEDS_CSUM, 20, 4, VIRTIO_NET_HDR_GSO_TCPV4, 1000);

	dropped(state, &h, 12 + sizeof(frame), VIO_PACKET_CSUM, "dropped_offload");
	dropped(state, &h, 12 + sizeof(frame), 0, "dropped_offload");
}

/* Merged into RECVs that do not merge: it takes both with it. */
static void merged_unasked(void **state)
{
	struct fake_req t[RECVS];

	start(state);
	post(TAKES);
	take(RX, t, RECVS);
	put(&t[0], 2);
	fake_use_len(&fake, RX, &t[0], EACH);
	fake_use_len(&fake, RX, &t[1], 10);
	for (unsigned i = 0; i < 2; i++) {
		struct vio_req *r = reap_recv();

		assert_non_null(r);
		assert_int_equal(r->res, -EBADMSG);
		vio_req_put(rx.pool, r);
	}
	assert_null(reap_recv());
	assert_int_equal(counter_of(port, "dropped_too_long"), 1);
	assert_int_equal(way_recall(&rx), RECVS - 2);
	stop();
}

/* A RECV that takes no packets without their sums gets them with. */
static void sums_are_made_for_who_needs_them(void **state)
{
	const struct virtio_net_hdr_v1 h = header(VIRTIO_NET_HDR_F_NEEDS_CSUM, 20, 4, 0, 0);
	struct fake_req t[RECVS];
	struct vio_req *r;
	char *at;

	start(state);
	post(0);
	take(RX, t, RECVS);
	*put(&t[0], 1) = h;
	at = (char *)t[0].data[0].iov_base + 12;
	memset(at + 20, 0, sizeof(frame) - 20);
	memcpy(at + 30, "\x12\x34", 2);
	fake_use_len(&fake, RX, &t[0], 12 + sizeof(frame));
	r = reap_recv();
	assert_non_null(r);
	assert_int_equal(r->res, 1);
	assert_int_equal(r->flags, 0);
	assert_memory_equal((char *)r->iov[0].iov_base + 12 + 24, "\xed\xcb", 2);
	assert_int_equal(counter_of(port, "summed"), 1);
	vio_req_put(rx.pool, r);
	stop();
}

/* Over rings and headers that only we write: whoever reads them is the worse for it. */
static void scribbles(void **state)
{
	struct fake_req t[RECVS];

	start(state);
	for (unsigned round = 0; round < 40; round++) {
		send_some(t, 3);
		for (unsigned i = 0; i < 3; i++)
			fake_use_len(&fake, TX, &t[i], 0xffffffffu);
		assert_int_equal(reap_sent(), 3);
		memset(t[round % 3].data[0].iov_base, 0xee, 12);
		if (!packed)
			((struct vring_avail *)fake_at(&fake, fake.addr[TX].avail, 6))->ring[round % 16] =
				0xffff;
	}
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EITHER(sent_id_out_of_range),
		EITHER(sent_id_never_submitted),
		EITHER(sent_id_twice),
		cmocka_unit_test(sent_id_within_a_chain),
		cmocka_unit_test(sent_index_jumps),
		EITHER(sent_in_any_order),
		EITHER(received_not_the_next_buffer),
		EITHER(received_longer_than_the_buffer),
		EITHER(received_shorter_than_a_header),
		EITHER(received_in_impossibly_many_buffers),
		EITHER(received_before_anything_was_posted),
		EITHER(received_in_part_only),
		EITHER(received_merged),
		EITHER(headers_that_contradict_the_frame),
		EITHER(frames_too_short),
		EITHER(offloads_that_were_not_asked_for),
		EITHER(merged_unasked),
		EITHER(sums_are_made_for_who_needs_them),
		EITHER(scribbles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
