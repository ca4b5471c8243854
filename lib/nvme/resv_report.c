/* SPDX-License-Identifier: MIT */
/* Reservation Report: a structure for each controller of each registrant, as far as the host's buffer goes.
 */
#include "nvme/resv.h"

#define REPORT_EXTENDED 1u /* in dword 11 */
#define REPORT_HEADER 24u
#define REPORT_HEADER_EXTENDED 64u

struct report {
	const struct resv_state *s;
	bool extended;
	uint8_t *to;
	size_t at, size; /* at: goes on beyond the size */
	uint16_t n;
};

static void report_put(struct report *p, const void *from, size_t size)
{
	if (p->at < p->size)
		memcpy(p->to + p->at, from, VIO_MIN(size, p->size - p->at));
	p->at += size;
}

static void report_one(struct report *p, unsigned host, uint16_t cntlid)
{
	const struct resv_host *h = &p->s->host[host];
	struct nvme_registered_ctrl one = { .cntlid = cntlid,
					    .rcsts = resv_holds(p->s, host),
					    .rkey = h->key };
	struct nvme_registered_ctrl_ext wide = { .cntlid = cntlid, .rcsts = one.rcsts, .rkey = h->key };

	p->n++;
	memcpy(&one.hostid, h->id, sizeof(one.hostid));
	memcpy(wide.hostid, h->id, sizeof(wide.hostid));
	if (p->extended)
		report_put(p, &wide, sizeof(wide));
	else
		report_put(p, &one, sizeof(one));
}

/* A host that has no controller now is shown too. */
static void report_host(struct report *p, const struct vio_nvme *s, unsigned host)
{
	unsigned before = p->n;

	for (const struct nv_ctrl *c = s->ctrls; c; c = c->next)
		if (!c->discovery && !memcmp(c->hostid, p->s->host[host].id, sizeof(c->hostid)))
			report_one(p, host, c->cntlid);
	if (p->n == before)
		report_one(p, host, UINT16_MAX);
}

static bool report_wide(const uint8_t id[16])
{
	static const uint8_t none[8];

	return memcmp(id + 8, none, sizeof(none));
}

/* The shorter structure has no room for identifiers of 128 bits. */
static bool report_fits(const struct resv_state *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (report_wide(s->host[i].id))
			return false;
	return true;
}

static void report_make(struct report *p, struct nv_ns *ns)
{
	struct nvme_resv_status head = { .gen = p->s->gen, .rtype = p->s->type, .ptpls = p->s->persists };

	p->at = p->extended ? REPORT_HEADER_EXTENDED : REPORT_HEADER;
	for (unsigned i = 0; i < p->s->n; i++)
		report_host(p, ns->s, i);
	memcpy(head.regctl, &p->n, sizeof(head.regctl));
	p->at = 0;
	report_put(p, &head, REPORT_HEADER);
}

uint16_t resv_report(struct nv_ns *ns, struct nvme_req *r)
{
	const struct nv_ctrl *c = nv_qp_of(r)->ctrl;
	uint64_t bytes = ((uint64_t)r->cmd.cdw10 + 1) * 4;
	bool wide;
	struct report p = { .s = &ns->resv->now, .extended = r->cmd.cdw11 & REPORT_EXTENDED };
	uint16_t status = nv_data(r, (uint32_t)VIO_MIN(bytes, UINT32_MAX), false);

	if (status)
		return status;
	memset(r->buf, 0, r->len);
	p.to = r->buf;
	p.size = r->len;
	pthread_mutex_lock(&ns->s->lock);
	wide = !c->pci || report_wide(c->hostid);
	pthread_mutex_lock(&ns->resv->lock);
	if (p.extended != wide || (!wide && !report_fits(p.s)))
		status = NV_NO(NVME_SC_HOSTID_FORMAT);
	else
		report_make(&p, ns);
	pthread_mutex_unlock(&ns->resv->lock);
	pthread_mutex_unlock(&ns->s->lock);
	return status;
}
