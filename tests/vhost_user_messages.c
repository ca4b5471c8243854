/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* Every vhost-user message is checked in size, descriptors, order and range; right ones are answered right.
 */
#include "tiny_guest.h"

#include "transport/vhost_user_conn.h"

#define BLK_QUEUES "queues=2,queue-size=256"

static void serve(struct front *f)
{
	VIO_OPTS(vio_vhost_user_opts, o);

	front_serve(f, BLK_QUEUES, &o);
}

/* A server that has been greeted and has memory. */
static void serve_ready(struct front *f)
{
	serve(f);
	front_greet(f, FRONT_PF | FRONT_V1);
	assert_int_equal(front_give_memory(f), 0);
}

static void features_are_offered_and_accepted(void **state)
{
	struct front f;
	uint64_t offered;

	(void)state;
	serve(&f);
	offered = front_ask_u64(&f, VU_GET_FEATURES);
	assert_true(offered & FRONT_PF);
	assert_true(offered & FRONT_LOG);
	assert_true(offered & FRONT_V1);
	assert_int_equal(offered & ~(FRONT_PF | FRONT_LOG), vio_dev_features(f.d));
	front_greet(&f, FRONT_PF | FRONT_V1);
	assert_int_equal(vio_dev_acked(f.d), FRONT_V1);
	assert_int_equal(front_ask_u64(&f, VU_GET_QUEUE_NUM), 2);
	assert_int_equal(front_ask_u64(&f, VU_GET_MAX_MEM_SLOTS), 509);
	front_free(&f);
}

static void a_feature_that_was_not_offered_is_refused(void **state)
{
	struct front f;

	(void)state;
	serve(&f);
	front_greet(&f, FRONT_PF | FRONT_V1);
	assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_V1 | 1ull << 60), 1);
	assert_int_equal(front_ack_u64(&f, VU_SET_PROTOCOL_FEATURES, 1ull << 63), 1);
	assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_PF | FRONT_V1), 0);
	front_free(&f);
}

static void need_reply_counts_only_once_accepted(void **state)
{
	struct vu_msg m;
	struct front f;
	uint64_t v = FRONT_V1;

	(void)state;
	serve(&f);
	front_send(&f, VU_SET_FEATURES, VU_FLAG_NEED_REPLY, &v, 8, NULL, 0);
	m = front_ask(&f, VU_GET_PROTOCOL_FEATURES, NULL, 0); /* the first answer is this one's */
	assert_int_equal(m.p.u64, FRONT_PROTOCOL);
	front_free(&f);
}

static void every_message_that_needs_a_protocol_feature_is_refused_without(void **state)
{
	static const struct {
		uint32_t request, size;
	} gated[] = {
		{ VU_GET_QUEUE_NUM, 0 },    { VU_SET_LOG_BASE, 16 },	  { VU_GET_CONFIG, 12 },
		{ VU_SET_CONFIG, 13 },	    { VU_SET_BACKEND_REQ_FD, 0 }, { VU_GET_INFLIGHT_FD, 24 },
		{ VU_SET_INFLIGHT_FD, 24 }, { VU_RESET_DEVICE, 0 },	  { VU_GET_MAX_MEM_SLOTS, 0 },
		{ VU_ADD_MEM_REG, 40 },	    { VU_REM_MEM_REG, 40 },	  { VU_SET_STATUS, 8 },
		{ VU_GET_STATUS, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(gated); i++) {
		uint8_t zero[64] = { 0 };
		struct front f;

		serve(&f);
		front_send(&f, gated[i].request, 0, zero, gated[i].size, NULL, 0);
		front_expect_closed(&f);
		assert_non_null(strstr(f.log, "without having accepted protocol feature"));
		front_free(&f);
	}
}

static void a_payload_of_the_wrong_size_is_refused(void **state)
{
	static const struct {
		uint32_t request, size;
	} wrong[] = {
		{ VU_GET_FEATURES, 8 },	   { VU_SET_FEATURES, 4 },     { VU_SET_FEATURES, 16 },
		{ VU_SET_OWNER, 1 },	   { VU_SET_MEM_TABLE, 7 },    { VU_SET_MEM_TABLE, 265 },
		{ VU_SET_VRING_NUM, 7 },   { VU_SET_VRING_ADDR, 39 },  { VU_SET_VRING_ADDR, 41 },
		{ VU_SET_VRING_BASE, 12 }, { VU_GET_VRING_BASE, 0 },   { VU_SET_VRING_KICK, 4 },
		{ VU_SET_VRING_CALL, 12 }, { VU_SET_VRING_ENABLE, 4 }, { VU_GET_CONFIG, 11 },
		{ VU_SET_CONFIG, 269 },	   { VU_GET_INFLIGHT_FD, 19 }, { VU_SET_INFLIGHT_FD, 25 },
		{ VU_ADD_MEM_REG, 32 },	   { VU_REM_MEM_REG, 48 },     { VU_SET_STATUS, 1 },
		{ VU_SET_LOG_BASE, 8 },
	};
	struct front f;

	(void)state;
	serve_ready(&f);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++) {
		uint8_t zero[512] = { 0 };

		f.log[0] = 0;
		assert_int_equal(front_ack(&f, wrong[i].request, zero, wrong[i].size, NULL, 0), 1);
		assert_non_null(strstr(f.log, "bytes, expected"));
	}
	front_free(&f);
}

