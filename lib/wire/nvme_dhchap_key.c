/* SPDX-License-Identifier: MIT */
/* Secrets as people hold them: "DHHC-1:hh:BASE64:" (NVMe Base 2.0, 8.13.5.8). */
#include "wire/nvme_dhchap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_PREFIX "DHHC-1:"
#define KEY_HEAD (sizeof(KEY_PREFIX "hh:") - 1)
#define KEY_SUM 4u /* bytes of the CRC-32 behind the key */

static uint32_t key_sum(const uint8_t *p, size_t n)
{
	uint32_t sum = ~0u;

	while (n--) {
		sum ^= *p++;
		for (unsigned bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
	}
	return ~sum;
}

static int key_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Bytes, at most max; 0: it is not base64, or they are more. */
static size_t key_decode(uint8_t *to, size_t max, const char *text, size_t len)
{
	size_t n = 0, pad = 0;
	uint32_t bits = 0;

	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	if (len % 4 || len / 4 * 3 - pad > max)
		return 0;
	for (size_t i = 0; i < len - pad; i++) {
		int digit = key_digit(text[i]);

		if (digit < 0)
			return 0;
		bits = bits << 6 | (uint32_t)digit;
		if (i % 4)
			to[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	return n;
}

static int key_bad(const char *of, const char *what)
{
	return vio__fail(EINVAL, "%s: %s, expected DHHC-1:hh:BASE64: as nvme gen-dhchap-key says it", of,
			 what);
}

/* hh is where its hash is said: 00 to 03. */
static int key_parse(struct dhchap_key *k, const char *secret, const char *of)
{
	uint8_t raw[DHCHAP_HASH_MAX + KEY_SUM];
	size_t len = strlen(secret), n;
	uint32_t sum;
	int rc = 0;

	if (len <= KEY_HEAD || len > DHCHAP_SECRET_MAX || strncmp(secret, KEY_PREFIX, strlen(KEY_PREFIX)) ||
	    secret[KEY_HEAD - 1] != ':' || secret[len - 1] != ':')
		return key_bad(of, "this is no secret");
	if (secret[KEY_HEAD - 3] != '0' || secret[KEY_HEAD - 2] < '0' || secret[KEY_HEAD - 2] > '3')
		return key_bad(of, "the secret's hash is not 00 to 03");
	n = key_decode(raw, sizeof(raw), secret + KEY_HEAD, len - 1 - KEY_HEAD);
	if (n != 32 + KEY_SUM && n != 48 + KEY_SUM && n != 64 + KEY_SUM) {
		rc = key_bad(of, "the secret is not 32, 48 or 64 bytes in base64");
	} else {
		k->len = (uint8_t)(n - KEY_SUM);
		memcpy(k->bytes, raw, k->len);
		memcpy(&sum, raw + k->len, sizeof(sum));
		if (sum != key_sum(k->bytes, k->len))
			rc = key_bad(of, "the secret's checksum is wrong");
	}
	vio__dhchap_wipe(raw, sizeof(raw));
	return rc;
}

int vio__dhchap_key(struct dhchap_key *k, const char *secret, const char *nqn, const char *of)
{
	int rc = key_parse(k, secret, of);
	uint8_t hash = rc ? 0 : (uint8_t)(secret[KEY_HEAD - 2] - '0');

	if (!rc && !vio__dhchap_has())
		rc = vio__fail(ENOSYS, "%s: the library was built without OpenSSL (VIO_CRYPTO)", of);
	if (!rc && hash)
		rc = vio__dhchap_transform(k, hash, nqn);
	if (rc)
		vio__dhchap_wipe(k, sizeof(*k));
	return rc;
}

static int key_read(char *to, size_t max, const char *path, const char *of)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;
	int rc = 0;

	if (fd < 0 || fstat(fd, &st))
		rc = vio__fail(errno, "%s: can't open %s: %s", of, path, strerror(errno));
	else if (S_ISREG(st.st_mode) && st.st_mode & (S_IRWXG | S_IRWXO))
		rc = vio__fail(EPERM, "%s: others may read or write %s; chmod 600 it", of, path);
	else if ((n = read(fd, to, max - 1)) < 0)
		rc = vio__fail(errno, "%s: can't read %s: %s", of, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	to[n > 0 ? n : 0] = 0;
	return rc;
}

int vio__dhchap_key_file(struct dhchap_key *k, const char *path, const char *nqn, const char *of)
{
	char text[DHCHAP_SECRET_MAX + 2];
	int rc = key_read(text, sizeof(text), path, of);

	if (!rc) {
		text[strcspn(text, " \t\r\n")] = 0;
		rc = vio__dhchap_key(k, text, nqn, of);
	}
	vio__dhchap_wipe(text, sizeof(text));
	return rc;
}
