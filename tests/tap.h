/* SPDX-License-Identifier: MIT */
/* For tests of ports: network namespaces of the test's own, interfaces in them, frames, and a port's lanes.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include "port.h"

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

#endif