/* Row 31: as many descriptors as a message may not have, each request in turn; none stays open. */
static void unwanted_descriptors_are_refused_and_closed(void **state)
{
	static const struct {
		uint32_t request, size;
		unsigned nfds;
	} wrong[] = {
		{ VU_GET_FEATURES, 0, 1 },	 { VU_SET_FEATURES, 8, 2 },	{ VU_SET_OWNER, 0, 8 },
		{ VU_SET_MEM_TABLE, 40, 0 },	 { VU_SET_MEM_TABLE, 40, 8 },	{ VU_SET_LOG_BASE, 16, 0 },
		{ VU_SET_LOG_BASE, 16, 2 },	 { VU_SET_VRING_NUM, 8, 1 },	{ VU_SET_VRING_ADDR, 40, 1 },
		{ VU_GET_VRING_BASE, 8, 1 },	 { VU_SET_VRING_KICK, 8, 0 },	{ VU_SET_VRING_KICK, 8, 2 },
		{ VU_SET_VRING_CALL, 8, 8 },	 { VU_SET_VRING_ERR, 8, 0 },	{ VU_SET_VRING_ENABLE, 8, 1 },
		{ VU_SET_BACKEND_REQ_FD, 0, 0 }, { VU_GET_CONFIG, 12, 1 },	{ VU_SET_CONFIG, 12, 1 },
		{ VU_GET_INFLIGHT_FD, 24, 1 },	 { VU_SET_INFLIGHT_FD, 24, 0 }, { VU_SET_INFLIGHT_FD, 24, 3 },
		{ VU_RESET_DEVICE, 0, 1 },	 { VU_ADD_MEM_REG, 40, 0 },	{ VU_ADD_MEM_REG, 40, 2 },
		{ VU_REM_MEM_REG, 40, 2 },	 { VU_SET_STATUS, 8, 1 },
	};
	int fds[8];
	struct front f;
	unsigned before;

	(void)state;
	serve_ready(&f);
	before = open_fds();
	for (unsigned i = 0; i < 8; i++)
		fds[i] = f.memfd;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++) {
		uint64_t payload[8] = { 0 };

		if (wrong[i].request == VU_SET_MEM_TABLE)
			payload[0] = 1;
		f.log[0] = 0;
		assert_int_equal(front_ack(&f, wrong[i].request, payload, wrong[i].size, fds, wrong[i].nfds),
				 1);
		assert_non_null(strstr(f.log, "file descriptors, expected"));
		assert_int_equal(open_fds(), before);
	}
	front_free(&f);
}

static void a_descriptor_beside_the_no_fd_bit_is_refused(void **state)
{
	uint64_t v = VU_NO_FD;
	struct front f;

	(void)state;
	serve_ready(&f);
	assert_int_equal(front_ack(&f, VU_SET_VRING_CALL, &v, 8, &f.memfd, 1), 1);
	assert_int_equal(front_ack(&f, VU_SET_VRING_CALL, &v, 8, NULL, 0), 0);
	front_free(&f);
}

static void a_bad_message_without_need_reply_ends_the_connection(void **state)
{
	struct front f;

	(void)state;
	serve_ready(&f);
	front_send(&f, VU_SET_FEATURES, 0, NULL, 0, NULL, 0);
	front_expect_closed(&f);
	assert_int_equal(f.downs, 1);
	front_free(&f);
}

