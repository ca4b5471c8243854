/* SPDX-License-Identifier: MIT */
/* Submission queues in guest memory: commands are copied once, and found data for when the controller asks.
 */
#include "queue/nvme_ring.h"

#include "queue/nvme_pool.h"

#define SQ_CIDS (UINT16_MAX + 1u)

static uint16_t sq_data(struct nvme_queue *q, struct nvme_req *r, uint32_t len, bool in_place);
static void sq_give(struct nvme_queue *q, struct nvme_req *r);
static void sq_end(struct nvme_queue *q, bool now);

static const struct nvme_queue_ops sq_ops = { .data = sq_data, .give = sq_give, .end = sq_end };

static int sq_alloc(struct nvme_sq *sq)
{
	sq->slots = calloc(sq->nslots, sizeof(*sq->slots));
	sq->free = calloc(sq->nslots, sizeof(*sq->free));
	sq->iov = calloc((size_t)sq->nslots * NRING_SEGMENTS, sizeof(*sq->iov));
	sq->cids = calloc(SQ_CIDS / 64, sizeof(*sq->cids));
	if (!sq->slots || !sq->free || !sq->iov || !sq->cids)
		return vio__fail(ENOMEM, "nvme: out of memory for a queue of %u commands", sq->nslots);
	for (unsigned i = sq->nslots; i--;) {
		sq->slots[i].r.q = &sq->q;
		sq->slots[i].r.iov = &sq->iov[(size_t)i * NRING_SEGMENTS];
		sq->free[sq->nfree++] = &sq->slots[i];
	}
	return 0;
}

int nvme_sq_init(struct nvme_sq *sq, const struct nvme_sq_opts *o)
{
	int rc;

	*sq = (struct nvme_sq){ .q = { .ops = &sq_ops, .pool = o->pool, .max_len = NPOOL_MAX },
				.size = o->size,
				.id = o->id,
				.doorbell = o->doorbell,
				.cq = o->cq,
				.mem = vio_mem_ref(o->mem),
				.nslots = o->slots,
				.ended = o->ended };
	rc = o->size < 2 || o->size > NRING_ENTRIES_MAX || o->base % NRING_PAGE
		     ? vio__fail(EINVAL, "nvme: a submission queue of %u entries at %#llx", o->size,
				 (unsigned long long)o->base)
		     : sq_alloc(sq);
	rc = rc ? rc : nvme_sq_remap(sq, o->mem, o->base);
	if (rc)
		nvme_sq_fini(sq);
	else
		sq->cq->sqs++;
	return rc;
}

void nvme_sq_fini(struct nvme_sq *sq)
{
	if (sq->ring)
		sq->cq->sqs--;
	vio_mem_free(sq->mem);
	free(sq->slots);
	free(sq->free);
	free(sq->iov);
	free(sq->cids);
	*sq = (struct nvme_sq){ 0 };
}

int nvme_sq_remap(struct nvme_sq *sq, struct vio_mem *mem, uint64_t base)
{
	struct nvme_cmd *ring = vio_mem_ptr(mem, base, (uint64_t)sq->size * sizeof(*ring));

	if (!ring)
		return vio__fail(EFAULT, "nvme: the submission queue at %#llx is no guest memory",
				 (unsigned long long)base);
	vio_mem_ref(mem);
	vio_mem_free(sq->mem);
	sq->mem = mem;
	sq->ring = ring;
	sq->range = *vio__mem_find(mem, base);
	return 0;
}

/* Anew: how many commands lie there, from the doorbell. */
VIO_INLINE int sq_ready(struct nvme_sq *sq)
{
	uint32_t tail = VIO_LOAD_ACQUIRE(sq->doorbell);

	if (VIO_LIKELY(tail < sq->size))
		return (int)(tail >= sq->head ? tail - sq->head : tail + sq->size - sq->head);
	sq->broken = true;
	return -EBADMSG;
}

