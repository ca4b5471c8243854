/* SPDX-License-Identifier: MIT */
/*
 * How much of OpenSSL's AES-256-XTS does the crypt filter leave? The peer is a bare
 * loop over EVP that sets the IV for each sector; ours is the filter over a null
 * store. Both encrypt a batch of 4 KiB requests into other memory, then decrypt a
 * batch in place, on one thread.
 */
#include "drive.h"
#include "pairs.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#define REQUEST 4096u
#define BYTES (DRIVE_BATCH * REQUEST)
#define ROUNDS 60u /* a slice: about 6 ms */

static unsigned char data[BYTES] __attribute__((aligned(4096))), bounce[BYTES] __attribute__((aligned(4096)));
static unsigned char key[64];

struct raw {
	EVP_CIPHER_CTX *enc, *dec;
	unsigned sector;
};

static EVP_CIPHER_CTX *raw_context(int enc)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-XTS", NULL);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (!cipher || !c || EVP_CipherInit_ex2(c, cipher, key, NULL, enc, NULL) != 1)
		exit(1);
	EVP_CIPHER_free(cipher);
	return c;
}

static void raw_pass(EVP_CIPHER_CTX *c, unsigned char *to, const unsigned char *from, unsigned sector)
{
	uint64_t iv[2] = { 0, 0 };
	int n;

	for (unsigned at = 0; at < BYTES; at += sector, iv[0] += sector / 512)
		if (EVP_CipherInit_ex2(c, NULL, NULL, (unsigned char *)iv, -1, NULL) != 1 ||
		    EVP_CipherUpdate(c, to + at, &n, from + at, (int)sector) != 1)
			exit(1);
}

static void raw_round(void *ctx)
{
	struct raw *r = ctx;

	raw_pass(r->enc, bounce, data, r->sector);
	raw_pass(r->dec, data, data, r->sector);
}

static void filter_round(void *ctx)
{
	drive_batch(ctx, VIO_OP_WRITE);
	drive_batch(ctx, VIO_OP_READ);
}

/* GB/s of the best round of a slice: rounds are short enough that most are not interrupted. */
static double best(void (*round)(void *), void *ctx)
{
	double best = 1, start, end = pairs_now();

	for (unsigned i = 0; i < ROUNDS; i++) {
		start = end;
		round(ctx);
		end = pairs_now();
		best = end - start < best ? end - start : best;
	}
	return 2.0 * BYTES / best / 1e9;
}

static double raw_slice(void *ctx)
{
	return best(raw_round, ctx);
}

static double filter_slice(void *ctx)
{
	return best(filter_round, ctx);
}

static char keyfile[] = "/tmp/vio-bench-key-XXXXXX";

static void forget_key(void)
{
	unlink(keyfile);
}

static void measure(const char *figure, unsigned sector, double floor)
{
	struct raw raw = { raw_context(1), raw_context(0), sector };
	struct vio_backend *b;
	struct drive d;
	struct pairs p;
	char stack[256];

	snprintf(stack, sizeof(stack), "null:1M | crypt:keyfile=%s,sector=%u", keyfile, sector);
	drive_check(vio_backend_parse(&b, NULL, stack));
	drive_open(&d, b, data, REQUEST);
	pairs_run(&p, filter_slice, &d, raw_slice, &raw);
	pairs_print(figure, pairs_ratio(&p), "ratio", &p, floor);
	printf("{\"sector\":%u,\"crypt_gbps\":%.3g,\"raw_gbps\":%.3g,\"openssl\":\"%s\"}\n", sector,
	       pairs_median(p.a).median, pairs_median(p.b).median, OpenSSL_version(OPENSSL_VERSION_STRING));
	drive_close(&d);
	EVP_CIPHER_CTX_free(raw.enc);
	EVP_CIPHER_CTX_free(raw.dec);
}

int main(void)
{
	int fd = mkstemp(keyfile);

	atexit(forget_key); /* also where something fails on the way */
	if (fd < 0 || RAND_bytes(key, sizeof(key)) != 1 || write(fd, key, sizeof(key)) != sizeof(key))
		return 1;
	close(fd);
	measure("crypt.4k", 4096, 0.90);
	measure("crypt.512", 512, NAN);
	return 0;
}
