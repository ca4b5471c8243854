/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * While a front end says all that there is to say, each call of the server's fails in turn: it refuses, or
 * drops the front end, or does without; no descriptor and no mapping is left behind.
 */
#include "front_end.h"

#include "faults_in_turn.h"

#include "backend/lane.c"
#include "device/dev.c"
#include "device/vq_life.c"
#include "mem/dirty.c"
#include "mem/map.c"
#include "mem/mem.c"
#include "queue/queue.c"
#include "transport/vhost_user.c"
#include "transport/vhost_user_conn.c"
#include "transport/vhost_user_inflight.c"
#include "transport/vhost_user_net.c"
#include "transport/vhost_user_vring.c"

#define QUEUES 3u
#define SIZE 16u
#define HALF (FRONT_MEM / 2)

static struct vio_backend *sink;
static struct vio_poller *poller;
static unsigned refused; /* messages that only have to be acknowledged */

/* One message, and what comes back; false: the front end was dropped. Descriptors that come are closed. */
static bool say(struct front *f, uint32_t request, const void *payload, size_t size, int fd)
{
	struct vu_msg m;

	front_send(f, request, VU_FLAG_NEED_REPLY, payload, (uint32_t)size, &fd, fd >= 0);
	if (front_recv(f, &m) != 1)
		return false;
	for (unsigned i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	if (m.h.request != VU_GET_PROTOCOL_FEATURES && m.h.request != VU_GET_INFLIGHT_FD &&
	    m.h.request != VU_GET_VRING_BASE)
		refused += m.p.u64 != 0;
	return true;
}

static bool say_u64(struct front *f, uint32_t request, uint64_t v, int fd)
{
	return say(f, request, &v, sizeof(v), fd);
}

static bool say_state(struct front *f, uint32_t request, unsigned index, unsigned num)
{
	const struct vu_vring_state s = { index, num };

	return say(f, request, &s, sizeof(s), -1);
}

static bool say_memory(struct front *f)
{
	const struct vu_mem_table table = { .n = 1, .regions[0] = { FRONT_GUEST, HALF, FRONT_USER, 0 } };
	const struct vu_mem_reg more = { .region = { FRONT_GUEST + HALF, HALF, FRONT_USER + HALF, HALF } };
	const struct vu_log log = { .size = 4096 };
	const struct vu_inflight in = { .queues = QUEUES, .queue_size = SIZE };

	return say(f, VU_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), f->memfd) &&
	       say(f, VU_ADD_MEM_REG, &more, sizeof(more), f->memfd) &&
	       say(f, VU_SET_LOG_BASE, &log, sizeof(log), f->memfd) &&
	       say(f, VU_GET_INFLIGHT_FD, &in, sizeof(in), -1);
}

static bool say_ring(struct front *f, unsigned index, int fd)
{
	const uint64_t at = FRONT_USER + 0x10000ull * index;
	const struct vu_vring_addr a = {
		.index = index, .desc = at, .used = at + 0x2000, .avail = at + 0x1000
	};

	return say_state(f, VU_SET_VRING_NUM, index, SIZE) && say_state(f, VU_SET_VRING_BASE, index, 0) &&
	       say(f, VU_SET_VRING_ADDR, &a, sizeof(a), -1) && say_u64(f, VU_SET_VRING_CALL, index, fd) &&
	       say_u64(f, VU_SET_VRING_KICK, index, fd) && say_state(f, VU_SET_VRING_ENABLE, index, 1);
}

static bool say_all(struct front *f, int fd)
{
	uint64_t protocol;

	refused = 0;
	if (!say(f, VU_GET_PROTOCOL_FEATURES, NULL, 0, -1))
		return false;
	protocol = FRONT_PROTOCOL | VUS_BIT(VU_PROTOCOL_F_RARP) | VUS_BIT(VU_PROTOCOL_F_NET_MTU);
	if (!say_u64(f, VU_SET_PROTOCOL_FEATURES, protocol, -1) ||
	    !say_u64(f, VU_SET_FEATURES, FRONT_PF | FRONT_V1 | FRONT_LOG, -1) || !say_memory(f))
		return false;
	for (unsigned i = 0; i < QUEUES; i++)
		if (!say_ring(f, i, fd))
			return false;
	return say_u64(f, VU_SEND_RARP, 0x563412005452ull, -1) && say_state(f, VU_GET_VRING_BASE, 0, 0);
}

static void end(void *made)
{
	assert_ptr_equal(made, sink);
}

/* A life of a server: it could not be made, or it ends in good order. */
static int live(void **out)
{
	VIO_OPTS(vio_vhost_user_opts, o);
	int pair[2], fd, rc;
	struct front f = { .s = -1, .memfd = -1, .p = poller };
	unsigned maps = front_maps();

	*out = NULL;
	rc = vio_dev_new(&f.d, vio_dev_net(), sink, NULL);
	if (rc)
		return rc;
	front_memory(&f);
	fd = (eventfd)(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f.s = pair[0];
	o.fd = pair[1];
	rc = vio_vhost_user_new(&f.t, poller, f.d, &o);
	if (rc)
		close(pair[1]);
	else if (!say_all(&f, fd) || refused)
		assert_true(faults.calls > faults.at); /* none without a reason */
	faults.on = false;
	close(fd);
	f.p = rc ? NULL : poller;
	front_hang_up(&f);
	if (!rc)
		front_stop(&f);
	vio_dev_free(f.d);
	munmap(f.mem, FRONT_MEM);
	close(f.memfd);
	assert_int_equal(front_maps(), maps);
	*out = rc ? NULL : sink;
	return rc;
}

static void every_call_fails(void **state)
{
	(void)state;
	assert_int_equal(vio_poller_new(&poller, NULL), 0);
	assert_int_equal(vio_backend_parse(&sink, NULL, "sink"), 0);
	each_fails("a conversation", live, end);
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
