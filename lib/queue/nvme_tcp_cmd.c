/* SPDX-License-Identifier: MIT */
/* Capsules become commands: their slots, what their SGL says of their data, and where that will lie. */
#include "queue/nvme_tcp.h"

#define NTQ_NO_SLOT UINT16_MAX

struct ntq_slot *ntq_slot_by_tag(struct ntq *q, uint16_t tag)
{
	if (tag == NTQ_FIRST)
		return &q->first;
	return tag < q->fresh ? &q->slots[tag] : NULL;
}

static uint16_t *slot_bucket(struct ntq *q, uint16_t cid)
{
	return &q->cids[cid % NTQ_BUCKETS];
}

/* Buckets name slots by tag; NTQ_NO_SLOT, which is the first slot's tag too, ends them: that one is alone. */
struct ntq_slot *ntq_slot_by_cid(struct ntq *q, uint16_t cid)
{
	for (uint16_t at = *slot_bucket(q, cid); at != NTQ_NO_SLOT; at = q->slots[at].cid_next)
		if (q->slots[at].r.cmd.cid == cid)
			return &q->slots[at];
	return NULL;
}

static void slot_list(struct ntq *q, struct ntq_slot *s)
{
	uint16_t *bucket = slot_bucket(q, s->r.cmd.cid);

	if (s->tag == NTQ_FIRST)
		return;
	s->listed = true;
	s->cid_next = *bucket;
	*bucket = s->tag;
}

static void slot_unlist(struct ntq *q, struct ntq_slot *s)
{
	uint16_t *at = slot_bucket(q, s->r.cmd.cid);

	while (*at != s->tag)
		at = &q->slots[*at].cid_next;
	*at = s->cid_next;
	s->listed = false;
}

/* NULL: the host has more commands under way than its queue has entries. */
static struct ntq_slot *slot_new(struct ntq *q)
{
	struct ntq_slot *s;

	if (!q->connected) {
		s = q->first.state == NTQ_SLOT_FREE ? &q->first : NULL;
	} else if (q->free.head) {
		s = ntq_slot_of(nvme_reqs_pop(&q->free));
	} else if (q->fresh < q->entries) {
		s = &q->slots[q->fresh];
		*s = (struct ntq_slot){ .tag = (uint16_t)q->fresh++ };
	} else {
		s = NULL;
	}
	if (s)
		q->used++;
	return s;
}

/* Others of this connection wait until it holds less. */
static void slot_serve_over(struct ntq *q)
{
	struct ntq_group *g = q->group;

	while (q->over.head && q->held + ntq_slot_of(q->over.head)->r.len <= g->quota) {
		struct ntq_slot *s = ntq_slot_of(nvme_reqs_pop(&q->over));

		s->reserved = s->r.len;
		q->held += s->reserved;
		nvme_reqs_push(&g->waiting, &s->r);
	}
}

static void slot_release_buffer(struct ntq *q, struct ntq_slot *s)
{
	struct ntq_group *g = q->group;

	if (s->r.buf)
		npool_put(g->pool, s->r.buf);
	s->r.buf = NULL;
	q->held -= s->reserved;
	s->reserved = 0;
	slot_serve_over(q);
}

void ntq_slot_free(struct ntq *q, struct ntq_slot *s)
{
	if (s->state == NTQ_SLOT_DATA)
		q->coming--;
	if (s->listed)
		slot_unlist(q, s);
	slot_release_buffer(q, s);
	if (VIO_UNLIKELY(s->r.cmd.flags & NVME_FLAGS_FUSE))
		ntq_fused_forget(q, s);
	s->state = NTQ_SLOT_FREE;
	s->queued = false;
	q->used--;
	if (s->tag != NTQ_FIRST)
		nvme_reqs_push(&q->free, &s->r);
}

bool ntq_slot_buffer(struct ntq *q, struct ntq_slot *s)
{
	struct ntq_group *g = q->group;

	s->state = NTQ_SLOT_WAITS;
	if (q->over.head || q->held + s->r.len > g->quota) {
		nvme_reqs_push(&q->over, &s->r);
		return false;
	}
	s->reserved = s->r.len;
	q->held += s->reserved;
	s->r.buf = g->waiting.head ? NULL : npool_get(g->pool, s->r.len);
	if (!s->r.buf)
		nvme_reqs_push(&g->waiting, &s->r);
	return s->r.buf;
}

