/* SPDX-License-Identifier: MIT */
/*
 * Attachment (NVMe Base 2.0, 5.22): which controllers have a namespace. A namespace names
 * hosts, not controllers, so that a host that connects again has what it had. What follows
 * from it for a controller is a byte of its for each namespace, which queues read without a
 * lock, once a command.
 */
#include "nvme/nv.h"

#define ATTACH_MAX_HOSTS 256u /* a namespace names */

static int attach_find(const struct nv_ns *ns, const char *host)
{
	for (unsigned i = 0; i < ns->nhosts; i++)
		if (!strcmp(ns->hosts[i], host))
			return (int)i;
	return -1;
}

bool nv_attach_is_host(const struct nv_ctrl *c)
{
	return !c->discovery && (c->pci || c->admin);
}

static bool attach_has(const struct nv_ctrl *c, const struct nv_ns *ns)
{
	return nv_attach_is_host(c) && ns->all != (attach_find(ns, c->hostnqn) >= 0);
}

/* Of a private namespace: who is to have it, else who has it already, else the newest. */
static struct nv_ctrl *attach_owner(const struct vio_nvme *s, const struct nv_ns *ns, struct nv_ctrl *first)
{
	struct nv_ctrl *newest = NULL;

	if (first && attach_has(first, ns))
		return first;
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next) {
		if (!attach_has(c, ns))
			continue;
		if (nv_attached(c, ns->nsid))
			return c;
		newest = newest ? newest : c;
	}
	return newest;
}

static void attach_one(struct nv_ctrl *c, const struct nv_ns *ns, bool has)
{
	bool had = nv_attached(c, ns->nsid);

	VIO_STORE(&c->access[ns->nsid], (uint8_t)((has ? 0 : NV_DETACHED) | ns->gate));
	if (has != had)
		nv_ns_changed_for(c, ns->nsid);
}

static void attach_all(struct vio_nvme *s, const struct nv_ns *ns, struct nv_ctrl *first)
{
	const struct nv_ctrl *owner = ns->exclusive ? attach_owner(s, ns, first) : NULL;

	for (struct nv_ctrl *c = s->ctrls; c; c = c->next)
		attach_one(c, ns, ns->exclusive ? c == owner : attach_has(c, ns));
}

void nv_attach_ns(struct vio_nvme *s, const struct nv_ns *ns)
{
	attach_all(s, ns, NULL);
}

/* A host that connects again may do so before its last controller was missed: the new one takes over. */
void nv_attach_come(struct nv_ctrl *c)
{
	struct vio_nvme *s = c->s;

	for (uint32_t i = 1; i <= s->max_ns; i++) {
		if (s->ns[i] && s->ns[i]->exclusive)
			attach_all(s, s->ns[i], c);
		else if (s->ns[i])
			attach_one(c, s->ns[i], attach_has(c, s->ns[i]));
	}
}

static void attach_drop(struct nv_ns *ns, unsigned i)
{
	free(ns->hosts[i]);
	ns->hosts[i] = ns->hosts[--ns->nhosts];
}

static int attach_push(struct nv_ns *ns, const char *host)
{
	char **hosts =
		ns->nhosts < ATTACH_MAX_HOSTS ? realloc(ns->hosts, (ns->nhosts + 1) * sizeof(*hosts)) : NULL;
	char *copy = hosts ? strdup(host) : NULL;

	if (hosts)
		ns->hosts = hosts;
	if (copy)
		hosts[ns->nhosts++] = copy;
	if (!hosts && ns->nhosts == ATTACH_MAX_HOSTS)
		return vio__fail(ENOSPC, "nvme: namespace %u names %u hosts, and no more fit", ns->nsid,
				 ATTACH_MAX_HOSTS);
	return copy ? 0 : vio__fail(ENOMEM, "nvme: out of memory for a host's name");
}

/* -ENOSPC, -ENOMEM. Controllers are as they were. */
static int attach_name(struct nv_ns *ns, const char *host, bool attached)
{
	int at = attach_find(ns, host);

	if ((ns->all != (at >= 0)) == attached)
		return 0;
	if (at < 0)
		return attach_push(ns, host);
	attach_drop(ns, (unsigned)at);
	return 0;
}

/* It has left the list of controllers. A function's own name is nobody's from here on. */
void nv_attach_leave(struct nv_ctrl *c)
{
	struct vio_nvme *s = c->s;

	for (uint32_t i = 1; i <= s->max_ns; i++) {
		struct nv_ns *ns = s->ns[i];
		int at = ns && c->unnamed ? attach_find(ns, c->hostnqn) : -1;

		if (at >= 0)
			attach_drop(ns, (unsigned)at);
		if (ns && ns->exclusive && nv_attached(c, i))
			attach_all(s, ns, NULL);
	}
}

