/* SPDX-License-Identifier: MIT */
/* The Internet checksum (RFC 1071). Byte order never matters to it, so sums are of native words. */
#include "packet/packet.h"

/* 64-bit ones' complement addition. */
VIO_INLINE uint64_t sum_add(uint64_t a, uint64_t b)
{
	uint64_t s = a + b;

	return s + (s < b);
}

VIO_INLINE uint64_t sum_load(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint16_t sum_fold(uint64_t s)
{
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16 & 0xffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)((s & 0xffff) + (s >> 16));
}

/* Four chains, so that no addition waits for the one before it; written out, for compilers keep an array in
 * memory. */
static uint64_t sum_bytes(const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0, c = 0, d = 0, rest = 0;

	for (; len >= 32; len -= 32, p += 32) {
		a = sum_add(a, sum_load(p));
		b = sum_add(b, sum_load(p + 8));
		c = sum_add(c, sum_load(p + 16));
		d = sum_add(d, sum_load(p + 24));
	}
	for (; len >= 8; len -= 8, p += 8)
		a = sum_add(a, sum_load(p));
	memcpy(&rest, p, len);
	return sum_add(sum_add(sum_add(a, b), sum_add(c, d)), rest);
}

uint64_t vio__packet_sum(const struct iovec *iov, unsigned niov, size_t offset, size_t len)
{
	uint64_t sum = 0;
	size_t done = 0;

	for (unsigned i = 0; i < niov && done < len; i++) {
		size_t piece = iov[i].iov_len;
		uint16_t s;

		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece = VIO_MIN(piece - offset, len - done);
		s = sum_fold(sum_bytes((const uint8_t *)iov[i].iov_base + offset, piece));
		sum += done & 1 ? (uint16_t)(s << 8 | s >> 8)
				: s; /* its bytes are the other ones of their pairs */
		done += piece;
		offset = 0;
	}
	return sum;
}

uint16_t vio__packet_fold(uint64_t sum)
{
	return (uint16_t)~sum_fold(sum);
}

size_t vio__packet_copy(void *to, const struct iovec *iov, unsigned niov, size_t offset, size_t len)
{
	size_t done = 0;

	for (unsigned i = 0; i < niov && done < len; i++) {
		size_t piece = iov[i].iov_len;

		if (offset >= piece) {
			offset -= piece;
			continue;
		}
		piece = VIO_MIN(piece - offset, len - done);
		memcpy((char *)to + done, (const char *)iov[i].iov_base + offset, piece);
		done += piece;
		offset = 0;
	}
	return done;
}

static bool sum_lies_within(const struct iovec *iov, unsigned niov, size_t len, const struct vio_offload *o)
{
	size_t have = 0;

	for (unsigned i = 0; i < niov && have < len; i++)
		have += VIO_MIN(iov[i].iov_len, len - have);
	return have == len && (size_t)o->csum_start + o->csum_offset + 2 <= len;
}

int vio__packet_sum_get(const struct iovec *iov, unsigned niov, size_t len, const struct vio_offload *o,
			uint16_t *sum)
{
	if (!sum_lies_within(iov, niov, len, o))
		return vio__fail(EINVAL, "a checksum at %u + %u is not inside a frame of %zu bytes",
				 o->csum_start, o->csum_offset, len);
	*sum = vio__packet_fold(vio__packet_sum(iov, niov, o->csum_start, len - o->csum_start));
	if (!*sum)
		*sum = 0xffff; /* to UDP 0 means none, and to all the two are the same number */
	return 0;
}

/* The field may lie across two entries. */
static void sum_store(const struct iovec *iov, size_t at, const uint8_t *bytes, unsigned n)
{
	while (n) {
		if (at >= iov->iov_len) {
			at -= iov->iov_len;
			iov++;
			continue;
		}
		((uint8_t *)iov->iov_base)[at++] = *bytes++;
		n--;
	}
}

int vio__packet_sum_put(const struct iovec *iov, unsigned niov, size_t len, const struct vio_offload *o)
{
	uint16_t sum;
	uint8_t bytes[2];
	int rc = vio__packet_sum_get(iov, niov, len, o, &sum);

	if (rc)
		return rc;
	memcpy(bytes, &sum, 2);
	sum_store(iov, (size_t)o->csum_start + o->csum_offset, bytes, 2);
	return 0;
}
