/* SPDX-License-Identifier: MIT */
/*
 * DPDK's vhost-user server and our driving end: testpmd gives back every packet as it was, takes all that it
 * is sent, and all that it sends arrives. Counted by both sides.
 */
#define _GNU_SOURCE
#include "news.h"
#include "port.h"

#include "base/base.h"
#include "dpdk_server.h"

#define PACKETS 20000u
#define EACH 2048u
#define WINDOW 32u /* packets under way: fewer than RECVs are posted, so that testpmd drops none */
#define RECVS 64u
#define HEAD 12u

struct end {
	struct vio_backend *b;
	struct way send, recv;
};

static struct dpdk dpdk;
static struct vio_poller *poller;
static struct end end[2]; /* by pair */
static uint64_t sent, received;

static uint64_t started(unsigned n)
{
	while (counter_of(end[0].b, "started") < n)
		assert_true(vio_poller_wait(poller, 20000) >= 0);
	return n;
}

static struct way way_of(struct vio_backend *b, unsigned pair, bool recv, bool shared)
{
	return (shared ? way_open_shared : way_open)(b, poller, pair, recv, EACH);
}

static void up(const char *options, unsigned pairs, bool shared)
{
	char stack[128];

	sent = received = 0;
	snprintf(stack, sizeof(stack), "vhost_user_net:%s,timeout=20000,pairs=%u%s", dpdk.sock, pairs,
		 options);
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	for (unsigned i = 0; i < pairs; i++) {
		if (!i && vio_backend_parse(&end[0].b, NULL, stack))
			fail_msg("%s", vio_errmsg());
		end[i].b = end[0].b;
		end[i].recv = way_of(end[0].b, i, true, shared);
		end[i].send = way_of(end[0].b, i, false, shared);
		way_post(&end[i].recv, RECVS, VIO_RECV_MERGE, HEAD);
	}
	started(2 * pairs);
}

static void down(unsigned pairs)
{
	for (unsigned i = 0; i < pairs; i++) {
		way_close(&end[i].send);
		way_close(&end[i].recv);
	}
	vio_backend_free(end[0].b);
	vio_poller_free(poller);
}

/* Of any length: the serial number is in each word, so that a piece out of place shows. */
static unsigned stamp_len(uint64_t serial)
{
	return 60 + (unsigned)(serial * 0x9e3779b97f4a7c15ull >> 40) % 1459;
}

static void stamp(char *frame, uint64_t serial, unsigned len)
{
	static const char head[] = "\x52\x54\0\0\0\1\x52\x54\0\0\0\2\x88\xb5";

	memcpy(frame, head, 14);
	for (unsigned i = 14; i + 8 <= len; i += 8)
		memcpy(frame + i, &serial, 8);
	memset(frame + 14 + (len - 14) / 8 * 8, (int)serial, (len - 14) % 8);
}

static bool send_one(struct way *w)
{
	struct vio_req *r = vio_lane_room(w->lane) ? vio_req_get(w->pool) : NULL;

	if (!r)
		return false;
	r->op = VIO_OP_SEND;
	r->len = stamp_len(sent);
	r->niov = 1;
	r->iov[0] = (struct iovec){ w->mem + w->next++ % WAY_REQS * w->each, r->len };
	stamp(r->iov[0].iov_base, sent++, (unsigned)r->len);
	vio_lane_submit(w->lane, &r, 1);
	return true;
}

static unsigned reap_sent(struct way *w)
{
	struct vio_req *r;
	unsigned n = 0;

	for (; vio_lane_reap(w->lane, &r, 1); n++) {
		assert_int_equal(r->res, 0);
		vio_req_put(w->pool, r);
	}
	return n;
}

/* Everything that has come; `echo`: it is what was sent, in that order. */
static unsigned reap_received(struct way *w, bool echo)
{
	char expect[EACH];
	struct vio_req *r;
	unsigned n = 0;

	for (; vio_lane_reap(w->lane, &r, 1); n++) {
		assert_int_equal(r->res, 1);
		if (echo) {
			unsigned len = stamp_len(received);

			assert_int_equal(r->len, len);
			stamp(expect, received, len);
			assert_memory_equal((char *)r->iov[0].iov_base + HEAD, expect, len);
		}
		received++;
		vio_req_put(w->pool, r);
		way_post(w, 1, VIO_RECV_MERGE, HEAD);
	}
	return n;
}

