/* SPDX-License-Identifier: MIT */
/*
 * A GSO frame that goes into a tap with its virtio_net_hdr, over a bridge, and out of
 * a tap that takes no offloads, was cut by the kernel. Ours are the same frames, byte
 * by byte: IPv4 and IPv6, TCP and UDP, tags, options, odd sizes.
 */
#define _GNU_SOURCE
#include "frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define MARK 0x88b5 /* an ether type for experiments: the frame behind the last cut */
#define CUTS 400u   /* less than a tap's queue holds */

static int tap_in, tap_out, control;

static int can_not(const char *what)
{
	printf("skipped: %s: %s\n", what, strerror(errno));
	return 77;
}

/* An interface with no address of its own on the wire: it stays silent. */
static int net_up(const char *name)
{
	struct ifreq r = { 0 };

	strcpy(r.ifr_name, name);
	r.ifr_flags = IFF_UP | IFF_NOARP;
	return ioctl(control, SIOCSIFFLAGS, &r);
}

/* What is not cut passes whatever its size. */
static int net_wide(const char *name)
{
	struct ifreq r = { .ifr_mtu = 65521 };

	strcpy(r.ifr_name, name);
	return ioctl(control, SIOCSIFMTU, &r);
}

static int tap_open(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	strcpy(r.ifr_name, name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) || ioctl(fd, TUNSETOFFLOAD, 0))
		return -1;
	return fd;
}

static int bridge_add(const char *bridge, const char *name)
{
	struct ifreq r = { 0 };

	strcpy(r.ifr_name, name);
	if (ioctl(control, SIOCGIFINDEX, &r))
		return -1;
	strcpy(r.ifr_name, bridge);
	return ioctl(control, SIOCBRADDIF, &r);
}

/* Without IPv6 on them, interfaces announce nothing. */
static void net_quiet(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		printf("IPv6 stays on: its announcements are skipped\n");
	close(fd);
}

static int net_make(void)
{
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return can_not("no network namespace");
	net_quiet();
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	tap_in = tap_open("in");
	tap_out = tap_open("out");
	if (control < 0 || tap_in < 0 || tap_out < 0)
		return can_not("no taps");
	if (ioctl(control, SIOCBRADDBR, "br") || bridge_add("br", "in") || bridge_add("br", "out"))
		return can_not("no bridge");
	if (net_wide("in") || net_wide("out"))
		return can_not("no wide interfaces");
	if (net_up("in") || net_up("out") || net_up("br"))
		return can_not("interfaces stay down");
	return 0;
}

static bool tap_takes(const struct virtio_net_hdr *h, const void *frame, unsigned len)
{
	const struct iovec iov[] = { { (void *)h, sizeof(*h) }, { (void *)frame, len } };

	return writev(tap_in, iov, 2) == (ssize_t)(sizeof(*h) + len);
}

/* The next frame that the kernel forwarded; 0: the mark. */
static unsigned tap_read(uint8_t *to)
{
	for (;;) {
		struct pollfd p = { .fd = tap_out, .events = POLLIN };
		struct virtio_net_hdr h;
		const struct iovec iov[] = { { &h, sizeof(h) }, { to, FRAME_ROOM } };
		ssize_t n;

		assert_int_equal(poll(&p, 1, 10000), 1);
		n = readv(tap_out, iov, 2);
		assert_true(n > (ssize_t)sizeof(h) + 14);
		if (packet_get16(to + 12) == MARK)
			return 0;
		if (memcmp(to, "\2\0\0\0\0\2\2\0\0\0\0\1", 12))
			continue; /* not ours */
		assert_int_equal(h.flags, 0);
		assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		return (unsigned)n - (unsigned)sizeof(h);
	}
}

static void mark_write(void)
{
	static uint8_t mark[60] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, MARK >> 8, MARK & 0xff };

	assert_true(tap_takes(&(struct virtio_net_hdr){ 0 }, mark, sizeof(mark)));
}

/* One of the combinations: what the frame is, and how it is to be cut. */
struct cut {
	bool v6, udp;
	unsigned tags, ip_options, tcp_options, payload, mss;
	uint8_t tcp_flags;
};

static struct frame f;
static uint8_t kernel[FRAME_ROOM], ours[FRAME_ROOM];

static void cut_ipv6(const struct cut *k, uint8_t protocol)
{
	uint8_t *x;

	frame_ipv6(&f, "fd00::1", "fd00::2", k->ip_options ? IPPROTO_DSTOPTS : protocol);
	if (!k->ip_options)
		return;
	x = frame_add(&f, NULL, 8);
	x[0] = protocol;
	x[2] = 1; /* PadN, 4 bytes */
	x[3] = 4;
	f.l4 = f.len;
}

static void cut_frame(const struct cut *k, struct virtio_net_hdr *h)
{
	uint8_t protocol = k->udp ? IPPROTO_UDP : IPPROTO_TCP;

	frame_eth(&f);
	for (unsigned i = 0; i < k->tags; i++)
		frame_tag(&f, i + 1 < k->tags ? 0x88a8 : 0x8100, (uint16_t)(0x6005 + i));
	if (k->v6)
		cut_ipv6(k, protocol);
	else
		frame_ipv4(&f, "10.0.0.1", "10.0.0.2", protocol, k->ip_options);
	if (!k->v6)
		packet_put16(f.b + f.l3 + 4, 0xfffe); /* the id wraps */
	if (k->udp)
		frame_udp(&f, 7, 9);
	else
		frame_tcp(&f, 7, 9, k->tcp_flags, k->tcp_options);
	h->hdr_len = (uint16_t)f.len;
	frame_payload(&f, k->payload);
	if (k->udp)
		packet_put16(f.b + f.l4 + 4, (uint16_t)(f.len - f.l4));
	frame_end(&f);
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->gso_type = k->udp  ? VIRTIO_NET_HDR_GSO_UDP_L4
		      : k->v6 ? VIRTIO_NET_HDR_GSO_TCPV6
			      : VIRTIO_NET_HDR_GSO_TCPV4;
	if (k->tcp_flags & 0x80)
		h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	h->gso_size = (uint16_t)k->mss;
	h->csum_start = (uint16_t)f.l4;
	h->csum_offset = (uint16_t)frame_pseudo(&f, protocol);
}

