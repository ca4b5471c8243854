/* SPDX-License-Identifier: MIT */
/*
 * The admin queue. A question is waited for, at most ADMIN_PATIENCE; they are few, asked when a lane or the
 * backend is opened or closed, after a reset, and when the controller has told of a change. An event and
 * Abort wait in slots of their own.
 */
#include "backend/nvme_vfio.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#define ADMIN_PATIENCE (10 * DRIVE_SECOND)
#define ADMIN_EVENTS 16u /* seen to in a row */
#define REG_CSTS 0x1c
#define CSTS_FAILED 2u
#define CREATE_CONTIGUOUS 1u
#define CREATE_INTERRUPTS 2u

uint64_t vio__drive_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * DRIVE_SECOND + (uint64_t)t.tv_nsec;
}

static void admin_post(struct drive *d, const struct nvme_cmd *c, uint16_t slot)
{
	struct nvme_cmd cmd = *c;

	cmd.cid = slot;
	d->busy[slot] = true;
	drive_queue_post(&d->admin, &cmd);
	drive_bell_ring(d->f, &d->admin.sq_bell, d->admin.tail);
}

static void admin_answered(struct drive *d, const struct nvme_cqe *e)
{
	d->busy[e->cid] = false;
	if (e->cid == ADMIN_ASK) {
		d->answer = e->status;
		d->result = e->dw0;
	} else if (e->cid == ADMIN_EVENT && e->status) {
		d->store.events = 0; /* it is looked at when somebody wants to know */
	} else if (e->cid == ADMIN_EVENT) {
		d->event = e->dw0;
		d->event_due = true;
	}
}

static int admin_reap(struct drive *d)
{
	struct nvme_cqe e;

	for (unsigned i = 0; i < DRIVE_ADMIN_ENTRIES && drive_queue_take(&d->admin, &e); i++) {
		if (e.cid >= ADMIN_SLOTS || !d->busy[e.cid] || e.sqid || e.sqhd >= d->admin.entries)
			return vio__fail(EPROTO,
					 "%s: an answer to admin command %u of queue %u, which was not asked",
					 d->who, e.cid, e.sqid);
		admin_answered(d, &e);
	}
	drive_bell_ring(d->f, &d->admin.cq_bell, d->admin.head);
	return 0;
}

/* For an interrupt, or a little while: one that gets lost costs no more. */
static void admin_sleep(struct drive *d)
{
	struct pollfd p = { .fd = d->f->irq[0], .events = POLLIN };
	uint64_t n;

	if (poll(&p, 1, 1) > 0 && read(p.fd, &n, sizeof(n)) < 0)
		return;
}

static int admin_alive(struct drive *d, uint64_t deadline, uint8_t opcode)
{
	uint32_t csts = function_get(d->f, REG_CSTS);

	if (csts == UINT32_MAX)
		return vio__fail(ENODEV, "%s: it was taken out", d->who);
	if (csts & CSTS_FAILED)
		return vio__fail(EIO, "%s: the controller says that it has failed", d->who);
	if (vio__drive_now() >= deadline)
		return vio__fail(ETIMEDOUT, "%s: no answer to admin command %#x", d->who, opcode);
	return 0;
}

int vio__drive_ask(struct drive *d, struct nvme_cmd *c)
{
	uint64_t deadline = vio__drive_now() + ADMIN_PATIENCE;

	if (d->busy[ADMIN_ASK])
		return vio__fail(EIO, "%s: an admin command was not answered", d->who);
	admin_post(d, c, ADMIN_ASK);
	for (;;) {
		int rc = admin_reap(d);

		if (!rc && !d->busy[ADMIN_ASK])
			return d->answer;
		rc = rc ? rc : admin_alive(d, deadline, c->opcode);
		if (rc)
			return rc;
		admin_sleep(d);
	}
}

void vio__drive_abort(struct drive *d, uint16_t qid, uint16_t cid)
{
	struct nvme_cmd c = { .opcode = nvme_admin_abort_cmd, .cdw10 = (uint32_t)cid << 16 | qid };

	if (!d->busy[ADMIN_ABORT])
		admin_post(d, &c, ADMIN_ABORT);
}

void vio__drive_await_event(struct drive *d)
{
	struct nvme_cmd c = { .opcode = nvme_admin_async_event };

	if (d->store.events && !d->busy[ADMIN_EVENT] && !d->event_due)
		admin_post(d, &c, ADMIN_EVENT);
}

/* Reading the log page that an event names is what lets the next one of its kind come. */
static int admin_read_log(struct drive *d, uint8_t page)
{
	uint32_t len = page == NVME_LOG_LID_CHANGED_NS ? DRIVE_PAGE : 512;
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
			      .nsid = NVME_NSID_ALL,
			      .prp1 = d->area_iova + 2 * DRIVE_PAGE,
			      .cdw10 = page | (len / 4 - 1) << 16 };
	int rc = vio__drive_ask(d, &c);

	return VIO_MIN(rc, 0);
}

static int admin_event(struct drive *d)
{
	uint8_t type = d->event & 7, info = (uint8_t)(d->event >> 8), page = (uint8_t)(d->event >> 16);
	int rc = admin_read_log(d, page);

	d->event_due = false;
	if (!rc && type == NVME_AER_NOTICE && info == NVME_AER_NOTICE_NS_CHANGED)
		rc = vio__drive_look(d);
	return rc;
}

int vio__drive_news(struct drive *d)
{
	int rc = d->phase == DRIVE_UP ? admin_reap(d) : 0;

	for (unsigned i = 0; !rc && d->phase == DRIVE_UP && i < ADMIN_EVENTS; i++) {
		if (d->event_due)
			rc = admin_event(d);
		if (rc || d->busy[ADMIN_EVENT] || !d->store.events)
			break;
		vio__drive_await_event(d);
		rc = admin_reap(d);
	}
	return rc;
}

static int admin_refused(const struct drive *d, const char *what, uint16_t qid, int status)
{
	return status < 0 ? status
			  : vio__fail(EIO, "%s: the controller refused to %s queue %u with status %u/%#x",
				      d->who, what, qid, status >> 9 & 7, status >> 1 & 0xff);
}

int vio__drive_create(struct drive *d, struct drive_queue *q, uint64_t sq, uint64_t cq, bool interrupts,
		      unsigned vector)
{
	struct nvme_cmd c = { .opcode = nvme_admin_create_cq,
			      .prp1 = cq,
			      .cdw10 = q->qid | (q->entries - 1) << 16,
			      .cdw11 = CREATE_CONTIGUOUS |
				       (interrupts ? CREATE_INTERRUPTS | vector << 16 : 0) };
	int rc = vio__drive_ask(d, &c);

	if (rc)
		return admin_refused(d, "create completion", q->qid, rc);
	c = (struct nvme_cmd){ .opcode = nvme_admin_create_sq,
			       .prp1 = sq,
			       .cdw10 = q->qid | (q->entries - 1) << 16,
			       .cdw11 = CREATE_CONTIGUOUS | (uint32_t)q->qid << 16 };
	rc = vio__drive_ask(d, &c);
	return rc ? admin_refused(d, "create submission", q->qid, rc) : 0;
}

int vio__drive_delete(struct drive *d, uint16_t qid)
{
	struct nvme_cmd c = { .opcode = nvme_admin_delete_sq, .cdw10 = qid };
	int rc = vio__drive_ask(d, &c);

	if (rc)
		return admin_refused(d, "delete submission", qid, rc);
	c.opcode = nvme_admin_delete_cq;
	rc = vio__drive_ask(d, &c);
	return rc ? admin_refused(d, "delete completion", qid, rc) : 0;
}
