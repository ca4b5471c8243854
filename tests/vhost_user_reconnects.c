/* SPDX-License-Identifier: MIT */
/* A server that dies under load and comes back: no request is lost, none completes twice. */
#include "fake_server.h"
#include "qemu_server.h"
#include "stamped.h"

#define BLOCKS 2048u

static struct fake fake;
static struct client client;

static const char *format = "off";

static void start(void)
{
	char stack[128];

	fake.features |= VIO_BIT(VIRTIO_F_RING_PACKED);
	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user:%s,queue-size=16,reconnect=on,packed=%s", fake.path,
		 format);
	client_open(&client, stack);
}

static void stop(void)
{
	client_close(&client);
	fake_stop(&fake);
}

static void wait_for_reconnects(struct client *c, uint64_t n)
{
	for (int i = 0; i < 500 && client_stat(c, "reconnects") < n; i++)
		vio_poller_wait(c->poller, 10);
	assert_int_equal(client_stat(c, "reconnects"), n);
}

/* Four requests of which the server takes three, completes the second, and hangs up. */
static void lose_the_server(struct fake_req *taken)
{
	for (unsigned i = 0; i < 4; i++)
		client_submit(&client,
			      client_req(&client, VIO_OP_READ, i * 512, client.shared + i * 512, 512));
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_take(&fake, 0, &taken[i]));
	fake_use(&fake, 0, &taken[1], VIRTIO_BLK_S_OK);
	shutdown(fake.conn, SHUT_RDWR);
	wait_for_reconnects(&client, 1);
	assert_int_equal(fake.connections, 2);
}

static void what_was_not_completed_is_sent_again(void **state)
{
	struct fake_req t[4], again[4];
	bool seen[4] = { false };

	(void)state;
	fake_init(&fake);
	start();
	lose_the_server(t);
	assert_int_equal(fake.base[0], fake.packed ? 0x80008000u : 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(fake_take(&fake, 0, &again[i]));
		seen[le64toh(again[i].header->sector)] = true;
		assert_int_equal(again[i].data[0].iov_len, 512);
		fake_use(&fake, 0, &again[i], VIRTIO_BLK_S_OK);
	}
	assert_false(fake_take(&fake, 0, &again[3]));
	assert_true(seen[0] && !seen[1] && seen[2] && seen[3]);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(client_finish(&client), 0);
	assert_int_equal(client_stat(&client, "replayed"), 3);
	assert_int_equal(client_stat(&client, "completed"), 4);
	stop();
}

static void packed_too(void **state)
{
	format = "on";
	what_was_not_completed_is_sent_again(state);
}

/* With an inflight region the ring stays as it is: the server knows which it had taken. */
static void a_server_with_a_record_continues(void **state)
{
	struct fake_req t[4];

	(void)state;
	format = "off";
	fake_init(&fake);
	fake.protocol |= VIO_BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD);
	start();
	assert_int_equal(fake.inflight_set, 1);
	lose_the_server(t);
	assert_int_equal(fake.inflight_set, 2);
	assert_int_equal(fake.base[0], 1); /* one entry was used */
	fake.taken[0] = 3;		   /* what the record would have told it */
	assert_true(fake_take(&fake, 0, &t[3]));
	fake_use_id(&fake, 0, t[3].head, 1);
	fake_use_id(&fake, 0, t[0].head, 1);
	fake_use_id(&fake, 0, t[2].head, 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(client_finish(&client), 0);
	assert_int_equal(client_stat(&client, "replayed"), 0);
	assert_int_equal(client_stat(&client, "completed"), 4);
	stop();
}

/* Submitted while nobody is there: it waits. */
static void requests_wait_for_the_server(void **state)
{
	struct fake_req t[4];
	char path[80];

	(void)state;
	fake_init(&fake);
	start();
	snprintf(path, sizeof(path), "%s.away", fake.path);
	assert_int_equal(rename(fake.path, path), 0);
	shutdown(fake.conn, SHUT_RDWR);
	for (unsigned i = 0; i < 10; i++)
		vio_poller_wait(client.poller, 10);
	client_submit(&client, client_req(&client, VIO_OP_READ, 0, client.shared, 512));
	assert_int_equal(vio_lane_room(client.lane), 0);
	assert_int_equal(rename(path, fake.path), 0);
	wait_for_reconnects(&client, 1);
	assert_true(fake_take(&fake, 0, &t[0]));
	fake_use(&fake, 0, &t[0], VIRTIO_BLK_S_OK);
	assert_int_equal(client_finish(&client), 0);
	stop();
}

static void kill_qemu(void *ctx)
{
	qemu_kill(ctx);
	qemu_fork(ctx);
}

static void qemu_is_killed_under_load(void **state)
{
	struct qemu q;
	struct client c;
	char stack[128];
	unsigned kills = 0;

	(void)state;
	qemu_start(&q, (off_t)BLOCKS * STAMP_BLOCK);
	snprintf(stack, sizeof(stack), "vhost_user:%s,reconnect=on", q.sock);
	client_open(&c, stack);
	for (uint64_t round = 1; round <= 2; round++) {
		kills += stamp_write(&c, BLOCKS, round, 500, kill_qemu, &q);
		stamp_verify(q.image, BLOCKS, round);
	}
	assert_true(kills >= 4);
	assert_int_equal(client_stat(&c, "submitted"), client_stat(&c, "completed"));
	wait_for_reconnects(&c, kills);
	client_close(&c);
	qemu_stop(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_completed_is_sent_again),
		cmocka_unit_test(packed_too),
		cmocka_unit_test(a_server_with_a_record_continues),
		cmocka_unit_test(requests_wait_for_the_server),
		cmocka_unit_test(qemu_is_killed_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
