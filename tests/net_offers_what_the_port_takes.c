/* SPDX-License-Identifier: MIT */
/* Features, config space and lanes of a network device: what its arguments and its port come to. */
#include "net_commands.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define B(x) VIO_BIT(VIRTIO_NET_F_##x)
#define USO VIO_BIT(56)
#define GUEST_USO4 VIO_BIT(54)
#define GUEST_USO6 VIO_BIT(55)
#define SEND_ALL (B(CSUM) | B(HOST_TSO4) | B(HOST_TSO6) | B(HOST_ECN) | USO)
#define RECV_ALL (B(GUEST_CSUM) | B(GUEST_TSO4) | B(GUEST_TSO6) | B(GUEST_ECN) | GUEST_USO4 | GUEST_USO6)
#define CONTROL                                                                                              \
	(B(CTRL_VQ) | B(GUEST_ANNOUNCE) | B(CTRL_RX) | B(CTRL_RX_EXTRA) | B(CTRL_VLAN) | B(CTRL_MAC_ADDR) |  \
	 B(CTRL_GUEST_OFFLOADS) | B(NOTF_COAL) | B(VQ_NOTF_COAL) | B(HASH_REPORT))
#define ALWAYS (B(STATUS) | B(MRG_RXBUF) | CONTROL)
#define QUEUE_BITS (((1ull << 41) - 1) & ~((1ull << 24) - 1)) /* of rings and transports (6) */

static uint64_t offered(struct net_guest *n, const char *arg)
{
	assert_int_equal(vio_dev_new(&n->dev, vio_dev_net(), n->backend, arg), 0);
	return vio_dev_features(n->dev) & ~QUEUE_BITS;
}

static void fresh(struct net_guest *n)
{
	assert_int_equal(net_open(n), 0);
}

static void all_that_the_port_takes_is_offered(void **state)
{
	static const struct {
		uint8_t offloads;
		uint64_t features;
	} rows[] = {
		{ NET_PORT_ALL, SEND_ALL | RECV_ALL },
		{ 0, 0 },
		{ VIO_PACKET_CSUM, B(CSUM) | B(GUEST_CSUM) },
		{ VIO_PACKET_CSUM_OK, B(GUEST_CSUM) },
		{ VIO_PACKET_CSUM | VIO_PACKET_TSO4, B(CSUM) | B(GUEST_CSUM) | B(HOST_TSO4) | B(GUEST_TSO4) },
		{ VIO_PACKET_CSUM | VIO_PACKET_USO4, B(CSUM) | B(GUEST_CSUM) | GUEST_USO4 },
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++) {
		struct net_guest n;

		fresh(&n);
		n.port->info.offloads = rows[i].offloads;
		assert_int_equal(offered(&n, NULL), ALWAYS | rows[i].features);
		net_close(&n);
	}
}

static void arguments_take_away(void **state)
{
	static const struct {
		const char *arg;
		uint64_t features;
		unsigned queues;
	} rows[] = {
		{ "offloads=off", ALWAYS, 3 },
		{ "merge=off,offloads=off", ALWAYS & ~B(MRG_RXBUF), 3 },
		{ "control=off,offloads=off", B(STATUS) | B(MRG_RXBUF), 2 },
		{ "hashes=off,offloads=off", ALWAYS & ~B(HASH_REPORT), 3 },
		{ "pairs=4,offloads=off", ALWAYS | B(MQ) | B(RSS), 9 },
		{ "pairs=4,offloads=off,hashes=off", (ALWAYS | B(MQ)) & ~B(HASH_REPORT), 9 },
		{ "mtu=9000,offloads=off", ALWAYS | B(MTU), 3 },
		{ "mac=52:54:00:12:34:56,offloads=off", ALWAYS | B(MAC), 3 },
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++) {
		struct net_guest n;

		fresh(&n);
		assert_int_equal(offered(&n, rows[i].arg), rows[i].features);
		assert_int_equal(vio_dev_queues(n.dev), rows[i].queues);
		net_close(&n);
	}
}

