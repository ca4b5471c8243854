/* SPDX-License-Identifier: MIT */
/* What a controller that has just become ready is asked and told, before its I/O queues. */
#include "backend/nvme_vfio.h"

#include <endian.h>

static char *identify_reply(struct drive *d)
{
	return d->area + 2 * DRIVE_PAGE;
}

static int identify_refused(const struct drive *d, const char *what, int status)
{
	return status < 0 ? status
			  : vio__fail(EPROTO, "%s: the controller refused %s with status %u/%#x", d->who,
				      what, status >> 9 & 7, status >> 1 & 0xff);
}

static int identify(struct drive *d, uint32_t nsid, uint32_t cns)
{
	struct nvme_cmd c = { .opcode = nvme_admin_identify,
			      .nsid = nsid,
			      .prp1 = d->area_iova + 2 * DRIVE_PAGE,
			      .cdw10 = cns };

	memset(identify_reply(d), 0, DRIVE_PAGE);
	return vio__drive_ask(d, &c);
}

static int identify_controller(struct drive *d, struct nvme_store *s)
{
	struct nvme_id_ctrl c;
	int rc = identify(d, 0, NVME_IDENTIFY_CNS_CTRL);

	if (rc)
		return identify_refused(d, "Identify Controller", rc);
	memcpy(&c, identify_reply(d), sizeof(c)); /* it may change its mind meanwhile */
	rc = vio__nvme_see_controller(s, d->who, &c, d->cap, DRIVE_MAX_PART);
	d->sgls = (le32toh(c.sgls) & 3) == 1 ? 1 : (le32toh(c.sgls) & 3) == 2 ? 4 : 0;
	d->shadows = d->shadow_wanted && le16toh(c.oacs) & NVME_CTRL_OACS_DBBUF_CFG;
	return rc;
}

static int identify_namespace(struct drive *d, struct nvme_store *s)
{
	uint32_t nsid = (uint32_t)d->nsid;
	struct nvme_id_ns n;
	int rc = identify(d, nsid, NVME_IDENTIFY_CNS_NS);

	if (rc)
		return identify_refused(d, "Identify Namespace", rc);
	memcpy(&n, identify_reply(d), sizeof(n));
	rc = vio__nvme_see_namespace(s, d->who, nsid, &n);
	if (rc)
		return rc;
	rc = identify(d, nsid, NVME_IDENTIFY_CNS_NS_DESC_LIST);
	if (rc < 0)
		return rc;
	if (!rc) {
		uint8_t list[DRIVE_PAGE];

		memcpy(list, identify_reply(d), sizeof(list));
		vio__nvme_see_ids(s, list, sizeof(list));
	}
	return d->known ? vio__nvme_recognize(&d->store, s, d->who, nsid) : 0;
}

static int identify_queues(struct drive *d)
{
	uint32_t n = (uint32_t)d->queues - 1, sq, cq;
	struct nvme_cmd c = { .opcode = nvme_admin_set_features,
			      .cdw10 = NVME_FEAT_FID_NUM_QUEUES,
			      .cdw11 = n | n << 16 };
	int rc = vio__drive_ask(d, &c);

	if (rc)
		return identify_refused(d, "Set Features of Number of Queues", rc);
	sq = (d->result & 0xffff) + 1;
	cq = (d->result >> 16) + 1;
	d->given = (uint16_t)VIO_MIN(VIO_MIN(sq, cq), (uint32_t)d->queues);
	return 0;
}

/* One that refuses goes without. */
static int identify_shadows(struct drive *d)
{
	uint64_t page = d->area_iova + 3 * DRIVE_PAGE;
	struct nvme_cmd c = { .opcode = nvme_admin_dbbuf, .prp1 = page, .prp2 = page + DRIVE_PAGE };
	int rc;

	if (!d->shadows)
		return 0;
	memset(d->area + 3 * DRIVE_PAGE, 0, 2 * DRIVE_PAGE);
	rc = vio__drive_ask(d, &c);
	d->shadows = !rc;
	return VIO_MIN(rc, 0);
}

static int identify_events(struct drive *d)
{
	struct nvme_cmd c = { .opcode = nvme_admin_set_features,
			      .cdw10 = NVME_FEAT_FID_ASYNC_EVENT,
			      .cdw11 = NVME_CTRL_OAES_NA };
	int rc = d->store.events ? vio__drive_ask(d, &c) : 0;

	if (rc > 0)
		d->store.events = 0;
	if (rc >= 0)
		vio__drive_await_event(d);
	return VIO_MIN(rc, 0);
}

int vio__drive_learn(struct drive *d)
{
	struct nvme_store s = { 0 };
	int rc = identify_controller(d, &s);

	rc = rc ? rc : identify_namespace(d, &s);
	if (rc)
		return rc;
	d->store = s;
	d->known = true;
	rc = identify_queues(d);
	rc = rc ? rc : identify_shadows(d);
	return rc ? rc : identify_events(d);
}

int vio__drive_look(struct drive *d)
{
	struct nvme_store s = d->store;
	int rc = identify_namespace(d, &s);

	if (!rc)
		d->store = s;
	return rc;
}
