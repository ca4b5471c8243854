/* SPDX-License-Identifier: MIT */
/*
 * The registers (NVMe Base 2.0, 3.1.3). What CC asks for takes time, since queues live on
 * other threads: npci_settle takes the next step, and CSTS says when it is done.
 */
#include "nvme/pci.h"

#define REG_CAP 0x00
#define REG_VS 0x08
#define REG_CC 0x14
#define REG_CSTS 0x1c
#define REG_AQA 0x24
#define REG_ASQ 0x28
#define REG_ACQ 0x30
#define REG_CRTO 0x68

#define REGS_TIMEOUT 20u /* in units of 500 ms */
#define CAP_CQR (1ull << 16)
#define CAP_TO (24)
#define CAP_NVM (1ull << 37)
#define CAP_CRWMS (1ull << 59)
#define CC_SHN(cc) ((cc) >> 14 & 3)
#define CSTS_SHST (3u << 2)

static uint64_t regs_get(const struct nvme_pci *p, uint64_t at)
{
	switch (at) {
	case REG_CAP:
		return (NPCI_ENTRIES - 1) | CAP_CQR | (uint64_t)REGS_TIMEOUT << CAP_TO | CAP_NVM | CAP_CRWMS;
	case REG_VS:
		return 0x00020000;
	case REG_CC & ~7:
		return (uint64_t)p->ctrl->cc << 32;
	case REG_CSTS & ~7:
		return (uint64_t)VIO_LOAD(&p->ctrl->csts) << 32;
	case REG_AQA & ~7:
		return (uint64_t)p->aqa << 32;
	case REG_ASQ:
		return p->asq;
	case REG_ACQ:
		return p->acq;
	case REG_CRTO:
		return REGS_TIMEOUT;
	default:
		return 0;
	}
}

uint64_t npci_read(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len)
{
	struct nvme_pci *p = npci_of(f);
	uint64_t v;

	(void)bar;
	if (at >= NPCI_BELLS)
		return 0; /* doorbells are for writing */
	if (npci_offline(p))
		v = (at & ~7ull) == (REG_CSTS & ~7) ? (uint64_t)NV_CSTS_CFS << 32 : 0;
	else
		v = regs_get(p, at & ~7ull);
	v >>= 8 * (at & 7);
	return len == 8 ? v : v & ((1ull << 8 * len) - 1);
}

static void csts_change(struct nvme_pci *p, uint32_t off, uint32_t on)
{
	__atomic_and_fetch(&p->ctrl->csts, ~off, __ATOMIC_RELAXED);
	__atomic_or_fetch(&p->ctrl->csts, on, __ATOMIC_RELAXED);
}

static struct npci_cq *up_cq(struct nvme_pci *p)
{
	struct npci_cq *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->w = &p->workers[0];
	q->base = p->acq;
	q->size = (p->aqa >> 16 & 0xfff) + 1;
	q->interrupts = true;
	q->ready = true;
	if (!npci_cq_open(q))
		return q;
	free(q);
	return NULL;
}

static struct npci_sq *up_sq(struct nvme_pci *p)
{
	struct npci_sq *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->w = &p->workers[0];
	q->base = p->asq;
	q->size = (p->aqa & 0xfff) + 1;
	q->cq = p->cq[0];
	q->ready = true;
	if (!npci_sq_open(q))
		return q;
	free(q);
	return NULL;
}

/* The admin queue; workers[0] is this thread's. */
static bool regs_up(struct nvme_pci *p)
{
	if (!nv_cc_fits(p->ctrl, p->ctrl->cc)) {
		vio__fail(EINVAL, "CC is %#x", p->ctrl->cc);
		return false;
	}
	p->cq[0] = up_cq(p);
	if (!p->cq[0])
		return false;
	p->sq[0] = up_sq(p);
	if (p->sq[0])
		return true;
	npci_cq_close(p->cq[0]);
	free(p->cq[0]);
	p->cq[0] = NULL;
	return false;
}

static void regs_enable(struct nvme_pci *p)
{
	p->up = regs_up(p);
	csts_change(p, NV_CSTS_RDY, p->up ? NV_CSTS_RDY : NV_CSTS_CFS);
	if (p->up)
		vio_task_wake(p->pci.poller, &p->workers[0].task);
	else
		vio_poller_log(p->pci.poller, VIO_LOG_ERROR, "nvme: controller %u can't be enabled: %s",
			       p->ctrl->cntlid, vio_errmsg());
}