static void slot_ready(struct ntq *q, struct ntq_slot *s)
{
	s->state = NTQ_SLOT_READY;
	if (VIO_UNLIKELY(s->r.cmd.flags & NVME_FLAGS_FUSE))
		s = ntq_fused_ready(s);
	if (VIO_LIKELY(s != NULL))
		nvme_reqs_push(&q->ready, &s->r);
}

/* It has its buffer: the host's data may come, or ours be put there. */
static void slot_has_buffer(struct ntq *q, struct ntq_slot *s)
{
	if (s->r.dir == NVME_DIR_OUT) {
		slot_ready(q, s);
		return;
	}
	if (q->phase != NTQ_LIVE)
		return; /* what it wanted to say counts no more */
	s->state = NTQ_SLOT_DATA;
	q->coming++;
	ntq_send_r2t(q, s);
}

void ntq_group_serve_waiting(struct ntq_group *g)
{
	struct nvme_req *r;

	while ((r = g->waiting.head)) {
		struct ntq_slot *s = ntq_slot_of(r);
		struct ntq *q = ntq_of(r->q);

		r->buf = npool_get(g->pool, r->len);
		if (!r->buf)
			break;
		nvme_reqs_pop(&g->waiting);
		slot_has_buffer(q, s);
		ntq_activate(q);
	}
	while (g->starved && npool_capsules(g->pool) >= NTQ_ENTRIES) {
		struct ntq *q = g->starved;

		g->starved = q->next_starved;
		q->starved = false;
		ntq_activate(q);
	}
}

/* Answers a command that the controller never sees. */
static void slot_refuse(struct ntq *q, struct ntq_slot *s, uint16_t code)
{
	bool fused = code == NVME_SC_FUSED_FAIL || code == NVME_SC_FUSED_MISSING;

	s->r.status = NVME_STATUS(code) | (fused ? 0 : NVME_STATUS_DNR);
	ntq_answer(q, s);
}

void ntq_have_data(struct ntq *q, struct ntq_slot *s)
{
	if (s->state == NTQ_SLOT_DATA)
		q->coming--;
	if (s->bad_sum || VIO_UNLIKELY(s->refused)) {
		s->state = NTQ_SLOT_READY;
		s->r.status = s->refused ? s->refused : NVME_STATUS(NVME_SC_TRAN_TPORT_ERROR);
		ntq_answer(q, s);
		ntq_fused_refuse(q, s);
	} else {
		slot_ready(q, s);
	}
}

static uint8_t cmd_dir(const struct nvme_cmd *c)
{
	/* Where nsid lies a fabrics command has its type, which says the same. */
	return (c->opcode == NVME_OPC_FABRICS ? c->nsid : c->opcode) & 3;
}

/* What the SGL says against the capsule; `data`: bytes that lie in it. 0: fine. */
static uint16_t cmd_check_sgl(const struct ntq *q, const struct nvme_cmd *c, uint32_t data)
{
	uint8_t psdt = c->flags & NVME_FLAGS_PSDT;

	if (c->flags & ~(NVME_FLAGS_PSDT | NVME_FLAGS_FUSE) || psdt == NVME_FLAGS_PRP ||
	    psdt == NVME_FLAGS_PSDT)
		return NVME_SC_INVALID_FIELD; /* no SGL */
	if (c->flags & NVME_FLAGS_FUSE && (!q->connected || (c->flags & NVME_FLAGS_FUSE) == NVME_FLAGS_FUSE))
		return NVME_SC_INVALID_FIELD;
	switch (c->sgl.type) {
	case NVME_SGL_DATA_OFFSET:
		if (c->sgl.addr)
			return NVME_SC_SGL_INVALID_OFFSET;
		return c->sgl.len == data ? 0 : NVME_SC_SGL_INVALID_DATA;
	case NVME_SGL_TRANSPORT:
		return data ? NVME_SC_SGL_INVALID_TYPE : c->sgl.len > NPOOL_MAX ? NVME_SC_INVALID_FIELD : 0;
	case NVME_SGL_DATA: /* as an unused one looks */
		return data || c->sgl.len ? NVME_SC_SGL_INVALID_TYPE : 0;
	default:
		return NVME_SC_SGL_INVALID_TYPE;
	}
}

