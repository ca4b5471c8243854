/* SPDX-License-Identifier: MIT */
/*
 * bench/net.c's peer: the same rings, bursts and frames, served by DPDK's librte_vhost.
 * Its packet buffers' allocation and return are timed with its calls. Built where
 * pkg-config knows libdpdk.
 */
#define _GNU_SOURCE
#include "net_stub.h"

#include "wire/vhost_user.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_vhost.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PEER_USER 0x700000000000ull /* the front end's address of the guest's memory */
#define PEER_MS 10000

struct peer {
	struct net_stub *s;
	int socket;
	int vid;
	struct rte_mempool *pool;
	struct rte_mbuf *m[NET_BURST];
};

static int peer_vid = -1;

static int peer_new_device(int vid)
{
	__atomic_store_n(&peer_vid, vid, __ATOMIC_RELEASE);
	return 0;
}

static void peer_destroy_device(int vid)
{
	(void)vid;
}

/* One message; answered if it is a question. */
static uint64_t peer_say(struct peer *p, uint32_t request, const void *payload, uint32_t size, int fd,
			 bool ask)
{
	struct vu_msg m = { .h = { request, VU_VERSION, size }, .nfds = fd >= 0, .fds = { fd } };
	struct vu_inbox box = { 0 };

	if (size)
		memcpy(&m.p, payload, size);
	if (vu_send(p->socket, &m, PEER_MS))
		net_die("librte_vhost does not listen");
	if (!ask)
		return 0;
	if (vu_recv_wait(&box, p->socket, PEER_MS) != 1)
		net_die("librte_vhost does not answer");
	return box.msg.p.u64;
}

static void peer_say_u64(struct peer *p, uint32_t request, uint64_t v)
{
	peer_say(p, request, &v, sizeof(v), -1, false);
}

static void peer_say_state(struct peer *p, uint32_t request, uint32_t queue, uint32_t num)
{
	struct vu_vring_state s = { queue, num };

	peer_say(p, request, &s, sizeof(s), -1, false);
}

static void peer_give_queue(struct peer *p, unsigned queue)
{
	struct vu_vring_addr a = { .index = queue,
				   .desc = PEER_USER + NET_DESC(queue),
				   .avail = PEER_USER + NET_DRIVER(queue),
				   .used = PEER_USER + NET_DEVICE(queue) };
	uint64_t index = queue;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	peer_say_state(p, VU_SET_VRING_NUM, queue, NET_SIZE);
	peer_say_state(p, VU_SET_VRING_BASE, queue, p->s->packed ? 0x8000 : 0);
	peer_say(p, VU_SET_VRING_ADDR, &a, sizeof(a), -1, false);
	peer_say(p, VU_SET_VRING_CALL, &index, sizeof(index), fd, false);
	peer_say(p, VU_SET_VRING_KICK, &index, sizeof(index), fd, false);
	peer_say_state(p, VU_SET_VRING_ENABLE, queue, 1);
	close(fd);
}

static void peer_introduce(struct peer *p)
{
	struct vu_mem_table table = {
		.n = 1, .regions[0] = { .guest = NET_GUEST, .size = NET_MEM, .user = PEER_USER }
	};
	uint64_t want = NET_FEATURES | VIO_BIT(VU_F_PROTOCOL_FEATURES) |
			(p->s->packed ? VIO_BIT(VIRTIO_F_RING_PACKED) : 0);

	peer_say(p, VU_SET_OWNER, NULL, 0, -1, false);
	if (want & ~peer_say(p, VU_GET_FEATURES, NULL, 0, -1, true))
		net_die("librte_vhost lacks a feature");
	peer_say(p, VU_GET_PROTOCOL_FEATURES, NULL, 0, -1, true);
	peer_say_u64(p, VU_SET_PROTOCOL_FEATURES, 0);
	peer_say_u64(p, VU_SET_FEATURES, want);
	peer_say(p, VU_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), p->s->memfd, false);
	peer_give_queue(p, 0);
	peer_give_queue(p, 1);
	while ((p->vid = __atomic_load_n(&peer_vid, __ATOMIC_ACQUIRE)) < 0)
		usleep(1000);
	/* A program that polls. */
	rte_vhost_enable_guest_notification(p->vid, 0, 0);
	rte_vhost_enable_guest_notification(p->vid, 1, 0);
}

