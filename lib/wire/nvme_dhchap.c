/* SPDX-License-Identifier: MIT */
/* DH-HMAC-CHAP's arithmetic (NVMe Base 2.0, 8.13.5), by OpenSSL. */
#include "wire/nvme_dhchap.h"

unsigned vio__dhchap_hash_len(uint8_t hash)
{
	static const uint8_t lens[DHCHAP_HASHES] = { 0, 32, 48, 64 };

	return hash < DHCHAP_HASHES ? lens[hash] : 0;
}

unsigned vio__dhchap_value_len(uint8_t group)
{
	static const uint16_t lens[DHCHAP_GROUPS] = { 0, 256, 384, 512, 768, 1024 };

	return group < DHCHAP_GROUPS ? lens[group] : 0;
}

#ifdef VIO_HAVE_CRYPTO
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/dh.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

static const char *const dhchap_hashes[DHCHAP_HASHES] = { NULL, "SHA256", "SHA384", "SHA512" };

static int dhchap_failed(void)
{
	ERR_clear_error(); /* it belongs to the thread, and others would find it */
	return vio__fail(EIO, "nvme: OpenSSL can't calculate what DH-HMAC-CHAP needs");
}

bool vio__dhchap_has(void)
{
	return true;
}

void vio__dhchap_wipe(void *p, size_t len)
{
	OPENSSL_cleanse(p, len);
}

bool vio__dhchap_equal(const void *a, const void *b, size_t len)
{
	return !CRYPTO_memcmp(a, b, len);
}

int vio__dhchap_random(void *to, size_t len)
{
	return RAND_bytes(to, (int)len) == 1 ? 0 : dhchap_failed();
}

/* HMAC, fed in parts. */
static EVP_MAC_CTX *mac_begin(uint8_t hash, const uint8_t *key, size_t len)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)dhchap_hashes[hash], 0),
		OSSL_PARAM_construct_end(),
	};

	if (c && EVP_MAC_init(c, key, len, params) != 1) {
		EVP_MAC_CTX_free(c);
		c = NULL;
	}
	EVP_MAC_free(mac);
	return c;
}

/* Takes c, which may be NULL. */
static int mac_end(EVP_MAC_CTX *c, bool fed, uint8_t out[DHCHAP_HASH_MAX])
{
	size_t len;
	bool ok = c && fed && EVP_MAC_final(c, out, &len, DHCHAP_HASH_MAX) == 1;

	EVP_MAC_CTX_free(c);
	return ok ? 0 : dhchap_failed();
}

static bool mac_add(EVP_MAC_CTX *c, const void *p, size_t len)
{
	return c && EVP_MAC_update(c, p, len) == 1;
}

static bool mac_text(EVP_MAC_CTX *c, const char *text)
{
	return mac_add(c, text, strlen(text));
}

int vio__dhchap_transform(struct dhchap_key *k, uint8_t hash, const char *nqn)
{
	uint8_t out[DHCHAP_HASH_MAX];
	EVP_MAC_CTX *c = mac_begin(hash, k->bytes, k->len);
	int rc = mac_end(c, mac_text(c, nqn) && mac_text(c, "NVMe-over-Fabrics"), out);

	if (!rc) {
		k->len = (uint8_t)vio__dhchap_hash_len(hash);
		memcpy(k->bytes, out, k->len);
	}
	OPENSSL_cleanse(out, sizeof(out));
	return rc;
}

/* The challenge as it is answered: with what only the two ends of the exchange know. */
static int dhchap_augment(const struct dhchap *d, const uint8_t *c, uint8_t out[DHCHAP_HASH_MAX])
{
	EVP_MAC_CTX *m;

	if (!d->group) {
		memcpy(out, c, d->hash_len);
		return 0;
	}
	m = mac_begin(d->hash, d->session, d->hash_len);
	return mac_end(m, mac_add(m, c, d->hash_len), out);
}

int vio__dhchap_response(const struct dhchap *d, const struct dhchap_key *k, enum dhchap_role role,
			 const char *hostnqn, const char *subnqn, uint8_t response[DHCHAP_HASH_MAX])
{
	bool host = role == DHCHAP_HOST;
	uint32_t seq = host ? d->s1 : d->s2;
	uint8_t augmented[DHCHAP_HASH_MAX];
	EVP_MAC_CTX *c;
	int rc = dhchap_augment(d, host ? d->c1 : d->c2, augmented);

	if (rc)
		return rc;
	c = mac_begin(d->hash, k->bytes, k->len);
	rc = mac_end(c,
		     mac_add(c, augmented, d->hash_len) && mac_add(c, &seq, sizeof(seq)) &&
			     mac_add(c, &d->tid, sizeof(d->tid)) && mac_add(c, "", 1) && /* SC_C */
			     mac_text(c, host ? "HostHost" : "Controller") &&
			     mac_text(c, host ? hostnqn : subnqn) && mac_add(c, "", 1) &&
			     mac_text(c, host ? subnqn : hostnqn),
		     response);
	OPENSSL_cleanse(augmented, sizeof(augmented));
	return rc;
}

static const char *dh_group_name(uint8_t group)
{
	static const char *const names[DHCHAP_GROUPS] = { NULL,	       "ffdhe2048", "ffdhe3072",
							  "ffdhe4096", "ffdhe6144", "ffdhe8192" };

	return names[group];
}

