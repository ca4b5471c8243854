/* SPDX-License-Identifier: MIT */
/*
 * Get Log Page (NVMe Base 2.0, 5.16): a page is made whole, then the part that the host
 * asked for is copied, as far as its buffer and the page reach.
 */
#include "nvme/nv.h"

#include <stdio.h>

#define LOG_RAE (1u << 15)  /* retain the asynchronous event */
#define LOG_UNITS 512000ull /* SMART counts data in thousands of 512 bytes */
#define LOG_KELVIN 273u
#define LOG_SCOPE_NS (1u << 20)
#define LOG_SCOPE_CTRL (1u << 21)

#define EFFECT_SUPPORTED 1u
#define EFFECT_CHANGES_DATA (1u << 1)
#define EFFECT_CHANGES_NAMESPACE (1u << 2)
#define EFFECT_ALONE (1u << 16)		    /* no other command to the namespace meanwhile */
#define EFFECT_CHANGES_NAMESPACES (1u << 3) /* which there are */

union log_page {
	struct nvme_error_log_page error[NV_ERRORS];
	struct nvme_smart_log smart;
	struct nvme_firmware_slot firmware;
	uint32_t changed[1024];
	struct nvme_cmd_effects_log effects;
	struct nvme_supported_log_pages pages;
	struct nvme_fid_supported_effects_log features;
	struct nvme_ana_log ana;
	struct nvme_resv_notification_log reservation;
	struct nvme_sanitize_log_page sanitize;
	uint8_t bytes[NV_ANA_LOG(NV_MAX_NS)];
};

/* 128-bit counters, little-endian. */
static void log_u128(uint8_t to[16], uint64_t v)
{
	memcpy(to, &v, sizeof(v));
}

static size_t log_errors(struct nv_ctrl *c, union log_page *p)
{
	pthread_mutex_lock(&c->s->lock);
	for (uint64_t i = 0; i < NV_ERRORS && i < c->errors; i++) { /* the newest first */
		const struct nv_error *e = &c->error[(c->errors - 1 - i) % NV_ERRORS];

		p->error[i] = (struct nvme_error_log_page){ .error_count = e->count,
							    .sqid = e->sqid,
							    .cmdid = e->cid,
							    .status_field = e->status,
							    .parm_error_location = UINT16_MAX,
							    .lba = e->lba,
							    .nsid = e->nsid,
							    .trtype = NVMF_TRTYPE_TCP };
	}
	pthread_mutex_unlock(&c->s->lock);
	return sizeof(p->error);
}

/*
 * The counters of the process are real; it knows of no earlier one, so there was one power cycle, and no
 * unsafe shutdown. There is no sensor, and nothing that wears: those are what a drive in order says.
 */
static size_t log_smart(struct nv_ctrl *c, union log_page *p)
{
	struct nvme_smart_log *l = &p->smart;
	uint16_t kelvin = LOG_KELVIN + 40;
	struct nv_counts n;

	nv_sum(c->s, &n);
	memcpy(l->temperature, &kelvin, sizeof(kelvin));
	l->avail_spare = 100;
	l->spare_thresh = 10;
	log_u128(l->data_units_read, (n.bytes_read + LOG_UNITS - 1) / LOG_UNITS);
	log_u128(l->data_units_written, (n.bytes_written + LOG_UNITS - 1) / LOG_UNITS);
	log_u128(l->host_reads, n.reads);
	log_u128(l->host_writes, n.writes);
	log_u128(l->power_cycles, 1);
	log_u128(l->power_on_hours, nv_power_on_ns(c->s) / 1000000000u / 3600);
	log_u128(l->media_errors, n.media_errors);
	log_u128(l->num_err_log_entries, n.errors);
	return sizeof(*l);
}

static size_t log_firmware(union log_page *p)
{
	char version[9];

	snprintf(version, sizeof(version), "%-8s", vio_version());
	p->firmware.afi = 1;
	memcpy(p->firmware.frs[0], version, sizeof(p->firmware.frs[0]));
	return sizeof(p->firmware);
}

