/* SPDX-License-Identifier: MIT */
#include "backend/nvme_store.h"

#include <endian.h>

#define STORE_RANGE_BLOCKS UINT32_MAX /* of a deallocation */
#define STORE_ZEROES_BLOCKS 65536u

/* MDTS is a power of two of the smallest page (CAP.MPSMIN). */
static uint32_t store_max_part(uint64_t cap, uint8_t mdts, uint32_t most)
{
	unsigned shift = 12 + (unsigned)NVME_CAP_MPSMIN(cap) + mdts;

	return !mdts || shift >= 32 ? most : VIO_MIN(1u << shift, most);
}

static uint32_t store_ops(const struct nvme_id_ctrl *c)
{
	uint32_t ops = 1u << VIO_OP_READ | 1u << VIO_OP_WRITE | 1u << VIO_OP_FLUSH;
	uint16_t oncs = le16toh(c->oncs);

	if (oncs & NVME_CTRL_ONCS_DSM)
		ops |= 1u << VIO_OP_DISCARD;
	if (oncs & NVME_CTRL_ONCS_WRITE_ZEROES)
		ops |= 1u << VIO_OP_WRITE_ZEROES;
	return ops;
}

int vio__nvme_see_controller(struct nvme_store *s, const char *who, const struct nvme_id_ctrl *c,
			     uint64_t cap, uint32_t most)
{
	if (c->cntrltype > 1)
		return vio__fail(ENOTSUP, "%s: no I/O controller (its type is %u, expected 1)", who,
				 c->cntrltype);
	s->max_part = store_max_part(cap, c->mdts, most);
	s->ops = store_ops(c);
	s->volatile_cache = c->vwc & NVME_CTRL_VWC_PRESENT;
	s->events = le32toh(c->oaes) & NVME_CTRL_OAES_NA;
	return 0;
}

/* The transfer that the namespace likes, if it says. */
static uint32_t store_optimal(const struct nvme_store *s, const struct nvme_id_ns *n)
{
	uint64_t blocks = n->nsfeat & NVME_NS_FEAT_IO_OPT ? le16toh(n->nows) + 1ull : le16toh(n->noiob);
	uint64_t bytes = blocks << s->shift;

	return bytes <= s->max_part ? (uint32_t)bytes : 0;
}

int vio__nvme_see_namespace(struct nvme_store *s, const char *who, uint32_t nsid, const struct nvme_id_ns *n)
{
	unsigned format = (n->flbas & NVME_NS_FLBAS_LOWER_MASK) | (n->flbas & NVME_NS_FLBAS_HIGHER_MASK) >> 1;
	const struct nvme_lbaf *f = &n->lbaf[format % VIO_ARRAY_SIZE(n->lbaf)];

	s->blocks = le64toh(n->nsze);
	s->shift = f->ds;
	if (!s->blocks)
		return vio__fail(ENODEV, "%s: there is no namespace %u", who, nsid);
	if (s->shift < 9 || s->shift > 16 || s->blocks > (uint64_t)INT64_MAX >> s->shift)
		return vio__fail(
			EPROTO,
			"%s: namespace %u: %llu blocks of 2^%u bytes, expected 512 to 65536 bytes and less "
			"than 2^63 in all",
			who, nsid, (unsigned long long)s->blocks, s->shift);
	if (le16toh(f->ms))
		return vio__fail(ENOTSUP, "%s: namespace %u has %u bytes of metadata a block, expected none",
				 who, nsid, le16toh(f->ms));
	if (s->max_part >> s->shift == 0)
		return vio__fail(EPROTO, "%s: the controller takes no whole block in a command", who);
	s->read_only = n->nsattr & NVME_NS_NSATTR_WRITE_PROTECTED;
	s->optimal = store_optimal(s, n);
	memcpy(s->id, n->eui64, 8);
	memcpy(s->id + 8, n->nguid, 16);
	return 0;
}

void vio__nvme_see_ids(struct nvme_store *s, const uint8_t *list, size_t len)
{
	memset(s->id + 24, 0, 16);
	/* Each: a type, the id's length, two bytes more, the id. */
	for (size_t at = 0; at + 4 <= len && list[at + 1] && list[at + 1] <= len - at - 4;
	     at += 4u + list[at + 1])
		if (list[at] == NVME_NIDT_UUID && list[at + 1] == NVME_NIDT_UUID_LEN)
			memcpy(s->id + 24, list + at + 4, NVME_NIDT_UUID_LEN);
}

