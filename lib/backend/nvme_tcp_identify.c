/* SPDX-License-Identifier: MIT */
/* What a target says that its controller and its namespace are like: believed as far as it can be. */
#include "backend/nvme_tcp.h"

#include <endian.h>

static const char *identify_path(const struct host *h)
{
	return h->path[h->at_path].name;
}

/* MDTS is a power of two of the smallest page (CAP.MPSMIN). */
static uint32_t identify_max_part(const struct host *h, uint8_t mdts)
{
	unsigned shift = 12 + (unsigned)(h->cap >> 48 & 15) + mdts;

	return !mdts || shift >= 20 ? HOST_MAX_PART : 1u << shift;
}

static uint32_t identify_ops(const struct nvme_id_ctrl *c)
{
	uint32_t ops = 1u << VIO_OP_READ | 1u << VIO_OP_WRITE | 1u << VIO_OP_FLUSH;
	uint16_t oncs = le16toh(c->oncs);

	if (oncs & NVME_CTRL_ONCS_DSM)
		ops |= 1u << VIO_OP_DISCARD;
	if (oncs & NVME_CTRL_ONCS_WRITE_ZEROES)
		ops |= 1u << VIO_OP_WRITE_ZEROES;
	return ops;
}

int vio__host_see_controller(struct host *h, const struct nvme_id_ctrl *c)
{
	uint64_t capsule = le32toh(c->ioccsz) * 16ull, depth = h->cap & 0xffff, maxcmd = le16toh(c->maxcmd);
	struct host_store *s = &h->seen;

	if (c->cntrltype > 1)
		return vio__fail(ENOTSUP,
				 "nvme-tcp: %s: %s is no I/O controller's (its type is %u, expected 1)",
				 identify_path(h), h->nqn, c->cntrltype);
	if (capsule < sizeof(struct nvme_cmd) || c->icdoff || !(le32toh(c->sgls) & 3))
		return vio__fail(
			EPROTO,
			"nvme-tcp: %s: capsules of %llu bytes, data at offset %u, SGLS %#x, which can't be",
			identify_path(h), (unsigned long long)capsule, le16toh(c->icdoff), le32toh(c->sgls));
	if (!depth)
		return vio__fail(EPROTO, "nvme-tcp: %s: queues of one entry, which can't be",
				 identify_path(h));
	depth = VIO_MIN(depth, h->depth);
	s->depth = (uint16_t)(maxcmd ? VIO_MIN(depth, maxcmd) : depth);
	s->capsule = (uint32_t)VIO_MIN(capsule - sizeof(struct nvme_cmd), (uint64_t)LINK_CAPSULE);
	s->max_part = identify_max_part(h, c->mdts);
	s->ops = identify_ops(c);
	s->volatile_cache = c->vwc & NVME_CTRL_VWC_PRESENT;
	s->ana = c->cmic & NVME_CTRL_CMIC_MULTI_ANA_REPORTING;
	s->offsets = c->lpa & NVME_CTRL_LPA_EXTENDED;
	s->transition = c->anatt;
	s->events = le32toh(c->oaes) & (NVME_CTRL_OAES_NA | (s->ana ? NVME_CTRL_OAES_ANA : 0));
	return 0;
}

/* The transfer that the namespace likes, if it says. */
static uint32_t identify_optimal(const struct host_store *s, const struct nvme_id_ns *n)
{
	uint64_t blocks = n->nsfeat & NVME_NS_FEAT_IO_OPT ? le16toh(n->nows) + 1ull : le16toh(n->noiob);
	uint64_t bytes = blocks << s->shift;

	return bytes <= s->max_part ? (uint32_t)bytes : 0;
}

int vio__host_see_namespace(struct host *h, const struct nvme_id_ns *n)
{
	struct host_store *s = &h->seen;
	unsigned format = (n->flbas & NVME_NS_FLBAS_LOWER_MASK) | (n->flbas & NVME_NS_FLBAS_HIGHER_MASK) >> 1;
	const struct nvme_lbaf *f = &n->lbaf[format % VIO_ARRAY_SIZE(n->lbaf)];

	s->blocks = le64toh(n->nsze);
	s->shift = f->ds;
	if (!s->blocks)
		return vio__fail(ENODEV, "nvme-tcp: %s: %s has no namespace %llu", identify_path(h), h->nqn,
				 (unsigned long long)h->nsid);
	if (s->shift < 9 || s->shift > 16 || s->blocks > (uint64_t)INT64_MAX >> s->shift)
		return vio__fail(EPROTO, "nvme-tcp: %s: namespace %llu: %llu blocks of 2^%u bytes%s",
				 identify_path(h), (unsigned long long)h->nsid, (unsigned long long)s->blocks,
				 s->shift, ", expected 512 to 65536 bytes and less than 2^63 in all");
	if (le16toh(f->ms))
		return vio__fail(
			ENOTSUP,
			"nvme-tcp: %s: namespace %llu has %u bytes of metadata a block, expected none",
			identify_path(h), (unsigned long long)h->nsid, le16toh(f->ms));
	if (s->max_part >> s->shift == 0)
		return vio__fail(EPROTO, "nvme-tcp: %s: the controller takes no whole block in a command",
				 identify_path(h));
	s->read_only = n->nsattr & NVME_NS_NSATTR_WRITE_PROTECTED;
	s->optimal = identify_optimal(s, n);
	s->ana_group = le32toh(n->anagrpid);
	memcpy(s->id, n->eui64, 8);
	memcpy(s->id + 8, n->nguid, 16);
	return 0;
}

void vio__host_see_ids(struct host *h, const uint8_t *list, size_t len)
{
	/* Each: a type, the id's length, two bytes more, the id. */
	for (size_t at = 0; at + 4 <= len && list[at + 1] && list[at + 1] <= len - at - 4;
	     at += 4u + list[at + 1])
		if (list[at] == NVME_NIDT_UUID && list[at + 1] == NVME_NIDT_UUID_LEN)
			memcpy(h->seen.id + 24, list + at + 4, NVME_NIDT_UUID_LEN);
}

int vio__host_recognize(struct host *h)
{
	const struct host_store *was = &h->store, *is = &h->seen;

	if (!h->known)
		return 0;
	if (memcmp(was->id, is->id, sizeof(is->id)) || was->shift != is->shift)
		return vio__fail(ESTALE,
				 "nvme-tcp: %s: namespace %llu has become another, by its ids or its blocks",
				 identify_path(h), (unsigned long long)h->nsid);
	if (was->ops & ~is->ops || is->max_part < was->max_part || is->depth < was->depth ||
	    (is->volatile_cache && !was->volatile_cache))
		return vio__fail(ESTALE,
				 "nvme-tcp: %s: the controller takes less than it did, or promises less",
				 identify_path(h));
	return 0;
}
