/* SPDX-License-Identifier: MIT */
/* Addresses as text, and the listening socket. */
#include "transport/nvme_tcp.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_DEFAULT "127.0.0.1:4420"

/* "HOST:PORT", "[HOST]:PORT", or HOST alone. */
static int socket_split(const char *address, char host[64], char port[8])
{
	const char *end = address[0] == '[' ? strchr(address, ']') : strchr(address, ':');
	size_t skip = address[0] == '[', len;

	if (address[0] == '[' && !end)
		return -1;
	if (!end)
		end = address + strlen(address);
	len = (size_t)(end - address) - skip;
	end += skip;
	if (len >= 64 || (*end && (*end != ':' || strlen(end + 1) >= 8 || !end[1])))
		return -1;
	memcpy(host, address + skip, len);
	host[len] = 0;
	snprintf(port, 8, "%s", *end ? end + 1 : "4420");
	return 0;
}

static int socket_resolve(const char *address, struct addrinfo **ai)
{
	struct addrinfo want = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM };
	char host[64], port[8];

	if (socket_split(address, host, port) || getaddrinfo(host, port, &want, ai))
		return vio__fail(EINVAL,
				 "nvme-tcp: address '%s', expected as in 127.0.0.1:4420 or [::1]:4420",
				 address);
	return 0;
}

static uint16_t socket_port(int fd)
{
	struct nv_address a;

	ntt_local(fd, &a);
	return (uint16_t)atoi(a.port);
}

int ntt_listen(const char *address, uint16_t *port)
{
	struct addrinfo *ai;
	int fd, on = 1, rc;

	address = address ? address : SOCKET_DEFAULT;
	rc = socket_resolve(address, &ai);
	if (rc)
		return rc;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, SOMAXCONN)) {
		rc = vio__fail(errno, "nvme-tcp: cannot listen at %s: %s", address, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = rc;
	} else {
		*port = socket_port(fd);
	}
	freeaddrinfo(ai);
	return fd;
}

static void socket_text(const struct sockaddr_storage *sa, struct nv_address *a)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;
	bool six = sa->ss_family == AF_INET6;

	memset(a, 0, sizeof(*a));
	if (!six && sa->ss_family != AF_INET)
		return;
	a->family = six ? NVMF_ADDR_FAMILY_IP6 : NVMF_ADDR_FAMILY_IP4;
	inet_ntop(sa->ss_family, six ? (const void *)&in6->sin6_addr : &in->sin_addr, a->addr,
		  sizeof(a->addr));
	snprintf(a->port, sizeof(a->port), "%u", ntohs(six ? in6->sin6_port : in->sin_port));
}

int ntt_address(const char *address, struct nv_address *a)
{
	struct sockaddr_storage sa = { 0 };
	struct addrinfo *ai;
	int rc = socket_resolve(address, &ai);

	if (rc)
		return rc;
	memcpy(&sa, ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(ai);
	socket_text(&sa, a);
	return 0;
}

int vio_nvme_tcp_refer(struct vio_nvme *s, const char *address, uint16_t port)
{
	struct nv_address a;
	int rc = ntt_address(address, &a);

	return rc ? rc : nv_listing_add(s, NULL, port, &a);
}

void ntt_local(int fd, struct nv_address *a)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len);
	socket_text(&sa, a);
}

const char *ntt_peer(int fd, char text[64])
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);
	struct nv_address a;

	getpeername(fd, (struct sockaddr *)&sa, &len);
	socket_text(&sa, &a);
	snprintf(text, 64, "%.46s:%s", a.addr[0] ? a.addr : "a host", a.port);
	return text;
}
