/* SPDX-License-Identifier: MIT */
/* For tests of ports: network namespaces of the test's own, interfaces in them, frames, and a port's lanes.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include "poller.h"

#include <virtio-offload/backend.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define KERNEL_IP "10.9.0.1"
#define OUR_IP "10.9.0.2"
#define OUR_MAC "\x02\0\0\0\0\x02"

/* Into a new network namespace, as root or as the root of a user namespace. False: not allowed, and said why.
 */
MAYBE_UNUSED static bool net_enter(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		printf("no network namespace of its own: %s\n", strerror(errno));
		return false;
	}
	if (access("/dev/net/tun", R_OK | W_OK)) {
		printf("/dev/net/tun: %s\n", strerror(errno));
		return false;
	}
	/* No neighbour and router discovery among the frames. */
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "1", 1) == 1)
		close(fd);
	return true;
}

MAYBE_UNUSED static void net_ioctl(unsigned long what, void *arg)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(s >= 0);
	if (ioctl(s, what, arg))
		fail_msg("ioctl %lx: %s", what, strerror(errno));
	close(s);
}

MAYBE_UNUSED static struct sockaddr_in net_addr(const char *ip, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	return a;
}

MAYBE_UNUSED static void net_up(const char *name, bool up)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	net_ioctl(SIOCGIFFLAGS, &r);
	r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
	net_ioctl(SIOCSIFFLAGS, &r);
}

/* The interface is up and has the address, in a net of 24 bits. */
MAYBE_UNUSED static void net_configure(const char *name, const char *ip)
{
	struct sockaddr_in a = net_addr(ip, 0), mask = net_addr("255.255.255.0", 0);
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	memcpy(&r.ifr_addr, &a, sizeof(a));
	net_ioctl(SIOCSIFADDR, &r);
	memcpy(&r.ifr_netmask, &mask, sizeof(mask));
	net_ioctl(SIOCSIFNETMASK, &r);
	net_up(name, true);
}

/* The kernel knows us without asking. */
MAYBE_UNUSED static void net_neighbour(const char *name)
{
	struct sockaddr_in a = net_addr(OUR_IP, 0);
	struct arpreq r = { .arp_flags = ATF_PERM | ATF_COM };

	memcpy(&r.arp_pa, &a, sizeof(a));
	r.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(r.arp_ha.sa_data, OUR_MAC, 6);
	snprintf(r.arp_dev, sizeof(r.arp_dev), "%s", name);
	net_ioctl(SIOCSARP, &r);
}

MAYBE_UNUSED static void net_mac(const char *name, unsigned char *mac)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	net_ioctl(SIOCGIFHWADDR, &r);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
}

/* A socket of the kernel's side, bound to ip:port. */
MAYBE_UNUSED static int net_socket(int type, const char *ip, uint16_t port)
{
	struct sockaddr_in a = net_addr(ip, port);
	int s = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	assert_true(s >= 0);
	assert_int_equal(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	if (bind(s, (void *)&a, sizeof(a)))
		fail_msg("bind to %s: %s", ip, strerror(errno));
	return s;
}

/* One direction of a port's pair: a lane, its requests, and a buffer of `each` bytes for each. */
struct way {
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	char *mem;
	size_t each;
	unsigned next, head;
};

#define WAY_REQS 256

MAYBE_UNUSED static struct way way_open(struct vio_backend *b, struct vio_poller *p, unsigned pair, bool recv,
					size_t each)
{
	VIO_OPTS(vio_lane_opts, o, .pair = pair, .recv = recv);
	struct way w = { .mem = calloc(WAY_REQS, each), .each = each };

	if (vio_lane_new(&w.lane, b, p, &o))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_req_pool_new(&w.pool, w.lane, WAY_REQS, 64), 0);
	return w;
}

/* Posts n RECVs that take `flags` and leave `head` bytes free. */
MAYBE_UNUSED static void way_post(struct way *w, unsigned n, uint8_t flags, unsigned head)
{
	w->head = head;
	while (n--) {
		struct vio_req *r = vio_req_get(w->pool);

		assert_non_null(r);
		r->op = VIO_OP_RECV;
		r->flags = flags;
		r->offload = (struct vio_offload){ .hdr_len = (uint16_t)head };
		r->iov[0] = (struct iovec){ w->mem + w->next++ % WAY_REQS * w->each, w->each };
		r->niov = 1;
		assert_true(vio_lane_room(w->lane) > 0);
		vio_lane_submit(w->lane, &r, 1);
	}
}

/* Sends one frame, and waits until it has been taken. */
MAYBE_UNUSED static void way_send(struct way *w, struct vio_poller *p, const void *frame, size_t len,
				  uint8_t flags, const struct vio_offload *o)
{
	struct vio_req *r = vio_req_get(w->pool);
	size_t half = len / 2;

	r->op = VIO_OP_SEND;
	r->flags = flags;
	if (o)
		r->offload = *o;
	r->len = len;
	r->iov[0] = (struct iovec){ (void *)(uintptr_t)frame, half };
	r->iov[1] = (struct iovec){ (char *)(uintptr_t)frame + half, len - half };
	r->niov = 2;
	r->res = 1;
	vio_lane_submit(w->lane, &r, 1);
	while (!vio_lane_reap(w->lane, &r, 1))
		assert_true(vio_poller_wait(p, 20000) > 0);
	assert_int_equal(r->res, 0);
	vio_req_put(w->pool, r);
}

/* The next packet, put together at `to`; its bytes, and its first RECV's flags and offload. */
MAYBE_UNUSED static size_t way_recv(struct way *w, struct vio_poller *p, char *to, uint8_t *flags,
				    struct vio_offload *o)
{
	struct vio_req *r;
	size_t len = 0;
	int parts = 0;

	for (int i = 0; i < parts || !parts; i++) {
		while (!vio_lane_reap(w->lane, &r, 1)) {
			assert_int_equal(i, 0); /* a packet's RECVs come together */
			assert_true(vio_poller_wait(p, 20000) > 0);
		}
		if (!i) {
			parts = r->res;
			*flags = r->flags;
			*o = r->offload;
			assert_true(parts >= 1);
		} else {
			assert_int_equal(r->res, 0);
		}
		assert_true(r->len <= w->each);
		memcpy(to + len, (char *)r->iov[0].iov_base + (i ? 0 : w->head), r->len);
		len += r->len;
		vio_req_put(w->pool, r);
	}
	return len;
}

MAYBE_UNUSED static unsigned way_recall(struct way *w)
{
	struct vio_req *r[32];
	unsigned n, all = 0;

	while ((n = vio_lane_recall(w->lane, r, 32))) {
		for (unsigned i = 0; i < n; i++)
			vio_req_put(w->pool, r[i]);
		all += n;
	}
	return all;
}

MAYBE_UNUSED static void way_close(struct way *w)
{
	struct vio_req *r;

	way_recall(w);
	while (vio_lane_reap(w->lane, &r, 1))
		vio_req_put(w->pool, r);
	vio_req_pool_free(w->pool);
	vio_lane_free(w->lane);
	free(w->mem);
}

struct counter {
	const char *name;
	uint64_t value;
};

static void counter_each(void *ctx, const char *layer, const char *name, uint64_t value)
{
	struct counter *c = ctx;

	(void)layer;
	if (!strcmp(name, c->name))
		c->value = value;
}

MAYBE_UNUSED static uint64_t counter_of(struct vio_backend *b, const char *name)
{
	struct counter c = { name, UINT64_MAX };

	vio_backend_stats(b, counter_each, &c);
	assert_true(c.value != UINT64_MAX);
	return c.value;
}

#endif
