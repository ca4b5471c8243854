/* SPDX-License-Identifier: MIT */
/*
 * Two network stacks, each behind a tap, and this test as the cable between the taps: TCP passes in both
 * directions in segments of up to 64 KiB where the cable's RECVs take them, in frames of 1514 bytes where
 * not, and arrives as it was sent. And UDP segments (USO) reach a RECV uncut.
 */
#define _GNU_SOURCE
#include "news.h"
#include "tap.h"
#include "udp_frame.h"

#include "base/base.h"

#include <netinet/tcp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define BUFFER 1536 /* of each RECV: a 64 KiB segment fills more than forty */
#define BULK (4u << 20)
#define BULK_CUT (1u << 20)
#define FLAGS                                                                                                \
	(VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_PACKET_TSO4 | VIO_PACKET_TSO6 | VIO_PACKET_ECN |         \
	 VIO_RECV_MERGE)

/* A network namespace with a tap in it. */
struct side {
	int ns;
	struct vio_backend *b;
	struct way send, recv;
	size_t longest;
};

struct cable {
	struct vio_poller *p;
	struct side side[2];
	uint8_t flags;
	unsigned head;
	size_t bulk; /* bytes each way */
};

static struct vio_backend *tap_new(const char *arg)
{
	struct vio_backend *b;

	if (vio_backend_new(&b, vio_backend_find("tap"), NULL, NULL, arg))
		fail_msg("%s", vio_errmsg());
	return b;
}

static void side_up(struct cable *c, struct side *s, const char *ip)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	s->ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(s->ns >= 0);
	s->b = tap_new("vio0");
	net_configure("vio0", ip);
	s->send = way_open(s->b, c->p, 0, false, 64);
	s->recv = way_open(s->b, c->p, 0, true, BUFFER);
	way_post(&s->recv, WAY_REQS, c->flags, c->head);
}

static void side_down(struct side *s)
{
	way_close(&s->send);
	way_close(&s->recv);
	vio_backend_free(s->b);
	close(s->ns);
}

static struct cable cable_up(void **state, uint8_t flags, unsigned head)
{
	struct cable c = {
		.p = poller_from(state), .flags = flags, .head = head, .bulk = flags ? BULK : BULK_CUT
	};

	side_up(&c, &c.side[0], "10.9.0.1");
	side_up(&c, &c.side[1], "10.9.0.2");
	return c;
}

static void cable_down(struct cable *c)
{
	side_down(&c->side[0]);
	side_down(&c->side[1]);
}

/* A packet in `parts` RECVs leaves by the other side in one SEND. */
static void cable_forward(struct cable *c, struct side *from, struct side *to, struct vio_req **parts,
			  unsigned n)
{
	struct vio_req *r = vio_req_get(to->send.pool);

	r->op = VIO_OP_SEND;
	r->flags = parts[0]->flags;
	r->offload = parts[0]->offload;
	r->niov = (uint16_t)n;
	for (unsigned i = 0; i < n; i++) {
		unsigned head = i ? 0 : c->head;

		assert_true(parts[i]->len + head <= BUFFER);
		r->iov[i] = (struct iovec){ (char *)parts[i]->iov[0].iov_base + head, parts[i]->len };
		r->len += parts[i]->len;
	}
	from->longest = VIO_MAX(from->longest, (size_t)r->len);
	assert_int_equal(r->flags & ~c->flags, 0);
	vio_lane_submit(to->send.lane, &r, 1);
	assert_int_equal(vio_lane_reap(to->send.lane, &r, 1), 1);
	assert_int_equal(r->res, 0);
	vio_req_put(to->send.pool, r);
	for (unsigned i = 0; i < n; i++)
		vio_req_put(from->recv.pool, parts[i]);
	way_post(&from->recv, n, c->flags, c->head);
}

/* One packet, if there is one. */
static unsigned cable_move(struct cable *c, unsigned i)
{
	struct vio_req *parts[64];
	struct side *from = &c->side[i];
	unsigned n, want;

	if (!vio_lane_reap(from->recv.lane, parts, 1))
		return 0;
	want = (unsigned)parts[0]->res;
	assert_in_range(want, 1, 64);
	for (n = 1; n < want; n++)
		assert_int_equal(vio_lane_reap(from->recv.lane, &parts[n], 1), 1);
	cable_forward(c, from, &c->side[!i], parts, n);
	return 1;
}

/* Bytes of a stream that can be told from each other. */
static void bulk_fill(char *to, size_t len, size_t at, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (char)((at + i) * 31 + ((at + i) >> 9) + seed);
}

/* One end of a connection: what it has sent, and received and found right. */
struct end {
	int fd;
	unsigned seed, peer_seed;
	size_t sent, got;
};

static unsigned end_write(struct end *e, size_t bulk)
{
	static char buf[65536];
	ssize_t n;

	if (e->sent == bulk)
		return 0;
	bulk_fill(buf, sizeof(buf), e->sent, e->seed);
	n = send(e->fd, buf, VIO_MIN(sizeof(buf), bulk - e->sent), MSG_NOSIGNAL);
	assert_true(n > 0 || errno == EAGAIN || errno == ENOTCONN);
	e->sent += n > 0 ? (size_t)n : 0;
	return n > 0;
}

