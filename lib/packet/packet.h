/* SPDX-License-Identifier: MIT */
/*
 * What a frame is, from its own bytes: pure functions for whoever moves packets. The
 * frame is hostile: what decides is the caller's copy of its first bytes, looked at
 * within its bounds only; a length that the frame claims is never believed.
 */
#ifndef VIO_PACKET_PACKET_H
#define VIO_PACKET_PACKET_H

#include "base/base.h"

#include <virtio-offload/req.h>

#define PACKET_HEAD 128u      /* a copy of this many bytes shows all headers of any usual frame */
#define PACKET_HEAD_MAX 256u  /* longer headers than that are not cut */
#define PACKET_CUTS_MAX 8192u /* frames that one GSO frame may become: a tiny gso_size is an attack */

enum packet_l3 { PACKET_L3_OTHER, PACKET_L3_IPV4, PACKET_L3_IPV6 };
enum packet_l4 { PACKET_L4_OTHER, PACKET_L4_TCP, PACKET_L4_UDP };

/* Offsets count from the frame's start. What is not wholly within the head is not there. */
struct packet {
	uint16_t vlan;	     /* TCI of the outermost tag, 0 without one */
	uint8_t tags;	     /* VLAN tags: 0, 1, 2; a third is an ether_type like any other */
	bool tag_cut;	     /* a tag that the frame is too short for */
	uint16_t ether_type; /* behind the tags, host byte order */
	uint16_t l3;	     /* what follows ether_type */
	uint16_t l4;	     /* behind the IP header and its extensions; 0: none */
	uint16_t payload;    /* behind the TCP or UDP header; 0: none */
	uint8_t l3_kind, l4_kind;
	bool fragment;	     /* of an IP datagram, the first included: no l4 */
	bool lengths_differ; /* the IP length leaves the frame, or leaves no room for l4's header */
	/* IPv6 (RFC 8200, RFC 6275): extension headers, and the addresses that stand for the header's in the
	 * checksum. */
	bool extended;
	bool routed; /* via a routing header of another type, so its final destination is not known here */
	uint16_t home, route; /* Home Address option's, type 2 routing header's; 0: none */
};

/* have: bytes at head; len: of the whole frame. False: no Ethernet header. */
bool vio__packet_parse(struct packet *p, const void *head, unsigned have, unsigned len);

/* For spreading over queues and tables, not for the guest to see: equal for all packets of one direction of a
 * flow. */
uint32_t vio__packet_hash(const struct packet *p, const void *head);

/* A Toeplitz key, unrolled: what each half byte of the input adds to the hash, by its value. */
#define PACKET_RSS_INPUT 36u /* two IPv6 addresses and two ports */
struct packet_rss_key {
	uint32_t adds[2 * PACKET_RSS_INPUT][16];
};
/* Of len bytes. One too short goes on with zeroes; bytes beyond 40 decide nothing. */
void vio__packet_rss_key(struct packet_rss_key *k, const uint8_t *key, unsigned len);

/*
 * Toeplitz over the fields that virtio 1.3, 5.1.6.4.3 selects from `types`
 * (VIRTIO_NET_RSS_HASH_TYPE_*); *report gets VIRTIO_NET_HASH_REPORT_*: NONE, and 0
 * as hash, where no type fits.
 */
uint32_t vio__packet_rss(const struct packet *p, const void *head, uint32_t types,
			 const struct packet_rss_key *key, uint16_t *report);

/*
 * The ones' complement sum (RFC 1071) of len bytes of an iov, the first of them as the
 * high one of a pair. Sums may be added before they are folded, as long as each part
 * but the last has an even length. Bytes beyond the iov count as zeroes.
 */
uint64_t vio__packet_sum(const struct iovec *iov, unsigned niov, size_t offset, size_t len);
/* Complemented, in the byte order of memory: to be stored as it is. */
uint16_t vio__packet_fold(uint64_t sum);

/*
 * What a frame of len bytes that carries VIO_PACKET_CSUM wants at csum_start + csum_offset, or
 * puts it there. -EINVAL if that is not inside the frame, or the frame not inside the iov.
 */
int vio__packet_sum_get(const struct iovec *iov, unsigned niov, size_t len, const struct vio_offload *o,
			uint16_t *sum);
int vio__packet_sum_put(const struct iovec *iov, unsigned niov, size_t len, const struct vio_offload *o);

/* Cuts a GSO frame into wire frames, one by one, each with all its checksums. */
struct packet_cut {
	/* Where the payload of the frame just cut begins: `skip` bytes into the first entry. */
	const struct iovec *iov;
	unsigned niov;
	size_t skip;
	/* Private. */
	uint32_t at, len, last; /* payload offset reached, the frame's length, bytes of the frame just cut */
	uint32_t seq, n;
	uint16_t mss, id;
	uint8_t tcp_flags;
	struct packet p;
	unsigned head_len;
	uint8_t head[PACKET_HEAD_MAX];
};
/* Reads the headers once. -EINVAL: they contradict the flags, are not whole, or the cuts would be too many.
 */
int vio__packet_cut_begin(struct packet_cut *c, const struct vio_req *send);
/*
 * The next frame: *head_len bytes of complete headers in head, then *len bytes of the
 * GSO frame from *offset (as c->iov, niov, skip). False: no more. A frame that needs no
 * cut comes out as the one it is.
 */
bool vio__packet_cut_next(struct packet_cut *c, uint8_t head[PACKET_HEAD_MAX], unsigned *head_len,
			  uint32_t *offset, uint32_t *len);

/* Copies up to len bytes from `offset` of an iov; returns how many there were. */
size_t vio__packet_copy(void *to, const struct iovec *iov, unsigned niov, size_t offset, size_t len);

/* Fields in network byte order, anywhere. */
VIO_INLINE uint16_t packet_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

VIO_INLINE uint32_t packet_get32(const uint8_t *p)
{
	return (uint32_t)packet_get16(p) << 16 | packet_get16(p + 2);
}

VIO_INLINE void packet_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

VIO_INLINE void packet_put32(uint8_t *p, uint32_t v)
{
	packet_put16(p, (uint16_t)(v >> 16));
	packet_put16(p + 2, (uint16_t)v);
}

#endif
