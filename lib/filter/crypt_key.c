/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem, process_vm_readv */
#ifdef VIO_HAVE_CRYPTO
#include "filter/crypt_keeper.h"
#include "filter/crypt_key.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define KEY_MAX 64u
#define KEY_STATE 2048u /* more than OpenSSL's state of AES-XTS */

static const struct key_kind {
	const char *name, *fetch;
	unsigned bytes;
} key_kinds[] = {
	{ "aes-256-xts", "AES-256-XTS", 64 },
	{ "aes-128-xts", "AES-128-XTS", 32 },
};

/* Keeps the pages of p..p+len in memory and out of core dumps. */
static int key_protect(void *p, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)p & ~(page - 1);

	len = ((uintptr_t)p + len - start + page - 1) & ~(page - 1);
	if (mlock((void *)start, len) || madvise((void *)start, len, MADV_DONTDUMP))
		return vio__fail(ENOMEM,
				 "crypt: can't lock the key in memory (%s); is RLIMIT_MEMLOCK too low?",
				 strerror(errno));
	return 0;
}

static ssize_t key_peek(void *to, size_t len, const void *from)
{
	struct iovec l = { to, len }, r = { (void *)from, len };

	return process_vm_readv(getpid(), &l, 1, &r, 1, 0);
}

/*
 * OpenSSL keeps the key schedules in a heap block of its own and has no call that
 * says where. A schedule for encryption, which the tweak's always is, starts with the
 * key itself: so the block is where one word of the context points to and the tweak's
 * half of the key is found. Looked at through the kernel, for not every word is a
 * pointer. 0: not found, as with an OpenSSL that prepares its keys in another way.
 */
static unsigned key_find_state(const EVP_CIPHER_CTX *c, const unsigned char *tweak, size_t len)
{
	uintptr_t words[32] = { 0 };
	unsigned char block[KEY_STATE];
	unsigned found = 0;

	key_peek(words, sizeof(words), c);
	for (unsigned i = 1; i < VIO_ARRAY_SIZE(words) && !found; i++) {
		ssize_t got = words[i] ? key_peek(block, sizeof(block), (void *)words[i]) : 0;

		if (got > 0 && memmem(block, (size_t)got, tweak, len))
			found = i;
	}
	OPENSSL_cleanse(block, sizeof(block));
	return found;
}

/* How many of len bytes can be read: a heap may end soon behind a block, and what is reserved for it can't be
 * locked. */
static size_t key_readable(const void *p, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)p, at = from & ~(page - 1);
	unsigned char any;

	while (at < from + len && key_peek(&any, 1, (void *)at) == 1)
		at += page;
	return at > from ? VIO_MIN(at - from, len) : 0;
}

/* Pages stay protected after the context is gone (wiped by OpenSSL): they may hold another's by then. */
static int key_protect_state(const EVP_CIPHER_CTX *c, unsigned word)
{
	void *state;

	if (!word)
		return 0;
	memcpy(&state, (const char *)c + word * sizeof(state), sizeof(state));
	return key_protect(state, key_readable(state, KEY_STATE));
}

static EVP_CIPHER_CTX *key_context(const struct key_kind *kind, const unsigned char *key, int enc)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, kind->fetch, NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (!cipher || !c || EVP_CipherInit_ex2(c, cipher, key, NULL, enc, NULL) != 1) {
		EVP_CIPHER_CTX_free(c);
		c = NULL;
	}
	EVP_CIPHER_free(cipher); /* the context holds a reference */
	return c;
}

static int key_prepare(struct vio__crypt_key *k, const struct key_kind *kind, const unsigned char *key)
{
	unsigned half = kind->bytes / 2;
	int rc;

	if (!CRYPTO_memcmp(key, key + half, half))
		return vio__fail(EINVAL,
				 "crypt: the halves of the key are equal, which AES-XTS forbids; "
				 "take %u random bytes",
				 kind->bytes);
	k->kind = kind;
	k->enc = key_context(kind, key, 1);
	k->dec = key_context(kind, key, 0);
	if (!k->enc || !k->dec)
		return vio__fail(ENOTSUP, "crypt: OpenSSL offers no %s", kind->fetch);
	k->state = key_find_state(k->enc, key + half, half);
	rc = key_protect_state(k->enc, k->state);
	return rc ? rc : key_protect_state(k->dec, k->state);
}

