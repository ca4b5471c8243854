/* SPDX-License-Identifier: MIT */
/* The driving end believes nothing that a server says: threats 2, 11, 15, 31, 32, 37, 38, from the other
 * side. */
#include "disk_client.h"
#include "fake_server.h"
#include "open_fds.h"


static struct fake fake;
static struct client client;

static void start_with(const char *options)
{
	char stack[128];

	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user:%s,queue-size=16%s", fake.path, options);
	client_open(&client, stack);
}

static void start(void)
{
	start_with("");
}

static void stop(void)
{
	client_close(&client);
	fake_stop(&fake);
}

static void send_three(struct fake_req *taken)
{
	for (unsigned i = 0; i < 3; i++)
		client_submit(&client,
			      client_req(&client, VIO_OP_READ, i * 512, client.shared + i * 512, 512));
	for (unsigned i = 0; i < 3; i++)
		assert_true(fake_take(&fake, 0, &taken[i]));
}

/* Whatever was under way fails, once each, and so does whatever comes later. */
static void all_fail(unsigned n)
{
	struct vio_req *r;

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(client_finish(&client), -EIO);
	assert_int_equal(vio_lane_reap(client.lane, &r, 1), 0);
	assert_int_equal(client_do(&client, VIO_OP_READ, 0, client.shared, 512), -EIO);
}

static void id_out_of_range(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	fake_use_id(&fake, 0, 0x80000001u, 1);
	all_fail(3);
	stop();
}

static void id_not_in_flight(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	fake_use_id(&fake, 0, 4, 1);
	all_fail(3);
	stop();
}

static void id_twice(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	fake_use(&fake, 0, &t[1], VIRTIO_BLK_S_OK);
	fake_use(&fake, 0, &t[1], VIRTIO_BLK_S_OK);
	assert_int_equal(client_finish(&client), 0);
	all_fail(2);
	stop();
}

static void index_jumps(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	fake_use_id(&fake, 0, t[0].head, 4);
	all_fail(3);
	stop();
}

static void index_goes_back(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	fake_use_id(&fake, 0, t[0].head, 0xffff);
	all_fail(3);
	stop();
}

static void start_packed(struct fake_req *t)
{
	fake_init(&fake);
	fake.features |= VIO_BIT(VIRTIO_F_RING_PACKED);
	start_with(",packed=on");
	send_three(t);
}

static void packed_id_out_of_range(void **state)
{
	struct fake_req t[3];

	(void)state;
	start_packed(t);
	fake_use_packed(&fake, 0, 0xffff, 3);
	all_fail(3);
	stop();
}

static void packed_id_not_in_flight(void **state)
{
	struct fake_req t[3];

	(void)state;
	start_packed(t);
	fake_use_packed(&fake, 0, 4, 3);
	all_fail(3);
	stop();
}

static void packed_id_twice(void **state)
{
	struct fake_req t[3];

	(void)state;
	start_packed(t);
	fake_use(&fake, 0, &t[1], VIRTIO_BLK_S_OK);
	fake_use(&fake, 0, &t[1], VIRTIO_BLK_S_OK);
	assert_int_equal(client_finish(&client), 0);
	all_fail(2);
	stop();
}

/* Every descriptor claims to be used, in both rounds: what is not in flight can't complete. */
static void packed_all_used_at_once(void **state)
{
	struct fake_req t[3];
	struct vring_packed_desc *ring;

	(void)state;
	start_packed(t);
	ring = fake_packed_ring(&fake, 0);
	for (unsigned i = 0; i < 16; i++)
		ring[i] = (struct vring_packed_desc){ .id = htole16(t[0].head), .flags = 0xffff };
	assert_int_equal(client_finish(&client), 0);
	all_fail(2);
	stop();
}