static int log_by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Reading it, unless told otherwise, ends the event: the next change is told again. */
static size_t log_changed(struct nv_qp *qp, union log_page *p, bool retain)
{
	struct nv_ctrl *c = qp->ctrl;

	pthread_mutex_lock(&c->s->lock);
	if (c->many_changed) {
		p->changed[0] = UINT32_MAX;
	} else if (c->changed) {
		memcpy(p->changed, c->changed, c->nchanged * sizeof(uint32_t));
		qsort(p->changed, c->nchanged, sizeof(uint32_t), log_by_id);
	}
	if (!retain) {
		c->nchanged = 0;
		c->many_changed = false;
		nv_event_read(c, NV_EVENT_NS);
	}
	pthread_mutex_unlock(&c->s->lock);
	return sizeof(p->changed);
}

static size_t log_effects(const struct nv_ctrl *c, union log_page *p)
{
	static const uint8_t admin[] = { nvme_admin_get_log_page, nvme_admin_identify,
					 nvme_admin_abort_cmd,	  nvme_admin_set_features,
					 nvme_admin_get_features, nvme_admin_async_event,
					 nvme_admin_keep_alive };
	static const uint8_t io[] = { nvme_cmd_flush,	     nvme_cmd_read,	   nvme_cmd_compare,
				      nvme_cmd_verify,	     nvme_cmd_resv_report, nvme_cmd_resv_register,
				      nvme_cmd_resv_acquire, nvme_cmd_resv_release };
	static const uint8_t changing[] = { nvme_cmd_write, nvme_cmd_write_uncor, nvme_cmd_write_zeroes,
					    nvme_cmd_dsm, nvme_cmd_copy };

	for (unsigned i = 0; i < sizeof(admin); i++)
		p->effects.acs[admin[i]] = EFFECT_SUPPORTED;
	for (unsigned i = 0; i < sizeof(io); i++)
		p->effects.iocs[io[i]] = EFFECT_SUPPORTED;
	for (unsigned i = 0; i < sizeof(changing); i++)
		p->effects.iocs[changing[i]] = EFFECT_SUPPORTED | EFFECT_CHANGES_DATA;
	if (c->s->manager.work)
		p->effects.acs[nvme_admin_format_nvm] =
			EFFECT_SUPPORTED | EFFECT_CHANGES_DATA | EFFECT_CHANGES_NAMESPACE | EFFECT_ALONE;
	if (c->s->manager.work)
		p->effects.acs[nvme_admin_sanitize_nvm] =
			EFFECT_SUPPORTED | EFFECT_CHANGES_DATA | EFFECT_ALONE;
	if (c->primary)
		p->effects.acs[nvme_admin_virtual_mgmt] = EFFECT_SUPPORTED;
	if (nv_manages(c->s))
		p->effects.acs[nvme_admin_ns_mgmt] = p->effects.acs[nvme_admin_ns_attach] =
			EFFECT_SUPPORTED | EFFECT_CHANGES_NAMESPACES;
	return sizeof(p->effects);
}

static size_t log_pages(const struct nv_ctrl *c, union log_page *p)
{
	static const uint8_t ids[] = { NVME_LOG_LID_SUPPORTED_LOG_PAGES,
				       NVME_LOG_LID_ERROR,
				       NVME_LOG_LID_SMART,
				       NVME_LOG_LID_FW_SLOT,
				       NVME_LOG_LID_CHANGED_NS,
				       NVME_LOG_LID_CMD_EFFECTS,
				       NVME_LOG_LID_ANA,
				       NVME_LOG_LID_RESERVATION,
				       NVME_LOG_LID_FID_SUPPORTED_EFFECTS };

	for (unsigned i = 0; i < sizeof(ids); i++)
		p->pages.lid_support[ids[i]] = EFFECT_SUPPORTED;
	if (c->s->manager.work)
		p->pages.lid_support[NVME_LOG_LID_SANITIZE] = EFFECT_SUPPORTED;
	return sizeof(p->pages);
}