static void nothing_was_lost(void)
{
	assert_int_equal(counter_of(end[0].b, "sent"), sent);
	assert_int_equal(counter_of(end[0].b, "received"), received);
	assert_int_equal(counter_of(end[0].b, "dropped_down"), 0);
	assert_int_equal(counter_of(end[0].b, "dropped_malformed"), 0);
}

/* io gives packets back as they are. */
static void echo(const char *options, bool shared)
{
	struct dpdk_counts c;

	dpdk_forward(&dpdk, "io");
	up(options, 1, shared);
	while (received < PACKETS) {
		unsigned n = 0;

		while (sent < PACKETS && sent - received < WINDOW && send_one(&end[0].send))
			n++;
		n += reap_sent(&end[0].send) + reap_received(&end[0].recv, true);
		if (!n)
			news_within(poller, 20);
	}
	while (counter_of(end[0].b, "sent") < PACKETS)
		if (!reap_sent(&end[0].send))
			vio_poller_wait(poller, 20000);
	c = dpdk_halt(&dpdk);
	assert_int_equal(c.rx, sent);
	assert_int_equal(c.tx, received);
	assert_int_equal(c.tx_dropped, 0);
	nothing_was_lost();
	if (shared)
		assert_int_equal(counter_of(end[0].b, "bounced"), 0);
	else
		assert_int_equal(counter_of(end[0].b, "bounced"), sent + received);
	down(1);
}

static void gives_back_what_it_gets(void **state)
{
	(void)state;
	echo("", true);
	echo(",queue-size=1024", true);
	echo("", false);
}

static void gives_back_what_it_gets_packed(void **state)
{
	(void)state;
	echo(",packed=on", true);
	echo(",packed=on,queue-size=128", true);
	echo(",packed=on", false);
}

/* rxonly takes them. */
static void takes(const char *options)
{
	struct dpdk_counts c;

	dpdk_forward(&dpdk, "rxonly");
	up(options, 1, true);
	while (counter_of(end[0].b, "sent") < PACKETS) {
		unsigned n = 0;

		while (sent < PACKETS && send_one(&end[0].send))
			n++;
		if (!reap_sent(&end[0].send) && !n)
			news_within(poller, 20);
	}
	c = dpdk_halt(&dpdk);
	assert_int_equal(c.rx, sent);
	nothing_was_lost();
	down(1);
}

static void takes_all_that_is_sent(void **state)
{
	(void)state;
	takes("");
	takes(",packed=on");
}

/* txonly sends without end: what it could put into the ring arrives. */
static void sends(const char *options)
{
	struct dpdk_counts c;

	dpdk_forward(&dpdk, "txonly");
	up(options, 1, true);
	while (received < PACKETS)
		if (!reap_received(&end[0].recv, false))
			news_within(poller, 20);
	c = dpdk_halt(&dpdk);
	while (reap_received(&end[0].recv, false))
		;
	assert_int_equal(c.tx, received);
	nothing_was_lost();
	down(1);
}

static void all_that_it_sends_arrives(void **state)
{
	(void)state;
	sends("");
	sends(",packed=on");
}

/* RECVs that are taken back while it sends: those that come have a packet, and it goes on afterwards. */
static void recalled_while_it_sends(void **state)
{
	struct dpdk_counts c;

	(void)state;
	dpdk_forward(&dpdk, "txonly");
	up("", 1, true);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t until = received + 500;
		unsigned back;

		while (received < until)
			if (!reap_received(&end[0].recv, false))
				news_within(poller, 20);
		back = way_recall(&end[0].recv);
		assert_true(back <= RECVS);
		way_post(&end[0].recv, back, VIO_RECV_MERGE, HEAD);
	}
	c = dpdk_halt(&dpdk);
	while (reap_received(&end[0].recv, false))
		;
	assert_int_equal(c.tx, received);
	nothing_was_lost();
	down(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_it_gets), cmocka_unit_test(gives_back_what_it_gets_packed),
		cmocka_unit_test(takes_all_that_is_sent),  cmocka_unit_test(all_that_it_sends_arrives),
		cmocka_unit_test(recalled_while_it_sends),
	};
	int rc;

	dpdk_start(&dpdk, 1);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	dpdk_stop(&dpdk);
	return rc;
}