/* The server writes over descriptors, headers and the available ring: only it is the worse for it. */
static void scribbles(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	for (unsigned round = 0; round < 20; round++) {
		send_three(t);
		for (unsigned i = 0; i < 3; i++)
			fake_use(&fake, 0, &t[i], VIRTIO_BLK_S_OK);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(client_finish(&client), 0);
		memset(t[round % 3].header, 0xee, sizeof(*t[0].header));
		((struct vring_avail *)fake_at(&fake, fake.addr[0].avail, 6))->ring[round % 16] = 0xffff;
	}
	stop();
}

static void unknown_status(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	fake_use(&fake, 0, &t[0], 77);
	fake_use(&fake, 0, &t[1], VIRTIO_BLK_S_UNSUPP);
	fake_use(&fake, 0, &t[2], VIRTIO_BLK_S_OK);
	assert_int_equal(client_finish(&client), -EIO);
	assert_int_equal(client_finish(&client), -EOPNOTSUPP);
	assert_int_equal(client_finish(&client), 0);
	assert_int_equal(client_stat(&client, "errors"), 2);
	stop();
}

static void hangs_up_with_requests_in_flight(void **state)
{
	struct fake_req t[3];

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	shutdown(VIO_LOAD(&fake.conn), SHUT_RDWR);
	all_fail(3);
	stop();
}

static void says_that_it_stopped(void **state)
{
	struct fake_req t[3];
	uint64_t one = 1;

	(void)state;
	fake_init(&fake);
	start();
	send_three(t);
	assert_int_equal(write(fake.err[0], &one, 8), 8);
	all_fail(3);
	stop();
}

/* Opening against a server that goes wrong at `at`: err, nothing left behind, and no waiting for ever. */
static void refused_at(enum fake_fault fault, uint32_t at, int err)
{
	struct vio_backend *b;
	char stack[128];
	unsigned before;

	fake_init(&fake);
	VIO_STORE(&fake.fault, fault);
	VIO_STORE(&fake.at, at);
	fake_start(&fake);
	before = open_fds();
	/* Only silence is to run into it, not a slow machine. */
	snprintf(stack, sizeof(stack), "vhost_user:%s,timeout=%d", fake.path, fault == FAKE_SILENT ? 50 : 20000);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), -err);
	assert_null(b);
	assert_true(strstr(vio_errmsg(), fake.path));
	fake_stop(&fake);
	assert_true(open_fds() < before); /* the listener has gone too */
}

static const uint32_t questions[] = { VU_GET_FEATURES, VU_GET_PROTOCOL_FEATURES, VU_GET_QUEUE_NUM,
				      VU_GET_MAX_MEM_SLOTS, VU_GET_CONFIG };
static const uint32_t orders[] = { VU_SET_OWNER, VU_SET_FEATURES, VU_ADD_MEM_REG };

static void answers_that_never_come(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(questions); i++)
		refused_at(FAKE_SILENT, questions[i], ETIMEDOUT);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(orders); i++)
		refused_at(FAKE_SILENT, orders[i], ETIMEDOUT);
}

static void answers_cut_short(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		refused_at(FAKE_SHORT, questions[i], EBADMSG);
	refused_at(FAKE_SHORT, VU_GET_CONFIG, EPROTO);
	refused_at(FAKE_SHORT, VU_SET_FEATURES, EBADMSG);
}

static void answers_to_another_question(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(questions); i++)
		refused_at(FAKE_OTHER, questions[i], EBADMSG);
	refused_at(FAKE_OTHER, VU_SET_FEATURES, EBADMSG);
}

static void answers_with_unasked_descriptors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(questions); i++)
		refused_at(FAKE_FDS, questions[i], EBADMSG);
}

static void hangs_up_at_each_message(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(questions); i++)
		refused_at(FAKE_HANGUP, questions[i], ECONNRESET);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(orders); i++)
		refused_at(FAKE_HANGUP, orders[i], ECONNRESET);
}

static void refuses_each_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(orders); i++)
		refused_at(FAKE_REFUSE, orders[i], EPROTO);
}

