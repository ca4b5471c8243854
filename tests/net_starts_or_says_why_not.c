/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* On the way to a network device and its running queues each call fails in turn: a sentence, and nothing
 * leaks. */
#include "faults_in_turn.h"

#include "backend/lane.c"
#include "backend/sink.c"
#include "device/dev.c"
#include "device/net.c"
#include "device/vq_life.c"
#include "queue/queue.c"

#include "net_guest.h"

#define QUEUES 3u /* the control queue too, which has no lane */

static struct vio_poller *poller;
static struct ring_guest ring[QUEUES];
static int kick, start_err;
static bool answered;

static void started(void *ctx, int err, const char *sentence)
{
	(void)ctx;
	start_err = err ? vio__fail(-err, "%s", sentence) : 0;
	answered = true;
}

static void stopped(void *ctx, int err, const struct vio_queue_state *state)
{
	(void)ctx;
	(void)err;
	(void)state;
	answered = true;
}

static void wait_for_answer(void)
{
	while (!answered)
		vio_poller_wait(poller, 100);
	answered = false;
}

static int start(struct vio_dev *d, unsigned index)
{
	VIO_OPTS(vio_vq_opts, o, .size = 16, .mem = ring[index].mem, .desc = RG_AT,
		 .driver = RG_AT + RG_DRIVER, .device = RG_AT + RG_DEVICE, .kick_fd = kick, .call_fd = -1);

	vio_vq_start(d, index, poller, &o, poller, started, NULL);
	wait_for_answer();
	return start_err;
}

struct made {
	struct vio_backend *b;
	struct vio_dev *d;
};

static void end(void *made)
{
	struct made *m = made;

	for (unsigned i = 0; m->d && i < QUEUES; i++) {
		vio_vq_stop(m->d, i, poller, stopped, NULL); /* or there is nothing to stop */
		wait_for_answer();
	}
	vio_dev_free(m->d);
	vio_backend_free(m->b);
}

static int make(void **out)
{
	static struct made m;
	int rc = vio_backend_new(&m.b, &vio__backend_sink, NULL, NULL, NULL);

	*out = m.d = NULL;
	if (rc)
		return rc;
	rc = vio_dev_new(&m.d, vio_dev_net(), m.b, "mac=02:00:00:00:00:01");
	rc = rc ? rc : vio_dev_set_features(m.d, NET_V1 | VIO_BIT(VIRTIO_NET_F_CTRL_VQ));
	for (unsigned i = 0; !rc && i < QUEUES; i++)
		rc = start(m.d, i);
	if (rc)
		end(&m);
	else
		*out = &m;
	return rc;
}

static void every_call_fails(void **state)
{
	(void)state;
	kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(kick >= 0);
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	for (unsigned i = 0; i < QUEUES; i++)
		assert_int_equal(rg_open(&ring[i], NET_V1, 16), 0);
	each_fails("a network device", make, end);
	for (unsigned i = 0; i < QUEUES; i++)
		rg_close(&ring[i]);
	vio_poller_free(poller);
	close(kick);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
