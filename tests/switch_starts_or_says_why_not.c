/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * On the way to a switch with a port for a guest and one for a backend each call fails in turn: a
 * sentence, nothing leaks, and what was there before goes on.
 */
#include "faults_in_turn.h"

#include "backend/req_pool.c"
#include "switch/attach.c"
#include "switch/cable.c"
#include "switch/fdb.c"
#include "switch/flow.c"
#include "switch/lane.c"
#include "switch/port.c"
#include "switch/steer.c"
#include "switch/switch.c"
#include "switch/table.c"
#include "switch/thread.c"

#include "switch_net.h"

struct made {
	struct vio_switch *sw;
	struct vio_switch_port *port[2];
	struct vio_lane *lane[2];
};

static struct vio_poller *poller;
static struct vio_backend *sink;

static void end(void *made)
{
	struct made *m = made;

	for (unsigned i = 0; i < 2; i++)
		vio_lane_free(m->lane[i]);
	for (unsigned i = 0; i < 2; i++)
		if (m->port[i])
			vio_switch_port_free(m->port[i]);
	if (m->sw)
		vio_switch_free(m->sw);
}

static int make_ports(struct made *m)
{
	VIO_OPTS(vio_switch_port_opts, o, .flags = VIO_SWITCH_TRUNK);
	static const uint16_t table[1] = { 0 };
	VIO_OPTS(vio_steer, steer, .table = table, .entries = 1);
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	int rc = vio_switch_port_new(&m->port[0], m->sw, "guest", NULL);

	for (unsigned i = 0; !rc && i < 2; i++) {
		VIO_OPTS(vio_lane_opts, lo, .recv = i);

		rc = vio_lane_new(&m->lane[i], vio_switch_port_backend(m->port[0]), poller, &lo);
	}
	rc = rc ? rc : vio_backend_steer(vio_switch_port_backend(m->port[0]), &steer);
	rc = rc ? rc : vio_switch_address_set(m->sw, mac, 0, m->port[0]);
	rc = rc ? rc : vio_switch_port_new(&m->port[1], m->sw, "wire", &o);
	rc = rc ? rc : vio_switch_port_attach(m->port[1], sink, poller);
	return rc ? rc : vio_switch_port_set(m->port[0], &o);
}

static int make(void **out)
{
	VIO_OPTS(vio_switch_opts, o, .ports = 4, .addresses = 16, .flows = 16);
	static struct made m;
	int rc;

	memset(&m, 0, sizeof(m));
	rc = vio_switch_new(&m.sw, &o);
	rc = rc ? rc : make_ports(&m);
	if (rc)
		end(&m);
	*out = rc ? NULL : &m;
	return rc;
}

static void every_call_fails(void **state)
{
	(void)state;
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_backend_parse(&sink, NULL, "sink"), 0);
	each_fails("a switch", make, end);
	vio_backend_free(sink);
	vio_poller_free(poller);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
