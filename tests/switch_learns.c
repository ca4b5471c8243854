/* SPDX-License-Identifier: MIT */
/* The switch learns where addresses are: unknown ones are flooded, known ones go to their port only. */
#include "switch_net.h"

#define N 4

struct net {
	struct vio_poller *poller;
	struct vio_switch *sw;
	struct station s[N];
};

static void net_up(struct net *n, const struct vio_switch_opts *so, const struct vio_switch_port_opts *po)
{
	static const char *const names[N] = { "a", "b", "c", "d" };

	assert_int_equal(vio_poller_new(&n->poller, NULL), 0);
	assert_int_equal(vio_switch_new(&n->sw, so), 0);
	for (unsigned i = 0; i < N; i++) {
		station_up(&n->s[i], n->sw, n->poller, names[i], po);
		station_post(&n->s[i], 32);
	}
}

static void net_down(struct net *n)
{
	for (unsigned i = 0; i < N; i++)
		station_down(&n->s[i]);
	vio_switch_free(n->sw);
	vio_poller_free(n->poller);
}

/* Who received exactly this frame from station `from`, as bits; each other one received nothing. */
static unsigned net_send(struct net *n, unsigned from, const uint8_t *frame, size_t len)
{
	unsigned who = 0;

	station_send(&n->s[from], frame, len);
	assert_int_equal(n->s[from].sending, 0);
	for (unsigned i = 0; i < N; i++)
		if (station_gets(&n->s[i], frame, len)) {
			who |= 1u << i;
			station_post(&n->s[i], 1);
			assert_true(station_gets_nothing(&n->s[i]));
		}
	return who;
}

static unsigned net_say(struct net *n, unsigned from, unsigned dst, unsigned src)
{
	uint8_t frame[100];

	return net_send(n, from, frame, net_frame(frame, dst, src, -1, sizeof(frame), dst * 8 + src));
}

static void an_address_is_where_it_was_heard(void **state)
{
	struct net n;

	(void)state;
	net_up(&n, NULL, NULL);
	assert_int_equal(net_say(&n, 0, 1, 0), 0xe); /* nobody knows 1 */
	assert_int_equal(net_say(&n, 1, 0, 1), 0x1); /* 0 was heard */
	assert_int_equal(net_say(&n, 0, 1, 0), 0x2);
	assert_int_equal(net_say(&n, 2, NET_BROADCAST, 2), 0xb);
	assert_int_equal(net_say(&n, 3, 0, 1), 0x1); /* 1 has moved to port 3 */
	assert_int_equal(net_say(&n, 0, 1, 0), 0x8);
	assert_int_equal(net_say(&n, 3, 1, 3), 0); /* to its own port */
	assert_true(station_dropped(&n.s[3], VIO_SWITCH_DROP_SAME_PORT) == 1);
	assert_true(station_stats(&n.s[0]).flooded == 1);
	net_down(&n);
}

static void a_port_that_goes_takes_its_addresses_along(void **state)
{
	struct net n;

	(void)state;
	net_up(&n, NULL, NULL);
	net_say(&n, 1, 0, 1);
	assert_int_equal(net_say(&n, 0, 1, 0), 0x2);
	station_down(&n.s[1]);
	station_up(&n.s[1], n.sw, n.poller, "again", NULL);
	station_post(&n.s[1], 8);
	assert_int_equal(net_say(&n, 0, 1, 0), 0xe);
	net_down(&n);
}

static void addresses_age(void **state)
{
	VIO_OPTS(vio_switch_opts, so, .age_ns = 20000000);
	struct net n;
	unsigned who, turns = 0;

	(void)state;
	net_up(&n, &so, NULL);
	net_say(&n, 1, 0, 1);
	do { /* 1 keeps silent */
		vio_poller_wait(n.poller, 5);
		who = net_say(&n, 0, 1, 0);
	} while (who == 0x2 && ++turns < 1000);
	assert_int_equal(who, 0xe);
	net_down(&n);
}

static void count_address(void *ctx, const struct vio_switch_address *a)
{
	unsigned *n = ctx;

	n[a->fixed]++;
}