static void wrong_arguments_are_refused(void **state)
{
	static const char *const args[] = {
		"pairs=0",
		"pairs=65",
		"pairs=5",
		"pairs=2,control=off",
		"queue-size=100",
		"mtu=67",
		"mtu=65536",
		"mac=",
		"mac=1:2:3:4:5:6",
		"mac=52:54:00:12:34",
		"mac=52:54:00:12:34:56:78",
		"mac=52:54:00:12:34:5g",
		"mac=01:00:5e:00:00:01",
		"mac=00:00:00:00:00:00",
		"queues=2",
	};
	struct vio_backend *disk;
	struct net_guest n;

	(void)state;
	fresh(&n);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(args); i++) {
		if (vio_dev_new(&n.dev, vio_dev_net(), n.backend, args[i]) != -EINVAL)
			fail_msg("%s was taken", args[i]);
		assert_null(n.dev);
	}
	assert_int_equal(vio_dev_new(&n.dev, vio_dev_net(), NULL, NULL), -EINVAL);
	assert_int_equal(vio_backend_parse(&disk, NULL, "ram:1M"), 0);
	assert_int_equal(vio_dev_new(&n.dev, vio_dev_net(), disk, NULL), -EINVAL);
	vio_backend_free(disk);
	net_close(&n);
}

static struct virtio_net_config config(struct net_guest *n)
{
	struct virtio_net_config c;

	assert_int_equal(vio_dev_config_size(n->dev), sizeof(c));
	assert_int_equal(vio_dev_config_read(n->dev, 0, &c, sizeof(c)), 0);
	return c;
}

/* The port's wishes, and what overrides them. */
static void config_space_says_the_same(void **state)
{
	static const uint8_t port_mac[6] = { 2, 0, 0, 0, 0, 9 }, mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	struct virtio_net_config c;
	struct net_guest n;

	(void)state;
	fresh(&n);
	memcpy(n.port->info.mac, port_mac, 6);
	n.port->info.mtu = 1400;
	assert_true(offered(&n, "pairs=2") & B(MAC) & ~B(MTU));
	c = config(&n);
	assert_memory_equal(c.mac, port_mac, 6);
	assert_int_equal(c.mtu, 1400);
	assert_int_equal(c.max_virtqueue_pairs, 2);
	assert_int_equal(c.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(c.rss_max_key_size, 40);
	assert_int_equal(c.rss_max_indirection_table_length, 128);
	assert_int_equal(c.supported_hash_types, 0x1ff);
	vio_dev_free(n.dev);
	offered(&n, "pairs=1");
	c = config(&n);
	assert_int_equal(c.rss_max_key_size, 40);
	assert_int_equal(c.rss_max_indirection_table_length, 0);
	vio_dev_free(n.dev);
	offered(&n, "mac=52:54:00:12:34:56,mtu=9000,hashes=off");
	c = config(&n);
	assert_int_equal(c.rss_max_key_size, 0);
	assert_int_equal(c.supported_hash_types, 0);
	assert_memory_equal(c.mac, mac, 6);
	assert_int_equal(c.mtu, 9000);
	assert_int_equal(c.max_virtqueue_pairs, 1);
	net_close(&n);
}

static void only_a_legacy_driver_writes_its_address(void **state)
{
	static const uint8_t mac[7] = { 0x52, 0x54, 0, 1, 2, 3 };
	struct net_guest n;

	(void)state;
	fresh(&n);
	assert_int_equal(net_device(&n, NET_V1, NULL), 0);
	for (unsigned i = 0; i < sizeof(struct virtio_net_config) + 2; i++)
		assert_int_equal(vio_dev_config_write(n.dev, i, mac, 1), -EINVAL);
	assert_int_equal(vio_dev_set_features(n.dev, 0), 0);
	assert_int_equal(vio_dev_config_write(n.dev, 0, mac, 7), -EINVAL);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(vio_dev_config_write(n.dev, i, mac + i, 1), 0);
	assert_memory_equal(config(&n).mac, mac, 6);
	net_close(&n);
}

/* A port that can't be told where packets come, or only by a shorter table than there must be. */
static void tables_need_a_port_that_takes_them(void **state)
{
	static const uint16_t steers[] = { 0, 64, 127, 128, 1024 };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(steers); i++) {
		struct net_guest n;

		fresh(&n);
		n.port->info.steers = steers[i];
		assert_int_equal(offered(&n, "pairs=2,offloads=off"),
				 ALWAYS | B(MQ) | (steers[i] >= 128 ? B(RSS) : 0));
		assert_int_equal(config(&n).rss_max_indirection_table_length, steers[i] >= 128 ? 128 : 0);
		net_close(&n);
	}
}

