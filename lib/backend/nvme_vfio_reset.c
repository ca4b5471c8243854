/* SPDX-License-Identifier: MIT */
/* The controller's registers (NVMe Base 2.0, 3.1.3): what it can do, and how it is made to start anew. */
#include "backend/nvme_vfio.h"

#include <unistd.h>

enum {
	REG_CAP = 0x00,
	REG_CC = 0x14,
	REG_CSTS = 0x1c,
	REG_AQA = 0x24,
	REG_ASQ = 0x28,
	REG_ACQ = 0x30,
};
enum { CC_ENABLE = 1, CC_SHN = 3 << 14, CC_SHN_NORMAL = 1 << 14, CSTS_READY = 1, CSTS_FAILED = 2 };

#define CC_ENTRIES (6u << 16 | 4u << 20) /* of 64 and of 16 bytes */
#define CSTS_SHST(csts) ((csts) >> 2 & 3)
#define RESET_GOODBYE (5 * DRIVE_SECOND)
#define RESET_UNIT (500 * DRIVE_MS) /* of CAP.TO */

static uint64_t reset_stride(const struct drive *d)
{
	return 4ull << NVME_CAP_DSTRD(d->cap);
}

/* How many I/O queue pairs have their doorbells within the BAR. */
static uint64_t reset_room(const struct drive *d)
{
	uint64_t bells = d->f->bar_size > FUNCTION_BELLS ? d->f->bar_size - FUNCTION_BELLS : 0;
	uint64_t pairs = bells / (2 * reset_stride(d));

	return pairs ? pairs - 1 : 0;
}

/* Shadow doorbells lie as the registers do, in one page. */
static void reset_bell(const struct drive *d, struct drive_bell *b, unsigned n)
{
	uint64_t at = n * reset_stride(d);
	char *page = d->area + 3 * DRIVE_PAGE;

	*b = (struct drive_bell){ .at = FUNCTION_BELLS + at };
	if (!d->shadows || n < 2 || at >= DRIVE_PAGE)
		return;
	b->shadow = (uint32_t *)(page + at);
	b->event = (uint32_t *)(page + DRIVE_PAGE + at);
}

void vio__drive_bells(const struct drive *d, struct drive_queue *q)
{
	reset_bell(d, &q->sq_bell, 2u * q->qid);
	reset_bell(d, &q->cq_bell, 2u * q->qid + 1);
}

int vio__drive_check(struct drive *d)
{
	d->cap = function_get64(d->f, REG_CAP);
	if (d->cap == UINT64_MAX)
		return vio__fail(ENODEV, "%s: nobody answers: its registers are all ones", d->who);
	if (!NVME_CAP_MQES(d->cap))
		return vio__fail(EPROTO, "%s: queues of one entry, which can't be", d->who);
	if (NVME_CAP_MPSMIN(d->cap))
		return vio__fail(ENOTSUP, "%s: its smallest page has %u bytes, expected %u", d->who,
				 DRIVE_PAGE << NVME_CAP_MPSMIN(d->cap), DRIVE_PAGE);
	if (!(NVME_CAP_CSS(d->cap) & (NVME_CAP_CSS_NVM | NVME_CAP_CSS_CSI)))
		return vio__fail(ENOTSUP, "%s: no NVM command set (CAP.CSS is %#x)", d->who,
				 (unsigned)NVME_CAP_CSS(d->cap));
	if (!reset_room(d))
		return vio__fail(
			EPROTO, "%s: doorbells %llu bytes apart, which do not fit into a BAR of %llu bytes",
			d->who, (unsigned long long)reset_stride(d), (unsigned long long)d->f->bar_size);
	d->queues = VIO_MIN(d->queues, reset_room(d));
	d->depth = VIO_MIN(d->depth, (uint64_t)NVME_CAP_MQES(d->cap));
	d->admin = (struct drive_queue){ .sq = (struct nvme_cmd *)d->area,
					 .cq = (struct nvme_cqe *)(d->area + DRIVE_PAGE),
					 .entries = DRIVE_ADMIN_ENTRIES };
	vio__drive_bells(d, &d->admin);
	return 0;
}

static void reset_phase(struct drive *d, enum drive_phase phase)
{
	d->phase = phase;
	d->deadline = vio__drive_now() + (NVME_CAP_TO(d->cap) + 1) * RESET_UNIT;
}