void nv_attach_free(struct nv_ns *ns)
{
	while (ns->nhosts)
		attach_drop(ns, ns->nhosts - 1);
	free(ns->hosts);
}

int vio_nvme_ns_attach(struct vio_nvme *s, uint32_t nsid, const char *host_nqn, bool attached)
{
	char nqn[NVME_NQN_LENGTH];
	struct nv_ns *ns = NULL;
	int rc = nv_check_nqn(nqn, host_nqn, "a host's NQN");

	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	if (nsid && nsid <= s->max_ns)
		ns = s->ns[nsid];
	rc = ns ? attach_name(ns, nqn, attached)
		: vio__fail(ENOENT, "nvme: %s has no namespace %u", s->nqn, nsid);
	if (!rc)
		attach_all(s, ns, NULL);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

uint16_t nv_access_status(uint8_t access)
{
	if (access & NV_DETACHED || !access)
		return NV_NO(NVME_SC_INVALID_FIELD); /* as if it were not there */
	if (access & NV_SANITIZE_FAILED)
		return NV_NO(NVME_SC_SANITIZE_FAILED);
	return NVME_STATUS(access & NV_SANITIZING ? NVME_SC_SANITIZE_IN_PROGRESS
						  : NVME_SC_FORMAT_IN_PROGRESS);
}

static struct nv_ctrl *cmd_find(const struct vio_nvme *s, uint16_t id)
{
	struct nv_ctrl *c = s->ctrls;

	while (c && !(c->cntlid == id && nv_attach_is_host(c)))
		c = c->next;
	return c;
}

/* All of the list, before anything is done. */
static uint16_t cmd_check(const struct vio_nvme *s, const struct nv_ns *ns, const struct nvme_ctrl_list *l,
			  bool attach)
{
	unsigned n = l->num;

	if (!n || n > NVME_ID_CTRL_LIST_MAX)
		return NV_NO_SPECIFIC(NVME_SC_CTRL_LIST_INVALID);
	for (unsigned i = 0; i < n; i++) {
		const struct nv_ctrl *c = cmd_find(s, l->identifier[i]);

		if (!c || (i && l->identifier[i] <= l->identifier[i - 1]))
			return NV_NO_SPECIFIC(NVME_SC_CTRL_LIST_INVALID);
		if (attach && nv_attached(c, ns->nsid))
			return NV_NO_SPECIFIC(NVME_SC_NS_ALREADY_ATTACHED);
		if (!attach && !nv_attached(c, ns->nsid))
			return NV_NO_SPECIFIC(NVME_SC_NS_NOT_ATTACHED);
	}
	if (attach && ns->exclusive && (n > 1 || ns->nhosts || ns->all))
		return NV_NO_SPECIFIC(NVME_SC_NS_IS_PRIVATE);
	return 0;
}

/* What was done before a failure stays: it is what the host asked for. */
static uint16_t cmd_obey(struct vio_nvme *s, struct nv_ns *ns, const struct nvme_ctrl_list *l, bool attach)
{
	int rc = 0;

	for (unsigned i = 0; i < l->num && !rc; i++)
		rc = attach_name(ns, cmd_find(s, l->identifier[i])->hostnqn, attach);
	attach_all(s, ns, attach ? cmd_find(s, l->identifier[0]) : NULL);
	if (rc == -ENOSPC)
		return NV_NO_SPECIFIC(NVME_SC_NS_ATTACHMENT_LIMIT_EXCEEDED);
	return rc ? NVME_STATUS(NVME_SC_INTERNAL) : 0;
}

uint16_t nv_ns_attach(struct nv_qp *qp, struct nvme_req *r)
{
	uint32_t sel = r->cmd.cdw10 & 0xf, nsid = r->cmd.nsid;
	struct vio_nvme *s = qp->group->s;
	struct nv_ns *ns = NULL;
	uint16_t status;

	if (sel > NVME_NS_ATTACH_SEL_CTRL_DEATTACH)
		return NV_NO(NVME_SC_INVALID_FIELD);
	status = nv_data(r, sizeof(struct nvme_ctrl_list), false);
	if (status)
		return status;
	pthread_mutex_lock(&s->lock);
	if (nsid && nsid <= s->max_ns)
		ns = s->ns[nsid];
	if (!ns)
		status = NV_NO(nsid && nsid <= s->max_ns ? NVME_SC_INVALID_FIELD : NVME_SC_INVALID_NS);
	else
		status = cmd_check(s, ns, r->buf, !sel);
	if (!status)
		status = cmd_obey(s, ns, r->buf, !sel);
	pthread_mutex_unlock(&s->lock);
	return status ? status : nv_keep(qp, r, nsid);
}
