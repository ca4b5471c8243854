/* SPDX-License-Identifier: MIT */
/* What a target says that its controller and its namespace are like: believed as far as it can be. */
#include "backend/nvme_tcp.h"

#include <endian.h>
#include <stdio.h>

struct identify_who {
	char name[NVME_NQN_MAX + 128];
};

static struct identify_who identify_who(const struct host *h)
{
	struct identify_who w;

	snprintf(w.name, sizeof(w.name), "nvme-tcp: %s: %s", h->path[h->at_path].name, h->nqn);
	return w;
}

int vio__host_see_controller(struct host *h, const struct nvme_id_ctrl *c)
{
	uint64_t capsule = le32toh(c->ioccsz) * 16ull, depth = h->cap & 0xffff, maxcmd = le16toh(c->maxcmd);
	struct identify_who who = identify_who(h);
	struct host_store *s = &h->seen;
	int rc = vio__nvme_see_controller(&s->ns, who.name, c, h->cap, HOST_MAX_PART);

	if (rc)
		return rc;
	if (capsule < sizeof(struct nvme_cmd) || c->icdoff || !(le32toh(c->sgls) & 3))
		return vio__fail(EPROTO,
				 "%s: capsules of %llu bytes, data at offset %u, SGLS %#x, which can't be",
				 who.name, (unsigned long long)capsule, le16toh(c->icdoff), le32toh(c->sgls));
	if (!depth)
		return vio__fail(EPROTO, "%s: queues of one entry, which can't be", who.name);
	depth = VIO_MIN(depth, h->depth);
	s->depth = (uint16_t)(maxcmd ? VIO_MIN(depth, maxcmd) : depth);
	s->capsule = (uint32_t)VIO_MIN(capsule - sizeof(struct nvme_cmd), (uint64_t)LINK_CAPSULE);
	s->ana = c->cmic & NVME_CTRL_CMIC_MULTI_ANA_REPORTING;
	s->offsets = c->lpa & NVME_CTRL_LPA_EXTENDED;
	s->transition = c->anatt;
	if (s->ana)
		s->ns.events |= le32toh(c->oaes) & NVME_CTRL_OAES_ANA;
	return 0;
}

int vio__host_see_namespace(struct host *h, const struct nvme_id_ns *n)
{
	struct identify_who who = identify_who(h);

	h->seen.ana_group = le32toh(n->anagrpid);
	return vio__nvme_see_namespace(&h->seen.ns, who.name, (uint32_t)h->nsid, n);
}

void vio__host_see_ids(struct host *h, const uint8_t *list, size_t len)
{
	vio__nvme_see_ids(&h->seen.ns, list, len);
}

int vio__host_recognize(struct host *h)
{
	struct identify_who who = identify_who(h);

	if (!h->known)
		return 0;
	if (h->seen.depth < h->store.depth)
		return vio__fail(ESTALE, "%s: the controller takes less than it did", who.name);
	return vio__nvme_recognize(&h->store.ns, &h->seen.ns, who.name, (uint32_t)h->nsid);
}
