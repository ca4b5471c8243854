/* SPDX-License-Identifier: MIT */
/*
 * For tests: a PCI NVMe controller in memory that does what it is told inside the driver's own calls, right
 * or as wrong as the test wants it. One namespace of FAKE_BLOCKS blocks of 512 bytes.
 */
#ifndef TESTS_FAKE_DRIVE_H
#define TESTS_FAKE_DRIVE_H

#include "backend/nvme_vfio.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define FAKE_BLOCKS 8192u
#define FAKE_QUEUES 4u
#define FAKE_MAPS 32u
#define FAKE_CAP (63ull | 1ull << 16 | 1ull << 24 | 1ull << 37)

struct fake_queue {
	uint64_t sq, cq;
	uint32_t sq_size, cq_size, head, tail;
	uint16_t phase;
	int vector; /* -1: no interrupts */
	bool on;
};

struct fake_drive {
	struct function f;
	uint64_t cap;
	uint32_t cc, csts, aqa;
	uint64_t asq, acq;
	struct {
		char *ptr;
		uint64_t size, iova;
	} map[FAKE_MAPS];
	unsigned nmaps, closes, enables, aborts, lost; /* lost: addresses that were not mapped */
	bool gone;				       /* all ones */
	bool stuck;				       /* CSTS.RDY stays as it is */
	bool fails;				       /* CSTS.CFS when it is enabled */
	bool master;
	struct fake_queue q[FAKE_QUEUES + 1];
	struct nvme_id_ctrl ctrl;
	struct nvme_id_ns ns;
	char disk[FAKE_BLOCKS * 512];
	struct nvme_cmd last; /* I/O command */
	int irq[FAKE_QUEUES + 1];
	/* Has the last word on an answer; false: there is none. */
	bool (*tamper)(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e);
	unsigned n; /* the test's */
	void *ctx;
};

/* Up to len bytes at a bus address; NULL: it is not mapped. */
static char *fake_ptr(struct fake_drive *d, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < d->nmaps; i++)
		if (iova - d->map[i].iova < d->map[i].size && len <= d->map[i].size - (iova - d->map[i].iova))
			return d->map[i].ptr + (iova - d->map[i].iova);
	d->lost++;
	return NULL;
}

static void fake_copy(struct fake_drive *d, uint64_t iova, char *data, uint64_t len, bool out)
{
	char *p = d->master ? fake_ptr(d, iova, len) : NULL;

	if (p)
		memcpy(out ? p : data, out ? data : p, len);
}

static void fake_move_sgl(struct fake_drive *d, struct nvme_sgl first, char *data, uint64_t len, bool out)
{
	unsigned n = first.type == NVME_SGL_LAST_SEGMENT ? first.len / 16 : 1;

	for (unsigned i = 0; i < n && len; i++) {
		struct nvme_sgl s = first;

		if (first.type == NVME_SGL_LAST_SEGMENT)
			fake_copy(d, first.addr + 16 * i, (char *)&s, sizeof(s), false);
		s.len = (uint32_t)VIO_MIN(s.len, len);
		fake_copy(d, s.addr, data, s.len, out);
		data += s.len;
		len -= s.len;
	}
	d->lost += len != 0;
}

static void fake_move(struct fake_drive *d, const struct nvme_cmd *c, char *data, uint64_t len, bool out)
{
	uint64_t first = VIO_MIN(len, 4096 - c->prp1 % 4096), at = first;

	if (c->flags & NVME_FLAGS_PSDT) {
		fake_move_sgl(d, c->sgl, data, len, out);
		return;
	}
	fake_copy(d, c->prp1, data, first, out);
	for (unsigned i = 0; at < len; i++) {
		uint64_t page = c->prp2, n = VIO_MIN(len - at, 4096);

		if (len - first > 4096)
			fake_copy(d, c->prp2 + 8 * i, (char *)&page, 8, false);
		fake_copy(d, page, data + at, n, out);
		at += n;
	}
}

static uint16_t fake_io(struct fake_drive *d, const struct nvme_cmd *c)
{
	uint64_t block = c->cdw10, n = (c->cdw12 & 0xffff) + 1;

	d->last = *c;
	if (c->opcode != nvme_cmd_read && c->opcode != nvme_cmd_write)
		return 0;
	if (block + n > FAKE_BLOCKS)
		return NVME_STATUS(NVME_SC_LBA_RANGE);
	fake_move(d, c, d->disk + block * 512, n * 512, c->opcode == nvme_cmd_read);
	return 0;
}

