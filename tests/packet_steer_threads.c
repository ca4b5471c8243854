/* SPDX-License-Identifier: MIT */
/*
 * A thread changes by which key and for which types packets are hashed, over and over; others hash all the
 * while, and each hash is by the one or the other, never by something of both. Once a change is over, the old
 * is gone.
 */
#include "rss_vectors.h"

#include "base/barrier.h"
#include "packet/steer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define READERS 2u
#define CHANGES 20000u
#define ALL 0x1ffu

static struct frame f;
static struct packet parsed;
static struct steer steer;
static uint32_t stop, looks[READERS];
static const char *wrong;

/* What there is to see, by the one and by the other: hash, report, pair. The other's key is all zeroes, and
 * its hash with it. */
static struct seen {
	uint32_t hash;
	uint16_t report;
	int pair;
} seen[2] = { { 0, VIRTIO_NET_HASH_REPORT_IPv4, 200 }, { 0, VIRTIO_NET_HASH_REPORT_TCPv4, 0 } };

static void *look(void *arg)
{
	uint32_t *count = arg;

	while (!VIO_LOAD_ACQUIRE(&stop)) {
		uint16_t report;
		uint32_t hash = vio__steer_hash(&steer, &parsed, f.b, &report);
		int pair = vio__steer_pair(&steer, &parsed, f.b);

		if (!(hash == seen[0].hash && report == seen[0].report) &&
		    !(hash == seen[1].hash && report == seen[1].report))
			VIO_STORE(&wrong, "a hash by something of both");
		if (pair != seen[0].pair && pair != seen[1].pair)
			VIO_STORE(&wrong, "a pair by something of both");
		VIO_STORE(count, *count + 1);
	}
	return NULL;
}

static void change(bool one)
{
	uint16_t table[STEER_TABLE], report;
	VIO_OPTS(vio_steer, to, .hash_types = one ? ALL : VIRTIO_NET_RSS_HASH_TYPE_IPv4, .key = rss_key,
		 .key_len = one ? sizeof(rss_key) : 0, .table = table, .entries = one ? STEER_TABLE : 64,
		 .unhashed = 300);

	for (unsigned i = 0; i < STEER_TABLE; i++)
		table[i] = (uint16_t)(one ? i : i + 200);
	vio__steer_set(&steer, &to);
	assert_int_equal(vio__steer_hash(&steer, &parsed, f.b, &report), seen[one].hash);
	assert_int_equal(report, seen[one].report);
	assert_int_equal(vio__steer_pair(&steer, &parsed, f.b), seen[one].pair);
}

static bool all_have(uint32_t n)
{
	bool all = true;

	for (unsigned i = 0; i < READERS; i++)
		all = all && VIO_LOAD(&looks[i]) >= n;
	return all;
}

static void never_something_of_both(void **state)
{
	pthread_t thread[READERS];

	(void)state;
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	assert_true(frame_parse(&f, &parsed));
	seen[1].hash = rss_v4[0].tcp;
	seen[1].pair = rss_v4[0].tcp % STEER_TABLE;
	change(true);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, look, &looks[i]), 0);
	for (unsigned i = 0; i < CHANGES || !all_have(CHANGES); i++)
		change(i & 1);
	VIO_STORE_RELEASE(&stop, 1);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	assert_null(wrong);
}

static void nothing_said_nothing_hashed(void **state)
{
	static const struct steer none;
	uint16_t report = 1;

	(void)state;
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	assert_true(frame_parse(&f, &parsed));
	assert_int_equal(vio__steer_hash(&none, &parsed, f.b, &report), 0);
	assert_int_equal(report, VIRTIO_NET_HASH_REPORT_NONE);
	assert_int_equal(vio__steer_pair(&none, &parsed, f.b), STEER_NOBODY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_something_of_both),
		cmocka_unit_test(nothing_said_nothing_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