int vio__nvme_recognize(const struct nvme_store *was, const struct nvme_store *is, const char *who,
			uint32_t nsid)
{
	if (memcmp(was->id, is->id, sizeof(is->id)) || was->shift != is->shift)
		return vio__fail(ESTALE, "%s: namespace %u has become another, by its ids or its blocks", who,
				 nsid);
	if (was->ops & ~is->ops || is->max_part < was->max_part ||
	    (is->volatile_cache && !was->volatile_cache))
		return vio__fail(ESTALE, "%s: the controller takes less than it did, or promises less", who);
	return 0;
}

uint64_t vio__nvme_most(const struct vio_req *r, uint8_t shift, uint32_t max_part)
{
	switch (r->op) {
	case VIO_OP_DISCARD:
		return (uint64_t)STORE_RANGE_BLOCKS << shift;
	case VIO_OP_WRITE_ZEROES:
		return (uint64_t)STORE_ZEROES_BLOCKS << shift;
	default:
		return max_part >> shift << shift;
	}
}

struct nvme_cmd vio__nvme_command(uint8_t shift, uint32_t nsid, const struct vio_req *r, uint64_t pos,
				  uint64_t span)
{
	static const uint8_t opcodes[] = {
		[VIO_OP_READ] = nvme_cmd_read,
		[VIO_OP_WRITE] = nvme_cmd_write,
		[VIO_OP_FLUSH] = nvme_cmd_flush,
		[VIO_OP_DISCARD] = nvme_cmd_dsm,
		[VIO_OP_WRITE_ZEROES] = nvme_cmd_write_zeroes,
	};
	uint64_t block = (r->offset + pos) >> shift;
	struct nvme_cmd c = { .opcode = opcodes[r->op], .nsid = nsid };

	if (r->op == VIO_OP_DISCARD) {
		c.cdw11 = NVME_DSMGMT_AD; /* of one range: cdw10 is 0 */
	} else if (r->op != VIO_OP_FLUSH) {
		c.cdw10 = (uint32_t)block;
		c.cdw11 = (uint32_t)(block >> 32);
		c.cdw12 = (uint32_t)(span >> shift) - 1;
		if (r->op != VIO_OP_READ && r->flags & VIO_REQ_FUA)
			c.cdw12 |= (uint32_t)NVME_IO_FUA << 16;
		if (r->op == VIO_OP_WRITE_ZEROES && r->flags & VIO_REQ_UNMAP)
			c.cdw12 |= (uint32_t)NVME_IO_DEAC << 16;
	}
	return c;
}

struct nvme_dsm_range vio__nvme_range(uint8_t shift, const struct vio_req *r, uint64_t pos, uint64_t span)
{
	return (struct nvme_dsm_range){ .nlb = (uint32_t)(span >> shift),
					.slba = (r->offset + pos) >> shift };
}

bool vio__nvme_worth_a_retry(uint16_t status)
{
	unsigned type = status >> 9 & 7, code = status >> 1 & 0xff;

	if (status & NVME_STATUS_DNR)
		return false;
	if (type == NVME_SCT_PATH)
		return true;
	return type == NVME_SCT_GENERIC && (code == NVME_SC_DATA_XFER_ERROR || code == NVME_SC_ABORT_REQ ||
					    code == NVME_SC_ABORT_QUEUE || code == NVME_SC_CMD_INTERRUPTED ||
					    code == NVME_SC_TRAN_TPORT_ERROR || code == NVME_SC_NS_NOT_READY);
}

int vio__nvme_errno(uint16_t status)
{
	if (status >> 9 & 7)
		return -EIO;
	switch (status >> 1 & 0xff) {
	case NVME_SC_INVALID_OPCODE:
		return -EOPNOTSUPP;
	case NVME_SC_CAP_EXCEEDED:
		return -ENOSPC;
	case NVME_SC_NS_WRITE_PROTECTED:
		return -EROFS;
	default:
		return -EIO;
	}
}