static void cmd_fetch(struct ntq *q, struct ntq_slot *s, uint32_t data)
{
	uint8_t dir = s->r.dir;

	if (data) {
		s->r.buf = npool_get_capsule(q->group->pool); /* there is one: rx_may has seen to that */
		s->state = NTQ_SLOT_DATA;
		q->coming++;
		q->slot = s;
		return;
	}
	if (!s->r.len)
		slot_ready(q, s);
	else if (dir == NVME_DIR_OUT || dir == NVME_DIR_IN) {
		if (ntq_slot_buffer(q, s))
			slot_has_buffer(q, s);
	}
}

void ntq_command(struct ntq *q, const struct nvme_tcp_cmd *pdu, uint32_t data)
{
	struct ntq_slot *s = slot_new(q);
	uint16_t wrong;

	q->slot = NULL;
	if (!s) {
		ntq_violation(q, NVME_TCP_FES_SEQUENCE, 0, pdu, sizeof(*pdu),
			      "more commands than its queue has entries");
		return;
	}
	s->r = (struct nvme_req){
		.cmd = pdu->cmd, .q = &q->queue, .dir = cmd_dir(&pdu->cmd), .len = pdu->cmd.sgl.len
	};
	s->got = 0;
	s->refused = 0;
	s->bad_sum = s->queued = s->listed = false;
	s->state = NTQ_SLOT_READY;
	if (q->entries)
		q->sqhd = (uint16_t)((q->sqhd + 1u) % q->entries);
	wrong = NVME_SC_CMDID_CONFLICT;
	if (!ntq_slot_by_cid(q, pdu->cmd.cid)) {
		slot_list(q, s);
		wrong = cmd_check_sgl(q, &pdu->cmd, data);
	}
	if (!wrong && data && s->r.dir != NVME_DIR_IN)
		wrong = NVME_SC_INVALID_FIELD; /* data with a command that takes none */
	if (!wrong && s->r.len && s->r.dir != NVME_DIR_IN && s->r.dir != NVME_DIR_OUT)
		s->r.len = 0; /* nothing moves, whatever its SGL says */
	if (VIO_UNLIKELY(pdu->cmd.flags & NVME_FLAGS_FUSE || q->half || q->half_failed))
		wrong = ntq_fuse(q, s, wrong);
	if (wrong)
		slot_refuse(q, s, wrong);
	else
		cmd_fetch(q, s, data);
}

/* H2CData: false if it breaks the protocol. */
bool ntq_data(struct ntq *q, const struct nvme_tcp_data *p, uint32_t data)
{
	struct ntq_slot *s = ntq_slot_by_tag(q, p->ttag);
	const char *why = NULL;
	unsigned at = 0;
	bool last;

	if (!s || s->state != NTQ_SLOT_DATA || s->queued || s->r.cmd.cid != p->cid) {
		ntq_violation(q, NVME_TCP_FES_FIELD, offsetof(struct nvme_tcp_data, ttag), p, sizeof(*p),
			      "data that nobody asked for");
		return false;
	}
	if (p->offset != s->got || p->len > s->r.len - s->got) {
		ntq_violation(q, NVME_TCP_FES_RANGE, 0, p, sizeof(*p), "data beside what was asked for");
		return false;
	}
	last = s->got + p->len == s->r.len;
	if (p->len != data || !data) {
		why = "a length that is not the data's";
		at = offsetof(struct nvme_tcp_data, len);
	} else if (last != !!(p->hdr.flags & NVME_TCP_DATA_LAST)) {
		why = "its last data not marked, or other data marked so";
		at = offsetof(struct nvme_tcp_hdr, flags);
	}
	if (why) {
		ntq_violation(q, NVME_TCP_FES_FIELD, at, p, sizeof(*p), why);
		return false;
	}
	q->slot = s;
	return true;
}

unsigned ntq_take(struct ntq *q, struct nvme_req **r, unsigned n)
{
	unsigned i = 0;

	while (i < n && q->phase == NTQ_LIVE && (r[i] = nvme_reqs_pop(&q->ready))) {
		if (VIO_UNLIKELY(r[i]->mate != NULL)) {
			ntq_slot_of(r[i]->mate)->state = NTQ_SLOT_TAKEN;
			q->taken++;
		}
		ntq_slot_of(r[i++])->state = NTQ_SLOT_TAKEN;
	}
	q->taken += i;
	return i;
}
