/* SPDX-License-Identifier: MIT */
/*
 * A network card's server that goes, stalls, or does not answer (threats 31, 32, 37, 38, from the other
 * side): packets are lost and RECVs wait, nobody waits for it for long, and when it is back all goes on.
 */
#include "vnet_port.h"

#include "open_fds.h"

static void hangs_up_with_packets_under_way(void **state)
{
	struct fake_req t[3];

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	shutdown(VIO_LOAD(&fake.conn), SHUT_RDWR);
	left(3);
	back();
}

static void says_that_it_stopped(void **state)
{
	struct fake_req t[3];
	uint64_t one = 1;

	start(state);
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	assert_int_equal(write(fake.err[RX], &one, 8), 8);
	while (!link_down())
		assert_true(vio_poller_wait(poller, 20000) >= 0);
	left_for_good(3);
}

/* Packets that the server takes and never uses come back, and its ring starts anew. */
static void stalls(void **state)
{
	struct fake_req t[3];

	packed = *state != NULL;
	fake_init_net(&fake);
	open_port(",timeout=300");
	post(TAKES | VIO_RECV_MERGE);
	send_some(t, 3);
	started(3);
	assert_int_equal(reap_sent(), 3);
	assert_int_equal(counter_of(port, "dropped_down"), 3);
	assert_false(link_down());
	send_some(t, 2);
	fake_use_len(&fake, TX, &t[0], 0);
	fake_use_len(&fake, TX, &t[1], 0);
	assert_int_equal(reap_sent(), 2);
	assert_int_equal(fake.connections, 1);
	stop();
}

/* Comes back and says nothing more: meanwhile the poller's thread goes on, and packets are lost at once. */
static void comes_back_silent(void **state)
{
	packed = *state != NULL;
	fake_init_net(&fake);
	open_port(",timeout=20000");
	post(TAKES | VIO_RECV_MERGE);
	VIO_STORE(&fake.at, VU_SET_FEATURES);
	VIO_STORE(&fake.fault, FAKE_SILENT);
	shutdown(VIO_LOAD(&fake.conn), SHUT_RDWR);
	while (VIO_LOAD(&fake.connections) < 2)
		assert_true(vio_poller_wait(poller, 20000) >= 0);
	for (unsigned i = 0; i < 100; i++)
		way_send(&tx, poller, frame, sizeof(frame), 0, NULL);
	assert_int_equal(counter_of(port, "dropped_down"), 100);
	assert_true(link_down());
	VIO_STORE(&fake.fault, FAKE_GOOD);
	shutdown(VIO_LOAD(&fake.conn), SHUT_RDWR);
	back();
}

/* RECVs come back although the server does not say that it has let go of them. */
static void does_not_let_go(void **state)
{
	packed = *state != NULL;
	fake_init_net(&fake);
	open_port(",timeout=300");
	post(TAKES | VIO_RECV_MERGE);
	VIO_STORE(&fake.at, VU_GET_VRING_BASE);
	VIO_STORE(&fake.fault, FAKE_SILENT);
	assert_int_equal(way_recall(&rx), RECVS);
	assert_true(link_down());
	stop();
}

/* Opening against a server that goes wrong at `at`: err, nothing left behind, and no waiting for ever. */
static void refused_at(enum fake_fault fault, uint32_t at, int err)
{
	struct vio_backend *b;
	char stack[128];
	unsigned before;

	fake_init_net(&fake);
	VIO_STORE(&fake.fault, fault);
	VIO_STORE(&fake.at, at);
	fake_start(&fake);
	before = open_fds();
	snprintf(stack, sizeof(stack), "vhost_user_net:%s,mtu=1400,timeout=%d", fake.path,
		 fault == FAKE_SILENT ? 50 : 20000);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), -err);
	assert_null(b);
	assert_true(strstr(vio_errmsg(), fake.path));
	fake_stop(&fake);
	assert_true(open_fds() < before);
}

static void goes_wrong_at_each_message(void **state)
{
	static const uint32_t at[] = {
		VU_GET_FEATURES, VU_GET_PROTOCOL_FEATURES, VU_GET_QUEUE_NUM,	 VU_GET_CONFIG, VU_SET_OWNER,
		VU_SET_FEATURES, VU_NET_SET_MTU,	   VU_GET_MAX_MEM_SLOTS, VU_ADD_MEM_REG
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(at); i++) {
		refused_at(FAKE_SILENT, at[i], ETIMEDOUT);
		refused_at(FAKE_HANGUP, at[i], ECONNRESET);
		refused_at(FAKE_OTHER, at[i], EBADMSG);
	}
	refused_at(FAKE_REFUSE, VU_SET_FEATURES, EPROTO);
	refused_at(FAKE_REFUSE, VU_NET_SET_MTU, EPROTO);
	refused_at(FAKE_REFUSE, VU_ADD_MEM_REG, EPROTO);
}

/* Each ring that can't be started is tried again, without end and without harm. */
static void goes_wrong_while_rings_start(void **state)
{
	static const uint32_t at[] = { VU_SET_VRING_NUM,  VU_SET_VRING_BASE, VU_SET_VRING_ADDR,
				       VU_SET_VRING_CALL, VU_SET_VRING_KICK, VU_SET_VRING_ENABLE };
	char stack[128];

	(void)state;
	fake_init_net(&fake);
	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user_net:%s", fake.path);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(at); i++) {
		assert_int_equal(vio_backend_parse(&port, NULL, stack), 0);
		assert_int_equal(vio_poller_new(&poller, NULL), 0);
		VIO_STORE(&fake.at, at[i]);
		VIO_STORE(&fake.fault, i & 1 ? FAKE_REFUSE : FAKE_HANGUP);
		rx = way_open(port, poller, 0, true, EACH);
		while (!link_down())
			assert_true(vio_poller_wait(poller, 20000) >= 0);
		VIO_STORE(&fake.fault, FAKE_GOOD);
		way_close(&rx);
		vio_backend_free(port);
		vio_poller_free(poller);
	}
	fake_stop(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EITHER(hangs_up_with_packets_under_way),
		EITHER(says_that_it_stopped),
		EITHER(stalls),
		EITHER(comes_back_silent),
		EITHER(does_not_let_go),
		cmocka_unit_test(goes_wrong_at_each_message),
		cmocka_unit_test(goes_wrong_while_rings_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