VIO_INLINE struct nvme_req *sq_take_one(struct nvme_sq *sq)
{
	struct nvme_req *r = &sq->free[--sq->nfree]->r;

	memcpy(&r->cmd, &sq->ring[sq->head], sizeof(r->cmd));
	__asm__ volatile("" : "+m"(r->cmd)); /* the copy from here on: the host may change the original */
	sq->head = sq->head + 1 == sq->size ? 0 : sq->head + 1;
	r->buf = NULL;
	r->niov = 0;
	r->len = 0;
	r->dir = r->cmd.opcode & 3;
	r->step = 0;
	r->status = 0;
	r->result = 0;
	r->mate = NULL;
	return r;
}

VIO_INLINE bool sq_mark(struct nvme_sq *sq, uint16_t cid)
{
	uint64_t *word = &sq->cids[cid / 64], bit = 1ull << cid % 64;

	if (VIO_UNLIKELY(*word & bit))
		return false;
	*word |= bit;
	return true;
}

/* A first half waits for what follows it: for both, or alone, the controller is asked. How many it gets. */
static unsigned sq_fuse(struct nvme_sq *sq, struct nvme_req *c, struct nvme_req **r)
{
	struct nvme_req *half = sq->half;
	uint8_t kind = c->cmd.flags & NVME_FLAGS_FUSE;
	unsigned n = 0;

	sq->half = NULL;
	if (half && kind == NVME_FUSE_SECOND) {
		half->mate = c;
		c->mate = half;
		c = NULL;
	}
	if (half)
		r[n++] = half;
	if (c && kind == NVME_FUSE_FIRST)
		sq->half = c;
	else if (c)
		r[n++] = c;
	return n;
}

/* Two under way with one id: which of them an answer is for could not be told, so the ring stops. */
int nvme_sq_take(struct nvme_sq *sq, struct nvme_req **r, unsigned n)
{
	int ready = VIO_UNLIKELY(sq->broken || sq->stopped || sq->cq->broken) ? 0 : sq_ready(sq);
	unsigned i, out = 0;

	if (VIO_UNLIKELY(ready <= 0))
		return sq->broken || sq->cq->broken ? -EBADMSG : 0;
	n = VIO_MIN(n - !!sq->half, VIO_MIN((unsigned)ready, sq->nfree));
	for (i = 0; i < n; i++) {
		struct nvme_req *c = sq_take_one(sq);

		if (VIO_UNLIKELY(!sq_mark(sq, c->cmd.cid))) {
			sq->free[sq->nfree++] = VIO_CONTAINER(c, struct nring_slot, r);
			sq->broken = true;
			break;
		}
		if (VIO_UNLIKELY(c->cmd.flags & NVME_FLAGS_FUSE || sq->half))
			out += sq_fuse(sq, c, r + out);
		else
			r[out++] = c;
	}
	if (VIO_UNLIKELY(sq->half && i == (unsigned)ready)) { /* both are rung for at once, or it is alone */
		r[out++] = sq->half;
		sq->half = NULL;
	}
	return out || !sq->broken ? (int)out : -EBADMSG;
}

struct nvme_req *nvme_sq_restore(struct nvme_sq *sq, uint16_t cid)
{
	struct nvme_req *r;

	if (!sq->nfree || !sq_mark(sq, cid))
		return NULL;
	r = &sq->free[--sq->nfree]->r;
	r->cmd = (struct nvme_cmd){ .cid = cid };
	r->buf = NULL;
	r->niov = 0;
	r->len = 0;
	r->dir = NVME_DIR_NONE;
	r->step = 0;
	r->status = 0;
	r->result = 0;
	return r;
}

