/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* On the way to a tap's or a capture file's lanes each call fails in turn: a sentence, and nothing stays
 * open. */
#include "faults_in_turn.h"

#define open(...) FAULT(EMFILE, -1, open(__VA_ARGS__))
#define pwrite(...) FAULT(ENOSPC, -1, pwrite(__VA_ARGS__))

#include "backend/pcap.c"
#include "backend/pcap_lane.c"
#include "backend/pcap_read.c"
#include "backend/pcap_write.c"
#include "backend/tap.c"
#include "backend/tap_open.c"
#include "backend/tap_queue.c"
#include "backend/tap_recv.c"

#include "tap.h"

struct made {
	struct vio_backend *b;
	struct vio_lane *lane[2];
};

static struct vio_poller *poller;
static char capture[96], replay[128];

static void end(void *made)
{
	struct made *m = made;

	for (unsigned i = 0; i < 2; i++)
		vio_lane_free(m->lane[i]);
	vio_backend_free(m->b);
}

/* On pair 1 of a tap, since the first of its queues needs not be attached. */
static int make(void **out, const struct vio_backend_type *type, const char *arg, unsigned pair)
{
	static struct made m;
	int rc = vio_backend_new(&m.b, type, NULL, NULL, arg);

	m.lane[0] = m.lane[1] = NULL;
	for (unsigned i = 0; !rc && i < 2; i++) {
		VIO_OPTS(vio_lane_opts, o, .pair = pair, .recv = i);

		rc = vio_lane_new(&m.lane[i], m.b, poller, &o);
		if (rc)
			end(&m);
	}
	*out = rc ? NULL : &m;
	return rc;
}

static int make_tap(void **out)
{
	return make(out, &vio__backend_tap, "vio0,queues=2,mtu=1400", 1);
}

static int make_capture(void **out)
{
	return make(out, &vio__backend_pcap, capture, 0);
}

static int make_replay(void **out)
{
	return make(out, &vio__backend_pcap, replay, 0);
}

static void every_call_fails(void **state)
{
	int file = memfd_create("capture", MFD_CLOEXEC);

	(void)state;
	assert_true(file >= 0);
	snprintf(capture, sizeof(capture), "/proc/self/fd/%d", file);
	snprintf(replay, sizeof(replay), "%s,mode=replay", capture);
	poller = poller_of(VIO_POLL_EPOLL, VIO_POLL_EVENT);
	each_fails("a tap", make_tap, end);
	each_fails("a capture", make_capture, end);
	each_fails("a replay", make_replay, end);
	vio_poller_free(poller);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_fails),
	};

	return net_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