int vio__dhchap_value(struct dhchap *d, uint8_t *value)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)dh_group_name(d->group),
						 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	unsigned char *mine = NULL;
	EVP_PKEY *dh = NULL;
	size_t len = 0;

	if (c && EVP_PKEY_keygen_init(c) == 1 && EVP_PKEY_CTX_set_params(c, params) == 1 &&
	    EVP_PKEY_keygen(c, &dh) == 1)
		len = EVP_PKEY_get1_encoded_public_key(dh, &mine);
	EVP_PKEY_CTX_free(c);
	if (len != vio__dhchap_value_len(d->group)) {
		OPENSSL_free(mine);
		EVP_PKEY_free(dh);
		return dhchap_failed();
	}
	memcpy(value, mine, len);
	OPENSSL_free(mine);
	EVP_PKEY_free(d->dh);
	d->dh = dh;
	return 0;
}

/*
 * 1 < value < p - 1. The primes are safe ones: whatever else is in the range generates a
 * group that is large enough, and no power of it has to be looked at.
 */
static bool dh_value_fits(const EVP_PKEY *dh, const uint8_t *value, unsigned len)
{
	BIGNUM *p = NULL, *v = BN_bin2bn(value, (int)len, NULL);
	bool fits = v && EVP_PKEY_get_bn_param(dh, OSSL_PKEY_PARAM_FFC_P, &p) == 1 && BN_sub_word(p, 1) &&
		    !BN_is_zero(v) && !BN_is_one(v) && BN_cmp(v, p) < 0;

	BN_free(v);
	BN_free(p);
	return fits;
}

static EVP_PKEY *dh_peer(EVP_PKEY *mine, const uint8_t *value, unsigned len)
{
	EVP_PKEY *peer = EVP_PKEY_new();

	if (peer && EVP_PKEY_copy_parameters(peer, mine) == 1 &&
	    EVP_PKEY_set1_encoded_public_key(peer, value, len) == 1)
		return peer;
	EVP_PKEY_free(peer);
	return NULL;
}

/* g^xy, with its leading zeroes. */
static bool dh_derive(EVP_PKEY *mine, EVP_PKEY *peer, uint8_t *out, size_t len)
{
	EVP_PKEY_CTX *c = peer ? EVP_PKEY_CTX_new_from_pkey(NULL, mine, NULL) : NULL;
	size_t n = len;
	bool ok = c && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_CTX_set_dh_pad(c, 1) == 1 &&
		  EVP_PKEY_derive_set_peer_ex(c, peer, 0) == 1 && EVP_PKEY_derive(c, out, &n) == 1 &&
		  n == len;

	EVP_PKEY_CTX_free(c);
	return ok;
}

int vio__dhchap_agree(struct dhchap *d, const uint8_t *value)
{
	unsigned len = vio__dhchap_value_len(d->group);
	uint8_t shared[DHCHAP_VALUE_MAX];
	EVP_PKEY *peer;
	bool ok;

	if (!dh_value_fits(d->dh, value, len)) {
		ERR_clear_error();
		return -EBADMSG;
	}
	peer = dh_peer(d->dh, value, len);
	ok = dh_derive(d->dh, peer, shared, len) &&
	     EVP_Q_digest(NULL, dhchap_hashes[d->hash], NULL, shared, len, d->session, NULL) == 1;
	EVP_PKEY_free(peer);
	OPENSSL_cleanse(shared, sizeof(shared));
	return ok ? 0 : dhchap_failed();
}

void vio__dhchap_end(struct dhchap *d)
{
	EVP_PKEY_free(d->dh);
	OPENSSL_cleanse(d, sizeof(*d));
}
#else
/* Never reached, but for wipe and end: there is no key. */
static int dhchap_absent(void)
{
	return vio__fail(ENOSYS, "nvme: this library was built without OpenSSL (VIO_CRYPTO)");
}

bool vio__dhchap_has(void)
{
	return false;
}

void vio__dhchap_wipe(void *p, size_t len)
{
	memset(p, 0, len);
}

bool vio__dhchap_equal(const void *a, const void *b, size_t len)
{
	(void)a, (void)b, (void)len;
	return false;
}

int vio__dhchap_random(void *to, size_t len)
{
	(void)to, (void)len;
	return dhchap_absent();
}

int vio__dhchap_transform(struct dhchap_key *k, uint8_t hash, const char *nqn)
{
	(void)k, (void)hash, (void)nqn;
	return dhchap_absent();
}

int vio__dhchap_response(const struct dhchap *d, const struct dhchap_key *k, enum dhchap_role role,
			 const char *hostnqn, const char *subnqn, uint8_t response[DHCHAP_HASH_MAX])
{
	(void)d, (void)k, (void)role, (void)hostnqn, (void)subnqn, (void)response;
	return dhchap_absent();
}

int vio__dhchap_value(struct dhchap *d, uint8_t *value)
{
	(void)d, (void)value;
	return dhchap_absent();
}

int vio__dhchap_agree(struct dhchap *d, const uint8_t *value)
{
	(void)d, (void)value;
	return dhchap_absent();
}

void vio__dhchap_end(struct dhchap *d)
{
	memset(d, 0, sizeof(*d));
}
#endif