/* A lane's set-up that fails leaves the queue free for the next. */
static void fails_while_a_ring_starts(void **state)
{
	static const uint32_t steps[] = { VU_SET_VRING_NUM,  VU_SET_VRING_BASE, VU_SET_VRING_ADDR,
					  VU_SET_VRING_CALL, VU_SET_VRING_KICK, VU_SET_VRING_ENABLE };
	struct vio_poller *p;
	struct vio_backend *b;
	struct vio_lane *l;
	char stack[128];
	unsigned before;

	(void)state;
	fake_init(&fake);
	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user:%s", fake.path);
	client_ok(vio_poller_new(&p, NULL));
	client_ok(vio_backend_parse(&b, NULL, stack));
	VIO_STORE(&fake.fault, FAKE_REFUSE);
	before = open_fds();
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(steps); i++) {
		VIO_STORE(&fake.at, steps[i]);
		assert_int_equal(vio_lane_new(&l, b, p, NULL), -EPROTO);
		assert_null(l);
	}
	assert_true(open_fds() <= before + 3); /* the fake's own copies of the last three eventfds */
	VIO_STORE(&fake.fault, FAKE_GOOD);
	client_ok(vio_lane_new(&l, b, p, NULL));
	vio_lane_free(l);
	vio_backend_free(b);
	vio_poller_free(p);
	fake_stop(&fake);
}

static int open_with_config(struct vio_backend_info *info)
{
	struct vio_backend *b;
	struct vio_poller *p;
	struct vio_lane *l;
	char stack[128];
	int rc, lane_rc;

	fake_start(&fake);
	snprintf(stack, sizeof(stack), "vhost_user:%s", fake.path);
	client_ok(vio_poller_new(&p, NULL));
	client_ok(vio_backend_parse(&b, NULL, stack));
	rc = vio_backend_info(b, info);
	lane_rc = vio_lane_new(&l, b, p, NULL);
	assert_int_equal(rc, lane_rc);
	vio_lane_free(l);
	vio_backend_free(b);
	vio_poller_free(p);
	fake_stop(&fake);
	return rc;
}

static void config_that_makes_no_sense(void **state)
{
	static const uint32_t blocks[] = { 0, 7, 256, 513, 131072, 0xffffffffu };
	struct vio_backend_info info = { .sz = sizeof(info) };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(blocks); i++) {
		fake_init(&fake);
		fake.features |= VIO_BIT(VIRTIO_BLK_F_BLK_SIZE);
		fake.config.blk_size = htole32(blocks[i]);
		assert_int_equal(open_with_config(&info), -EPROTO);
	}
	fake_init(&fake);
	fake.config.max_discard_sectors = 0;
	fake.config.seg_max = 0;
	assert_int_equal(open_with_config(&info), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(id_out_of_range),
		cmocka_unit_test(id_not_in_flight),
		cmocka_unit_test(id_twice),
		cmocka_unit_test(index_jumps),
		cmocka_unit_test(index_goes_back),
		cmocka_unit_test(packed_id_out_of_range),
		cmocka_unit_test(packed_id_not_in_flight),
		cmocka_unit_test(packed_id_twice),
		cmocka_unit_test(packed_all_used_at_once),
		cmocka_unit_test(scribbles),
		cmocka_unit_test(unknown_status),
		cmocka_unit_test(hangs_up_with_requests_in_flight),
		cmocka_unit_test(says_that_it_stopped),
		cmocka_unit_test(answers_that_never_come),
		cmocka_unit_test(answers_cut_short),
		cmocka_unit_test(answers_to_another_question),
		cmocka_unit_test(answers_with_unasked_descriptors),
		cmocka_unit_test(hangs_up_at_each_message),
		cmocka_unit_test(refuses_each_order),
		cmocka_unit_test(fails_while_a_ring_starts),
		cmocka_unit_test(config_that_makes_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
