/* SPDX-License-Identifier: MIT */
/*
 * Reservation commands, and what each I/O command is asked while a namespace is reserved. A
 * change has a number of its own, unlike any of another namespace; a queue keeps
 * what its host may do by that number, so that it takes the lock once a change.
 */
#include "nvme/resv.h"

#define RESV_ABORTS(r) ((r)->cmd.opcode == nvme_cmd_resv_acquire && ((r)->cmd.cdw10 & 7) == 2)

/* What was under way before the change has come back: then the command is answered. */
struct resv_wait {
	struct nv_fence fence;
	struct nv_lane *lane;
	struct nvme_req *r;
	struct resv_notes notes; /* whose commands are aborted, if it aborts */
};

int nv_resv_init(struct nv_ns *ns, const char *path)
{
	struct nv_resv *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return vio__fail(ENOMEM, "nvme: out of memory for reservations");
	v->now.holder = RESV_NOBODY;
	pthread_mutex_init(&v->lock, NULL);
	ns->resv = v;
	v->path = path ? strdup(path) : NULL;
	rc = path && !v->path ? vio__fail(ENOMEM, "nvme: out of memory for a name") : 0;
	rc = rc || !path ? rc : resv_load(path, &v->now);
	if (!rc && v->now.type)
		VIO_STORE(&ns->reserved, nv_resv_number());
	return rc;
}

void nv_resv_free(struct nv_ns *ns)
{
	if (!ns->resv)
		return;
	pthread_mutex_destroy(&ns->resv->lock);
	free(ns->resv->path);
	free(ns->resv);
}

bool nv_resv_same_file(const struct nv_ns *a, const struct nv_ns *b)
{
	return a->resv->path && b->resv->path && !strcmp(a->resv->path, b->resv->path);
}

bool nv_resv_persists(const struct nv_ns *ns)
{
	return ns->resv->path;
}

/* Unlike all others, in all subsystems, and never 0. */
uint64_t nv_resv_number(void)
{
	static uint64_t last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

static void resv_look(struct nv_qp *qp, struct nv_ns *ns, struct nv_rights *rights)
{
	struct vio_nvme *s = ns->s;
	struct nv_resv *v = ns->resv;
	uint8_t id[16];
	unsigned host;

	pthread_mutex_lock(&s->lock);
	memcpy(id, qp->ctrl->hostid, sizeof(id));
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&v->lock);
	host = resv_find(&v->now, id);
	rights->number = VIO_LOAD(&ns->reserved);
	rights->read = resv_may(&v->now, host, false);
	rights->write = resv_may(&v->now, host, true);
	pthread_mutex_unlock(&v->lock);
}

static bool resv_reads(uint8_t opcode)
{
	return opcode == nvme_cmd_read || opcode == nvme_cmd_compare || opcode == nvme_cmd_verify;
}

uint16_t nv_resv_status(struct nv_qp *qp, struct nv_ns *ns, uint8_t opcode, uint64_t number)
{
	struct nv_rights *rights = &qp->rights[ns->nsid % NV_RIGHTS];

	if (nv_resv_is(opcode))
		return 0;
	if (!qp->ctrl)
		return NVME_STATUS(NVME_SC_ABORT_QUEUE);
	if (VIO_UNLIKELY(rights->number != number))
		resv_look(qp, ns, rights);
	return (resv_reads(opcode) ? rights->read : rights->write) ? 0 : NV_NO(NVME_SC_RESERVATION_CONFLICT);
}

/* A host has said who it is: what its queues know of it is of the past. Under the subsystem's lock. */
void nv_resv_host_changed(struct vio_nvme *s)
{
	for (uint32_t i = 1; i <= s->max_ns; i++)
		if (s->ns[i] && VIO_LOAD(&s->ns[i]->reserved))
			VIO_STORE(&s->ns[i]->reserved, nv_resv_number());
}

uint16_t nv_resv_refuses_admin(struct nv_qp *qp, uint32_t nsid)
{
	struct vio_nvme *s = qp->group->s;
	uint32_t last = nsid == NVME_NSID_ALL ? s->max_ns : nsid;
	uint16_t status = 0;

	for (uint32_t i = nsid == NVME_NSID_ALL ? 1 : nsid; !status && i && i <= last; i++) {
		struct nv_ns *ns = nv_ns_get(s, i);

		if (ns)
			status = nv_resv_refuses(qp, ns, nvme_cmd_write);
		nv_ns_put(ns);
	}
	return status;
}

static void resv_up(struct vio_msg *m)
{
	struct resv_wait *w = VIO_CONTAINER(m, struct resv_wait, fence.msg);
	struct nv_group *g = w->lane->group;

	nv_fence_lift(w->lane->ns);
	w->lane->pins--;
	nv_done(w->r, 0);
	vio_task_wake(g->poller, g->task);
	free(w);
}

