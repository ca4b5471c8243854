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
static uint32_t stop, hashes[READERS];
static const char *wrong;

static void *hash(void *arg)
{
	const struct rss_vector *v = &rss_v4[0];
	uint32_t *count = arg;

	while (!VIO_LOAD_ACQUIRE(&stop)) {
		uint16_t report;
		uint32_t h = vio__steer_hash(&steer, &parsed, f.b, &report);

		if (!(h == v->tcp && report == VIRTIO_NET_HASH_REPORT_TCPv4) &&
		    !(h == 0 && report == VIRTIO_NET_HASH_REPORT_IPv4))
			VIO_STORE(&wrong, "a hash by something of both");
		VIO_STORE(count, *count + 1);
	}
	return NULL;
}

/* The other key is all zeroes, and its hash with it. */
static void change(bool one)
{
	uint16_t report;

	vio__steer_set(&steer, one ? ALL : VIRTIO_NET_RSS_HASH_TYPE_IPv4, rss_key, one ? sizeof(rss_key) : 0);
	assert_int_equal(vio__steer_hash(&steer, &parsed, f.b, &report), one ? rss_v4[0].tcp : 0);
	assert_int_equal(report, one ? VIRTIO_NET_HASH_REPORT_TCPv4 : VIRTIO_NET_HASH_REPORT_IPv4);
}

static bool all_have(uint32_t n)
{
	bool all = true;

	for (unsigned i = 0; i < READERS; i++)
		all = all && VIO_LOAD(&hashes[i]) >= n;
	return all;
}

static void never_something_of_both(void **state)
{
	pthread_t thread[READERS];

	(void)state;
	rss_frame(&f, &rss_v4[0], false, IPPROTO_TCP);
	assert_true(frame_parse(&f, &parsed));
	change(true);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hash, &hashes[i]), 0);
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
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_something_of_both),
		cmocka_unit_test(nothing_said_nothing_hashed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
