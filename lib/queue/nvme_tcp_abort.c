/* SPDX-License-Identifier: MIT */
/* Commands that are refused before the controller has seen them: because of what came after them. */
#include "queue/nvme_tcp.h"

/* What is on its way to a slot still comes, and has to find it. */
void ntq_slot_refuse(struct ntq *q, struct ntq_slot *s, uint16_t code)
{
	struct nvme_req *r = &s->r;

	if (s->state == NTQ_SLOT_DATA) {
		s->refused = NVME_STATUS(code);
		ntq_fused_refuse(q, s);
		return;
	}
	if (s->state == NTQ_SLOT_WAITS && !nvme_reqs_remove(&q->over, r))
		nvme_reqs_remove(&q->group->waiting, r);
	s->state = NTQ_SLOT_READY;
	r->status = NVME_STATUS(code);
	ntq_answer(q, s);
	ntq_fused_refuse(q, s);
}

bool ntq_abort(struct nvme_queue *queue, uint16_t cid)
{
	struct ntq *q = ntq_of(queue);
	struct ntq_slot *s = q->phase == NTQ_LIVE ? ntq_slot_by_cid(q, cid) : NULL;

	if (!s || s->refused || (s->state != NTQ_SLOT_WAITS && s->state != NTQ_SLOT_DATA))
		return false;
	ntq_slot_refuse(q, s, NVME_SC_ABORT_REQ);
	return true;
}