static unsigned end_read(struct end *e)
{
	static char buf[65536], want[65536];
	ssize_t n = recv(e->fd, buf, sizeof(buf), 0);

	assert_true(n > 0 || errno == EAGAIN || errno == ENOTCONN);
	if (n <= 0)
		return 0;
	bulk_fill(want, (size_t)n, e->got, e->peer_seed);
	assert_memory_equal(buf, want, (size_t)n);
	e->got += (size_t)n;
	return 1;
}

static int ns_socket(struct cable *c, unsigned side, int type, const char *ip, uint16_t port)
{
	assert_int_equal(setns(c->side[side].ns, CLONE_NEWNET), 0);
	return net_socket(type, ip, port);
}

static void bulk_connect(struct cable *c, struct end e[2])
{
	int server = ns_socket(c, 1, SOCK_STREAM, "10.9.0.2", 4000);
	struct sockaddr_in to = net_addr("10.9.0.2", 4000);

	assert_int_equal(listen(server, 1), 0);
	e[0].fd = ns_socket(c, 0, SOCK_STREAM, "10.9.0.1", 0);
	assert_int_equal(connect(e[0].fd, (void *)&to, sizeof(to)), -1);
	assert_int_equal(errno, EINPROGRESS);
	while ((e[1].fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		assert_int_equal(errno, EAGAIN);
		if (!(cable_move(c, 0) + cable_move(c, 1)))
			news_within(c->p, 20);
	}
	close(server);
}

static void bulk_both_ways(struct cable *c)
{
	struct end e[2] = { { .seed = 1, .peer_seed = 2 }, { .seed = 2, .peer_seed = 1 } };

	bulk_connect(c, e);
	while (e[0].got < c->bulk || e[1].got < c->bulk) {
		unsigned moved = 0;

		for (unsigned i = 0; i < 2; i++)
			moved += cable_move(c, i) + end_write(&e[i], c->bulk) + end_read(&e[i]);
		if (!moved)
			news_within(c->p, 20);
	}
	close(e[0].fd);
	close(e[1].fd);
}

static void segments_pass_whole(void **state)
{
	struct cable c = cable_up(state, FLAGS, 12);

	bulk_both_ways(&c);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(c.side[i].longest > 2 * 1514);
		assert_int_equal(counter_of(c.side[i].b, "dropped_malformed"), 0);
		assert_int_equal(counter_of(c.side[i].b, "dropped_refused"), 0);
		assert_int_equal(counter_of(c.side[i].b, "dropped_offload"), 0);
		assert_int_equal(counter_of(c.side[i].b, "dropped_too_long"), 0);
	}
	cable_down(&c);
}

static void the_kernel_cuts_for_those_who_take_none(void **state)
{
	struct cable c = cable_up(state, 0, 0);

	bulk_both_ways(&c);
	assert_int_equal(c.side[0].longest, 1514);
	assert_int_equal(c.side[1].longest, 1514);
	cable_down(&c);
}

/* What was accepted before holds no longer once a RECV says otherwise. */
static void accepting_less_takes_effect(void **state)
{
	struct cable c = cable_up(state, FLAGS, 0);

	bulk_both_ways(&c);
	for (unsigned i = 0; i < 2; i++) {
		c.side[i].longest = 0;
		assert_true(way_recall(&c.side[i].recv) > 0);
	}
	c.flags = 0;
	c.bulk = BULK_CUT;
	for (unsigned i = 0; i < 2; i++)
		way_post(&c.side[i].recv, WAY_REQS, 0, 0);
	bulk_both_ways(&c);
	assert_true(c.side[0].longest <= 1514);
	cable_down(&c);
}

static void udp_segments_pass_whole(void **state)
{
	struct cable c = cable_up(state, FLAGS | VIO_PACKET_USO4 | VIO_PACKET_USO6, 12);
	int from = ns_socket(&c, 0, SOCK_DGRAM, "10.9.0.1", 5000),
	    to = ns_socket(&c, 1, SOCK_DGRAM, "10.9.0.2", 5000);
	struct sockaddr_in addr = net_addr("10.9.0.2", 5000);
	static char data[12000], got[2000];
	int size = 1000;
	VIO_OPTS(vio_backend_info, info);

	assert_int_equal(vio_backend_info(c.side[0].b, &info), 0);
	if (!(info.offloads & VIO_PACKET_USO4)) {
		print_message("the kernel knows no UDP segmentation\n");
		skip();
	}
	bulk_fill(data, sizeof(data), 0, 3);
	assert_int_equal(setsockopt(from, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	assert_int_equal(sendto(from, data, sizeof(data), 0, (void *)&addr, sizeof(addr)), sizeof(data));
	for (unsigned i = 0; i < sizeof(data) / 1000; i++) {
		while (recv(to, got, sizeof(got), 0) != 1000)
			if (!(cable_move(&c, 0) + cable_move(&c, 1)))
				news_within(c.p, 20);
		assert_memory_equal(got, data + i * 1000, 1000);
	}
	assert_int_equal(c.side[0].longest, FRAME_UDP_DATA + sizeof(data));
	close(from);
	close(to);
	cable_down(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(segments_pass_whole),
		BOTH(the_kernel_cuts_for_those_who_take_none),
		BOTH(accepting_less_takes_effect),
		BOTH(udp_segments_pass_whole),
	};

	if (!net_enter())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