static void static_addresses_stay(void **state)
{
	struct net n;
	uint8_t mac[6];
	unsigned counts[2] = { 0, 0 };

	(void)state;
	net_up(&n, NULL, NULL);
	net_mac(mac, 1);
	assert_int_equal(vio_switch_address_set(n.sw, mac, 1, n.s[2].port), 0);
	assert_int_equal(net_say(&n, 0, 1, 0), 0x4);
	net_say(&n, 3, 0, 1); /* somebody says that he is 1 */
	assert_int_equal(net_say(&n, 0, 1, 0), 0x4);
	vio_switch_addresses(n.sw, count_address, counts);
	assert_true(counts[0] == 1 && counts[1] == 1);
	assert_int_equal(vio_switch_address_set(n.sw, mac, 1, NULL), 0);
	assert_int_equal(net_say(&n, 0, 1, 0), 0xe);
	assert_int_equal(vio_switch_address_set(n.sw, mac, 4095, n.s[2].port), -EINVAL);
	mac[0] |= 1;
	assert_int_equal(vio_switch_address_set(n.sw, mac, 1, n.s[2].port), -EINVAL);
	net_down(&n);
}

static void a_port_may_teach_nothing(void **state)
{
	VIO_OPTS(vio_switch_port_opts, po, .flags = VIO_SWITCH_NO_LEARN);
	struct net n;

	(void)state;
	net_up(&n, NULL, &po);
	net_say(&n, 1, 0, 1);
	assert_int_equal(net_say(&n, 0, 1, 0), 0xe);
	net_down(&n);
}

static void frames_of_no_sense_are_dropped(void **state)
{
	uint8_t frame[70000];
	struct net n;

	(void)state;
	net_up(&n, NULL, NULL);
	net_frame(frame, 1, 0, -1, sizeof(frame), 0);
	assert_int_equal(net_send(&n, 0, frame, 13), 0);
	assert_int_equal(net_send(&n, 0, frame, 65551), 0);
	assert_true(station_dropped(&n.s[0], VIO_SWITCH_DROP_MALFORMED) == 2);
	net_frame(frame, 1, 0, 1, 60, 0);
	assert_int_equal(net_send(&n, 0, frame, 16), 0); /* a tag cut short */
	assert_true(station_dropped(&n.s[0], VIO_SWITCH_DROP_MALFORMED) == 3);
	net_frame(frame, 1, 0, -1, 60, 0);
	frame[6] |= 1;
	assert_int_equal(net_send(&n, 0, frame, 60), 0);
	assert_true(station_dropped(&n.s[0], VIO_SWITCH_DROP_SOURCE) == 1);
	net_frame(frame, 1, 0, -1, 60, 0);
	memcpy(frame, (uint8_t[]){ 1, 0x80, 0xc2, 0, 0, 0xe }, 6);
	assert_int_equal(net_send(&n, 0, frame, 60), 0);
	assert_true(station_dropped(&n.s[0], VIO_SWITCH_DROP_RESERVED) == 1);
	frame[5] = 0x10; /* the first that is not reserved */
	assert_int_equal(net_send(&n, 0, frame, 60), 0xe);
	net_frame(frame, 1, 0, -1, 14, 0); /* the shortest */
	assert_int_equal(net_send(&n, 0, frame, 14), 0xe);
	net_down(&n);
}

static void heads_in_pieces_are_read(void **state)
{
	uint8_t frame[64];
	struct net n;

	(void)state;
	net_up(&n, NULL, NULL);
	net_say(&n, 1, 0, 1);
	net_frame(frame, 1, 0, -1, sizeof(frame), 5);
	for (size_t cut = 1; cut < 20; cut++) {
		station_send_cut(&n.s[0], frame, sizeof(frame), 0, NULL, cut);
		station_reap_sends(&n.s[0]);
		assert_true(station_gets(&n.s[1], frame, sizeof(frame)));
		station_post(&n.s[1], 1);
	}
	net_down(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_where_it_was_heard),
		cmocka_unit_test(a_port_that_goes_takes_its_addresses_along),
		cmocka_unit_test(addresses_age),
		cmocka_unit_test(static_addresses_stay),
		cmocka_unit_test(a_port_may_teach_nothing),
		cmocka_unit_test(frames_of_no_sense_are_dropped),
		cmocka_unit_test(heads_in_pieces_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
