/* SPDX-License-Identifier: MIT */
#ifdef VIO_HAVE_CRYPTO
#include "filter/crypt_xts.h"

static const unsigned char xts_zeroes[4096];

/*
 * One data unit. Setting the IV alone keeps the key schedule; both calls of EVP work
 * without allocation or lock. In and out may be the same.
 */
VIO_INLINE bool xts_unit(EVP_CIPHER_CTX *c, uint64_t number, unsigned char *to, const unsigned char *from,
			 unsigned sector)
{
	uint64_t iv[2] = { htole64(number), 0 };
	int n;

	return EVP_CipherInit_ex2(c, NULL, NULL, (const unsigned char *)iv, -1, NULL) == 1 &&
	       EVP_CipherUpdate(c, to, &n, from, (int)sector) == 1;
}

VIO_INLINE uint64_t xts_number(const struct vio__xts *x, uint64_t offset)
{
	return ((offset >> 9) + x->iv_offset) >> x->iv_shift;
}

/* Whole sectors from one run of memory to another, or to itself. step 0 for a constant source. */
static bool xts_run(struct vio__xts *x, EVP_CIPHER_CTX *c, uint64_t offset, unsigned char *to,
		    const unsigned char *from, uint64_t len, unsigned step)
{
	for (; len; len -= x->sector, offset += x->sector, to += x->sector, from += step)
		if (VIO_UNLIKELY(!xts_unit(c, xts_number(x, offset), to, from, x->sector)))
			return false;
	return true;
}

/* Moves past used-up entries; the bytes that remain in the one found, 0 at the end. */
VIO_INLINE size_t xts_here(struct vio__xts_cursor *at)
{
	while (at->left && at->at == at->iov->iov_len) {
		at->iov++;
		at->left--;
		at->at = 0;
	}
	return at->left ? at->iov->iov_len - at->at : 0;
}

VIO_INLINE unsigned char *xts_ptr(const struct vio__xts_cursor *at)
{
	return (unsigned char *)at->iov->iov_base + at->at;
}

/* Copies len bytes out of the vector and moves on; false at its end. */
static bool xts_gather(struct vio__xts_cursor *at, unsigned char *to, size_t len)
{
	for (size_t n; len; len -= n, to += n, at->at += n) {
		n = VIO_MIN(xts_here(at), len);
		if (!n)
			return false;
		memcpy(to, xts_ptr(at), n);
	}
	return true;
}

/* The way back; only where a gather of as much has succeeded. */
static void xts_scatter(struct vio__xts_cursor at, const unsigned char *from, size_t len)
{
	for (size_t n; len; len -= n, from += n, at.at += n) {
		n = VIO_MIN(xts_here(&at), len);
		memcpy(xts_ptr(&at), from, n);
	}
}

/* Whole sectors that lie at the cursor in one piece, at most len bytes. */
VIO_INLINE uint64_t xts_whole(const struct vio__xts *x, struct vio__xts_cursor *at, uint64_t len)
{
	return VIO_MIN(xts_here(at) & ~(size_t)(x->sector - 1), len);
}

bool vio__xts_encrypt(struct vio__xts *x, uint64_t offset, unsigned char *to, uint64_t len,
		      struct vio__xts_cursor *from)
{
	if (!from)
		return xts_run(x, x->enc, offset, to, xts_zeroes, len, 0);
	for (uint64_t n; len; len -= n, offset += n, to += n) {
		n = xts_whole(x, from, len);
		if (VIO_LIKELY(n)) {
			if (!xts_run(x, x->enc, offset, to, xts_ptr(from), n, x->sector))
				return false;
			from->at += n;
			continue;
		}
		n = x->sector;
		if (!xts_gather(from, x->straddle, n) ||
		    !xts_run(x, x->enc, offset, to, x->straddle, n, x->sector))
			return false;
	}
	return true;
}

bool vio__xts_decrypt(struct vio__xts *x, uint64_t offset, uint64_t len, struct vio__xts_cursor *at)
{
	struct vio__xts_cursor start;

	for (uint64_t n; len; len -= n, offset += n) {
		n = xts_whole(x, at, len);
		if (VIO_LIKELY(n)) {
			if (!xts_run(x, x->dec, offset, xts_ptr(at), xts_ptr(at), n, x->sector))
				return false;
			at->at += n;
			continue;
		}
		start = *at;
		n = x->sector;
		if (!xts_gather(at, x->straddle, n) ||
		    !xts_run(x, x->dec, offset, x->straddle, x->straddle, n, x->sector))
			return false;
		xts_scatter(start, x->straddle, n);
	}
	return true;
}
#endif
