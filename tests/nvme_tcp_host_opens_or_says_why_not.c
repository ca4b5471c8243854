/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* Each call that the NVMe/TCP host needs memory or a descriptor for fails in turn: it says so and leaves
 * nothing behind. */
#include "our_target.h"

#include "faults_in_turn.h"

#include "backend/nvme_tcp.c"
#include "backend/nvme_tcp_admin.c"
#include "backend/nvme_tcp_connect.c"
#include "backend/nvme_tcp_identify.c"
#include "backend/nvme_tcp_io.c"
#include "backend/nvme_tcp_keep.c"
#include "backend/nvme_tcp_lane.c"
#include "backend/nvme_tcp_link.c"
#include "backend/nvme_tcp_link_recv.c"
#include "backend/nvme_tcp_path.c"

static struct our_target target;
static struct vio_poller *poller;
static struct vio_backend *backend;

static int make_backend(void **out)
{
	char stack[128];
	int rc;

	snprintf(stack, sizeof(stack), "127.0.0.1:%u,nqn=" OUR_NQN ",digests=%s", target.port,
		 vio__nvme_tcp_has_digests() ? "both" : "none");
	rc = vio_backend_new((struct vio_backend **)out, &vio__backend_nvme_tcp, NULL, NULL, stack);
	return rc;
}

static void end_backend(void *made)
{
	vio_backend_free(made);
}

static int make_lane(void **out)
{
	return vio_lane_new((struct vio_lane **)out, backend, poller, NULL);
}

/* One that opened although a call failed works, if need be after it has come back. */
static void end_lane(void *made)
{
	struct vio_lane *l = made;
	struct vio_req_pool *pool;
	struct vio_req *r;
	char data[512];

	assert_int_equal(vio_req_pool_new(&pool, l, 1, 1), 0);
	r = vio_req_get(pool);
	r->op = VIO_OP_READ;
	r->len = sizeof(data);
	r->iov[0] = (struct iovec){ data, sizeof(data) };
	r->niov = 1;
	vio_lane_submit(l, &r, 1);
	for (unsigned i = 0; i < 500 && !vio_lane_reap(l, &r, 1); i++)
		vio_poller_wait(poller, 10);
	assert_int_equal(r->res, 0);
	vio_req_put(pool, r);
	vio_req_pool_free(pool);
	vio_lane_free(l);
}

static void a_backend(void **state)
{
	(void)state;
	each_fails("backend", make_backend, end_backend);
}

static void a_lane(void **state)
{
	(void)state;
	assert_int_equal(make_backend((void **)&backend), 0);
	each_fails("lane", make_lane, end_lane);
	vio_backend_free(backend);
}

/* The target comes back while calls fail: it is tried until none does. */
static void coming_back(void **state)
{
	struct vio_lane *l;

	(void)state;
	assert_int_equal(make_backend((void **)&backend), 0);
	assert_int_equal(make_lane((void **)&l), 0);
	for (unsigned n = 0; n < 6; n++) {
		our_kill(&target);
		our_fork(&target);
		faults = (typeof(faults)){ .on = true, .at = n };
		for (unsigned i = 0; i < 1000 && faults.calls <= n; i++)
			vio_poller_wait(poller, 5);
		faults.on = false;
		assert_true(faults.calls > n);
	}
	end_lane(l);
	vio_backend_free(backend);
}

static int start(void **state)
{
	(void)state;
	our_start(&target, 1 << 20);
	return vio_poller_new(&poller, NULL);
}

static int stop(void **state)
{
	(void)state;
	vio_poller_free(poller);
	our_stop(&target);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend),
		cmocka_unit_test(a_lane),
		cmocka_unit_test(coming_back),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
