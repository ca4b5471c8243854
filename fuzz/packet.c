/* SPDX-License-Identifier: MIT */
/*
 * Frames of any content: parsed, hashed, cut. What comes out of a cut must be the payload,
 * whole and in order, under headers that are right by the receiver's own reckoning.
 */
#include "packet/packet.h"

#include <linux/virtio_net.h>
#include <netinet/in.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                                              \
	do {                                                                                                 \
		if (!(x))                                                                                    \
			abort();                                                                             \
	} while (0)

/* The first bytes say how to take the frame; it may be longer than the input: then it goes on with a pattern.
 */
struct input {
	uint8_t flags;
	uint8_t pieces;
	uint16_t mss;
	uint16_t more;
};

static uint8_t frame[65550], cut[65550 + PACKET_HEAD_MAX];

static uint32_t frame_make(const uint8_t *data, size_t size, uint16_t more)
{
	uint32_t len = (uint32_t)VIO_MIN(size, sizeof(frame));

	memcpy(frame, data, len);
	for (; more && len < sizeof(frame); more--, len++)
		frame[len] = (uint8_t)(len * 31 + (len >> 8));
	return len;
}

static unsigned frame_pieces(struct iovec *iov, uint32_t len, uint8_t how)
{
	uint32_t first = VIO_MIN(len, how & 0x7fu), second = VIO_MIN(len - first, how >> 3);

	iov[0] = (struct iovec){ frame, first };
	iov[1] = (struct iovec){ frame + first, second };
	iov[2] = (struct iovec){ frame + first + second, len - first - second };
	return 3;
}

static void check_parsed(const struct packet *p, unsigned have)
{
	MUST(p->l3 <= have && p->l4 <= have && p->payload <= have);
	MUST(!p->payload || (p->l4_kind && p->payload >= p->l4 + 8));
	MUST(!p->l4_kind || (p->payload && p->l4 >= p->l3 + 20 && !p->fragment));
	MUST(!p->home || p->home + 16u <= have);
	MUST(!p->route || p->route + 16u <= have);
}

/* Each prefix of the frame, in a buffer of its own size. */
static void parse_prefix(uint32_t len, unsigned have)
{
	static const uint8_t bytes[40] = { 1, 2, 3 };
	static struct packet_rss_key key;
	uint8_t *head = malloc(have + 1);
	struct packet p;
	uint16_t report;

	have = VIO_MIN(have, len);
	vio__packet_rss_key(&key, bytes, sizeof(bytes));
	MUST(head);
	memcpy(head, frame, have);
	if (vio__packet_parse(&p, head, have, len)) {
		check_parsed(&p, have);
		vio__packet_hash(&p, head);
		vio__packet_rss(&p, head, 0x1ff, &key, &report);
		MUST(report <= VIRTIO_NET_HASH_REPORT_UDPv6_EX);
	}
	free(head);
}

static uint16_t sum(const void *at, size_t len, uint64_t more)
{
	const struct iovec iov = { (void *)at, len };

	return vio__packet_fold(vio__packet_sum(&iov, 1, 0, len) + more);
}

/* As a receiver checks it: over the pseudo-header and all, to nothing. */
static void check_sums(const struct packet *p, uint32_t len)
{
	uint32_t bytes = len - p->l4;
	const uint8_t rest[4] = { 0, p->l4_kind == PACKET_L4_TCP ? IPPROTO_TCP : IPPROTO_UDP,
				  (uint8_t)(bytes >> 8), (uint8_t)bytes };
	const struct iovec pseudo[] = {
		{ cut + (p->home ? p->home : p->l3 + (p->l3_kind == PACKET_L3_IPV4 ? 12u : 8u)),
		  p->l3_kind == PACKET_L3_IPV4 ? 4 : 16 },
		{ cut + (p->route ? p->route : p->l3 + (p->l3_kind == PACKET_L3_IPV4 ? 16u : 24u)),
		  p->l3_kind == PACKET_L3_IPV4 ? 4 : 16 },
		{ (void *)rest, 4 },
	};

	MUST(sum(cut + p->l4, bytes, vio__packet_sum(pseudo, 3, 0, 36)) == 0);
	if (p->l3_kind == PACKET_L3_IPV4)
		MUST(sum(cut + p->l3, p->l4 - p->l3, 0) == 0);
}

static void check_cut(const struct packet_cut *c, uint32_t n, unsigned head_len, uint32_t payload)
{
	struct packet p;
	uint32_t len = head_len + payload;

	MUST(vio__packet_parse(&p, cut, head_len, len));
	MUST(!p.lengths_differ && p.payload == head_len && p.l4_kind == c->p.l4_kind &&
	     p.l3_kind == c->p.l3_kind);
	MUST(payload <= c->mss);
	if (p.l4_kind == PACKET_L4_TCP)
		MUST(packet_get32(cut + p.l4 + 4) == c->seq + n * c->mss);
	else
		MUST(packet_get16(cut + p.l4 + 4) == len - p.l4);
	check_sums(&p, len);
}

/* Frames, pieces and offsets; the payloads one after another are the original's. */
static void cut_all(const struct vio_req *r)
{
	struct packet_cut c;
	unsigned head_len;
	uint32_t offset, payload, at, n = 0;

	if (vio__packet_cut_begin(&c, r))
		return;
	at = c.p.payload;
	for (; vio__packet_cut_next(&c, cut, &head_len, &offset, &payload); n++) {
		MUST(offset == at && payload <= r->len - at);
		MUST(vio__packet_copy(cut + head_len, c.iov, c.niov, c.skip, payload) == payload);
		MUST(!memcmp(cut + head_len, frame + at, payload));
		check_cut(&c, n, head_len, payload);
		at += payload;
	}
	MUST(at == r->len && n >= 1 && n <= PACKET_CUTS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in;
	struct iovec iov[3];
	struct vio_req r = { .op = VIO_OP_SEND, .iov = iov };

	if (size < sizeof(in))
		return 0;
	memcpy(&in, data, sizeof(in));
	r.len = frame_make(data + sizeof(in), size - sizeof(in), in.more);
	for (unsigned have = 0; have <= VIO_MIN(r.len, 160u); have += 1 + (in.pieces & 15))
		parse_prefix((uint32_t)r.len, have);
	parse_prefix((uint32_t)r.len, (unsigned)r.len);
	r.niov = (uint16_t)frame_pieces(iov, (uint32_t)r.len, in.pieces);
	r.flags = in.flags;
	r.offload.gso_size = in.mss;
	cut_all(&r);
	r.offload.csum_start = in.more;
	r.offload.csum_offset = in.mss;
	vio__packet_sum_put(iov, r.niov, r.len, &r.offload);
	return 0;
}
