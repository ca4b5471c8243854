/* SPDX-License-Identifier: MIT */
/*
 * The discovery log page (NVMe Base 2.0, 5.16.1.23): where the subsystem is reached, by
 * this process and by others. It may be longer than any buffer, so each part is made
 * when it is asked for.
 */
#include "nvme/nv.h"

struct nv_listing {
	struct nv_listing *next;
	const void *owner; /* NULL: another process is there */
	uint16_t port;
	bool any; /* no address of its own: whichever a host has come by */
	struct nv_address at;
};

/* Under the lock. */
static void listings_changed(struct vio_nvme *s)
{
	s->listings_changes++;
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next)
		if (c->discovery && c->admin)
			nv_event_post(c, NV_EVENT_DISCOVERY);
}

int nv_listing_add(struct vio_nvme *s, const void *owner, uint16_t port, const struct nv_address *at)
{
	struct nv_listing *l = calloc(1, sizeof(*l)), **end = &s->listings;

	if (!l)
		return vio__fail(ENOMEM, "nvme: out of memory for an address");
	*l = (struct nv_listing){ .owner = owner, .port = port ? port : 1, .at = *at };
	l->any = owner && (!strcmp(at->addr, "0.0.0.0") || !strcmp(at->addr, "::"));
	pthread_mutex_lock(&s->lock);
	while (*end)
		end = &(*end)->next;
	*end = l;
	listings_changed(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void nv_listing_remove(struct vio_nvme *s, const void *owner)
{
	struct nv_listing **at = &s->listings, *l;
	bool changed = false;

	pthread_mutex_lock(&s->lock);
	while ((l = *at)) {
		if (l->owner != owner) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		free(l);
		changed = true;
	}
	if (changed)
		listings_changed(s);
	pthread_mutex_unlock(&s->lock);
}

void nv_listings_free(struct vio_nvme *s)
{
	while (s->listings) {
		struct nv_listing *l = s->listings;

		s->listings = l->next;
		free(l);
	}
}

/* The part of a piece of the page that the host asked for. */
static void log_put(struct nvme_req *r, uint64_t offset, uint64_t at, const void *piece, size_t size)
{
	uint64_t from = VIO_MAX(offset, at), to = VIO_MIN(offset + r->len, at + size);

	if (from < to)
		memcpy((char *)r->buf + (from - offset), (const char *)piece + (from - at), to - from);
}

static void log_padded(char *to, size_t size, const char *text)
{
	memset(to, ' ', size);
	memcpy(to, text, VIO_MIN(size, strlen(text)));
}

/* False: it can't be told to a host that has come this way. */
static bool log_address(struct nvmf_disc_log_entry *e, const struct nv_listing *l,
			const struct nv_address *came)
{
	const struct nv_address *a = l->any ? came : &l->at;

	if (l->any && l->at.family == NVMF_ADDR_FAMILY_IP4 && came->family != NVMF_ADDR_FAMILY_IP4)
		return false;
	e->adrfam = a->family;
	log_padded(e->traddr, sizeof(e->traddr), a->addr);
	log_padded(e->trsvcid, sizeof(e->trsvcid), l->at.port);
	return true;
}

static uint64_t log_entries(const struct nv_qp *qp, struct nvme_req *r, uint64_t offset)
{
	const struct vio_nvme *s = qp->group->s;
	uint64_t n = 0;

	for (const struct nv_listing *l = s->listings; l; l = l->next) {
		struct nvmf_disc_log_entry e = { .trtype = NVMF_TRTYPE_TCP,
						 .subtype = NVME_NQN_NVME,
						 .treq = NVMF_TREQ_NOT_SPECIFIED | NVMF_TREQ_DISABLE_SQFLOW,
						 .portid = l->port,
						 .cntlid = UINT16_MAX,
						 .asqsz = NV_ENTRIES };

		if (!log_address(&e, l, &qp->local))
			continue;
		memcpy(e.subnqn, s->nqn, sizeof(e.subnqn));
		log_put(r, offset, sizeof(struct nvmf_discovery_log) + n * sizeof(e), &e, sizeof(e));
		n++;
	}
	return n;
}

uint16_t nv_discovery_log(struct nv_qp *qp, struct nvme_req *r, uint64_t offset)
{
	struct vio_nvme *s = qp->group->s;
	struct nvmf_discovery_log head = { 0 };
	uint64_t size;

	pthread_mutex_lock(&s->lock);
	head.genctr = s->listings_changes;
	if (nv_host_allowed(s, qp->ctrl->hostnqn))
		head.numrec = log_entries(qp, r, offset);
	if (!(r->cmd.cdw10 & 1u << 15))
		nv_event_read(qp->ctrl, NV_EVENT_DISCOVERY);
	pthread_mutex_unlock(&s->lock);
	log_put(r, offset, 0, &head, sizeof(head));
	size = sizeof(head) + head.numrec * sizeof(struct nvmf_disc_log_entry);
	return offset > size ? NV_NO(NVME_SC_INVALID_FIELD) : 0;
}
