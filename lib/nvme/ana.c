/* SPDX-License-Identifier: MIT */
/*
 * Asymmetric namespace access (NVMe Base 2.0, 8.1): namespaces are in groups, and each
 * port has a state for each group. Queues read it without a lock, once a command.
 */
#include "nvme/nv.h"

#define ANA_RGO 1u /* of the log page's specific field: groups only */

/* Under the lock. */
static struct nv_port *port_find(struct vio_nvme *s, uint16_t id)
{
	struct nv_port *p = s->ports;

	while (p && p->id != id)
		p = p->next;
	return p;
}

static struct nv_port *port_make(struct vio_nvme *s, uint16_t id)
{
	struct nv_port *p = port_find(s, id);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->id = id;
	memcpy(p->state, s->ana, sizeof(p->state));
	p->next = s->ports;
	s->ports = p;
	return p;
}

struct nv_port *nv_port_get(struct vio_nvme *s, uint16_t id)
{
	struct nv_port *p;

	pthread_mutex_lock(&s->lock);
	p = port_make(s, id);
	pthread_mutex_unlock(&s->lock);
	return p;
}

void nv_ports_free(struct vio_nvme *s)
{
	while (s->ports) {
		struct nv_port *p = s->ports;

		s->ports = p->next;
		free(p);
	}
}

static void port_changed(struct nv_port *p, uint32_t group)
{
	p->changes++;
	p->changed[group]++;
}

/* Hosts hear of it as of a namespace that has changed, and read the log page if they have to. */
void nv_ana_moved(struct vio_nvme *s, uint32_t group)
{
	for (struct nv_port *p = s->ports; p; p = p->next)
		port_changed(p, group);
}

uint16_t nv_ana_status(uint8_t state)
{
	switch (state) {
	case VIO_NVME_ANA_INACCESSIBLE:
		return NV_PATH(NVME_SC_ANA_INACCESSIBLE);
	case VIO_NVME_ANA_PERSISTENT_LOSS:
		return NV_PATH(NVME_SC_ANA_PERSISTENT_LOSS);
	default:
		return NV_PATH(NVME_SC_ANA_TRANSITION);
	}
}

/* The beginning of a transition is no event (8.1): its end is. */
static void port_tell(struct vio_nvme *s, const struct nv_port *p)
{
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next)
		if (!c->discovery && c->admin && c->admin->group->port == p)
			nv_event_post(c, NV_EVENT_ANA);
}

static void port_set(struct vio_nvme *s, struct nv_port *p, uint32_t group, uint8_t state)
{
	if (p->state[group] == state)
		return;
	VIO_STORE(&p->state[group], state);
	port_changed(p, group);
	if (state != VIO_NVME_ANA_CHANGE)
		port_tell(s, p);
}

static bool ana_is_state(int state)
{
	return (state >= VIO_NVME_ANA_OPTIMIZED && state <= VIO_NVME_ANA_PERSISTENT_LOSS) ||
	       state == VIO_NVME_ANA_CHANGE;
}

static int ana_check_group(uint32_t group)
{
	if (group && group <= NV_ANA_GROUPS)
		return 0;
	return vio__fail(EINVAL, "nvme: ANA group %u, expected 1 to %u", group, NV_ANA_GROUPS);
}

/* What is lost for ever stays so. */
static int ana_check_loss(uint16_t port, uint32_t group, uint8_t was, uint8_t state)
{
	if (was != VIO_NVME_ANA_PERSISTENT_LOSS || was == state)
		return 0;
	return vio__fail(EPERM, "nvme: ANA group %u is lost at port %u, which can't be undone", group, port);
}

static int ana_set_all(struct vio_nvme *s, uint32_t group, uint8_t state)
{
	int rc = ana_check_loss(0, group, s->ana[group], state);

	for (struct nv_port *p = s->ports; !rc && p; p = p->next)
		rc = ana_check_loss(p->id, group, p->state[group], state);
	if (rc)
		return rc;
	s->ana[group] = state;
	for (struct nv_port *p = s->ports; p; p = p->next)
		port_set(s, p, group, state);
	return 0;
}

