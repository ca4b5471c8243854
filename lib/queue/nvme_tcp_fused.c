/* SPDX-License-Identifier: MIT */
/*
 * Fused commands: two capsules that follow each other. The halves wait for each other's data, and reach
 * the controller together; or one of them is refused, and so is the other.
 */
#include "queue/nvme_tcp.h"

/* A command has come, and is to be refused with `wrong` or with what this returns. */
uint16_t ntq_fuse(struct ntq *q, struct ntq_slot *s, uint16_t wrong)
{
	struct ntq_slot *half = q->half;
	bool failed = q->half_failed;
	uint8_t kind = s->r.cmd.flags & NVME_FLAGS_FUSE;

	q->half = NULL;
	q->half_failed = kind == NVME_FUSE_FIRST && wrong;
	if (kind == NVME_FUSE_FIRST && !wrong)
		q->half = s;
	if (half && kind != NVME_FUSE_SECOND)
		ntq_slot_refuse(q, half, NVME_SC_FUSED_MISSING);
	if (kind != NVME_FUSE_SECOND || (wrong && !half))
		return wrong;
	if (!half)
		return failed ? NVME_SC_FUSED_FAIL : NVME_SC_FUSED_MISSING;
	if (wrong) {
		ntq_slot_refuse(q, half, NVME_SC_FUSED_FAIL);
		return wrong;
	}
	half->r.mate = &s->r;
	s->r.mate = &half->r;
	return 0;
}

/* It is ready: NULL, or what may go to the controller now. */
struct ntq_slot *ntq_fused_ready(struct ntq_slot *s)
{
	if (!s->r.mate || ntq_slot_of(s->r.mate)->state != NTQ_SLOT_READY)
		return NULL;
	return (s->r.cmd.flags & NVME_FLAGS_FUSE) == NVME_FUSE_FIRST ? s : ntq_slot_of(s->r.mate);
}

/* It is refused, so its other half, here or to come, will be. */
void ntq_fused_refuse(struct ntq *q, struct ntq_slot *s)
{
	struct nvme_req *mate = s->r.mate;

	if (q->half == s) {
		q->half = NULL;
		q->half_failed = true;
	}
	if (!mate)
		return;
	s->r.mate = mate->mate = NULL;
	ntq_slot_refuse(q, ntq_slot_of(mate), NVME_SC_FUSED_FAIL);
}

/* It is forgotten, and so is a half that waits for it. */
void ntq_fused_forget(struct ntq *q, struct ntq_slot *s)
{
	struct nvme_req *mate = s->r.mate;

	if (q->half == s)
		q->half = NULL;
	if (!mate)
		return;
	s->r.mate = mate->mate = NULL;
	if (ntq_slot_of(mate)->state == NTQ_SLOT_READY)
		ntq_slot_free(q, ntq_slot_of(mate));
}