static void fake_identify(struct fake_drive *d, const struct nvme_cmd *c)
{
	static char page[4096];

	memset(page, 0, sizeof(page));
	if (c->cdw10 == NVME_IDENTIFY_CNS_CTRL)
		memcpy(page, &d->ctrl, sizeof(d->ctrl));
	else if (c->cdw10 == NVME_IDENTIFY_CNS_NS)
		memcpy(page, &d->ns, sizeof(d->ns));
	fake_move(d, c, page, sizeof(page), true);
}

static uint16_t fake_create(struct fake_drive *d, const struct nvme_cmd *c)
{
	struct fake_queue *q = &d->q[c->cdw10 & 0xffff];

	if ((c->cdw10 & 0xffff) > FAKE_QUEUES)
		return NVME_STATUS(NVME_SC_INVALID_FIELD);
	if (c->opcode == nvme_admin_create_cq) {
		*q = (struct fake_queue){ .cq = c->prp1, .cq_size = (c->cdw10 >> 16) + 1, .phase = 1 };
		q->vector = c->cdw11 & 2 ? (int)(c->cdw11 >> 16) : -1;
	} else {
		q->sq = c->prp1;
		q->sq_size = (c->cdw10 >> 16) + 1;
		q->on = true;
	}
	return 0;
}

static uint16_t fake_admin(struct fake_drive *d, const struct nvme_cmd *c, uint32_t *result)
{
	switch (c->opcode) {
	case nvme_admin_identify:
		fake_identify(d, c);
		return 0;
	case nvme_admin_create_cq:
	case nvme_admin_create_sq:
		return fake_create(d, c);
	case nvme_admin_delete_sq:
		d->q[(c->cdw10 & 0xffff) % (FAKE_QUEUES + 1)].on = false;
		return 0;
	case nvme_admin_set_features:
		*result = (FAKE_QUEUES - 1) << 16 | (FAKE_QUEUES - 1);
		return 0;
	case nvme_admin_abort_cmd:
		d->aborts++;
		*result = 1; /* it was not */
		return 0;
	default:
		return 0;
	}
}

static void fake_answer(struct fake_drive *d, struct fake_queue *q, struct nvme_cqe e)
{
	const uint64_t one = 1;

	e.status ^= q->phase; /* its lowest bit is 0, or the phase is wrong */
	fake_copy(d, q->cq + q->tail * sizeof(e), (char *)&e, sizeof(e), true);
	if (++q->tail >= q->cq_size) {
		q->tail = 0;
		q->phase ^= 1;
	}
	if (q->vector >= 0 && write(d->irq[q->vector % (int)(FAKE_QUEUES + 1)], &one, sizeof(one)) < 0)
		return;
}

static void fake_take(struct fake_drive *d, unsigned n, uint32_t tail)
{
	struct fake_queue *q = &d->q[n];

	while (q->on && tail < q->sq_size && q->head != tail) {
		struct nvme_cqe e = { .sqid = (uint16_t)n };
		struct nvme_cmd c = { 0 };
		uint32_t result = 0;

		fake_copy(d, q->sq + q->head * sizeof(c), (char *)&c, sizeof(c), false);
		q->head = q->head + 1 == q->sq_size ? 0 : q->head + 1;
		e.cid = c.cid;
		e.sqhd = (uint16_t)q->head;
		e.status = n ? fake_io(d, &c) : fake_admin(d, &c, &result);
		e.result = result;
		if ((n || c.opcode != nvme_admin_async_event) && (!d->tamper || d->tamper(d, n, &c, &e)))
			fake_answer(d, q, e);
	}
}

static uint32_t fake_read(struct function *f, uint64_t at)
{
	struct fake_drive *d = VIO_CONTAINER(f, struct fake_drive, f);

	if (d->gone)
		return UINT32_MAX;
	switch (at) {
	case 0x00:
		return (uint32_t)d->cap;
	case 0x04:
		return (uint32_t)(d->cap >> 32);
	case 0x14:
		return d->cc;
	case 0x1c:
		return d->csts;
	default:
		return 0;
	}
}