static void an_unknown_message_is_refused(void **state)
{
	struct front f;

	(void)state;
	serve_ready(&f);
	assert_int_equal(front_ack(&f, 0, NULL, 0, NULL, 0), 1);
	assert_int_equal(front_ack(&f, 23, NULL, 0, NULL, 0), 1);
	assert_int_equal(front_ack(&f, VU_REQUEST_MAX, NULL, 0, NULL, 0), 1);
	assert_int_equal(front_ack(&f, UINT32_MAX, NULL, 0, &f.memfd, 1), 1);
	front_free(&f);
}

/* Nor device state, IOTLB and crypto sessions: their descriptors are closed, and the others go on. */
static void postcopy_is_not_offered_and_refused(void **state)
{
	static const uint32_t requests[] = { 28, 29, 30, 22, 26, 27, 33, 35, 41, 42, 43 };
	struct front f;
	unsigned fds;

	(void)state;
	serve_ready(&f);
	assert_false(front_ask_u64(&f, VU_GET_PROTOCOL_FEATURES) & 1ull << 8);
	assert_int_equal(front_ack_u64(&f, VU_SET_PROTOCOL_FEATURES, FRONT_PROTOCOL | 1ull << 8), 1);
	fds = open_fds();
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(requests); i++) {
		assert_int_equal(front_ack(&f, requests[i], NULL, 0, &f.memfd, 1), 1);
		assert_non_null(strstr(f.log, "is not known here"));
	}
	assert_int_equal(open_fds(), fds);
	assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_PF | FRONT_V1), 0);
	front_free(&f);
}

static void a_reply_that_nobody_asked_for_is_refused(void **state)
{
	struct front f;

	(void)state;
	serve_ready(&f);
	front_send(&f, VU_GET_FEATURES, VU_FLAG_REPLY, NULL, 0, NULL, 0);
	front_expect_closed(&f);
	front_free(&f);
}

static void a_queue_out_of_range_is_refused(void **state)
{
	static const uint32_t with_state[] = { VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_SET_VRING_ENABLE };
	struct vu_vring_addr addr = { .index = 2 };
	uint64_t kick = 255;
	struct front f;

	(void)state;
	serve_ready(&f);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(with_state); i++) {
		assert_int_equal(front_ack_state(&f, with_state[i], 2, 1), 1);
		assert_int_equal(front_ack_state(&f, with_state[i], UINT32_MAX, 1), 1);
	}
	assert_int_equal(front_ack(&f, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 1);
	assert_int_equal(front_ack(&f, VU_SET_VRING_KICK, &kick, 8, &f.memfd, 1), 1);
	assert_int_equal(front_ack_state(&f, VU_GET_VRING_BASE, 2, 0), 1);
	front_free(&f);
}

static void a_queue_size_that_cannot_be_is_refused(void **state)
{
	struct front f;

	(void)state;
	serve_ready(&f);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, 0), 1);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, 257), 1);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, UINT32_MAX), 1);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_NUM, 0, 256), 0);
	front_free(&f);
}

static struct vu_msg get_config(struct front *f, uint32_t offset, uint32_t size)
{
	struct vu_config c = { .offset = offset, .size = size };

	return front_ask(f, VU_GET_CONFIG, &c, 12 + VIO_MIN(size, (uint32_t)VU_MAX_CONFIG));
}

static void config_space_is_read_within_its_bounds(void **state)
{
	struct vu_msg m;
	struct front f;
	uint64_t sectors;

	(void)state;
	serve_ready(&f);
	m = get_config(&f, 0, 60);
	assert_int_equal(m.h.size, 12 + 60);
	assert_int_equal(m.p.config.size, 60);
	memcpy(&sectors, m.p.config.data, 8);
	assert_int_equal(sectors, (4u << 20) / 512);
	m = get_config(&f, 0, VU_MAX_CONFIG); /* beyond the device's: zeroes */
	assert_int_equal(m.h.size, 12 + VU_MAX_CONFIG);
	assert_int_equal(m.p.config.data[VU_MAX_CONFIG - 1], 0);
	front_free(&f);
}

static void config_space_beyond_its_end_is_answered_empty(void **state)
{
	struct front f;

	(void)state;
	serve_ready(&f);
	assert_int_equal(get_config(&f, 0, VU_MAX_CONFIG + 1).h.size, 0);
	assert_int_equal(get_config(&f, 1, VU_MAX_CONFIG).h.size, 0);
	assert_int_equal(get_config(&f, UINT32_MAX, 2).h.size, 0);
	assert_int_equal(get_config(&f, 2, UINT32_MAX).h.size, 0);
	front_free(&f);
}

