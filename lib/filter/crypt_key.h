/* SPDX-License-Identifier: MIT */
/*
 * The crypt filter's key: read from its file into locked memory that no core dump
 * shows, made into OpenSSL contexts, wiped. From then on it exists only as the
 * key schedules inside the contexts, whose memory is locked and kept out of dumps too.
 */
#ifndef VIO_FILTER_CRYPT_KEY_H
#define VIO_FILTER_CRYPT_KEY_H

#include "base/base.h"

#include <openssl/evp.h>

struct key_kind;
struct vio__crypt_keeper;

struct vio__crypt_key {
	const struct key_kind *kind;
	EVP_CIPHER_CTX *enc, *dec; /* patterns: lanes copy them */
	unsigned state;		   /* which word of an EVP_CIPHER_CTX points to the schedules */
};

/*
 * cipher: "aes-256-xts" or "aes-128-xts". The file holds the raw key, exactly 64 or
 * 32 bytes, whose halves differ. -EINVAL for anything else, -EPERM for a file that
 * everybody may write, -ENOMEM when the memory can't be locked, or what open said.
 */
int vio__crypt_key_load(struct vio__crypt_key *k, const char *path, const char *cipher);
void vio__crypt_key_free(struct vio__crypt_key *k);

/* Contexts of a lane's own: any thread, while the key is there. -ENOMEM. */
int vio__crypt_key_copy(const struct vio__crypt_key *k, EVP_CIPHER_CTX **enc, EVP_CIPHER_CTX **dec);

/*
 * Another key, of random bytes, in the place of this one, in the keeper's file and in memory. No lane has a
 * copy of it. After a failure it is the one that the file has.
 */
int vio__crypt_key_renew(struct vio__crypt_key *k, struct vio__crypt_keeper *keeper);

#endif