static void fake_enable(struct fake_drive *d, uint32_t cc)
{
	if (cc & 1 && !(d->cc & 1)) {
		memset(d->q, 0, sizeof(d->q));
		d->q[0] = (struct fake_queue){
			d->asq, d->acq, (d->aqa & 0xfff) + 1, (d->aqa >> 16) + 1, 0, 0, 1, 0, true
		};
		d->enables++;
		d->csts = d->fails ? 2 : d->stuck ? 0 : 1;
	} else if (!(cc & 1)) {
		memset(d->q, 0, sizeof(d->q));
		d->csts = d->stuck ? d->csts : 0;
	}
	if (cc >> 14 & 3)
		d->csts |= 8;
	d->cc = cc;
}

static void fake_write(struct function *f, uint64_t at, uint32_t value)
{
	struct fake_drive *d = VIO_CONTAINER(f, struct fake_drive, f);

	if (at == 0x14)
		fake_enable(d, value);
	else if (at == 0x24)
		d->aqa = value;
	else if (at == 0x28 || at == 0x2c)
		memcpy((char *)&d->asq + (at - 0x28), &value, 4);
	else if (at == 0x30 || at == 0x34)
		memcpy((char *)&d->acq + (at - 0x30), &value, 4);
	else if (at >= 0x1000 && at % 8 == 0 && at < 0x1000 + 8 * (FAKE_QUEUES + 1) && !d->gone)
		fake_take(d, (unsigned)(at - 0x1000) / 8, value);
}

static int fake_map(struct function *f, void *ptr, uint64_t size, uint64_t iova)
{
	struct fake_drive *d = VIO_CONTAINER(f, struct fake_drive, f);

	if (d->nmaps == FAKE_MAPS)
		return vio__fail(ENOSPC, "fake: no more maps");
	d->map[d->nmaps].ptr = ptr;
	d->map[d->nmaps].size = size;
	d->map[d->nmaps++].iova = iova;
	return 0;
}

static void fake_unmap(struct function *f, uint64_t size, uint64_t iova)
{
	struct fake_drive *d = VIO_CONTAINER(f, struct fake_drive, f);

	for (unsigned i = 0; i < d->nmaps; i++) {
		if (d->map[i].iova != iova || d->map[i].size != size)
			continue;
		d->map[i] = d->map[--d->nmaps];
		return;
	}
}

static void fake_master(struct function *f, bool on)
{
	VIO_CONTAINER(f, struct fake_drive, f)->master = on;
}

static void fake_close(struct function *f)
{
	struct fake_drive *d = VIO_CONTAINER(f, struct fake_drive, f);

	d->closes++;
	d->nmaps = 0;
}

/* As after power-on, and right in all it says. */
static void fake_start(struct fake_drive *d)
{
	static const struct function_ops ops = { fake_read,  fake_write,  fake_map,
						 fake_unmap, fake_master, fake_close };

	memset(d, 0, sizeof(*d));
	d->cap = FAKE_CAP;
	d->f = (struct function){ .ops = &ops,
				  .bar_size = 0x4000,
				  .irq = d->irq,
				  .vectors = FAKE_QUEUES + 1,
				  .page = 4096,
				  .nranges = 1,
				  .range = { { 0, 0xfedfffff } },
				  .maps = FAKE_MAPS };
	for (unsigned i = 0; i <= FAKE_QUEUES; i++)
		d->irq[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	d->f.gone = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	d->ctrl.mdts = 5;
	d->ctrl.vwc = 1;
	d->ctrl.oncs = htole16(NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES);
	d->ctrl.oaes = htole32(NVME_CTRL_OAES_NA);
	d->ctrl.cntrltype = 1;
	d->ns.nsze = d->ns.ncap = htole64(FAKE_BLOCKS);
	d->ns.lbaf[0].ds = 9;
	d->ns.nguid[0] = 7;
}

static void fake_stop(struct fake_drive *d)
{
	for (unsigned i = 0; i <= FAKE_QUEUES; i++)
		close(d->irq[i]);
	close(d->f.gone);
}

static struct fake_drive *fake_now; /* whom the backend that is made next finds */

static int fake_find(struct function **f, const char *name)
{
	(void)name;
	*f = &fake_now->f;
	return 0;
}

static int fake_open(struct vio_backend *b, const char *arg)
{
	return vio__drive_open(b, arg, fake_find);
}

/* The driver's type, on the fake. */
static const struct vio_backend_type *fake_type(struct fake_drive *d)
{
	static struct vio_backend_type type;

	fake_now = d;
	type = *vio_backend_find("nvme-vfio");
	type.open = fake_open;
	return &type;
}

#endif
