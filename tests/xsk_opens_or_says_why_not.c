/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * On the way to an AF_XDP socket's lanes each call fails in turn: a sentence, and nothing is left open,
 * mapped or attached to the interface. Guest memory that can't be in the umem is done without.
 */
#include "faults_in_turn.h"

#include "backend/xsk.c"
#include "backend/xsk_prog.c"
#include "backend/xsk_recv.c"
#include "backend/xsk_socket.c"
#include "backend/xsk_umem.c"

#include "tap.h"

struct made {
	struct vio_backend *b;
	struct vio_lane *lane[2];
};

static struct vio_poller *poller;
static struct vio_mem *mem;

static void end(void *made)
{
	struct made *m = made;

	for (unsigned i = 0; i < 2; i++)
		vio_lane_free(m->lane[i]);
	vio_backend_free(m->b);
}

static int make(void **out)
{
	static struct made m;
	int rc = vio_backend_new(&m.b, &vio__backend_xsk, NULL, NULL, "vio0,ring=64");

	m.lane[0] = m.lane[1] = NULL;
	for (unsigned i = 0; !rc && i < 2; i++) {
		VIO_OPTS(vio_lane_opts, o, .recv = i, .mem = mem);

		rc = vio_lane_new(&m.lane[i], m.b, poller, &o);
		if (rc)
			end(&m);
	}
	*out = rc ? NULL : &m;
	return rc;
}

static void every_call_fails(void **state)
{
	(void)state;
	poller = poller_of(VIO_POLL_EPOLL, VIO_POLL_EVENT);
	assert_int_equal(vio_mem_alloc(&mem, 0, 1 << 20), 0);
	each_fails("an AF_XDP port", make, end);
	vio_mem_free(mem);
	vio_poller_free(poller);
}

/* In a network namespace of its own; what can't run says why. */
static bool can_run(void)
{
	struct vio_backend *b = NULL;
	int rc;

	if (!net_enter() || system("ip link add vio0 type veth peer name vio1 && ip link set vio0 up"))
		return false;
	rc = vio_backend_new(&b, &vio__backend_xsk, NULL, NULL, "vio0");
	if (rc)
		printf("%s\n", vio_errmsg());
	vio_backend_free(b);
	return !rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_fails),
	};

	return can_run() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
