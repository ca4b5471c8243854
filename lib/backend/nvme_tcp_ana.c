/* SPDX-License-Identifier: MIT */
/*
 * Which path: how well the namespace is reached by each (asymmetric namespace access,
 * NVMe Base 2.0, 8.1), as far as its controller says so.
 *
 * There is one association at a time. A round goes over the paths until one is optimized;
 * if none is, the best of those that could be reached is returned to. While an
 * association is there its controller tells of changes, and a path that has become worse
 * is left for another round, in as good order as a lost one.
 */
#include "backend/nvme_tcp.h"

#include <endian.h>

#define ANA_RGO (1u << 8)	       /* of Get Log Page: groups only, without their namespaces */
#define ANA_MAX (4ull << 20)	       /* bytes of a log page that are believed */
#define ANA_PATIENCE (2 * HOST_SECOND) /* on a path that can't be used, before others are tried again */
#define ANA_PROBE (2 * HOST_SECOND)    /* for a path to answer, when there is another that does */

/* How much a path is worth; less is better. */
enum { RANK_OPTIMIZED, RANK_NON_OPTIMIZED, RANK_CHANGE, RANK_INACCESSIBLE, RANK_LOST };

static uint8_t ana_rank(uint8_t state)
{
	switch (state) {
	case 0: /* the controller doesn't say */
	case NVME_ANA_STATE_OPTIMIZED:
		return RANK_OPTIMIZED;
	case NVME_ANA_STATE_NONOPTIMIZED:
		return RANK_NON_OPTIMIZED;
	case NVME_ANA_STATE_CHANGE:
		return RANK_CHANGE;
	case NVME_ANA_STATE_PERSISTENT_LOSS:
		return RANK_LOST;
	default:
		return RANK_INACCESSIBLE;
	}
}

bool vio__host_ana_absent(const struct host *h)
{
	return !h->seen.ana;
}

/* The log page, or what follows of it. */
void vio__host_ana_ask(struct host *h, struct host_slot *s)
{
	s->cmd = (struct nvme_cmd){ .opcode = nvme_admin_get_log_page,
				    .nsid = NVME_NSID_ALL,
				    .cdw10 = NVME_LOG_LID_ANA | ANA_RGO | (sizeof(h->reply) / 4 - 1) << 16,
				    .cdw12 = (uint32_t)h->ana_at };
	vio__host_reply_into(h, s);
}

static int ana_bad(const struct host *h, const char *what)
{
	return vio__fail(EPROTO, "nvme-tcp: %s: its asymmetric namespace access log page %s",
			 h->path[h->at_path].name, what);
}

/* Descriptors, from `at` in the reply on, until the group's is there. -EAGAIN: they go on after it. */
static int ana_find(struct host *h, uint64_t at)
{
	struct nvme_ana_group_desc d;

	for (; h->ana_left && at + sizeof(d) <= sizeof(h->reply); h->ana_left--) {
		memcpy(&d, h->reply + at, sizeof(d));
		if (le32toh(d.grpid) == h->seen.ana_group) {
			h->ana_state = d.state & 15 ? d.state & 15 : NVME_ANA_STATE_INACCESSIBLE;
			return 0;
		}
		at += sizeof(d) + 4ull * le32toh(d.nnsids);
	}
	h->ana_at += at;
	if (!h->ana_left)
		return ana_bad(h, "has not the namespace's group");
	return h->ana_at > ANA_MAX || !h->seen.offsets ? ana_bad(h, "is too long") : -EAGAIN;
}

int vio__host_ana_got(struct host *h, uint64_t result)
{
	struct nvme_ana_log log;

	(void)result;
	if (h->ana_at)
		return ana_find(h, 0);
	memcpy(&log, h->reply, sizeof(log));
	h->ana_left = le16toh(log.ngrps);
	return ana_find(h, sizeof(log));
}

/* What a path that is in use is worth now; if that is too little, when to leave it. */
static void path_judge(struct host *h, uint64_t now)
{
	struct host_path *p = &h->path[h->at_path];
	uint8_t was = p->rank;

	p->rank = ana_rank(h->ana_state);
	if (h->npaths == 1 || p->rank == RANK_OPTIMIZED)
		h->move_at = 0;
	else if (p->rank == RANK_CHANGE)
		h->move_at = h->move_at ? h->move_at : now + VIO_MAX(h->seen.transition, 1u) * HOST_SECOND;
	else if (p->rank != was)
		h->move_at = now;
	else if (p->rank != RANK_NON_OPTIMIZED)
		h->move_at = h->move_at ? h->move_at : now + ANA_PATIENCE;
}

int vio__host_ana_looked(struct host *h, uint64_t result)
{
	int rc = vio__host_ana_got(h, result);

	if (!rc)
		path_judge(h, vio__host_now());
	return rc;
}

bool vio__host_path_fits(struct host *h)
{
	struct host_path *p = &h->path[h->at_path];

	p->rank = ana_rank(h->ana_state);
	p->tried = true;
	for (unsigned i = 0; p->rank && !h->settled && !h->visiting && i < h->npaths; i++)
		if (!h->path[i].tried || h->path[i].rank < p->rank)
			return false;
	return true;
}

void vio__host_path_taken(struct host *h, uint64_t now)
{
	for (unsigned i = 0; i < h->npaths; i++)
		h->path[i].tried = false;
	h->settled = false;
	h->move_at = 0;
	path_judge(h, now);
	if (h->path[h->at_path].rank == RANK_NON_OPTIMIZED)
		vio__host_knock_later(h, now);
	else
		vio__host_knock_never(h);
}

/* Reached in this round, and the best of those. */
static struct host_path *path_best(struct host *h)
{
	struct host_path *best = NULL;

	for (unsigned i = 0; i < h->npaths; i++)
		if (h->path[i].rank < (best ? best->rank : HOST_UNREACHED))
			best = &h->path[i];
	return best;
}

bool vio__host_path_next(struct host *h)
{
	struct host_path *best;

	h->path[h->at_path].tried = true;
	h->settled = false;
	for (unsigned i = 1; i < h->npaths; i++) {
		unsigned n = (h->at_path + i) % h->npaths;

		if (h->path[n].tried)
			continue;
		h->at_path = n;
		return true;
	}
	best = path_best(h);
	for (unsigned i = 0; i < h->npaths; i++)
		h->path[i].tried = false;
	h->settled = best != NULL;
	h->at_path = best ? (unsigned)(best - h->path) : (h->at_path + 1) % h->npaths;
	return best;
}

uint64_t vio__host_path_patience(struct host *h)
{
	h->path[h->at_path].rank = HOST_UNREACHED;
	return path_best(h) ? ANA_PROBE : HOST_PATIENCE;
}

void vio__host_path_lost(struct host *h)
{
	vio__host_knock_end(h);
	for (unsigned i = 0; i < h->npaths; i++)
		h->path[i].rank = HOST_UNREACHED; /* as far as is known */
}

void vio__host_path_leave(struct host *h)
{
	struct host_path *p = &h->path[h->at_path];
	uint8_t rank = p->rank;

	h->move_at = 0;
	host_count(&h->keeper->count->moved, 1);
	vio__host_lost(h, h->generation);
	p->rank = rank;
}
