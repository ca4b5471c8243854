/* SPDX-License-Identifier: MIT */
/*
 * crypt: what lies beneath is ciphertext, sector by sector, as dm-crypt's
 * aes-xts-plain64 writes it.
 *
 * A write is encrypted out of guest memory into a bounce pool, in one read of each
 * byte: what the guest changes meanwhile ends up on its own disk or not, and
 * nothing else depends on it. A read is decrypted in place when it has come up. The
 * guest can look at its ciphertext while that goes on, or change it: it owns the
 * disk, knows the plaintext, and chosen texts do not give an AES key away.
 *
 * What exceeds the pool's longest run is written in pieces, one after another.
 */
#ifdef VIO_HAVE_CRYPTO
#include "base/arg.h"
#include "base/base.h"
#include "filter/bounce.h"
#include "filter/crypt_keeper.h"
#include "filter/crypt_key.h"
#include "filter/crypt_xts.h"
#include "filter/answered.h"

#include <openssl/crypto.h>

#define CRYPT_BATCH 32u
#define CRYPT_BLOCK_MAX (VIO__BOUNCE_CHUNK * VIO__BOUNCE_CELL) /* a run must hold one */
/* Rounds of pieces in one reap, over an end that completes at once: no request takes the thread for long. */
#define CRYPT_ROUNDS 8u

struct crypt {
	struct vio__crypt_key key;
	struct vio__crypt_keeper keeper; /* if the key can be erased */
	uint64_t iv_offset, bounce;
	unsigned sector, iv_shift;
	unsigned block; /* of requests; at least a sector */
};

struct crypt_lane {
	struct vio__xts xts;
	struct vio__bounce bounce;
	struct vio_reqs waiting; /* writes that need a run of the pool, or room beneath */
	struct vio_reqs done;
	struct vio_timer again;
	struct vio_lane *lane;
	unsigned block, unit; /* bytes; cells */
	unsigned char straddle[4096];
};

/* A write, or zeroes, under way: what it was, and the piece that is beneath. */
struct crypt_req {
	struct vio__xts_cursor from;
	struct vio__bounce_run run;
	struct iovec piece;
	struct iovec *iov;
	uint64_t offset, len;
	uint64_t left; /* bytes not yet encrypted */
	uint16_t niov;
	uint8_t op, flags;
};

static int crypt_limits(struct vio_backend *b, struct crypt *c)
{
	VIO_OPTS(vio_backend_info, i);
	int rc = vio_backend_info(b->next, &i);

	if (rc)
		return rc;
	if (!vio__is_pow2(i.block) || i.block > CRYPT_BLOCK_MAX)
		return vio__fail(EINVAL,
				 "crypt: blocks of %u bytes beneath, expected a power of two up to %u",
				 i.block, CRYPT_BLOCK_MAX);
	c->block = VIO_MAX(i.block, c->sector);
	if (i.size < c->block)
		return vio__fail(EINVAL,
				 "crypt: the store beneath holds %llu bytes, less than one sector of %u",
				 (unsigned long long)i.size, c->block);
	return 0;
}

static int crypt_setup(struct vio_backend *b, const char *keyfile, const char *cipher, uint64_t sector,
		       bool large, bool erase)
{
	struct crypt *c = b->priv;
	int rc;

	if (!keyfile)
		return vio__fail(EINVAL, "crypt: keyfile=PATH is missing");
	if (sector != 512 && sector != 4096)
		return vio__fail(EINVAL, "crypt: sector=%llu, expected 512 or 4096",
				 (unsigned long long)sector);
	c->sector = (unsigned)sector;
	c->iv_shift = large ? (unsigned)__builtin_ctz(c->sector / 512) : 0;
	rc = crypt_limits(b, c);
	rc = rc ? rc : vio__crypt_keeper_open(&c->keeper, keyfile, erase);
	return rc ? rc : vio__crypt_key_load(&c->key, keyfile, cipher ? cipher : "aes-256-xts");
}

static int crypt_open(struct vio_backend *b, const char *arg)
{
	struct crypt *c = b->priv;
	char *keyfile = NULL, *cipher = NULL;
	uint64_t sector = 512;
	bool large = false, erase = false;
	const struct vio__arg args[] = {
		{ "keyfile", VIO__ARG_TEXT, &keyfile, 0, 0 },
		{ "sector", VIO__ARG_SIZE, &sector, 0, 0 },
		{ "cipher", VIO__ARG_TEXT, &cipher, 0, 0 },
		{ "iv-offset", VIO__ARG_NUM, &c->iv_offset, 0, 0 },
		{ "iv-large-sectors", VIO__ARG_BOOL, &large, 0, 0 },
		{ "erase", VIO__ARG_BOOL, &erase, 0, 0 },
		{ "bounce", VIO__ARG_SIZE, &c->bounce, 64 << 10, 1ull << 30 },
	};
	int rc;

	c->bounce = 4 << 20;
	c->keeper.fd = -1;
	rc = vio__args("crypt", arg, args, VIO_ARRAY_SIZE(args));
	if (!rc)
		rc = crypt_setup(b, keyfile, cipher, sector, large, erase);
	if (rc)
		vio__crypt_keeper_close(&c->keeper);
	free(keyfile);
	free(cipher);
	return rc;
}