static void config_writes_are_checked(void **state)
{
	struct vu_config c = { .offset = 250, .size = 60 };
	struct front f;

	(void)state;
	serve_ready(&f);
	assert_int_equal(front_ack(&f, VU_SET_CONFIG, &c, 72, NULL, 0), 1);
	c.offset = UINT32_MAX;
	assert_int_equal(front_ack(&f, VU_SET_CONFIG, &c, 72, NULL, 0), 1);
	c.offset = 0; /* the capacity, which is the device's */
	c.size = 8;
	assert_int_equal(front_ack(&f, VU_SET_CONFIG, &c, 20, NULL, 0), 1);
	c.size = 200; /* more than the message brings */
	assert_int_equal(front_ack(&f, VU_SET_CONFIG, &c, 20, NULL, 0), 1);
	front_free(&f);
}

static void status_is_kept_and_zero_resets(void **state)
{
	struct front f;

	(void)state;
	serve_ready(&f);
	assert_int_equal(front_ask_u64(&f, VU_GET_STATUS), 0);
	assert_int_equal(front_ack_u64(&f, VU_SET_STATUS, 0xf), 0);
	assert_int_equal(front_ask_u64(&f, VU_GET_STATUS), 0xf);
	assert_int_equal(front_ack_u64(&f, VU_SET_STATUS, 0x100), 1);
	assert_int_equal(front_ack_u64(&f, VU_SET_STATUS, 0), 0);
	assert_int_equal(front_ask_u64(&f, VU_GET_STATUS), 0);
	assert_int_equal(vio_dev_acked(f.d), 0);
	front_free(&f);
}