/* Clearing EN leaves the rest of CC alone (3.1.3.5). */
void vio__drive_begin(struct drive *d)
{
	function_put(d->f, REG_CC, function_get(d->f, REG_CC) & ~(uint32_t)CC_ENABLE);
	reset_phase(d, DRIVE_STOPPING);
}

static void reset_enable(struct drive *d)
{
	uint64_t sq = d->area_iova, cq = d->area_iova + DRIVE_PAGE;
	uint32_t css = NVME_CAP_CSS(d->cap) & NVME_CAP_CSS_CSI ? NVME_CC_CSS_CSI : NVME_CC_CSS_NVM;

	drive_queue_clear(&d->admin);
	memset(d->busy, 0, sizeof(d->busy));
	d->event_due = false;
	function_put(d->f, REG_AQA, (DRIVE_ADMIN_ENTRIES - 1) << 16 | (DRIVE_ADMIN_ENTRIES - 1));
	function_put(d->f, REG_ASQ, (uint32_t)sq);
	function_put(d->f, REG_ASQ + 4, (uint32_t)(sq >> 32));
	function_put(d->f, REG_ACQ, (uint32_t)cq);
	function_put(d->f, REG_ACQ + 4, (uint32_t)(cq >> 32));
	d->f->ops->master(d->f, true);
	function_put(d->f, REG_CC, CC_ENTRIES | css << NVME_CC_CSS_SHIFT);
	function_put(d->f, REG_CC, CC_ENTRIES | css << NVME_CC_CSS_SHIFT | CC_ENABLE);
	reset_phase(d, DRIVE_STARTING);
}

/* Before a request fails nothing may write into its memory any more, whatever the controller does. */
static int reset_dead(struct drive *d, int rc)
{
	d->phase = DRIVE_DEAD;
	d->f->ops->master(d->f, false);
	vio__drive_ring_all(d);
	return rc;
}

static int reset_up(struct drive *d)
{
	int rc = vio__drive_learn(d);

	if (rc)
		return reset_dead(d, rc);
	d->phase = DRIVE_UP;
	d->generation++;
	vio__drive_ring_all(d);
	return 0;
}

int vio__drive_step(struct drive *d)
{
	uint32_t csts;

	if (d->phase != DRIVE_STOPPING && d->phase != DRIVE_STARTING)
		return 0;
	csts = function_get(d->f, REG_CSTS);
	if (csts == UINT32_MAX)
		return reset_dead(d, vio__fail(ENODEV, "%s: it was taken out", d->who));
	if (d->phase == DRIVE_STOPPING && !(csts & CSTS_READY)) {
		reset_enable(d);
		return 0;
	}
	if (d->phase == DRIVE_STARTING && csts & CSTS_FAILED)
		return reset_dead(d, vio__fail(EIO, "%s: the controller says that it has failed", d->who));
	if (d->phase == DRIVE_STARTING && csts & CSTS_READY)
		return reset_up(d);
	if (vio__drive_now() < d->deadline)
		return 0;
	return reset_dead(d, vio__fail(ETIMEDOUT, "%s: the controller does not get %s in time", d->who,
				       d->phase == DRIVE_STOPPING ? "disabled" : "ready"));
}

int vio__drive_await(struct drive *d)
{
	int rc = vio__drive_step(d);

	while (!rc && (d->phase == DRIVE_STOPPING || d->phase == DRIVE_STARTING)) {
		usleep(1000); /* there is nothing that would tell */
		rc = vio__drive_step(d);
	}
	return rc;
}

/* In good order, so that it can put away what is in its caches; then it is stopped. */
void vio__drive_shutdown(struct drive *d)
{
	uint64_t deadline = vio__drive_now() + RESET_GOODBYE;
	uint32_t csts;

	if (d->phase == DRIVE_UP) {
		function_put(d->f, REG_CC, (function_get(d->f, REG_CC) & ~(uint32_t)CC_SHN) | CC_SHN_NORMAL);
		do {
			csts = function_get(d->f, REG_CSTS);
			if (csts == UINT32_MAX || csts & CSTS_FAILED || CSTS_SHST(csts) == 2)
				break;
			usleep(1000);
		} while (vio__drive_now() < deadline);
	}
	vio__drive_begin(d);
	deadline = VIO_MIN(d->deadline, vio__drive_now() + RESET_GOODBYE);
	do {
		csts = function_get(d->f, REG_CSTS);
		if (csts == UINT32_MAX || !(csts & CSTS_READY))
			break;
		usleep(1000);
	} while (vio__drive_now() < deadline);
	d->phase = DRIVE_DEAD;
}