static void crypt_close(struct vio_backend *b)
{
	struct crypt *c = b->priv;

	vio__crypt_key_free(&c->key);
	vio__crypt_keeper_close(&c->keeper);
}

static int crypt_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct crypt *c = b->priv;

	i->block = VIO_MAX(i->block, c->sector);
	i->size -= i->size % i->block;
	i->optimal -= i->optimal % i->block;
	if (i->ops & 1u << VIO_OP_WRITE)
		i->ops |= 1u << VIO_OP_WRITE_ZEROES;
	i->crypto_erase |= c->keeper.fd >= 0;
	return 0;
}

static int crypt_erase(struct vio_backend *b)
{
	struct crypt *c = b->priv;

	return vio__crypt_key_renew(&c->key, &c->keeper);
}

static void crypt_again(struct vio_timer *t);

static int crypt_lane_open(struct vio_lane *l)
{
	const struct crypt *c = l->backend->priv;
	struct crypt_lane *cl = l->priv;
	int rc = vio__bounce_init(&cl->bounce, c->bounce);

	if (rc)
		return rc;
	rc = vio__crypt_key_copy(&c->key, &cl->xts.enc, &cl->xts.dec);
	if (rc) {
		vio__bounce_fini(&cl->bounce);
		return rc;
	}
	cl->xts.iv_offset = c->iv_offset;
	cl->xts.sector = c->sector;
	cl->xts.iv_shift = c->iv_shift;
	cl->xts.straddle = cl->straddle;
	cl->block = c->block;
	cl->unit = VIO_MAX(c->block / VIO__BOUNCE_CELL, 1u);
	cl->again.fire = crypt_again;
	cl->lane = l;
	return 0;
}

static void crypt_lane_close(struct vio_lane *l)
{
	struct crypt_lane *cl = l->priv;

	vio_timer_cancel(l->poller, &cl->again);
	EVP_CIPHER_CTX_free(cl->xts.enc);
	EVP_CIPHER_CTX_free(cl->xts.dec);
	vio__bounce_fini(&cl->bounce);
	OPENSSL_cleanse(cl->straddle, sizeof(cl->straddle));
}

/* Nothing new while writes wait: they would only wait behind them. */
static unsigned crypt_room(struct vio_lane *l)
{
	struct crypt_lane *cl = l->priv;

	return cl->waiting.head ? 0 : vio_next_room(l);
}

/* Encrypts as much of what is left as one run holds. 1: ready to go down; 0: the pool is empty. */
static int crypt_piece(struct vio_lane *l, struct vio_req *r)
{
	struct crypt_lane *cl = l->priv;
	struct crypt_req *q = vio_req_scratch(l, r);
	uint64_t cells = (q->left + VIO__BOUNCE_CELL - 1) / VIO__BOUNCE_CELL;
	struct iovec p;

	if (!vio__bounce_get(&cl->bounce, (unsigned)VIO_MIN(cells, VIO__BOUNCE_CHUNK), cl->unit, &q->run))
		return 0;
	p.iov_base = vio__bounce_ptr(&cl->bounce, &q->run);
	p.iov_len = VIO_MIN(q->left, (uint64_t)q->run.cells * VIO__BOUNCE_CELL);
	r->offset = q->offset + q->len - q->left;
	r->len = p.iov_len;
	if (!vio__xts_encrypt(&cl->xts, r->offset, p.iov_base, p.iov_len,
			      q->op == VIO_OP_WRITE ? &q->from : NULL))
		return -EIO;
	q->left -= p.iov_len;
	q->piece = p;
	r->iov = &q->piece;
	r->niov = 1;
	return 1;
}

static void crypt_begin(struct vio_lane *l, struct vio_req *r)
{
	struct crypt_req *q = vio_req_scratch(l, r);

	q->from = (struct vio__xts_cursor){ r->iov, r->niov, 0 };
	q->iov = r->iov;
	q->niov = r->niov;
	q->offset = r->offset;
	q->len = q->left = r->len;
	q->op = r->op;
	q->flags = r->flags;
	q->run.cells = 0;
	r->op = VIO_OP_WRITE;
	r->flags &= (uint8_t)~VIO_REQ_UNMAP; /* zeroes are written: ciphertext has no holes */
}

/* The request as it came, its run back in the pool. */
static void crypt_end(struct vio_lane *l, struct vio_req *r)
{
	struct crypt_lane *cl = l->priv;
	struct crypt_req *q = vio_req_scratch(l, r);

	vio__bounce_put(&cl->bounce, &q->run);
	r->op = q->op;
	r->flags = q->flags;
	r->iov = q->iov;
	r->niov = q->niov;
	r->offset = q->offset;
	r->len = q->len;
}

