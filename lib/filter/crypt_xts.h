/* SPDX-License-Identifier: MIT */
/*
 * AES-XTS over sectors by OpenSSL's EVP, as dm-crypt's "aes-xts-plain64" has it:
 * each sector is one XTS data unit (IEEE 1619) whose tweak is its number, 64 bits
 * little-endian, then zeroes.
 */
#ifndef VIO_FILTER_CRYPT_XTS_H
#define VIO_FILTER_CRYPT_XTS_H

#include "base/base.h"

#include <endian.h>
#include <openssl/evp.h>

/* One thread's way to encrypt and decrypt: the key schedules are inside the contexts. */
struct vio__xts {
	EVP_CIPHER_CTX *enc, *dec;
	uint64_t iv_offset;	 /* added to the number of the first 512 bytes, before iv_shift */
	unsigned sector;	 /* bytes */
	unsigned iv_shift;	 /* 0: the tweak counts 512 bytes; 3: sectors of 4096 */
	unsigned char *straddle; /* a sector, for those that no single iovec holds */
};

/* A place in a vector. */
struct vio__xts_cursor {
	const struct iovec *iov;
	unsigned left; /* entries from iov on */
	size_t at;     /* bytes into iov[0] */
};

/*
 * The sectors at `offset`, len bytes of them (whole sectors), out of the vector into
 * `to`, which holds len; the cursor moves on. A NULL cursor stands for zeroes. False
 * if the vector is too short or OpenSSL refuses. The source is read once.
 */
bool vio__xts_encrypt(struct vio__xts *x, uint64_t offset, unsigned char *to, uint64_t len,
		      struct vio__xts_cursor *from);

/* Decrypts len bytes in the vector in place. */
bool vio__xts_decrypt(struct vio__xts *x, uint64_t offset, uint64_t len, struct vio__xts_cursor *at);

#endif