static struct vio_req cut_request(const struct cut *k, const struct virtio_net_hdr *h, struct iovec *iov)
{
	uint8_t gso = k->udp  ? (k->v6 ? VIO_PACKET_USO6 : VIO_PACKET_USO4)
		      : k->v6 ? VIO_PACKET_TSO6
			      : VIO_PACKET_TSO4;

	/* In three pieces, the borders odd. */
	iov[0] = (struct iovec){ f.b, 15 };
	iov[1] = (struct iovec){ f.b + 15, f.len / 2 };
	iov[2] = (struct iovec){ f.b + 15 + f.len / 2, f.len - 15 - f.len / 2 };
	return (struct vio_req){
		.op = VIO_OP_SEND,
		.flags = (uint8_t)(gso | VIO_PACKET_CSUM),
		.niov = 3,
		.iov = iov,
		.len = f.len,
		.offload = { h->hdr_len, h->gso_size, h->csum_start, h->csum_offset },
	};
}

static bool cut_next(struct packet_cut *c, struct vio_req *r, unsigned *len)
{
	unsigned head;
	uint32_t offset, payload;

	if (!vio__packet_cut_next(c, ours, &head, &offset, &payload))
		return false;
	assert_int_equal(vio__packet_copy(ours + head, r->iov, r->niov, offset, payload), payload);
	*len = head + payload;
	return true;
}

static void cut_is_the_kernels(const struct cut *k)
{
	struct virtio_net_hdr h = { 0 };
	struct iovec iov[3];
	struct vio_req r;
	struct packet_cut c;
	unsigned len, n = 0;

	cut_frame(k, &h);
	r = cut_request(k, &h, iov);
	assert_true(tap_takes(&h, f.b, f.len));
	mark_write();
	assert_int_equal(vio__packet_cut_begin(&c, &r), 0);
	while (cut_next(&c, &r, &len)) {
		assert_int_equal(tap_read(kernel), len);
		assert_memory_equal(kernel, ours, len);
		n++;
	}
	assert_int_equal(n, k->payload ? (k->payload + k->mss - 1) / k->mss : 1);
	assert_int_equal(tap_read(kernel), 0);
}

/*
 * Options that make one piece look like two: the kernel reckons without them whether
 * there is anything to cut, finds that there is not, and drops what no sender makes.
 */
static bool cut_is_refused(const struct cut *k)
{
	return !k->udp && k->ip_options && k->payload == k->mss;
}

/* Lengths about the borders: one piece, an exact multiple, one byte more, one less, the most that IP can say.
 */
static void cut_sizes(struct cut k)
{
	const unsigned most = 65535 - 20 - 60 - 60;
	const struct {
		unsigned payload, mss;
	} sizes[] = { { 1, 1448 },   { 1448, 1448 }, { 1449, 1448 },  { 2896, 1448 }, { 2895, 1448 },
		      { 4000, 999 }, { 300, 8 },     { 50000, 1400 }, { most, 8948 }, { most - 1, 65000 } };

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(sizes); i++) {
		k.payload = sizes[i].payload;
		k.mss = sizes[i].mss;
		if (k.payload / k.mss < CUTS && !cut_is_refused(&k))
			cut_is_the_kernels(&k);
	}
}

static void cut_all(bool v6, bool udp)
{
	static const uint8_t flags[] = { 0x10, 0x18, 0x11, 0x19, 0x90, 0xf9 };

	for (unsigned tags = 0; tags < 3; tags++)
		for (unsigned options = 0; options <= 40; options += 20)
			for (unsigned i = 0; i < (udp ? 1 : VIO_ARRAY_SIZE(flags)); i++)
				cut_sizes((struct cut){ v6, udp, tags, options, options ? 12 : 0, 0, 0,
							flags[i] & (udp ? 0 : 0xff) });
}

/* Since Linux 6.2. */
static void need_uso(void)
{
	const struct cut k = { .udp = true, .payload = 100, .mss = 60 };
	struct virtio_net_hdr h = { 0 };

	cut_frame(&k, &h);
	if (!tap_takes(&h, f.b, f.len)) {
		printf("skipped: a tap of this kernel takes no UDP segmentation\n");
		skip();
	}
	mark_write();
	while (tap_read(kernel))
		;
}

static void tcp_over_ipv4(void **state)
{
	(void)state;
	cut_all(false, false);
}

static void tcp_over_ipv6(void **state)
{
	(void)state;
	cut_all(true, false);
}

static void udp_over_ipv4(void **state)
{
	(void)state;
	need_uso();
	cut_all(false, true);
}

static void udp_over_ipv6(void **state)
{
	(void)state;
	need_uso();
	cut_all(true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_over_ipv4),
		cmocka_unit_test(tcp_over_ipv6),
		cmocka_unit_test(udp_over_ipv4),
		cmocka_unit_test(udp_over_ipv6),
	};
	int rc = net_make();

	return rc ? rc : cmocka_run_group_tests(tests, NULL, NULL);
}