static void peer_connect(struct peer *p)
{
	static const struct rte_vhost_device_ops ops = { .new_device = peer_new_device,
							 .destroy_device = peer_destroy_device };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int rc;

	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/vio-net-peer.%d", (int)getpid());
	p->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (rte_vhost_driver_register(a.sun_path, RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS) ||
	    rte_vhost_driver_callback_register(a.sun_path, &ops) || rte_vhost_driver_start(a.sun_path))
		net_die("librte_vhost does not start");
	rc = connect(p->socket, (struct sockaddr *)&a, sizeof(a));
	unlink(a.sun_path);
	if (rc)
		net_die("librte_vhost does not listen");
}

static uint64_t peer_deq(void *ctx)
{
	struct peer *p = ctx;
	uint64_t start = net_now();
	unsigned n = rte_vhost_dequeue_burst(p->vid, 1, p->pool, p->m, NET_BURST);

	start = net_now() - start;
	if (n != NET_BURST)
		net_die("librte_vhost dequeued too few");
	return start;
}

static const char *peer_frame(void *ctx, unsigned i, unsigned *len)
{
	struct peer *p = ctx;

	*len = rte_pktmbuf_data_len(p->m[i]);
	return rte_pktmbuf_mtod(p->m[i], const char *);
}

static uint64_t peer_release(void *ctx)
{
	struct peer *p = ctx;
	uint64_t start = net_now();

	rte_pktmbuf_free_bulk(p->m, NET_BURST);
	return net_now() - start;
}

static uint64_t peer_alloc(void *ctx, unsigned len)
{
	struct peer *p = ctx;
	uint64_t start = net_now();

	if (rte_pktmbuf_alloc_bulk(p->pool, p->m, NET_BURST))
		net_die("the mbuf pool is empty");
	for (unsigned i = 0; i < NET_BURST; i++)
		p->m[i]->pkt_len = p->m[i]->data_len = (uint16_t)len;
	return net_now() - start;
}

static char *peer_room(void *ctx, unsigned i)
{
	return rte_pktmbuf_mtod(((struct peer *)ctx)->m[i], char *);
}

static uint64_t peer_enq(void *ctx)
{
	struct peer *p = ctx;
	uint64_t start = net_now();
	unsigned n = rte_vhost_enqueue_burst(p->vid, 0, p->m, NET_BURST);

	rte_pktmbuf_free_bulk(p->m, NET_BURST);
	start = net_now() - start;
	if (n != NET_BURST)
		net_die("librte_vhost enqueued too few");
	return start;
}

static void peer_eal(char *name)
{
	char *args[] = { name,
			 "--no-huge",
			 "-m",
			 "512",
			 "--no-pci",
			 "--no-shconf",
			 "--no-telemetry",
			 "--log-level=*:error" };

	if (rte_eal_init((int)(sizeof(args) / sizeof(args[0])), args) < 0)
		net_die(rte_strerror(rte_errno));
}

int main(int argc, char **argv)
{
	static const struct net_side side = { peer_deq,	  peer_frame, peer_release,
					      peer_alloc, peer_room,  peer_enq };
	struct peer p = { .s = net_stub_new(argc, argv) };

	peer_eal(argv[0]);
	p.pool = rte_pktmbuf_pool_create("net", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!p.pool)
		net_die(rte_strerror(rte_errno));
	peer_connect(&p);
	peer_introduce(&p);
	net_measure(p.s, &side, &p);
	close(p.socket);
	rte_mempool_free(p.pool);
	net_stub_free(p.s);
	return 0;
}