static void regs_drop(struct nvme_pci *p)
{
	npci_virt_reset(p);
	p->dropping = p->nworkers;
	for (unsigned i = 0; i < p->nworkers; i++)
		npci_worker_call(&p->workers[i], &p->workers[i].drop);
}

void npci_settle(struct nvme_pci *p)
{
	bool enabled = p->ctrl->cc & NV_CC_EN;

	if (p->dropping)
		return;
	if (p->image && !p->up && p->runs && !p->restoring)
		npci_restore(p);
	else if (p->up && !enabled)
		regs_drop(p);
	else if (!p->up && !enabled)
		csts_change(p, NV_CSTS_RDY | NV_CSTS_CFS, 0);
	else if (!p->up && p->runs && !(VIO_LOAD(&p->ctrl->csts) & NV_CSTS_CFS))
		regs_enable(p);
}

/* What the host has set is forgotten, and what it has not read of changes: it looks anew. */
static void regs_forget(struct nvme_pci *p)
{
	struct nv_ctrl *c = p->ctrl;

	pthread_mutex_lock(&c->s->lock);
	nv_ctrl_reset(c);
	c->events_due = c->events_masked = 0;
	c->many_changed = false;
	c->nchanged = 0;
	pthread_mutex_unlock(&c->s->lock);
	p->shadow_at = p->event_at = 0;
}

void npci_dropped(struct nvme_pci *p)
{
	if (--p->dropping)
		return;
	for (unsigned i = 0; i <= p->queues; i++) {
		free(p->sq[i]);
		free(p->cq[i]);
		p->sq[i] = NULL;
		p->cq[i] = NULL;
	}
	p->up = false;
	regs_forget(p);
	csts_change(p, NV_CSTS_RDY | NV_CSTS_CFS, 0);
	npci_settle(p);
	if (p->stopping && !p->up)
		npci_stop_workers(p);
}

static void regs_cc(struct nvme_pci *p, uint32_t cc)
{
	if (!(cc & NV_CC_EN))
		npci_image_drop(p);
	p->ctrl->cc = cc;
	csts_change(p, CSTS_SHST, CC_SHN(cc) ? NV_CSTS_SHUT : 0);
	npci_settle(p);
}

static void regs_set(struct nvme_pci *p, uint64_t at, uint32_t v)
{
	switch (at) {
	case REG_CC:
		regs_cc(p, v);
		break;
	case REG_AQA:
		p->aqa = v & 0x0fff0fff;
		break;
	case REG_ASQ:
		p->asq = (p->asq & ~0xffffffffull) | v;
		break;
	case REG_ASQ + 4:
		p->asq = (p->asq & 0xffffffffull) | (uint64_t)v << 32;
		break;
	case REG_ACQ:
		p->acq = (p->acq & ~0xffffffffull) | v;
		break;
	case REG_ACQ + 4:
		p->acq = (p->acq & 0xffffffffull) | (uint64_t)v << 32;
		break;
	}
}

/* Of a queue that is not there, or while there is no controller, it says nothing. */
static void regs_ring(struct nvme_pci *p, uint64_t at, uint32_t v)
{
	uint64_t word = (at - NPCI_BELLS) / 4, qid = word / 2;
	struct npci_worker *w = NULL;

	if (qid <= p->queues && p->image && !p->restoring)
		VIO_STORE(&p->bells[word], v); /* its queue is yet to come */
	if (qid > p->queues || !p->up || p->dropping)
		return;
	if (word % 2)
		w = p->cq[qid] && (p->cq[qid]->ready || p->restoring) ? p->cq[qid]->w : NULL;
	else
		w = p->sq[qid] && (p->sq[qid]->ready || p->restoring) ? p->sq[qid]->w : NULL;
	if (!w)
		return;
	VIO_STORE_RELEASE(&p->bells[word], v);
	npci_worker_ring(w);
}

void npci_write(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len, uint64_t value)
{
	struct nvme_pci *p = npci_of(f);

	(void)bar;
	if (npci_offline(p))
		return;
	for (; len >= 4; at += 4, value >>= 32, len -= 4) {
		if (at >= NPCI_BELLS)
			regs_ring(p, at, (uint32_t)value);
		else
			regs_set(p, at, (uint32_t)value);
	}
}