static size_t log_features(union log_page *p)
{
	static const uint8_t ids[] = { NVME_FEAT_FID_ARBITRATION,  NVME_FEAT_FID_POWER_MGMT,
				       NVME_FEAT_FID_TEMP_THRESH,  NVME_FEAT_FID_ERR_RECOVERY,
				       NVME_FEAT_FID_VOLATILE_WC,  NVME_FEAT_FID_NUM_QUEUES,
				       NVME_FEAT_FID_WRITE_ATOMIC, NVME_FEAT_FID_ASYNC_EVENT,
				       NVME_FEAT_FID_KATO,	   NVME_FEAT_FID_HOST_ID };

	for (unsigned i = 0; i < sizeof(ids); i++)
		p->features.fid_support[ids[i]] = EFFECT_SUPPORTED | LOG_SCOPE_CTRL;
	p->features.fid_support[NVME_FEAT_FID_RESV_MASK] = EFFECT_SUPPORTED | LOG_SCOPE_NS;
	p->features.fid_support[NVME_FEAT_FID_RESV_PERSIST] = EFFECT_SUPPORTED | LOG_SCOPE_NS;
	return sizeof(p->features);
}

/* Bytes of the page; 0: there is none. */
static size_t log_make(struct nv_qp *qp, const struct nvme_cmd *cmd, union log_page *p)
{
	uint8_t lid = cmd->cdw10 & 0xff;

	memset(p, 0, sizeof(*p));
	if (qp->ctrl->discovery)
		return 0; /* its only page is made in parts */
	switch (lid) {
	case NVME_LOG_LID_SUPPORTED_LOG_PAGES:
		return log_pages(qp->ctrl, p);
	case NVME_LOG_LID_ERROR:
		return log_errors(qp->ctrl, p);
	case NVME_LOG_LID_SMART:
		return log_smart(qp->ctrl, p);
	case NVME_LOG_LID_FW_SLOT:
		return log_firmware(p);
	case NVME_LOG_LID_CHANGED_NS:
		return log_changed(qp, p, cmd->cdw10 & LOG_RAE);
	case NVME_LOG_LID_CMD_EFFECTS:
		return log_effects(qp->ctrl, p);
	case NVME_LOG_LID_ANA:
		return nv_ana_log(qp, cmd, &p->ana);
	case NVME_LOG_LID_RESERVATION:
		return nv_resv_log(qp->ctrl, &p->reservation, cmd->cdw10 & LOG_RAE);
	case NVME_LOG_LID_SANITIZE:
		return qp->group->s->manager.work ? nv_sanitize_log(qp, &p->sanitize, cmd->cdw10 & LOG_RAE)
						  : 0;
	case NVME_LOG_LID_FID_SUPPORTED_EFFECTS:
		return log_features(p);
	default:
		return 0;
	}
}

uint16_t nv_log(struct nv_qp *qp, struct nvme_req *r)
{
	const struct nvme_cmd *c = &r->cmd;
	uint64_t offset = c->cdw12 | (uint64_t)c->cdw13 << 32;
	uint64_t bytes = ((uint64_t)(c->cdw10 >> 16) + ((uint64_t)(c->cdw11 & 0xffff) << 16) + 1) * 4;
	union log_page page;
	uint16_t status;
	size_t size;

	status = nv_data(r, (uint32_t)VIO_MIN(bytes, UINT32_MAX), false);
	if (status)
		return status;
	memset(r->buf, 0, r->len);
	if (offset & 3)
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (qp->ctrl->discovery && (c->cdw10 & 0xff) == NVME_LOG_LID_DISCOVER)
		return nv_discovery_log(qp, r, offset);
	size = log_make(qp, c, &page);
	if (!size)
		return NV_NO_SPECIFIC(NVME_SC_INVALID_LOG_PAGE);
	if (offset > size)
		return NV_NO(NVME_SC_INVALID_FIELD);
	memcpy(r->buf, page.bytes + offset, VIO_MIN(size - offset, r->len));
	return 0;
}