static void told(void *ctx)
{
	++*(unsigned *)ctx;
}

static void the_guest_hears_of_its_cable(void **state)
{
	struct net_guest n;
	unsigned times = 0;

	(void)state;
	fresh(&n);
	assert_int_equal(net_device(&n, NET_V1 | B(STATUS) | B(CTRL_VQ) | B(GUEST_ANNOUNCE), NULL), 0);
	vio_dev_on_config(n.dev, told, &times);
	assert_int_equal(vio_net_set_link(n.dev, true), 0);
	assert_int_equal(times, 0);
	assert_int_equal(vio_net_set_link(n.dev, false), 0);
	assert_int_equal(times, 1);
	assert_int_equal(config(&n).status, 0);
	assert_int_equal(vio_net_set_link(n.dev, true), 0);
	assert_int_equal(config(&n).status, VIRTIO_NET_S_LINK_UP);
	n.port->info.link_down = true; /* at the port */
	assert_int_equal(vio_dev_refresh(n.dev), 1);
	assert_int_equal(config(&n).status, 0);
	n.port->info.link_down = false;
	assert_int_equal(vio_dev_refresh(n.dev), 1);
	assert_int_equal(times, 4);
	assert_int_equal(vio_net_announce(n.dev), 0);
	assert_int_equal(vio_net_announce(n.dev), 0);
	assert_int_equal(times, 6);
	assert_int_equal(config(&n).status, VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	vio_dev_reset(n.dev);
	assert_int_equal(config(&n).status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(vio_net_announce(n.dev), -EOPNOTSUPP);
	net_close(&n);
}

static void calls_for_another_device_are_refused(void **state)
{
	struct vio_net_stats s = { .sz = sizeof(s) };
	struct vio_backend *b;
	struct vio_dev *d;
	struct net_guest n;

	(void)state;
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	assert_int_equal(vio_dev_new(&d, vio_dev_blk(), b, NULL), 0);
	assert_int_equal(vio_net_set_link(d, true), -EINVAL);
	assert_int_equal(vio_net_announce(d), -EINVAL);
	assert_int_equal(vio_net_stats(d, 0, &s), -EINVAL);
	vio_dev_free(d);
	vio_backend_free(b);
	fresh(&n);
	assert_int_equal(net_device(&n, NET_V1, "pairs=2"), 0);
	assert_int_equal(vio_net_stats(n.dev, 1, &s), 0);
	assert_int_equal(vio_net_stats(n.dev, 2, &s), -ENOENT);
	net_close(&n);
}

/* A RECV asks for what the driver accepted, as far as its features hang together (5.1.3.1). */
static void recvs_ask_for_what_was_accepted(void **state)
{
	static const struct {
		uint64_t features;
		uint8_t flags;
	} rows[] = {
		{ 0, 0 },
		{ NET_MERGE, VIO_RECV_MERGE },
		{ B(GUEST_CSUM), VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK },
		{ B(GUEST_TSO4) | NET_MERGE, VIO_RECV_MERGE },
		{ B(GUEST_CSUM) | B(GUEST_TSO4) | GUEST_USO6,
		  VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4 | VIO_PACKET_USO6 },
		{ SEND_ALL | RECV_ALL | NET_MERGE, NET_PORT_ALL | VIO_RECV_MERGE },
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(rows); i++) {
		const struct rg_buf b = { NET_AT, 2000, RG_WRITE };
		struct net_guest n;

		fresh(&n);
		assert_int_equal(net_device(&n, NET_V1 | rows[i].features, NULL), 0);
		assert_int_equal(net_start(&n, 0, 16), 0);
		assert_true(rg_post(net_ring(&n, 0), &b, 1) >= 0);
		vio_vq_kick(n.dev, 0);
		while (!net_port_waiting(n.port, 0))
			vio_poller_wait(n.poller, 100);
		assert_int_equal(net_port_oldest(n.port, 0)->flags, rows[i].flags);
		assert_int_equal(net_port_oldest(n.port, 0)->offload.hdr_len, 12);
		net_close(&n);
	}
}

/* Queue 2k receives and queue 2k + 1 sends for pair k. */
static void each_queue_has_its_pair(void **state)
{
	const struct rg_buf out = { NET_AT, 72, 0 };
	struct net_guest n;

	(void)state;
	fresh(&n);
	assert_int_equal(net_device(&n, NET_V1 | B(CTRL_VQ) | B(MQ), "pairs=4"), 0);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(net_start(&n, i, 16), 0);
	assert_int_equal(net_command_pairs(&n, 4), VIRTIO_NET_OK);
	for (unsigned pair = 0; pair < 4; pair++) {
		assert_non_null(n.port->recv[pair]);
		assert_int_equal(net_run(&n, 2 * pair + 1, &out, 1), 0);
		assert_int_equal(n.port->pair, pair);
	}
	net_close(&n);
}

static void a_sink_counts(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	uint64_t *sum = ctx;

	assert_string_equal(layer, "sink");
	sum[strcmp(counter, "packets") ? 1 : 0] = value;
}

static void a_sink_takes_all_and_gives_nothing(void **state)
{
	const struct rg_buf out = { NET_AT, 72, 0 }, in = { NET_AT, 2000, RG_WRITE };
	uint64_t counts[2] = { 0 };
	struct net_guest n;

	(void)state;
	fresh(&n);
	vio_backend_free(n.backend);
	assert_int_equal(vio_backend_parse(&n.backend, NULL, "sink"), 0);
	assert_int_equal(net_device(&n, NET_V1, "pairs=64"), 0);
	assert_int_equal(net_start(&n, 0, 16), 0);
	assert_int_equal(net_start(&n, 1, 16), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_true(rg_post(net_ring(&n, 0), &in, 1) >= 0);
	vio_vq_kick(n.dev, 0);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(net_run(&n, 1, &out, 1), 0);
	vio_backend_stats(n.backend, a_sink_counts, counts);
	assert_int_equal(counts[0], 300);
	assert_int_equal(counts[1], 300 * 60);
	assert_int_equal(net_stop(&n, 0), 0);
	assert_int_equal(n.q[0].state.avail_idx, 0);
	net_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_the_port_takes_is_offered),
		cmocka_unit_test(arguments_take_away),
		cmocka_unit_test(wrong_arguments_are_refused),
		cmocka_unit_test(config_space_says_the_same),
		cmocka_unit_test(tables_need_a_port_that_takes_them),
		cmocka_unit_test(only_a_legacy_driver_writes_its_address),
		cmocka_unit_test(the_guest_hears_of_its_cable),
		cmocka_unit_test(calls_for_another_device_are_refused),
		cmocka_unit_test(recvs_ask_for_what_was_accepted),
		cmocka_unit_test(each_queue_has_its_pair),
		cmocka_unit_test(a_sink_takes_all_and_gives_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