/* True when the request may go down now; otherwise it waits, or is done. */
static bool crypt_write(struct vio_lane *l, struct vio_req *r)
{
	struct crypt_lane *cl = l->priv;
	int rc = cl->waiting.head ? 0 : crypt_piece(l, r);

	if (VIO_LIKELY(rc > 0))
		return true;
	if (!rc) {
		vio_reqs_push(&cl->waiting, r);
		return false;
	}
	crypt_end(l, r);
	answered_push(l, &cl->done, r, rc);
	return false;
}

static bool crypt_down(struct vio_lane *l, struct vio_req *r)
{
	struct crypt_lane *cl = l->priv;

	if (r->op > VIO_OP_WRITE && r->op != VIO_OP_WRITE_ZEROES)
		return true;
	if (VIO_UNLIKELY((r->offset | r->len) & (cl->block - 1) || !r->len)) {
		answered_push(l, &cl->done, r, r->len ? -EINVAL : 0);
		return false;
	}
	if (r->op == VIO_OP_READ)
		return true;
	crypt_begin(l, r);
	return crypt_write(l, r);
}

static void crypt_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	unsigned from = 0;

	for (unsigned i = 0; i < n; i++) {
		if (VIO_LIKELY(crypt_down(l, r[i])))
			continue;
		if (i > from)
			vio_next_submit(l, r + from, i - from);
		from = i + 1;
	}
	if (n > from)
		vio_next_submit(l, r + from, n - from);
}

/* Sends down waiting pieces while there is a run of the pool and room; how many. */
static unsigned crypt_resume(struct vio_lane *l)
{
	struct crypt_lane *cl = l->priv;
	struct vio_req *batch[CRYPT_BATCH], *r;
	unsigned room = VIO_MIN(vio_next_room(l), CRYPT_BATCH), n = 0;
	int rc;

	while (n < room && (r = cl->waiting.head)) {
		rc = crypt_piece(l, r);
		if (!rc)
			break;
		vio_reqs_pop(&cl->waiting);
		if (rc > 0) {
			batch[n++] = r;
			continue;
		}
		crypt_end(l, r);
		answered_push(l, &cl->done, r, rc);
	}
	if (n)
		vio_next_submit(l, batch, n);
	return n;
}

/* A request has come up from beneath; false if it goes on with its next piece. */
static bool crypt_up(struct vio_lane *l, struct vio_req *r)
{
	struct crypt_lane *cl = l->priv;
	struct vio__xts_cursor at = { r->iov, r->niov, 0 };
	struct crypt_req *q = vio_req_scratch(l, r);

	if (r->op == VIO_OP_READ && !r->res && !vio__xts_decrypt(&cl->xts, r->offset, r->len, &at))
		r->res = -EIO;
	if (r->op != VIO_OP_WRITE)
		return true;
	if (VIO_UNLIKELY(!r->res && q->left)) {
		vio__bounce_put(&cl->bounce, &q->run);
		vio_reqs_push(&cl->waiting, r);
		return false;
	}
	crypt_end(l, r);
	return true;
}

static unsigned crypt_reap_next(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	unsigned got = vio_next_reap(l, r, n), kept = 0;

	for (unsigned i = 0; i < got; i++) {
		struct vio_req *up = r[i];

		if (VIO_LIKELY(crypt_up(l, up)))
			r[kept++] = up;
	}
	return kept;
}

/* Pieces over an end that completes at once need more than one look beneath. */
static unsigned crypt_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct crypt_lane *cl = l->priv;
	unsigned got = answered_pop(&cl->done, r, n), rounds = 0;

	got += crypt_reap_next(l, r + got, n - got);
	while (VIO_UNLIKELY(cl->waiting.head != NULL) && crypt_resume(l) && got < n) {
		if (++rounds == CRYPT_ROUNDS) {
			vio_timer_set(l->poller, &cl->again, 0);
			break;
		}
		got += crypt_reap_next(l, r + got, n - got);
	}
	return got;
}

static void crypt_again(struct vio_timer *t)
{
	struct crypt_lane *cl = VIO_CONTAINER(t, struct crypt_lane, again);

	vio_lane_wake(cl->lane);
}

static void crypt_stats(struct vio_backend *b,
			void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
			void *ctx)
{
	const struct crypt *c = b->priv;

	each(ctx, "crypt", "key-protected", c->key.state != 0);
}

const struct vio_backend_type vio__backend_crypt = {
	.sz = sizeof(struct vio_backend_type),
	.name = "crypt",
	.help = "keyfile=PATH[,sector=512|4096][,cipher=aes-256-xts|aes-128-xts][,iv-offset=N]"
		"[,iv-large-sectors=on|off][,erase=on|off][,bounce=SIZE]: encrypts as dm-crypt's "
		"aes-xts-plain64",
	.flags = VIO_BACKEND_FILTER,
	.priv = sizeof(struct crypt),
	.lane_priv = sizeof(struct crypt_lane),
	.scratch = sizeof(struct crypt_req),
	.open = crypt_open,
	.close = crypt_close,
	.info = crypt_info,
	.lane_open = crypt_lane_open,
	.lane_close = crypt_lane_close,
	.room = crypt_room,
	.submit = crypt_submit,
	.reap = crypt_reap,
	.stats = crypt_stats,
	.erase = crypt_erase,
};
#endif
