/* SPDX-License-Identifier: MIT */
/* Ethernet frames made by hand: IPv4 with UDP or an ICMP echo. */
#ifndef TESTS_UDP_FRAME_H
#define TESTS_UDP_FRAME_H

#include <arpa/inet.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FRAME_FN static __attribute__((unused))
#define FRAME_IP 14
#define FRAME_L4 (FRAME_IP + 20)
#define FRAME_UDP_DATA (FRAME_L4 + 8)

/* From whom to whom. */
struct frame_way {
	unsigned char dst[6], src[6];
	const char *src_ip, *dst_ip;
	uint16_t src_port, dst_port;
};

/* The ones' complement sum that `sum` becomes with n bytes more. */
FRAME_FN uint32_t frame_sum(const void *from, size_t n, uint32_t sum)
{
	const unsigned char *p = from;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)p[i] << (i & 1 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of the pseudo header and n bytes behind the IPv4 header of `frame`. 0xffff: correct. */
FRAME_FN uint16_t frame_l4_sum(const char *frame, uint8_t protocol, size_t n)
{
	return (uint16_t)frame_sum(frame + FRAME_L4, n,
				   frame_sum(frame + FRAME_IP + 12, 8, protocol + (uint32_t)n));
}

FRAME_FN void frame_ip(char *frame, const struct frame_way *w, uint8_t protocol, size_t l4_len)
{
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = protocol };

	memcpy(frame, w->dst, 6);
	memcpy(frame + 6, w->src, 6);
	memcpy(frame + 12, "\x08\0", 2);
	ip.tot_len = htons((uint16_t)(20 + l4_len));
	inet_pton(AF_INET, w->src_ip, &ip.saddr);
	inet_pton(AF_INET, w->dst_ip, &ip.daddr);
	ip.check = htons((uint16_t)~frame_sum(&ip, sizeof(ip), 0));
	memcpy(frame + FRAME_IP, &ip, sizeof(ip));
}

/* Returns the frame's length. partial: the checksum field holds the pseudo header's sum only. */
FRAME_FN size_t frame_udp(char *frame, const struct frame_way *w, const void *data, size_t len, bool partial)
{
	struct udphdr udp = { .source = htons(w->src_port), .dest = htons(w->dst_port) };
	size_t n = sizeof(udp) + len;
	uint16_t sum;

	frame_ip(frame, w, IPPROTO_UDP, n);
	udp.len = htons((uint16_t)n);
	memcpy(frame + FRAME_L4, &udp, sizeof(udp));
	memcpy(frame + FRAME_UDP_DATA, data, len);
	if (partial)
		sum = (uint16_t)frame_sum(frame + FRAME_IP + 12, 8, IPPROTO_UDP + (uint32_t)n);
	else
		sum = (uint16_t)~frame_l4_sum(frame, IPPROTO_UDP, n);
	sum = htons(sum);
	memcpy(frame + FRAME_L4 + 6, &sum, 2);
	return FRAME_L4 + n;
}

FRAME_FN size_t frame_ping(char *frame, const struct frame_way *w, const void *data, size_t len)
{
	struct icmphdr icmp = { .type = ICMP_ECHO };

	icmp.un.echo.id = htons(77);
	frame_ip(frame, w, IPPROTO_ICMP, sizeof(icmp) + len);
	memcpy(frame + FRAME_L4, &icmp, sizeof(icmp));
	memcpy(frame + FRAME_L4 + sizeof(icmp), data, len);
	icmp.checksum = htons((uint16_t)~frame_sum(frame + FRAME_L4, sizeof(icmp) + len, 0));
	memcpy(frame + FRAME_L4, &icmp, sizeof(icmp));
	return FRAME_L4 + sizeof(icmp) + len;
}

FRAME_FN bool frame_is(const char *frame, size_t len, uint8_t protocol)
{
	return len >= FRAME_L4 && !memcmp(frame + 12, "\x08\0", 2) &&
	       (uint8_t)frame[FRAME_IP + 9] == protocol;
}

FRAME_FN uint16_t frame_u16(const char *frame, size_t at)
{
	uint16_t v;

	memcpy(&v, frame + at, 2);
	return ntohs(v);
}

#endif