static void reset_device_forgets_features_and_rings(void **state)
{
	struct front f;

	(void)state;
	serve_ready(&f);
	assert_int_equal(front_ack_state(&f, VU_SET_VRING_BASE, 1, 77), 0);
	assert_int_equal(front_ack(&f, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	assert_int_equal(vio_dev_acked(f.d), 0);
	assert_int_equal(front_ack_u64(&f, VU_SET_FEATURES, FRONT_PF | FRONT_V1), 0);
	assert_int_equal(front_ack(&f, VU_RESET_OWNER, NULL, 0, NULL, 0), 0);
	front_free(&f);
}

static void the_base_of_a_ring_never_started_is_what_was_set(void **state)
{
	struct vu_vring_state s = { 1, 0 };
	struct vu_msg m;
	struct front f;

	(void)state;
	serve(&f);
	m = front_ask(&f, VU_GET_VRING_BASE, &s, sizeof(s));
	assert_int_equal(m.h.size, 8);
	assert_int_equal(m.p.state.index, 1);
	assert_int_equal(m.p.state.num, 0);
	s.num = 4711;
	front_send(&f, VU_SET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);
	m = front_ask(&f, VU_GET_VRING_BASE, &s, sizeof(s));
	assert_int_equal(m.p.state.num, 4711);
	front_free(&f);
}

static void the_backend_channel_tells_of_a_config_change_and_waits_for_nothing(void **state)
{
	struct vu_inbox in = { 0 };
	struct front f;
	int s[2];

	(void)state;
	serve_ready(&f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	assert_int_equal(front_ack(&f, VU_SET_BACKEND_REQ_FD, NULL, 0, &s[1], 1), 0);
	assert_int_equal(front_ack(&f, VU_SET_BACKEND_REQ_FD, NULL, 0, &s[1], 1), 0); /* again: no leak */
	close(s[1]);
	vus_config_changed(f.t);
	assert_int_equal(vu_recv_wait(&in, s[0], 5000), 1);
	assert_int_equal(in.msg.h.request, VU_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(in.msg.h.flags, VU_VERSION);
	assert_int_equal(in.msg.h.size, 0);
	for (unsigned i = 0; i < 100000; i++) /* nobody reads: it must not block */
		vus_config_changed(f.t);
	close(s[0]);
	vus_config_changed(f.t); /* nobody is there: no signal either */
	assert_int_equal(front_ask_u64(&f, VU_GET_QUEUE_NUM), 2);
	front_free(&f);
}

/* Row 38: requests without end from a peer that reads no replies. */
static void a_peer_that_does_not_read_is_dropped(void **state)
{
	VIO_OPTS(vio_vhost_user_opts, o, .timeout_ms = 50);
	struct vu_header h = { VU_GET_FEATURES, VU_VERSION, 0 };
	struct front f;

	(void)state;
	front_serve(&f, BLK_QUEUES, &o);
	while (!f.downs) {
		while (send(f.s, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(h))
			;
		front_pump(&f);
	}
	assert_non_null(strstr(f.log, "middle of a message"));
	front_free(&f);
}

static void a_message_that_never_ends_is_dropped(void **state)
{
	VIO_OPTS(vio_vhost_user_opts, o, .timeout_ms = 50);
	struct vu_header h = { VU_SET_FEATURES, VU_VERSION, 8 };
	struct front f;

	(void)state;
	front_serve(&f, BLK_QUEUES, &o);
	assert_int_equal(send(f.s, &h, sizeof(h) - 1, 0), sizeof(h) - 1);
	while (!f.downs)
		front_pump(&f);
	assert_non_null(strstr(f.log, "middle of a message"));
	front_free(&f);
}

static void an_idle_peer_is_left_alone(void **state)
{
	VIO_OPTS(vio_vhost_user_opts, o, .timeout_ms = 1);
	struct front f;

	(void)state;
	front_serve(&f, BLK_QUEUES, &o);
	front_greet(&f, FRONT_PF | FRONT_V1);
	for (unsigned i = 0; i < 20; i++)
		front_pump(&f);
	assert_int_equal(f.downs, 0);
	assert_int_equal(front_ask_u64(&f, VU_GET_QUEUE_NUM), 2);
	front_free(&f);
}

static void many_messages_in_one_write_are_all_answered(void **state)
{
	struct vu_header h[200];
	struct vu_msg m;
	struct front f;

	(void)state;
	serve(&f);
	for (unsigned i = 0; i < 200; i++)
		h[i] = (struct vu_header){ i % 2 ? VU_GET_PROTOCOL_FEATURES : VU_GET_FEATURES, VU_VERSION,
					   0 };
	assert_int_equal(send(f.s, h, sizeof(h), 0), sizeof(h));
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(front_recv(&f, &m), 1);
		assert_int_equal(m.h.request, h[i].request);
	}
	front_free(&f);
}

static void stop_without_a_front_end_completes(void **state)
{
	struct front f;

	(void)state;
	serve(&f);
	front_hang_up(&f);
	while (!f.downs)
		front_pump(&f);
	front_stop(&f);
	front_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_are_offered_and_accepted),
		cmocka_unit_test(a_feature_that_was_not_offered_is_refused),
		cmocka_unit_test(need_reply_counts_only_once_accepted),
		cmocka_unit_test(every_message_that_needs_a_protocol_feature_is_refused_without),
		cmocka_unit_test(a_payload_of_the_wrong_size_is_refused),
		cmocka_unit_test(unwanted_descriptors_are_refused_and_closed),
		cmocka_unit_test(a_descriptor_beside_the_no_fd_bit_is_refused),
		cmocka_unit_test(a_bad_message_without_need_reply_ends_the_connection),
		cmocka_unit_test(an_unknown_message_is_refused),
		cmocka_unit_test(postcopy_is_not_offered_and_refused),
		cmocka_unit_test(a_reply_that_nobody_asked_for_is_refused),
		cmocka_unit_test(a_queue_out_of_range_is_refused),
		cmocka_unit_test(a_queue_size_that_cannot_be_is_refused),
		cmocka_unit_test(config_space_is_read_within_its_bounds),
		cmocka_unit_test(config_space_beyond_its_end_is_answered_empty),
		cmocka_unit_test(config_writes_are_checked),
		cmocka_unit_test(status_is_kept_and_zero_resets),
		cmocka_unit_test(reset_device_forgets_features_and_rings),
		cmocka_unit_test(the_base_of_a_ring_never_started_is_what_was_set),
		cmocka_unit_test(the_backend_channel_tells_of_a_config_change_and_waits_for_nothing),
		cmocka_unit_test(a_peer_that_does_not_read_is_dropped),
		cmocka_unit_test(a_message_that_never_ends_is_dropped),
		cmocka_unit_test(an_idle_peer_is_left_alone),
		cmocka_unit_test(many_messages_in_one_write_are_all_answered),
		cmocka_unit_test(stop_without_a_front_end_completes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