static bool resv_aborts(const struct nv_fence *f, const struct nvme_req *r)
{
	const struct resv_wait *w = VIO_CONTAINER(f, struct resv_wait, fence);
	const struct nv_ctrl *c = nv_qp_of(r)->ctrl;

	for (unsigned i = 0; c && i < w->notes.n; i++)
		if (w->notes.to[i].types & RESV_NOTE_REGISTRATION_PREEMPTED &&
		    !memcmp(w->notes.to[i].id, c->hostid, sizeof(c->hostid)))
			return true;
	return false;
}

static struct resv_wait *resv_wait_new(struct nv_lane *l, struct nvme_req *r)
{
	struct resv_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->fence.msg.fn = resv_up;
	w->fence.poller = l->group->poller;
	w->lane = l;
	w->r = r;
	if (RESV_ABORTS(r))
		w->fence.aborts = resv_aborts;
	return w;
}

static uint16_t resv_apply(const struct nvme_req *r, struct resv_state *s, const struct resv_cmd *c,
			   struct resv_notes *notes)
{
	switch (r->cmd.opcode) {
	case nvme_cmd_resv_register:
		return resv_register(s, c, notes);
	case nvme_cmd_resv_acquire:
		return resv_acquire(s, c, notes);
	default:
		return resv_release(s, c, notes);
	}
}

/* Under the reservations' lock: the new state, once it is where it has to be. */
static uint16_t resv_commit(struct nv_ns *ns, const struct resv_state *next)
{
	struct nv_resv *v = ns->resv;
	bool changed = memcmp(&v->now, next, sizeof(*next));

	if (!changed)
		return 0;
	if (next->persists && !v->path)
		return NV_NO(NVME_SC_INVALID_FIELD);
	if ((next->persists || v->now.persists) && resv_save(v->path, next))
		return NVME_STATUS(NVME_SC_INTERNAL);
	v->now = *next;
	VIO_STORE(&ns->reserved, next->type ? nv_resv_number() : 0);
	return 0;
}

static uint16_t resv_change(struct nv_ns *ns, const struct nvme_req *r, const struct resv_cmd *c,
			    struct resv_notes *notes)
{
	struct nv_resv *v = ns->resv;
	struct resv_state next;
	uint16_t status;

	pthread_mutex_lock(&v->lock);
	next = v->now;
	status = resv_apply(r, &next, c, notes);
	status = status ? status : resv_commit(ns, &next);
	pthread_mutex_unlock(&v->lock);
	return status;
}

/* Its host, its data: a status. */
static uint16_t resv_parse(struct nvme_req *r, struct resv_cmd *c, uint8_t host[16])
{
	static const uint8_t nobody[16];
	const struct nv_ctrl *ctrl = nv_qp_of(r)->ctrl;
	bool one = r->cmd.opcode == nvme_cmd_resv_release;
	uint16_t status = nv_data_at_least(r, one ? 8 : 16);

	if (status)
		return status;
	pthread_mutex_lock(&ctrl->s->lock);
	memcpy(host, ctrl->hostid, sizeof(ctrl->hostid));
	pthread_mutex_unlock(&ctrl->s->lock);
	if (!memcmp(host, nobody, sizeof(nobody)))
		return NV_NO(NVME_SC_CMD_SEQ_ERROR); /* it has to say who it is first */
	*c = (struct resv_cmd){ .host = host, .cdw10 = r->cmd.cdw10 };
	memcpy(&c->key, r->buf, sizeof(c->key));
	if (!one)
		memcpy(&c->other, (const char *)r->buf + 8, sizeof(c->other));
	return 0;
}

uint16_t nv_resv(struct nv_lane *l, struct nvme_req *r)
{
	struct resv_notes notes;
	struct resv_wait *w;
	struct resv_cmd c;
	uint8_t host[16];
	uint16_t status;

	if (r->cmd.opcode == nvme_cmd_resv_report)
		return resv_report(l->ns, r);
	status = resv_parse(r, &c, host);
	if (status)
		return status;
	w = resv_wait_new(l, r);
	if (!w)
		return NVME_STATUS(NVME_SC_INTERNAL);
	notes.n = 0;
	status = resv_change(l->ns, r, &c, &notes);
	if (!status)
		resv_tell(l->ns, &notes);
	if (status || r->cmd.opcode != nvme_cmd_resv_acquire) {
		free(w);
		return status;
	}
	w->notes = notes;
	l->pins++;
	nv_fence_raise(l->ns, &w->fence);
	return NV_LATER;
}

/* Feature 83h: whether a namespace's reservations outlive a loss of power; under no lock. */
uint16_t nv_resv_persist(struct nv_ns *ns, bool on)
{
	struct nv_resv *v = ns->resv;
	struct resv_state next;
	uint16_t status;

	pthread_mutex_lock(&v->lock);
	next = v->now;
	next.persists = on;
	status = resv_commit(ns, &next);
	pthread_mutex_unlock(&v->lock);
	return status;
}

bool nv_resv_persisted(struct nv_ns *ns)
{
	bool on;

	pthread_mutex_lock(&ns->resv->lock);
	on = ns->resv->now.persists;
	pthread_mutex_unlock(&ns->resv->lock);
	return on;
}