static uint16_t sq_map(struct nvme_sq *sq, struct nvme_req *r, uint32_t len)
{
	struct nvme_map m = nvme_map(r->iov, sq->mem, sq->range);
	const struct nvme_cmd *c = &r->cmd;
	uint16_t status;

	switch (c->flags & NVME_FLAGS_PSDT) {
	case NVME_FLAGS_PRP:
		status = vio__nvme_prp(&m, c->prp1, c->prp2, len);
		break;
	case NVME_FLAGS_SGL:
		status = vio__nvme_sgl(&m, c->sgl, len);
		break;
	default:
		return NVME_STATUS(NVME_SC_INVALID_FIELD) | NVME_STATUS_DNR;
	}
	r->niov = (uint16_t)m.n;
	return status;
}

static void sq_copy(const struct nvme_req *r, bool out)
{
	char *at = r->buf;

	for (unsigned i = 0; i < r->niov; i++) {
		const struct iovec *v = &r->iov[i];

		memcpy(out ? v->iov_base : at, out ? at : v->iov_base, v->iov_len);
		at += v->iov_len;
	}
}

static uint16_t sq_data(struct nvme_queue *q, struct nvme_req *r, uint32_t len, bool in_place)
{
	struct nvme_sq *sq = nvme_sq_of(q);
	uint16_t status;

	if (VIO_UNLIKELY(!len || len > q->max_len))
		return len ? NVME_STATUS(NVME_SC_INVALID_FIELD) | NVME_STATUS_DNR : 0;
	status = sq_map(sq, r, len);
	if (VIO_UNLIKELY(status)) {
		r->niov = 0;
		return status;
	}
	r->len = len;
	if (in_place)
		return 0;
	r->buf = npool_get(q->pool, len);
	if (!r->buf) {
		r->niov = 0;
		return NVME_STATUS(NVME_SC_CMD_INTERRUPTED); /* the host comes again */
	}
	if (r->dir & NVME_DIR_IN)
		sq_copy(r, false);
	return 0;
}

/* Whatever became of the command, some of it may have come. */
static void sq_log(struct mem_log *log, const struct nvme_req *r)
{
	for (unsigned i = 0; r->dir & NVME_DIR_OUT && i < r->niov; i++)
		vio__log_mark(log, r->iov[i].iov_base, r->iov[i].iov_len);
}

static void sq_give(struct nvme_queue *q, struct nvme_req *r)
{
	struct nvme_sq *sq = nvme_sq_of(q);

	if (VIO_UNLIKELY(sq->log != NULL))
		sq_log(sq->log, r);
	if (VIO_UNLIKELY(r->buf != NULL)) {
		if (r->dir & NVME_DIR_OUT && !r->status && !sq->stopped)
			sq_copy(r, true);
		npool_put(q->pool, r->buf);
		r->buf = NULL;
	}
	vio__nvme_cq_give(q, r);
}

void nvme_sq_stop(struct nvme_sq *sq)
{
	struct nvme_req *half = sq->half;

	sq->stopped = true;
	sq->half = NULL;
	if (sq->nfree == sq->nslots)
		sq->ended(sq);
	else
		nvme_cq_flush(sq->cq); /* what waits for room there is let go of */
	if (half)
		sq_give(&sq->q, half);
}

static void sq_end(struct nvme_queue *q, bool now)
{
	struct nvme_sq *sq = nvme_sq_of(q);

	(void)now;
	if (!sq->stopped)
		nvme_sq_stop(sq);
}

bool nvme_sq_kicks(struct nvme_sq *sq, bool on)
{
	if (!sq->event || !on) /* no event is set: the one behind stays where the host has long passed it */
		return on && sq->head != VIO_LOAD_ACQUIRE(sq->doorbell);
	VIO_STORE(sq->event, sq->head);
	if (VIO_UNLIKELY(sq->log != NULL))
		vio__log_mark(sq->log, sq->event, sizeof(*sq->event));
	vio__full_barrier(); /* our wish first, then the host's tail: it does the reverse */
	return sq->head != VIO_LOAD_ACQUIRE(sq->doorbell);
}
