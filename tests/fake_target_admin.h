/* SPDX-License-Identifier: MIT */
/* What the fake target says on its admin queues: see fake_target.h. */
#ifndef TESTS_FAKE_TARGET_ADMIN_H
#define TESTS_FAKE_TARGET_ADMIN_H

#include "fake_target_auth.h"

static void target_identify_controller(struct target *t, struct nvme_id_ctrl *i)
{
	i->mdts = (uint8_t)t->mdts;
	i->cntrltype = target_lies(t, LIE_DISCOVERY) ? 2 : 1;
	i->oaes = NVME_CTRL_OAES_NA;
	if (TARGET_GET(t->ana)) {
		i->oaes |= NVME_CTRL_OAES_ANA;
		i->cmic = NVME_CTRL_CMIC_MULTI_ANA_REPORTING;
		i->lpa = NVME_CTRL_LPA_EXTENDED;
		i->anatt = 1;
	}
	i->oncs = t->oncs;
	i->vwc = t->vwc;
	i->sgls = target_lies(t, LIE_NO_SGLS) ? 0 : 1;
	i->ioccsz = target_lies(t, LIE_CAPSULE) ? 3 : t->ioccsz;
	i->iorcsz = 1;
	i->icdoff = target_lies(t, LIE_OFFSET) ? 16 : 0;
	i->kas = 1;
}

static void target_identify_namespace(struct target *t, struct nvme_id_ns *i)
{
	i->nsze = target_lies(t, LIE_NO_BLOCKS) ? 0
		  : target_lies(t, LIE_HUGE)	? UINT64_MAX / 2
						: TARGET_GET(t->blocks);
	i->lbaf[0].ds = (uint8_t)(target_lies(t, LIE_SHIFT_0)	 ? 0
				  : target_lies(t, LIE_SHIFT_60) ? 60
								 : t->shift);
	i->anagrpid = TARGET_GET(t->ana) ? TARGET_GROUP : 0;
	i->lbaf[0].ms = target_lies(t, LIE_METADATA) ? 8 : 0;
}

/* Groups and no namespaces, as it was asked; the namespace's is the last. */
static void target_ana_log(struct target *t, char *to, uint64_t offset)
{
	unsigned groups = t->ana_before + 1, long_one = target_lies(t, LIE_ANA_LONG);
	bool endless = target_lies(t, LIE_ANA_ENDLESS);
	struct nvme_ana_log log = { .chgcnt = 1, .ngrps = (uint16_t)(endless ? 65535 : groups) };
	uint32_t ours = target_lies(t, LIE_ANA_NO_GROUP) || endless ? 77777 : TARGET_GROUP;

	TARGET_ADD(t->ana_logs);
	if (!offset)
		memcpy(to, &log, sizeof(log));
	for (uint64_t at = offset ? 0 : sizeof(log); at + 32 <= 4096; at += 32) {
		uint64_t n = (offset + at - sizeof(log)) / 32;
		struct nvme_ana_group_desc d = {
			.grpid = n == t->ana_before ? ours : 1000 + (uint32_t)n,
			.nnsids = long_one ? UINT32_MAX : 0,
			.state = (uint8_t)(target_lies(t, LIE_ANA_STATE) ? 9 : TARGET_GET(t->ana))
		};

		if (long_one)
			d.grpid = 1;
		if (n <= t->ana_before || endless)
			memcpy(to + at, &d, sizeof(d));
	}
}

static bool target_log(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct target *t = c->t;

	if ((cmd->cdw10 & 0xff) != NVME_LOG_LID_ANA)
		return target_send(c, cmd->cid, c->data, 4096);
	if (target_lies(t, LIE_ANA_REFUSED))
		return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_INVALID_FIELD), 0);
	target_ana_log(t, c->data, cmd->cdw12);
	return target_send(c, cmd->cid, c->data, target_lies(t, LIE_ANA_SHORT) ? 16 : 4096);
}

static bool target_admin(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct target *t = c->t;

	memset(c->data, 0, 4096);
	switch (cmd->opcode) {
	case nvme_admin_identify:
		if (cmd->cdw10 == NVME_IDENTIFY_CNS_CTRL)
			target_identify_controller(t, (struct nvme_id_ctrl *)c->data);
		else if (cmd->cdw10 == NVME_IDENTIFY_CNS_NS)
			target_identify_namespace(t, (struct nvme_id_ns *)c->data);
		else {
			memcpy(c->data, "\x03\x10\0", 4);
			memcpy(c->data + 4, t->uuid, 16);
		}
		return target_send(c, cmd->cid, c->data, target_lies(t, LIE_IDENTIFY_SHORT) ? 512 : 4096);
	case nvme_admin_get_log_page:
		return target_log(c, cmd);
	case nvme_admin_set_features:
		return target_answer(c, cmd->cid, 0, 0x00070007);
	case nvme_admin_keep_alive:
		TARGET_ADD(t->keep_alives);
		return TARGET_GET(t->hold) || target_answer(c, cmd->cid, 0, 0);
	case nvme_admin_async_event:
		pthread_mutex_lock(&t->lock);
		t->event_fd = c->fd;
		t->event_cid = cmd->cid;
		t->event_hdgst = c->hdgst;
		pthread_mutex_unlock(&t->lock);
		return true;
	}
	return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_INVALID_OPCODE), 0);
}

static bool target_fabrics(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct target *t = c->t;
	struct nvme_property_cmd p;
	struct nvme_connect_cmd n;

	memcpy(&p, cmd, sizeof(p));
	memcpy(&n, cmd, sizeof(n));
	if (n.fctype == nvme_fabrics_type_connect) {
		const struct nvmf_connect_data *d = (const void *)c->data;

		c->admin = !n.qid;
		if (target_lies(t, LIE_CONNECT) || strcmp(d->subsysnqn, TARGET_NQN) ||
		    d->cntlid != (n.qid ? 7 : 0xffff))
			return target_answer(c, n.cid, NVME_STATUS(NVME_SC_CONNECT_INVALID_PARAM | 1 << 8),
					     0);
		return target_answer(c, n.cid, 0, t->auth || target_lies(t, LIE_AUTH) ? 7 | 1 << 17 : 7);
	}
	if (n.fctype == nvme_fabrics_type_auth_send)
		return target_auth_send(c, cmd);
	if (n.fctype == nvme_fabrics_type_auth_receive)
		return target_auth_receive(c, cmd);
	if (n.fctype == nvme_fabrics_type_property_set) {
		t->csts = p.value & 1;
		if (!(p.value & 1))
			TARGET_ADD(t->resets);
		if (p.value >> 14 & 3)
			TARGET_ADD(t->leaves);
		return target_answer(c, p.cid, 0, 0);
	}
	if (p.offset == 0)
		return target_answer(c, p.cid, 0, target_lies(t, LIE_ONE_ENTRY) ? 0 : t->mqes);
	return target_answer(c, p.cid, 0,
			     target_lies(t, LIE_FAILED)	       ? 2
			     : target_lies(t, LIE_NEVER_READY) ? 0
							       : t->csts);
}

#endif
