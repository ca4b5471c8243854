/* SPDX-License-Identifier: MIT */
/* What the fake target does with I/O: see fake_target.h. */
#ifndef TESTS_FAKE_TARGET_IO_H
#define TESTS_FAKE_TARGET_IO_H

#include "fake_target_pdu.h"

/* As the state wants it; 0: it is executed. */
static uint16_t target_refuses(struct target *t)
{
	switch (TARGET_GET(t->ana)) {
	case NVME_ANA_STATE_INACCESSIBLE:
		return NVME_STATUS(NVME_SCT_PATH << NVME_SCT_SHIFT | NVME_SC_ANA_INACCESSIBLE);
	case NVME_ANA_STATE_PERSISTENT_LOSS:
		return NVME_STATUS(NVME_SCT_PATH << NVME_SCT_SHIFT | NVME_SC_ANA_PERSISTENT_LOSS);
	case NVME_ANA_STATE_CHANGE:
		return NVME_STATUS(NVME_SCT_PATH << NVME_SCT_SHIFT | NVME_SC_ANA_TRANSITION);
	default:
		return 0;
	}
}

static bool target_io(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct target *t = c->t;
	uint64_t at = (cmd->cdw10 | (uint64_t)cmd->cdw11 << 32) << t->shift,
		 len = ((cmd->cdw12 & 0xffffull) + 1) << t->shift;
	bool capsule = cmd->sgl.type == NVME_SGL_DATA_OFFSET;
	int fails = TARGET_GET(t->fails);

	TARGET_ADD(t->io);
	if (TARGET_GET(t->hold))
		return true;
	if (target_lies(t, LIE_SILENT))
		return true;
	if (target_lies(t, LIE_HANG_UP))
		return false;
	if (target_lies(t, LIE_TERM)) {
		struct nvme_tcp_term term = { .hdr = { .type = NVME_TCP_C2H_TERM, .hlen = 24, .plen = 24 },
					      .fes = 1 };

		return target_put(c, &term, sizeof(term), NULL, 0);
	}
	if (target_lies(t, LIE_SECOND_IC)) {
		struct nvme_tcp_icresp r = { .hdr = { .type = NVME_TCP_ICRESP, .hlen = 128, .plen = 128 },
					     .maxh2cdata = 8192 };

		target_put_at(c->fd, false, false, &r, sizeof(r), NULL, 0, 0);
	}
	if (cmd->opcode == nvme_cmd_write && !capsule && !target_fetch(c, cmd->cid, (uint32_t)len))
		return false;
	if (fails) {
		TARGET_SET(t->fails, fails - 1);
		return target_answer(c, cmd->cid, (uint16_t)TARGET_GET(t->fail), 0);
	}
	if (target_refuses(t))
		return target_answer(c, cmd->cid, target_refuses(t), 0);
	TARGET_SET(t->writes, TARGET_GET(t->writes) + (cmd->opcode == nvme_cmd_write));
	switch (cmd->opcode) {
	case nvme_cmd_flush:
		TARGET_ADD(t->flushes);
		break;
	case nvme_cmd_dsm:
		at = ((const struct nvme_dsm_range *)c->data)->slba << t->shift;
		len = (uint64_t)((const struct nvme_dsm_range *)c->data)->nlb << t->shift;
		break;
	case nvme_cmd_read:
	case nvme_cmd_write:
	case nvme_cmd_write_zeroes:
		break;
	default:
		return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_INVALID_OPCODE), 0);
	}
	if (cmd->opcode != nvme_cmd_flush && (at > TARGET_SIZE || len > TARGET_SIZE - at))
		return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_LBA_RANGE) | NVME_STATUS_DNR, 0);
	pthread_mutex_lock(&t->lock);
	if (cmd->opcode == nvme_cmd_read)
		memcpy(c->data, t->disk + at, len);
	else if (cmd->opcode == nvme_cmd_write)
		memcpy(t->disk + at, c->data, len);
	else if (cmd->opcode != nvme_cmd_flush)
		memset(t->disk + at, cmd->opcode == nvme_cmd_dsm ? 0xdd : 0, len);
	pthread_mutex_unlock(&t->lock);
	if (cmd->opcode == nvme_cmd_read && target_lies(t, LIE_R2T_FOR_READ)) {
		struct nvme_tcp_r2t r = { .hdr = target_hdr(c, NVME_TCP_R2T, sizeof(r), 0),
					  .cid = cmd->cid,
					  .len = 512 };

		target_put(c, &r, sizeof(r), NULL, 0);
	}
	return cmd->opcode == nvme_cmd_read ? target_send(c, cmd->cid, c->data, (uint32_t)len)
					    : target_answer(c, cmd->cid, 0, 0);
}

#endif