static int ana_set_one(struct vio_nvme *s, uint16_t port, uint32_t group, uint8_t state)
{
	struct nv_port *p = port_make(s, port);
	int rc = p ? ana_check_loss(port, group, p->state[group], state)
		   : vio__fail(ENOMEM, "nvme: out of memory for a port");

	if (!rc)
		port_set(s, p, group, state);
	return rc;
}

int vio_nvme_ana_set(struct vio_nvme *s, uint16_t port, uint32_t group, enum vio_nvme_ana state)
{
	int rc = ana_check_group(group);

	if (rc)
		return rc;
	if (!ana_is_state((int)state))
		return vio__fail(EINVAL, "nvme: ANA state %d, expected 1 to 4, or 15", (int)state);
	pthread_mutex_lock(&s->lock);
	rc = port ? ana_set_one(s, port, group, (uint8_t)state) : ana_set_all(s, group, (uint8_t)state);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int vio_nvme_ana_get(struct vio_nvme *s, uint16_t port, uint32_t group)
{
	const struct nv_port *p;
	int rc = ana_check_group(group);

	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	p = port ? port_find(s, port) : NULL;
	rc = p ? p->state[group] : s->ana[group];
	pthread_mutex_unlock(&s->lock);
	return rc;
}

struct ana_writer {
	const struct vio_nvme *s;
	const struct nv_ctrl *ctrl;
	const struct nv_port *port;
	bool ids; /* of namespaces, too */
	uint32_t count[NV_ANA_GROUPS + 1];
	uint32_t *nsids[NV_ANA_GROUPS + 1]; /* where the next of a group goes */
};

/* One group's part; how long it is. It need not be aligned. */
static size_t log_group(struct ana_writer *w, uint32_t group, uint8_t *at)
{
	struct nvme_ana_group_desc d = { .grpid = group,
					 .nnsids = w->ids ? w->count[group] : 0,
					 .chgcnt = w->port->changed[group],
					 .state = w->port->state[group] };

	memcpy(at, &d, sizeof(d));
	w->nsids[group] = (uint32_t *)(at + sizeof(d));
	return sizeof(d) + d.nnsids * sizeof(uint32_t);
}

/* Groups without a namespace are left out. Their number. */
static uint16_t log_groups(struct ana_writer *w, uint8_t *at)
{
	const struct vio_nvme *s = w->s;
	uint16_t n = 0;

	for (uint32_t i = 1; i <= s->max_ns; i++)
		if (s->ns[i] && nv_attached(w->ctrl, i))
			w->count[s->ns[i]->ana_group]++;
	for (uint32_t g = 1; g <= NV_ANA_GROUPS; g++) {
		if (!w->count[g])
			continue;
		at += log_group(w, g, at);
		n++;
	}
	for (uint32_t i = 1; w->ids && i <= s->max_ns; i++)
		if (s->ns[i] && nv_attached(w->ctrl, i))
			*w->nsids[s->ns[i]->ana_group]++ = i;
	return n;
}

/* As long as it could be: hosts go by that, and read the end of it by its own. */
size_t nv_ana_log(struct nv_qp *qp, const struct nvme_cmd *cmd, struct nvme_ana_log *log)
{
	struct vio_nvme *s = qp->group->s;
	struct ana_writer w = {
		.s = s, .ctrl = qp->ctrl, .port = qp->group->port, .ids = !(cmd->cdw10 >> 8 & ANA_RGO)
	};
	bool retain = cmd->cdw10 & 1u << 15;

	pthread_mutex_lock(&s->lock);
	log->chgcnt = w.port->changes;
	log->ngrps = log_groups(&w, (uint8_t *)(log + 1));
	if (!retain)
		nv_event_read(qp->ctrl, NV_EVENT_ANA);
	pthread_mutex_unlock(&s->lock);
	return NV_ANA_LOG(s->max_ns);
}
