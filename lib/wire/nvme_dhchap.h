/* SPDX-License-Identifier: MIT */
/*
 * DH-HMAC-CHAP (NVMe Base 2.0, 8.13): what both ends say in Authentication Send and
 * Receive, and what they calculate. One queue's transaction is a struct dhchap; whose turn
 * it is and what follows is the owner's business.
 *
 * Calculating is OpenSSL's. A library built without it has no secrets: dhchap_key says so.
 */
#ifndef VIO_WIRE_NVME_DHCHAP_H
#define VIO_WIRE_NVME_DHCHAP_H

#include "wire/nvme.h"

#include <stdbool.h>

#define DHCHAP_HASH_MAX 64u	  /* bytes: SHA-512's */
#define DHCHAP_VALUE_MAX 1024u	  /* ffdhe8192's */
#define DHCHAP_MESSAGE 2048u	  /* no message is longer */
#define DHCHAP_SECRET_MAX 128u	  /* characters of a secret, more than any has */
#define DHCHAP_GROUPS 6u	  /* NULL, ffdhe2048 to ffdhe8192 */
#define DHCHAP_HASHES 4u	  /* 1 to 3: SHA-256, SHA-384, SHA-512 */
#define DHCHAP_AUTHREQ (3u << 17) /* of a Connect's result: ATR, ASCR */
#define DHCHAP_ATR (1u << 17)

/* Authentication Send and Receive, in place of a struct nvme_cmd. */
struct nvme_auth_cmd {
	uint8_t opcode, flags;
	uint16_t cid;
	uint8_t fctype;
	uint8_t reserved1[19];
	struct nvme_sgl sgl;
	uint8_t reserved2;
	uint8_t spsp0, spsp1, secp;
	uint32_t len; /* of the message that is sent; or room for the one that is received */
	uint8_t reserved3[16];
};
_Static_assert(sizeof(struct nvme_auth_cmd) == 64, "6.1, 6.2");

#define DHCHAP_SECP 0xe9 /* NVMe's security protocol, and what it is for */
#define DHCHAP_SPSP 1

enum dhchap_id {
	DHCHAP_NEGOTIATE = 0x00,
	DHCHAP_CHALLENGE = 0x01,
	DHCHAP_REPLY = 0x02,
	DHCHAP_SUCCESS1 = 0x03,
	DHCHAP_SUCCESS2 = 0x04,
	DHCHAP_FAILURE2 = 0xf0,
	DHCHAP_FAILURE1 = 0xf1,
};

/* A message's type: common to all protocols (negotiate, failures), or this one's. */
enum { DHCHAP_COMMON = 0, DHCHAP_OWN = 1 };

/* Why it failed: the explanation in a failure message; its reason is always 1. */
enum dhchap_why {
	DHCHAP_OK = 0,
	DHCHAP_FAILED = 1,
	DHCHAP_NO_PROTOCOL = 2,
	DHCHAP_CONCATENATION = 3,
	DHCHAP_NO_HASH = 4,
	DHCHAP_NO_GROUP = 5,
	DHCHAP_BAD_PAYLOAD = 6,
	DHCHAP_BAD_MESSAGE = 7,
};

struct dhchap_head {
	uint8_t type, id;
	uint16_t reserved;
	uint16_t tid;
};

struct dhchap_protocol {
	uint8_t id; /* 1 */
	uint8_t reserved;
	uint8_t nhashes, ngroups;
	uint8_t hashes[30], groups[30];
};

struct dhchap_negotiate {
	struct dhchap_head head;
	uint8_t sc_c;
	uint8_t n;
	struct dhchap_protocol protocol[];
};

struct dhchap_challenge {
	struct dhchap_head head;
	uint8_t hl, reserved;
	uint8_t hash, group;
	uint16_t dhvlen;
	uint32_t seq;
	uint8_t value[]; /* the challenge, hl bytes; then the DH value */
} __attribute__((packed));

struct dhchap_reply {
	struct dhchap_head head;
	uint8_t hl, reserved1;
	uint8_t cvalid, reserved2;
	uint16_t dhvlen;
	uint32_t seq;
	uint8_t value[]; /* response, challenge, hl bytes each; then the DH value */
} __attribute__((packed));

struct dhchap_success1 {
	struct dhchap_head head;
	uint8_t hl, reserved1;
	uint8_t rvalid, reserved2[7];
	uint8_t value[]; /* the response, if rvalid */
};

struct dhchap_success2 {
	struct dhchap_head head;
	uint8_t reserved[10];
};

struct dhchap_failure {
	struct dhchap_head head;
	uint8_t reason, why;
};

_Static_assert(sizeof(struct dhchap_protocol) == 64 && sizeof(struct dhchap_negotiate) == 8 &&
		       sizeof(struct dhchap_challenge) == 16 && sizeof(struct dhchap_reply) == 16 &&
		       sizeof(struct dhchap_success1) == 16 && sizeof(struct dhchap_success2) == 16 &&
		       sizeof(struct dhchap_failure) == 8,
	       "8.13.5");

/* A secret as it is used: for one NQN. len 0: none. */
struct dhchap_key {
	uint8_t len;
	uint8_t bytes[DHCHAP_HASH_MAX];
};

struct dhchap {
	uint16_t tid;
	uint8_t hash, hash_len, group;
	uint32_t s1, s2;
	uint8_t c1[DHCHAP_HASH_MAX], c2[DHCHAP_HASH_MAX];
	uint8_t session[DHCHAP_HASH_MAX]; /* hash of what both ends agreed on; group 0: none */
	void *dh;			  /* our exponent, an EVP_PKEY */
};

/*
 * Of "DHHC-1:hh:BASE64:", the key that proves to be nqn. -EINVAL, or -ENOSYS in a library
 * built without OpenSSL, and a sentence that begins with `of` and does not show the secret.
 */
int vio__dhchap_key(struct dhchap_key *k, const char *secret, const char *nqn, const char *of);
/* The same, from a file that nobody but its owner may read. */
int vio__dhchap_key_file(struct dhchap_key *k, const char *path, const char *nqn, const char *of);
void vio__dhchap_wipe(void *p, size_t len);

/* k as nqn uses it, which a secret of that hash asks for. */
int vio__dhchap_transform(struct dhchap_key *k, uint8_t hash, const char *nqn);
bool vio__dhchap_has(void); /* OpenSSL */

/* Bytes of a hash, of a group's value. 0: there is no such; for group 0 too. */
unsigned vio__dhchap_hash_len(uint8_t hash);
unsigned vio__dhchap_value_len(uint8_t group);

/* What follows is -ENOMEM, or -EIO where OpenSSL fails, or 0. */
int vio__dhchap_random(void *to, size_t len);
/* Takes a new exponent for d->group, which is not 0; our value, of the group's length. */
int vio__dhchap_value(struct dhchap *d, uint8_t *value);
/* The other end's value has come, of the group's length: d->session. -EBADMSG: it is none that may be. */
int vio__dhchap_agree(struct dhchap *d, const uint8_t *value);

/* Who proves itself: the host for c1 and s1, the controller for c2 and s2. */
enum dhchap_role { DHCHAP_HOST, DHCHAP_CTRL };
int vio__dhchap_response(const struct dhchap *d, const struct dhchap_key *k, enum dhchap_role role,
			 const char *hostnqn, const char *subnqn, uint8_t response[DHCHAP_HASH_MAX]);
/* In a time that does not tell where they differ. */
bool vio__dhchap_equal(const void *a, const void *b, size_t len);

/* Forgets all that was secret. */
void vio__dhchap_end(struct dhchap *d);

#endif