/* The file's bytes, at most max; the count, or -errno. */
static ssize_t key_read_fd(int fd, unsigned char *to, size_t max)
{
	size_t have = 0;
	ssize_t n;

	do {
		n = read(fd, to + have, max - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		have += n > 0 ? (size_t)n : 0;
	} while (n && have < max);
	return (ssize_t)have;
}

static ssize_t key_read(const char *path, unsigned char *to, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		n = vio__fail(errno, "crypt: can't open the key file %s: %s", path, strerror(errno));
	else if (S_ISREG(st.st_mode) && st.st_nlink && (st.st_mode & S_IWOTH)) /* a memfd has no name */
		n = vio__fail(EPERM, "crypt: everybody may write the key file %s; chmod 600 it", path);
	else if ((n = key_read_fd(fd, to, max)) < 0)
		vio__fail((int)-n, "crypt: can't read the key file %s: %s", path, strerror((int)-n));
	if (fd >= 0)
		close(fd);
	return n;
}

static const struct key_kind *key_kind(const char *name)
{
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(key_kinds); i++)
		if (!strcmp(name, key_kinds[i].name))
			return &key_kinds[i];
	vio__fail(EINVAL, "crypt: unknown cipher '%s'; there are: aes-256-xts, aes-128-xts", name);
	return NULL;
}

/* A page for a raw key; NULL: no memory, and the sentence says so. */
static unsigned char *key_page(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char *raw = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (raw == MAP_FAILED) {
		vio__fail(ENOMEM, "crypt: no memory for the key");
		return NULL;
	}
	if (!key_protect(raw, page))
		return raw;
	munmap(raw, page);
	return NULL;
}

static void key_page_free(unsigned char *raw)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!raw)
		return;
	OPENSSL_cleanse(raw, page);
	munmap(raw, page);
}

static int key_load(struct vio__crypt_key *k, const char *path, const struct key_kind *kind,
		    unsigned char *raw)
{
	ssize_t n = key_read(path, raw, KEY_MAX + 1);

	if (n < 0)
		return (int)n;
	if (n != (ssize_t)kind->bytes)
		return vio__fail(EINVAL, "crypt: the key file %s holds %s%zd bytes, %s takes exactly %u, raw",
				 path, n > (ssize_t)KEY_MAX ? "more than " : "", VIO_MIN(n, (ssize_t)KEY_MAX),
				 kind->name, kind->bytes);
	return key_prepare(k, kind, raw);
}

int vio__crypt_key_load(struct vio__crypt_key *k, const char *path, const char *cipher)
{
	const struct key_kind *kind = key_kind(cipher);
	unsigned char *raw;
	int rc;

	memset(k, 0, sizeof(*k));
	if (!kind)
		return -EINVAL;
	raw = key_page();
	if (!raw)
		return -ENOMEM;
	rc = key_load(k, path, kind, raw);
	key_page_free(raw);
	if (rc)
		vio__crypt_key_free(k);
	return rc;
}

static int key_random(unsigned char *raw, unsigned n)
{
	if (getrandom(raw, n, 0) == (ssize_t)n) /* halves of random bytes are not equal; key_prepare looks */
		return 0;
	return vio__fail(EIO, "crypt: no random bytes for a key: %s", strerror(errno));
}

int vio__crypt_key_renew(struct vio__crypt_key *k, struct vio__crypt_keeper *keeper)
{
	struct vio__crypt_key fresh = { 0 }, old = *k;
	unsigned char *raw = key_page();
	bool replaced = false;
	int rc = raw ? key_random(raw, k->kind->bytes) : -ENOMEM;

	rc = rc ? rc : key_prepare(&fresh, k->kind, raw);
	rc = rc ? rc : vio__crypt_keeper_replace(keeper, raw, k->kind->bytes, &replaced);
	if (replaced)
		*k = fresh;
	vio__crypt_key_free(replaced ? &old : &fresh);
	key_page_free(raw);
	return rc;
}

void vio__crypt_key_free(struct vio__crypt_key *k)
{
	EVP_CIPHER_CTX_free(k->enc);
	EVP_CIPHER_CTX_free(k->dec);
	k->enc = k->dec = NULL;
}

static EVP_CIPHER_CTX *key_copy(const struct vio__crypt_key *k, const EVP_CIPHER_CTX *from)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (c && EVP_CIPHER_CTX_copy(c, from) == 1 && !key_protect_state(c, k->state))
		return c;
	EVP_CIPHER_CTX_free(c);
	return NULL;
}

int vio__crypt_key_copy(const struct vio__crypt_key *k, EVP_CIPHER_CTX **enc, EVP_CIPHER_CTX **dec)
{
	*enc = key_copy(k, k->enc);
	*dec = key_copy(k, k->dec);
	if (*enc && *dec)
		return 0;
	EVP_CIPHER_CTX_free(*enc);
	EVP_CIPHER_CTX_free(*dec);
	return vio__fail(ENOMEM,
			 "crypt: no locked memory for a lane's keys; a higher RLIMIT_MEMLOCK may help");
}
#endif
